"""The statistic of counts that are linear in one norm: stat(norm) = sum_j phi_j(b_j + norm s_j).

Of each problem only bins that the norm changes are kept. Those of ``CASH`` without counts are
apart: their statistic is linear in the norm as long as nothing negative is predicted, and then is a
sum that is known beforehand.
"""

from typing import NamedTuple

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.poisson import (
    cash,
    cash_value,
    wstat,
    wstat_background,
    wstat_constant,
    wstat_value,
)
from ctao_sat.kernels.statistics import CASH

__all__ = [
    "NormBins",
    "NormProblems",
    "asimov",
    "bins_of",
    "norm_slopes",
    "norm_stat",
    "predicted_counts",
    "predictions",
    "split",
    "sum_empty",
]


class NormBins(NamedTuple):
    """The bins of one problem."""

    kind: np.ndarray  # (n,) int64: CASH or WSTAT
    rows: np.ndarray  # (n, 3): counts, weight; or counts, counts off, alpha
    background: np.ndarray  # (n,): b
    signal: np.ndarray  # (n,): s, at a norm of 1
    empty_background: np.ndarray  # (k,): weight times b of CASH bins without counts
    empty_signal: np.ndarray  # (k,): weight times s of them
    sums: np.ndarray  # (4,): see `sum_empty`


class NormProblems(NamedTuple):
    """The bins of many problems, one problem after the other."""

    start: np.ndarray  # (m + 1,) int64: first bin of each problem
    kind: np.ndarray  # as in NormBins, of all problems
    rows: np.ndarray
    background: np.ndarray
    signal: np.ndarray
    empty_start: np.ndarray  # (m + 1,) int64
    empty_background: np.ndarray
    empty_signal: np.ndarray
    sums: np.ndarray  # (m, 4)
    constant: np.ndarray  # (m,): statistic of bins that are not kept


@kernel
def sum_empty(empty_background, empty_signal, sums):
    """Fill what bins without counts add together.

    Parameters
    ----------
    empty_background, empty_signal : array, shape (k,)
        Of `NormBins`.
    sums : array, shape (4,)
        Filled with the sum of both, and the least and the largest norm at which no bin is negative.
    """
    sums[0] = sums[1] = 0.0
    sums[2], sums[3] = -np.inf, np.inf
    for j in range(empty_signal.shape[0]):
        b, s = empty_background[j], empty_signal[j]
        sums[0] += b
        sums[1] += s
        if s > 0.0:
            sums[2] = max(sums[2], -b / s)
        elif s < 0.0:
            sums[3] = min(sums[3], -b / s)
        elif b < 0.0:
            sums[2] = np.inf


@kernel
def split(start, kind, rows, background, signal):
    """Sort the bins of many problems.

    Left out, but for their statistic, are bins that the norm does not change: without signal, with
    a background that is not finite, and bins with counts that neither background nor source can
    explain: there Gammapy's statistic is truncated. A source as a whole may be negative.

    Parameters
    ----------
    start : array of int, shape (m + 1,)
        First bin of each problem.
    kind : array of int, shape (n,)
        ``CASH`` or ``WSTAT``.
    rows : array, shape (n, 3)
        Counts and weight; or counts, counts off and alpha.
    background, signal : array, shape (n,)
        Prediction at a norm of 0, and what a norm of 1 adds. For ``WSTAT`` of other sources and of
        this one; the background is profiled out.

    Returns
    -------
    problems : NormProblems
        For the functions of `ctao_sat.kernels.norms`.
    """
    m = start.shape[0] - 1
    first, empty_first = np.zeros(m + 1, dtype=np.int64), np.zeros(m + 1, dtype=np.int64)
    sign = np.ones(m)
    for i in range(m):
        sign[i] = _sign(signal[start[i] : start[i + 1]])
        first[i + 1], empty_first[i + 1] = first[i], empty_first[i]
        for j in range(start[i], start[i + 1]):
            if _is_constant(kind[j], rows[j], background[j], signal[j], sign[i]):
                continue
            if kind[j] == CASH and not rows[j, 0] > 0.0:
                empty_first[i + 1] += 1
            else:
                first[i + 1] += 1
    n, k = first[m], empty_first[m]
    out = NormProblems(
        first,
        np.empty(n, dtype=np.int64),
        np.empty((n, 3)),
        np.empty(n),
        np.empty(n),
        empty_first,
        np.empty(k),
        np.empty(k),
        np.empty((m, 4)),
        np.zeros(m),
    )
    place, empty = 0, 0
    for i in range(m):
        for j in range(start[i], start[i + 1]):
            b, s = background[j], signal[j]
            if kind[j] != CASH:
                out.constant[i] += wstat_constant(rows[j, 0], rows[j, 1])
            if _is_constant(kind[j], rows[j], b, s, sign[i]):
                mu = b if np.isfinite(s) else np.nan
                out.constant[i] += _value(kind[j], rows[j], mu)
            elif kind[j] == CASH and not rows[j, 0] > 0.0:
                out.empty_background[empty] = rows[j, 1] * b
                out.empty_signal[empty] = rows[j, 1] * s
                empty += 1
            else:
                out.kind[place], out.background[place], out.signal[place] = kind[j], b, s
                for column in range(3):
                    out.rows[place, column] = rows[j, column]
                place += 1
        part = slice(empty_first[i], empty_first[i + 1])
        sum_empty(out.empty_background[part], out.empty_signal[part], out.sums[i])
    return out


@kernel
def _sign(signal):
    total = 0.0
    for s in signal:
        if np.isfinite(s):
            total += s
    return -1.0 if total < 0.0 else 1.0


@kernel
def _is_constant(kind, row, background, signal, sign):
    if signal == 0.0 or not (np.isfinite(signal) and np.isfinite(background)):
        return True
    if kind != CASH:
        return False
    # NaN is no weight either.
    no_weight = not row[1] > 0.0
    return no_weight or (row[0] > 0.0 and background <= 0.0 and signal * sign < 0.0)


@kernel
def bins_of(problems, i):
    """Return the bins of one of many problems."""
    part = slice(problems.start[i], problems.start[i + 1])
    empty = slice(problems.empty_start[i], problems.empty_start[i + 1])
    return NormBins(
        problems.kind[part],
        problems.rows[part],
        problems.background[part],
        problems.signal[part],
        problems.empty_background[empty],
        problems.empty_signal[empty],
        problems.sums[i],
    )


@kernel
def _value(kind, row, mu):
    if kind == CASH:
        return cash_value(row[0], row[1], mu)
    return wstat_value(row[0], row[1], row[2], mu)


@kernel
def _empty(bins, norm):
    """Return what bins without counts predict, and its derivative by the norm."""
    total, slope, least, most = bins.sums[0], bins.sums[1], bins.sums[2], bins.sums[3]
    if least <= norm <= most:
        return max(total + norm * slope, 0.0), slope
    total, slope = 0.0, 0.0
    for j in range(bins.empty_signal.shape[0]):
        mu = bins.empty_background[j] + norm * bins.empty_signal[j]
        if mu > 0.0:
            total += mu
            slope += bins.empty_signal[j]
    return total, slope


@kernel
def norm_stat(bins, norm):
    """Return the statistic.

    Parameters
    ----------
    bins : NormBins
        The problem.
    norm : float
        Any number.

    Returns
    -------
    stat : float
        Without its constant. Negative predictions count as none, as in Gammapy.
    """
    total = 2.0 * _empty(bins, norm)[0]
    for j in range(bins.signal.shape[0]):
        total += _value(bins.kind[j], bins.rows[j], bins.background[j] + norm * bins.signal[j])
    return total


@kernel
def norm_slopes(bins, norm):
    """Return the statistic and its first two derivatives by the norm.

    Parameters
    ----------
    bins : NormBins
        The problem.
    norm : float
        Any number.

    Returns
    -------
    stat, first, second : float
        See `norm_stat`.
    """
    empty, slope = _empty(bins, norm)
    total, first, second = 2.0 * empty, 2.0 * slope, 0.0
    for j in range(bins.signal.shape[0]):
        row, s = bins.rows[j], bins.signal[j]
        mu = bins.background[j] + norm * s
        if bins.kind[j] == CASH:
            value, slope, curvature = cash(row[0], row[1], mu)
        else:
            value, slope, curvature = wstat(row[0], row[1], row[2], mu)
        total += value
        first += slope * s
        second += curvature * s * s
    return total, first, second


@kernel
def asimov(bins, norm):
    """Return by how much no source is worse than a source of this norm if data are as it predicts.

    Parameters
    ----------
    bins : NormBins
        The problem.
    norm : float
        Any number.

    Returns
    -------
    ts : float
        Test statistic of counts that are equal to their prediction; counts off are those of
        the data, as in Gammapy.
    """
    total = 0.0
    for j in range(bins.empty_signal.shape[0]):
        b = bins.empty_background[j]
        mu = b + norm * bins.empty_signal[j]
        total += cash_value(mu, 1.0, b) - cash_value(mu, 1.0, mu)
    for j in range(bins.signal.shape[0]):
        row, b = bins.rows[j], bins.background[j]
        mu = b + norm * bins.signal[j]
        if bins.kind[j] == CASH:
            total += cash_value(mu, row[1], b) - cash_value(mu, row[1], mu)
        else:
            n_on = predicted_counts(bins.kind[j], row, mu)
            total += wstat_value(n_on, row[1], row[2], b) - wstat_value(n_on, row[1], row[2], mu)
    return total


@kernel
def predicted_counts(kind, row, mu):
    """Return the counts that are predicted in the on region, never negative; NaN gives 0.

    Parameters
    ----------
    kind, row : int, array
        One bin, as in `split`.
    mu : float
        ``b + norm s``.

    Returns
    -------
    counts : float
        For ``WSTAT`` with the background that is profiled out.
    """
    if kind != CASH:
        mu += row[2] * wstat_background(row[0], row[1], row[2], mu)
    return mu if mu > 0.0 else 0.0


@kernel
def predictions(kind, rows, mu, out):
    """Fill the counts that are predicted in bins.

    Parameters
    ----------
    kind, rows : array
        As in `split`.
    mu : array, shape (n,)
        ``b + norm s``.
    out : array, shape (n,)
        Filled; for ``WSTAT`` with the background that is profiled out. Negative ones are 0.
    """
    for j in range(mu.shape[0]):
        out[j] = predicted_counts(kind[j], rows[j], mu[j])
