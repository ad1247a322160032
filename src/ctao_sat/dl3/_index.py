"""Build the index tables of DL3 files from their headers."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from gammapy.data import DataStore, HDUIndexTable, ObservationTable

from ctao_sat.config import expand_path
from ctao_sat.dl3._files import gzipped
from ctao_sat.dl3._hdus import GADF
from ctao_sat.dl3._headers import HDUInfo, fits_files, header_text, path_list, read_headers
from ctao_sat.dl3._match import ObservationHDUs, match_hdus
from ctao_sat.errors import MissingColumnError, OutputError
from ctao_sat.parallel import progress_bar
from ctao_sat.result import staged_file

__all__ = ["FROM_HEADERS", "index_tables", "write_index"]

# Marks tables that were built from headers, and not read from a file; not written.
FROM_HEADERS = "HEADERS"

_INDEX = {**GADF, "HDUCLAS1": "INDEX"}
_NEEDED = ("TSTART", "TSTOP")
_POINTING = ("RA_PNT", "DEC_PNT")
# GADF's columns that headers state; none is written if no header has it.
_NUMBERS = {
    "ALT_PNT": "deg",
    "AZ_PNT": "deg",
    "RA_OBJ": "deg",
    "DEC_OBJ": "deg",
    "ONTIME": "s",
    "LIVETIME": "s",
    "DEADC": "",
}
_TEXTS = ("OBJECT", "OBS_MODE", "TELESCOP", "INSTRUME", "TELLIST")
_DATES = ("DATE-OBS", "TIME-OBS", "DATE-END", "TIME-END")
_SITE = ("GEOLON", "GEOLAT", "ALTITUDE")
_REFERENCE = ("MJDREFI", "MJDREFF", "TIMEUNIT", "TIMESYS", "TIMEREF")


def index_tables(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    base_dir: str | os.PathLike | None = None,
    progress: bool = False,
) -> tuple[HDUIndexTable, ObservationTable]:
    """Build the index tables of DL3 files from their headers.

    What a table is, is read from ``HDUCLAS1`` to ``HDUCLAS4``, and from ``EXTNAME`` where these are
    absent. Events and responses may be in the same file or in separate ones; they are put
    together by ``OBS_ID``, event type (``EVTYPE``, else ``EV_CLASS``) or, with one set of
    responses, for all. Index tables that are there already are not used.

    Parameters
    ----------
    paths : path-like, or an iterable of them
        Folders, which are searched with all folders in them, or files, gzip or not.
    base_dir : path-like, optional
        Folder that ``FILE_DIR`` is relative to. Default: the folder, or what paths share.
    progress : bool
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    hdu_table : `~gammapy.data.HDUIndexTable`
        A row each table of each observation and event type; GADF's columns with ``EVTYPE``.
    obs_table : `~gammapy.data.ObservationTable`
        A row each observation and event type.

    Raises
    ------
    MissingDataError
        If a path is not there, or there are no FITS files.
    FileFormatError
        If a file is damaged.
    MissingHDUError
        If no file has an event list.
    MissingColumnError
        If a header lacks a key without which the index cannot be made.
    AmbiguousDataError
        If it cannot be told which tables belong together.

    Examples
    --------
    >>> from ctao_sat import dl3
    >>> hdus, runs = dl3.index_tables("$GAMMAPY_DATA/hess-dl3-dr1")  # doctest: +SKIP
    """
    named = path_list(paths)
    files = fits_files(named)
    hdus = _read(files, progress)
    if not any(hdu.kind in ("aeff", "edisp") for hdu in hdus):
        hdus += _read(_caldb_files(hdus), progress)
    observations = match_hdus(hdus)
    base = _base_dir(named, files) if base_dir is None else expand_path(base_dir).absolute()
    return _hdu_table(observations, base), _obs_table(observations)


def _read(files: Iterable[Path], progress: bool) -> list[HDUInfo]:
    bar = progress_bar(list(files), description="Reading headers", progress=progress)
    return [hdu for file in bar for hdu in read_headers(file)]


def _caldb_files(hdus: list[HDUInfo]) -> list[Path]:
    """Return the files in ``$CALDB`` that events without any responses name, as CTA-1DC does."""
    root = os.environ.get("CALDB")
    keys = {
        tuple(header_text(hdu.header, key) for key in ("TELESCOP", "CALDB", "IRF"))
        for hdu in hdus
        if hdu.kind == "events"
    }
    folders = [
        Path(root, "data", telescope.lower(), caldb, "bcf", irf)
        for telescope, caldb, irf in keys
        if root and telescope and caldb and irf
    ]
    return (
        fits_files(sorted(filter(Path.is_dir, folders))) if any(map(Path.is_dir, folders)) else []
    )


def _base_dir(named: list[str | os.PathLike], files: list[Path]) -> Path:
    first = expand_path(named[0])
    if len(named) == 1 and first.is_dir():
        return first.absolute()
    return Path(os.path.commonpath([file.absolute().parent for file in files]))


def _hdu_table(observations: list[ObservationHDUs], base: Path) -> HDUIndexTable:
    rows = [
        {
            "OBS_ID": observation.obs_id,
            "HDU_TYPE": hdu.kind,
            "HDU_CLASS": hdu.hdu_class,
            "FILE_DIR": Path(os.path.relpath(hdu.path.absolute().parent, base)).as_posix(),
            "FILE_NAME": hdu.path.name,
            "HDU_NAME": hdu.name,
            "EVTYPE": observation.event_type,
        }
        for observation in observations
        for hdu in (observation.events, *observation.parts.values())
    ]
    table = HDUIndexTable(rows=rows)
    table.meta = {**_INDEX, "HDUCLAS2": "HDU", "BASE_DIR": str(base), FROM_HEADERS: True}
    return table


def _obs_table(observations: list[ObservationHDUs]) -> ObservationTable:
    lists = [observation.events for observation in observations]
    headers = [events.header for events in lists]
    table = ObservationTable(
        {
            "OBS_ID": np.array([observation.obs_id for observation in observations]),
            "EVTYPE": [observation.event_type for observation in observations],
        }
    )
    for name in _POINTING:
        table[name] = [_pointing(events, name) for events in lists] * u.deg
    galactic = SkyCoord(table["RA_PNT"], table["DEC_PNT"], unit="deg").galactic
    table["GLON_PNT"], table["GLAT_PNT"] = galactic.l.to("deg"), galactic.b.to("deg")
    for name, unit in _NUMBERS.items():
        values = [_number(header, name) for header in headers]
        if np.isfinite(values).any():
            table[name] = values * u.Unit(unit) if unit else values
    if "ALT_PNT" in table.colnames:
        table["ZEN_PNT"] = 90 * u.deg - table["ALT_PNT"]
    reference, times = _times(lists)
    for name, values in times.items():
        table[name] = values * u.s
    for name in (*_TEXTS, *_DATES):
        # CTA-1DC writes DATE_OBS.
        texts = [header_text(h, name) or header_text(h, name.replace("-", "_")) for h in headers]
        if any(texts):
            table[name] = texts
    telescopes = [_number(header, "N_TELS") for header in headers]
    if np.isfinite(telescopes).all():
        table["N_TELS"] = np.array(telescopes, dtype=int)
    table["EVENT_COUNT"] = [int(header["NAXIS2"]) for header in headers]
    table.meta = {**_INDEX, "HDUCLAS2": "OBS", **reference, **_site(headers)}
    return table


def _site(headers: list[fits.Header]) -> dict[str, float]:
    """Return the site that all headers agree on; none if they differ, as those of CTA-1DC do."""
    sites = {tuple(_number(header, key) for key in _SITE) for header in headers}
    site = sites.pop()
    return {} if sites or not np.isfinite(site).all() else dict(zip(_SITE, site, strict=True))


def _number(header: fits.Header, key: str) -> float:
    """Return a number of a header, NaN if there is none."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return np.nan
    try:
        return float(value)
    except ValueError:
        return np.nan


def _needed(events: HDUInfo, key: str) -> float:
    value = _number(events.header, key)
    if not np.isfinite(value):
        found = events.header.get(key)
        raise MissingColumnError(
            f"The header key {key} of observation {events.obs_id} is "
            f"{'absent' if found is None else f'{found!r}, no number'}.",
            remedy="GADF requires it; put it into the header of the events, or leave the file out.",
            where=events.where,
        )
    return value


def _pointing(events: HDUInfo, key: str) -> float:
    # A drift scan points to no fixed place in the sky.
    if header_text(events.header, "OBS_MODE").upper() == "DRIFT":
        return _number(events.header, key)
    return _needed(events, key)


def _times(lists: list[HDUInfo]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the reference of the first event list, and start and stop of all relative to it."""
    references = [(_needed(h, "MJDREFI"), _needed(h, "MJDREFF"), _scale(h)) for h in lists]
    first = references[0]
    zero = Time(first[0], first[1], format="mjd", scale=first[2])
    times: dict[str, list[float]] = {}
    for name in _NEEDED:
        values = [_needed(events, name) for events in lists]
        for i, (whole, fraction, scale) in enumerate(references):
            if (whole, fraction, scale) != first:
                time = Time(whole, fraction, format="mjd", scale=scale) + values[i] * u.s
                values[i] = float((getattr(time, zero.scale) - zero).to_value("s"))
        times[name] = values
    header = lists[0].header
    return {key: header[key] for key in _REFERENCE if key in header}, times


def _scale(events: HDUInfo) -> str:
    scale = (header_text(events.header, "TIMESYS") or "tt").lower()
    if scale not in Time.SCALES:
        raise MissingColumnError(
            f"TIMESYS of observation {events.obs_id} is '{scale.upper()}', no scale of time.",
            remedy=f"Take one of {', '.join(sorted(Time.SCALES)).upper()}.",
            where=events.where,
        )
    return scale


def write_index(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike | None = None,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> tuple[HDUIndexTable, ObservationTable]:
    """Write the index tables of DL3 files: ``hdu-index.fits.gz``, ``obs-index.fits.gz``.

    Parameters
    ----------
    paths : path-like, or an iterable of them
        Folders or files, see `index_tables`.
    out : path-like, optional
        Folder to write to. Default: the folder of the data. The tables name the data relative to
        it; keep them together.
    overwrite : bool
        Replace index tables that are there.
    progress : bool
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    hdu_table, obs_table : `~gammapy.data.HDUIndexTable`, `~gammapy.data.ObservationTable`
        What was written.

    Raises
    ------
    OutputError
        If the tables are there and shall not be overwritten, or cannot be written.
    DataError
        As `index_tables`.
    """
    named = path_list(paths)
    if out is not None:
        folder = expand_path(out)
    else:
        files = fits_files(named)
        folder = _base_dir(named, files)
    targets = [folder / DataStore.DEFAULT_HDU_TABLE, folder / DataStore.DEFAULT_OBS_TABLE]
    there = [target for target in targets if target.exists()]
    if there and not overwrite:
        raise OutputError(
            f"'{there[0]}' is there already.",
            remedy="Replace it with --overwrite (overwrite=True), or write to another folder.",
        )
    tables = index_tables(named, base_dir=folder, progress=progress)
    contents = [
        _gzipped(table, name)
        for table, name in zip(tables, ("HDU_INDEX", "OBS_INDEX"), strict=True)
    ]
    with staged_file(targets[0]) as first, staged_file(targets[1]) as second:
        first.parent.mkdir(parents=True, exist_ok=True)
        first.write_bytes(contents[0])
        second.write_bytes(contents[1])
    return tables


def _gzipped(table: Table, name: str) -> bytes:
    """Return a table as the bytes of a FITS file, the same for the same table."""
    plain = Table(table)
    plain.meta = {
        key: value for key, value in table.meta.items() if key not in ("BASE_DIR", FROM_HEADERS)
    }
    try:
        return gzipped([fits.PrimaryHDU(), fits.BinTableHDU(plain, name=name)])
    except UnicodeEncodeError as error:
        raise OutputError(
            f"FITS cannot hold the text '{error.object}': it is not ASCII.",
            remedy="Rename the file or folder, or open it without index tables.",
        ) from error
