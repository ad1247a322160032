"""Minimise a compiled likelihood with Minuit, which gets gradient and second derivatives."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from iminuit import Minuit
from iminuit.util import IMinuitWarning

from ctao_sat.errors import ConfigError
from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._covariance import ExactCovariance, exact_covariance, unbounded
from ctao_sat.likelihood._descend import descend
from ctao_sat.likelihood._newton import approach

__all__ = ["Optimum", "optimize"]

# By so much the sum of many bins may differ from itself.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Optimum:
    """A minimum of the statistic.

    Attributes
    ----------
    x : array, shape (n_free,)
        Factors of the free parameters.
    stat : float
        Statistic there.
    covariance : array, shape (n_free, n_free)
        Of the factors; NaN if it could not be had, with infinite variances for parameters that the
        data do not determine.
    success, covariance_success : bool
        Whether the minimum, and its covariance, are valid.
    message, covariance_message : str
        What Minuit says of them.
    errors : {"hesse", "migrad"}
        Where the covariance is from.
    n_calls : int
        Evaluations of the statistic and of its derivatives.
    make_minuit : callable
        Returns the `iminuit.Minuit` that `minuit` keeps.
    """

    x: np.ndarray
    stat: float
    covariance: np.ndarray
    success: bool
    covariance_success: bool
    message: str
    covariance_message: str
    errors: str
    n_calls: int
    make_minuit: Callable[[], Minuit]

    @functools.cached_property
    def minuit(self) -> Minuit:
        """Minuit at the minimum, with the limits of the parameters, for MINOS and contours.

        Made when it is first asked for: it may take longer than the minimum has.
        """
        return self.make_minuit()


class _Objective:
    """The functions that minimisers call, which ask for the same point again and again."""

    def __init__(self, likelihood: CompiledLikelihood):
        self._likelihood = likelihood
        self._known: dict[int, tuple[bytes, Any]] = {}
        self._scales: np.ndarray | None = None
        # What a source puts into bins is then the larger part of all derivatives.
        self._together = bool(likelihood.sources) and likelihood.report.is_complete
        self.n_calls = 0

    def pin(self) -> None:
        """Take the factors of all further calls for those in the scales of now."""
        self._scales, self._together = self._scales_now(), False
        self.forget()

    def _scales_now(self) -> np.ndarray:
        return np.array([parameter.scale for parameter in self._likelihood.parameters])

    def forget(self) -> None:
        """Take what is known for what it was by another approximation."""
        self._known.clear()

    def _at(self, x: np.ndarray, order: int) -> Any:
        key = x.tobytes()
        known = self._known.get(order)
        if known is None or known[0] != key:
            self.n_calls += 1
            if order > 0 and self._together:
                stat, gradient, hessian = self._likelihood.expand(x)
                self._known[1], self._known[2] = (key, (stat, gradient)), (key, hessian)
                return self._known[order][1]
            known = self._known[order] = key, self._evaluate(x, order)
        return known[1]

    def _evaluate(self, x: np.ndarray, order: int) -> Any:
        if self._scales is None:
            return self._likelihood.evaluate(x, order)
        ratio = self._scales / self._scales_now()
        result = self._likelihood.evaluate(x * ratio, order)
        if order == 0:
            return result
        return (result[0], result[1] * ratio) if order == 1 else result * np.outer(ratio, ratio)

    def value(self, x: np.ndarray) -> float:
        return self._at(x, 0)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return self._at(x, 1)[1]

    def hessian(self, x: np.ndarray) -> np.ndarray:
        return self._at(x, 2)

    def diagonal(self, x: np.ndarray) -> np.ndarray:
        return np.diag(self.hessian(x)).copy()


def optimize(likelihood: CompiledLikelihood, *, errors: str = "hesse") -> Optimum:
    """Minimise the statistic, starting from the present parameters.

    The parameters are not changed; `ctao_sat.dl5.fit` sets them and returns Gammapy's result.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        With at least one free parameter.
    errors : {"hesse", "migrad"}
        The covariance: from the second derivatives at the minimum, or the one that the
        minimisation has gathered on its way. Gammapy's ``Fit`` reports the latter under the name
        of the former.

    Returns
    -------
    optimum : `Optimum`
        See its ``success``.

    Raises
    ------
    ConfigError
        If no parameter is free, or ``errors`` is unknown.
    """
    if errors not in ("hesse", "migrad"):
        raise ConfigError(f"Unknown errors: {errors!r}.", remedy="Take 'hesse' or 'migrad'.")
    if not likelihood.parameters:
        raise ConfigError("No parameter is free.", remedy="Thaw one: `frozen: false`.")
    objective = _Objective(likelihood)
    # Minimisers try parameters at which spectra overflow.
    with np.errstate(all="ignore"):
        end = _minimise(likelihood, objective)
        exact, minuit = None, end.minuit
        if (errors == "hesse" or minuit is None) and likelihood.report.is_complete:
            exact = _exact(likelihood, objective, end)
        if errors == "hesse" and exact is None and minuit is not None:
            # What Minuit finds instead is no error, but tells whether this is a minimum.
            minuit.hesse()
    covariance, covariance_message = _covariance(likelihood, end, errors, exact)
    x, stat, finite = end.x, end.stat, True
    if not np.all(np.isfinite(x)):
        # Lost on the way: better the start than no number.
        x, finite = np.array([parameter.factor for parameter in likelihood.parameters]), False
        stat = objective.value(x)
    message = _message(likelihood, objective, end)
    objective.pin()
    return Optimum(
        x=x,
        stat=stat,
        covariance=covariance,
        success=bool(end.valid and finite),
        covariance_success=bool(np.all(np.isfinite(covariance))),
        message=message,
        covariance_message=covariance_message,
        errors=errors,
        n_calls=objective.n_calls,
        make_minuit=functools.partial(
            _with_limits, likelihood, objective, end, errors, _limits(likelihood)
        ),
    )


@dataclass(frozen=True)
class _End:
    """Where minimisation has ended, and Minuit there if it has been used."""

    x: np.ndarray
    stat: float
    valid: bool
    minuit: Minuit | None = None

    @classmethod
    def of(cls, minuit: Minuit) -> "_End":
        return cls(np.array(minuit.values), float(minuit.fval), bool(minuit.valid), minuit)


def _exact(
    likelihood: CompiledLikelihood, objective: _Objective, end: _End
) -> ExactCovariance | None:
    if not np.isfinite(end.stat):
        return None
    numeric = bool(likelihood.report.spectra)
    return exact_covariance(objective.hessian(end.x), end.x, _limits(likelihood), numeric=numeric)


def _minimise(likelihood: CompiledLikelihood, objective: _Objective) -> _End:
    """Return a minimum, if one is found.

    With free shapes Newton steps, and a search for kinks, are all there is: Minuit's are confused
    by kinks. It tries where they fail.

    With limits, Minuit works in other coordinates, and takes the matrix of second derivatives
    there without the part that comes from their curvature: near a limit it then runs away. So
    limits and that matrix are never passed together. Damped Newton steps lead to the minimum,
    parameters at a limit are held there, and Minuit confirms it without limits. Where that fails,
    Minuit tries with limits, from there and from the start.
    """
    start = np.array([parameter.factor for parameter in likelihood.parameters])
    limits = _limits(likelihood)
    if not likelihood.report.is_complete:
        # Derivatives of what Gammapy evaluates cost as many calls as Minuit's own differences.
        minuit = _minuit(likelihood, objective, start, limits, derivatives=False)
        minuit.migrad()
        return _End.of(minuit)
    if likelihood.sources:
        near = descend(likelihood, objective, start, limits)
        if near.converged:
            return _End(near.x, objective.value(near.x), True)
        return _End.of(_minimise_within(likelihood, objective, [near.x], limits, (False,)))
    near = approach(objective, start, limits)
    if near.converged:
        minuit = _minuit(likelihood, objective, near.x, None)
        minuit.fixed[:] = near.held.tolist()
        minuit.migrad()
        end = np.array(minuit.values)
        inside = near.held | ((end > limits[0]) & (end < limits[1]))
        lower = minuit.valid and minuit.fval <= objective.value(near.x) + _ROUNDING
        if lower and inside.all():
            return _End.of(_beside_steps(likelihood, objective, start, limits, minuit))
    return _End.of(_minimise_within(likelihood, objective, [near.x, start], limits))


def _beside_steps(
    likelihood: CompiledLikelihood,
    objective: _Objective,
    start: np.ndarray,
    limits: np.ndarray,
    minuit: Minuit,
) -> Minuit:
    """Return a lower minimum if there is one beyond a step of the statistic.

    Where nothing is predicted for a bin with counts, its statistic is a large constant: no
    derivative tells that there is a step down beside it, differences may.
    """
    if likelihood.n_clipped(np.array(minuit.values)) == 0:
        return minuit
    other = _minuit(likelihood, objective, start, limits, derivatives=False)
    other.migrad()
    return other if other.valid and other.fval < minuit.fval else minuit


def _minimise_within(
    likelihood: CompiledLikelihood,
    objective: _Objective,
    starts: Sequence[np.ndarray],
    limits: np.ndarray,
    ways: Sequence[bool] = (True, False),
) -> Minuit:
    """Return the lowest of Minuit's ends with limits, the first that is valid if there is one.

    The ways are with derivatives, and without.
    """
    n = len(limits[0])
    ends = []
    for derivatives in ways:
        # Last, as Gammapy does it: by differences of the statistic.
        for start in starts if derivatives else starts[-1:]:
            minuit = _minuit(likelihood, objective, start, limits, derivatives=derivatives)
            # Without a minimum to find, Minuit would use all of its calls, five times.
            minuit.migrad(ncall=200 + 10 * n if derivatives else 200 + 10 * n + 5 * n**2, iterate=1)
            if minuit.valid:
                return minuit
            ends.append(minuit)
    return min(ends, key=lambda end: end.fval if np.isfinite(end.fval) else np.inf)


def _with_limits(
    likelihood: CompiledLikelihood,
    objective: _Objective,
    found: _End,
    errors: str,
    limits: np.ndarray,
) -> Minuit:
    """Return Minuit at the same minimum, with limits and errors of its own."""
    with np.errstate(all="ignore"):
        minuit = found.minuit
        if minuit is None:
            minuit = _minuit(likelihood, objective, found.x, limits, derivatives=False)
            minuit.migrad()
        elif np.isfinite(limits).any() and not np.isfinite(np.array(minuit.limits)).any():
            end = np.array(minuit.values)
            minuit = _minimise_within(likelihood, objective, [end], limits)
        if errors == "hesse":
            minuit.hesse()
    return minuit


def _limits(likelihood: CompiledLikelihood) -> np.ndarray:
    """Return lower and upper limits of the factors, infinite where there are none."""
    limits = [(p.factor_min, p.factor_max) for p in likelihood.parameters]
    low, high = np.array(limits, dtype=float).T
    return np.array([np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)])


def _minuit(
    likelihood: CompiledLikelihood,
    objective: _Objective,
    start: np.ndarray,
    limits: np.ndarray | None,
    *,
    derivatives: bool = True,
) -> Minuit:
    """Return Minuit with second derivatives, or with limits."""
    second = limits is None
    parameters = likelihood.parameters
    with warnings.catch_warnings():
        # It says that G2 has no effect beside the matrix; yet where the matrix is not positive
        # definite, Minuit calls it.
        warnings.simplefilter("ignore", IMinuitWarning)
        minuit = Minuit(
            objective.value,
            start,
            grad=objective.gradient if derivatives else False,
            g2=objective.diagonal if second and derivatives else False,
            hessian=objective.hessian if second and derivatives else False,
            name=[f"par_{i:03d}_{parameter.name}" for i, parameter in enumerate(parameters)],
        )
    minuit.errordef = 1
    minuit.strategy = 1
    # Gammapy has 0.1, which may end 0.014 sigma off; with second derivatives nearer costs a step.
    # Differences of what Gammapy evaluates are not as sharp.
    minuit.tol = (1e-5 if second else 1e-2) if derivatives else 0.1
    for i, parameter in enumerate(parameters):
        if limits is not None and np.isfinite(limits[:, i]).any():
            # Minuit's way to say that there is none on one side is an infinite one.
            minuit.limits[i] = tuple(limits[:, i])
        if parameter.error > 0:
            minuit.errors[i] = parameter.error / abs(parameter.scale)
    return minuit


def _covariance(
    likelihood: CompiledLikelihood, end: _End, errors: str, exact: ExactCovariance | None
) -> tuple[np.ndarray, str]:
    """Return the covariance of the factors and what to say of it; NaN where there is none."""
    if exact is not None:
        if exact.determined.all():
            return exact.matrix, "Hesse terminated successfully."
        names = likelihood.parameter_names
        lost = ", ".join(names[i] for i in np.flatnonzero(~exact.determined))
        return exact.matrix, f"The data do not determine {lost}: freeze them, or drop the model."
    none, minuit = np.full((len(end.x),) * 2, np.nan), end.minuit
    if minuit is None:
        return none, "Hesse failed: the second derivatives are not those of a minimum."
    if minuit.covariance is None or not np.isfinite(minuit.fval):
        return none, "No covariance: the second derivatives have no inverse."
    if errors == "migrad":
        return np.array(minuit.covariance), "Covariance as gathered by MIGRAD."
    doubtful = minuit.fmin.hesse_failed or minuit.fmin.has_made_posdef_covar
    if likelihood.report.is_complete or doubtful or not minuit.valid:
        return none, "Hesse failed: the second derivatives are not those of a minimum."
    return np.array(minuit.covariance), "Hesse terminated successfully."


def _message(likelihood: CompiledLikelihood, objective: _Objective, end: _End) -> str:
    minuit = end.minuit
    if end.valid or minuit is None:
        accurate = (
            "." if minuit is None or minuit.accurate else ", but uncertainties are unreliable."
        )
        return f"Optimization terminated successfully{accurate}"
    message = "Optimization failed."
    if minuit.fmin.has_reached_call_limit:
        message += " Call limit was reached."
    if minuit.fmin.is_above_max_edm:
        message += " Estimated distance to minimum too large."
    if likelihood.report.is_complete and np.isfinite(minuit.fval):
        names = likelihood.parameter_names
        lost = [names[i] for i in unbounded(objective.hessian(np.array(minuit.values)))]
        if lost:
            message += f" There is no minimum in {', '.join(lost)}: freeze them, or set limits,"
            message += " as 0 for the lowest amplitude."
    return message
