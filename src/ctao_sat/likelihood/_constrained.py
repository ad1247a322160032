"""Minimise a compiled likelihood within limits, with some of its parameters held."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from gammapy.modeling import Parameter

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._descend import descend
from ctao_sat.likelihood._minuit import Objective, make_minuit
from ctao_sat.likelihood._newton import Approach, approach
from ctao_sat.likelihood._valleys import follow_valleys

__all__ = ["Minimum", "held_limits", "minimum_within", "prepared"]

# Where as many steps do not lead to a minimum, there is a valley.
_PLAIN_STEPS = 20


@dataclass(frozen=True)
class Minimum:
    """A minimum within limits.

    Attributes
    ----------
    x : array, shape (n_free,)
        Factors of the free parameters.
    stat : float
        Statistic there.
    success : bool
        Whether it is one.
    by_minuit : bool
        Whether Newton steps did not lead there, and Minuit was asked.
    n_calls : int
        Evaluations of the statistic, or of it with its derivatives.
    """

    x: np.ndarray
    stat: float
    success: bool
    by_minuit: bool
    n_calls: int


class _Expansion:
    """Value, gradient and Hessian, the latter two of one pass over the data."""

    def __init__(self, likelihood: CompiledLikelihood):
        self._likelihood = likelihood
        self._key = b""
        self._known: tuple[float, np.ndarray, np.ndarray]
        self.n_calls = 0

    def value(self, x: np.ndarray) -> float:
        if x.tobytes() == self._key:
            return self._known[0]
        self.n_calls += 1
        return self._likelihood.evaluate(x, 0)

    def _at(self, x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        key = x.tobytes()
        if key != self._key:
            self.n_calls += 1
            self._known, self._key = self._likelihood.expand(x), key
        return self._known

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return self._at(x)[1]

    def hessian(self, x: np.ndarray) -> np.ndarray:
        return self._at(x)[2]


def minimum_within(
    likelihood: CompiledLikelihood, start: np.ndarray, limits: np.ndarray
) -> Minimum:
    """Return the minimum near a start, which may be on a limit.

    Damped Newton steps, which need a handful of passes over the data, if need be in logarithms of
    amplitudes; free positions are searched for by values as well. Where steps do not converge, and
    for what Gammapy evaluates in part, Minuit takes over.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        Its parameters are not changed.
    start : array, shape (n_free,)
        Factors to begin with.
    limits : array, shape (2, n_free)
        Lowest and highest factors; where both are the same the parameter is held.

    Returns
    -------
    minimum : `Minimum`
        See its ``success``.
    """
    start = np.clip(start, *limits)
    if np.all(limits[0] == limits[1]):
        stat = likelihood.evaluate(start, 0)
        return Minimum(start, stat, bool(np.isfinite(stat)), False, 1)
    n_calls = 0
    # Minimisers try parameters at which spectra overflow.
    with np.errstate(all="ignore"):
        if likelihood.report.is_complete:
            function: Objective | _Expansion
            if likelihood.sources:
                function = Objective(likelihood)
                end = descend(likelihood, function, start, limits, near=True)
            else:
                function = _Expansion(likelihood)
                end = _descended(likelihood, function, start, limits)
            stat, n_calls = function.value(end.x), function.n_calls
            if end.converged and np.isfinite(stat):
                return Minimum(end.x, stat, True, False, n_calls)
        return _by_minuit(likelihood, start, limits, n_calls)


def _descended(
    likelihood: CompiledLikelihood, function: _Expansion, start: np.ndarray, limits: np.ndarray
) -> Approach:
    """Return where steps lead, plain ones or in logarithms."""
    end = approach(function, start, limits, max_steps=_PLAIN_STEPS)
    # It is flat, too, where predictions are truncated: amplitudes that keep their signs end
    # elsewhere.
    if end.converged and likelihood.n_clipped(end.x) == 0:
        return end
    other = follow_valleys(likelihood, function, start, limits)
    return min(end, other, key=lambda one: (not one.converged, function.value(one.x)))


def _by_minuit(
    likelihood: CompiledLikelihood, start: np.ndarray, limits: np.ndarray, n_calls: int
) -> Minimum:
    objective = Objective(likelihood)
    held = limits[0] == limits[1]
    # Minuit has another way to hold a parameter than limits without room.
    wide = np.where(held, [[-np.inf], [np.inf]], limits)
    minuit = make_minuit(likelihood, objective, start, wide, derivatives=False)
    minuit.fixed[:] = held.tolist()
    minuit.migrad()
    x, stat = np.array(minuit.values), float(minuit.fval)
    success = bool(minuit.valid and np.isfinite(stat))
    return Minimum(x, stat, success, True, n_calls + objective.n_calls)


def held_limits(
    limits: np.ndarray, index: Sequence[int], factors: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return limits that hold some parameters.

    Parameters
    ----------
    limits : array, shape (2, n_free)
        Lowest and highest factors.
    index : sequence of int
        Which to hold.
    factors : sequence of float, shape (k,)
        Where.

    Returns
    -------
    limits : array, shape (2, n_free)
        A copy.
    """
    out = limits.copy()
    out[:, list(index)] = np.asarray(factors, dtype=float)
    return out


@contextmanager
def prepared(parameters: Sequence[Parameter], thawed: Sequence[Parameter] = ()) -> Iterator[None]:
    """Scale parameters, and free some; afterwards all of them are as they were.

    Parameters
    ----------
    parameters : sequence of `~gammapy.modeling.Parameter`
        All parameters, each once.
    thawed : sequence of `~gammapy.modeling.Parameter`
        Those that are free meanwhile.
    """
    state = [(p, p.value, p.error, p.frozen) for p in parameters]
    try:
        for parameter in parameters:
            parameter.autoscale()
        for parameter in thawed:
            parameter.frozen = False
        yield
    finally:
        # The scales stay: they are those that any fit of Gammapy's would set.
        for parameter, value, error, frozen in state:
            if parameter.value != value:
                parameter.value = value
            parameter.error, parameter.frozen = error, frozen
