"""Estimate the flux of a source in time intervals."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.time import Time
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints, FluxPointsEstimator

from ctao_sat.dl5._checkpoints import Checkpoints, fingerprint
from ctao_sat.dl5._estimator_options import (
    check_edges,
    check_selection,
    exploring,
    others_are_free,
    source_name,
)
from ctao_sat.dl5._interval_flux import IntervalFlux, stack
from ctao_sat.dl5._interval_spectra import fit_interval, free_parameters, parameter_table
from ctao_sat.dl5._intervals import match_intervals
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import KernelCache
from ctao_sat.parallel import pmap

__all__ = ["light_curve"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """One interval: its datasets, and what to do with them."""

    datasets: Datasets
    label: str
    edges: u.Quantity
    options: dict[str, Any]
    is_free: bool
    kernels: KernelCache
    checkpoints: Checkpoints | None


def light_curve(
    datasets: Datasets,
    energy_edges: u.Quantity,
    source: str | None = None,
    *,
    time_intervals: Sequence[Time] | None = None,
    spectrum: str = "fixed",
    selection_optional: str | Sequence[str] = ("errn-errp", "ul"),
    reoptimize: bool = False,
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
    checkpoints: str | Path | None = None,
    kernels: KernelCache | None = None,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> FluxPoints:
    """docs later."""
    datasets = Datasets(datasets)
    source = source_name(datasets, source)
    edges = check_edges(energy_edges)
    if spectrum not in ("fixed", "free"):
        raise ConfigError(f"Unknown spectrum: {spectrum!r}.", remedy="Take 'fixed' or 'free'.")
    model = datasets.models[source].spectral_model
    if spectrum == "free":
        free_parameters(model, source)
    options = {
        "source": source,
        "selection_optional": check_selection(selection_optional),
        "reoptimize": reoptimize and others_are_free(datasets, source),
        "n_sigma": n_sigma,
        "n_sigma_ul": n_sigma_ul,
    }
    intervals = match_intervals(datasets, time_intervals)
    shared = KernelCache() if kernels is None else kernels
    work = [
        _Work(
            Datasets([datasets[i] for i in interval.members]),
            str(interval),
            edges,
            options,
            spectrum == "free",
            shared,
            None if checkpoints is None else Checkpoints(Path(checkpoints)),
        )
        for interval in intervals
    ]
    parts = pmap(
        _estimate,
        work,
        n_jobs=n_jobs,
        backend=backend,
        description="Light curve",
        progress=progress,
    )
    times = Time([each.start for each in intervals]), Time([each.stop for each in intervals])
    curve = stack(parts, times, datasets.names, model)
    if spectrum == "free":
        spectra = [part.spectrum for part in parts if part.spectrum is not None]
        curve.meta["parameters"] = parameter_table(spectra, times, model)
    return curve


def _estimate(work: _Work) -> IntervalFlux:
    """Return what is kept of an interval, or estimate it and keep it."""
    if work.checkpoints is None:
        return _compute(work)
    asked = {"edges": str(work.edges.tolist()), "free": work.is_free, **work.options}
    key = fingerprint(work.datasets, asked)
    kept = work.checkpoints.load(key)
    if kept is not None:
        return IntervalFlux.from_arrays(kept)
    flux = _compute(work)
    work.checkpoints.save(key, flux.to_arrays())
    return flux


def _compute(work: _Work) -> IntervalFlux:
    datasets, spectrum = work.datasets, None
    with exploring():
        if work.is_free:
            spectrum, datasets = fit_interval(
                datasets,
                work.options["source"],
                reoptimize=work.options["reoptimize"],
                kernels=work.kernels,
            )
        points = FluxPointsEstimator(energy_edges=work.edges, **work.options).run(datasets)
    notes: list[str] = []
    reference = work.datasets.models[work.options["source"]].spectral_model
    return IntervalFlux.from_points(points, notes, spectrum, reference)
