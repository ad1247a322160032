"""Minimise a likelihood with free shapes, whose statistic has kinks.

Gammapy shares a point source among four pixels in proportion to the distance: the statistic has a
kink wherever a source crosses the centre of a pixel, and the minimum may be at one. Derivatives are
those of the mean over a pixel, which lead to within a fraction of a sigma of the minimum. From
there on positions are searched for by values alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._newton import Approach, approach
from ctao_sat.likelihood._sources import MovingSources

__all__ = ["descend"]

# The search begins with steps of a quarter of a pixel. It ends where steps change the statistic by
# less than `_FLAT`: the position of a bright source is known to a thousandth of a pixel.
_FIRST_STEP, _LAST_STEP, _FLAT = 0.25, 1e-5, 3e-4
# How near to a minimum, by the statistic, steps lead at first and at last.
_ROUGH, _FINE = 1e-3, 1e-6
# The parts of flux and size that a source keeps at first; in how many places it looks around.
_FAINT, _SHRINK, _PLACES = 1e-3, 5, 60
# What is gained by less is not worth another round; there are a few at most.
_GAIN, _ROUNDS = 1e-3, 4


class _Function(Protocol):
    def value(self, x: np.ndarray) -> float: ...
    def gradient(self, x: np.ndarray) -> np.ndarray: ...
    def hessian(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class _Axis:
    """A direction in which to search: factors of some parameters, by one pixel."""

    index: np.ndarray
    step: np.ndarray


def descend(
    likelihood: CompiledLikelihood,
    function: _Function,
    start: np.ndarray,
    limits: np.ndarray,
    *,
    near: bool = False,
) -> Approach:
    """Go downhill to a minimum.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        With free shapes, compiled as a whole.
    function : object
        Its value, gradient and Hessian.
    start : array, shape (n,)
        Factors to begin with.
    limits : array, shape (2, n)
        Lowest and highest values.
    near : bool
        Whether the start is a minimum but for a little.

    Returns
    -------
    end : `Approach`
        Converged if no step lowers the statistic.
    """
    sources = likelihood.sources
    x = np.clip(start, *limits)
    if not near:
        x = _first_descent(sources, function, np.clip(sources.started(x), *limits), limits)
        x = approach(function, x, limits, tolerance=_ROUGH).x
        x = _look_around(sources, function, x, limits)
    axes = _axes(sources, x)
    if not axes:
        return approach(function, x, limits, tolerance=_FINE)
    end = approach(function, x, _pinned(limits, x, axes), tolerance=_FINE)
    for _ in range(_ROUNDS):
        before = function.value(end.x)
        x = _search(function, end.x, limits, axes)
        end = approach(function, x, _pinned(limits, x, axes), tolerance=_FINE)
        if not function.value(end.x) < before - _GAIN:
            break
        axes = _axes(sources, end.x)
    outside = (end.x <= limits[0]) | (end.x >= limits[1])
    return Approach(end.x, end.held & outside, end.converged)


def _axes(sources: MovingSources, x: np.ndarray) -> list[_Axis]:
    """Return the directions in which the statistic has kinks."""
    return [_Axis(*axis) for axis in sources.pixel_axes(x)]


def _pinned(limits: np.ndarray, x: np.ndarray, axes: Sequence[_Axis]) -> np.ndarray:
    """Return limits that hold what is searched for by values, while all else follows."""
    held = np.unique(np.concatenate([axis.index for axis in axes]))
    pinned = limits.copy()
    pinned[:, held] = x[held]
    return pinned


def _first_descent(
    sources: MovingSources, function: _Function, start: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Return where Newton steps lead if sources keep flux, rough size and form of their spectra.

    A source that starts beside its flux loses what it has there and stays, or runs away. So point
    sources look around where they are and where they started.
    """
    bounds = _bounds(sources, start, limits)
    x = approach(function, start, bounds, tolerance=_ROUGH).x
    return _look_around(sources, function, x, bounds, start)


def _look_around(
    sources: MovingSources,
    function: _Function,
    x: np.ndarray,
    bounds: np.ndarray,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Return where steps lead if points go where their flux fits better, within the PSF's reach.

    They look around where they are, and around a start if there is one.
    """
    for name in sources.flux_parameters():
        if not sources.is_point(name):
            continue
        places = sources.nearby(name, x, _PLACES)
        if start is not None:
            own, back = sources.own_parameters(name), x.copy()
            back[own] = start[own]
            places += sources.nearby(name, back, _PLACES)
        places = [np.clip(place, *bounds) for place in places]
        values = [function.value(place) for place in places]
        lowest = int(np.nanargmin(values))
        if lowest == 0:
            continue
        other = approach(function, places[lowest], bounds, tolerance=_ROUGH).x
        if function.value(other) < function.value(x):
            x = other
    return x


def _bounds(sources: MovingSources, start: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return limits for the first steps, shape (2, n)."""
    bounds = limits.copy()
    for name, index in sources.flux_parameters().items():
        form = np.setdiff1d(sources.own_parameters(name, shape=False), index)
        bounds[:, form] = start[form]
        positive = index[start[index] > 0]
        bounds[0, positive] = np.maximum(limits[0, positive], _FAINT * start[positive])
        if sources.is_point(name):
            around = np.array(sources.nearby(name, start, _PLACES))
            moving = np.flatnonzero(np.ptp(around, axis=0) > 0)
            bounds[0, moving] = np.maximum(limits[0, moving], around[:, moving].min(axis=0))
            bounds[1, moving] = np.minimum(limits[1, moving], around[:, moving].max(axis=0))
    sizes = sources.sizes()
    bounds[0, sizes] = np.maximum(limits[0, sizes], start[sizes] / _SHRINK)
    return bounds


def _search(
    function: _Function, x: np.ndarray, limits: np.ndarray, axes: Sequence[_Axis]
) -> np.ndarray:
    """Return the lowest point that steps along axes find, each half as long as the last."""
    best, size = function.value(x), _FIRST_STEP
    while size >= _LAST_STEP:
        moved, change = False, 0.0
        for axis in axes:
            for sign in (1, -1):
                new = x.copy()
                new[axis.index] += sign * size * axis.step
                new = np.clip(new, *limits)
                value = function.value(new)
                change = max(change, abs(value - best))
                if value < best:
                    x, best, moved = new, value, True
                    break
        if change < _FLAT:
            break
        if not moved:
            size /= 2
    return x
