"""Orbits of binaries: phases that count orbits instead of rotations."""

import math
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from numpy.typing import NDArray

from ctao_sat.errors import ConfigError, EphemerisError
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._native import arrival_tdb
from ctao_sat.pulsar._parfile import Entry, number
from ctao_sat.pulsar._solution import TimingSolution

__all__ = ["Orbit", "orbit_solution"]

_DAY = 86400.0


@dataclass(frozen=True)
class Orbit:
    """The orbit of a binary.

    Parameters
    ----------
    period : Quantity[time]
        Orbital period at ``t0``.
    t0 : `~astropy.time.Time`
        When the phase is zero: a passage of periastron if the orbit is eccentric.
    eccentricity : float
        From 0 to less than 1.
    period_derivative : float
        Change of the period, in seconds per second.
    position : `~astropy.coordinates.SkyCoord`, optional
        Of the source, needed to refer times to the barycentre.
    name : str
        Of the source.

    Raises
    ------
    ConfigError
        If a value is not possible.

    Examples
    --------
    LS I +61 303, with the period and the reference time of Gregory (2002, ApJ 575, 427):

    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat.pulsar import Orbit
    >>> orbit = Orbit(26.4960 * u.d, Time(43366.275, format="mjd", scale="tdb"))
    >>> orbit.phases(Time([43366.275, 43379.523], format="mjd", scale="tdb")).round(6)
    array([0. , 0.5])
    """

    period: u.Quantity
    t0: Time
    eccentricity: float = 0.0
    period_derivative: float = 0.0
    position: SkyCoord | None = None
    name: str = "orbit"

    def __post_init__(self) -> None:
        period = u.Quantity(self.period)
        if not period.isscalar or not period.unit.is_equivalent("s") or not period > 0 * u.s:
            raise ConfigError(f"The period is {self.period}.", remedy="Give a positive time.")
        object.__setattr__(self, "period", period)
        if not isinstance(self.t0, Time) or not self.t0.isscalar:
            raise ConfigError(
                f"`t0` is {self.t0!r}.", remedy="Give one Time: Time(43366.275, format='mjd')."
            )
        if not 0 <= self.eccentricity < 1:
            raise ConfigError(
                f"The eccentricity is {self.eccentricity}.", remedy="Give 0 to less than 1."
            )

    @classmethod
    def from_ephemeris(cls, ephemeris: PulsarEphemeris) -> "Orbit":
        """Take the orbit from the par file of a binary pulsar.

        Parameters
        ----------
        ephemeris : PulsarEphemeris
            With PB or FB0, and T0 with ECC, or TASC with EPS1 and EPS2. For the latter, phase
            zero is the passage of the ascending node.

        Returns
        -------
        orbit : Orbit
            The orbit, without the terms of its precession.

        Raises
        ------
        EphemerisError
            If it has no orbit, or several.
        """
        solution = ephemeris.solutions[0]
        values = _values(solution)
        if any(_values(other) != values for other in ephemeris.solutions):
            raise EphemerisError(
                f"The solutions in the par file of {solution.name} have different orbits.",
                remedy="Choose one: put the solution of that time in a file of its own.",
            )
        if "FB0" in values and not float(values["FB0"]) > 0:
            raise EphemerisError(
                f"FB0 of {solution.name} is {values['FB0']}.", remedy="Correct it: it is in Hz."
            )
        if "FB0" in values:
            period = 1 / float(values["FB0"])
            derivative = -float(values.get("FB1", 0)) * period**2
        elif "PB" in values:
            period = float(values["PB"]) * _DAY
            derivative = float(values.get("PBDOT", 0))
            # TEMPO's convention: large numbers are in units of 1e-12.
            derivative *= 1e-12 if abs(derivative) > 1e-7 else 1.0
        else:
            raise EphemerisError(
                f"The par file of {solution.name} has no orbit.",
                remedy="It needs PB or FB0, with T0 or TASC.",
            )
        zero = next((values[key] for key in ("T0", "TASC") if key in values), None)
        if zero is None:
            raise EphemerisError(
                f"The par file of {solution.name} has no T0 and no TASC.", remedy="Complete it."
            )
        eccentricity = float(values.get("ECC", values.get("E", 0)))
        if "TASC" in values:
            eccentricity = math.hypot(float(values.get("EPS1", 0)), float(values.get("EPS2", 0)))
        return cls(
            period=period * u.s,
            t0=Time(zero, format="mjd", scale="tdb"),
            eccentricity=eccentricity,
            period_derivative=derivative,
            position=solution.position,
            name=solution.name,
        )

    def phases(self, times: Time) -> NDArray:
        """Return orbital phases: the mean anomaly in turns.

        Parameters
        ----------
        times : `~astropy.time.Time`, shape (n,)
            At the barycentre. `assign_phases` refers those of a telescope to it.

        Returns
        -------
        phases : array, shape (n,)
            In [0, 1).
        """
        tdb = [arrival_tdb(time, None) for time in (times, self.t0)]
        turns = (tdb[0] - tdb[1]).to_value("s") / self.period.to_value("s")
        return np.mod(turns - 0.5 * self.period_derivative * turns**2, 1.0)

    def eccentric_anomaly(self, phases: NDArray) -> u.Quantity:
        """Solve Kepler's equation, ``E - e sin E = 2 pi phase``.

        Parameters
        ----------
        phases : array, shape (n,)
            Mean anomaly in turns.

        Returns
        -------
        anomaly : Quantity[angle], shape (n,)
            Eccentric anomaly, in the same turn.
        """
        whole = np.floor(phases)
        mean = 2 * np.pi * (np.asarray(phases, dtype=float) - whole)
        e = self.eccentricity
        # From pi, Newton's iteration goes to the root from one side, at any eccentricity.
        anomaly = np.full_like(mean, np.pi)
        for _ in range(60):
            step = (anomaly - e * np.sin(anomaly) - mean) / (1 - e * np.cos(anomaly))
            anomaly -= step
            if np.all(np.abs(step) < 1e-15):
                break
        return (anomaly + 2 * np.pi * whole) * u.rad

    def true_anomaly(self, phases: NDArray) -> u.Quantity:
        """Return the angle from periastron as seen from the focus.

        Parameters
        ----------
        phases : array, shape (n,)
            Mean anomaly in turns.

        Returns
        -------
        anomaly : Quantity[angle], shape (n,)
            True anomaly, ``tan(v / 2) = sqrt((1 + e) / (1 - e)) tan(E / 2)``, in the same turn.
        """
        anomaly = self.eccentric_anomaly(phases).to_value("rad")
        e = self.eccentricity
        beta = e / (1 + math.sqrt(1 - e**2))
        # This form has no jump at the half turn.
        return (
            anomaly + 2 * np.arctan2(beta * np.sin(anomaly), 1 - beta * np.cos(anomaly))
        ) * u.rad


def orbit_solution(orbit: Orbit) -> TimingSolution:
    """Return an orbit as a timing solution that turns once an orbit.

    Parameters
    ----------
    orbit : Orbit
        The orbit.

    Returns
    -------
    solution : TimingSolution
        With the orbital frequency as F0.
    """
    f0 = 1 / float(orbit.period.to_value("s"))
    t0 = arrival_tdb(orbit.t0, None)
    day = math.floor(float(t0.mjd))
    epoch = (float(day), float((t0.jd1 - 2400000.5 - day) + t0.jd2))
    position = orbit.position.icrs if orbit.position is not None else None
    return TimingSolution(
        name=orbit.name,
        spin=((f0, 0.0), (-orbit.period_derivative * f0**2, 0.0)),
        pepoch=epoch,
        ra=float(position.ra.rad) if position is not None else math.nan,
        dec=float(position.dec.rad) if position is not None else math.nan,
        posepoch=epoch,
        dmepoch=epoch,
        ephem="BUILTIN",
    )


def _values(solution: TimingSolution) -> dict[str, str]:
    """Return the numbers of the lines that the native backend does not know, as texts."""
    keys = ("PB", "PBDOT", "FB0", "FB1", "T0", "TASC", "ECC", "E", "EPS1", "EPS2")
    lines: list[Entry] = [line for line in solution.unsupported if line.key in keys]
    return {line.key: number(line) for line in lines}
