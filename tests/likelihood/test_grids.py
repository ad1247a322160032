"""Axes of grids: splines reproduce polynomials, transforms are convolutions, edges take away."""

import numpy as np
import pytest
from scipy import fft

from ctao_sat.kernels import reference_templates as reference
from ctao_sat.likelihood._grids import coarse_axis, edge_axis, fine_axis, tap_matrix


def _matrix(axis):
    """Return the matrix from the nodes that are kept to the pixels of the map."""
    n = axis.kept.stop - axis.kept.start
    return reference.tap_matrix(axis.nodes[:, None], axis.weights[:, None], n)


def _at_nodes(axis):
    return axis.origin + axis.step * np.arange(axis.size)


@pytest.mark.parametrize("step", [2, 3, 5])
def test_splines_reproduce_a_constant_and_a_slope(step):
    """As sums of the basis; of parabolas and more they are a smoothed version."""
    axis = coarse_axis(-3, 37, step, 0, 40)
    matrix, inside = _matrix(axis), axis.nodes >= 0
    assert np.sum(inside) > 35
    np.testing.assert_allclose(matrix.sum(axis=1), inside, rtol=1e-14)
    found = (matrix @ _at_nodes(axis))[inside]
    np.testing.assert_allclose(found, np.arange(40)[inside], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("power", range(6))
def test_splines_interpolate_polynomials(power):
    """With coefficients such that nodes have their values, all between is exact to fifth order."""
    axis = coarse_axis(-9, 98, 3, 0, 90)
    matrix, at_nodes = _matrix(axis), _at_nodes(axis)
    rows = np.intersect1d(at_nodes, np.arange(90))
    wanted = (np.arange(90) / 20 - 2) ** power
    basis = np.vander(at_nodes / 20 - 2, 6)
    smooth = basis @ np.linalg.lstsq(matrix[rows] @ basis, wanted[rows], rcond=None)[0]
    np.testing.assert_allclose(matrix @ smooth, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("first", [-20, 0, 17, 39])
@pytest.mark.parametrize("step", [2, 3, 7])
def test_coarse_samples_are_where_they_are_asked_for(first, step):
    axis = coarse_axis(first, first + 24, step, 5, 40)
    assert np.all(np.diff(axis.pixels) == step)
    assert first <= axis.pixels[0] < first + step
    assert first + 24 - step < axis.pixels[-1] <= first + 24
    np.testing.assert_array_equal(_at_nodes(axis)[axis.places], axis.pixels)
    # Kernels reach no sample around the ends of the transform.
    assert axis.places[0] * step >= 5
    assert (axis.size - 1 - axis.places[-1]) * step >= 5


def test_fine_nodes_are_the_pixels_themselves():
    axis = fine_axis(4, 7, 1, 9)
    np.testing.assert_array_equal(axis.pixels, [4, 5, 6])
    np.testing.assert_array_equal(_at_nodes(axis)[axis.places], axis.pixels)
    np.testing.assert_array_equal(axis.nodes, [-1, -1, -1, 0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(axis.weights, 1)
    empty = fine_axis(9, 9, 1, 9)
    assert len(empty.pixels) == 0
    assert empty.origin == 8


@pytest.mark.parametrize("total", [3, 8, 9, 30])
def test_edges_hold_what_is_beyond_both(total):
    axis = edge_axis(4, total)
    np.testing.assert_array_equal(axis.pixels[:4], np.arange(-4, 0))
    np.testing.assert_array_equal(axis.pixels[4:], total + np.arange(4))
    near = axis.nodes >= 0
    assert near.sum() == min(total, 8)
    assert near[:4].all()
    assert near[-4:].all()
    assert not near[4:-4].any()
    # Each pixel near an edge has its own node, the distance to samples is that to pixels.
    assert len(set(axis.nodes[near])) == near.sum()
    places = axis.kept.start + axis.nodes
    np.testing.assert_array_equal(places[:4] - axis.places[0], np.arange(4)[:total] + 4)
    np.testing.assert_array_equal(axis.places[-1] - places[-4:], 4 + np.arange(4)[:total][::-1])


@pytest.mark.parametrize("n_runs", [1, 2])
def test_matrix_is_that_of_the_twin(n_runs):
    rng = np.random.default_rng(3)
    taps = rng.integers(-1, 5, (12, n_runs)), rng.normal(size=(12, n_runs, 4))
    dense = reference.tap_matrix(*taps, 9)
    np.testing.assert_allclose(tap_matrix(*taps, 9).toarray(), dense, rtol=1e-14)


def _templates(axes, psf, samples):
    """Return the convolution of samples of two axes, on the pixels of the map."""
    y, x = axes
    padded = np.zeros((y.size, x.size))
    padded[np.ix_(y.places, x.places)] = samples
    transfer = y.transform(x.transform(psf, 2), 1)
    nodes = fft.irfft2(fft.rfft2(padded) * transfer, s=padded.shape)[:, y.kept, x.kept]
    return _matrix(y) @ nodes @ _matrix(x).T


def test_fine_transforms_are_convolutions():
    rng = np.random.default_rng(1)
    psf, samples = rng.uniform(size=(2, 5, 3)), rng.uniform(size=(8, 13))
    axes = fine_axis(2, 10, 2, 12), fine_axis(1, 14, 1, 15)
    plain = reference.convolve(psf, samples, (2, 1), (12, 15))
    np.testing.assert_allclose(_templates(axes, psf, samples), plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("total", [2, 9, 23])
def test_what_is_beyond_the_map_is_taken_away(total):
    """Along an edge and around a corner, both ends of an axis at once."""
    rng = np.random.default_rng(2)
    psf = rng.uniform(size=(2, 7, 5))
    x = edge_axis(2, total)
    everywhere = rng.uniform(size=(12, total + 4))
    everywhere[:, 2 : 2 + total] = 0
    samples = everywhere[:, x.pixels + 2]
    plain = reference.convolve(psf, everywhere, (3, 0), (18, total + 4))[..., 2 : 2 + total]
    found = _templates((fine_axis(3, 15, 3, 18), x), psf, samples)
    np.testing.assert_allclose(found, -plain, rtol=1e-12, atol=1e-14)
    y = edge_axis(3, 11)
    corners = np.zeros((17, total + 4))
    corners[np.ix_(y.pixels + 3, x.pixels + 2)] = rng.uniform(size=(6, 4))
    plain = reference.convolve(psf, corners, (0, 0), corners.shape)[:, 3:14, 2 : 2 + total]
    found = _templates((y, x), psf, corners[np.ix_(y.pixels + 3, x.pixels + 2)])
    np.testing.assert_allclose(found, plain, rtol=1e-12, atol=1e-14)


def test_coarse_transform_of_a_constant_is_the_sum_of_the_kernel():
    psf = np.random.default_rng(2).uniform(size=(3, 5, 5))
    axes = coarse_axis(0, 11, 3, 2, 12), coarse_axis(0, 8, 3, 2, 9)
    transfer = axes[0].transform(axes[1].transform(psf, 2), 1)
    assert transfer.shape == (3, axes[0].size, axes[1].size // 2 + 1)
    np.testing.assert_allclose(transfer[:, 0, 0], psf.sum(axis=(1, 2)), rtol=1e-14)
