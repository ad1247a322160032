"""Samples of a source on the pixels of a map, or on parts of them, as Gammapy takes them."""

from collections.abc import Callable

import numpy as np

from ctao_sat._gammapy import MAX_OVERSAMPLING
from ctao_sat.likelihood._grids import fine_axis
from ctao_sat.likelihood._pixels import Box
from ctao_sat.likelihood._shape import Shape

__all__ = ["FineGrid"]

# Pixels around those with samples, into which shapes may grow for derivatives.
_PAD = 2


class FineGrid:
    """A sample for each pixel that Gammapy evaluates.

    Parameters
    ----------
    source : `Shape`
        The source.
    shape : array, shape (n,)
        Its position and size.

    Attributes
    ----------
    axes : tuple of list of `Axis`
        Along y and x.
    """

    step = 1

    def __init__(self, source: Shape, shape: np.ndarray):
        self._source = source
        pixels = source.pixels
        self._exact_box, self._factor = self._box_of(shape)
        # Shapes beside this one, for derivatives, may reach a little further.
        y0, y1, x0, x1 = self._box = _padded(self._exact_box, pixels.shape)
        if self._factor > 1:
            self._coordinates = pixels.fine_coordinates(self._box, self._factor)
        else:
            self._coordinates = tuple(c[y0:y1, x0:x1] for c in pixels.coordinates)
        self._solid_angles = pixels.solid_angles[y0:y1, x0:x1]
        self.axes = tuple(
            [fine_axis(*ends, half, total)]
            for ends, half, total in zip(
                ((y0, y1), (x0, x1)), source.halves, pixels.shape, strict=True
            )
        )

    def _box_of(self, shape: np.ndarray) -> tuple[Box, int]:
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
        """Return whether a shape has the same samples."""
        return self._box_of(shape) == (self._exact_box, self._factor)

    def samples(self, shape: np.ndarray, brightness: Callable) -> np.ndarray:
        """Return samples for a shape: zero where Gammapy does not evaluate it.

        Parameters
        ----------
        shape : array, shape (n,)
            Position and size.
        brightness : callable
            From longitude and latitude to surface brightness, or to several such images.

        Returns
        -------
        samples : array, shape (..., n_samples)
            Share of the flux.
        """
        f, (y0, y1, x0, x1), first = self._factor, self._box_of(shape)[0], self._box
        y0, y1, x0, x1 = (
            max(at - start, 0)
            for at, start in ((y0, first[0]), (y1, first[0]), (x0, first[2]), (x1, first[2]))
        )
        solid_angles = self._solid_angles[y0:y1, x0:x1]
        values = brightness(*(c[f * y0 : f * y1, f * x0 : f * x1] for c in self._coordinates))
        if f > 1:
            n_y, n_x = solid_angles.shape
            values = np.broadcast_to(values, (*np.shape(values)[:-2], n_y * f, n_x * f))
            values = values.reshape(*values.shape[:-2], n_y, f, n_x, f).sum(axis=(-3, -1)) / f**2
        values = values * solid_angles
        out = np.zeros((*values.shape[:-2], *self._solid_angles.shape))
        # What is not finite counts as nothing, as in Gammapy.
        out[..., y0:y1, x0:x1] = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        return out.reshape(*values.shape[:-2], -1)


def _padded(box: Box, size: tuple[int, ...]) -> Box:
    y0, y1, x0, x1 = box
    return max(y0 - _PAD, 0), min(y1 + _PAD, size[0]), max(x0 - _PAD, 0), min(x1 + _PAD, size[1])
