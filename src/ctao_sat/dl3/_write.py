"""Write observations as DL3 files, completely or not at all."""

import os
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from astropy.io import fits
from astropy.time import Time
from gammapy.data import DataStore, Observation

from ctao_sat.config import expand_path
from ctao_sat.dl3._cards import header
from ctao_sat.dl3._contents import Contents, contents_of
from ctao_sat.dl3._ctao_gadf import conform, index_primary, product_primary
from ctao_sat.dl3._files import creator, write_fits
from ctao_sat.dl3._hdus import table_hdus
from ctao_sat.dl3._index_tables import HDU_INDEX, OBS_INDEX, Entry, entry_of, write_index_tables
from ctao_sat.dl3._product import ProductMetadata, product_metadata
from ctao_sat.errors import (
    ConfigError,
    DataError,
    OutputError,
    SelectionError,
    did_you_mean,
)
from ctao_sat.parallel import progress_bar
from ctao_sat.result import staged_file, staged_folder

__all__ = ["DIALECTS", "Form", "build_hdus", "form", "write", "write_contents", "write_tables"]

DIALECTS = ("gadf", "ctao-gadf")


@dataclass(frozen=True)
class Form:
    """The form that files shall have: dialect, what the caller says of them, rounding."""

    dialect: str
    metadata: ProductMetadata
    rounding: bool = False


def form(
    dialect: str, metadata: Mapping[str, Any] | str | os.PathLike | None, rounding: bool = False
) -> Form:
    """Check the arguments that say which form files shall have.

    Parameters
    ----------
    dialect : {"gadf", "ctao-gadf"}
        The dialect.
    metadata : mapping or path-like, optional
        Product metadata, for "ctao-gadf".
    rounding : bool
        Permit rounding of events.

    Returns
    -------
    form : Form
        Checked.

    Raises
    ------
    ConfigError
        If an argument cannot be used.
    """
    if dialect not in DIALECTS:
        raise ConfigError(
            f"There is no dialect '{dialect}'.", remedy=did_you_mean(str(dialect), DIALECTS)
        )
    if metadata is not None and dialect != "ctao-gadf":
        raise ConfigError(
            f"The dialect '{dialect}' has no place for product metadata.",
            remedy="Choose dialect='ctao-gadf', or leave out `metadata`.",
        )
    return Form(dialect, product_metadata(metadata), rounding)


def write(
    observations: Observation | Iterable[Observation],
    path: str | os.PathLike,
    dialect: str = "gadf",
    *,
    metadata: Mapping[str, Any] | str | os.PathLike | None = None,
    rounding: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Write observations as DL3 files with index tables, completely or not at all.

    Each observation becomes one file with events, good time intervals and all responses it has;
    one observation after the other is read and written, so that memory holds one of them. What
    the format cannot hold is an error, never left out: see :doc:`/dl3-write`.

    Parameters
    ----------
    observations : `~gammapy.data.Observations`, list, or one `~gammapy.data.Observation`
        With events, good time intervals, pointing and location. Their filters are applied:
        what is written is what an analysis would use. Not modified.
    path : path-like
        Folder to make; or, for one observation, a file if it ends with ``.fits`` or ``.fits.gz``.
    dialect : {"gadf", "ctao-gadf"}
        GADF 0.3, or what CTAO makes of it: with product metadata, CTAO's names of facility and
        site, and 32-bit responses.
    metadata : mapping or path-like, optional
        For "ctao-gadf": product metadata as nested mapping, or a YAML file with it, with the names
        of ``ctao-datamodel``. Required are ``contact`` (name, organization, email) and
        ``curation`` (license, license_url), unless the headers of the events give them;
        ``instance`` (facility_name, site_id) if the headers do not say that the data are CTAO's.
    rounding : bool
        For "ctao-gadf": round events whose numbers are wider than its float32. By default this is
        an error. Responses are always rounded.
    overwrite : bool
        Replace the DL3 files that ``path`` holds. A folder with anything else is not touched.
    progress : bool
        Show a progress bar.

    Returns
    -------
    path : `pathlib.Path`
        What was written; `open_dl3` opens a folder. A path, for Gammapy's data store keeps only
        the first of two event types with the same observation number.

    Raises
    ------
    ConfigError
        If an argument cannot be used.
    SelectionError
        If there is no observation.
    MissingHDUError
        If an observation lacks events, good time intervals, pointing or a required response.
    MissingColumnError
        If a column, a location or a required value of the metadata is missing.
    DataError
        If the dialect cannot hold something, or two observations have the same number and event
        type.
    OutputError
        If ``path`` holds something already, or cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from gammapy.data import FixedPointingInfo, Observation
    >>> from ctao_sat import dl3
    >>> from ctao_sat.simulate import observations
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> crab = SkyCoord(83.63, 22.01, unit="deg")
    >>> said = {
    ...     "contact": {"name": "A. Person", "organization": "An institute", "email": "a@b.org"},
    ...     "curation": {"license": "CC-BY-4.0", "license_url": "https://spdx.org/licenses"},
    ...     "instance": {"facility_name": "Simulated-CTAO"},
    ... }
    >>> with TemporaryDirectory() as folder:
    ...     store = observations(
    ...         None, crab, "1 s", "demo-north", np.random.default_rng(0), path=f"{folder}/a"
    ...     )
    ...     path = dl3.write(
    ...         store.get_observations(), f"{folder}/b", "ctao-gadf", metadata=said
    ...     )
    ...     sorted(item.name for item in path.iterdir())
    ['hdu-index.fits.gz', 'obs-index.fits.gz', 'obs_000001.fits']
    """
    wanted = form(dialect, metadata, rounding)
    items = _observations(observations)
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(
            f"`path` is {path!r}, of the type {type(path).__name__}.",
            remedy="Give the name of a folder; of one observation, also of a file 'name.fits'.",
        )
    final = expand_path(path).absolute()
    if final.name.lower().endswith((".fits", ".fits.gz")):
        return _write_one(items, final, wanted, overwrite)
    with staged_folder(
        final, overwrite=overwrite, foreign=_not_dl3, kind="DL3 files", keep_incomplete=False
    ) as folder:
        entries: dict[str, Entry] = {}
        for item in progress_bar(items, description="Writing", progress=progress):
            entry = write_contents(folder, contents_of(item), wanted, taken=entries)
            entries[entry.file_name] = entry
        write_tables(folder, list(entries.values()), wanted)
    return final


def _observations(given: Any) -> list[Observation]:
    """Return what a caller gave as a list of observations."""
    if isinstance(given, Observation):
        return [given]
    remedy = "Give Observations of Gammapy, a list of Observation, or one."
    if isinstance(given, DataStore):
        remedy = "Read the observations first: dl3.read_observations(store, store.obs_ids)."
    items = list(given) if isinstance(given, Iterable) else [given]
    for item in items:
        if not isinstance(item, Observation):
            raise ConfigError(
                f"There are no observations to write in an object of the type "
                f"{type(item).__name__}.",
                remedy=remedy,
            )
    if not items:
        raise SelectionError("There is no observation to write.", remedy="Give at least one.")
    return items


def _write_one(items: list[Observation], path: Path, wanted: Form, overwrite: bool) -> Path:
    if len(items) > 1:
        raise ConfigError(
            f"'{path.name}' is the name of one file; there are {len(items)} observations.",
            remedy="Give the name of a folder.",
        )
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputError(
            f"'{path}' is there already.",
            remedy="Choose another name, or replace the file: overwrite=True.",
        )
    contents = contents_of(items[0])
    with staged_file(path) as temporary:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        write_fits(temporary, build_hdus(contents, wanted, uuid.uuid4)[1])
    return path


def write_contents(
    folder: Path,
    contents: Contents,
    wanted: Form,
    *,
    taken: Mapping[str, Entry] = MappingProxyType({}),
    new_id: Callable[[], uuid.UUID] = uuid.uuid4,
) -> Entry:
    """Write one observation.

    Parameters
    ----------
    folder : `pathlib.Path`
        Where to.
    contents : Contents
        What the file shall hold.
    wanted : Form
        The form it shall have.
    taken : mapping of Entry
        The files that are written already, by name.
    new_id : callable
        Makes identifiers.

    Returns
    -------
    entry : Entry
        What the index tables say of it.

    Raises
    ------
    DataError
        If the dialect cannot hold something, or the name of the file is taken.
    """
    contents, hdus = build_hdus(contents, wanted, new_id)
    name = file_name(contents.obs_id, contents.event_type)
    event_class = str(contents.cards.get("EV_CLASS") or "").strip()
    classes = {one.event_class for one in taken.values() if one.row["OBS_ID"] == contents.obs_id}
    if name in taken and not contents.event_type and event_class not in classes:
        # Without an event type, the class of the events tells observations apart.
        name = file_name(contents.obs_id, event_class)
    if name in taken:
        kind = f" of the event type '{contents.event_type}'" if contents.event_type else ""
        raise DataError(
            f"There are two observations {contents.obs_id}{kind}.",
            remedy="Give each its own number, or say which event type it is: the key EVTYPE in "
            "`observation.events.table.meta`.",
        )
    write_fits(folder / name, hdus)
    return entry_of(contents, name)


def file_name(obs_id: int, event_type: str = "") -> str:
    """Return the file name of an observation.

    Parameters
    ----------
    obs_id : int
        Its number.
    event_type : str
        Its event type, if it has one.

    Returns
    -------
    name : str
        For example ``obs_000001.fits``, or ``obs_000001_type-1.fits``.
    """
    kind = re.sub(r"[^A-Za-z0-9.+-]+", "-", event_type)
    return f"obs_{obs_id:06d}{'_' if kind else ''}{kind}.fits"


def build_hdus(
    contents: Contents, wanted: Form, new_id: Callable[[], uuid.UUID] = uuid.uuid4
) -> tuple[Contents, list[Any]]:
    """Return all HDUs of a file.

    Parameters
    ----------
    contents : Contents
        What the file shall hold.
    wanted : Form
        The form it shall have.
    new_id : callable
        Makes identifiers.

    Returns
    -------
    contents : Contents
        As they are written.
    hdus : list of HDUs
        The primary one first.

    Raises
    ------
    DataError
        If the dialect cannot hold something, or lacks a required value.
    """
    if wanted.dialect == "gadf":
        return contents, [_plain_primary(), *table_hdus(contents)]
    contents = conform(contents, wanted.metadata, wanted.rounding)
    primary = product_primary(contents, wanted.metadata, _now(), new_id)
    primary.header["CREATOR"] = creator()
    return contents, [primary, *table_hdus(contents, float32=True)]


def _plain_primary() -> fits.PrimaryHDU:
    primary = fits.PrimaryHDU()
    cards = {"CREATOR": creator(), "CREATED": _now().isot}
    primary.header.extend(header(cards), end=True)
    return primary


def _now() -> Time:
    now = Time.now()
    now.precision = 0
    return now


def write_tables(
    folder: Path,
    entries: list[Entry],
    wanted: Form,
    new_id: Callable[[], uuid.UUID] = uuid.uuid4,
) -> None:
    """Write the index tables of a folder.

    Parameters
    ----------
    folder : `pathlib.Path`
        Where the files are.
    entries : list of Entry
        What `write_contents` returned.
    wanted : Form
        The form they shall have.
    new_id : callable
        Makes identifiers.
    """
    if wanted.dialect == "gadf":
        write_index_tables(folder, entries)
        return
    first = fits.getheader(folder / entries[0].file_name)
    primaries = [
        index_primary(kind, first, wanted.metadata, _now(), new_id())
        for kind in ("ObservationCatalog", "HDUIndex")
    ]
    write_index_tables(folder, entries, primaries)


def _not_dl3(path: Path) -> list[str]:
    """Return the names in a folder that this module does not make."""
    ours = (OBS_INDEX, HDU_INDEX, "obs_*.fits")
    return sorted(
        item.name
        for item in path.iterdir()
        if not (item.is_file() and any(item.match(pattern) for pattern in ours))
    )
