"""Sums over the harmonics of a period, from which periodicity tests are made.

The k-th harmonic of an event with the phase x (in turns) and the weight w is w exp(2 pi i k x).
It is that of k - 1, turned by exp(2 pi i x): one sine and one cosine an event serve all harmonics.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel

__all__ = ["harmonic_sums", "largest_h", "scan_h", "scan_z2", "z2_of"]

TWO_PI = 2.0 * math.pi
# Events that are turned together: the processor takes several at once, and partial sums, one for
# each of them, lose fewer digits than a single one.
LANES = 64


@kernel
def harmonic_sums(phases, weights, sums):
    """Fill the sums over events of the first harmonics.

    Parameters
    ----------
    phases : array, shape (n,)
        In turns.
    weights : array, shape (n,) or (0,)
        Empty if all are 1.
    sums : array, shape (2, m)
        Filled with the sums of w cos(2 pi k x) and of w sin(2 pi k x), for k from 1 to m.
    """
    n, m = phases.shape[0], sums.shape[1]
    weighted = weights.shape[0] > 0
    lanes = np.zeros((2, m, LANES))
    turn_cos, turn_sin = np.empty(LANES), np.empty(LANES)
    real, imag = np.empty(LANES), np.empty(LANES)
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        for j in range(count):
            angle = TWO_PI * phases[start + j]
            turn_cos[j], turn_sin[j] = math.cos(angle), math.sin(angle)
            real[j], imag[j] = weights[start + j] if weighted else 1.0, 0.0
        for j in range(count, LANES):
            # No event; what an earlier one has left here may be NaN.
            turn_cos[j], turn_sin[j], real[j], imag[j] = 0.0, 0.0, 0.0, 0.0
        for k in range(m):
            for j in range(LANES):
                x = real[j] * turn_cos[j] - imag[j] * turn_sin[j]
                y = imag[j] * turn_cos[j] + real[j] * turn_sin[j]
                real[j], imag[j] = x, y
                lanes[0, k, j] += x
                lanes[1, k, j] += y
    for i in range(2):
        for k in range(m):
            total = 0.0
            for j in range(LANES):
                total += lanes[i, k, j]
            sums[i, k] = total


@kernel
def z2_of(sums, norm):
    """Return Z^2 of all harmonics in the sums, ``norm`` times the sum of their powers."""
    z2 = 0.0
    for k in range(sums.shape[1]):
        z2 += norm * (sums[0, k] * sums[0, k] + sums[1, k] * sums[1, k])
    return z2


@kernel
def largest_h(sums, norm, penalty):
    """Return the largest of Z^2_m - ``penalty`` (m - 1) over the numbers m of harmonics."""
    z2, largest = 0.0, -math.inf
    for k in range(sums.shape[1]):
        z2 += norm * (sums[0, k] * sums[0, k] + sums[1, k] * sums[1, k])
        h = z2 - penalty * k
        # Written so that a NaN stays.
        if not h <= largest:
            largest = h
    return largest


@kernel
def _fill_phases(times, offsets, f0, f1, phases):
    for i in range(times.shape[0]):
        t = times[i]
        x = offsets[i] + (f0 + 0.5 * f1 * t) * t
        phases[i] = x - math.floor(x)


@kernel
def scan_z2(times, offsets, weights, f0, f1, norm, sums, out):
    """Fill Z^2 of trial frequencies and their derivatives.

    Parameters
    ----------
    times : array, shape (n,)
        Emission times relative to the epoch of the trials, in s.
    offsets : array, shape (n,)
        What is added to the phases, in turns.
    weights : array, shape (n,) or (0,)
        Empty if all are 1.
    f0, f1 : array, shape (n_trials,)
        Frequencies in Hz, and their first derivatives in Hz/s.
    norm : float
        2 over the sum of squared weights.
    sums : array, shape (2, m)
        Room for the sums over events; m is the number of harmonics.
    out : array, shape (n_trials,)
        Filled.
    """
    phases = np.empty(times.shape[0])
    for trial in range(f0.shape[0]):
        _fill_phases(times, offsets, f0[trial], f1[trial], phases)
        harmonic_sums(phases, weights, sums)
        out[trial] = z2_of(sums, norm)


@kernel
def scan_h(times, offsets, weights, f0, f1, norm, penalty, sums, out):
    """Fill H of trial frequencies and their derivatives.

    Parameters
    ----------
    times, offsets, weights, f0, f1, norm, sums, out : number or array
        As in `scan_z2`.
    penalty : float
        For each harmonic after the first.
    """
    phases = np.empty(times.shape[0])
    for trial in range(f0.shape[0]):
        _fill_phases(times, offsets, f0[trial], f1[trial], phases)
        harmonic_sums(phases, weights, sums)
        out[trial] = largest_h(sums, norm, penalty)
