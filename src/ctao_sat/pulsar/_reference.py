"""Where phase zero is: the arrival that TZRMJD, TZRSITE and TZRFRQ of a par file name."""

import math
import re

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time

from ctao_sat.errors import EphemerisError
from ctao_sat.pulsar._solution import TimingSolution

__all__ = ["check_dispersion", "dispersion_delay", "reference_place", "reference_text"]

_BARYCENTRE = ("@", "ssb", "bary", "bat", "barycenter")
_GEOCENTRE = ("0", "o", "coe", "geo", "geocenter")
# ITRF coordinates in m of radio telescopes that ephemerides come from, as TEMPO2 and PINT have
# them, by their names and their codes there.
_TELESCOPES = {
    ("gbt", "1", "gb"): (882589.289, -4924872.368, 3943729.418),
    ("arecibo", "3", "ao"): (2390487.080, -5564731.357, 1994720.633),
    ("vla", "6", "vl", "jvla"): (-1601192.0, -5041981.4, 3554871.4),
    ("parkes", "7", "pk", "pks"): (-4554231.5, 2816759.1, -3454036.3),
    ("jodrell", "8", "jb", "jbo"): (3822625.769, -154105.255, 5086486.256),
    ("nancay", "f", "nc", "ncy", "ncyobs", "nuppi", "w"): (4324165.81, 165927.11, 4670132.83),
    ("effelsberg", "g", "ef", "eff"): (4033947.146, 486990.898, 4900431.067),
    ("wsrt", "i", "ws", "we"): (3828445.659, 445223.6, 5064921.5677),
    ("meerkat", "m", "mk"): (5109360.133, 2006852.586, -3238948.127),
    ("lofar", "t", "lf"): (3826577.462, 461022.624, 5064892.526),
    ("fast", "k", "fa"): (-1668557.0, 5506838.0, 2744934.0),
    ("chime", "y", "ch"): (-2059166.313, -3621302.972, 4814304.113),
}
# e^2 / (2 pi m_e c) in MHz^2 s cm^3 / pc, as pulsar timing defines it.
_DISPERSION = 1 / 2.41e-4
_YEAR = 365.25


def reference_place(solution: TimingSolution) -> EarthLocation | None:
    """Return where the arrival of phase zero was, None for the barycentre.

    Parameters
    ----------
    solution : TimingSolution
        With a reference.

    Returns
    -------
    location : `~astropy.coordinates.EarthLocation` or None
        The place.

    Raises
    ------
    EphemerisError
        If the site is not known.
    """
    site = solution.reference.site if solution.reference else "@"
    if site in _BARYCENTRE:
        return None
    if site in _GEOCENTRE:
        return EarthLocation.from_geocentric(0, 0, 0, unit=u.m)
    for names, place in _TELESCOPES.items():
        if site in names:
            return EarthLocation.from_geocentric(*place, unit=u.m)
    known = ", ".join(names[0] for names in _TELESCOPES)
    raise EphemerisError(
        f"The place TZRSITE = '{site}' of phase zero is not known.",
        remedy=f"Known are @, coe, {known}. Refer phase zero to one of them, or remove TZRMJD: "
        "then it is at PEPOCH.",
    )


def check_dispersion(solution: TimingSolution) -> None:
    """Make sure that the arrival of phase zero has no delay but by the dispersion measure.

    Parameters
    ----------
    solution : TimingSolution
        With a reference.

    Raises
    ------
    EphemerisError
        If it was seen at a radio frequency, and the par file has other delays of radio waves.
    """
    reference = solution.reference
    if reference is None or math.isinf(reference.frequency):
        return
    others = re.compile(r"(DMX|NE_SW|NE1AU|SOLARN0|SWM|CM\d|FD\d|CORRECT_TROPOSPHERE|JUMP|DMMODEL)")
    found = next((line for line in solution.lines if others.match(line.key)), None)
    if found:
        raise EphemerisError(
            f"Phase zero is at {reference.frequency:g} MHz, where {found.key} counts, which is not "
            "supported.",
            remedy="Refer it to infinite frequency (TZRFRQ 0), or remove TZRMJD.",
            where=f"line {found.line}",
        )


def dispersion_delay(solution: TimingSolution, tdb: Time, doppler: float) -> float:
    """Return how much later than at infinite frequency the arrival of phase zero was.

    Parameters
    ----------
    solution : TimingSolution
        With dispersion measure and reference frequency.
    tdb : `~astropy.time.Time`
        Of the arrival.
    doppler : float
        Frequency at the barycentre over that of the telescope.

    Returns
    -------
    delay : float
        In s.
    """
    frequency = solution.reference.frequency if solution.reference else math.inf
    if math.isinf(frequency) or not solution.dm:
        return 0.0
    years = float((tdb.jd1 - 2400000.5 - solution.dmepoch[0]) + (tdb.jd2 - solution.dmepoch[1]))
    powers = (years / _YEAR) ** np.arange(len(solution.dm))
    factorials = np.array([math.factorial(n) for n in range(len(solution.dm))])
    dm = float(np.sum(np.array(solution.dm) * powers / factorials))
    return dm * _DISPERSION / (frequency * doppler) ** 2


def reference_text(solution: TimingSolution) -> str:
    """Return in words where phase zero is."""
    if solution.reference is None:
        return "PEPOCH"
    day, fraction = solution.reference.mjd
    at = f"{day + fraction:.6f} {solution.reference.site}"
    frequency = solution.reference.frequency
    return at if math.isinf(frequency) else f"{at} {frequency:g} MHz"
