"""Damped Newton steps within limits, to where Minuit can take over."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["MAX_STEPS", "Approach", "Function", "approach"]

MAX_STEPS = 60
_FIRST_DAMPING = 1e-2
_LEAST_DAMPING, _MOST_DAMPING = 1e-12, 1e8
# A step that promises less is not worth its evaluation. Rounding hides what is below the second.
_CONVERGED, _ROUNDING = 1e-9, 1e-6
# Curvature of what is as good as degenerate, where the largest are about 1.
_FLAT = 1e-9
# Parts of the promised gain at which a step is taken, and damping is raised or lowered.
_TAKEN, _POOR, _GOOD = 1e-4, 0.25, 0.75


class Function(Protocol):
    """What is minimised."""

    def value(self, x: np.ndarray) -> float: ...
    def gradient(self, x: np.ndarray) -> np.ndarray: ...
    def hessian(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Approach:
    """Where the steps have ended.

    Attributes
    ----------
    x : array, shape (n,)
        Within the limits.
    held : array of bool, shape (n,)
        Which are at a limit and would lower the function only beyond it.
    converged : bool
        Whether no further step lowers the function.
    """

    x: np.ndarray
    held: np.ndarray
    converged: bool


def approach(
    function: Function,
    start: np.ndarray,
    limits: np.ndarray,
    *,
    tolerance: float = _CONVERGED,
    max_steps: int = MAX_STEPS,
) -> Approach:
    r"""Go downhill with second derivatives (Levenberg 1944; Marquardt 1963), limits held.

    Each step solves ``(|H| + damping D) d = -g`` for the parameters that are not held at a limit,
    with D the diagonal of H and \|H\| with the absolute values of its eigenvalues, which leads
    away from saddles (Dauphin et al. 2014, arXiv:1406.2572). It is cut at the limits. The damping
    follows how much of the gain that the derivatives promise is found.

    Parameters
    ----------
    function : object
        With methods ``value``, ``gradient`` and ``hessian`` of x.
    start : array, shape (n,)
        Where to begin.
    limits : array, shape (2, n)
        Lowest and highest values.
    tolerance : float
        The promised gain from which on no further step is taken.
    max_steps : int
        How many are taken at most.

    Returns
    -------
    approach : `Approach`
        Not converged if derivatives are not finite, or after all steps.
    """
    low, high = limits
    x = np.clip(start, low, high)
    value, damping = function.value(x), _FIRST_DAMPING
    held = np.zeros(len(x), dtype=bool)
    for _ in range(max_steps):
        gradient, hessian = function.gradient(x), function.hessian(x)
        if not (np.isfinite(value) and np.isfinite(gradient).all() and np.isfinite(hessian).all()):
            break
        held = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
        system = _System(gradient, hessian, ~held)
        while True:
            step = system.solve(damping)
            new = np.clip(x + step, low, high)
            promised = system.gain(new - x)
            if abs(promised) <= tolerance and damping < 1:
                return Approach(x, held, True)
            found = value - function.value(new)
            if found >= _TAKEN * promised > 0:
                break
            # NaN is no gain either.
            if abs(found) < _ROUNDING and 0 <= promised < _ROUNDING:
                return Approach(x, held, True)
            damping *= 10
            if damping > _MOST_DAMPING:
                return Approach(x, held, False)
        x, value = new, value - found
        if found < _POOR * promised:
            damping *= 4
        elif found > _GOOD * promised:
            damping = max(damping / 10, _LEAST_DAMPING)
    return Approach(x, held, False)


class _System:
    """The equations of a step, scaled so that parameters of all sizes are damped alike."""

    def __init__(self, gradient: np.ndarray, hessian: np.ndarray, free: np.ndarray):
        self._gradient, self._hessian, self._free = gradient, hessian, free
        diagonal = np.abs(np.diag(hessian)[free])
        # What has no curvature at all is left where it is, unless it has a slope.
        self._root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        scaled = hessian[np.ix_(free, free)] / np.outer(self._root, self._root)
        curvatures, self._axes = np.linalg.eigh(scaled)
        # Where the function bends down, as far as it would be for the same bend upwards.
        self._curvatures = np.maximum(np.abs(curvatures), _FLAT)
        self._slopes = self._axes.T @ (gradient[free] / self._root)

    def solve(self, damping: float) -> np.ndarray:
        """Return a step, zero for what is held."""
        step = np.zeros(len(self._gradient))
        along = self._slopes / (self._curvatures + damping)
        step[self._free] = -(self._axes @ along) / self._root
        return step

    def gain(self, step: np.ndarray) -> float:
        """Return by how much a step lowers the function, as far as derivatives tell."""
        return float(-(self._gradient @ step + 0.5 * step @ self._hessian @ step))
