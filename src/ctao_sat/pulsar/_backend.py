"""Nodes of a run: delays from PINT or the native code, the spin in two floats."""

import warnings
from dataclasses import dataclass, replace
from typing import Protocol

import astropy.units as u
import erfa
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time

from ctao_sat.errors import ConfigError, EphemerisError, did_you_mean
from ctao_sat.pulsar._native import Barycentre, arrival_tdb, since, spin_phase
from ctao_sat.pulsar._nodes import Nodes
from ctao_sat.pulsar._pint import PintDelays, pint_delays
from ctao_sat.pulsar._reference import check_dispersion, dispersion_delay, reference_place
from ctao_sat.pulsar._solution import Glitch, TimingSolution
from ctao_sat.pulsar._twofloat import Pair, add

__all__ = ["BACKENDS", "SpinBackend", "choose_backend", "spin_backend"]

BACKENDS = ("auto", "native", "pint")
_DAY = 86400.0


class Delays(Protocol):
    """Delays between a place and the pulsar: `Barycentre` or `PintDelays`."""

    def tdb(self, time: Time) -> Time:
        """Return times of arrival in TDB."""

    def delay(self, tdb: Time) -> np.ndarray:
        """Return seconds from emission to arrival."""

    def phase(self, tdb: Time, delay: np.ndarray) -> np.ndarray:
        """Return turns that are added to those of spin and glitches."""


@dataclass(frozen=True)
class SpinBackend:
    """Delays and phases at the nodes of a run.

    Attributes
    ----------
    epoch : `~astropy.time.Time`
        Reference time of the run, TT.
    solution : TimingSolution
        The rotation.
    delays : Delays or None
        None if times are taken as they are for those of emission.
    barycentre : bool
        False if times are those at the barycentre: their TT is taken for TDB.
    zero : pair
        Phase to take off, in turns.
    """

    epoch: Time
    solution: TimingSolution
    delays: Delays | None
    barycentre: bool
    zero: Pair = (0.0, 0.0)

    def nodes(self, seconds: np.ndarray, middles: np.ndarray) -> Nodes:
        """Return delays and phases; see `Backend`."""
        tdb, delay, added = self._emission(seconds)
        high, low = np.empty(len(seconds)), np.empty(len(seconds))
        # Without glitches, all pieces are one.
        groups = [np.ones(len(seconds), dtype=bool)]
        if self.solution.glitches:
            groups = [middles == middle for middle in np.unique(middles)]
        for at in groups:
            phase = spin_phase(
                self.solution, tdb[at], delay[at], _past(self.solution, tdb[at], delay[at])
            )
            high[at], low[at] = add(phase, (-self.zero[0], -self.zero[1]))
        if self.delays is not None:
            high, low = add((high, low), (self.delays.phase(tdb, delay), 0.0 * high))
        return Nodes(added, (high, low))

    def cuts(self, start: float, stop: float) -> list[float]:
        """Return the arrival times of glitches; see `Backend`."""
        found = []
        middle, half = 0.5 * (start + stop), 0.5 * (stop - start)
        tdb, delay, _ = self._emission(np.array([middle]))
        for glitch in self.solution.glitches:
            arrival = middle - float(since(glitch.epoch, tdb, delay)[0][0])
            if abs(arrival - middle) > half + _DAY:
                continue
            # The delay changes by 1e-4 s a second, or 1e-3 s in an orbit.
            for _ in range(5):
                at, late, _ = self._emission(np.array([arrival]))
                arrival -= float(since(glitch.epoch, at, late)[0][0])
            found.append(arrival)
        return found

    def _emission(self, seconds: np.ndarray) -> tuple[Time, np.ndarray, np.ndarray]:
        """Return TDB of arrival, the delay to take off, and what must be added to TT."""
        time = self.epoch + np.asarray(seconds) * u.s
        if self.delays is not None and self.barycentre:
            tdb = self.delays.tdb(time)
        else:
            tdb = Time(time.jd1, time.jd2, format="jd", scale="tdb")
        delay = np.zeros(len(tdb)) if self.delays is None else self.delays.delay(tdb)
        shift = ((tdb.jd1 - time.jd1) + (tdb.jd2 - time.jd2)) * _DAY
        return tdb, delay, shift - delay


def _past(solution: TimingSolution, tdb: Time, delay: np.ndarray) -> tuple[Glitch, ...]:
    """Return the glitches before most of some times."""
    return tuple(
        glitch for glitch in solution.glitches if np.median(since(glitch.epoch, tdb, delay)[0]) > 0
    )


def choose_backend(wanted: str, solution: TimingSolution) -> str:
    """Return which backend a solution needs.

    Parameters
    ----------
    wanted : {"auto", "native", "pint"}
        The wish.
    solution : TimingSolution
        The solution.

    Returns
    -------
    backend : {"native", "pint"}
        The choice.

    Raises
    ------
    ConfigError
        If there is no such backend.
    EphemerisError
        If the native one is wanted, and a key asks for more.
    """
    if wanted not in BACKENDS:
        raise ConfigError(
            f"There is no backend '{wanted}'.", remedy=did_you_mean(str(wanted), BACKENDS)
        )
    if wanted == "native" and solution.unsupported:
        line = solution.unsupported[0]
        raise EphemerisError(
            f"The native backend does not know the key {line.key}"
            f"{f' {line.value}' if line.key in ('BINARY', 'JUMP', 'TIMEEPH') else ''}.",
            remedy="Take backend='pint', with PINT installed: pip install 'ctao-sat[pulsar]'.",
            where=f"line {line.line}",
        )
    if wanted == "pint" and solution.lines:
        return wanted
    # What did not come from a par file, an orbit, is never PINT's.
    return "pint" if solution.unsupported else "native"


def spin_backend(
    name: str, epoch: Time, solution: TimingSolution, location: EarthLocation | None, kernel: str
) -> SpinBackend:
    """Make what computes the nodes of a run.

    Parameters
    ----------
    name : {"native", "pint"}
        Which code computes the delays.
    epoch : `~astropy.time.Time`
        Reference time of the run, TT.
    solution : TimingSolution
        The rotation.
    location : `~astropy.coordinates.EarthLocation` or None
        Where the telescopes stand; None takes times as they are for those at the barycentre.
    kernel : str
        Solar-system ephemeris, see `SolarSystem`.

    Returns
    -------
    backend : SpinBackend
        With phase zero where the solution has it.
    """
    delays: Delays | None = None
    if name == "pint":
        delays = pint_delays(solution, location, kernel)
    elif location is not None:
        delays = Barycentre(location, solution, kernel)
    backend = SpinBackend(epoch, solution, delays, location is not None)
    if solution.reference is None:
        return backend
    return replace(backend, zero=_phase_zero(solution, delays, kernel))


def _phase_zero(solution: TimingSolution, delays: Delays | None, kernel: str) -> Pair:
    """Return the phase of the arrival that shall have phase zero."""
    reference = solution.reference
    assert reference is not None
    place = reference_place(solution)
    check_dispersion(solution)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=erfa.ErfaWarning)
        scale = "tdb" if place is None else "utc"
        utc = Time([reference.mjd[0]], [reference.mjd[1]], format="mjd", scale=scale)
        tdb = arrival_tdb(utc if place is None else utc.tt, place)
    if isinstance(delays, PintDelays):
        there: Delays = replace(delays, location=place, frequency=reference.frequency)
        delay = there.delay(tdb)
        extra = there.phase(tdb, delay)
    else:
        delay, extra = _native_delay(solution, tdb, place, kernel), np.zeros(1)
    past = _past(solution, tdb, delay)
    high, low = add(spin_phase(solution, tdb, delay, past), (extra, 0.0 * extra))
    return float(high[0]), float(low[0])


def _native_delay(
    solution: TimingSolution, tdb: Time, place: EarthLocation | None, kernel: str
) -> np.ndarray:
    if place is None:
        return np.array([dispersion_delay(solution, tdb[0], 1.0)])
    if np.isnan(solution.ra):
        raise EphemerisError(
            f"Phase zero is at a place on Earth, and the par file of {solution.name} has no RAJ "
            "and DECJ.",
            remedy="Complete it, refer phase zero to the barycentre (TZRSITE @), or remove TZRMJD.",
        )
    barycentre = Barycentre(place, solution, kernel)
    return barycentre.delay(tdb) + dispersion_delay(solution, tdb[0], barycentre.doppler(tdb[0]))
