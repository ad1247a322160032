"""Responses on maps: kernels agree with the plain formulas, at edges and without values too."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.kernels import interpolation as kernels
from ctao_sat.kernels import reference_interpolation as reference


@pytest.fixture
def rng():
    return np.random.default_rng(20280814)


def test_rotated_frames(rng):
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    lon, lat = rng.uniform(-3, 3, 50), rng.uniform(-1.5, 1.5, 50)
    found = np.transpose(kernels.field_of_view(lon, lat, basis))
    expected = [reference.rotated(*place, basis) for place in zip(lon, lat, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_solid_angle_of_a_sphere_and_of_small_pixels():
    lon, lat = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.linspace(-np.pi / 2, np.pi / 2, 361))
    found = kernels.solid_angles(lon.T.copy(), lat.T.copy())
    assert found.sum() == pytest.approx(4 * np.pi, rel=1e-4)
    i, j = 300, 100
    corners = lon.T[i : i + 2, j : j + 2], lat.T[i : i + 2, j : j + 2]
    assert found[i, j] == pytest.approx(reference.solid_angle(*corners), rel=1e-4)


def test_empty_pixels():
    empty = np.zeros(0)
    node, weight, valid = kernels.linear(np.arange(3.0), np.arange(4.0), empty)
    assert node.shape == weight.shape == (0, 2)
    table, usable = np.ones((2, 3)), np.ones(2, bool)
    assert kernels.spread(table, usable, node, weight, valid, False, 0.0).shape == (2, 0)
    assert kernels.solid_angles(np.zeros((1, 1)), np.zeros((1, 1))).shape == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.floats(-5, 5), min_size=1, max_size=6, unique=True),
    x=st.floats(-8, 8),
)
def test_nodes_around_a_number(points, x):
    points = np.unique(np.round(points, 3))
    edges = np.concatenate([[points[0] - 1], points[1:] - 1e-4, [points[-1] + 1]])
    node, weight, valid = kernels.linear(points, edges, np.array([x]))
    dense = np.zeros(len(points))
    np.add.at(dense, node[0], weight[0])
    np.testing.assert_allclose(dense, reference.locate(points, x), rtol=1e-9, atol=1e-9)
    assert valid[0] == (edges[0] <= x <= edges[-1])


def test_both_ends_belong_to_the_table_and_nan_does_not():
    points, edges = np.array([0.5, 1.5]), np.array([0.0, 1.0, 2.0])
    valid = kernels.linear(points, edges, np.array([0.0, 2.0, np.nextafter(2, 3), np.nan]))[2]
    assert valid.tolist() == [True, True, False, False]


def test_two_axes_are_the_product_of_each(rng):
    x_points, y_points = np.array([0.0, 1, 3]), np.array([-1.0, 0, 2, 5])
    x, y = rng.uniform(-1, 4, 30), rng.uniform(-2, 6, 30)
    node, weight, _ = kernels.bilinear(x_points, x_points, x, y_points, y_points, y)
    for p in range(30):
        dense = np.zeros(12)
        np.add.at(dense, node[p], weight[p])
        expected = np.outer(reference.locate(x_points, x[p]), reference.locate(y_points, y[p]))
        np.testing.assert_allclose(dense, expected.ravel(), atol=1e-13)


@pytest.mark.parametrize("logarithmic", [False, True])
def test_table_on_pixels(rng, logarithmic):
    points = np.arange(4.0)
    node, weight, valid = kernels.linear(points, points, rng.uniform(-0.5, 3.5, 40))
    table, usable = rng.normal(size=(5, 4)), np.array([True, True, False, True, True])
    found = kernels.spread(table, usable, node, weight, valid, logarithmic, 7.0)
    expected = reference.at_pixels(table, node, weight, logarithmic)
    expected = np.where(usable[:, None] & valid, expected, 7.0)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert (found == 7).any()
    assert (found[usable][:, valid] >= 0).all()


def test_what_is_not_finite_is_filled_or_kept():
    table = np.array([[np.nan, 1.0], [np.inf, 2.0]])
    taps = kernels.linear(np.arange(2.0), np.arange(2.0), np.array([0.5]))
    usable = np.ones(2, bool)
    assert kernels.spread(table, usable, *taps, False, 0.0).ravel().tolist() == [0, 0]
    kept = kernels.spread(table, usable, *taps, False, np.nan).ravel()
    assert np.isnan(kept[0])
    assert np.isinf(kept[1])


def _integrate(log_energy, log_value, edges, usable=None):
    """Return the integrals in bins of a function of energy alone."""
    target = np.searchsorted(edges, np.exp(log_energy[:-1]) * (1 + 1e-12), side="right") - 1
    out = np.zeros((len(edges) - 1, 1))
    kernels.integrate(
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
    found = kernels.redistribution(table, usable, *taps, edges, limits, 1e-3)
    for k in range(3):
        for p, weight in enumerate([[1, 0], [0.7, 0.3], [0, 1]]):
            density = np.where(usable[k], table[k] @ weight, 0)
            expected = reference.redistribution(density, edges, limits[k], 1e-3)
            np.testing.assert_allclose(found[k, :, p], expected, rtol=1e-12, atol=1e-15)
    # The last pixel is outside of the table.
    assert not found[..., 3].any()
    assert found[0, :, 0].sum() == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(missing=st.lists(st.booleans(), min_size=1, max_size=8))
def test_gaps_between_numbers_are_filled(missing):
    missing = np.array(missing)
    values = np.where(missing, -100.0, np.arange(len(missing)) ** 2.0)
    found, filled = kernels.fill_missing(values[:, None], missing[:, None])
    np.testing.assert_allclose(found[:, 0], reference.fill_missing(values, missing))
    assert np.array_equal(filled[:, 0], found[:, 0] != values)


def test_sums_of_gaussians(rng):
    weight, variance = rng.uniform(0.1, 2, (3, 4, 5)), rng.uniform(1e-3, 0.5, (3, 4, 5))
    found = kernels.gaussians(weight, variance, 0.01, 0.02, 80)
    radius = 0.01 + 0.02 * np.arange(80)
    for k, p in np.ndindex(4, 5):
        expected = reference.gaussians(weight[:, k, p], variance[:, k, p], radius)
        np.testing.assert_allclose(found[k, :, p], expected, rtol=1e-11, atol=1e-300)
    # The integral of a normal distribution of two dimensions.
    ring = 2 * np.pi * radius * 0.02
    unit = kernels.gaussians(
        np.full((1, 1, 1), 50 / np.pi), np.full((1, 1, 1), 0.01), 0.01, 0.02, 80
    )
    assert (unit.ravel() * ring).sum() == pytest.approx(1, rel=5e-3)


def test_gaussians_of_no_width_or_no_value():
    weight, variance = np.array([[[1.0, np.nan, 0.0]]]), np.array([[[1e-9, 1.0, 1.0]]])
    values = kernels.gaussians(weight, variance, 0.0, 0.1, 3)[0]
    assert values[:, 0].tolist() == [1, 0, 0]
    assert np.isnan(values[0, 1])
    assert not values[:, 2].any()
