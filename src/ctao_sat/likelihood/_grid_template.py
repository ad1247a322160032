"""The template of an extended source, on the pixels of a map or, if it is large, on fewer."""

import numpy as np
from scipy import fft

from ctao_sat._gammapy import MAX_OVERSAMPLING
from ctao_sat.kernels.templates import collect_rows, expand_rows, gather_taps, scatter_taps
from ctao_sat.likelihood._grids import (
    coarse_transfer,
    fine_transfer,
    node_pixels,
    single_taps,
    spline_taps,
    tap_matrix,
)
from ctao_sat.likelihood._pixels import Box
from ctao_sat.likelihood._samples import Samples, differentiate
from ctao_sat.likelihood._shape import Shape, is_pixelated

__all__ = ["GridTemplate", "coarse_step"]

# Samples by sigma of a Gaussian on a coarse grid. A spline of fifth order through four of them is
# good to 1e-7 of the maximum.
_LEAST_SAMPLES, _MOST_SAMPLES = 4, 12
# Where a Gaussian has ended: beyond are 4e-6 of its flux. Gammapy goes as far.
_END = 5.0
# Pixels around those with samples, into which shapes may grow for derivatives.
_PAD = 2


class GridTemplate:
    """An extended source, on the pixels of the map or, if it is smooth and large, on fewer.

    Parameters
    ----------
    source : `Shape`
        The source.
    shape : array, shape (n,)
        Its position and size; the template holds for shapes that are similar.
    """

    def __init__(self, source: Shape, shape: np.ndarray):
        self._source = source
        self.step = coarse_step(source, shape, rough=source.is_rough)
        if self.step > 1:
            self._make_coarse(shape)
        else:
            self._make_fine(shape)

    # -- the grid -------------------------------------------------------------------------------

    def _make_coarse(self, shape: np.ndarray) -> None:
        source, step = self._source, self.step
        sigma, _ = source.widths(shape)
        # Room to move by a sigma, and to grow by a quarter.
        half = _half_width(source, 1.25 * sigma) + sigma / float(np.min(source.pixels.scales))
        self._nodes = tuple(
            node_pixels(at, half, step, total)
            for at, total in zip(source.center(shape), source.pixels.shape, strict=True)
        )
        # The PSF, and the nodes around a pixel, reach further.
        pad = -(-source.reach // step) + 3
        self.shape = tuple(
            fft.next_fast_len(len(nodes) + 2 * pad, real=True) for nodes in self._nodes
        )
        self._origin = tuple(int(nodes[0]) - pad * step for nodes in self._nodes)
        inner = np.ix_(*self._nodes)
        self._coordinates = tuple(c[inner] for c in source.pixels.coordinates)
        self._solid_angles = source.pixels.solid_angles[inner]
        self._inner = tuple(slice(pad, pad + len(nodes)) for nodes in self._nodes)
        self._factor, self._first_row = 1, 0
        self._transfer = coarse_transfer(source.psf, self.shape, step)
        self._taps = tuple(
            spline_taps(first, size, step, total)
            for first, size, total in zip(
                self._origin, self.shape, source.pixels.shape, strict=True
            )
        )

    def _make_fine(self, shape: np.ndarray) -> None:
        source = self._source
        self._box, self._factor = self._fine_box(shape)
        # Shapes beside this one, for derivatives, may reach a little further.
        y0, y1, x0, x1 = self._inner_box = _padded(self._box, source.pixels.shape)
        margins = [n // 2 for n in source.psf.shape[1:]]
        self.shape = tuple(
            fft.next_fast_len(max(_rounded_up(length + 2 * margin), 1), real=True)
            for length, margin in zip((y1 - y0, x1 - x0), margins, strict=True)
        )
        self._origin = y0 - margins[0], x0 - margins[1]
        self._first_row = self._origin[0]
        self._inner = np.s_[margins[0] : margins[0] + y1 - y0, margins[1] : margins[1] + x1 - x0]
        pixels = source.pixels
        if self._factor > 1:
            self._coordinates = pixels.fine_coordinates(self._inner_box, self._factor)
        else:
            self._coordinates = tuple(c[y0:y1, x0:x1] for c in pixels.coordinates)
        self._solid_angles = pixels.solid_angles[y0:y1, x0:x1]
        key = self.shape
        if key not in source.transfer:
            source.transfer[key] = fine_transfer(source.psf, self.shape)
        self._transfer = source.transfer[key]
        self._taps = tuple(
            single_taps(first, size, total)
            for first, size, total in zip(
                self._origin, self.shape, source.pixels.shape, strict=True
            )
        )

    def _fine_box(self, shape: np.ndarray) -> tuple[Box, int]:
        """Return the pixels with samples, and into how many each is divided, as in Gammapy."""
        source = self._source
        pixels, radius = source.pixels, source.radius(shape)
        if radius is None:
            return (0, pixels.shape[0], 0, pixels.shape[1]), 1
        center = source.center(shape)
        pixel = float(np.max(pixels.scales))
        smallest = source.model.evaluation_bin_size_min
        factor = 1
        if smallest is not None:
            size = float(smallest.to_value("deg"))
            factor = (
                MAX_OVERSAMPLING if size <= 0 else min(int(np.ceil(pixel / size)), MAX_OVERSAMPLING)
            )
        whole = pixels.box(center, source.sample_width(radius), odd=True)
        if factor <= 1:
            return whole, 1
        inner = pixels.box(center, 2 * max(radius, pixel))
        first = max(whole[0], inner[0]), max(whole[2], inner[2])
        last = min(whole[1], inner[1]), min(whole[3], inner[3])
        return (first[0], max(first[0], last[0]), first[1], max(first[1], last[1])), factor

    def holds(self, shape: np.ndarray) -> bool:
        """Return whether the samples that the template has are those that the shape needs."""
        source = self._source
        is_fine = coarse_step(source, shape, rough=source.is_rough) == 1
        if self.step == 1:
            return is_fine and self._fine_box(shape) == (self._box, self._factor)
        sigma, minor = source.widths(shape)
        samples = minor / float(np.max(source.pixels.scales)) / self.step
        if is_fine or not _LEAST_SAMPLES <= samples <= _MOST_SAMPLES:
            return False
        half = _half_width(source, sigma)
        return all(
            # What lies beyond the map is not to be had.
            max(at - half, 0) >= nodes[0] - self.step
            and min(at + half, n - 1) <= nodes[-1] + self.step
            for at, nodes, n in zip(
                source.center(shape), self._nodes, source.pixels.shape, strict=True
            )
        )

    def reach(self) -> Box:
        """Return the pixels that the template reaches."""
        (y, x), (n_y, n_x) = self._origin, self.shape
        return y, y + (n_y - 1) * self.step + 1, x, x + (n_x - 1) * self.step + 1

    # -- samples --------------------------------------------------------------------------------

    def samples(self, shape: np.ndarray, order: int) -> Samples:
        """Return samples and derivatives, see `differentiate`."""
        source = self._source
        if source.is_round and not is_pixelated(source, shape):
            return self._gaussian(shape, order)
        steps = source.steps(shape) if order else np.zeros(0)
        centre = source.beside(shape) if order else shape
        return differentiate(self._sample, shape, source.free, steps, order, centre)

    def _gaussian(self, shape: np.ndarray, order: int) -> Samples:
        source, kept = self._source, self._kept(shape)
        found = source.gaussian(shape, self._coordinates_of(kept), order)
        number = {"lon_0": 0, "lat_0": 1, "sigma": 2}
        free = [number[source.names[i]] for i in source.free]
        samples = Samples(self._placed(found[0], kept))
        if order > 0:
            samples.first = [self._placed(found[1 + k], kept) for k in free]
        if order > 1:
            for i, k in enumerate(free):
                for j, m in enumerate(free[: i + 1]):
                    low, high = min(k, m), max(k, m)
                    at = 4 + high * (high + 1) // 2 + low
                    samples.second[i, j] = self._placed(found[at], kept)
        return samples

    def _sample(self, shape: np.ndarray) -> np.ndarray:
        kept = self._kept(shape)
        return self._placed(self._source.evaluate(shape, *self._coordinates_of(kept)), kept)

    def _kept(self, shape: np.ndarray) -> tuple[slice, slice]:
        """Return which pixels with samples Gammapy evaluates for a shape."""
        if self.step > 1:
            return np.s_[:, :]
        (y0, y1, x0, x1), (first_y, _, first_x, _) = self._fine_box(shape)[0], self._inner_box
        return np.s_[
            max(y0 - first_y, 0) : max(y1 - first_y, 0), max(x0 - first_x, 0) : max(x1 - first_x, 0)
        ]

    def _coordinates_of(self, kept: tuple[slice, slice]) -> list:
        """Return the coordinates of some pixels, or of the parts into which they are divided."""
        f = self._factor
        parts = tuple(
            slice(*(None if end is None else end * f for end in (part.start, part.stop)))
            for part in kept
        )
        return [c[parts] for c in self._coordinates]

    def _placed(self, values: np.ndarray, kept: tuple[slice, slice]) -> np.ndarray:
        """Return the surface brightness of some pixels as samples on the grid."""
        solid_angles = self._solid_angles[kept]
        if self._factor > 1:
            f = self._factor
            n_y, n_x = solid_angles.shape
            values = np.broadcast_to(values, (n_y * f, n_x * f))
            values = values.reshape(n_y, f, n_x, f).sum(axis=(1, 3)) / f**2
        out = np.zeros(self.shape)
        # What is not finite counts as nothing, as in Gammapy.
        out[self._inner][kept] = np.nan_to_num(
            values * solid_angles, nan=0.0, posinf=0.0, neginf=0.0
        )
        return out

    # -- bins -----------------------------------------------------------------------------------

    def gather(self, samples: np.ndarray, part, place: int, values: np.ndarray, least=0.0) -> None:
        """Fill blocks, see `ctao_sat.kernels.templates.gather_taps`."""
        images = fft.irfft2(fft.rfft2(samples) * self._transfer, s=self.shape)
        if self.step > 1:
            rows = np.empty((len(images), len(self._taps[0][0]), self.shape[1]))
            expand_rows(images, *self._taps[0], rows)
            images = rows
        gather_taps(
            part.table, part.pixels, part.weights, images, self._first_row, self._taps[1], least,
            place, values,
        )  # fmt: skip

    def scatter(self, part, row_bin: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """Return what numbers of the bins say about the samples, shape (n_k, n_y, n_x)."""
        n_rows = len(self._taps[0][0]) if self.step > 1 else self.shape[0]
        out = np.zeros((len(self._transfer), n_rows, self.shape[1]))
        scatter_taps(
            part.table, part.pixels, part.weights, self._first_row, self._taps[1], row_bin, bins,
            out,
        )  # fmt: skip
        return self._transposed(self._collected(out, self._taps[0]))

    def _collected(self, rows: np.ndarray, taps) -> np.ndarray:
        if self.step == 1:
            return rows
        out = np.zeros((len(rows), *self.shape))
        collect_rows(rows, *taps, out)
        return out

    def sums(self, part) -> np.ndarray:
        """Return what samples add to the sum over bins that are not evaluated."""
        if self.step == 1:
            return part.cut_sums(self._origin, self.shape)
        # All pixels of the window, as if each were a row.
        y0, y1, x0, x1 = part.window
        if part.implicit.size == 0:
            return np.zeros((len(self._transfer), *self.shape))
        nodes, weights = self._taps[1]
        along = tap_matrix(nodes[x0:x1], weights[x0:x1], self.shape[1])
        rows = np.array([image @ along for image in part.implicit])
        return self._transposed(self._collected(rows, [taps[y0:y1] for taps in self._taps[0]]))

    def _transposed(self, images: np.ndarray) -> np.ndarray:
        return fft.irfft2(fft.rfft2(images) * np.conj(self._transfer), s=self.shape)


def coarse_step(source: Shape, shape: np.ndarray, *, rough: bool) -> int:
    """Return the distance of samples in pixels; 1 unless the source is smooth and inside.

    Parameters
    ----------
    source : `Shape`
        The source.
    shape : array, shape (n,)
        Its position and size.
    rough : bool
        Whether it may reach beyond the map.

    Returns
    -------
    step : int
        As large as the source allows.
    """
    if not source.is_smooth:
        return 1
    sigma, minor = source.widths(shape)
    step = int(minor / np.max(source.pixels.scales) // _LEAST_SAMPLES)
    if step < 2:
        return 1
    half = _half_width(source, sigma)
    inside = all(
        half <= at <= n - 1 - half
        for at, n in zip(source.center(shape), source.pixels.shape, strict=True)
    )
    return step if inside or rough else 1


def _half_width(source: Shape, sigma: float) -> float:
    """Return how far a Gaussian reaches, in pixels."""
    return _END * sigma / float(np.min(source.pixels.scales))


def _padded(box: Box, size: tuple[int, ...]) -> Box:
    y0, y1, x0, x1 = box
    return max(y0 - _PAD, 0), min(y1 + _PAD, size[0]), max(x0 - _PAD, 0), min(x1 + _PAD, size[1])


def _rounded_up(n: int) -> int:
    """Return a length that similar boxes share, so that transforms of the PSF can be kept."""
    return -(-n // 16) * 16
