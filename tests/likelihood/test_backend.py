"""Gammapy's Fit and estimators with the backend "ctao_sat", against its backend "minuit"."""

import dataclasses
import logging

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator
from gammapy.modeling import Fit
from gammapy.modeling.fit import Registry
from gammapy.modeling.models import SkyModel

from ctao_sat import dl5
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import (
    KernelCache,
    compile_likelihood,
    optimize,
    register_fit_backend,
)
from ctao_sat.likelihood import _backend as backend

KINDS = ["spectrum", "on-off", "cube", "map on-off", "flux points", "joint"]
OURS = {"backend": "ctao_sat"}


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    for task, backends in Registry.register.items():
        monkeypatch.setitem(Registry.register, task, dict(backends))
    register_fit_backend()


@pytest.fixture
def datasets(small):
    return small.datasets("spectrum")


def errors(datasets):
    return np.array([parameter.error for parameter in datasets.parameters.free_parameters])


def values(datasets):
    return datasets.parameters.free_parameters.value


# -- registration ---------------------------------------------------------------------------------


def test_registration_is_explicit_and_idempotent(monkeypatch):
    for backends in Registry.register.values():
        monkeypatch.delitem(backends, "ctao_sat")
    before = {task: dict(backends) for task, backends in Registry.register.items()}
    register_fit_backend()
    once = {task: dict(backends) for task, backends in Registry.register.items()}
    register_fit_backend()
    assert Registry.register == once
    for task, backends in once.items():
        assert set(backends) - set(before[task]) == {"ctao_sat"}
        assert {name: backends[name] for name in before[task]} == before[task]
    assert Fit().backend == "minuit"


# -- the tasks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_optimum_covariance_and_confidence_are_gammapys(small, kind):
    ours, theirs = small.datasets(kind), small.datasets(kind)
    fit, reference = Fit(backend="ctao_sat"), Fit(optimize_opts={"tol": 1e-4})
    result = fit.run(ours)
    expected = reference.run(theirs)
    assert result.success
    assert (result.backend, result.method) == ("ctao_sat", "ctao_sat")
    assert result.message == "Optimization terminated successfully."
    assert result.total_stat == pytest.approx(expected.total_stat, abs=1e-5)
    # Gammapy's errors are MIGRAD's.
    np.testing.assert_allclose(errors(ours), errors(theirs), rtol=0.05)
    assert np.max(np.abs(values(ours) - values(theirs)) / errors(theirs)) < 0.01
    name = ours.parameters.free_parameters[0]
    one = fit.confidence(ours, name, sigma=2)
    other = reference.confidence(theirs, theirs.parameters.free_parameters[0], sigma=2)
    assert one["success"]
    assert one["message"] == other["message"]
    np.testing.assert_allclose(
        [one["errp"], one["errn"]], [other["errp"], other["errn"]], rtol=2e-3
    )


@pytest.mark.parametrize("kind", ["on-off", "cube"])
def test_covariance_is_that_of_dl5_fit(small, kind):
    ours, theirs = small.datasets(kind), small.datasets(kind)
    result = Fit(backend="ctao_sat").run(ours)
    expected = dl5.fit(theirs)
    scale = np.sqrt(np.diag(expected.covariance_result.matrix))
    scale[scale == 0] = 1.0
    scale = np.outer(scale, scale)
    np.testing.assert_allclose(
        result.covariance_result.matrix / scale,
        expected.covariance_result.matrix / scale,
        atol=1e-6,
    )
    np.testing.assert_array_equal(ours.models.covariance.data, result.covariance_result.matrix)


def test_covariance_holds_for_the_present_parameters(datasets):
    Fit(backend="ctao_sat").run(datasets)
    at_minimum = errors(datasets)
    amplitude = datasets.parameters["amplitude"]
    before = amplitude.value = 1.3 * amplitude.value
    result = Fit(backend="ctao_sat").covariance(datasets)
    assert result.success
    assert amplitude.value == before
    # From the same counts, it is in proportion to the amplitude.
    assert np.sqrt(result.matrix[1, 1]) > 1.1 * at_minimum[1]


def test_a_parameter_without_data_is_named_and_has_an_error_of_one(datasets):
    faint = SkyModel.create(spectral_model="pl", name="faint")
    faint.spectral_model.amplitude.value = 0
    faint.spectral_model.amplitude.frozen = True
    datasets.models = [*datasets.models, faint]
    result = Fit(backend="ctao_sat").run(datasets)
    assert not result.success
    assert "do not determine faint.index" in result.covariance_result.message
    assert faint.spectral_model.index.error == pytest.approx(1)
    assert 0 < datasets.parameters["amplitude"].error < 1e-10


def test_without_reoptimisation_other_parameters_stay(datasets):
    fit = Fit(backend="ctao_sat")
    fit.run(datasets)
    free, before = datasets.parameters.free_parameters, values(datasets)
    wide = fit.confidence(datasets, "amplitude")
    narrow = fit.confidence(datasets, "amplitude", reoptimize=False)
    assert narrow["errp"] < 0.98 * wide["errp"]
    scipy = Fit(backend="ctao_sat", confidence_opts={"backend": "scipy"})
    expected = scipy.confidence(datasets, "amplitude", reoptimize=False)
    np.testing.assert_allclose(narrow["errp"], expected["errp"], rtol=1e-3)
    assert not any(parameter.frozen for parameter in free)
    np.testing.assert_array_equal(values(datasets), before)


def test_the_trace_holds_what_was_evaluated(datasets):
    result = Fit(backend="ctao_sat", store_trace=True).optimize(datasets)
    trace = result.trace
    assert trace.colnames == ["total_stat", "source.spectral.index", "source.spectral.amplitude"]
    assert 1 < len(trace) <= result.nfev
    assert trace["total_stat"].min() == pytest.approx(result.total_stat, abs=1e-6)
    assert trace["source.spectral.amplitude"][-1] == pytest.approx(values(datasets)[1], rel=1e-3)
    # The start.
    assert trace["source.spectral.index"][0] == pytest.approx(2.2)
    assert len(Fit(backend="ctao_sat").optimize(datasets).trace) == 0


# -- profiles, surfaces, contours, estimators -----------------------------------------------------


@pytest.mark.parametrize("reoptimize", [False, True])
def test_profile(small, reoptimize):
    results = []
    for name in ("ctao_sat", "minuit"):
        datasets = small.datasets("spectrum")
        fit = Fit(backend=name)
        fit.run(datasets)
        datasets.parameters["index"].scan_values = [2.1, 2.2, 2.3]
        before = errors(datasets)
        profile = fit.stat_profile(datasets, "index", reoptimize=reoptimize)
        results.append(profile["stat_scan"])
        np.testing.assert_array_equal(errors(datasets), before)
        if reoptimize:
            assert {step.backend for step in profile["fit_results"]} == {name}
    np.testing.assert_allclose(*results, atol=1e-2, rtol=0)


def test_surface(small):
    results = []
    for name in ("ctao_sat", "minuit"):
        datasets = small.datasets("cube")
        fit = Fit(backend=name)
        fit.optimize(datasets)
        x, y = list(datasets.parameters.free_parameters)[:2]
        x.scan_values, y.scan_values = [2.1, 2.2], [9e-12, 1e-11]
        results.append(fit.stat_surface(datasets, x, y, reoptimize=True)["stat_scan"])
    np.testing.assert_allclose(*results, atol=1e-2, rtol=0)


def test_contour_and_the_faster_one_of_minuit(datasets):
    fit = Fit(backend="ctao_sat")
    result = fit.run(datasets)
    index, amplitude = datasets.parameters.free_parameters
    contour = fit.stat_contour(datasets, index, amplitude, numpoints=8, sigma=1)
    assert contour["success"]
    name_x, name_y = list(contour)[:2]
    points = result.minuit.mncontour(0, 1, size=8, cl=1 - np.exp(-0.5))[:8]
    np.testing.assert_allclose(
        np.sort(points[:, 0] * index.scale), np.sort(contour[name_x][:8]), rtol=2e-3
    )
    np.testing.assert_allclose(
        np.sort(points[:, 1] * amplitude.scale), np.sort(contour[name_y][:8]), rtol=2e-3
    )


def test_flux_points_with_every_option(small):
    tables = []
    for name in ("ctao_sat", "minuit"):
        datasets = small.datasets("on-off")
        estimator = FluxPointsEstimator(
            energy_edges=[1, 3, 20] * u.TeV,
            source="source",
            selection_optional=["errn-errp", "ul", "scan"],
            fit=Fit(backend=name),
        )
        estimator.norm.scan_values = [0.8, 1.0, 1.2]
        tables.append(estimator.run(datasets).to_table(sed_type="likelihood"))
    ours, theirs = tables
    assert ours["success"].all()
    for column in ("norm", "norm_err", "norm_errp", "norm_errn", "norm_ul"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=3e-3)
    np.testing.assert_allclose(ours["stat_scan"], theirs["stat_scan"], atol=1e-2)


def empty_on_off(small):
    """Return on-off data without any counts, whose statistic has a kink at a flux of zero."""
    datasets = small.datasets("on-off")
    for counts in (datasets[0].counts, datasets[0].counts_off):
        counts.data[:] = 0
    return datasets


def test_an_upper_limit_without_counts_is_where_the_statistic_has_risen_by_four(small):
    datasets = empty_on_off(small)
    fit = Fit(backend="ctao_sat")
    estimator = FluxPointsEstimator(
        energy_edges=[1, 20] * u.TeV, source="source", selection_optional=["ul"], fit=fit
    )
    row = estimator.run(datasets).to_table(sed_type="likelihood")[0]
    assert row["success"]
    assert abs(row["norm"]) < 1e-5
    # Of on-off data without counts it is twice what is predicted.
    amplitude = datasets.parameters["amplitude"]
    expected = 4 / (2 * datasets[0].npred_signal().data.sum())
    assert row["norm_ul"] == pytest.approx(expected, rel=1e-4)
    # On the other side it is 1 / alpha times as steep.
    alpha = datasets[0].alpha.data.flat[0]
    assert row["norm_err"] == pytest.approx(expected / 4 * (1 + alpha) / 2, rel=1e-3)
    assert amplitude.value == pytest.approx(1e-11)


def test_what_derivatives_do_not_find_is_sought_by_differences(small, monkeypatch):
    found = optimize(compile_likelihood(small.datasets("spectrum")), errors="migrad")
    failed = dataclasses.replace(found, success=False, message="Failed.", stat=found.stat + 1)
    monkeypatch.setattr(backend, "find_optimum", lambda *_, **__: failed)
    result = Fit(backend="ctao_sat").optimize(small.datasets("spectrum"))
    assert result.success
    assert result.message.endswith("By differences, for with derivatives: Failed.")
    assert result.total_stat == pytest.approx(found.stat, abs=1e-2)
    # What is higher than where they have failed is no minimum.
    failed = dataclasses.replace(failed, stat=found.stat - 1)
    result = Fit(backend="ctao_sat").optimize(small.datasets("spectrum"))
    assert not result.success
    assert result.message == "Failed."


# -- options --------------------------------------------------------------------------------------


def test_options_of_minuit_are_accepted_and_named(datasets, caplog):
    options = {**OURS, "tol": 0.2, "strategy": 1}
    with caplog.at_level(logging.INFO):
        result = Fit(backend="ctao_sat", optimize_opts=options).optimize(datasets)
    assert "tol, strategy" in result.message
    assert "tol, strategy" in caplog.text


@pytest.mark.parametrize("task", ["optimize", "covariance", "confidence"])
def test_unknown_options_are_refused(datasets, task):
    options = {f"{task}_opts": {**OURS, "kernel": 1}}
    fit = Fit(backend="ctao_sat", **options)
    arguments = [datasets, "index"] if task == "confidence" else [datasets]
    with pytest.raises(ConfigError, match="Did you mean 'kernels'"):
        getattr(fit, task)(*arguments)


def test_kernels_are_kept_for_later_fits(small):
    kernels = KernelCache()
    fit = Fit(backend="ctao_sat", optimize_opts={**OURS, "kernels": kernels, "guard": False})
    for _ in range(2):
        datasets = small.datasets("cube")
        # Without evaluators, which have kernels.
        datasets.models = list(datasets.models)
        n, seconds = len(kernels), kernels.seconds
        fit.optimize(datasets)
    assert n > 0
    assert (len(kernels), kernels.seconds) == (n, seconds)


# -- what is left to Gammapy ----------------------------------------------------------------------


def run_all(datasets):
    """Return the messages of all three tasks."""
    fit = Fit(backend="ctao_sat")
    result = fit.run(datasets)
    assert result.success
    confidence = fit.confidence(datasets, datasets.parameters.free_parameters[0])
    assert confidence["success"]
    return result.message, result.covariance_result.message, confidence["message"]


def test_a_subclass_of_datasets_is_minuits(datasets, caplog):
    class Other(Datasets):
        pass

    other = Other(list(datasets))
    for message in run_all(other):
        assert message.endswith(
            "By Gammapy's minuit: the statistic is not that of Gammapy's Datasets."
        )
    assert "Gammapy's minuit takes over" in caplog.text
    expected = values(datasets).copy()
    Fit().run(datasets)
    np.testing.assert_allclose(values(datasets), expected, rtol=1e-3)


def test_datasets_that_do_not_compile_are_minuits(datasets, caplog):
    class Dataset(type(datasets[0])):
        pass

    datasets[0].__class__ = Dataset
    for message in run_all(datasets):
        assert "By Gammapy's minuit: dataset 'spectrum': " in message
    assert "takes over: dataset 'spectrum'" in caplog.text


def test_a_free_position_is_named(small):
    datasets = small.datasets("cube")
    datasets.models["second"].parameters.freeze_all()
    datasets.models["source"].spatial_model = small.own_point(datasets.models["source"])
    datasets.models["source"].spatial_model.lat_0.frozen = False
    datasets.models = list(datasets.models)
    messages = run_all(datasets)
    assert all("By Gammapy: model 'source' in dataset 'cube'" in message for message in messages)
    assert 0 < datasets.models["source"].spatial_model.lat_0.error < 0.1


def test_parameters_that_share_their_state_are_minuits(small):
    datasets = small.datasets("cube")
    one, other = (datasets.models[name].spectral_model.index for name in ("source", "second"))
    other.__dict__ = one.__dict__
    result = Fit(backend="ctao_sat").optimize(datasets)
    assert "parameters share their state" in result.message


def test_where_the_guard_finds_a_difference_minuit_starts_where_we_did(datasets, monkeypatch):
    monkeypatch.setattr(backend, "agrees", lambda likelihood, where, notes: notes.append(where))
    start, starts = values(datasets).copy(), []
    minuit = Registry.register["optimize"]["minuit"]

    def spy(parameters, **kwargs):
        starts.append(parameters.free_parameters.value)
        return minuit(parameters=parameters, **kwargs)

    monkeypatch.setitem(Registry.register["optimize"], "minuit", spy)
    result = Fit(backend="ctao_sat").optimize(datasets)
    assert result.success
    assert "the compiled likelihood differs (start)" in result.message
    np.testing.assert_allclose(starts, [start], rtol=1e-12)
    starts.clear()
    monkeypatch.setattr(
        backend,
        "agrees",
        lambda likelihood, where, notes: notes.append(where) or where == "start",
    )
    datasets.parameters.free_parameters.value = start
    Fit(backend="ctao_sat").optimize(datasets)
    np.testing.assert_allclose(starts, [start], rtol=1e-12)


def test_covariance_and_confidence_are_guarded_too(datasets, monkeypatch):
    monkeypatch.setattr(backend, "agrees", lambda likelihood, where, notes: notes.append(where))
    fit = Fit(backend="ctao_sat")
    expected = "By Gammapy's minuit: the compiled likelihood differs (start)."
    assert fit.run(datasets).covariance_result.message.endswith(expected)
    assert fit.confidence(datasets, "index")["message"].endswith(expected)


def test_without_a_guard_there_is_no_comparison(datasets, monkeypatch):
    monkeypatch.setattr(backend, "agrees", lambda *_: pytest.fail("compared"))
    monkeypatch.setattr(backend, "agrees_near", lambda *_: pytest.fail("compared"))
    options = {**OURS, "guard": False}
    names = ("optimize_opts", "covariance_opts", "confidence_opts")
    fit = Fit(backend="ctao_sat", **dict.fromkeys(names, options))
    assert fit.run(datasets).success
    assert fit.confidence(datasets, "index")["success"]
