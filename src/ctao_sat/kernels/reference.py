"""The formulas of the kernels, written plainly: slow, and made to be read and compared with."""

import math

import numpy as np

from ctao_sat.kernels.poisson import LOG_TRUNCATION, TRUNCATION
from ctao_sat.kernels.statistics import CASH

# -- statistics -----------------------------------------------------------------------------------


def cash(n: np.ndarray, w: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return the Cash statistic of bins, 2 w (mu - n ln mu).

    Parameters
    ----------
    n, w, mu : array, shape (n,)
        Observed counts, weights and predicted counts.

    Returns
    -------
    stat : array, shape (n,)
        Bins without weight have none; predictions that are not larger than `TRUNCATION` are
        truncated.
    """
    kept = mu > TRUNCATION
    safe = np.where(kept, mu, TRUNCATION)
    log = np.where(kept, np.log(safe), LOG_TRUNCATION)
    stat = 2 * w * (safe - np.where(n > 0, n * log, 0.0))
    return np.where(w > 0, stat, 0.0)


def wstat(n_on: np.ndarray, n_off: np.ndarray, alpha: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return the on-off statistic of bins, with the terms that depend on the data alone.

    Parameters
    ----------
    n_on, n_off, alpha, mu : array, shape (n,)
        Counts in the on and in the off region, ratio of their exposures, predicted signal.

    Returns
    -------
    stat : array, shape (n,)
        0 where the formula gives NaN, the largest number where it gives infinity.
    """
    with np.errstate(all="ignore"):
        background = wstat_background(n_on, n_off, alpha, mu)
        on, off = _n_log(n_on, mu + alpha * background), _n_log(n_off, background)
        stat = 2 * (mu + (1 + alpha) * background - on - off)
        constant = 2 * (_n_log(n_on, n_on) - n_on + _n_log(n_off, n_off) - n_off)
    return np.nan_to_num(stat + constant)


def wstat_background(
    n_on: np.ndarray, n_off: np.ndarray, alpha: np.ndarray, mu: np.ndarray
) -> np.ndarray:
    """Return the background that maximises the likelihood of an on-off measurement.

    Parameters
    ----------
    n_on, n_off, alpha, mu : array, shape (n,)
        As in `wstat`.

    Returns
    -------
    background : array, shape (n,)
        Predicted counts in the off region: the larger root of
        ``alpha (1 + alpha) b^2 - c b - n_off mu = 0``, with
        ``c = alpha (n_on + n_off) - (1 + alpha) mu``.
    """
    with np.errstate(all="ignore"):
        c = alpha * (n_on + n_off) - (1 + alpha) * mu
        root = np.sqrt(c**2 + 4 * alpha * (1 + alpha) * n_off * mu)
        return (c + root) / (2 * alpha * (1 + alpha))


def _n_log(n: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.where(n == 0, 0.0, n * np.log(x))


def chi2(y: np.ndarray, sigma: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return ((y - mu) / sigma)^2.

    Parameters
    ----------
    y, sigma, mu : array, shape (n,)
        Fluxes, their errors and their predictions.

    Returns
    -------
    stat : array, shape (n,)
        The statistic of each flux.
    """
    return ((y - mu) / sigma) ** 2


def distrib(rows: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return the statistic of fluxes with asymmetric errors, and of upper limits.

    Parameters
    ----------
    rows : array, shape (n, 6)
        Flux, error up, error down, is valid, is limit, limit.
    mu : array, shape (n,)
        Predicted fluxes.

    Returns
    -------
    stat : array, shape (n,)
        0 where there is neither flux nor limit, or NaN.
    """
    y, up, down, is_valid, is_limit, limit = rows.T
    erfc = np.vectorize(math.erfc, otypes=[float])
    with np.errstate(all="ignore"):
        stat = np.where(is_valid != 0, chi2(y, np.where(mu >= y, up, down), mu), 0.0)
        tail = 2 * np.log(erfc((limit - mu) / limit) / erfc(1.0))
    stat = np.where(is_limit != 0, tail, stat)
    return np.where(np.isnan(stat), 0.0, stat)


def profile(breaks: np.ndarray, coefficients: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return a profile of the statistic that is a polynomial between breaks.

    Parameters
    ----------
    breaks : array, shape (m + 1,)
        Where the pieces meet, in increasing order; the outer ones extend beyond.
    coefficients : array, shape (m, 3)
        In increasing powers of the distance from the break before.
    mu : array, shape (n,)
        Predicted fluxes, over the reference flux.

    Returns
    -------
    stat : array, shape (n,)
        The statistic of each flux.
    """
    piece = np.clip(np.searchsorted(breaks, mu, side="right") - 1, 0, len(coefficients) - 1)
    x = mu - breaks[piece]
    return np.sum(coefficients[piece] * x[:, np.newaxis] ** np.arange(3), axis=1)


# -- binned data ----------------------------------------------------------------------------------


def response_matrix(arrays) -> np.ndarray:
    """Return the matrix M of binned data whose prediction is ``offset + M f``.

    Parameters
    ----------
    arrays : `~ctao_sat.kernels.counts.CountsArrays`
        Compiled data.

    Returns
    -------
    matrix : array, shape (n_bins, n_f)
        Dense.
    """
    matrix = np.zeros((len(arrays.offset), len(arrays.implicit)))
    for column, n_columns, row, n_rows, first, _ in arrays.blocks:
        values = arrays.values[first : first + n_columns * n_rows].reshape(n_columns, n_rows)
        for c in range(n_columns):
            for r in range(n_rows):
                matrix[arrays.row_bin[row + r], column + c] += values[c, r]
    return matrix


def counts_statistic(arrays, f: np.ndarray) -> float:
    """Return the statistic of binned data with ``cash`` or ``wstat`` bins.

    Parameters
    ----------
    arrays : `~ctao_sat.kernels.counts.CountsArrays`
        Compiled data.
    f : array, shape (n_f,)
        Spectra.

    Returns
    -------
    stat : float
        Without the terms of on-off data that depend on the counts alone.
    """
    mu = arrays.offset + response_matrix(arrays) @ f
    total = float(arrays.implicit @ f)
    for first, last, kind in arrays.segments:
        rows, part = arrays.rows[first:last], mu[first:last]
        if kind == CASH:
            total += cash(rows[:, 0], rows[:, 1], part).sum()
        else:
            n_on, n_off = rows[:, 0], rows[:, 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                constant = 2 * (_n_log(n_on, n_on) - n_on + _n_log(n_off, n_off) - n_off)
            total += (wstat(n_on, n_off, rows[:, 2], part) - constant).sum()
    return total
