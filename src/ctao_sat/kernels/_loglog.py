r"""Integrals of spectra between nodes that a power law joins.

With :math:`z = \ln(E\,\phi)` at the nodes, :math:`d = z_2 - z_1` and :math:`L = \ln(E_2 / E_1)`
the integral of the power law through two nodes is the logarithmic mean of the two :math:`e^z`,

.. math:: T = L \frac{e^{z_2} - e^{z_1}}{z_2 - z_1}.

Only its difference quotients lose digits where :math:`d` is small: there the power series of
:math:`\tanh(d/2)` replaces them. Gammapy's rules for nodes without flux are kept: a segment with a
zero at one of its ends counts nothing.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel

__all__ = ["integrate", "log_mean", "log_mean_curvature", "segments"]

# Half the difference of z below which the series is better than the difference quotient.
_SERIES = 0.05
# Gammapy takes an exponent for zero if numpy.isclose does.
_CLOSE = 1e-8
# Gammapy's logarithm of any number that is not positive.
_LOG_TINY = math.log(np.finfo(np.float64).tiny)


@kernel
def log_mean(z1, y1, z2, y2):
    r"""Return the logarithmic mean of two numbers of the same sign.

    Parameters
    ----------
    z1, y1, z2, y2 : float
        Two numbers y, each after the logarithm z of its absolute value.

    Returns
    -------
    mean : float
        :math:`(y_2 - y_1) / (z_2 - z_1)`, and its limit if both are the same.
    """
    x = 0.5 * (z2 - z1)
    if abs(x) >= _SERIES:
        return 0.5 * (y2 - y1) / x
    u = x * x
    tail = 62.0 / 2835.0 - u * (1382.0 / 155925.0)
    series = 1.0 - u * (1.0 / 3.0 - u * (2.0 / 15.0 - u * (17.0 / 315.0 - u * tail)))
    return 0.5 * (y1 + y2) * series


@kernel
def log_mean_curvature(z1, y1, z2, y2):
    r"""Return the logarithmic mean with its derivatives.

    Parameters
    ----------
    z1, y1, z2, y2 : float
        As in `log_mean`.

    Returns
    -------
    mean : float
        The mean :math:`\phi`.
    left, right : float
        :math:`\partial\phi/\partial z_1` and :math:`\partial\phi/\partial z_2`.
    left_left, left_right, right_right : float
        The second derivatives.
    """
    x = 0.5 * (z2 - z1)
    middle = 0.5 * (y1 + y2)
    if abs(x) >= _SERIES:
        mean = 0.5 * (y2 - y1) / x
        ratio = 0.5 * (middle - mean) / (x * x)
    else:
        u = x * x
        tail = 17.0 / 315.0 - u * (62.0 / 2835.0 - u * (1382.0 / 155925.0))
        third = 1.0 / 3.0 - u * (2.0 / 15.0 - u * tail)
        mean = middle * (1.0 - u * third)
        ratio = 0.5 * middle * third
    # The derivatives along z1 + z2 are the mean itself; those along z2 - z1 follow here.
    slope = ratio * x
    bend = 0.25 * mean - ratio
    return (
        mean,
        0.5 * mean - slope,
        0.5 * mean + slope,
        0.25 * mean - slope + bend,
        0.25 * mean - bend,
        0.25 * mean + slope + bend,
    )


@kernel
def _is_odd(y1, y2):
    """Return whether two nodes are not both positive or both negative."""
    return not ((y1 > 0.0 and y2 > 0.0) or (y1 < 0.0 and y2 < 0.0))


@kernel
def _odd_segment(y1, y2, length):
    """Return what Gammapy makes of a segment with a zero, a NaN or two signs, over its length."""
    if math.isnan(y1):
        return math.nan
    if y1 == 0.0 or y2 == 0.0 or math.isnan(y2):
        return 0.0
    rise = length - _LOG_TINY
    return y1 * math.expm1(rise) / rise if rise < 709.0 else math.copysign(math.inf, y1)


@kernel
def _segment(z1, y1, z2, y2, length):
    """Return the integral over one segment by its length."""
    if _is_odd(y1, y2):
        return _odd_segment(y1, y2, length)
    if abs(z2 - z1) <= _CLOSE * length:
        return y1
    return log_mean(z1, y1, z2, y2)


@kernel
def integrate(n_bins, n_segments, length, z, y, total):
    """Integrate a spectrum over the bins.

    Parameters
    ----------
    n_bins, n_segments : int
        Number of bins, and of segments in each of them.
    length : array of float64, (n_bins * n_segments,)
        Logarithm of the ratio of the energies of a segment.
    z, y : array of float64, (>= n_bins * n_segments + 1,)
        Logarithm of energy times flux at the nodes, and energy times flux.
    total : array of float64, (>= n_bins,)
        The integrals; written.
    """
    for k in range(n_bins):
        value = 0.0
        for s in range(k * n_segments, (k + 1) * n_segments):
            value += length[s] * _segment(z[s], y[s], z[s + 1], y[s + 1], length[s])
        total[k] = value


@kernel
def segments(n_bins, n_segments, length, z, y, total, weights):
    """Integrate a spectrum over the bins, with the derivatives by z at the nodes.

    Parameters
    ----------
    n_bins, n_segments, length, z, y, total : number or array
        As in `integrate`.
    weights : array of float64, (5, >= n_bins * n_segments)
        Of each segment: first derivatives by the left and the right node, second derivatives left
        and left, left and right, right and right; written.
    """
    for k in range(n_bins):
        value = 0.0
        for s in range(k * n_segments, (k + 1) * n_segments):
            value += length[s] * _segment(z[s], y[s], z[s + 1], y[s + 1], length[s])
            if _is_odd(y[s], y[s + 1]):
                for i in range(5):
                    weights[i, s] = 0.0
                continue
            parts = log_mean_curvature(z[s], y[s], z[s + 1], y[s + 1])
            for i in range(5):
                weights[i, s] = length[s] * parts[i + 1]
        total[k] = value
