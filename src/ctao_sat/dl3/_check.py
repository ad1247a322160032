"""Check the parts of an observation for faults that Gammapy would meet late, or never."""

import collections
import contextlib
import gzip
import io
import itertools
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.io.registry import IORegistryError
from astropy.time import ScaleValueError
from astropy.utils.exceptions import AstropyUserWarning
from gammapy.data import EventList

from ctao_sat.dl3._fits_structure import check_structure
from ctao_sat.errors import DataError, FileFormatError, MissingColumnError

__all__ = [
    "READ_ERRORS",
    "all_headers",
    "check_content",
    "check_disjoint",
    "check_events_hdu",
    "check_table_file",
    "exclude_remedy",
    "hdu_names",
    "need_columns",
    "open_fits",
    "reason",
]

_EVENT_COLUMNS = {"TIME": "s", "ENERGY": "TeV", "RA": "deg", "DEC": "deg"}
_GZIP = b"\x1f\x8b\x08"
_HEADER_KEYS = ("OBS_ID", "MJDREFI", "MJDREFF", "LIVETIME", "DEADC", "ONTIME")

# What astropy and Gammapy raise on files that are not what they should be.
READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    u.UnitsError,
    VerifyError,
    AstropyUserWarning,
    # On headers that contradict themselves.
    AssertionError,
    NameError,
    MemoryError,
    OverflowError,
    IORegistryError,
    ScaleValueError,
)


def exclude_remedy(obs_id: int) -> str:
    """Return the remedy that is always at hand."""
    return f"exclude the run with `data.exclude_ids: [{obs_id}]`"


def reason(error: BaseException) -> str:
    """Return why something failed, as half a sentence."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    if isinstance(error, KeyError):
        text = str(error.args[0]) if error.args else text
        text = text if " " in text else f"'{text}' is missing"
    return text.rstrip(".")


def _open_binary(path: Path) -> BinaryIO:
    """Open a file; one that is compressed is unpacked, which verifies its checksum, too."""
    with path.open("rb") as file:
        zipped = file.read(len(_GZIP)) == _GZIP
    return io.BytesIO(gzip.decompress(path.read_bytes())) if zipped else path.open("rb")


@contextlib.contextmanager
def open_fits(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file; a damaged one raises one of `READ_ERRORS`."""
    # Opened here, because astropy does not close what it cannot read.
    with warnings.catch_warnings(), _open_binary(path) as file:
        check_structure(file)
        file.seek(0)
        # What astropy only warns of.
        warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
        warnings.filterwarnings("error", "Error validating header", VerifyWarning)
        with fits.open(file, memmap=False) as hdus:
            yield hdus


def all_headers(path: Path) -> list[fits.Header]:
    """Return the headers of all HDUs; a damaged file raises one of `READ_ERRORS`."""
    with open_fits(path) as hdus:
        headers = [hdu.header for hdu in hdus]
        for header in headers:
            # Astropy reads a card when it is asked for, and only then says that it cannot.
            collections.deque(header.values(), maxlen=0)
    return headers


def hdu_names(path: Path) -> list[str]:
    """Return the names of all HDUs, in capitals; a damaged file raises one of `READ_ERRORS`."""
    with open_fits(path) as hdus:
        return [hdu.name.upper() for hdu in hdus]


def check_table_file(path: Path) -> None:
    """Raise an error unless a file holds a FITS table."""
    remedy = "The file is truncated or no FITS table; copy or make it again."
    try:
        with open_fits(path) as hdus:
            found = any(isinstance(hdu, fits.BinTableHDU) and hdu.columns for hdu in hdus)
    except READ_ERRORS as error:
        raise FileFormatError(
            f"The index table '{path.name}' cannot be read: {reason(error)}.",
            remedy=remedy,
            where=str(path),
        ) from error
    if not found:
        raise FileFormatError(
            f"The index table '{path.name}' cannot be read: there is no table in it.",
            remedy=remedy,
            where=str(path),
        )


def check_events_hdu(obs_id: int, path: Path, hdu_name: str) -> None:
    """Check header keys, columns and units of events."""
    with open_fits(path) as hdus:
        header = hdus[hdu_name].header
        if "OBS_ID" in hdus[0].header:
            # CTAO-GADF identifies a product in its primary header.
            header.setdefault("OBS_ID", hdus[0].header["OBS_ID"])
        units = {column.name: column.unit for column in hdus[hdu_name].columns}
    where = f"{path.name}[{hdu_name}]"
    absent = [key for key in _HEADER_KEYS if key not in header]
    if absent:
        raise MissingColumnError(
            f"The events of observation {obs_id} lack the header keys {', '.join(absent)}.",
            remedy="GADF requires them; add them to the EVENTS header.",
            where=where,
        )
    for key in _HEADER_KEYS:
        if key != "OBS_ID" and (not isinstance(header[key], Real) or isinstance(header[key], bool)):
            raise DataError(
                f"The header key {key} of observation {obs_id} is {header[key]!r}, not a number.",
                remedy="Correct it in the EVENTS header.",
                where=where,
            )
    need_columns(units, _EVENT_COLUMNS, f"events table of observation {obs_id}", where)
    for name, unit in _EVENT_COLUMNS.items():
        if not _is_unit(units[name], unit):
            found = f"the unit '{units[name]}'" if units[name] else "no unit"
            raise MissingColumnError(
                f"The column {name} of observation {obs_id} has {found}.",
                remedy=f"Set its unit to one of the kind of '{unit}'.",
                where=where,
            )


def _is_unit(found: str | None, expected: str) -> bool:
    if not found:
        return False
    try:
        return u.Unit(found).is_equivalent(u.Unit(expected))
    except (ValueError, TypeError):
        return False


def need_columns(found: Iterable[str], columns: Iterable[str], name: str, where: Any) -> None:
    """Raise an error unless all of some columns are among those of a table."""
    names = list(found)
    absent = [column for column in columns if column not in names]
    if absent:
        raise MissingColumnError(
            f"The {name} has no column {', '.join(absent)}.",
            remedy=f"It has: {', '.join(map(str, names))}.",
            where=str(where),
        )


def check_disjoint(obs_id: int, lists: Mapping[str, EventList]) -> None:
    """Check that no event of an observation is of two event types."""
    if len(lists) < 2:
        return
    places = {name: (of.time.mjd, of.radec.ra.deg, of.radec.dec.deg) for name, of in lists.items()}
    for one, other in itertools.combinations(places, 2):
        (time, ra, dec), (other_time, other_ra, other_dec) = places[one], places[other]
        _, i, j = np.intersect1d(time, other_time, return_indices=True)
        same = (ra[i] == other_ra[j]) & (dec[i] == other_dec[j])
        if same.any():
            raise DataError(
                f"{np.count_nonzero(same)} events of observation {obs_id} are of both event types "
                f"'{one}' and '{other}': together they would count twice.",
                remedy="Take event types that share no events, or one of them "
                f"(`data.event_types: [{one}]`).",
            )


def check_content(obs_id: int, name: str, content: Any, where: str) -> None:
    """Check that events, good time intervals or instrument responses are finite, and some."""
    if name == "gti":
        _check_gti(obs_id, content, where)
        return
    if name == "events":
        radec = content.radec
        columns = [content.time.mjd, content.energy.value, radec.ra.deg, radec.dec.deg]
        remedy = "Remove these events"
    else:
        data = content.data
        # A parametric PSF has a field a parameter.
        columns = [data[field] for field in data.dtype.names] if data.dtype.names else [data]
        remedy = "Take other instrument responses"
    bad = sum(int(np.count_nonzero(~np.isfinite(column))) for column in columns)
    if bad:
        raise DataError(
            f"The {name} of observation {obs_id} have {bad} values that are not finite.",
            remedy=f"{remedy}, or {exclude_remedy(obs_id)}.",
            where=where,
        )


def _check_gti(obs_id: int, gti: Any, where: str) -> None:
    lengths = gti.time_delta.to_value("s") if len(gti.table) else np.zeros(0)
    if np.all(lengths >= 0) and np.sum(lengths) > 0:
        return
    fault = "end before they begin" if np.any(lengths < 0) else "are empty"
    raise DataError(
        f"The good time intervals of observation {obs_id} {fault}.",
        remedy=f"Correct them, or {exclude_remedy(obs_id)}.",
        where=where,
    )
