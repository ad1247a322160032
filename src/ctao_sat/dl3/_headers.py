"""Read what FITS headers say about the tables of a DL3 file."""

import datetime
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits
from gammapy.data import HDUIndexTable

from ctao_sat.config import expand_path
from ctao_sat.dl3 import _check as check
from ctao_sat.errors import ConfigError, FileFormatError, MissingDataError

__all__ = [
    "HDUInfo",
    "fits_files",
    "hdu_infos",
    "header_text",
    "path_list",
    "read_headers",
    "start_text",
]

_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz")

_KINDS = {"EVENTS": "events", "GTI": "gti", "POINTING": "pointing", "INDEX": "index"}

# HDUCLAS2 of responses; pyirf and Prod5 write PSF where GADF says RPSF.
_RESPONSES = {
    "EFF_AREA": "aeff",
    "EDISP": "edisp",
    "RPSF": "psf",
    "PSF": "psf",
    "BKG": "bkg",
    "RAD_MAX": "rad_max",
}

# Asked only of tables without HDUCLAS1: the names that GADF recommends, with those in use.
_EXTNAMES = {
    "EVENTS": "events",
    "GTI": "gti",
    "POINTING": "pointing",
    "EFFECTIVE AREA": "aeff",
    "AEFF": "aeff",
    "ENERGY DISPERSION": "edisp",
    "EDISP": "edisp",
    "POINT SPREAD FUNCTION": "psf",
    "PSF": "psf",
    "BACKGROUND": "bkg",
    "BKG": "bkg",
    "RAD_MAX": "rad_max",
    "OBS_INDEX": "index",
    "HDU_INDEX": "index",
}

# Asked only of responses without HDUCLAS4: columns that one class alone has.
_CLASS_COLUMNS = {
    "aeff": {"aeff_2d": {"EFFAREA", "THETA_LO"}},
    "edisp": {"edisp_2d": {"MATRIX", "MIGRA_LO", "THETA_LO"}},
    "psf": {
        "psf_table": {"RPSF", "RAD_LO"},
        "psf_3gauss": {"SCALE", "SIGMA_1"},
        "psf_king": {"SIGMA", "GAMMA"},
    },
    "bkg": {"bkg_3d": {"DETX_LO", "DETY_LO"}, "bkg_2d": {"THETA_LO"}},
    "rad_max": {"rad_max_2d": {"RAD_MAX", "THETA_LO"}},
}


@dataclass(frozen=True)
class HDUInfo:
    """What the header of one HDU says.

    Parameters
    ----------
    path : Path
        The file.
    index : int
        Position in the file; 0 is the primary HDU.
    name : str
        ``EXTNAME`` as written, empty if there is none.
    kind : str
        ``HDU_TYPE`` of GADF, or ``index``; empty if it is none of them.
    hdu_class : str
        ``HDU_CLASS`` of GADF, which Gammapy reads; empty if it is none of those.
    header : `~astropy.io.fits.Header`
        The header.
    columns : dict of str
        Unit of each column, empty if it has none.
    obs_id : int or None
        ``OBS_ID``, of the primary header where the HDU has none.
    event_type : str
        ``EVTYPE``, of the primary header where the HDU has none; else ``EV_CLASS``.
    point_like : bool
        Whether the response holds a cut in direction.
    """

    path: Path
    index: int
    name: str
    kind: str
    hdu_class: str
    header: fits.Header
    columns: dict[str, str]
    obs_id: int | None
    event_type: str
    point_like: bool

    @property
    def where(self) -> str:
        """File and HDU, as error messages name them."""
        return f"{self.path.name}[{self.name or self.index}]"


def read_headers(path: str | os.PathLike) -> list[HDUInfo]:
    """Read the headers of all HDUs of a file, and no data.

    Parameters
    ----------
    path : path-like
        A FITS file, gzip or not.

    Returns
    -------
    hdus : list of `HDUInfo`
        In the order of the file, the primary HDU included.

    Raises
    ------
    MissingDataError
        If the file is not there.
    FileFormatError
        If it is truncated, damaged or no FITS file.
    """
    file = expand_path(path)
    if not file.is_file():
        raise MissingDataError(f"There is no file '{file}'.", remedy="Check the path.")
    try:
        return hdu_infos(file, check.all_headers(file))
    except check.READ_ERRORS as error:
        raise FileFormatError(
            f"The file '{file.name}' cannot be read: {check.reason(error)}.",
            remedy="It is truncated, damaged or no FITS file; copy it again, or leave it out.",
            where=str(file),
        ) from error


def hdu_infos(path: Path, headers: list[fits.Header]) -> list[HDUInfo]:
    """Return what the headers of a file say; a damaged header raises one of `READ_ERRORS`."""
    return [_info(path, index, header, headers[0]) for index, header in enumerate(headers)]


def _info(path: Path, index: int, header: fits.Header, primary: fits.Header) -> HDUInfo:
    columns = _columns(header)
    kind = _kind(header) if columns else ""
    hdu_class = _hdu_class(header, kind, columns)
    if not hdu_class and not header_text(header, "HDUCLAS1"):
        # A name alone, such as PSF, is also that of other tables.
        kind = "" if kind != "index" else kind
    obs_id = _integer(header.get("OBS_ID"))
    return HDUInfo(
        path=path,
        index=index,
        name=header_text(header, "EXTNAME"),
        kind=kind,
        hdu_class=hdu_class,
        header=header,
        columns=columns,
        obs_id=_integer(primary.get("OBS_ID")) if obs_id is None else obs_id,
        event_type=header_text(header, "EVTYPE")
        or header_text(primary, "EVTYPE")
        or header_text(header, "EV_CLASS"),
        point_like=header_text(header, "HDUCLAS3").upper() == "POINT-LIKE",
    )


def _columns(header: fits.Header) -> dict[str, str]:
    """Return name and unit of the columns; none if the HDU is no table."""
    if header_text(header, "XTENSION") != "BINTABLE":
        return {}
    numbers = range(1, (_integer(header.get("TFIELDS")) or 0) + 1)
    names = {number: header_text(header, f"TTYPE{number}") for number in numbers}
    return {name: header_text(header, f"TUNIT{number}") for number, name in names.items() if name}


def _kind(header: fits.Header) -> str:
    first = header_text(header, "HDUCLAS1").upper()
    if first == "RESPONSE":
        return _RESPONSES.get(header_text(header, "HDUCLAS2").upper(), "")
    if first:
        return _KINDS.get(first, "")
    return _EXTNAMES.get(header_text(header, "EXTNAME").upper(), "")


def _hdu_class(header: fits.Header, kind: str, columns: Iterable[str]) -> str:
    if kind not in _CLASS_COLUMNS:
        return kind if kind != "index" else ""
    fourth = header_text(header, "HDUCLAS4").lower()
    if fourth:
        # CTA-1DC writes 2D, 3D and 3GAUSS.
        named = fourth if fourth.startswith(f"{kind}_") else f"{kind}_{fourth}"
        return named if named in HDUIndexTable.VALID_HDU_CLASS else ""
    found = set(columns)
    fitting = [name for name, needed in _CLASS_COLUMNS[kind].items() if needed <= found]
    return fitting[0] if len(fitting) == 1 else ""


def header_text(header: fits.Header | Mapping[str, Any], key: str) -> str:
    """Return a value of a header as text, empty if there is none."""
    value = header.get(key, "")
    return "" if isinstance(value, fits.card.Undefined) else str(value).strip()


def start_text(header: fits.Header | Mapping[str, Any]) -> str | None:
    """Return date and time of DATE-OBS and TIME-OBS, None if there are none.

    Parameters
    ----------
    header : `~astropy.io.fits.Header` or mapping
        Of events.

    Returns
    -------
    text : str or None
        In ISO format, in UTC or in the scale of the events.
    """
    # CTA-1DC writes DATE_OBS.
    day, time = (
        header_text(header, f"{key}-OBS") or header_text(header, f"{key}_OBS")
        for key in ("DATE", "TIME")
    )
    text = day if "T" in day else f"{day}T{time}"
    try:
        found = datetime.datetime.fromisoformat(text)
        return found.replace(tzinfo=None).isoformat() if "T" in text else None
    except ValueError:
        return None


def _integer(value: Any) -> int | None:
    """Return a whole number, also one that is written as a text, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        return int(value) if number.is_integer() else None
    except (ValueError, OverflowError):
        return None


def path_list(paths: Any) -> list[str | os.PathLike]:
    """Return paths as a list.

    Parameters
    ----------
    paths : path-like, or an iterable of them
        As a caller gives them.

    Returns
    -------
    paths : list of path-like
        At least one.

    Raises
    ------
    ConfigError
        If it is something else.
    MissingDataError
        If there is none.
    """
    if isinstance(paths, str | os.PathLike):
        return [paths]
    found = list(paths) if isinstance(paths, Iterable) else [paths]
    for path in found:
        if not isinstance(path, str | os.PathLike):
            raise ConfigError(
                f"{path!r} is no path; it is of the type {type(path).__name__}.",
                remedy="Give a folder or a file, or a list of them.",
            )
    if not found:
        raise MissingDataError(
            "There is no FITS file: the list of paths is empty.",
            remedy="Name at least one folder or file.",
        )
    return found


def fits_files(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """Return the FITS files in folders, and those that are named.

    Parameters
    ----------
    paths : path-like, or an iterable of them
        Folders, which are searched with all folders in them, or files. ``~`` and environment
        variables are expanded. Files whose name begins with a dot are no data.

    Returns
    -------
    files : list of Path
        Sorted, each file once.

    Raises
    ------
    MissingDataError
        If a path is not there, or there is no FITS file.
    """
    named = path_list(paths)
    files: dict[Path, Path] = {}
    for path in map(expand_path, named):
        if path.is_file():
            files.setdefault(path.resolve(), path)
        elif path.is_dir():
            for file in _walk(path):
                files.setdefault(file.resolve(), file)
        else:
            raise MissingDataError(
                f"There is no file or folder '{path}'.", remedy="Check the path."
            )
    if not files:
        raise MissingDataError(
            f"There is no FITS file in {', '.join(repr(str(path)) for path in named)}.",
            remedy=f"Files end in one of: {', '.join(_SUFFIXES)}.",
        )
    return sorted(files.values())


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the FITS files in a folder; links are followed, each folder once."""
    seen: set[Path] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        here = Path(root).resolve()
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        for name in names:
            if name.lower().endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(root) / name
