"""The template of an extended source: samples on a grid, convolved by Fourier transforms."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import fft

from ctao_sat.kernels.templates import collect_rows, expand_rows, gather_taps, scatter_taps
from ctao_sat.likelihood._coarse_grid import coarse_grid
from ctao_sat.likelihood._fine_grid import FineGrid
from ctao_sat.likelihood._grids import Axis, tap_matrix
from ctao_sat.likelihood._pixels import Box
from ctao_sat.likelihood._samples import Samples, differentiate
from ctao_sat.likelihood._shape import Shape, is_pixelated

__all__ = ["GridTemplate"]

# What a round Gaussian has up to each order of derivatives.
_NUMBERS = (1, 4, 10)


@dataclass(frozen=True)
class _Layer:
    """Two axes, their part of all samples, of all nodes, and the transforms of the PSF."""

    y: Axis
    x: Axis
    samples: slice
    nodes: tuple[slice, slice]
    transfer: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    @property
    def kept(self) -> tuple:
        return np.s_[:, self.y.kept, self.x.kept]

    @property
    def places(self) -> tuple:
        return np.ix_(self.y.places, self.x.places)

    def convolved(self, samples: np.ndarray) -> np.ndarray:
        """Return the nodes that pixels of the map are made of, for each true energy."""
        image = np.zeros(self.size)
        image[self.places] = samples[self.samples].reshape(len(self.y.places), len(self.x.places))
        return fft.irfft2(fft.rfft2(image) * self.transfer, s=self.size)[self.kept]

    def transposed(self, nodes: np.ndarray) -> np.ndarray:
        """Return what such nodes say about the samples, shape (n_k, n_samples)."""
        images = np.zeros((len(nodes), *self.size))
        images[self.kept] = nodes[:, *self.nodes]
        said = fft.irfft2(fft.rfft2(images) * np.conj(self.transfer), s=self.size)
        return said[:, *self.places].reshape(len(nodes), -1)


class GridTemplate:
    """An extended source, on the pixels of the map or, if it is smooth and large, on fewer.

    A grid has one axis for each dimension of the map, or two, whose sum is meant: of the source
    everywhere, and of what it has beyond the map, with a negative sign. So a source ends with the
    map, as in Gammapy, although its samples are far apart.

    Parameters
    ----------
    source : `Shape`
        The source.
    shape : array, shape (n,)
        Its position and size; the template holds for shapes that are similar.
    """

    def __init__(self, source: Shape, shape: np.ndarray):
        self._source = source
        self._grid = coarse_grid(source, shape) or FineGrid(source, shape)
        self.step = self._grid.step
        self._layers: list[_Layer] = []
        first = 0
        starts = [np.cumsum([0, *(_kept(axis) for axis in axes)]) for axes in self._grid.axes]
        self._n_nodes = tuple(int(start[-1]) for start in starts)
        for (i, y), (j, x) in itertools.product(*map(enumerate, self._grid.axes)):
            last = first + len(y.pixels) * len(x.pixels)
            nodes = slice(*starts[0][i : i + 2]), slice(*starts[1][j : j + 2])
            self._layers.append(_Layer(y, x, slice(first, last), nodes, _transfer(source, y, x)))
            first = last
        self._taps = tuple(map(_taps, self._grid.axes, starts))

    def holds(self, shape: np.ndarray) -> bool:
        """Return whether the samples that the template has are those that the shape needs."""
        return self._grid.holds(shape)

    def reach(self) -> Box:
        """Return the pixels that the template reaches."""
        limits = []
        for axis in (axes[-1] for axes in self._grid.axes):
            limits += [axis.origin, axis.origin + (axis.size - 1) * axis.step + 1]
        return limits[0], limits[1], limits[2], limits[3]

    # -- samples --------------------------------------------------------------------------------

    def samples(self, shape: np.ndarray, order: int) -> Samples:
        """Return samples and derivatives, see `differentiate`."""
        source = self._source
        if source.is_round and not is_pixelated(source, shape):
            return self._gaussian(shape, order)
        steps = source.steps(shape) if order else np.zeros(0)
        centre = source.beside(shape) if order else shape
        return differentiate(self._sample, shape, source.free, steps, order, centre)

    def _sample(self, shape: np.ndarray) -> np.ndarray:
        return self._grid.samples(shape, lambda lon, lat: self._source.evaluate(shape, lon, lat))

    def _gaussian(self, shape: np.ndarray, order: int) -> Samples:
        source = self._source

        def brightness(lon, lat) -> np.ndarray:
            return source.gaussian(shape, (lon, lat), order)[: _NUMBERS[order]]

        found = self._grid.samples(shape, brightness)
        number = {"lon_0": 0, "lat_0": 1, "sigma": 2}
        free = [number[source.names[i]] for i in source.free]
        samples = Samples(found[0])
        if order > 0:
            samples.first = [found[1 + k] for k in free]
        if order > 1:
            for i, k in enumerate(free):
                for j, m in enumerate(free[: i + 1]):
                    low, high = min(k, m), max(k, m)
                    samples.second[i, j] = found[4 + high * (high + 1) // 2 + low]
        return samples

    # -- bins -----------------------------------------------------------------------------------

    def gather(self, samples: np.ndarray, part, place: int, values: np.ndarray, least=0.0) -> None:
        """Fill blocks, see `ctao_sat.kernels.templates.gather_taps`."""
        found = [layer.convolved(samples) for layer in self._layers]
        images = found[0]
        if self.step > 1:
            nodes = np.empty((len(images), *self._n_nodes))
            for layer, image in zip(self._layers, found, strict=True):
                nodes[:, *layer.nodes] = image
            images = np.empty((len(nodes), len(self._taps[0][0]), self._n_nodes[1]))
            expand_rows(nodes, *self._taps[0], images)
        gather_taps(
            part.table, part.pixels, part.weights, images, self._first_row, self._taps[1], least,
            place, values,
        )  # fmt: skip

    def scatter(self, part, row_bin: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """Return what numbers of the bins say about the samples, shape (n_k, n_samples)."""
        n_rows = len(self._taps[0][0]) if self.step > 1 else self._n_nodes[0]
        rows = np.zeros((len(self._source.psf), n_rows, self._n_nodes[1]))
        scatter_taps(
            part.table, part.pixels, part.weights, self._first_row, self._taps[1], row_bin, bins,
            rows,
        )  # fmt: skip
        return self._transposed(rows, self._taps[0])

    def sums(self, part) -> np.ndarray:
        """Return what samples add to the sum over bins that are not evaluated."""
        if self.step == 1:
            (half_y, half_x), y, x = self._source.halves, self._layers[0].y, self._layers[0].x
            corner = y.origin + half_y, x.origin + half_x
            sums = part.cut_sums(corner, (len(y.pixels), len(x.pixels)))
            return sums.reshape(len(sums), -1)
        # All pixels of the window, as if each were a row.
        y0, y1, x0, x1 = part.window
        nodes, weights = self._taps[1]
        along = tap_matrix(nodes[x0:x1], weights[x0:x1], self._n_nodes[1])
        rows = np.zeros((len(part.implicit), y1 - y0, self._n_nodes[1]))
        if part.implicit.size:
            rows[...] = [image @ along for image in part.implicit]
        return self._transposed(rows, [taps[y0:y1] for taps in self._taps[0]])

    def _transposed(self, rows: np.ndarray, taps) -> np.ndarray:
        nodes = rows
        if self.step > 1:
            nodes = np.zeros((len(rows), *self._n_nodes))
            collect_rows(rows, *taps, nodes)
        return np.concatenate([layer.transposed(nodes) for layer in self._layers], axis=1)

    @property
    def _first_row(self) -> int:
        return 0 if self.step > 1 else self._layers[0].y.origin


def _kept(axis: Axis) -> int:
    return axis.kept.stop - axis.kept.start


def _transfer(source: Shape, y: Axis, x: Axis) -> np.ndarray:
    """Return the transforms of the PSF kernels, which similar templates share."""
    key = (y.size, y.step), (x.size, x.step)
    if key not in source.transfer:
        source.transfer[key] = y.transform(x.transform(source.psf, 2), 1)
    return source.transfer[key]


def _taps(axes: list[Axis], starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of all axes, as the kernels have them."""
    n_taps = max(axis.weights.shape[1] for axis in axes)
    nodes = np.stack([axis.nodes for axis in axes], axis=1)
    weights = [np.pad(a.weights, ((0, 0), (0, n_taps - a.weights.shape[1]))) for a in axes]
    return np.where(nodes < 0, nodes, nodes + starts[:-1]), np.stack(weights, axis=1)
