"""Multilinear interpolation of tables on many pixels.

Instrument responses are tables over energies and places in the field of view, and are needed for
each energy of a map on each of its pixels. Both form a grid, so that a table is first interpolated
to the energies, which are few, and then on each pixel between the nodes around it:

    f(k, p) = sum_t  w_pt  T(k, n_pt)

Arrays shared by the kernels:

``table``
    shape (n_k, n_nodes): values, or their logarithms, at each energy (or pair of energy and
    another quantity) and each node of the field of view.
``node``, ``weight``
    shape (n_p, n_taps): which nodes are around each pixel, and their weights. These are outside of
    0 to 1 where Gammapy extrapolates within the outermost bins.
``valid``
    shape (n_p,): whether the pixel is inside of the table.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ctao_sat.kernels._jit import kernel

__all__ = [
    "SMALLEST",
    "bilinear",
    "fill_missing",
    "linear",
    "spread",
    "value_at",
]

# Gammapy's logarithmic scale takes what is not above twice the smallest normal number for zero.
SMALLEST = 2 * float(np.finfo(np.float64).tiny)


@kernel
def linear(points: NDArray, edges: NDArray, x: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return between which nodes of one axis numbers lie.

    Parameters
    ----------
    points : array, shape (n,)
        The nodes, increasing. A single one holds everywhere.
    edges : array, shape (n + 1,)
        Edges of the bins around them; both ends belong to the table.
    x : array, shape (n_p,)
        The numbers, which may be NaN. Outside of the nodes the weights extrapolate.

    Returns
    -------
    node : array of int, shape (n_p, 2)
        The nodes below and above.
    weight : array, shape (n_p, 2)
        Their weights.
    valid : array of bool, shape (n_p,)
        Whether the number is between the outermost edges.
    """
    node = np.zeros((x.size, 2), np.int64)
    weight = np.empty((x.size, 2))
    valid = np.empty(x.size, np.bool_)
    for p in range(x.size):
        i, w = _between(points, x[p])
        node[p, 0], node[p, 1] = i, min(i + 1, points.size - 1)
        weight[p, 0], weight[p, 1] = 1 - w, w
        valid[p] = edges[0] <= x[p] <= edges[-1]
    return node, weight, valid


@kernel
def bilinear(
    points: NDArray, edges: NDArray, x: NDArray, points_y: NDArray, edges_y: NDArray, y: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Return between which nodes of two axes pairs of numbers lie.

    Parameters
    ----------
    points, edges, x, points_y, edges_y, y : array
        As in `linear`, for the slower and the faster axis of the flattened nodes.

    Returns
    -------
    node : array of int, shape (n_p, 4)
        The nodes around.
    weight : array, shape (n_p, 4)
        Their weights.
    valid : array of bool, shape (n_p,)
        Whether both numbers are between the outermost edges.
    """
    node = np.empty((x.size, 4), np.int64)
    weight = np.empty((x.size, 4))
    valid = np.empty(x.size, np.bool_)
    n = points_y.size
    for p in range(x.size):
        i, v = _between(points, x[p])
        j, w = _between(points_y, y[p])
        i_up, j_up = min(i + 1, points.size - 1), min(j + 1, n - 1)
        node[p, 0], weight[p, 0] = i * n + j, (1 - v) * (1 - w)
        node[p, 1], weight[p, 1] = i * n + j_up, (1 - v) * w
        node[p, 2], weight[p, 2] = i_up * n + j, v * (1 - w)
        node[p, 3], weight[p, 3] = i_up * n + j_up, v * w
        valid[p] = edges[0] <= x[p] <= edges[-1] and edges_y[0] <= y[p] <= edges_y[-1]
    return node, weight, valid


@kernel
def _between(points, x):
    """Return the node below, at most the last but one, and the distance from it in units of one."""
    if points.size == 1:
        return 0, 0.0
    if math.isnan(x):
        return 0, x
    i = min(max(np.searchsorted(points, x, side="right") - 1, 0), points.size - 2)
    return i, (x - points[i]) / (points[i + 1] - points[i])


@kernel
def spread(
    table: NDArray,
    usable: NDArray,
    node: NDArray,
    weight: NDArray,
    valid: NDArray,
    logarithmic: bool,
    fill: float,
) -> NDArray:
    """Interpolate a table on all pixels.

    Parameters
    ----------
    table : array
        See the module.
    usable : array of bool, shape (n_k,)
        Whether the energies are inside of the table.
    node, weight, valid : array
        See the module.
    logarithmic : bool
        Whether the table holds logarithms.
    fill : float
        What is outside of the table or not finite; NaN leaves both as they come out.

    Returns
    -------
    values : array, shape (n_k, n_p)
        None of them negative.
    """
    values = np.empty((table.shape[0], node.shape[0]))
    for k in range(table.shape[0]):
        row = table[k]
        for p in range(node.shape[0]):
            value = value_at(row, node, weight, p, logarithmic)
            outside = not (usable[k] and valid[p]) or not math.isfinite(value)
            values[k, p] = fill if outside and not math.isnan(fill) else value
    return values


@kernel
def value_at(row: NDArray, node: NDArray, weight: NDArray, p: int, logarithmic: bool) -> float:
    """Return one energy of a table on one pixel, not negative.

    Parameters
    ----------
    row : array, shape (n_nodes,)
        The energy.
    node, weight : array
        See the module.
    p : int
        The pixel.
    logarithmic : bool
        Whether the table holds logarithms.

    Returns
    -------
    value : float
        NaN where a node around is.
    """
    total = 0.0
    for t in range(node.shape[1]):
        total += weight[p, t] * row[node[p, t]]
    if logarithmic:
        total = math.exp(total)
        if total <= SMALLEST:
            return 0.0
    # Written so that NaN stays.
    return 0.0 if total < 0 else total


@kernel
def fill_missing(values: NDArray, missing: NDArray) -> tuple[NDArray, NDArray]:
    """Interpolate missing numbers along the first axis, between those that are there.

    Parameters
    ----------
    values : array, shape (n, n_columns)
        The numbers.
    missing : array of bool, shape (n, n_columns)
        Which of them are missing.

    Returns
    -------
    values : array, shape (n, n_columns)
        With what was missing between two that are there.
    filled : array of bool, shape (n, n_columns)
        Which ones that is.
    """
    values, filled = values.copy(), np.zeros(values.shape, np.bool_)
    n, n_columns = values.shape
    for c in range(n_columns):
        last = -1
        for i in range(n):
            if missing[i, c]:
                continue
            if last >= 0:
                slope = (values[i, c] - values[last, c]) / (i - last)
                for j in range(last + 1, i):
                    values[j, c] = slope * (j - last) + values[last, c]
                    filled[j, c] = True
            last = i
    return values, filled
