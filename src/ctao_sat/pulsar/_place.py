"""Where the telescopes stand, and whether that can be true."""

import itertools
import warnings

import astropy.constants as const
import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from gammapy.data import Observation, observatory_locations

from ctao_sat.dl3._sites import SITES, site_at, site_location
from ctao_sat.errors import ConfigError, CtaoSatWarning, PhaseError, did_you_mean

__all__ = ["place_text", "telescope_place"]

_HEADER = "header"
# Arrays are kilometres wide; coordinates of other observatories are rounded.
_NEAR = 5e3
# A flipped sign may come with a rounded or forgotten height.
_NEAR_FLIPPED = 30e3
# Gammapy has longitude and latitude of this one the other way round.
_WRONG = "hegra"
_OVERRIDE = (
    "Name the site: site='north', 'south' or an EarthLocation (--site); times that are not "
    "barycentred need none: barycentre=False (--no-barycentre)."
)


def telescope_place(
    observation: Observation, site: str | EarthLocation, frequency: float
) -> EarthLocation:
    """Return where the telescopes of an observation stand.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With the place that its header states.
    site : {"header", "north", "south"}, str or `~astropy.coordinates.EarthLocation`
        What to go by; as a text also longitude, latitude and height.
    frequency : float
        Of the pulsar in Hz, for messages.

    Returns
    -------
    location : `~astropy.coordinates.EarthLocation`
        The place.

    Raises
    ------
    PhaseError
        If the header states no place, one that cannot be true, or for CTAO none of its sites.
    ConfigError
        If there is no such site.

    Warns
    -----
    CtaoSatWarning
        If the place is that of no observatory of gamma rays.
    """
    if isinstance(site, EarthLocation):
        return site
    if isinstance(site, str) and "," in site:
        return _place_of(site)
    if not isinstance(site, str) or site not in (_HEADER, *SITES):
        raise ConfigError(
            f"There is no site {site!r}.", remedy=did_you_mean(str(site), (_HEADER, *SITES))
        )
    if site != _HEADER:
        return site_location(site)
    where = f"observation {observation.obs_id}"
    try:
        stated = observation.observatory_earth_location
    except AttributeError:
        # Gammapy's, of an observation that has neither a place nor metadata.
        stated = None
    if stated is None:
        raise PhaseError(
            f"The header of {where} does not say where the telescopes stand: up to "
            f"{_turns(12.8e6, frequency)}.",
            remedy=_OVERRIDE,
            where=where,
        )
    telescope = str(observation.events.table.meta.get("TELESCOP", "")).strip().upper()
    _check_stated(stated, frequency, where, of_ctao=telescope.startswith("CTA"))
    return stated


def _check_stated(stated: EarthLocation, frequency: float, where: str, of_ctao: bool) -> None:
    known = {f"CTAO-{name.capitalize()}": site_location(name) for name in SITES}
    if not of_ctao:
        known |= {name: place for name, place in observatory_locations.items() if name != _WRONG}
    if any(_distance(stated, place) < _NEAR for place in known.values()):
        return
    lon, lat, height = (
        float(x) for x in (stated.lon.deg, stated.lat.deg, stated.height.to_value("m"))
    )
    text = f"The header of {where} puts the telescopes at longitude {lon:.4f}, latitude {lat:.4f}"
    nearest = min(_distance(stated, site_location(name)) for name in SITES)
    if (abs(lon) < 1e-6 and abs(lat) < 1e-6) or not -500 < height < 9000:
        raise PhaseError(
            f"{text} and height {height:.0f} m, which is no place: {_turns(nearest, frequency)} "
            "from the nearer site of CTAO.",
            remedy=_OVERRIDE,
            where=where,
        )
    for sign_lon, sign_lat in itertools.islice(itertools.product((1, -1), repeat=2), 1, None):
        flipped = EarthLocation.from_geodetic(sign_lon * lon, sign_lat * lat, height * u.m)
        for name, place in known.items():
            if _distance(flipped, place) < _NEAR_FLIPPED:
                raise PhaseError(
                    f"{text}: with another sign that is {name}, "
                    f"{_turns(_distance(stated, place), frequency)} away.",
                    remedy=_OVERRIDE,
                    where=where,
                )
    if of_ctao:
        raise PhaseError(
            f"{text}, which is no site of CTAO: the nearer one is {_turns(nearest, frequency)} "
            "away.",
            remedy=_OVERRIDE,
            where=where,
        )
    warnings.warn(
        f"{text}, where no gamma-ray observatory is known. It is used as it is; the nearer site "
        f"of CTAO is {_turns(nearest, frequency)} away.",
        CtaoSatWarning,
        stacklevel=4,
    )


def _place_of(text: str) -> EarthLocation:
    try:
        lon, lat, height = (u.Quantity(part) for part in text.split(","))
        return EarthLocation.from_geodetic(lon, lat, height)
    except (ValueError, TypeError, u.UnitsError) as error:
        raise ConfigError(
            f"'{text}' is no place on Earth.",
            remedy="Write longitude, latitude and height as '16.5002 deg, -23.2718 deg, 1835 m'.",
        ) from error


def _distance(one: EarthLocation, other: EarthLocation) -> float:
    apart = u.Quantity(one.geocentric) - u.Quantity(other.geocentric)
    return float(np.linalg.norm(apart.to_value("m")))


def _turns(metres: float, frequency: float) -> str:
    """Return a distance as light travel time and as turns, which it costs at most."""
    seconds = metres / float(const.c.to_value("m/s"))
    return f"{seconds * 1e3:.3g} ms, {seconds * frequency:.2g} turns"


def place_text(location: EarthLocation) -> str:
    """Return the name of a site of CTAO, or "other"."""
    name = site_at(location)
    return f"CTAO-{name.capitalize()}" if name else "other"
