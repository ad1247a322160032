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
    assert math.isnan(periodicity.largest_h(sums, 1.0, 4.0))
    assert math.isnan(periodicity.z2_of(sums, 1.0))


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


@pytest.mark.parametrize("weighted", [False, True])
def test_scan_is_a_loop_over_trials(weighted):
    rng = np.random.default_rng(3)
    t, offsets = rng.uniform(-1e5, 1e5, 200), rng.random(200)
    w = rng.random(200) if weighted else NONE
    f0, f1 = 11.2 + rng.uniform(0, 1e-4, 6), rng.uniform(-2e-10, 0, 6)
    norm = 2 / (w @ w if weighted else 200)
    z2, h = np.empty(6), np.empty(6)
    periodicity.scan_z2(t, offsets, w, f0, f1, norm, np.empty((2, 3)), z2)
    periodicity.scan_h(t, offsets, w, f0, f1, norm, 4.0, np.empty((2, 20)), h)
    trials = reference_periodicity.scan(t, offsets, f0, f1)
    # Phases of 1e6 turns are good to 1e-10 turns.
    expected = [reference_periodicity.z2(x, w, 3) for x in trials]
    np.testing.assert_allclose(z2, expected, rtol=1e-6)
    expected = [reference_periodicity.h(x, w, 20) for x in trials]
    np.testing.assert_allclose(h, expected, rtol=1e-5, atol=1e-6)
