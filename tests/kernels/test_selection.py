"""Which bins need a logarithm of their own: against the plain twin, by hand, and at the edges."""

import math

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from ctao_sat.kernels import reference
from ctao_sat.kernels.selection import EXPLICIT, IMPLICIT, LONELY, UNUSED, select

NONE = np.zeros((0, 0))
QUIET = np.zeros((0, 0), dtype=bool)
LEAST = 1e-12


def run(counts, mask, covered, *, quiet=QUIET, background=NONE, weights=NONE, floors=None):
    """Return classes and sums of the kernel."""
    counts, mask = np.atleast_2d(np.asarray(counts, float)), np.atleast_2d(mask)
    floors = np.zeros(mask.shape) if floors is None else np.broadcast_to(floors, mask.shape).copy()
    classes = np.full(mask.shape, 77, dtype=np.uint8)
    sums = np.full((len(mask), 5), np.nan)
    select(counts, quiet, background, weights, mask, covered, floors, LEAST, classes, sums)
    return classes, sums


def random_input(rng, n_energy: int, n_pixels: int, kind: str) -> dict:
    """Return arrays with all that is special: holes, negative numbers, NaN, many zeros."""
    shape = n_energy, n_pixels
    counts = rng.poisson(0.5, shape).astype(float)
    counts[rng.uniform(size=shape) < 0.05] = np.nan
    background = rng.uniform(0, 2, shape)
    for value in (0.0, np.nan, -0.1, 1e-13, 1e-12, np.inf):
        background[rng.uniform(size=shape) < 0.05] = value
    quiet = rng.uniform(size=shape) < 0.5
    return {
        "counts": counts,
        "mask": rng.uniform(size=shape) < 0.8,
        "covered": rng.uniform(size=n_pixels) < 0.6,
        "quiet": quiet if kind == "on-off" else QUIET,
        "background": background if kind in ("background", "weights") else NONE,
        "weights": rng.uniform(0, 1, shape) if kind == "weights" else NONE,
        "floors": np.where(rng.uniform(size=shape) < 0.5, 0.0, rng.uniform(0, 2, shape)),
    }


@seed(20261124)
@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 4),
    st.integers(0, 30),
    st.sampled_from(["plain", "background", "weights", "on-off"]),
)
def test_agrees_with_the_plain_twin(number, n_energy, n_pixels, kind):
    given = random_input(np.random.default_rng(number), n_energy, n_pixels, kind)
    kept = {name: array.copy() for name, array in given.items()}
    classes, sums = run(**given)
    expected, expected_sums = reference.select(least=LEAST, **given)
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-12, atol=1e-12)
    for name, array in given.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)


@seed(20261125)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["background", "weights"]), st.floats(0.3, 3))
def test_sums_give_the_statistic_of_the_bins_that_no_source_reaches(number, kind, norm):
    given = random_input(np.random.default_rng(number), 3, 20, kind)
    given["covered"][:] = False
    given["background"][given["background"] == np.inf] = 1.0
    classes, sums = run(**given)
    weights = given["weights"] if kind == "weights" else np.ones((3, 20))
    summed = (classes == IMPLICIT) | (classes == LONELY)
    counts, background = np.nan_to_num(given["counts"][summed]), given["background"][summed]
    # Only bins with counts have a logarithm, and their background is not zero.
    logs = counts * np.log(np.where(counts > 0, norm * background, 1.0))
    expected = np.sum(2 * weights[summed] * (norm * background - logs))
    implicit, n, lonely, log_sum, _ = sums.T
    total = 2 * np.sum(norm * (implicit + lonely) - n * np.log(norm) - log_sum)
    assert total == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_one_row_worked_out_by_hand():
    counts = [0, 3, 0, 2, 5, 0]
    mask = np.array([[True, True, True, True, False, True]])
    covered = np.array([False, False, True, True, True, True])
    background = np.array([[0.5, 2.0, 0.25, 1.0, 1.0, 0.125]])
    floors = np.where(covered, 0.2, 0.0)
    classes, sums = run(counts, mask, covered, background=background, floors=floors)
    expected = [IMPLICIT, LONELY, IMPLICIT, EXPLICIT, UNUSED, EXPLICIT]
    np.testing.assert_array_equal(classes[0], expected)
    np.testing.assert_allclose(sums[0], [0.75, 3, 2, 3 * math.log(2), 0], rtol=1e-15)


def test_weights_enter_all_sums():
    counts, mask, covered = [0, 3, 0, 2], np.ones((1, 4), bool), np.zeros(4, bool)
    background, weights = np.array([[1.0, 2.0, 4.0, 0.0]]), np.array([[0.5, 0.25, 0.125, 0.75]])
    _, sums = run(counts, mask, covered, background=background, weights=weights)
    np.testing.assert_allclose(sums[0], [1.0, 0.75, 0.5, 0.75 * math.log(2), 1.5], rtol=1e-15)


def test_counts_where_nothing_is_ever_predicted_are_a_constant():
    background = np.array([[0.0, 0.0, 1e-300]])
    covered = np.array([False, True, False])
    classes, sums = run([4, 4, 4], np.ones((1, 3), bool), covered, background=background)
    np.testing.assert_array_equal(classes[0], [UNUSED, EXPLICIT, EXPLICIT])
    np.testing.assert_array_equal(sums[0], [0, 0, 0, 0, 4])


def test_on_off_bins_are_summed_only_if_both_counts_are_zero():
    quiet = np.array([[True, False, True, False]])
    classes, sums = run([0, 0, 1, 1], np.ones((1, 4), bool), np.zeros(4, bool), quiet=quiet)
    # Never a lonely one: the background of each bin is its own.
    np.testing.assert_array_equal(classes[0], [IMPLICIT, EXPLICIT, EXPLICIT, EXPLICIT])
    np.testing.assert_array_equal(sums[0], [0, 0, 0, 0, 0])


@pytest.mark.parametrize("value", [np.nan, -1.0, -1e-300])
@pytest.mark.parametrize("covered", [True, False])
def test_a_background_that_is_none_is_left_alone(value, covered):
    background = np.array([[value, value]])
    classes, sums = run([0, 2], np.ones((1, 2), bool), np.full(2, covered), background=background)
    np.testing.assert_array_equal(classes[0], [EXPLICIT, EXPLICIT])
    np.testing.assert_array_equal(sums[0], [0, 0, 0, 0, 0])


def test_a_background_near_the_truncation_is_not_joined_with_others():
    background = np.array([[LEAST / 2, LEAST]])
    classes, _ = run([1, 1], np.ones((1, 2), bool), np.zeros(2, bool), background=background)
    np.testing.assert_array_equal(classes[0], [EXPLICIT, LONELY])


def test_without_background_bins_without_counts_are_summed():
    classes, sums = run([0, 1, 0], np.ones((1, 3), bool), np.array([True, True, False]))
    np.testing.assert_array_equal(classes[0], [IMPLICIT, EXPLICIT, IMPLICIT])
    np.testing.assert_array_equal(sums[0], [0, 0, 0, 0, 0])
