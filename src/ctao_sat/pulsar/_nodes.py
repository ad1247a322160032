"""Chebyshev polynomials of delay and phase over the good time intervals of a run."""

import itertools
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from astropy.time import Time
from numpy.polynomial import chebyshev

from ctao_sat.errors import PhaseError
from ctao_sat.kernels import timing
from ctao_sat.pulsar._twofloat import Pair, add, multiply

__all__ = ["MAX_RESIDUAL", "Backend", "Nodes", "TimingPolynomials", "fit_polynomials"]

# Turns: the largest error of interpolation that is let through.
MAX_RESIDUAL = 1e-7
_NODES, _LONG_NODES = 8, 12
_LONG = 7200.0
# A whole night needs ten nodes; what is longer is cut.
_LONGEST = 32400.0
_SHORTEST = 1e-6
_HALVINGS = 8
# Where the polynomials are checked. Halfway between nodes the error is largest, as it is at the
# ends, which a glitch may touch.
_ENDS = 1.0 - 1e-9


@dataclass(frozen=True)
class Nodes:
    """What a backend says of some times.

    ``delays`` are what is added to TT to get the time of emission, in s; ``phases`` are pairs.
    """

    delays: np.ndarray
    phases: Pair


class Backend(Protocol):
    """Computes delays and phases of times, slowly and fully."""

    @property
    def epoch(self) -> Time:
        """Reference time of the run, TT."""

    def nodes(self, seconds: np.ndarray, middles: np.ndarray) -> Nodes:
        """Return delays and phases at seconds after the reference time of a run.

        ``middles`` has the middle of the piece that each time is in: all of a piece is on the same
        side of each glitch.
        """

    def cuts(self, start: float, stop: float) -> list[float]:
        """Return the seconds in an interval at which the phase is not smooth."""


@dataclass(frozen=True, eq=False)
class TimingPolynomials:
    """Phases and times of emission during one run, as polynomials of time.

    Made by `timing_polynomials`. Times are given as seconds of TT after `epoch`; `seconds` makes
    them of `~astropy.time.Time`.

    Attributes
    ----------
    epoch : `~astropy.time.Time`
        Reference time of the run, TT, near its middle.
    edges : array, shape (n_pieces, 2)
        Begin and end of the pieces in s after `epoch`.
    delays : array, shape (n_pieces, n_terms)
        Chebyshev coefficients of the time of emission less that of arrival, in s.
    numbers : array of int64, shape (n_pieces,)
        Pulse number at the middle of the pieces.
    rates : array, shape (n_pieces,)
        Mean frequency of the pieces in Hz, as observed.
    terms : array, shape (n_pieces, n_terms)
        Chebyshev coefficients of the phase that the mean frequency leaves, in turns.
    residual : float
        Largest error of interpolation at the nodes of the check, in turns.
    """

    epoch: Time
    edges: np.ndarray
    delays: np.ndarray
    numbers: np.ndarray
    rates: np.ndarray
    terms: np.ndarray
    residual: float

    @property
    def reference(self) -> Time:
        """The instant of TDB that times of emission count from: it has the number of `epoch`."""
        return Time(self.epoch.jd1, self.epoch.jd2, format="jd", scale="tdb")

    def seconds(self, times: Time) -> np.ndarray:
        """Return times as seconds of TT after `epoch`.

        Parameters
        ----------
        times : `~astropy.time.Time`, shape (n,)
            Of any scale.

        Returns
        -------
        seconds : array, shape (n,)
            Of TT.
        """
        tt = times.tt
        return np.atleast_1d(
            ((tt.jd1 - self.epoch.jd1) + (tt.jd2 - self.epoch.jd2)) * 86400.0
        ).astype(float)

    def phases(self, seconds: np.ndarray) -> np.ndarray:
        """Return the phases of events.

        Parameters
        ----------
        seconds : array, shape (n,)
            Times, in s of TT after `epoch`.

        Returns
        -------
        phases : array, shape (n,)
            In [0, 1).

        Raises
        ------
        PhaseError
            If a time is in none of the pieces.
        """
        return self._phases(seconds, np.empty(0, dtype=np.int64))

    def pulse_numbers(self, seconds: np.ndarray) -> np.ndarray:
        """Return the whole turns since phase zero, for times as in `phases`; int64."""
        pulses = np.empty(len(seconds), dtype=np.int64)
        self._phases(seconds, pulses)
        return pulses

    def emission_times(self, seconds: np.ndarray) -> np.ndarray:
        """Return when events were emitted, or passed the barycentre if the pulsar is single.

        Parameters
        ----------
        seconds : array, shape (n,)
            Times of arrival, in s of TT after `epoch`.

        Returns
        -------
        emitted : array, shape (n,)
            In s of TDB after `reference`. It does not depend on the frequencies of the ephemeris.

        Raises
        ------
        PhaseError
            If a time is in none of the pieces.
        """
        seconds = np.ascontiguousarray(seconds, dtype=float)
        emitted = np.empty(len(seconds))
        timing.emission_times(seconds, self.edges, self.delays, emitted)
        return self._all_inside(emitted)

    def _phases(self, seconds: np.ndarray, pulses: np.ndarray) -> np.ndarray:
        seconds = np.ascontiguousarray(seconds, dtype=float)
        phases = np.empty(len(seconds))
        timing.pulse_phases(
            seconds, self.edges, self.numbers, self.rates, self.terms, phases, pulses
        )
        return self._all_inside(phases)

    def _all_inside(self, values: np.ndarray) -> np.ndarray:
        outside = int(np.count_nonzero(np.isnan(values)))
        if outside:
            raise PhaseError(
                f"{outside} of {len(values)} times are outside the intervals of the polynomials.",
                remedy="Make the polynomials for intervals that hold all times.",
            )
        return values


def fit_polynomials(
    intervals: np.ndarray, backend: Backend, max_residual: float = MAX_RESIDUAL
) -> TimingPolynomials:
    """Fit polynomials to what a backend computes at a few nodes, and check them in between.

    Parameters
    ----------
    intervals : array, shape (n, 2)
        Good time intervals in s after the backend's epoch: in increasing order, without overlap.
    backend : Backend
        What computes the nodes.
    max_residual : float
        Largest error in turns.

    Returns
    -------
    polynomials : TimingPolynomials
        With one or several pieces for each interval.

    Raises
    ------
    PhaseError
        If the error stays larger than ``max_residual``.
    """
    pieces = _pieces(intervals, backend)
    n_nodes = _LONG_NODES if np.max(np.diff(intervals)) > _LONG else _NODES
    for _ in range(_HALVINGS):
        made, errors = _fit(pieces, n_nodes, backend)
        # NaN is no success.
        if np.all(errors <= max_residual):
            return made
        # An orbit may be fast, or a glitch decay within minutes.
        pieces = _halved(pieces, ~(errors <= max_residual))
    raise PhaseError(
        f"The phases cannot be interpolated: the error is {np.max(errors):.2g} turns.",
        remedy="The period is too short, or the phase is not smooth; see the ephemeris.",
    )


def _pieces(intervals: np.ndarray, backend: Backend) -> np.ndarray:
    pieces = []
    for start, stop in intervals:
        inner: list[float] = []
        for cut in sorted(backend.cuts(start, stop)):
            # No piece is shorter than what the times of events are rounded to.
            if (inner or [start])[-1] + _SHORTEST < cut < stop - _SHORTEST:
                inner.append(cut)
        for a, b in zip([start, *inner], [*inner, stop], strict=True):
            n = max(1, int(np.ceil((b - a) / _LONGEST)))
            edges = np.linspace(a, b, n + 1)
            pieces += list(itertools.pairwise(edges))
    return np.array(pieces)


def _halved(pieces: np.ndarray, which: np.ndarray) -> np.ndarray:
    made = []
    for (a, b), halve in zip(pieces, which, strict=True):
        made += [(a, 0.5 * (a + b)), (0.5 * (a + b), b)] if halve else [(a, b)]
    return np.array(made)


def _fit(
    pieces: np.ndarray, n_nodes: int, backend: Backend
) -> tuple[TimingPolynomials, np.ndarray]:
    """Return polynomials and the largest error of each piece in turns."""
    nodes = np.cos(np.pi * (np.arange(n_nodes) + 0.5) / n_nodes)
    between = np.cos(np.pi * (n_nodes // 2) / n_nodes)
    u = np.concatenate([nodes, [-_ENDS, between, _ENDS]])
    half = 0.5 * (pieces[:, 1] - pieces[:, 0])
    middle = pieces[:, 0] + half
    dt = half[:, np.newaxis] * u
    seconds = middle[:, np.newaxis] + dt
    found = backend.nodes(seconds.ravel(), np.repeat(middle, len(u)))
    delays = found.delays.reshape(seconds.shape)
    high, low = (np.reshape(part, seconds.shape) for part in found.phases)
    numbers = np.floor(high[:, n_nodes + 1])
    # What was rounded away in `middle + dt` counts: 1e-12 s.
    dt = seconds - middle[:, np.newaxis]
    offset = add((high, low), (-numbers[:, np.newaxis] + 0.0 * high, 0.0 * high))
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, n_nodes - 1)).T
    rates = (offset[0][:, :n_nodes] @ inverse)[:, 1] / half
    rest = add(offset, multiply((-rates[:, np.newaxis] + 0.0 * dt, 0.0 * dt), (dt, 0.0 * dt)))[0]
    made = TimingPolynomials(
        epoch=backend.epoch,
        edges=pieces,
        delays=delays[:, :n_nodes] @ inverse,
        numbers=numbers.astype(np.int64),
        rates=rates,
        terms=rest[:, :n_nodes] @ inverse,
        residual=0.0,
    )
    check = chebyshev.chebvander(u[n_nodes:], n_nodes - 1).T
    errors = np.abs(made.terms @ check - rest[:, n_nodes:]).max(axis=1)
    frequency = np.abs(rates)[:, np.newaxis]
    in_delay = np.abs(made.delays @ check - delays[:, n_nodes:]) * frequency
    errors = np.maximum(errors, in_delay.max(axis=1))
    return replace(made, residual=float(errors.max())), errors
