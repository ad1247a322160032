"""Which datasets lie within which time interval, as Gammapy tells."""

import astropy.units as u
import pytest
from astropy.time import Time
from gammapy.data import GTI

from ctao_sat.dl5._intervals import match_intervals
from ctao_sat.errors import ConfigError, DataError


def times(*pairs):
    """Return intervals in hours after the first night has begun."""
    start = Time("2020-01-01", scale="tt")
    return [start + pair * u.h for pair in pairs]


def test_one_interval_a_run(nights):
    intervals = match_intervals(nights(), None)
    assert [interval.members for interval in intervals] == [(0,), (1,), (2,), (3,)]
    assert str(intervals[0]) == "2020-01-01T00:00:00.000 to 2020-01-01T01:00:00.000 (TT)"


@pytest.mark.parametrize("shift", [0, 9e-7, 1.1e-6, -3])
@pytest.mark.parametrize("scale", ["tt", "utc"])
def test_as_gammapy_selects(nights, shift, scale):
    datasets = nights()
    start = Time("2020-01-01", scale="tt")
    pairs = [
        (start + shift * u.s, start + 25 * u.h - shift * u.s),
        (start + 30 * u.h, start + 80 * u.h),
    ]
    asked = [getattr(Time(pair), scale) for pair in pairs]
    found = {i for interval in match_intervals(datasets, asked) for i in interval.members}
    expected = set()
    for low, high in asked:
        within = datasets.select_time(time_min=low, time_max=high, atol=1e-6 * u.s)
        expected |= {datasets.names.index(name) for name in within.names}
    assert found == expected
    assert (0 in found) == (shift <= 1e-6)


def test_a_run_that_lies_partly_within_is_left_out(nights):
    intervals = match_intervals(nights(), times([-1, 0.5], [23, 26]))
    assert [interval.members for interval in intervals] == [(1,)]


def test_the_whole_of_several_good_time_intervals(nights):
    datasets = nights()
    starts = Time("2020-01-01", scale="tt") + [0, 2] * u.h
    datasets[0].gti = GTI.create(starts, starts + 1 * u.h)
    (first, *_) = match_intervals(datasets, times([0, 3], [24, 25]))
    assert first.members == (0,)
    # What is missing in the middle does not count, what sticks out at the end does.
    assert match_intervals(datasets, times([0, 2.5], [24, 25]))[0].members == (1,)


def test_intervals_come_in_the_order_of_time(nights):
    intervals = match_intervals(nights(), times([24, 25], [0, 1]))
    assert [interval.members for interval in intervals] == [(0,), (1,)]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([[0, 26], [24, 25]], "overlap"),
        ([], "There is no time interval"),
        ([[1, 0]], "stops before it starts"),
    ],
)
def test_intervals_that_cannot_be_used(nights, pairs, message):
    with pytest.raises(ConfigError, match=message):
        match_intervals(nights(), times(*pairs))


def test_datasets_without_times(nights):
    datasets = nights()
    datasets[2].gti = None
    with pytest.raises(DataError, match="The dataset 'night-2' has no good time"):
        match_intervals(datasets, None)
    with pytest.raises(DataError, match="No dataset lies completely"):
        match_intervals(nights(), times([200, 300]))
