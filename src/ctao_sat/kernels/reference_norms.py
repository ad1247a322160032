"""Problems of one norm, solved plainly: slow, and made to be read and compared with."""

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from ctao_sat.kernels import reference
from ctao_sat.kernels.statistics import CASH

__all__ = ["best_norm", "crossing", "sensitivity", "sort_planes", "statistic"]


def statistic(kind, rows, background, signal, norm: float) -> float:
    """Return the statistic of one problem.

    Parameters
    ----------
    kind, rows, background, signal : array
        As in `ctao_sat.kernels.norms.split`.
    norm : float
        Any number.

    Returns
    -------
    stat : float
        With the terms that depend on the data alone.
    """
    mu = background + norm * signal
    cash = reference.cash(rows[:, 0], rows[:, 1], mu)
    on_off = reference.wstat(rows[:, 0], rows[:, 1], rows[:, 2], mu)
    return float(np.sum(np.where(kind == CASH, cash, on_off)))


def best_norm(kind, rows, background, signal, low: float, high: float) -> float:
    """Return where the statistic is smallest.

    Parameters
    ----------
    kind, rows, background, signal : array
        As in `statistic`.
    low, high : float
        Where to look; all bins with counts predict some in between.

    Returns
    -------
    norm : float
        To eight digits of the interval: the statistic is flat to its rounding below.
    """

    def function(norm: float) -> float:
        return statistic(kind, rows, background, signal, norm)

    found = minimize_scalar(function, bounds=(low, high), method="bounded", options={"xatol": 0})
    return float(found.x)


def crossing(kind, rows, background, signal, norm: float, rise: float, end: float) -> float:
    """Return where the statistic has grown from its minimum.

    Parameters
    ----------
    kind, rows, background, signal : array
        As in `statistic`.
    norm : float
        Where it is smallest.
    rise : float
        By how much.
    end : float
        How far to look.

    Returns
    -------
    norm : float
        NaN if it does not.
    """
    target = statistic(kind, rows, background, signal, norm) + rise

    def height(norm: float) -> float:
        return statistic(kind, rows, background, signal, norm) - target

    return float(brentq(height, norm, end, xtol=1e-14)) if height(end) > 0 else np.nan


def sensitivity(kind, rows, background, signal, rise: float, end: float) -> float:
    """Return the norm of which the test statistic is expected to be so large.

    Parameters
    ----------
    kind, rows, background, signal : array
        As in `statistic`.
    rise : float
        Test statistic.
    end : float
        How far to look.

    Returns
    -------
    norm : float
        NaN if there is none.
    """

    def height(norm: float) -> float:
        mu = background + norm * signal
        off = reference.wstat_background(rows[:, 0], rows[:, 1], rows[:, 2], mu)
        asimov = rows.copy()
        asimov[:, 0] = np.maximum(np.where(kind == CASH, mu, mu + rows[:, 2] * off), 0)
        none = statistic(kind, asimov, background, signal, 0)
        return none - statistic(kind, asimov, background, signal, norm) - rise

    return float(brentq(height, 0, end, xtol=1e-14)) if height(end) > 0 else np.nan


def sort_planes(kind, counts, second, third, mask, background, signal):
    """Return the bins that a source reaches, and sums over the others.

    Parameters
    ----------
    kind, counts, second, third, mask, background, signal : array
        As in `ctao_sat.kernels.norm_planes.sort_planes`.

    Returns
    -------
    start, rows, b, s, others : array
        As there.
    """
    second = second if second.size else np.ones(counts.shape)
    third = third if third.size else np.zeros(counts.shape)
    everything = np.stack([counts, second, third], axis=-1)
    reached, other = mask & (signal != 0), mask & (signal == 0)
    others = np.zeros((len(counts), 3))
    for e in range(len(counts)):
        rows, mu = everything[e, other[e]], background[e, other[e]]
        others[e, 0] = statistic(kind, rows, mu, np.zeros(len(mu)), 0.0)
        if kind != CASH:
            mu = mu + rows[:, 2] * reference.wstat_background(
                rows[:, 0], rows[:, 1], rows[:, 2], mu
            )
        others[e, 1] = np.sum(np.where(mu > 0, mu, 0.0))
        others[e, 2] = np.sum(counts[e, mask[e]])
    start = np.cumsum([0, *np.count_nonzero(reached, axis=1)])
    return start, everything[reached], background[reached], signal[reached], others
