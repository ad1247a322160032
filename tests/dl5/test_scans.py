"""Profiles and contours against Gammapy's own, and against what is known exactly."""

import logging

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling import Fit, OptimizeResult
from scipy.stats import chi2

from ctao_sat import dl5
from ctao_sat.errors import ConfigError


@pytest.fixture(scope="module")
def fitted(small):
    """Return a function that returns fitted datasets of a kind."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = small.datasets(kind)
            dl5.fit(made[kind])
        return made[kind]

    return get


def state(datasets):
    return [(p.value, p.error, p.frozen, p.min, p.max) for p in datasets.models.parameters]


# -- profiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube"])
@pytest.mark.parametrize("reoptimize", [True, False])
def test_profile_as_gammapy(fitted, kind, reoptimize):
    datasets = fitted(kind)
    before, matrix = state(datasets), datasets.models.covariance.data.copy()
    index = datasets.models["source"].spectral_model.index
    index.scan_n_values = 3
    ours = dl5.profile(datasets, "source.index", reoptimize=reoptimize)
    assert state(datasets) == before
    np.testing.assert_array_equal(datasets.models.covariance.data, matrix)
    theirs = Fit(optimize_opts={"tol": 1e-3}).stat_profile(datasets, index, reoptimize=reoptimize)
    assert ours["fallbacks"] == []
    np.testing.assert_array_equal(
        ours["source.spectral.index_scan"], theirs["source.spectral.index_scan"]
    )
    # Gammapy's minimiser stops above the minimum.
    np.testing.assert_allclose(ours["stat_scan"], theirs["stat_scan"], atol=1e-4)
    assert np.all(ours["stat_scan"] < theirs["stat_scan"] + 1e-6)
    assert len(ours["fit_results"]) == (3 if reoptimize else 0)


def test_results_of_a_profile_are_gammapys(fitted):
    datasets = fitted("cube")
    found = dl5.profile(datasets, "source.index", [2.0, 2.4])
    for value, stat, result in zip([2.0, 2.4], found["stat_scan"], found["fit_results"],
                                   strict=True):  # fmt: skip
        assert isinstance(result, OptimizeResult)
        assert result.success
        assert result.total_stat == stat
        assert result.models["source"].spectral_model.index.value == pytest.approx(value)
        other = datasets.copy()
        other.models = result.models
        assert other.stat_sum() == pytest.approx(stat, abs=1e-5)


def test_values_n_and_bounds(fitted):
    datasets = fitted("spectrum")
    amplitude = datasets.models["source"].spectral_model.amplitude
    name = "source.spectral.amplitude_scan"
    found = dl5.profile(datasets, amplitude, [1e-8, 1.2e-8] * u.Unit("m-2 s-1 TeV-1"))
    np.testing.assert_allclose(found[name], [1e-12, 1.2e-12])
    found = dl5.profile(datasets, amplitude, n=3, bounds=(1e-11, "2e-7 m-2 s-1 TeV-1"))
    np.testing.assert_allclose(found[name], [1e-11, 1.5e-11, 2e-11])
    found = dl5.profile(datasets, amplitude, n=3, bounds=1)
    np.testing.assert_allclose(found[name] - amplitude.value, np.array([-1, 0, 1]) *
                               amplitude.error, atol=1e-20)  # fmt: skip
    np.testing.assert_allclose(found["stat_scan"] - found["stat_scan"][1], [1, 0, 1], atol=0.3)


def test_a_frozen_parameter_is_scanned_and_stays_frozen(fitted):
    datasets = fitted("spectrum")
    reference = datasets.models["source"].spectral_model.reference
    found = dl5.profile(datasets, reference, [0.5, 1, 2])
    # Amplitude and reference energy stand for the same.
    np.testing.assert_allclose(np.ptp(found["stat_scan"]), 0, atol=1e-6)
    assert reference.frozen
    assert reference.value == 1
    with pytest.raises(ConfigError, match="No range to scan 'reference'"):
        dl5.profile(datasets, reference, bounds=2)


def test_values_and_bounds_exclude_each_other(fitted):
    with pytest.raises(ConfigError, match="Both values"):
        dl5.profile(fitted("spectrum"), "index", [1, 2], n=3)
    with pytest.raises(ConfigError, match=r"Did you mean 'source\.index'"):
        dl5.profile(fitted("spectrum"), "source.indx")
    with pytest.raises(ConfigError, match=r"Name one of them.*source\.index, second\.index"):
        dl5.profile(fitted("cube"), "index")


# -- contours -------------------------------------------------------------------------------------


def test_points_of_a_contour_have_its_statistic(fitted):
    datasets = fitted("joint")
    found = dl5.contour(datasets, "source.index", "source.amplitude", n_points=6)
    x, y = found["source.spectral.index"], found["source.spectral.amplitude"]
    assert found["success"]
    assert not found["at_limit"].any()
    assert len(x) == len(y) == 7
    assert (x[0], y[0]) == (x[-1], y[-1])
    amplitude = datasets.models["source"].spectral_model.amplitude
    assert found["stat"] == pytest.approx(datasets.stat_sum() + 1, abs=1e-5)
    for index, value in zip(x[:3], y[:3], strict=True):
        # Held by limits without room around it.
        before = amplitude.value
        amplitude.value, amplitude.frozen = value, True
        stat = dl5.profile(datasets, "source.index", [index])["stat_scan"][0]
        amplitude.value, amplitude.frozen = before, False
        assert stat == pytest.approx(found["stat"], abs=1e-3)


def test_gammapy_has_the_same_contour(fitted):
    """Gammapy's points lie on a polygon through ours, in units of the errors."""
    datasets = fitted("on-off")
    model = datasets.models["source"].spectral_model
    ours = dl5.contour(datasets, model.index, model.amplitude, n_sigma=2, n_points=100)
    theirs = Fit().stat_contour(datasets, model.index, model.amplitude, numpoints=8, sigma=2)
    scale = np.array([model.index.error, model.amplitude.error])
    names = ["source.spectral.index", "source.spectral.amplitude"]
    line = np.column_stack([ours[name] for name in names]) / scale
    points = np.column_stack([theirs[name] for name in names]) / scale
    distance = np.linalg.norm(points[:, None] - line, axis=2).min(axis=1)
    assert distance.max() < 0.07


def test_two_conventions(fitted):
    """The shadow of a contour of n sigma is the interval of n sigma of one parameter."""
    datasets = fitted("spectrum")
    pair = ("source.index", "source.amplitude")
    shadow = dl5.contour(datasets, *pair, n_points=80)["source.spectral.index"]
    errors = dl5.asymmetric_errors(datasets, "source.index")
    assert shadow.max() == pytest.approx(errors["value"] + errors["errp"], rel=1e-3)
    assert shadow.min() == pytest.approx(errors["value"] - errors["errn"], rel=1e-3)
    joint = dl5.contour(datasets, *pair, confidence_level=0.6827, n_points=4)
    assert joint["stat"] - datasets.stat_sum() == pytest.approx(chi2.ppf(0.6827, 2), abs=1e-6)
    with pytest.raises(ConfigError, match="Both n_sigma"):
        dl5.contour(datasets, *pair, n_sigma=1, confidence_level=0.9)


def test_a_contour_ends_at_limits(small):
    datasets = small.datasets("spectrum")
    index = datasets.models["source"].spectral_model.index
    dl5.fit(datasets)
    index.max = index.value + 0.5 * index.error
    found = dl5.contour(datasets, "source.index", "source.amplitude", n_points=12)
    assert found["success"]
    assert found["at_limit"].any()
    assert found["source.spectral.index"].max() == pytest.approx(index.max)


def test_wrong_contours(fitted):
    datasets = fitted("spectrum")
    with pytest.raises(ConfigError, match="one parameter"):
        dl5.contour(datasets, "source.index", "index")
    with pytest.raises(ConfigError, match="2 points"):
        dl5.contour(datasets, "source.index", "amplitude", n_points=2)
    with pytest.raises(ConfigError, match="confidence level of 95"):
        dl5.contour(datasets, "source.index", "amplitude", confidence_level=95)
    with pytest.raises(ConfigError, match="-1 sigma"):
        dl5.contour(datasets, "source.index", "amplitude", n_sigma=-1)


# -- what falls back ------------------------------------------------------------------------------


@pytest.fixture
def unknown(small):
    """Return fitted datasets of a kind that cannot be compiled."""
    usual = small.datasets("spectrum")
    dl5.fit(usual)

    class Own(type(usual[0])):
        tag = "Own"

    usual[0].__class__ = Own
    return usual


def test_gammapy_scans_what_cannot_be_compiled(unknown, fitted, caplog):
    with caplog.at_level(logging.WARNING):
        found = dl5.profile(unknown, "source.index", [2.0, 2.2])
    assert "unknown kind of dataset" in caplog.text
    assert any("Gammapy's Fit" in line for line in found["fallbacks"])
    expected = dl5.profile(fitted("spectrum"), "source.index", [2.0, 2.2])
    np.testing.assert_allclose(found["stat_scan"], expected["stat_scan"], atol=1e-2)
    found = dl5.contour(unknown, "source.index", "source.amplitude", n_points=4)
    assert found["fallbacks"]
    assert found["source.spectral.index"][0] == found["source.spectral.index"][-1]


def test_the_guard_sends_a_difference_to_gammapy(fitted, monkeypatch, caplog):
    from ctao_sat.dl5 import _profiled

    monkeypatch.setattr(_profiled, "compare", lambda likelihood, where: (False, f"{where}: so"))
    with caplog.at_level(logging.WARNING):
        found = dl5.profile(fitted("spectrum"), "source.index", [2.0, 2.2])
    assert "differs at the present parameters: so" in caplog.text
    assert len(found["fallbacks"]) == 1
    monkeypatch.undo()
    expected = dl5.profile(fitted("spectrum"), "source.index", [2.0, 2.2], guard=False)
    np.testing.assert_allclose(found["stat_scan"], expected["stat_scan"], atol=1e-2)
