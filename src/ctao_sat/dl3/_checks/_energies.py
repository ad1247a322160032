"""What is kept of energies and events, once a file is closed."""

import hashlib

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ctao_sat.dl3._checks._content import TableData

__all__ = ["digest", "energy_counts", "energy_range", "outside"]

# Energies are counted in steps of a decade, from 1e-9 to 1e9 TeV.
_STEP = 0.02
_DECADES = 9


def _in_tev(table: TableData, name: str) -> NDArray:
    values = table.columns[name].astype(float)
    try:
        return values * u.Unit(table.units[name]).to("TeV")
    except (ValueError, TypeError):
        # Units have a check of their own.
        return values


def energy_counts(table: TableData) -> NDArray | None:
    """Return the number of events in each step of energy; None if there are none."""
    if table.info.kind != "events" or not table.has("ENERGY"):
        return None
    energy = _in_tev(table, "ENERGY")
    energy = energy[np.isfinite(energy) & (energy > 0)]
    if not energy.size:
        return None
    exponent = np.clip(np.log10(energy), -_DECADES, _DECADES)
    return np.bincount(((exponent + _DECADES) / _STEP).astype(int))


def energy_range(table: TableData) -> tuple[float, float]:
    """Return the energies that an effective area is for, in TeV; NaN if it does not say."""
    if table.info.kind != "aeff" or not table.has("ENERG_LO", "ENERG_HI"):
        return np.nan, np.nan
    low, high = _in_tev(table, "ENERG_LO"), _in_tev(table, "ENERG_HI")
    return (float(np.min(low)), float(np.max(high))) if low.size else (np.nan, np.nan)


def outside(counts: NDArray, low: float, high: float) -> int:
    """Return how many events are outside of a range of energies, to a step."""
    if not high > 0:
        return 0
    low = max(low, 10.0**-_DECADES)
    first, last = (int((np.log10(edge) + _DECADES) / _STEP) for edge in (low, high))
    return int(counts.sum() - counts[first : last + 1].sum())


def digest(table: TableData) -> str:
    """Return what tells events from others, whatever their order; empty if that is not known."""
    names = ("TIME", "RA", "DEC")
    if table.info.kind != "events" or not table.has(*names) or not table.n_rows:
        return ""
    rows = np.stack([table.columns[name].astype(float) for name in names])
    return hashlib.blake2b(rows[:, np.lexsort(rows)].tobytes(), digest_size=16).hexdigest()
