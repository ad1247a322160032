"""Sources with a free shape, as those who minimise see them."""

from collections.abc import Sequence

import numpy as np

from ctao_sat.likelihood._moving import MovingResponse
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._shape import pixel_axes

__all__ = ["MovingSources", "spiral"]

_AMPLITUDES = ("amplitude", "norm", "const")


def spiral(number: int) -> np.ndarray:
    """Return points that fill a circle of radius 1 evenly, shape (n, 2).

    They lie on a spiral (Vogel 1979, Mathematical Biosciences 44, 179); the first is the centre.
    """
    i = np.arange(number)
    angle, radius = i * np.pi * (3 - np.sqrt(5)), np.sqrt(i / max(number - 1, 1))
    return np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])


class MovingSources:
    """The free shapes of a likelihood.

    Parameters
    ----------
    responses : sequence of `MovingResponse`
        Of all datasets.
    parameters : `ParameterMap`
        All parameters.
    """

    def __init__(self, responses: Sequence[MovingResponse], parameters: ParameterMap):
        self._responses, self._map = responses, parameters
        self._where = {int(i): k for k, i in enumerate(parameters.free_index)}

    def __bool__(self) -> bool:
        return bool(self._responses)

    def drift(self) -> float:
        """Return how far, in degrees, a source is from where its responses were taken.

        Zero for responses that are the same everywhere.
        """
        p = self._map.values()
        return max((response.drift(p) for response in self._responses), default=0.0)

    def cut_off(self, before: np.ndarray) -> dict[str, float]:
        """Return which part of each source, as it is now, lies outside of Gammapy's first cutout.

        Parameters
        ----------
        before : array, shape (n,)
            Values of all parameters at the start.

        Returns
        -------
        shares : dict of str to float
            By name of the model.
        """
        p = self._map.values()
        shares: dict[str, float] = {}
        for response in self._responses:
            share = response.cut_off(before, p)
            shares[response.name] = max(share, shares.get(response.name, 0.0))
        return shares

    def pixel_axes(self, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the axes along which sources are seen to be pixelated: positions and sizes.

        Parameters
        ----------
        x : array, shape (n_free,)
            Factors of the free parameters.

        Returns
        -------
        axes : list of tuple of array
            Which factors a step by one pixel along an axis changes, and by how much.
        """
        p = self._map.values(x)
        axes: dict[tuple[int, ...], list[np.ndarray]] = {}
        slopes, _ = self._map.slopes(x, p)
        for response in self._responses:
            for own, steps in pixel_axes(response.source, p[response.index]):
                index = tuple(self._where[int(response.index[i])] for i in own)
                axes.setdefault(index, steps)
        return [
            (np.array(index), step / slopes[list(index)])
            for index, steps in axes.items()
            for step in steps
        ]

    def flux_parameters(self) -> dict[str, np.ndarray]:
        """Return which factors are amplitudes of the sources, by name of the model."""
        found: dict[str, set[int]] = {}
        for response in self._responses:
            own = found.setdefault(response.name, set())
            for parameter in response.request.model.parameters:
                k = self._where.get(self._map.index(parameter))
                if parameter.name in _AMPLITUDES and k is not None:
                    own.add(k)
        return {name: np.array(sorted(own), dtype=np.int64) for name, own in found.items() if own}

    def sizes(self) -> np.ndarray:
        """Return which factors are sizes."""
        own = {int(r.index[i]) for r in self._responses for i in r.source.sizes}
        return np.array(sorted(self._where[i] for i in own), dtype=np.int64)

    def is_point(self, name: str) -> bool:
        """Return whether a model is a point source."""
        return any(r.source.is_point for r in self._responses if r.name == name)

    def own_parameters(self, name: str, *, shape: bool = True) -> np.ndarray:
        """Return which factors belong to a model: its spectrum, and its shape if asked for."""
        own: set[int] = set()
        for response in self._responses:
            if response.name == name:
                own.update(self._map.index(p) for p in response.request.model.parameters)
                own.update(int(i) for i in response.index if shape)
        return np.array(sorted(self._where[i] for i in own if i in self._where), dtype=np.int64)

    def nearby(self, name: str, x: np.ndarray, number: int) -> list[np.ndarray]:
        """Return factors with one source elsewhere: on a spiral as wide as the PSF.

        Parameters
        ----------
        name : str
            Of the model.
        x : array, shape (n_free,)
            Factors; the spiral is around the source as it is there.
        number : int
            How many places.

        Returns
        -------
        places : list of array, shape (n_free,)
            The first is where the source is. Only that, if its position is not free.
        """
        p = self._map.values(x)
        slopes, _ = self._map.slopes(x, p)
        response = next(r for r in self._responses if r.name == name)
        axes = response.source.position_axes(p[response.index])
        if len(axes) < 2:
            return [x]
        index = [self._where[int(response.index[i])] for i in response.source.position]
        places = []
        for move in response.source.reach * spiral(number):
            other = x.copy()
            other[index] += (move[0] * axes[0] + move[1] * axes[1]) / slopes[index]
            places.append(other)
        return places

    def started(self, x: np.ndarray, move: np.ndarray | None = None, factor: float = 1.0):
        """Return factors with the shapes of a start.

        Parameters
        ----------
        x : array, shape (n_free,)
            Factors of the free parameters.
        move : array, shape (2,), optional
            By how much to move sources along y and x, by their size.
        factor : float
            By how much to make them larger.

        Returns
        -------
        x : array, shape (n_free,)
            Limits do not enter. Never round if the eccentricity is free, and never of no size:
            there all derivatives vanish.
        """
        x, p = x.copy(), self._map.values(x)
        done = set()
        for response in self._responses:
            for i, value in zip(response.index, response.start(p, move, factor), strict=True):
                if int(i) in self._where and int(i) not in done and value != p[i]:
                    done.add(int(i))
                    x[self._where[int(i)]] = self._map.all[i].transform(value)
        return x
