"""Statistics of counts in one bin, with their first and second derivatives.

Every function takes and returns numbers, so that a compiled pass over all bins can inline it. What
Gammapy does with numbers that are not finite, negative or zero is part of its definition of a
statistic and is kept; where only rounding decides what Gammapy returns, the exact result is given.

References
----------
Cash (1979), ApJ 228, 939, and the appendix on statistics of the manual of XSPEC for the statistic
with a background profiled out.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel

__all__ = [
    "LOG_TRUNCATION",
    "TRUNCATION",
    "cash",
    "cash_value",
    "wstat",
    "wstat_background",
    "wstat_constant",
    "wstat_value",
    "wstat_weight",
]

#: Predicted counts that a bin has at least.
TRUNCATION = 1e-25
#: Its logarithm, of the number in single precision: that is what Gammapy's compiled sum takes.
LOG_TRUNCATION = math.log(float(np.float32(TRUNCATION)))

_MAX = float(np.finfo(np.float64).max)


@kernel
def cash_value(n, w, mu):
    """Return the Cash statistic of a bin, 2 w (mu - n ln mu).

    Parameters
    ----------
    n : float
        Observed counts; the logarithm is taken only if they are positive.
    w : float
        Weight of the bin: 1, or 0 where the bin does not take part.
    mu : float
        Predicted counts. Up to `TRUNCATION`, and if NaN, they are `TRUNCATION`.

    Returns
    -------
    value : float
        The statistic.
    """
    if not w > 0.0:
        return 0.0
    if mu > TRUNCATION:
        if n > 0.0:
            return 2.0 * w * (mu - n * math.log(mu))
        return 2.0 * w * mu
    if n > 0.0:
        return 2.0 * w * (TRUNCATION - n * LOG_TRUNCATION)
    return 2.0 * w * TRUNCATION


@kernel
def cash(n, w, mu):
    """Return the Cash statistic of a bin and its two derivatives with respect to ``mu``.

    Parameters
    ----------
    n, w, mu : float
        As in `cash_value`.

    Returns
    -------
    value, first, second : float
        Both derivatives are 0 where ``mu`` is truncated.
    """
    value = cash_value(n, w, mu)
    if not (w > 0.0 and mu > TRUNCATION):
        return value, 0.0, 0.0
    if n > 0.0:
        ratio = n / mu
        return value, 2.0 * w * (1.0 - ratio), 2.0 * w * ratio / mu
    return value, 2.0 * w, 0.0


@kernel
def _profile_background(n_on, n_off, alpha, mu):
    """Return what the background profiled out predicts in the two regions, and two auxiliaries.

    With ``b = mu + alpha * background``, the background that maximises the likelihood solves
    ``alpha n_on / b + n_off / background = 1 + alpha``, which is quadratic in it. Written with
    ``e = (1 + alpha) mu + alpha (n_off - n_on)``, the discriminant ``e^2 + 4 alpha^2 n_on n_off``
    is a sum of squares, and neither root needs a difference of large numbers, whatever the sign
    of ``mu``.

    Parameters
    ----------
    n_on, n_off, alpha, mu : float
        As in `wstat_value`, ``alpha`` positive.

    Returns
    -------
    on, off, e, root : float
        Predicted counts in the on region, ``b``, and in the off region; ``e`` and the root of
        the discriminant.
    """
    e = (1.0 + alpha) * mu + alpha * (n_off - n_on)
    root = math.sqrt(e * e + 4.0 * alpha * alpha * n_on * n_off)
    if e < 0.0:
        s = root - e
        on = alpha * n_on * (1.0 + 2.0 * alpha * n_off / s) / (1.0 + alpha)
        off = (2.0 * alpha * n_off + s) / (2.0 * alpha * (1.0 + alpha))
        return on, off, e, root
    s = root + e
    on = (2.0 * alpha * n_on + s) / (2.0 * (1.0 + alpha))
    # At s = 0 one of the counts is zero, and the product has no limit to take.
    factor = 1.0 + 2.0 * alpha * n_on / s if s > 0.0 else 1.0
    return on, n_off * factor / (1.0 + alpha), e, root


@kernel
def _wstat_finite(n_on, n_off, on, off):
    """Return the statistic for given predictions in the on and the off region.

    Parameters
    ----------
    n_on, n_off : float
        Observed counts.
    on, off : float
        Predicted counts.

    Returns
    -------
    value : float
        Not finite where no answer is defined.
    """
    value = on + off
    if n_on > 0.0:
        value -= n_on * math.log(on)
    if n_off > 0.0:
        value -= n_off * math.log(off)
    return 2.0 * value


@kernel
def _wstat_literal(n_on, n_off, alpha, mu):
    """Return the statistic where it is not defined: as Gammapy's formula has it.

    The formula then gives NaN, which counts as 0, or infinity, which counts as the largest
    number. Both stand for the statistic with the terms that depend on the data alone, which are
    therefore subtracted.

    Parameters
    ----------
    n_on, n_off, alpha, mu : float
        As in `wstat_value`.

    Returns
    -------
    value : float
        The statistic, always finite.
    """
    c = alpha * (n_on + n_off) - (1.0 + alpha) * mu
    d = math.sqrt(c * c + 4.0 * alpha * (alpha + 1.0) * n_off * mu)
    background = (c + d) / (2.0 * alpha * (alpha + 1.0))
    value = mu + (1.0 + alpha) * background
    if n_on != 0.0:
        value -= n_on * math.log(mu + alpha * background)
    if n_off != 0.0:
        value -= n_off * math.log(background)
    constant = wstat_constant(n_on, n_off)
    total = 2.0 * value + constant
    if math.isnan(total):
        total = 0.0
    # The counts may be NaN as well, and then there is no constant either.
    constant = 0.0 if math.isnan(constant) else constant
    return min(max(total, -_MAX), _MAX) - constant


@kernel
def wstat_constant(n_on, n_off):
    """Return the terms of the on-off statistic that depend on the data alone.

    They turn -2 ln L into a measure of the goodness of fit: with them the statistic of a perfect
    prediction is 0.

    Parameters
    ----------
    n_on, n_off : float
        Observed counts in the on and in the off region.

    Returns
    -------
    constant : float
        ``2 (n_on (ln n_on - 1) + n_off (ln n_off - 1))``, without the terms of zero counts.
    """
    constant = 0.0
    if n_on != 0.0:
        constant -= n_on * (1.0 - math.log(n_on))
    if n_off != 0.0:
        constant -= n_off * (1.0 - math.log(n_off))
    return 2.0 * constant


@kernel
def wstat_value(n_on, n_off, alpha, mu):
    """Return the on-off statistic of a bin, its background profiled out.

    Together with `wstat_constant` it is Gammapy's statistic, in which a bin without a defined
    result counts as 0. The signal may be negative.

    Parameters
    ----------
    n_on, n_off : float
        Observed counts in the on and in the off region.
    alpha : float
        Ratio of the exposures of the on and the off region.
    mu : float
        Predicted counts of the signal.

    Returns
    -------
    value : float
        ``2 (mu + (1 + alpha) b - n_on ln(mu + alpha b) - n_off ln b)`` at the best ``b``.
    """
    if alpha > 0.0:
        on, off, _, _ = _profile_background(n_on, n_off, alpha, mu)
        value = _wstat_finite(n_on, n_off, on, off)
        if abs(value) < math.inf:
            return value
    return _wstat_literal(n_on, n_off, alpha, mu)


@kernel
def wstat(n_on, n_off, alpha, mu):
    """Return the on-off statistic of a bin and its two derivatives with respect to the signal.

    Parameters
    ----------
    n_on, n_off, alpha, mu : float
        As in `wstat_value`.

    Returns
    -------
    value, first, second : float
        Both derivatives are 0 where the statistic is not defined; at a point where the second
        one jumps it is the one for a larger signal.
    """
    if alpha > 0.0:
        on, off, e, root = _profile_background(n_on, n_off, alpha, mu)
        value = _wstat_finite(n_on, n_off, on, off)
        if abs(value) < math.inf:
            if e < 0.0:
                s = root - e
                # n_on / on: this form also holds where both are zero.
                ratio = (1.0 + alpha) / (alpha * (1.0 + 2.0 * alpha * n_off / s))
                second = 4.0 * (alpha * ratio) ** 2 * n_off / (root * s)
            else:
                ratio = n_on / on if n_on > 0.0 else 0.0
                slope = 0.5 * (1.0 + e / root) if root > 0.0 else 1.0
                second = 2.0 * ratio / on * slope if n_on > 0.0 else 0.0
            return value, 2.0 * (1.0 - ratio), second
    return _wstat_literal(n_on, n_off, alpha, mu), 0.0, 0.0


@kernel
def wstat_background(n_on, n_off, alpha, mu):
    """Return the predicted counts of the off region that the on-off statistic profiles out.

    Parameters
    ----------
    n_on, n_off, alpha, mu : float
        As in `wstat_value`.

    Returns
    -------
    background : float
        Predicted counts in the off region; NaN if ``alpha`` is not positive.
    """
    if alpha > 0.0:
        return _profile_background(n_on, n_off, alpha, mu)[1]
    return math.nan


@kernel
def wstat_weight(n_on, n_off, alpha, mu):
    """Return the Fisher information of a bin on its signal, the background profiled out.

    With the predictions ``on`` and ``off`` it is ``I_ss - I_sb^2 / I_bb``, where
    ``I_ss = 1 / on``, ``I_sb = alpha / on`` and ``I_bb = alpha^2 / on + 1 / off``.

    Parameters
    ----------
    n_on, n_off, alpha, mu : float
        As in `wstat_value`.

    Returns
    -------
    weight : float
        ``1 / (mu + alpha (1 + alpha) background)``, half of the second derivative that is
        expected; 0 where it is not defined.
    """
    if not alpha > 0.0:
        return 0.0
    on, off, _, _ = _profile_background(n_on, n_off, alpha, mu)
    variance = on + alpha * alpha * off
    return 1.0 / variance if variance > 0.0 else 0.0
