"""Numbers as a reader wants them: significant digits, powers of ten, uncertainties."""

import math

__all__ = ["MISSING", "number", "with_error"]

MISSING = "–"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 4, *, keep_zeros: bool = False) -> str:
    """Return a number with at most ``digits`` significant digits.

    Parameters
    ----------
    value : float
        Any number; NaN is what was not computed.
    digits : int, optional
        Significant digits. Whole numbers below a million keep all of theirs.
    keep_zeros : bool, optional
        Write exactly ``digits`` digits, whole numbers as well: for columns.

    Returns
    -------
    text : str
        The number, with a power of ten below 0.001 and from 100,000.

    Examples
    --------
    >>> from ctao_sat.report.numbers import number
    >>> number(2.38123), number(4.39e-11), number(1687.0), number(float("nan"))
    ('2.381', '4.39 × 10⁻¹¹', '1687', '–')
    """
    value = float(value)
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if value == round(value) and abs(value) < 1e6 and not keep_zeros:
        return _minus(f"{value:.0f}")
    exponent = _exponent(value, digits)
    scaled = not -3 <= exponent < 5
    places = digits - 1 if scaled else max(0, digits - 1 - exponent)
    text = f"{value / 10.0**exponent if scaled else value:.{places}f}"
    text = _minus(text if keep_zeros else _trim(text))
    return f"{text} {_power(exponent)}" if scaled else text


def with_error(value: float, low: float, high: float | None = None) -> str:
    """Return a value with its errors, to two significant digits of the smaller error.

    Parameters
    ----------
    value : float
        The value; NaN is what was not computed.
    low, high : float
        Its errors to both sides; one error serves both.

    Returns
    -------
    text : str
        Value and errors with a common power of ten; the value alone if no error is known, or if
        it is beyond the precision of a float.

    Examples
    --------
    >>> from ctao_sat.report.numbers import with_error
    >>> with_error(4.393e-11, 2.2e-12)
    '(4.39 ± 0.22) × 10⁻¹¹'
    >>> with_error(2.381, 0.12)
    '2.38 ± 0.12'
    >>> with_error(1.234, 0.31, 0.42)
    '1.23 +0.42 −0.31'
    """
    high = low if high is None else high
    errors = [abs(float(error)) for error in (low, high)]
    if not math.isfinite(value) or not all(math.isfinite(e) and e > 0 for e in errors):
        return number(value)
    smallest, largest = min(errors), max(errors)
    exponent = _exponent(max(abs(value), largest), 4)
    scaled = not -3 <= exponent < 5
    scale = 10.0**exponent if scaled else 1.0
    places = max(0, 1 - _exponent(smallest / scale, 2))
    if places > 12:
        return number(value)
    centre, down, up = (_minus(f"{x / scale:.{places}f}") for x in (value, *errors))
    text = f"{centre} ± {up}" if down == up else f"{centre} +{up} −{down}"
    return f"({text}) {_power(exponent)}" if scaled else text


def _exponent(value: float, digits: int) -> int:
    """Return the power of ten of a number once it is rounded: that of 9.99996 is one."""
    return int(f"{abs(value):.{digits - 1}e}".split("e")[1])


def _power(exponent: int) -> str:
    return f"× 10{str(exponent).translate(SUPERSCRIPTS)}"


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _minus(text: str) -> str:
    return text.replace("-", "−")
