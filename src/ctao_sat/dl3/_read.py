"""Read observations, with an error a user can act on for each fault."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gammapy.data import DataStore, Observation, Observations

from ctao_sat.dl3 import _check as check
from ctao_sat.dl3._index import FROM_HEADERS
from ctao_sat.errors import (
    DataError,
    FileFormatError,
    MissingDataError,
    MissingHDUError,
    SelectionError,
    did_you_mean,
)
from ctao_sat.parallel import progress_bar

__all__ = ["data_files", "read_observations"]

IRF_SETS = {
    "full-enclosure": ("aeff", "edisp", "psf", "bkg"),
    "point-like": ("aeff", "edisp", "rad_max"),
    "spectrum": ("aeff", "edisp"),
}


def read_observations(
    data_store: DataStore,
    obs_ids: Iterable[int],
    *,
    required_irf: str = "spectrum",
    progress: bool = False,
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
    progress : bool
        Show a progress bar when it takes more than two seconds.

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
    for obs_id in progress_bar(list(obs_ids), description="Reading", progress=progress):
        if obs_id not in known:
            raise SelectionError(
                f"There is no observation {obs_id} in '{data_store.hdu_table.base_dir}'.",
                remedy=did_you_mean(str(obs_id), [str(other) for other in data_store.obs_ids]),
            )
        observations.append(_read_one(data_store, obs_id, needed))
    if len(observations) == 0:
        raise SelectionError("No observation is selected.", remedy="Widen the selection.")
    return observations


def data_files(data_store: DataStore, obs_ids: Iterable[int]) -> list[Path]:
    """Return the files that hold given observations; the index tables too, if they were used.

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
    if FROM_HEADERS in table.meta:
        return sorted(files)
    files.update(
        (table.base_dir / name).resolve()
        for name in (DataStore.DEFAULT_HDU_TABLE, DataStore.DEFAULT_OBS_TABLE)
        if (table.base_dir / name).is_file()
    )
    return sorted(files)


def _read_one(data_store: DataStore, obs_id: int, needed: tuple[str, ...]) -> Observation:
    locations = _locate(data_store, obs_id, ("events", "gti", *needed))
    events = locations["events"]
    check.check_events_hdu(obs_id, Path(events.path()), events.hdu_name)
    observation = data_store.obs(obs_id, required_irf=list(needed))
    for name, location in locations.items():
        path = Path(location.path())
        content = _read(obs_id, name, location, functools.partial(getattr, observation, name))
        check.check_content(obs_id, name, content, f"{path.name}[{location.hdu_name}]")
    return observation


def _locate(data_store: DataStore, obs_id: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Return where the parts of an observation are, all of which are there."""
    table = data_store.hdu_table
    locations = {
        name: table.hdu_location(obs_id, hdu_type=name, warn_missing=False) for name in names
    }
    absent = [name for name, location in locations.items() if location is None]
    if absent:
        remedy = f"Complete the data, or {check.exclude_remedy(obs_id)}."
        if absent == ["rad_max"]:
            remedy += " For responses that are not point-like, take `on_region.method: circle`."
        raise MissingHDUError(
            f"Observation {obs_id} has no {' and no '.join(absent)}.",
            remedy=remedy,
            where=str(table.base_dir),
        )
    there: dict[Path, list[str]] = {}
    for name, location in locations.items():
        path = Path(location.path())
        if path not in there:
            try:
                there[path] = check.hdu_names(path)
            except check.READ_ERRORS as error:
                raise _unreadable(obs_id, name, location, error) from error
        # FITS names its HDUs without regard to case.
        if location.hdu_name.upper() not in there[path]:
            raise MissingHDUError(
                f"The file of observation {obs_id} has no HDU '{location.hdu_name}' ({name}).",
                remedy=f"Complete the file, or {check.exclude_remedy(obs_id)}.",
                where=path.name,
            )
    return locations


def _read(obs_id: int, name: str, location: Any, read: Callable[[], Any]) -> Any:
    """Read a part of an observation, or say what is wrong with it."""
    try:
        content = read()
        # Gammapy logs what it does not find, and gives None.
        return location.load() if content is None else content
    except check.READ_ERRORS as error:
        raise _unreadable(obs_id, name, location, _cause(location, error)) from error


def _unreadable(obs_id: int, name: str, location: Any, error: Exception) -> DataError:
    path = Path(location.path())
    if not path.is_file():
        return MissingDataError(
            f"The file with the {name} of observation {obs_id} is not there.",
            remedy=f"Restore it, or {check.exclude_remedy(obs_id)}.",
            where=str(path),
        )
    return FileFormatError(
        f"The {name} of observation {obs_id} cannot be read: {check.reason(error)}.",
        remedy="The file is truncated or not of the GADF format; copy it again, or "
        f"{check.exclude_remedy(obs_id)}.",
        where=f"{path.name}[{location.hdu_name}]",
    )


def _cause(location: Any, error: Exception) -> Exception:
    """Return the error of the reader itself, where Gammapy went on and stumbled later."""
    try:
        location.load()
    except check.READ_ERRORS as first:
        return first
    return error
