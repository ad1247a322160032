"""Directions and solid angles of the pixels of an image."""

import math

import numpy as np
from numpy.typing import NDArray

from ctao_sat.kernels._jit import kernel

__all__ = ["field_of_view", "solid_angles"]


@kernel
def field_of_view(lon: NDArray, lat: NDArray, basis: NDArray) -> tuple[NDArray, NDArray]:
    """Return directions as longitude and latitude in a rotated frame.

    Parameters
    ----------
    lon, lat : array, shape (n_p,)
        Directions in radians.
    basis : array, shape (3, 3)
        Rows are the directions at longitude and latitude (0, 0), at longitude 90 deg, and the pole
        of the rotated frame.

    Returns
    -------
    lon, lat : array, shape (n_p,)
        In radians, the longitude between -pi and pi.
    """
    x_out, y_out = np.empty(lon.size), np.empty(lon.size)
    for p in range(lon.size):
        x, y, z = _vector(lon[p], lat[p])
        u = x * basis[0, 0] + y * basis[0, 1] + z * basis[0, 2]
        v = x * basis[1, 0] + y * basis[1, 1] + z * basis[1, 2]
        w = x * basis[2, 0] + y * basis[2, 1] + z * basis[2, 2]
        x_out[p] = math.atan2(v, u)
        y_out[p] = math.atan2(w, math.sqrt(u * u + v * v))
    return x_out, y_out


@kernel
def _vector(lon, lat):
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


@kernel
def solid_angles(lon: NDArray, lat: NDArray) -> NDArray:
    """Return the solid angles of pixels, as two plane triangles each.

    Parameters
    ----------
    lon, lat : array, shape (n_y + 1, n_x + 1)
        Corners of the pixels in radians.

    Returns
    -------
    solid_angle : array, shape (n_y, n_x)
        In sr.
    """
    area = np.empty((lon.shape[0] - 1, lon.shape[1] - 1))
    for j in range(area.shape[0]):
        for i in range(area.shape[1]):
            # One triangle at each of two opposite corners. The second angle is taken from the far
            # end of its side, as Gammapy does.
            first = _triangle(lon, lat, (j + 1, i), (j + 1, i + 1), (j + 1, i), (j, i))
            second = _triangle(lon, lat, (j, i + 1), (j + 1, i + 1), (j, i), (j, i + 1))
            area[j, i] = abs(first + second)
    return area


@kernel
def _triangle(lon, lat, start_a, end_a, start_b, end_b):
    """Return half of two arcs' lengths and the sine of the angle between them, multiplied."""
    east_a, north_a, length_a = _arc(lon, lat, start_a, end_a)
    east_b, north_b, length_b = _arc(lon, lat, start_b, end_b)
    return 0.5 * length_a * length_b * (east_a * north_b - north_a * east_b)


@kernel
def _arc(lon, lat, start, end):
    """Return the direction in which an arc starts, as a unit vector, and its length."""
    lat_0, lat_1, turn = lat[start], lat[end], lon[end] - lon[start]
    east = math.sin(turn) * math.cos(lat_1)
    same = math.cos(lat_1) * math.cos(turn)
    north = math.sin(lat_1) * math.cos(lat_0) - same * math.sin(lat_0)
    sine = math.sqrt(east * east + north * north)
    length = math.atan2(sine, math.sin(lat_1) * math.sin(lat_0) + same * math.cos(lat_0))
    if sine == 0:
        return 0.0, 1.0, 0.0
    return east / sine, north / sine, length
