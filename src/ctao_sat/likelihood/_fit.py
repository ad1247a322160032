"""Fit with a compiled likelihood; the result is Gammapy's."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from astropy.table import Table
from gammapy import modeling
from gammapy.datasets import Datasets
from gammapy.modeling import Covariance, CovarianceResult, Fit, FitResult
from iminuit import Minuit

from ctao_sat._gammapy import set_covariance, unique_models
from ctao_sat.errors import NotCompilable
from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._guard import compare, perturbed
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._optimize import Optimum, optimize
from ctao_sat.likelihood._report import Report
from ctao_sat.likelihood._settle import settle
from ctao_sat.likelihood._starts import scattered_starts

__all__ = ["CompiledFitResult", "fit_compiled"]

log = logging.getLogger(__name__)

# The part of a source that may be cut off without a word: a Gaussian has less beyond 5 sigma.
_CUT_OFF = 1e-4


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
    if guard and not (_check(likelihood, "start", notes) and _check_near(likelihood, notes)):
        return _refused(likelihood, start, notes)
    optimum = _fit_shapes(likelihood, starts, errors)
    if guard and not _check(likelihood, "optimum", notes):
        return _refused(likelihood, start, notes)
    likelihood.report.guard = notes if guard else ["off"]
    return _result(likelihood, optimum)


def _fit_shapes(likelihood: CompiledLikelihood, starts: int, errors: str) -> Optimum:
    """Return the lowest optimum; the parameters are set to it."""
    report = likelihood.report
    if not likelihood.sources:
        optimum = optimize(likelihood, errors=errors)
        likelihood.set_factors(optimum.x)
        return optimum
    before = np.array([parameter.value for parameter in likelihood.all_parameters])
    optima = []
    for x in scattered_starts(likelihood, starts):
        likelihood.set_factors(x)
        optima.append(optimize(likelihood, errors=errors))
    optimum = min(optima, key=lambda end: (not end.success, end.stat))
    likelihood.set_factors(optimum.x)
    optimum, refits, stable = settle(likelihood, optimum, errors=errors)
    if not stable:
        optimum = replace(
            optimum, success=False, message="Refits do not settle: each has another optimum."
        )
    # Compiled again, the likelihood has another report.
    likelihood.report.shapes = [
        *(f"start {i}: {end.stat:.4f}" for i, end in enumerate(optima, 1) if starts > 1),
        *refits,
        *_cutouts(likelihood, before),
    ]
    likelihood.report.timings = report.timings
    return optimum


def _cutouts(likelihood: CompiledLikelihood, before: np.ndarray) -> list[str]:
    """Return which sources Gammapy's cutouts, kept from the start, would cut off."""
    return [
        f"{name}: {share:.1%} lie outside of the cutout that Gammapy's fit keeps from its start"
        for name, share in likelihood.sources.cut_off(before).items()
        if share > _CUT_OFF
    ]


def _check(likelihood: CompiledLikelihood, where: str, notes: list[str]) -> bool:
    agrees, note = compare(likelihood, where)
    notes.append(note)
    return agrees


def _check_near(likelihood: CompiledLikelihood, notes: list[str]) -> bool:
    before = [(parameter.factor, parameter.value) for parameter in likelihood.parameters]
    likelihood.set_factors(perturbed(likelihood))
    try:
        return _check(likelihood, "near the start", notes)
    finally:
        for parameter, (factor, value) in zip(likelihood.parameters, before, strict=True):
            parameter.factor = factor
            if parameter.value != value:
                parameter.value = value


def _refused(likelihood: CompiledLikelihood, start: np.ndarray, notes: list[str]):
    """Let Gammapy fit, from the same start."""
    log.warning("The compiled likelihood differs from Gammapy, which fits instead: %s.", notes[-1])
    likelihood.set_factors(start)
    likelihood.report.guard, likelihood.report.refused = notes, True
    return _by_gammapy(likelihood.datasets, likelihood.report)


def _by_gammapy(datasets: Datasets, report: Report) -> CompiledFitResult:
    with np.errstate(all="ignore"):
        result = Fit().run(datasets)
    return CompiledFitResult(
        report=report,
        optimize_result=result.optimize_result,
        covariance_result=result.covariance_result,
    )


def _result(likelihood: CompiledLikelihood, optimum: Optimum) -> CompiledFitResult:
    datasets = likelihood.datasets
    if likelihood.sources:
        for dataset in datasets:
            # Gammapy's evaluators hold cutouts and kernels from where sources have been.
            dataset.models = dataset.models
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
