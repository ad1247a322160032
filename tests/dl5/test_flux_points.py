"""Flux points against Gammapy's own."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.estimators import FluxPointsEstimator

from ctao_sat import dl5
from ctao_sat.errors import ConfigError, SourceNotFoundError

EDGES = [0.2, 1, 5] * u.TeV


@pytest.mark.parametrize("selection", ["all", ["ul"], []])
def test_flux_points_equal_gammapy(crab, assert_equal, selection):
    dl5.fit(crab)
    theirs = FluxPointsEstimator(
        energy_edges=EDGES, source="crab", selection_optional=selection
    ).run(crab)
    ours = dl5.flux_points(crab, EDGES, selection_optional=selection)
    assert_equal(ours, theirs)
    for sed_type in ("dnde", "e2dnde", "flux", "likelihood"):
        one, other = ours.to_table(sed_type=sed_type), theirs.to_table(sed_type=sed_type)
        assert one.colnames == other.colnames


def test_flux_points_do_not_change_the_datasets(crab):
    # With one model, there is nothing to fit again: Gammapy alone would raise an error.
    dl5.fit(crab)
    before = crab.parameters.value.copy(), crab.stat_sum()
    dl5.flux_points(crab, EDGES, selection_optional=["errn-errp", "ul"], reoptimize=True)
    assert np.array_equal(crab.parameters.value, before[0])
    assert crab.stat_sum() == before[1]


def test_bins_without_data_are_flagged(crab):
    dl5.fit(crab)
    points = dl5.flux_points(crab, [1, 5, 200, 900] * u.TeV, selection_optional=["ul"])
    assert points.success.data.ravel()[0]
    assert not points.success.data.ravel()[-1]
    assert np.isfinite(points.norm.data.ravel()[0])
    assert np.isnan(points.norm.data.ravel()[-1])


def test_zero_counts_give_a_limit(crab):
    for dataset in crab:
        dataset.counts.data[...] = 0
    points = dl5.flux_points(crab, EDGES, selection_optional=["ul"])
    assert np.all(np.asarray(points.is_ul.data))
    assert np.all(points.norm_ul.data[np.isfinite(points.norm_ul.data)] < 0.2)


def test_unknown_source_names_the_nearest(crab):
    with pytest.raises(SourceNotFoundError, match=r"No source 'Crab'\. Models: 'crab'\. Did you"):
        dl5.flux_points(crab, EDGES, "Crab")


@pytest.mark.parametrize("edges", [[1] * u.TeV, [2, 1] * u.TeV, [1, 1, 2] * u.TeV])
def test_bad_edges(crab, edges):
    with pytest.raises(ConfigError, match="Energy edges"):
        dl5.flux_points(crab, edges)


def test_models_keep_their_identity(crab):
    model = crab.models[0]
    dl5.fit(crab)
    assert crab.models[0] is model
    assert model.parameters["amplitude"].error > 0


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_parallel_equals_serial(crab, backend, assert_equal):
    dl5.fit(crab)
    options = {"n_jobs": 2, "backend": backend}
    serial = dl5.flux_points(crab, EDGES, selection_optional=["ul"])
    assert_equal(dl5.flux_points(crab, EDGES, selection_optional=["ul"], **options), serial)
