"""Phase regions: their algebra, and what they refuse."""

import math
import pickle

import numpy as np
import pytest
from gammapy.stats import WStatCountsStatistic
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.errors import ConfigError, DataError, SelectionError
from ctao_sat.pulsar import PhaseRegions

repeatable = settings(max_examples=200, deadline=None, derandomize=True, database=None)
# In hundredths of a turn, so that edges meet.
interval = st.tuples(st.integers(-150, 150), st.integers(1, 100)).map(
    lambda pair: (pair[0] / 100, (pair[0] + pair[1]) / 100)
)
intervals = st.lists(interval, min_size=1, max_size=6)
MIDDLES = (np.arange(100) + 0.5) / 100


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ([(0.983, 1.026), (0.377, 0.422)], ((0.377, 0.422), (0.983, 1.026))),
        ((0.2, 0.3), ((0.2, 0.3),)),
        ([(-0.017, 0.026)], ((0.983, 1.026),)),
        ([(2.3, 2.4)], ((0.3, 0.4),)),
        ([(1.2, 1.4)], ((0.2, 0.4),)),
        ([(0.5, 0.6), (0.55, 0.7), (0.7, 0.8)], ((0.5, 0.8),)),
        ([(0.9, 1.1), (0.05, 0.2)], ((0.9, 1.2),)),
        ([(0.0, 0.1), (0.9, 1.0)], ((0.9, 1.1),)),
        ([(0.3, 1.3)], ((0.0, 1.0),)),
        ([(0.7, 1.7 + 1e-15)], ((0.0, 1.0),)),
        ([(1 - 1e-15, 1.2)], ((0.0, 0.2),)),
        ([(0.0, 0.5), (0.5, 1.0)], ((0.0, 1.0),)),
        (np.array([[0.1, 0.2]]), ((0.1, 0.2),)),
    ],
)
def test_intervals_are_normalised(given, normal):
    assert PhaseRegions(on=given).on == normal


def test_crab_regions_of_lst1():
    regions = PhaseRegions(on=[(0.983, 1.026), (0.377, 0.422)], off=[(0.52, 0.87)])
    assert regions.width_on == pytest.approx(0.088, abs=1e-12)
    assert regions.width_off == pytest.approx(0.35, abs=1e-12)
    assert regions.alpha == pytest.approx(0.088 / 0.35)
    x = [0.982, 0.983, 0.999, 0.0, 0.0259, 0.026, 0.4, 1.4, -0.01, math.nan]
    assert regions.on_mask(x).tolist() == [
        False, True, True, True, True, False, True, True, True, False,
    ]  # fmt: skip
    assert regions.off_mask([0.52, 0.87, 0.6, math.nan]).tolist() == [True, False, True, False]


def test_geminga_off_region_of_lst1():
    regions = PhaseRegions(on=[(0.0, 0.1)], off=[(0.70, 0.95)])
    assert regions.alpha == pytest.approx(0.4)


@repeatable
@given(on=intervals)
def test_merged_intervals_hold_what_the_given_ones_hold(on):
    expected = np.zeros(100, dtype=bool)
    for start, stop in on:
        expected |= (MIDDLES - start) % 1 < stop - start
    regions = PhaseRegions(on=on)
    np.testing.assert_array_equal(regions.on_mask(MIDDLES), expected)
    assert regions.width_on == pytest.approx(expected.mean())
    starts = [start for start, _ in regions.on]
    assert starts == sorted(starts)
    assert all(0 <= start < 1 for start in starts)
    # Merged: there is a gap after each interval.
    for (_, stop), (start, _) in zip(regions.on[:-1], regions.on[1:], strict=True):
        assert stop < start
    assert PhaseRegions(on=regions.on) == regions


@repeatable
@given(on=intervals, off=intervals)
def test_on_and_off_are_apart(on, off):
    shared = PhaseRegions(on=on).on_mask(MIDDLES) & PhaseRegions(on=off).on_mask(MIDDLES)
    if shared.any():
        with pytest.raises(ConfigError, match="On and off overlap"):
            PhaseRegions(on=on, off=off)
    else:
        regions = PhaseRegions(on=on, off=off)
        assert not (regions.on_mask(MIDDLES) & regions.off_mask(MIDDLES)).any()


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ([(0.5, 0.4)], "across phase 1"),
        ([(0.5, 0.5)], "empty"),
        ([(0.5, 0.5 + 1e-14)], "empty"),
        ([(0.0, 1.1)], "longer than a turn"),
        ([(0.1, math.nan)], "empty"),
        ([(0.1, 0.2, 0.3)], "pairs of start and stop"),
        ([0.1], "pairs of start and stop"),
        ("0.1", "pairs of start and stop"),
        (0.1, "pairs of start and stop"),
        ([], "no on interval"),
    ],
)
def test_intervals_that_are_none(on, message):
    with pytest.raises(ConfigError, match=message):
        PhaseRegions(on=on)


def test_overlap_across_phase_one_is_named():
    with pytest.raises(ConfigError, match=r"from phase 0\.01 to 0\.026"):
        PhaseRegions(on=[(0.983, 1.026)], off=[(0.01, 0.2)])


def test_edges_that_meet_across_phase_one_are_no_overlap():
    assert PhaseRegions(on=[(0.983, 1.026)], off=[(0.026, 0.983)]).width_off == 0.957


def test_without_off_there_is_no_alpha():
    with pytest.raises(ConfigError, match="no off interval"):
        _ = PhaseRegions(on=[(0, 0.1)]).alpha


def test_statistic_is_that_of_gammapy():
    x = np.random.default_rng(1).random(1000)
    counts = PhaseRegions(on=[(0.95, 1.05)], off=[(0.2, 0.7)]).statistic(x)
    expected = WStatCountsStatistic(counts.n_on, counts.n_off, 0.2)
    assert counts.n_on == np.count_nonzero((x < 0.05) | (x >= 0.95))
    assert counts.n_off == np.count_nonzero((x >= 0.2) & (x < 0.7))
    assert counts.sqrt_ts == pytest.approx(expected.sqrt_ts)


def test_statistic_without_counts_on_or_off():
    counts = PhaseRegions(on=[(0.0, 0.1)], off=[(0.2, 0.3)]).statistic([0.5])
    assert (counts.n_on, counts.n_off, counts.n_sig, counts.sqrt_ts) == (0, 0, 0, 0)


def test_statistic_needs_phases():
    regions = PhaseRegions(on=[(0.0, 0.1)], off=[(0.2, 0.3)])
    with pytest.raises(SelectionError, match="no event"):
        regions.statistic([])
    with pytest.raises(DataError, match="not finite"):
        regions.statistic([math.nan])


def test_parts_share_the_off_phases():
    whole = PhaseRegions(on=[(0.98, 1.02), (0.4, 0.6)], off=[(0.1, 0.3), (0.7, 0.9)])
    parts = whole.split()
    x = np.random.default_rng(2).random(5000)
    assert [part.on for part in parts] == [((0.4, 0.6),), ((0.98, 1.02),)]
    for part in parts:
        assert part.alpha == pytest.approx(whole.alpha)
    for name in ("on_mask", "off_mask"):
        times = np.sum([getattr(part, name)(x) for part in parts], axis=0)
        np.testing.assert_array_equal(times, getattr(whole, name)(x))


def test_regions_survive_pickling():
    regions = PhaseRegions(on=[(0.98, 1.02)], off=[(0.1, 0.3)])
    assert pickle.loads(pickle.dumps(regions)) == regions


def test_what_is_rounded_to_a_whole_turn_is_phase_zero():
    across = PhaseRegions(on=[(0.95, 1.05)], off=[(0.4, 0.6)])
    assert across.on_mask([-1e-18]).all()
    assert across.statistic([-1e-18]).n_on == 1
