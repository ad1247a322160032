"""Tables on pixels: kernels agree with the plain formulas, at edges and without values too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.kernels import interpolation as kernels
from ctao_sat.kernels import reference_interpolation as reference


@pytest.fixture
def rng():
    return np.random.default_rng(20280814)


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


@settings(max_examples=40, deadline=None)
@given(missing=st.lists(st.booleans(), min_size=1, max_size=8))
def test_gaps_between_numbers_are_filled(missing):
    missing = np.array(missing)
    values = np.where(missing, -100.0, np.arange(len(missing)) ** 2.0)
    found, filled = kernels.fill_missing(values[:, None], missing[:, None])
    np.testing.assert_allclose(found[:, 0], reference.fill_missing(values, missing))
    assert np.array_equal(filled[:, 0], found[:, 0] != values)


def test_empty_pixels():
    empty = np.zeros(0)
    node, weight, valid = kernels.linear(np.arange(3.0), np.arange(4.0), empty)
    assert node.shape == weight.shape == (0, 2)
    table, usable = np.ones((2, 3)), np.ones(2, bool)
    assert kernels.spread(table, usable, node, weight, valid, False, 0.0).shape == (2, 0)
