"""Means of temporal models over good time intervals, by which compiled spectra are scaled."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["TemporalNorms"]

# Step of the second derivatives, which are differences of exact first ones: by the value, or by
# the change that alters the mean as much as itself.
_STEP = 1e-4


@dataclass(frozen=True)
class _Model:
    """One temporal model with the vectors that it scales.

    Attributes
    ----------
    means : callable
        Of ``TransientModel.mean_function``, over the intervals of all vectors.
    slots : array of int64, (n_temporal,)
        Where its parameters are among all parameters.
    lowest : array of float64, (n_temporal,)
        Their lower limits: beyond them it may have no mean.
    vectors : list of int
        The vectors, one for each group of intervals.
    places : list of array of int64
        For each vector the column of each parameter, -1 for frozen ones.
    """

    means: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    slots: np.ndarray
    lowest: np.ndarray
    vectors: list[int]
    places: list[np.ndarray]


@dataclass
class TemporalNorms:
    """Temporal models that know their means, with derivatives, as functions of parameters."""

    _requests: dict[int, list[tuple[int, Any, np.ndarray]]] = field(default_factory=dict)
    _models: list[_Model] = field(default_factory=list)

    @staticmethod
    def knows(temporal: tuple[Any, Any] | None) -> bool:
        """Return whether a temporal model has such a function.

        Parameters
        ----------
        temporal : tuple of (`~gammapy.modeling.models.TemporalModel`, `~gammapy.data.GTI`) or None
            Of a request.

        Returns
        -------
        known : bool
            True for those of ``ctao_sat.transients``.
        """
        return temporal is not None and hasattr(temporal[0], "mean_function")

    def add(self, vector: int, temporal: tuple[Any, Any], columns: np.ndarray) -> None:
        """Scale a vector.

        Parameters
        ----------
        vector : int
            Which one.
        temporal : tuple of (`~gammapy.modeling.models.TemporalModel`, `~gammapy.data.GTI`)
            By what.
        columns : array of int64
            The free parameters that the vector depends on, with those of the temporal model.
        """
        self._requests.setdefault(id(temporal[0]), []).append((vector, temporal, columns))

    def build(self, index: dict[int, int]) -> None:
        """Prepare what was added, one function for each temporal model.

        Parameters
        ----------
        index : dict of int to int
            Index into the parameters of the likelihood, by the identity of a parameter.
        """
        for requests in self._requests.values():
            model = requests[0][1][0]
            parameters = model.parameters.unique_parameters
            slots = np.array([index[id(p)] for p in parameters], dtype=np.int64)
            lowest = np.array([-np.inf if np.isnan(p.min) else p.min for p in parameters])
            gtis = [temporal[1] for _, temporal, _ in requests]
            means = model.mean_function([(gti.time_start, gti.time_stop) for gti in gtis])
            places = []
            for _, _, columns in requests:
                place = {column: i for i, column in enumerate(columns.tolist())}
                places.append(np.array([place.get(i, -1) for i in slots.tolist()]))
            vectors = [vector for vector, _, _ in requests]
            self._models.append(_Model(means, slots, lowest, vectors, places))

    def scale(self, p: np.ndarray, order: int, spectra, f, df, d2f) -> None:
        """Multiply vectors, and their derivatives, by the means.

        Parameters
        ----------
        p : array of float64, (n_parameters,)
            Values of all parameters.
        order : int
            Highest derivative.
        spectra : `~ctao_sat.likelihood._spectra.Spectra`
            Where the vectors are.
        f, df, d2f : array of float64
            Changed.
        """
        for model in self._models:
            values = p[model.slots]
            mean, gradient = model.means(values)
            free = np.any(np.array(model.places) >= 0, axis=0)
            curvature = _curvature(model, values, free) if order >= 2 else None
            for k, (v, place) in enumerate(zip(model.vectors, model.places, strict=True)):
                part = slice(spectra.start[v], spectra.start[v + 1])
                n = len(spectra.columns[v])
                value = f[part].copy()
                f[part] *= mean[k]
                if order < 1:
                    continue
                chosen = place >= 0
                slope = np.zeros(n)
                slope[place[chosen]] = gradient[k, chosen]
                first = df[spectra.dstart[v] : spectra.dstart[v + 1]].reshape(-1, n)
                if curvature is not None:
                    bend = np.zeros((n, n))
                    bend[np.ix_(place[chosen], place[chosen])] = curvature[k][
                        np.ix_(chosen, chosen)
                    ]
                    second = d2f[spectra.d2start[v] : spectra.d2start[v + 1]].reshape(-1, n, n)
                    mixed = first[:, :, np.newaxis] * slope
                    second *= mean[k]
                    second += mixed + mixed.swapaxes(1, 2) + value[:, None, None] * bend
                first *= mean[k]
                first += value[:, np.newaxis] * slope


def _curvature(model: _Model, values: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return second derivatives, (n_vectors, n_temporal, n_temporal)."""
    mean, gradient = model.means(values)
    curvature = np.zeros((*gradient.shape, len(values)))
    for i in np.flatnonzero(free):
        # T0 is a large number, and a small change of it a large one of the mean.
        slopes = np.abs(gradient[:, i])
        scales = np.abs(mean[slopes > 0]) / slopes[slopes > 0]
        length = _STEP * min(abs(values[i]) or 1.0, scales.min(initial=np.inf))
        above, below = values.copy(), values.copy()
        above[i] += length
        below[i] = max(below[i] - length, min(model.lowest[i], values[i]))
        change = model.means(above)[1] - model.means(below)[1]
        # Rounding makes a step of T0 another one.
        curvature[:, i] = change / (above[i] - below[i])
    return 0.5 * (curvature + curvature.swapaxes(1, 2))
