"""Blocks of derivatives of spectra: from derivatives at the nodes to those by the parameters."""

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.spectra_layout import (
    COLUMN,
    CURVE,
    D2_START,
    D_START,
    FACTOR,
    FACTOR_SIZE,
    KIND,
    LINEAR,
    MODE,
    N_BINS,
    N_COLUMNS,
    N_FACTORS,
    N_FREE_SLOTS,
    N_LINEAR,
    N_NODES,
    N_ROWS,
    N_SEGMENTS,
    PAIR_SIZE,
    PAIRS,
    PARAMETER,
    PIECEWISE_LIN,
    PIECEWISE_LOG,
    POINTS,
    ROW,
    SCALE,
    SLOT,
    SLOT_ROW,
    SLOT_SIZE,
)

__all__ = ["amplitude", "fill_first", "fill_second", "scatter_first", "scatter_second"]


@kernel
def fill_first(points, n_bins, n_segments, weights, g, out):
    """Sum a derivative of the logarithm at the nodes to one of the spectrum.

    Parameters
    ----------
    points : bool
        Whether the spectrum is one of values, not of integrals.
    n_bins, n_segments : int
        Number of bins, and of segments in each of them.
    weights : array of float64, (5, n_bins * n_segments)
        As `ctao_sat.kernels._loglog.segments` makes them; at points the values themselves.
    g : array of float64, (nodes,)
        The derivative at the nodes.
    out : array of float64, (>= n_bins,)
        Written.
    """
    for k in range(n_bins):
        if points:
            out[k] = weights[0, k] * g[k]
            continue
        total = 0.0
        for s in range(k * n_segments, (k + 1) * n_segments):
            total += weights[0, s] * g[s] + weights[1, s] * g[s + 1]
        out[k] = total


@kernel
def _add_second(points, n_bins, n_segments, weights, a, b, out):
    """Add what products of two first derivatives of the logarithm give."""
    for k in range(n_bins):
        if points:
            out[k] += weights[0, k] * (a[k] * b[k])
            continue
        total = 0.0
        for s in range(k * n_segments, (k + 1) * n_segments):
            total += (
                weights[2, s] * a[s] * b[s]
                + weights[3, s] * (a[s] * b[s + 1] + a[s + 1] * b[s])
                + weights[4, s] * a[s + 1] * b[s + 1]
            )
        out[k] += total


@kernel
def _fill_second_logarithm(factor, s, t, n_nodes, p, ints, floats, d, h, out):
    """Write the second derivative of the logarithm of a shape by two of its parameters (s <= t).

    Returns False if it is zero.
    """
    kind = ints[factor + KIND]
    slot_s = ints[factor + SLOT] + s * SLOT_SIZE
    slot_t = ints[factor + SLOT] + t * SLOT_SIZE
    row_s, row_t = ints[slot_s + SLOT_ROW], ints[slot_t + SLOT_ROW]
    if kind == PIECEWISE_LIN:
        for n in range(n_nodes):
            out[n] = -(d[row_s, n] * d[row_t, n])
        return t - s <= 1
    if kind == PIECEWISE_LOG:
        norm = p[ints[slot_s + PARAMETER]] * floats[ints[slot_s + SCALE]]
        for n in range(n_nodes):
            out[n] = -d[row_s, n] / norm if norm != 0.0 else 0.0
        return s == t
    pair = (t * (t + 1)) // 2 + s
    if not (ints[factor + PAIRS] >> pair) & 1:
        return False
    for n in range(n_nodes):
        out[n] = h[ints[factor + CURVE] + pair, n]
    return True


@kernel
def fill_second(at, p, ints, floats, weights, d, h, line, second):
    """Compute the second derivatives of one spectrum of unit amplitude.

    Parameters
    ----------
    at, p, ints, floats : number or array
        Record of the spectrum, values of all parameters, and the spectra.
    weights : array of float64, (5, n_bins * n_segments)
        As in `fill_first`.
    d, h : array of float64
        First and second derivatives of the logarithm at the nodes.
    line : array of float64, (>= nodes,)
        Scratch.
    second : array of float64, (>= rows, >= rows, >= n_bins)
        Written for a <= b.
    """
    points = ints[at + MODE] == POINTS
    n_bins, n_segments, n_rows = ints[at + N_BINS], ints[at + N_SEGMENTS], ints[at + N_ROWS]
    n_nodes = ints[at + N_NODES]
    for b in range(n_rows):
        for a in range(b + 1):
            for k in range(n_bins):
                second[a, b, k] = 0.0
    for i in range(ints[at + N_FACTORS]):
        factor = ints[at + FACTOR] + i * FACTOR_SIZE
        for t in range(ints[factor + N_FREE_SLOTS]):
            for s in range(t + 1):
                a = ints[ints[factor + SLOT] + s * SLOT_SIZE + SLOT_ROW]
                b = ints[ints[factor + SLOT] + t * SLOT_SIZE + SLOT_ROW]
                if a < 0 or b < 0:
                    continue
                if _fill_second_logarithm(factor, s, t, n_nodes, p, ints, floats, d, h, line):
                    fill_first(points, n_bins, n_segments, weights, line, second[a, b])
    for b in range(n_rows):
        for a in range(b + 1):
            _add_second(points, n_bins, n_segments, weights, d[a], d[b], second[a, b])


@kernel
def amplitude(at, p, ints, skip, skip_too):
    """Return the product of the amplitudes of a spectrum without two of them (-1: with all).

    Parameters
    ----------
    at : int
        Record of the spectrum.
    p : array of float64, (n_parameters,)
        Values of all parameters.
    ints : array of int64
        Integers of the spectra.
    skip, skip_too : int
        Numbers of amplitudes to leave out.

    Returns
    -------
    product : float
        The product.
    """
    product = 1.0
    for i in range(ints[at + N_LINEAR]):
        if i != skip and i != skip_too:
            product *= p[ints[ints[at + LINEAR] + i * PAIR_SIZE + PARAMETER]]
    return product


@kernel
def scatter_first(at, p, ints, floats, total, first, df):
    """Write the block (bins, columns) of first derivatives.

    Parameters
    ----------
    at, p, ints, floats : number or array
        Record of the spectrum, values of all parameters, and the spectra.
    total : array of float64, (>= bins,)
        The spectrum of unit amplitude.
    first : array of float64, (>= rows, >= bins)
        Its derivatives by the arguments of its shapes.
    df : array of float64
        Written.
    """
    n_bins, n_columns, start = ints[at + N_BINS], ints[at + N_COLUMNS], ints[at + D_START]
    for i in range(start, start + n_bins * n_columns):
        df[i] = 0.0
    for i in range(ints[at + N_LINEAR]):
        column = ints[ints[at + LINEAR] + i * PAIR_SIZE + COLUMN]
        if column >= 0:
            others = amplitude(at, p, ints, i, -1)
            for k in range(n_bins):
                df[start + k * n_columns + column] += others * total[k]
    whole = amplitude(at, p, ints, -1, -1)
    for r in range(ints[at + N_ROWS]):
        row = ints[at + ROW] + r * PAIR_SIZE
        column, factor = ints[row], whole * floats[ints[row + 1]]
        for k in range(n_bins):
            df[start + k * n_columns + column] += factor * first[r, k]


@kernel
def scatter_second(at, p, ints, floats, total, first, second, d2f):
    """Write the block (bins, columns, columns) of second derivatives.

    Parameters
    ----------
    at, p, ints, floats, total, first : number or array
        As in `scatter_first`.
    second : array of float64, (>= rows, >= rows, >= bins)
        Second derivatives by arguments a <= b.
    d2f : array of float64
        Written.
    """
    n_bins, n_columns, start = ints[at + N_BINS], ints[at + N_COLUMNS], ints[at + D2_START]
    for i in range(start, start + n_bins * n_columns * n_columns):
        d2f[i] = 0.0
    place = (start, n_bins, n_columns)
    for i in range(ints[at + N_LINEAR]):
        column = ints[ints[at + LINEAR] + i * PAIR_SIZE + COLUMN]
        if column < 0:
            continue
        for j in range(i):
            other = ints[ints[at + LINEAR] + j * PAIR_SIZE + COLUMN]
            if other >= 0:
                _add_pair(d2f, place, column, other, amplitude(at, p, ints, i, j), total)
        others = amplitude(at, p, ints, i, -1)
        for r in range(ints[at + N_ROWS]):
            row = ints[at + ROW] + r * PAIR_SIZE
            _add_pair(d2f, place, column, ints[row], others * floats[ints[row + 1]], first[r])
    whole = amplitude(at, p, ints, -1, -1)
    for b in range(ints[at + N_ROWS]):
        row_b = ints[at + ROW] + b * PAIR_SIZE
        for a in range(b + 1):
            row_a = ints[at + ROW] + a * PAIR_SIZE
            factor = whole * floats[ints[row_a + 1]] * floats[ints[row_b + 1]]
            if a == b:
                factor *= 0.5
            _add_pair(d2f, place, ints[row_a], ints[row_b], factor, second[a, b])


@kernel
def _add_pair(d2f, place, a, b, factor, values):
    """Add mixed derivatives at (a, b) and at (b, a) of a block."""
    start, n_bins, n_columns = place
    for k in range(n_bins):
        block = start + k * n_columns * n_columns
        d2f[block + a * n_columns + b] += factor * values[k]
        d2f[block + b * n_columns + a] += factor * values[k]
