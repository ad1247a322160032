"""What of flux points is a measurement, what a limit, and with which errors."""

from dataclasses import dataclass, fields

import numpy as np
from gammapy.estimators import FluxPoints

from ctao_sat.plotting._style import LIMITS

__all__ = ["Points", "limit_label", "points"]


@dataclass(frozen=True)
class Points:
    """Values in one unit; NaN where something was not computed. All of the same shape.

    Parameters
    ----------
    value, below, above, limit : ndarray of float
        Flux, its errors to both sides, and its upper limit.
    measured : ndarray of bool
        Where a flux is known, and no limit has to take its place.
    """

    value: np.ndarray
    below: np.ndarray
    above: np.ndarray
    limit: np.ndarray
    measured: np.ndarray

    def transposed(self) -> "Points":
        """Return the same points with their axes in reverse order."""
        return Points(*(getattr(self, field.name).T for field in fields(self)))

    def column(self, index: int) -> "Points":
        """Return the points at one index of the last axis."""
        return Points(*(getattr(self, field.name)[..., index] for field in fields(self)))


def points(flux_points: FluxPoints, quantity: str, unit) -> Points:
    """Return a quantity of flux points with the best errors there are.

    Parameters
    ----------
    flux_points : FluxPoints
        Any axes.
    quantity : str
        ``"dnde"``, ``"e2dnde"``, ``"flux"`` or ``"eflux"``.
    unit : Unit
        Unit of the result.

    Returns
    -------
    points : Points
        Of the shape of the flux points' axes, slowest first; asymmetric errors where both are
        known, symmetric ones elsewhere, zero where there are none.
    """
    shape = flux_points.geom.data_shape[:-2]

    def get(name: str) -> np.ndarray:
        if not flux_points.available_quantities.count(name.replace(quantity, "norm")):
            return np.full(shape, np.nan)
        return getattr(flux_points, name).quantity.to_value(unit).reshape(shape)

    value, limit = get(quantity), get(f"{quantity}_ul")
    symmetric = get(f"{quantity}_err")
    below, above = np.abs(get(f"{quantity}_errn")), np.abs(get(f"{quantity}_errp"))
    both = np.isfinite(below) & np.isfinite(above)
    below = np.nan_to_num(np.where(both, below, symmetric))
    above = np.nan_to_num(np.where(both, above, symmetric))
    # Without a computed limit, a faint point is better shown with its error than left out.
    flagged = flux_points.is_ul.data.reshape(shape).astype(bool) & np.isfinite(limit)
    return Points(value, below, above, limit, np.isfinite(value) & ~flagged)


def limit_label(flux_points: FluxPoints) -> str:
    """Return the legend entry of upper limits, with their number of sigma if it is known."""
    if flux_points.n_sigma_ul:
        return rf"{LIMITS} (${flux_points.n_sigma_ul:g}\sigma$)"
    return LIMITS
