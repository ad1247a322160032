"""Axes of grids of samples: from nodes to pixels, and the transforms of PSF kernels along them."""

import functools
from dataclasses import dataclass

import numpy as np
from scipy import fft, sparse

__all__ = ["Axis", "coarse_axis", "edge_axis", "fine_axis", "tap_matrix"]

_NO_NODE = -1
# A spline of fifth order has six coefficients at each place.
_ORDER = 6


@dataclass(frozen=True)
class Axis:
    """One axis of a grid: where samples are, and how pixels are made of its nodes.

    Attributes
    ----------
    origin : int
        Pixel of the first node.
    pixels : array of int, shape (n_samples,)
        Of the samples; they may lie beyond the map.
    places : array of int, shape (n_samples,)
        Where the samples are among the nodes.
    size : int
        Number of nodes, which is that of the transform.
    step : int
        Distance of nodes in pixels.
    kept : slice
        The nodes that pixels of the map are made of.
    nodes, weights : array, shapes (n,), (n, n_taps)
        For each pixel of the map the first node, among those that are kept, or -1, and the weights
        of it and the next ones.
    """

    origin: int
    pixels: np.ndarray
    places: np.ndarray
    size: int
    step: int
    kept: slice
    nodes: np.ndarray
    weights: np.ndarray

    def transform(self, kernels: np.ndarray, dimension: int) -> np.ndarray:
        """Return the transform of kernels along one dimension, centred on the first node.

        Along the last dimension kernels are real; of nodes that are apart it has the low
        frequencies, divided by those of the basis of splines.
        """
        n, last = kernels.shape[dimension], dimension == kernels.ndim - 1
        if self.step == 1:
            widths = [(0, 0)] * kernels.ndim
            widths[dimension] = (0, self.size - n)
            centred = np.roll(np.pad(kernels, widths), -(n // 2), axis=dimension)
            return (fft.rfft if last else fft.fft)(centred, axis=dimension)
        frequencies = (fft.rfftfreq if last else fft.fftfreq)(self.size)
        angles = 2 * np.pi * frequencies
        waves = np.exp(-1j / self.step * np.outer(angles, np.arange(n) - n // 2))
        waves /= ((33 + 26 * np.cos(angles) + np.cos(2 * angles)) / 60)[:, None]
        return np.moveaxis(np.tensordot(kernels, waves, (dimension, 1)), -1, dimension)


def fine_axis(first: int, last: int, half: int, total: int) -> Axis:
    """Return an axis with a node for each pixel.

    Parameters
    ----------
    first, last : int
        First pixel with a sample, and last + 1.
    half : int
        How far kernels reach.
    total : int
        Number of pixels of the map.
    """
    pixels, origin = np.arange(first, last), first - half
    size = _length(max(_rounded_up(len(pixels) + 2 * half), 1))
    at = np.arange(total) - origin
    nodes = np.where((at >= 0) & (at < size), at, _NO_NODE)
    return Axis(
        origin, pixels, pixels - origin, size, 1, slice(0, size), nodes, np.ones((total, 1))
    )


def coarse_axis(first: int, last: int, step: int, half: int, total: int) -> Axis:
    """Return an axis with nodes that are apart, between which there are splines of fifth order.

    Parameters
    ----------
    first, last : int
        First and last pixel that samples are to reach. Parts of a step are left.
    step : int
        Distance of nodes.
    half, total : int
        See `fine_axis`.
    """
    pixels = np.arange(first + (last - first) % step // 2, last + 1, step)
    # The PSF, and the nodes around a pixel, reach further.
    pad = -(-half // step) + _ORDER // 2
    size, origin = _length(len(pixels) + 2 * pad), int(pixels[0]) - pad * step
    at = (np.arange(total) - origin) / step
    left = np.floor(at).astype(np.int64)
    weights = np.stack([_basis(at - left + 2 - i) for i in range(_ORDER)], axis=1)
    inside = (left >= 2) & (left + 3 < size)
    nodes = np.where(inside, left - 2, _NO_NODE)
    places = pad + np.arange(len(pixels))
    return Axis(origin, pixels, places, size, step, slice(0, size), nodes, weights)


def edge_axis(half: int, total: int) -> Axis:
    """Return an axis whose samples are beyond both edges of the map, as far as kernels reach.

    Its nodes are those samples and as many pixels within the map. Those of one edge follow those
    of the other: between them is room, so that neither reaches what the other has to do with. The
    weights are negative, to take away what a source has beyond the map.

    Parameters
    ----------
    half, total : int
        See `fine_axis`.
    """
    within = min(total, 2 * half)
    pixels = np.concatenate([np.arange(-half, 0), np.arange(total, total + half)])
    places = np.concatenate([np.arange(half), half + within + np.arange(half)])
    at = np.arange(total)
    # Among those that are kept: the first is at the lower edge, the last at the upper one.
    nodes = np.where(at < half, at, np.where(at >= total - half, at - total + within, _NO_NODE))
    kept, weights = slice(half, half + within), np.full((total, 1), -1.0)
    return Axis(-half, pixels, places, _length(within + 2 * half), 1, kept, nodes, weights)


def _basis(x: np.ndarray) -> np.ndarray:
    """Return the basis of splines of fifth order, which is not zero for \\|x\\| < 3."""
    x = np.abs(x)
    powers = [np.maximum(n - x, 0.0) ** 5 for n in (3, 2, 1)]
    return (powers[0] - 6 * powers[1] + 15 * powers[2]) / 120


def tap_matrix(nodes: np.ndarray, weights: np.ndarray, size: int) -> sparse.csr_array:
    """Return the matrix from nodes to pixels.

    Parameters
    ----------
    nodes, weights : array, shapes (n, n_runs), (n, n_runs, n_taps)
        See `ctao_sat.kernels.templates.expand_rows`.
    size : int
        Number of nodes.
    """
    n_taps = weights.shape[2]
    rows = np.repeat(np.arange(len(nodes)), weights[0].size if len(nodes) else 0)
    columns = (nodes[:, :, None] + np.arange(n_taps)).reshape(-1)
    used = np.repeat(nodes.reshape(-1) >= 0, n_taps)
    values = weights.reshape(-1)[used]
    return sparse.csr_array((values, (rows[used], columns[used])), shape=(len(nodes), size))


_length = functools.partial(fft.next_fast_len, real=True)


def _rounded_up(n: int) -> int:
    """Return a length that similar boxes share, so that transforms of the PSF can be kept."""
    return -(-n // 16) * 16
