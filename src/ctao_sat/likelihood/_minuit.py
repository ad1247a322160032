"""Minuit on a compiled likelihood: what it calls, and its limits."""

import warnings
from typing import Any

import numpy as np
from iminuit import Minuit
from iminuit.util import IMinuitWarning

from ctao_sat.likelihood._compiled import CompiledLikelihood

__all__ = ["Objective", "limits_of", "make_minuit"]


class Objective:
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
        self._known.clear()

    def _scales_now(self) -> np.ndarray:
        return np.array([parameter.scale for parameter in self._likelihood.parameters])

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


def limits_of(likelihood: CompiledLikelihood) -> np.ndarray:
    """Return lower and upper limits of the factors, infinite where there are none."""
    limits = [(p.factor_min, p.factor_max) for p in likelihood.parameters]
    low, high = np.array(limits, dtype=float).T
    return np.array([np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)])


def make_minuit(
    likelihood: CompiledLikelihood,
    objective: Objective,
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
