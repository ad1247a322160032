"""Where the pixels of a map lie in the field of view of an observation."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.maps import WcsGeom
from numpy.typing import NDArray

from ctao_sat._gammapy import FoVICRSFrame
from ctao_sat.dl4._irf_tables import IRFTable
from ctao_sat.kernels import interpolation as kernels
from ctao_sat.kernels import sky

__all__ = ["RIGID_FRAMES", "Pixels", "Taps", "map_pixels", "plane_taps", "solid_angle", "taps"]

# Frames that are rotated against ICRS, and not distorted.
RIGID_FRAMES = ("icrs", "galactic")

# Nodes around each pixel, their weights, and whether the pixel is inside of the table.
Taps = tuple[NDArray, NDArray, NDArray]


@dataclass(frozen=True)
class Pixels:
    """Centres of the pixels of an image.

    Attributes
    ----------
    geom : `~gammapy.maps.WcsGeom`
        The image.
    lon, lat : array, shape (n_p,)
        In radians, in the frame of the image; NaN outside of the projection.
    """

    geom: WcsGeom
    lon: NDArray
    lat: NDArray


def map_pixels(geom: WcsGeom) -> Pixels:
    """Return the pixels of a map, without its other axes.

    Parameters
    ----------
    geom : `~gammapy.maps.WcsGeom`
        Of the map.

    Returns
    -------
    pixels : Pixels
        In the order of the data.
    """
    image = geom.to_image()
    coordinates = image.get_coord()
    lon, lat = (
        np.radians(np.asarray(u.Quantity(value).to_value("deg"), float)).ravel()
        for value in (coordinates.lon, coordinates.lat)
    )
    return Pixels(image, lon, lat)


def _offset_taps(table: IRFTable, pixels: Pixels, pointing: SkyCoord) -> Taps:
    # As Gammapy does, so that what is just inside of the outermost edge is the same.
    centers = pixels.geom.get_coord().skycoord
    offset = centers.separation(pointing).to_value(table.irf.axes["offset"].unit)
    return kernels.linear(*table.nodes("offset"), offset.ravel())


def taps(table: IRFTable, pixels: Pixels, pointing: SkyCoord, *, reverse: bool = False) -> Taps:
    """Return the nodes of the field of view, which is aligned with the equator, around each pixel.

    Parameters
    ----------
    table : IRFTable
        With axes of offset, or of longitude and latitude in the field of view.
    pixels : Pixels
        The pixels.
    pointing : `~astropy.coordinates.SkyCoord`
        Centre of the field of view.
    reverse : bool
        Whether longitude grows with right ascension.

    Returns
    -------
    taps : tuple of array
        See `ctao_sat.kernels.interpolation`.
    """
    if table.spatial == ("offset",):
        return _offset_taps(table, pixels, pointing)
    frame = FoVICRSFrame(origin=pointing)
    axes = SkyCoord([0, 90, 0] * u.deg, [0, 0, 90] * u.deg, frame=frame)
    vectors = axes.transform_to(pixels.geom.frame).represent_as("unitspherical").to_cartesian()
    basis = np.ascontiguousarray(vectors.xyz.value.T)
    lon, lat = sky.field_of_view(pixels.lon, pixels.lat, basis)
    return plane_taps(table, -lon if reverse else lon, lat)


def plane_taps(table: IRFTable, lon: NDArray, lat: NDArray) -> Taps:
    """Return the nodes around places in the field of view.

    Parameters
    ----------
    table : IRFTable
        With axes of longitude and latitude.
    lon, lat : array, shape (n_p,)
        In radians.

    Returns
    -------
    taps : tuple of array
        See `ctao_sat.kernels.interpolation`.
    """
    first, second = table.spatial
    x, y = (
        (lon if name == "fov_lon" else lat) * u.rad.to(table.irf.axes[name].unit)
        for name in (first, second)
    )
    return kernels.bilinear(*table.nodes(first), x, *table.nodes(second), y)


def solid_angle(geom: WcsGeom) -> NDArray:
    """Return the solid angle of each pixel of an image.

    Parameters
    ----------
    geom : `~gammapy.maps.WcsGeom`
        The image.

    Returns
    -------
    solid_angle : array, shape (n_p,)
        In sr.
    """
    corners = geom.get_coord(mode="edges")
    lon, lat = (
        np.radians(np.asarray(u.Quantity(value).to_value("deg"), float))
        for value in (corners.lon, corners.lat)
    )
    return sky.solid_angles(lon, lat).ravel()
