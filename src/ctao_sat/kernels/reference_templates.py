"""The formulas for sources with a free shape, written plainly: slow, and made to be read."""

from collections.abc import Iterator

import numpy as np

from ctao_sat.kernels.templates import FIRST_WEIGHT

# -- blocks ---------------------------------------------------------------------------------------


def elements(table: np.ndarray, place: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield for each element of the blocks where it belongs.

    Parameters
    ----------
    table : array of int, shape (n_blocks, 7)
        The blocks, see `ctao_sat.kernels.templates`.
    place : int
        Column of the table in which a block begins.

    Yields
    ------
    energy, pixel, row, weight, value : int
        True energy; where the pixel, the row, the weight and the value are among all.
    """
    for block in table:
        first, n_columns, n_rows, _, row, pixel, weight = block.tolist()
        for c in range(n_columns):
            for r in range(n_rows):
                at = c * n_rows + r
                yield first + c, pixel + r, row + r, weight + at, int(block[place]) + at


def gather(
    table: np.ndarray,
    pixels: np.ndarray,
    weights: np.ndarray,
    templates: np.ndarray,
    place: int,
    values: np.ndarray,
) -> None:
    """Fill blocks from templates that are known on all pixels of a map.

    Parameters
    ----------
    table, pixels, weights : array
        See `ctao_sat.kernels.templates.gather_patch`.
    templates : array, shape (n_k, n_y, n_x)
        The templates.
    place, values : int, array
        See `ctao_sat.kernels.templates.gather_patch`.
    """
    for k, pixel, _, weight, value in elements(table, place):
        y, x = pixels[pixel]
        values[value] = weights[weight] * templates[k, y, x]


def scatter(
    table: np.ndarray,
    pixels: np.ndarray,
    weights: np.ndarray,
    row_bin: np.ndarray,
    bins: np.ndarray,
    shape: tuple[int, int, int],
) -> np.ndarray:
    """Return what numbers of the bins say about templates on all pixels of a map.

    Parameters
    ----------
    table, pixels, weights, row_bin, bins : array
        See `ctao_sat.kernels.templates.scatter_patch`.
    shape : tuple of int
        Of the templates.

    Returns
    -------
    slopes : array, shape (n_k, n_y, n_x)
        ``sum_j bins_j dmu_j / dT_k(x)``, with mu the sum of all blocks.
    """
    slopes = np.zeros(shape)
    for k, pixel, row, weight, _ in elements(table, FIRST_WEIGHT):
        y, x = pixels[pixel]
        slopes[k, y, x] += bins[row_bin[row]] * weights[weight]
    return slopes


def add_columns(
    table: np.ndarray, values: np.ndarray, f: np.ndarray, row_bin: np.ndarray, bins: np.ndarray
) -> None:
    """Add the columns of blocks, each times its factor, to the bins.

    Parameters
    ----------
    table, values, f, row_bin, bins : array
        See `ctao_sat.kernels.templates.add_columns`.
    """
    for k, _, row, _, value in elements(table, FIRST_WEIGHT):
        bins[row_bin[row]] += f[k] * values[value]


# -- templates ------------------------------------------------------------------------------------


def convolve(
    psf: np.ndarray, samples: np.ndarray, corner: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Return the templates of samples: ``T_k(x) = sum_u K_k(x - u) S(u)``.

    Parameters
    ----------
    psf : array, shape (n_k, 2 h_y + 1, 2 h_x + 1)
        Kernels.
    samples : array, shape (n_y, n_x)
        Of the source.
    corner : tuple of int
        Pixel (y, x) of the first sample.
    shape : tuple of int
        Of the map. What lies beyond is lost.

    Returns
    -------
    templates : array, shape (n_k, *shape)
        On all pixels.
    """
    templates = np.zeros((len(psf), *shape))
    half = psf.shape[1] // 2, psf.shape[2] // 2
    for (i, j), sample in np.ndenumerate(samples):
        for (k, a, b), share in np.ndenumerate(psf):
            y, x = corner[0] + i + a - half[0], corner[1] + j + b - half[1]
            if 0 <= y < shape[0] and 0 <= x < shape[1]:
                templates[k, y, x] += share * sample
    return templates


def correlate(
    psf: np.ndarray, slopes: np.ndarray, corner: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Return what numbers of all pixels say about samples: the transpose of `convolve`.

    Parameters
    ----------
    psf : array, shape (n_k, n_y, n_x)
        See `convolve`.
    slopes : array, shape (n_k, n_y, n_x)
        On all pixels of the map.
    corner : tuple of int
        See `convolve`.
    shape : tuple of int
        Of the samples.

    Returns
    -------
    slopes : array, shape (n_k, *shape)
        By the samples.
    """
    out = np.zeros((len(psf), *shape))
    for i, j in np.ndindex(shape):
        one = np.zeros(shape)
        one[i, j] = 1
        out[:, i, j] = np.sum(convolve(psf, one, corner, slopes.shape[1:]) * slopes, axis=(1, 2))
    return out


def tap_matrix(nodes: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Return the matrix from the nodes of a grid to the rows, or columns, of a map.

    Parameters
    ----------
    nodes, weights : array, shapes (n, n_runs), (n, n_runs, n_taps)
        See `ctao_sat.kernels.templates.expand_rows`.
    size : int
        Number of nodes.

    Returns
    -------
    matrix : array, shape (n, size)
        Rows without a node are zero.
    """
    matrix = np.zeros((len(nodes), size))
    for (row, run), node in np.ndenumerate(nodes):
        if node >= 0:
            matrix[row, node : node + weights.shape[2]] += weights[row, run]
    return matrix


# -- shapes ---------------------------------------------------------------------------------------


def gaussian(
    lon: np.ndarray, lat: np.ndarray, lon_0: float, lat_0: float, sigma: float
) -> np.ndarray:
    """Return the surface brightness of a Gaussian on the sphere, whose integral is 1.

    Parameters
    ----------
    lon, lat : array, shape (n,)
        Directions in radians.
    lon_0, lat_0, sigma : float
        Position and width in radians.

    Returns
    -------
    brightness : array, shape (n,)
        Per steradian.
    """
    cosine = np.sin(lat) * np.sin(lat_0) + np.cos(lat) * np.cos(lat_0) * np.cos(lon - lon_0)
    a = 1 - np.cos(sigma)
    norm = 4 * np.pi * a * (1 - np.exp(-1 / a))
    return np.exp(-0.5 * (1 - cosine) / a) / norm
