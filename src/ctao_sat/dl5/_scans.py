"""Scans of the statistic along one or around two parameters."""

from collections.abc import Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.modeling import Fit, OptimizeResult, Parameter

from ctao_sat.dl5._profiled import (
    Profiled,
    as_datasets,
    profiled,
    rise_of,
    unique_name,
    value_in_unit,
)
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import KernelCache
from ctao_sat.likelihood._constrained import Minimum

__all__ = ["contour", "profile"]

# How often a lower minimum that turns up on the way may replace the one before.
_RESTARTS = 3


def profile(
    datasets: Datasets,
    parameter: Parameter | str,
    values: u.Quantity | Sequence[float] | None = None,
    *,
    n: int | None = None,
    bounds: tuple[u.Quantity | float, u.Quantity | float] | float | None = None,
    reoptimize: bool = True,
    guard: bool = True,
    kernels: KernelCache | None = None,
) -> dict[str, Any]:
    """Return the profile of the statistic along a parameter.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models that were fitted. They stay as they are.
    parameter : `~gammapy.modeling.Parameter` or str
        Itself, or its name as "crab.index". It may be frozen.
    values : `~astropy.units.Quantity` or sequence of float, shape (n,), optional
        Where to evaluate; ``parameter.scan_values`` by default, as Gammapy does. Numbers are in
        the unit of the parameter.
    n : int, optional
        Number of values, equally spaced; ``parameter.scan_n_values`` by default.
    bounds : tuple of two, or float, optional
        First and last value, or how many errors to each side of the present value;
        ``parameter.scan_n_sigma`` errors by default.
    reoptimize : bool
        Whether all other parameters follow to their best values. Gammapy's ``Fit.stat_profile``
        does not by default: what that gives is a slice, which is narrower than errors are.
    guard : bool
        Compare the compiled likelihood with Gammapy at the present parameters.
    kernels : `~ctao_sat.likelihood.KernelCache`, optional
        Kernels extracted before.

    Returns
    -------
    result : dict
        As of ``Fit.stat_profile``: "crab.spectral.index_scan", array of shape (n,);
        "stat_scan", array of shape (n,), NaN where there is no minimum; "fit_results", a list of
        `~gammapy.modeling.OptimizeResult`, empty without ``reoptimize``. Beyond that: "fallbacks",
        a list of str, what was left to Gammapy and why.

    Raises
    ------
    ConfigError
        If there is no such parameter, or no range to scan.
    """
    datasets = as_datasets(datasets)
    options: dict[str, Any] = {"reoptimize": reoptimize, "guard": guard, "kernels": kernels}
    with profiled(datasets, [parameter], **options) as study:
        own = study.parameters[0]
        where = _scan_values(own, values, n, bounds)
        name = unique_name(datasets, own)
        if study.likelihood is None:
            stats, results = _profile_by_gammapy(study, where, reoptimize)
        else:
            stats, results = _profile(study, where, reoptimize)
    return {
        f"{name}_scan": where,
        "stat_scan": stats,
        "fit_results": results,
        "fallbacks": study.fallbacks,
    }


def _scan_values(parameter: Parameter, values, n: int | None, bounds) -> np.ndarray:
    if values is not None:
        if n is not None or bounds is not None:
            raise ConfigError("Both values and n or bounds.", remedy="Take one of them.")
        if isinstance(values, u.Quantity):
            values = values.to_value(parameter.unit)
        return np.atleast_1d(np.asarray(values, dtype=float))
    if n is None and bounds is None:
        where = np.asarray(parameter.scan_values, dtype=float)
    else:
        if bounds is None or np.ndim(bounds) == 0:
            width = (parameter.scan_n_sigma if bounds is None else bounds) * parameter.error
            low, high = parameter.value - width, parameter.value + width
        else:
            low, high = (value_in_unit(parameter, bound) for bound in bounds)
        where = np.linspace(low, high, parameter.scan_n_values if n is None else n)
    if len(where) > 1 and not np.ptp(where) > 0:
        raise ConfigError(
            f"No range to scan '{parameter.name}' in: its error is {parameter.error:g}.",
            remedy="Fit before, or give values or bounds.",
        )
    return where


def _profile(study: Profiled, values: np.ndarray, reoptimize: bool):
    """Return statistics, and results of fits, at some values, each from its neighbour inside."""
    likelihood, own = study.likelihood, study.parameters[0]
    assert likelihood is not None
    best = likelihood.best.x[study.index[0]]
    factors = np.array([own.transform(value) for value in values])
    points: dict[int, Minimum] = {}
    for side in (np.flatnonzero(factors >= best), np.flatnonzero(factors < best)):
        near = None
        for i in side[np.argsort(np.abs(factors[side] - best))]:
            found = likelihood.at(study.index, factors[[i]], near)
            near = found if found.success else near
            points[int(i)] = found
    ordered = [points[i] for i in range(len(values))]
    stats = np.array([point.stat if point.success else np.nan for point in ordered])
    if not reoptimize:
        return stats, []
    return stats, [_optimize_result(study, point) for point in ordered]


def _optimize_result(study: Profiled, point: Minimum) -> OptimizeResult:
    """Return a point as Gammapy's result, with models of its own."""
    assert study.likelihood is not None
    models = study.datasets.models.copy()
    free = study.likelihood.likelihood.parameters
    factors = {id(p): factor for p, factor in zip(free, point.x, strict=True)}
    for parameter, copy in zip(study.datasets.models.parameters, models.parameters, strict=True):
        if id(parameter) in factors:
            copy.factor = factors[id(parameter)]
    return OptimizeResult(
        models=models,
        nfev=point.n_calls,
        total_stat=point.stat,
        trace=Table(),
        backend="ctao_sat",
        method="migrad" if point.by_minuit else "newton",
        success=point.success,
        message=f"Optimization {'terminated successfully' if point.success else 'failed'}.",
    )


def _profile_by_gammapy(study: Profiled, values: np.ndarray, reoptimize: bool):
    own = study.parameters[0]
    before = own.scan_values
    own.scan_values = values
    try:
        result = Fit().stat_profile(study.datasets, own, reoptimize=reoptimize)
    finally:
        own.scan_values = before
    return result["stat_scan"], result["fit_results"]


def contour(
    datasets: Datasets,
    x: Parameter | str,
    y: Parameter | str,
    *,
    n_sigma: float | None = None,
    confidence_level: float | None = None,
    n_points: int = 40,
    reoptimize: bool = True,
    guard: bool = True,
    kernels: KernelCache | None = None,
) -> dict[str, Any]:
    """Return the contour at which the statistic has risen by a given amount.

    Two conventions are in use, and differ by half of the size of the contour:

    - ``n_sigma``: a rise of ``n_sigma**2``, as Gammapy's ``Fit.stat_contour`` has it. The shadows
      of the contour on the axes are the intervals of n sigma of each parameter by itself; for 1
      the contour holds both with 39.3 % (86.5 % for 2).
    - ``confidence_level``: the rise that a chi-squared variable with two degrees of freedom keeps
      below with that probability, 2.30 for 68.27 %. The contour holds both with it.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models that were fitted. They stay as they are.
    x, y : `~gammapy.modeling.Parameter` or str
        Themselves, or their names as "crab.index".
    n_sigma : float, optional
        See above; 1 if neither is given.
    confidence_level : float, optional
        See above.
    n_points : int
        Number of points, at equal angles after a transformation that makes a Gaussian round.
    reoptimize : bool
        Whether all other parameters follow to their best values.
    guard : bool
        Compare the compiled likelihood with Gammapy at the present parameters.
    kernels : `~ctao_sat.likelihood.KernelCache`, optional
        Kernels extracted before.

    Returns
    -------
    result : dict
        "crab.spectral.index", "crab.spectral.amplitude" and so on, arrays of shape
        (n_points + 1,): a closed polygon, its last point is the first. "success", whether all
        points are on the contour or at a limit; "at_limit", array of bool, where a limit of a
        parameter came first; "stat", that of the contour; "fallbacks", what was left to Gammapy.

    Raises
    ------
    ConfigError
        If there is no such parameter, or it is the same twice.

    Notes
    -----
    Every point is the first crossing on a ray from the minimum. A contour that a ray crosses
    several times is drawn as far as it is seen from there.
    """
    n_sigma = 1.0 if n_sigma is None and confidence_level is None else n_sigma
    rise = rise_of(n_sigma, confidence_level, 2)
    if n_points < 3:
        raise ConfigError(f"A contour of {n_points} points.", remedy="Take three or more.")
    datasets = as_datasets(datasets)
    options: dict[str, Any] = {"reoptimize": reoptimize, "guard": guard, "kernels": kernels}
    with profiled(datasets, [x, y], **options) as study:
        if study.parameters[0] is study.parameters[1]:
            raise ConfigError("A contour of one parameter.", remedy="Take profile, or another one.")
        if study.likelihood is None:
            found = _contour_by_gammapy(study, rise, n_points)
        else:
            found = _contour(study, rise, n_points)
        names = [unique_name(datasets, own) for own in study.parameters]
    points, rest = found
    closed = np.vstack([points, points[:1]])
    return {
        names[0]: closed[:, 0],
        names[1]: closed[:, 1],
        **rest,
        "fallbacks": study.fallbacks,
    }


def _contour(study: Profiled, rise: float, n_points: int) -> tuple[np.ndarray, dict[str, Any]]:
    likelihood, index = study.likelihood, study.index
    assert likelihood is not None
    root = np.linalg.cholesky(likelihood.covariance(index))
    for _ in range(_RESTARTS):
        angles = 2 * np.pi * np.arange(n_points) / n_points
        rays = (root @ np.array([np.cos(angles), np.sin(angles)])).T
        crossings = []
        for ray in rays:
            crossings.append(likelihood.crossing(index, ray, rise))
            if crossings[-1].lower is not None:
                likelihood.start_at(crossings[-1].lower.x)
                break
        else:
            break
    t = np.array([crossing.t for crossing in crossings])
    good = np.array([crossing.success for crossing in crossings])
    factors = likelihood.best.x[index] + t[:, None] * rays[: len(t)]
    values = [
        [own.inverse_transform(factor) for own, factor in zip(study.parameters, pair, strict=True)]
        for pair in factors
    ]
    at_limit = np.array([crossing.at_limit for crossing in crossings])
    return np.array(values), {
        "success": bool(good.all() and likelihood.best.success and len(t) == n_points),
        "at_limit": at_limit,
        "stat": likelihood.best.stat + rise,
    }


def _contour_by_gammapy(study: Profiled, rise: float, n_points: int):
    own = study.parameters
    sigma = np.sqrt(rise)
    found = Fit().stat_contour(study.datasets, own[0], own[1], numpoints=n_points, sigma=sigma)
    names = [unique_name(study.datasets, parameter) for parameter in own]
    points = np.column_stack([found[name] for name in names])
    return points, {
        "success": found["success"],
        "at_limit": np.zeros(len(points), dtype=bool),
        "stat": study.datasets.stat_sum() + rise,
    }
