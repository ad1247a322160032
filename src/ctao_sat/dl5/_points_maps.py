"""Put the numbers of flux points into Gammapy's object."""

from collections.abc import Mapping, Sequence

import astropy.units as u
import numpy as np
from gammapy.estimators import FluxPoints
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling.models import SpectralModel

__all__ = ["make_flux_points"]

_BY_DATASET = ("counts", "npred", "npred_excess")


def make_flux_points(
    columns: Mapping[str, np.ndarray],
    edges: Sequence[u.Quantity],
    names: Sequence[str],
    reference_model: SpectralModel,
    *,
    meta: dict,
    gti=None,
) -> FluxPoints:
    """Return flux points of given numbers.

    Parameters
    ----------
    columns : mapping of str to array, shape (n, ...)
        By the names of Gammapy's tables.
    edges : sequence of Quantity[energy], shape (n, 2)
        Of the bins.
    names : sequence of str
        Of the data sets, in the order of the columns that are by data set.
    reference_model : `~gammapy.modeling.models.SpectralModel`
        What a norm of 1 stands for.
    meta : dict
        Of the flux points.
    gti : `~gammapy.data.GTI`, optional
        Good time intervals.

    Returns
    -------
    flux_points : `~gammapy.estimators.FluxPoints`
        As ``FluxPoints.from_table`` makes them, which takes some hundred times as long, and gives
        the data sets the names in alphabetical order, whatever theirs is.
    """
    pairs = u.Quantity(edges)
    energy = MapAxis.from_energy_edges(
        np.append(pairs[:, 0].value, pairs[-1, 1].value) * pairs.unit
    )
    geoms = {"": RegionGeom(region=None, axes=[energy])}
    dataset = LabelMapAxis(labels=list(names), name="dataset")
    geoms["dataset"] = RegionGeom(region=None, axes=[dataset, energy])
    if "stat_scan" in columns:
        norm = MapAxis.from_nodes(columns["norm_scan"][0], name="norm")
        geoms["norm"] = RegionGeom(region=None, axes=[norm, energy])
    maps = {}
    for name in FluxPoints.all_quantities(sed_type="likelihood"):
        if name not in columns or name in maps:
            continue
        geom = geoms["dataset" if name in _BY_DATASET else "norm" if name == "stat_scan" else ""]
        data = np.asarray(columns[name]).reshape(geom.data_shape)
        maps[name] = RegionNDMap(geom=geom, data=data, unit="", meta=meta, dtype=data.dtype)
    return FluxPoints(data=maps, reference_model=reference_model, meta=meta, gti=gti)


def columns_of_rows(rows: Sequence[Mapping], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what Gammapy says of bins, one after the other, as columns.

    Parameters
    ----------
    rows : sequence of mapping, n elements
        As ``FluxPointsEstimator.estimate_flux_point`` returns them.
    names : sequence of str
        Of all data sets; a row knows only of those that have energies in its bin.

    Returns
    -------
    columns : dict of str to array, shape (n, ...)
        Those that `make_flux_points` knows; NaN where a row has none.
    """
    columns: dict[str, np.ndarray] = {}
    known = {"norm_scan", *FluxPoints.all_quantities(sed_type="likelihood")}
    for key in dict.fromkeys(key for row in rows for key in row if key in known):
        if key in _BY_DATASET:
            empty = 0 if key == "counts" else np.nan
            columns[key] = np.full((len(rows), len(names)), empty)
            for i, row in enumerate(rows):
                columns[key][i, [names.index(name) for name in row["datasets"]]] = row[key]
        else:
            columns[key] = np.array([row.get(key, np.nan) for row in rows])
    return columns
