"""Values, integrals and random times of fluxes that fade, flare or return.

The models are numbers with arrays of parameters, see `ctao_sat.kernels.temporal_shapes`.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.temporal_integrals import integral
from ctao_sat.kernels.temporal_shapes import NOVA, point

__all__ = ["evaluate", "integrate", "invert"]

_MAX_STEPS = 200
# Times are found to this share of the largest time in their cell.
_PRECISION = 1e-13


@kernel
def evaluate(kind, times, p, out):
    """Fill fluxes at times.

    Parameters
    ----------
    kind : int
        Model.
    times : array, shape (n,)
        After the reference.
    p : array
        Parameters.
    out : array, shape (n, 1) or (n, 1 + n_parameters)
        Filled: fluxes, then their derivatives by the parameters.
    """
    shift = p[0] if kind == NOVA else 0.0
    for i in range(times.shape[0]):
        point(kind, times[i] - shift, p, out[i])


@kernel
def integrate(kind, start, stop, p, out):
    """Fill integrals over intervals.

    Parameters
    ----------
    kind : int
        Model.
    start, stop : array, shape (n,)
        Times after the reference. An interval that does not end after its begin is empty.
    p : array
        Parameters.
    out : array, shape (n, 1) or (n, 1 + n_parameters)
        Filled: integrals, then their derivatives by the parameters.
    """
    for i in range(start.shape[0]):
        integral(kind, start[i], stop[i], p, out[i])


@kernel
def _solve(kind, lo, hi, share, mass, p, work):
    """Return the time up to which a cell holds a share of its integral."""
    low, high = lo, hi
    wanted = share * mass
    accuracy = _PRECISION * max(abs(lo), abs(hi))
    shift = p[0] if kind == NOVA else 0.0
    t = lo + share * (hi - lo)
    for _ in range(_MAX_STEPS):
        integral(kind, lo, t, p, work)
        miss = work[0] - wanted
        if miss > 0.0:
            high = t
        else:
            low = t
        point(kind, t - shift, p, work)
        step = -miss / work[0] if work[0] > 0.0 else math.inf
        if abs(step) <= accuracy or high - low <= accuracy:
            return t
        t = t + step if low < t + step < high else 0.5 * (low + high)
    return t


@kernel
def invert(kind, edges, masses, wanted, p, out):
    """Fill the times up to which the integral of the flux has given values.

    Parameters
    ----------
    kind : int
        Model; its flux is nowhere negative.
    edges : array, shape (n_cells, 2)
        Intervals of time, in order.
    masses : array, shape (n_cells,)
        Integrals over them.
    wanted : array, shape (n,)
        Parts of their sum, from 0 to 1.
    p : array
        Parameters.
    out : array, shape (n,)
        Filled: times within the intervals.
    """
    cumulative = np.cumsum(masses)
    work = np.empty(1)
    for i in range(wanted.shape[0]):
        level = wanted[i] * cumulative[-1]
        k = min(np.searchsorted(cumulative, level, side="right"), masses.shape[0] - 1)
        while masses[k] <= 0.0 and k > 0:
            k -= 1
        before = cumulative[k] - masses[k]
        share = min(max((level - before) / masses[k], 0.0), 1.0)
        out[i] = _solve(kind, edges[k, 0], edges[k, 1], share, masses[k], p, work)
