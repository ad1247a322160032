"""The profile of a compiled likelihood: a few parameters held, all others at their best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._constrained import Minimum, held_limits, minimum_within
from ctao_sat.likelihood._hesse import finite_covariance
from ctao_sat.likelihood._minuit import limits_of
from ctao_sat.likelihood._optimize import optimize

__all__ = ["Crossing", "ProfileLikelihood"]

# How near to the wanted rise, as a part of a sigma, and after how many steps at most.
_NEAR, _MAX_STEPS, _MAX_WIDENINGS = 1e-5, 40, 30
# A point that is lower than the minimum by more is another minimum.
_LOWER = 1e-3


@dataclass(frozen=True)
class Crossing:
    """Where, along a ray, the profile has risen by as much as was asked for.

    Attributes
    ----------
    t : float
        Distance from the origin in units of the direction; infinite if it never rises so far.
    at_limit : bool
        Whether a limit of the parameters came first: ``t`` is there.
    success : bool
        Whether it is a crossing, or a limit.
    lower : `Minimum` or None
        A point below the minimum, if there is one on the way: it was none.
    """

    t: float
    at_limit: bool = False
    success: bool = True
    lower: Minimum | None = None


class ProfileLikelihood:
    """The statistic with a few parameters held and all others at their best.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        Its parameters are where the minimum is looked for; they are not changed.
    reoptimize : bool
        Whether the other parameters follow; else they stay at the minimum.

    Attributes
    ----------
    best : `Minimum`
        That of the statistic, with nothing held.
    n_calls : int
        Evaluations of the statistic so far.
    """

    def __init__(self, likelihood: CompiledLikelihood, *, reoptimize: bool = True):
        self.likelihood, self._reoptimize = likelihood, reoptimize
        self._limits = limits_of(likelihood)
        self.n_calls = 0
        self.start_at(np.array([parameter.factor for parameter in likelihood.parameters]))

    def start_at(self, x: np.ndarray) -> None:
        """Look for the minimum from factors ``x``, shape (n_free,)."""
        self.best = minimum_within(self.likelihood, x, self._limits)
        if not self.best.success:
            end = optimize(self.likelihood)
            self.best = Minimum(end.x, end.stat, end.success, True, end.n_calls)
        self.n_calls += self.best.n_calls
        self._covariance = _widths(self.likelihood, self.best.x)

    def covariance(self, index: Sequence[int]) -> np.ndarray:
        """Return that of some factors at the minimum, all of it finite, shape (k, k)."""
        block = np.ix_(index, index)
        if self._reoptimize:
            return self._covariance[block]
        # With the others held: the inverse of a block of the inverse. Scaled, for degenerate ones.
        width = np.sqrt(np.diag(self._covariance))
        scales = np.outer(width, width)
        inverse = np.linalg.pinv(self._covariance / scales, hermitian=True)[block]
        return np.linalg.pinv(inverse, hermitian=True) * scales[block]

    def at(self, index: Sequence[int], factors: np.ndarray, near: Minimum | None = None) -> Minimum:
        """Return the minimum with some parameters held.

        Parameters
        ----------
        index : sequence of int
            Which are held.
        factors : array, shape (k,)
            Where.
        near : `Minimum`, optional
            Of a point nearby, where to start from; the overall minimum by default.
        """
        near = self.best if near is None else near
        index = list(index)
        start = near.x + self._slopes(index) @ (factors - near.x[index])
        limits = self._limits
        if not self._reoptimize:
            start = self.best.x.copy()
            limits = np.array([start, start])
        start[index] = factors
        found = minimum_within(self.likelihood, start, held_limits(limits, index, factors))
        self.n_calls += found.n_calls
        return found

    def _slopes(self, index: list[int]) -> np.ndarray:
        """Return by how much all factors follow those that are held, shape (n_free, k)."""
        own = self._covariance[np.ix_(index, index)]
        return np.linalg.lstsq(own, self._covariance[index], rcond=None)[0].T

    def crossing(
        self,
        index: Sequence[int],
        direction: np.ndarray,
        rise: float,
        origin: Minimum | None = None,
    ) -> Crossing:
        """Return where the statistic has risen by so much along a ray.

        The root of ``sqrt(S(t) - S(0)) - sqrt(rise)``, which is a straight line for a parabola, by
        secants within a bracket (the Illinois variant of regula falsi).

        Parameters
        ----------
        index : sequence of int
            Parameters that are held on the ray.
        direction : array, shape (k,)
            Its direction, by the factors; about as long as makes a rise of 1.
        rise : float
            Of the statistic.
        origin : `Minimum`, optional
            Where the ray begins; the overall minimum by default.
        """
        ray = _Ray(self, list(index), direction, origin or self.best, math.sqrt(rise))
        return ray.crossing(self._room(list(index), ray.start, direction))

    def _room(self, index: list[int], start: np.ndarray, direction: np.ndarray) -> float:
        """Return how far along a ray the limits are."""
        low, high = self._limits[:, index]
        with np.errstate(divide="ignore", invalid="ignore"):
            ways = np.where(direction > 0, high - start, low - start) / direction
        return max(float(np.min(np.where(direction == 0, np.inf, ways))), 0.0)


class _Ray:
    """The profile along a ray; each point starts from the one before."""

    def __init__(self, profile, index, direction, origin: Minimum, root: float):
        self._profile, self._index, self._direction = profile, index, direction
        self.start, self._origin, self._root = origin.x[index], origin, root
        self._last = origin
        self._sound = True
        self.lower: Minimum | None = None

    def height(self, t: float) -> float:
        """Return the root of the rise, less what is wanted."""
        factors = self.start + t * self._direction
        found = self._profile.at(self._index, factors, self._last)
        self._sound = found.success
        if not np.isfinite(found.stat):
            return np.inf
        if found.success:
            self._last = found
        if found.stat < self._profile.best.stat - _LOWER:
            self.lower = found
        return math.sqrt(max(found.stat - self._origin.stat, 0.0)) - self._root

    def crossing(self, room: float) -> Crossing:
        low, at_low = 0.0, -self._root
        high = min(self._root, room)
        for _ in range(_MAX_WIDENINGS):
            at_high = self.height(high)
            if self.lower is not None:
                return Crossing(high, success=False, lower=self.lower)
            if at_high >= 0:
                return self._between(low, at_low, high, at_high)
            if high >= room:
                return Crossing(room, at_limit=True, success=self._sound)
            low, at_low = high, at_high
            # As far as a parabola would have it, and a little further.
            wanted = high * self._root / max(at_high + self._root, 1e-3 * self._root)
            high = min(np.clip(1.05 * wanted, 1.1 * high, 4 * high), room)
        return Crossing(np.inf, success=False)

    def _between(self, low: float, at_low: float, high: float, at_high: float) -> Crossing:
        for _ in range(_MAX_STEPS):
            if at_high < _NEAR * self._root:
                return Crossing(high, success=self._sound)
            share = at_low / (at_low - at_high) if np.isfinite(at_high) else 0.5
            t = low + min(max(share, 1e-3), 1 - 1e-3) * (high - low)
            value = self.height(t)
            if self.lower is not None:
                return Crossing(t, success=False, lower=self.lower)
            if abs(value) < _NEAR * self._root or high - low < 1e-9 * high:
                return Crossing(t, success=self._sound)
            if value > 0:
                high, at_high, at_low = t, value, at_low / 2
            else:
                low, at_low, at_high = t, value, at_high / 2
        return Crossing(t, success=False)


def _widths(likelihood: CompiledLikelihood, x: np.ndarray) -> np.ndarray:
    """Return a covariance that gives every parameter a width, also one at a limit."""
    matrix = finite_covariance(likelihood, x, flat=True)[0]
    usable = np.isfinite(np.diag(matrix)) & (np.diag(matrix) > 0)
    out = np.where(np.outer(usable, usable), np.nan_to_num(matrix), 0.0)
    if usable.all():
        return out
    curvature = np.diag(likelihood.evaluate(x, 2))
    for i in np.flatnonzero(~usable):
        bends = np.isfinite(curvature[i]) and curvature[i] > 0
        out[i, i] = 2 / curvature[i] if bends else max(abs(x[i]), 0.1) ** 2
    return out
