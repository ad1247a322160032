"""What the DL3 file of one observation holds, taken from Gammapy's `Observation`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.table import Column, Table
from astropy.time import Time
from gammapy.data import GTI, FixedPointingInfo, Observation, PointingMode
from gammapy.irf import IRF

from ctao_sat.dl3 import _check as check
from ctao_sat.dl3._cards import clean, with_history
from ctao_sat.dl3._sites import altaz, icrs
from ctao_sat.errors import DataError, FileFormatError, MissingColumnError, MissingHDUError

__all__ = ["IRF_NAMES", "Contents", "contents_of", "seconds_after", "time_cards", "time_reference"]

IRF_NAMES = ("aeff", "edisp", "psf", "bkg", "rad_max")

# In GADF's order.
_EVENT_COLUMNS = {"EVENT_ID": "", "TIME": "s", "RA": "deg", "DEC": "deg", "ENERGY": "TeV"}
_SCALES = ("tt", "utc", "tai", "tdb", "tcb", "tcg")
_DATES = ("DATE-OBS", "TIME-OBS", "DATE-END", "TIME-END")
# Times of headers are rounded to a microsecond at best.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Contents:
    """Tables and header cards of one file, before a dialect gives them their final form.

    ``cards`` are those of the event list; ``irf_cards`` are added to those that each response
    has in its ``meta``. ``simulated`` says that this package simulated the events.
    """

    cards: dict[str, Any]
    events: Table
    gti: Table
    gti_cards: dict[str, Any]
    irfs: dict[str, IRF]
    location: EarthLocation
    irf_cards: dict[str, Any] = field(default_factory=dict)
    simulated: bool = False

    @property
    def obs_id(self) -> int:
        """Number of the observation."""
        return self.cards["OBS_ID"]

    @property
    def event_type(self) -> str:
        """Name of the event type, empty if the headers give none."""
        return str(self.cards.get("EVTYPE") or "").strip()


def contents_of(observation: Observation) -> Contents:
    """Take all that a file can hold from an observation.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With events, good time intervals, pointing and location. Its filters are applied.

    Returns
    -------
    contents : Contents
        Its parts. Nothing is copied that need not be.

    Raises
    ------
    MissingHDUError
        If it has no events, good time intervals or pointing.
    MissingColumnError
        If it has no location or number, or its events lack a column that GADF requires.
    FileFormatError
        If a part cannot be read from its file.
    DataError
        If a part is of a kind that FITS cannot hold.
    """
    where = f"observation {observation.obs_id}"
    parts = {name: _part(observation, name, where) for name in ("events", "gti", "pointing")}
    for name, part in parts.items():
        if part is None:
            raise MissingHDUError(
                f"There is nothing to write: the {where} has no {name}.",
                remedy="Write observations that have events, good time intervals and a pointing.",
            )
    events, gti, pointing = parts.values()
    if len(gti.table) == 0:
        raise DataError(
            f"The observation {observation.obs_id} has no good time interval left.",
            remedy="Leave it out.",
        )
    location = _part(observation, "observatory_earth_location", where)
    if location is None:
        raise MissingColumnError(
            f"The {where} has no location; GADF requires GEOLON, GEOLAT and ALTITUDE.",
            remedy="Make it with one: Observation.create(..., location=...).",
        )
    cards = {**_meta_cards(_part(observation, "meta", where)), **clean(events.table.meta)}
    reference = time_reference(cards, where) or gti.time_ref
    counting = time_cards(reference, cards)
    # What the cards say is what a reader adds the seconds to.
    reference = time_reference(counting)
    cards = {
        **cards,
        "OBS_ID": _obs_id(observation),
        **counting,
        **_times(observation, cards, gti, reference),
        **_place(location, cards),
    }
    cards = _pointing(pointing, cards, _middle(gti), location)
    return Contents(
        cards=cards,
        events=_events(events.table, reference, where),
        gti=_gti(gti, reference),
        gti_cards=counting,
        irfs=_irfs(observation, where),
        location=location,
    )


def _part(observation: Observation, name: str, where: str) -> Any:
    try:
        return getattr(observation, name)
    except check.READ_ERRORS as error:
        raise FileFormatError(
            f"The {name} of {where} cannot be read: {check.reason(error)}.",
            remedy="The file it comes from is damaged, not of the GADF format, or gone.",
            where=where,
        ) from error


def _meta_cards(meta: Any) -> dict[str, Any]:
    """Return what the metadata of an observation may know beyond the header of its events."""
    cards: dict[str, Any] = clean(getattr(meta, "optional", None) or {})
    for name in ("obs_info", "target"):
        part = getattr(meta, name, None)
        if part is not None:
            found = part.to_header("gadf")
            cards |= {key: value for key, value in found.items() if np.all(value == value)}
    return cards


def _obs_id(observation: Observation) -> int:
    try:
        return int(observation.obs_id)
    except (TypeError, ValueError) as error:
        raise MissingColumnError(
            f"The observation has the identifier {observation.obs_id!r}; GADF wants a number.",
            remedy="Set `obs_id` to an integer.",
        ) from error


def time_reference(cards: Mapping[str, Any], where: str = "") -> Time | None:
    """Return the time that the seconds of a table count from.

    Parameters
    ----------
    cards : mapping
        With MJDREFI, MJDREFF and TIMESYS.
    where : str
        What it is of, for messages.

    Returns
    -------
    reference : `~astropy.time.Time` or None
        None if the cards do not tell.

    Raises
    ------
    DataError
        If the time scale is unknown.
    """
    if "MJDREFI" not in cards or "MJDREFF" not in cards:
        return None
    scale = str(cards.get("TIMESYS", "TT")).strip().lower()
    if scale not in _SCALES:
        raise DataError(
            f"The time scale TIMESYS = '{scale}' of {where} is not known.",
            remedy=f"Choose from {', '.join(name.upper() for name in _SCALES)}.",
        )
    return Time(float(cards["MJDREFI"]), float(cards["MJDREFF"]), format="mjd", scale=scale)


def time_cards(reference: Time, cards: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header cards of a time reference.

    Parameters
    ----------
    reference : `~astropy.time.Time`
        The reference.
    cards : mapping
        Those that are there: if they say the same, they are kept to the last digit.

    Returns
    -------
    cards : dict
        MJDREFI, MJDREFF, TIMEUNIT, TIMESYS and TIMEREF.
    """
    known = time_reference(cards)
    if known is not None and _same_time(known, reference):
        whole, part = int(float(cards["MJDREFI"])), float(cards["MJDREFF"])
    else:
        # jd1 is a multiple of one half: the difference is exact.
        day = reference.jd1 - 2400000.5
        whole = int(np.floor(day + reference.jd2))
        part = float((day - whole) + reference.jd2)
    return {
        "MJDREFI": whole,
        "MJDREFF": part,
        "TIMEUNIT": "s",
        "TIMESYS": reference.scale.upper(),
        "TIMEREF": str(cards.get("TIMEREF", "LOCAL")).upper(),
    }


def _same_time(one: Time, other: Time) -> bool:
    return one.scale == other.scale and abs((one - other).sec) < 1e-9


def seconds_after(reference: Time, time: Time) -> np.ndarray:
    """Return times as seconds after a reference, rounded once.

    Gammapy goes through days, which moves a time by up to 0.1 microseconds.

    Parameters
    ----------
    reference : `~astropy.time.Time`
        The reference.
    time : `~astropy.time.Time`, shape (n,)
        The times.

    Returns
    -------
    seconds : array of float, shape (n,)
        Elapsed time.
    """
    # Of two scales, astropy takes the difference in TAI; a reader counts in that of the reference.
    time = getattr(time, reference.scale)
    return np.asarray((time - reference).to_value("sec"), dtype=float)


def _events(events: Table, reference: Time, where: str) -> Table:
    absent = [name for name in _EVENT_COLUMNS if name not in events.colnames]
    if absent:
        raise MissingColumnError(
            f"The events of {where} have no column {', '.join(absent)}, which GADF requires.",
            remedy="Add it to `observation.events.table`; EVENT_ID numbers the events.",
            where=where,
        )
    order = [*_EVENT_COLUMNS, *(name for name in events.colnames if name not in _EVENT_COLUMNS)]
    table = Table()
    for name in order:
        column = events[name]
        if name == "TIME":
            table[name] = seconds_after(reference, column) * u.s
        elif isinstance(column, Column | u.Quantity) and column.dtype.kind != "O":
            table[name] = column
        else:
            raise DataError(
                f"The column {name} of the events of {where} is of the type "
                f"{type(column).__name__}, which a FITS table does not hold.",
                remedy="Replace it by columns of numbers or text.",
                where=where,
            )
    table.meta.clear()
    return table


def _gti(gti: GTI, reference: Time) -> Table:
    """Return the good time intervals in the reference of the events.

    Gammapy's ``select_time`` makes intervals with a reference of its own.
    """
    table = Table()
    for name, times in (("START", gti.time_start), ("STOP", gti.time_stop)):
        table[name] = seconds_after(reference, times) * u.s
    for name in gti.table.colnames:
        if name not in table.colnames:
            table[name] = gti.table[name]
    table.meta.clear()
    return table


def _middle(gti: GTI) -> Time:
    return gti.time_start[0] + 0.5 * (gti.time_stop[-1] - gti.time_start[0])


def _times(
    observation: Observation, cards: Mapping[str, Any], gti: GTI, reference: Time
) -> dict[str, Any]:
    """Return start, stop and live time; what the header says is kept where it is true."""
    start = float(np.min(seconds_after(reference, gti.time_start)))
    stop = float(np.max(seconds_after(reference, gti.time_stop)))
    ontime = float(gti.time_sum.to_value("s"))
    live = float(observation.observation_live_time_duration.to_value("s"))
    filters = observation.obs_filter
    whole = filters.time_filter is None and not filters.event_filters
    if whole and _number(cards, "TSTART") <= start + _ROUNDING:
        start = _number(cards, "TSTART")
    if whole and stop - _ROUNDING <= _number(cards, "TSTOP"):
        stop = _number(cards, "TSTOP")
    made = {"TSTART": start, "TSTOP": stop, "TELAPSE": stop - start}
    derived = {"ONTIME": ontime, "LIVETIME": live, "DEADC": live / ontime if ontime > 0 else 0.0}
    for key, value in derived.items():
        made[key] = cards[key] if np.isclose(_number(cards, key), value, rtol=1e-6) else value
    if not whole or any(key not in cards for key in _DATES):
        begin, end = ((reference + t * u.s).utc.isot for t in (start, stop))
        made |= dict(zip(_DATES, (begin[:10], begin[11:], end[:10], end[11:]), strict=True))
    return made


def _number(cards: Mapping[str, Any], key: str) -> float:
    try:
        return float(cards[key])
    except (KeyError, TypeError, ValueError):
        return np.nan


def _place(location: EarthLocation, cards: Mapping[str, Any]) -> dict[str, float]:
    lon, lat, height = location.to_geodetic()
    place = {
        "GEOLON": float(lon.to_value("deg")),
        "GEOLAT": float(lat.to_value("deg")),
        "ALTITUDE": float(height.to_value("m")),
    }
    return _kept(place, cards, 1e-6)


def _kept(values: dict[str, float], cards: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """Return values, each as the header has it if that is the same but for rounding."""
    return {
        key: cards[key] if abs(_number(cards, key) - value) < tolerance else value
        for key, value in values.items()
    }


def _pointing(
    pointing: FixedPointingInfo, cards: dict[str, Any], middle: Time, location: EarthLocation
) -> dict[str, Any]:
    """Add the pointing, in both frames: the fixed one, and the other at half time."""
    if pointing.mode is PointingMode.DRIFT:
        fixed = pointing.fixed_altaz
        horizontal = {"ALT_PNT": float(fixed.alt.deg), "AZ_PNT": float(fixed.az.deg)}
        at_half_time = icrs(fixed.alt, fixed.az, middle, location)
        sky = {"RA_PNT": float(at_half_time.ra.deg), "DEC_PNT": float(at_half_time.dec.deg)}
        sky = {key: cards.get(key, value) for key, value in sky.items()}
        cards = with_history(cards, {"OBS_MODE": "DRIFT"})
        return {**cards, **_kept(horizontal, cards, 1e-9), **sky}
    fixed = pointing.fixed_icrs
    sky = {"RA_PNT": float(fixed.ra.deg), "DEC_PNT": float(fixed.dec.deg)}
    if np.isnan(_number(cards, "ALT_PNT")) or np.isnan(_number(cards, "AZ_PNT")):
        found = altaz(fixed, middle, location)
        cards = {**cards, "ALT_PNT": float(found.alt.deg), "AZ_PNT": float(found.az.deg)}
    mode = str(cards.get("OBS_MODE", "POINTING")).strip()
    # Gammapy takes every other mode for a fixed direction on the sky; so does the file.
    if mode not in ("POINTING", "RASTER", "SLEW", "SCAN"):
        mode = "POINTING"
    cards = with_history(cards, {"OBS_MODE": mode})
    return {**cards, **_kept(sky, cards, 1e-9)}


def _irfs(observation: Observation, where: str) -> dict[str, IRF]:
    irfs = {}
    for name in IRF_NAMES:
        if name not in observation.available_irfs:
            continue
        irf = _part(observation, name, where)
        if irf is None:
            raise MissingHDUError(
                f"The {name} of {where} is named by the index, but not there.",
                remedy="Complete the files it comes from.",
                where=where,
            )
        irfs[name] = irf
    if "rad_max" in irfs and _repeats_header(irfs["rad_max"], irfs.get("aeff")):
        del irfs["rad_max"]
    return irfs


def _repeats_header(rad_max: IRF, aeff: IRF | None) -> bool:
    """Return whether the radius is the one that Gammapy makes of a card of the effective area."""
    if aeff is None or not aeff.is_pointlike or "RAD_MAX" not in aeff.meta:
        return False
    return rad_max.data.size == 1 and bool(rad_max.data.item() == aeff.meta["RAD_MAX"])
