"""Where the arrays of CTAO stand, and what stands above them."""

import contextlib
import warnings
from collections.abc import Iterator

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from astropy.utils.exceptions import AstropyWarning

from ctao_sat.errors import ConfigError, did_you_mean

__all__ = ["NEAR", "SITES", "altaz", "bundled_earth_rotation", "icrs", "site_at", "site_location"]

# Geodetic longitude (deg, East), latitude (deg) and height (m) of the sites of CTAO.
SITES = {"north": (-17.8920, 28.7622, 2158.0), "south": (-70.3163, -24.6834, 2150.0)}

# Arrays are kilometres wide, and headers name the centre or the nearest telescope.
NEAR = 2 * u.km


def site_location(site: str) -> EarthLocation:
    """Return the place of one of the two sites of CTAO.

    Parameters
    ----------
    site : {"north", "south"}
        La Palma or Paranal.

    Returns
    -------
    location : `astropy.coordinates.EarthLocation`
        The place.

    Raises
    ------
    ConfigError
        If there is no such site.
    """
    if site not in SITES:
        raise ConfigError(f"No site '{site}'.", remedy=did_you_mean(str(site), SITES))
    lon, lat, height = SITES[site]
    return EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)


def site_at(location: EarthLocation) -> str:
    """Return the name of the site that a place belongs to.

    Parameters
    ----------
    location : `astropy.coordinates.EarthLocation`
        The place.

    Returns
    -------
    site : str
        "north", "south", or "" if it is further than 2 km from both.
    """
    for site in SITES:
        apart = u.Quantity(location.geocentric) - u.Quantity(site_location(site).geocentric)
        if np.linalg.norm(apart) < NEAR:
            return site
    return ""


def altaz(pointing: SkyCoord, time: Time, location: EarthLocation) -> SkyCoord:
    """Return horizontal coordinates without asking the network for the rotation of the Earth.

    Parameters
    ----------
    pointing : `astropy.coordinates.SkyCoord`
        Direction.
    time : `astropy.time.Time`
        When; beyond the tables that come with astropy the result is good to an arc minute.
    location : `astropy.coordinates.EarthLocation`
        Where.

    Returns
    -------
    altaz : `astropy.coordinates.SkyCoord`
        Altitude and azimuth.
    """
    return _offline(pointing, AltAz(obstime=time, location=location))


def icrs(alt: u.Quantity, az: u.Quantity, time: Time, location: EarthLocation) -> SkyCoord:
    """Return the direction on the sky of a fixed altitude and azimuth, without the network.

    Parameters
    ----------
    alt, az : Quantity[angle]
        Horizontal coordinates.
    time : `astropy.time.Time`
        When.
    location : `astropy.coordinates.EarthLocation`
        Where.

    Returns
    -------
    direction : `astropy.coordinates.SkyCoord`
        In ICRS.
    """
    frame = AltAz(obstime=time, location=location)
    return _offline(SkyCoord(alt=alt, az=az, frame=frame), "icrs")


@contextlib.contextmanager
def bundled_earth_rotation() -> Iterator[None]:
    """Take the rotation of the Earth from the tables that come with astropy, never the network."""
    with (
        iers.conf.set_temp("auto_download", False),
        # Tables that came with astropy are refused after a month, were they not to be renewed.
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Tried to get polar motions", AstropyWarning)
        yield


def _offline(direction: SkyCoord, frame: AltAz | str) -> SkyCoord:
    with bundled_earth_rotation():
        return direction.transform_to(frame)
