"""The template of a point source."""

import numpy as np

from ctao_sat.kernels.templates import gather_patch, scatter_patch
from ctao_sat.likelihood._pixels import Box
from ctao_sat.likelihood._samples import Samples, differentiate
from ctao_sat.likelihood._shape import Shape

__all__ = ["PointTemplate"]


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
        return np.outer(*weights).reshape(-1)

    def gather(self, samples: np.ndarray, part, place: int, values: np.ndarray, least=0.0) -> None:
        """Fill blocks, see `ctao_sat.kernels.templates.gather_patch`."""
        patch = samples.reshape(4, 4)
        gather_patch(
            part.table, part.pixels, part.weights, self._psf, patch, self._corner, place, values
        )

    def scatter(self, part, row_bin: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """Return what numbers of the bins say about the samples, shape (n_k, 16)."""
        out = np.zeros((len(self._psf), 4, 4))
        scatter_patch(
            part.table, part.pixels, part.weights, self._psf, row_bin, bins, self._corner, out
        )
        return out.reshape(len(out), -1)

    def sums(self, part) -> np.ndarray:
        """Return what samples add to the sum over bins that are not evaluated."""
        return part.cut_sums(self._corner, (4, 4)).reshape(len(self._psf), -1)
