"""Pixels of a map as a spatial model sees them: positions, coordinates, solid angles."""

import functools

import astropy.units as u
import numpy as np
from astropy.coordinates import (
    CartesianRepresentation,
    SkyCoord,
    angular_separation,
    position_angle,
)
from gammapy.maps import WcsGeom

__all__ = ["Box", "MapPixels"]

Box = tuple[int, int, int, int]


class MapPixels:
    """The pixels of an image in the frame of a model.

    Parameters
    ----------
    geom : `~gammapy.maps.WcsGeom`
        An image.
    frame : str
        Of the model.
    """

    def __init__(self, geom: WcsGeom, frame: str):
        self._geom, self.frame = geom, frame
        self.shape = tuple(int(n) for n in geom.data_shape[-2:])
        #: Size of a pixel in degrees, (y, x).
        self.scales = geom.pixel_scales.to_value("deg")[::-1]
        self._rotation = None if geom.frame == frame else _rotation(frame, geom.frame)

    def locate(self, lon: float, lat: float) -> tuple[float, float]:
        """Return the pixel (y, x) of a position in degrees; NaN where the map does not go."""
        if self._rotation is not None:
            lon, lat = _rotate(self._rotation, np.deg2rad(lon), np.deg2rad(lat))
        ((x, y),) = self._geom.wcs.wcs_world2pix([[lon, lat]], 0)
        return float(y), float(x)

    @functools.cached_property
    def coordinates(self) -> tuple[u.Quantity, u.Quantity]:
        """Longitude and latitude of all pixels, in radians, shape (n_y, n_x)."""
        coords = self._geom.get_coord(frame=self.frame, sparse=True)
        shape = self.shape
        lon, lat = (
            np.ascontiguousarray(np.broadcast_to(u.Quantity(angle).to_value("rad"), shape))
            for angle in (coords.lon, coords.lat)
        )
        return u.Quantity(lon, "rad"), u.Quantity(lat, "rad")

    @functools.cached_property
    def solid_angles(self) -> np.ndarray:
        """Solid angles of all pixels in steradian, shape (n_y, n_x)."""
        return np.broadcast_to(self._geom.solid_angle().to_value("sr"), self.shape)

    def box(self, center: tuple[float, float], width: float, *, odd: bool = False) -> Box:
        """Return the pixels that Gammapy cuts out around a pixel, clipped to the map.

        Parameters
        ----------
        center : tuple of float
            Pixel (y, x).
        width : float
            In degrees.
        odd : bool
            Whether to round the number of pixels up to an odd one.

        Returns
        -------
        box : tuple of int
            First and last + 1 in y, then in x; empty if the map does not reach so far.
        """
        limits = []
        for at, scale, n in zip(center, self.scales, self.shape, strict=True):
            size = max(width / scale, 1.0)
            size = int(np.ceil(size)) // 2 * 2 + 1 if odd else int(np.round(size))
            first = int(np.ceil(at - size / 2)) if np.isfinite(at) else n
            limits += [min(max(first, 0), n), min(max(first + size, 0), n)]
        return limits[0], limits[1], limits[2], limits[3]

    def fine_coordinates(self, box: Box, factor: int) -> tuple[u.Quantity, u.Quantity]:
        """Return the coordinates, in radians, of the parts of pixels that are divided evenly."""
        y = np.arange(box[0] * factor, box[1] * factor)
        x = np.arange(box[2] * factor, box[3] * factor)
        return self.coordinates_at((y + 0.5) / factor - 0.5, (x + 0.5) / factor - 0.5)

    def coordinates_at(self, y: np.ndarray, x: np.ndarray) -> tuple[u.Quantity, u.Quantity]:
        """Return longitude and latitude of rows and columns, in radians, shape (n_y, n_x).

        They may be fractions, and beyond the map; NaN where there is no sky.
        """
        lon, lat = self._geom.pix_to_coord(tuple(np.meshgrid(x, y)))
        sky = SkyCoord(lon, lat, frame=self._geom.frame).transform_to(self.frame)
        return u.Quantity(sky.data.lon, "rad"), u.Quantity(sky.data.lat, "rad")

    def solid_angles_at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return solid angles of pixels in steradian, as Gammapy has them, shape (n_y, n_x).

        They may be beyond the map; NaN where there is no sky.
        """
        a, b, c, d = (
            [
                angle.to_value("rad")
                for angle in self._geom.pix_to_coord(tuple(np.meshgrid(x + right, y + up)))
            ]
            for up, right in ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))
        )
        # Two triangles, as if they were flat.
        first = angular_separation(*a, *b) * angular_separation(*b, *d)
        second = angular_separation(*c, *d) * angular_separation(*a, *c)
        angle_b = (position_angle(*b, *d) - position_angle(*b, *a)).to_value("rad")
        angle_c = (position_angle(*c, *d) - position_angle(*a, *c)).to_value("rad")
        return np.abs(first * np.sin(angle_b) + second * np.sin(angle_c)) / 2


def _rotation(frame: str, other: str) -> np.ndarray:
    """Return the matrix that turns directions of one frame into those of another."""
    axes = SkyCoord(CartesianRepresentation(np.eye(3)), frame=frame).transform_to(other)
    return axes.cartesian.xyz.value


def _rotate(matrix: np.ndarray, lon: float, lat: float) -> tuple[float, float]:
    direction = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    x, y, z = matrix @ direction
    return float(np.rad2deg(np.arctan2(y, x))), float(np.rad2deg(np.arctan2(z, np.hypot(x, y))))
