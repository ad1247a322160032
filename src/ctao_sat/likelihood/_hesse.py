"""Covariance of the factors of a compiled likelihood, from its second derivatives at a point."""

import numpy as np

from ctao_sat.likelihood._compiled import CompiledLikelihood
from ctao_sat.likelihood._covariance import covariance_across, exact_covariance
from ctao_sat.likelihood._minuit import Objective, limits_of, make_minuit

__all__ = ["HESSE", "NO_MINIMUM", "covariance_at", "finite_covariance", "kink_width"]

HESSE = "Hesse terminated successfully."
NO_MINIMUM = "Hesse failed: the second derivatives are not those of a minimum."
# At a kink the statistic has a slope, of more than this within the error that its curvature gives.
# It is looked for where the statistic has risen by so much.
_SLOPE, _BESIDE = 0.1, 0.03


def covariance_at(
    likelihood: CompiledLikelihood, x: np.ndarray, hessian: np.ndarray
) -> tuple[np.ndarray, str] | None:
    """Return the covariance of the factors and what to say of it.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        The likelihood, all of it compiled.
    x : array, shape (n_free,)
        The factors at its minimum.
    hessian : array, shape (n_free, n_free)
        Second derivatives there.

    Returns
    -------
    covariance : (array, str) or None
        As in `Optimum`; None if the second derivatives are not those of a minimum.
    """
    report = likelihood.report
    numeric = bool(report.spectra or report.scaled)
    exact = exact_covariance(hessian, x, limits_of(likelihood), numeric=numeric)
    if exact is None:
        return None
    if exact.determined.all():
        return exact.matrix, HESSE
    names = likelihood.parameter_names
    lost = ", ".join(names[i] for i in np.flatnonzero(~exact.determined))
    return exact.matrix, f"The data do not determine {lost}: freeze them, or drop the model."


def finite_covariance(
    likelihood: CompiledLikelihood, x: np.ndarray, *, flat: bool = False
) -> tuple[np.ndarray, bool, str]:
    """Return a covariance of the factors without infinite numbers.

    At a kink, as the statistic has at a flux of zero if there are no counts, the error is half the
    width of the interval in which the statistic rises by less than 1. What the data do not
    determine has an error of 1, which is what Gammapy takes for the first step of a fit.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        The likelihood, any part of it compiled.
    x : array, shape (n_free,)
        The factors at its minimum.
    flat : bool
        Whether the minimum may be at the end of a flat valley, of a likelihood that is compiled:
        then `covariance_across` is used instead of differences.

    Returns
    -------
    covariance : array, shape (n_free, n_free)
        By differences if derivatives give none; NaN if these do not either.
    success : bool
        Whether it is that of a minimum.
    message : str
        What to say of it.
    """
    with np.errstate(all="ignore"):
        if not likelihood.report.is_complete:
            matrix, sound = _by_differences(likelihood, x)
            return matrix, sound, HESSE if sound else NO_MINIMUM
        hessian = likelihood.hessian(x)
        found = covariance_at(likelihood, x, hessian)
        if found is None or not np.all(np.isfinite(found[0])):
            found = covariance_at(likelihood, x, _without_kinks(likelihood, x, hessian))
        if found is None and flat:
            return covariance_across(hessian, x, limits_of(likelihood)), False, NO_MINIMUM
        if found is None:
            return _by_differences(likelihood, x)[0], False, NO_MINIMUM
    known = np.isfinite(found[0])
    return np.where(known, found[0], 1.0), bool(known.all()), found[1]


def kink_width(likelihood: CompiledLikelihood, x: np.ndarray, i: int, curvature: float) -> float:
    """Return half the width, at a kink, of the interval in which the statistic rises by 1.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        The likelihood, all of it compiled.
    x : array, shape (n_free,)
        The factors.
    i : int
        The parameter.
    curvature : float
        The second derivative by it.

    Returns
    -------
    width : float
        Along the slopes; infinite if there is no kink.
    """
    slope = abs(likelihood.evaluate(x, 1)[1][i])
    smooth = np.sqrt(2 / curvature) if curvature > 0 else np.inf
    if not slope * smooth > _SLOPE:
        return np.inf
    step = np.zeros(len(x))
    step[i] = _BESIDE / slope
    slopes = [likelihood.evaluate(x + k * step, 1)[1][i] for k in (-4, -1, 1, 4)]
    # With curvature alone, four times the distance makes four times the change.
    is_kink = slopes[1] < 0 < slopes[2] and slopes[3] - slopes[0] < 2 * (slopes[2] - slopes[1])
    return 0.5 * (1 / slopes[2] - 1 / slopes[1]) if is_kink else np.inf


def _without_kinks(
    likelihood: CompiledLikelihood, x: np.ndarray, hessian: np.ndarray
) -> np.ndarray:
    """Return second derivatives with a curvature instead of a kink, by what its width is."""
    out = hessian.copy()
    for i, curvature in enumerate(np.diag(hessian)):
        width = kink_width(likelihood, x, i, curvature)
        if np.isfinite(width):
            out[i], out[:, i] = 0.0, 0.0
            out[i, i] = 2 / width**2
    return out


def _by_differences(likelihood: CompiledLikelihood, x: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the covariance of Minuit, and whether it had to make it positive."""
    minuit = make_minuit(
        likelihood, Objective(likelihood), x, limits_of(likelihood), derivatives=False
    )
    minuit.hesse()
    if minuit.covariance is None:
        return np.full((len(x),) * 2, np.nan), False
    doubtful = minuit.fmin.hesse_failed or minuit.fmin.has_made_posdef_covar
    return np.array(minuit.covariance), not doubtful
