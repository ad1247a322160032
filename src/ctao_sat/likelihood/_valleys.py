"""Go to the bottom of curved valleys, as an amplitude and an index have in one energy bin.

Where only a narrow range of energies is seen, a spectrum with another index and as large a flux is
as good. In an amplitude and an index that valley is as curved as an exponential, and Newton steps
lead out of it. In the logarithm of the amplitude it is straight. It may have no end: then steps
end where it is flat, which says nothing against what is determined across it.
"""

import numpy as np

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._newton import Approach, Function, approach

__all__ = ["follow_valleys"]

# How often steps in logarithms and plain ones take turns, and what is too little to go on for.
_ROUNDS, _GAIN = 6, 1e-6
# Plain steps are short in a valley: a few tell whether an amplitude is to change its sign.
_PLAIN_STEPS = 6


class _InLogarithms:
    """A function of the logarithms of some of its parameters, which keep their signs."""

    def __init__(self, function: Function, logs: np.ndarray, signs: np.ndarray):
        self._function, self._logs, self._signs = function, logs, signs

    def from_plain(self, x: np.ndarray) -> np.ndarray:
        out = x.copy()
        out[self._logs] = np.log(np.maximum((self._signs * x)[self._logs], 0.0))
        return out

    def plain(self, y: np.ndarray) -> np.ndarray:
        return np.where(self._logs, self._signs * np.exp(np.where(self._logs, y, 0.0)), y)

    def value(self, y: np.ndarray) -> float:
        return self._function.value(self.plain(y))

    def gradient(self, y: np.ndarray) -> np.ndarray:
        x = self.plain(y)
        return self._function.gradient(x) * np.where(self._logs, x, 1.0)

    def hessian(self, y: np.ndarray) -> np.ndarray:
        x = self.plain(y)
        slopes = np.where(self._logs, x, 1.0)
        bends = np.where(self._logs, x, 0.0) * self._function.gradient(x)
        # One after the other: the product of two may be too large a number.
        return slopes[:, None] * self._function.hessian(x) * slopes + np.diag(bends)


def follow_valleys(
    likelihood: CompiledLikelihood, function: Function, start: np.ndarray, limits: np.ndarray
) -> Approach:
    """Go downhill in the logarithms of amplitudes.

    Steps in plain amplitudes take turns, for those that are better of the other sign.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        It knows which parameters are amplitudes.
    function : `Function`
        Its value, gradient and second derivatives.
    start : array, shape (n,)
        Factors to begin with.
    limits : array, shape (2, n)
        Lowest and highest factors.

    Returns
    -------
    end : `Approach`
        Converged where neither kind of steps lowers the function.
    """
    amplitudes = np.array([parameter.interp == "log" for parameter in likelihood.parameters])
    x, value = start, function.value(start)
    end = Approach(x, np.zeros(len(x), dtype=bool), False)
    for _ in range(_ROUNDS):
        other = _InLogarithms(function, amplitudes & (x != 0) & (limits[0] < limits[1]), np.sign(x))
        with np.errstate(divide="ignore"):
            bounds = np.sort([other.from_plain(limit) for limit in limits], axis=0)
        inner = approach(other, other.from_plain(x), bounds)
        end = approach(
            function, np.clip(other.plain(inner.x), *limits), limits, max_steps=_PLAIN_STEPS
        )
        reached = function.value(end.x)
        settled = inner.converged and function.value(other.plain(inner.x)) - reached < _GAIN
        if settled or end.converged:
            return Approach(end.x, end.held, True)
        if not value - reached > _GAIN:
            break
        x, value = end.x, reached
    return end
