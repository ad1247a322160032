"""Fit with a compiled likelihood; the result is Gammapy's."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from gammapy import modeling
from gammapy.datasets import Datasets
from gammapy.modeling import Covariance, CovarianceResult, Fit, FitResult
from iminuit import Minuit

from ctao_sat._gammapy import renew_evaluators, set_covariance, unique_models
from ctao_sat.errors import NotCompilable
from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._guard import agrees, agrees_near
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._optimize import Optimum
from ctao_sat.likelihood._report import Report
from ctao_sat.likelihood._responses import free_shape_parameters
from ctao_sat.likelihood._settle import find_optimum

__all__ = ["CompiledFitResult", "fit_compiled"]

log = logging.getLogger(__name__)

# How often Gammapy fits free shapes at most, and when its statistic counts as stable.
_REFITS, _STABLE = 5, 0.1


class CompiledFitResult(FitResult):
    """Gammapy's result, with what was compiled and what was not.

    Attributes
    ----------
    report : `Report`
        Fallbacks with their reasons, and what the guard found.
    """

    def __init__(self, *, report: Report, **kwargs):
        super().__init__(**kwargs)
        self.report = report

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.report}\n"


class OptimizeResult(modeling.OptimizeResult):
    """Gammapy's, under its name, with a Minuit object that is made when it is asked for."""

    def __init__(self, *, make_minuit: Callable[[], Minuit], **kwargs: Any):
        super().__init__(**kwargs)
        self._make_minuit: Callable[[], Minuit] | None = make_minuit

    @property
    def minuit(self) -> Minuit | None:
        """Minuit object at the minimum; None after a journey between processes."""
        return None if self._make_minuit is None else self._make_minuit()

    def __getstate__(self) -> dict[str, Any]:
        # It would take the likelihood, and thereby all data, with it.
        return {**self.__dict__, "_make_minuit": None}


def fit_compiled(
    datasets: Datasets,
    *,
    complete: bool = False,
    errors: str = "hesse",
    guard: bool = True,
    kernels: KernelCache | None = None,
    starts: int = 1,
) -> CompiledFitResult:
    """Fit the free parameters of datasets.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models; their parameters and covariance are set to the result.
    complete : bool
        Whether to refuse what cannot be compiled as a whole.
    errors : {"hesse", "migrad"}
        See `optimize`.
    guard : bool
        Compare with Gammapy at the start, near it and at the optimum; where they differ, warn and
        let Gammapy fit.
    kernels : `KernelCache`, optional
        Kernels extracted before.
    starts : int
        From how many starts to fit, with free shapes; the lowest minimum is taken.

    Returns
    -------
    result : `CompiledFitResult`
        Gammapy's, with a report.

    Raises
    ------
    NotCompilable
        If ``complete`` and something falls back.
    """
    for model in unique_models(datasets):
        model.parameters.autoscale()
    likelihood = CompiledLikelihood(datasets, kernels, watch=False)
    report = likelihood.report
    if complete and not report.is_complete:
        raise NotCompilable(
            f"Not compilable: {report.reasons()}.", remedy="Take compiled='auto' or False."
        )
    for fallback in report.fallbacks:
        log.warning("Gammapy evaluates %s.", fallback)
    if not report.compiled:
        return _by_gammapy(datasets, report)
    start = np.array([parameter.factor for parameter in likelihood.parameters])
    notes: list[str] = []
    if guard and not (agrees(likelihood, "start", notes) and agrees_near(likelihood, notes)):
        return _refused(likelihood, start, notes)
    optimum = find_optimum(likelihood, errors=errors, starts=starts)
    if guard and not agrees(likelihood, "optimum", notes):
        return _refused(likelihood, start, notes)
    # Compiled again on the way, the likelihood may have another report.
    likelihood.report.guard = notes if guard else ["off"]
    return _result(likelihood, optimum)


def _refused(likelihood: CompiledLikelihood, start: np.ndarray, notes: list[str]):
    """Let Gammapy fit, from the same start."""
    log.warning("The compiled likelihood differs from Gammapy, which fits instead: %s.", notes[-1])
    likelihood.set_factors(start)
    likelihood.report.guard, likelihood.report.refused = notes, True
    return _by_gammapy(likelihood.datasets, likelihood.report)


def _by_gammapy(datasets: Datasets, report: Report) -> CompiledFitResult:
    """Let Gammapy fit; with free shapes again with new evaluators, until its minimum is stable."""
    models = unique_models(datasets)
    has_free_shapes = any(free_shape_parameters(model) for model in models)
    last = np.inf
    for _ in range(_REFITS if has_free_shapes else 1):
        with np.errstate(all="ignore"):
            result = Fit().run(datasets)
        renew_evaluators(datasets)
        if not abs(result.total_stat - last) > _STABLE:
            break
        last = result.total_stat
    return CompiledFitResult(
        report=report,
        optimize_result=result.optimize_result,
        covariance_result=result.covariance_result,
    )


def _result(likelihood: CompiledLikelihood, optimum: Optimum) -> CompiledFitResult:
    datasets = likelihood.datasets
    if likelihood.sources:
        renew_evaluators(datasets)
    models = datasets.models
    models.parameters.check_limits()
    covariance = _covariance(models.parameters, likelihood.parameters, optimum.covariance)
    # Each has its own: Gammapy changes in place what it keeps.
    models.covariance = covariance.copy()
    set_covariance(datasets, models.parameters, covariance.copy())
    best = models.copy()
    best.covariance = covariance.copy()
    return CompiledFitResult(
        report=likelihood.report,
        optimize_result=OptimizeResult(
            models=best,
            total_stat=optimum.stat,
            backend="ctao_sat",
            method="migrad",
            trace=Table(),
            make_minuit=lambda: optimum.minuit,
            success=optimum.success,
            nfev=optimum.n_calls,
            message=optimum.message,
        ),
        covariance_result=CovarianceResult(
            backend="ctao_sat",
            method=optimum.errors,
            success=optimum.covariance_success,
            message=optimum.covariance_message,
            matrix=covariance,
        ),
    )


def _covariance(
    parameters: modeling.Parameters, free: Sequence[modeling.Parameter], matrix: np.ndarray
) -> np.ndarray:
    """Return the covariance of values, with infinite variances where there is none.

    Gammapy takes NaN for an error of 1 as soon as it gathers the covariance of models.
    """
    unknown = ~np.isfinite(np.diag(matrix))
    # Gammapy multiplies matrices, and would spread what is not finite over all of them.
    known = np.where(np.isfinite(matrix), matrix, 0.0)
    data = Covariance.from_factor_matrix(parameters, known).data.copy()
    lost = {id(parameter) for parameter, is_lost in zip(free, unknown, strict=True) if is_lost}
    for i, parameter in enumerate(parameters):
        if id(parameter) in lost:
            data[i, i] = np.inf
    return data
