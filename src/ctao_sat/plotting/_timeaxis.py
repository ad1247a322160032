"""A date axis that stays readable for one run as for nights that are years apart."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ctao_sat.plotting import _style as style

__all__ = ["date_axis"]

# Fractions of the width of the axis.
RESOLVED = 0.006
BREAK = 0.035
LEAST = 0.09
SEGMENTS = 7
# Steps between ticks of a segment, in days: minutes, hours, days. Multiples start at midnight.
STEPS = (
    *(minutes / 1440 for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)),
    *(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)


@dataclass(frozen=True)
class _Layout:
    """Piecewise linear map from dates to the width of the axis: knots of both, ascending."""

    dates: np.ndarray
    places: np.ndarray

    def forward(self, values):
        return _interpolate(values, self.dates, self.places)

    def inverse(self, values):
        return _interpolate(values, self.places, self.dates)

    @property
    def segments(self) -> list[tuple[float, float]]:
        return list(zip(self.dates[0::2], self.dates[1::2], strict=True))


def _interpolate(values, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Interpolate, and extrapolate with the slopes at the ends: what is outside stays outside."""
    values = np.asarray(values, dtype=float)
    below = np.minimum(values - x[0], 0.0) * (y[1] - y[0]) / (x[1] - x[0])
    above = np.maximum(values - x[-1], 0.0) * (y[-1] - y[-2]) / (x[-1] - x[-2])
    return np.interp(values, x, y) + below + above


def date_axis(ax: Axes, start: np.ndarray, stop: np.ndarray) -> None:
    """Make the x axis one of dates (UTC) that shows all intervals, with breaks if it has to.

    On a linear axis the runs of a night fall on each other as soon as another night is weeks
    away. Then the longest gaps are cut out, as few as necessary, and marked. Data coordinates
    remain dates (matplotlib's day numbers) in either case.

    Parameters
    ----------
    ax : Axes
        Axes to change.
    start, stop : ndarray of float, shape (n,)
        The intervals to show, as day numbers of matplotlib.
    """
    order = np.argsort(start)
    first, last = start[order], np.maximum.accumulate(stop[order])
    layout = _layout(first, last)
    if len(layout.segments) == 1:
        locator = AutoDateLocator(minticks=3, maxticks=8)
        ax.xaxis_date()
        ax.set_xlim(*layout.segments[0])
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(
            ConciseDateFormatter(
                locator,
                formats=["%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M", "%S.%f"],
                zero_formats=["", "%Y", "%m-%d", "%m-%d", "%H:%M", "%H:%M"],
                offset_formats=["", "%Y", "%Y", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d %H:%M"],
            )
        )
        ax.set_xlabel("Time (UTC)")
        return
    ax.set_xscale("function", functions=(layout.forward, layout.inverse))
    ax.set_xlim(layout.dates[0], layout.dates[-1])
    ticks, labels = _ticks(layout)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter(labels))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("Time (UTC), gaps cut out")
    for left, right in zip(layout.dates[1:-1:2], layout.dates[2:-1:2], strict=True):
        ax.axvspan(left, right, color=style.GREY, alpha=0.18, linewidth=0, zorder=0)


def _layout(first: np.ndarray, last: np.ndarray) -> _Layout:
    """Return the layout with the fewest breaks that keeps neighbours apart, or the best one."""
    whole = best = _with_breaks(first, last, np.array([], dtype=int))
    if len(first) < 3 or _resolution(whole, first, last) >= RESOLVED:
        return whole
    middle = 0.5 * (first + last)
    gaps = first[1:] - last[:-1]
    worthwhile = np.flatnonzero(gaps > 5.0 * np.median(np.diff(middle)))
    longest = worthwhile[np.argsort(-gaps[worthwhile], kind="stable")]
    for count in range(1, min(len(longest), SEGMENTS - 1) + 1):
        layout = _with_breaks(first, last, np.sort(longest[:count]))
        if _resolution(layout, first, last) > _resolution(best, first, last):
            best = layout
        if _resolution(best, first, last) >= RESOLVED:
            break
    # A break that does not help much only hides how far apart things are.
    gain = _resolution(best, first, last) / max(_resolution(whole, first, last), 1e-12)
    return best if gain > 2.0 else whole


def _resolution(layout: _Layout, first: np.ndarray, last: np.ndarray) -> float:
    """Return how far apart close neighbours are: the 10 % quantile, robust to overlaps."""
    places = layout.forward(0.5 * (first + last))
    return float(np.quantile(np.diff(np.sort(places)), 0.1)) / float(layout.places[-1])


def _with_breaks(first: np.ndarray, last: np.ndarray, breaks: np.ndarray) -> _Layout:
    """Return the layout that cuts the gaps after the given intervals."""
    begin = np.concatenate([first[:1], first[breaks + 1]])
    end = np.concatenate([last[breaks], last[-1:]])
    number = np.diff(np.concatenate([[0], breaks + 1, [len(first)]]))
    widths = np.maximum(number / number.sum(), LEAST)
    pad = np.maximum(0.06 * (end - begin), 2e-4)
    if len(breaks):
        # Neighbours across a break must not overlap once they are padded.
        pad = np.minimum(pad, 0.3 * np.min(begin[1:] - end[:-1]))
    dates = np.column_stack([begin - pad, end + pad]).ravel()
    left = np.cumsum(widths + BREAK) - widths - BREAK
    return _Layout(dates, np.column_stack([left, left + widths]).ravel())


def _ticks(layout: _Layout) -> tuple[list[float], list[str]]:
    """Return ticks within the segments, as many as their width has room for."""
    ticks: list[float] = []
    labels: list[str] = []
    width = layout.places[-1]
    for (begin, end), left, right in zip(
        layout.segments, layout.places[0::2], layout.places[1::2], strict=True
    ):
        room = int((right - left) / width / 0.12)
        within = end - begin < 1.0
        inside = _dates_between(begin, end, room) if room >= 2 else []
        if not inside:
            ticks.append(float(layout.inverse(0.5 * (left + right))))
            labels.append(_day(ticks[-1]))
            continue
        shown = ""
        for tick in inside:
            day = _day(tick)
            clock = f"{num2date(tick):%H:%M}" if within else ""
            # The date stands under the first time of each day only.
            labels.append("\n".join(part for part in (clock, "" if day == shown else day) if part))
            ticks.append(tick)
            shown = day
    return ticks, labels


def _dates_between(begin: float, end: float, room: int) -> list[float]:
    """Return dates at a round step, as small as there is room for."""
    inset = 0.04 * (end - begin)
    for step in STEPS:
        first = np.ceil((begin + inset) / step)
        inside = step * np.arange(first, (end - inset) / step)
        if len(inside) <= room:
            return [float(value) for value in inside]
    return []


def _day(value: float) -> str:
    return f"{num2date(value):%Y-%m-%d}"
