"""Images of sources with a free shape: against the plain twin, as transposes, at the edges."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from ctao_sat.kernels import reference_templates as reference
from ctao_sat.kernels.templates import (
    FIRST_VALUE,
    FIRST_WEIGHT,
    add_columns,
    collect_rows,
    expand_rows,
    gather_patch,
    gather_taps,
    scatter_patch,
    scatter_taps,
)

N_K = 4
numbers = st.integers(0, 2**32 - 1)


@dataclass
class Blocks:
    """Random blocks on a small map: of each, some true energies and some pixels."""

    table: np.ndarray
    pixels: np.ndarray
    weights: np.ndarray
    row_bin: np.ndarray
    n_bins: int
    n_values: int

    @property
    def place(self):
        """What all kernels begin with."""
        return self.table, self.pixels, self.weights


def blocks(rng, shape, n_blocks=3):
    """Return blocks; values and rows of others in the plan come before each."""
    table, pixels, n_pixels, n_weights, row, value = [], [np.zeros((0, 2), int)], 0, 0, 0, 0
    for _ in range(n_blocks):
        first = int(rng.integers(N_K))
        columns, rows = int(rng.integers(1, N_K - first + 1)), int(rng.integers(0, 7))
        row, value = row + int(rng.integers(3)), value + int(rng.integers(4))
        table.append([first, columns, rows, value, row, n_pixels, n_weights])
        # Pixels may be listed in any order.
        pixels.append(np.stack([rng.integers(0, n, rows) for n in shape], axis=1))
        n_pixels, n_weights = n_pixels + rows, n_weights + rows * columns
        row, value = row + rows, value + rows * columns
    n_bins = 5
    return Blocks(
        table=np.array(table, dtype=np.int64).reshape(-1, 7),
        pixels=np.concatenate(pixels).astype(np.int64),
        weights=rng.uniform(0.5, 2, n_weights),
        row_bin=rng.integers(0, n_bins, row + 2),
        n_bins=n_bins,
        n_values=value + 3,
    )


def psf_and_samples(rng, shape):
    """Return kernels of odd size, samples with a hole, and their corner, often beyond the map."""
    psf = rng.uniform(0, 1, (N_K, *(2 * rng.integers(0, 3, 2) + 1)))
    samples = rng.uniform(0, 1, rng.integers(1, 5, 2))
    samples[rng.uniform(size=samples.shape) < 0.2] = 0
    corner = tuple(int(rng.integers(-8, n + 8)) for n in shape)
    return psf, samples, corner


def some_taps(rng, total, size, n_taps):
    """Return nodes and weights of one or two runs for each of some pixels; some have none."""
    n_runs = int(rng.integers(1, 3))
    nodes = rng.integers(-1, size - n_taps + 1, (total, n_runs))
    return nodes.astype(np.int64), rng.normal(size=(total, n_runs, n_taps))


# -- few pixels -----------------------------------------------------------------------------------


@seed(20281201)
@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(0, 4), st.sampled_from([FIRST_VALUE, FIRST_WEIGHT]))
def test_gathered_patch_is_that_of_the_twin(number, n_blocks, place):
    rng = np.random.default_rng(number)
    shape = tuple(int(n) for n in rng.integers(1, 9, 2))
    some = blocks(rng, shape, n_blocks)
    psf, samples, corner = psf_and_samples(rng, shape)
    ours, plain = np.full(some.n_values, 7.0), np.full(some.n_values, 7.0)
    gather_patch(*some.place, psf, samples, corner, place, ours)
    templates = reference.convolve(psf, samples, corner, shape)
    reference.gather(*some.place, templates, place, plain)
    # What belongs to other blocks is as it was.
    np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-15)


@seed(20281202)
@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(0, 4))
def test_scattered_patch_is_that_of_the_twin_and_the_transpose(number, n_blocks):
    rng = np.random.default_rng(number)
    shape = tuple(int(n) for n in rng.integers(1, 9, 2))
    some, (psf, samples, corner) = blocks(rng, shape, n_blocks), psf_and_samples(rng, shape)
    bins, before = rng.normal(size=some.n_bins), rng.normal(size=(N_K, *samples.shape))
    out = before.copy()
    scatter_patch(*some.place, psf, some.row_bin, bins, corner, out)
    slopes = reference.scatter(*some.place, some.row_bin, bins, (N_K, *shape))
    plain = reference.correlate(psf, slopes, corner, samples.shape)
    np.testing.assert_allclose(out - before, plain, rtol=1e-11, atol=1e-13)
    # <counts of the samples, bins> = <samples, what the bins say>, for each energy and for all.
    f = rng.uniform(0.5, 2, N_K)
    values, mu = np.zeros(len(some.weights)), np.zeros(some.n_bins)
    gather_patch(*some.place, psf, samples, corner, FIRST_WEIGHT, values)
    add_columns(some.table, values, f, some.row_bin, mu)
    say = np.tensordot(f, out - before, axes=1)
    assert mu @ bins == pytest.approx(np.sum(samples * say), rel=1e-10, abs=1e-12)


def test_patch_worked_out_by_hand():
    # Two samples side by side, a kernel of one row, one bin on the pixel between and beyond.
    table = np.array([[0, 1, 3, 0, 0, 0, 0]])
    pixels = np.array([[2, 4], [2, 5], [3, 4]])
    psf, samples = np.array([[[1.0, 10.0, 100.0]]]), np.array([[2.0, 3.0]])
    values = np.zeros(3)
    gather_patch(table, pixels, np.array([1.0, 1, 5]), psf, samples, (2, 3), FIRST_VALUE, values)
    # Pixel 4: the first sample through the element right of the centre, the second through it.
    np.testing.assert_array_equal(values, [2 * 100 + 3 * 10, 3 * 100, 0])


@pytest.mark.parametrize("corner", [(-50, 2), (2, -50), (50, 2), (2, 50), (10**6, -(10**6))])
def test_source_far_from_the_map_leaves_nothing(corner):
    rng = np.random.default_rng(1)
    some, psf = blocks(rng, (6, 7)), rng.uniform(size=(N_K, 5, 3))
    values, out = np.full(len(some.weights), np.nan), np.zeros((N_K, 2, 2))
    gather_patch(*some.place, psf, np.ones((2, 2)), corner, FIRST_WEIGHT, values)
    np.testing.assert_array_equal(values, 0)
    scatter_patch(*some.place, psf, some.row_bin, np.ones(some.n_bins), corner, out)
    np.testing.assert_array_equal(out, 0)


def test_samples_that_are_no_number_reach_only_what_they_reach():
    rng = np.random.default_rng(2)
    table, pixels = np.array([[0, N_K, 2, 0, 0, 0, 0]]), np.array([[3, 3], [3, 9]])
    weights, values = rng.uniform(1, 2, 2 * N_K), np.zeros(2 * N_K)
    samples = np.full((1, 1), np.nan)
    gather_patch(table, pixels, weights, np.ones((N_K, 3, 3)), samples, (3, 3), 3, values)
    assert np.all(np.isnan(values.reshape(N_K, 2)[:, 0]))
    assert np.all(values.reshape(N_K, 2)[:, 1] == 0)


# -- grids ----------------------------------------------------------------------------------------


@seed(20281203)
@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(1, 8), st.integers(1, 6), st.integers(0, 9))
def test_rows_are_those_of_the_twin_and_transposes(number, n_nodes, n_taps, n_rows):
    rng = np.random.default_rng(number)
    n_taps = min(n_nodes, n_taps)
    nodes, weights = some_taps(rng, n_rows, n_nodes, n_taps)
    matrix = reference.tap_matrix(nodes, weights, n_nodes)
    images, rows = rng.normal(size=(N_K, n_nodes, 3)), rng.normal(size=(N_K, n_rows, 3))
    out = np.full((N_K, n_rows, 3), np.nan)
    expand_rows(images, nodes, weights, out)
    np.testing.assert_allclose(out, np.einsum("yn,knx->kyx", matrix, images), atol=1e-12)
    back = np.ones((N_K, n_nodes, 3))
    collect_rows(rows, nodes, weights, back)
    np.testing.assert_allclose(back - 1, np.einsum("yn,kyx->knx", matrix, rows), atol=1e-12)
    assert np.sum(out * rows) == pytest.approx(np.sum(images * (back - 1)), rel=1e-9, abs=1e-10)


@seed(20281204)
@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(1, 6), st.integers(0, 4), st.booleans())
def test_taps_are_those_of_the_twin_and_transposes(number, n_taps, n_blocks, cut):
    rng = np.random.default_rng(number)
    shape, n_nodes = (7, 8), n_taps + int(rng.integers(0, 5))
    some, taps = blocks(rng, shape, n_blocks), some_taps(rng, shape[1], n_nodes, n_taps)
    first_row, n_rows = int(rng.integers(-4, 6)), int(rng.integers(1, 9))
    images = rng.normal(size=(N_K, n_rows, n_nodes))
    ours, plain = np.full(some.n_values, 7.0), np.full(some.n_values, 7.0)
    least = 0.0 if cut else -np.inf
    gather_taps(*some.place, images, first_row, taps, least, FIRST_VALUE, ours)
    # Rows of the map that the images do not have, and columns without a node, are zero.
    matrix = reference.tap_matrix(*taps, n_nodes)
    templates = np.zeros((N_K, *shape))
    for y in range(max(first_row, 0), min(first_row + n_rows, shape[0])):
        templates[:, y] = images[:, y - first_row] @ matrix.T
    reference.gather(*some.place, np.maximum(templates, least), FIRST_VALUE, plain)
    np.testing.assert_allclose(ours, plain, rtol=1e-11, atol=1e-13)

    bins, out = rng.normal(size=some.n_bins), np.ones(images.shape)
    scatter_taps(*some.place, first_row, taps, some.row_bin, bins, out)
    slopes = reference.scatter(*some.place, some.row_bin, bins, (N_K, *shape))
    expected = np.zeros(images.shape)
    for y in range(max(first_row, 0), min(first_row + n_rows, shape[0])):
        expected[:, y - first_row] = slopes[:, y] @ matrix
    np.testing.assert_allclose(out - 1, expected, rtol=1e-11, atol=1e-12)


@seed(20281205)
@settings(max_examples=60, deadline=None)
@given(numbers, st.integers(0, 4))
def test_added_columns_are_those_of_the_twin(number, n_blocks):
    rng = np.random.default_rng(number)
    some, f = blocks(rng, (5, 5), n_blocks), rng.normal(size=N_K)
    values, ours = rng.normal(size=len(some.weights)), rng.normal(size=some.n_bins)
    plain = ours.copy()
    add_columns(some.table, values, f, some.row_bin, ours)
    reference.add_columns(some.table, values, f, some.row_bin, plain)
    np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-13)


def test_no_block_changes_nothing():
    rng = np.random.default_rng(3)
    some = blocks(rng, (3, 3), 0)
    psf, images, taps = np.ones((N_K, 3, 3)), np.ones((N_K, 3, 3)), some_taps(rng, 3, 3, 1)
    kept = np.array([1.0, 2.0, np.nan])
    values, bins = kept.copy(), kept.copy()
    gather_patch(*some.place, psf, np.ones((1, 1)), (1, 1), FIRST_VALUE, values)
    gather_taps(*some.place, images, 0, taps, 0.0, FIRST_VALUE, values)
    add_columns(some.table, values, np.ones(N_K), some.row_bin, bins)
    np.testing.assert_array_equal(values, kept)
    np.testing.assert_array_equal(bins, kept)
    out = np.zeros((N_K, 3, 3))
    scatter_patch(*some.place, psf, some.row_bin, bins, (0, 0), out)
    scatter_taps(*some.place, 0, taps, some.row_bin, bins, out)
    np.testing.assert_array_equal(out, 0)


def test_gaussian_through_a_gaussian_is_a_wider_one():
    """A number from outside: variances add up."""
    source, width = 1.7, 1.3
    at = np.arange(-12, 13)
    psf = np.exp(-0.5 * (at[:, None] ** 2 + at**2) / width**2)[None] / (2 * np.pi * width**2)
    y, x = np.arange(-8, 9)[:, None] - 0.3, np.arange(-8, 9) + 0.2
    samples = np.exp(-0.5 * (y**2 + x**2) / source**2) / (2 * np.pi * source**2)
    # Bins along a line through the centre, which is at (20.3, 19.8).
    pixels = np.stack([np.full(9, 20), np.arange(16, 25)], axis=1)
    values = np.zeros(9)
    table = np.array([[0, 1, 9, 0, 0, 0, 0]])
    gather_patch(table, pixels, np.ones(9), psf, samples, (12, 12), FIRST_VALUE, values)
    total = source**2 + width**2
    distance = (20 - 20.3) ** 2 + (pixels[:, 1] - 19.8) ** 2
    expected = np.exp(-0.5 * distance / total) / (2 * np.pi * total)
    np.testing.assert_allclose(values, expected, rtol=2e-5)
