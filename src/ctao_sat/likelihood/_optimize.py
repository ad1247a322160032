"""Minimise a compiled likelihood with Minuit, which gets gradient and second derivatives."""

import warnings
from dataclasses import dataclass

import numpy as np
from iminuit import Minuit
from iminuit.util import IMinuitWarning

from ctao_sat.errors import ConfigError
from ctao_sat.likelihood._compiled import CompiledLikelihood

__all__ = ["Optimum", "optimize"]


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
        Of the factors; NaN if it could not be had.
    success, covariance_success : bool
        Whether the minimum, and its covariance, are valid.
    message, covariance_message : str
        What Minuit says of them.
    errors : {"hesse", "migrad"}
        Where the covariance is from.
    n_calls : int
        Evaluations of the statistic and of its derivatives.
    minuit : `iminuit.Minuit`
        For MINOS and contours.
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
    minuit: Minuit


class _Objective:
    """The functions that Minuit calls; it asks for derivatives at one point one by one."""

    def __init__(self, likelihood: CompiledLikelihood):
        self._likelihood = likelihood
        self._at_gradient: tuple[bytes, np.ndarray] | None = None
        self._at_hessian: tuple[bytes, np.ndarray] | None = None
        self.n_calls = 0

    def value(self, x: np.ndarray) -> float:
        self.n_calls += 1
        return self._likelihood.evaluate(x, 0)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        key = x.tobytes()
        if self._at_gradient is None or self._at_gradient[0] != key:
            self.n_calls += 1
            self._at_gradient = key, self._likelihood.evaluate(x, 1)[1]
        return self._at_gradient[1]

    def hessian(self, x: np.ndarray) -> np.ndarray:
        key = x.tobytes()
        if self._at_hessian is None or self._at_hessian[0] != key:
            self.n_calls += 1
            self._at_hessian = key, self._likelihood.evaluate(x, 2)
        return self._at_hessian[1]

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
        minuit = _minimise(likelihood, objective)
        if errors == "hesse":
            minuit.hesse()
    covariance, covariance_message = _covariance(minuit, errors)
    x = np.array(minuit.values)
    return Optimum(
        x=x,
        stat=float(minuit.fval),
        covariance=covariance,
        success=bool(minuit.valid and np.all(np.isfinite(x))),
        covariance_success=bool(np.all(np.isfinite(covariance))),
        message=_message(minuit),
        covariance_message=covariance_message,
        errors=errors,
        n_calls=objective.n_calls,
        minuit=minuit,
    )


def _minimise(likelihood: CompiledLikelihood, objective: _Objective) -> Minuit:
    start = np.array([parameter.factor for parameter in likelihood.parameters])
    minuit = _minuit(likelihood, objective, start, second=True)
    minuit.migrad()
    if minuit.valid:
        return minuit
    # At a limit Minuit's own coordinates have a curvature that the second derivatives passed to
    # it lack.
    other = _minuit(likelihood, objective, np.array(minuit.values), second=False)
    other.migrad()
    if not other.valid:
        other.strategy = 2
        other.migrad()
    return other if other.fval <= minuit.fval or other.valid else minuit


def _minuit(
    likelihood: CompiledLikelihood, objective: _Objective, start: np.ndarray, *, second: bool
) -> Minuit:
    parameters = likelihood.parameters
    with warnings.catch_warnings():
        # It says that G2 has no effect beside the matrix; yet where the matrix is not positive
        # definite, Minuit calls it.
        warnings.simplefilter("ignore", IMinuitWarning)
        minuit = Minuit(
            objective.value,
            start,
            grad=objective.gradient,
            g2=objective.diagonal if second else False,
            hessian=objective.hessian if second else False,
            name=[f"par_{i:03d}_{parameter.name}" for i, parameter in enumerate(parameters)],
        )
    minuit.errordef = 1
    minuit.strategy = 1
    # Gammapy has 0.1, which may end 0.014 sigma off; with second derivatives nearer costs a step.
    minuit.tol = 1e-3
    for name, parameter in zip(minuit.parameters, parameters, strict=True):
        low, high = parameter.factor_min, parameter.factor_max
        if not (np.isnan(low) and np.isnan(high)):
            minuit.limits[name] = (
                None if np.isnan(low) else low, None if np.isnan(high) else high
            )  # fmt: skip
        if parameter.error > 0:
            minuit.errors[name] = parameter.error / abs(parameter.scale)
    return minuit


def _covariance(minuit: Minuit, errors: str) -> tuple[np.ndarray, str]:
    n = len(minuit.values)
    if minuit.covariance is None:
        return np.full((n, n), np.nan), "No covariance: the second derivatives have no inverse."
    covariance = np.array(minuit.covariance)
    if errors == "migrad":
        return covariance, "Covariance as gathered by MIGRAD."
    if minuit.fmin.hesse_failed:
        return np.full((n, n), np.nan), "Hesse failed"
    return covariance, "Hesse terminated successfully."


def _message(minuit: Minuit) -> str:
    if minuit.valid:
        accurate = "." if minuit.accurate else ", but uncertainties are unreliable."
        return f"Optimization terminated successfully{accurate}"
    message = "Optimization failed."
    if minuit.fmin.has_reached_call_limit:
        message += " Call limit was reached."
    if minuit.fmin.is_above_max_edm:
        message += " Estimated distance to minimum too large."
    return message
