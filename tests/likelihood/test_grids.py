"""Grids of samples: splines reproduce polynomials, transforms are convolutions."""

import numpy as np
import pytest
from scipy import fft

from ctao_sat.kernels import reference_templates as reference
from ctao_sat.likelihood._grids import (
    coarse_transfer,
    fine_transfer,
    node_pixels,
    single_taps,
    spline_taps,
    tap_matrix,
)


@pytest.mark.parametrize("step", [2, 3, 5])
def test_splines_reproduce_a_constant_and_a_slope(step):
    """As sums of the basis; of parabolas and more they are a smoothed version."""
    first, size, total = -2, 14, 40
    nodes, weights = spline_taps(first, size, step, total)
    matrix, at = reference.tap_matrix(nodes, weights, size), first + step * np.arange(size)
    inside = nodes >= 0
    assert np.sum(inside) > 15
    np.testing.assert_allclose(matrix.sum(axis=1), inside, rtol=1e-14)
    np.testing.assert_allclose((matrix @ at)[inside], np.arange(total)[inside], rtol=1e-12)


@pytest.mark.parametrize("power", range(6))
def test_splines_interpolate_polynomials(power):
    """With coefficients such that nodes have their values, all between is exact to fifth order."""
    step, size = 3, 30
    pixels = np.arange(step * size)
    matrix = reference.tap_matrix(*spline_taps(0, size, step, len(pixels)), size)
    at_nodes = step * np.arange(size)
    # Away from the ends, where the coefficients are free.
    rows = [y for y in at_nodes if matrix[y].any()]
    wanted = (pixels / 20 - 2) ** power
    coefficients = np.linalg.lstsq(matrix[rows], wanted[rows], rcond=None)[0]
    # The minimal solution differs from the polynomial by what vanishes at all nodes: add it.
    basis = np.vander(at_nodes / 20 - 2, 6)
    smooth = basis @ np.linalg.lstsq(matrix[rows] @ basis, wanted[rows], rcond=None)[0]
    np.testing.assert_allclose(matrix[rows] @ smooth, wanted[rows], rtol=1e-9, atol=1e-9)
    inside = matrix.any(axis=1)
    np.testing.assert_allclose((matrix @ smooth)[inside], wanted[inside], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(matrix[rows] @ coefficients, wanted[rows], rtol=1e-8, atol=1e-8)


def test_single_taps_are_the_pixels_themselves():
    nodes, weights = single_taps(3, 4, 9)
    np.testing.assert_array_equal(nodes, [-1, -1, -1, 0, 1, 2, 3, -1, -1])
    np.testing.assert_array_equal(weights, 1)
    np.testing.assert_array_equal(single_taps(-2, 4, 3)[0], [2, 3, -1])


def test_matrix_is_that_of_the_twin():
    for taps, size in ((spline_taps(-3, 9, 2, 12), 9), (single_taps(2, 5, 12), 5)):
        dense = reference.tap_matrix(*taps, size)
        np.testing.assert_array_equal(tap_matrix(*taps, size).toarray(), dense)


@pytest.mark.parametrize("at", [-20.0, 0.0, 7.3, 39.0, 60.0])
@pytest.mark.parametrize("step", [2, 3, 7])
def test_nodes_are_on_the_map(at, step):
    pixels = node_pixels(at, 12, step, 40)
    assert np.all((pixels >= 0) & (pixels < 40))
    assert np.all(np.diff(pixels) == step)
    if len(pixels):
        assert pixels[0] <= max(at - 12, 0) + step
        assert pixels[-1] >= min(at + 12, 39) - step


def test_fine_transforms_are_convolutions():
    rng = np.random.default_rng(1)
    psf, samples = rng.uniform(size=(2, 5, 3)), np.zeros((12, 15))
    samples[2:10, 1:14] = rng.uniform(size=(8, 13))
    ours = fft.irfft2(fft.rfft2(samples) * fine_transfer(psf, samples.shape), s=samples.shape)
    plain = reference.convolve(psf, samples, (0, 0), samples.shape)
    np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-14)


def test_coarse_transform_of_a_constant_is_the_sum_of_the_kernel():
    psf = np.random.default_rng(2).uniform(size=(3, 5, 5))
    transfer = coarse_transfer(psf, (8, 9), 3)
    assert transfer.shape == (3, 8, 5)
    np.testing.assert_allclose(transfer[:, 0, 0], psf.sum(axis=(1, 2)), rtol=1e-14)
