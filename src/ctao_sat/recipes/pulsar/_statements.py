"""Say in plain sentences, and in numbers, what the recipe ``pulsar`` found."""

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.modeling.models import Models
from gammapy.stats import WStatCountsStatistic

from ctao_sat.pulsar import FrequencyScan, PhaseRegions, ProfileFit
from ctao_sat.recipes.pulsar._config import PulsarConfig
from ctao_sat.recipes.pulsar._result import PhaseSpectrum
from ctao_sat.report.numbers import with_error

__all__ = ["Findings", "summarise"]


@dataclass(frozen=True)
class Findings:
    """What the steps found, before it is put into words."""

    config: PulsarConfig
    n_events: int
    livetime: u.Quantity
    n_runs: int
    phases: Table
    tests: Table
    regions: PhaseRegions | None
    counts: Table | None
    profile_fit: ProfileFit | None
    scan: FrequencyScan | None
    spectrum: PhaseSpectrum | None
    statistic: WStatCountsStatistic | None


def summarise(found: Findings) -> tuple[str, list[str], dict[str, Any]]:
    """Return status, statements, and the numbers behind them."""
    config = found.config
    summary: dict[str, Any] = {
        "target": config.target.name,
        "n_events": found.n_events,
        "n_observations": found.n_runs,
        "livetime_h": found.livetime.to_value("h"),
        "phase_error": float(np.max(found.phases["phase_error"])),
        "h": _test_numbers(found.tests[0]),
        "z2": {
            str(number): _test_numbers(row)
            for number, row in zip(config.tests.z2_harmonics, found.tests[1:], strict=True)
        },
    }
    statements = [_h_sentence(found)]
    if found.counts is not None and found.regions is not None:
        summary["regions"] = _region_numbers(found.counts, found.regions)
        statements.append(_region_sentence(found.counts, found.regions))
    detected = _significance(found) >= config.detection_threshold
    statements.insert(0, _verdict(found, detected))
    if found.profile_fit is not None:
        summary["profile"] = _profile_numbers(found.profile_fit)
        statements.append(_profile_sentence(found.profile_fit))
    if found.scan is not None:
        summary["scan"] = _scan_numbers(found.scan)
        statements.append(_scan_sentence(found.scan))
    if found.statistic is not None and config.spectrum is not None:
        average = config.spectrum.average
        summary["spectrum"] = _spectrum_numbers(found.statistic, found.spectrum, average)
        statements.append(_spectrum_sentence(found, found.statistic, average))
    statements.append(_phase_sentence(found.phases))
    status = _status(found, detected)
    return status, statements, {"status": status, **summary}


def _significance(found: Findings) -> float:
    if found.config.detect_by == "regions" and found.counts is not None:
        return float(found.counts["significance"][0])
    return float(found.tests["significance"][0])


def _sigma_text(sigma: float) -> str:
    """Return a significance in words; a p-value below 1e-308 is zero."""
    return "more than 37 sigma" if np.isinf(sigma) and sigma > 0 else f"{sigma:.1f} sigma"


def _status(found: Findings, detected: bool) -> str:
    fits = [found.profile_fit]
    if found.spectrum is not None:
        fits.append(found.spectrum.fit_result)
    if any(fit is not None and not fit.success for fit in fits):
        return "not converged"
    return "detection" if detected else "no detection"


def _test_numbers(row: Any) -> dict[str, float]:
    return {
        "statistic": float(row["statistic"]),
        "p_value": float(row["p_value"]),
        "sigma": float(row["significance"]),
    }


def _verdict(found: Findings, detected: bool) -> str:
    config = found.config
    runs = "1 observation" if found.n_runs == 1 else f"{found.n_runs} observations"
    by = "the H test" if config.detect_by == "h" else "the regions of phase"
    return (
        f"Pulsations of {config.target.name} are {'' if detected else 'not '}detected: "
        f"{_sigma_text(_significance(found))} by {by}, in {found.livetime.to_value('h'):.2f} h of "
        f"livetime ({runs}). The threshold for a detection is {config.detection_threshold:g} sigma."
    )


def _h_sentence(found: Findings) -> str:
    row = found.tests[0]
    events = found.config.events
    energies = [
        f"from {events.energy_min:.3g}" if events.energy_min is not None else "",
        f"up to {events.energy_max:.3g}" if events.energy_max is not None else "",
    ]
    within = " ".join(["", *(text for text in energies if text)])
    return (
        f"The {found.n_events} events within {events.radius:.3g}{within} have "
        f"H = {row['statistic']:.2f} ({_probability(row['p_value'])})."
    )


def _region_numbers(counts: Table, regions: PhaseRegions) -> dict[str, Any]:
    row = counts[0]
    return {
        "on": [list(pair) for pair in regions.on],
        "off": [list(pair) for pair in regions.off],
        "n_on": int(row["n_on"]),
        "n_off": int(row["n_off"]),
        "alpha": float(row["alpha"]),
        "excess": float(row["excess"]),
        "excess_error": float(row["excess_err"]),
        "sigma": float(row["significance"]),
    }


def _region_sentence(counts: Table, regions: PhaseRegions) -> str:
    row = counts[0]
    excess = with_error(row["excess"], row["excess_err"])
    return (
        f"On phases {_intervals(regions.on)} hold {row['n_on']} events, off phases "
        f"{_intervals(regions.off)} {row['n_off']}, alpha = {row['alpha']:.3g}: an excess of "
        f"{excess} ({row['significance']:.1f} sigma, Li & Ma)."
    )


def _intervals(intervals: Any) -> str:
    return " and ".join(f"{low:g}–{high:g}" for low, high in intervals)


def _profile_numbers(fit: ProfileFit) -> dict[str, Any]:
    return {
        "success": fit.success,
        "message": fit.message,
        "ts": fit.ts,
        "parameters": {
            name: {"value": float(value), "error": float(error)}
            for name, value, error in zip(fit.names, fit.values, fit.errors, strict=True)
        },
    }


def _profile_sentence(fit: ProfileFit) -> str:
    if not fit.success:
        return f"The fit of the profile did NOT converge: do not use its numbers. {fit.message}"
    values = ", ".join(
        f"{name} = {with_error(value, error)}"
        for name, value, error in zip(fit.names, fit.values, fit.errors, strict=True)
    )
    note = f" {fit.message}" if fit.message else ""
    return f"The fitted profile has {values}; TS = {fit.ts:.1f} over a constant.{note}"


def _scan_numbers(scan: FrequencyScan) -> dict[str, Any]:
    f0, f1 = scan.best
    return {
        "f0_hz": float(f0.to_value("Hz")),
        "f1_hz_s": float(f1.to_value("Hz / s")),
        "epoch_mjd_tdb": float(scan.epoch.tdb.mjd),
        "statistic": scan.statistic,
        "largest": scan.largest,
        "n_trials": scan.n_trials,
        "p_value": scan.p_value,
        "sigma": scan.significance,
    }


def _scan_sentence(scan: FrequencyScan) -> str:
    f0, f1 = scan.best
    name = "H" if scan.statistic == "h" else f"Z²_{scan.n_harmonics}"
    return (
        f"The best of {scan.n_trials} trials is f0 = {f0.to_value('Hz'):.10g} Hz, "
        f"f1 = {f1.to_value('Hz / s'):.4g} Hz/s at MJD {scan.epoch.tdb.mjd:.6f} (TDB), with "
        f"{name} = {scan.largest:.1f}; {_probability(scan.p_value)} after trials."
    )


def _spectrum_numbers(
    statistic: WStatCountsStatistic, spectrum: PhaseSpectrum | None, average: str
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "sigma": float(statistic.sqrt_ts),
        "excess": float(statistic.n_sig),
        "average": average,
    }
    if spectrum is not None and spectrum.fit_result is not None:
        numbers["fit"] = {
            "success": bool(spectrum.fit_result.success),
            "parameters": {
                parameter.name: {
                    "value": float(parameter.value),
                    "error": None if parameter.frozen else float(parameter.error),
                    "unit": parameter.unit.to_string(),
                    "frozen": bool(parameter.frozen),
                }
                for parameter in spectrum.models[0].spectral_model.parameters
            },
        }
    return numbers


def _spectrum_sentence(found: Findings, statistic: WStatCountsStatistic, average: str) -> str:
    sigma = float(statistic.sqrt_ts)
    spectrum = found.spectrum
    if spectrum is None or spectrum.fit_result is None:
        return (
            f"No spectrum is fitted: in its energy range the on phases have {sigma:.1f} sigma, and "
            f"the threshold is {found.config.detection_threshold:g}."
        )
    kind = type(spectrum.models[0].spectral_model).__name__
    if not spectrum.fit_result.success:
        return f"The fit of a {kind} to the on phases did NOT converge: do not use its numbers."
    mean = {"period": "mean of all phases", "phases": "mean of the on phases"}
    return (
        f"A {kind} fitted to the on phases ({sigma:.1f} sigma) has "
        f"{_parameters(spectrum.models)}; the flux is the {mean[average]}."
    )


def _parameters(models: Models) -> str:
    return ", ".join(
        f"{p.name} = {with_error(p.value, p.error)} {p.unit.to_string('fits')}".strip()
        for p in models[0].spectral_model.parameters
        if not p.frozen
    )


def _phase_sentence(phases: Table) -> str:
    worst = phases[int(np.argmax(phases["phase_error"]))]
    parts = ["solar_system", "clock", "interpolation", "time_precision", "earth_rotation"]
    named = ", ".join(f"{name.replace('_', ' ')} {worst[name]:.2g}" for name in parts)
    return (
        f"Phases may be wrong by {worst['phase_error']:.2g} turns at most ({named}, parameters "
        f"{worst['parameters']:.2g})."
    )


def _probability(p: float) -> str:
    return f"p = {p:.2g}" if p > 1e-99 else "p < 1e-99"
