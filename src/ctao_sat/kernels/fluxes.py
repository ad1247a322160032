"""Statistics of one flux point, with their first and second derivatives.

Every function takes and returns numbers, so that a compiled pass over all points can inline it.

References
----------
Mohanty et al. (2013), ApJ 773, 168, appendix C, for upper limits.
"""

import math

from ctao_sat.kernels._jit import kernel

__all__ = ["chi2", "chi2_value", "distrib", "distrib_value", "profile", "profile_value"]

_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)


@kernel
def chi2_value(y, sigma, mu):
    """Return the square of the deviation of a flux from its prediction, in units of the error.

    Parameters
    ----------
    y, sigma, mu : float
        Flux, its error and its prediction, in one unit.

    Returns
    -------
    value : float
        ``((y - mu) / sigma)^2``.
    """
    pull = (y - mu) / sigma
    return pull * pull


@kernel
def chi2(y, sigma, mu):
    """Return the statistic of `chi2_value` and its two derivatives with respect to ``mu``.

    Parameters
    ----------
    y, sigma, mu : float
        As in `chi2_value`.

    Returns
    -------
    value, first, second : float
        The statistic and its derivatives.
    """
    pull = (y - mu) / sigma
    return pull * pull, -2.0 * pull / sigma, 2.0 / (sigma * sigma)


@kernel
def distrib_value(y, errp, errn, is_valid, is_ul, ul, mu):
    """Return the statistic of a flux with asymmetric errors, or of an upper limit.

    Parameters
    ----------
    y, errp, errn : float
        Flux and its errors towards larger and smaller fluxes.
    is_valid, is_ul : float
        Whether there is a flux, and whether there is an upper limit, which comes first; else
        the bin counts as 0.
    ul : float
        The upper limit.
    mu : float
        Predicted flux, in the same unit.

    Returns
    -------
    value : float
        ``((mu - y) / error)^2``, or for a limit ``2 ln(erfc((ul - mu) / ul) / erfc(1))``. If NaN,
        it is 0. It can be -infinity, for predictions far below zero.
    """
    value = 0.0
    if is_ul != 0.0:
        value = 2.0 * math.log(math.erfc((ul - mu) / ul) / math.erfc(1.0))
    elif is_valid != 0.0:
        value = chi2_value(y, errp if mu >= y else errn, mu)
    return 0.0 if math.isnan(value) else value


@kernel
def distrib(y, errp, errn, is_valid, is_ul, ul, mu):
    """Return the statistic of `distrib_value` and its two derivatives with respect to ``mu``.

    Parameters
    ----------
    y, errp, errn, is_valid, is_ul, ul, mu : float
        As in `distrib_value`.

    Returns
    -------
    value, first, second : float
        Both derivatives are 0 where the statistic is not defined or not finite. Those of a limit
        are positive and negative: the larger the prediction, the larger the statistic.
    """
    value = distrib_value(y, errp, errn, is_valid, is_ul, ul, mu)
    first = 0.0
    second = 0.0
    if is_ul != 0.0:
        z = (ul - mu) / ul
        # Minus the slope of ln erfc(z), at least 2 z.
        slope = _TWO_OVER_SQRT_PI * math.exp(-z * z) / math.erfc(z)
        first = 2.0 * slope / ul
        second = 2.0 * slope * (2.0 * z - slope) / (ul * ul)
    elif is_valid != 0.0:
        _, first, second = chi2(y, errp if mu >= y else errn, mu)
    if not (abs(value) < math.inf and abs(first) < math.inf and abs(second) < math.inf):
        return value, 0.0, 0.0
    return value, first, second


@kernel
def _find_piece(tables, start, pieces, mu):
    """Return the piece of a profile that holds a flux; the first and the last one extend beyond.

    Parameters
    ----------
    tables : ndarray
        See `profile_value`.
    start, pieces : int
        Where the breaks start, and how many pieces there are between them.
    mu : float
        Predicted flux.

    Returns
    -------
    piece : int
        From 0 to ``pieces - 1``.
    """
    low = 0
    high = pieces
    while high - low > 1:
        middle = (low + high) // 2
        if mu >= tables[start + middle]:
            low = middle
        else:
            high = middle
    return low


@kernel
def profile_value(start, pieces, tables, mu):
    """Return a tabulated profile of the statistic, a polynomial of second degree per piece.

    Parameters
    ----------
    start, pieces : int
        Where the table of the bin starts, and how many pieces it has.
    tables : ndarray, shape (n,)
        From ``start`` on: the ``pieces + 1`` breaks in increasing order, then for each piece the
        coefficients of ``(mu - break)^0``, ``(mu - break)^1`` and ``(mu - break)^2``.
    mu : float
        Predicted flux over the reference flux.

    Returns
    -------
    value : float
        The statistic; NaN if ``mu`` is.
    """
    piece = _find_piece(tables, start, pieces, mu)
    c = start + pieces + 1 + 3 * piece
    x = mu - tables[start + piece]
    return tables[c] + x * (tables[c + 1] + x * tables[c + 2])


@kernel
def profile(start, pieces, tables, mu):
    """Return the statistic of `profile_value` and its two derivatives with respect to ``mu``.

    Parameters
    ----------
    start, pieces, tables, mu : number or array
        As in `profile_value`.

    Returns
    -------
    value, first, second : float
        At a break, those of the piece above it.
    """
    piece = _find_piece(tables, start, pieces, mu)
    c = start + pieces + 1 + 3 * piece
    x = mu - tables[start + piece]
    value = tables[c] + x * (tables[c + 1] + x * tables[c + 2])
    return value, tables[c + 1] + 2.0 * x * tables[c + 2], 2.0 * tables[c + 2]
