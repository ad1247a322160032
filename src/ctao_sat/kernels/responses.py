"""Background counts, energy redistribution, and point spread functions on many pixels.

Tables, and the nodes around pixels, are those of `ctao_sat.kernels.interpolation`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.interpolation import SMALLEST, linear, value_at

__all__ = ["gaussians", "integrate", "redistribution"]

# Below this, the quotient of differences loses more digits than the series leaves out.
_FLAT = 1e-3


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
    table : array
        See `ctao_sat.kernels.interpolation`; rows are the energies between which the integrand is a
        power law.
    usable : array of bool, shape (n_k,)
        Whether the energies are inside of the table; outside, the integrand is zero.
    log_energy : array, shape (n_k,)
        Logarithms of the energies, increasing.
    target : array of int, shape (n_k - 1,)
        To which bin the interval that begins at an energy belongs; -1 for none.
    node, weight, valid : array
        See `ctao_sat.kernels.interpolation`.
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
    table : array
        See `ctao_sat.kernels.interpolation`; it has the shape (n_true, n_ratio, n_nodes).
    usable : array of bool, shape (n_true, n_ratio)
        Whether true energy and ratio are inside of the table.
    node, weight, valid : array
        See `ctao_sat.kernels.interpolation`.
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
                value = value_at(table[k, m], node, weight, p, False) if usable[k, m] else 0.0
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
