"""A round Gaussian on the sphere, with its derivatives by position and width."""

import math

from ctao_sat.kernels._jit import kernel

__all__ = ["N_DERIVATIVES", "gaussian"]

#: Numbers for each direction: the value, three first and six second derivatives.
N_DERIVATIVES = 10


@kernel
def gaussian(lon, lat, lon_0, lat_0, sigma, order, out):
    r"""Fill surface brightness and derivatives of a Gaussian.

    With ``u = 1 - cos(separation)`` and ``a = 1 - cos(sigma)`` it is
    ``exp(-u / (2 a)) / (4 pi a (1 - exp(-1 / a)))``, whose integral over the sphere is 1: a
    distribution of Fisher (1953) with concentration ``1 / (2 a)``.

    Parameters
    ----------
    lon, lat : array, shape (n,)
        Directions in radians.
    lon_0, lat_0, sigma : float
        Position and width in radians.
    order : int
        Up to which derivatives: 0, 1 or 2.
    out : array, shape (10, n)
        Filled as far as asked for, per steradian and radian: the value; derivatives by lon_0,
        lat_0, sigma; second derivatives by (lon_0, lon_0), (lat_0, lon_0), (lat_0, lat_0),
        (sigma, lon_0), (sigma, lat_0), (sigma, sigma).
    """
    # Without the difference of numbers that are almost equal.
    a = 2.0 * math.sin(0.5 * sigma) ** 2
    first, second = math.sin(sigma), math.cos(sigma)
    rest = math.exp(-1.0 / a)
    scale = 1.0 / (4.0 * math.pi * a * (1.0 - rest))
    ratio = rest / (a * a * (1.0 - rest))
    slope = ratio - 1.0 / a
    bend = 1.0 / (a * a) + ratio * (1.0 / (a * a) - 2.0 / a) + ratio * ratio
    norm_first, norm_second = slope * first, bend * first * first + slope * second
    sin_0, cos_0 = math.sin(lat_0), math.cos(lat_0)
    for i in range(lon.size):
        sin_lat, cos_lat = math.sin(lat[i]), math.cos(lat[i])
        delta = lon[i] - lon_0
        u = 2.0 * (
            math.sin(0.5 * (lat[i] - lat_0)) ** 2 + cos_lat * cos_0 * math.sin(0.5 * delta) ** 2
        )
        value = scale * math.exp(-u / (2.0 * a))
        out[0, i] = value
        if order == 0:
            continue
        sin_delta, cos_delta = math.sin(delta), math.cos(delta)
        u_lon = -cos_lat * cos_0 * sin_delta
        u_lat = cos_lat * sin_0 * cos_delta - sin_lat * cos_0
        by_lon, by_lat = -u_lon / (2.0 * a), -u_lat / (2.0 * a)
        by_sigma = norm_first + u * first / (2.0 * a * a)
        out[1, i], out[2, i], out[3, i] = value * by_lon, value * by_lat, value * by_sigma
        if order == 1:
            continue
        mixed = first / (2.0 * a * a)
        u_lat_lon = cos_lat * sin_0 * sin_delta
        out[4, i] = value * (by_lon * by_lon - cos_lat * cos_0 * cos_delta / (2.0 * a))
        out[5, i] = value * (by_lon * by_lat - u_lat_lon / (2.0 * a))
        out[6, i] = value * (by_lat * by_lat - (1.0 - u) / (2.0 * a))
        out[7, i] = value * (by_sigma * by_lon + u_lon * mixed)
        out[8, i] = value * (by_sigma * by_lat + u_lat * mixed)
        curve = norm_second + u * (second / (2.0 * a * a) - first * first / (a * a * a))
        out[9, i] = value * (by_sigma * by_sigma + curve)
