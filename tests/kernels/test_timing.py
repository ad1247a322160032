"""Phases from polynomials: against the plain twin, by hand, and at the edges."""

import math

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from ctao_sat.kernels import reference_timing, timing

EDGES = np.array([[0.0, 100.0], [100.0, 150.0], [400.0, 1000.0]])
NUMBERS = np.array([1000, -1, 7_000_000_000])
RATES = np.array([29.7, 0.3, 641.0])
TERMS = np.array([[0.3, 1e-3, -1e-5, 2e-7], [-0.2, 0.4, 0.1, 0.0], [12.7, -1.0, 0.5, -0.1]])


def run(seconds, edges=EDGES, numbers=NUMBERS, rates=RATES, terms=TERMS):
    """Return phases and pulse numbers of the kernel."""
    phases, pulses = np.full(len(seconds), 77.0), np.full(len(seconds), 77)
    timing.pulse_phases(seconds, edges, numbers, rates, terms, phases, pulses)
    return phases, pulses


@seed(1)
@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-100, 1100), max_size=30))
def test_fast_equals_slow(times):
    seconds = np.array(times, dtype=float)
    phases, pulses = run(seconds)
    slow, slow_pulses = reference_timing.pulse_phases(seconds, EDGES, NUMBERS, RATES, TERMS)
    np.testing.assert_array_equal(np.isnan(phases), np.isnan(slow))
    known = ~np.isnan(phases)
    assert np.all((phases[known] >= 0) & (phases[known] < 1))
    # A phase of zero may be one turn more or less of almost one.
    off = (phases - slow)[known] + (pulses - slow_pulses)[known]
    np.testing.assert_allclose(off, 0, atol=3e-10)
    np.testing.assert_array_equal(pulses[~known], 0)
    emitted = np.empty(len(seconds))
    timing.emission_times(seconds, EDGES, TERMS, emitted)
    expected = reference_timing.emission_times(seconds, EDGES, TERMS)
    np.testing.assert_allclose(emitted, expected, rtol=1e-14, atol=1e-13)


def test_by_hand():
    # Half a turn a second from the middle, and a quarter of a turn.
    edges, terms = np.array([[0.0, 10.0]]), np.array([[0.25, 0.0]])
    phases, pulses = run(
        np.array([5.0, 6.0, 8.5, 4.0]), edges, np.array([3]), np.array([0.5]), terms
    )
    np.testing.assert_array_equal(phases, [0.25, 0.75, 0.0, 0.75])
    np.testing.assert_array_equal(pulses, [3, 3, 5, 2])


@pytest.mark.parametrize("t", [math.nan, -1e-9, 1000.0000001, 200.0, math.inf, -math.inf])
def test_outside(t):
    phases, pulses = run(np.array([t]))
    assert math.isnan(phases[0])
    assert pulses[0] == 0


def test_almost_a_turn_is_none():
    # -1e-20 is a phase of 1 - 1e-20, which no float holds.
    edges, terms = np.array([[-1.0, 1.0]]), np.array([[-1e-20]])
    phases, pulses = run(np.array([0.0]), edges, np.array([0]), np.array([1.0]), terms)
    assert (phases[0], pulses[0]) == (0.0, 0)


def test_none_and_no_pulse_numbers():
    assert len(run(np.empty(0))[0]) == 0
    phases = np.empty(2)
    timing.pulse_phases(
        np.array([1.0, 2.0]), EDGES, NUMBERS, RATES, TERMS, phases, np.empty(0, dtype=np.int64)
    )
    np.testing.assert_array_equal(phases, run(np.array([1.0, 2.0]))[0])


@seed(2)
@settings(max_examples=50, deadline=None)
@given(st.permutations(list(range(40))))
def test_order_and_batches_do_not_matter(order):
    seconds = np.linspace(0, 100, 40)
    phases, pulses = run(seconds)
    for part in (order, order[:7]):
        some, some_pulses = run(seconds[list(part)])
        np.testing.assert_array_equal(some, phases[list(part)])
        np.testing.assert_array_equal(some_pulses, pulses[list(part)])
