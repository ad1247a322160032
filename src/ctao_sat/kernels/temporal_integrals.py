"""Integrals over time of the fluxes of `ctao_sat.kernels.temporal_shapes`, with derivatives.

Those of power laws, exponentials, sines and tables are closed; the others are by Gauss-Legendre
quadrature in the logarithm of time (``FLARE``: in time), see
`ctao_sat.kernels.temporal_quadrature`.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.temporal_quadrature import halve
from ctao_sat.kernels.temporal_shapes import (
    CHAIN,
    EXPONENTIAL,
    FLARE,
    FRED,
    FRED_XI,
    NOVA,
    ORBIT,
    POWER_LAW,
    SINE,
    SMOOTH,
    TIDAL,
    chain_segment,
    point,
    start_of,
)

__all__ = ["integral", "landmarks"]

# exp(-_DARK) is nothing.
_DARK = 744.0
# Where panels begin around a break or a peak, in its width.
_STEPS = (0.25, 1.0, 3.0, 10.0, 30.0)
# Where integrals that begin at zero do: what is before is a power law.
_TINY = 1e-290


@kernel
def _first_moment(w):
    """Return the integral of s exp(w s) over s from 0 to 1, for w <= 0."""
    if w < -0.5:
        return (math.exp(w) * (w - 1.0) + 1.0) / (w * w)
    total, term = 0.0, 1.0
    for k in range(16):
        total += term / (k + 2.0)
        term *= w / (k + 1.0)
    return total


@kernel
def _power_integral(a, b, width, t, alpha):
    """Return the integral of (x / t)^-alpha from a to b = a + width, and its derivative by alpha.

    It is written around the end where the flux is largest by decade: nothing overflows or cancels.
    """
    q = 1.0 - alpha
    if a <= 0.0:
        if q <= 0.0:
            return math.inf, math.inf
        x = math.log(b / t)
        value = b * math.exp(-alpha * x) / q
        return value, value * (1.0 / q - x)
    length = math.log1p(width / a)
    end, sign = (b, -1.0) if q > 0.0 else (a, 1.0)
    w, x = -abs(q) * length, math.log(end / t)
    scale = end * math.exp(-alpha * x) * length
    value = scale * (math.expm1(w) / w if w < 0.0 else 1.0)
    return value, -x * value - sign * scale * length * _first_moment(w)


@kernel
def _chain_integral(lo, hi, p, out):
    n = (p.shape[0] - 2) // 2
    logs = np.empty(out.shape[0])
    for k in range(n + 1):
        a = max(lo, p[2 * k]) if k > 0 else lo
        b = min(hi, p[2 * k + 2]) if k < n else hi
        if not a < b:
            continue
        t = chain_segment(k, p, logs)
        value, by_alpha = _power_integral(a, b, b - a, t, p[1 + 2 * k])
        if value == math.inf:
            out[:] = math.inf
            return
        value *= math.exp(logs[0])
        out[0] += value
        for i in range(1, out.shape[0]):
            out[i] += value * logs[i]
        if out.shape[0] > 1:
            out[2 + 2 * k] += by_alpha * math.exp(logs[0])


@kernel
def _exponential_integral(lo, hi, p, out):
    t0, w = p[1], -(hi - lo) / p[1]
    front = math.exp(-lo / t0)
    out[0] = -t0 * front * math.expm1(w)
    if out.shape[0] > 1:
        out[2] = front * (-math.expm1(w) * lo / t0 + w * w * _first_moment(w))


@kernel
def _tidal_integral(lo, hi, p, out):
    t = p[0]
    share, by_alpha = _power_integral(1.0 + lo / t, 1.0 + hi / t, (hi - lo) / t, 1.0, p[1])
    out[0] = t * share
    if out.shape[0] > 1:
        ends = hi * (1.0 + hi / t) ** -p[1] - lo * (1.0 + lo / t) ** -p[1]
        out[1] = share - ends / t
        out[2] = t * by_alpha


@kernel
def _sine_integral(lo, hi, p, out):
    half = math.pi / p[1]
    wave = math.sin(half * (lo + hi)) * math.sin(half * (hi - lo)) / half
    out[0] = hi - lo + p[0] * wave
    if out.shape[0] > 1:
        out[1] = wave
        first, last = math.sin(2.0 * half * lo), math.sin(2.0 * half * hi)
        out[2] = p[0] * (wave - hi * last + lo * first) / p[1]


@kernel
def _trapezoids(a, b, nodes, norms):
    """Return the integral between a and b of lines between nodes, 0 outside of them."""
    total = 0.0
    first = max(np.searchsorted(nodes, a, side="right") - 1, 0)
    for k in range(first, nodes.shape[0] - 1):
        left, right = max(a, nodes[k]), min(b, nodes[k + 1])
        if left >= b:
            break
        if left < right:
            slope = (norms[k + 1] - norms[k]) / (nodes[k + 1] - nodes[k])
            total += (right - left) * (norms[k] + slope * (0.5 * (left + right) - nodes[k]))
    return total


@kernel
def _table_integral(kind, lo, hi, p, out):
    if kind != ORBIT:
        n = p.shape[0] // 2
        out[0] = _trapezoids(lo, hi, p[:n], p[n:])
        return
    n = (p.shape[0] - 1) // 2
    period, nodes, norms = p[0], p[1 : 1 + n], p[1 + n :]
    begin = lo / period - math.floor(lo / period)
    turns = (hi - lo) / period
    whole = math.floor(turns)
    end = begin + (turns - whole)
    total = _trapezoids(begin, min(end, 1.0), nodes, norms)
    if end > 1.0:
        total += _trapezoids(0.0, end - 1.0, nodes, norms)
    if whole > 0:
        total += whole * _trapezoids(0.0, 1.0, nodes, norms)
    out[0] = period * total
    if out.shape[0] > 1:
        ends = np.empty((2, 1))
        point(kind, lo, p, ends[0])
        point(kind, hi, p, ends[1])
        out[1] = total - (hi * ends[1, 0] - lo * ends[0, 0]) / period


@kernel
def _pulse(kind, p):
    """Return peak and sharpness of a FRED."""
    if kind == FRED:
        return math.sqrt(p[0] * p[1]), math.sqrt(p[0] / p[1])
    return p[0], p[1]


@kernel
def landmarks(kind, p):
    """Return times about which the flux changes its shape, in order.

    Parameters
    ----------
    kind : int
        As the table of `ctao_sat.kernels.temporal_shapes` has it.
    p : array
        Parameters.

    Returns
    -------
    times : array
        For ``NOVA`` after the onset.
    """
    if kind == CHAIN:
        return p[2::2].copy()
    if kind not in (SMOOTH, NOVA, FRED, FRED_XI, FLARE):
        return np.empty(0)
    times = np.zeros(2 * len(_STEPS) + 1)
    middle = len(_STEPS)
    peak, xi = _pulse(kind, p)
    for i in range(len(_STEPS)):
        step = _STEPS[i]
        if kind == FLARE:
            times[middle - 1 - i], times[middle + 1 + i] = -p[0] * step, p[1] * step
            continue
        if kind == NOVA:
            times[i], times[middle + i] = p[1] * step, p[0] * step
            continue
        if kind == SMOOTH:
            peak = p[3]
            offset = min(step / max(abs(p[4] * (p[2] - p[1])), 1e-3), 300.0)
        else:
            offset = math.asinh(step / math.sqrt(2.0 * xi))
        times[middle - 1 - i] = peak * math.exp(-offset)
        times[middle + 1 + i] = peak * math.exp(offset)
    if kind != FLARE and kind != NOVA:
        times[middle] = peak
    times.sort()
    return times


@kernel
def _bright(kind, lo, hi, p):
    """Return the part of an interval in which the flux is not nothing."""
    if kind == FLARE:
        return max(lo, -_DARK * p[0]), min(hi, _DARK * p[1])
    if kind in (FRED, FRED_XI):
        peak, xi = _pulse(kind, p)
        reach = math.exp(2.0 * math.asinh(math.sqrt(0.25 * _DARK / xi)))
        return max(lo, peak / reach), min(hi, peak * reach)
    return lo, hi


@kernel
def _begin(kind, lo, hi, p, out):
    """Add what is before a tiny time to an integral that begins at zero; return that time."""
    if lo > 0.0:
        return lo
    lead, by = 0.0, -1
    if kind == SMOOTH:
        low = p[1] < p[2] if p[4] > 0.0 else p[1] > p[2]
        lead, by = (p[1], 2) if low else (p[2], 3)
    elif p[0] > 0.0:
        lead = -1.0
    else:
        lead, by = p[3] - 1.0, 4
    q = 1.0 - lead
    if q <= 0.0:
        out[:] = math.inf
        return hi
    small = _TINY * hi if by > 0 else 1e-12 * min(hi, p[1])
    work = np.empty(out.shape[0])
    point(kind, small, p, work)
    for j in range(out.shape[0]):
        out[j] += work[j] * small / q
    if out.shape[0] > 1 and by > 0:
        out[by] += work[0] * small / q**2
    return small


@kernel
def _quadrature(kind, lo, hi, p, out):
    shift = p[0] if kind == NOVA else 0.0
    a, b = _bright(kind, lo - shift, hi - shift, p)
    if not a < b:
        return
    if kind in (SMOOTH, NOVA):
        a = _begin(kind, a, b, p, out)
        if not a < b:
            return
    times = landmarks(kind, p)
    edges, n = np.empty(times.shape[0] + 2), 1
    edges[0] = a if kind == FLARE else 0.0
    # Logarithms of ratios: those of times would lose the length of a short interval.
    for i in range(times.shape[0] + 1):
        t = times[i] if i < times.shape[0] else b
        if a < t < b or i == times.shape[0]:
            edges[n] = t if kind == FLARE else math.log1p((t - a) / a)
            n += 1
    halve(kind, a, edges[:n], p, out)


@kernel
def integral(kind, lo, hi, p, out):
    """Fill the integral of the flux, with its derivatives.

    Parameters
    ----------
    kind : int
        As the table of `ctao_sat.kernels.temporal_shapes` has it.
    lo, hi : float
        Times. If ``hi`` is not above ``lo``, all is zero.
    p : array
        Parameters.
    out : array, shape (1,) or (1 + n_parameters,)
        Filled: the integral, then its derivatives by the parameters, as in
        `ctao_sat.kernels.temporal_shapes.point`. Infinite if it diverges at zero; NaN if a
        quadrature does not reach its precision.
    """
    out[:] = 0.0
    start = start_of(kind, p)
    a = max(lo, start)
    if not a < hi:
        return
    if kind == POWER_LAW:
        value, by_alpha = _power_integral(a, hi, hi - a, p[1], p[2])
        out[0] = value
        if out.shape[0] > 1:
            out[2], out[3] = value * p[2] / p[1], by_alpha
    elif kind == CHAIN:
        _chain_integral(a, hi, p, out)
    elif kind == EXPONENTIAL:
        _exponential_integral(a, hi, p, out)
    elif kind == TIDAL:
        _tidal_integral(a, hi, p, out)
    elif kind == SINE:
        _sine_integral(a, hi, p, out)
    elif kind in (FRED, FRED_XI, FLARE, SMOOTH, NOVA):
        _quadrature(kind, a, hi, p, out)
    else:
        _table_integral(kind, a, hi, p, out)
    if out.shape[0] > 1 and kind <= EXPONENTIAL and lo < start:
        _move_onset(kind, start, p, out)


@kernel
def _move_onset(kind, start, p, out):
    """Take off the flux at the onset from the derivative by it."""
    if start <= 0.0:
        # From zero an onset can only move to later times: as in the flux of a nova.
        return
    work = np.empty(1)
    point(kind, np.nextafter(start, math.inf), p, work)
    out[1] -= work[0]
