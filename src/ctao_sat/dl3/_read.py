"""Read observations, with an error a user can act on for each fault."""

import functools
import logging
import re
from collections.abc import Callable, Iterable, Mapping
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

__all__ = ["data_files", "read_event_types", "read_observations"]

log = logging.getLogger(__name__)

IRF_SETS = {
    "full-enclosure": ("aeff", "edisp", "psf", "bkg"),
    "point-like": ("aeff", "edisp", "rad_max"),
    "spectrum": ("aeff", "edisp"),
    "none": (),
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
    required_irf : {"spectrum", "point-like", "full-enclosure", "none"}
        Which IRFs must be there: effective area and energy dispersion; with ``RAD_MAX``; with PSF
        and background; or none.
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


def read_event_types(
    data_stores: Mapping[str, DataStore],
    obs_ids: Iterable[int] | None = None,
    *,
    required_irf: str = "spectrum",
    progress: bool = False,
) -> dict[str, Observation]:
    """Read observations of several event types for a joint analysis.

    Parameters
    ----------
    data_stores : mapping of `~gammapy.data.DataStore`
        By event type, see `open_event_types`.
    obs_ids : iterable of int, optional
        Which observations. Default: all. An observation that lacks an event type is taken with
        those that it has, with a warning.
    required_irf : {"spectrum", "point-like", "full-enclosure", "none"}
        See `read_observations`.
    progress : bool
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    observations : dict of `~gammapy.data.Observation`
        Observation by observation. The names are unique, such as ``"23523-hires"``: observation ID
        and event type, or the ID alone if there is one event type. Fit for the ``names`` of
        `ctao_sat.dl4.reduce`.

    Raises
    ------
    DataError
        As `read_observations`; also if an event is of two event types, as it would count twice.
    """
    every = sorted({int(i) for store in data_stores.values() for i in store.obs_ids})
    ids = every if obs_ids is None else [int(obs_id) for obs_id in obs_ids]
    unknown = sorted(set(ids) - set(every))
    if unknown or not ids:
        raise SelectionError(
            f"There is no observation {unknown[0]}." if unknown else "No observation is selected.",
            remedy=did_you_mean(str(unknown[0]), map(str, every)) if unknown else "Name some.",
        )
    found: dict[str, dict[int, Observation]] = {}
    for event_type, store in data_stores.items():
        known = set(store.obs_ids)
        there = [obs_id for obs_id in ids if obs_id in known]
        absent = [obs_id for obs_id in ids if obs_id not in known]
        if absent:
            listed = ", ".join(map(str, absent))
            log.warning("There are no events of type '%s' of observation %s.", event_type, listed)
        if there:
            observations = read_observations(
                store, there, required_irf=required_irf, progress=progress
            )
            found[event_type] = dict(zip(there, observations, strict=True))
    labels = _labels(list(data_stores))
    named = {}
    for obs_id in ids:
        of_run = {name: group[obs_id] for name, group in found.items() if obs_id in group}
        check.check_disjoint(obs_id, {name: obs.events for name, obs in of_run.items()})
        for name, observation in of_run.items():
            named[f"{obs_id}{labels[name]}"] = observation
    return named


def _labels(event_types: list[str]) -> dict[str, str]:
    """Return the ends of names, of characters that a file name may have; each once."""
    if len(event_types) == 1:
        return {event_types[0]: ""}
    labels = {name: re.sub(r"[^\w.+-]", "_", name) for name in event_types}
    if len(set(labels.values())) < len(labels):
        labels = {name: f"{label}.{i}" for i, (name, label) in enumerate(labels.items(), start=1)}
    return {name: f"-{label}" for name, label in labels.items()}


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
    check_events = functools.partial(check.check_events_hdu, obs_id, Path(events.path()))
    _checked(obs_id, "events", events, functools.partial(check_events, events.hdu_name))
    observation = data_store.obs(obs_id, required_irf=list(needed))
    for name, location in locations.items():
        path = Path(location.path())
        content = _read(obs_id, name, location, functools.partial(getattr, observation, name))
        where = f"{path.name}[{location.hdu_name}]"
        check_content = functools.partial(check.check_content, obs_id, name, content, where)
        _checked(obs_id, name, location, check_content)
    return observation


def _checked(obs_id: int, name: str, location: Any, check_part: Callable[[], None]) -> None:
    """Run a check, which may stumble over what the file holds."""
    try:
        check_part()
    except check.READ_ERRORS as error:
        raise _unreadable(obs_id, name, location, error) from error


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
