"""The formulas of the temporal kernels, written plainly: slow, and made to be compared with."""

import math
from itertools import pairwise

import numpy as np

from ctao_sat.kernels import temporal_shapes as shapes

__all__ = ["flux", "integral", "quantile"]


def flux(kind: int, t: float, p: np.ndarray) -> float:
    """Return the flux at a time.

    Parameters
    ----------
    kind : int
        See `ctao_sat.kernels.temporal_shapes`.
    t : float
        Time after the reference.
    p : array
        Parameters.

    Returns
    -------
    flux : float
        By the formula in the table there.
    """
    if kind in (shapes.FLARE, shapes.SINE, shapes.ORBIT, shapes.TABLE):
        return _always(kind, t, p)
    onset = 0.0 if kind in (shapes.TIDAL, shapes.FRED, shapes.FRED_XI) else p[0]
    if t <= onset:
        return 0.0
    if kind == shapes.POWER_LAW:
        return (t / p[1]) ** -p[2]
    if kind == shapes.CHAIN:
        return _chain(t, p)
    if kind == shapes.SMOOTH:
        x = t / p[3]
        return (0.5 * (x ** (p[4] * p[1]) + x ** (p[4] * p[2]))) ** (-1 / p[4])
    if kind == shapes.EXPONENTIAL:
        return math.exp(-t / p[1])
    if kind == shapes.TIDAL:
        return (1 + t / p[0]) ** -p[1]
    if kind == shapes.NOVA:
        return -math.expm1(-(t - p[0]) / p[1]) * (t / p[2]) ** -p[3]
    if kind == shapes.FRED:
        return math.exp(2 * math.sqrt(p[0] / p[1]) - p[0] / t - t / p[1])
    return math.exp(-p[1] * (t / p[0] + p[0] / t - 2))


def _always(kind: int, t: float, p: np.ndarray) -> float:
    """Return a flux that has no onset."""
    if kind == shapes.FLARE:
        with np.errstate(over="ignore"):
            return float(2 / (np.exp(-t / p[0]) + np.exp(t / p[1])))
    if kind == shapes.SINE:
        return 1 + p[0] * math.sin(2 * math.pi * t / p[1])
    if kind == shapes.ORBIT:
        n = (len(p) - 1) // 2
        return float(np.interp(t / p[0] % 1, p[1 : 1 + n], p[1 + n :]))
    n = len(p) // 2
    return float(np.interp(t, p[:n], p[n:], left=0, right=0))


def _chain(t: float, p: np.ndarray) -> float:
    """Return the flux of power laws that meet: 1 at the first break, on to each next one."""
    breaks, slopes = p[2::2], p[1::2]
    if t < breaks[0]:
        return (t / breaks[0]) ** -slopes[0]
    value = 1.0
    for begin, end, slope in zip(breaks, [*breaks[1:], np.inf], slopes[1:], strict=True):
        value *= (min(t, end) / begin) ** -slope
        if t < end:
            break
    return value


def integral(kind: int, lo: float, hi: float, p: np.ndarray, points: np.ndarray) -> float:
    """Return the integral of the flux, by Gauss-Legendre quadrature between points.

    Parameters
    ----------
    kind, lo, hi, p : object
        See `ctao_sat.kernels.temporal_integrals.integral`.
    points : array
        Times at which it begins anew: the onset, kinks, and as many more as the
        flux has scales.

    Returns
    -------
    integral : float
        To rounding, if the flux is smooth between the points.
    """
    inner = [point for point in points if lo < point < hi]
    edges = [lo, *sorted(inner), hi]
    nodes, weights = np.polynomial.legendre.leggauss(24)
    return math.fsum(
        0.5 * (b - a) * weight * flux(kind, 0.5 * (a + b) + 0.5 * (b - a) * node, p)
        for a, b in pairwise(edges)
        for node, weight in zip(nodes, weights, strict=True)
    )


def quantile(
    kind: int, lo: float, hi: float, share: float, p: np.ndarray, points: np.ndarray
) -> float:
    """Return the time up to which an interval holds a share of its integral, by bisection.

    Parameters
    ----------
    kind, lo, hi : object
        See `integral`.
    share : float
        From 0 to 1.
    p, points : array
        See `integral`.

    Returns
    -------
    time : float
        Between ``lo`` and ``hi``.
    """
    wanted = share * integral(kind, lo, hi, p, points)
    low, high = lo, hi
    for _ in range(45):
        middle = 0.5 * (low + high)
        low, high = (
            (low, middle) if integral(kind, lo, middle, p, points) > wanted else (middle, high)
        )
    return 0.5 * (low + high)
