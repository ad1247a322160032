"""The only home of Gammapy names that are private or differ between versions.

Gammapy may rename or move such names in any release. Each of them is used here and nowhere else,
and a contract test holds its signature and its behaviour: a change in Gammapy is then one red test
and one line to edit.

==============================  =================================================================
name                            why it is here
==============================  =================================================================
``ThetaSquaredTable``           new in Gammapy 2.1, outside of ``gammapy.makers.__all__``; the
                                function it replaces, ``make_theta_squared_table``, warns that it
                                is deprecated
`compound_region_to_regions`    of ``gammapy.utils``, which promises no stability
`get_random_state`              (as `compound_region_to_regions`)
`source_names`                  the columns with the names of a source are private to a catalogue
`current_evaluator`             whether an evaluator of a dataset is up to date is private to it
`new_evaluator`                 ``MapEvaluator.update`` is what a dataset calls itself; the PSF
                                kernel of a dataset with one spatial bin is private to it
`with_evaluators`,              a dataset keeps its evaluators in a private attribute
`fresh_copy`,
`renew_evaluators`
`penalties`                     ``Datasets`` keeps them, and the covariance, in private attributes
`set_covariance`                (as `penalties`)
`unique_models`                 ``Datasets.models`` gathers covariances, at some cost
`penalty_precision`             the inverse of a penalty's covariance is private
`plain_stat_sum`                renamed in Gammapy's development branch
`psf_kernel_sizes`              how finely pixels of a PSF kernel are divided is private
`reference_spectrum`            the spectrum of flux points of a template is made by a private
                                function
``CUTOUT_MARGIN``,              how Gammapy cuts out and divides pixels is in the namespaces of its
``MAX_OVERSAMPLING``            modules only
`bound_datasets`                ``Fit`` passes its backends a bound method and nothing else
`register_fit_tasks`            the registry of backends is outside of ``gammapy.modeling.__all__``
`fit_task`                      (as `register_fit_tasks`)
`share_state`                   nested models are compared by exchanging the ``__dict__`` of
                                parameters
==============================  =================================================================
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import astropy.units as u
import numpy as np
from gammapy.catalog import SourceCatalog
from gammapy.datasets import Dataset, Datasets, MapDataset
from gammapy.datasets import evaluator as _evaluator
from gammapy.datasets import map as _map
from gammapy.datasets.evaluator import CUTOUT_MARGIN, MapEvaluator
from gammapy.datasets.flux_points import _get_reference_model as reference_spectrum
from gammapy.irf.psf import map as _psf_map
from gammapy.makers.utils import ThetaSquaredTable
from gammapy.modeling import Covariance, Parameters
from gammapy.modeling.fit import Registry
from gammapy.modeling.models import SkyModel, TemplateNPredModel
from gammapy.modeling.models.spatial import MAX_OVERSAMPLING
from gammapy.utils.random import get_random_state
from gammapy.utils.regions import compound_region_to_regions

__all__ = [
    "CUTOUT_MARGIN",
    "MAX_OVERSAMPLING",
    "ThetaSquaredTable",
    "bound_datasets",
    "compound_region_to_regions",
    "current_evaluator",
    "fit_task",
    "fresh_copy",
    "get_random_state",
    "new_evaluator",
    "penalties",
    "penalty_precision",
    "plain_stat_sum",
    "psf_kernel_sizes",
    "reference_spectrum",
    "register_fit_tasks",
    "renew_evaluators",
    "set_covariance",
    "share_state",
    "source_names",
    "unique_models",
    "with_evaluators",
]


# The default of ``PSFMap.get_psf_kernel``, which evaluators take.
_PSF_PRECISION = 12


def source_names(catalog: SourceCatalog, row: int) -> list[str]:
    """Return all names that a catalogue has for one of its sources.

    Parameters
    ----------
    catalog : `~gammapy.catalog.SourceCatalog`
        A catalogue of Gammapy.
    row : int
        The row of the source in the table of the catalogue.

    Returns
    -------
    names : list of str
        The name that Gammapy looks up first, then the others; none of them is empty.
    """
    names = [str(catalog.table[catalog._source_name_key][row])]
    for column in catalog._source_name_alias:
        names.extend(str(catalog.table[column][row]).split(","))
    return [name.strip() for name in names if name.strip()]


def current_evaluator(dataset: MapDataset, model: SkyModel) -> MapEvaluator | None:
    """Return the evaluator of a dataset if it holds for the model as it is now.

    Parameters
    ----------
    dataset : `~gammapy.datasets.MapDataset`
        With models.
    model : `~gammapy.modeling.models.SkyModel`
        One of them, with a spatial model.

    Returns
    -------
    evaluator : `~gammapy.datasets.evaluator.MapEvaluator` or None
        None if Gammapy has not evaluated the model yet, or has done so with another shape or
        position, or with another exposure.
    """
    evaluator = dataset.evaluators.get(model.name)
    if evaluator is None or evaluator.model is not model or evaluator.exposure is None:
        return None
    if not np.may_share_memory(evaluator.exposure.data, dataset.exposure.data):
        return None
    values = evaluator._cached_parameter_values_spatial
    # To scale the factors of parameters may move their values by a rounding.
    now = model.spatial_model.parameters.value
    if values is None or not np.allclose(values, now, rtol=1e-12, atol=0):
        return None
    if evaluator.position is not None:
        then, (lon, lat) = evaluator.position.data, model.position_lonlat
        if abs(then.lat.rad - lat) > 1e-12 or abs(np.sin((then.lon.rad - lon) / 2)) > 1e-12:
            return None
    return evaluator


def new_evaluator(dataset: MapDataset, model: SkyModel, psf, edisp) -> MapEvaluator:
    """Return an evaluator of a model at its position, made as the dataset makes it.

    Parameters
    ----------
    dataset : `~gammapy.datasets.MapDataset`
        The dataset; it is not changed.
    model : `~gammapy.modeling.models.SkyModel`
        A model.
    psf, edisp : object or None
        The dataset's own, or what extracts kernels from them by the same methods.

    Returns
    -------
    evaluator : `~gammapy.datasets.evaluator.MapEvaluator`
        Up to date.
    """
    evaluator = MapEvaluator(
        model=model,
        psf=_single_psf_kernel(dataset, psf),
        evaluation_mode=_map.EVALUATION_MODE,
        gti=dataset.gti,
    )
    if not isinstance(model, TemplateNPredModel):
        evaluator.update(dataset.exposure, psf, edisp, dataset._geom, dataset.mask_image)
    return evaluator


def _single_psf_kernel(dataset: MapDataset, psf):
    if psf is None or not psf.has_single_spatial_bin:
        return None
    reference = dataset.exposure if psf.energy_name == "energy_true" else dataset.counts
    if reference is None or reference.geom.is_region:
        return None
    return psf.get_psf_kernel(
        position=reference.geom.center_skydir,
        geom=reference.geom,
        containment=_evaluator.PSF_CONTAINMENT,
        max_radius=_evaluator.PSF_MAX_RADIUS,
    )


def with_evaluators(dataset: MapDataset, evaluators: Mapping[str, MapEvaluator]) -> MapDataset:
    """Return a shallow copy of a dataset that evaluates its models with given evaluators.

    Parameters
    ----------
    dataset : `~gammapy.datasets.MapDataset`
        It is not changed; the copy shares its data.
    evaluators : mapping of str to `~gammapy.datasets.evaluator.MapEvaluator`
        By name of the model.

    Returns
    -------
    dataset : `~gammapy.datasets.MapDataset`
        Of the same name, models and data.
    """
    other = copy.copy(dataset)
    other._evaluators = dict(evaluators)
    # The cache of the background would be shared, and written to.
    other._background_cached = None
    other._background_parameters_cached = None
    return other


def unique_models(datasets: Datasets) -> list:
    """Return the models of datasets, each once, in Gammapy's order.

    ``Datasets.models`` gathers their covariance, too, which costs more than a fit.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        The datasets.

    Returns
    -------
    models : list of `~gammapy.modeling.models.ModelBase`
        Empty if there are none.
    """
    models = {id(model): model for dataset in datasets for model in dataset.models or []}
    return list(models.values())


def penalties(datasets: Datasets) -> list:
    """Return the penalty terms of the statistic of datasets.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        The datasets.

    Returns
    -------
    penalties : list of `~gammapy.stats.fit_statistics.FitStatisticPenalty`
        Empty if there are none.
    """
    return list(datasets._penalties or [])


def penalty_precision(penalty) -> np.ndarray:
    """Return the inverse covariance matrix of a Gaussian penalty.

    Parameters
    ----------
    penalty : `~gammapy.stats.GaussianPriorPenalty`
        The penalty.

    Returns
    -------
    precision : array, shape (n_parameters, n_parameters)
        Inverse of its covariance.
    """
    return np.asarray(penalty._inverse_covariance)


def set_covariance(datasets: Datasets, parameters: Parameters, matrix: np.ndarray) -> None:
    """Set the covariance that datasets keep for their models.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        Changed, as a fit does.
    parameters : `~gammapy.modeling.Parameters`
        Of all models of the datasets.
    matrix : array, shape (n_parameters, n_parameters)
        Covariance of their values.
    """
    datasets._covariance = Covariance(parameters, matrix)


def plain_stat_sum(dataset: Dataset) -> float:
    """Return the fit statistic of one dataset, without priors.

    Parameters
    ----------
    dataset : `~gammapy.datasets.Dataset`
        With models.

    Returns
    -------
    stat : float
        -2 log L.
    """
    return float(dataset._stat_sum_likelihood())


def psf_kernel_sizes(psf, geom, position, containment: float, max_radius):
    """Return where a PSF kernel is taken, and how large and how finely divided it is.

    Parameters
    ----------
    psf : `~gammapy.irf.PSFMap`
        In true energy.
    geom : `~gammapy.maps.WcsGeom`
        On whose pixels.
    position : `~astropy.coordinates.SkyCoord` or None
        Where; None is the centre of the map.
    containment : float
        Part of the events that the kernel is to hold.
    max_radius : `~astropy.units.Quantity` or None
        Largest radius.

    Returns
    -------
    position : `~astropy.coordinates.SkyCoord`
        The nearest at which the map has a PSF.
    radii : `~astropy.units.Quantity`, shape (n_energy,)
        Of the kernels.
    factors : list of int
        Into how many parts pixels are divided.
    """
    if position is None:
        position = psf.psf_map.geom.center_skydir
    position = psf._get_nearest_valid_position(position)
    energy = psf.psf_map.geom.axes[psf.energy_name].center
    radii = psf.containment_radius(
        fraction=containment, position=position, **{psf.energy_name: energy}
    )
    if max_radius is not None:
        radii = np.minimum(radii, u.Quantity(max_radius))
    factors = _psf_map._psf_upsampling_factor(
        psf, geom, position, energy=None, precision_factor=_PSF_PRECISION
    )
    return position, radii, factors


def renew_evaluators(datasets: Datasets) -> None:
    """Let datasets make new evaluators of their models when they are next asked for predictions.

    Gammapy keeps cutouts and kernels from where sources were.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        Their models stay as they are.
    """
    for dataset in datasets:
        if isinstance(dataset, MapDataset):
            dataset.models = dataset.models


def fresh_copy(datasets: Datasets) -> Datasets:
    """Return shallow copies of datasets that have not evaluated their models yet.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models. They are not changed; the copies share their data and models.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
        With the same statistic, and new evaluators.
    """
    copies = []
    for dataset in datasets:
        other = with_evaluators(dataset, {}) if isinstance(dataset, MapDataset) else dataset
        if other is not dataset:
            other.models = dataset.models
        copies.append(other)
    fresh = Datasets(copies)
    fresh._penalties = datasets._penalties
    return fresh


def bound_datasets(function: Callable) -> Datasets | None:
    """Return the datasets whose statistic a function is.

    Parameters
    ----------
    function : callable
        What ``Fit`` passes to its backends.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets` or None
        None if it is anything but ``Datasets.stat_sum``, bound to an object of just this class.
    """
    datasets: Any = getattr(function, "__self__", None)
    # A subclass may have another statistic.
    if type(datasets) is Datasets and function == datasets.stat_sum:
        return datasets
    return None


def register_fit_tasks(name: str, **tasks: Callable) -> None:
    """Add a backend to those of ``Fit``.

    Parameters
    ----------
    name : str
        Name of the backend.
    **tasks : callable
        For each of "optimize", "covariance" and "confidence" what does it.
    """
    for task, function in tasks.items():
        Registry.register[task][name] = function


def fit_task(task: str, name: str) -> Callable:
    """Return what a backend of ``Fit`` does for a task.

    Parameters
    ----------
    task : {"optimize", "covariance", "confidence"}
        The task.
    name : str
        Name of the backend.

    Returns
    -------
    function : callable
        What ``Fit`` calls.
    """
    return Registry.get(task, name)


def share_state(parameters: Parameters) -> bool:
    """Return whether some parameters are different objects, yet always have the same value.

    Parameters
    ----------
    parameters : `~gammapy.modeling.Parameters`
        Each of them once.

    Returns
    -------
    shared : bool
        As they are while nested models are compared that differ in a link.
    """
    return len({id(vars(parameter)) for parameter in parameters}) < len(parameters)
