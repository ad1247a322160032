"""Starts of a fit beside the one that is given, for shapes that are free."""

import itertools

import numpy as np

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._sources import spiral

__all__ = ["scattered_starts"]

_FACTORS = (2.0, 0.5, 3.0, 1 / 3)


def scattered_starts(likelihood: CompiledLikelihood, number: int) -> list[np.ndarray]:
    """Return starts with positions on a spiral around the present ones, and other sizes.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        Its parameters are at the first start.
    number : int
        How many there are to be, with the first.

    Returns
    -------
    starts : list of array, shape (n_free,)
        Factors, within the limits. The first are the present ones.
    """
    first = np.array([parameter.factor for parameter in likelihood.parameters])
    low, high = np.array([(p.factor_min, p.factor_max) for p in likelihood.parameters]).T
    starts = [first]
    for move, factor in zip(spiral(number)[1:], itertools.cycle(_FACTORS), strict=False):
        x = likelihood.sources.started(first, move, factor)
        # NaN is no limit.
        starts.append(np.fmin(np.fmax(x, low), high))
    return starts
