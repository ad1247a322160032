"""The search for sources, in simulated fields whose sources are known."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import GaussianSpatialModel, PointSpatialModel
from numpy.testing import assert_allclose

from ctao_sat import dl5
from ctao_sat.errors import ConfigError

COLUMNS = ("name", "lon", "lat", "lon_err", "lat_err", "r68", "ts", "sqrt_ts", "significance",
           "flux", "flux_err", "sigma", "sigma_err", "ts_ext", "flag")  # fmt: skip
CENTRE = SkyCoord(10, 0, unit="deg", frame="galactic")


def place(model):
    return model.spatial_model.position


def distance(sky, found, east, north, centre=CENTRE, i=0):
    """Return how far a source was found from where it is, in units of its error circle."""
    truth = place(sky.source(centre, east, north, 1))
    separation = truth.separation(place(found.models[i])).deg
    return separation / found.table["r68"][i].to_value("deg")


@pytest.fixture(scope="module")
def two(sky):
    """Return a bright and a faint source, three beams apart."""
    return dl5.find_sources(sky.field([(0, 0, 30), (0.25, 0.1, 3)], seed=3))


def test_empty_field_gives_an_empty_table(sky):
    # A false source in 0.13 % of all seeds.
    datasets = sky.field(seed=1)
    before = datasets[0].counts.data.copy()
    found = dl5.find_sources(datasets)
    assert len(found.models) == len(found.table) == 0
    assert tuple(found.table.colnames) == COLUMNS
    assert found.table["lon"].unit == u.deg
    assert np.nanmax(found.residual.sqrt_ts.data) < 5
    np.testing.assert_array_equal(datasets[0].counts.data, before)
    assert datasets.models.names == ["field-bkg"]


def test_bright_source_does_not_hide_the_faint_one(sky, two):
    assert len(two.models) == 2
    # 3.3 times the 68 % radius hold all but 4e-6 of a normal distribution in two dimensions.
    assert distance(sky, two, 0, 0, i=0) < 3.3
    assert distance(sky, two, 0.25, 0.1, i=1) < 3.3
    flux = sky.source(CENTRE, 0, 0, 1).spectral_model.integral(0.5 * u.TeV, 10 * u.TeV)
    for row, amplitude in zip(two.table, (30, 3), strict=True):
        # Beyond 4 sigma in 1.3e-4 of all seeds.
        assert abs(row["flux"] - amplitude * flux) < 4 * row["flux_err"]
    assert np.isnan(two.table["sigma"]).all()
    assert (two.table["ts_ext"] < 16).all()
    assert (two.table["significance"] < two.table["sqrt_ts"]).all()
    assert list(two.table["name"]) == two.models.names
    assert two.table.meta["frame"] == "galactic"


def test_models_are_ready_for_a_fit(sky, two):
    datasets = sky.field([(0, 0, 30), (0.25, 0.1, 3)], seed=3)
    datasets.models = [*two.models.copy(), *datasets.models]
    before = [place(model) for model in datasets.models[:2]]
    assert dl5.fit(datasets).success
    for old, new in zip(before, datasets.models[:2], strict=True):
        assert old.separation(place(new)) < 0.001 * u.deg


def test_two_sources_two_beams_apart_are_two(sky):
    found = dl5.find_sources(
        sky.field([(-0.1, 0, 15), (0.1, 0, 12)], seed=5, npix=31), extended=False
    )
    # The highest peak was between them.
    assert len(found.models) == 2
    assert min(distance(sky, found, -0.1, 0, i=i) for i in range(2)) < 3.3
    assert min(distance(sky, found, 0.1, 0, i=i) for i in range(2)) < 3.3
    assert all("near another source" in flag for flag in found.table["flag"])


def test_two_sources_one_beam_apart_are_one_that_is_extended(sky):
    # They are 0.09 deg apart, the PSF has a 68 % radius of 0.09 deg.
    found = dl5.find_sources(sky.field([(-0.045, 0, 15), (0.045, 0, 15)], seed=6, npix=31))
    assert isinstance(found.models[0].spatial_model, GaussianSpatialModel)
    assert found.table["ts_ext"][0] > 16
    assert place(found.models[0]).separation(CENTRE) < 0.03 * u.deg


def test_extended_source_has_its_size(sky):
    found = dl5.find_sources(sky.field([(0.1, -0.2, 40, 0.15)], seed=7))
    assert len(found.models) == 1
    row = found.table[0]
    assert abs(row["sigma"] - 0.15 * u.deg) < 4 * row["sigma_err"]
    assert row["ts_ext"] > 16
    assert distance(sky, found, 0.1, -0.2) < 3.3


@pytest.mark.parametrize(
    ("centre", "proj"),
    [
        (SkyCoord(0.0, -30, unit="deg"), "CAR"),
        (SkyCoord(120, 89.5, unit="deg"), "TAN"),
    ],
    ids=["across RA 0", "near the pole"],
)
def test_places_where_coordinates_are_awkward(sky, centre, proj):
    datasets = sky.field([(0.02, 0.1, 12)], centre=centre, proj=proj, seed=8, npix=41)
    found = dl5.find_sources(datasets, extended=False)
    assert len(found.models) == 1
    assert distance(sky, found, 0.02, 0.1, centre) < 3.3
    # An error of the sky, not of right ascension, which is large near the pole.
    assert_allclose(found.table["lon_err"][0], found.table["lat_err"][0], rtol=0.4)
    assert 0 <= found.table["lon"][0].to_value("deg") < 360


def test_source_at_the_border_is_flagged(sky):
    found = dl5.find_sources(sky.field([(0.87, 0, 20)], seed=9, npix=61), extended=False)
    assert len(found.models) == 1
    assert found.table["flag"][0] == "near the border"


def test_mask_and_limit_of_the_number(sky):
    datasets = sky.field([(0, 0, 30), (0.25, 0.1, 8)], seed=3, npix=31)
    mask = (
        datasets[0].counts.geom.to_image().region_mask("galactic;circle(10, 0, 0.42)", inside=False)
    )
    assert len(dl5.find_sources(datasets, mask=mask).models) == 0
    assert len(dl5.find_sources(datasets, max_sources=1, extended=False).models) == 1


def test_name_is_cut_off_not_rounded(sky):
    crab = SkyCoord(83.6331, 22.0145, unit="deg")
    found = dl5.find_sources(sky.field([(0, 0, 40)], centre=crab, seed=2, npix=31), extended=False)
    assert found.models.names == ["J0534+2200"]
    assert isinstance(found.models[0].spatial_model, PointSpatialModel)


@pytest.mark.parametrize("option", [{"threshold": 0}, {"n_trials": 0.5}, {"max_sources": 0}])
def test_refusals(sky, option):
    with pytest.raises(ConfigError):
        dl5.find_sources(sky.field(npix=11), **option)
