"""The pass over binned data: against dense matrices, differences and a number from outside."""

import math

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from ctao_sat.kernels import reference
from ctao_sat.kernels.checksum import checksum
from ctao_sat.kernels.counts import (
    CountsArrays,
    add_curvature,
    adjoint,
    bin_derivatives,
    expected_curvature,
    is_valid,
    predict,
    stat_sum,
)
from ctao_sat.kernels.joint import clear_non_finite
from ctao_sat.kernels.statistics import CASH, WSTAT

# Two spectra of three and two columns; the second has two parameters, the first one.
START = np.array([0, 3, 5])
PARAMETER_START = np.array([0, 1, 3])
PARAMETER_INDEX = np.array([0, 1, 0])
JACOBIAN_START = np.array([0, 3, 7])


def data(rng, n_cash: int, n_wstat: int, *, empty: bool = False) -> CountsArrays:
    """Return random bins, the first block on even bins, the second on all."""
    n = n_cash + n_wstat
    rows = np.zeros((n, 6))
    rows[:, 0] = 0 if empty else rng.poisson(1.5, n)
    rows[:n_cash, 1] = 1
    rows[:n_cash:3, 1] = 0.5
    rows[n_cash:, 1] = rng.poisson(4, n_wstat)
    rows[n_cash:, 2] = 0.25
    even, every = np.arange(0, n, 2), np.arange(n)
    whole = (rows[:, 1] == 1) & np.isin(rows[:, 0], (0, 1, 2)) & (np.arange(n) < n_cash)
    blocks = [[0, 3, 0, len(even), 0, 0], [3, 2, len(even), n, 3 * len(even), 1]]
    return CountsArrays(
        segments=np.array([[0, n_cash, CASH], [n_cash, n, WSTAT]]),
        rows=rows,
        few=np.where(whole, rows[:, 0], -1.0),
        tables=np.zeros(0),
        offset=rng.uniform(0, 0.2, n),
        blocks=np.array(blocks),
        row_bin=np.concatenate([even, every]),
        values=rng.uniform(0, 1, 3 * len(even) + 2 * n),
        groups=np.array([[0, 2, 0, n]]),
        implicit=rng.uniform(0, 3, 5),
        least=np.full(5, -np.inf),
        most=np.full(5, np.inf),
    )


def value(arrays: CountsArrays, f: np.ndarray) -> float:
    mu = np.empty(len(arrays.offset))
    predict(arrays, f, mu)
    return stat_sum(arrays, f, mu)


@seed(20261121)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 12), st.booleans())
def test_agrees_with_the_dense_twin(number, n_cash, n_wstat, empty):
    rng = np.random.default_rng(number)
    arrays = data(rng, n_cash, n_wstat, empty=empty)
    f = rng.uniform(0.1, 2, 5)
    assert value(arrays, f) == pytest.approx(reference.counts_statistic(arrays, f), rel=1e-12)


@pytest.mark.parametrize("number", range(5))
def test_gradient_and_curvature_are_those_of_the_twin(number):
    rng = np.random.default_rng(number)
    arrays, f = data(rng, 30, 10), rng.uniform(0.5, 2, 5)
    mu, first, second = (np.empty(40) for _ in range(3))
    predict(arrays, f, mu)
    bin_derivatives(arrays, mu, first, second)
    by_f = np.empty(5)
    adjoint(arrays, first, by_f)
    matrix = reference.response_matrix(arrays)
    h = 1e-6
    for i in range(5):
        step = np.eye(5)[i] * h
        twin = reference.counts_statistic
        slope = (twin(arrays, f + step) - twin(arrays, f - step)) / (2 * h)
        assert by_f[i] == pytest.approx(slope, rel=1e-7, abs=1e-7)
    jacobian = rng.normal(size=7)
    dense = np.zeros((5, 2))
    dense[:3, 0] = jacobian[:3]
    dense[3:, [1, 0]] = jacobian[3:].reshape(2, 2)
    curvature = np.zeros((2, 2))
    layout = (START, JACOBIAN_START, PARAMETER_START, PARAMETER_INDEX)
    add_curvature(arrays, second, jacobian, layout, curvature)
    expected = dense.T @ matrix.T @ np.diag(second) @ matrix @ dense
    np.testing.assert_allclose(curvature, expected, rtol=1e-12)


def test_cash_of_a_bin_worked_out_by_hand():
    # Three counts where e^2 are predicted: 2 (e^2 - 3 * 2).
    arrays = data(np.random.default_rng(1), 1, 0)
    arrays.rows[0, :2], arrays.few[0] = (3, 1), -1
    arrays.offset[0], arrays.implicit[:] = math.e**2, 0
    assert value(arrays, np.zeros(5)) == pytest.approx(2 * (math.e**2 - 6), rel=1e-15)


def test_products_of_predictions_neither_overflow_nor_vanish():
    n = 5000
    arrays = data(np.random.default_rng(2), n, 0)
    arrays.rows[:, 0], arrays.rows[:, 1] = 1 + np.arange(n) % 2, 1
    arrays.few[:] = arrays.rows[:, 0]
    arrays.implicit[:] = 0
    for prediction in (1e-20, 1e20, 1e-30, 0.0, 1e79, 1e160, 1e300):
        arrays.offset[:] = prediction
        ours = value(arrays, np.zeros(5))
        assert ours == pytest.approx(reference.counts_statistic(arrays, np.zeros(5)), rel=1e-12)


def test_bins_at_nan_and_below_zero_are_truncated():
    arrays = data(np.random.default_rng(3), 6, 0)
    arrays.offset[:] = [np.nan, -1, 0, 1e-26, 1, 2]
    mu, first, second = arrays.offset.copy(), np.empty(6), np.empty(6)
    assert stat_sum(arrays, np.zeros(5), mu) == pytest.approx(
        reference.counts_statistic(arrays, np.zeros(5)), rel=1e-12
    )
    bin_derivatives(arrays, mu, first, second)
    assert np.all(first[:4] == 0)
    assert np.all(np.isfinite(first[4:]))


def test_expected_curvature_does_not_depend_on_the_counts():
    arrays = data(np.random.default_rng(4), 8, 0)
    mu, second = np.linspace(0.5, 4, 8), np.empty(8)
    expected_curvature(arrays, mu, second)
    np.testing.assert_allclose(second, 2 * arrays.rows[:, 1] / mu)


def test_no_bins_and_no_blocks():
    arrays = data(np.random.default_rng(5), 0, 0)
    arrays = arrays._replace(
        blocks=np.zeros((0, 6), dtype=np.int64), groups=np.zeros((0, 4), dtype=np.int64)
    )
    f = np.ones(5)
    assert value(arrays, f) == pytest.approx(arrays.implicit.sum())
    out = np.empty(5)
    adjoint(arrays, np.zeros(0), out)
    np.testing.assert_array_equal(out, arrays.implicit)


@pytest.mark.parametrize(
    ("f", "valid"),
    [
        ([1, 1, 1, 1, 1], True),
        ([-1, 1, 1, 1, 1], False),  # a source that must not be negative
        ([1, 1, 1, -1, 1], True),  # one that may
        ([1, 1, 1, 1, 0], False),  # no background
        ([1, 300, 1, 1, 1], False),  # noise deeper than the background
        ([np.nan, 1, 1, 1, 1], False),
        ([1, 1, 1, 1, np.nan], False),
    ],
)
def test_when_bins_without_counts_may_be_summed(f, valid):
    arrays = data(np.random.default_rng(6), 4, 0)._replace(
        least=np.array([0, 0, 0, -np.inf, 0.1]),
        most=np.array([np.inf, 200, np.inf, np.inf, np.inf]),
    )
    assert is_valid(arrays, np.array(f, dtype=float)) is valid


def test_a_spectrum_that_is_not_finite_contributes_nothing():
    f = np.array([1, np.inf, 3, 4, np.nan])
    cleared = clear_non_finite(f, START, np.array([True, False]))
    np.testing.assert_array_equal(cleared, [True, False])
    np.testing.assert_array_equal(f, [0, 0, 0, 4, np.nan])


@pytest.mark.parametrize("n", [0, 1, 3, 8, 31, 64, 100])
def test_checksum_sees_each_byte(n):
    rng = np.random.default_rng(n)
    array = rng.integers(0, 256, n, dtype=np.uint8)
    before = checksum(array)
    assert checksum(array.copy()) == before
    for i in range(n):
        array[i] ^= 1
        assert checksum(array) != before
        array[i] ^= 1
    assert checksum(np.append(array, np.uint8(0))) != before


def test_checksum_of_other_types_and_views():
    array = np.arange(24.0).reshape(4, 6)
    assert checksum(array[:, ::2]) == checksum(array[:, ::2].copy())
    assert checksum(np.array([True, False])) != checksum(np.array([False, True]))
    swapped = array.copy()
    swapped[[0, 1]] = array[[1, 0]]
    assert checksum(swapped) != checksum(array)
