"""Write Gammapy's products of a fit to a run folder, and arrange them for its report."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.modeling import FitResult
from gammapy.modeling.models import Models

__all__ = ["flux_table", "write_fit", "write_flux"]

_COLUMNS = {
    "dnde": ["e_ref", "e_min", "e_max", "dnde", "dnde_err", "dnde_ul", "sqrt_ts", "is_ul"],
    "flux": ["time_min", "time_max", "flux", "flux_err", "flux_ul", "sqrt_ts", "is_ul"],
}
_FORMATS = {"dnde": "gadf-sed", "flux": "lightcurve"}


def write_fit(datasets: Datasets, models: Models, result: FitResult | None, folder: Path) -> None:
    """Write datasets, models with their covariance, and the result of the fit if there is one."""
    (folder / "datasets").mkdir()
    copies = Datasets([dataset.copy(name=dataset.name) for dataset in datasets])
    copies.write(folder / "datasets" / "datasets.yaml", checksum=True)
    models.write(folder / "models.yaml", checksum=True)
    if result is not None:
        result.write(folder / "fit_result.yaml", checksum=True)


def write_flux(points: FluxPoints | None, name: str, folder: Path) -> None:
    """Write flux points, if there are any, as FITS and as ECSV."""
    if points is None:
        return
    for ending in ("fits", "ecsv"):
        points.write(folder / f"{name}.{ending}", sed_type="likelihood", checksum=True)


def flux_table(points: FluxPoints, quantity: str) -> Table:
    """Return the columns to show, "dnde" of a spectrum or "flux" of a light curve.

    Where there is a limit, it alone counts.
    """
    table = points.to_table(sed_type=quantity, format=_FORMATS[quantity])
    names = [name for name in _COLUMNS[quantity] if name in table.colnames]
    shown = Table(table[names], copy=True)
    limits = np.asarray(shown["is_ul"], dtype=bool)
    for name in (quantity, f"{quantity}_err"):
        values = np.asarray(shown[name], dtype=float).copy()
        values[limits] = np.nan
        shown[name] = u.Quantity(values, shown[name].unit, copy=False)
    return shown
