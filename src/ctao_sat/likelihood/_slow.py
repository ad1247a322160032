"""Terms that Gammapy evaluates itself, with numeric derivatives of what they predict."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ctao_sat.likelihood._parameters import ParameterMap

__all__ = ["SlowTerm"]

# Fourth-order central differences: offsets in steps, weights.
_OFFSETS = (-2, -1, 1, 2)
_WEIGHTS = (1 / 12, -8 / 12, 8 / 12, -1 / 12)


class SlowTerm:
    """A function of the live parameters.

    Parameters
    ----------
    function : callable
        Takes nothing, returns an array or a number for the parameters as they are.
    parameters : `ParameterMap`
        All parameters.
    used : sequence of `~gammapy.modeling.Parameter`
        Those that the function may depend on.
    """

    def __init__(self, function: Callable, parameters: ParameterMap, used: Sequence):
        self._function = function
        self._map = parameters
        index = dict.fromkeys(parameters.index(parameter) for parameter in used)
        self.columns = np.array([i for i in index if parameters.free[i]], dtype=np.int64)

    def value(self, p: np.ndarray) -> np.ndarray:
        """Return the function at parameter values ``p``, shape (n,)."""
        with self._at(p), np.errstate(all="ignore"):
            return np.atleast_1d(np.array(self._function(), dtype=float))

    def jacobian(self, p: np.ndarray) -> np.ndarray:
        """Return the derivatives by the free parameters in ``columns``, shape (n, n_columns)."""
        if len(self.columns) == 0:
            return np.zeros((len(self.value(p)), 0))
        columns = []
        for i in self.columns:
            step = self._step(i, p[i])
            total = np.zeros(1)
            for offset, weight in zip(_OFFSETS, _WEIGHTS, strict=True):
                shifted = p.copy()
                shifted[i] += offset * step
                total = total + weight * self.value(shifted)
            columns.append(total / step)
        return np.array(columns).T

    def _step(self, i: int, value: float) -> float:
        parameter = self._map.all[i]
        if parameter.error > 0:
            step = 0.05 * parameter.error
        elif parameter.unit.is_equivalent("deg"):
            # The value of an angle says nothing of its scale. Predictions have kinks where a
            # point source crosses the centre of a pixel: the step is small against pixels.
            step = 1e-4 / parameter.unit.to("deg")
        else:
            step = 1e-3 * (abs(value) or abs(parameter.scale))
        room = min(
            np.inf if np.isnan(parameter.max) else parameter.max - value,
            np.inf if np.isnan(parameter.min) else value - parameter.min,
        )
        return min(step, room / 2) if room > 0 else step

    @contextmanager
    def _at(self, p: np.ndarray) -> Iterator[None]:
        before = [(parameter.value, parameter.factor) for parameter in self._map.all]
        try:
            for parameter, value, (old, _) in zip(self._map.all, p, before, strict=True):
                if value != old:
                    parameter.value = value
            yield
        finally:
            for parameter, (value, factor) in zip(self._map.all, before, strict=True):
                if parameter.value != value:
                    parameter.factor = factor
                    if parameter.value != value:
                        parameter.value = value
