"""Open DL3 data as data stores, event types kept apart."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from gammapy.data import DataStore, HDUIndexTable, ObservationTable

from ctao_sat.config import expand_path
from ctao_sat.dl3 import _check as check
from ctao_sat.dl3._headers import path_list
from ctao_sat.dl3._index import FROM_HEADERS, index_tables
from ctao_sat.errors import (
    AmbiguousDataError,
    ConfigError,
    FileFormatError,
    MissingDataError,
    SelectionError,
    did_you_mean,
)

__all__ = ["open_dl3", "open_event_types"]

_Tables = tuple[HDUIndexTable, ObservationTable]

_NAMES = (DataStore.DEFAULT_HDU_TABLE, DataStore.DEFAULT_OBS_TABLE)
_HDU_COLUMNS = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
_OBS_COLUMNS = ("OBS_ID", "RA_PNT", "DEC_PNT", "TSTART", "TSTOP")
# Means all of them, unless it is the name of one.
_ALL = "all"
_HOW = ("auto", "tables", "headers")
_AGAIN = "make them again with `ctao-sat data index --overwrite`"


def open_dl3(
    path: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    event_types: str | Iterable[str] | None = None,
    index: str = "auto",
    progress: bool = False,
) -> DataStore:
    """Open DL3 data: a folder with or without index tables, or files.

    Without index tables, what belongs together is read from the headers, see `index_tables`.
    A data store of Gammapy knows an observation by its ID alone, thus it holds one event type of
    each; `open_event_types` gives a store for each event type.

    Parameters
    ----------
    path : path-like, or an iterable of them
        A folder, or files and folders that belong together, such as events and responses.
    event_types : str or iterable of str, optional
        Take these only (``EVTYPE``, else ``EV_CLASS``). Default, or "all": all; then no
        observation may have several.
    index : {"auto", "tables", "headers"}
        What to go by: the index tables of the folder; the headers of the files; or the tables if
        the folder has them.
    progress : bool
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    data_store : `~gammapy.data.DataStore`
        Gammapy's data store.

    Raises
    ------
    MissingDataError
        If a file, a folder or an index table is not there.
    FileFormatError
        If an index table or a file is damaged.
    MissingHDUError, MissingColumnError
        If there is no event list, or a header or index table lacks what the index needs.
    AmbiguousDataError
        If an observation has several event types, or it cannot be told what belongs together.
    SelectionError
        If there is no observation, or no such event type.

    Examples
    --------
    >>> from ctao_sat import dl3
    >>> store = dl3.open_dl3("$GAMMAPY_DATA/hess-dl3-dr1")  # doctest: +SKIP
    >>> store = dl3.open_dl3(["events.fits", "irfs.fits"])  # doctest: +SKIP
    """
    tables = _tables(path, index, progress)
    wanted = _wanted(tables, event_types)
    return _store(tables, wanted, chosen=event_types not in (None, _ALL))


def open_event_types(
    path: str | os.PathLike | Iterable[str | os.PathLike],
    event_types: str | Iterable[str] | None = None,
    *,
    index: str = "auto",
    progress: bool = False,
) -> dict[str, DataStore]:
    """Open DL3 data, with a data store for each event type.

    Parameters
    ----------
    path : path-like, or an iterable of them
        See `open_dl3`.
    event_types : str or iterable of str, optional
        Take these only, in this order. Default, or "all": all, sorted.
    index : {"auto", "tables", "headers"}
        See `open_dl3`.
    progress : bool
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    data_stores : dict of `~gammapy.data.DataStore`
        By event type; the name is empty if the data do not state any.

    Raises
    ------
    DataError
        As `open_dl3`, several event types of an observation aside.

    Examples
    --------
    >>> from ctao_sat import dl3
    >>> stores = dl3.open_event_types("sdc-data")  # doctest: +SKIP
    >>> {name: len(store.obs_ids) for name, store in stores.items()}  # doctest: +SKIP
    {'hires': 12, 'lores': 12}
    """
    tables = _tables(path, index, progress)
    return {name: _store(tables, [name]) for name in _wanted(tables, event_types)}


def _tables(
    path: str | os.PathLike | Iterable[str | os.PathLike], index: str, progress: bool
) -> _Tables:
    if index not in _HOW:
        raise ConfigError(f"Unknown index '{index}'.", remedy=did_you_mean(index, _HOW))
    named = path_list(path)
    folder = expand_path(named[0]) if len(named) == 1 else None
    if folder is not None and not folder.exists():
        raise MissingDataError(
            f"There is no data folder '{folder}'.", remedy="Check `data.path` for a typing error."
        )
    if index == "tables" and (folder is None or not folder.is_dir()):
        raise ConfigError(
            "Index tables are those of one folder.", remedy="Give its path, or go by the headers."
        )
    has_tables = folder is not None and any((folder / name).is_file() for name in _NAMES)
    if folder is not None and (index == "tables" or (index == "auto" and has_tables)):
        return read_tables(folder)
    return index_tables(named, progress=progress)


def read_tables(folder: Path) -> _Tables:
    """Read the index tables of a folder, and make sure they can be used."""
    for name in _NAMES:
        if not (folder / name).is_file():
            raise MissingDataError(
                f"The folder '{folder}' has no index table '{name}'.",
                remedy="Point to the folder that holds the index tables, or write them with "
                "`ctao-sat data index`.",
            )
        check.check_table_file(folder / name)
    try:
        hdu_table = HDUIndexTable.read(folder / _NAMES[0], format="fits")
        obs_table = ObservationTable.read(folder / _NAMES[1], format="fits")
    except check.READ_ERRORS as error:
        raise FileFormatError(
            f"The index tables in '{folder}' cannot be read: {check.reason(error)}.",
            remedy=f"They are not of the GADF format; {_AGAIN}.",
        ) from error
    check.need_columns(hdu_table.colnames, _HDU_COLUMNS, "hdu-index table", folder)
    check.need_columns(obs_table.colnames, _OBS_COLUMNS, "obs-index table", folder)
    if 0 in (len(obs_table), len(hdu_table)):
        raise SelectionError(
            f"The index tables in '{folder}' list no observation.", remedy=f"{_AGAIN.capitalize()}."
        )
    hdu_table.meta["BASE_DIR"] = str(folder)
    hdu_table.meta.pop(FROM_HEADERS, None)
    _check_unique(hdu_table, obs_table)
    return hdu_table, obs_table


def _check_unique(hdu_table: HDUIndexTable, obs_table: ObservationTable) -> None:
    """Raise an error where Gammapy would take the first of several rows."""
    texts = (_texts(hdu_table, name) for name in ("HDU_TYPE", "HDU_CLASS"))
    keys = list(zip(hdu_table["OBS_ID"], _event_types(hdu_table), *texts, strict=True))
    counts = Counter(keys)
    places = defaultdict(set)
    for row, key in enumerate(keys):
        if counts[key] > 1:
            location = hdu_table.location_info(row)
            places[key].add(f"{location.path(abs_path=False)}[{location.hdu_name}]")
    for (obs_id, event_type, kind, _), found in places.items():
        if len(found) > 1:
            raise AmbiguousDataError(
                f"The hdu-index table lists {len(found)} tables '{kind}' for observation {obs_id}"
                f"{f', event type {event_type!r}' if event_type else ''}: "
                f"{', '.join(sorted(found))}.",
                remedy="If they are of several event types, go by the headers "
                "(index='headers'; `data.index: headers`), or "
                f"{_AGAIN}, which adds the column EVTYPE.",
                where=str(hdu_table.base_dir),
            )
    pairs = Counter(zip(obs_table["OBS_ID"], _event_types(obs_table), strict=True))
    twice = [obs_id for (obs_id, _), count in pairs.items() if count > 1]
    if twice:
        raise AmbiguousDataError(
            f"The obs-index table lists observation {twice[0]} more than once.",
            remedy=f"Correct the index tables, or {_AGAIN}.",
            where=str(hdu_table.base_dir),
        )


def _texts(table: Table, name: str) -> list[str]:
    return [str(text).strip() for text in table[name]]


def _event_types(table: Table) -> list[str]:
    return _texts(table, "EVTYPE") if "EVTYPE" in table.colnames else [""] * len(table)


def _stated(tables: _Tables) -> list[str]:
    """Return the event types of the event lists, sorted."""
    kinds = _texts(tables[0], "HDU_TYPE")
    types = _event_types(tables[0])
    return sorted(
        {name for name, kind in zip(types, kinds, strict=True) if kind == "events"} or {""}
    )


def _chosen(event_types: Any, stated: list[str]) -> list[str]:
    """Return the event types that a caller names, each once."""
    one = isinstance(event_types, str) or not isinstance(event_types, Iterable)
    names = [event_types] if one else list(event_types)
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"`event_types` is {event_types!r}; it must be a name, or a list of names.",
            remedy=f"The data have {', '.join(map(repr, filter(None, stated))) or 'none'}.",
        )
    return list(dict.fromkeys(names))


def _wanted(tables: _Tables, event_types: str | Iterable[str] | None) -> list[str]:
    stated = _stated(tables)
    if event_types is None or (event_types == _ALL and _ALL not in stated):
        return stated
    wanted = _chosen(event_types, stated)
    if not wanted:
        raise SelectionError("The list of event types is empty.", remedy="Name at least one.")
    for name in wanted:
        if name in stated:
            continue
        remedy = did_you_mean(name, [other for other in stated if other])
        if stated == [""] and FROM_HEADERS not in tables[0].meta:
            remedy = "The index tables do not state event types: go by the headers "
            remedy += "(index='headers'; `data.index: headers`)."
        elif stated == [""]:
            remedy = "The headers state no event type: leave the selection out."
        raise SelectionError(f"There is no event type '{name}'.", remedy=remedy)
    return wanted


def _store(tables: _Tables, types: list[str], *, chosen: bool = True) -> DataStore:
    """Return a store of some event types, no two of them of the same observation."""
    hdu_table, obs_table = tables
    kinds, names = _texts(hdu_table, "HDU_TYPE"), _event_types(hdu_table)
    found: dict[int, list[str]] = defaultdict(list)
    for obs_id, kind, name in zip(hdu_table["OBS_ID"], kinds, names, strict=True):
        if kind == "events" and name in types:
            found[int(obs_id)].append(name)
    several = {obs_id: sorted(of) for obs_id, of in found.items() if len(of) > 1}
    if several:
        raise _several_types(several, chosen, str(hdu_table.base_dir))
    if types == _stated(tables):
        return DataStore(hdu_table, obs_table)
    # A row without an event type is shared by all.
    rows = np.isin(names, [*types, ""])
    of_types = np.isin(hdu_table["OBS_ID"], list(found))
    runs = np.isin(_event_types(obs_table), [*types, ""]) & np.isin(
        obs_table["OBS_ID"], list(found)
    )
    return DataStore(hdu_table[rows & of_types], obs_table[runs])


def _several_types(several: dict[int, list[str]], chosen: bool, where: str) -> AmbiguousDataError:
    """Return the error of observations that have several of the event types in question."""
    (obs_id, of), more = next(iter(several.items())), len(several) - 1
    who = f"Observation {obs_id}, and {more} more, have" if more else f"Observation {obs_id} has"
    kinds = "several of the chosen event types" if chosen else "several event types"
    each = "open_event_types with the same event_types" if chosen else "open_event_types"
    recipe = f"[{', '.join(of)}]" if chosen else "all"
    return AmbiguousDataError(
        f"{who} {kinds}: {', '.join(map(repr, of))}.",
        remedy=f"A data store holds one of them: choose event_types={of[0]!r} "
        f"(`data.event_types: [{of[0]}]`), or open a store for each with {each} "
        f"(`data.event_types: {recipe}`).",
        where=where,
    )
