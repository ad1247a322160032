"""Read the instrument response functions of files, chosen by what their headers say."""

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from gammapy.data import DataStore, HDUIndexTable
from gammapy.irf import IRF, IRF_REGISTRY, ParametricPSF

from ctao_sat.config import expand_path
from ctao_sat.dl3 import _check as check
from ctao_sat.dl3._headers import HDUInfo, fits_files, read_headers
from ctao_sat.dl3._irf_sets import KINDS, IRFSet, describe
from ctao_sat.dl3._match import of_gammas
from ctao_sat.dl3._open import open_event_types
from ctao_sat.errors import (
    AmbiguousDataError,
    ConfigError,
    FileFormatError,
    MissingHDUError,
    SelectionError,
    did_you_mean,
)
from ctao_sat.result import describe_inputs

__all__ = ["read_irfs"]


@dataclass(frozen=True)
class _Group:
    """HDUs of one set: one of a kind, unless it is ambiguous."""

    hdus: tuple[HDUInfo, ...]
    events: fits.Header | None = None
    obs_id: int | None = None
    event_type: str = ""


def read_irfs(
    path: str | os.PathLike,
    *,
    event_type: str | None = None,
    obs_ids: Iterable[int] | None = None,
    hdus: Mapping[str, str] | None = None,
) -> list[IRFSet]:
    """Read all sets of instrument response functions that a path holds.

    They are found by what the headers say, not by the order of the file; of areas of several
    particles, those of gamma rays are taken. A folder with index tables
    has a set for each run, or fewer where runs share them; of any other folder, each file is a set.
    Event types are kept apart.

    Parameters
    ----------
    path : path-like
        A file with responses, such as those of Prod5 or a run, or a folder.
    event_type : str, optional
        Which event type. Default: each is a set.
    obs_ids : iterable of int, optional
        Which runs. Default: all.
    hdus : mapping of str to str, optional
        Which HDU, by its name, where there are several of a kind: ``{"aeff": "EFFECTIVE AREA"}``.

    Returns
    -------
    sets : list of IRFSet
        In the order of runs or names of files. Each has ``irfs``, a dictionary of Gammapy's
        objects, and what the headers say of them: ``label``, ``telescope``, ``site``, ``zenith``,
        ``event_type``, ``source``, ``header``, ``inputs`` and ``notes``.

    Raises
    ------
    MissingDataError
        If the path is not there.
    MissingHDUError
        If there is no response, or none of the name asked for.
    AmbiguousDataError
        If there are several of a kind.
    SelectionError
        If there is no such event type or run.
    FileFormatError
        If a file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from ctao_sat import dl3, simulate
    >>> area = simulate.demo_array("south")["aeff"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     area.write(f"{folder}/Demo_South_z20.fits")
    ...     (found,) = dl3.read_irfs(folder)
    >>> found.site, found.zenith, list(found.irfs)
    ('south', <Quantity 20. deg>, ['aeff'])
    """
    folder = expand_path(path)
    indexed = folder.is_dir() and (folder / DataStore.DEFAULT_HDU_TABLE).is_file()
    wanted = None if obs_ids is None else set(obs_ids)
    groups = _indexed(folder, wanted) if indexed else _loose(folder, wanted)
    if not groups:
        raise MissingHDUError(
            f"There are no instrument response functions in '{path}'.",
            remedy="Give a file that holds them, or a folder with index tables that name them.",
        )
    groups = [part for group in groups for part in _by_event_type(group)]
    if event_type is not None:
        known = sorted({group.event_type for group in groups} - {""})
        groups = [group for group in groups if group.event_type == event_type]
        if not groups:
            raise SelectionError(
                f"There is no event type '{event_type}' in '{path}'.",
                remedy=did_you_mean(event_type, known) or "Its headers name none.",
            )
    return [_read(group, hdus or {}) for group in groups]


def _loose(path: Path, wanted: set[int] | None) -> list[_Group]:
    groups = []
    for file in fits_files(path):
        found = read_headers(file)
        hdus = tuple(hdu for hdu in found if hdu.kind in KINDS)
        events = next((hdu for hdu in found if hdu.kind == "events"), None)
        if hdus:
            obs_id = hdus[0].obs_id if events is None else events.obs_id
            groups.append(_Group(hdus, events.header if events else None, obs_id))
    if wanted is None:
        return groups
    _need_runs(wanted, {group.obs_id for group in groups}, path)
    return [group for group in groups if group.obs_id in wanted]


def _indexed(folder: Path, wanted: set[int] | None) -> list[_Group]:
    """Return the responses of each run, runs with the same ones as the first of them."""
    headers: dict[Path, list[HDUInfo]] = {}
    groups: dict[tuple, _Group] = {}
    stores = open_event_types(folder, index="tables")
    if wanted is not None:
        _need_runs(
            wanted, {number for store in stores.values() for number in store.obs_ids}, folder
        )
    for event_type, store in stores.items():
        table = store.hdu_table
        kinds = np.array([str(kind).strip().lower() for kind in table["HDU_TYPE"]])
        runs = np.asarray(table["OBS_ID"])
        for obs_id in dict.fromkeys(runs.tolist()):
            if wanted is not None and obs_id not in wanted:
                continue
            rows = np.flatnonzero(runs == obs_id).tolist()
            hdus = tuple(_at(table, row, headers) for row in rows if kinds[row] in KINDS)
            events = [_at(table, row, headers) for row in rows if kinds[row] == "events"]
            key = (event_type, frozenset((one.path, one.index) for one in hdus))
            if hdus and key not in groups:
                header = events[0].header if events else None
                groups[key] = _Group(hdus, header, int(obs_id), event_type)
            elif hdus:
                # Of several runs, thus of none in particular.
                groups[key] = replace(groups[key], obs_id=None)
    return list(groups.values())


def _at(table: HDUIndexTable, row: int, headers: dict[Path, list[HDUInfo]]) -> HDUInfo:
    """Return the HDU that a row of an index table names."""
    location = table.location_info(int(row))
    file = Path(location.path(abs_path=True))
    if file not in headers:
        headers[file] = read_headers(file)
    for one in headers[file]:
        if one.name.upper() == str(location.hdu_name).strip().upper():
            return one
    raise MissingHDUError(
        f"There is no HDU '{location.hdu_name}' in '{file.name}', though the index names it.",
        remedy="Make the index tables again: ctao-sat data index --overwrite.",
        where=str(file.parent),
    )


def _need_runs(wanted: set[int], known: set, path: Path) -> None:
    absent = sorted(wanted - known)
    if absent:
        names = [str(one) for one in sorted(known - {None})]
        raise SelectionError(
            f"There are no responses of run {absent[0]} in '{path}'.",
            remedy=did_you_mean(str(absent[0]), names) or "Its files do not say of which run.",
        )


def _by_event_type(group: _Group) -> list[_Group]:
    """Split a group that has areas of several event types; what names none is of all."""
    types = list(dict.fromkeys(hdu.event_type for hdu in group.hdus if hdu.kind == "aeff"))
    if group.event_type:
        return [group]
    if len(types) < 2 or "" in types:
        return [replace(group, event_type=types[0] if len(types) == 1 else "")]
    return [
        replace(
            group,
            hdus=tuple(hdu for hdu in group.hdus if hdu.event_type in (event_type, "")),
            event_type=event_type,
        )
        for event_type in types
    ]


def _read(group: _Group, names: Mapping[str, str]) -> IRFSet:
    unknown = [kind for kind in names if kind not in KINDS]
    if unknown:
        raise ConfigError(
            f"There is no kind of response '{unknown[0]}'.", remedy=did_you_mean(unknown[0], KINDS)
        )
    chosen = {
        kind: _one([hdu for hdu in group.hdus if hdu.kind == kind], kind, names.get(kind))
        for kind in KINDS
        if any(hdu.kind == kind for hdu in group.hdus)
    }
    irfs = {kind: _load(hdu) for kind, hdu in chosen.items()}
    files = sorted({hdu.path for hdu in chosen.values()})
    if "aeff" not in chosen:
        raise MissingHDUError(
            f"There is no effective area in '{files[0].name}'.",
            remedy=f"It has {', '.join(chosen)}; give the file or folder that has all of them.",
            where=str(files[0]),
        )
    aeff = chosen["aeff"]
    primary = dict(read_headers(aeff.path)[0].header)
    header = dict(aeff.header) | primary | dict(group.events or {})
    found = describe(
        irfs, header, primary | {"FILE": aeff.path.name}, group.event_type, aeff.path.name
    )
    label = found.label if group.obs_id is None else f"{found.label}, run {group.obs_id}"
    return replace(found, label=label, inputs=tuple(describe_inputs(files)))


def _one(hdus: list[HDUInfo], kind: str, name: str | None) -> HDUInfo:
    if name is not None:
        fitting = [hdu for hdu in hdus if hdu.name.upper() == name.upper()]
        if not fitting:
            raise MissingHDUError(
                f"There is no HDU '{name}' with {kind} in '{hdus[0].path.name}'.",
                remedy=did_you_mean(name, [hdu.name for hdu in hdus]),
                where=str(hdus[0].path),
            )
        hdus = fitting
    elif kind != "bkg":
        # pyirf writes areas of protons and electrons beside those of gamma rays.
        hdus = of_gammas(hdus)
    if not hdus:
        raise MissingHDUError(
            f"No HDU with {kind} is of gamma rays.", remedy=f"Say which: --hdu {kind}=NAME."
        )
    if len(hdus) > 1:
        candidates = ", ".join(f"'{hdu.name}'" for hdu in hdus)
        raise AmbiguousDataError(
            f"There are {len(hdus)} HDUs with {kind}: {candidates}.",
            remedy=f"Say which: hdus={{'{kind}': '{hdus[0].name}'}}, or --hdu {kind}=NAME.",
            where=str(hdus[0].path),
        )
    return hdus[0]


_AXIS_UNITS = {"migra": "", "offset": "deg", "rad": "deg", "fov_lon": "deg", "fov_lat": "deg"}


def _load(hdu: HDUInfo) -> IRF:
    try:
        cls = IRF_REGISTRY.get_cls(hdu.hdu_class)
        with warnings.catch_warnings():
            # Units that FITS does not know are read below.
            warnings.simplefilter("ignore", u.UnitsWarning)
            warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
            # The headers were read to the end before.
            with fits.open(hdu.path, memmap=False) as hdus:
                table = Table.read(hdus[hdu.index])
        irf = cls.from_table(_regular(table))
        _check_usable(irf)
        return irf
    except check.READ_ERRORS as error:
        raise FileFormatError(
            f"The {hdu.kind} in '{hdu.path.name}' cannot be read: {check.reason(error)}.",
            remedy="It is damaged, or not of the GADF format; copy the file again.",
            where=hdu.where,
        ) from error


def _check_usable(irf: IRF) -> None:
    """Raise ValueError for what Gammapy would stumble over later."""
    for axis in irf.axes:
        edges = axis.edges.to_value(_AXIS_UNITS.get(axis.name, "TeV"))
        if not np.all(np.isfinite(edges)) or not np.all(np.diff(edges) > 0):
            raise ValueError(f"the axis '{axis.name}' does not rise")
    dtype = irf.data.dtype
    kinds = [dtype[name].kind for name in dtype.names] if dtype.names else [dtype.kind]
    if not set(kinds) <= set("fiu"):
        raise ValueError("its values are no real numbers")
    if isinstance(irf, ParametricPSF):
        for name in irf.required_parameters:
            (1 * irf.unit[name]).to("deg" if name.startswith("sigma") else irf.unit[name])
    elif not u.Unit(irf.unit).is_equivalent(irf.default_unit):
        raise ValueError(f"the unit '{irf.unit}' is not one of the kind of '{irf.default_unit}'")


def _regular(table: Table) -> Table:
    """Give a table the units and shapes that Gammapy would set with a message each."""
    for name in table.colnames:
        column = table[name]
        if isinstance(column.unit, u.UnrecognizedUnit):
            column.unit = _unit(str(column.unit))
        if column.ndim == 1 and name.endswith(("_LO", "_HI")):
            # An axis of one bin, written as a number.
            table.replace_column(name, column[:, None])
    return table


def _unit(text: str) -> u.UnitBase:
    """Read a unit such as 1/s/MeV/sr, which FITS would write in another way."""
    first, *others = (u.Unit(part.strip() or "1") for part in text.split("/"))
    for other in others:
        first = first / other
    return first
