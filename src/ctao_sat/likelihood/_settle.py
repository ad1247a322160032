"""Fit again with the responses of where sources have gone, until the optimum is stable."""

from dataclasses import replace

import numpy as np

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._optimize import Optimum, optimize

__all__ = ["settle"]

# What other responses would change by less is not worth another fit; there are a few at most.
_SMALL, _ROUNDS = 1e-3, 6
# A refit that lowers the statistic by more shows that the last optimum was none.
_STABLE = 0.1


def settle(
    likelihood: CompiledLikelihood, optimum: Optimum, *, errors: str
) -> tuple[Optimum, list[str], bool]:
    """Take PSF and energy dispersion from where the sources are now, and fit again.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        Its parameters are set to the optimum; compiled again.
    optimum : `Optimum`
        The minimum with the responses of the start.
    errors : str
        See `optimize`.

    Returns
    -------
    optimum : `Optimum`
        The last one.
    notes : list of str
        What has changed on the way.
    stable : bool
        Whether the last fit found what the one before did.
    """
    notes: list[str] = []
    stable = True
    shift_by_degree = np.inf
    for number in range(1, _ROUNDS + 1):
        distance = likelihood.sources.drift()
        if not optimum.success or distance * shift_by_degree < _SMALL or distance == 0:
            return optimum, notes, stable
        likelihood.anchor()
        here = likelihood.evaluate(optimum.x, 0)
        shift_by_degree = abs(here - optimum.stat) / distance
        if abs(here - optimum.stat) < _SMALL:
            return replace(optimum, stat=here), notes, stable
        optimum = optimize(likelihood, errors=errors)
        likelihood.set_factors(optimum.x)
        stable = here - optimum.stat <= _STABLE
        notes.append(
            f"refit {number}: responses taken {distance:.2g} deg further, "
            f"statistic {here:.4f}, then {optimum.stat:.4f}"
        )
    return optimum, notes, stable
