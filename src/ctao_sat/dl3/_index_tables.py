"""The two index tables of a folder that this package writes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from ctao_sat.dl3._contents import Contents, time_reference
from ctao_sat.dl3._files import write_fits
from ctao_sat.dl3._hdus import GADF, HDU_NAMES, table_hdu

__all__ = ["HDU_INDEX", "OBS_INDEX", "Entry", "entry_of", "write_index_tables"]

OBS_INDEX = "obs-index.fits.gz"
HDU_INDEX = "hdu-index.fits.gz"

_TIME_KEYS = ("MJDREFI", "MJDREFF", "TIMEUNIT", "TIMESYS", "TIMEREF")
_PLACE = ("GEOLON", "GEOLAT", "ALTITUDE")
# Columns of GADF's observation index, in its order, with their units.
_COLUMNS = {
    "OBS_ID": "", "OBS_MODE": "", "TSTART": "s", "TSTOP": "s", "ONTIME": "s", "LIVETIME": "s",
    "DEADC": "", "TELAPSE": "s", "DATE-OBS": "", "TIME-OBS": "", "DATE-END": "", "TIME-END": "",
    "OBJECT": "", "RA_OBJ": "deg", "DEC_OBJ": "deg", "RA_PNT": "deg", "DEC_PNT": "deg",
    "ALT_PNT": "deg", "AZ_PNT": "deg", "GEOLON": "deg", "GEOLAT": "deg", "ALTITUDE": "m",
    "ZEN_PNT": "deg", "GLON_PNT": "deg", "GLAT_PNT": "deg", "TELESCOP": "", "INSTRUME": "",
    "N_TELS": "", "TELLIST": "", "EVENT_COUNT": "", "EVTYPE": "",
}  # fmt: skip
_NUMBERS = {"OBS_ID": int, "N_TELS": int, "EVENT_COUNT": int, "DEADC": float}


@dataclass(frozen=True)
class Entry:
    """What the index tables say of one file."""

    file_name: str
    row: dict[str, Any]
    event_class: str
    time_cards: dict[str, Any]
    hdu_classes: dict[str, str]


def entry_of(contents: Contents, file_name: str) -> Entry:
    """Return what the index tables say of a file.

    Parameters
    ----------
    contents : Contents
        What was written to it.
    file_name : str
        Its name.

    Returns
    -------
    entry : Entry
        Small, so that it travels between processes.
    """
    cards = contents.cards
    galactic = SkyCoord(float(cards["RA_PNT"]), float(cards["DEC_PNT"]), unit="deg").galactic
    derived = {
        "ZEN_PNT": 90 - float(cards["ALT_PNT"]),
        "GLON_PNT": float(galactic.l.deg),
        "GLAT_PNT": float(galactic.b.deg),
        "EVENT_COUNT": len(contents.events),
        "EVTYPE": contents.event_type,
    }
    classes = {"events": "events", "gti": "gti"}
    classes |= {name: irf.tag for name, irf in contents.irfs.items()}
    return Entry(
        file_name=file_name,
        row={key: value for key, value in {**cards, **derived}.items() if key in _COLUMNS},
        event_class=str(cards.get("EV_CLASS") or "").strip(),
        time_cards={key: cards[key] for key in _TIME_KEYS},
        hdu_classes=classes,
    )


def write_index_tables(
    folder: Path, entries: Sequence[Entry], primaries: Sequence[fits.PrimaryHDU] = ()
) -> None:
    """Write ``obs-index.fits.gz`` and ``hdu-index.fits.gz``.

    Parameters
    ----------
    folder : `pathlib.Path`
        Where the files are.
    entries : sequence of Entry
        One a file.
    primaries : sequence of `~astropy.io.fits.PrimaryHDU`
        Primary HDUs of the two files; empty ones by default.
    """
    entries = _with_event_types(entries)
    first, second = primaries or (fits.PrimaryHDU(), fits.PrimaryHDU())
    cards = {**GADF, "HDUCLAS1": "INDEX", "HDUCLAS2": "OBS", **entries[0].time_cards}
    places = [{key: entry.row[key] for key in _PLACE} for entry in entries]
    if all(place == places[0] for place in places):
        cards |= places[0]
    observations = table_hdu(_observations(entries), cards, "OBS_INDEX", "the index")
    write_fits(folder / OBS_INDEX, [first, observations])
    cards = {**GADF, "HDUCLAS1": "INDEX", "HDUCLAS2": "HDU"}
    write_fits(folder / HDU_INDEX, [second, table_hdu(_hdus(entries), cards, "HDU_INDEX", "")])


def _with_event_types(entries: Sequence[Entry]) -> list[Entry]:
    """Take event classes for event types where only they tell observations apart."""
    numbers = {entry.row["OBS_ID"] for entry in entries}
    if len(numbers) == len(entries) or any(entry.row["EVTYPE"] for entry in entries):
        return list(entries)
    return [replace(entry, row={**entry.row, "EVTYPE": entry.event_class}) for entry in entries]


def _observations(entries: Sequence[Entry]) -> Table:
    table = Table()
    for name, unit in _COLUMNS.items():
        values: list[Any] = [entry.row.get(name) for entry in entries]
        if name in ("TSTART", "TSTOP"):
            values = _in_one_reference(values, entries)
        kind = float if unit else _NUMBERS.get(name, str)
        values = [_as(kind, value) for value in values]
        if all(value in (None, "") for value in values):
            continue
        column = MaskedColumn(
            [kind() if value is None else value for value in values],
            mask=[value is None for value in values],
            unit=unit or None,
        )
        table[name] = column if column.mask.any() else column.filled()
    return table


def _as(kind: type, value: Any) -> Any:
    """Return a value of a header as the column wants it, or None if it says nothing."""
    if value is None or (kind is not str and value == ""):
        return None
    try:
        return kind(value)
    except (TypeError, ValueError):
        return None


def _in_one_reference(values: list[Any], entries: Sequence[Entry]) -> list[Any]:
    """Count seconds from the reference of the first observation, which the header gives."""
    common = entries[0].time_cards
    reference = time_reference(common)
    made = []
    for value, entry in zip(values, entries, strict=True):
        if entry.time_cards == common:
            made.append(float(value))
        else:
            time = time_reference(entry.time_cards) + float(value) * u.s
            made.append(float((time - reference).to_value("sec")))
    return made


def _hdus(entries: Sequence[Entry]) -> Table:
    rows = [
        {
            "OBS_ID": np.int64(entry.row["OBS_ID"]),
            "HDU_TYPE": name,
            "HDU_CLASS": tag,
            "FILE_DIR": "./",
            "FILE_NAME": entry.file_name,
            "HDU_NAME": HDU_NAMES[name],
            "EVTYPE": entry.row["EVTYPE"],
        }
        for entry in entries
        for name, tag in entry.hdu_classes.items()
    ]
    table = Table(rows=rows)
    if not any(row["EVTYPE"] for row in rows):
        table.remove_column("EVTYPE")
    return table
