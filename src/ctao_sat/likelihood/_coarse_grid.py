"""Samples of a large Gaussian on a grid that is coarser than the pixels of a map."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import astropy.units as u
import numpy as np

from ctao_sat.likelihood._grids import Axis, coarse_axis, edge_axis
from ctao_sat.likelihood._shape import Shape

__all__ = ["CoarseGrid", "coarse_grid"]

# Samples by sigma of a Gaussian on a coarse grid, at least. A spline of fifth order through four of
# them is good to 1e-7 of the maximum. Across the map there are some in any case.
_SAMPLES, _ACROSS = 4, 16
# Where a Gaussian has ended: beyond are 4e-6 of its flux. Gammapy goes as far.
_END = 5.0
# So many nodes beyond the map a cut through the samples is not seen, although splines ring. Only
# sources that are larger than the map are cut there.
_BEYOND = 40
# By so much solid angles of pixels may differ. If they do by more, a pole of the map is near.
_UNEQUAL = 10.0


@dataclass(frozen=True)
class _Extent:
    """The first and the last pixel that a source reaches along one dimension of the map.

    Beyond the map samples go on, until it is too far to be seen there. Where a source ends within
    the map, there are none beyond.
    """

    first: int
    last: int
    is_beyond: bool


@dataclass(frozen=True)
class CoarseGrid:
    """Nodes some pixels apart; where the source goes beyond the map, also pixels there.

    Attributes
    ----------
    source : `Shape`
        The source.
    step : int
        Distance of nodes in pixels.
    extents : list of object
        What the nodes cover along y and x.
    axes : tuple of list of `Axis`
        Along y and x: of pixels beyond the map, where they are needed, then of nodes.
    coordinates : tuple of `~astropy.units.Quantity`, each of shape (n_samples,)
        Longitude and latitude of all samples.
    solid_angles : array, shape (n_samples,)
        Of their pixels.
    """

    source: Shape
    step: int
    extents: list[_Extent]
    axes: tuple[list[Axis], ...]
    coordinates: tuple[u.Quantity, ...]
    solid_angles: np.ndarray

    def holds(self, shape: np.ndarray) -> bool:
        """Return whether the nodes are near enough for a shape, and where it needs them."""
        if _largest_step(self.source, shape) < self.step:
            return False
        needed = _extents(self.source, shape, self.step, room=False)
        return all(
            here.is_beyond == there.is_beyond
            and here.first >= there.first - self.step
            and here.last <= there.last + self.step
            for here, there in zip(needed, self.extents, strict=True)
        )

    def samples(self, shape: np.ndarray, brightness: Callable) -> np.ndarray:
        """Return samples, see `FineGrid`; those of all pairs of axes one after another."""
        return brightness(*self.coordinates) * self.solid_angles


def coarse_grid(source: Shape, shape: np.ndarray) -> CoarseGrid | None:
    """Return a grid for a source, or None if it is not smooth and large, or the map is not smooth.

    Parameters
    ----------
    source : `Shape`
        The source.
    shape : array, shape (n,)
        Its position and size.
    """
    step = _largest_step(source, shape)
    if step < 2:
        return None
    extents = _extents(source, shape, step, room=True)
    if not all(extent.last > extent.first for extent in extents):
        return None
    axes: tuple[list[Axis], ...] = ([], [])
    for extent, half, total, own in zip(
        extents, source.halves, source.pixels.shape, axes, strict=True
    ):
        if extent.is_beyond and half > 0:
            own.append(edge_axis(half, total))
        own.append(coarse_axis(extent.first, extent.last, step, half, total))
    pairs = [(y.pixels, x.pixels) for y, x in itertools.product(*axes)]
    solid_angles = _joined(source.pixels.solid_angles_at(*pair) for pair in pairs)
    # NaN where the map has no sky.
    if not np.max(solid_angles) < _UNEQUAL * np.min(solid_angles):
        return None
    found = zip(*(source.pixels.coordinates_at(*pair) for pair in pairs), strict=True)
    coordinates = tuple(u.Quantity(_joined(angles), "rad") for angles in found)
    return CoarseGrid(source, step, extents, axes, coordinates, solid_angles)


def _largest_step(source: Shape, shape: np.ndarray) -> int:
    """Return how many pixels nodes may be apart; 0 unless the source is smooth."""
    if not source.is_smooth:
        return 0
    pixels = source.pixels
    step = int(source.widths(shape)[1] / np.max(pixels.scales) // _SAMPLES)
    return min(step, max(pixels.shape) // _ACROSS)


def _extents(source: Shape, shape: np.ndarray, step: int, *, room: bool) -> list[_Extent]:
    """Return what nodes have to cover, with room to move by a sigma and to grow by a quarter."""
    pixels = source.pixels
    sigma = source.widths(shape)[0] / float(np.min(pixels.scales))
    half, extents = _END * sigma, []
    for at, n, reach in zip(source.center(shape), pixels.shape, source.halves, strict=True):
        if not np.isfinite(at):
            # Where the map does not go there is nothing to cover.
            at, half = 0.0, -np.inf
        is_beyond = not half <= at <= n - 1 - half
        margin = reach + _BEYOND * step if is_beyond else 0
        reached = 1.25 * half + sigma if room else half
        first, last = np.clip([at - reached, at + reached], -margin, n - 1 + margin)
        extents.append(_Extent(int(np.floor(first)), int(np.ceil(last)), is_beyond))
    return extents


def _joined(arrays) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays])
