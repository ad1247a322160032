"""Derivatives of samples by central differences: exact for parabolas, beside a singular point."""

import numpy as np
import pytest

from ctao_sat.likelihood._samples import differentiate

MATRIX = np.array([[2.0, 0.5, -1], [0.5, 3, 0.25], [-1, 0.25, 1]])
SLOPE = np.array([1.0, -2, 3])
PLACE = np.array([0.3, -0.7, 1.1])
STEPS = np.array([0.5, 0.1, 0.25])


def parabola(shape):
    """Return samples that are of second order in the shape."""
    value = SLOPE @ shape + 0.5 * shape @ MATRIX @ shape
    return np.array([[value, 2 * value]])


def test_parabolas_are_exact():
    found = differentiate(parabola, PLACE, [0, 1, 2], STEPS, 2, PLACE)
    np.testing.assert_array_equal(found.value, parabola(PLACE))
    for first, expected in zip(found.first, SLOPE + MATRIX @ PLACE, strict=True):
        np.testing.assert_allclose(first, [[expected, 2 * expected]], rtol=1e-12)
    assert set(found.second) == {(i, j) for i in range(3) for j in range(i + 1)}
    for (i, j), second in found.second.items():
        np.testing.assert_allclose(second, [[MATRIX[i, j], 2 * MATRIX[i, j]]], rtol=1e-10)


def test_frozen_parameters_stay():
    found = differentiate(parabola, PLACE, [2], STEPS[2:], 2, PLACE)
    expected = SLOPE[2] + MATRIX[2] @ PLACE
    np.testing.assert_allclose(found.first, [[[expected, 2 * expected]]], rtol=1e-12)
    assert list(found.second) == [(0, 0)]


@pytest.mark.parametrize(("order", "calls"), [(0, 1), (1, 7), (2, 13)])
def test_no_more_than_asked_for(order, calls):
    seen = []

    def counted(shape):
        seen.append(shape.copy())
        return parabola(shape)

    before = PLACE.copy()
    found = differentiate(counted, PLACE, [0, 1, 2], STEPS, order, PLACE)
    assert len(seen) == calls
    assert (len(found.first), len(found.second)) == ((0, 0), (3, 0), (3, 6))[order]
    np.testing.assert_array_equal(PLACE, before)


def test_beside_a_singular_point():
    """The value is that of the shape, the derivatives those beside it."""

    def kink(shape):
        return np.where(shape == 0, 5.0, shape**2)

    at, beside = np.zeros(1), np.array([1e-3])
    found = differentiate(kink, at, [0], np.array([1e-2]), 2, beside)
    np.testing.assert_array_equal(found.value, [5])
    np.testing.assert_allclose(found.first[0], [2e-3], rtol=1e-9)
    np.testing.assert_allclose(found.second[0, 0], [2], rtol=1e-9)


def test_nothing_is_free():
    found = differentiate(parabola, PLACE, [], np.zeros(0), 2, PLACE)
    assert (found.first, found.second) == ([], {})
