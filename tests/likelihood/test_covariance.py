"""Covariance from second derivatives: at limits, of what is not determined, and of no minimum."""

import numpy as np
import pytest

from ctao_sat.likelihood._covariance import covariance_across, exact_covariance, unbounded

FREE = np.array([np.full(3, -np.inf), np.full(3, np.inf)])
MATRIX = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 2.0]])


def test_twice_the_inverse():
    covariance = exact_covariance(MATRIX, np.zeros(3), FREE)
    assert covariance.determined.all()
    assert covariance.matrix == pytest.approx(2 * np.linalg.inv(MATRIX))


def test_sizes_do_not_matter():
    sizes = np.array([1e-12, 1.0, 1e9])
    covariance = exact_covariance(MATRIX / np.outer(sizes, sizes), sizes, FREE)
    expected = 2 * np.linalg.inv(MATRIX) * np.outer(sizes, sizes)
    assert covariance.matrix == pytest.approx(expected, rel=1e-9)


def test_what_is_at_a_limit_is_held():
    limits = FREE.copy()
    limits[0, 1] = 0.0
    covariance = exact_covariance(MATRIX, np.zeros(3), limits)
    assert covariance.determined.all()
    assert np.all(covariance.matrix[1] == 0)
    rest = np.ix_([0, 2], [0, 2])
    assert covariance.matrix[rest] == pytest.approx(2 * np.linalg.inv(MATRIX[rest]))


def test_what_has_no_influence_is_not_determined():
    matrix = MATRIX.copy()
    matrix[1], matrix[:, 1] = 0, 0
    covariance = exact_covariance(matrix, np.zeros(3), FREE)
    assert covariance.determined.tolist() == [True, False, True]
    assert covariance.matrix[1].tolist() == [0, np.inf, 0]
    rest = np.ix_([0, 2], [0, 2])
    assert covariance.matrix[rest] == pytest.approx(2 * np.linalg.inv(MATRIX[rest]))


def test_a_degenerate_pair_is_not_determined():
    direction = np.array([0.0, 1.0, 1.0])
    matrix = np.outer(direction, direction) + np.diag([4.0, 0.0, 0.0])
    covariance = exact_covariance(matrix, np.zeros(3), FREE)
    assert covariance.determined.tolist() == [True, False, False]
    assert covariance.matrix[0, 0] == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_no_minimum_has_no_covariance(bad):
    matrix = MATRIX.copy()
    matrix[2, 2] = bad
    assert exact_covariance(matrix, np.zeros(3), FREE) is None


def test_names_of_what_has_no_minimum():
    assert unbounded(np.diag([1.0, -1.0, 2.0])) == [1]
    assert unbounded(np.diag([1.0, 0.0, 2.0])) == [1]
    assert unbounded(MATRIX) == []
    assert unbounded(np.full((3, 3), np.nan)) == []


def test_noise_of_differences_is_no_curvature():
    """A second derivative that is nothing but rounding, of either sign."""
    for noise in (-1e-9, 1e-9):
        matrix = MATRIX.copy()
        matrix[1], matrix[:, 1], matrix[1, 1] = 0, 0, noise
        covariance = exact_covariance(matrix, np.ones(3), FREE, numeric=True)
        assert covariance.determined.tolist() == [True, False, True]
    assert exact_covariance(np.diag([1.0, -1e-9, 1.0]), np.ones(3), FREE) is None


class TestAcross:
    def test_of_a_minimum_it_is_the_same(self):
        sizes = np.array([1e-12, 1.0, 1e9])
        matrix = MATRIX / np.outer(sizes, sizes)
        expected = exact_covariance(matrix, sizes, FREE).matrix
        assert covariance_across(matrix, sizes, FREE) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("along", [0.0, -1e-6])
    def test_a_flat_valley_says_nothing_of_the_others(self, along):
        # The last two lie along (1, 1): flat, or bent down a little.
        valley = np.array([0.0, 1.0, 1.0]) / np.sqrt(2)
        across = np.array([0.0, 1.0, -1.0]) / np.sqrt(2)
        both = np.array([1.0, 0.5 / np.sqrt(2), -0.5 / np.sqrt(2)])
        matrix = np.outer(both, both) + np.outer(across, across) + along * np.outer(valley, valley)
        found = covariance_across(matrix, np.zeros(3), FREE)
        # The Schur complement of what is across: 1.25 - 0.5^2 / 1.25 as the first has it.
        own = np.array([[both @ both - 0.25, 0.5], [0.5, 1.25]])
        assert found[0, 0] == pytest.approx(2 * np.linalg.inv(own)[0, 0], rel=1e-5)
        assert valley @ found @ valley == pytest.approx(0, abs=1e-5)

    def test_held_and_without_curvature(self):
        matrix, limits = MATRIX.copy(), FREE.copy()
        limits[0, 1] = 0.0
        matrix[2], matrix[:, 2] = 0.0, 0.0
        found = covariance_across(matrix, np.zeros(3), limits)
        assert found[0, 0] == pytest.approx(2 / MATRIX[0, 0])
        assert not found[1:].any()

    def test_not_finite(self):
        assert np.isnan(covariance_across(MATRIX * np.nan, np.zeros(3), FREE)).all()
