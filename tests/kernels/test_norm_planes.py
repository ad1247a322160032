"""Bins sorted by whether a source reaches them, against the slow twin and the kernels of norms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.kernels import norms, reference_norms
from ctao_sat.kernels.norm_planes import sort_planes
from ctao_sat.kernels.statistics import CASH, WSTAT

NONE = np.zeros((0, 0))


def planes(kind, seed, shape=(3, 7), *, plain=False):
    """Return random planes: bins without counts, without background, and that take no part."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.5, shape).astype(float)
    second, third = rng.uniform(0, 2, shape), NONE
    if kind == WSTAT:
        second, third = rng.poisson(2, shape).astype(float), rng.uniform(0.05, 1, shape)
    elif plain:
        second = NONE
    background = rng.uniform(0, 3, shape) * (rng.random(shape) < 0.8)
    signal = rng.uniform(-0.1, 1, shape) * (rng.random(shape) < 0.5)
    return counts, second, third, rng.random(shape) < 0.7, background, signal


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([CASH, WSTAT]), st.integers(0, 2**32 - 1), st.booleans())
def test_equals_the_slow_twin(kind, seed, plain):
    arrays = planes(kind, seed, plain=plain)
    found = sort_planes(kind, *arrays)
    expected = reference_norms.sort_planes(kind, *arrays)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_numbers_by_hand():
    # Energy 0: one bin with signal, one without, one that takes no part. Energy 1: none takes part.
    counts = np.array([[4.0, 3.0, 9.0], [5.0, 5.0, 5.0]])
    mask = np.array([[True, True, False], [False, False, False]])
    background = np.full((2, 3), 2.0)
    signal = np.array([[0.5, 0.0, 1.0], [1.0, 0.0, 1.0]])
    start, rows, b, s, others = sort_planes(CASH, counts, NONE, NONE, mask, background, signal)
    assert start.tolist() == [0, 1, 1]
    assert rows.tolist() == [[4.0, 1.0, 0.0]]
    assert (b.tolist(), s.tolist()) == ([2.0], [0.5])
    assert others[0] == pytest.approx([2 * (2 - 3 * np.log(2)), 2.0, 7.0])
    assert not others[1].any()


@pytest.mark.parametrize("shape", [(0, 4), (1, 0), (1, 1)])
@pytest.mark.parametrize("kind", [CASH, WSTAT])
def test_empty_planes(kind, shape):
    counts, second, third, mask, background, signal = planes(kind, 1, shape)
    start, rows, *_, others = sort_planes(
        kind, counts, second, third, np.zeros_like(mask), background, signal
    )
    assert start.tolist() == [0] * (shape[0] + 1)
    assert rows.shape == (0, 3)
    assert not others.any()


def test_nan_in_the_background_is_no_prediction():
    one = np.ones((1, 1))
    signal, mask = np.zeros((1, 1)), np.ones((1, 1), dtype=bool)
    *_, others = sort_planes(CASH, one, NONE, NONE, mask, np.nan * one, signal)
    assert others[0, 1:].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("kind", [CASH, WSTAT])
def test_both_parts_make_the_statistic_of_all_bins(kind):
    counts, second, third, mask, background, signal = planes(kind, 5)
    start, rows, b, s, others = sort_planes(kind, counts, second, third, mask, background, signal)
    problems = norms.split(start[[0, -1]], np.full(len(rows), kind), rows, b, s)
    found = np.empty((1, 1))
    norms.statistics_at(problems, np.full((1, 1), 0.7), found)
    third = third if third.size else np.zeros(counts.shape)
    everything = np.stack([counts, second, third], axis=-1)[mask]
    expected = reference_norms.statistic(kind, everything, background[mask], signal[mask], 0.7)
    total = found[0, 0] + others[:, 0].sum()
    assert total == pytest.approx(expected, rel=1e-12)
