"""Draw true energies from a tabulated spectrum, and reconstructed ones from the dispersion."""

from dataclasses import dataclass

import numpy as np
from gammapy.irf import EnergyDispersion2D
from numpy.typing import NDArray

from ctao_sat.simulate._tables import Grid, draw_rows, grid_nodes, pick_nodes

__all__ = ["Migration", "draw_log_linear", "log_linear_integral"]


def log_linear_integral(energy: NDArray, density: NDArray) -> float:
    """Integrate a density over energy, taking ``E * density`` as linear in ``ln E``.

    Parameters
    ----------
    energy : array of float, shape (n,)
        Nodes, increasing.
    density : array of float, shape (n,)
        Density per unit of energy at the nodes.

    Returns
    -------
    integral : float
        The integral between the first and the last node.
    """
    return float(np.trapezoid(energy * density, np.log(energy)))


def draw_log_linear(
    rng: np.random.Generator, energy: NDArray, density: NDArray, size: int
) -> NDArray:
    """Draw energies from a tabulated density, by the inverse of its cumulative integral.

    Parameters
    ----------
    rng : `numpy.random.Generator`
        Source of randomness.
    energy : array of float, shape (n,)
        Nodes, increasing.
    density : array of float, shape (n,)
        Density per unit of energy at the nodes; ``E * density`` is linear in ``ln E`` between.
    size : int
        Number of energies.

    Returns
    -------
    energy : array of float, shape (size,)
        In the unit of the nodes.
    """
    x = np.log(energy)
    y = energy * density
    area = 0.5 * (y[1:] + y[:-1]) * np.diff(x)
    cumulative = np.concatenate([[0.0], np.cumsum(area)])
    target = rng.random(size) * cumulative[-1]
    cell = np.clip(np.searchsorted(cumulative, target, side="right") - 1, 0, len(area) - 1)
    left, right, width = y[cell], y[cell + 1], np.diff(x)[cell]
    fraction = (target - cumulative[cell]) / np.where(area[cell] > 0, area[cell], 1.0)
    # The root of left*s + (right - left)*s**2/2 = fraction*(left + right)/2 that lies in [0, 1],
    # written without a difference of near-equal numbers.
    total = left + right
    root = np.sqrt(np.maximum(left**2 + fraction * (right - left) * total, 0.0))
    denominator = left + root
    step = np.where(
        denominator > 0, fraction * total / np.where(denominator > 0, denominator, 1), 0
    )
    return np.exp(x[cell] + np.clip(step, 0.0, 1.0) * width)


@dataclass(frozen=True)
class Migration:
    """Cumulative tables of the energy dispersion at its nodes.

    Between nodes Gammapy interpolates the density linearly in log energy and offset. That density
    is the mixture of those of the neighbouring nodes, so an event draws one node by its weight and
    then a migration from it: exact, and no table is built per event. A file whose columns are
    not normalised (counts of simulated events, as in CTA-1DC) weighs its nodes by their sums, as
    the interpolation does. In a migration bin the density is constant, as in Gammapy's kernels.
    """

    energy: Grid
    offset: Grid
    edges: NDArray
    cumulative: NDArray
    weight: NDArray

    @classmethod
    def from_irf(cls, edisp: EnergyDispersion2D) -> "Migration":
        """Tabulate an energy dispersion.

        Parameters
        ----------
        edisp : `gammapy.irf.EnergyDispersion2D`
            The response.

        Returns
        -------
        migration : Migration
            The tables.
        """
        energy, offset, migra = (edisp.axes[name] for name in ("energy_true", "offset", "migra"))
        energy_nodes, offset_nodes = grid_nodes(energy, "TeV"), grid_nodes(offset, "deg")
        values = edisp.evaluate(
            energy_true=(energy_nodes.values * energy_nodes.unit)[:, None, None],
            migra=migra.center[None, :, None],
            offset=(offset_nodes.values * offset_nodes.unit)[None, None, :],
        ).to_value("")
        mass = np.moveaxis(values, 1, 2) * migra.bin_width.to_value("")
        total = mass.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cumulative = np.cumsum(mass, axis=-1) / total[..., None]
        return cls(
            energy=energy_nodes,
            offset=offset_nodes,
            edges=migra.edges.to_value(""),
            cumulative=np.nan_to_num(cumulative, nan=1.0),
            weight=total,
        )

    def draw(self, rng: np.random.Generator, energy: NDArray, offset: NDArray) -> NDArray:
        """Draw reconstructed energies.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Source of randomness.
        energy : array of float, shape (n,)
            True energies in TeV.
        offset : array of float, shape (n,)
            Angles to the pointing direction in degrees.

        Returns
        -------
        energy : array of float, shape (n,)
            Reconstructed energies in TeV; NaN where the response holds no event.
        """
        row, found = pick_nodes(rng, (self.energy, energy), (self.offset, offset), self.weight)
        table = self.cumulative.reshape(-1, self.cumulative.shape[-1])
        cell, fraction = draw_rows(rng, table, row)
        migra = self.edges[cell] + fraction * np.diff(self.edges)[cell]
        return np.where(found, energy * migra, np.nan)
