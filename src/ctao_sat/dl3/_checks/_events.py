"""Checks of event lists."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ctao_sat.dl3._checks._clock import seconds
from ctao_sat.dl3._checks._content import Content, TableData, header_number
from ctao_sat.dl3._checks._model import Fault, NotRun
from ctao_sat.dl3._checks._times import intervals
from ctao_sat.dl3._headers import header_text

__all__ = [
    "directions",
    "event_gti",
    "event_ids",
    "event_order",
    "offsets",
    "phase",
]

# Events outside of the good time intervals, before the rate is wrong by as much.
_MAX_OUTSIDE_TIME = 0.01
# Directions in single precision: 2e-5 deg at 360 deg.
_ANGLE = 1e-4


def event_ids(content: Content) -> Iterator[Fault]:
    """Every event once, by EVENT_ID."""
    for table in content.of("events"):
        if not table.has("EVENT_ID"):
            continue
        twice = table.n_rows - len(np.unique(table.columns["EVENT_ID"]))
        if not twice:
            continue
        names = [name for name in ("TIME", "RA", "DEC", "ENERGY") if table.has(name)]
        rows = np.stack([table.columns[name].astype(float) for name in names], axis=1)
        same = table.n_rows - len(np.unique(rows, axis=0)) if names else 0
        if same:
            yield Fault(f"{same} of {table.n_rows} events are there more than once.", table.hdu)
        else:
            yield Fault(
                f"{twice} of {table.n_rows} events have the EVENT_ID of another.",
                table.hdu,
                "warning",
                "The events differ, thus none is counted twice; number them anew.",
            )


def event_order(content: Content) -> Iterator[Fault]:
    """Look for events that are not in the order of their times."""
    for table in content.of("events"):
        if table.has("TIME"):
            back = int(np.count_nonzero(np.diff(table.columns["TIME"]) < 0))
            if back:
                yield Fault(
                    f"{back} of {table.n_rows} events are earlier than the one before.", table.hdu
                )


def event_gti(content: Content) -> Iterator[Fault | NotRun]:
    """Look for events outside of the good time intervals."""
    lists, gtis = content.of("events"), content.of("gti")
    if len(gtis) != 1 or not gtis[0].has("START", "STOP") or not gtis[0].n_rows:
        yield NotRun("not exactly one table of good time intervals in the file")
        return
    for table in lists:
        if not table.has("TIME") or not table.n_rows:
            continue
        start, stop = intervals(gtis[0], table)
        if not np.isfinite(start).all():
            yield NotRun("the references of events and good time intervals cannot be compared")
            continue
        order = np.argsort(start, kind="stable")
        start, stop = start[order], np.maximum.accumulate(stop[order])
        time = seconds(table, "TIME")
        last = np.searchsorted(start, time, side="right") - 1
        before = start[np.minimum(last + 1, len(start) - 1)] - time
        after = np.where(last >= 0, time - stop[last], np.inf)
        before[before < 0] = np.inf
        outside = after > 0
        if not outside.any():
            continue
        count = int(np.count_nonzero(outside))
        by = float(np.max(np.minimum(before, after)[outside]))
        part = count / table.n_rows
        yield Fault(
            f"{count} of {table.n_rows} events are outside of the good time intervals, by up to "
            f"{by:.3g} s.",
            table.hdu,
            "error" if part > _MAX_OUTSIDE_TIME else None,
        )


def directions(content: Content) -> Iterator[Fault]:
    """RA and DEC of events and pointing are angles in degrees."""
    for table in content.of("events"):
        system = header_text(table.header, "RADESYS") or header_text(table.header, "RADECSYS")
        if system.upper() not in ("", "ICRS", "FK5"):
            yield Fault(
                f"RADESYS is '{system}'; Gammapy takes ICRS.",
                table.hdu,
                "warning",
                "Convert the directions to ICRS.",
            )
        for name, low, high in (("RA", 0, 360), ("DEC", -90, 90)):
            if table.has(name):
                values = table.columns[name].astype(float)
                bad = int(np.count_nonzero((values < low - _ANGLE) | (values > high + _ANGLE)))
                if bad:
                    # From -180 to 180 is another custom, which software takes for the same angle.
                    turned = name == "RA" and np.nanmin(values) >= -180 and np.nanmax(values) <= 360
                    yield Fault(
                        f"{bad} of {table.n_rows} values of {name} are not between {low} and "
                        f"{high} deg, but go from {np.nanmin(values):.4g} to "
                        f"{np.nanmax(values):.4g}.",
                        table.hdu,
                        "info" if turned else None,
                        "Nothing to do for Gammapy." if turned else "",
                    )
            if header_text(table.header, "OBS_MODE").upper() == "DRIFT":
                continue
            value = header_number(table.header, f"{name}_PNT")
            if np.isnan(value):
                yield Fault(f"There is no number {name}_PNT.", table.hdu)
            elif not low - _ANGLE <= value <= high + _ANGLE:
                yield Fault(f"{name}_PNT is {value:.6g} deg.", table.hdu)


def offsets(table: TableData) -> NDArray | None:
    """Return the distances of events from the pointing, in degrees; None if that is not known."""
    if not table.has("RA", "DEC"):
        return None
    lon, lat = (np.radians(header_number(table.header, key)) for key in ("RA_PNT", "DEC_PNT"))
    if not (np.isfinite(lon) and np.isfinite(lat)):
        return None
    ra, dec = (np.radians(table.columns[name].astype(float)) for name in ("RA", "DEC"))
    # Haversine formula: exact for small distances, too.
    half = np.sin((dec - lat) / 2) ** 2 + np.cos(dec) * np.cos(lat) * np.sin((ra - lon) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


def phase(content: Content) -> Iterator[Fault]:
    """A column PHASE holds phases."""
    for table in content.of("events"):
        if not table.has("PHASE") or not table.n_rows:
            continue
        values = table.columns["PHASE"]
        if not np.any(values):
            yield Fault(f"PHASE is 0 for all {table.n_rows} events.", table.hdu)
        elif np.any(values < 0) or np.any(values > 1):
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            yield Fault(f"PHASE goes from {low:.3g} to {high:.3g}, not 0 to 1.", table.hdu)
