r"""All spectra of a likelihood as one vector of numbers, with first and second derivatives.

The vector ``f`` (n_f,) holds one spectrum after the other: fluxes integrated over energy bins, or
fluxes at points. Each spectrum is a product of shapes and of amplitudes,

.. math:: \phi(E) = c \prod_i A_i \prod_j \exp(s_j(E)),

and is integrated between nodes that power laws join, as `ctao_sat.kernels._loglog` tells. The
amplitudes stay outside of the integral, so that zero and negative ones need no care. A constant
has amplitudes alone. Kinds of shapes and memory layout: `ctao_sat.kernels.spectra_layout`.
"""

import math

import numpy as np

from ctao_sat.kernels import _shapes
from ctao_sat.kernels._blocks import (
    amplitude,
    fill_first,
    fill_second,
    scatter_first,
    scatter_second,
)
from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels._loglog import integrate, segments
from ctao_sat.kernels.spectra_layout import (
    BROKEN_POWER_LAW,
    CURVE,
    CUTOFF,
    CUTOFF_3FGL,
    F_START,
    FACTOR,
    FACTOR_SIZE,
    GAUSSIAN,
    GAUSSIAN_BINS,
    HEADER,
    KIND,
    LEFT,
    LENGTH,
    LN_E,
    LOG_PARABOLA,
    MAX_CURVES,
    MAX_NODES,
    MAX_ROWS,
    MAX_SLOTS,
    MODE,
    N_BINS,
    N_FACTORS,
    N_FREE_SLOTS,
    N_NODES,
    N_ROWS,
    N_SEGMENTS,
    N_SLOTS,
    N_VECTORS,
    PARAMETER,
    PIECEWISE_LOG,
    POINTS,
    POWER,
    POWER_2,
    POWER_BINS,
    SCALE,
    SKIPPED,
    SLOT,
    SLOT_ROW,
    SLOT_SIZE,
    SMOOTH_BROKEN_POWER_LAW,
    SUPER_CUTOFF_3FGL,
    SUPER_CUTOFF_4FGL,
    SUPER_CUTOFF_4FGL_DR3,
    TABLE,
    VALUES,
    VECTOR_SIZE,
    E,
    SpectraArrays,
)

__all__ = ["SpectraArrays", "evaluate"]

# Gammapy integrates a power law of this index as one of index 1.
_INDEX_CLOSE = 1e-8
# Instead of a norm of zero, whose logarithm has no derivative: too little to count.
_LEAST = 1e-100


@kernel
def _add_shape(order, kind, ln_e, e, q, rows, z, d, h, signs):
    """Add the logarithm of one shape that needs no table."""
    if kind == POWER:
        _shapes.power(order, ln_e, q, rows, z, d)
    elif kind == LOG_PARABOLA:
        _shapes.log_parabola(order, ln_e, q, rows, z, d)
    elif kind == CUTOFF:
        _shapes.cutoff(order, ln_e, e, q, rows, z, d, h)
    elif kind == CUTOFF_3FGL:
        _shapes.cutoff_3fgl(order, ln_e, e, q, rows, z, d, h)
    elif kind == SUPER_CUTOFF_3FGL:
        _shapes.super_cutoff_3fgl(order, ln_e, q, rows, z, d, h)
    elif kind == SUPER_CUTOFF_4FGL:
        _shapes.super_cutoff_4fgl(order, ln_e, q, rows, z, d, h)
    elif kind == SUPER_CUTOFF_4FGL_DR3:
        _shapes.super_cutoff_4fgl_dr3(order, ln_e, q, rows, z, d, h)
    elif kind == BROKEN_POWER_LAW:
        _shapes.broken_power_law(order, ln_e, e, q, rows, z, d, h)
    elif kind == SMOOTH_BROKEN_POWER_LAW:
        _shapes.smooth_broken_power_law(order, ln_e, q, rows, z, d, h)
    elif kind == GAUSSIAN:
        _shapes.gaussian(order, e, q, rows, z, d, h, signs)
    elif kind == POWER_2:
        _shapes.power_2(order, ln_e, q, rows, z, d, h)


@kernel
def _add_table(order, factor, n_nodes, ints, floats, q, rows, z, d, signs, least):
    """Add the logarithm of one tabulated shape."""
    kind = ints[factor + KIND]
    values = floats[ints[factor + VALUES] : ints[factor + VALUES] + n_nodes]
    if kind == TABLE:
        _shapes.table(order, values, q, rows, z, d)
        return
    left = ints[ints[factor + LEFT] : ints[factor + LEFT] + n_nodes]
    if kind == PIECEWISE_LOG:
        _shapes.piecewise_log(order, left, values, q, rows, z, d)
    else:
        _shapes.piecewise_lin(order, left, values, q, rows, z, d, signs, least)


@kernel
def _fill_nodes(order, at, p, ints, floats, work, rows, d, h):
    """Compute logarithms at the nodes of one spectrum, their derivatives, and their exponentials.

    In integrals it is the flux times the energy, at points the flux.
    """
    z, y, signs, q = work[0], work[1], work[2], work[3]
    mode, n_nodes = ints[at + MODE], ints[at + N_NODES]
    ln_e = floats[ints[at + LN_E] : ints[at + LN_E] + n_nodes]
    e = floats[ints[at + E] : ints[at + E] + n_nodes]
    for n in range(n_nodes):
        z[n] = ln_e[n] if mode != POINTS else 0.0
        signs[n] = 1.0
    for i in range(ints[at + N_FACTORS]):
        factor = ints[at + FACTOR] + i * FACTOR_SIZE
        kind = ints[factor + KIND]
        for s in range(ints[factor + N_SLOTS]):
            slot = ints[factor + SLOT] + s * SLOT_SIZE
            parameter = ints[slot + PARAMETER]
            rows[s] = ints[slot + SLOT_ROW]
            q[s] = p[parameter] * floats[ints[slot + SCALE]] if parameter >= 0 else 1.0
        if mode == POWER_BINS and kind == POWER and abs(1.0 - q[0]) <= _INDEX_CLOSE:
            q[0] = 1.0
        if kind >= PIECEWISE_LOG:
            least = _LEAST if mode == POINTS else 0.0
            n_free = ints[factor + N_FREE_SLOTS]
            _add_table(order, factor, n_nodes, ints, floats, q, rows[:n_free], z, d, signs, least)
        else:
            curves = h[ints[factor + CURVE] :]
            _add_shape(order, kind, ln_e, e, q, rows, z, d, curves, signs)
    for n in range(n_nodes):
        y[n] = signs[n] * math.exp(z[n])


@kernel
def _clear_empty(n_nodes, n_rows, y, d, h):
    """Remove derivatives of logarithms where there is no flux: 0 times infinity is not a number."""
    for n in range(n_nodes):
        if y[n] == 0.0:
            for r in range(n_rows):
                d[r, n] = 0.0
            # Without second derivatives there are rows, but no columns.
            if h.shape[1] > n:
                for i in range(h.shape[0]):
                    h[i, n] = 0.0


@kernel
def _gaussian_bins(order, at, p, ints, floats, total, first, second):
    """Integrate a normal distribution over the bins; derivatives by mean and sigma."""
    slot = ints[ints[at + FACTOR] + SLOT]
    mean = p[ints[slot + PARAMETER]] * floats[ints[slot + SCALE]]
    row_mean = ints[slot + SLOT_ROW]
    slot += SLOT_SIZE
    sigma = p[ints[slot + PARAMETER]] * floats[ints[slot + SCALE]]
    row_sigma = ints[slot + SLOT_ROW]
    edge = ints[at + E]
    for k in range(ints[at + N_BINS]):
        t1 = (floats[edge + k] - mean) / sigma
        t2 = (floats[edge + k + 1] - mean) / sigma
        total[k] = 0.5 * (math.erf(t2 * math.sqrt(0.5)) - math.erf(t1 * math.sqrt(0.5)))
        if order == 0:
            continue
        g1 = math.exp(-0.5 * t1 * t1) / math.sqrt(2.0 * math.pi)
        g2 = math.exp(-0.5 * t2 * t2) / math.sqrt(2.0 * math.pi)
        if row_mean >= 0:
            first[row_mean, k] = (g1 - g2) / sigma
        if row_sigma >= 0:
            first[row_sigma, k] = (t1 * g1 - t2 * g2) / sigma
        if order == 1:
            continue
        by_mean = (t1 * g1 - t2 * g2) / (sigma * sigma)
        mixed = ((t1 * t1 - 1.0) * g1 - (t2 * t2 - 1.0) * g2) / (sigma * sigma)
        by_sigma = (t1 * (t1 * t1 - 2.0) * g1 - t2 * (t2 * t2 - 2.0) * g2) / (sigma * sigma)
        if row_mean >= 0:
            second[row_mean, row_mean, k] = by_mean
        if row_sigma >= 0:
            second[row_sigma, row_sigma, k] = by_sigma
        if row_mean >= 0 and row_sigma >= 0:
            second[row_mean, row_sigma, k] = mixed


@kernel
def _product(order, at, p, ints, floats, work, rows, d, h, weights, total, first, second):
    """Compute one spectrum of unit amplitude, with derivatives by the arguments of its shapes."""
    n_bins, n_segments = ints[at + N_BINS], ints[at + N_SEGMENTS]
    points = ints[at + MODE] == POINTS
    _fill_nodes(order, at, p, ints, floats, work, rows, d, h)
    z, y = work[0], work[1]
    length = floats[ints[at + LENGTH] : ints[at + LENGTH] + n_bins * n_segments]
    if points:
        for k in range(n_bins):
            total[k] = y[k]
    elif order == 0:
        integrate(n_bins, n_segments, length, z, y, total)
    else:
        segments(n_bins, n_segments, length, z, y, total, weights)
    if order == 0:
        return
    if points:
        for k in range(n_bins):
            weights[0, k] = y[k]
    _clear_empty(ints[at + N_NODES], ints[at + N_ROWS], y, d, h)
    for r in range(ints[at + N_ROWS]):
        fill_first(points, n_bins, n_segments, weights, d[r], first[r])
    if order >= 2:
        fill_second(at, p, ints, floats, weights, d, h, work[2], second)


@kernel
def evaluate(order, p, arrays, f, df, d2f):
    """Compute all spectra that have a kernel; others are left as they are.

    Parameters
    ----------
    order : int
        2 for second derivatives, 1 for first ones, 0 for the spectra alone.
    p : array of float64, (n_parameters,)
        Values of all parameters in their own units.
    arrays : SpectraArrays
        The compiled spectra.
    f : array of float64, (n_f,)
        The spectra; written.
    df : array of float64
        For each spectrum a block (bins, columns) of derivatives by its free parameters; written if
        ``order`` >= 1, else it may be empty.
    d2f : array of float64
        For each spectrum a block (bins, columns, columns) of second derivatives; written if
        ``order`` is 2, else it may be empty.
    """
    ints, floats = arrays.ints, arrays.floats
    n_nodes, n_rows = ints[MAX_NODES], ints[MAX_ROWS]
    n1, n2 = (n_nodes if order >= 1 else 0), (n_nodes if order >= 2 else 0)
    work = np.empty((4, max(n_nodes, ints[MAX_SLOTS])))
    rows = np.empty(ints[MAX_SLOTS], dtype=np.int64)
    total, weights = np.empty(n_nodes), np.empty((5, n1))
    d, first = np.empty((n_rows, n1)), np.empty((n_rows, n1))
    h, second = np.empty((ints[MAX_CURVES], n2)), np.empty((n_rows, n_rows, n2))
    for v in range(ints[N_VECTORS]):
        at = HEADER + v * VECTOR_SIZE
        if ints[at + MODE] == SKIPPED:
            continue
        if ints[at + MODE] == GAUSSIAN_BINS:
            _gaussian_bins(order, at, p, ints, floats, total, first, second)
        else:
            _product(order, at, p, ints, floats, work, rows, d, h, weights, total, first, second)
        whole, start = amplitude(at, p, ints, -1, -1), ints[at + F_START]
        for k in range(ints[at + N_BINS]):
            f[start + k] = whole * total[k]
        if order >= 1:
            scatter_first(at, p, ints, floats, total, first, df)
        if order >= 2:
            scatter_second(at, p, ints, floats, total, first, second, d2f)
