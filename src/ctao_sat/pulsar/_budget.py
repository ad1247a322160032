"""How wrong phases may be: the error budget, part by part."""

import math
from dataclasses import dataclass, fields

import numpy as np
from astropy.time import Time
from astropy.utils import iers

from ctao_sat.dl3._sites import bundled_earth_rotation
from ctao_sat.errors import PhaseError
from ctao_sat.pulsar._parfile import number
from ctao_sat.pulsar._solar_system import SolarSystem
from ctao_sat.pulsar._solution import TimingSolution

__all__ = ["PhaseBudget", "check_budget", "phase_budget"]

# TT(BIPM) - TT(TAI), which since 2012 is constant to 0.1 microseconds.
_BIPM = 27.7e-6
_CLOCKS_ALIKE = 1e-7
# UTC is kept within 0.9 s of UT1, while the equator turns by 465 m/s.
_UNKNOWN_ROTATION = 0.9 * 465.1 / 299792458.0
_AU_SECONDS = 499.0047838
_ARCSEC = math.radians(1 / 3600)
_YEAR = 365.25 * 86400


@dataclass(frozen=True)
class PhaseBudget:
    """Errors of phases in turns.

    All are largest values but `parameters`, which is one standard deviation.

    Attributes
    ----------
    ephemeris : float
        The solar-system ephemeris is not the one of the timing solution.
    clock : float
        Times are TT(TAI), and those of the solution TT(BIPM).
    interpolation : float
        Polynomials between nodes.
    time_precision : float
        Rounding of the times in the file.
    rotation : float
        The rotation of the Earth, beyond the tables at hand.
    parameters : float
        Uncertainties and residuals that the timing solution states, as if independent.
    """

    ephemeris: float
    clock: float
    interpolation: float
    time_precision: float
    rotation: float
    parameters: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return float(sum(getattr(self, part.name) for part in fields(self)))

    def __str__(self) -> str:
        parts = ", ".join(
            f"{part.name.replace('_', ' ')} {getattr(self, part.name):.2g}" for part in fields(self)
        )
        return f"{self.total:.2g} turns ({parts})"


def phase_budget(
    solution: TimingSolution,
    start: Time,
    stop: Time,
    solar: SolarSystem | None,
    interpolation: float,
    resolution: float,
) -> PhaseBudget:
    """Return the error budget of the phases of a run.

    Parameters
    ----------
    solution : TimingSolution
        The timing solution.
    start, stop : `~astropy.time.Time`
        Of the run.
    solar : SolarSystem or None
        Solar-system ephemeris; None if times are not barycentred.
    interpolation : float
        Largest residual of the polynomials, in turns.
    resolution : float
        Largest rounding error of the times, in s.

    Returns
    -------
    budget : PhaseBudget
        In turns.
    """
    frequency = abs(solution.spin[0][0])
    clock = _CLOCKS_ALIKE if solution.clock.startswith(("TT(TAI)", "UTC", "TAI")) else _BIPM
    return PhaseBudget(
        ephemeris=frequency * solar.error if solar else 0.0,
        clock=frequency * clock if solar else 0.0,
        interpolation=interpolation,
        time_precision=frequency * resolution,
        rotation=frequency * _unknown_rotation(stop) if solar else 0.0,
        parameters=max(_stated(solution, time) for time in (start, stop)),
    )


def check_budget(budget: PhaseBudget, most: float, where: str) -> None:
    """Raise an error if phases may be more wrong than permitted.

    Parameters
    ----------
    budget : PhaseBudget
        The budget.
    most : float
        Largest permitted error in turns.
    where : str
        What it is of.

    Raises
    ------
    PhaseError
        If it is larger.
    """
    if budget.total <= most:
        return
    worst = max(fields(budget), key=lambda part: getattr(budget, part.name)).name
    remedies = {
        "ephemeris": "Give the kernel file of the par file's EPHEM as solar_ephem (--ephem)",
        "time_precision": "Take files whose TIME has 64 bits",
        "parameters": "Take an ephemeris that is valid then, or known better",
    }
    remedy = remedies.get(worst, "Take better times")
    raise PhaseError(
        f"Phases may be wrong by {budget}, more than the {most:g} that are permitted.",
        remedy=f"{remedy}; or permit more: max_phase_error (--max-phase-error).",
        where=where,
    )


def _unknown_rotation(time: Time) -> float:
    """Return the light travel time, in s, that an unknown rotation of the Earth makes."""
    with bundled_earth_rotation():
        last = float(iers.earth_orientation_table.get()["MJD"][-1].value)
    return _UNKNOWN_ROTATION if float(time.mjd) > last else 0.0


def _stated(solution: TimingSolution, time: Time) -> float:
    """Return the standard deviation that the stated uncertainties add up to at a time."""
    mjd = float(time.tt.mjd)
    since = (mjd - sum(solution.pepoch)) * 86400
    frequency = abs(solution.spin[0][0])
    position_years = (mjd - sum(solution.posepoch)) * 86400 / _YEAR
    error = solution.uncertainties.get
    cos_dec = math.cos(solution.dec) if not math.isnan(solution.dec) else 0.0
    delays = [
        solution.residual,
        error("RAJ", 0.0) * 15 * _ARCSEC * cos_dec * _AU_SECONDS,
        error("DECJ", 0.0) * _ARCSEC * _AU_SECONDS,
        error("PMRA", 0.0) * _ARCSEC / 1000 * position_years * _AU_SECONDS,
        error("PMDEC", 0.0) * _ARCSEC / 1000 * position_years * _AU_SECONDS,
        # Half the curvature of the wave front over one AU.
        error("PX", 0.0) * _ARCSEC / 1000 * _AU_SECONDS / 2,
    ]
    delays += _stated_elsewhere(solution, mjd)
    turns = [frequency * delay for delay in delays]
    for order in range(len(solution.spin)):
        factor = since ** (order + 1) / math.factorial(order + 1)
        turns.append(error(f"F{order}", 0.0) * factor)
    for glitch in solution.glitches:
        after = (mjd - sum(glitch.epoch)) * 86400
        if after > 0:
            turns += [
                error(f"GLPH_{glitch.label}", 0.0),
                error(f"GLF0_{glitch.label}", 0.0) * after,
            ]
            turns += [error(f"GLF1_{glitch.label}", 0.0) * after**2 / 2]
    return float(np.sqrt(np.sum(np.square(turns))))


def _stated_elsewhere(solution: TimingSolution, mjd: float) -> list[float]:
    """Return standard deviations of delays in s, of ecliptic positions and of orbits."""
    error = solution.uncertainties.get
    values = {
        line.key: float(number(line))
        for line in solution.unsupported
        if line.key in ("A1", "PB", "FB0", "T0", "TASC")
    }
    degree, years = math.radians(1) * _AU_SECONDS, (mjd - sum(solution.posepoch)) / 365.25
    delays = [error(key, 0.0) * degree for key in ("ELONG", "ELAT", "LAMBDA", "BETA")]
    for key in ("PMELONG", "PMELAT", "PMLAMBDA", "PMBETA"):
        delays.append(error(key, 0.0) * _ARCSEC / 1000 * years * _AU_SECONDS)
    # The delay A1 sin(2 pi t / PB), with an error of the phase of the orbit; for eccentric ones, it
    # is of that size.
    delays.append(error("A1", 0.0))
    frequency = values.get("FB0", 0.0)
    if values.get("PB"):
        frequency = 1 / (values["PB"] * 86400)
    zero = values.get("T0", values.get("TASC", mjd))
    passed = (mjd - zero) * 86400
    phases = [error(key, 0.0) * 86400 * frequency for key in ("T0", "TASC")]
    phases.append(error("PB", 0.0) * 86400 * frequency**2 * passed)
    phases.append(error("FB0", 0.0) * passed)
    return delays + [2 * math.pi * values.get("A1", 0.0) * phase for phase in phases]
