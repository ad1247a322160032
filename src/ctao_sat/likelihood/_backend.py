"""The backend "ctao_sat" of Gammapy's Fit."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gammapy.modeling import Parameter, Parameters
from iminuit import Minuit
from scipy.stats import norm

from ctao_sat._gammapy import (
    bound_datasets,
    fit_task,
    register_fit_tasks,
    renew_evaluators,
    share_state,
)
from ctao_sat.errors import ConfigError, CtaoSatError, did_you_mean
from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._guard import agrees, agrees_near
from ctao_sat.likelihood._hesse import finite_covariance, kink_width
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._optimize import Optimum, optimize
from ctao_sat.likelihood._settle import find_optimum

__all__ = ["register_fit_backend"]

log = logging.getLogger(__name__)

# By so much the sum of many bins may differ from itself.
_ROUNDING = 1e-6
_MINUIT_OPTIONS = ("errordef", "migrad_opts", "print_level", "strategy", "tol")


def register_fit_backend() -> None:
    """Let Gammapy's ``Fit`` use the compiled likelihood: ``Fit(backend="ctao_sat")``.

    ``optimize``, ``covariance`` and ``confidence`` then compile the likelihood of the datasets
    that they are given. What cannot be compiled, Gammapy evaluates; if nothing can be, or the
    compiled likelihood differs from Gammapy, its backend "minuit" does the task. The reason is
    logged, and stands in the message of the result. Nothing else of Gammapy changes. To call this
    again does nothing.

    ``optimize_opts``, ``covariance_opts`` and ``confidence_opts`` take, beside
    ``"backend": "ctao_sat"``:

    ===========  ===============================================================================
    option       meaning
    ===========  ===============================================================================
    ``guard``    whether to compare with Gammapy at the present parameters, and for ``optimize``
                 near them and at the optimum; True by default
    ``kernels``  a `KernelCache`, which keeps PSF and energy-dispersion kernels for later fits
    ===========  ===============================================================================

    The options of the backend "minuit" are accepted, and used only where it takes over.

    Examples
    --------
    >>> from gammapy.modeling import Fit
    >>> from ctao_sat.likelihood import register_fit_backend
    >>> register_fit_backend()
    >>> fit = Fit(backend="ctao_sat")
    >>> quick = Fit(backend="ctao_sat", optimize_opts={"backend": "ctao_sat", "guard": False})
    """
    register_fit_tasks(
        "ctao_sat", optimize=_optimize, covariance=_covariance, confidence=_confidence
    )


@dataclass(frozen=True)
class _Options:
    """What a user can choose, and the options that are Minuit's."""

    guard: bool = True
    kernels: KernelCache | None = None
    minuit: dict[str, Any] = field(default_factory=dict)

    def remark(self) -> str:
        """Return which options have had no effect."""
        names = ", ".join(self.minuit)
        return f" Options of Minuit that were not used: {names}." if names else ""


class _Recorded(CompiledLikelihood):
    """A likelihood that keeps the points at which it is evaluated, as Gammapy's trace does."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.trace: list[dict[str, float]] = []

    def evaluate(self, x: np.ndarray, order: int):
        result = super().evaluate(x, order)
        if order < 2:
            row = {"total_stat": result if order == 0 else result[0]}
            for i, (parameter, factor) in enumerate(zip(self.parameters, x, strict=True)):
                row[f"par-{i}"] = parameter.inverse_transform(factor)
            self.trace.append(row)
        return result


def _optimize(
    parameters: Parameters, function: Callable, store_trace: bool = False, **options: Any
) -> tuple[np.ndarray, dict[str, Any], Minuit | None]:
    """Do what Gammapy's ``optimize_iminuit`` does."""
    chosen = _choose(options)
    start = np.array([parameter.factor for parameter in parameters.free_parameters])
    likelihood, reason = _compile(parameters, function, chosen, record=store_trace)
    if likelihood is not None:
        optimum, reason = _minimum(likelihood, guard=chosen.guard)
        if optimum is not None:
            return _best(likelihood, optimum, start, chosen)
        parameters.set_parameter_factors(start)
    factors, info, minuit = fit_task("optimize", "minuit")(
        parameters=parameters, function=function, store_trace=store_trace, **chosen.minuit
    )
    return factors, _explained(info, reason), minuit


def _best(
    likelihood: CompiledLikelihood, optimum: Optimum, start: np.ndarray, chosen: _Options
) -> tuple[np.ndarray, dict[str, Any], Minuit | None]:
    """Return an optimum; if it is none, and as low, what Gammapy's minuit finds by differences."""
    remark = _by_gammapy(likelihood)
    info = {
        "success": optimum.success,
        "nfev": optimum.n_calls,
        "message": optimum.message + remark + chosen.remark(),
        "trace": likelihood.trace if isinstance(likelihood, _Recorded) else [],
    }
    if not optimum.success:
        likelihood.set_factors(start)
        with np.errstate(all="ignore"):
            factors, other, minuit = fit_task("optimize", "minuit")(
                parameters=Parameters(likelihood.parameters),
                function=likelihood.stat_sum,
                store_trace=isinstance(likelihood, _Recorded),
                **chosen.minuit,
            )
        likelihood.set_factors(factors)
        if other["success"] and likelihood.stat_sum() <= optimum.stat + _ROUNDING:
            why = f"By differences, for with derivatives: {optimum.message}"
            return factors, {**other, "message": f"{other['message']} {why}{remark}"}, minuit
    if likelihood.sources:
        # Gammapy's next statistic is to be that of where sources have gone.
        renew_evaluators(likelihood.datasets)
    return optimum.x, info, optimum.minuit


def _minimum(likelihood: CompiledLikelihood, *, guard: bool) -> tuple[Optimum | None, str]:
    """Return the optimum; None, and why, where the likelihood differs from Gammapy."""
    notes: list[str] = []
    optimum = None
    if not guard or agrees_near(likelihood, notes):
        optimum = find_optimum(likelihood, errors="migrad")
        if guard and not agrees(likelihood, "optimum", notes):
            optimum = None
    if optimum is None:
        return None, f"the compiled likelihood differs ({notes[-1]})"
    if guard:
        log.info("Compared with Gammapy: %s.", "; ".join(notes))
    return optimum, ""


def _covariance(
    parameters: Parameters, function: Callable, **options: Any
) -> tuple[np.ndarray, dict[str, Any]]:
    """Do what Gammapy's ``covariance_iminuit`` does, at the present parameters."""
    chosen = _choose(options)
    likelihood, reason = _compile(parameters, function, chosen)
    if likelihood is None:
        matrix, info = fit_task("covariance", "minuit")(
            parameters=parameters, function=function, **chosen.minuit
        )
        return matrix, _explained(info, reason)
    x = np.array([parameter.factor for parameter in likelihood.parameters])
    matrix, success, message = finite_covariance(likelihood, x)
    message += _by_gammapy(likelihood) + chosen.remark()
    return matrix, {"success": success, "message": message}


def _confidence(
    parameters: Parameters,
    function: Callable,
    parameter: Parameter,
    sigma: float,
    reoptimize: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Do what Gammapy's ``confidence_iminuit`` does; also if nothing is to be optimised again."""
    chosen = _choose(options)
    with parameters.restore_status():
        if not reoptimize:
            for other in parameters.free_parameters:
                other.frozen = other is not parameter
        likelihood, reason = _compile(parameters, function, chosen)
        if likelihood is not None:
            result = _minos(likelihood, parameter, sigma)
            if result is None:
                result = _roots(likelihood, parameters, parameter, sigma)
            message = result["message"] + _by_gammapy(likelihood) + chosen.remark()
            return {**result, "message": message}
        result = fit_task("confidence", "minuit")(
            parameters=parameters,
            function=function,
            parameter=parameter,
            reoptimize=True,
            sigma=sigma,
            **chosen.minuit,
        )
    return _explained(result, reason)


def _minos(
    likelihood: CompiledLikelihood, parameter: Parameter, sigma: float
) -> dict[str, Any] | None:
    """Return the errors of a factor at which the statistic has risen by ``sigma`` squared.

    None where Minuit does not find them, or would be wrong, as at a kink of the statistic; the
    parameters are then at the minimum.
    """
    index = [id(free) for free in likelihood.parameters].index(id(parameter))
    before = likelihood.stat_sum()
    with np.errstate(all="ignore"):
        optimum = optimize(likelihood)
        if optimum.stat < before:
            likelihood.set_factors(optimum.x)
        if likelihood.report.is_complete:
            curvature = likelihood.hessian(optimum.x)[index, index]
            if np.isfinite(kink_width(likelihood, optimum.x, index, curvature)):
                return None
        try:
            optimum.minuit.minos(index, cl=2 * norm.cdf(sigma) - 1, ncall=None)
        except RuntimeError:
            # Minuit does not look for errors where it has found no minimum.
            return None
    found = optimum.minuit.merrors[optimum.minuit.parameters[index]]
    if not found.is_valid:
        return None
    return {
        "success": True,
        "message": "Minos terminated successfully.",
        "errp": found.upper,
        "errn": -found.lower,
        "nfev": found.nfcn,
    }


def _roots(
    likelihood: CompiledLikelihood, parameters: Parameters, parameter: Parameter, sigma: float
) -> dict[str, Any]:
    """Return what `_minos` does, by root finding in the profile of the statistic."""
    with np.errstate(all="ignore"):
        found = fit_task("confidence", "scipy")(
            parameters=parameters, function=likelihood.stat_sum, parameter=parameter, sigma=sigma
        )
    both = [found["success_errn"], found["success_errp"]]
    return {
        "success": all(both),
        "message": found["message_errp" if both[0] else "message_errn"],
        "errp": found["errp"],
        "errn": found["errn"],
        "nfev": found["nfev_errn"] + found["nfev_errp"],
    }


def _choose(options: dict[str, Any]) -> _Options:
    own = {name: value for name, value in options.items() if name in ("guard", "kernels")}
    minuit = {name: value for name, value in options.items() if name in _MINUIT_OPTIONS}
    for name in options:
        if name not in own and name not in minuit:
            raise ConfigError(
                f"Unknown option of the fit backend: {name!r}.",
                remedy=did_you_mean(name, ("guard", "kernels", *_MINUIT_OPTIONS)),
            )
    if minuit:
        log.info("Used only if Gammapy's minuit takes over: %s.", ", ".join(minuit))
    return _Options(**own, minuit=minuit)


def _compile(
    parameters: Parameters, function: Callable, chosen: _Options, *, record: bool = False
) -> tuple[CompiledLikelihood | None, str]:
    """Return the likelihood behind a statistic, or None and the reason why there is none."""
    datasets = bound_datasets(function)
    if datasets is None:
        return None, "the statistic is not that of Gammapy's Datasets"
    if share_state(parameters):
        return None, "parameters share their state without being the same"
    cls = _Recorded if record else CompiledLikelihood
    try:
        likelihood = cls(datasets, chosen.kernels, watch=False)
    except CtaoSatError as error:
        return None, error.message
    if not likelihood.report.compiled:
        return None, likelihood.report.reasons()
    if list(map(id, likelihood.parameters)) != list(map(id, parameters.free_parameters)):
        return None, "the free parameters are not those of the datasets"
    notes: list[str] = []
    if chosen.guard and not agrees(likelihood, "start", notes):
        return None, f"the compiled likelihood differs ({notes[-1]})"
    for fallback in likelihood.report.fallbacks:
        log.warning("Gammapy evaluates %s.", fallback)
    return likelihood, ""


def _by_gammapy(likelihood: CompiledLikelihood) -> str:
    reasons = likelihood.report.reasons()
    return f" By Gammapy: {reasons}." if reasons else ""


def _explained(info: dict[str, Any], reason: str) -> dict[str, Any]:
    """Log why Gammapy's minuit has taken over, and say so in the message."""
    log.warning("Gammapy's minuit takes over: %s.", reason)
    return {**info, "message": f"{info['message']} By Gammapy's minuit: {reason}."}
