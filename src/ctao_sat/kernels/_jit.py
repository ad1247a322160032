"""The one way in which kernels are compiled: by numba, to files that the next process reads."""

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["kernel"]


def kernel(function: Callable) -> Any:
    """Compile a function of numbers and arrays when it is first called.

    Division by zero gives infinity or NaN, as in numpy. Nothing is reordered: NaN and infinity
    keep their meaning. The compiled code is kept beside the module, or in the user's cache; where
    neither can be written to, it is compiled again in each process. ``NUMBA_CACHE_DIR`` chooses
    another place.

    Parameters
    ----------
    function : callable
        With arguments and results that numba knows.

    Returns
    -------
    kernel : callable
        With the same arguments.

    Examples
    --------
    >>> from ctao_sat.kernels._jit import kernel
    >>> @kernel
    ... def double(x):
    ...     return 2 * x
    >>> double(1.5)
    3.0
    """
    options: Any = {"error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Numba finds no place for its cache: a read-only installation without a home directory.
        return numba.njit(**options)(function)
