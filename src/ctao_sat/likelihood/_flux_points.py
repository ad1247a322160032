"""Flux points as arrays: the bins of their statistic, and the spectra that predict them."""

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from gammapy.datasets import FluxPointsDataset
from gammapy.estimators import FluxPoints
from gammapy.maps import Map
from gammapy.modeling.models import SkyModel, TemplateSpatialModel
from scipy.interpolate import PPoly, make_interp_spline

from ctao_sat.errors import NotCompilable
from ctao_sat.kernels.statistics import CHI2, DISTRIB, PROFILE
from ctao_sat.likelihood._spectra import SpectrumRequest

__all__ = ["FluxPointsRows", "FluxPointsTerm", "flux_points_rows"]


@dataclass(frozen=True)
class FluxPointsTerm:
    """What one model adds to the prediction: ``factor * f[index]``, in the unit of f.

    Attributes
    ----------
    name : str
        Of the model.
    request : `SpectrumRequest`
        The spectrum that gives f, at the energies of the points.
    factor : array, shape (n,)
        For each point: the share of the time that a light curve is on, and the inverse of the
        reference flux of a profile.
    index : array of int, shape (n,)
        For each point, where it is in f.
    """

    name: str
    request: SpectrumRequest
    factor: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class FluxPointsRows:
    """The flux points of a dataset that take part in a fit.

    Attributes
    ----------
    kind : int
        Of the statistic: ``CHI2``, ``DISTRIB`` or ``PROFILE``.
    rows : array, shape (n, 6)
        See `ctao_sat.kernels.statistics`.
    tables : array, shape (n_tables,)
        Tabulated profiles; the starts in the rows count from 0.
    unit : `~astropy.units.Unit`
        What the sum over the terms must be converted to.
    terms : list of `FluxPointsTerm`
        One for each model.
    """

    kind: int
    rows: np.ndarray
    tables: np.ndarray
    unit: u.UnitBase
    terms: list[FluxPointsTerm] = field(default_factory=list)


def flux_points_rows(dataset: FluxPointsDataset) -> FluxPointsRows:
    """Return the flux points of a dataset as arrays.

    Parameters
    ----------
    dataset : `~gammapy.datasets.FluxPointsDataset`
        With models.

    Returns
    -------
    data : `FluxPointsRows`
        Points within the masks of the dataset, and the spectra that predict them.

    Raises
    ------
    NotCompilable
        If there are axes other than energy, a model is of another kind than
        `~gammapy.modeling.models.SkyModel`, or has a spatial template; if a profile is not to be
        extrapolated; if there are no errors or no models.

    Notes
    -----
    As in Gammapy, ``chi2`` takes the mean of asymmetric errors, ``distrib`` ignores the units of
    errors and limits, and spatial models count only if they are templates.
    """
    points = dataset.data
    if list(points.geom.axes.names) != ["energy"] or points.geom.data_shape[1:] != (1, 1):
        raise NotCompilable("flux points with axes other than energy")
    mask = _mask(dataset)
    tables, reference = np.zeros(0), np.ones(int(mask.sum()))
    unit = points.dnde.unit
    if dataset.stat_type == "chi2":
        kind, rows = CHI2, _chi2_rows(points, mask)
    elif dataset.stat_type == "distrib":
        kind, rows = DISTRIB, _distrib_rows(points, mask)
    else:
        kind, (rows, tables) = PROFILE, _profile_rows(dataset, mask)
        unit = points.dnde_ref.unit
        reference = np.asarray(points.dnde_ref.value, dtype=float)[mask]
    return FluxPointsRows(kind, rows, tables, unit, _terms(dataset, mask, 1 / reference))


def _mask(dataset: FluxPointsDataset) -> np.ndarray:
    mask = dataset.mask.data if isinstance(dataset.mask, Map) else np.asarray(dataset.mask)
    if mask.dtype != bool or mask.shape != dataset.data.dnde.data.shape:
        raise NotCompilable("a mask that does not have one boolean for each flux point")
    return mask


def _chi2_rows(points: FluxPoints, mask: np.ndarray) -> np.ndarray:
    quantities = points.available_quantities
    if "norm_err" in quantities:
        sigma = points.dnde_err.quantity
    elif {"norm_errn", "norm_errp"} <= set(quantities):
        sigma = (points.dnde_errn.quantity + points.dnde_errp.quantity) / 2
    else:
        raise NotCompilable("flux points without errors")
    rows = np.zeros((int(mask.sum()), 6))
    rows[:, 0] = points.dnde.data[mask]
    rows[:, 1] = sigma.to_value(points.dnde.unit)[mask]
    return rows


def _distrib_rows(points: FluxPoints, mask: np.ndarray) -> np.ndarray:
    quantities = points.available_quantities
    if "norm_err" not in quantities:
        raise NotCompilable("flux points without symmetric errors")
    error = points.dnde_err.data[mask]
    rows = np.zeros((len(error), 6))
    rows[:, 0] = points.dnde.data[mask]
    rows[:, 1] = rows[:, 2] = error
    if {"norm_errn", "norm_errp"} <= set(quantities):
        for column, sided in ((1, points.dnde_errp), (2, points.dnde_errn)):
            values = sided.data[mask]
            rows[:, column] = np.where(np.isnan(values), error, values)
    rows[:, 3] = ~np.isnan(rows[:, 0])
    rows[:, 4] = points.is_ul.data[mask]
    rows[:, 5] = points.dnde_ul.data[mask]
    return rows


def _profile_rows(dataset: FluxPointsDataset, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not dataset.stat_kwargs["extrapolate"]:
        raise NotCompilable("profiles that are not to be extrapolated")
    points = dataset.data
    if list(points.stat_scan.geom.axes.names) != ["norm", "energy"]:
        raise NotCompilable("profiles with axes other than norm and energy")
    norm = np.asarray(points.stat_scan.geom.axes["norm"].center.value, dtype=float)
    rows, tables, start = [], [np.zeros(0)], 0
    for i in np.flatnonzero(mask):
        profile = np.abs(points.stat_scan.data[i].squeeze() - points.stat.data[i].squeeze())
        breaks, coefficients = _pieces(norm, profile, dataset.stat_kwargs["interp_scale"])
        rows.append([start, len(coefficients), 0, 0, 0, 0])
        tables += [breaks, coefficients.ravel()]
        start += breaks.size + coefficients.size
    return np.array(rows, dtype=float).reshape(-1, 6), np.concatenate(tables)


def _pieces(x: np.ndarray, y: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the polynomials between the points of a profile, as Gammapy interpolates it.

    Parameters
    ----------
    x, y : array, shape (n,)
        The profile.
    scale : str
        "sqrt" for a quadratic spline, "lin" for straight lines.

    Returns
    -------
    breaks : array, shape (m + 1,)
        Where the pieces meet.
    coefficients : array, shape (m, 3)
        In increasing powers of the distance from the break before.
    """
    if scale == "lin":
        slope = np.diff(y) / np.diff(x)
        return x, np.column_stack([y[:-1], slope, np.zeros(len(slope))])
    spline = PPoly.from_spline(make_interp_spline(x, y, k=2))
    # The outer knots of a spline are repeated: pieces of no length.
    kept = np.diff(spline.x) > 0
    breaks = np.append(spline.x[:-1][kept], spline.x[-1])
    return breaks, spline.c[::-1, kept].T.copy()


def _terms(
    dataset: FluxPointsDataset, mask: np.ndarray, factor: np.ndarray
) -> list[FluxPointsTerm]:
    if not dataset.models:
        raise NotCompilable("flux points without a model")
    axis = dataset.data.geom.axes["energy"]
    energy = np.asarray(axis.center.to_value("TeV"), dtype=float)[mask.reshape(-1)]
    index = np.arange(len(energy))
    terms = []
    for model in dataset.models:
        if type(model) is not SkyModel:
            raise NotCompilable(f"unknown kind of model: {type(model).__name__}")
        if isinstance(model.spatial_model, TemplateSpatialModel):
            raise NotCompilable(f"a spatial template in {model.name}")
        request, norm = _request(dataset, model, energy)
        terms.append(FluxPointsTerm(model.name, request, norm * factor, index))
    return terms


def _request(
    dataset: FluxPointsDataset, model: SkyModel, energy: np.ndarray
) -> tuple[SpectrumRequest, float]:
    """Return the spectrum of a model, and the share of the time that its light curve is on."""
    temporal, gti = model.temporal_model, dataset.gti
    if temporal is None or gti is None:
        return SpectrumRequest(model.spectral_model, energy, integrate=False), 1.0
    if len(temporal.parameters.free_parameters) > 0:
        request = SpectrumRequest(
            model.spectral_model, energy, integrate=False, temporal=(temporal, gti)
        )
        return request, 1.0
    share = u.Quantity(np.sum(temporal.integral(gti.time_start, gti.time_stop)))
    return SpectrumRequest(model.spectral_model, energy, integrate=False), share.to_value("")
