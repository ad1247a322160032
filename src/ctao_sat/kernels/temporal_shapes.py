"""Fluxes at a time after an event, with their derivatives by parameters.

Times are those after a reference; all have one unit, any. A model is a number, ``kind``, with an
array of parameters:

===============  ===================================  ==============================================
kind             parameters                           flux at t
===============  ===================================  ==============================================
``POWER_LAW``    t_on, t0, a                          (t / t0)^-a
``CHAIN``        t_on, a_0, t_1, a_1, t_2, a_2, …     power laws that meet at t_1, t_2, …; 1 at t_1
``SMOOTH``       t_on, a1, a2, t_b, s                 {2 / [x^(s a1) + x^(s a2)]}^(1/s), x = t/t_b
``EXPONENTIAL``  t_on, t0                             exp(-t / t0)
``TIDAL``        t_fb, a                              (1 + t / t_fb)^-a
``NOVA``         t_on, t_rise, t0, a                  [1 - exp(-(t - t_on) / t_rise)] (t / t0)^-a
``FRED``         tau1, tau2                           exp[2 sqrt(tau1/tau2) - tau1/t - t/tau2]
``FRED_XI``      T, xi                                exp[-xi (t/T + T/t - 2)]
``FLARE``        t_rise, t_decay                      2 / [exp(-t / t_rise) + exp(t / t_decay)]
``SINE``         A, P                                 1 + A sin(2 pi t / P)
``ORBIT``        P, phases, norms                     linear between phases 0, …, 1 of period P
``TABLE``        times, norms                         linear between times, 0 outside
===============  ===================================  ==============================================

The flux is 0 until ``t_on``; for ``TIDAL``, ``FRED`` and ``FRED_XI`` until 0.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel

__all__ = [
    "CHAIN",
    "EXPONENTIAL",
    "FLARE",
    "FRED",
    "FRED_XI",
    "NOVA",
    "ORBIT",
    "POWER_LAW",
    "SINE",
    "SMOOTH",
    "TABLE",
    "TIDAL",
    "chain_segment",
    "point",
    "start_of",
]

POWER_LAW, CHAIN, SMOOTH, EXPONENTIAL, TIDAL, NOVA = range(6)
FRED, FRED_XI, FLARE, SINE, ORBIT, TABLE = range(6, 12)


@kernel
def start_of(kind, p):
    """Return the time until which there is no flux, -infinity if there is none.

    Parameters
    ----------
    kind : int
        As the table of this module has it.
    p : array
        Parameters.

    Returns
    -------
    start : float
        Onset.
    """
    if kind <= EXPONENTIAL or kind == NOVA:
        return p[0]
    if kind in (TIDAL, FRED, FRED_XI):
        return 0.0
    if kind == TABLE:
        return p[0]
    return -math.inf


@kernel
def chain_segment(k, p, logs):
    """Fill the logarithm of the flux where a segment of a chain begins, and its derivatives.

    Parameters
    ----------
    k : int
        Segment, from 0; that one is described from its end.
    p : array
        Parameters of a chain.
    logs : array, shape (1,) or (1 + n_parameters,)
        Filled: the logarithm, then derivatives at a fixed time, without that by ``a_k``.

    Returns
    -------
    t : float
        Where the flux is exp(logs[0]).
    """
    logs[:] = 0.0
    last = k if k > 0 else 1
    for j in range(1, last):
        a, t, following = p[1 + 2 * j], p[2 * j], p[2 * j + 2]
        x = math.log(following / t)
        logs[0] -= a * x
        if logs.shape[0] > 1:
            logs[2 + 2 * j] -= x
            logs[1 + 2 * j] += a / t
            logs[3 + 2 * j] -= a / following
    if logs.shape[0] > 1:
        logs[1 + 2 * last] += p[1 + 2 * k] / p[2 * last]
    return p[2 * last]


@kernel
def _power_law(t, p, out):
    x = math.log(t / p[1])
    out[0] = math.exp(-p[2] * x)
    if out.shape[0] > 1:
        out[2] = out[0] * p[2] / p[1]
        out[3] = -out[0] * x


@kernel
def _chain(t, p, out):
    k, n = 0, (p.shape[0] - 2) // 2
    while k < n and t >= p[2 + 2 * k]:
        k += 1
    x = math.log(t / chain_segment(k, p, out))
    value = math.exp(out[0] - p[1 + 2 * k] * x)
    if out.shape[0] > 1:
        out[2 + 2 * k] -= x
    for i in range(1, out.shape[0]):
        out[i] *= value
    out[0] = value


@kernel
def _smooth(t, p, out):
    a1, a2, s = p[1], p[2], p[4]
    x = math.log(t / p[3])
    # The larger exponent is taken out: nothing overflows.
    largest = max(s * a1 * x, s * a2 * x)
    w1, w2 = math.exp(s * a1 * x - largest), math.exp(s * a2 * x - largest)
    log_f = (math.log(2.0) - largest - math.log(w1 + w2)) / s
    out[0] = math.exp(log_f)
    if out.shape[0] > 1:
        slope = (w1 * a1 + w2 * a2) / (w1 + w2)
        out[2] = -out[0] * x * w1 / (w1 + w2)
        out[3] = -out[0] * x * w2 / (w1 + w2)
        out[4] = out[0] * slope / p[3]
        out[5] = -out[0] * (log_f + slope * x) / s


@kernel
def _exponential(t, p, out):
    out[0] = math.exp(-t / p[1])
    if out.shape[0] > 1:
        out[2] = out[0] * t / p[1] ** 2


@kernel
def _tidal(t, p, out):
    x = math.log1p(t / p[0])
    out[0] = math.exp(-p[1] * x)
    if out.shape[0] > 1:
        out[1] = out[0] * p[1] * t / (p[0] * (p[0] + t))
        out[2] = -out[0] * x


@kernel
def _nova(v, p, out):
    """Of the time after the onset."""
    y, x = v / p[1], math.log((v + p[0]) / p[2])
    # At tiny times the power law alone would overflow.
    out[0] = math.exp(math.log(-math.expm1(-y)) - p[3] * x)
    if out.shape[0] > 1:
        rest = math.exp(-y - p[3] * x) / p[1] if y > 1.0 else out[0] / (math.expm1(y) * p[1])
        # From zero an onset can only move to later times, and does so at an infinite rate.
        out[1] = -rest if p[0] > 0.0 else 0.0
        out[2] = -y * rest if y > 1.0 else -out[0] / p[1] * (y / math.expm1(y))
        out[3] = out[0] * p[3] / p[2]
        out[4] = -out[0] * x


@kernel
def _fred(t, p, out):
    s = math.sqrt(p[0] / t) - math.sqrt(t / p[1])
    out[0] = math.exp(-s * s)
    if out.shape[0] > 1:
        out[1] = -out[0] * s / math.sqrt(p[0] * t)
        out[2] = -out[0] * s * math.sqrt(t / p[1]) / p[1]


@kernel
def _fred_xi(t, p, out):
    s = (t - p[0]) / math.sqrt(t * p[0])
    out[0] = math.exp(-p[1] * s * s)
    if out.shape[0] > 1:
        out[1] = out[0] * p[1] * (t - p[0]) * (t + p[0]) / (t * p[0] ** 2)
        out[2] = -out[0] * s * s


@kernel
def _flare(t, p, out):
    rise, decay = t / p[0], t / p[1]
    # The larger exponential is taken out: nothing overflows.
    if t > 0:
        w1, w2, f = math.exp(-rise - decay), 1.0, 2.0 * math.exp(-decay)
    else:
        w1, w2, f = 1.0, math.exp(rise + decay), 2.0 * math.exp(rise)
    out[0] = f / (w1 + w2)
    if out.shape[0] > 1:
        out[1] = -out[0] * w1 / (w1 + w2) * rise / p[0]
        out[2] = out[0] * w2 / (w1 + w2) * decay / p[1]


@kernel
def _sine(t, p, out):
    angle = 2.0 * math.pi * t / p[1]
    out[0] = 1.0 + p[0] * math.sin(angle)
    if out.shape[0] > 1:
        out[1] = math.sin(angle)
        out[2] = -p[0] * math.cos(angle) * angle / p[1]


@kernel
def _line(x, nodes, norms, out):
    """Fill the value and the slope between nodes."""
    k = min(max(np.searchsorted(nodes, x, side="right") - 1, 0), nodes.shape[0] - 2)
    slope = (norms[k + 1] - norms[k]) / (nodes[k + 1] - nodes[k])
    out[0] = norms[k] + slope * (x - nodes[k])
    if out.shape[0] > 1:
        out[1] = slope


@kernel
def _table(kind, t, p, out):
    if kind == ORBIT:
        n = (p.shape[0] - 1) // 2
        turns = t / p[0]
        _line(turns - math.floor(turns), p[1 : 1 + n], p[1 + n :], out)
        if out.shape[0] > 1:
            out[1] *= -turns / p[0]
        return
    n = p.shape[0] // 2
    if t <= p[n - 1]:
        _line(t, p[:n], p[n:], out)


@kernel
def point(kind, v, p, out):
    """Fill the flux at a time, with its derivatives.

    Parameters
    ----------
    kind : int
        As the table of this module has it.
    v : float
        Time; for ``NOVA`` that after the onset.
    p : array
        Parameters.
    out : array, shape (1,) or (1 + n_parameters,)
        Filled: the flux, then its derivatives by the parameters at a fixed time. Tables have none
        by their nodes: shape (2,) for ``ORBIT``, (1,) for ``TABLE``.
    """
    out[:] = 0.0
    if v <= (0.0 if kind == NOVA else start_of(kind, p)) and not (kind == TABLE and v == p[0]):
        return
    if kind == POWER_LAW:
        _power_law(v, p, out)
    elif kind == CHAIN:
        _chain(v, p, out)
    elif kind == SMOOTH:
        _smooth(v, p, out)
    elif kind == EXPONENTIAL:
        _exponential(v, p, out)
    elif kind == TIDAL:
        _tidal(v, p, out)
    elif kind == NOVA:
        _nova(v, p, out)
    elif kind == FRED:
        _fred(v, p, out)
    elif kind == FRED_XI:
        _fred_xi(v, p, out)
    elif kind == FLARE:
        _flare(v, p, out)
    elif kind == SINE:
        _sine(v, p, out)
    else:
        _table(kind, v, p, out)
