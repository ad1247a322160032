"""Sources with a free shape, as those who minimise see them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ctao_sat.likelihood._moving import MovingResponse
from ctao_sat.likelihood._parameters import ParameterMap

__all__ = ["MovingSources"]


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

    @contextmanager
    def approximate(self) -> Iterator[None]:
        """Let large sources that reach beyond a map be sampled coarsely, for a while."""
        try:
            for response in self._responses:
                response.source.is_rough = True
            yield
        finally:
            for response in self._responses:
                response.source.is_rough = False

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
        """Return the axes of the pixels around each point source with a free position.

        Parameters
        ----------
        x : array, shape (n_free,)
            Factors of the free parameters.

        Returns
        -------
        axes : list of tuple of array
            Which factors a step by one pixel along an axis changes, and by how much.
        """
        p, axes = self._map.values(x), {}
        slopes, _ = self._map.slopes(x, p)
        for response in self._responses:
            index = tuple(self._where[int(i)] for i in response.free_index)
            if response.source.is_point and index not in axes:
                axes[index] = response.source.pixel_axes(p[response.index])
        return [
            (np.array(index), step / slopes[list(index)])
            for index, steps in axes.items()
            for step in steps
        ]

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
            Within the limits; never round if the eccentricity is free, and never of no size: there
            all derivatives vanish.
        """
        x, p = x.copy(), self._map.values(x)
        done = set()
        for response in self._responses:
            for i, value in zip(response.index, response.start(p, move, factor), strict=True):
                if int(i) in self._where and int(i) not in done and value != p[i]:
                    done.add(int(i))
                    x[self._where[int(i)]] = self._map.all[i].transform(value)
        return x
