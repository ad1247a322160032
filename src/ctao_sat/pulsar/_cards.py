"""Header cards that say how phases came about."""

from typing import Any

from astropy.coordinates import EarthLocation

from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._orbit import Orbit
from ctao_sat.pulsar._place import place_text
from ctao_sat.pulsar._reference import reference_text
from ctao_sat.pulsar._timing import RunTiming

__all__ = ["PHASE_CARDS", "orbit_cards", "phase_cards"]

#: All keys of `phase_cards`; those of the place are not there without barycentre.
PHASE_CARDS = (
    "PHPSR", "PHPAR", "PHPARSHA", "PHZERO", "PHBACK", "PHBARY", "PHOFFSET", "PHCLKPAR", "PHCLKUSE",
    "PHRESID", "PHERR", "PHERREPH", "PHERRCLK", "PHERRINT", "PHERRTIM", "PHERRROT", "PHERRPAR",
    "PHEPHREQ", "PHEPHUSE", "PHSITE", "PHLON", "PHLAT", "PHALT",
)  # fmt: skip


def phase_cards(
    timing: RunTiming,
    ephemeris: PulsarEphemeris,
    location: EarthLocation | None,
    time_offset: float,
) -> dict[str, Any]:
    """Return the cards of the header of events with phases.

    Parameters
    ----------
    timing : RunTiming
        What phases were made of.
    ephemeris : PulsarEphemeris
        The par file.
    location : `~astropy.coordinates.EarthLocation` or None
        Where the telescopes stand; None without barycentre.
    time_offset : float
        What was added to the times, in s.

    Returns
    -------
    cards : dict
        Keys of up to eight characters, which begin with ``PH``.
    """
    solution, solar, budget = timing.solution, timing.solar, timing.budget
    cards: dict[str, Any] = {
        "PHPSR": _ascii(solution.name),
        "PHPAR": _ascii(ephemeris.source),
        "PHPARSHA": ephemeris.sha256,
        "PHZERO": reference_text(solution),
        "PHBACK": timing.backend,
        "PHBARY": solar is not None,
        "PHOFFSET": time_offset,
        "PHCLKPAR": _ascii(solution.clock) or "not stated",
        "PHCLKUSE": "TT(TAI)",
        "PHRESID": _short(timing.polynomials.residual),
        "PHERR": _short(budget.total),
        "PHERREPH": _short(budget.ephemeris),
        "PHERRCLK": _short(budget.clock),
        "PHERRINT": _short(budget.interpolation),
        "PHERRTIM": _short(budget.time_precision),
        "PHERRROT": _short(budget.rotation),
        "PHERRPAR": _short(budget.parameters),
    }
    if solar is not None and location is not None:
        lon, lat, height = location.to_geodetic()
        cards |= {
            "PHEPHREQ": _ascii(solar.requested) or "not stated",
            "PHEPHUSE": _ascii(solar.used),
            "PHSITE": place_text(location),
            "PHLON": round(float(lon.to_value("deg")), 8),
            "PHLAT": round(float(lat.to_value("deg")), 8),
            "PHALT": round(float(height.to_value("m")), 3),
        }
    return cards


def _ascii(text: str) -> str:
    """Return a text as a card can hold it, with other letters as Python escapes them."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _short(number: float) -> float:
    """Return a number that a card holds to its last digit."""
    return float(f"{number:.4g}")


def orbit_cards(orbit: Orbit, timing: RunTiming) -> dict[str, Any]:
    """Return the cards of the header of events with orbital phases.

    Parameters
    ----------
    orbit : Orbit
        The orbit.
    timing : RunTiming
        What phases were made of.

    Returns
    -------
    cards : dict
        Keys of up to eight characters, which begin with ``ORB``.
    """
    return {
        "ORBNAME": _ascii(orbit.name),
        "ORBPER": float(orbit.period.to_value("d")),
        "ORBT0": float(orbit.t0.tdb.mjd),
        "ORBECC": orbit.eccentricity,
        "ORBPDOT": orbit.period_derivative,
        "ORBBARY": timing.solar is not None,
        "ORBERR": _short(timing.budget.total),
    }
