"""Grids of samples: from nodes to pixels, and the transforms of PSF kernels that belong to them."""

import numpy as np
from scipy import fft, sparse

__all__ = [
    "coarse_transfer",
    "fine_transfer",
    "node_pixels",
    "single_taps",
    "spline_taps",
    "tap_matrix",
]

_NO_NODE = -1


def node_pixels(at: float, half: float, step: int, total: int) -> np.ndarray:
    """Return the pixels of nodes that reach as far as this around one, within the map."""
    first = max(int(np.floor(at - half)), 0)
    last = min(int(np.ceil(at + half)), total - 1)
    # The first and the last pixel may be less than a step beyond.
    return np.arange(first + (last - first) % step // 2, last + 1, step)


def fine_transfer(psf: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the transforms of PSF kernels that are centred on the first pixel."""
    padded = np.zeros((len(psf), *shape))
    padded[:, : psf.shape[1], : psf.shape[2]] = psf
    shift = -(psf.shape[1] // 2), -(psf.shape[2] // 2)
    return fft.rfft2(np.roll(padded, shift, axis=(1, 2)))


def coarse_transfer(psf: np.ndarray, shape: tuple[int, int], step: int) -> np.ndarray:
    """Return the low frequencies of PSF kernels, divided by those of the spline's basis."""
    frequencies = fft.fftfreq(shape[0]) / step, fft.rfftfreq(shape[1]) / step
    waves = [
        np.exp(-2j * np.pi * np.outer(f, np.arange(n) - n // 2))
        for f, n in zip(frequencies, psf.shape[1:], strict=True)
    ]
    transfer = waves[0] @ psf @ waves[1].T
    angles = [2 * np.pi * f * step for f in frequencies]
    basis = [(33 + 26 * np.cos(a) + np.cos(2 * a)) / 60 for a in angles]
    return transfer / np.outer(*basis)


def spline_taps(first: int, size: int, step: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of a spline of fifth order for each of ``total`` pixels."""
    at = (np.arange(total) - first) / step
    left = np.floor(at).astype(np.int64)
    t = at - left
    weights = np.stack([_basis(t + 2 - i) for i in range(6)], axis=1)
    inside = (left >= 2) & (left + 3 < size)
    return np.where(inside, left - 2, _NO_NODE), np.ascontiguousarray(weights)


def _basis(x: np.ndarray) -> np.ndarray:
    """Return the basis of splines of fifth order, which is not zero for \\|x\\| < 3."""
    x = np.abs(x)
    powers = [np.maximum(n - x, 0.0) ** 5 for n in (3, 2, 1)]
    return (powers[0] - 6 * powers[1] + 15 * powers[2]) / 120


def single_taps(first: int, size: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the node that is each of ``total`` pixels."""
    at = np.arange(total) - first
    inside = (at >= 0) & (at < size)
    return np.where(inside, at, _NO_NODE), np.ones((total, 1))


def tap_matrix(nodes: np.ndarray, weights: np.ndarray, size: int) -> sparse.csr_array:
    """Return the matrix from nodes to pixels."""
    n, n_taps = weights.shape
    rows = np.repeat(np.arange(n), n_taps)
    columns = (nodes[:, None] + np.arange(n_taps)).reshape(-1)
    used = np.repeat(nodes >= 0, n_taps)
    values = weights.reshape(-1)[used]
    return sparse.csr_array((values, (rows[used], columns[used])), shape=(n, size))
