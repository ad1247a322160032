"""The native backend: from times at a telescope to the rotation of an isolated pulsar.

The delays and their order are those of TEMPO2 (Edwards, Hobbs & Manchester 2006, MNRAS 372, 1549)
as PINT computes them: Roemer delay and parallax, Shapiro delay of the Sun, and on request of the
planets, TDB by Fairhead & Bretagnon (1990).
"""

import warnings
from dataclasses import dataclass

import astropy.constants as const
import astropy.units as u
import erfa
import numpy as np
from astropy.coordinates import (
    EarthLocation,
    get_body_barycentric,
    get_body_barycentric_posvel,
)
from astropy.time import Time

from ctao_sat.dl3._sites import bundled_earth_rotation
from ctao_sat.pulsar._solution import Glitch, TimingSolution
from ctao_sat.pulsar._twofloat import Pair, add, multiply, taylor

__all__ = ["Barycentre", "arrival_tdb", "since", "spin_phase"]

_C = float(const.c.to_value("m/s"))
_AU = float(const.au.to_value("m"))
_KPC = float(const.kpc.to_value("m"))
# GM / c^3 of the Sun, in seconds; and its mass over that of the planets.
_SUN = 1.32712440018e20 / _C**3
_PLANETS = {
    "jupiter": 1047.3486, "saturn": 3497.898, "venus": 408523.71, "uranus": 22902.98,
    "neptune": 19412.24,
}  # fmt: skip
_DAY = 86400.0
_MJD_0 = 2400000.5


@dataclass(frozen=True)
class Barycentre:
    """Delays between a place on Earth and the barycentre of the solar system.

    Attributes
    ----------
    location : `~astropy.coordinates.EarthLocation`
        The place.
    solution : TimingSolution
        The direction: position, proper motion and parallax.
    kernel : str
        Solar-system ephemeris as astropy names it: "builtin", or the path of a kernel file.
    """

    location: EarthLocation
    solution: TimingSolution
    kernel: str = "builtin"

    def tdb(self, time: Time) -> Time:
        """Return times in TDB, with the terms that depend on the place."""
        return arrival_tdb(time, self.location)

    def phase(self, tdb: Time, delay: np.ndarray) -> np.ndarray:
        """Return what is added to the phase of the rotation: nothing."""
        return np.zeros(len(tdb))

    def delay(self, tdb: Time) -> np.ndarray:
        """Return by how many seconds arrivals are later than at the barycentre.

        Parameters
        ----------
        tdb : `~astropy.time.Time`, shape (n,)
            Times of arrival in TDB.

        Returns
        -------
        delay : array, shape (n,)
            In seconds of TDB.
        """
        with bundled_earth_rotation(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=erfa.ErfaWarning)
            site = self.location.get_gcrs_posvel(tdb)[0].xyz.to_value("m")
            place = self._body("earth", tdb) + site
        direction = self.direction(tdb)
        along = np.sum(place * direction, axis=0)
        delay = -along / _C
        if self.solution.parallax:
            across = np.sum(place**2, axis=0) - along**2
            delay += 0.5 * across * (1000 * self.solution.parallax / _KPC) / _C
        masses = {"sun": 1.0, **(_PLANETS if self.solution.planets else {})}
        for body, ratio in masses.items():
            to_body = self._body(body, tdb) - place
            far = np.sqrt(np.sum(to_body**2, axis=0)) - np.sum(to_body * direction, axis=0)
            delay += -2.0 * _SUN / ratio * np.log(far / _AU)
        return delay

    def direction(self, tdb: Time) -> np.ndarray:
        """Return unit vectors to the pulsar, proper motion included; shape (3, n)."""
        one = self.solution
        ra, dec = np.full(tdb.shape, one.ra), np.full(tdb.shape, one.dec)
        if one.pm_ra or one.pm_dec:
            with warnings.catch_warnings():
                # Without a parallax, ERFA takes a small one, and says so.
                warnings.filterwarnings("ignore", category=erfa.ErfaWarning)
                ra, dec = erfa.pmsafe(
                    one.ra, one.dec, one.pm_ra / np.cos(one.dec), one.pm_dec, one.parallax, 0.0,
                    _MJD_0 + one.posepoch[0], one.posepoch[1], tdb.jd1, tdb.jd2,
                )[:2]  # fmt: skip
        return np.array([np.cos(ra) * np.cos(dec), np.sin(ra) * np.cos(dec), np.sin(dec)])

    def doppler(self, tdb: Time) -> float:
        """Return the frequency at the barycentre over that of the place, at one time."""
        with bundled_earth_rotation(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=erfa.ErfaWarning)
            site = self.location.get_gcrs_posvel(tdb)[1].xyz.to_value("m/s")
        earth = get_body_barycentric_posvel("earth", tdb, ephemeris=self.kernel)[1]
        velocity = earth.xyz.to_value("m/s") + site
        return float(1 - np.sum(velocity * self.direction(tdb), axis=0).item() / _C)

    def _body(self, name: str, tdb: Time) -> np.ndarray:
        return get_body_barycentric(name, tdb, ephemeris=self.kernel).xyz.to_value(u.m)


def arrival_tdb(time: Time, location: EarthLocation | None) -> Time:
    """Return times of arrival in TDB.

    Parameters
    ----------
    time : `~astropy.time.Time`, shape (n,)
        TT; at the barycentre TDB.
    location : `~astropy.coordinates.EarthLocation` or None
        The place, which moves TDB by up to 2 microseconds; None for the barycentre.

    Returns
    -------
    tdb : `~astropy.time.Time`, shape (n,)
        The same instants.
    """
    with warnings.catch_warnings():
        # Beyond the known leap seconds UTC is a guess, which TDB feels in no digit.
        warnings.filterwarnings("ignore", category=erfa.ErfaWarning)
        return Time(time.jd1, time.jd2, format="jd", scale=time.scale, location=location).tdb


def since(epoch: Pair, tdb: Time, delay: np.ndarray | float = 0.0) -> Pair:
    """Return the seconds from an epoch to times, less a delay, as pairs.

    Parameters
    ----------
    epoch : pair
        Day and fraction of an MJD (TDB).
    tdb : `~astropy.time.Time`, shape (n,)
        Times.
    delay : array, shape (n,)
        In seconds.

    Returns
    -------
    seconds : pair of array, shape (n,)
        With 32 digits of those that times and delays have.
    """
    # The days are whole or half numbers: their difference is exact.
    days = add(((tdb.jd1 - _MJD_0) - epoch[0], 0.0 * tdb.jd2), (tdb.jd2, -epoch[1] + 0.0 * tdb.jd2))
    seconds = multiply(days, (_DAY, 0.0))
    return add(seconds, (-np.asarray(delay), 0.0 * tdb.jd2))


def spin_phase(
    solution: TimingSolution, tdb: Time, delay: np.ndarray | float, glitches: tuple[Glitch, ...]
) -> Pair:
    """Return the phase of the rotation, which is zero at PEPOCH.

    Parameters
    ----------
    solution : TimingSolution
        Frequency and its derivatives.
    tdb : `~astropy.time.Time`, shape (n,)
        Times of arrival.
    delay : array, shape (n,)
        From emission to arrival, in s.
    glitches : tuple of Glitch
        Those before these times.

    Returns
    -------
    phase : pair of array, shape (n,)
        In turns.
    """
    phase = taylor(since(solution.pepoch, tdb, delay), solution.spin)
    for glitch in glitches:
        dt = since(glitch.epoch, tdb, delay)
        steps = [(glitch.f0, 0.0), (glitch.f1, 0.0), (glitch.f2, 0.0)]
        phase = add(phase, taylor(dt, steps))
        decayed = glitch.phase + 0.0 * dt[0]
        if glitch.f0_decaying:
            tau = glitch.decay_time
            decayed = decayed - glitch.f0_decaying * tau * np.expm1(-dt[0] / tau)
        phase = add(phase, (decayed, 0.0 * dt[0]))
    return phase
