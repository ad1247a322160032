"""Samples of a spatial model on pixels, with their derivatives by its parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Samples", "differentiate"]


@dataclass
class Samples:
    """What a source has on some pixels, and how this changes with its shape.

    Attributes
    ----------
    value : array, shape (n_samples,)
        Share of the flux.
    first : list of array
        Derivatives by the free parameters of the shape.
    second : dict
        Second derivatives by parameters i >= j, under (i, j).
    """

    value: np.ndarray
    first: list[np.ndarray] = field(default_factory=list)
    second: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)


def differentiate(
    function: Callable[[np.ndarray], np.ndarray],
    shape: np.ndarray,
    free: Sequence[int],
    steps: np.ndarray,
    order: int,
    centre: np.ndarray,
) -> Samples:
    """Return samples with their derivatives, by central differences.

    Parameters
    ----------
    function : callable
        From the values of all parameters of the shape to samples.
    shape : array, shape (n,)
        Where the samples are wanted.
    free : sequence of int
        The parameters to differentiate by.
    steps : array, shape (n_free,)
        Steps.
    order : int
        1 for first derivatives, 2 for second ones too.
    centre : array, shape (n,)
        Where to differentiate: `shape`, or a point beside it, if the function is singular there.

    Returns
    -------
    samples : `Samples`
        As far as asked for.
    """
    samples = Samples(function(shape))
    if order == 0:
        return samples
    moves = []
    for i, step in zip(free, steps, strict=True):
        move = np.zeros(len(shape))
        move[i] = step
        moves.append(move)
    ups = [function(centre + move) for move in moves]
    downs = [function(centre - move) for move in moves]
    samples.first = [
        (up - down) / (2 * step) for up, down, step in zip(ups, downs, steps, strict=True)
    ]
    if order == 1:
        return samples
    middle = samples.value if centre is shape else function(centre)
    for i, move in enumerate(moves):
        samples.second[i, i] = (ups[i] - 2 * middle + downs[i]) / steps[i] ** 2
        for j in range(i):
            both = function(centre + move + moves[j]) + function(centre - move - moves[j])
            alone = ups[i] + downs[i] + ups[j] + downs[j]
            samples.second[i, j] = (both - alone + 2 * middle) / (2 * steps[i] * steps[j])
    return samples
