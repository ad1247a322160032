"""Checks of times: references, good time intervals, live time."""

from collections.abc import Iterator

import astropy.units as u
import numpy as np
from astropy.time import Time, TimeDelta
from numpy.typing import NDArray

from ctao_sat.dl3._checks._clock import (
    REFERENCE,
    SYSTEMS,
    apart,
    is_time_unit,
    moved,
    seconds,
    zero_time,
)
from ctao_sat.dl3._checks._content import Content, TableData, header_number
from ctao_sat.dl3._checks._model import Fault, NotRun
from ctao_sat.dl3._headers import header_text, start_text

__all__ = ["dates", "deadc", "gti_order", "gti_span", "intervals", "livetime", "time_reference"]

# Headers that were single precision once are good to 6e-8; ten times that, and a margin.
_RELATIVE = 1e-6
# Two roundings of times that count from a date years back: 2e-7 s each.
_SPAN = 1e-3
# They are often given to the second.
_DATE = 2.0
# The first Cherenkov telescopes that took data as event lists, and the end of CTAO's planning.
_MJD_RANGE = (47892.0, 88069.0)


def time_reference(content: Content) -> Iterator[Fault]:
    """MJDREFI, MJDREFF, TIMESYS and TIMEUNIT: there, and sensible."""
    tables = content.of("events", "gti")
    for table in tables:
        absent = [key for key in REFERENCE if np.isnan(header_number(table.header, key))]
        if absent:
            yield Fault(f"There is no number {', '.join(absent)}.", table.hdu)
            continue
        yield from _system(table)
        yield from _unit(table)
        zero = zero_time(table.header)
        if zero is not None:
            yield from _epoch(table, zero)
    zeros = [zero_time(table.header) for table in tables]
    found = [apart(zero, zeros[0]) for zero in zeros]
    if not np.isfinite(found).all():
        yield Fault(
            "The references of EVENTS and GTI cannot be compared: one is in UT1.",
            severity="warning",
            remedy="Convert the times to TT.",
        )
    elif max(map(abs, found), default=0) > _SPAN:
        yield Fault(
            f"The references of EVENTS and GTI are {max(map(abs, found)):.6g} s apart.",
            severity="info",
            remedy="Nothing to do: Gammapy converts times, and so do these checks.",
        )


def _unit(table: TableData) -> Iterator[Fault]:
    unit = header_text(table.header, "TIMEUNIT")
    if unit in ("s", ""):
        return
    if table.info.kind == "events":
        # It goes by the unit of TIME, and takes all times in the header for seconds.
        yield Fault(f"TIMEUNIT is '{unit}', not 's'; Gammapy ignores it.", table.hdu)
    elif not is_time_unit(unit):
        yield Fault(f"TIMEUNIT is '{unit}', no unit of time.", table.hdu)


def _system(table: TableData) -> Iterator[Fault]:
    name = header_text(table.header, "TIMESYS")
    if not name:
        yield Fault("TIMESYS is absent; Gammapy takes TT.", table.hdu, "warning")
    elif name.upper() not in SYSTEMS:
        yield Fault(f"TIMESYS is '{name}', no scale of time.", table.hdu)


def _epoch(table: TableData, zero: Time) -> Iterator[Fault]:
    start = header_number(table.header, "TSTART")
    if np.isnan(start) and table.info.kind == "gti" and table.has("START") and table.n_rows:
        start = float(np.min(seconds(table, "START")))
    if np.isnan(start):
        return
    when = zero.mjd + start / 86400
    if not _MJD_RANGE[0] < when < _MJD_RANGE[1]:
        yield Fault(
            f"MJDREFI, MJDREFF and TSTART put it to MJD {when:.6g}, outside of 1990 to 2100.",
            table.hdu,
        )
    elif zero.scale == "utc" and table.info.kind == "events":
        leaps = _leap_seconds(zero, when)
        if leaps:
            yield Fault(
                f"TIMESYS is UTC, and {leaps} leap seconds lie between reference and data: times "
                f"are uncertain by as many seconds.",
                table.hdu,
                "info",
                "Ask the producer whether leap seconds were counted before you time pulsars.",
            )


def _leap_seconds(zero: Time, mjd: float) -> int:
    end = Time(mjd, format="mjd", scale="utc")
    return round(float((end.tai - zero.tai).to_value("s") - (end.mjd - zero.mjd) * 86400))


def gti_order(content: Content) -> Iterator[Fault]:
    """Good time intervals: some, forwards, in order, disjoint."""
    for table in content.of("gti"):
        if not table.has("START", "STOP"):
            continue
        start, stop = (seconds(table, name) for name in ("START", "STOP"))
        if not start.size:
            yield Fault("There are no intervals.", table.hdu)
            continue
        backwards = int(np.count_nonzero(stop < start))
        empty = int(np.count_nonzero(stop == start))
        if backwards:
            yield Fault(f"{backwards} of {start.size} intervals end before they begin.", table.hdu)
            continue
        if empty:
            what = f"{empty} of {start.size} intervals are empty."
            yield Fault(what, table.hdu, None if empty == start.size else "warning")
        order = np.argsort(start, kind="stable")
        if np.any(np.diff(order) < 0):
            yield Fault("The intervals are not in order.", table.hdu, "warning")
        overlap = stop[order][:-1] - start[order][1:]
        if np.any(overlap > 0):
            yield Fault(
                f"{np.count_nonzero(overlap > 0)} intervals overlap the next, by up to "
                f"{overlap.max():.6g} s: their time is counted twice.",
                table.hdu,
            )


def gti_span(content: Content) -> Iterator[Fault]:
    """Good time intervals within TSTART and TSTOP."""
    for events, gti in _pairs(content):
        start, stop = (header_number(events.header, key) for key in ("TSTART", "TSTOP"))
        if np.isnan(start) or np.isnan(stop):
            yield Fault("There is no number TSTART or TSTOP.", events.hdu)
            continue
        if stop <= start:
            yield Fault(f"TSTOP - TSTART is {stop - start:.6g} s.", events.hdu, "error")
            continue
        begin, end = intervals(gti, events)
        early, late = start - float(np.min(begin)), float(np.max(end)) - stop
        for what, by in (("begin before TSTART", early), ("end after TSTOP", late)):
            if by > _SPAN:
                yield Fault(f"The good time intervals {what}, by {by:.6g} s.", events.hdu)


def _pairs(content: Content) -> list[tuple[TableData, TableData]]:
    """Return events with their good time intervals, if the file holds one of each."""
    events, gtis = content.of("events"), content.of("gti")
    if len(events) != 1 or len(gtis) != 1:
        return []
    gti = gtis[0]
    return [(events[0], gti)] if gti.has("START", "STOP") and gti.n_rows else []


def intervals(gti: TableData, events: TableData) -> tuple[NDArray, NDArray]:
    """Return good time intervals in seconds from the reference of events."""
    zeros = zero_time(gti.header), zero_time(events.header)
    start, stop = (moved(seconds(gti, name), *zeros) for name in ("START", "STOP"))
    return start, stop


def deadc(content: Content) -> Iterator[Fault]:
    """DEADC is LIVETIME / ONTIME, and between 0 and 1."""
    for table in content.of("events"):
        keys = ("DEADC", "LIVETIME", "ONTIME")
        found, live, on = (header_number(table.header, key) for key in keys)
        absent = [k for k, v in zip(keys, (found, live, on), strict=True) if np.isnan(v)]
        if absent:
            yield Fault(f"There is no number {', '.join(absent)}.", table.hdu)
            continue
        if not 0 < found <= 1:
            yield Fault(f"DEADC is {found:.6g}, not between 0 and 1.", table.hdu)
        elif on <= 0 or live < 0:
            yield Fault(f"ONTIME is {on:.6g} s, LIVETIME {live:.6g} s.", table.hdu)
        elif abs(live / on - found) > _RELATIVE:
            yield Fault(f"DEADC is {found:.8g}, LIVETIME / ONTIME {live / on:.8g}.", table.hdu)


def livetime(content: Content) -> Iterator[Fault | NotRun]:
    """ONTIME is the sum of the good time intervals."""
    pairs = _pairs(content)
    if not pairs:
        yield NotRun("not exactly one table of good time intervals beside the events")
    for events, gti in pairs:
        total = float(np.sum(seconds(gti, "STOP") - seconds(gti, "START")))
        on = header_number(events.header, "ONTIME")
        # Of intervals that began as single precision, each edge may be off by half a step.
        if abs(total - on) > max(_RELATIVE * abs(on), _SPAN):
            yield Fault(
                f"ONTIME is {on:.6g} s, the sum of the good time intervals {total:.6g} s.",
                events.hdu,
            )


def dates(content: Content) -> Iterator[Fault | NotRun]:
    """DATE-OBS and TIME-OBS agree with TSTART."""
    for table in content.of("events"):
        zero, start = zero_time(table.header), header_number(table.header, "TSTART")
        text = start_text(table.header)
        if zero is None or text is None or not abs(start) < 1e11:
            yield NotRun("no DATE-OBS with a time, or no TSTART")
            continue
        begin = zero + TimeDelta(start * u.s)
        # GADF asks for UTC; H.E.S.S. writes them in the system of TSTART.
        times = [Time(text, scale=scale) for scale in ("utc", zero.scale)]
        apart = min((float((time - begin).to_value("s")) for time in times), key=abs)
        if abs(apart) > _DATE:
            yield Fault(f"DATE-OBS and TIME-OBS say {text}, {apart:+.6g} s off TSTART.", table.hdu)
