"""Intervals of time for polynomials: good time intervals, with all events in them."""

import numpy as np

__all__ = ["covering"]

# Headers are rounded: an event may be a little outside of its interval.
_MARGIN = 1.0
# Events outside of all intervals belong together if no more time is between them.
_GAP = 1800.0


def covering(intervals: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return intervals that hold given ones and all events.

    Parameters
    ----------
    intervals : array, shape (n, 2)
        Begin and end in s; in any order.
    seconds : array, shape (m,)
        Times of events.

    Returns
    -------
    covering : array, shape (k, 2)
        In increasing order, without overlap; a second longer than what they hold.
    """
    wide = _merged(np.asarray(intervals, dtype=float).reshape(-1, 2) + [-_MARGIN, _MARGIN])
    times = np.sort(seconds)
    if len(wide):
        at = np.searchsorted(wide[:, 0], times, side="right") - 1
        times = times[(at < 0) | (times > wide[at, 1])]
    if len(times):
        first = np.concatenate([[True], np.diff(times) > _GAP])
        last = np.concatenate([first[1:], [True]])
        outside = np.column_stack([times[first] - _MARGIN, times[last] + _MARGIN])
        wide = _merged(np.concatenate([wide, outside]))
    return wide


def _merged(intervals: np.ndarray) -> np.ndarray:
    """Return the union of intervals; those that touch become one."""
    if len(intervals) == 0:
        return intervals
    ordered = intervals[np.argsort(intervals[:, 0])]
    reach = np.maximum.accumulate(ordered[:, 1])
    begins = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.column_stack([ordered[begins, 0], reach[ends]])
