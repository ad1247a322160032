"""Comparisons of a compiled likelihood with Gammapy, and with itself."""

import numpy as np
from gammapy.modeling import Parameters

from ctao_sat.likelihood import compile_likelihood

from ._differences import derivative
from ._extras import perturb


def gammapy(datasets):
    """Return Gammapy's statistic; it complains about numbers that we ask for."""
    with np.errstate(all="ignore"):
        return float(datasets.stat_sum())


def factors(like):
    """Return the present factors of the free parameters."""
    return np.array([parameter.factor for parameter in like.parameters])


def assert_same(ours, theirs):
    """Raise AssertionError unless numbers agree within 1e-9, or are both NaN or infinite."""
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, equal_nan=True)


def assert_as_gammapy(datasets, *, finite=True):
    """Compare with Gammapy at the start and at two points nearby; return the likelihood."""
    rng = np.random.default_rng(20281110)
    like = compile_likelihood(datasets)
    points, values = [], []
    for number in range(3):
        if number:
            perturb(rng, Parameters(like.parameters))
        theirs = gammapy(datasets)
        assert np.isfinite(theirs) == finite, f"Gammapy: {theirs}"
        assert_same(like.stat_sum(), theirs)
        points.append(factors(like))
        values.append(theirs)
        if finite:
            value, gradient = like.value_and_grad(points[-1])
            assert_same(value, theirs)
            assert np.all(np.isfinite(gradient)), f"gradient {gradient}"
            assert np.all(np.isfinite(like.hessian(points[-1]))), "second derivatives"
    assert_same([like.value(x) for x in points], values)
    assert_same(like.batch(np.array(points)), values)
    return like


def assert_gradient(like):
    """Compare the gradient with differences of the value."""
    x = factors(like)
    _, gradient = like.value_and_grad(x)
    for index in range(len(x)):
        step = 0.01 * (abs(x[index]) or 1)
        enough = 1e-6 * max(abs(gradient[index]), 1 / step)
        numeric, error = derivative(like.value, x, index, step, enough)
        np.testing.assert_allclose(
            gradient[index], numeric, rtol=1e-5, atol=10 * enough + 3 * error
        )
