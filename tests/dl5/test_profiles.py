"""Profiles of flux along a line and a radius."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.estimators import FluxProfileEstimator
from gammapy.utils.regions import make_orthogonal_rectangle_sky_regions
from numpy.testing import assert_allclose

from ctao_sat import dl5
from ctao_sat.errors import ConfigError

EDGES = [0.5, 10] * u.TeV
CENTRE = SkyCoord(10, 0, unit="deg", frame="galactic")


@pytest.fixture(scope="module")
def datasets(sky):
    return sky.field([(0, 0, 20, 0.1)], seed=13)


@pytest.fixture(scope="module")
def boxes(datasets):
    ends = SkyCoord([9.6, 10.4], [0, 0], unit="deg", frame="galactic")
    wcs = datasets[0].counts.geom.wcs
    return make_orthogonal_rectangle_sky_regions(ends[0], ends[1], wcs, 0.2 * u.deg, nbin=3)


def test_line_equals_gammapys_estimator(datasets, boxes):
    ours = dl5.flux_profile(datasets, boxes, EDGES, selection_optional=["ul"])
    theirs = FluxProfileEstimator(regions=boxes, energy_edges=EDGES, selection_optional=["ul"]).run(
        datasets
    )
    assert ours.geom.axes["projected-distance"] == theirs.geom.axes["projected-distance"]
    error = theirs.norm_err.data
    for name in ("norm", "norm_err", "norm_ul"):
        difference = getattr(ours, name).data - getattr(theirs, name).data
        assert np.abs(difference / error).max() < 0.02, name
    assert ours.counts.data.sum() == theirs.counts.data.sum()


def test_rings_add_up_to_the_source(datasets, sky):
    profile = dl5.radial_profile(datasets, CENTRE, [0, 0.1, 0.2, 0.3, 0.6] * u.deg, EDGES)
    assert_allclose(
        profile.geom.axes["projected-distance"].edges.to_value("deg"), [0, 0.1, 0.2, 0.3, 0.6]
    )
    flux = profile.flux.quantity[:, 0, 0, 0]
    error = np.sqrt(np.sum(profile.flux_err.quantity[:, 0, 0, 0] ** 2))
    truth = sky.source(CENTRE, 0, 0, 20).spectral_model.integral(*EDGES)
    # 4 sigma: 6e-5 of all seeds; the other index makes no difference, exposure is flat.
    assert abs(flux.sum() - truth) < 4 * error
    assert flux[0] > 10 * abs(flux[-1]) / 9


@pytest.mark.parametrize("radii", [[0, 1], [0.2, 0.1, 0.3], [-0.1, 0.1, 0.2]])
def test_radii_that_are_none(datasets, radii):
    with pytest.raises(ConfigError, match="Radii"):
        dl5.radial_profile(datasets, CENTRE, radii * u.deg, EDGES)


def test_one_region_is_no_profile(datasets, boxes):
    with pytest.raises(ConfigError, match="two regions"):
        dl5.flux_profile(datasets, boxes[:1], EDGES)
