"""What ``_gammapy`` holds for backends of ``Fit``: the registry, and what it passes to them."""

import functools
import inspect

import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling import Fit, Parameter, Parameters
from gammapy.modeling.fit import Registry
from gammapy.modeling.iminuit import confidence_iminuit, covariance_iminuit, optimize_iminuit

from ctao_sat import _gammapy
from ctao_sat._gammapy import bound_datasets, fit_task, register_fit_tasks, share_state

SIGNATURES = {
    "bound_datasets": ["function"],
    "fit_task": ["task", "name"],
    "register_fit_tasks": ["name", "tasks"],
    "share_state": ["parameters"],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    assert list(inspect.signature(getattr(_gammapy, name)).parameters) == SIGNATURES[name]


@pytest.fixture
def datasets(small):
    return small.datasets("spectrum")


@pytest.fixture
def calls(monkeypatch):
    """Return what a backend "probe" is called with; it does what Minuit does."""
    made = []
    for task, backends in Registry.register.items():
        monkeypatch.setitem(Registry.register, task, dict(backends))

    def probe(task, *args, **kwargs):
        made.append((task, args, kwargs))
        kwargs = {name: value for name, value in kwargs.items() if name != "choice"}
        return fit_task(task, "minuit")(*args, **kwargs)

    tasks = {task: functools.partial(probe, task) for task in Registry.register}
    register_fit_tasks("probe", **tasks)
    return made


def test_the_tasks_and_the_backend_minuit():
    assert set(Registry.register) == {"optimize", "covariance", "confidence"}
    assert fit_task("optimize", "minuit") is optimize_iminuit
    assert fit_task("covariance", "minuit") is covariance_iminuit
    assert fit_task("confidence", "minuit") is confidence_iminuit


def test_optimize_and_covariance_are_passed_parameters_and_the_bound_statistic(datasets, calls):
    result = Fit(backend="probe").run(datasets)
    optimize, covariance = calls
    assert [task for task, _, _ in calls] == ["optimize", "covariance"]
    assert set(optimize[2]) == {"parameters", "function", "store_trace"}
    assert set(covariance[2]) == {"parameters", "function"}
    for _, args, kwargs in calls:
        assert args == ()
        assert bound_datasets(kwargs["function"]) is datasets
        assert list(map(id, kwargs["parameters"])) == list(map(id, datasets.parameters))
    assert (result.backend, result.method) == ("probe", "probe")
    # The name of the method gets lost.
    assert result.covariance_result.method == ""
    assert result.success


def test_confidence_is_passed_the_parameter_and_returns_factors(datasets, calls):
    fit = Fit(backend="probe")
    fit.run(datasets)
    amplitude = datasets.parameters["amplitude"]
    result = fit.confidence(datasets, "amplitude", sigma=2, reoptimize=True)
    task, _, kwargs = calls[-1]
    assert task == "confidence"
    assert kwargs["parameter"] is amplitude
    assert (kwargs["sigma"], kwargs["reoptimize"]) == (2, True)
    assert bound_datasets(kwargs["function"]) is datasets
    assert result["errp"] == pytest.approx(2 * amplitude.error, rel=0.1)


def test_options_are_passed_on(datasets, calls):
    Fit(backend="probe", optimize_opts={"choice": 1}).optimize(datasets)
    assert calls[0][2]["choice"] == 1


def test_gammapy_spreads_what_is_not_finite_over_the_covariance(datasets, monkeypatch):
    """Why the backend gives a large number for an infinite variance."""
    monkeypatch.setitem(
        Registry.register["covariance"],
        "probe",
        lambda **_: (np.diag([1.0, np.inf]), {"success": False, "message": ""}),
    )
    with np.errstate(all="ignore"):
        result = Fit(covariance_opts={"backend": "probe"}).covariance(datasets)
    assert np.isnan(result.matrix[0, 0])


def test_only_the_statistic_of_datasets_is_recognised(datasets):
    class Other(Datasets):
        pass

    assert bound_datasets(datasets.stat_sum) is datasets
    assert bound_datasets(datasets[0].stat_sum) is None
    assert bound_datasets(Other(list(datasets)).stat_sum) is None
    assert bound_datasets(datasets.info_table) is None
    assert bound_datasets(lambda: 0.0) is None


def test_parameters_that_share_their_state():
    one, other = Parameter("one", 1), Parameter("other", 2)
    assert not share_state(Parameters([one, other]))
    # As `gammapy.modeling.selection.NestedModelSelection` does for links.
    other.__dict__ = one.__dict__
    assert share_state(Parameters([one, other]))
    assert other.value == 1
