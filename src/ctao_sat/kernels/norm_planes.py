"""Bins of a dataset, energy by energy, sorted by whether one source reaches them."""

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels._norm_bins import predicted_counts
from ctao_sat.kernels.statistics import CASH, cash_value, wstat_constant, wstat_value

__all__ = ["sort_planes"]


@kernel
def sort_planes(kind, counts, second, third, mask, background, signal):
    """Return the bins that a source reaches, and sums over the others.

    Parameters
    ----------
    kind : int
        ``CASH`` or ``WSTAT``.
    counts : array, shape (n_energy, n_pixels)
        Observed.
    second, third : array, shape (n_energy, n_pixels) or (0, 0)
        Weights, or counts off and alpha; weights are 1 if there are none.
    mask : array of bool, shape (n_energy, n_pixels)
        Bins that take part.
    background, signal : array, shape (n_energy, n_pixels)
        Predicted without the source, and of the source.

    Returns
    -------
    start : array of int, shape (n_energy + 1,)
        First bin of each energy in the next three.
    rows, b, s : array, shape (n, 3), (n,) and (n,)
        As for `ctao_sat.kernels.norms.split`.
    others : array, shape (n_energy, 3)
        Statistic and predicted counts of the other bins that take part, and the observed counts
        of all that do.
    """
    n_energy, n_pixels = counts.shape
    start = np.zeros(n_energy + 1, dtype=np.int64)
    for e in range(n_energy):
        start[e + 1] = start[e]
        for i in range(n_pixels):
            if mask[e, i] and signal[e, i] != 0.0:
                start[e + 1] += 1
    n = start[n_energy]
    rows, b, s = np.zeros((n, 3)), np.empty(n), np.empty(n)
    others = np.zeros((n_energy, 3))
    row, place = np.zeros(3), 0
    for e in range(n_energy):
        for i in range(n_pixels):
            if not mask[e, i]:
                continue
            row[0] = counts[e, i]
            row[1] = second[e, i] if second.size > 0 else 1.0
            row[2] = third[e, i] if third.size > 0 else 0.0
            others[e, 2] += row[0]
            mu = background[e, i]
            if signal[e, i] != 0.0:
                rows[place] = row
                b[place], s[place] = mu, signal[e, i]
                place += 1
                continue
            if kind == CASH:
                others[e, 0] += cash_value(row[0], row[1], mu)
            else:
                others[e, 0] += wstat_value(row[0], row[1], row[2], mu)
                others[e, 0] += wstat_constant(row[0], row[1])
            others[e, 1] += predicted_counts(kind, row, mu)
    return start, rows, b, s, others
