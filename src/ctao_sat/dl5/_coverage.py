"""How often intervals hold the truth, exactly, for counts in one bin."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table
from scipy.stats import norm, poisson

from ctao_sat.errors import ConfigError
from ctao_sat.kernels.norms import best_norms, crossings, split
from ctao_sat.kernels.statistics import CASH, WSTAT

__all__ = ["exact_coverage"]

# Outcomes that are left out have together a smaller probability.
_RARE = 1e-10


def exact_coverage(
    signal: float | Sequence[float] | np.ndarray,
    background: float,
    alpha: float | None = None,
    *,
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
) -> Table:
    """Return how often errors and upper limits hold the true counts of a signal.

    All outcomes of a counting experiment are enumerated, each with its Poisson probability: no
    toys, no statistical uncertainty. Errors and limits are those of `flux_points`,
    `asymmetric_errors` and `upper_limit`.

    Parameters
    ----------
    signal : float or array, shape (n,)
        True expected counts of the source.
    background : float
        Expected counts of the background in the on region.
    alpha : float, optional
        Ratio of the exposures of the on and the off region, for a background that is measured
        (``wstat``); without it the background is known (``cash``).
    n_sigma : float
        Of the errors.
    n_sigma_ul : float
        Of the upper limits.

    Returns
    -------
    table : `~astropy.table.Table`, n rows
        Column "signal", and the probability that the truth is held by "symmetric errors" (from the
        second derivative), "asymmetric errors" (from the profile), "upper limit" (counted from the
        best value) and "upper limit from 0" (``border=0``). An outcome without an error, or
        without a limit, does not hold it. What each claims is in ``meta["nominal"]``.

    Raises
    ------
    ConfigError
        If a number of counts is negative, or alpha is not positive.

    Notes
    -----
    Counts are whole numbers: the coverage jumps with the signal, up and down around what an
    interval claims, and no interval that is a function of the counts can avoid that.

    Examples
    --------
    >>> from ctao_sat.dl5 import exact_coverage
    >>> table = exact_coverage([3, 100], background=2)
    >>> print(", ".join(f"{value:.3f}" for value in table["asymmetric errors"]))
    0.741, 0.698
    """
    signal = np.atleast_1d(np.asarray(signal, dtype=float))
    if not (np.all(signal >= 0) and background >= 0) or not (alpha is None or alpha > 0):
        raise ConfigError(
            f"Coverage for a background of {background} and alpha {alpha}.",
            remedy="Take counts that are not negative, and a positive alpha.",
        )
    on, off = _outcomes(signal, background, alpha)
    intervals = _intervals(on, off, background, alpha, n_sigma, n_sigma_ul)
    table = Table({"signal": signal})
    chance = poisson.pmf(on, signal[:, None] + background)
    if alpha is not None:
        chance *= poisson.pmf(off, background / alpha)
    for kind, (low, high) in intervals.items():
        inside = (low <= signal[:, None]) & (signal[:, None] <= high)
        table[kind] = np.sum(chance * inside, axis=1) / np.sum(chance, axis=1)
    errors, limit = 2 * norm.cdf(n_sigma) - 1, norm.cdf(n_sigma_ul)
    claims = (errors, errors, limit, limit)
    table.meta["nominal"] = dict(zip(intervals, map(float, claims), strict=True))
    return table


def _outcomes(
    signal: np.ndarray, background: float, alpha: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of all outcomes that may be, on and off, shape (m,)."""
    low = poisson.ppf(_RARE, signal.min() + background)
    high = poisson.isf(_RARE, signal.max() + background)
    on = np.arange(low, high + 1)
    if alpha is None:
        return on, np.zeros(len(on))
    mean = background / alpha
    off = np.arange(poisson.ppf(_RARE, mean), poisson.isf(_RARE, mean) + 1)
    pairs = np.meshgrid(on, off, indexing="ij")
    return pairs[0].ravel(), pairs[1].ravel()


def _intervals(
    on: np.ndarray,
    off: np.ndarray,
    background: float,
    alpha: float | None,
    n_sigma: float,
    n_sigma_ul: float,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the ends of all intervals for each outcome, each of shape (m,); NaN if none."""
    m = len(on)
    kind = np.full(m, CASH if alpha is None else WSTAT)
    rows = np.column_stack([on, np.ones(m) if alpha is None else off, np.full(m, alpha or 0.0)])
    known = np.full(m, background if alpha is None else 0.0)
    problems = split(np.arange(m + 1), kind, rows, known, np.ones(m))
    best, error, low, high = _ends(problems, m, -np.inf, n_sigma)
    below = np.full(m, -np.inf)
    return {
        "symmetric errors": (best - n_sigma * error, best + n_sigma * error),
        # Where the statistic does not rise so far below, the interval is open.
        "asymmetric errors": (np.where(np.isnan(low), -np.inf, low), high),
        "upper limit": (below, _ends(problems, m, -np.inf, n_sigma_ul)[3]),
        "upper limit from 0": (below, _ends(problems, m, 0.0, n_sigma_ul)[3]),
    }


def _ends(problems, m: int, least: float, n_sigma: float) -> tuple[np.ndarray, ...]:
    """Return best norms, their errors, and where the statistic has risen below and above."""
    limits = np.tile([least, np.inf], (m, 1))
    best, stat, curvature, low, high = np.empty((5, m))
    best_norms(problems, limits, np.zeros(m), best, stat, curvature, np.empty(m, dtype=np.int64))
    for upwards, out in ((False, low), (True, high)):
        crossings(problems, limits, best, stat, curvature, n_sigma**2, upwards, out)
    error = np.sqrt(2 / np.where(curvature > 0, curvature, np.nan))
    return best, error, low, high
