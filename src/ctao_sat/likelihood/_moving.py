"""Responses to models with a free shape: blocks of a plan that follow the parameters."""

from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
from scipy import fft

from ctao_sat.kernels.templates import FIRST_VALUE, FIRST_WEIGHT, add_columns
from ctao_sat.likelihood._pixels import Box
from ctao_sat.likelihood._samples import Samples
from ctao_sat.likelihood._shape import Shape
from ctao_sat.likelihood._spectra import SpectrumRequest
from ctao_sat.likelihood._templates import make_template

__all__ = ["MovingPart", "MovingResponse", "ShapeDerivatives"]

# Room around a template, in which it may move before bins are selected anew: by its size, and at
# least in degrees.
_ROOM, _LEAST_ROOM = 0.25, 0.25


@dataclass(frozen=True)
class MovingResponse:
    """The predicted counts of a model with a free shape in one dataset.

    Attributes
    ----------
    name : str
        Of the model.
    request : `SpectrumRequest`
        The spectrum that gives f, shape (n_k,).
    source : `Shape`
        What the shape makes of the pixels.
    exposure : array, shape (n_k, n_y, n_x)
        Exposure on the map of the dataset.
    edisp : array, shape (n_k, n_energy)
        Energy dispersion.
    unit : `~astropy.units.Unit`
        Of the exposure; counts are its product with the spectrum.
    index : array of int
        Where the parameters of the shape are among all.
    anchor : tuple of float
        Pixel (y, x) from where PSF and energy dispersion are.
    is_local : bool
        Whether they are others elsewhere.
    """

    name: str
    request: SpectrumRequest
    source: Shape
    exposure: np.ndarray
    edisp: np.ndarray
    unit: u.UnitBase
    index: np.ndarray
    anchor: tuple[float, float]
    is_local: bool

    @property
    def free_index(self) -> np.ndarray:
        """Where the free parameters of the shape are among all."""
        return self.index[self.source.free]

    def drift(self, p: np.ndarray) -> float:
        """Return how far, in degrees, the source is from where its responses were taken."""
        if not self.is_local:
            return 0.0
        move = np.subtract(self.source.center(p[self.index]), self.anchor)
        distance = float(np.hypot(*(move * self.source.pixels.scales)))
        return distance if np.isfinite(distance) else 0.0

    def cut_off(self, before: np.ndarray, p: np.ndarray) -> float:
        """Return the part of the source that lies outside of Gammapy's cutout at the start."""
        return self.source.cut_off(before[self.index], p[self.index])

    def start(self, p: np.ndarray, move: np.ndarray | None, factor: float) -> np.ndarray:
        """Return the values of the parameters of the shape for a start."""
        return self.source.start(p[self.index], move, factor)

    def window(self, p: np.ndarray, scale: float) -> Box:
        """Return the pixels that the source may reach, with room to move."""
        y0, y1, x0, x1 = make_template(self.source, p[self.index]).reach()
        pixels = self.source.pixels
        least = _LEAST_ROOM / float(np.min(pixels.scales))
        room = int(scale * max(_ROOM * max(y1 - y0, x1 - x0), least)) + 2
        n_y, n_x = pixels.shape
        clipped = [int(np.clip(at, 0, n)) for at, n in (
            (y0 - room, n_y), (y1 + room, n_y), (x0 - room, n_x), (x1 + room, n_x)
        )]  # fmt: skip
        return clipped[0], clipped[1], clipped[2], clipped[3]


@dataclass
class ShapeDerivatives:
    """Derivatives by the free parameters of the shape of one response.

    Attributes
    ----------
    by_f : array, shape (n_free, n_k)
        Mixed second derivatives by the spectrum, the part that comes from the templates; its
        product with the spectrum is the gradient.
    second : array, shape (n_free, n_free)
        Second derivatives, the part that comes from the curvature of the templates.
    """

    by_f: np.ndarray
    second: np.ndarray


@dataclass
class _State:
    """A template, what its samples add to the sums, and the samples at the last shape."""

    template: Any = None
    sums: np.ndarray | None = None
    known: tuple[bytes, int, Samples] | None = None


@dataclass
class MovingPart:
    """The blocks of one moving response in a plan.

    Attributes
    ----------
    response : `MovingResponse`
        Whose blocks they are.
    column : int
        Of its spectrum among all.
    factor : float
        Of the unit.
    window : tuple of int
        Pixels in which the template must stay.
    table, pixels, weights : array
        See `ctao_sat.kernels.templates`.
    implicit : array, shape (n_k, n_y, n_x)
        In the window, weight of the template in the sum over bins that are not evaluated.
    """

    response: MovingResponse
    column: int
    factor: float
    window: Box
    table: np.ndarray = field(default_factory=lambda: np.zeros((0, 7), dtype=np.int64))
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    implicit: np.ndarray = field(init=False)

    def __post_init__(self):
        self.implicit = np.zeros((len(self.response.exposure), 0, 0))
        self._blocks: list[tuple] = []
        self._state = _State()
        self._filled: bytes | None = None
        self._sums = np.zeros(0)
        self._cut: np.ndarray | None = None

    # -- building -------------------------------------------------------------------------------

    def add(self, energy: int, low: int, high: int, value: int, row: int, pixels) -> None:
        """Add a block: of true energies low to high, with its first value and row in the plan."""
        exposure = self.response.exposure[low:high, pixels[0], pixels[1]]
        weights = exposure * (self.factor * self.response.edisp[low:high, energy, None])
        self._blocks.append((low, value, row, np.stack(pixels, axis=1), weights))

    def finish(self) -> "MovingPart":
        """Make the arrays of the kernels."""
        table, pixel, weight = [], 0, 0
        for low, value, row, pixels, weights in self._blocks:
            table.append([low, len(weights), len(pixels), value, row, pixel, weight])
            pixel, weight = pixel + len(pixels), weight + weights.size
        self.table = np.array(table, dtype=np.int64).reshape(-1, 7)
        if self._blocks:
            self.pixels = np.concatenate([block[3] for block in self._blocks]).astype(np.int64)
            self.weights = np.concatenate([block[4].reshape(-1) for block in self._blocks])
        self._blocks = []
        return self

    # -- following the parameters ---------------------------------------------------------------

    def holds(self, p: np.ndarray) -> bool:
        """Return whether the template stays in the window; prepares it."""
        shape, source = p[self.response.index], self.response.source
        if not np.isfinite(shape).all():
            return True
        if self._filled == shape.tobytes():
            return True
        if self._state.template is None or not self._state.template.holds(shape):
            template = make_template(source, shape)
            if not _is_within(template.reach(), self.window, source.pixels.shape):
                return False
            self._state = _State(template)
            self._filled = None
        return True

    def update(self, p: np.ndarray, values: np.ndarray, sums: np.ndarray) -> None:
        """Fill the blocks, and add to the sums over bins that are not evaluated.

        Parameters
        ----------
        p : array, shape (n,)
            Values of all parameters.
        values : array
            Of the blocks of the plan; filled.
        sums : array, shape (n_f,)
            Added to.
        """
        shape = p[self.response.index]
        if self._filled != shape.tobytes() and self._state.template is not None:
            samples = self._samples(shape, 0).value
            self._state.template.gather(samples, self, FIRST_VALUE, values)
            self._sums = self._sample_sums() @ samples
            self._filled = shape.tobytes()
        sums[self.column : self.column + len(self._sums)] += self._sums

    def _samples(self, shape: np.ndarray, order: int) -> Samples:
        state, key = self._state, shape.tobytes()
        if state.known is None or state.known[0] != key or state.known[1] < order:
            state.known = key, order, state.template.samples(shape, order)
        return state.known[2]

    def _sample_sums(self) -> np.ndarray:
        if self._state.sums is None:
            self._state.sums = self._state.template.sums(self)
        return self._state.sums

    def cut_sums(self, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Return what samples on a part of the map add to the sums, shape (n_k, n_y, n_x)."""
        if self._cut is None:
            self._cut = _correlate(self.implicit, self.response.source.psf)
        out = np.zeros((len(self._cut), *shape))
        y, x = corner[0] - self.window[0], corner[1] - self.window[2]
        n_y, n_x = self._cut.shape[1:]
        a, b = max(y, 0), min(y + shape[0], n_y)
        c, d = max(x, 0), min(x + shape[1], n_x)
        if a < b and c < d:
            out[:, a - y : b - y, c - x : d - x] = self._cut[:, a:b, c:d]
        return out

    # -- derivatives ----------------------------------------------------------------------------

    def derivatives(
        self, p: np.ndarray, f: np.ndarray, row_bin: np.ndarray, slopes: np.ndarray, order: int
    ) -> ShapeDerivatives:
        """Return derivatives of the statistic by the shape.

        Parameters
        ----------
        p, f : array
            Values of all parameters, and all spectra.
        row_bin : array of int
            Bins of the rows of the plan.
        slopes : array, shape (n_bins,)
            Derivatives of the statistic by the predicted counts.
        order : int
            1 or 2.

        Returns
        -------
        derivatives : `ShapeDerivatives`
            The curvature is zero for order 1.
        """
        samples = self._samples(p[self.response.index], order)
        say = self._state.template.scatter(self, row_bin, slopes) + self._sample_sums()
        n = len(samples.first)
        by_f = np.reshape(samples.first, (n, -1)) @ say.T
        second = np.zeros((n, n))
        if order > 1:
            total = f[self.column : self.column + len(say)] @ say
            for (i, j), bend in samples.second.items():
                second[i, j] = second[j, i] = bend @ total
        return ShapeDerivatives(by_f, second)

    def add_slopes(self, p: np.ndarray, f: np.ndarray, row_bin: np.ndarray, out: dict) -> None:
        """Add derivatives of the predicted counts by the shape, under the number of a parameter."""
        samples = self._samples(p[self.response.index], 1)
        own = f[self.column : self.column + len(self.response.exposure)]
        scratch = np.empty(len(self.weights))
        for i, first in zip(self.response.free_index, samples.first, strict=True):
            self._state.template.gather(first, self, FIRST_WEIGHT, scratch, -np.inf)
            add_columns(self.table, scratch, own, row_bin, out[int(i)])


def _is_within(reach: Box, window: Box, size: tuple[int, ...]) -> bool:
    """Return whether all pixels of a map that are reached lie in a window."""
    (y0, y1, x0, x1), (n_y, n_x) = reach, size
    if y1 <= 0 or y0 >= n_y or x1 <= 0 or x0 >= n_x:
        # Nothing of a source far from the map is in any window.
        return True
    inside_y = max(y0, 0) >= window[0] and min(y1, n_y) <= window[1]
    return inside_y and max(x0, 0) >= window[2] and min(x1, n_x) <= window[3]


def _correlate(images: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Return ``sum_x psf(x - u) images(x)`` for all pixels u of the images."""
    if images.size == 0 or not images.any():
        return np.zeros(images.shape)
    n_y, n_x = images.shape[1:]
    h_y, h_x = psf.shape[1] // 2, psf.shape[2] // 2
    size = [fft.next_fast_len(n + 2 * h, real=True) for n, h in ((n_y, h_y), (n_x, h_x))]
    out = np.empty(images.shape)
    for k, (image, kernel) in enumerate(zip(images, psf, strict=True)):
        # Turned around, the kernel of a convolution is that of a correlation.
        product = fft.rfft2(image, s=size) * fft.rfft2(kernel[::-1, ::-1], s=size)
        out[k] = fft.irfft2(product, s=size)[h_y : h_y + n_y, h_x : h_x + n_x]
    return out
