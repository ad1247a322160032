"""Adaptive Gauss-Legendre quadrature of fluxes over time, with derivatives.

Panels are halved until both halves agree with the whole.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.temporal_shapes import FLARE, point

__all__ = ["halve"]

_X, _W = np.polynomial.legendre.leggauss(16)
# A panel is good if its halves change the integral by less than this share of the whole.
_TOLERANCE = 1e-13
# What panels that cannot be halved any more may change it by, all together.
_PRECISION = 1e-10
# An integral below this has no digits left that could agree.
_NOTHING = 1e-290
_STACK = 48
_MAX_PANELS = 4000


@kernel
def _panel(kind, origin, a, b, p, work, out):
    """Fill the integrals over one panel, and those of absolute values."""
    half, middle = 0.5 * (b - a), 0.5 * (a + b)
    out[:] = 0.0
    for i in range(16):
        x = middle + half * _X[i]
        weight = half * _W[i]
        if kind == FLARE:
            point(kind, x, p, work)
        else:
            t = origin * math.exp(x)
            point(kind, t, p, work)
            weight *= t
        for j in range(out.shape[1]):
            out[0, j] += weight * work[j]
            out[1, j] += weight * abs(work[j])


@kernel
def _size(scale, p, j):
    """Return to what a change of an integral compares.

    A derivative that is next to nothing has no digits but those of rounding: it compares to what
    alters the integral as much as itself.
    """
    if j > 0 and p[j - 1] != 0.0:
        return max(scale[j], scale[0] / abs(p[j - 1]))
    return scale[j]


@kernel
def _changes(whole, left, right, p, scale, changes):
    """Fill by how much two halves change the integrals of their panel; return if it is enough.

    The scale of an integral is at least that of any of its panels: a wide one may have missed a
    peak that its halves find.
    """
    good = True
    for j in range(scale.shape[0]):
        changes[j] = abs(left[0, j] + right[0, j] - whole[j])
        scale[j] = max(scale[j], left[1, j] + right[1, j])
        good = good and not changes[j] > _TOLERANCE * _size(scale, p, j) + _NOTHING
    return good


@kernel
def halve(kind, origin, edges, p, out):
    """Add integrals between edges, in panels that are halved as often as they need.

    Parameters
    ----------
    kind : int
        As the table of `ctao_sat.kernels.temporal_shapes` has it.
    origin : float
        Time where the logarithm of time is zero; not used for ``FLARE``.
    edges : array
        Where panels begin: logarithms of time over ``origin``, for ``FLARE`` times.
    p : array
        Parameters.
    out : array, shape (1,) or (1 + n_parameters,)
        Added to: the integral, then its derivatives by the parameters. NaN if they are not as
        precise as they have to be.
    """
    size = out.shape[0]
    work, scale, changes, lost = np.empty(size), np.zeros(size), np.empty(size), np.zeros(size)
    left, right = np.empty((2, size)), np.empty((2, size))
    begin, end, sums = np.empty(_STACK), np.empty(_STACK), np.empty((_STACK, size))
    for k in range(edges.shape[0] - 1):
        _panel(kind, origin, edges[k], edges[k + 1], p, work, left)
        scale += left[1]
    panels = 0
    for k in range(edges.shape[0] - 1):
        top = 1
        begin[0], end[0] = edges[k], edges[k + 1]
        _panel(kind, origin, begin[0], end[0], p, work, left)
        sums[0] = left[0]
        while top > 0:
            top -= 1
            panels += 1
            a, b = begin[top], end[top]
            middle = 0.5 * (a + b)
            _panel(kind, origin, a, middle, p, work, left)
            _panel(kind, origin, middle, b, p, work, right)
            good = _changes(sums[top], left, right, p, scale, changes)
            if not good and (top + 2 > _STACK or panels > _MAX_PANELS):
                lost += changes
                good = True
            if good:
                out += left[0] + right[0]
                continue
            sums[top], sums[top + 1] = right[0], left[0]
            begin[top], end[top] = middle, b
            begin[top + 1], end[top + 1] = a, middle
            top += 2
    for j in range(size):
        if lost[j] > _PRECISION * _size(scale, p, j):
            out[:] = math.nan
            return
