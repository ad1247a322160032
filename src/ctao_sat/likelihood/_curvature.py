"""Second derivatives of a compiled likelihood by the factors of its free parameters."""

import numpy as np

from ctao_sat.errors import ConfigError, NotCompilable
from ctao_sat.kernels.counts import (
    add_curvature,
    adjoint,
    bin_derivatives,
    expected_curvature,
)
from ctao_sat.kernels.joint import chain, chain_second
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._terms import Terms

__all__ = ["second_derivatives"]

# Fourth-order central differences of the gradient: offsets in steps, weights.
_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))


def second_derivatives(
    likelihood, parameters: ParameterMap, terms: Terms, x: np.ndarray, kind: str
) -> np.ndarray:
    """Return the matrix of second derivatives.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        The likelihood.
    parameters : `ParameterMap`
        Its parameters.
    terms : `Terms`
        Its terms.
    x : array, shape (n_free,)
        Factors.
    kind : {"observed", "fisher"}
        Of the data at hand, or expected for data that the model predicts.

    Returns
    -------
    hessian : array, shape (n_free, n_free)
        Symmetric.
    """
    if kind not in ("observed", "fisher"):
        raise ConfigError(
            f"Unknown kind of second derivatives: {kind!r}.", remedy="Take 'observed' or 'fisher'."
        )
    if terms.models or terms.datasets:
        if kind == "fisher":
            raise NotCompilable(
                f"No Fisher information: {likelihood.report.reasons()}.",
                remedy="Take kind='observed', or freeze what cannot be compiled.",
            )
        return _by_differences(likelihood, parameters, x)
    p = parameters.values(x)
    by_values, gradient = _by_values(likelihood, terms, p, kind == "fisher")
    slopes, bends = parameters.slopes(x, p)
    free = parameters.free_index
    hessian = by_values[np.ix_(free, free)] * np.outer(slopes, slopes)
    hessian[np.diag_indices(len(free))] += gradient[free] * bends
    return (hessian + hessian.T) / 2


def _by_values(likelihood, terms: Terms, p: np.ndarray, expected: bool):
    """Return second and first derivatives by the values of all parameters."""
    order = 1 if expected else 2
    f, df, d2f = likelihood.spectra_at(p, order)
    plan = likelihood.plan_for(f, full=expected)
    mu = likelihood.counts_at(p, f, plan)
    first, second = np.empty(len(mu)), np.empty(len(mu))
    bin_derivatives(plan.arrays, mu, first, second)
    if expected:
        expected_curvature(plan.arrays, mu, second)
    curvature = np.zeros((len(p), len(p)))
    add_curvature(plan.arrays, second, df, likelihood.layout, curvature)
    gradient = np.zeros(len(p))
    if not expected:
        by_f = np.empty(len(f))
        adjoint(plan.arrays, first, by_f)
        chain(by_f, df, likelihood.layout, gradient)
        chain_second(by_f, d2f, terms.spectra.d2start, likelihood.layout, curvature)
    _, by_p, by_pp = likelihood.priors_at(p)
    return curvature + by_pp, gradient + by_p


def _by_differences(likelihood, parameters: ParameterMap, x: np.ndarray) -> np.ndarray:
    columns = []
    for i, parameter in enumerate(parameters.free_parameters):
        step = _step(parameter, x[i])
        total = np.zeros(len(x))
        for offset, weight in _STENCIL:
            shifted = x.copy()
            shifted[i] += offset * step
            total += weight * likelihood.value_and_grad(shifted)[1]
        columns.append(total / step)
    hessian = np.array(columns)
    return (hessian + hessian.T) / 2


def _step(parameter, factor: float) -> float:
    if parameter.error > 0 and parameter.scale_transform == "lin":
        step = 0.05 * parameter.error / abs(parameter.scale)
    elif parameter.unit.is_equivalent("deg"):
        step = 2e-3 / parameter.unit.to("deg") / abs(parameter.scale)
    else:
        step = 1e-3 * (abs(factor) or 1.0)
    room = min(
        np.inf if np.isnan(parameter.factor_max) else parameter.factor_max - factor,
        np.inf if np.isnan(parameter.factor_min) else factor - parameter.factor_min,
    )
    return min(step, room / 2) if room > 0 else step
