r"""Shapes of spectra: logarithm of the flux by its amplitude, with derivatives, at many energies.

All shapes have the same arguments, those they need of

order
    2 for second derivatives, 1 for first ones, 0 for the value.
ln_e, e
    Energies in TeV, shape (n,), and their logarithms.
q
    Parameters in TeV; those with a derivative first, as the table in `ctao_sat.kernels.spectra`.
rows
    For each of the parameters with a derivative its row in ``d``; negative if it is frozen.
z
    Logarithm of the flux, (>= n,); the shape adds to it.
d
    First derivatives, (rows, >= n); written.
h
    Second derivatives, (pairs, >= n); the pair of parameters s <= t is row t (t + 1) / 2 + s.
    Pairs that are always zero are not written; `PAIRS` tells the others, as bits.

Reference energies have no derivative here.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels._loglog import log_mean, log_mean_curvature

__all__ = [
    "broken_power_law",
    "cutoff",
    "cutoff_3fgl",
    "gaussian",
    "log_parabola",
    "piecewise_lin",
    "piecewise_log",
    "power",
    "power_2",
    "smooth_broken_power_law",
    "super_cutoff_3fgl",
    "super_cutoff_4fgl",
    "super_cutoff_4fgl_dr3",
    "table",
]

_MEV_PER_TEV = 1e6
_TINY = np.finfo(np.float64).tiny


@kernel
def power(order, ln_e, q, rows, z, d):
    """Power law: index, reference."""
    ln_ref = math.log(q[1])
    for n in range(ln_e.size):
        z[n] -= q[0] * (ln_e[n] - ln_ref)
    if order >= 1 and rows[0] >= 0:
        for n in range(ln_e.size):
            d[rows[0], n] = ln_ref - ln_e[n]


@kernel
def power_2(order, ln_e, q, rows, z, d, h):
    """Power law of unit integral from emin to emax: index, emin, emax."""
    l1, l2 = math.log(q[1]), math.log(q[2])
    z1, z2 = (1.0 - q[0]) * l1, (1.0 - q[0]) * l2
    y1, y2 = math.exp(z1), math.exp(z2)
    ln_norm = math.log((l2 - l1) * log_mean(z1, y1, z2, y2))
    for n in range(ln_e.size):
        z[n] -= q[0] * ln_e[n] + ln_norm
    if order == 0 or rows[0] < 0:
        return
    mean, left, right, ll, lr, rr = log_mean_curvature(z1, y1, z2, y2)
    slope = -(left * l1 + right * l2) / mean
    bend = (ll * l1 * l1 + 2.0 * lr * l1 * l2 + rr * l2 * l2) / mean - slope * slope
    for n in range(ln_e.size):
        d[rows[0], n] = -ln_e[n] - slope
        if order >= 2:
            h[0, n] = -bend


@kernel
def log_parabola(order, ln_e, q, rows, z, d):
    """Log-parabola with two energies: alpha, beta, reference, escale."""
    ln_ref, ln_scale = math.log(q[2]), math.log(q[3])
    for n in range(ln_e.size):
        z[n] -= (q[0] + q[1] * (ln_e[n] - ln_scale)) * (ln_e[n] - ln_ref)
    if order >= 1 and rows[0] >= 0:
        for n in range(ln_e.size):
            d[rows[0], n] = ln_ref - ln_e[n]
    if order >= 1 and rows[1] >= 0:
        for n in range(ln_e.size):
            d[rows[1], n] = (ln_ref - ln_e[n]) * (ln_e[n] - ln_scale)


@kernel
def _power_of(base, exponent):
    """Return base ** exponent, where negative bases are good for whole exponents alone."""
    if exponent == 1.0:
        return base
    if base > 0.0:
        return math.exp(exponent * math.log(base))
    return base**exponent


@kernel
def cutoff(order, ln_e, e, q, rows, z, d, h):
    r"""Power law with :math:`\exp(-(\lambda E)^\alpha)`: index, lambda, alpha, reference."""
    index, rate, alpha = q[0], q[1], q[2]
    ln_ref = math.log(q[3])
    for n in range(ln_e.size):
        z[n] -= index * (ln_e[n] - ln_ref) + _power_of(rate * e[n], alpha)
    if order == 0:
        return
    if rows[0] >= 0:
        for n in range(ln_e.size):
            d[rows[0], n] = ln_ref - ln_e[n]
    ln_rate = math.log(rate) if rate > 0.0 else math.nan
    for n in range(ln_e.size):
        c = _power_of(rate * e[n], alpha)
        # Written so that the usual alpha of 1 allows a rate of zero, or below.
        slope = alpha * e[n] * _power_of(rate * e[n], alpha - 1.0) if alpha != 1.0 else e[n]
        w = ln_rate + ln_e[n] if c != 0.0 else 0.0
        if rows[1] >= 0:
            d[rows[1], n] = -slope
        if rows[2] >= 0:
            d[rows[2], n] = -c * w
        if order >= 2:
            h[2, n] = -(alpha - 1.0) * slope / rate if alpha != 1.0 else 0.0
            h[4, n] = -slope / alpha * (1.0 + alpha * w)
            h[5, n] = -c * w * w


@kernel
def cutoff_3fgl(order, ln_e, e, q, rows, z, d, h):
    """Power law with exp((reference - E) / ecut): index, ecut, reference."""
    ln_ref = math.log(q[2])
    for n in range(ln_e.size):
        z[n] += (q[2] - e[n]) / q[1] - q[0] * (ln_e[n] - ln_ref)
    if order == 0:
        return
    for n in range(ln_e.size):
        fall = (q[2] - e[n]) / q[1]
        if rows[0] >= 0:
            d[rows[0], n] = ln_ref - ln_e[n]
        if rows[1] >= 0:
            d[rows[1], n] = -fall / q[1]
        if order >= 2:
            h[2, n] = 2.0 * fall / (q[1] * q[1])


@kernel
def super_cutoff_3fgl(order, ln_e, q, rows, z, d, h):
    """Power law with exp((E0 / ecut)**b - (E / ecut)**b): index_1, b = index_2, ecut, E0."""
    b, ecut = q[1], q[2]
    ln_ref = math.log(q[3])
    ln_cut = math.log(ecut)
    w0 = ln_ref - ln_cut
    c0 = math.exp(b * w0)
    for n in range(ln_e.size):
        w = ln_e[n] - ln_cut
        c = math.exp(b * w)
        z[n] += c0 - c - q[0] * (ln_e[n] - ln_ref)
        if order == 0:
            continue
        first = c0 * w0 - c * w
        if rows[0] >= 0:
            d[rows[0], n] = ln_ref - ln_e[n]
        if rows[1] >= 0:
            d[rows[1], n] = first
        if rows[2] >= 0:
            d[rows[2], n] = -b / ecut * (c0 - c)
        if order >= 2:
            h[2, n] = c0 * w0 * w0 - c * w * w
            h[4, n] = -(c0 - c + b * first) / ecut
            h[5, n] = b * (1.0 + b) / (ecut * ecut) * (c0 - c)


@kernel
def super_cutoff_4fgl(order, ln_e, q, rows, z, d, h):
    """Power law with exp(a (E0**b - E**b)) in MeV: index_1, b = index_2, a = expfactor, E0."""
    b, a = q[1], q[2]
    ln_ref = math.log(q[3])
    ln_mev = math.log(_MEV_PER_TEV)
    w0 = ln_ref + ln_mev
    c0 = math.exp(b * w0)
    for n in range(ln_e.size):
        w = ln_e[n] + ln_mev
        c = math.exp(b * w)
        z[n] += a * (c0 - c) - q[0] * (ln_e[n] - ln_ref)
        if order == 0:
            continue
        first = c0 * w0 - c * w
        if rows[0] >= 0:
            d[rows[0], n] = ln_ref - ln_e[n]
        if rows[1] >= 0:
            d[rows[1], n] = a * first
        if rows[2] >= 0:
            d[rows[2], n] = c0 - c
        if order >= 2:
            h[2, n] = a * (c0 * w0 * w0 - c * w * w)
            h[4, n] = first


@kernel
def _curve_4fgl_dr3(u):
    """Return (exp(u) - 1 - u) / u**2 with derivatives; a short series below 0.01, as Gammapy."""
    if abs(u) < 1e-2:
        return 0.5 + u / 6.0 + u * u / 24.0, 1.0 / 6.0 + u / 12.0, 1.0 / 12.0
    rise = math.expm1(u)
    value = (rise - u) / (u * u)
    slope = (rise - 2.0 * u * value) / (u * u)
    bend = (rise + 1.0 - 4.0 * u * slope - 2.0 * value) / (u * u)
    return value, slope, bend


@kernel
def super_cutoff_4fgl_dr3(order, ln_e, q, rows, z, d, h):
    """Power law with the curvature of 4FGL-DR3: index_1, b = index_2, a = expfactor, E0.

    Equations (2) and (3) of https://arxiv.org/abs/2201.11184 are one: with x = ln(E / E0) the
    logarithm of the flux is -index_1 x - a x**2 c(b x), c(u) = (exp(u) - 1 - u) / u**2.
    """
    b, a = q[1], q[2]
    ln_ref = math.log(q[3])
    for n in range(ln_e.size):
        x = ln_e[n] - ln_ref
        value, slope, bend = _curve_4fgl_dr3(b * x)
        z[n] -= q[0] * x + a * x * x * value
        if order == 0:
            continue
        if rows[0] >= 0:
            d[rows[0], n] = -x
        if rows[1] >= 0:
            d[rows[1], n] = -a * x * x * x * slope
        if rows[2] >= 0:
            d[rows[2], n] = -x * x * value
        if order >= 2:
            h[2, n] = -a * x * x * x * x * bend
            h[4, n] = -x * x * x * slope


@kernel
def broken_power_law(order, ln_e, e, q, rows, z, d, h):
    """Two power laws that meet: index1, index2, ebreak."""
    ln_break = math.log(q[2])
    for n in range(ln_e.size):
        side = 0 if e[n] < q[2] else 1
        x = ln_e[n] - ln_break
        z[n] -= q[side] * x
        if order == 0:
            continue
        if rows[0] >= 0:
            d[rows[0], n] = -x if side == 0 else 0.0
        if rows[1] >= 0:
            d[rows[1], n] = -x if side == 1 else 0.0
        if rows[2] >= 0:
            d[rows[2], n] = q[side] / q[2]
        if order >= 2:
            h[3, n] = 1.0 / q[2] if side == 0 else 0.0
            h[4, n] = 1.0 / q[2] if side == 1 else 0.0
            h[5, n] = -q[side] / (q[2] * q[2])


@kernel
def smooth_broken_power_law(order, ln_e, q, rows, z, d, h):
    """Two power laws with a smooth passage: index1, index2, ebreak, beta, reference.

    With equal indices Gammapy has no passage at all, not the limit of one.
    """
    change = q[1] - q[0]
    sign = np.sign(change)
    beta = sign * q[3]
    steep = change / beta if beta != 0.0 else 0.0
    ln_break, ln_ref = math.log(q[2]), math.log(q[4])
    for n in range(ln_e.size):
        x = ln_e[n] - ln_break
        w = steep * x
        # log(1 + exp(w)), without overflow
        soft = max(w, 0.0) + math.log1p(math.exp(-abs(w)))
        z[n] -= q[0] * (ln_e[n] - ln_ref) + beta * soft
        if order == 0:
            continue
        part = 1.0 / (1.0 + math.exp(-w)) if sign != 0.0 else 0.0
        if rows[0] >= 0:
            d[rows[0], n] = part * x - (ln_e[n] - ln_ref)
        if rows[1] >= 0:
            d[rows[1], n] = -part * x
        if rows[2] >= 0:
            d[rows[2], n] = change * part / q[2]
        if rows[3] >= 0:
            d[rows[3], n] = sign * (part * w - soft)
        if order >= 2:
            turn = part * (1.0 - part)
            edge = turn * x * x / beta if sign != 0.0 else 0.0
            h[0, n] = -edge
            h[1, n] = edge
            h[2, n] = -edge
            h[3, n] = -(turn * w + part) / q[2]
            h[4, n] = (turn * w + part) / q[2]
            h[5, n] = -change * (turn * steep + part) / (q[2] * q[2])
            h[6, n] = -turn * x * w / q[3]
            h[7, n] = turn * x * w / q[3]
            h[8, n] = -change * turn * w / (q[2] * q[3])
            h[9, n] = -sign * turn * w * w / q[3]


@kernel
def gaussian(order, e, q, rows, z, d, h, signs):
    """Normal distribution: mean, sigma; a negative sigma makes negative flux."""
    width = abs(q[1])
    ln_norm = math.log(width * math.sqrt(2.0 * math.pi))
    for n in range(e.size):
        t = (e[n] - q[0]) / q[1]
        z[n] -= 0.5 * t * t + ln_norm
        if q[1] < 0.0:
            signs[n] = -signs[n]
        if order == 0:
            continue
        if rows[0] >= 0:
            d[rows[0], n] = t / q[1]
        if rows[1] >= 0:
            d[rows[1], n] = (t * t - 1.0) / q[1]
        if order >= 2:
            h[0, n] = -1.0 / (q[1] * q[1])
            h[1, n] = -2.0 * t / (q[1] * q[1])
            h[2, n] = (1.0 - 3.0 * t * t) / (q[1] * q[1])


@kernel
def piecewise_log(order, left, weight, q, rows, z, d):
    """Interpolate norms at given energies by their logarithms.

    ``left`` (n,) is the node below each energy, ``weight`` (n,) the share of the node above it.
    """
    for r in rows:
        if order >= 1 and r >= 0:
            for n in range(left.size):
                d[r, n] = 0.0
    for n in range(left.size):
        i = left[n]
        value = (1.0 - weight[n]) * math.log(max(q[i], _TINY))
        value += weight[n] * math.log(max(q[i + 1], _TINY))
        # Gammapy takes the smallest numbers for zero on the way back.
        z[n] += value if math.exp(value) > 2.0 * _TINY else -math.inf
        if order >= 1 and rows[i] >= 0 and q[i] > _TINY:
            d[rows[i], n] = (1.0 - weight[n]) / q[i]
        if order >= 1 and rows[i + 1] >= 0 and q[i + 1] > _TINY:
            d[rows[i + 1], n] = weight[n] / q[i + 1]


@kernel
def piecewise_lin(order, left, weight, q, rows, z, d, signs, least):
    """Interpolate norms at given energies; ``least`` stands for a norm of zero."""
    for r in rows:
        if order >= 1 and r >= 0:
            for n in range(left.size):
                d[r, n] = 0.0
    for n in range(left.size):
        i = left[n]
        value = (1.0 - weight[n]) * q[i] + weight[n] * q[i + 1]
        if value == 0.0:
            value = least
        z[n] += math.log(abs(value)) if value != 0.0 else -math.inf
        if value < 0.0:
            signs[n] = -signs[n]
        if order >= 1 and value != 0.0 and rows[i] >= 0:
            d[rows[i], n] = (1.0 - weight[n]) / value
        if order >= 1 and value != 0.0 and rows[i + 1] >= 0:
            d[rows[i + 1], n] = weight[n] / value


@kernel
def table(order, values, q, rows, z, d):
    """Tabulated factor to the power alpha: alpha. ``values`` (n,) are its logarithms."""
    for n in range(values.size):
        # Without this the zeroth power of zero would not be one.
        z[n] += q[0] * values[n] if q[0] != 0.0 else 0.0
        if order >= 1 and rows[0] >= 0:
            d[rows[0], n] = values[n]
