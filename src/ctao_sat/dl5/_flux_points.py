"""Estimate the flux of a source in energy bins."""

from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
from astropy.table import vstack
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints, FluxPointsEstimator

from ctao_sat.dl5._estimator_options import (
    check_edges,
    check_selection,
    exploring,
    others_are_free,
    source_name,
)
from ctao_sat.parallel import pmap

__all__ = ["flux_points"]


@dataclass(frozen=True)
class _EnergyBin:
    datasets: Datasets
    estimator: FluxPointsEstimator


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
    edges = check_edges(energy_edges)
    options = {
        "source": source_name(datasets, source),
        "selection_optional": check_selection(selection_optional),
        "reoptimize": reoptimize and others_are_free(datasets, source),
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
    with exploring():
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
    with exploring():
        return item.estimator.run(item.datasets)
