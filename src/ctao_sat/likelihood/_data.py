"""Counts, masks and backgrounds of a dataset as arrays."""

from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from gammapy.datasets import MapDataset, MapDatasetOnOff, SpectrumDataset, SpectrumDatasetOnOff
from gammapy.modeling.models import FoVBackgroundModel

from ctao_sat.errors import NotCompilable
from ctao_sat.kernels.statistics import CASH, WSTAT
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._moving import MovingResponse
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._responses import Response, build_response, free_shape_parameters
from ctao_sat.likelihood._spectra import SpectrumRequest

__all__ = ["CountsData", "describe_counts"]

_KINDS = {
    SpectrumDataset: (CASH, ("cash", "cash_weighted")),
    MapDataset: (CASH, ("cash", "cash_weighted")),
    SpectrumDatasetOnOff: (WSTAT, ("wstat",)),
    MapDatasetOnOff: (WSTAT, ("wstat",)),
}


@dataclass
class CountsData:
    """One dataset with counts; arrays of shape (n_energy, n_y, n_x).

    Attributes
    ----------
    dataset : `~gammapy.datasets.MapDataset`
        The dataset.
    kind : int
        Of the statistic.
    counts, mask : array
        Counts, and the bins to fit.
    weights : array or None
        Of the bins; None if all are 1.
    counts_off, alpha : array
        Of on-off data; empty for others.
    background : array or None
        Expected counts, without the background model.
    background_request : `SpectrumRequest` or None
        Spectrum of the background model.
    responses : list of `Response` or `MovingResponse`
        Of the models that are compiled.
    slow : dict
        Models that Gammapy evaluates: name to reason.
    """

    dataset: MapDataset
    kind: int
    counts: np.ndarray
    mask: np.ndarray
    weights: np.ndarray | None = None
    counts_off: np.ndarray = field(default_factory=lambda: np.zeros(0))
    alpha: np.ndarray = field(default_factory=lambda: np.zeros(0))
    background: np.ndarray | None = None
    background_request: SpectrumRequest | None = None
    responses: list[Response | MovingResponse] = field(default_factory=list)
    slow: dict[str, str] = field(default_factory=dict)


def describe_counts(
    dataset: MapDataset,
    parameters: ParameterMap,
    kernels: KernelCache,
    *,
    reuse: bool = True,
    fixed: bool = False,
) -> CountsData:
    """Return a dataset as arrays and responses.

    Parameters
    ----------
    dataset : `~gammapy.datasets.MapDataset`
        With models, or none.
    parameters : `ParameterMap`
        All parameters of all models.
    kernels : `KernelCache`
        Where PSF and energy dispersion are extracted.
    reuse, fixed : bool
        See `build_response`.

    Returns
    -------
    data : `CountsData`
        Models that cannot be compiled are in ``slow``.

    Raises
    ------
    NotCompilable
        If the dataset as a whole cannot be compiled.
    """
    if type(dataset) not in _KINDS:
        raise NotCompilable(f"unknown kind of dataset: {type(dataset).__name__}")
    kind, statistics = _KINDS[type(dataset)]
    if dataset.stat_type not in statistics:
        raise NotCompilable(f"statistic {dataset.stat_type!r}")
    if dataset.counts is None:
        raise NotCompilable("no counts")
    if dataset.counts.geom.is_hpx:
        raise NotCompilable("a HEALPix geometry")
    if list(dataset.counts.geom.axes.names) != ["energy"]:
        raise NotCompilable("axes other than energy")
    counts = np.asarray(dataset.counts.data, dtype=float)
    mask, weights = _mask(dataset, counts.shape)
    data = CountsData(dataset, kind, counts, mask, weights)
    if kind == WSTAT:
        _add_off_counts(data)
    elif dataset.background is not None:
        data.background = np.asarray(dataset.background.data, dtype=float)
        _add_background_model(data, fixed)
    _add_responses(data, parameters, kernels, reuse, fixed)
    return data


def _mask(dataset: MapDataset, shape: tuple) -> tuple[np.ndarray, np.ndarray | None]:
    masks = [m.data for m in (dataset.mask_safe, dataset.mask_fit) if m is not None]
    if not masks:
        return np.ones(shape, dtype=bool), None
    product = masks[0] if len(masks) == 1 else masks[0] * masks[1]
    if product.shape != shape:
        product = np.broadcast_to(product, shape)
    if dataset.stat_type != "cash_weighted" or product.dtype == bool:
        return product.astype(bool, copy=False), None
    weights = product.astype(float)
    # A negative weight, as a NaN, leaves the bin out.
    return weights > 0, weights


def _add_off_counts(data: CountsData) -> None:
    dataset = data.dataset
    if dataset.counts_off is None or dataset.acceptance is None or dataset.acceptance_off is None:
        raise NotCompilable("no off counts")
    data.counts_off = np.asarray(dataset.counts_off.data, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.divide(dataset.acceptance.data, dataset.acceptance_off.data)
    data.alpha = np.nan_to_num(np.asarray(ratio, dtype=float))


def _add_background_model(data: CountsData, fixed: bool) -> None:
    model = data.dataset.background_model
    if model is None:
        return
    if type(model) is not FoVBackgroundModel:
        raise NotCompilable(f"unknown kind of background model: {type(model).__name__}")
    if free_shape_parameters(model) and not fixed:
        raise NotCompilable("a background model with a free shape")
    geom = data.dataset.background.geom
    if model.spatial_model is not None:
        data.background = data.background * _shape_of_background(model, geom)
    axis = geom.axes["energy"]
    data.background_request = SpectrumRequest(
        model.spectral_model,
        np.asarray(axis.center.value, dtype=float),
        integrate=False,
        energy_unit=axis.unit,
    )


def _shape_of_background(model: FoVBackgroundModel, geom) -> np.ndarray:
    coords = geom.get_coord(sparse=True)
    position = [coords["lon"], coords["lat"]]
    if model.spatial_model.is_energy_dependent:
        position.append(coords["energy"])
    return np.asarray(u.Quantity(model.spatial_model(*position)).value, dtype=float)


def _add_responses(
    data: CountsData, parameters: ParameterMap, kernels: KernelCache, reuse: bool, fixed: bool
) -> None:
    for model in data.dataset.models or []:
        if isinstance(model, FoVBackgroundModel):
            continue
        try:
            response = build_response(
                data.dataset, model, parameters, kernels, reuse=reuse, fixed=fixed
            )
        except NotCompilable as error:
            data.slow[model.name] = error.message
        else:
            if response is not None:
                data.responses.append(response)
