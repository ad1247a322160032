"""The fit statistic of one bin of any kind, with its first and second derivative.

A statistic is -2 ln L of a bin as a function of ``mu``, what the model predicts there. The data of
a bin are a row of six numbers, and what they mean depends on the kind of its statistic:

===========  ==================================================  ==================================
kind         row                                                 ``mu``
===========  ==================================================  ==================================
``CASH``     counts, weight                                      predicted counts
``WSTAT``    counts, counts off, alpha                           predicted counts of the signal
``CHI2``     flux, error                                         predicted flux, in the same unit
``DISTRIB``  flux, error up, error down, is valid, is limit,     predicted flux, in the same unit
             limit
``PROFILE``  start in the table, number of pieces                predicted flux over the reference
                                                                 flux
===========  ==================================================  ==================================
"""

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.fluxes import (
    chi2,
    chi2_value,
    distrib,
    distrib_value,
    profile,
    profile_value,
)
from ctao_sat.kernels.poisson import (
    LOG_TRUNCATION,
    TRUNCATION,
    cash,
    cash_value,
    wstat,
    wstat_background,
    wstat_constant,
    wstat_value,
    wstat_weight,
)

__all__ = [
    "CASH",
    "CHI2",
    "DISTRIB",
    "LOG_TRUNCATION",
    "PROFILE",
    "TRUNCATION",
    "WSTAT",
    "bin_fisher",
    "bin_stat",
    "bin_value",
    "cash",
    "cash_value",
    "chi2",
    "chi2_value",
    "distrib",
    "distrib_value",
    "profile",
    "profile_value",
    "wstat",
    "wstat_background",
    "wstat_constant",
    "wstat_value",
    "wstat_weight",
]

CASH = 0
WSTAT = 1
CHI2 = 2
DISTRIB = 3
PROFILE = 4


@kernel
def bin_value(kind, row, tables, mu):
    """Return the statistic of a bin of any kind.

    Parameters
    ----------
    kind : int
        ``CASH``, ``WSTAT``, ``CHI2``, ``DISTRIB`` or ``PROFILE``.
    row : ndarray, shape (6,)
        The data of the bin, as the table of this module has them.
    tables : ndarray, shape (n,)
        Tabulated profiles, see `profile_value`; other kinds do not read it.
    mu : float
        What the model predicts.

    Returns
    -------
    value : float
        The statistic.
    """
    if kind == CASH:
        return cash_value(row[0], row[1], mu)
    if kind == WSTAT:
        return wstat_value(row[0], row[1], row[2], mu)
    if kind == CHI2:
        return chi2_value(row[0], row[1], mu)
    if kind == DISTRIB:
        return distrib_value(row[0], row[1], row[2], row[3], row[4], row[5], mu)
    return profile_value(int(row[0]), int(row[1]), tables, mu)


@kernel
def bin_stat(kind, row, tables, mu):
    """Return the statistic of a bin of any kind and its two derivatives with respect to ``mu``.

    Parameters
    ----------
    kind, row, tables, mu : number or array
        As in `bin_value`.

    Returns
    -------
    value, first, second : float
        The statistic and its derivatives.
    """
    if kind == CASH:
        return cash(row[0], row[1], mu)
    if kind == WSTAT:
        return wstat(row[0], row[1], row[2], mu)
    if kind == CHI2:
        return chi2(row[0], row[1], mu)
    if kind == DISTRIB:
        return distrib(row[0], row[1], row[2], row[3], row[4], row[5], mu)
    return profile(int(row[0]), int(row[1]), tables, mu)


@kernel
def bin_fisher(kind, row, tables, mu):
    """Return the second derivative of the statistic that is expected if the prediction is true.

    Parameters
    ----------
    kind, row, tables, mu : number or array
        As in `bin_value`.

    Returns
    -------
    curvature : float
        Twice the Fisher information, never negative. Profiles and limits do not say what other
        data would give: theirs is the second derivative itself where that is positive.
    """
    if kind == CASH:
        return 2.0 * row[1] / mu if mu > TRUNCATION and row[1] > 0.0 else 0.0
    if kind == WSTAT:
        return 2.0 * wstat_weight(row[0], row[1], row[2], mu)
    _, _, second = bin_stat(kind, row, tables, mu)
    return second if second > 0.0 else 0.0
