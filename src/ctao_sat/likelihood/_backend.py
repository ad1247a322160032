"""The backend "ctao_sat" of Gammapy's Fit."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gammapy.modeling import Parameter, Parameters
from iminuit import Minuit
from scipy.stats import norm

from ctao_sat._gammapy import bound_datasets, fit_task, register_fit_tasks, share_state
from ctao_sat.errors import ConfigError, CtaoSatError, did_you_mean
from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._guard import agrees, agrees_near, set_factors
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._optimize import NO_MINIMUM, Optimum, covariance_at, optimize

__all__ = ["register_fit_backend"]

log = logging.getLogger(__name__)

_MINUIT_OPTIONS = ("errordef", "migrad_opts", "print_level", "strategy", "tol")
# Gammapy multiplies the covariance by zeros, and infinity would become NaN everywhere. The errors
# that it makes of this are beyond any real one.
_UNKNOWN = 1e200


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
    ``guard``    whether to compare with Gammapy at the start, near it and at the optimum; True
                 by default; ``optimize`` only
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
            trace = likelihood.trace if isinstance(likelihood, _Recorded) else []
            info = {
                "success": optimum.success,
                "nfev": optimum.n_calls,
                "message": optimum.message + _by_gammapy(likelihood) + chosen.remark(),
                "trace": trace,
            }
            return optimum.x, info, optimum.minuit
        for parameter, factor in zip(likelihood.parameters, start, strict=True):
            parameter.factor = factor
    factors, info, minuit = fit_task("optimize", "minuit")(
        parameters=parameters, function=function, store_trace=store_trace, **chosen.minuit
    )
    return factors, _explained(info, reason), minuit


def _minimum(likelihood: CompiledLikelihood, *, guard: bool) -> tuple[Optimum | None, str]:
    """Return the optimum; None, and why, where the likelihood differs from Gammapy."""
    notes: list[str] = []
    optimum = None
    if not guard or (agrees(likelihood, "start", notes) and agrees_near(likelihood, notes)):
        optimum = optimize(likelihood, errors="migrad")
        set_factors(likelihood, optimum.x)
        if guard and not agrees(likelihood, "optimum", notes):
            optimum = None
    if optimum is None:
        return None, f"the compiled likelihood differs ({notes[-1]})"
    log.info("Compared with Gammapy: %s.", "; ".join(notes) or "no")
    return optimum, ""


def _covariance(
    parameters: Parameters, function: Callable, **options: Any
) -> tuple[np.ndarray, dict[str, Any]]:
    """Do what Gammapy's ``covariance_iminuit`` does, at the present parameters."""
    chosen = _choose(options)
    likelihood, reason = _compile(parameters, function, chosen)
    if likelihood is not None and likelihood.report.is_complete:
        x = np.array([parameter.factor for parameter in likelihood.parameters])
        with np.errstate(all="ignore"):
            found = covariance_at(likelihood, x, likelihood.hessian(x))
        matrix, message = found or (np.diag(np.full(len(x), np.inf)), NO_MINIMUM)
        known = np.isfinite(matrix)
        info = {"success": bool(known.all()), "message": message + chosen.remark()}
        return np.where(known, matrix, _UNKNOWN), info
    # Second derivatives by Minuit, of a statistic that is compiled at least in part.
    matrix, info = fit_task("covariance", "minuit")(
        parameters=parameters,
        function=function if likelihood is None else likelihood.stat_sum,
        **chosen.minuit,
    )
    if likelihood is None:
        return matrix, _explained(info, reason)
    return matrix, {**info, "message": info["message"] + _by_gammapy(likelihood)}


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
            return _minos(likelihood, parameter, sigma, chosen)
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
    likelihood: CompiledLikelihood, parameter: Parameter, sigma: float, chosen: _Options
) -> dict[str, Any]:
    """Return the errors of a factor at which the statistic has risen by ``sigma`` squared."""
    index = [id(free) for free in likelihood.parameters].index(id(parameter))
    result = {"success": False, "errp": np.nan, "errn": np.nan, "nfev": 0}
    with np.errstate(all="ignore"):
        try:
            minuit = optimize(likelihood).minuit
            minuit.minos(index, cl=2 * norm.cdf(sigma) - 1, ncall=None)
        except RuntimeError as error:
            # Minuit does not look for errors where it has found no minimum.
            return {**result, "message": f"{error}{_by_gammapy(likelihood)}"}
    found = minuit.merrors[index]
    message = "successfully." if found.is_valid else "but the result is invalid."
    return {
        "success": found.is_valid,
        "message": f"Minos terminated {message}{_by_gammapy(likelihood)}{chosen.remark()}",
        "errp": found.upper,
        "errn": -found.lower,
        "nfev": found.nfcn,
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
