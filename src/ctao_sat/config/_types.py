"""Field types of configurations: text with a unit in the file, astropy objects in Python."""

import datetime
import functools
from typing import Annotated, Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from pydantic import BeforeValidator, PlainSerializer

from ctao_sat.errors import ConfigError, did_you_mean

__all__ = [
    "Angle",
    "Duration",
    "Energy",
    "Flux",
    "Frequency",
    "FrequencyRate",
    "Instant",
    "SkyPosition",
    "parse_position",
]

_FRAMES = ("icrs", "galactic", "fk5")
_TIME_SCALES = ("utc", "tt", "tai", "tdb")


def _quantity(value: Any, unit: u.UnitBase, example: str) -> u.Quantity:
    if not isinstance(value, str | u.Quantity):
        raise ValueError(f"{value!r} has no unit; write it like '{example}'")
    try:
        quantity = u.Quantity(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{value}' is no quantity; write it like '{example}'") from error
    if not quantity.unit.is_equivalent(unit):
        found = quantity.unit.to_string() or "no unit"
        raise ValueError(f"'{value}' has {found}; write it like '{example}'")
    if not quantity.isscalar or not np.isfinite(quantity.value):
        raise ValueError(f"'{value}' is not one finite number; write it like '{example}'")
    return quantity


def _to_string(quantity: u.Quantity) -> str:
    return f"{float(quantity.value)!r} {quantity.unit.to_string()}"


def _quantity_type(unit: str, example: str) -> Any:
    return (
        BeforeValidator(functools.partial(_quantity, unit=u.Unit(unit), example=example)),
        PlainSerializer(_to_string, return_type=str),
    )


Energy = Annotated[u.Quantity, *_quantity_type("TeV", "1 TeV")]
Angle = Annotated[u.Quantity, *_quantity_type("deg", "0.5 deg")]
Duration = Annotated[u.Quantity, *_quantity_type("s", "30 min")]
Frequency = Annotated[u.Quantity, *_quantity_type("Hz", "29.947 Hz")]
FrequencyRate = Annotated[u.Quantity, *_quantity_type("Hz / s", "-3.77e-10 Hz / s")]
Flux = Annotated[u.Quantity, *_quantity_type("cm-2 s-1 TeV-1", "1e-12 cm-2 s-1 TeV-1")]


def _position(value: Any) -> SkyCoord:
    if isinstance(value, SkyCoord):
        return value
    refusal = (
        f"{value!r} is no sky position; "
        "write it like '83.633 deg, 22.014 deg' or '184.56 deg, -5.78 deg, galactic'"
    )
    if not isinstance(value, str):
        raise ValueError(refusal)
    parts = [part.strip() for part in value.split(",")]
    frame = "icrs"
    if len(parts) == 3:
        frame = parts.pop().lower()
    if frame not in _FRAMES:
        raise ValueError(f"unknown frame '{frame}'. {did_you_mean(frame, _FRAMES)}")
    if len(parts) != 2:
        raise ValueError(refusal)
    try:
        # Bare numbers are refused here: hours and degrees would both be plausible.
        position = SkyCoord(parts[0], parts[1], frame=frame)
    except (ValueError, TypeError, u.UnitsError) as error:
        raise ValueError(refusal) from error
    if not np.isfinite([position.data.lon.deg, position.data.lat.deg]).all():
        raise ValueError(refusal)
    return position


def parse_position(text: str) -> SkyCoord:
    """Return the sky position that a string names.

    Parameters
    ----------
    text : str
        Longitude, latitude, and the frame if it is not ICRS, each with its unit.

    Returns
    -------
    position : `~astropy.coordinates.SkyCoord`
        The position.

    Raises
    ------
    ConfigError
        If the text is no position.

    Examples
    --------
    >>> from ctao_sat.config import parse_position
    >>> parse_position("184.56 deg, -5.78 deg, galactic").frame.name
    'galactic'
    """
    try:
        return _position(text)
    except ValueError as error:
        raise ConfigError(f"{str(error).rstrip('.')}.") from error


def _position_to_string(position: SkyCoord) -> str:
    frame = position.frame.name
    # Of all digits, but not as 1e-05: astropy reads no powers of ten in angles.
    lon, lat = (
        np.format_float_positional(angle.deg, trim="0")
        for angle in (position.data.lon, position.data.lat)
    )
    suffix = "" if frame == "icrs" else f", {frame}"
    return f"{lon} deg, {lat} deg{suffix}"


SkyPosition = Annotated[
    SkyCoord,
    BeforeValidator(_position),
    PlainSerializer(_position_to_string, return_type=str),
]


def _instant(value: Any) -> Time:
    if isinstance(value, Time):
        return value
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        # YAML reads a time with a zone; `Time` wants it in UTC, and without.
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    text = str(value).strip()
    head, _, tail = text.rpartition(" ")
    scale = tail.lower() if tail.lower() in _TIME_SCALES else "utc"
    date = head if tail.lower() in _TIME_SCALES else text
    try:
        return Time(date, scale=scale, format="isot" if "T" in date else "iso")
    except ValueError as error:
        raise ValueError(
            f"'{value}' is no time; write it like '2028-03-01 22:15:00 utc'"
        ) from error


def _instant_to_string(time: Time) -> str:
    return f"{time.copy(format='iso').to_value('iso', subfmt='date_hms')} {time.scale}"


Instant = Annotated[
    Time, BeforeValidator(_instant), PlainSerializer(_instant_to_string, return_type=str)
]
