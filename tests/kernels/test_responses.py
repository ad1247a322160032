"""Integrals, energy redistribution and PSFs: kernels agree with formulas and known integrals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.kernels import interpolation as kernels
from ctao_sat.kernels import reference_interpolation as reference
from ctao_sat.kernels import responses


@pytest.fixture
def rng():
    return np.random.default_rng(20280814)


def _integrate(log_energy, log_value, edges, usable=None):
    """Return the integrals in bins of a function of energy alone."""
    target = np.searchsorted(edges, np.exp(log_energy[:-1]) * (1 + 1e-12), side="right") - 1
    out = np.zeros((len(edges) - 1, 1))
    responses.integrate(
        np.asarray(log_value)[:, None],
        np.ones(len(log_energy), bool) if usable is None else usable,
        log_energy,
        target,
        np.zeros((1, 1), np.int64),
        np.ones((1, 1)),
        np.ones(1, bool),
        np.ones(1),
        out,
    )
    return out.ravel()


@settings(max_examples=40, deadline=None)
@given(slopes=st.lists(st.floats(-6, 6), min_size=1, max_size=6))
def test_integral_of_power_laws(slopes):
    # A slope of -1 is where the general formula divides zero by zero.
    slopes = [*slopes, -1.0, -1 + 1e-5]
    log_energy = np.linspace(0, 3, len(slopes) + 1)
    log_value = np.append(0, np.cumsum(np.multiply(slopes, np.diff(log_energy))))
    middle = float(np.exp(log_energy[len(slopes) // 2]))
    edges = np.array([1.0, middle, np.exp(3.0)])
    found = _integrate(log_energy, log_value, edges)
    expected = [
        reference.integral(log_energy, log_value, *pair) for pair in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_integral_of_a_known_power_law():
    # int_1^e E^-2 dE = 1 - 1/e.
    (found,) = _integrate(np.array([0.0, 1.0]), [0.0, -2.0], np.array([1.0, np.e]))
    assert found == pytest.approx(1 - np.exp(-1), rel=1e-14)


def test_integral_is_zero_towards_zero():
    log_energy, edges = np.array([0.0, 1.0, 2.0]), np.exp([0.0, 2.0])
    outside = np.array([True, True, False])
    (found,) = _integrate(log_energy, [0.0, 0.0, 0.0], edges, outside)
    assert found == pytest.approx(np.e - 1, rel=1e-14)
    (found,) = _integrate(log_energy, [0.0, -800.0, np.nan], edges)
    assert found == 0


def test_redistribution(rng):
    edges = np.linspace(0.2, 3, 41)
    table = rng.uniform(0, 1, (3, 40, 2)) * (np.abs(edges[:-1] - 1) < 0.5)[:, None]
    table[2] = 0
    usable = np.ones((3, 40), bool)
    usable[1, :10] = False
    taps = kernels.linear(np.arange(2.0), np.array([-1.0, 0.5, 1]), np.array([0, 0.3, 1, 1.5]))
    limits = np.array([[0.1, 0.9, 1.2, 4], [0.5, 0.7, 0.71, 0.9], [0.1, 1, 2, 3]])
    found = responses.redistribution(table, usable, *taps, edges, limits, 1e-3)
    for k in range(3):
        for p, weight in enumerate([[1, 0], [0.7, 0.3], [0, 1]]):
            density = np.where(usable[k], table[k] @ weight, 0)
            expected = reference.redistribution(density, edges, limits[k], 1e-3)
            np.testing.assert_allclose(found[k, :, p], expected, rtol=1e-12, atol=1e-15)
    # The last pixel is outside of the table.
    assert not found[..., 3].any()
    assert found[0, :, 0].sum() == pytest.approx(1)


def test_sums_of_gaussians(rng):
    weight, variance = rng.uniform(0.1, 2, (3, 4, 5)), rng.uniform(1e-3, 0.5, (3, 4, 5))
    found = responses.gaussians(weight, variance, 0.01, 0.02, 80)
    radius = 0.01 + 0.02 * np.arange(80)
    for k, p in np.ndindex(4, 5):
        expected = reference.gaussians(weight[:, k, p], variance[:, k, p], radius)
        np.testing.assert_allclose(found[k, :, p], expected, rtol=1e-11, atol=1e-300)
    # The integral of a normal distribution of two dimensions.
    ring = 2 * np.pi * radius * 0.02
    unit = responses.gaussians(
        np.full((1, 1, 1), 50 / np.pi), np.full((1, 1, 1), 0.01), 0.01, 0.02, 80
    )
    assert (unit.ravel() * ring).sum() == pytest.approx(1, rel=5e-3)


def test_gaussians_of_no_width_or_no_value():
    weight, variance = np.array([[[1.0, np.nan, 0.0]]]), np.array([[[1e-9, 1.0, 1.0]]])
    values = responses.gaussians(weight, variance, 0.0, 0.1, 3)[0]
    assert values[:, 0].tolist() == [1, 0, 0]
    assert np.isnan(values[0, 1])
    assert not values[:, 2].any()
