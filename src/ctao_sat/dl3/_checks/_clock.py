"""Times of tables in seconds of one reference, as Gammapy reads them."""

import warnings

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time, TimeDelta
from erfa import ErfaWarning
from numpy.typing import NDArray

from ctao_sat.dl3._checks._content import TableData, header_number
from ctao_sat.dl3._headers import header_text

__all__ = ["REFERENCE", "SYSTEMS", "apart", "is_time_unit", "moved", "seconds", "zero_time"]

SYSTEMS = ("TT", "UTC", "TAI", "TDB", "TCG", "TCB", "UT1")
REFERENCE = ("MJDREFI", "MJDREFF")
# Seconds from a reference, beyond which nothing was ever measured.
_MAX_SECONDS = 1e11


def zero_time(header: fits.Header) -> Time | None:
    """Return the time that seconds are counted from, None if the header does not say."""
    whole, fraction = (header_number(header, key) for key in REFERENCE)
    scale = (header_text(header, "TIMESYS") or "tt").lower()
    if not (np.isfinite(whole) and np.isfinite(fraction)) or scale.upper() not in SYSTEMS:
        return None
    if not abs(whole) < 1e6 or not abs(fraction) < 1e6:
        return None
    return Time(whole, fraction, format="mjd", scale=scale)


def is_time_unit(text: str) -> bool:
    """Return whether a text is a unit of time."""
    try:
        return bool(u.Unit(text).is_equivalent(u.s))
    except (ValueError, TypeError):
        return False


def seconds(table: TableData, name: str) -> NDArray:
    """Return a column of times in seconds from the reference of its table.

    Gammapy converts from the unit of the column; one without a unit is in TIMEUNIT in GTIs, and in
    seconds in events. A unit that is none of time is left to the check of units.
    """
    unit = table.units.get(name, "")
    if not unit and table.info.kind == "gti":
        unit = header_text(table.header, "TIMEUNIT")
    factor = u.Unit(unit).to("s") if unit and is_time_unit(unit) else 1.0
    return table.columns[name].astype(float) * factor


def apart(one: Time | None, other: Time | None, at: float = 0.0) -> float:
    """Return by how many seconds a reference is later than another, at some seconds from it.

    It is 0 if one of them is not known, and NaN if they cannot be compared.
    """
    if one is None or other is None:
        return 0.0
    if (one.scale, one.jd1, one.jd2) == (other.scale, other.jd1, other.jd2):
        return 0.0
    # UT1 to others needs tables of the rotation of the Earth.
    if (one.scale == "ut1") != (other.scale == "ut1") or not abs(at) < _MAX_SECONDS:
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ErfaWarning)
        when = one + TimeDelta(at * u.s)
        return float((getattr(when, other.scale) - other).to_value("s")) - at


def moved(values: NDArray, one: Time | None, other: Time | None) -> NDArray:
    """Return seconds from a reference as seconds from another."""
    finite = values[np.isfinite(values)]
    return values + apart(one, other, float(finite[0]) if finite.size else 0.0)
