"""Estimate flux points and light curves with Gammapy's estimators."""

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import vstack
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints, FluxPointsEstimator, LightCurveEstimator
from gammapy.maps import TimeMapAxis

from ctao_sat.errors import ConfigError, DataError, SourceNotFoundError, did_you_mean
from ctao_sat.parallel import pmap

__all__ = ["flux_points", "light_curve"]


@dataclass(frozen=True)
class _EnergyBin:
    datasets: Datasets
    estimator: FluxPointsEstimator


@dataclass(frozen=True)
class _TimeBin:
    datasets: Datasets
    names: list[str]
    estimator: LightCurveEstimator


def flux_points(
    datasets: Datasets,
    energy_edges: u.Quantity,
    source: str | None = None,
    *,
    selection_optional: str | Sequence[str] = "all",
    reoptimize: bool = False,
    n_sigma_ul: float = 2,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> FluxPoints:
    """Estimate the flux of a source in energy bins.

    In each bin the fitted spectral shape is scaled by a norm, which alone is fitted.

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
    n_sigma_ul : float
        Upper limits are where the fit statistic has grown by its square: 2 gives 95.4 %
        confidence, two-sided. Gammapy counts from the best fit even where that is negative: after
        a downward fluctuation such a limit is low, and may itself be negative.
    n_jobs : int
        Number of workers, an energy bin a work item.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute.
    progress : bool
        Show a progress bar.

    Returns
    -------
    flux_points : `~gammapy.estimators.FluxPoints`
        Of n bins.

    Raises
    ------
    SourceNotFoundError
        If there is no such model.
    ConfigError
        If there are fewer than two edges.
    """
    datasets = Datasets(datasets)
    edges = _check_edges(energy_edges)
    options = {
        "source": _source_name(datasets, source),
        "selection_optional": _selection(selection_optional),
        "reoptimize": reoptimize and _others_are_free(datasets, source),
        "n_sigma_ul": n_sigma_ul,
    }
    bins = [
        _EnergyBin(datasets, FluxPointsEstimator(energy_edges=edges[i : i + 2], **options))
        for i in range(len(edges) - 1)
    ]
    parts = pmap(
        _estimate_energy_bin,
        bins,
        n_jobs=n_jobs,
        backend=backend,
        description="Flux points",
        progress=progress,
    )
    with _exploring():
        tables = [part.to_table(sed_type="likelihood", format="gadf-sed") for part in parts]
    table = vstack(tables, metadata_conflicts="silent")
    return FluxPoints.from_table(
        table,
        sed_type="likelihood",
        format="gadf-sed",
        reference_model=parts[0].reference_model.copy(),
        gti=datasets.gti,
    )


def _estimate_energy_bin(item: _EnergyBin) -> FluxPoints:
    with _exploring():
        return item.estimator.run(item.datasets)


def light_curve(
    datasets: Datasets,
    energy_edges: u.Quantity,
    source: str | None = None,
    *,
    time_intervals: Sequence[Time] | None = None,
    selection_optional: str | Sequence[str] = ("errn-errp", "ul"),
    reoptimize: bool = False,
    n_sigma_ul: float = 2,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> FluxPoints:
    """Estimate the flux of a source in time intervals, with its spectral shape fixed.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        One for each observation, with fitted models. They are not changed.
    energy_edges : Quantity[energy], shape (n+1,)
        Edges of the energy bins of the light curve.
    source : str, optional
        Name of the model; the first one by default.
    time_intervals : sequence of `~astropy.time.Time`, shape (m, 2), optional
        Start and stop of each interval. A dataset counts where its good time lies within. Default:
        the good time intervals of the datasets, thus one point a run.
    selection_optional : "all" or sequence of {"errn-errp", "ul", "scan", "sensitivity"}
        What to compute besides norm, error and test statistic.
    reoptimize : bool
        Fit the free parameters of the other models again in each bin.
    n_sigma_ul : float
        Upper limits are where the fit statistic has grown by its square.
    n_jobs : int
        Number of workers, a time interval a work item.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute.
    progress : bool
        Show a progress bar.

    Returns
    -------
    light_curve : `~gammapy.estimators.FluxPoints`
        With an axis of time. Intervals without a dataset are left out.

    Raises
    ------
    SourceNotFoundError
        If there is no such model.
    DataError
        If no dataset lies within an interval.
    """
    datasets = Datasets(datasets)
    gti = datasets.gti if time_intervals is None else GTI.from_time_intervals(time_intervals)
    gti = gti.union(overlap_ok=False, merge_equal=False)
    estimator = LightCurveEstimator(
        energy_edges=_check_edges(energy_edges),
        source=_source_name(datasets, source),
        selection_optional=_selection(selection_optional),
        reoptimize=reoptimize and _others_are_free(datasets, source),
        n_sigma_ul=n_sigma_ul,
    )
    intervals, bins = [], []
    for start, stop in gti.time_intervals:
        within = datasets.select_time(time_min=start, time_max=stop, atol=1e-6 * u.s)
        if len(within) > 0:
            intervals.append((start, stop))
            bins.append(_TimeBin(within, datasets.names, estimator))
    if not bins:
        raise DataError(
            "No dataset lies completely within a time interval.",
            remedy="Take longer intervals, or split the observations first.",
        )
    rows = pmap(
        _estimate_time_bin,
        bins,
        n_jobs=n_jobs,
        backend=backend,
        description="Light curve",
        progress=progress,
    )
    axis = TimeMapAxis.from_gti(GTI.from_time_intervals(intervals))
    return FluxPoints.from_stack(maps=rows, axis=axis)


def _estimate_time_bin(item: _TimeBin) -> FluxPoints:
    with _exploring():
        return item.estimator.estimate_time_bin_flux(item.datasets, item.names)


def _exploring() -> np.errstate:
    # Optimisers try parameters at which spectra overflow; Gammapy handles an index of 2 so, too.
    return np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


def _source_name(datasets: Datasets, source: str | None) -> str:
    if not datasets.models:
        raise ConfigError("The datasets have no models.", remedy="Set datasets.models first.")
    # Background models have no spectrum of a source.
    names = [model.name for model in datasets.models if hasattr(model, "spatial_model")]
    if source is None and names:
        return names[0]
    if source is None or source not in names:
        raise SourceNotFoundError(
            f"No source '{source}'. Models: {', '.join(repr(name) for name in names)}.",
            remedy=did_you_mean(str(source), names),
        )
    return source


def _others_are_free(datasets: Datasets, source: str | None) -> bool:
    """Return whether another model has a free parameter; if not, Gammapy refuses to refit."""
    name = _source_name(datasets, source)
    others = [model for model in datasets.models if model.name != name]
    return any(len(model.parameters.free_parameters) > 0 for model in others)


def _selection(selection: str | Sequence[str]) -> list[str] | str:
    return selection if selection == "all" else list(selection)


def _check_edges(edges: u.Quantity) -> u.Quantity:
    edges = u.Quantity(edges, "TeV")
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise ConfigError(
            "Energy edges must be at least two, and rise.",
            remedy="For example: [1, 3, 10] * u.TeV.",
        )
    return edges
