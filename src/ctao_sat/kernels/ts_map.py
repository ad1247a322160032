"""Best norm of a source at each position of a map.

At a position, a source of norm x predicts in pixel j of some planes (energies, data sets)

    mu_j = b_j + x s_j,    s_j = sum_l K_l[j - position] Y_l[j],

with K_l a kernel that falls off from the position, Y_l an exposure, l the layers of the plane. Only
pixels with counts have a logarithm, and they enter by c_j = b_j / s_j alone: with S the sum of all s,

    TS(x) / 2 = sum_j n_j log((x + c_j) / c_j) - x S,    and S = h(x) = sum_j n_j / (x + c_j)

at the best norm. 1 / h is concave and nearly a straight line (it is one for a single pixel), so that
Newton's method finds the root of 1 / h - 1 / S in a few steps. S comes from a convolution.

Why not `ctao_sat.kernels.norms`: that solves problems of any kind from lists of all their bins. Here
hundreds of thousands of problems share their pixels, and making the lists would cost more than
solving: empty pixels never enter one, there is one division a pixel and step, and logarithms are
taken of products.
"""

import math
from typing import NamedTuple

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.poisson import LOG_TRUNCATION, TRUNCATION

__all__ = ["ERRORS", "LIMIT", "RESULTS", "SENSITIVITY", "PositionMaps", "ts_positions"]

#: Optional results, to be added.
ERRORS, LIMIT, SENSITIVITY = 1, 2, 4
#: Columns of the results.
RESULTS = ("norm", "curvature", "ts", "niter", "total", "errn", "errp", "ul", "sensitivity")

_MOST_STEPS = 100
# Of the error: a step below ends the search; what is left is about its square.
_SHARP = 1e-4
# Of the growth of the statistic, or of the TS, that is looked for; likewise.
_CLOSE = 1e-5
# Sums of signals below this fraction of the largest one are added up anew: convolutions have noise.
_NOISE = 1e-9


class PositionMaps(NamedTuple):
    """Pixels of all planes, and how a source is spread on them.

    Attributes
    ----------
    first : array of int, shape (n_planes, n_y, n_x + 1)
        How many pixels with counts come before each column, all planes and rows counted.
    column : array of int, shape (n_filled,)
        Columns of the pixels with counts, plane by plane and row by row.
    counts : array, shape (n_filled,)
        Their counts.
    background : array, shape (n_planes, n_y, n_x)
        Finite; zero where masked.
    exposure : array, shape (n_layers, n_y, n_x)
        Of the layers, plane by plane; zero where masked.
    spread : array, shape (n_layers, 2 h_y + 1, 2 h_x + 1)
        Kernels of the layers, zero outside.
    layers : array of int, shape (n_planes + 1,)
        First layer of each plane.
    half : array of int, shape (n_planes, 2)
        Half of the height and of the width of the kernels of each plane, without the zeros.
    """

    first: np.ndarray
    column: np.ndarray
    counts: np.ndarray
    background: np.ndarray
    exposure: np.ndarray
    spread: np.ndarray
    layers: np.ndarray
    half: np.ndarray


@kernel
def _window(maps, plane, y, x):
    """Return rows and columns of the map that the kernels of a plane cover."""
    n_y, n_x = maps.background.shape[1:]
    h_y, h_x = maps.half[plane, 0], maps.half[plane, 1]
    return max(y - h_y, 0), min(y + h_y + 1, n_y), max(x - h_x, 0), min(x + h_x + 1, n_x)


@kernel
def _fill_row(maps, plane, y, x, row, x0, x1, signal):
    """Fill what a source of norm one predicts in a row of the window."""
    k = row - y + maps.spread.shape[1] // 2
    shift = maps.spread.shape[2] // 2 - x
    signal[: x1 - x0] = 0.0
    for layer in range(maps.layers[plane], maps.layers[plane + 1]):
        spread, exposure = maps.spread[layer, k], maps.exposure[layer, row]
        for column in range(x0, x1):
            signal[column - x0] += spread[column + shift] * exposure[column]


@kernel
def _gather(maps, y, x, c, n):
    """Fill ratios and counts of pixels with both counts and signal.

    Returns their number, and the gain in the logarithms where nothing else is predicted: of s
    over the smallest prediction that Gammapy allows.
    """
    # Local names: to hand over all arrays for each pixel takes longer than the pixel.
    first, columns, counts, layers = maps.first, maps.column, maps.counts, maps.layers
    spread, exposure, background = maps.spread, maps.exposure, maps.background
    up, left = spread.shape[1] // 2 - y, spread.shape[2] // 2 - x
    m, gain = 0, 0.0
    for plane in range(maps.half.shape[0]):
        y0, y1, x0, x1 = _window(maps, plane, y, x)
        for row in range(y0, y1):
            for j in range(first[plane, row, x0], first[plane, row, x1]):
                column, s = columns[j], 0.0
                for layer in range(layers[plane], layers[plane + 1]):
                    s += spread[layer, row + up, column + left] * exposure[layer, row, column]
                if s > 0.0:
                    b = background[plane, row, column]
                    n[m] = counts[j]
                    if b <= TRUNCATION:
                        b = min(b, 0.0)
                        gain += n[m] * (math.log(s) - LOG_TRUNCATION)
                    c[m] = b / s
                    m += 1
    return m, gain


@kernel
def _scan(maps, y, x, signal):
    """Return the sum of all signals, and the smallest ratio of background to signal."""
    total, least = 0.0, np.inf
    for plane in range(maps.half.shape[0]):
        y0, y1, x0, x1 = _window(maps, plane, y, x)
        for row in range(y0, y1):
            _fill_row(maps, plane, y, x, row, x0, x1, signal)
            background = maps.background[plane, row, x0:x1]
            for i in range(x1 - x0):
                if signal[i] > 0.0:
                    total += signal[i]
                    least = min(least, background[i] / signal[i])
    return total, least


@kernel
def _negative(maps, y, x, norm, signal):
    """Return what must be added to empty pixels to make none negative, and its slope."""
    value, slope = 0.0, 0.0
    for plane in range(maps.half.shape[0]):
        y0, y1, x0, x1 = _window(maps, plane, y, x)
        for row in range(y0, y1):
            _fill_row(maps, plane, y, x, row, x0, x1, signal)
            background = maps.background[plane, row, x0:x1]
            for i in range(x1 - x0):
                mu = background[i] + norm * signal[i]
                if mu < 0.0 and signal[i] > 0.0:
                    value -= mu
                    slope -= signal[i]
    return value, slope


@kernel
def _sums(c, n, m, norm):
    """Return h and minus its derivative."""
    h, slope = 0.0, 0.0
    for j in range(m):
        r = 1.0 / (norm + c[j])
        h += n[j] * r
        slope += n[j] * r * r
    return h, slope


@kernel
def _logarithms(c, n, m, norm):
    """Return the sum of ``n log(norm + c)``, where that is positive."""
    # A product of few factors is as precise as the sum of their logarithms, and faster.
    total, product = 0.0, 1.0
    for j in range(m):
        t = norm + c[j]
        if not t > 0.0:
            continue
        if n[j] == 1.0:
            product *= t
        elif n[j] == 2.0:
            product *= t * t
        else:
            total += n[j] * math.log(t)
        if not 1e-100 < product < 1e100:
            total += math.log(product)
            product = 1.0
    return total + math.log(product)


@kernel
def _best(c, n, m, total):
    """Return the norm where h is the sum of signals, and the steps it took."""
    nearest, at, counts = np.inf, 0.0, 0.0
    for j in range(m):
        counts += n[j]
        if c[j] < nearest:
            nearest, at = c[j], n[j]
    low, high = at / total - nearest, counts / total - nearest
    x = min(max(0.0, low), high)
    for i in range(_MOST_STEPS):
        h, slope = _sums(c, n, m, x)
        if h > total:
            low = max(low, x)
        else:
            high = min(high, x)
        new = x + (h / total - 1.0) * h / slope
        if not low <= new <= high:
            new = 0.5 * (low + high)
        if abs(new - x) <= _SHARP / math.sqrt(slope) or new == x:
            return new, i + 1
        x = new
    return np.nan, _MOST_STEPS


@kernel
def _above(c, n, m, total, norm, curvature, rise):
    """Return the norm above the best one at which the statistic has grown by ``rise``."""
    if m == 0:
        return norm + 0.5 * rise / total
    start = _logarithms(c, n, m, norm)
    x = norm + math.sqrt(rise / curvature)
    for _ in range(_MOST_STEPS):
        height = 2.0 * ((x - norm) * total - _logarithms(c, n, m, x) + start) - rise
        step = height / (2.0 * (total - _sums(c, n, m, x)[0]))
        # Convex: beyond the end, each step ends beyond it.
        x -= step
        if not x > norm:
            return np.nan
        if abs(height) <= _CLOSE * rise:
            return x
    return np.nan


@kernel
def _below(maps, y, x, c, n, m, total, norm, curvature, rise, least, scratch):
    """Return the norm below the best one at which the statistic has grown by ``rise``.

    Below minus ``least``, empty pixels may be negative; they count as zero.
    """
    if m == 0:
        return np.nan
    low, high = -np.min(c[:m]), norm
    start = _logarithms(c, n, m, norm)
    at = norm - math.sqrt(rise / curvature)
    if not low < at < high:
        at = 0.5 * (low + high)
    for _ in range(_MOST_STEPS):
        height = 2.0 * ((at - norm) * total - _logarithms(c, n, m, at) + start) - rise
        slope = 2.0 * (total - _sums(c, n, m, at)[0])
        if at < -least:
            more = _negative(maps, y, x, at, scratch)
            height, slope = height + 2.0 * more[0], slope + 2.0 * more[1]
        if height > 0.0:
            low = at
        else:
            high = at
        new = at - height / slope if slope < 0.0 else np.nan
        if not low < new < high:
            new = 0.5 * (low + high)
        # Not a small step: near the pole all steps are.
        if abs(height) <= _CLOSE * rise:
            return new
        at = new
    return np.nan


@kernel
def _sensitivity(maps, y, x, signal, background, rise, scratch):
    """Return the norm of which a TS of ``rise`` is expected.

    The square root of the expected TS is concave and nearly a straight line.
    """
    m, total, information = 0, 0.0, 0.0
    for plane in range(maps.half.shape[0]):
        y0, y1, x0, x1 = _window(maps, plane, y, x)
        for row in range(y0, y1):
            _fill_row(maps, plane, y, x, row, x0, x1, scratch)
            for i in range(x1 - x0):
                s = scratch[i]
                if s > 0.0:
                    b = max(maps.background[plane, row, x0 + i], TRUNCATION)
                    signal[m], background[m] = s, b
                    total, information, m = total + s, information + s * s / b, m + 1
    # From below: what it would be with much background, or with the largest logarithm there is.
    norm = max(math.sqrt(rise / information), rise / (2.0 * total * -LOG_TRUNCATION))
    for _ in range(_MOST_STEPS):
        ts, slope = 0.0, 0.0
        for j in range(m):
            mu = background[j] + norm * signal[j]
            log = math.log(mu / background[j])
            ts += 2.0 * (mu * log - norm * signal[j])
            slope += 2.0 * signal[j] * log
        root = math.sqrt(max(ts, 0.0))
        step = (root - math.sqrt(rise)) * 2.0 * root / slope
        new = max(norm - step, 0.5 * norm)
        if abs(ts - rise) <= _CLOSE * rise:
            return new
        norm = new
    return np.nan


@kernel
def ts_positions(maps, positions, totals, ratios, options, rises, out):
    """Fill the results at positions of a map.

    Parameters
    ----------
    maps : PositionMaps
        The data.
    positions : array of int, shape (n, 2)
        Row and column of each.
    totals : array, shape (n_y, n_x)
        Sum of the signals at each position, as a convolution gives it.
    ratios : array, shape (n_y, n_x)
        Not above the smallest ratio of background to signal at each position.
    options : int
        Sum of ``ERRORS``, ``LIMIT`` and ``SENSITIVITY``.
    rises : array, shape (3,)
        Growth of the statistic at errors and at limits, and TS of the sensitivity.
    out : array, shape (n, 9)
        Filled with `RESULTS`: the best norm, at least such that nothing negative is predicted;
        half of the second derivative of the statistic; TS without its sign; steps; the sum of the
        signals; errors down and up, limit and sensitivity, NaN if not asked for. Without any
        signal all are NaN but TS and the sum, which are zero.
    """
    size = 0
    for plane in range(maps.half.shape[0]):
        size += (2 * maps.half[plane, 0] + 1) * (2 * maps.half[plane, 1] + 1)
    c, n, scratch = np.empty(size), np.empty(size), np.empty(maps.spread.shape[2])
    limit = _NOISE * np.max(totals)
    for i in range(positions.shape[0]):
        y, x = positions[i, 0], positions[i, 1]
        total, least = totals[y, x], ratios[y, x]
        known = total <= limit
        if known:
            total, least = _scan(maps, y, x, scratch)
        out[i] = np.nan
        if not total > 0.0:
            out[i, 2] = out[i, 4] = 0.0
            continue
        m, gain = _gather(maps, y, x, c, n)
        norm, steps = -least, 0
        if m > 0:
            norm, steps = _best(c, n, m, total)
        if not known and (m == 0 or norm < -least):
            least = _scan(maps, y, x, scratch)[1]
        if m == 0 or norm < -least:
            norm = -least
        curvature = _sums(c, n, m, norm)[1]
        ts = 2.0 * (gain + _logarithms(c, n, m, norm) - _logarithms(c, n, m, 0.0) - norm * total)
        out[i, 0], out[i, 1], out[i, 2], out[i, 3], out[i, 4] = norm, curvature, ts, steps, total
        if options & ERRORS:
            down = _below(maps, y, x, c, n, m, total, norm, curvature, rises[0], least, scratch)
            out[i, 5] = norm - down
            out[i, 6] = _above(c, n, m, total, norm, curvature, rises[0]) - norm
        if options & LIMIT:
            out[i, 7] = _above(c, n, m, total, norm, curvature, rises[1])
        if options & SENSITIVITY:
            out[i, 8] = _sensitivity(maps, y, x, c, n, rises[2], scratch)
