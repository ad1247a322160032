"""Sums of two floats hold what one cannot: against exact fractions."""

from decimal import Decimal
from fractions import Fraction
from math import factorial

from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.pulsar._twofloat import add, multiply, pair, taylor

numbers = st.floats(-1e12, 1e12, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-20)


def exact(value) -> Fraction:
    return Fraction(float(value[0])) + Fraction(float(value[1]))


def close(value, expected: Fraction, scale: Fraction) -> bool:
    return abs(exact(value) - expected) <= scale * Fraction(1, 2**98)


@given(numbers, numbers, numbers)
def test_sum_and_product(a, b, c):
    one = pair(str(Decimal(a)))
    other = multiply((b, 0.0), (1.0, 0.0))
    scale = abs(Fraction(a)) + abs(Fraction(b))
    assert close(add(one, other), Fraction(a) + Fraction(b), scale)
    product = multiply(add(one, (c * 1e-17, 0.0)), other)
    expected = (Fraction(a) + Fraction(c * 1e-17)) * Fraction(b)
    size = (abs(Fraction(a)) + abs(Fraction(c))) * abs(Fraction(b))
    assert close(product, expected, size)


def test_a_taylor_series_of_a_century():
    # 1e11 turns, of which the phase needs eight digits after the point.
    f = ("29.946923123456789012", "-3.77535e-10", "1.1147e-20", "-1e-30")
    x = "3123456789.123456789"
    value = taylor(pair(x), [pair(text) for text in f])
    dt = exact(pair(x))
    expected = sum(exact(pair(text)) * dt ** (n + 1) / factorial(n + 1) for n, text in enumerate(f))
    assert abs(exact(value) - expected) < Fraction(1, 10**15)


@settings(max_examples=50)
@given(st.decimals(-(10**20), 10**20, allow_nan=False, allow_infinity=False))
def test_decimal_numbers(value):
    assert abs(exact(pair(str(value))) - Fraction(Decimal(value))) <= abs(Fraction(value)) / 2**104
