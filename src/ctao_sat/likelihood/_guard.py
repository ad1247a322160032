"""Compare a compiled likelihood with Gammapy where it matters."""

import numpy as np
from gammapy.datasets import Datasets

from ctao_sat._gammapy import fresh_copy
from ctao_sat.likelihood._compiled import CompiledLikelihood

__all__ = ["agrees", "agrees_near", "compare", "perturbed"]

_RELATIVE = 1e-9
_ABSOLUTE = 1e-6
# Gammapy convolves in single precision: so many times its noise are allowed with free shapes.
_ABSOLUTE_WITH_SHAPES, _NOISE = 1e-3, 5
# With a free shape that falls back, its statistic depends on where the source has been before.
_ABSOLUTE_WITH_FALLBACKS = 0.1


def perturbed(likelihood: CompiledLikelihood) -> np.ndarray:
    """Return factors a few per cent off the present ones, within limits, shape (n_free,)."""
    out = []
    for i, parameter in enumerate(likelihood.parameters):
        step = 0.03 * max(abs(parameter.factor), 0.1)
        if parameter.unit.is_equivalent("deg"):
            # Shapes that are free are Gammapy's to evaluate. Its evaluators remember where a
            # source has been: to move it here would change the numbers of later calls.
            step = 0.0
        if parameter.error > 0:
            step = min(step, 0.3 * parameter.error / abs(parameter.scale))
        x = parameter.factor + (step if i % 2 == 0 else -step)
        low, high = parameter.factor_min, parameter.factor_max
        out.append(
            min(max(x, -np.inf if np.isnan(low) else low), np.inf if np.isnan(high) else high)
        )
    return np.array(out)


def agrees(likelihood: CompiledLikelihood, where: str, notes: list[str]) -> bool:
    """Return whether `compare` finds no difference; add what it finds to notes."""
    agrees, note = compare(likelihood, where)
    notes.append(note)
    return agrees


def agrees_near(likelihood: CompiledLikelihood, notes: list[str]) -> bool:
    """Return whether there is no difference a few per cent away; the parameters stay."""
    before = [(parameter.factor, parameter.value) for parameter in likelihood.parameters]
    likelihood.set_factors(perturbed(likelihood))
    try:
        return agrees(likelihood, "near the start", notes)
    finally:
        for parameter, (factor, value) in zip(likelihood.parameters, before, strict=True):
            parameter.factor = factor
            if parameter.value != value:
                parameter.value = value


def compare(likelihood: CompiledLikelihood, where: str) -> tuple[bool, str]:
    """Compare with Gammapy at the present parameters.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        The likelihood.
    where : str
        Name of the point, for the report.

    Returns
    -------
    agrees : bool
        Within 1e-9 of the statistic; with free shapes within 1e-3 and the noise of single
        precision; within 0.1 if Gammapy evaluates a part.
    note : str
        What was found.
    """
    ours = likelihood.stat_sum()
    with np.errstate(all="ignore"):
        gammapy = float(likelihood.datasets.stat_sum())
    absolute = _ABSOLUTE
    if likelihood.sources:
        absolute = _ABSOLUTE_WITH_SHAPES + _NOISE * likelihood.noise()
    if not likelihood.report.is_complete:
        absolute = max(absolute, _ABSOLUTE_WITH_FALLBACKS)
    if _agree(ours, gammapy, absolute):
        return True, f"{where}: {ours:.6f}, Gammapy {gammapy - ours:+.1e}"
    # Gammapy keeps kernels and cutouts from where a source was when it was first evaluated.
    with np.errstate(all="ignore"):
        fresh = float(_fresh(likelihood.datasets).stat_sum())
    if _agree(ours, fresh, absolute):
        return True, (
            f"{where}: {ours:.6f}, Gammapy {fresh - ours:+.1e}; the datasets hold cutouts from an "
            f"earlier shape, with which Gammapy's statistic is {gammapy:.6f}"
        )
    return False, f"{where}: {ours:.9g}, but Gammapy has {gammapy:.9g}"


def _fresh(datasets: Datasets) -> Datasets:
    return fresh_copy(datasets)


def _agree(a: float, b: float, absolute: float) -> bool:
    if not (np.isfinite(a) and np.isfinite(b)):
        return a == b or (np.isnan(a) and np.isnan(b))
    return abs(a - b) <= absolute + _RELATIVE * abs(b)
