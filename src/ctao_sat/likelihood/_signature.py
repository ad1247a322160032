"""What a compiled likelihood holds as a snapshot, and whether it still is as it was."""

import numpy as np
from gammapy.datasets import Datasets, FluxPointsDataset

from ctao_sat._gammapy import unique_models
from ctao_sat.kernels.checksum import checksum
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._terms import Terms

__all__ = ["Signature", "model_state"]

_MAPS = (
    "counts", "counts_off", "acceptance", "acceptance_off", "background", "exposure",
    "mask_safe", "mask_fit",
)  # fmt: skip


_PARTS = ("spectral", "spatial", "temporal")


class Signature:
    """The state of datasets and models when they were compiled.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models.
    parameters : `ParameterMap`
        All parameters.
    terms : `Terms`
        What was compiled.
    priors : `Priors`
        Priors and penalties.
    """

    def __init__(self, datasets: Datasets, parameters: ParameterMap, terms: Terms, priors):
        self._datasets, self._map, self._priors = datasets, parameters, priors
        self._fixed = _fixed_parameters(datasets, parameters, terms)
        self._fixed_values = [parameter.value for parameter in self._fixed]
        self._models = _models(datasets)
        self._state: tuple | None = None
        self._prior_state: tuple | None = None

    def shapes_are_current(self) -> bool:
        """Return whether what is free, and the values that are compiled in, are as before."""
        return self._fixed_values == [p.value for p in self._fixed] and self._map.is_current()

    def take(self) -> None:
        """Take the checksums of all data."""
        self._state = _state(self._datasets)
        self._prior_state = self._priors.signature()

    def is_current(self) -> bool:
        """Return whether datasets, models, data, masks, responses and priors are as before."""
        return (
            self.shapes_are_current()
            and self._models == _models(self._datasets)
            and self._state == _state(self._datasets)
            and self._prior_state == self._priors.signature()
        )


def _models(datasets: Datasets) -> list[object]:
    """Return all models of all datasets; the parts of a model may be exchanged, too."""
    out: list[object] = [
        (id(dataset), id(model)) for dataset in datasets for model in dataset.models or []
    ]
    for model in unique_models(datasets):
        out.extend(id(getattr(model, f"{kind}_model", None)) for kind in _PARTS)
        out.extend(id(parameter) for parameter in model.parameters)
    return out


def _fixed_parameters(datasets: Datasets, parameters: ParameterMap, terms: Terms) -> list:
    fixed = [parameters.all[i] for i, _ in terms.spectra.pinned]
    for model in unique_models(datasets):
        for kind in ("spatial", "temporal"):
            part = getattr(model, f"{kind}_model", None)
            if part is not None:
                fixed.extend(p for p in part.parameters if p.frozen)
    return fixed


def _state(datasets: Datasets) -> tuple:
    models = tuple(model_state(model) for model in unique_models(datasets))
    return models, *(_dataset_state(dataset) for dataset in datasets)


def model_state(model) -> tuple[object, ...]:
    """Return what a model holds beside its parameters: options, templates, tables."""
    options = tuple(sorted(getattr(model, "apply_irf", {}).items()))
    arrays = []
    parts = [model, *(getattr(model, f"{kind}_model", None) for kind in _PARTS)]
    while parts:
        part = parts.pop()
        if part is None:
            continue
        parts += [getattr(part, name, None) for name in ("model1", "model2", "model")]
        arrays += [getattr(part, name, None) for name in ("map", "values", "data", "energy")]
    found = (np.asarray(getattr(array, "data", array)) for array in arrays if array is not None)
    return options, *(checksum(array) for array in found if array.dtype.kind in "bfiu")


def _dataset_state(dataset) -> tuple:
    if isinstance(dataset, FluxPointsDataset):
        return _flux_points_state(dataset)
    sums = [getattr(dataset, "stat_type", "")]
    for name in _MAPS:
        # The background of on-off data is derived from other maps, at some cost.
        if name == "background" and hasattr(dataset, "counts_off"):
            continue
        part = getattr(dataset, name, None)
        sums.append(None if part is None else checksum(np.asarray(part.data)))
    gti = dataset.gti
    if gti is not None:
        sums += [checksum(gti.time_start.mjd), checksum(gti.time_stop.mjd)]
    for name in ("psf", "edisp"):
        irf = getattr(dataset, name, None)
        data = None if irf is None else getattr(irf, f"{name}_map").data
        sums.append(None if data is None else checksum(data))
    return tuple(sums)


def _flux_points_state(dataset: FluxPointsDataset) -> tuple:
    points = dataset.data
    maps = [getattr(points, name) for name in points.available_quantities]
    masks = [mask for mask in (dataset.mask_safe, dataset.mask_fit) if mask is not None]
    arrays = [np.asarray(getattr(part, "data", part)) for part in (*maps, *masks)]
    reference = np.asarray(points.dnde_ref.value)
    options = tuple(sorted(dataset.stat_kwargs.items()))
    return (dataset.stat_type, options, *(checksum(array) for array in (*arrays, reference)))
