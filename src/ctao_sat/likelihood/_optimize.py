"""Minimise a compiled likelihood with Minuit, which gets gradient and second derivatives."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from iminuit import Minuit

from ctao_sat.errors import ConfigError
from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._covariance import unbounded
from ctao_sat.likelihood._descend import descend
from ctao_sat.likelihood._hesse import HESSE, NO_MINIMUM, covariance_at
from ctao_sat.likelihood._minuit import Objective, limits_of, make_minuit
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
        Where the covariance is from; "hesse" wherever Minuit has had no part in it.
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


def optimize(
    likelihood: CompiledLikelihood, *, errors: str = "hesse", near: bool = False
) -> Optimum:
    """Minimise the statistic, starting from the present parameters.

    The parameters are not changed; `ctao_sat.dl5.fit` sets them and returns Gammapy's result.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        With at least one free parameter.
    errors : {"hesse", "migrad"}
        The covariance: from the second derivatives at the minimum, or the one that the
        minimisation has gathered on its way. Gammapy's ``Fit`` reports the latter under the name
        of the former. Steps to free shapes gather none: these have the former.
    near : bool
        Whether the parameters are at a minimum but for a little: free shapes then do not look
        around.

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
    objective = Objective(likelihood)
    # Minimisers try parameters at which spectra overflow.
    with np.errstate(all="ignore"):
        end = _minimise(likelihood, objective, near)
        exact, minuit = None, end.minuit
        wanted = errors == "hesse" or minuit is None
        if wanted and likelihood.report.is_complete and np.isfinite(end.stat):
            exact = covariance_at(likelihood, end.x, objective.hessian(end.x))
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
        errors="hesse" if minuit is None else errors,
        n_calls=objective.n_calls,
        make_minuit=functools.partial(
            _with_limits, likelihood, objective, end, errors, limits_of(likelihood)
        ),
    )


@dataclass(frozen=True)
class _End:
    """Where minimisation has ended, and Minuit there if it has been used."""

    x: np.ndarray
    stat: float
    minuit: Minuit | None = None

    @classmethod
    def of(cls, minuit: Minuit) -> "_End":
        return cls(np.array(minuit.values), float(minuit.fval), minuit)

    @property
    def valid(self) -> bool:
        # Minuit may change its mind when it finds second derivatives.
        return self.minuit is None or bool(self.minuit.valid)


def _minimise(likelihood: CompiledLikelihood, objective: Objective, near: bool) -> _End:
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
    limits = limits_of(likelihood)
    if not likelihood.report.is_complete:
        # Derivatives of what Gammapy evaluates cost as many calls as Minuit's own differences.
        minuit = make_minuit(likelihood, objective, start, limits, derivatives=False)
        minuit.migrad()
        return _End.of(minuit)
    if likelihood.sources:
        low = descend(likelihood, objective, start, limits, near=near)
        if low.converged:
            return _End(low.x, objective.value(low.x))
        return _End.of(_minimise_within(likelihood, objective, [low.x], limits, (False,)))
    low = approach(objective, start, limits)
    if low.converged:
        minuit = make_minuit(likelihood, objective, low.x, None)
        minuit.fixed[:] = low.held.tolist()
        minuit.migrad()
        end = np.array(minuit.values)
        inside = low.held | ((end > limits[0]) & (end < limits[1]))
        lower = minuit.valid and minuit.fval <= objective.value(low.x) + _ROUNDING
        if lower and inside.all():
            return _End.of(_beside_steps(likelihood, objective, start, limits, minuit))
    return _End.of(_minimise_within(likelihood, objective, [low.x, start], limits))


def _beside_steps(
    likelihood: CompiledLikelihood,
    objective: Objective,
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
    other = make_minuit(likelihood, objective, start, limits, derivatives=False)
    other.migrad()
    return other if other.valid and other.fval < minuit.fval else minuit


def _minimise_within(
    likelihood: CompiledLikelihood,
    objective: Objective,
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
            minuit = make_minuit(likelihood, objective, start, limits, derivatives=derivatives)
            # Without a minimum to find, Minuit would use all of its calls, five times. It may for
            # one parameter, as the norm of an estimator: at a kink that takes more than one try.
            most = 200 + 10 * n if derivatives else 200 + 10 * n + 5 * n**2
            minuit.migrad(ncall=most, iterate=1 if derivatives or n > 1 else 5)
            if minuit.valid:
                return minuit
            ends.append(minuit)
    return min(ends, key=lambda end: end.fval if np.isfinite(end.fval) else np.inf)


def _with_limits(
    likelihood: CompiledLikelihood,
    objective: Objective,
    found: _End,
    errors: str,
    limits: np.ndarray,
) -> Minuit:
    """Return Minuit at the same minimum, with limits and errors of its own."""
    with np.errstate(all="ignore"):
        minuit = found.minuit
        if minuit is None:
            minuit = make_minuit(likelihood, objective, found.x, limits, derivatives=False)
            minuit.migrad()
        elif np.isfinite(limits).any() and not np.isfinite(np.array(minuit.limits)).any():
            minuit = _minimise_within(likelihood, objective, [found.x], limits)
        if errors == "hesse":
            minuit.hesse()
    return minuit


def _covariance(
    likelihood: CompiledLikelihood,
    end: _End,
    errors: str,
    exact: tuple[np.ndarray, str] | None,
) -> tuple[np.ndarray, str]:
    """Return the covariance of the factors and what to say of it; NaN where there is none."""
    if exact is not None:
        return exact
    none, minuit = np.full((len(end.x),) * 2, np.nan), end.minuit
    if minuit is None:
        return none, NO_MINIMUM
    if minuit.covariance is None or not np.isfinite(minuit.fval):
        return none, "No covariance: the second derivatives have no inverse."
    if errors == "migrad":
        return np.array(minuit.covariance), "Covariance as gathered by MIGRAD."
    doubtful = minuit.fmin.hesse_failed or minuit.fmin.has_made_posdef_covar
    if likelihood.report.is_complete or doubtful or not minuit.valid:
        return none, NO_MINIMUM
    return np.array(minuit.covariance), HESSE


def _message(likelihood: CompiledLikelihood, objective: Objective, end: _End) -> str:
    minuit = end.minuit
    if end.valid or minuit is None:
        accurate = minuit is None or minuit.accurate
        return "Optimization terminated successfully" + (
            "." if accurate else ", but uncertainties are unreliable."
        )
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
