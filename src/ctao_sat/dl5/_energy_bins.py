"""Which energies of data sets belong to which bin, as Gammapy slices them."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets

__all__ = ["EnergyBin", "energy_bins"]


@dataclass(frozen=True)
class EnergyBin:
    """One bin.

    Attributes
    ----------
    parts : list of (int, int, int)
        Index of each data set that has energies in the bin, its first energy, and its last + 1.
    edges : Quantity[energy], shape (2,)
        Those of the energies that were found; those asked for if there are none.
    """

    parts: list[tuple[int, int, int]]
    edges: u.Quantity


def energy_bins(datasets: Datasets, energy_edges: u.Quantity) -> list[EnergyBin]:
    """Return the energies of data sets in each bin.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With counts.
    energy_edges : Quantity[energy], shape (n+1,)
        Rising.

    Returns
    -------
    bins : list of `EnergyBin`, n elements
        Edges are moved to the nearest ones of the axis, as ``MapAxis.group_table`` does.
    """
    places, ends = [], []
    for dataset in datasets:
        axis = dataset.counts.geom.axes["energy"]
        pixels = np.clip(axis.coord_to_pix(energy_edges), -0.5, axis.nbin - 0.5)
        places.append(np.round(pixels + 0.5).astype(int))
        ends.append(axis.edges.to_value("TeV"))
    bins = []
    for i in range(len(energy_edges) - 1):
        parts = [(k, int(p[i]), int(p[i + 1])) for k, p in enumerate(places) if p[i] < p[i + 1]]
        edges = energy_edges[i : i + 2]
        if parts:
            low = min(ends[k][first] for k, first, _ in parts)
            high = max(ends[k][last] for k, _, last in parts)
            unit = datasets[parts[0][0]].counts.geom.axes["energy"].unit
            edges = u.Quantity([low, high], "TeV").to(unit)
        bins.append(EnergyBin(parts, edges))
    return bins
