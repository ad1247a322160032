"""Draw background events from the background response, exactly as it interpolates.

Gammapy's sampler integrates the response over the bins of a map with one log-log trapezoid per bin
and draws from the result. In wide energy bins that integral is off by several per cent, and inside
of a bin events follow a straight line. Here each cell of the response gets an upper bound,
candidates are drawn from the bounds, and each is kept with probability response/bound. The response
is multilinear in the logarithm of its values between nodes, so that its largest value in a cell is
at a corner: the bound is exact, and so are the total and the distribution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.irf import Background2D, Background3D, FoVAlignment
from numpy.typing import NDArray

from ctao_sat.errors import DataError
from ctao_sat.simulate._directions import displace, separation
from ctao_sat.simulate._tables import Grid, grid_nodes

__all__ = ["BackgroundCells", "background_cells", "fov_direction", "offset_direction"]

# Cells per node distance in energy: with a spectrum as steep as the background of an array, about
# 3 of 4 candidates are kept.
_ENERGY_SPLIT = 4

# A response that rises by more than this above its largest tabulated value does so because
# extrapolation in log hits an empty neighbour: an artefact, capped here.
_MAX_EXTRAPOLATION = 10.0

_RATE = u.Unit("s-1 TeV-1 sr-1")


@dataclass(frozen=True)
class BackgroundCells:
    """Cells of the background response with their bounds.

    ``edges`` are those of energy (TeV) and of two angles (radians): longitude and latitude in the
    field of view, or offset and azimuth (``polar``). ``bound`` is the bound of the rate of
    each cell in 1/s, flattened.
    """

    edges: tuple[NDArray, NDArray, NDArray]
    density: NDArray
    bound: NDArray
    polar: bool
    alignment: str
    ceiling: float

    @property
    def rate(self) -> float:
        """Rate of candidates in 1/s."""
        return float(self.bound.sum())

    def draw(
        self, rng: np.random.Generator, irf: Background2D | Background3D, ontime: float
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Draw the background events of a run.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Source of randomness.
        irf : `gammapy.irf.Background2D` or `~gammapy.irf.Background3D`
            The response that the cells bound.
        ontime : float
            Time in s, dead time included: the response is per time *on*, by its format.

        Returns
        -------
        energy, distance, angle : array of float, shape (n,)
            Energies in TeV, angles to the pointing direction in radians, and angles around it in
            radians, on the field of view (see `fov_direction`).
        """
        n = rng.poisson(self.rate * ontime)
        cumulative = np.cumsum(self.bound)
        cell = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
        cell = np.minimum(cell, len(cumulative) - 1)
        index = np.unravel_index(cell, self.density.shape)
        energy, first, second = (
            edges[i] + rng.random(n) * np.diff(edges)[i]
            for edges, i in zip(self._flat_edges(), index, strict=True)
        )
        if self.polar:
            distance, angle = np.arccos(first), second
            values = irf.evaluate(energy=energy * u.TeV, offset=distance * u.rad)
        else:
            lat = np.arcsin(second)
            distance, angle = fov_direction(first, lat, self.alignment)
            values = irf.evaluate(energy=energy * u.TeV, fov_lon=first * u.rad, fov_lat=lat * u.rad)
        density = np.minimum(values.to_value(_RATE), self.ceiling)
        keep = rng.random(n) * self.density.ravel()[cell] < density
        return energy[keep], distance[keep], angle[keep]

    def _flat_edges(self) -> tuple[NDArray, NDArray, NDArray]:
        """Return the edges in coordinates in which solid angle is uniform."""
        energy, first, second = self.edges
        if self.polar:
            return energy, np.cos(first), second
        return energy, first, np.sin(second)


def background_cells(
    irf: Background2D | Background3D, energy_range: tuple[float, float]
) -> BackgroundCells:
    """Divide the response into cells and bound each of them.

    Parameters
    ----------
    irf : `gammapy.irf.Background2D` or `~gammapy.irf.Background3D`
        The response.
    energy_range : tuple of float
        Reconstructed energies to draw between, in TeV.

    Returns
    -------
    cells : BackgroundCells
        The cells.

    Raises
    ------
    DataError
        If no energy of the response lies in the range.
    """
    energy = _energy_edges(grid_nodes(irf.axes["energy"], "TeV"), energy_range)
    polar = isinstance(irf, Background2D)
    names = ["offset"] if polar else ["fov_lon", "fov_lat"]
    grids = [grid_nodes(irf.axes[name], "deg") for name in names]
    nodes = [np.radians(grid.values) for grid in grids]
    evaluate: Callable = irf.evaluate
    if polar:
        corners = evaluate(energy=energy[:, None] * u.TeV, offset=nodes[0][None, :] * u.rad)
        edges = (energy, nodes[0], np.array([0.0, 2 * np.pi]))
    else:
        corners = evaluate(
            energy=energy[:, None, None] * u.TeV,
            fov_lon=nodes[0][None, :, None] * u.rad,
            fov_lat=nodes[1][None, None, :] * u.rad,
        )
        edges = (energy, nodes[0], nodes[1])
    ceiling = _MAX_EXTRAPOLATION * float(irf.quantity.to_value(_RATE).max())
    density = _corner_maximum(np.minimum(corners.to_value(_RATE), ceiling))
    if polar:
        density = density[..., None]
    cells = BackgroundCells(
        edges, density, np.empty(0), polar, FoVAlignment(irf.fov_alignment).value, ceiling
    )
    sizes = [np.abs(np.diff(flat)) for flat in cells._flat_edges()]
    bound = density * sizes[0][:, None, None] * sizes[1][None, :, None] * sizes[2]
    return BackgroundCells(edges, density, bound.ravel(), polar, cells.alignment, ceiling)


def _energy_edges(grid: Grid, energy_range: tuple[float, float]) -> NDArray:
    """Split the node distances, and cut the range."""
    x = np.log(grid.values)
    steps = np.arange(len(x) - 1)[:, None] + np.arange(_ENERGY_SPLIT) / _ENERGY_SPLIT
    fine = np.exp(np.append(np.interp(steps.ravel(), np.arange(len(x)), x), x[-1]))
    low, high = max(energy_range[0], fine[0]), min(energy_range[1], fine[-1])
    if low >= high:
        raise DataError(
            f"The background response covers {fine[0]:.3g}–{fine[-1]:.3g} TeV, "
            f"outside of the range asked for.",
            remedy="Widen `energy_range`.",
        )
    return np.concatenate([[low], fine[(fine > low) & (fine < high)], [high]])


def _corner_maximum(values: NDArray) -> NDArray:
    """Return the largest of the corner values of each cell."""
    for axis in range(values.ndim):
        n = values.shape[axis]
        values = np.maximum(
            values.take(range(n - 1), axis=axis), values.take(range(1, n), axis=axis)
        )
    return values


def fov_direction(lon: NDArray, lat: NDArray, alignment: str) -> tuple[NDArray, NDArray]:
    """Convert field-of-view coordinates to a distance and an angle around the centre.

    Parameters
    ----------
    lon, lat : array of float, shape (n,)
        FOV_LON, FOV_LAT in radians, with the sense Gammapy gives them: longitude grows against
        right ascension (RADEC), with it (REVERSE_LON_RADEC), or against azimuth (ALTAZ).
    alignment : {"RADEC", "REVERSE_LON_RADEC", "ALTAZ"}
        What the field of view is aligned with.

    Returns
    -------
    distance, angle : array of float, shape (n,)
        In radians; the angle runs from "up" (North, or the zenith) in the sense North to East.
    """
    sign = -1.0 if alignment == "RADEC" else 1.0
    distance = separation(np.zeros_like(lon), np.zeros_like(lat), lon, lat)
    return distance, np.arctan2(sign * np.cos(lat) * np.sin(lon), np.sin(lat))


def offset_direction(
    pointing: tuple[float, float], distance: NDArray, angle: NDArray
) -> tuple[NDArray, NDArray]:
    """Return the directions at given distances and position angles from the pointing.

    Parameters
    ----------
    pointing : tuple of float
        Right ascension and declination in radians.
    distance, angle : array of float, shape (n,)
        In radians.

    Returns
    -------
    ra, dec : array of float, shape (n,)
        In radians.
    """
    ra, dec = (np.full(len(distance), value) for value in pointing)
    return displace(ra, dec, distance, angle)
