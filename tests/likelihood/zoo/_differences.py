"""Derivatives by central differences of eighth order, with an estimate of their error.

The weights are those of B. Fornberg, Mathematics of Computation 51 (1988) 699, table 1.
"""

import numpy as np

OFFSETS = np.arange(1, 5)
FIRST = np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
SECOND_CENTER = -205 / 72
SECOND = np.array([8 / 5, -1 / 5, 8 / 315, -1 / 560])
# All multiples of half a step that a full and a half step need.
HALVES = np.array([1, 2, 3, 4, 6, 8])


def _samples(function, step):
    """Return values at all needed points on both sides, by their distance in half steps."""
    return {int(n): (function(n * step / 2), function(-n * step / 2)) for n in HALVES}


def _first(samples, step, multiple):
    pairs = [samples[multiple * k] for k in OFFSETS]
    terms = [
        w * (np.asarray(up) - np.asarray(down)) for w, (up, down) in zip(FIRST, pairs, strict=True)
    ]
    return sum(terms) / (multiple * step / 2)


def _second(samples, center, step, multiple):
    pairs = [samples[multiple * k] for k in OFFSETS]
    terms = [w * (up + down) for w, (up, down) in zip(SECOND, pairs, strict=True)]
    return (sum(terms) + SECOND_CENTER * center) / (multiple * step / 2) ** 2


def derivative(function, x, index, step, enough, expected=None):
    """Return the derivative of a function by one of its arguments, and its error.

    Parameters
    ----------
    function : callable
        Of an array; returns a number or an array.
    x : array, shape (n,)
        Where.
    index : int
        Of the argument.
    step : float
        The largest step; three smaller ones are tried until the error is small enough.
    enough : float or array
        Error that is small enough.
    expected : float or array, optional
        Where the result is off, smaller steps are tried, too: a kink nearer than the first of all
        points does not show in the error.

    Returns
    -------
    value, error : float or array
        The error is the difference between a step and half of it; if no step is good enough, as
        next to a kink, it is the range of the results of all steps.
    """
    direction = np.zeros(len(x))
    direction[index] = 1
    values = []
    for factor in (1, 0.2, 0.04, 0.008):
        samples = _samples(lambda t: function(x + t * direction), factor * step)
        value = _first(samples, factor * step, 1)
        error = np.abs(value - _first(samples, factor * step, 2))
        near = expected is None or np.all(np.abs(value - expected) <= 3 * np.asarray(enough))
        if near and np.all(error <= enough):
            return value, error
        values.append(value)
    return value, np.ptp(values, axis=0)


def directional(function, enough):
    """Return first and second derivative of a function of one number at zero, with errors.

    Parameters
    ----------
    function : callable
        Of a number; a step of one is the largest that is good.
    enough : tuple of float
        Errors that are small enough.

    Returns
    -------
    first, second : tuple of float
        Each with its error, as in `derivative`.
    """
    center, firsts, seconds = function(0.0), [], []
    for step in (1.0, 0.2, 0.04, 0.008):
        samples = _samples(function, step)
        first = _first(samples, step, 1), _first(samples, step, 2)
        second = _second(samples, center, step, 1), _second(samples, center, step, 2)
        # The second difference suffers more from rounding: the longer step is the better one.
        errors = abs(first[0] - first[1]), abs(second[0] - second[1])
        if errors[0] <= enough[0] and errors[1] <= enough[1]:
            return (first[0], errors[0]), (second[1], errors[1])
        firsts.append(first[0])
        seconds.append(second[1])
    return (firsts[0], np.ptp(firsts)), (seconds[0], np.ptp(seconds))
