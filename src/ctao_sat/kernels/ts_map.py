"""Best norm of a source at each position of a map.

At a position, a source of norm x predicts in pixel j of some planes (energies, data sets)

    mu_j = b_j + x s_j,    s_j = sum_l K_l[j - position] Y_l[j],

with K_l a kernel that falls off from the position, Y_l an exposure, l the layers of the plane. Only
pixels with counts have a logarithm, and they enter by q_j = s_j / b_j alone: with S the sum of s,

    TS(x) / 2 = sum_j n_j log(1 + x q_j) - x S,    and S = h(x) = sum_j n_j q_j / (1 + x q_j)

at the best norm. 1 / h is concave and nearly a straight line (it is one for a single pixel), so
Newton's method finds the root of 1 / h - 1 / S in a few steps. S comes from a convolution.

Why not `ctao_sat.kernels.norms`: that solves problems of any kind from lists of all their bins.
Here hundreds of thousands of problems share their pixels, and making the lists would cost more than
solving: empty pixels never enter one, there is one division a pixel and step, and logarithms are
taken of products.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels._ts_pixels import (
    PositionMaps,
    fill_row,
    gather,
    negative,
    scan,
    weights,
    window,
)
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


@kernel
def _sums(pixels, norm):
    """Return h and minus its derivative."""
    q, n = pixels.ratios, pixels.counts
    h, slope = 0.0, 0.0
    for j in range(pixels.m):
        r = q[j] / (1.0 + norm * q[j])
        h += n[j] * r
        slope += n[j] * r * r
    for j in range(pixels.last, n.shape[0]):
        r = 1.0 / (norm + q[j])
        h += n[j] * r
        slope += n[j] * r * r
    return h, slope


@kernel
def _logarithms(pixels, norm):
    """Return half of the gain in TS by the pixels with counts."""
    q, n = pixels.ratios, pixels.counts
    # A product of few factors is as precise as the sum of their logarithms, and faster.
    total, product = pixels.gain, 1.0
    for j in range(pixels.m):
        t = 1.0 + norm * q[j]
        if n[j] == 1.0:
            product *= t
        elif n[j] == 2.0:
            product *= t * t
        else:
            total += n[j] * math.log(t)
        if not 1e-100 < product < 1e100:
            total += math.log(product)
            product = 1.0
    for j in range(pixels.last, n.shape[0]):
        total += n[j] * math.log(norm + q[j])
    return total + math.log(product)


@kernel
def _best(pixels, total):
    """Return the norm where h is the sum of signals, and the steps it took."""
    low, high = pixels.pole, pixels.total / total + pixels.pole
    if low < 0.0 < high and pixels.last == pixels.counts.shape[0]:
        x, h, slope = 0.0, pixels.slope, pixels.curvature
    else:
        x = high
        h, slope = _sums(pixels, x)
    for i in range(_MOST_STEPS):
        if h > total:
            low = x
        else:
            high = x
        new = x + (h / total - 1.0) * h / slope
        if not low <= new <= high:
            new = 0.5 * (low + high)
        if abs(new - x) <= _SHARP / math.sqrt(slope) or new == x:
            return new, i + 1
        x = new
        h, slope = _sums(pixels, x)
    return np.nan, _MOST_STEPS


@kernel
def _above(pixels, total, norm, curvature, rise):
    """Return the norm above the best one at which the statistic has grown by ``rise``."""
    if not pixels.total > 0.0:
        return norm + 0.5 * rise / total
    start = _logarithms(pixels, norm)
    x = norm + math.sqrt(rise / curvature)
    for _ in range(_MOST_STEPS):
        height = 2.0 * ((x - norm) * total - _logarithms(pixels, x) + start) - rise
        step = height / (2.0 * (total - _sums(pixels, x)[0]))
        # Convex: beyond the end, each step ends beyond it.
        x -= step
        if not x > norm:
            return np.nan
        if abs(height) <= _CLOSE * rise:
            return x
    return np.nan


@kernel
def _below(maps, y, x, pixels, total, norm, curvature, rise, least, scratch):
    """Return the norm below the best one at which the statistic has grown by ``rise``.

    Below minus ``least``, empty pixels may be negative; they count as zero.
    """
    if not pixels.total > 0.0:
        return np.nan
    low, high = pixels.pole, norm
    start = _logarithms(pixels, norm)
    at = norm - math.sqrt(rise / curvature)
    if not low < at < high:
        at = 0.5 * (low + high)
    for _ in range(_MOST_STEPS):
        height = 2.0 * ((at - norm) * total - _logarithms(pixels, at) + start) - rise
        slope = 2.0 * (total - _sums(pixels, at)[0])
        if at < -least:
            more = negative(maps, y, x, at, scratch)
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
        y0, y1, x0, x1 = window(maps, plane, y, x)
        for row in range(y0, y1):
            fill_row(maps, plane, y, x, row, x0, x1, scratch)
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
    q, n, scratch = np.empty(size), np.empty(size), np.empty(maps.spread.shape[2])
    weight, base = weights(maps)
    limit = _NOISE * np.max(totals)
    for i in range(positions.shape[0]):
        y, x = positions[i, 0], positions[i, 1]
        total, least = totals[y, x], ratios[y, x]
        known = total <= limit
        if known:
            total, least = scan(maps, y, x, scratch)
        out[i] = np.nan
        if not total > 0.0:
            out[i, 2] = out[i, 4] = 0.0
            continue
        pixels = gather(maps, weight, base, y, x, q, n)
        norm, steps = -least, 0
        if pixels.total > 0.0:
            norm, steps = _best(pixels, total)
        if not known and (steps == 0 or norm < -least):
            least = scan(maps, y, x, scratch)[1]
        if steps == 0 or norm < -least:
            norm = -least
        curvature = _sums(pixels, norm)[1]
        ts = 2.0 * (_logarithms(pixels, norm) - norm * total)
        out[i, 0], out[i, 1], out[i, 2], out[i, 3], out[i, 4] = norm, curvature, ts, steps, total
        if options & ERRORS:
            down = _below(maps, y, x, pixels, total, norm, curvature, rises[0], least, scratch)
            out[i, 5] = norm - down
            out[i, 6] = _above(pixels, total, norm, curvature, rises[0]) - norm
        if options & LIMIT:
            out[i, 7] = _above(pixels, total, norm, curvature, rises[1])
        if options & SENSITIVITY:
            out[i, 8] = _sensitivity(maps, y, x, q, n, rises[2], scratch)
