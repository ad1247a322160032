"""Make the timing polynomials of a run: choose solution, solar system and backend, check them."""

import os
import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from numpy.typing import NDArray

from ctao_sat.errors import ConfigError, CtaoSatWarning, EphemerisError, PhaseError
from ctao_sat.pulsar._backend import choose_backend, spin_backend
from ctao_sat.pulsar._budget import PhaseBudget, check_budget, phase_budget
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._intervals import covering
from ctao_sat.pulsar._nodes import TimingPolynomials, fit_polynomials
from ctao_sat.pulsar._reference import reference_place
from ctao_sat.pulsar._solar_system import SolarSystem, check_kernel, solar_system
from ctao_sat.pulsar._solution import TimingSolution

__all__ = ["Options", "RunTiming", "run_timing", "timing_polynomials"]

# The ranges of par files are rounded to days, or are those of single arrivals.
_DAY_ROUNDING = 1.0


@dataclass(frozen=True)
class Options:
    """How phases are computed; see `assign_phases`."""

    solar_ephem: str | os.PathLike = "par"
    barycentre: bool = True
    offline: bool = True
    max_phase_error: float = 0.005
    backend: str = "auto"
    extrapolate: bool = False


@dataclass(frozen=True)
class RunTiming:
    """Polynomials of a run, and what they were made of."""

    polynomials: TimingPolynomials
    solution: TimingSolution
    solar: SolarSystem | None
    backend: str
    budget: PhaseBudget


def timing_polynomials(
    start: Time,
    stop: Time,
    ephemeris: PulsarEphemeris,
    location: EarthLocation | None,
    *,
    solar_ephem: str | os.PathLike = "par",
    barycentre: bool = True,
    offline: bool = True,
    max_phase_error: float = 0.005,
    backend: str = "auto",
    extrapolate: bool = False,
) -> TimingPolynomials:
    """Return the polynomials that give phases and times of emission during a run.

    Parameters
    ----------
    start, stop : `~astropy.time.Time`, scalar or shape (n,)
        Intervals, such as good time intervals; in the order of time, without overlap.
    ephemeris : PulsarEphemeris
        The pulsar.
    location : `~astropy.coordinates.EarthLocation` or None
        Where the telescopes stand; not needed without ``barycentre``.
    solar_ephem, barycentre, offline, max_phase_error, backend, extrapolate : optional
        As in `assign_phases`.

    Returns
    -------
    polynomials : TimingPolynomials
        They do not change if they are pickled, and need nothing else to be evaluated.

    Raises
    ------
    ConfigError
        If an argument cannot be used, or PINT is needed and not installed.
    EphemerisError
        If the ephemeris asks for what is not supported, or is incomplete.
    PhaseError
        If phases are not known to ``max_phase_error``, the ephemeris is not valid at these times,
        or the polynomials are not good to 1e-7 turns.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import EarthLocation
    >>> from astropy.time import Time
    >>> from ctao_sat.pulsar import PulsarEphemeris, timing_polynomials
    >>> ephemeris = PulsarEphemeris.from_text(
    ...     "PSR J0534+2200\\nRAJ 05:34:31.97\\nDECJ 22:00:52.1\\nF0 29.946923\\nPEPOCH 55555\\n"
    ...     "EPHEM builtin\\nCLK TT(TAI)\\n"
    ... )
    >>> north = EarthLocation.from_geodetic(-17.892, 28.7622, 2158)
    >>> start = Time("2020-01-01T02:00", scale="tt")
    >>> run = timing_polynomials(start, start + 20 * u.min, ephemeris, north)
    >>> run.phases(run.seconds(start + [1, 2] * u.min)).round(4)
    array([0.0598, 0.8247])
    """
    options = Options(solar_ephem, barycentre, offline, max_phase_error, backend, extrapolate)
    begin, end = np.atleast_1d(start.tt), np.atleast_1d(stop.tt)
    spans = np.column_stack([(edge - begin[0]).to_value("s") for edge in (begin, end)])
    if not np.all(spans[:, 0] <= spans[:, 1]):
        raise ConfigError("An interval ends before it starts.", remedy="Give start, then stop.")
    return run_timing(begin[0], spans, np.empty(0), ephemeris, location, options).polynomials


def run_timing(
    zero: Time,
    spans: NDArray,
    seconds: NDArray,
    ephemeris: PulsarEphemeris,
    location: EarthLocation | None,
    options: Options,
    resolution: float = 0.0,
    where: str = "",
) -> RunTiming:
    """Return the polynomials of a run with what they were made of.

    Parameters
    ----------
    zero : `~astropy.time.Time`
        What seconds count from, TT.
    spans : array, shape (n, 2)
        Good time intervals in s.
    seconds : array, shape (m,)
        Times of events in s.
    ephemeris : PulsarEphemeris
        The pulsar.
    location : `~astropy.coordinates.EarthLocation` or None
        Where the telescopes stand.
    options : Options
        How to compute.
    resolution : float
        Rounding of the times of events, in s.
    where : str
        Name of the run, for messages.

    Returns
    -------
    timing : RunTiming
        Checked.
    """
    if not options.max_phase_error > 0:
        raise ConfigError(
            f"`max_phase_error` is {options.max_phase_error}.", remedy="Give turns, such as 0.005."
        )
    intervals = covering(spans, seconds)
    first, last = (zero + edge * u.s for edge in intervals[[0, -1], [0, 1]])
    solution = ephemeris.at(first, last)
    _check_valid(solution, first, last, options.extrapolate, where)
    name = choose_backend(options.backend, solution)
    solar = None
    if options.barycentre:
        location = _needed(solution, location)
        solar = _solar_system(options, solution, first, last)
    middle = 0.5 * (intervals[0, 0] + intervals[-1, 1])
    backend = spin_backend(
        name,
        zero + middle * u.s,
        solution,
        location if solar else None,
        solar.kernel if solar else "builtin",
    )
    polynomials = fit_polynomials(intervals - middle, backend)
    budget = phase_budget(solution, first, last, solar, polynomials.residual, resolution)
    check_budget(budget, options.max_phase_error, where)
    return RunTiming(polynomials, solution, solar, name, budget)


def _solar_system(
    options: Options, solution: TimingSolution, first: Time, last: Time
) -> SolarSystem:
    on_earth = solution.reference is not None and reference_place(solution) is not None
    solar = solar_system(options.solar_ephem, solution.ephem, options.offline, relative=on_earth)
    days = [first.mjd, last.mjd]
    if solution.reference is not None:
        days.append(sum(solution.reference.mjd))
    check_kernel(solar, Time(days, format="mjd", scale="tdb"))
    if str(options.solar_ephem).lower() == "par":
        _warn_of_other(solar, solution)
    return solar


def _needed(solution: TimingSolution, location: EarthLocation | None) -> EarthLocation:
    if location is None:
        raise ConfigError(
            "Without a place on Earth, times cannot be referred to the barycentre.",
            remedy="Give a location, or take the times as they are: barycentre=False.",
        )
    if np.isnan(solution.ra) and not solution.unsupported:
        raise EphemerisError(
            f"The par file of {solution.name} has no RAJ and DECJ.",
            remedy="Complete it, or take times that are barycentred: barycentre=False.",
        )
    return location


def _check_valid(
    solution: TimingSolution, first: Time, last: Time, extrapolate: bool, where: str
) -> None:
    begin, end = float(first.mjd), float(last.mjd)
    before = (solution.start if solution.start is not None else begin) - begin
    after = end - (solution.finish if solution.finish is not None else end)
    days = max(before, after)
    if days <= _DAY_ROUNDING:
        return
    stated = phase_budget(solution, first, last, None, 0.0, 0.0).parameters
    text = (
        f"The ephemeris of {solution.name} is valid from MJD {solution.start} to "
        f"{solution.finish}, {days:.1f} days off MJD {begin if before > after else end:.2f}"
    )
    size = (
        f"; the uncertainties it states come to {stated:.2g} turns there"
        if stated
        else "; it states no uncertainties"
    )
    if not extrapolate:
        raise PhaseError(
            f"{text}{size}.",
            remedy="Take an ephemeris of that time, or permit it: extrapolate=True "
            "(--extrapolate).",
            where=where,
        )
    warnings.warn(f"{text}{size}, timing noise aside.", CtaoSatWarning, stacklevel=4)


def _warn_of_other(solar: SolarSystem, solution: TimingSolution) -> None:
    if not solar.error:
        return
    turns = solar.error * abs(solution.spin[0][0])
    asked = f"asks for {solar.requested.upper()}" if solar.requested else "names no EPHEM"
    warnings.warn(
        f"The par file of {solution.name} {asked}; '{solar.used}' is used, which may be off by "
        f"{solar.error * 1e6:.0f} microseconds, {turns:.2g} turns. A kernel file can be given as "
        "solar_ephem (--ephem).",
        CtaoSatWarning,
        stacklevel=4,
    )
