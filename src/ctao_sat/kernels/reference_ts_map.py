"""The formulas of the kernel of TS maps, written plainly: slow, and made to be compared with."""

import math

import numpy as np
from scipy.optimize import brentq

from ctao_sat.kernels.poisson import LOG_TRUNCATION, TRUNCATION
from ctao_sat.kernels.ts_map import RESULTS, PositionMaps

__all__ = ["pixels_around", "ts_position"]


def pixels_around(maps: PositionMaps, y: int, x: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts, background and signal of norm one of all pixels around a position.

    Parameters
    ----------
    maps : PositionMaps
        The data.
    y, x : int
        Row and column of the position.

    Returns
    -------
    counts, background, signal : array, shape (n_pixels,)
        Of all planes, within the windows of their kernels and within the map.
    """
    found = []
    centre = np.array(maps.spread.shape[1:]) // 2
    for plane in range(len(maps.half)):
        for row in range(maps.background.shape[1]):
            for column in range(maps.background.shape[2]):
                away = np.array([row - y, column - x])
                if np.any(abs(away) > maps.half[plane]):
                    continue
                layers = range(maps.layers[plane], maps.layers[plane + 1])
                signal = sum(
                    maps.spread[(layer, *(centre + away))] * maps.exposure[layer, row, column]
                    for layer in layers
                )
                here = range(maps.first[plane, row, column], maps.first[plane, row, column + 1])
                counts = sum(maps.counts[i] for i in here)
                found.append((counts, maps.background[plane, row, column], signal))
    return tuple(np.array(found, dtype=float).T)


def ts_position(maps: PositionMaps, y: int, x: int, rises: tuple[float, float, float]) -> dict:
    """Return the results at one position.

    Parameters
    ----------
    maps, y, x : PositionMaps, int, int
        See `pixels_around`.
    rises : tuple of float
        Growth of the statistic at errors and at limits, and TS of the sensitivity.

    Returns
    -------
    results : dict
        By their names in `ctao_sat.kernels.ts_map.RESULTS`, but for the number of steps.
    """
    n, b, s = pixels_around(maps, y, x)
    n, b, s = n[s > 0], b[s > 0], s[s > 0]
    results = dict.fromkeys(RESULTS, math.nan)
    if len(s) == 0:
        return {**results, "ts": 0.0, "total": 0.0}

    def stat(norm, counts=n):
        mu = np.maximum(b + norm * s, TRUNCATION)
        log = np.where(mu > TRUNCATION, np.log(mu), LOG_TRUNCATION)
        return 2.0 * np.sum(mu - counts * log)

    def slope(norm):
        return np.sum(s - np.where(n > 0, n * s / (b + norm * s), 0.0))

    def expected(norm):
        return stat(0.0, b + norm * s) - stat(norm, b + norm * s) - rises[2]

    least, far = -np.min(b / s), (1 + n.sum()) / s.sum()
    norm = least
    if n.any():
        pole = -np.min(b[n > 0] / s[n > 0])
        above = pole + 1e-13 * max(abs(pole), 1e-3 * far)
        norm = max(least, brentq(slope, above, pole + far, xtol=1e-14, rtol=1e-13))
    results.update(norm=norm, total=s.sum(), ts=stat(0.0) - stat(norm))
    mu = (b + norm * s)[n > 0]
    results["curvature"] = np.sum(n[n > 0] * (s[n > 0] / mu) ** 2)

    def crossing(rise, start, end):
        return brentq(lambda at: stat(at) - stat(norm) - rise, start, end, rtol=1e-13)

    most = norm + 50 * (far + rises[1] / s.sum())
    results["errp"] = crossing(rises[0], norm, most) - norm
    results["ul"] = crossing(rises[1], norm, most)
    if n.any():
        results["errn"] = norm - crossing(rises[0], above, norm)
    results["sensitivity"] = brentq(expected, 0.0, 1e4 * far, rtol=1e-13)
    return results
