"""Damped Newton steps: minima within limits, at limits, from saddles, and where there are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ctao_sat.likelihood._newton import approach

FREE = np.array([[-np.inf, -np.inf], [np.inf, np.inf]])


class Quadratic:
    """A parabola with a given minimum and curvature."""

    def __init__(self, minimum, matrix):
        self.minimum, self.matrix, self.calls = np.array(minimum, float), np.array(matrix), 0

    def value(self, x):
        self.calls += 1
        return 0.5 * (x - self.minimum) @ self.matrix @ (x - self.minimum)

    def gradient(self, x):
        return self.matrix @ (x - self.minimum)

    def hessian(self, x):
        return self.matrix


class Rosenbrock:
    """A bent valley: 100 (y - x^2)^2 + (1 - x)^2."""

    def value(self, x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    def gradient(self, x):
        bend = x[1] - x[0] ** 2
        return np.array([-400 * x[0] * bend - 2 * (1 - x[0]), 200 * bend])

    def hessian(self, x):
        return np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200.0]])


class Counts:
    """Poisson counts of two templates with amplitudes, as a likelihood has them."""

    def __init__(self, counts, templates):
        self.counts, self.templates = counts, templates

    def value(self, x):
        mu = x @ self.templates
        if np.any(mu <= 0):
            return np.nan
        return 2 * np.sum(mu - self.counts * np.log(mu))

    def gradient(self, x):
        return 2 * self.templates @ (1 - self.counts / (x @ self.templates))

    def hessian(self, x):
        weight = self.counts / (x @ self.templates) ** 2
        return 2 * (self.templates * weight) @ self.templates.T


def test_a_parabola_takes_few_steps():
    function = Quadratic([3, -2], [[2.0, 1.0], [1.0, 4.0]])
    end = approach(function, np.zeros(2), FREE)
    assert end.converged
    assert not end.held.any()
    assert end.x == pytest.approx([3, -2], abs=1e-4)
    assert function.calls < 12


def test_a_bent_valley():
    end = approach(Rosenbrock(), np.array([-1.2, 1.0]), FREE)
    assert end.converged
    assert end.x == pytest.approx([1, 1], abs=1e-4)


def test_a_saddle_is_left():
    class Saddle(Rosenbrock):
        def value(self, x):
            return x[0] ** 2 + (x[1] ** 2 - 1) ** 2

        def gradient(self, x):
            return np.array([2 * x[0], 4 * x[1] * (x[1] ** 2 - 1)])

        def hessian(self, x):
            return np.array([[2.0, 0.0], [0.0, 12 * x[1] ** 2 - 4]])

    end = approach(Saddle(), np.array([0.3, 1e-3]), FREE)
    assert end.converged
    assert end.x == pytest.approx([0, 1], abs=1e-4)


@pytest.mark.parametrize("corner", [(1.0, 0.5), (-4.0, 0.5), (1.0, 9.0)])
def test_limits_hold(corner):
    # Against a solver that knows limits.
    function = Quadratic([3, -2], [[2.0, 1.0], [1.0, 4.0]])
    low, high = np.minimum(corner, 0.0), np.maximum(corner, 0.0)
    end = approach(function, np.zeros(2), np.array([low, high]))
    bounds = list(zip(low, high, strict=True))
    expected = minimize(function.value, np.zeros(2), jac=function.gradient, bounds=bounds)
    assert end.converged
    assert end.held.any()
    assert end.x == pytest.approx(expected.x, abs=1e-4)
    at_limit = (end.x == low) | (end.x == high)
    assert np.array_equal(end.held, at_limit)


def test_start_beyond_the_limits_is_moved():
    function = Quadratic([3, -2], np.eye(2))
    limits = np.array([[-1.0, -1.0], [1.0, 1.0]])
    end = approach(function, np.array([50.0, 50.0]), limits)
    assert end.x == pytest.approx([1, -1])


def test_what_has_no_influence_stays():
    function = Quadratic([3, -2], [[2.0, 0.0], [0.0, 0.0]])
    end = approach(function, np.array([0.0, 7.0]), FREE)
    assert end.converged
    assert end.x == pytest.approx([3, 7], abs=1e-4)


def test_no_minimum_is_no_convergence():
    class Slope(Quadratic):
        def value(self, x):
            return -float(x.sum())

        def gradient(self, x):
            return -np.ones(2)

        def hessian(self, x):
            return np.zeros((2, 2))

    assert not approach(Slope([0, 0], np.eye(2)), np.zeros(2), FREE).converged


@pytest.mark.parametrize("broken", ["value", "gradient", "hessian"])
def test_nan_is_no_convergence(broken):
    function = Quadratic([3, -2], np.eye(2))
    shape = {"value": (), "gradient": (2,), "hessian": (2, 2)}[broken]
    setattr(function, broken, lambda x: np.full(shape, np.nan))
    end = approach(function, np.zeros(2), FREE)
    assert not end.converged
    assert np.array_equal(end.x, np.zeros(2))


def test_steps_into_nan_are_taken_back():
    rng = np.random.default_rng(5)
    templates = rng.uniform(0.1, 1, (2, 50)) * [[10.0], [1.0]]
    counts = rng.poisson(np.array([1.0, 3.0]) @ templates)
    function = Counts(counts, templates)
    end = approach(function, np.array([20.0, 0.01]), FREE)
    assert end.converged
    assert function.gradient(end.x) == pytest.approx(np.zeros(2), abs=1e-3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    st.lists(st.floats(-3, 3), min_size=9, max_size=9),
    st.floats(1e-6, 1e6),
)
def test_scales_do_not_matter(minimum, entries, scale):
    root = np.array(entries).reshape(3, 3)
    matrix = root @ root.T + 0.1 * np.eye(3)
    sizes = np.array([scale, 1.0, 1.0 / scale])
    limits = np.array([np.full(3, -np.inf), np.full(3, np.inf)])
    function = Quadratic(np.array(minimum) * sizes, matrix / np.outer(sizes, sizes))
    end = approach(function, np.zeros(3), limits)
    assert end.converged
    assert function.value(end.x) < 1e-6
