"""Nodes, weights and draws for tabulated distributions: arrays in, arrays out."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.maps import MapAxis
from numpy.typing import NDArray

__all__ = ["Grid", "draw_rows", "grid_nodes", "interpolation_nodes", "pick_nodes"]

# Steps between the outermost bin centres and the edges.
_N_OUTER = 5


@dataclass(frozen=True)
class Grid:
    """Where a response is tabulated along one axis.

    ``values`` are the nodes in ``unit``; ``log`` says that Gammapy interpolates in their logarithm.
    """

    values: NDArray
    unit: u.UnitBase
    log: bool

    def scaled(self, values: NDArray) -> NDArray:
        """Return values on the scale on which interpolation is linear.

        Parameters
        ----------
        values : array of float
            In the unit of the grid.

        Returns
        -------
        scaled : array of float
            Their logarithm, or themselves.
        """
        return np.log(values) if self.log else values


def grid_nodes(axis: MapAxis, unit: str) -> Grid:
    """Return the bin centres of an axis, with nodes added between the outer ones and the edges.

    Gammapy extrapolates linearly from the last centres to the edges, and clips at zero; with nodes
    there this becomes an interpolation, which can be drawn from. Several of them, because the
    clipping is not linear: it matters for noisy tables such as the CTA-1DC energy dispersion.

    Parameters
    ----------
    axis : `gammapy.maps.MapAxis`
        Axis of a response.
    unit : str
        Unit of the nodes.

    Returns
    -------
    nodes : Grid
        At least one node.
    """
    centers, edges = axis.center.to_value(unit), axis.edges.to_value(unit)
    if axis.nbin == 1:
        values = centers
    else:
        # A hair inside, where rounding cannot move the point out of the axis.
        first = edges[0] + 1e-9 * (centers[0] - edges[0])
        last = edges[-1] - 1e-9 * (edges[-1] - centers[-1])
        values = np.unique(
            np.concatenate(
                [
                    np.linspace(first, centers[0], _N_OUTER + 1),
                    centers,
                    np.linspace(centers[-1], last, _N_OUTER + 1),
                ]
            )
        )
    return Grid(values, u.Unit(unit), axis.interp == "log")


def interpolation_nodes(grid: Grid, values: NDArray) -> tuple[NDArray, NDArray]:
    """Return the lower neighbour of each value, and the weight of the upper one.

    Parameters
    ----------
    grid : Grid
        The nodes, shape (m,).
    values : array of float, shape (n,)
        In the unit of the grid; clipped to its range.

    Returns
    -------
    lower : array of int, shape (n,)
        Index of the lower node, at most m - 2 (0 for a single node).
    weight : array of float, shape (n,)
        Weight of node ``lower + 1``, between 0 and 1.
    """
    if len(grid.values) == 1:
        return np.zeros(len(values), dtype=int), np.zeros(len(values))
    nodes = grid.scaled(grid.values)
    x = grid.scaled(np.clip(values, grid.values[0], grid.values[-1]))
    lower = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, len(nodes) - 2)
    weight = (x - nodes[lower]) / (nodes[lower + 1] - nodes[lower])
    return lower, np.clip(weight, 0.0, 1.0)


def pick_nodes(
    rng: np.random.Generator,
    first: tuple[Grid, NDArray],
    second: tuple[Grid, NDArray],
    mass: NDArray,
) -> tuple[NDArray, NDArray]:
    """Draw, for each point, one of the four surrounding nodes by weight times mass.

    Parameters
    ----------
    rng : `numpy.random.Generator`
        Source of randomness.
    first, second : tuple of (Grid, array of float, shape (n,))
        The two axes with the coordinates of the points.
    mass : array of float, shape (m1, m2)
        Mass of each node; nodes without mass are never drawn.

    Returns
    -------
    row : array of int, shape (n,)
        Flat index of the drawn node.
    found : array of bool, shape (n,)
        False where none of the four nodes has mass.
    """
    lower1, weight1 = interpolation_nodes(*first)
    lower2, weight2 = interpolation_nodes(*second)
    upper1 = np.minimum(lower1 + 1, mass.shape[0] - 1)
    upper2 = np.minimum(lower2 + 1, mass.shape[1] - 1)
    rows = np.stack(
        [i * mass.shape[1] + j for i in (lower1, upper1) for j in (lower2, upper2)], axis=-1
    )
    weights = np.stack(
        [a * b for a in (1 - weight1, weight1) for b in (1 - weight2, weight2)], axis=-1
    )
    weights = weights * mass.ravel()[rows]
    cumulative = np.cumsum(weights, axis=-1)
    total = cumulative[:, -1]
    target = rng.random(len(total)) * total
    choice = np.minimum((cumulative <= target[:, None]).sum(axis=-1), 3)
    return rows[np.arange(len(rows)), choice], total > 0


def draw_rows(
    rng: np.random.Generator, cumulative: NDArray, row: NDArray
) -> tuple[NDArray, NDArray]:
    """Draw a cell from the given row of a table of cumulative probabilities.

    Parameters
    ----------
    rng : `numpy.random.Generator`
        Source of randomness.
    cumulative : array of float, shape (m, k)
        Each row rises to 1.
    row : array of int, shape (n,)
        The row each draw is from.

    Returns
    -------
    cell : array of int, shape (n,)
        Index between 0 and k - 1.
    fraction : array of float, shape (n,)
        Position in the cell, uniform between 0 and 1.
    """
    uniform = rng.random(len(row))
    k = cumulative.shape[1]
    # One sorted array for all rows: row i lives in [i, i + 1].
    flat = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
    cell = np.searchsorted(flat, uniform + row, side="right") - row * k
    cell = np.clip(cell, 0, k - 1)
    high = cumulative[row, cell]
    low = np.where(cell > 0, cumulative[row, np.maximum(cell - 1, 0)], 0.0)
    width = high - low
    fraction = np.where(width > 0, (uniform - low) / np.where(width > 0, width, 1.0), 0.5)
    return cell, np.clip(fraction, 0.0, 1.0)
