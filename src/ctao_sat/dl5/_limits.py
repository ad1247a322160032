"""Errors and limits from the profile of the statistic."""

from collections.abc import Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.modeling import Fit, Parameter

from ctao_sat._gammapy import unique_models
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
from ctao_sat.likelihood._profile import Crossing

__all__ = ["asymmetric_errors", "upper_limit"]

# How often a lower minimum that turns up on the way may replace the one before.
_RESTARTS = 3


def asymmetric_errors(
    datasets: Datasets,
    parameters: Parameter | str | Sequence[Parameter | str] | None = None,
    *,
    n_sigma: float = 1,
    reoptimize: bool = True,
    guard: bool = True,
    kernels: KernelCache | None = None,
) -> dict[str, Any] | Table:
    """Return errors to both sides, where the profile has risen by ``n_sigma**2``, as MINOS does.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models that were fitted. They stay as they are.
    parameters : `~gammapy.modeling.Parameter` or str, or a sequence, optional
        Themselves, or their names as "crab.index"; all free ones by default.
    n_sigma : float
        Number of sigma.
    reoptimize : bool
        Whether all other parameters follow to their best values; without that, errors are too
        small wherever parameters are correlated.
    guard : bool
        Compare the compiled likelihood with Gammapy at the present parameters.
    kernels : `~ctao_sat.likelihood.KernelCache`, optional
        Kernels extracted before.

    Returns
    -------
    result : dict or `~astropy.table.Table`
        For one parameter, as of Gammapy's ``Fit.confidence``: "errn", "errp", float in its unit;
        "success"; "message"; "nfev". Beyond that: "value", the best one, from which errors are
        counted; "errn_at_limit", "errp_at_limit", whether that error reaches to a limit of the
        parameter, before which the statistic does not rise so far; "fallbacks", what was left to
        Gammapy. An error is infinite where the statistic never rises so far. For several
        parameters, a row each, and the fallbacks in ``meta``.

    Raises
    ------
    ConfigError
        If there is no such parameter, or none is free.
    """
    rise = rise_of(n_sigma, None, None)
    datasets = as_datasets(datasets)
    wanted = _wanted(datasets, parameters)
    options: dict[str, Any] = {"reoptimize": reoptimize, "guard": guard, "kernels": kernels}
    with profiled(datasets, wanted, **options) as study:
        names = [unique_name(datasets, own) for own in study.parameters]
        rows = [_errors(study, i, rise) for i in range(len(wanted))]
    if not isinstance(parameters, Sequence | None) or isinstance(parameters, str):
        return {**rows[0], "fallbacks": study.fallbacks}
    table = Table({"parameter": names})
    for key in rows[0]:
        table[key] = [row[key] for row in rows]
    table["unit"] = [str(own.unit) for own in study.parameters]
    table.meta["fallbacks"] = study.fallbacks
    return table


def _wanted(datasets: Datasets, parameters) -> list[Parameter | str]:
    if parameters is None:
        found = {id(p): p for m in unique_models(datasets) for p in m.parameters if not p.frozen}
        parameters = list(found.values())
    elif isinstance(parameters, Parameter | str):
        parameters = [parameters]
    if not parameters:
        raise ConfigError("No parameter is free.", remedy="Thaw one: `frozen: false`.")
    return list(parameters)


def _errors(study: Profiled, number: int, rise: float) -> dict[str, Any]:
    own = study.parameters[number]
    if study.likelihood is None:
        found = Fit().confidence(study.datasets, own, sigma=float(np.sqrt(rise)))
        keys = ("errn", "errp", "success", "message", "nfev")
        none = {"errn_at_limit": False, "errp_at_limit": False}
        return {"value": own.value, **{key: found[key] for key in keys}, **none}
    before = study.likelihood.n_calls
    low, high = _both_sides(study, number, rise)
    best = own.inverse_transform(study.likelihood.best.x[study.index[number]])
    errors = {}
    for name, sign, crossing in (("errn", -1, low), ("errp", 1, high)):
        errors[name] = abs(_value(study, number, sign, crossing) - best)
    return {
        "value": best,
        **errors,
        "success": bool(study.likelihood.best.success and low.success and high.success),
        "message": _message(low, high),
        "nfev": study.likelihood.n_calls - before,
        "errn_at_limit": low.at_limit,
        "errp_at_limit": high.at_limit,
    }


def _message(*crossings: Crossing) -> str:
    if any(crossing.lower is not None for crossing in crossings):
        return "Failed: minimum after minimum turned up on the way."
    if any(not np.isfinite(crossing.t) for crossing in crossings):
        return "The statistic never rises so far: the data do not limit the parameter."
    if not all(crossing.success for crossing in crossings):
        return "Failed: the crossing was not found."
    if any(crossing.at_limit for crossing in crossings):
        return "Terminated successfully, at a limit of the parameter."
    return "Terminated successfully."


def _both_sides(study: Profiled, number: int, rise: float) -> tuple[Crossing, Crossing]:
    """Return the crossings below and above, from a better minimum if one turns up."""
    for _ in range(_RESTARTS):
        both = _side(study, number, -1, rise), _side(study, number, 1, rise)
        lower = next((crossing.lower for crossing in both if crossing.lower is not None), None)
        if lower is None:
            break
        assert study.likelihood is not None
        study.likelihood.start_at(lower.x)
    return both


def _side(study: Profiled, number: int, sign: int, rise: float, origin=None) -> Crossing:
    assert study.likelihood is not None
    index = [study.index[number]]
    width = np.sqrt(study.likelihood.covariance(index)[0])
    return study.likelihood.crossing(index, sign * width, rise, origin)


def _value(study: Profiled, number: int, sign: int, crossing: Crossing, origin=None) -> float:
    """Return the value of a parameter at a crossing."""
    assert study.likelihood is not None
    i = study.index[number]
    width = np.sqrt(study.likelihood.covariance([i])[0, 0])
    start = (study.likelihood.best if origin is None else origin).x[i]
    if not np.isfinite(crossing.t):
        return sign * np.inf
    return float(study.parameters[number].inverse_transform(start + sign * crossing.t * width))


def upper_limit(
    datasets: Datasets,
    parameter: Parameter | str,
    *,
    n_sigma: float | None = None,
    confidence_level: float | None = None,
    border: u.Quantity | float | None = None,
    reoptimize: bool = True,
    guard: bool = True,
    kernels: KernelCache | None = None,
) -> dict[str, Any]:
    """Return the upper limit of a parameter, where the profile has risen by ``n_sigma**2``.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models that were fitted. They stay as they are.
    parameter : `~gammapy.modeling.Parameter` or str
        Itself, or its name as "crab.amplitude".
    n_sigma : float, optional
        2 if neither is given, as Gammapy's ``n_sigma_ul``: above 97.7 % of a Gaussian.
    confidence_level : float, optional
        Of one side: 0.95 stands for 1.645 sigma.
    border : `~astropy.units.Quantity` or float, optional
        The lowest value that makes sense, as 0 for an amplitude. If the best value is below, the
        rise is counted from the border. By default it is counted from the best value, wherever
        that is, as Gammapy does: with fewer counts than background such a limit may be below 0.
        A parameter with a limit, ``parameter.min``, never is below, and has it for a border.
    reoptimize : bool
        Whether all other parameters follow to their best values.
    guard : bool
        Compare the compiled likelihood with Gammapy at the present parameters.
    kernels : `~ctao_sat.likelihood.KernelCache`, optional
        Kernels extracted before.

    Returns
    -------
    result : dict
        "ul", float in the unit of the parameter, infinite if the statistic never rises so far;
        "value", where the rise is counted from; "success"; "message"; "nfev"; "at_limit", whether
        the limit is ``parameter.max``; "fallbacks", what was left to Gammapy.

    Raises
    ------
    ConfigError
        If there is no such parameter, or n_sigma and confidence_level are both given.
    """
    n_sigma = 2.0 if n_sigma is None and confidence_level is None else n_sigma
    rise = rise_of(n_sigma, confidence_level, None)
    datasets = as_datasets(datasets)
    options: dict[str, Any] = {"reoptimize": reoptimize, "guard": guard, "kernels": kernels}
    with profiled(datasets, [parameter], **options) as study:
        own = study.parameters[0]
        if study.likelihood is None:
            result = _limit_by_gammapy(study, rise, border)
        else:
            result = _limit(study, rise, None if border is None else value_in_unit(own, border))
    return {**result, "fallbacks": study.fallbacks}


def _limit(study: Profiled, rise: float, border: float | None) -> dict[str, Any]:
    likelihood, own = study.likelihood, study.parameters[0]
    assert likelihood is not None
    before = likelihood.n_calls
    for _ in range(_RESTARTS):
        origin = likelihood.best
        if border is not None and own.inverse_transform(origin.x[study.index[0]]) < border:
            origin = likelihood.at(study.index, np.array([own.transform(border)]))
        crossing = _side(study, 0, 1, rise, origin)
        if crossing.lower is None:
            break
        likelihood.start_at(crossing.lower.x)
    return {
        "ul": _value(study, 0, 1, crossing, origin),
        "value": own.inverse_transform(origin.x[study.index[0]]),
        "success": bool(origin.success and crossing.success),
        "message": _message(crossing),
        "nfev": likelihood.n_calls - before,
        "at_limit": crossing.at_limit,
    }


def _limit_by_gammapy(study: Profiled, rise: float, border) -> dict[str, Any]:
    own = study.parameters[0]
    before = own.min
    if border is not None:
        own.min = value_in_unit(own, border)
        own.value = max(own.value, own.min)
    try:
        found = Fit().confidence(study.datasets, own, sigma=float(np.sqrt(rise)))
    finally:
        own.min = before
    return {
        "ul": own.value + found["errp"],
        "value": own.value,
        "success": found["success"],
        "message": found["message"],
        "nfev": found["nfev"],
        "at_limit": False,
    }
