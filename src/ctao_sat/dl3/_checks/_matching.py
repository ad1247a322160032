"""Checks of what belongs together: as `open_dl3` finds it, by headers or by index tables."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from astropy.io import fits

from ctao_sat.dl3._checks._folder import Folder
from ctao_sat.dl3._checks._model import Fault
from ctao_sat.dl3._headers import HDUInfo
from ctao_sat.dl3._match import match_errors
from ctao_sat.dl3._open import read_tables
from ctao_sat.errors import CtaoSatError

__all__ = ["index_readable", "matching", "slim"]

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


def index_readable(folder: Folder) -> Iterator[Fault]:
    """The index tables of the folder can be used."""
    if folder.index is None:
        return
    try:
        read_tables(Path(folder.index))
    except CtaoSatError as error:
        yield Fault(error.message, remedy=error.remedy, file=str(folder.index))
