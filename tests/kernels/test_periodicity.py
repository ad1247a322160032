"""Sums over harmonics: against plain formulas, closed forms and PINT."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.kernels import periodicity, reference_periodicity

NONE = np.empty(0)

repeatable = settings(max_examples=100, deadline=None, derandomize=True, database=None)
phases = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=150).map(np.array)


def sums_of(x, w=NONE, m=20):
    sums = np.full((2, m), np.nan)
    periodicity.harmonic_sums(x, w, sums)
    return sums[0] + 1j * sums[1]


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_the_plain_formula(n, weighted):
    rng = np.random.default_rng(n)
    x, w = rng.random(n), rng.random(n) if weighted else NONE
    expected = reference_periodicity.harmonic_sums(x, w, 20)
    np.testing.assert_allclose(sums_of(x, w), expected, rtol=1e-12, atol=1e-12)


def test_no_event_has_no_sum():
    assert not sums_of(NONE).any()


def test_equidistant_phases_have_one_harmonic():
    # Twelve phases a turn: all harmonics cancel but the twelfth.
    sums = sums_of(np.arange(12) / 12)
    assert sums[11] == pytest.approx(12, abs=1e-12)
    assert np.abs(np.delete(sums, 11)).max() < 1e-12


def test_nan_is_not_lost():
    assert np.isnan(sums_of(np.array([0.1, math.nan]))).all()
    sums = np.full((2, 3), np.nan)
    assert math.isnan(periodicity.largest(sums, 1.0, 4.0))


@repeatable
@given(x=phases, shift=st.floats(0, 1), whole=st.integers(-5, 5))
def test_powers_do_not_depend_on_the_zero_of_phase(x, shift, whole):
    moved = np.abs(sums_of((x + shift) % 1)) ** 2
    np.testing.assert_allclose(moved, np.abs(sums_of(x + whole)) ** 2, atol=1e-9 * len(x) ** 2)


@repeatable
@given(x=phases, seed=st.integers(0, 9))
def test_order_does_not_matter(x, seed):
    shuffled = np.random.default_rng(seed).permutation(x)
    np.testing.assert_allclose(sums_of(shuffled), sums_of(x), atol=1e-12 * len(x))


@repeatable
@given(x=phases)
def test_weight_two_is_an_event_twice(x):
    twice = sums_of(np.concatenate([x, x]))
    np.testing.assert_allclose(sums_of(x, np.full(len(x), 2.0)), twice, atol=1e-12 * len(x))


def test_largest_by_hand():
    sums = np.array([[1.0, 3.0, 1.0], [0.0, 0.0, 2.0]])
    assert periodicity.largest(sums, 1.0, 4.0) == 1 + 9 + 5 - 8
    assert periodicity.largest(sums, 1.0, 0.0) == 1 + 9 + 5
    assert periodicity.largest(sums, 0.1, 4.0) == pytest.approx(0.1)


@pytest.mark.parametrize("weighted", [False, True])
def test_scan_is_a_loop_over_trials(weighted):
    rng = np.random.default_rng(3)
    t, w = rng.uniform(-1e5, 1e5, 70), rng.random(70) if weighted else NONE
    # More than are turned without computing phases anew.
    f0, f1 = 11.2 + 1e-6 * np.arange(100), np.array([-2e-10, 0.0])
    out = np.full((2, 100), np.nan)
    norm = 2 / (w @ w if weighted else 70)
    periodicity.scan(t, w, f0[0], 1e-6, f1, norm, 4.0, np.empty((2, 5)), out)
    # Phases of 1e6 turns are good to 1e-9 turns.
    expected = reference_periodicity.scan(t, w, f0, f1, 5)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)


def test_scan_without_a_step_repeats_the_trial():
    t, out = np.linspace(0, 10, 30), np.empty((1, 3))
    periodicity.scan(t, NONE, 0.3, 0.0, np.zeros(1), 2 / 30, 0.0, np.empty((2, 2)), out)
    expected = reference_periodicity.z2(0.3 * t % 1, NONE, 2)
    np.testing.assert_allclose(out, expected, rtol=1e-12)
