"""Checks of what belongs together: as `open_dl3` finds it, by headers or by index tables."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from ctao_sat.dl3._checks._energies import outside
from ctao_sat.dl3._checks._folder import Folder, Part, belonging
from ctao_sat.dl3._checks._model import Fault, NotRun
from ctao_sat.dl3._headers import HDUInfo
from ctao_sat.dl3._match import match_errors
from ctao_sat.dl3._open import read_tables
from ctao_sat.errors import CtaoSatError

__all__ = ["event_energy", "index_readable", "matching", "slim"]

# Threshold effects leave some; if most are, their unit is another.
_MAX_OUTSIDE = 0.5
# What is asked of headers to put tables together.
_KEYS = ("OBS_ID", "EVTYPE", "EV_CLASS", "IRF", "HDUCLAS4")


def slim(infos: Iterable[HDUInfo]) -> tuple[HDUInfo, ...]:
    """Return what is needed to put tables together, without the rest of the headers."""
    return tuple(
        replace(
            info,
            columns={},
            header=fits.Header([(key, info.header[key]) for key in _KEYS if key in info.header]),
        )
        for info in infos
    )


def matching(folder: Folder) -> Iterator[Fault]:
    """It can be told which tables belong to each event list."""
    indexed = {row.obs_id for row in folder.rows} if folder.index else set()
    seen = set()
    for events, error in match_errors(info for file in folder.files for info in file.infos):
        # One fault of a file, such as a name that is there twice, may touch many tables.
        key = (events.path, error.message)
        if key in seen:
            continue
        seen.add(key)
        by_index = events.obs_id in indexed
        yield Fault(
            f"{error.message[:-1]}; the index tables decide." if by_index else error.message,
            events.name or str(events.index),
            "warning" if by_index else None,
            error.remedy,
            str(events.path),
        )

    yield from _shared(folder)


def _shared(folder: Folder) -> Iterator[Fault]:
    """Yield event lists of other event types with the same events."""
    first: dict[tuple[int | None, str], Part] = {}
    for part in folder.parts:
        other = first.setdefault((part.obs_id, part.digest), part)
        if part.digest and other.event_type != part.event_type:
            yield Fault(
                f"All events of observation {part.obs_id} are of both event types "
                f"'{other.event_type}' and '{part.event_type}': together they would count twice.",
                part.hdu,
                remedy="Take one of the event types.",
                file=str(part.path),
            )


def event_energy(folder: Folder) -> Iterator[Fault | NotRun]:
    """Look for events whose energies the responses are not for."""
    for events, near in belonging(folder):
        ranges = [part.energy_range for part in near if np.isfinite(part.energy_range).all()]
        if events.energies is None or not ranges:
            yield NotRun("no energies of events, or no effective area")
            continue
        low, high = min(pair[0] for pair in ranges), max(pair[1] for pair in ranges)
        count, total = outside(events.energies, low, high), int(events.energies.sum())
        if count > _MAX_OUTSIDE * total:
            yield Fault(
                f"{count} of {total} events are outside of the energies of the effective area, "
                f"{low:.3g} to {high:.3g} TeV.",
                events.hdu,
                file=str(events.path),
            )


def index_readable(folder: Folder) -> Iterator[Fault]:
    """The index tables of the folder can be used."""
    if folder.index is None:
        return
    try:
        read_tables(Path(folder.index))
    except CtaoSatError as error:
        yield Fault(error.message, remedy=error.remedy, file=str(folder.index))
