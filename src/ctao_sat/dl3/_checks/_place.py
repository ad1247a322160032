"""Checks of site, pointing and instrument."""

from collections.abc import Iterator

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.io import fits
from gammapy.data import observatory_locations

from ctao_sat.dl3._checks._clock import zero_time
from ctao_sat.dl3._checks._content import Content, header_number
from ctao_sat.dl3._checks._model import Fault, NotRun
from ctao_sat.dl3._headers import header_text

__all__ = ["altaz", "instrument", "site"]

_KEYS = ("GEOLON", "GEOLAT", "ALTITUDE")
# Gammapy's names of the sites of a telescope, by the beginning of TELESCOP.
_SITES = {
    "CTA": ("ctao_north", "ctao_south"),
    "SIMULATED-CTA": ("ctao_north", "ctao_south"),
    "HESS": ("hess",),
    "H.E.S.S.": ("hess",),
    "MAGIC": ("magic",),
    "VERITAS": ("veritas",),
}
# Paranal's VLT stands in early files for CTAO-South, 11 km away: 0.1 deg of zenith angle, 40 us
# of light travel.
_DISTANCE = 20.0
_HEIGHT = 200.0
# Some state the altitude of the target, a wobble offset away.
_ALTAZ = 2.0
_EARTH_RADIUS = 6371.0
# Turns of the Earth a day.
_SIDEREAL = 1.00273790935


def site(content: Content) -> Iterator[Fault | NotRun]:
    """GEOLON, GEOLAT and ALTITUDE are those of the telescope."""
    for table in content.of("events"):
        lon, lat, height = (header_number(table.header, key) for key in _KEYS)
        if np.isnan([lon, lat, height]).any():
            yield Fault("There is no number GEOLON, GEOLAT or ALTITUDE.", table.hdu, "warning")
            continue
        if lon == lat == height == 0:
            yield Fault("GEOLON, GEOLAT and ALTITUDE are 0.", table.hdu)
            continue
        telescope = header_text(table.header, "TELESCOP")
        names = _sites(telescope, header_text(table.header, "INSTRUME"))
        if not names:
            yield NotRun(f"no site is known for TELESCOP '{telescope}'")
            continue
        yield from _at_site(table.hdu, (lon, lat, height), names)


def _sites(telescope: str, name: str) -> tuple[str, ...]:
    known = [of for start, of in _SITES.items() if telescope.upper().startswith(start)]
    sites = known[0] if known else ()
    return tuple(s for s in sites if _hemisphere(name) in s) or sites


def _hemisphere(text: str) -> str:
    """Return ``north`` or ``south`` if a name says so, such as ``CTAO Northern Array``."""
    found = [name for name in ("north", "south") if name in text.lower()]
    return found[0] if len(found) == 1 else ""


def _at_site(
    hdu: str, place: tuple[float, float, float], names: tuple[str, ...]
) -> Iterator[Fault]:
    lon, lat, height = place
    # The usual fault is a longitude counted to the west.
    turned = {name: _distance(-lon, lat, observatory_locations[name]) for name in names}
    straight = {name: _distance(lon, lat, observatory_locations[name]) for name in names}
    nearest = min(names, key=lambda name: min(straight[name], turned[name]))
    location = observatory_locations[nearest]
    true_height = location.height.to_value("m")
    faults = []
    if straight[nearest] > _DISTANCE:
        sign = turned[nearest] < 0.5 * straight[nearest]
        faults.append(
            f"GEOLON {lon:.4f} deg, GEOLAT {lat:.4f} deg are {straight[nearest]:.0f} km from "
            f"{nearest} ({location.lon.deg:.4f}, {location.lat.deg:.4f})"
            + (f", with the other sign of GEOLON {turned[nearest]:.0f} km" if sign else "")
        )
    if abs(height - true_height) > _HEIGHT:
        kilometres = abs(1000 * height - true_height) <= _HEIGHT
        faults.append(
            f"ALTITUDE {height:.6g} m is not {true_height:.0f} m"
            + (": it is in km" if kilometres else "")
        )
    if faults:
        yield Fault("; ".join(faults) + ".", hdu)


def _distance(lon: float, lat: float, location: EarthLocation) -> float:
    """Return the distance on the ground, in km."""
    there = location.lon.rad, location.lat.rad
    apart = _separation((np.radians(lon), np.radians(lat)), there)
    return float(_EARTH_RADIUS * apart)


def _separation(one: tuple, other: tuple) -> np.ndarray:
    (lon, lat), (lon2, lat2) = one, other
    half = (
        np.sin((lat - lat2) / 2) ** 2 + np.cos(lat) * np.cos(lat2) * np.sin((lon - lon2) / 2) ** 2
    )
    return 2 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))


def altaz(content: Content) -> Iterator[Fault | NotRun]:
    """ALT_PNT and AZ_PNT are where RA_PNT and DEC_PNT were, at some time of the run."""
    for table in content.of("events"):
        header = table.header
        keys = ("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "GEOLON", "GEOLAT")
        ra, dec, alt, az, lon, lat = np.radians([header_number(header, key) for key in keys])
        times = _times(header)
        if times is None or not np.isfinite([ra, dec, alt, az, lon, lat]).all():
            yield NotRun("no ALT_PNT and AZ_PNT, no pointing, no site or no times")
            continue
        if lon == lat == 0:
            yield NotRun("no site in the header")
            continue
        # Neither precession nor refraction: good to half a degree until 2036.
        hour_angle = times + lon - ra
        up = np.arcsin(np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(hour_angle))
        around = np.arctan2(
            -np.cos(dec) * np.sin(hour_angle),
            np.sin(dec) * np.cos(lat) - np.cos(dec) * np.sin(lat) * np.cos(hour_angle),
        )
        apart = np.degrees(np.min(_separation((around, up), (az, alt))))
        if apart > _ALTAZ:
            middle = np.degrees([up[len(up) // 2], around[len(up) // 2] % (2 * np.pi)])
            yield Fault(
                f"ALT_PNT {np.degrees(alt):.2f} deg, AZ_PNT {np.degrees(az):.2f} deg are "
                f"{apart:.2f} deg from RA_PNT, DEC_PNT, which were at {middle[0]:.2f}, "
                f"{middle[1]:.2f} deg.",
                table.hdu,
            )


def _times(header: fits.Header) -> np.ndarray | None:
    """Return sidereal times of Greenwich during a run, in rad."""
    zero = zero_time(header)
    start, stop = (header_number(header, key) for key in ("TSTART", "TSTOP"))
    if zero is None or not (abs(start) < 1e11 and 0 <= stop - start < 1e6):
        return None
    # UTC for UT1: 0.9 s, which is 14 arc seconds.
    days = (zero + start * u.s).utc.mjd - 51544.5 + np.linspace(0, stop - start, 13) / 86400
    return np.radians(280.46061837 + 360 * _SIDEREAL * days)


def instrument(content: Content) -> Iterator[Fault]:
    """INSTRUME and TELESCOP are the same in all HDUs."""
    named = [info for info in content.infos if info.index == 0 or info.hdu_class]
    sides = {
        info.name or str(info.index): _hemisphere(header_text(info.header, "INSTRUME"))
        for info in named
    }
    if len(set(sides.values()) - {""}) > 1:
        said = "; ".join(f"{hdu}: {side}" for hdu, side in sides.items() if side)
        yield Fault(f"INSTRUME names both arrays ({said}).")
    telescopes = {header_text(info.header, "TELESCOP").upper() for info in named} - {""}
    # The primary header may say more than the name: 'CTA (MC prod5, v0.1)'.
    if len({name.partition(" ")[0] for name in telescopes}) > 1:
        yield Fault(f"TELESCOP is {' and '.join(sorted(telescopes))}.")
