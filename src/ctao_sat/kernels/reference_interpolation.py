"""The formulas for responses on maps, written plainly: slow, and made to be read."""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad

__all__ = [
    "at_pixels",
    "fill_missing",
    "gaussians",
    "integral",
    "locate",
    "redistribution",
    "rotated",
    "solid_angle",
]


def rotated(lon: float, lat: float, basis: NDArray) -> tuple[float, float]:
    """Return a direction as longitude and latitude in a rotated frame.

    Parameters
    ----------
    lon, lat : float
        In radians.
    basis : array, shape (3, 3)
        See `ctao_sat.kernels.sky.field_of_view`.

    Returns
    -------
    lon, lat : float
        In radians.
    """
    direction = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = basis @ direction
    return float(np.arctan2(y, x)), float(np.arcsin(z))


def solid_angle(lon: NDArray, lat: NDArray) -> float:
    """Return the solid angle of a small pixel as that of a plane quadrangle.

    Parameters
    ----------
    lon, lat : array, shape (2, 2)
        Corners in radians.

    Returns
    -------
    solid_angle : float
        In sr.
    """
    vectors = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    diagonals = vectors[:, 1, 1] - vectors[:, 0, 0], vectors[:, 0, 1] - vectors[:, 1, 0]
    return float(np.linalg.norm(np.cross(*diagonals)) / 2)


def locate(points: NDArray, x: float) -> NDArray:
    """Return the weight of each node for a number, between nodes or extrapolated.

    Parameters
    ----------
    points : array, shape (n,)
        The nodes, increasing.
    x : float
        The number.

    Returns
    -------
    weight : array, shape (n,)
        At most two of them are not zero; their sum is one.
    """
    weight = np.zeros(len(points))
    if len(points) == 1:
        weight[0] = 1
        return weight
    i = int(np.clip(np.searchsorted(points, x, side="right") - 1, 0, len(points) - 2))
    part = (x - points[i]) / (points[i + 1] - points[i])
    weight[i], weight[i + 1] = 1 - part, part
    return weight


def at_pixels(table: NDArray, node: NDArray, weight: NDArray, logarithmic: bool) -> NDArray:
    """Return a table on pixels, not negative.

    Parameters
    ----------
    table, node, weight : array
        See `ctao_sat.kernels.interpolation`.
    logarithmic : bool
        Whether the table holds logarithms.

    Returns
    -------
    values : array, shape (n_k, n_p)
        The values.
    """
    values = (table[:, node] * weight).sum(axis=-1)
    return np.exp(values) if logarithmic else np.maximum(values, 0)


def integral(log_energy: NDArray, log_value: NDArray, low: float, high: float) -> float:
    """Return the integral of a function that is a power law between neighbouring energies.

    Parameters
    ----------
    log_energy, log_value : array, shape (n,)
        Logarithms of energies and values.
    low, high : float
        Energies to integrate between.

    Returns
    -------
    integral : float
        By numerical integration over the logarithm of the energy.
    """
    inside = log_energy[(log_energy > np.log(low)) & (log_energy < np.log(high))]
    ends = [np.log(low), *inside, np.log(high)]

    def integrand(x):
        return np.exp(np.interp(x, log_energy, log_value) + x)

    pieces = itertools.pairwise(ends)
    return float(sum(quad(integrand, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in pieces))


def redistribution(density: NDArray, edges: NDArray, limits: NDArray, threshold: float) -> NDArray:
    """Return the probabilities of intervals from a binned density.

    Parameters
    ----------
    density : array, shape (n,)
        Density in each bin; it need not be normalised.
    edges : array, shape (n + 1,)
        Edges of the bins.
    limits : array, shape (m + 1,)
        Edges of the intervals.
    threshold : float
        Smaller probabilities are taken for zero.

    Returns
    -------
    probabilities : array, shape (m,)
        The probabilities.
    """
    sums = np.append(0, np.cumsum(density * np.diff(edges)))
    if sums[-1] == 0:
        return np.zeros(len(limits) - 1)
    probabilities = np.diff(np.interp(limits, edges, sums / sums[-1]))
    return np.where(probabilities < threshold, 0, probabilities)


def gaussians(weight: NDArray, variance: NDArray, radius: NDArray) -> NDArray:
    """Return a sum of Gaussians.

    Parameters
    ----------
    weight, variance : array, shape (n_gaussians,)
        Value in the centre, and square of the width.
    radius : array, shape (n,)
        The radii.

    Returns
    -------
    values : array, shape (n,)
        The sums.
    """
    return (weight * np.exp(-(radius[:, np.newaxis] ** 2) / (2 * variance))).sum(axis=1)


def fill_missing(values: NDArray, missing: NDArray) -> NDArray:
    """Return one column with what is missing between two numbers interpolated.

    Parameters
    ----------
    values : array, shape (n,)
        The numbers.
    missing : array of bool, shape (n,)
        Which of them are missing.

    Returns
    -------
    values : array, shape (n,)
        Missing ones at the ends stay as they are.
    """
    x = np.arange(len(values))
    if missing.all():
        return values
    filled = np.interp(x, x[~missing], values[~missing])
    ends = (x < x[~missing][0]) | (x > x[~missing][-1])
    return np.where(missing & ~ends, filled, values)
