"""Read a file once, for all checks."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from ctao_sat.dl3 import _check
from ctao_sat.dl3._headers import HDUInfo, hdu_infos, header_text

__all__ = [
    "AXES",
    "COLUMNS",
    "FAILURES",
    "Content",
    "TableData",
    "header_number",
    "index_type",
    "is_dialect",
    "read_content",
    "safe_bins",
]

# What damaged files make of reading and arithmetic. Astropy asserts something, or stumbles over a
# name that it has not set; numpy allocates what it is told.
FAILURES = (
    *_check.READ_ERRORS,
    ArithmeticError,
    AssertionError,
    MemoryError,
    UnboundLocalError,
)

# Columns of a response, by the class: the name in GADF, and the unit that the values are of.
_ENERGY = {"ENERG_LO": "TeV", "ENERG_HI": "TeV"}
_THETA = {"THETA_LO": "deg", "THETA_HI": "deg"}
_RAD = {"RAD_LO": "deg", "RAD_HI": "deg"}
_DET = {"DETX_LO": "deg", "DETX_HI": "deg", "DETY_LO": "deg", "DETY_HI": "deg"}
_GAUSS = {f"SIGMA_{i}": "deg" for i in (1, 2, 3)} | {"AMPL_2": "", "AMPL_3": ""}
_RATE = "s-1 TeV-1 sr-1"
COLUMNS: dict[str, dict[str, str]] = {
    "events": {"EVENT_ID": "", "TIME": "s", "RA": "deg", "DEC": "deg", "ENERGY": "TeV"},
    "gti": {"START": "s", "STOP": "s"},
    "aeff_2d": {**_ENERGY, **_THETA, "EFFAREA": "m2"},
    "edisp_2d": {**_ENERGY, "MIGRA_LO": "", "MIGRA_HI": "", **_THETA, "MATRIX": ""},
    "psf_table": {**_ENERGY, **_THETA, **_RAD, "RPSF": "sr-1"},
    "psf_3gauss": {**_ENERGY, **_THETA, "SCALE": "sr-1", **_GAUSS},
    "psf_king": {**_ENERGY, **_THETA, "SIGMA": "deg", "GAMMA": ""},
    "bkg_2d": {**_ENERGY, **_THETA, "BKG": _RATE},
    "bkg_3d": {**_ENERGY, **_DET, "BKG": _RATE},
    "rad_max_2d": {**_ENERGY, **_THETA, "RAD_MAX": "deg"},
}
# Axes of a response, in the order of numpy, thus the reverse of that in the file.
AXES: dict[str, tuple[str, ...]] = {
    "aeff_2d": ("THETA", "ENERG"),
    "edisp_2d": ("THETA", "MIGRA", "ENERG"),
    "psf_table": ("RAD", "THETA", "ENERG"),
    "psf_3gauss": ("THETA", "ENERG"),
    "psf_king": ("THETA", "ENERG"),
    "bkg_2d": ("THETA", "ENERG"),
    "bkg_3d": ("ENERG", "DETY", "DETX"),
    "rad_max_2d": ("THETA", "ENERG"),
}
# Names in use that Gammapy reads as well.
_OTHER_NAMES = {"ETRUE_LO": "ENERG_LO", "ETRUE_HI": "ENERG_HI", "BGD": "BKG"}


@dataclass(frozen=True)
class TableData:
    """A table of a file: its header, and its columns by their names in GADF.

    A response has one row, which is what is kept of it.
    """

    info: HDUInfo
    columns: dict[str, NDArray]
    units: dict[str, str]
    n_rows: int

    @property
    def hdu(self) -> str:
        """Name, or number, of the HDU."""
        return self.info.name or str(self.info.index)

    @property
    def header(self) -> fits.Header:
        """The header."""
        return self.info.header

    @property
    def required(self) -> dict[str, str]:
        """Return the columns that GADF requires, with their units."""
        return COLUMNS.get(self.info.hdu_class, {})

    @property
    def values(self) -> list[str]:
        """Return the columns that hold the response itself."""
        return [name for name in self.required if not name.endswith(("_LO", "_HI"))]

    @property
    def axes(self) -> tuple[str, ...]:
        """Return the names of the axes, in the order of numpy."""
        return AXES.get(self.info.hdu_class, ())

    def has(self, *names: str) -> bool:
        """Return whether there are some columns, of numbers."""
        return all(
            name in self.columns and self.columns[name].dtype.kind in "iuf" for name in names
        )

    def edges(self, axis: str) -> tuple[NDArray, NDArray]:
        """Return lower and upper edges of the bins of an axis."""
        low, high = (self.columns[f"{axis}_{end}"] for end in ("LO", "HI"))
        return np.atleast_1d(low).astype(float), np.atleast_1d(high).astype(float)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that the axes say."""
        return tuple(self.edges(axis)[0].size for axis in self.axes)

    def has_shape(self) -> bool:
        """Return whether all required columns are there, with the shape that the axes say."""
        if not self.axes or not self.has(*self.required):
            return False
        return all(self.columns[name].shape == self.shape for name in self.values)


@dataclass(frozen=True)
class Content:
    """What a file holds."""

    path: Path
    infos: list[HDUInfo]
    tables: list[TableData]
    unreadable: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def of(self, *kinds: str) -> list[TableData]:
        """Return the tables of some kinds."""
        return [table for table in self.tables if table.info.kind in kinds]


def read_content(path: Path) -> Content:
    """Read headers and tables; a damaged file raises one of `FAILURES`."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AstropyWarning)
        content = _read(path)
    texts = [str(one.message) for one in said if issubclass(one.category, AstropyWarning)]
    return replace(content, remarks=tuple(dict.fromkeys(" ".join(t.split()) for t in texts)))


def _read(path: Path) -> Content:
    with _check.open_fits(path) as hdus:
        infos = hdu_infos(path, [hdu.header for hdu in hdus])
        tables, unreadable = [], {}
        for info in infos:
            if not info.kind and not info.hdu_class:
                continue
            try:
                tables.append(_table(info, hdus[info.index]))
            except FAILURES as error:
                unreadable[info.name or str(info.index)] = _check.reason(error)
    return Content(path, infos, tables, unreadable)


def _table(info: HDUInfo, hdu: fits.BinTableHDU) -> TableData:
    single = info.kind not in ("events", "gti", "pointing", "index")
    n_rows = len(hdu.data) if hdu.data is not None else 0
    columns, units = {}, {}
    for name, unit in info.columns.items():
        array = np.asarray(hdu.data[name])
        if single:
            array = array[0] if n_rows else array
        known = name if name in COLUMNS.get(info.hdu_class, {}) else _OTHER_NAMES.get(name, name)
        columns[known] = np.array(array)
        units[known] = unit
    table = TableData(info, columns, units, n_rows)
    if info.hdu_class.startswith("bkg_") and table.has(*table.required):
        rate = columns["BKG"]
        # GADF recommends the one order, H.E.S.S. and CTA-1DC have the other; Gammapy reads both.
        if rate.shape != table.shape and rate.shape == table.shape[::-1]:
            columns["BKG"] = rate.T
    return table


def header_number(header: fits.Header, key: str) -> float:
    """Return a number of a header, also one that is written as a text; NaN if there is none."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return np.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return np.nan


def safe_bins(content: Content, table: TableData) -> NDArray:
    """Return which bins of energy lie within the thresholds of the effective area."""
    limits = [
        (header_number(aeff.header, "LO_THRES"), header_number(aeff.header, "HI_THRES"))
        for aeff in content.of("aeff")
    ]
    least = min((low for low, _ in limits if np.isfinite(low)), default=0.0)
    most = max((high for _, high in limits if np.isfinite(high) and high > 0), default=np.inf)
    low, high = table.edges("ENERG")
    # Single precision.
    return (low >= least * (1 - 1e-6)) & (high <= most * (1 + 1e-6))


def index_type(table: TableData) -> str:
    """Return ``hdu`` or ``obs`` for an index table, by its columns: HDUCLAS2 is often wrong."""
    if {"HDU_TYPE", "HDU_NAME", "FILE_NAME"} <= set(table.columns):
        return "hdu"
    return "obs" if "OBS_ID" in table.columns else ""


def is_dialect(infos: Iterable[HDUInfo]) -> bool:
    """Return whether a file says that it is CTAO-GADF, or carries CTAO's product metadata."""
    return any(
        header_text(info.header, "HDUCLASS").upper() == "CTAO-GADF"
        or "CTAO_GADF" in header_text(info.header, "MODEL").upper()
        or any(key == "CTAOMETA" or key.startswith("CTAO ") for key in info.header)
        for info in infos
    )
