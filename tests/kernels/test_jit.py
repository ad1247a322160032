"""How kernels are compiled."""

import math

import numba
import numpy as np
import pytest

from ctao_sat.kernels._jit import kernel


@kernel
def reciprocal(x):
    return 1.0 / x


def test_division_by_zero_is_infinite():
    assert reciprocal(0.0) == math.inf


def test_compiles_where_no_cache_can_be_kept():
    """Numba refuses to cache what has no file, as it does where no directory can be written to."""
    names: dict = {}
    exec("def triple(x):\n    return 3 * x\n", names)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(names["triple"])
    assert kernel(names["triple"])(2.0) == 6.0


def test_the_order_of_operations_is_kept():
    """With reordered sums (``fastmath``) the small number would be lost or kept by chance."""

    @kernel
    def total(values):
        result = 0.0
        for value in values:
            result += value
        return result

    assert total(np.array([1e16, 1.0, -1e16])) == 0.0
    assert math.isnan(total(np.array([math.inf, -math.inf])))
