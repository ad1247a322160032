"""Second derivatives of a compiled likelihood by the factors of its free parameters."""

from collections.abc import Callable

import numpy as np

from ctao_sat.kernels.counts import (
    add_curvature,
    adjoint,
    bin_derivatives,
    expected_curvature,
    stat_sum,
)
from ctao_sat.kernels.joint import chain, chain_second
from ctao_sat.likelihood._engine import Engine
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._plan import Plan

__all__ = ["by_differences", "expansion", "second_derivatives"]

# Fourth-order central differences of the gradient: offsets in steps, weights.
_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))


def second_derivatives(
    engine: Engine, parameters: ParameterMap, x: np.ndarray, kind: str
) -> np.ndarray:
    """Return the matrix of second derivatives, for a likelihood that is compiled as a whole.

    Parameters
    ----------
    engine : `Engine`
        The likelihood.
    parameters : `ParameterMap`
        Its parameters.
    x : array, shape (n_free,)
        Factors.
    kind : {"observed", "fisher"}
        Of the data at hand, or expected for data that the model predicts.

    Returns
    -------
    hessian : array, shape (n_free, n_free)
        Symmetric.
    """
    return _by_factors(engine, parameters, x, kind == "fisher")[2]


def expansion(
    engine: Engine, parameters: ParameterMap, x: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return statistic, gradient and second derivatives by the factors, observed.

    Parameters
    ----------
    engine, parameters, x : object
        As in `second_derivatives`.

    Returns
    -------
    stat, gradient, hessian : float, array, array
        Shapes (n_free,) and (n_free, n_free).
    """
    return _by_factors(engine, parameters, x, False)


def _by_factors(engine: Engine, parameters: ParameterMap, x: np.ndarray, expected: bool):
    p = parameters.values(x)
    stat, gradient, by_values = _by_values(engine, p, expected)
    slopes, bends = parameters.slopes(x, p)
    free = parameters.free_index
    hessian = by_values[np.ix_(free, free)] * np.outer(slopes, slopes)
    hessian[np.diag_indices(len(free))] += gradient[free] * bends
    return stat, gradient[free] * slopes, (hessian + hessian.T) / 2


def _by_values(engine: Engine, p: np.ndarray, expected: bool):
    """Return statistic, first and second derivatives by the values of all parameters."""
    f, df, d2f = engine.spectra(p, 1 if expected else 2)
    plan = engine.plan_for(f, p, full=expected)
    mu = engine.counts(p, f, plan)
    first, second = np.empty(len(mu)), np.empty(len(mu))
    bin_derivatives(plan.arrays, mu, first, second)
    if expected:
        expected_curvature(plan.arrays, mu, second)
    curvature = np.zeros((len(p), len(p)))
    add_curvature(plan.arrays, second, df, engine.layout, curvature)
    gradient = np.zeros(len(p))
    if not expected:
        by_f = np.empty(len(f))
        adjoint(plan.arrays, first, by_f)
        chain(by_f, df, engine.layout, gradient)
        chain_second(by_f, d2f, engine.terms.spectra.d2start, engine.layout, curvature)
    if plan.parts:
        _add_shapes(engine, plan, p, f, df, (first, second), expected, curvature, gradient)
    prior, by_p, by_pp = engine.prior_terms(p)
    stat = stat_sum(plan.arrays, f, mu) + plan.constant + prior
    return stat, gradient + by_p, curvature + by_pp


def _add_shapes(
    engine: Engine, plan: Plan, p, f, df, phi, expected: bool, curvature, gradient
) -> None:
    """Add first and second derivatives by the parameters of free shapes.

    With t such a parameter and q one of a spectrum, ``mu = mu_0 + M(t) f(q)``::

        d2S/dt dt' = sum_j phi_j'' mu_t mu_t' + sum_j phi_j' (d2M/dt dt' f)_j
        d2S/dt dq  = sum_j phi_j'' mu_t (M f_q)_j + sum_j phi_j' (dM/dt f_q)_j
    """
    first, second = phi
    arrays = plan.arrays
    free = sorted({int(i) for part in plan.parts for i in part.response.free_index})
    slopes = {i: np.zeros(len(first)) for i in free}
    for part in plan.parts:
        part.add_slopes(p, f, arrays.row_bin, slopes)
    by_f = {i: np.empty(len(f)) for i in free}
    for i in free:
        adjoint(arrays, second * slopes[i], by_f[i])
        by_f[i] -= arrays.implicit
        for j in free:
            curvature[i, j] += np.sum(second * slopes[i] * slopes[j])
    if not expected:
        for part in plan.parts:
            found = part.derivatives(p, f, arrays.row_bin, first, 2)
            columns = slice(part.column, part.column + found.by_f.shape[1])
            own = part.response.free_index
            np.add.at(gradient, own, found.by_f @ f[columns])
            np.add.at(curvature, np.ix_(own, own), found.second)
            for i, share in zip(own, found.by_f, strict=True):
                by_f[int(i)][columns] += share
    for i in free:
        mixed = np.zeros(len(p))
        chain(by_f[i], df, engine.layout, mixed)
        curvature[i] += mixed
        curvature[:, i] += mixed


def by_differences(
    gradient: Callable[[np.ndarray], np.ndarray], parameters: ParameterMap, x: np.ndarray
) -> np.ndarray:
    """Return the matrix of second derivatives from differences of the gradient.

    Parameters
    ----------
    gradient : callable
        From factors to the gradient, both of shape (n_free,).
    parameters : `ParameterMap`
        The parameters.
    x : array, shape (n_free,)
        Factors.

    Returns
    -------
    hessian : array, shape (n_free, n_free)
        Symmetric.
    """
    columns = []
    for i, parameter in enumerate(parameters.free_parameters):
        step = _step(parameter, x[i])
        total = np.zeros(len(x))
        for offset, weight in _STENCIL:
            shifted = x.copy()
            shifted[i] += offset * step
            total += weight * gradient(shifted)
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
