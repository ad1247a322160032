"""Find the datasets that lie within time intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets

from ctao_sat.errors import ConfigError, DataError

__all__ = ["Interval", "match_intervals"]

# Gammapy's: times of different scales differ by rounding.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Interval:
    """A time interval, and the index of each dataset within."""

    start: Time
    stop: Time
    members: tuple[int, ...]

    def __str__(self) -> str:
        # In the scale of the data: of UTC the leap seconds to come are unknown.
        return f"{self.start.tt.isot} to {self.stop.tt.isot} (TT)"


def match_intervals(datasets: Datasets, time_intervals: Sequence[Time] | None) -> list[Interval]:
    """Return the time intervals that hold datasets, in the order of time.

    As Gammapy does it: a dataset belongs to an interval if all of its good time lies within,
    from the start of its first good time interval to the stop of its last.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        Each with good time intervals.
    time_intervals : sequence of `~astropy.time.Time`, shape (m, 2), or None
        Start and stop of each. None takes the good time of each dataset.

    Returns
    -------
    intervals : list of Interval
        At least one; those without a dataset are left out.

    Raises
    ------
    ConfigError
        If intervals overlap, or there is none.
    DataError
        If a dataset has no good time intervals, or none lies within an interval.
    """
    for dataset in datasets:
        if dataset.gti is None or len(dataset.gti.table) == 0:
            raise DataError(
                f"The dataset '{dataset.name}' has no good time intervals.",
                remedy="Set its `gti`: a light curve needs to know when it was taken.",
            )
    first = Time([dataset.gti.time_start[0] for dataset in datasets])
    last = Time([dataset.gti.time_stop[-1] for dataset in datasets])
    start, stop = _sorted_intervals(datasets, time_intervals)
    after = (first[None, :] - start[:, None]).to_value("s") >= -_TOLERANCE
    before = (last[None, :] - stop[:, None]).to_value("s") <= _TOLERANCE
    within = after & before
    intervals = [
        Interval(start[i], stop[i], tuple(np.flatnonzero(within[i]).tolist()))
        for i in np.flatnonzero(within.any(axis=1)).tolist()
    ]
    if not intervals:
        raise DataError(
            "No dataset lies completely within a time interval.",
            remedy="Take longer intervals, or split the observations first.",
        )
    return intervals


def _sorted_intervals(
    datasets: Datasets, time_intervals: Sequence[Time] | None
) -> tuple[Time, Time]:
    """Return start and stop of intervals that do not overlap."""
    if time_intervals is not None and len(time_intervals) == 0:
        raise ConfigError("There is no time interval.", remedy="Give one, or None for one a run.")
    gti = datasets.gti if time_intervals is None else GTI.from_time_intervals(time_intervals)
    if not np.all((gti.time_stop - gti.time_start) > 0 * u.s):
        raise ConfigError("A time interval stops before it starts.", remedy="Give start and stop.")
    try:
        gti = gti.union(overlap_ok=False, merge_equal=False)
    except ValueError as error:
        raise ConfigError(
            "Time intervals overlap.",
            remedy="Give intervals of which each begins when the one before has ended; "
            "datasets of the same time, as of event types, belong into one.",
        ) from error
    return gti.time_start, gti.time_stop
