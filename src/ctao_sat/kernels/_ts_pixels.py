"""The pixels around a position of a map, for the norm of a source there."""

import math
from typing import NamedTuple

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.poisson import LOG_TRUNCATION, TRUNCATION

__all__ = ["PositionMaps", "fill_row", "gather", "negative", "scan", "weights", "window"]


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


class Pixels(NamedTuple):
    """Pixels with counts and signal around a position.

    ``ratios`` and ``counts`` of the first ``m`` have a background, those from ``last`` on none;
    ``slope`` and ``curvature`` are h and minus its derivative at norm 0 of the former, ``pole`` is
    the norm at which h is infinite.
    """

    ratios: np.ndarray
    counts: np.ndarray
    m: int
    last: int
    gain: float
    total: float
    slope: float
    curvature: float
    pole: float


@kernel
def window(maps, plane, y, x):
    """Return rows and columns of the map that the kernels of a plane cover."""
    n_y, n_x = maps.background.shape[1:]
    h_y, h_x = maps.half[plane, 0], maps.half[plane, 1]
    return max(y - h_y, 0), min(y + h_y + 1, n_y), max(x - h_x, 0), min(x + h_x + 1, n_x)


@kernel
def fill_row(maps, plane, y, x, row, x0, x1, signal):
    """Fill what a source of norm one predicts in a row of the window."""
    k = row - y + maps.spread.shape[1] // 2
    shift = maps.spread.shape[2] // 2 - x
    signal[: x1 - x0] = 0.0
    for layer in range(maps.layers[plane], maps.layers[plane + 1]):
        spread, exposure = maps.spread[layer, k], maps.exposure[layer, row]
        for column in range(x0, x1):
            signal[column - x0] += spread[column + shift] * exposure[column]


@kernel
def weights(maps):
    """Return exposure over background of the pixels with counts, and that background.

    Shapes (n_layers_of_a_plane, n_filled) and (n_filled,); exposure alone where there is none.
    """
    most = np.max(np.diff(maps.layers))
    weight, base = np.zeros((most, maps.column.shape[0])), np.empty(maps.column.shape[0])
    for plane in range(maps.half.shape[0]):
        for row in range(maps.background.shape[1]):
            for j in range(maps.first[plane, row, 0], maps.first[plane, row, -1]):
                base[j] = maps.background[plane, row, maps.column[j]]
                scale = 1.0 / base[j] if base[j] > TRUNCATION else 1.0
                for layer in range(maps.layers[plane], maps.layers[plane + 1]):
                    y = maps.exposure[layer, row, maps.column[j]]
                    weight[layer - maps.layers[plane], j] = y * scale
    return weight, base


@kernel
def gather(maps, weight, base, y, x, q, n):
    """Fill ratios and counts of pixels with both counts and signal.

    Returns a `Pixels`. Where nothing but the source is predicted there is no q: such pixels are
    kept at the end of the arrays, with b / s, and ``gain`` is what the logarithms have more than
    log(x + b / s), over those of the smallest prediction that Gammapy allows.
    """
    # Local names: to hand over all arrays for each pixel takes longer than the pixel.
    first, columns, counts, layers, spread = (
        maps.first,
        maps.column,
        maps.counts,
        maps.layers,
        maps.spread,
    )
    up, left = spread.shape[1] // 2 - y, spread.shape[2] // 2 - x
    m, last, gain, counted = 0, n.shape[0], 0.0, 0.0
    slope, curvature, highest, pole = 0.0, 0.0, 0.0, -np.inf
    for plane in range(maps.half.shape[0]):
        y0, y1, x0, x1 = window(maps, plane, y, x)
        for row in range(y0, y1):
            for j in range(first[plane, row, x0], first[plane, row, x1]):
                s = 0.0
                for layer in range(layers[plane], layers[plane + 1]):
                    k = spread[layer, row + up, columns[j] + left]
                    s += k * weight[layer - layers[plane], j]
                if not s > 0.0:
                    continue
                counted += counts[j]
                if base[j] > TRUNCATION:
                    q[m], n[m] = s, counts[j]
                    term = s * counts[j]
                    slope += term
                    curvature += term * s
                    highest = max(highest, s)
                    m += 1
                else:
                    last -= 1
                    q[last], n[last] = min(base[j], 0.0) / s, counts[j]
                    pole = max(pole, -q[last])
                    gain += n[last] * (math.log(s) - LOG_TRUNCATION)
    if m > 0:
        pole = max(pole, -1.0 / highest)
    return Pixels(q, n, m, last, gain, counted, slope, curvature, pole)


@kernel
def scan(maps, y, x, signal):
    """Return the sum of all signals, and the smallest ratio of background to signal."""
    total, least = 0.0, np.inf
    for plane in range(maps.half.shape[0]):
        y0, y1, x0, x1 = window(maps, plane, y, x)
        for row in range(y0, y1):
            fill_row(maps, plane, y, x, row, x0, x1, signal)
            background = maps.background[plane, row, x0:x1]
            for i in range(x1 - x0):
                if signal[i] > 0.0:
                    total += signal[i]
                    least = min(least, background[i] / signal[i])
    return total, least


@kernel
def negative(maps, y, x, norm, signal):
    """Return what must be added to empty pixels to make none negative, and its slope."""
    value, slope = 0.0, 0.0
    for plane in range(maps.half.shape[0]):
        y0, y1, x0, x1 = window(maps, plane, y, x)
        for row in range(y0, y1):
            fill_row(maps, plane, y, x, row, x0, x1, signal)
            background = maps.background[plane, row, x0:x1]
            for i in range(x1 - x0):
                mu = background[i] + norm * signal[i]
                if mu < 0.0 and signal[i] > 0.0:
                    value -= mu
                    slope -= signal[i]
    return value, slope
