"""Open DL3 folders and observations, with an error a user can act on for each fault."""

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from gammapy.data import DataStore, Observation, Observations

from ctao_sat.config import expand_path
from ctao_sat.errors import (
    DataError,
    FileFormatError,
    MissingColumnError,
    MissingDataError,
    MissingHDUError,
    SelectionError,
    did_you_mean,
)

__all__ = ["data_files", "open_dl3", "read_observations"]

IRF_SETS = {
    "full-enclosure": ("aeff", "edisp", "psf", "bkg"),
    "point-like": ("aeff", "edisp", "rad_max"),
    "spectrum": ("aeff", "edisp"),
}

_EVENT_COLUMNS = {"TIME": "s", "ENERGY": "TeV", "RA": "deg", "DEC": "deg"}
_HEADER_KEYS = ("OBS_ID", "MJDREFI", "MJDREFF", "LIVETIME", "DEADC", "ONTIME")

# What astropy and Gammapy raise on files that are not what they should be.
_READ_ERRORS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    u.UnitsError,
)


def open_dl3(path: str | os.PathLike) -> DataStore:
    """Open a folder of DL3 files that has index tables.

    Parameters
    ----------
    path : path-like
        The folder that holds ``hdu-index.fits.gz`` and ``obs-index.fits.gz``.

    Returns
    -------
    data_store : `~gammapy.data.DataStore`
        Gammapy's data store.

    Raises
    ------
    MissingDataError
        If the folder, or an index table in it, is not there.
    FileFormatError
        If an index table cannot be read.
    """
    folder = expand_path(path)
    if not folder.is_dir():
        raise MissingDataError(
            f"There is no data folder '{folder}'.", remedy="Check `data.path` for a typing error."
        )
    for name in (DataStore.DEFAULT_HDU_TABLE, DataStore.DEFAULT_OBS_TABLE):
        if not (folder / name).is_file():
            raise MissingDataError(
                f"The folder '{folder}' has no index table '{name}'.",
                remedy="Point to the folder that holds the index tables, or write them with "
                "gammapy.data.DataStore.from_events_files.",
            )
    try:
        store = DataStore.from_dir(folder)
        n_rows = len(store.obs_table), len(store.hdu_table)
    except _READ_ERRORS as error:
        raise FileFormatError(
            f"The index tables in '{folder}' cannot be read: {_first_line(error)}.",
            remedy="The files are truncated or no FITS tables; copy or make them again.",
        ) from error
    if 0 in n_rows:
        raise SelectionError(f"The index tables in '{folder}' list no observation.")
    _need_columns(store.obs_table, ("OBS_ID", "RA_PNT", "DEC_PNT", "TSTART"), "obs-index", folder)
    return store


def read_observations(
    data_store: DataStore,
    obs_ids: Iterable[int],
    *,
    required_irf: str = "spectrum",
) -> Observations:
    """Read observations and make sure that an analysis can use them.

    Parameters
    ----------
    data_store : `~gammapy.data.DataStore`
        Where they are.
    obs_ids : iterable of int
        Which ones.
    required_irf : {"spectrum", "point-like", "full-enclosure"}
        Which IRFs must be there: effective area and energy dispersion; with ``RAD_MAX``; with PSF
        and background.

    Returns
    -------
    observations : `~gammapy.data.Observations`
        In the order of the IDs.

    Raises
    ------
    SelectionError
        If an ID is unknown, or none is given.
    MissingHDUError, MissingColumnError, FileFormatError, DataError
        If an observation lacks a part, or a part is not usable; each names run and file.
    """
    needed = IRF_SETS[required_irf]
    known = set(data_store.obs_ids)
    observations = Observations()
    for obs_id in obs_ids:
        if obs_id not in known:
            raise SelectionError(
                f"There is no observation {obs_id} in '{data_store.hdu_table.base_dir}'.",
                remedy=did_you_mean(str(obs_id), [str(other) for other in data_store.obs_ids]),
            )
        observation = _read_one(data_store, obs_id, needed)
        observations.append(observation)
    if len(observations) == 0:
        raise SelectionError("No observation is selected.", remedy="Widen the selection.")
    return observations


def data_files(data_store: DataStore, obs_ids: Iterable[int]) -> list[Path]:
    """Return the files that hold given observations, index tables included.

    Parameters
    ----------
    data_store : `~gammapy.data.DataStore`
        The data store.
    obs_ids : iterable of int
        The observations.

    Returns
    -------
    files : list of Path
        Sorted, without repetition.
    """
    table = data_store.hdu_table
    rows = np.flatnonzero(np.isin(table["OBS_ID"], list(obs_ids)))
    files = {Path(table.location_info(int(row)).path()).resolve() for row in rows}
    files.update(
        (table.base_dir / name).resolve()
        for name in (DataStore.DEFAULT_HDU_TABLE, DataStore.DEFAULT_OBS_TABLE)
        if (table.base_dir / name).is_file()
    )
    return sorted(files)


def _read_one(data_store: DataStore, obs_id: int, needed: tuple[str, ...]) -> Observation:
    locations = {
        name: data_store.hdu_table.hdu_location(obs_id, hdu_type=name, warn_missing=False)
        for name in ("events", "gti", *needed)
    }
    absent = [name for name, location in locations.items() if location is None]
    if absent:
        raise MissingHDUError(
            f"Observation {obs_id} has no {' and no '.join(absent)}.",
            remedy=f"Exclude it with `data.exclude_ids: [{obs_id}]`, or complete the data.",
            where=str(data_store.hdu_table.base_dir),
        )
    observation = data_store.obs(
        obs_id, required_irf=[name for name in needed if name not in ("events", "gti")]
    )
    _check_events_hdu(obs_id, locations["events"])
    parts: dict[str, Callable[[], Any]] = {
        "events": lambda: observation.events,
        "gti": lambda: observation.gti,
        **{name: functools.partial(getattr, observation, name) for name in needed},
    }
    for name, read in parts.items():
        where = Path(locations[name].path()).name
        try:
            content = read()
        except _READ_ERRORS as error:
            raise _unreadable(obs_id, name, locations[name], error) from error
        _check_content(obs_id, name, content, where)
    return observation


def _unreadable(obs_id: int, name: str, location: Any, error: Exception) -> DataError:
    path = Path(location.path())
    if not path.is_file():
        return MissingDataError(
            f"The file with the {name} of observation {obs_id} is not there.",
            remedy=f"Restore it, or exclude the run with `data.exclude_ids: [{obs_id}]`.",
            where=str(path),
        )
    return FileFormatError(
        f"The {name} of observation {obs_id} cannot be read: {_first_line(error)}.",
        remedy="The file is truncated or not of the GADF format; copy it again, or exclude the "
        f"run with `data.exclude_ids: [{obs_id}]`.",
        where=f"{path.name}[{location.hdu_name}]",
    )


def _check_events_hdu(obs_id: int, location: Any) -> None:
    """Check header keys, columns and units, which Gammapy would miss only much later."""
    try:
        with fits.open(location.path(), memmap=False) as hdus:
            hdu = hdus[location.hdu_name]
            header = hdu.header
            columns = {column.name: column.unit or "" for column in hdu.columns}
    except _READ_ERRORS as error:
        raise _unreadable(obs_id, "events", location, error) from error
    where = f"{Path(location.path()).name}[{location.hdu_name}]"
    absent = [key for key in _HEADER_KEYS if key not in header]
    if absent:
        raise MissingColumnError(
            f"The events of observation {obs_id} lack the header keys {', '.join(absent)}.",
            remedy="GADF requires them; add them to the EVENTS header.",
            where=where,
        )
    for name, unit in _EVENT_COLUMNS.items():
        if name not in columns:
            raise MissingColumnError(
                f"The events of observation {obs_id} have no column {name}.",
                remedy=f"The table has: {', '.join(columns)}.",
                where=where,
            )
        if not _is_unit(columns[name], unit):
            raise MissingColumnError(
                f"The column {name} of observation {obs_id} has the unit '{columns[name]}'.",
                remedy=f"Set its unit to one of the kind of '{unit}'.",
                where=where,
            )


def _is_unit(found: str, expected: str) -> bool:
    try:
        return u.Unit(found).is_equivalent(u.Unit(expected))
    except (ValueError, TypeError):
        return False


def _check_content(obs_id: int, name: str, content: Any, where: str) -> None:
    exclude = f"exclude the run with `data.exclude_ids: [{obs_id}]`"
    if name == "gti":
        duration = content.time_sum if len(content.table) else 0 * u.s
        if not duration > 0 * u.s:
            raise DataError(
                f"The good time intervals of observation {obs_id} are empty.",
                remedy=f"Correct them, or {exclude}.",
                where=where,
            )
    elif name == "events":
        columns = [
            content.time.mjd,
            content.energy.value,
            content.radec.ra.deg,
            content.radec.dec.deg,
        ]
        bad = sum(int(np.count_nonzero(~np.isfinite(column))) for column in columns)
        if bad:
            raise DataError(
                f"The events of observation {obs_id} hold {bad} values that are not finite.",
                remedy=f"Remove these events, or {exclude}.",
                where=where,
            )
    elif content is not None:
        bad = _count_bad(content.data)
        if bad:
            raise DataError(
                f"The {name} of observation {obs_id} holds {bad} values that are not finite.",
                remedy=f"Take other instrument responses, or {exclude}.",
                where=where,
            )


def _count_bad(data: np.ndarray) -> int:
    """Count the values that are not finite, in the fields of a parametric PSF too."""
    fields = [data[name] for name in data.dtype.names] if data.dtype.names else [data]
    return sum(int(np.count_nonzero(~np.isfinite(field))) for field in fields)


def _need_columns(table: Any, columns: Iterable[str], name: str, where: Path) -> None:
    absent = [column for column in columns if column not in table.colnames]
    if absent:
        raise MissingColumnError(
            f"The {name} table has no column {', '.join(absent)}.",
            remedy=f"It has: {', '.join(table.colnames)}.",
            where=str(where),
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0].rstrip(".") if lines else type(error).__name__
    return text or type(error).__name__
