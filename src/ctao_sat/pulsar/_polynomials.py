"""Make the timing polynomials of a run: choose the solution, the backend and the reference."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time

from ctao_sat.errors import ConfigError, EphemerisError
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._native import Barycentre, since, spin_phase
from ctao_sat.pulsar._nodes import Nodes, TimingPolynomials, fit_polynomials
from ctao_sat.pulsar._solution import Glitch, TimingSolution
from ctao_sat.pulsar._twofloat import Pair, add

__all__ = ["timing_polynomials"]


@dataclass(frozen=True)
class NativeBackend:
    """Delays and phases of an isolated pulsar, computed with astropy and ERFA alone.

    ``barycentre`` is None if the times of a run are taken as they are, for those of the pulsar.
    """

    epoch: Time
    solution: TimingSolution
    barycentre: Barycentre | None
    zero: Pair

    def nodes(self, seconds: np.ndarray, middles: np.ndarray) -> Nodes:
        """Return delays and phases; see `Backend`."""
        tdb, delay, added = self._emission(seconds)
        phase = add(spin_phase(self.solution, tdb, delay, ()), (-self.zero[0], -self.zero[1]))
        if self.solution.glitches:
            for middle in np.unique(middles):
                at = middles == middle
                of_piece = spin_phase(
                    self.solution, tdb[at], delay[at], self._before(float(middle))
                )
                of_piece = add(of_piece, (-self.zero[0], -self.zero[1]))
                phase[0][at], phase[1][at] = of_piece
        return Nodes(added, phase)

    def cuts(self, start: float, stop: float) -> list[float]:
        """Return the arrival times of glitches; see `Backend`."""
        found = []
        for glitch in self.solution.glitches:
            arrival = 0.5 * (start + stop)
            # The delay changes by 1e-4 s a second: each turn gains four digits.
            for _ in range(5):
                arrival -= float(self._after(glitch, arrival))
            if start < arrival < stop:
                found.append(arrival)
        return found

    def _emission(self, seconds: np.ndarray) -> tuple[Time, np.ndarray, np.ndarray]:
        """Return TDB, the delay to take off, and what must be added to TT."""
        time = self.epoch + np.asarray(seconds) * u.s
        if self.barycentre is None:
            taken = Time(time.jd1, time.jd2, format="jd", scale="tdb")
            none = np.zeros(len(seconds))
            return taken, none, none
        tdb = self.barycentre.tdb(time)
        delay = self.barycentre.delay(tdb)
        shift = ((tdb.jd1 - time.jd1) + (tdb.jd2 - time.jd2)) * 86400.0
        return tdb, delay, shift - delay

    def _after(self, glitch: Glitch, seconds: float) -> float:
        tdb, delay, _ = self._emission(np.array([seconds]))
        return since(glitch.epoch, tdb, delay)[0][0]

    def _before(self, seconds: float) -> tuple[Glitch, ...]:
        return tuple(one for one in self.solution.glitches if self._after(one, seconds) > 0)


def timing_polynomials(
    start: Time,
    stop: Time,
    ephemeris: PulsarEphemeris,
    location: EarthLocation | None,
    *,
    barycentre: bool = True,
    kernel: str = "builtin",
) -> TimingPolynomials:
    """Return the polynomials that give phases during a run.

    Parameters
    ----------
    start, stop : `~astropy.time.Time`, scalar or shape (n,)
        Good time intervals.
    ephemeris : PulsarEphemeris
        The pulsar.
    location : `~astropy.coordinates.EarthLocation`
        Where the telescopes stand.
    barycentre : bool
        False takes the times for those at the pulsar, as simulations without delays have them.
    kernel : str
        Solar-system ephemeris: "builtin", or a file.

    Returns
    -------
    polynomials : TimingPolynomials
        Of times of emission and of phases.

    Raises
    ------
    EphemerisError
        If the ephemeris asks for what is not supported.
    PhaseError
        If the polynomials are not good to 1e-7 turns.
    """
    begin, end = np.atleast_1d(start.tt), np.atleast_1d(stop.tt)
    epoch = begin[0] + 0.5 * (end[-1] - begin[0])
    intervals = np.column_stack([(begin - epoch).to_value("s"), (end - epoch).to_value("s")])
    solution = ephemeris.at(begin[0], end[-1])
    if solution.unsupported:
        raise EphemerisError(f"{solution.unsupported[0].key} is not supported.")
    if barycentre and location is None:
        raise ConfigError("There is no location.", remedy="Give one, or barycentre=False.")
    place = Barycentre(location, solution, kernel) if barycentre else None
    backend = NativeBackend(epoch, solution, place, (0.0, 0.0))
    return fit_polynomials(epoch, intervals, backend)
