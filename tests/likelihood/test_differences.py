"""Derivatives by differences, near limits and of steep functions."""

import numpy as np
import pytest

from ctao_sat.likelihood._differences import differentiate


def two_numbers(x):
    """Return two numbers that are NaN for a negative first argument."""
    with np.errstate(all="ignore"):
        root = np.sqrt(x[0])
    return np.array([np.exp(x[1]) * root, x[0] * x[1] ** 3])


@pytest.mark.parametrize(
    "limits",
    [
        [[-np.inf, np.inf], [-np.inf, np.inf]],
        [[2.0, np.inf], [-np.inf, 0.5]],
        [[-np.inf, 2.0], [0.5, 0.501]],
        [[1.999, 2.001], [0.5, 0.5001]],
    ],
)
def test_limits(limits):
    seen = []

    def function(x):
        seen.append(x.copy())
        return two_numbers(x)

    x = np.array([2.0, 0.5])
    value, first, second = differentiate(function, x, [0, 1], np.array(limits), 2)
    root, rise = np.sqrt(2), np.exp(0.5)
    assert np.array_equal(value, two_numbers(x))
    expected = np.array([[0.5 * rise / root, rise * root], [0.125, 1.5]])
    assert first == pytest.approx(expected, rel=1e-8)
    mixed = 0.5 * rise / root
    bends = [[-0.25 * rise / 2**1.5, mixed], [mixed, rise * root]], [[0, 0.75], [0.75, 6]]
    assert second == pytest.approx(np.array(bends), rel=1e-4, abs=1e-4)
    rounding = 1e-12
    assert np.all(np.min(seen, axis=0) >= np.array(limits)[:, 0] - rounding)
    assert np.all(np.max(seen, axis=0) <= np.array(limits)[:, 1] + rounding)


def test_steep_function():
    # A parameter far from zero on whose difference to a number everything depends.
    _, first, second = differentiate(
        lambda x: np.exp(-0.5 * (x - 55000) ** 2),
        np.array([55001.0]),
        [0],
        [[-np.inf, np.inf]],
        2,
    )
    assert first == pytest.approx(-np.exp(-0.5), rel=1e-6)
    assert second == pytest.approx(0, abs=1e-4)


def test_nothing_to_do():
    x = np.array([1.0, 2.0])
    value, first, second = differentiate(two_numbers, x, [], np.zeros((0, 2)), 2)
    assert value.shape == (2,)
    assert first.shape == (2, 0)
    assert second.shape == (2, 0, 0)


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e3, 1e4, 1e5])
def test_rounding_does_not_pass_for_a_slope(scale):
    # The mean of a decay over minutes, in days: a difference of numbers that are almost equal.
    low, high = 2.0, 2.03

    def mean(x):
        return np.array([x[0] * (np.exp(-low / x[0]) - np.exp(-high / x[0])) / (high - low)])

    nodes, weights = np.polynomial.legendre.leggauss(8)
    t = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    expected = 0.5 * weights @ (t / scale**2 * np.exp(-t / scale))
    _, first, _ = differentiate(mean, np.array([scale]), [0], [[-np.inf, np.inf]], 2)
    assert first[0, 0] == pytest.approx(expected, rel=1e-5 if scale <= 1e3 else 1e-2)
