"""Best norm, errors, limits and sensitivity of many independent one-dimensional problems.

Each problem is the statistic of counts that are linear in one norm,

    stat(norm) = sum_j phi_j(b_j + norm s_j),

with phi_j the ``cash`` or the ``wstat`` statistic of bin j. It is convex where all bins with counts
predict some: its minimum is the root of its first derivative, found by Newton's method within a
bracket; errors and limits are where it has grown by the square of the number of sigmas.

To use many problems, sort their bins with `split`, then `best_norms`, `crossings`, `statistics_at`
and `sensitivities` fill arrays, one element a problem. `minimum`, `crossing` and `sensitivity` are
for one problem, within another kernel; its bins are a `NormBins`.
"""

import math

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels._norm_bins import (
    NormBins,
    NormProblems,
    asimov,
    bins_of,
    norm_slopes,
    norm_stat,
    predictions,
    split,
    sum_empty,
)
from ctao_sat.kernels.statistics import CASH

__all__ = [
    "AT_LIMIT",
    "EMPTY_DOMAIN",
    "FLAT",
    "NO_CONVERGENCE",
    "NO_SIGNAL",
    "OK",
    "NormBins",
    "NormProblems",
    "best_norms",
    "crossing",
    "crossings",
    "minimum",
    "norm_slopes",
    "norm_stat",
    "predictions",
    "sensitivities",
    "sensitivity",
    "split",
    "statistics_at",
    "sum_empty",
]

#: The minimum is found.
OK = 0
#: There is no curvature at the minimum: no counts tell how far it goes.
FLAT = 1
#: The statistic is smallest at a limit of the norm.
AT_LIMIT = 2
#: No bin depends on the norm.
NO_SIGNAL = 3
#: No norm predicts counts wherever there are some.
EMPTY_DOMAIN = 4
#: The statistic falls without end, or its minimum was not found.
NO_CONVERGENCE = 5

_MOST_STEPS = 200
# Of the error: steps below end the search; the next one would be as small as its square.
_SHARP = 1e-7
# Of the width from the best norm to a crossing, and of brackets.
_CLOSE = 1e-12


@kernel
def _domain(bins, least, most):
    """Return the open interval of norms in which all bins with counts predict some."""
    for j in range(bins.signal.shape[0]):
        if bins.kind[j] == CASH:
            s = bins.signal[j]
            end = -bins.background[j] / s
            if s > 0.0:
                least = max(least, end)
            else:
                most = min(most, end)
    return least, most


@kernel
def _unit(bins):
    """Return the norm that changes the prediction by one count in total; infinite if none does."""
    total = 0.0
    for j in range(bins.signal.shape[0]):
        total += abs(bins.signal[j])
    for j in range(bins.empty_signal.shape[0]):
        total += abs(bins.empty_signal[j])
    return 1.0 / total


@kernel
def _next(x, newton, low, high, unhurried, step):
    """Return where to look next: Newton's choice within the bracket, else its middle, else far.

    Where one end of the bracket is infinite, ``step`` is taken towards it.
    """
    inside = low < newton < high
    finite = low > -np.inf and high < np.inf
    if inside and not (finite and unhurried):
        return newton
    if finite:
        return 0.5 * (low + high)
    return x + step


@kernel
def _is_closed(low, high, unit):
    """Return whether a bracket is too small for another step."""
    width = high - low
    return width < np.inf and width <= _CLOSE * max(abs(low), abs(high), unit)


@kernel
def minimum(bins, start, least, most):
    """Return where the statistic is smallest.

    Parameters
    ----------
    bins : NormBins
        The problem.
    start : float
        Where to begin.
    least, most : float
        Limits of the norm, infinite for none.

    Returns
    -------
    norm, stat, curvature : float
        Best norm, the statistic there without its constant, and its second derivative: the error
        is ``sqrt(2 / curvature)``. Of norms that are equally good, the one nearest to zero; NaN if
        there is no best one.
    status : int
        ``OK``, ``FLAT``, ``AT_LIMIT``, ``NO_SIGNAL``, ``EMPTY_DOMAIN`` or ``NO_CONVERGENCE``.
    """
    unit = _unit(bins)
    if not unit < np.inf:
        return np.nan, norm_stat(bins, 0.0), 0.0, NO_SIGNAL
    low, high = _domain(bins, least, most)
    if not low < high:
        return np.nan, np.nan, np.nan, EMPTY_DOMAIN
    x = start
    if not low < x < high:
        x = 0.5 * (low + high) if high - low < np.inf else max(low + unit, min(high - unit, 0.0))
    step, last, found = unit, np.inf, False
    for _ in range(_MOST_STEPS):
        _, first, second = norm_slopes(bins, x)
        # Of norms that are all best, the one nearest to zero.
        is_flat = first == 0.0 and not second > 0.0
        too_high = x > 0.0 if is_flat else first > 0.0
        if too_high:
            high = x
        else:
            low = x
        newton = x - first / second if second > 0.0 else np.nan
        # Newton's steps must shrink to half, else the middle is better.
        unhurried = not abs(newton - x) < 0.5 * abs(last)
        step *= 2.0
        new = _next(x, newton, low, high, unhurried, -step if too_high else step)
        if second > 0.0 and abs(newton - x) <= _SHARP * math.sqrt(2.0 / second):
            x, found = min(max(newton, least), most), True
            break
        last, x = new - x, new
        if _is_closed(low, high, unit):
            x, found = high, True
            break
    if not found:
        return np.nan, np.nan, np.nan, NO_CONVERGENCE
    return _end(bins, x, least, most, unit)


@kernel
def _end(bins, x, least, most, unit):
    """Return what `minimum` does, for the norm that was found."""
    near = 2.0 * _CLOSE * max(abs(x), unit)
    status = OK
    if x - least <= near:
        x, status = least, AT_LIMIT
    elif most - x <= near:
        x, status = most, AT_LIMIT
    stat, first, second = norm_slopes(bins, x)
    if status == AT_LIMIT and abs(first) <= _SHARP * math.sqrt(2.0 * max(second, 0.0)):
        status = OK
    if status == OK and not second > 0.0:
        status = FLAT
    return x, stat, second, status


@kernel
def crossing(bins, norm, stat, curvature, rise, upwards, least, most):
    """Return where the statistic has grown from its minimum.

    Parameters
    ----------
    bins : NormBins
        The problem.
    norm, stat, curvature : float
        As `minimum` returns them.
    rise : float
        By how much: the square of the number of sigmas.
    upwards : bool
        Whether to look at larger norms, or at smaller ones.
    least, most : float
        Limits of the norm.

    Returns
    -------
    norm : float
        NaN if the statistic does not grow so much.
    """
    target, side = stat + rise, 1.0 if upwards else -1.0
    ends = _domain(bins, least, most)
    end = ends[1] if upwards else ends[0]
    if not (norm - end) * side < 0.0:
        return np.nan
    at_limit = end == (most if upwards else least)
    if at_limit and abs(end) < np.inf and not norm_stat(bins, end) >= target:
        return np.nan
    unit = _unit(bins)
    inner, outer = norm, end
    step = math.sqrt(2.0 * rise / curvature) if curvature > 0.0 else unit
    x, last = norm + side * step, np.inf
    if (x - end) * side >= 0.0:
        x = 0.5 * (norm + end)
    for _ in range(_MOST_STEPS):
        value, first, _ = norm_slopes(bins, x)
        height = value - target
        if height > 0.0:
            outer = x
        else:
            inner = x
        newton = x - height / first if first * side > 0.0 else np.nan
        unhurried = not abs(newton - x) < 0.5 * abs(last)
        step *= 2.0
        new = _next(x, newton, min(inner, outer), max(inner, outer), unhurried, side * step)
        # Beside the end of the domain steps are short, too, but the statistic is far too high.
        if abs(newton - x) <= 1e-10 * abs(newton - norm) and abs(height) < 1e-3 * rise:
            return newton
        last, x = new - x, new
        if _is_closed(min(inner, outer), max(inner, outer), abs(x - norm)):
            return inner
    return np.nan


@kernel
def sensitivity(bins, rise, most):
    """Return the smallest norm of which the test statistic is expected to be so large.

    Parameters
    ----------
    bins : NormBins
        The problem.
    rise : float
        Test statistic: the square of the number of sigmas.
    most : float
        Largest norm.

    Returns
    -------
    norm : float
        For data as predicted; NaN if there is none.
    """
    low, high = 0.0, _unit(bins)
    if not high < np.inf:
        return np.nan
    below, above = -rise, asimov(bins, min(high, most)) - rise
    for _ in range(_MOST_STEPS):
        if above >= 0.0 or high >= most:
            break
        low, below, high = high, above, 2.0 * high
        above = asimov(bins, min(high, most)) - rise
    high = min(high, most)
    if not above >= 0.0:
        return np.nan
    # The square root is nearly linear: false position converges at once, the middle is a safeguard.
    for i in range(_MOST_STEPS):
        a, b = math.sqrt(max(below + rise, 0.0)), math.sqrt(above + rise)
        share = (math.sqrt(rise) - a) / (b - a) if b > a and i % 3 < 2 else 0.5
        x = low + share * (high - low)
        value = asimov(bins, x) - rise
        if value >= 0.0:
            high, above = x, value
        else:
            low, below = x, value
        if high - low <= 1e-10 * high or abs(value) <= 1e-12 * rise:
            return x
    return high


@kernel
def best_norms(problems, limits, start, norm, stat, curvature, status):
    """Fill the best norm of each problem.

    Parameters
    ----------
    problems : NormProblems
        Of `split`.
    limits : array, shape (m, 2)
        Least and largest norm, infinite for none.
    start : array, shape (m,)
        Where to begin.
    norm, stat, curvature : array, shape (m,)
        Filled as by `minimum`, the statistic without its constant.
    status : array of int, shape (m,)
        Filled.
    """
    for i in range(norm.shape[0]):
        norm[i], stat[i], curvature[i], status[i] = minimum(
            bins_of(problems, i), start[i], limits[i, 0], limits[i, 1]
        )


@kernel
def crossings(problems, limits, norm, stat, curvature, rise, upwards, out):
    """Fill where the statistic of each problem has grown from its minimum.

    Parameters
    ----------
    problems, limits, norm, stat, curvature : array
        As for `best_norms`, and as that has filled them.
    rise, upwards : float, bool
        As for `crossing`.
    out : array, shape (m,)
        Filled; NaN where the statistic does not grow so much, or there is no best norm.
    """
    for i in range(norm.shape[0]):
        out[i] = np.nan
        if np.isfinite(norm[i]):
            out[i] = crossing(
                bins_of(problems, i),
                norm[i],
                stat[i],
                curvature[i],
                rise,
                upwards,
                limits[i, 0],
                limits[i, 1],
            )


@kernel
def statistics_at(problems, norms, out):
    """Fill the statistic at given norms.

    Parameters
    ----------
    problems : NormProblems
        Of `split`.
    norms : array, shape (m, k)
        For each problem.
    out : array, shape (m, k)
        Filled, with the constant.
    """
    for i in range(norms.shape[0]):
        bins = bins_of(problems, i)
        for j in range(norms.shape[1]):
            out[i, j] = norm_stat(bins, norms[i, j]) + problems.constant[i]


@kernel
def sensitivities(problems, rise, limits, out):
    """Fill the sensitivity of each problem.

    Parameters
    ----------
    problems : NormProblems
        Of `split`.
    rise : float
        As for `sensitivity`.
    limits : array, shape (m, 2)
        As for `best_norms`.
    out : array, shape (m,)
        Filled.
    """
    for i in range(out.shape[0]):
        out[i] = sensitivity(bins_of(problems, i), rise, limits[i, 1])
