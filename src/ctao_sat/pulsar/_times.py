"""Whether the times of events are what they seem: scale, reference, leap seconds."""

import warnings
from collections.abc import Mapping
from typing import Any

import erfa
import numpy as np
from astropy.time import Time
from gammapy.data import Observation

from ctao_sat.dl3._headers import start_text
from ctao_sat.errors import CtaoSatWarning, PhaseError

__all__ = ["check_times", "resolution"]

# Before the first pulsar was seen to pulse in gamma rays, or after all that is planned.
_EARLIEST, _LATEST = 40000.0, 90000.0
# TT - UTC in 2001, which some give to MJDREFF so that seconds count from midnight UTC.
_TT_MINUS_UTC = (64.184, 65.184, 66.184, 67.184, 68.184, 69.184)
# DATE-OBS is rounded to a second, and may be in UTC or in the scale of TIME.
_DATE_ROUNDING = 1.5
# OGIP's names of places, of times that have been corrected for delays.
_CORRECTED = ("BARY", "SOLAR", "HELIO", "GEOC")
_DELAYS = 499.0
# Differences of times are rounded to less than that; and the most that those with jitter are.
_ROUNDING, _FINE = 1e-5, 1e-3
_REMEDY = "Correct the header in `observation.events.table.meta` and TIME with it, or the file"


def check_times(observation: Observation, frequency: float, barycentre: bool = True) -> None:
    """Check the times of events for what makes phases wrong.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With events.
    frequency : float
        Of the pulsar in Hz: effects are stated in turns.
    barycentre : bool
        Whether times shall be referred to the barycentre.

    Raises
    ------
    PhaseError
        If the scale of times is not stated, times are not finite or not of this age, or are
        referred to the barycentre already.

    Warns
    -----
    CtaoSatWarning
        If leap seconds may be counted twice or not at all, or DATE-OBS contradicts TSTART.
    """
    where = f"observation {observation.obs_id}"
    table = observation.events.table
    times = table["TIME"]
    _check_header(table.meta, frequency, where)
    if barycentre:
        _check_reference(table.meta, frequency, where)
    if len(times) == 0:
        return
    mjd = np.asarray(times.mjd)
    if not np.all(np.isfinite(mjd)):
        raise PhaseError(
            f"{np.count_nonzero(~np.isfinite(mjd))} events of {where} have no time.",
            remedy="Remove them.",
            where=where,
        )
    if mjd.min() < _EARLIEST or mjd.max() > _LATEST:
        raise PhaseError(
            f"The events of {where} are of MJD {mjd.min():.1f} to {mjd.max():.1f}: MJDREFI and "
            "MJDREFF, or the unit of TIME, cannot be right.",
            remedy=f"{_REMEDY}.",
            where=where,
        )
    _warn_of_utc(table.meta, times, frequency, where)
    _warn_of_date(table.meta, times.scale, frequency, where)


def resolution(observation: Observation) -> float:
    """Return the largest rounding error of the times of events, in s.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With events, whose header says what their seconds count from.

    Returns
    -------
    resolution : float
        Half the distance of neighbouring 64-bit numbers of seconds; of 32-bit numbers, if all
        times are such.
    """
    table = observation.events.table
    if len(table) == 0 or "MJDREFI" not in table.meta:
        return 0.0
    times = table["TIME"]
    day, fraction = float(table.meta["MJDREFI"]), float(table.meta.get("MJDREFF", 0.0))
    seconds = (((times.jd1 - 2400000.5) - day) + (times.jd2 - fraction)) * 86400
    largest = float(np.max(np.abs(seconds)))
    coarse = float(np.spacing(np.float32(largest)))
    # Columns of 32 bits look like any other once they are times.
    rounded = np.abs(seconds - seconds.astype(np.float32)) < _ROUNDING
    if coarse > _FINE and len(seconds) > 1 and np.all(rounded):
        return coarse / 2
    return float(np.spacing(largest) / 2)


def _check_header(meta: Mapping[str, Any], frequency: float, where: str) -> None:
    # Times that were never in a file have a scale of their own.
    if "MJDREFI" not in meta:
        return
    if not str(meta.get("TIMESYS", "")).strip():
        raise PhaseError(
            f"The header of {where} has no TIMESYS: TT and UTC are 69.184 s apart, "
            f"{69.184 * frequency:.4g} turns.",
            remedy="Complete the header of the file; without it, TT is assumed.",
            where=where,
        )


def _check_reference(meta: Mapping[str, Any], frequency: float, where: str) -> None:
    reference = str(meta.get("TIMEREF", "")).strip().upper()
    if reference.startswith(_CORRECTED):
        raise PhaseError(
            f"The header of {where} has TIMEREF = '{reference}': delays, of up to {_DELAYS:g} s or "
            f"{_DELAYS * frequency:.4g} turns, are taken off its times already.",
            remedy="Take the times as they are, if they are those at the barycentre: "
            "barycentre=False (--no-barycentre); or correct TIMEREF to LOCAL.",
            where=where,
        )


def _warn_of_utc(meta: Mapping[str, Any], times: Time, frequency: float, where: str) -> None:
    """Warn of seconds that count from a midnight of UTC, where leap seconds came in between."""
    if times.scale != "utc" or "MJDREFI" not in meta:
        return
    fraction = float(meta["MJDREFF"]) * 86400
    if any(abs(fraction - offset) < 0.01 for offset in _TT_MINUS_UTC):
        warnings.warn(
            f"The header of {where} has TIMESYS = 'UTC', with MJDREFF = {fraction:.3f} s as for "
            f"TT: times may be off by {fraction:.3f} s, {fraction * frequency:.4g} turns.",
            CtaoSatWarning,
            stacklevel=4,
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=erfa.ErfaWarning)
        zero = Time(float(meta["MJDREFI"]), float(meta["MJDREFF"]), format="mjd", scale="utc")
        ends = [_tai_minus_utc(zero), _tai_minus_utc(times[-1])]
    leaps = ends[1] - ends[0]
    if abs(leaps) > 0.5:
        warnings.warn(
            f"The times of {where} are UTC, and {leaps:.0f} leap seconds fell between MJDREF and "
            "the events. They are taken as elapsed seconds; if the clock did not count leap "
            f"seconds, phases are off by {leaps * frequency:.4g} turns. Correct with time_offset "
            "(--time-offset).",
            CtaoSatWarning,
            stacklevel=4,
        )


def _tai_minus_utc(time: Time) -> float:
    tai = time.tai
    return float(((tai.jd1 - time.jd1) + (tai.jd2 - time.jd2)) * 86400)


def _warn_of_date(meta: Mapping[str, Any], scale: str, frequency: float, where: str) -> None:
    """Warn if DATE-OBS and TIME-OBS contradict TSTART, in whichever of two scales they are."""
    date, start = start_text(meta), meta.get("TSTART")
    if date is None or "MJDREFI" not in meta or not isinstance(start, int | float):
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=erfa.ErfaWarning)
        zero = Time(float(meta["MJDREFI"]), float(meta["MJDREFF"]), format="mjd", scale=scale)
        begin = Time(zero.jd1, zero.jd2 + start / 86400, format="jd", scale=scale)
        apart = [float((Time(date, scale=other) - begin).to_value("s")) for other in {"utc", scale}]
    least = min(apart, key=abs)
    if abs(least) > _DATE_ROUNDING:
        warnings.warn(
            f"DATE-OBS and TIME-OBS of {where} are {least:+.3f} s off TSTART, "
            f"{least * frequency:.4g} turns: MJDREF, TIMESYS or leap seconds may be wrong.",
            CtaoSatWarning,
            stacklevel=4,
        )
