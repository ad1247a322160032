"""Density of phases for peaks on a constant, and its likelihood.

A peak is a row of five numbers: kind, fraction, location, width to the left, width to the right.
The density over one turn is (1 - sum of fractions) + sum of fractions times shapes, each shape with
the integral 1 and summed over all turns.

=============  =====================================================================================
kind           shape, before it is wrapped
=============  =====================================================================================
``GAUSSIAN``   Gaussian; the width is the standard deviation, that to the right is not read
``LORENTZIAN`` two halves of Lorentzians that meet at the peak; the widths are half of those at half
               maximum
=============  =====================================================================================
"""

import math

from ctao_sat.kernels._jit import kernel

__all__ = ["GAUSSIAN", "LEAST", "LORENTZIAN", "densities", "density", "log_likelihood"]

GAUSSIAN = 0
LORENTZIAN = 1
# Fractions whose sum exceeds 1 make the density negative: a fit is turned back there.
LEAST = 1e-300
# Gaussians end after as many standard deviations; Lorentzians are integrated after as many turns.
FAR, TURNS = 9.0, 10


@kernel
def _gaussian(x, width):
    """Return a wrapped Gaussian at a distance in [0, 1) from the peak."""
    total = 0.0
    for n in range(-int(FAR * width) - 2, int(FAR * width) + 2):
        total += math.exp(-0.5 * ((x + n) / width) ** 2)
    return total / (width * math.sqrt(2.0 * math.pi))


@kernel
def _tail(x, width):
    """Return the sum of 1 / (1 + ((x + n) / width)^2) over n from 0 to infinity, for x >= 0."""
    total = 0.0
    for n in range(TURNS):
        total += 1.0 / (1.0 + ((x + n) / width) ** 2)
    # Euler and Maclaurin: integral, half of the first term, first and third derivative.
    z = (x + TURNS) / width
    first = 1.0 / (1.0 + z * z)
    slope = -2.0 * z * first**2 / width
    third = 24.0 * z * (1.0 - z * z) * first**4 / width**3
    return total + width * math.atan2(1.0, z) + 0.5 * first - slope / 12.0 + third / 720.0


@kernel
def _lorentzian(x, left, right):
    """Return a wrapped Lorentzian of two halves, at a distance in [0, 1) right of the peak."""
    return 2.0 / (math.pi * (left + right)) * (_tail(x, right) + _tail(1.0 - x, left))


@kernel
def density(x, peaks):
    """Return the density at a phase.

    Parameters
    ----------
    x : float
        Phase in turns.
    peaks : array, shape (n_peaks, 5)
        As the table of this module has them.

    Returns
    -------
    density : float
        Per turn.
    """
    total = 1.0
    for i in range(peaks.shape[0]):
        fraction = peaks[i, 1]
        d = x - peaks[i, 2]
        d -= math.floor(d)
        if peaks[i, 0] == GAUSSIAN:
            shape = _gaussian(d, peaks[i, 3])
        else:
            shape = _lorentzian(d, peaks[i, 3], peaks[i, 4])
        total += fraction * (shape - 1.0)
    return total


@kernel
def densities(phases, peaks, out):
    """Fill the density at phases, see `density`."""
    for i in range(phases.shape[0]):
        out[i] = density(phases[i], peaks)


@kernel
def log_likelihood(phases, weights, peaks):
    """Return the logarithm of the likelihood of phases, less that of uniform ones.

    Parameters
    ----------
    phases : array, shape (n,)
        In turns.
    weights : array, shape (n,) or (0,)
        Probability of each event to follow the density; with the rest of it, it is uniform. Empty
        if all are 1.
    peaks : array, shape (n_peaks, 5)
        As the table of this module has them.

    Returns
    -------
    log_likelihood : float
        Sum of ln(w density + 1 - w).
    """
    total = 0.0
    weighted = weights.shape[0] > 0
    for i in range(phases.shape[0]):
        w = weights[i] if weighted else 1.0
        value = w * density(phases[i], peaks) + (1.0 - w)
        total += math.log(LEAST if value < LEAST else value)
    return total
