"""Checks of the tables themselves: classes, columns, units, axes, values."""

from collections.abc import Iterator

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ctao_sat.dl3._checks._content import Content, TableData, safe_bins
from ctao_sat.dl3._checks._model import Fault
from ctao_sat.dl3._headers import header_text

__all__ = [
    "axes",
    "columns",
    "finite",
    "hdu_class",
    "negative",
    "nonzero",
    "readable",
    "units",
]

# Columns whose unit Gammapy guesses: from TIMEUNIT, as s-1 MeV-1 sr-1, or as 1 because it
# normalises the PSF.
_GUESSED = ("START", "STOP", "BKG", "SCALE")
# Columns that Gammapy does without.
_DISPENSABLE = ("EVENT_ID",)
# Densities, and the axis that they are integrated over.
_DENSITIES = {"edisp_2d": "MIGRA", "psf_table": "RAD"}
# Part of a density that may be negative, such as an interpolation leaves: what normalisations are
# good for.
_MAX_NEGATIVE = 0.01
# Of edges that are written with few digits, relative to the edge.
_AXIS_TOLERANCE = 1e-4


def readable(content: Content) -> Iterator[Fault]:
    """Look for HDUs whose data cannot be read, and files without any DL3 table."""
    for hdu, why in content.unreadable.items():
        yield Fault(f"The data cannot be read: {why}.", hdu)
    if content.remarks:
        more = f" (and {len(content.remarks) - 1} more)" if len(content.remarks) > 1 else ""
        yield Fault(f"It breaks the rules of FITS: {content.remarks[0]}{more}", "", "warning")
    if not content.tables and not content.unreadable:
        names = ", ".join(repr(info.name) for info in content.infos if info.name)
        yield Fault(
            f"There is no DL3 table in it{f', but {names}' if names else ''}.",
            severity="info",
            remedy="Nothing else was checked. If it should be DL3, set HDUCLAS1 to HDUCLAS4.",
        )


def hdu_class(content: Content) -> Iterator[Fault]:
    """Look for tables that Gammapy does not know, or that are known by their name alone."""
    for info in content.infos:
        if info.kind in ("", "index"):
            continue
        hdu = info.name or str(info.index)
        if not info.hdu_class:
            words = [header_text(info.header, f"HDUCLAS{i}") for i in range(1, 5)]
            yield Fault(f"HDUCLAS1 to HDUCLAS4 are {words}: no class that Gammapy reads.", hdu)
        elif not header_text(info.header, "HDUCLAS1"):
            yield Fault(f"HDUCLAS1 is absent: taken for {info.hdu_class} by the name.", hdu, "info")


def columns(content: Content) -> Iterator[Fault]:
    """Look for the columns that GADF requires, and at the number of rows."""
    for table in content.tables:
        absent = [name for name in table.required if name not in table.columns]
        needed = [name for name in absent if name not in _DISPENSABLE]
        if needed:
            yield Fault(f"There is no column {', '.join(needed)}.", table.hdu)
        elif absent:
            yield Fault(f"There is no column {', '.join(absent)}.", table.hdu, "warning")
        wrong = [n for n in table.required if n in table.columns and not table.has(n)]
        if wrong:
            yield Fault(f"The column {', '.join(wrong)} does not hold numbers.", table.hdu)
        if table.info.kind == "events" and not table.n_rows:
            yield Fault("There are no events.", table.hdu, "info", "Nothing to do.")
        if table.axes and table.n_rows != 1:
            yield Fault(f"There are {table.n_rows} rows; a response has one.", table.hdu)


def units(content: Content) -> Iterator[Fault]:
    """Look for units of another kind than GADF's, and for missing ones."""
    for table in content.tables:
        there = [name for name in table.required if name in table.units]
        absent = [name for name in there if table.required[name] and not table.units[name]]
        guessed = [name for name in absent if name in _GUESSED]
        if guessed:
            yield Fault(
                f"There is no unit of {', '.join(guessed)}; Gammapy guesses it.",
                table.hdu,
                "warning",
            )
        if len(absent) > len(guessed):
            names = ", ".join(name for name in absent if name not in guessed)
            yield Fault(f"There is no unit of {names}.", table.hdu)
        for name in there:
            if table.units[name]:
                yield from _unit_fault(table, name)


def _unit_fault(table: TableData, name: str) -> Iterator[Fault]:
    found, expected = table.units[name], table.required[name]
    try:
        if not u.Unit(found).is_equivalent(u.Unit(expected)):
            yield Fault(
                f"The unit of {name} is '{found}', not of the kind of '{expected or 1}'.", table.hdu
            )
    except (ValueError, TypeError):
        guessed = name in _GUESSED
        yield Fault(
            f"The unit of {name}, '{found}', is none that FITS knows"
            + ("; Gammapy guesses it." if guessed else "."),
            table.hdu,
            "warning" if guessed else None,
        )


def axes(content: Content) -> Iterator[Fault]:
    """Look for bins that do not ascend, leave gaps or do not fit the data."""
    for table in content.tables:
        names = [axis for axis in table.axes if table.has(f"{axis}_LO", f"{axis}_HI")]
        for axis in names:
            fault = _edge_fault(table, axis)
            if fault:
                yield Fault(f"The bins of {axis} {fault}.", table.hdu)
        if not names or len(names) < len(table.axes):
            continue
        shape = table.shape
        wrong = [n for n in table.values if n in table.columns and table.columns[n].shape != shape]
        if wrong:
            yield Fault(
                f"The shape of {', '.join(wrong)} is {table.columns[wrong[0]].shape}; the axes "
                f"{', '.join(table.axes)} say {shape}.",
                table.hdu,
            )
        elif table.info.hdu_class == "bkg_3d" and shape[0] == shape[2]:
            yield Fault(
                f"There are {shape[0]} bins of energy as of DETX: the order of the axes is "
                "ambiguous.",
                table.hdu,
                "warning",
                "Both orders are in use; choose another number of bins.",
            )


def _edge_fault(table: TableData, axis: str) -> str:
    low, high = table.edges(axis)
    if low.shape != high.shape or low.ndim != 1 or not low.size:
        return f"have {low.size} lower and {high.size} upper edges"
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return "have edges that are not finite"
    # Equal edges say that values are given at points.
    points = np.array_equal(low, high)
    if (not points and np.any(high <= low)) or np.any(np.diff(low) <= 0):
        return "do not ascend"
    gap = np.abs(low[1:] - high[:-1])
    edge = np.maximum(np.abs(low[1:]), np.abs(high[:-1]))
    width = np.minimum(np.diff(low), np.diff(high))
    # An edge at 0 is wrong by what the others round to.
    bad = gap > _AXIS_TOLERANCE * np.maximum(edge, width)
    if points or not bad.any():
        return ""
    at = int(np.argmax(np.where(bad, gap, 0)))
    unit = table.units[f"{axis}_LO"]
    return f"leave gaps, or overlap, by up to {gap[at]:.3g} {unit}".rstrip() + (
        f" (at {edge[at]:.4g} {unit})".replace(" )", ")")
    )


def nonzero(content: Content) -> Iterator[Fault]:
    """Look for responses that are zero everywhere."""
    for table in content.tables:
        # Of a PSF that is a formula, the first parameter is its height or width.
        name = table.values[0] if table.axes else ""
        if name and table.has(name) and table.columns[name].size and not table.columns[name].any():
            yield Fault(f"All {table.columns[name].size} values of {name} are 0.", table.hdu)


def finite(content: Content) -> Iterator[Fault]:
    """Look for values that are NaN or infinite."""
    for table in content.tables:
        for name, array in table.columns.items():
            if array.dtype.kind != "f":
                continue
            bad = int(np.count_nonzero(~np.isfinite(array)))
            if bad:
                # Columns beyond those of GADF may have no value for some events.
                what = f"{bad} of {array.size} values of {name} are not finite."
                yield Fault(what, table.hdu, None if name in table.required else "warning")


def negative(content: Content) -> Iterator[Fault]:
    """Look for energies that are not positive, and for negative responses."""
    for table in content.of("events"):
        if table.has("ENERGY"):
            bad = int(np.count_nonzero(table.columns["ENERGY"] <= 0))
            if bad:
                yield Fault(f"{bad} of {table.n_rows} energies are not positive.", table.hdu)
    for table in content.tables:
        for name in table.values if table.axes else ():
            # A later Gaussian may be subtracted, as long as the sum is not negative.
            if table.has(name) and not name.startswith("AMPL_"):
                yield from _negative_values(content, table, name)


def _negative_values(content: Content, table: TableData, name: str) -> Iterator[Fault]:
    array = table.columns[name].astype(float)
    bad = int(np.count_nonzero(array < 0))
    if not bad:
        return
    what = f"{bad} of {array.size} values of {name} are negative, down to {np.nanmin(array):.3g}"
    if table.info.hdu_class not in ("aeff_2d", *_DENSITIES) or not table.has_shape():
        yield Fault(f"{what}.", table.hdu)
        return
    share = _negative_share(table, array)[:, safe_bins(content, table)]
    matters = bool(np.any(share > (_MAX_NEGATIVE if table.info.kind != "aeff" else 0)))
    if table.info.kind == "aeff":
        where = "some within the thresholds" if matters else "all outside of the thresholds"
    else:
        where = f"within the thresholds they take up to {100 * np.max(share, initial=0):.2g} %"
    yield Fault(f"{what}; {where}.", table.hdu, None if matters else "warning")


def _negative_share(table: TableData, array: NDArray) -> NDArray:
    """Return the part that is negative, relative to the rest, per offset and energy."""
    if table.info.hdu_class in _DENSITIES:
        axis = table.axes.index(_DENSITIES[table.info.hdu_class])
        low, high = table.edges(table.axes[axis])
        width = high - low if axis else high**2 - low**2
        shape = [-1 if i == axis else 1 for i in range(array.ndim)]
        array = array * width.reshape(shape)
        part, whole = (f(array, 0).sum(axis=axis) for f in (np.minimum, np.maximum))
    else:
        part, whole = np.minimum(array, 0), np.maximum(array, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(-part / whole, nan=0.0, posinf=1.0)
