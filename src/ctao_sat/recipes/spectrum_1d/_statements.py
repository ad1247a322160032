"""Say in plain sentences, and in numbers, what the recipe ``spectrum-1d`` found."""

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from gammapy.estimators import FluxPoints
from gammapy.modeling import FitResult, Parameter
from gammapy.modeling.models import SkyModel
from gammapy.stats import WStatCountsStatistic
from scipy.stats import chi2 as chi2_distribution

from ctao_sat.recipes.spectrum_1d._config import Spectrum1DConfig
from ctao_sat.recipes.spectrum_1d._steps import constant_chi2

__all__ = ["Findings", "summarise", "with_error"]

_FLUX_UNIT = u.Unit("cm-2 s-1")


@dataclass(frozen=True)
class Findings:
    """What the steps found, before it is put into words."""

    config: Spectrum1DConfig
    statistic: WStatCountsStatistic
    detected: bool
    limits: u.Quantity
    livetime: u.Quantity
    n_runs: int
    result: FitResult | None
    model: SkyModel
    n_bins: int
    total: FluxPoints | None
    limit: u.Quantity | None
    points: FluxPoints | None
    curve: FluxPoints | None
    left_out: list[str]
    failed: list[str]


def summarise(found: Findings) -> tuple[str, list[str], dict[str, Any]]:
    """Return status, statements, and the numbers behind them."""
    summary: dict[str, Any] = {"target": found.config.target.name, **_counts(found)}
    statements = [_detection_sentence(found)]
    if found.detected and found.result is not None:
        summary["fit"] = _fit_numbers(found.result, found.model)
        statements.append(_fit_sentence(found.result, found))
        statements += _doubts(found.result, found)
    if found.total is not None and found.limit is not None:
        summary["flux"] = _flux_numbers(found, found.total, found.limit)
        statements.append(_flux_sentence(found, summary["flux"]))
    if found.points is not None:
        summary["flux_points"] = _point_numbers(found.points)
        statements.append(_points_sentence(summary["flux_points"]))
    if found.curve is not None and found.config.light_curve is not None:
        summary["light_curve"] = _curve_numbers(found.curve)
        by = found.config.light_curve.by
        statements.append(_curve_sentence(by, summary["light_curve"]))
    if found.left_out:
        summary["left_out"] = found.left_out
        statements.append(
            f"Left out, because they have no off region: {', '.join(found.left_out)}."
        )
    statements += found.failed
    status = _status(found)
    return status, statements, {"status": status, **summary}


def with_error(value: float, error: float, unit: str = "") -> str:
    """Return a value with its error, the error to two digits.

    Parameters
    ----------
    value, error : float
        Number and its standard deviation.
    unit : str
        Unit, appended.

    Returns
    -------
    text : str
        Such as "(4.37 ± 0.23)e-11 cm-2 s-1".
    """
    if not np.isfinite(error) or error <= 0:
        return f"{value:.4g} {unit}".strip()
    power = int(np.floor(np.log10(max(abs(value), error))))
    if -3 <= power <= 3:
        power = 0
    digits = max(0, 1 - int(np.floor(np.log10(error / 10.0**power))))
    text = f"{value / 10.0**power:.{digits}f} ± {error / 10.0**power:.{digits}f}"
    return f"({text})e{power:+03d} {unit}".strip() if power else f"{text} {unit}".strip()


def _status(found: Findings) -> str:
    if found.result is not None and not found.result.success:
        return "not converged"
    if found.left_out or found.failed:
        return "partial"
    return "detection" if found.detected else "no detection"


def _counts(found: Findings) -> dict[str, Any]:
    statistic = found.statistic
    return {
        "n_observations": found.n_runs,
        "livetime_h": found.livetime.to_value("h"),
        "n_on": float(statistic.n_on),
        "n_off": float(statistic.n_off),
        "alpha": float(statistic.alpha),
        "excess": float(statistic.n_sig),
        "significance": float(statistic.sqrt_ts),
        "energy_min_tev": found.limits[0].to_value("TeV"),
        "energy_max_tev": found.limits[1].to_value("TeV"),
    }


def _detection_sentence(found: Findings) -> str:
    statistic = found.statistic
    name = found.config.target.name
    verdict = "detected" if found.detected else "not detected"
    runs = "1 observation" if found.n_runs == 1 else f"{found.n_runs} observations"
    return (
        f"{name} is {verdict}: {float(statistic.sqrt_ts):.1f} sigma (Li & Ma) in "
        f"{found.livetime.to_value('h'):.2f} h of livetime ({runs}), with "
        f"{float(statistic.n_on):.0f} on and {float(statistic.n_off):.0f} off events, "
        f"alpha = {float(statistic.alpha):.3g}, excess {float(statistic.n_sig):.1f}. "
        f"The threshold for a detection is {found.config.detection_threshold:g} sigma."
    )


def _range(limits: u.Quantity) -> str:
    return f"{limits[0].to_value('TeV'):.3g} to {limits[1].to_value('TeV'):.3g} TeV"


def _fit_numbers(result: FitResult, model: SkyModel) -> dict[str, Any]:
    return {
        "success": bool(result.success),
        "message": _message(result),
        "total_stat": float(result.total_stat),
        "n_evaluations": int(result.nfev),
        "errors": result.covariance_result.method,
        "likelihood": {
            "compiled": result.report.compiled,
            "fallbacks": [str(fallback) for fallback in result.report.fallbacks],
            "guard": result.report.guard,
        },
        "model": type(model.spectral_model).__name__,
        "parameters": {
            parameter.name: {
                "value": float(parameter.value),
                "error": None if parameter.frozen else float(parameter.error),
                "unit": parameter.unit.to_string(),
                "frozen": bool(parameter.frozen),
            }
            for parameter in model.spectral_model.parameters
        },
    }


def _message(result: FitResult) -> str:
    """Return what the step that failed says, else what the minimiser says."""
    lost = result.optimize_result.success and not result.covariance_result.success
    message = result.covariance_result.message if lost else result.message
    return " ".join(str(message).split())


def _fit_sentence(result: FitResult, found: Findings) -> str:
    kind = type(found.model.spectral_model).__name__
    if not result.success:
        return (
            f"The fit of a {kind} did NOT converge "
            f"({_message(result)}): do not use its numbers. "
            "No flux is derived from it. "
            "Try other start values, a simpler model, or another energy range."
        )
    free = [_parameter_text(p) for p in found.model.spectral_model.parameters if not p.frozen]
    fixed = [_parameter_text(p) for p in found.model.spectral_model.parameters if p.frozen]
    text = f"A {kind} fitted from {_range(found.limits)} has {', '.join(free)}"
    return f"{text} (fixed: {', '.join(fixed)})." if fixed else f"{text}."


def _doubts(result: FitResult, found: Findings) -> list[str]:
    """Return what speaks against trusting a fit, or why it did not converge."""
    doubts = []
    free = [p for p in found.model.spectral_model.parameters if not p.frozen]
    if found.n_bins <= len(free):
        doubts.append(
            f"Do not trust the fit: {len(free)} free parameters meet {found.n_bins} bins of data. "
            "Freeze some, or take finer bins or a wider energy range."
        )
    if not result.success:
        return doubts
    if result.report.refused:
        doubts.append(
            "The compiled likelihood differed from Gammapy's, which fitted instead: "
            f"{result.report.guard[-1]}. Please report it."
        )
    vague = [p.name for p in free if p.error > abs(p.value)]
    if vague:
        doubts.append(
            f"The data hardly constrain {', '.join(vague)}: the error exceeds the value. "
            "A simpler model may do."
        )
    return doubts


def _parameter_text(parameter: Parameter) -> str:
    error = 0.0 if parameter.frozen else float(parameter.error)
    value = with_error(float(parameter.value), error, parameter.unit.to_string("fits"))
    return f"{parameter.name} = {value}"


def _flux_numbers(found: Findings, total: FluxPoints, limit: u.Quantity) -> dict[str, Any]:
    return {
        "value": float(total.flux.quantity.squeeze().to_value(_FLUX_UNIT)),
        "error": float(total.flux_err.quantity.squeeze().to_value(_FLUX_UNIT)),
        "upper_limit": float(limit.to_value(_FLUX_UNIT)),
        "upper_limit_method": "likelihood profile, for a flux that is not negative",
        "n_sigma_ul": found.config.flux_points.n_sigma_ul,
        "unit": "cm-2 s-1",
        "energy_min_tev": float(total.energy_min.to_value("TeV")[0]),
        "energy_max_tev": float(total.energy_max.to_value("TeV")[0]),
    }


def _flux_sentence(found: Findings, flux: dict[str, Any]) -> str:
    energies = f"from {flux['energy_min_tev']:.3g} to {flux['energy_max_tev']:.3g} TeV"
    if found.detected:
        return f"The flux {energies} is {with_error(flux['value'], flux['error'], flux['unit'])}."
    limit = f"The upper limit ({flux['n_sigma_ul']:g} sigma) of the flux {energies}"
    if not np.isfinite(flux["upper_limit"]):
        return f"{limit} could not be computed: too few events, on and off."
    return f"{limit} is {flux['upper_limit']:.3g} {flux['unit']}, for the configured shape."


def _point_numbers(points: FluxPoints) -> dict[str, int]:
    success = points.success.data.ravel()
    limits = np.asarray(points.is_ul.data).ravel()
    return {
        "n": int(success.size),
        "n_upper_limits": int(np.count_nonzero(limits & success)),
        "n_failed": int(np.count_nonzero(~success)),
    }


def _points_sentence(numbers: dict[str, int]) -> str:
    noun = "flux point" if numbers["n"] == 1 else "flux points"
    text = f"{numbers['n']} {noun}, {numbers['n_upper_limits']} of them upper limits"
    failed = numbers["n_failed"]
    return f"{text}; {failed} could not be estimated." if failed else f"{text}."


def _curve_numbers(curve: FluxPoints) -> dict[str, Any]:
    chi2, ndf = constant_chi2(curve)
    return {
        "n": int(curve.geom.axes["time"].nbin),
        "constant_chi2": chi2,
        "constant_ndf": ndf,
        "constant_p_value": float(chi2_distribution.sf(chi2, ndf)) if ndf else None,
    }


def _curve_sentence(by: str, numbers: dict[str, Any]) -> str:
    points = "1 point" if numbers["n"] == 1 else f"{numbers['n']} points"
    text = f"The light curve (by {by}) has {points}"
    if not numbers["constant_ndf"]:
        return f"{text}."
    return (
        f"{text}; a constant flux has chi2/ndf = {numbers['constant_chi2']:.1f}/"
        f"{numbers['constant_ndf']} ({_probability(numbers['constant_p_value'])})."
    )


def _probability(p: float) -> str:
    return f"p = {p:.2g}" if p > 1e-10 else "p < 1e-10"
