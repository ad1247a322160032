"""Draw the counts of datasets from what their models predict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from gammapy.datasets import Datasets, FluxPointsDataset, MapDataset

from ctao_sat._gammapy import fresh_copy, unique_models
from ctao_sat.errors import ConfigError, DataError

__all__ = [
    "Expected",
    "draw",
    "draw_counts",
    "expected_counts",
    "present_counts",
    "saturated",
    "set_counts",
]


Counts: TypeAlias = dict[str, tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Expected:
    """Predicted counts of a dataset in the bins to fit, shape (n_energy, n_y, n_x).

    Attributes
    ----------
    name : str
        Of the dataset.
    on : array
        In the on region, or in a cube. 0 outside of the mask.
    off : array or None
        In the off region, for on-off data.
    """

    name: str
    on: np.ndarray
    off: np.ndarray | None


def draw_counts(datasets: Datasets, rng: np.random.Generator) -> Datasets:
    """Return datasets with counts drawn from Poisson distributions around their models.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models: their parameters are the truth. They are not changed.
    rng : `numpy.random.Generator`
        Where randomness comes from.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
        Copies that share all but the counts, the models included. Of on-off data the off counts
        are drawn, too: around the background that the statistic profiles out, which is what is
        known of it. Outside of the masks counts are 0.

    Raises
    ------
    ConfigError
        If there are no models.
    DataError
        If a dataset has no counts, as flux points.

    Notes
    -----
    ``draw_counts(datasets, rng.spawn(n)[i])`` are the counts of set i of ``toys(datasets, n, rng)``
    with a generator of the same seed.
    """
    datasets = datasets if isinstance(datasets, Datasets) else Datasets(datasets)
    copies = fresh_copy(datasets)
    set_counts(copies, draw(expected_counts(datasets), rng))
    return copies


def expected_counts(datasets: Datasets) -> list[Expected]:
    """Return the predicted counts of datasets, see `draw_counts`."""
    if not unique_models(datasets):
        raise ConfigError("The datasets have no models.", remedy="Set datasets.models first.")
    out = []
    for dataset in fresh_copy(datasets):
        if isinstance(dataset, FluxPointsDataset) or not isinstance(dataset, MapDataset):
            raise DataError(
                f"Dataset '{dataset.name}' has no counts that could be drawn.",
                remedy="Leave it out.",
            )
        out.append(_expected(dataset))
    return out


def _expected(dataset: MapDataset) -> Expected:
    mask = dataset.mask
    inside = np.ones(dataset.counts.data.shape, dtype=bool) if mask is None else mask.data > 0
    # Without an off region, or a spectrum that overflows, nothing can be drawn.
    with np.errstate(all="ignore"):
        off = None
        on = dataset.npred_signal().data
        background = dataset.npred_background()
        if hasattr(dataset, "counts_off"):
            off = _rates(np.divide(background.data, dataset.alpha.data), inside)
        if background is not None:
            on = on + background.data
    return Expected(dataset.name, _rates(on, inside), off)


def _rates(predicted: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return what can be drawn from: Gammapy's statistic, too, takes nothing for negative rates."""
    finite = np.nan_to_num(np.asarray(predicted, dtype=float), posinf=0.0, neginf=0.0)
    return np.where(inside, np.maximum(finite, 0.0), 0.0)


def draw(expected: Sequence[Expected], rng: np.random.Generator) -> Counts:
    """Return counts by the name of the dataset, on and off.

    Parameters
    ----------
    expected : sequence of `Expected`
        What is predicted.
    rng : `numpy.random.Generator`
        Where randomness comes from: dataset by dataset, on before off.
    """
    return {
        one.name: (
            rng.poisson(one.on).astype(float),
            None if one.off is None else rng.poisson(one.off).astype(float),
        )
        for one in expected
    }


def set_counts(datasets: Datasets, counts: Counts) -> None:
    """Exchange the counts of datasets for new maps."""
    for dataset in datasets:
        on, off = counts[dataset.name]
        dataset.counts = dataset.counts.copy(data=on)
        if off is not None:
            dataset.counts_off = dataset.counts_off.copy(data=off)


def present_counts(datasets: Datasets) -> Counts:
    """Return the counts that datasets have, by the name of the dataset."""
    return {dataset.name: (np.asarray(dataset.counts.data), None) for dataset in datasets}


def saturated(datasets: Datasets, counts: Counts) -> float:
    """Return the statistic of a model that predicts just these counts.

    That is ``2 sum w (n - n ln n)`` for ``cash``. Gammapy's ``wstat`` is counted from there.
    """
    total = 0.0
    for dataset in datasets:
        if dataset.stat_type == "wstat":
            continue
        n = counts[dataset.name][0]
        filled = np.nonzero(n if dataset.mask is None else (n > 0) & (dataset.mask.data > 0))
        found = n[filled].astype(float)
        weights = np.ones(len(found))
        if dataset.stat_type == "cash_weighted" and dataset.mask is not None:
            weights = np.asarray(dataset.mask.data, dtype=float)[filled]
        total += 2 * float(np.sum(weights * (found - found * np.log(found))))
    return total
