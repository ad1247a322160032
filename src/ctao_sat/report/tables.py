"""Tables of astropy as rows of readable text."""

import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.time import Time
from erfa import ErfaWarning

from ctao_sat.report.numbers import MISSING, number, with_error

__all__ = ["Column", "columns"]

TIMES = ("time_min", "time_max", "time_ref", "time_mid")
LISTED = 6
DIGITS = 4


@dataclass(frozen=True)
class Column:
    """A column of text.

    Parameters
    ----------
    name, unit : str
        What it is, and in which unit.
    cells : list of str, shape (n,)
        One text a row.
    numeric : bool
        Whether its cells are numbers, to be aligned to the right.
    """

    name: str
    unit: str
    cells: list[str]
    numeric: bool


def columns(table: Table) -> list[Column]:
    """Return the columns of a table as text.

    A column ``x`` takes in its errors, ``x_err``, or ``x_errn`` and ``x_errp``; ``value`` takes in
    ``error``. Times become dates (UTC), also those of Gammapy's light curves, which are days since
    a reference in the header. What is masked or NaN becomes a dash. Columns of empty text are left
    out.

    Parameters
    ----------
    table : Table, shape (n,)
        Any table.

    Returns
    -------
    columns : list of Column
        In the order of the table.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from ctao_sat.report.tables import columns
    >>> columns(Table({"name": ["index"], "value": [2.381], "error": [0.12]}))[1].cells
    ['2.38 ± 0.12']
    """
    merged = {error for name in table.colnames for error in _errors_of(name, table.colnames)}
    shown = [_column(table, name) for name in table.colnames if name not in merged]
    return [column for column in shown if any(column.cells) or not column.cells]


def _errors_of(name: str, names: list[str]) -> list[str]:
    """Return the columns that hold the errors of a column; one side alone is no error."""
    symmetric = "error" if name == "value" else f"{name}_err"
    found = [symmetric] if symmetric in names else []
    sides = [f"{name}_errn", f"{name}_errp"]
    return found + sides if set(sides) <= set(names) else found


def _column(table: Table, name: str) -> Column:
    column = table[name]
    if isinstance(column, Time):
        return Column(name, "UTC", _dates(column), False)
    if name in TIMES and "MJDREFI" in table.meta:
        return Column(name, "UTC", _dates(_absolute(table, name)), False)
    unit = "" if column.unit is None else u.Unit(column.unit).to_string("unicode")
    numeric = np.asarray(column).dtype.kind in "iuf"
    errors = _errors(table, name)
    if errors is not None and numeric:
        value, (low, high) = _floats(column), errors
        pairs = zip(value.ravel(), low.ravel(), high.ravel(), strict=True)
        texts = np.array([with_error(*pair) for pair in pairs], dtype=object)
        cells = [_join(list(np.ravel(row))) for row in texts.reshape(value.shape)]
    elif np.asarray(column).dtype.kind == "f":
        values = _floats(column)
        texts = np.array(_numbers(values.ravel()), dtype=object).reshape(values.shape)
        cells = [_join(list(np.ravel(row))) for row in texts]
    elif name == "unit":
        cells = [u.Unit(str(value)).to_string("unicode") for value in column]
    else:
        cells = [_cell(value) for value in column]
    return Column(name, unit, cells, numeric)


def _numbers(values: np.ndarray) -> list[str]:
    """Return the numbers of a column with the same significant digits, as few as they need."""
    known = values[np.isfinite(values)]
    if np.all(known == np.round(known)) and np.all(np.abs(known) < 1e6):
        return [number(value) for value in values]
    digits = 1
    while digits < DIGITS and any(
        float(f"{value:.{digits - 1}e}") != float(f"{value:.{DIGITS - 1}e}") for value in known
    ):
        digits += 1
    return [number(value, digits, keep_zeros=True) for value in values]


def _errors(table: Table, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the lower and upper errors of a column in its unit, the asymmetric ones first."""
    found = [_floats(table[error], table[name].unit) for error in _errors_of(name, table.colnames)]
    if not found:
        return None
    if len(found) == 1:
        return found[0], found[0]
    *symmetric, low, high = found
    low, high = np.abs(low), np.abs(high)
    if symmetric:
        known = np.isfinite(low) & np.isfinite(high)
        low, high = np.where(known, low, symmetric[0]), np.where(known, high, symmetric[0])
    return low, high


def _floats(column, unit=None) -> np.ndarray:
    """Return values in a unit, NaN where masked."""
    plain = column.value if isinstance(column, u.Quantity) else column
    values: np.ndarray = np.ma.filled(np.ma.array(plain, dtype=float), np.nan)
    if unit is None or column.unit is None or u.Unit(column.unit) == u.Unit(unit):
        return values
    return u.Quantity(values, column.unit).to_value(unit)


def _cell(value) -> str:
    if np.ma.is_masked(value) and np.ndim(value) == 0:
        return MISSING
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if np.ndim(value):
        return _join([_cell(item) for item in np.ma.ravel(value)])
    if isinstance(value, (int, np.integer)):
        return str(value).replace("-", "−")
    return value.decode() if isinstance(value, bytes) else str(value)


def _join(texts: list[str]) -> str:
    """Return the values of one cell, or how many they are."""
    return ", ".join(texts) if len(texts) <= LISTED else f"{len(texts)} values"


def _absolute(table: Table, name: str) -> Time:
    days = np.ravel(_floats(table[name], u.d))
    reference = float(table.meta["MJDREFI"]), float(table.meta.get("MJDREFF", 0.0))
    scale = str(table.meta.get("TIMESYS", "tt")).lower()
    return Time(reference[0] + days, reference[1], format="mjd", scale=scale)


def _dates(times: Time) -> list[str]:
    with warnings.catch_warnings():
        # Leap seconds to come are unknown; they are not worth a warning in a report.
        warnings.simplefilter("ignore", ErfaWarning)
        texts = np.ravel(Time(times, format="iso", precision=0).utc.iso)
    missing = np.ravel(np.ma.getmaskarray(np.ma.asarray(times.mask)) | times.mask)
    return [MISSING if gone else str(text) for text, gone in zip(texts, missing, strict=True)]
