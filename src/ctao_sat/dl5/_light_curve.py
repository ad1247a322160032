"""Estimate the flux of a source in time intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints, LightCurveEstimator
from gammapy.maps import TimeMapAxis

from ctao_sat.dl5._estimator_options import (
    check_edges,
    check_selection,
    exploring,
    others_are_free,
    source_name,
)
from ctao_sat.errors import DataError
from ctao_sat.parallel import pmap

__all__ = ["light_curve"]


@dataclass(frozen=True)
class _TimeBin:
    datasets: Datasets
    names: list[str]
    estimator: LightCurveEstimator


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
        energy_edges=check_edges(energy_edges),
        source=source_name(datasets, source),
        selection_optional=check_selection(selection_optional),
        reoptimize=reoptimize and others_are_free(datasets, source),
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
    with exploring():
        return item.estimator.estimate_time_bin_flux(item.datasets, item.names)
