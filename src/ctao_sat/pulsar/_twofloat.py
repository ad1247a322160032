"""Arithmetic on sums of two floats, for numbers of more than sixteen digits.

A number is a pair ``(high, low)`` of floats or arrays, whose sum it is. The error-free sums and
products are astropy's, which keeps its times in the same way.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from astropy.time.utils import two_product, two_sum

__all__ = ["Pair", "add", "multiply", "pair", "taylor"]

Pair = tuple[Any, Any]


def pair(text: str) -> tuple[float, float]:
    """Return a decimal number as a pair.

    Parameters
    ----------
    text : str
        Such as "29.946923123456789012"; Fortran's exponents, as in "1D-10", are understood.

    Returns
    -------
    pair : tuple of float
        Exact to 32 digits.

    Examples
    --------
    >>> from ctao_sat.pulsar._twofloat import pair
    >>> pair("0.1")
    (0.1, -5.551115123125783e-18)
    """
    exact = Decimal(text.upper().replace("D", "E"))
    high = float(exact)
    return high, float(exact - Decimal(high))


def add(one: Pair, other: Pair) -> Pair:
    """Return the sum of two pairs."""
    high, low = two_sum(one[0], other[0])
    return two_sum(high, low + one[1] + other[1])


def multiply(one: Pair, other: Pair) -> Pair:
    """Return the product of two pairs."""
    high, low = two_product(one[0], other[0])
    return two_sum(high, low + (one[0] * other[1] + one[1] * other[0]))


def taylor(x: Pair, derivatives: Sequence[Pair]) -> Pair:
    """Return the Taylor series ``d0 x + d1 x^2 / 2! + d2 x^3 / 3! + ...``.

    Parameters
    ----------
    x : pair
        Where.
    derivatives : sequence of pair
        Of the first order and of higher ones.

    Returns
    -------
    value : pair
        Of the shape of ``x``.
    """
    total: Pair = (np.zeros_like(x[0]), np.zeros_like(x[0]))
    for order in range(len(derivatives), 0, -1):
        # Horner's scheme: (... d2 x / 3 + d1) x / 2 + d0) x / 1. The division is exact enough
        # because 1 / order is a pair, too.
        inverse = 1.0 / order
        step = (inverse, float(1 - Decimal(order) * Decimal(inverse)) / order)
        total = multiply(multiply(add(total, derivatives[order - 1]), x), step)
    return total
