"""The valley of an amplitude and an index in a narrow range of energies: to its end."""

from types import SimpleNamespace

import numpy as np
import pytest

from ctao_sat.likelihood._newton import approach
from ctao_sat.likelihood._valleys import follow_valleys

FREE = np.array([[-np.inf] * 2, [np.inf] * 2])
LIKELIHOOD = SimpleNamespace(parameters=[SimpleNamespace(interp=i) for i in ("log", "lin")])


@pytest.fixture(autouse=True)
def _as_minimisers_call_it():
    """Let far steps overflow: they are no gain."""
    with np.errstate(all="ignore"):
        yield


class PowerLaw:
    """Poisson counts of two neighbouring energies of a power law, far from its reference."""

    def __init__(self, counts, background=1.0, energies=(20, 20.5)):
        self.counts, self.background = np.array(counts, dtype=float), background
        self.slopes = -np.log(energies)

    def _parts(self, x):
        shape = np.exp(self.slopes * x[1])
        mu = x[0] * shape + self.background
        return shape, np.where(mu > 0, mu, np.nan)

    def value(self, x):
        _, mu = self._parts(x)
        value = 2 * np.sum(mu - self.counts * np.log(mu))
        return value if np.isfinite(value) else np.inf

    def gradient(self, x):
        shape, mu = self._parts(x)
        first = 2 * (1 - self.counts / mu)
        return np.array([first @ shape, x[0] * (first * self.slopes) @ shape])

    def hessian(self, x):
        shape, mu = self._parts(x)
        first, second = 2 * (1 - self.counts / mu), 2 * self.counts / mu**2
        by = np.array([shape, x[0] * self.slopes * shape])
        out = (by * second) @ by.T
        mixed = (first * self.slopes) @ shape
        return out + np.array([[0, mixed], [mixed, x[0] * (first * self.slopes**2) @ shape]])


def test_derivatives_of_the_example():
    function, x, step = PowerLaw([30, 12]), np.array([2e3, 1.7]), 1e-5
    for i, size in enumerate(x):
        shift = np.eye(2)[i] * size * step
        slope = (function.value(x + shift) - function.value(x - shift)) / (2 * size * step)
        bend = (function.gradient(x + shift) - function.gradient(x - shift)) / (2 * size * step)
        assert slope == pytest.approx(function.gradient(x)[i], rel=1e-5)
        assert bend == pytest.approx(function.hessian(x)[i], rel=1e-5)


def test_a_minimum_far_along_the_valley():
    # Two counts determine two parameters: predictions are the counts.
    function = PowerLaw([100, 20])
    start = np.array([50 * 20.0**2, 2.0])
    assert not approach(function, start, FREE).converged
    end = follow_valleys(LIKELIHOOD, function, start, FREE)
    assert end.converged
    index = np.log(99 / 19) / np.log(20.5 / 20)
    assert end.x[1] == pytest.approx(index, rel=1e-4)
    counts = function.counts
    assert function.value(end.x) == pytest.approx(2 * np.sum(counts - counts * np.log(counts)))


def test_a_valley_without_end():
    # Background alone in the second energy: the softer the better, to a level never reached.
    function = PowerLaw([100, 1], energies=(20, 30))
    start = np.array([50 * 20.0**2, 2.0])
    end = follow_valleys(LIKELIHOOD, function, start, FREE)
    level = 2 * (100 - 100 * np.log(100) + 1)
    assert end.converged
    assert end.x[1] > 20
    assert function.value(end.x) - level == pytest.approx(0, abs=1e-5)


def test_an_amplitude_that_is_better_negative():
    function = PowerLaw([50, 50], background=100.0)
    end = follow_valleys(LIKELIHOOD, function, np.array([1e3, 2.0]), FREE)
    assert end.converged
    assert end.x[0] < 0
    counts = function.counts
    assert function.value(end.x) == pytest.approx(2 * np.sum(counts - counts * np.log(counts)))


def test_limits_hold():
    function, limits = PowerLaw([100, 20]), np.array([[0.0, -5.0], [np.inf, 5.0]])
    end = follow_valleys(LIKELIHOOD, function, np.array([50 * 20.0**2, 2.0]), limits)
    assert end.converged
    assert end.x[1] == 5.0
    assert end.held.tolist() == [False, True]
