"""Pulse phases of events from piecewise Chebyshev polynomials."""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel

__all__ = ["emission_times", "pulse_phases"]


@kernel
def _piece_of(t, edges):
    """Return the piece that a time is in, -1 if there is none."""
    low, high = 0, edges.shape[0]
    while low < high:
        middle = (low + high) // 2
        if edges[middle, 1] < t:
            low = middle + 1
        else:
            high = middle
    # NaN fails both comparisons.
    if low < edges.shape[0] and edges[low, 0] <= t <= edges[low, 1]:
        return low
    return -1


@kernel
def _clenshaw(u, terms, row):
    """Return the sum of Chebyshev polynomials of the first kind."""
    one, two, double = 0.0, 0.0, 2.0 * u
    for k in range(terms.shape[1] - 1, 0, -1):
        # What does not wait for the last step is in brackets.
        one, two = double * one + (terms[row, k] - two), one
    return u * one + (terms[row, 0] - two)


@kernel
def pulse_phases(seconds, edges, numbers, rates, terms, phases, pulses):
    """Fill phases and pulse numbers of events.

    In the piece that begins at ``a`` and ends at ``b``, the phase in turns is
    ``number + rate (t - c) + sum_k terms_k T_k(u)``, with ``c = (a + b) / 2`` and
    ``u = 2 (t - c) / (b - a)``; the whole turns of each part are taken off before they are added.

    Parameters
    ----------
    seconds : array, shape (n,)
        Times of events.
    edges : array, shape (n_pieces, 2)
        Begin and end of the pieces, in increasing order.
    numbers : array of int64, shape (n_pieces,)
        Whole turns at the middle.
    rates : array, shape (n_pieces,)
        Mean frequency.
    terms : array, shape (n_pieces, n_terms)
        Chebyshev coefficients of what the mean frequency leaves.
    phases : array, shape (n,)
        Filled, in [0, 1); NaN outside all pieces.
    pulses : array of int64, shape (n,) or (0,)
        Filled, unless it is empty; 0 outside all pieces.
    """
    piece = -1
    begin, end = math.inf, -math.inf
    middle, per_half, rate, number = 0.0, 0.0, 0.0, 0
    counted = pulses.shape[0] > 0
    for i in range(seconds.shape[0]):
        t = seconds[i]
        if not (begin <= t <= end):
            piece = _piece_of(t, edges)
            if piece < 0:
                begin, end = math.inf, -math.inf
                phases[i] = math.nan
                if counted:
                    pulses[i] = 0
                continue
            begin, end = edges[piece, 0], edges[piece, 1]
            half = 0.5 * (end - begin)
            middle, per_half = begin + half, 1.0 / half
            rate, number = rates[piece], numbers[piece]
        dt = t - middle
        turns = rate * dt
        whole = np.floor(turns)
        rest = (turns - whole) + _clenshaw(dt * per_half, terms, piece)
        extra = np.floor(rest)
        rest -= extra
        # A tiny negative number is one turn less, and rounds up to a whole turn.
        if rest >= 1.0:
            rest, extra = 0.0, extra + 1.0
        phases[i] = rest
        if counted:
            pulses[i] = number + np.int64(whole + extra)


@kernel
def emission_times(seconds, edges, delays, emitted):
    """Fill barycentric times: each time plus the sum of the delay's Chebyshev polynomials.

    Parameters
    ----------
    seconds : array, shape (n,)
        Times of events.
    edges : array, shape (n_pieces, 2)
        Begin and end of the pieces, in increasing order.
    delays : array, shape (n_pieces, n_terms)
        Chebyshev coefficients of what is added.
    emitted : array, shape (n,)
        Filled; NaN outside all pieces.
    """
    for i in range(seconds.shape[0]):
        t = seconds[i]
        piece = _piece_of(t, edges)
        if piece < 0:
            emitted[i] = math.nan
            continue
        half = 0.5 * (edges[piece, 1] - edges[piece, 0])
        dt = t - (edges[piece, 0] + half)
        emitted[i] = t + _clenshaw(dt / half, delays, piece)
