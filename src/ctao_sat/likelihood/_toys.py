"""Fit many sets of counts drawn from a model."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gammapy.datasets import Datasets
from gammapy.modeling import Parameter

from ctao_sat._gammapy import fresh_copy, unique_models
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood._compiled import CompiledLikelihood, with_counts
from ctao_sat.likelihood._constrained import Minimum, held_limits, minimum_within, prepared
from ctao_sat.likelihood._draw import (
    Expected,
    draw,
    expected_counts,
    present_counts,
    saturated,
    set_counts,
)
from ctao_sat.likelihood._hesse import covariance_at, finite_covariance
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._minuit import limits_of
from ctao_sat.likelihood._names import find_parameter
from ctao_sat.likelihood._optimize import optimize
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._toy_result import Toys
from ctao_sat.parallel import available_cpus, pmap, progress_bar

__all__ = ["toys"]

log = logging.getLogger(__name__)


def toys(
    datasets: Datasets,
    n: int,
    rng: np.random.Generator,
    *,
    null: Sequence[Parameter | str] = (),
    kernels: KernelCache | None = None,
    n_jobs: int = 1,
    progress: bool = False,
) -> Toys:
    """Draw and fit ``n`` sets of counts of a model: a parametric bootstrap.

    The likelihood is compiled once, and only counts change. Each set is fitted from the truth by
    damped Newton steps; where these do not converge, `optimize` takes over, and the result says
    where. No fit is left out.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models: the present parameters are the truth. Neither data nor models are changed.
    n : int
        Number of sets.
    rng : `numpy.random.Generator`
        Each set has a generator of its own, spawned from this one: the same seed gives the same
        sets whatever ``n_jobs``, and the first of a longer run are those of a shorter one.
    null : sequence of `~gammapy.modeling.Parameter` or str
        Parameters that a second fit of each set holds at the truth: the null hypothesis of
        ``Toys.ts``. As "source.amplitude", which is 0 for a source that is not there.
    kernels : `KernelCache`, optional
        Kernels extracted before.
    n_jobs : int
        Number of processes; -1 takes all cores. Each compiles for itself.
    progress : bool
        Show a progress bar when the work takes more than two seconds.

    Returns
    -------
    toys : `Toys`
        Parameters, covariances and statistics of all sets.

    Raises
    ------
    ConfigError
        If there are no models or no free parameters, ``n`` is below 1, or ``null`` names a
        parameter that is not free.
    DataError
        If a dataset has no counts, as flux points.

    Notes
    -----
    The off counts of on-off data are drawn around the background that the statistic profiles out
    of the data, bin by bin. Where few off counts were measured, this is a rough estimate of it;
    the statistic is biased there, and toys show by how much.

    See Also
    --------
    draw_counts : One of the sets as datasets.
    """
    if n < 1:
        raise ConfigError(f"{n} sets to draw.", remedy="Take one or more.")
    datasets = datasets if isinstance(datasets, Datasets) else Datasets(datasets)
    held = [find_parameter(datasets, parameter) for parameter in null]
    frozen = [parameter.name for parameter in held if parameter.frozen]
    if frozen:
        raise ConfigError(
            f"Not free: {', '.join(frozen)}.",
            remedy="The null hypothesis holds what the other one fits: thaw it.",
        )
    expected = expected_counts(datasets)
    parameters = {id(p): p for m in unique_models(datasets) for p in m.parameters}
    places = [list(parameters).index(id(parameter)) for parameter in held]
    streams = rng.spawn(n)
    n_chunks = min(n, available_cpus() if n_jobs == -1 else max(n_jobs, 1))
    bounds = np.linspace(0, n, n_chunks + 1).astype(int)
    work = [
        _Chunk(datasets, expected, streams[a:b], places, kernels, progress and n_chunks == 1)
        for a, b in itertools.pairwise(bounds)
    ]
    with prepared(list(parameters.values())):
        parts = pmap(_fit_chunk, work, n_jobs=n_jobs, description="toys", progress=progress)
    result = Toys.joined(parts)
    if result.n_failed or result.n_by_minuit:
        log.warning(
            "Of %d toys, %d were left to Minuit, and %d did not converge.",
            n, result.n_by_minuit, result.n_failed,
        )  # fmt: skip
    return result


@dataclass(frozen=True)
class _Chunk:
    """Sets that one process fits."""

    datasets: Datasets
    expected: list[Expected]
    streams: list[np.random.Generator]
    null: list[int]
    kernels: KernelCache | None
    progress: bool


def _fit_chunk(chunk: _Chunk) -> Toys:
    """Return the fits of some sets."""
    refit = _Refit(chunk)
    streams = progress_bar(chunk.streams, description="toys", progress=chunk.progress)
    rows = [refit(draw(chunk.expected, stream)) for stream in streams]
    return refit.result(rows)


class _Refit:
    """Fits sets of counts from the same truth."""

    def __init__(self, chunk: _Chunk):
        copies = fresh_copy(chunk.datasets)
        self.likelihood = CompiledLikelihood(copies, chunk.kernels, watch=False)
        likelihood = self.likelihood
        if not likelihood.parameters:
            raise ConfigError("No parameter is free.", remedy="Thaw one: `frozen: false`.")
        for fallback in likelihood.report.fallbacks:
            log.warning("Gammapy evaluates %s.", fallback)
        self.map = ParameterMap(likelihood.all_parameters)
        self.truth = self.map.factors()
        self.limits = limits_of(likelihood)
        free = [likelihood.all_parameters[i] for i in chunk.null]
        index = [likelihood.parameters.index(parameter) for parameter in free]
        self.null_limits = held_limits(self.limits, index, self.truth[index]) if index else None
        # What Gammapy evaluates as a whole reads the counts of the dataset.
        self.slow = any(not fallback.model for fallback in likelihood.report.fallbacks)
        at_truth = likelihood.evaluate(self.truth, 0)
        self.observed = at_truth - saturated(copies, present_counts(copies))

    def __call__(self, counts) -> dict[str, object]:
        if self.slow:
            set_counts(self.likelihood.datasets, counts)
        likelihood = with_counts(self.likelihood, counts)
        stat_truth = likelihood.evaluate(self.truth, 0)
        best = self._best(likelihood)
        row = {
            "values": self.map.values(best.x)[self.map.free_index],
            "covariance": self._covariance(likelihood, best),
            "stat": best.stat,
            "stat_truth": stat_truth,
            "stat_saturated": saturated(self.likelihood.datasets, counts),
            "success": best.success,
            "by_minuit": best.by_minuit,
        }
        if self.null_limits is not None:
            null = minimum_within(likelihood, self.truth, self.null_limits)
            row["stat_null"] = null.stat if null.success else np.nan
        return row

    def _best(self, likelihood: CompiledLikelihood) -> Minimum:
        best = minimum_within(likelihood, self.truth, self.limits)
        if best.success and not best.by_minuit:
            return best
        end = optimize(likelihood)
        other = Minimum(end.x, end.stat, end.success, True, best.n_calls + end.n_calls)
        return min(best, other, key=lambda one: (not one.success, one.stat))

    def _covariance(self, likelihood: CompiledLikelihood, best: Minimum) -> np.ndarray:
        """Return the covariance of the values; NaN if there is none."""
        none = np.full((len(best.x),) * 2, np.nan)
        with np.errstate(all="ignore"):
            if likelihood.report.is_complete:
                found = covariance_at(likelihood, best.x, likelihood.evaluate(best.x, 2))
                matrix = none if found is None else found[0]
            else:
                matrix, success, _ = finite_covariance(likelihood, best.x)
                matrix = matrix if success else none
            slopes, _ = self.map.slopes(best.x, self.map.values(best.x))
            return matrix * np.outer(slopes, slopes)

    def result(self, rows: list[dict[str, object]]) -> Toys:
        """Return all sets, and the data that the model was fitted to."""
        likelihood = self.likelihood
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return Toys(
            names=likelihood.parameter_names,
            units=[str(parameter.unit) for parameter in likelihood.parameters],
            truth=self.map.values()[self.map.free_index],
            observed=self.observed,
            **columns,
        )
