"""Intervals of phase in which pulses are, or are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from gammapy.stats import WStatCountsStatistic
from numpy.typing import ArrayLike

from ctao_sat.errors import ConfigError
from ctao_sat.pulsar._periodicity import checked_phases, in_turns, turn_fraction

__all__ = ["PhaseRegions", "shared_phases"]

# Of the edges, in turns: 1.026 - 1 and 0.026 are meant to be the same.
DIGITS = 12

Intervals = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PhaseRegions:
    """Phases of the pulse (on), and phases without (off).

    Intervals are half open, [start, stop). They may reach beyond 0 or 1: (0.983, 1.026) is the
    pulse around phase 0. Those that touch or overlap are merged.

    Parameters
    ----------
    on, off : sequence of pairs of float, or one pair
        Start and stop in turns, start below stop.

    Attributes
    ----------
    on, off : tuple of pairs of float
        The same phases, sorted, merged, with 0 <= start < 1; an interval across phase 1 stops
        above 1.

    Raises
    ------
    ConfigError
        If an interval is empty, longer than a turn or not finite, if there is none in ``on``, or
        if on and off overlap.

    Examples
    --------
    The regions of the Crab pulsar in LST-1 (Abe et al. 2024, A&A 690, A167):

    >>> from ctao_sat import pulsar
    >>> crab = pulsar.PhaseRegions(on=[(0.983, 1.026), (0.377, 0.422)], off=[(0.52, 0.87)])
    >>> crab.on
    ((0.377, 0.422), (0.983, 1.026))
    >>> crab.on_mask([0.99, 0.01, 0.2]).tolist()
    [True, True, False]
    >>> f"{crab.width_on:.3f} {crab.width_off:.3f} {crab.alpha:.4f}"
    '0.088 0.350 0.2514'
    """

    on: Intervals
    off: Intervals = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", _normalised(self.on, "on"))
        object.__setattr__(self, "off", _normalised(self.off, "off"))
        if not self.on:
            raise ConfigError("There is no on interval.", remedy="Give one: on=[(0.3, 0.4)].")
        shared = shared_phases(self.on, self.off)
        if shared is not None:
            raise ConfigError(
                f"On and off overlap from phase {shared[0]:.6g} to {shared[1]:.6g}.",
                remedy="An event is on, or off, or neither: move an edge.",
            )

    @property
    def width_on(self) -> float:
        """The on phases, as a fraction of a turn."""
        return _width(self.on)

    @property
    def width_off(self) -> float:
        """The off phases, as a fraction of a turn."""
        return _width(self.off)

    @property
    def alpha(self) -> float:
        """On over off width: what background counts off are multiplied with."""
        if not self.off:
            raise ConfigError(
                "There is no off interval.", remedy="Give the phases without pulses: off=[(…, …)]."
            )
        return self.width_on / self.width_off

    def on_mask(self, phases: ArrayLike) -> np.ndarray:
        """Return whether phases are on; whole turns do not matter, and NaN is neither on nor off.

        Parameters
        ----------
        phases : array-like of float, shape (n,)
            In turns.

        Returns
        -------
        mask : array of bool, shape (n,)
            True within an on interval.
        """
        return _inside(phases, self.on)

    def off_mask(self, phases: ArrayLike) -> np.ndarray:
        """Return whether phases are off; see `on_mask`.

        Parameters
        ----------
        phases : array-like of float, shape (n,)
            In turns.

        Returns
        -------
        mask : array of bool, shape (n,)
            True within an off interval.
        """
        return _inside(phases, self.off)

    def statistic(self, phases: ArrayLike) -> WStatCountsStatistic:
        """Return counts on and off, with their excess and significance (Li & Ma 1983, eq. 17).

        Parameters
        ----------
        phases : array-like of float, shape (n,)
            In turns.

        Returns
        -------
        statistic : `~gammapy.stats.WStatCountsStatistic`
            With ``n_sig``, the excess; ``sqrt_ts``, the significance, negative for a deficit;
            and ``p_value``.

        Raises
        ------
        ConfigError
            If there is no off interval.
        SelectionError, DataError
            If there is no phase, or one is not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from ctao_sat import pulsar
        >>> regions = pulsar.PhaseRegions(on=[(0.5, 0.6)], off=[(0.7, 1.0)])
        >>> counts = regions.statistic(np.repeat([0.55, 0.8], [122, 234]))
        >>> f"{counts.n_sig:.1f} {counts.sqrt_ts:.3f}"
        '44.0 3.900'
        """
        x = checked_phases(phases)
        on, off = np.count_nonzero(self.on_mask(x)), np.count_nonzero(self.off_mask(x))
        return WStatCountsStatistic(n_on=on, n_off=off, alpha=self.alpha)

    def split(self) -> tuple["PhaseRegions", ...]:
        """Return regions of each on interval alone, with off phases of its own.

        A joint fit of datasets takes their counts as independent. With the same off phases in
        each of them, fluctuations of the background would count as often as there are
        datasets; so each off interval is divided among the on intervals in proportion to their
        widths. All parts have the `alpha` of the whole.

        Returns
        -------
        parts : tuple of PhaseRegions
            One for each on interval, in the order of `on`.

        Examples
        --------
        >>> from ctao_sat import pulsar
        >>> regions = pulsar.PhaseRegions(on=[(0.1, 0.2), (0.4, 0.7)], off=[(0.8, 1.0)])
        >>> for part in regions.split():
        ...     print(part.on, part.off)
        ((0.1, 0.2),) ((0.8, 0.85),)
        ((0.4, 0.7),) ((0.85, 1.0),)
        """
        shares = np.cumsum([0.0, *(stop - start for start, stop in self.on)]) / self.width_on
        return tuple(
            PhaseRegions(
                on=(interval,),
                off=tuple((a + lo * (b - a), a + hi * (b - a)) for a, b in self.off),
            )
            for interval, lo, hi in zip(self.on, shares[:-1], shares[1:], strict=True)
        )


def _normalised(intervals: Iterable[Sequence[float]], name: str) -> Intervals:
    """Return intervals sorted, merged, and with a start in [0, 1)."""
    pieces: list[tuple[float, float]] = []
    for start, stop in _pairs(intervals, name):
        first = round(start % 1, DIGITS) % 1
        last = round(first + (stop - start), DIGITS)
        pieces += [(first, last)] if last <= 1 else [(first, 1.0), (0.0, round(last - 1, DIGITS))]
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(pieces):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    if len(merged) > 1 and merged[0][0] == 0 and merged[-1][1] == 1:
        (_, stop), (start, _) = merged[0], merged[-1]
        merged = [*merged[1:-1], (start, round(1 + stop, DIGITS))]
    return tuple(merged)


def _pairs(intervals: Iterable[Sequence[float]], name: str) -> list[tuple[float, float]]:
    """Return intervals as pairs of float, or raise an error that quotes the wrong one."""
    try:
        given = list(intervals)
        if given and not isinstance(given[0], Iterable):
            given = [given]
        pairs = [(float(start), float(stop)) for start, stop in given]
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"The {name} phases are {intervals!r}.",
            remedy=f"Give pairs of start and stop: {name}=[(0.983, 1.026), (0.377, 0.422)].",
        ) from error
    for start, stop in pairs:
        # Written so that a NaN is refused.
        if not 0 < round(stop - start, DIGITS) <= 1:
            raise ConfigError(
                f"The {name} interval ({start:g}, {stop:g}) is empty or longer than a turn.",
                remedy="Start below stop; across phase 1, let it stop above 1: (0.983, 1.026).",
            )
    return pairs


def _pieces(intervals: Intervals) -> list[tuple[float, float]]:
    """Return intervals within [0, 1], those across phase 1 in two."""
    pieces = []
    for start, stop in intervals:
        pieces += [(start, stop)] if stop <= 1 else [(start, 1.0), (0.0, round(stop - 1, DIGITS))]
    return pieces


def shared_phases(one: Intervals, other: Intervals) -> tuple[float, float] | None:
    """Return the first phases that both have."""
    for a, b in _pieces(one):
        for c, d in _pieces(other):
            if max(a, c) < min(b, d):
                return max(a, c), min(b, d)
    return None


def _width(intervals: Intervals) -> float:
    return round(sum(stop - start for start, stop in intervals), DIGITS)


def _inside(phases: ArrayLike, intervals: Intervals) -> np.ndarray:
    x = turn_fraction(in_turns(phases))
    mask = np.zeros(x.shape, dtype=bool)
    for start, stop in _pieces(intervals):
        mask |= (x >= start) & (x < stop)
    return mask
