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
    "field_of_view",
    "fill_missing",
    "gaussians",
    "integrate",
    "linear",
    "redistribution",
    "solid_angles",
    "spread",
]

# Gammapy's logarithmic scale takes what is not above twice the smallest normal number for zero.
SMALLEST = 2 * float(np.finfo(np.float64).tiny)

# Below this, the quotient of differences loses more digits than the series leaves out.
_FLAT = 1e-3


@kernel
def field_of_view(lon: NDArray, lat: NDArray, basis: NDArray) -> tuple[NDArray, NDArray]:
    """Return directions as longitude and latitude in a rotated frame.

    Parameters
    ----------
    lon, lat : array, shape (n_p,)
        Directions in radians.
    basis : array, shape (3, 3)
        Rows are the directions at longitude and latitude (0, 0), at longitude 90 deg, and the pole
        of the rotated frame.

    Returns
    -------
    lon, lat : array, shape (n_p,)
        In radians, the longitude between -pi and pi.
    """
    x_out, y_out = np.empty(lon.size), np.empty(lon.size)
    for p in range(lon.size):
        x, y, z = _vector(lon[p], lat[p])
        u = x * basis[0, 0] + y * basis[0, 1] + z * basis[0, 2]
        v = x * basis[1, 0] + y * basis[1, 1] + z * basis[1, 2]
        w = x * basis[2, 0] + y * basis[2, 1] + z * basis[2, 2]
        x_out[p] = math.atan2(v, u)
        y_out[p] = math.atan2(w, math.sqrt(u * u + v * v))
    return x_out, y_out


@kernel
def _vector(lon, lat):
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


@kernel
def solid_angles(lon: NDArray, lat: NDArray) -> NDArray:
    """Return the solid angles of pixels, as two plane triangles each.

    Parameters
    ----------
    lon, lat : array, shape (n_y + 1, n_x + 1)
        Corners of the pixels in radians.

    Returns
    -------
    solid_angle : array, shape (n_y, n_x)
        In sr.
    """
    area = np.empty((lon.shape[0] - 1, lon.shape[1] - 1))
    for j in range(area.shape[0]):
        for i in range(area.shape[1]):
            # One triangle at each of two opposite corners. The second angle is taken from the far
            # end of its side, as Gammapy does.
            first = _triangle(lon, lat, (j + 1, i), (j + 1, i + 1), (j + 1, i), (j, i))
            second = _triangle(lon, lat, (j, i + 1), (j + 1, i + 1), (j, i), (j, i + 1))
            area[j, i] = abs(first + second)
    return area


@kernel
def _triangle(lon, lat, start_a, end_a, start_b, end_b):
    """Return half of two arcs' lengths and the sine of the angle between them, multiplied."""
    east_a, north_a, length_a = _arc(lon, lat, start_a, end_a)
    east_b, north_b, length_b = _arc(lon, lat, start_b, end_b)
    return 0.5 * length_a * length_b * (east_a * north_b - north_a * east_b)


@kernel
def _arc(lon, lat, start, end):
    """Return the direction in which an arc starts, as a unit vector, and its length."""
    lat_0, lat_1, turn = lat[start], lat[end], lon[end] - lon[start]
    east = math.sin(turn) * math.cos(lat_1)
    same = math.cos(lat_1) * math.cos(turn)
    north = math.sin(lat_1) * math.cos(lat_0) - same * math.sin(lat_0)
    sine = math.sqrt(east * east + north * north)
    length = math.atan2(sine, math.sin(lat_1) * math.sin(lat_0) + same * math.cos(lat_0))
    if sine == 0:
        return 0.0, 1.0, 0.0
    return east / sine, north / sine, length


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
    table, node, weight, valid : array
        See the module.
    usable : array of bool, shape (n_k,)
        Whether the energies are inside of the table.
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
            value = _value(row, node, weight, p, logarithmic)
            outside = not (usable[k] and valid[p]) or not math.isfinite(value)
            values[k, p] = fill if outside and not math.isnan(fill) else value
    return values


@kernel
def _value(row, node, weight, p, logarithmic):
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
def integrate(
    table: NDArray,
    usable: NDArray,
    log_energy: NDArray,
    target: NDArray,
    node: NDArray,
    weight: NDArray,
    valid: NDArray,
    factor: NDArray,
    out: NDArray,
) -> None:
    """Add the integral over energy of a table of logarithms, on all pixels.

    Between neighbouring energies the integrand is a power law, whose integral is

        (E_1 f_1 - E_0 f_0) log(E_1/E_0) / log(E_1 f_1 / E_0 f_0)

    and zero where one of the values is zero, as a power law between zero and a number is.

    Parameters
    ----------
    table, node, weight, valid : array
        See the module; rows are the energies between which the integrand is a power law.
    usable : array of bool, shape (n_k,)
        Whether the energies are inside of the table; outside, the integrand is zero.
    log_energy : array, shape (n_k,)
        Logarithms of the energies, increasing.
    target : array of int, shape (n_k - 1,)
        To which bin the interval that begins at an energy belongs; -1 for none.
    factor : array, shape (n_p,)
        What integrals are multiplied by, such as a solid angle.
    out : array, shape (n_bins, n_p)
        Where the integrals are added.
    """
    n_p = node.shape[0]
    last_log, last = np.empty(n_p), np.zeros(n_p)
    for k in range(table.shape[0]):
        row = table[k]
        width = log_energy[k] - log_energy[k - 1] if k else 0.0
        bin_ = target[k - 1] if k else -1
        energy = math.exp(log_energy[k])
        for p in range(n_p):
            value, log_value = 0.0, 0.0
            if usable[k] and valid[p]:
                for t in range(node.shape[1]):
                    log_value += weight[p, t] * row[node[p, t]]
                value = math.exp(log_value)
                if not math.isfinite(value) or value <= SMALLEST:
                    value = 0.0
            log_value += log_energy[k]
            value *= energy
            if bin_ >= 0 and value > 0 and last[p] > 0:
                growth = log_value - last_log[p]
                out[bin_, p] += factor[p] * width * _mean(last[p], value, growth)
            last[p], last_log[p] = value, log_value


@kernel
def _mean(low, high, growth):
    """Return the mean of a function that grows exponentially by exp(growth), from its two ends."""
    if abs(growth) < _FLAT:
        return low * (1 + growth / 2 * (1 + growth / 3 * (1 + growth / 4 * (1 + growth / 5))))
    return (high - low) / growth


@kernel
def redistribution(
    table: NDArray,
    usable: NDArray,
    node: NDArray,
    weight: NDArray,
    valid: NDArray,
    edges: NDArray,
    limits: NDArray,
    threshold: float,
) -> NDArray:
    """Return the probabilities of reconstructed energies on all pixels.

    The density of the ratio of energies is normalised, summed up as it is binned, and its sum
    interpolated at the ratios that the edges of the reconstructed energies are.

    Parameters
    ----------
    table, node, weight, valid : array
        See the module; ``table`` has the shape (n_true, n_ratio, n_nodes).
    usable : array of bool, shape (n_true, n_ratio)
        Whether true energy and ratio are inside of the table.
    edges : array, shape (n_ratio + 1,)
        Edges of the bins of the ratio.
    limits : array, shape (n_true, n_reco + 1)
        Edges of the reconstructed energies over each true energy.
    threshold : float
        Smaller probabilities are taken for zero.

    Returns
    -------
    probabilities : array, shape (n_true, n_reco, n_p)
        Probability of each bin.
    """
    n_true, n_ratio, _ = table.shape
    n_limits, n_p = limits.shape[1], node.shape[0]
    result = np.zeros((n_true, n_limits - 1, n_p))
    total = np.zeros(n_ratio + 1)
    for k in range(n_true):
        first, last = _filled(table[k], usable[k])
        place, part, _ = linear(edges, edges, limits[k])
        for p in range(n_p):
            if not valid[p] or first == last:
                continue
            total[: first + 1] = 0
            for m in range(first, last):
                value = _value(table[k, m], node, weight, p, False) if usable[k, m] else 0.0
                width = edges[m + 1] - edges[m]
                total[m + 1] = total[m] + (value * width if math.isfinite(value) else 0.0)
            total[last + 1 :] = total[last]
            # None of the steps is negative.
            if total[last] == 0:
                continue
            below = 0.0
            for e in range(n_limits):
                sum_ = total[0] if limits[k, e] <= edges[0] else total[-1]
                if edges[0] < limits[k, e] < edges[-1]:
                    sum_ = part[e, 0] * total[place[e, 0]] + part[e, 1] * total[place[e, 1]]
                if e:
                    probability = (sum_ - below) / total[last]
                    result[k, e - 1, p] = probability if probability >= threshold else 0.0
                below = sum_
    return result


@kernel
def _filled(table, usable):
    """Return the first row, and the one after the last, in which anything is not zero."""
    first, last = 0, 0
    for m in range(table.shape[0]):
        if usable[m] and np.any(table[m] != 0):
            if last == 0:
                first = m
            last = m + 1
    return first, last


@kernel
def gaussians(weight: NDArray, variance: NDArray, first: float, step: float, n: int) -> NDArray:
    """Return sums of Gaussians of a radius, at radii in equal steps.

    From one radius to the next, each is multiplied with a factor that itself changes by a constant
    one, so that there are three exponentials for any number of radii. Rounding grows with the
    square of their number, to 1e-12 for a hundred.

    Parameters
    ----------
    weight, variance : array, shape (n_gaussians, n_k, n_p)
        Value in the centre, and square of the width.
    first, step : float
        The first radius, and the distance of radii.
    n : int
        Number of radii.

    Returns
    -------
    values : array, shape (n_k, n, n_p)
        The sums.
    """
    n_gaussians, n_k, n_p = weight.shape
    values = np.zeros((n_k, n, n_p))
    for g in range(n_gaussians):
        for k in range(n_k):
            narrow = 1 / variance[g, k]
            part = weight[g, k] * np.exp(-0.5 * first * first * narrow)
            factor = np.exp(-(first + 0.5 * step) * step * narrow)
            change = np.exp(-step * step * narrow)
            for r in range(n):
                row = values[k, r]
                for p in range(n_p):
                    row[p] += part[p]
                    # What is nearly zero is slow to multiply with.
                    part[p] *= factor[p] if part[p] > SMALLEST else 0.0
                    factor[p] *= change[p] if factor[p] > SMALLEST else 0.0
    return values


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
