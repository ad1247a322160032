"""Fits, flux points and light curves against Gammapy's own calls."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator, LightCurveEstimator
from gammapy.maps import MapAxis, RegionGeom
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from regions import CircleSkyRegion

from ctao_sat import dl3, dl4, dl5
from ctao_sat.errors import ConfigError, DataError, SourceNotFoundError

TARGET = SkyCoord(83.633, 22.014, unit="deg")
EDGES = [0.2, 1, 5] * u.TeV


@pytest.fixture(scope="module")
def reduced(demo_dl3):
    store = dl3.open_dl3(demo_dl3)
    axis = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=4, per_decade=True)
    geometry = RegionGeom.create(CircleSkyRegion(TARGET, 0.11 * u.deg), axes=[axis])
    return dl4.reduce(dl3.read_observations(store, store.obs_ids), geometry)


@pytest.fixture
def datasets(reduced):
    copies = Datasets([dataset.copy(name=dataset.name) for dataset in reduced])
    model = PowerLawSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1", index=2)
    copies.models = [SkyModel(model, name="crab")]
    return copies


def assert_equal(ours, theirs):
    """Check that all quantities of two flux points are the same bits."""
    assert ours.geom.axes.names == theirs.geom.axes.names
    for name in theirs.available_quantities:
        np.testing.assert_array_equal(getattr(ours, name).data, getattr(theirs, name).data, name)


@pytest.mark.parametrize("selection", ["all", ["ul"], []])
def test_flux_points_equal_gammapy(datasets, selection):
    dl5.fit(datasets)
    theirs = FluxPointsEstimator(
        energy_edges=EDGES, source="crab", selection_optional=selection
    ).run(datasets)
    ours = dl5.flux_points(datasets, EDGES, selection_optional=selection)
    assert_equal(ours, theirs)
    for sed_type in ("dnde", "e2dnde", "flux", "likelihood"):
        one, other = ours.to_table(sed_type=sed_type), theirs.to_table(sed_type=sed_type)
        assert one.colnames == other.colnames


def test_flux_points_do_not_change_the_datasets(datasets):
    # With one model, there is nothing to fit again: Gammapy alone would raise an error.
    dl5.fit(datasets)
    before = datasets.parameters.value.copy(), datasets.stat_sum()
    dl5.flux_points(datasets, EDGES, selection_optional=["errn-errp", "ul"], reoptimize=True)
    assert np.array_equal(datasets.parameters.value, before[0])
    assert datasets.stat_sum() == before[1]


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_parallel_equals_serial(datasets, backend):
    dl5.fit(datasets)
    options = {"n_jobs": 2, "backend": backend}
    serial = dl5.flux_points(datasets, EDGES, selection_optional=["ul"])
    assert_equal(dl5.flux_points(datasets, EDGES, selection_optional=["ul"], **options), serial)
    curve = dl5.light_curve(datasets, EDGES, selection_optional=[])
    assert_equal(dl5.light_curve(datasets, EDGES, selection_optional=[], **options), curve)


def test_light_curve_equals_gammapy(datasets):
    dl5.fit(datasets)
    theirs = LightCurveEstimator(
        energy_edges=EDGES, source="crab", selection_optional=["errn-errp", "ul"]
    ).run(datasets)
    assert_equal(dl5.light_curve(datasets, EDGES), theirs)


def test_light_curve_in_one_interval(datasets):
    dl5.fit(datasets)
    interval = Time([datasets.gti.time_start[0], datasets.gti.time_stop[-1]])
    curve = dl5.light_curve(datasets, EDGES[[0, -1]], time_intervals=[interval])
    assert curve.geom.axes["time"].nbin == 1
    whole = dl5.flux_points(datasets, EDGES[[0, -1]], selection_optional=[])
    assert curve.norm.data.squeeze() == pytest.approx(whole.norm.data.squeeze(), rel=1e-6)


def test_light_curve_without_data(datasets):
    interval = Time(["2001-01-01", "2001-01-02"])
    with pytest.raises(DataError, match="No dataset lies completely within"):
        dl5.light_curve(datasets, EDGES, time_intervals=[interval])


def test_bins_without_data_are_flagged(datasets):
    dl5.fit(datasets)
    points = dl5.flux_points(datasets, [1, 5, 200, 900] * u.TeV, selection_optional=["ul"])
    assert points.success.data.ravel()[0]
    assert not points.success.data.ravel()[-1]
    assert np.isfinite(points.norm.data.ravel()[0])
    assert np.isnan(points.norm.data.ravel()[-1])


def test_zero_counts_give_a_limit(datasets):
    for dataset in datasets:
        dataset.counts.data[...] = 0
    points = dl5.flux_points(datasets, EDGES, selection_optional=["ul"])
    assert np.all(np.asarray(points.is_ul.data))
    assert np.all(points.norm_ul.data[np.isfinite(points.norm_ul.data)] < 0.2)


def test_unknown_source_names_the_nearest(datasets):
    with pytest.raises(SourceNotFoundError, match=r"No source 'Crab'\. Models: 'crab'\. Did you"):
        dl5.flux_points(datasets, EDGES, "Crab")


@pytest.mark.parametrize("edges", [[1] * u.TeV, [2, 1] * u.TeV, [1, 1, 2] * u.TeV])
def test_bad_edges(datasets, edges):
    with pytest.raises(ConfigError, match="Energy edges"):
        dl5.flux_points(datasets, edges)


def test_models_keep_their_identity(datasets):
    model = datasets.models[0]
    dl5.fit(datasets)
    assert datasets.models[0] is model
    assert model.parameters["amplitude"].error > 0
