"""Estimate the flux of a source in energy bins."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints, FluxPointsEstimator
from gammapy.modeling import Parameter

from ctao_sat.dl5._energy_bins import EnergyBin, energy_bins
from ctao_sat.dl5._estimator_options import (
    check_edges,
    check_selection,
    check_together,
    exploring,
    flux_reference,
    others_are_free,
    prior_constant,
    source_name,
)
from ctao_sat.dl5._norm_columns import NormColumns, norm_columns
from ctao_sat.dl5._points_maps import columns_of_rows, make_flux_points
from ctao_sat.dl5._reoptimized import reoptimized_columns
from ctao_sat.errors import ConfigError, NotCompilable
from ctao_sat.likelihood import KernelCache
from ctao_sat.likelihood._source_counts import SourceTerms
from ctao_sat.parallel import pmap

__all__ = ["flux_points"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """One bin for Gammapy."""

    datasets: Datasets
    estimator: FluxPointsEstimator
    edges: u.Quantity


def flux_points(
    datasets: Datasets,
    energy_edges: u.Quantity,
    source: str | None = None,
    *,
    selection_optional: str | Sequence[str] = "all",
    reoptimize: bool = False,
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
    n_sigma_sensitivity: float = 5,
    norm: Parameter | Mapping | None = None,
    compiled: bool | str = "auto",
    kernels: KernelCache | None = None,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> FluxPoints:
    """Estimate the flux of a source in energy bins.

    In each bin the fitted spectral shape is scaled by a norm, which alone is fitted: predictions
    are linear in it, and all bins are solved at once. The columns are those of Gammapy's
    ``FluxPointsEstimator``.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With fitted models. They are not changed.
    energy_edges : Quantity[energy], shape (n+1,)
        Bin edges; Gammapy takes the nearest edges of the datasets' energy axis.
    source : str, optional
        Name of the model; the first one by default.
    selection_optional : "all" or sequence of {"errn-errp", "ul", "scan", "sensitivity"}
        What to compute besides norm, error and test statistic.
    reoptimize : bool
        Fit the free parameters of the other models again in each bin.
    n_sigma : float
        How many sigmas errors stand for.
    n_sigma_ul : float
        Upper limits are where the fit statistic has grown by its square: 2 gives 95.4 %
        confidence, two-sided. Gammapy counts from the best fit even where that is negative: after
        a downward fluctuation such a limit is low, and may itself be negative.
    n_sigma_sensitivity : float
        The sensitivity is the norm of which half of all measurements would be so significant.
    norm : `~gammapy.modeling.Parameter` or dict, optional
        Start, limits and scan of the norm; by default it starts at 1, has no limits, and is
        scanned at 11 values from 0.2 to 5.
    compiled : {"auto", True, False}
        Whether to use the compiled likelihood. With ``"auto"``, Gammapy's estimator takes over
        where that is not possible: the reason is logged, and in ``meta["fallbacks"]`` of the
        result. False is Gammapy's estimator.
    kernels : `~ctao_sat.likelihood.KernelCache`, optional
        PSF and energy-dispersion kernels that earlier fits of the same data have extracted.
    n_jobs : int
        Number of workers for the bins that are left to Gammapy.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute those.
    progress : bool
        Show a progress bar for them, and for bins that are fitted one by one.

    Returns
    -------
    flux_points : `~gammapy.estimators.FluxPoints`
        Of n bins. Those without data, or without any signal expected, have no norm, and
        ``success`` is false. Where no counts say how low the norm may be there is no error, but
        a limit. ``meta["fallbacks"]`` lists what was left to Gammapy, and why.

    Raises
    ------
    SourceNotFoundError
        If there is no such model.
    ConfigError
        If there are fewer than two edges, or an option is unknown.
    DataError
        If the energy axes of the datasets are not aligned, or they are of several telescopes.
    NotCompilable
        If ``compiled`` is True and something cannot be compiled.

    Examples
    --------
    A cube of 10 counts over a background of 4, at 6 of which the model expects them:

    >>> import astropy.units as u
    >>> from gammapy.datasets import Datasets, SpectrumDataset
    >>> from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
    >>> from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
    >>> from ctao_sat import dl5
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1)
    >>> true = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1, name="energy_true")
    >>> geom = RegionGeom.create("icrs;circle(0, 0, 1)", axes=[energy])
    >>> dataset = SpectrumDataset.create(geom, energy_axis_true=true)
    >>> dataset.exposure = RegionNDMap.create(geom.region, axes=[true], unit="cm2 s")
    >>> dataset.exposure.data += 1e13
    >>> dataset.edisp = dataset.mask_safe = None
    >>> dataset.counts.data += 10
    >>> dataset.background.data += 4
    >>> spectrum = PowerLawSpectralModel(amplitude="1e-12 cm-2 s-1 TeV-1", index=2.1)
    >>> datasets = Datasets([dataset])
    >>> datasets.models = [SkyModel(spectrum, name="source")]
    >>> points = dl5.flux_points(datasets, [1, 10] * u.TeV)
    >>> table = points.to_table(sed_type="likelihood")
    >>> for name in ("norm", "norm_err", "norm_ul", "sqrt_ts"):
    ...     print(f"{name}: {table[name][0]:.3f}")
    norm: 0.717
    norm_err: 0.378
    norm_ul: 1.640
    sqrt_ts: 2.515
    >>> points.meta["fallbacks"]
    []
    """
    if compiled not in ("auto", True, False):
        raise ConfigError(f"Unknown choice: compiled={compiled!r}.", remedy="Take 'auto'.")
    datasets = Datasets(datasets)
    edges = check_edges(energy_edges)
    check_together(datasets)
    name = source_name(datasets, source)
    estimator = FluxPointsEstimator(
        energy_edges=edges,
        source=name,
        selection_optional=check_selection(selection_optional),
        reoptimize=reoptimize and others_are_free(datasets, name),
        n_sigma=n_sigma,
        n_sigma_ul=n_sigma_ul,
        n_sigma_sensitivity=n_sigma_sensitivity,
        norm=dict(norm) if isinstance(norm, Mapping) else norm,
    )
    reference = flux_reference(datasets.models[name], edges)
    if np.any(reference(edges).value < 0):
        log.warning("The model of '%s' predicts a negative flux: so do its flux points.", name)
    bins = energy_bins(datasets, edges)
    workers = {"n_jobs": n_jobs, "backend": backend, "progress": progress}
    found, fallbacks = _compiled(datasets, bins, estimator, compiled, kernels, workers)
    columns = _with_gammapy(datasets, bins, estimator, found, workers)
    return make_flux_points(
        columns,
        [one.edges for one in bins],
        datasets.names,
        reference.copy(),
        meta={
            "n_sigma": n_sigma,
            "n_sigma_ul": n_sigma_ul,
            "sed_type_init": "likelihood",
            "SED_TYPE": "likelihood",
            "fallbacks": fallbacks,
        },
        gti=datasets.gti,
    )


def _compiled(
    datasets: Datasets,
    bins: list[EnergyBin],
    estimator: FluxPointsEstimator,
    compiled: bool | str,
    kernels: KernelCache | None,
    workers: dict,
) -> tuple[NormColumns | None, list[str]]:
    """Return the numbers of all bins that can be compiled, and what cannot."""
    if not compiled:
        return None, []
    try:
        if estimator.norm.prior is not None:
            raise NotCompilable("the norm has a prior")
        if estimator.reoptimize:
            progress = workers["progress"]
            found = reoptimized_columns(datasets, bins, estimator, kernels, progress=progress)
            left = []
        else:
            terms = SourceTerms(datasets, estimator.source, kernels)
            constant = prior_constant(datasets, estimator.source)
            parts = [one.parts for one in bins]
            found, left = norm_columns(terms.counts(), parts, estimator, constant), terms.left
    except NotCompilable as error:
        found, left = None, [f"all bins: {error.message}"]
    if found is not None:
        left = [*left, *(f"bin {i}: {reason}" for i, reason in found.failed.items())]
    if left and compiled is True:
        raise NotCompilable("; ".join(left), remedy="Take compiled='auto'.")
    for reason in left:
        log.warning("Left to Gammapy: %s", reason)
    return found, left


def _with_gammapy(
    datasets: Datasets,
    bins: list[EnergyBin],
    estimator: FluxPointsEstimator,
    found: NormColumns | None,
    workers: dict,
) -> dict[str, np.ndarray]:
    """Return the numbers of all bins, those by Gammapy where there are no others."""
    places = list(range(len(bins))) if found is None else list(found.failed)
    edges = estimator.energy_edges
    work = [_Work(datasets, estimator, edges[i : i + 2]) for i in places]
    rows = pmap(_estimate, work, description="Flux points", **workers) if work else []
    if found is None:
        return columns_of_rows(rows, datasets.names)
    columns = found.columns
    if rows:
        for key, values in columns_of_rows(rows, datasets.names).items():
            columns[key][places] = values
    return columns


def _estimate(item: _Work) -> dict:
    with exploring():
        return item.estimator.estimate_flux_point(item.datasets, *item.edges)
