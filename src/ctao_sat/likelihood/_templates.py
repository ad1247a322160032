"""Templates of sources with a free shape: samples, convolved with the PSF, on the pixels of a map.

Each kind of template answers the same questions about the samples S(u) of a source:

- ``samples(shape, order)``: what are they, and their derivatives?
- ``gather(samples, part, place, values)``: what do they put into bins?
- ``scatter(part, row_bin, bins)``: what do numbers of the bins say about them, for each true energy?
- ``sums(part)``: what do they contribute to the sum over bins that are not evaluated?
- ``holds(shape)``, ``reach(shape)``: is the template the right one, and how far does it go?
"""

import numpy as np
from gammapy.modeling.models import GaussianSpatialModel, PointSpatialModel, SpatialModel
from scipy import fft, sparse

from ctao_sat._gammapy import CUTOUT_MARGIN, MAX_OVERSAMPLING
from ctao_sat.kernels.templates import (
    collect_rows,
    expand_rows,
    gather_patch,
    gather_taps,
    scatter_patch,
    scatter_taps,
)
from ctao_sat.likelihood._pixels import Box, MapPixels
from ctao_sat.likelihood._samples import Samples, differentiate

__all__ = ["GridTemplate", "PointTemplate", "Shape", "integrates_as_usual", "make_template"]

# A point source has kinks where it crosses the centre of a pixel: derivatives are those of the mean
# over one pixel.
_HALF_PIXEL = 0.5
# Steps of derivatives, by the size of a smooth source and for shapes with edges by pixels.
_SMOOTH_STEP, _EDGE_STEP = 3e-3, 0.25
_ECCENTRICITY_STEP = 0.02
# Samples by sigma of a Gaussian on a coarse grid. A spline of fifth order through four of them is
# good to 1e-7 of the maximum.
_LEAST_SAMPLES, _MOST_SAMPLES = 4, 12
# Where a Gaussian has ended: beyond are 4e-6 of its flux. Gammapy goes as far.
_END = 5.0
_NO_NODE = -1


class Shape:
    """A spatial model whose parameters are free, on a map with a PSF.

    Parameters
    ----------
    model : `~gammapy.modeling.models.SpatialModel`
        It is copied.
    pixels : `MapPixels`
        Of the map.
    psf : array, shape (n_k, n_y, n_x)
        Kernels, of odd size.
    """

    def __init__(self, model: SpatialModel, pixels: MapPixels, psf: np.ndarray):
        self.model, self.pixels, self.psf = model.copy(), pixels, psf
        self._parameters = list(self.model.parameters)
        self.names = [parameter.name for parameter in self._parameters]
        self._units = [parameter.unit for parameter in self._parameters]
        self.free = [i for i, p in enumerate(model.parameters) if not p.frozen]
        self.is_point = type(model) is PointSpatialModel
        self.is_smooth = type(model) is GaussianSpatialModel
        self.reach = max(psf.shape[1] // 2, psf.shape[2] // 2)
        self.transfer: dict[tuple, np.ndarray] = {}
        #: Whether large sources may be sampled coarsely although they reach beyond the map: a
        #: minimiser on its way needs no more.
        self.is_rough = False

    def set(self, shape: np.ndarray) -> None:
        """Give the copy of the model these values."""
        for parameter, value in zip(self._parameters, shape, strict=True):
            parameter.value = value

    def center(self, shape: np.ndarray) -> tuple[float, float]:
        """Return the pixel (y, x) of the position; the middle of the map if there is none."""
        if "lon_0" not in self.names:
            return (self.pixels.shape[0] - 1) / 2, (self.pixels.shape[1] - 1) / 2
        lon, lat = (
            shape[i] * self._units[i].to("deg")
            for i in (self.names.index("lon_0"), self.names.index("lat_0"))
        )
        return self.pixels.locate(lon, lat)

    def evaluate(self, shape: np.ndarray, lon, lat) -> np.ndarray:
        """Return the surface brightness per steradian at coordinates."""
        values = {
            name: value * unit
            for name, value, unit in zip(self.names, shape, self._units, strict=True)
        }
        return self.model.evaluate(lon, lat, **values).to_value("sr-1")

    def radius(self, shape: np.ndarray) -> float | None:
        """Return Gammapy's evaluation radius in degrees."""
        self.set(shape)
        radius = self.model.evaluation_radius
        return None if radius is None else float(radius.to_value("deg"))

    def steps(self, shape: np.ndarray) -> np.ndarray:
        """Return steps for derivatives by the free parameters."""
        pixel = float(np.min(self.pixels.scales))
        size = pixel
        if not self.is_point:
            size = (self.radius(shape) or 50 * pixel) / 5
        angle = max(_SMOOTH_STEP * size, 0.0 if self.is_smooth else _EDGE_STEP * pixel)
        if self.is_point:
            angle = _HALF_PIXEL * pixel
        steps = []
        for i in self.free:
            name, value = self.names[i], shape[i]
            degrees = self._units[i].is_equivalent("deg") and name != "phi"
            if name == "phi":
                step = 0.5 / self._units[i].to("deg")
            elif degrees:
                step = angle / self._units[i].to("deg")
                if name == "lon_0":
                    lat = shape[self.names.index("lat_0")]
                    step /= max(np.cos(lat * self._units[i].to("rad")), 1e-3)
            elif name == "e":
                step = min(_ECCENTRICITY_STEP, max((1 - abs(value)) / 2, 1e-6))
            else:
                step = _SMOOTH_STEP * (abs(value) or 1.0)
            steps.append(step)
        return np.array(steps)

    def pixel_axes(self, shape: np.ndarray) -> list[np.ndarray]:
        """Return by how much the free parameters of a position change along y and x, by pixel."""
        centre, steps = self.center(shape), self.steps(shape)
        moves = []
        for i, step in zip(self.free, steps, strict=True):
            other = shape.copy()
            other[i] += step
            moves.append(np.subtract(self.center(other), centre) / step)
        # With one coordinate frozen, the way along it is the only one.
        axes = np.linalg.pinv(np.array(moves).T).T
        return [axis for axis in axes if np.isfinite(axis).all() and axis.any()]

    def beside(self, shape: np.ndarray) -> np.ndarray:
        """Return the shape, or one beside it where Gammapy takes another formula: a round one."""
        if "e" not in self.names or shape[self.names.index("e")] != 0:
            return shape
        other = shape.copy()
        other[self.names.index("e")] = 1e-9
        return other


def integrates_as_usual(model: SpatialModel) -> bool:
    """Return whether samples are those of the formula, or of a point, on the pixels of a map."""
    kind = type(model)
    if kind is PointSpatialModel:
        return True
    usual = SpatialModel.integrate_geom, SpatialModel.evaluate_geom
    return (kind.integrate_geom, kind.evaluate_geom) == usual


def make_template(shape_model: Shape, shape: np.ndarray) -> "PointTemplate | GridTemplate":
    """Return the template that suits a shape."""
    if shape_model.is_point:
        return PointTemplate(shape_model, shape)
    return GridTemplate(shape_model, shape)


class PointTemplate:
    """A point source: Gammapy shares it among the four pixels around it.

    Parameters
    ----------
    source : `Shape`
        The point.
    shape : array, shape (n,)
        Its position. The template holds for positions within the same pixel.
    """

    def __init__(self, source: Shape, shape: np.ndarray):
        self._source = source
        y, x = source.center(shape)
        if not (np.isfinite(y) and np.isfinite(x)):
            y, x = 1e6, 1e6
        # Beyond the map there is nothing to be had; and nothing to overflow.
        y, x = (float(np.clip(at, -1e6, 1e6)) for at in (y, x))
        self._corner = int(np.floor(y)) - 1, int(np.floor(x)) - 1
        self._cell = int(np.floor(y)), int(np.floor(x))
        self._psf = source.psf

    def holds(self, shape: np.ndarray) -> bool:
        """Return whether the position is in the same pixel."""
        y, x = self._source.center(shape)
        return (np.floor(y), np.floor(x)) == self._cell

    def reach(self) -> Box:
        """Return the pixels that the template reaches."""
        (y, x), r = self._corner, self._source.reach
        return y - r, y + 4 + r, x - r, x + 4 + r

    def samples(self, shape: np.ndarray, order: int) -> Samples:
        """Return samples and derivatives, see `differentiate`."""
        source = self._source
        steps = source.steps(shape) if order else np.zeros(0)
        return differentiate(self._sample, shape, source.free, steps, order, shape)

    def _sample(self, shape: np.ndarray) -> np.ndarray:
        y, x = self._source.center(shape)
        weights = []
        for at, corner, n in zip((y, x), self._corner, self._source.pixels.shape, strict=True):
            pixel = corner + np.arange(4)
            share = np.maximum(1 - np.abs(pixel - at), 0.0)
            # What lies outside of the map is lost.
            weights.append(np.where((pixel >= 0) & (pixel < n), share, 0.0))
        return np.outer(*weights)

    def gather(self, samples: np.ndarray, part, place: int, values: np.ndarray, least=0.0) -> None:
        """Fill blocks, see `ctao_sat.kernels.templates.gather_patch`."""
        gather_patch(
            part.table, part.pixels, part.weights, self._psf, samples, self._corner, place, values
        )

    def scatter(self, part, row_bin: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """Return what numbers of the bins say about the samples, shape (n_k, 4, 4)."""
        out = np.zeros((len(self._psf), 4, 4))
        scatter_patch(
            part.table, part.pixels, part.weights, self._psf, row_bin, bins, self._corner, out
        )
        return out

    def sums(self, part) -> np.ndarray:
        """Return what samples add to the sum over bins that are not evaluated."""
        return part.cut_sums(self._corner, (4, 4))


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
        self.step = self._coarse_step(shape)
        if self.step > 1:
            self._make_coarse(shape)
        else:
            self._make_fine(shape)

    # -- the grid -------------------------------------------------------------------------------

    def _coarse_step(self, shape: np.ndarray) -> int:
        """Return the distance of samples in pixels; 1 unless the source is smooth and inside."""
        source = self._source
        if not source.is_smooth:
            return 1
        sigma, minor = self._widths(shape)
        step = int(minor / np.max(source.pixels.scales) // _LEAST_SAMPLES)
        if step < 2:
            return 1
        half = self._half_width(sigma)
        inside = all(
            half <= at <= n - 1 - half
            for at, n in zip(source.center(shape), source.pixels.shape, strict=True)
        )
        return step if inside or source.is_rough else 1

    def _widths(self, shape: np.ndarray) -> tuple[float, float]:
        """Return sigma along the long and the short axis, in degrees."""
        source = self._source
        at = source.names.index("sigma")
        sigma = abs(float(shape[at])) * source._units[at].to("deg")
        e = min(abs(float(shape[source.names.index("e")])), 1.0)
        return sigma, sigma * np.sqrt(1 - e**2)

    def _half_width(self, sigma: float) -> float:
        """Return how far a Gaussian reaches, in pixels."""
        return _END * sigma / float(np.min(self._source.pixels.scales))

    def _make_coarse(self, shape: np.ndarray) -> None:
        source, step = self._source, self.step
        sigma, _ = self._widths(shape)
        # Room to move by a sigma, and to grow by a quarter.
        half = self._half_width(1.25 * sigma) + sigma / float(np.min(source.pixels.scales))
        self._nodes = tuple(
            _nodes(at, half, step, total)
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
        self._transfer = _coarse_transfer(source.psf, self.shape, step)
        self._taps = tuple(
            _spline_taps(first, size, step, total)
            for first, size, total in zip(
                self._origin, self.shape, source.pixels.shape, strict=True
            )
        )

    def _make_fine(self, shape: np.ndarray) -> None:
        source = self._source
        self._box, self._factor = self._fine_box(shape)
        y0, y1, x0, x1 = self._box
        margins = [n // 2 for n in source.psf.shape[1:]]
        self.shape = tuple(
            fft.next_fast_len(_rounded_up(length + 2 * margin), real=True)
            for length, margin in zip((y1 - y0, x1 - x0), margins, strict=True)
        )
        self._origin = y0 - margins[0], x0 - margins[1]
        self._first_row = self._origin[0]
        self._inner = np.s_[margins[0] : margins[0] + y1 - y0, margins[1] : margins[1] + x1 - x0]
        pixels = source.pixels
        if self._factor > 1:
            self._coordinates = pixels.fine_coordinates(self._box, self._factor)
        else:
            self._coordinates = tuple(c[y0:y1, x0:x1] for c in pixels.coordinates)
        self._solid_angles = pixels.solid_angles[y0:y1, x0:x1]
        key = self.shape
        if key not in source.transfer:
            source.transfer[key] = _fine_transfer(source.psf, self.shape)
        self._transfer = source.transfer[key]
        self._taps = tuple(
            _single_taps(first, size, total)
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
        whole = pixels.box(center, self._cutout_width(radius), odd=True)
        if factor <= 1:
            return whole, 1
        inner = pixels.box(center, 2 * max(radius, pixel))
        first = max(whole[0], inner[0]), max(whole[2], inner[2])
        last = min(whole[1], inner[1]), min(whole[3], inner[3])
        return (first[0], max(first[0], last[0]), first[1], max(first[1], last[1])), factor

    def _cutout_width(self, radius: float) -> float:
        """Return the width of Gammapy's cutout around a source, in degrees."""
        source = self._source
        n_y, n_x = source.psf.shape[1:]
        psf = max(n_y * source.pixels.scales[0], n_x * source.pixels.scales[1])
        if source.psf.shape[1:] == (1, 1):
            psf = 0.0
        return psf + 2 * (radius + CUTOUT_MARGIN.to_value("deg"))

    def holds(self, shape: np.ndarray) -> bool:
        """Return whether the samples that the template has are those that the shape needs."""
        if self.step == 1:
            return self._coarse_step(shape) == 1 and self._fine_box(shape) == (
                self._box,
                self._factor,
            )
        source = self._source
        sigma, minor = self._widths(shape)
        samples = minor / float(np.max(source.pixels.scales)) / self.step
        if not _LEAST_SAMPLES <= samples <= _MOST_SAMPLES or self._coarse_step(shape) == 1:
            return False
        half = self._half_width(sigma)
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
        steps = source.steps(shape) if order else np.zeros(0)
        centre = source.beside(shape) if order else shape
        return differentiate(self._sample, shape, source.free, steps, order, centre)

    def _sample(self, shape: np.ndarray) -> np.ndarray:
        values = self._source.evaluate(shape, *self._coordinates)
        if self._factor > 1:
            f = self._factor
            n_y, n_x = self._solid_angles.shape
            values = np.broadcast_to(values, (n_y * f, n_x * f))
            values = values.reshape(n_y, f, n_x, f).sum(axis=(1, 3)) / f**2
        out = np.zeros(self.shape)
        # What is not finite counts as nothing, as in Gammapy.
        out[self._inner] = np.nan_to_num(
            values * self._solid_angles, nan=0.0, posinf=0.0, neginf=0.0
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
        along = _matrix(*(taps[x0:x1] for taps in self._taps[1]), self.shape[1])
        rows = np.array([image @ along for image in part.implicit])
        return self._transposed(self._collected(rows, [taps[y0:y1] for taps in self._taps[0]]))

    def _transposed(self, images: np.ndarray) -> np.ndarray:
        return fft.irfft2(fft.rfft2(images) * np.conj(self._transfer), s=self.shape)


def _nodes(at: float, half: float, step: int, total: int) -> np.ndarray:
    """Return the pixels of nodes that reach as far as this around one, within the map."""
    first = max(int(np.floor(at - half)), 0)
    last = min(int(np.ceil(at + half)), total - 1)
    # The first and the last pixel may be less than a step beyond.
    return np.arange(first + (last - first) % step // 2, last + 1, step)


def _rounded_up(n: int) -> int:
    """Return a length that similar boxes share, so that transforms of the PSF can be kept."""
    return -(-n // 16) * 16


def _fine_transfer(psf: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the transforms of PSF kernels that are centred on the first pixel."""
    padded = np.zeros((len(psf), *shape))
    padded[:, : psf.shape[1], : psf.shape[2]] = psf
    shift = -(psf.shape[1] // 2), -(psf.shape[2] // 2)
    return fft.rfft2(np.roll(padded, shift, axis=(1, 2)))


def _coarse_transfer(psf: np.ndarray, shape: tuple[int, int], step: int) -> np.ndarray:
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


def _spline_taps(first: int, size: int, step: int, total: int) -> tuple[np.ndarray, np.ndarray]:
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


def _single_taps(first: int, size: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the node that is each of ``total`` pixels."""
    at = np.arange(total) - first
    inside = (at >= 0) & (at < size)
    return np.where(inside, at, _NO_NODE), np.ones((total, 1))


def _matrix(nodes: np.ndarray, weights: np.ndarray, size: int) -> sparse.csr_array:
    """Return the matrix from nodes to pixels."""
    n, n_taps = weights.shape
    rows = np.repeat(np.arange(n), n_taps)
    columns = (nodes[:, None] + np.arange(n_taps)).reshape(-1)
    used = np.repeat(nodes >= 0, n_taps)
    values = weights.reshape(-1)[used]
    return sparse.csr_array((values, (rows[used], columns[used])), shape=(n, size))
