"""Find the optimum of a likelihood: from several starts, and again with new responses."""

from dataclasses import replace

import numpy as np

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._optimize import Optimum, optimize
from ctao_sat.likelihood._starts import scattered_starts

__all__ = ["find_optimum"]

# What other responses would change by less is not worth another fit; there are a few at most.
_SMALL, _ROUNDS = 1e-3, 6
# A refit that lowers the statistic by more shows that the last optimum was none.
_STABLE = 0.1
# The part of a source that may be cut off without a word: a Gaussian has less beyond 5 sigma.
_CUT_OFF = 1e-4


def find_optimum(likelihood: CompiledLikelihood, *, errors: str, starts: int = 1) -> Optimum:
    """Return the lowest optimum; the parameters are set to it.

    With free shapes PSF and energy dispersion are taken from where the sources end, and the fit is
    repeated until they stay. The likelihood is then compiled again, and its report says so.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        With at least one free parameter.
    errors : {"hesse", "migrad"}
        See `optimize`.
    starts : int
        From how many starts, with free shapes.

    Returns
    -------
    optimum : `Optimum`
        No success if refits do not settle.
    """
    if not likelihood.sources:
        optimum = optimize(likelihood, errors=errors)
        likelihood.set_factors(optimum.x)
        return optimum
    before = np.array([parameter.value for parameter in likelihood.all_parameters])
    timings, optima = likelihood.report.timings, []
    for x in scattered_starts(likelihood, starts):
        likelihood.set_factors(x)
        optima.append(optimize(likelihood, errors=errors))
    optimum = min(optima, key=lambda end: (not end.success, end.stat))
    likelihood.set_factors(optimum.x)
    optimum, refits, stable = _settle(likelihood, optimum, errors)
    if not stable:
        optimum = replace(
            optimum, success=False, message="Refits do not settle: each has another optimum."
        )
    likelihood.report.shapes = [
        *(f"start {i}: {end.stat:.4f}" for i, end in enumerate(optima, 1) if starts > 1),
        *refits,
        *_cutouts(likelihood, before),
    ]
    likelihood.report.timings = timings
    return optimum


def _settle(
    likelihood: CompiledLikelihood, optimum: Optimum, errors: str
) -> tuple[Optimum, list[str], bool]:
    """Return the optimum with responses of where the sources are, notes, and if it is stable."""
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
        optimum = optimize(likelihood, errors=errors, near=True)
        likelihood.set_factors(optimum.x)
        stable = here - optimum.stat <= _STABLE
        notes.append(
            f"refit {number}: responses taken {distance:.2g} deg further, "
            f"statistic {here:.4f}, then {optimum.stat:.4f}"
        )
    return optimum, notes, stable


def _cutouts(likelihood: CompiledLikelihood, before: np.ndarray) -> list[str]:
    """Return which sources Gammapy's cutouts, kept from the start, would cut off."""
    return [
        f"{name}: {share:.1%} lie outside of the cutout that Gammapy's fit keeps from its start"
        for name, share in likelihood.sources.cut_off(before).items()
        if share > _CUT_OFF
    ]
