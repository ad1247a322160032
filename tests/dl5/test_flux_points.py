"""Flux points against Gammapy's own."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator
from gammapy.modeling import Parameter
from gammapy.modeling.models import BrokenPowerLawSpectralModel, GaussianPrior, SkyModel

from ctao_sat import dl5
from ctao_sat.dl5._energy_bins import energy_bins
from ctao_sat.errors import ConfigError, DataError, NotCompilable, SourceNotFoundError

EDGES = [0.2, 1, 5] * u.TeV


# How far Gammapy's numbers may be: it stops its fits and its searches a little early.
SIGMA = 0.02


def data(points, name):
    """Return a column, also where there was no success."""
    return np.asarray(points._data[name].data, dtype=float)


def assert_like(ours, theirs, *, sensitivity=0.011):
    """Compare all columns with those of Gammapy's estimator."""
    assert ours.available_quantities == theirs.available_quantities
    assert ours.geom == theirs.geom
    error = data(ours, "norm_err")
    for name in theirs.available_quantities:
        one, other = data(ours, name), data(theirs, name)
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other), name)
        if name.startswith("norm") and name != "norm_sensitivity":
            assert np.nanmax(np.abs(one - other) / error) < SIGMA, name
        elif name == "norm_sensitivity":
            np.testing.assert_allclose(one, other, rtol=sensitivity)
        elif name in ("stat_scan", "stat_null", "counts", "success"):
            np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=0.02, err_msg=name)
    assert np.nanmax(data(ours, "stat") - data(theirs, "stat")) < 1e-6


def gammapy(datasets, edges=EDGES, source="crab", **options):
    """Return Gammapy's flux points."""
    with np.errstate(all="ignore"):
        return FluxPointsEstimator(energy_edges=edges, source=source, **options).run(datasets)


@pytest.mark.parametrize("selection", ["all", []])
def test_flux_points_equal_gammapy(crab, selection):
    dl5.fit(crab)
    theirs = gammapy(crab, selection_optional=selection)
    ours = dl5.flux_points(crab, EDGES, selection_optional=selection)
    assert_like(ours, theirs)
    assert ours.meta["fallbacks"] == []
    for sed_type in ("dnde", "e2dnde", "flux", "likelihood"):
        one, other = ours.to_table(sed_type=sed_type), theirs.to_table(sed_type=sed_type)
        assert one.colnames == other.colnames


def test_gammapys_own_estimator(crab, assert_equal):
    dl5.fit(crab)
    ours = dl5.flux_points(crab, EDGES, selection_optional=["ul"], compiled=False)
    assert_equal(ours, gammapy(crab, selection_optional=["ul"]))


@pytest.mark.parametrize("kind", ["spectrum", "cube", "map on-off", "joint"])
def test_all_kinds_of_datasets(small, kind):
    datasets = Datasets([d for d in small.datasets(kind) if hasattr(d, "counts")])
    edges = [1, 3, 20] * u.TeV
    name = next(m.name for m in datasets.models if isinstance(m, SkyModel))
    theirs = gammapy(datasets, edges, name, selection_optional="all")
    ours = dl5.flux_points(datasets, edges, name)
    # Gammapy names the columns of data sets in alphabetical order, whatever theirs is.
    assert ours.npred.geom.axes["dataset"].center.tolist() == datasets.names
    assert_like(ours, theirs)


@pytest.mark.parametrize("kind", ["cube", "spectrum"])
def test_other_parameters_are_fitted_again(small, kind):
    datasets = small.datasets(kind)
    if kind == "cube":
        # Gammapy's time goes by pixels and bins.
        datasets = Datasets([small.cube(n_pixels=6)])
        second = small.point("second", offset=0.2)
        datasets.models = [small.point(), second, small.background_model()]
        small.fill(datasets, np.random.default_rng(20261101))
    name = next(m.name for m in datasets.models if isinstance(m, SkyModel))
    for model in datasets.models:
        for parameter in model.parameters:
            parameter.frozen = parameter.name not in ("amplitude", "norm")
    if kind == "spectrum":
        second = datasets.models[name].copy(name="second")
        second.spectral_model.index.value += 1.5
        second.spectral_model.amplitude.prior = GaussianPrior(mu=1e-12, sigma=3e-13)
        datasets.models = [*datasets.models, second]
    edges = [1, 3, 20] * u.TeV if kind == "spectrum" else [1, 20] * u.TeV
    before = datasets.models.parameters.value.copy()
    ours = dl5.flux_points(datasets, edges, name, reoptimize=True)
    assert ours.meta["fallbacks"] == []
    assert np.array_equal(datasets.models.parameters.value, before)
    # Its limits, which it fits again and again, take minutes.
    theirs = gammapy(datasets, edges, name, reoptimize=True)
    alone = dl5.flux_points(datasets, edges, name)
    error = data(ours, "norm_err")
    assert np.all(error > data(alone, "norm_err"))
    assert np.all(data(ours, "norm_ul") - data(ours, "norm") > 1.5 * error)
    assert np.max(np.abs(data(ours, "norm") - data(theirs, "norm")) / error) < SIGMA
    assert np.nanmax(data(ours, "stat") - data(theirs, "stat")) < 1e-4
    for column in ("ts", "npred", "npred_excess"):
        np.testing.assert_allclose(data(ours, column), data(theirs, column), rtol=5e-3, atol=0.05)


def test_free_indices_of_others(small):
    # In one bin of energy they say next to nothing: amplitudes go along with them.
    datasets = Datasets([small.cube()])
    second = small.point("second", offset=0.3, index=2.6)
    datasets.models = [small.point(), second, small.background_model()]
    small.fill(datasets, np.random.default_rng(20261101))
    edges = datasets[0].counts.geom.axes["energy"].edges
    options = {"reoptimize": True, "selection_optional": ["errn-errp", "ul"]}
    free = dl5.flux_points(datasets, edges, "source", **options)
    assert free.meta["fallbacks"] == []
    assert data(free, "success").all()
    for model in datasets.models[1:]:
        for parameter in model.parameters:
            parameter.frozen = parameter.name not in ("amplitude", "norm")
    for index in (2.6, -5, 0, 5, 15):
        second.spectral_model.index.value = index
        held = dl5.flux_points(datasets, edges, "source", **options)
        assert held.meta["fallbacks"] == []
        # No index is better, and none makes much of a difference.
        assert np.max(data(free, "stat") - data(held, "stat")) < 1e-6
        for column in ("norm", "norm_err", "norm_errp", "norm_errn", "norm_ul"):
            apart = np.abs(data(free, column) - data(held, column)) / data(held, "norm_err")
            assert np.max(apart) < 0.5, column


def test_masks_priors_and_limits_of_the_norm(small):
    datasets = small.datasets("spectrum")
    dataset, model = datasets[0], datasets.models[0]
    dataset.mask_fit = dataset.counts.geom.energy_mask(energy_min=3 * u.TeV)
    model.spectral_model.index.prior = GaussianPrior(mu=2.2, sigma=0.1)
    edges, norm = [1, 2.1, 20] * u.TeV, {"max": 0.5, "scan_values": np.array([0.1, 0.4])}
    options = {"selection_optional": ["scan", "ul"], "norm": norm}
    ours = dl5.flux_points(datasets, edges, **options)
    theirs = gammapy(datasets, edges, model.name, **options)
    np.testing.assert_allclose(data(ours, "counts"), data(theirs, "counts"))
    np.testing.assert_allclose(data(ours, "stat_scan"), data(theirs, "stat_scan"), rtol=1e-9)
    assert data(ours, "norm").ravel().tolist()[1] <= 0.5
    assert np.isnan(data(ours, "norm")[0])
    assert np.isnan(data(theirs, "norm")[0])
    assert data(ours, "success").ravel().tolist() == [0, 1]


def test_what_cannot_be_compiled_is_left_to_gammapy(crab, caplog, assert_equal):
    dl5.fit(crab)
    norm = Parameter("norm", 1, interp="log", scan_min=0.2, scan_max=5)
    norm.prior = GaussianPrior(mu=1, sigma=0.1)
    options = {"selection_optional": [], "norm": norm}
    ours = dl5.flux_points(crab, EDGES, **options)
    assert ours.meta["fallbacks"] == ["all bins: the norm has a prior"]
    assert "the norm has a prior" in caplog.text
    assert_equal(ours, gammapy(crab, **options))
    with pytest.raises(NotCompilable, match="the norm has a prior"):
        dl5.flux_points(crab, EDGES, compiled=True, **options)


def test_a_bin_without_a_norm_is_left_to_gammapy(small):
    datasets = small.datasets("spectrum")
    # A negative background asks for a norm above 1e3, another bin for one below.
    datasets[0].background.data[0] = -1e3 * datasets[0].npred_signal().data[0]
    datasets[0].background.data[1] = 1e-3
    edges = datasets[0].counts.geom.axes["energy"].edges
    model = datasets.models[0]
    ours = dl5.flux_points(datasets, edges, model.name, selection_optional=[])
    assert ours.meta["fallbacks"] == []
    assert data(ours, "norm").ravel()[0] > 1e3
    norm = {"max": 10}
    ours = dl5.flux_points(datasets, edges, model.name, selection_optional=[], norm=norm)
    assert ours.meta["fallbacks"] == ["bin 0: no norm predicts counts in all bins that have some"]
    assert np.isfinite(data(ours, "norm")).all()


def test_bins_are_gammapys(small):
    datasets = small.datasets("spectrum")
    rng = np.random.default_rng(1)
    for _ in range(30):
        edges = np.sort(10 ** rng.uniform(-0.5, 1.8, 4)) * u.TeV
        for i, one in enumerate(energy_bins(datasets, edges)):
            sliced = datasets.slice_by_energy(*edges[i : i + 2])
            assert len(one.parts) == len(sliced)
            if len(sliced) > 0:
                low, high = sliced.energy_ranges
                np.testing.assert_allclose(
                    one.edges.to_value("TeV"), [low.min().value, high.max().value]
                )


def test_data_that_do_not_belong_together(crab, small):
    with pytest.raises(DataError, match="Flux points have no counts"):
        dl5.flux_points(small.datasets("flux points"), EDGES)
    crab[0].meta_table = Table({"TELESCOP": ["A"]})
    crab[1].meta_table = Table({"TELESCOP": ["B"]})
    with pytest.raises(DataError, match="several telescopes: A, B"):
        dl5.flux_points(crab, EDGES)


def test_options_are_checked(crab):
    with pytest.raises(ConfigError, match="compiled='maybe'"):
        dl5.flux_points(crab, EDGES, compiled="maybe")


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


def test_flux_that_gammapy_cannot_give_is_refused(crab):
    broken = SkyModel(BrokenPowerLawSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1"), name="crab")
    datasets = crab.copy()
    datasets.models = [broken]
    for verb in (dl5.flux_points, dl5.light_curve):
        with pytest.raises(ConfigError, match="BrokenPowerLawSpectralModel over a single bin"):
            verb(datasets, EDGES[[0, 2]])
    assert np.isfinite(dl5.flux_points(datasets, EDGES).flux.data).all()


def test_models_keep_their_identity(crab):
    model = crab.models[0]
    dl5.fit(crab)
    assert crab.models[0] is model
    assert model.parameters["amplitude"].error > 0


@pytest.mark.parametrize("backend", ["processes"])
def test_parallel_equals_serial(crab, backend, assert_equal):
    dl5.fit(crab)
    options = {"selection_optional": [], "compiled": False}
    serial = dl5.flux_points(crab, EDGES, **options)
    assert_equal(dl5.flux_points(crab, EDGES, n_jobs=2, backend=backend, **options), serial)
