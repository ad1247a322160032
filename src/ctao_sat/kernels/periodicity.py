"""Sums over the harmonics of a period, from which periodicity tests are made.

The k-th harmonic of an event with the phase x (in turns) and the weight w is w exp(2 pi i k x).
It is that of k - 1, turned by exp(2 pi i x): one sine and one cosine an event serve all harmonics.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel

__all__ = ["harmonic_sums", "largest", "scan"]

TWO_PI = 2.0 * math.pi
# Events that are turned together: the processor takes several at once, and partial sums, one for
# each of them, lose fewer digits than a single one.
LANES = 64
# Trials after which phases are computed anew: 64 turns by the step lose 1e-14.
ANCHOR = 64


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
    n = phases.shape[0]
    turn_cos, turn_sin = np.empty(n), np.empty(n)
    for i in range(n):
        angle = TWO_PI * phases[i]
        turn_cos[i], turn_sin[i] = math.cos(angle), math.sin(angle)
    _turn(turn_cos, turn_sin, weights, sums)


@kernel
def _turn(turn_cos, turn_sin, weights, sums):
    """Fill the sums of `harmonic_sums` from the first harmonic of each event."""
    n, m = turn_cos.shape[0], sums.shape[1]
    weighted = weights.shape[0] > 0
    lanes = np.zeros((2, m, LANES))
    c, s = np.empty(LANES), np.empty(LANES)
    real, imag = np.empty(LANES), np.empty(LANES)
    for start in range(0, n, LANES):
        count = min(LANES, n - start)
        for j in range(count):
            c[j], s[j] = turn_cos[start + j], turn_sin[start + j]
            real[j], imag[j] = weights[start + j] if weighted else 1.0, 0.0
        for j in range(count, LANES):
            # No event; what an earlier one has left here may be NaN.
            c[j], s[j], real[j], imag[j] = 0.0, 0.0, 0.0, 0.0
        for k in range(m):
            for j in range(LANES):
                x = real[j] * c[j] - imag[j] * s[j]
                y = imag[j] * c[j] + real[j] * s[j]
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
def largest(sums, norm, penalty):
    """Return the largest of Z^2_m - ``penalty`` (m - 1) over the numbers m of harmonics.

    Parameters
    ----------
    sums : array, shape (2, m)
        See `harmonic_sums`.
    norm : float
        2 over the sum of squared weights: Z^2_m is ``norm`` times the sum of m powers.
    penalty : float
        4 for H. With 0 it is Z^2 of all harmonics, for no power is negative.

    Returns
    -------
    value : float
        NaN if a sum is.
    """
    z2, best = 0.0, -math.inf
    for k in range(sums.shape[1]):
        z2 += norm * (sums[0, k] * sums[0, k] + sums[1, k] * sums[1, k])
        value = z2 - penalty * k
        # Written so that a NaN stays.
        if not value <= best:
            best = value
    return best


@kernel
def scan(times, weights, f0, step, f1, norm, penalty, sums, out):
    """Fill the statistic of trial frequencies and their derivatives.

    The phase of an event at the time t is f0 t + f1 t^2 / 2. From one frequency to the next, its
    harmonic turns by exp(2 pi i step t), so that most trials need neither sine nor cosine.

    Parameters
    ----------
    times : array, shape (n,)
        Emission times relative to the epoch of the trials, in s.
    weights : array, shape (n,) or (0,)
        Empty if all are 1.
    f0, step : float
        First frequency, and from one to the next, in Hz.
    f1 : array, shape (n_f1,)
        Derivatives of the frequency in Hz/s.
    norm, penalty : float
        See `largest`.
    sums : array, shape (2, m)
        Room for the sums over events; m is the number of harmonics.
    out : array, shape (n_f1, n_f0)
        Filled.
    """
    n = times.shape[0]
    turn_cos, turn_sin = np.empty(n), np.empty(n)
    step_cos, step_sin = np.empty(n), np.empty(n)
    for i in range(n):
        angle = TWO_PI * (step * times[i])
        step_cos[i], step_sin[i] = math.cos(angle), math.sin(angle)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            if column % ANCHOR == 0:
                _anchor(times, f0 + column * step, f1[row], turn_cos, turn_sin)
            else:
                for i in range(n):
                    x = turn_cos[i] * step_cos[i] - turn_sin[i] * step_sin[i]
                    y = turn_sin[i] * step_cos[i] + turn_cos[i] * step_sin[i]
                    turn_cos[i], turn_sin[i] = x, y
            _turn(turn_cos, turn_sin, weights, sums)
            out[row, column] = largest(sums, norm, penalty)


@kernel
def _anchor(times, f0, f1, turn_cos, turn_sin):
    """Fill the first harmonic of each event."""
    for i in range(times.shape[0]):
        x = (f0 + 0.5 * f1 * times[i]) * times[i]
        angle = TWO_PI * (x - math.floor(x))
        turn_cos[i], turn_sin[i] = math.cos(angle), math.sin(angle)
