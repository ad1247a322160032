"""Phases of times and of events."""

import copy
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.table import Table
from astropy.time import Time
from gammapy.data import DataStore, EventList, Observation, Observations
from numpy.typing import NDArray

from ctao_sat.errors import ConfigError, CtaoSatWarning, MissingHDUError, SelectionError
from ctao_sat.parallel import progress_bar
from ctao_sat.pulsar._cards import PHASE_CARDS, orbit_cards, phase_cards
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._orbit import Orbit, orbit_solution
from ctao_sat.pulsar._place import telescope_place
from ctao_sat.pulsar._times import check_times, resolution
from ctao_sat.pulsar._timing import Options, RunTiming, run_timing

__all__ = [
    "ORBIT_COLUMN",
    "PHASE_COLUMN",
    "PULSE_COLUMN",
    "assign_phases",
    "observation_timing",
    "phases",
]

PHASE_COLUMN = "PHASE"
PULSE_COLUMN = "PULSE_N"
ORBIT_COLUMN = "ORBPHASE"
_DAY = 86400.0


def phases(
    times: Time,
    ephemeris: PulsarEphemeris | Orbit,
    location: EarthLocation | None,
    *,
    solar_ephem: str | os.PathLike = "par",
    barycentre: bool = True,
    offline: bool = True,
    max_phase_error: float = 0.005,
    backend: str = "auto",
    extrapolate: bool = False,
) -> NDArray[np.float64]:
    """Return the phases of times.

    Parameters
    ----------
    times : `~astropy.time.Time`, shape (n,)
        Times of arrival.
    ephemeris : PulsarEphemeris or Orbit
        The pulsar, or the orbit.
    location : `~astropy.coordinates.EarthLocation` or None
        Where the times were taken; not needed without ``barycentre``.
    solar_ephem, barycentre, offline, max_phase_error, backend, extrapolate : optional
        As in `assign_phases`.

    Returns
    -------
    phases : array, shape (n,)
        In [0, 1).

    Raises
    ------
    ConfigError, EphemerisError, PhaseError
        As `assign_phases`.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat import pulsar
    >>> ephemeris = pulsar.PulsarEphemeris.from_text("PSR J0000+0000\\nF0 2\\nPEPOCH 60000\\n")
    >>> start = Time(60000, format="mjd", scale="tt")
    >>> pulsar.phases(start + [0, 0.125, 0.75] * u.s, ephemeris, None, barycentre=False).round(6)
    array([0.  , 0.25, 0.5 ])
    """
    options = Options(solar_ephem, barycentre, offline, max_phase_error, backend, extrapolate)
    if not isinstance(times, Time) or times.ndim > 1:
        raise ConfigError("`times` are no list of times.", remedy="Give a Time of shape (n,).")
    if not isinstance(location, EarthLocation | None):
        raise ConfigError(
            f"`location` is of the type {type(location).__name__}.", remedy="Give an EarthLocation."
        )
    times = np.atleast_1d(times.tt)
    if len(times) == 0:
        return np.zeros(0)
    seconds = np.asarray((times - times[0]).to_value("s"), dtype=float)
    if not np.all(np.isfinite(seconds)):
        raise ConfigError("Some of the times are not finite.", remedy="Remove them.")
    found = np.empty(len(times))
    for group in _nights(seconds):
        zero = times[group[0]]
        after = (times[group] - zero).to_value("s")
        polynomials = run_timing(
            zero, np.empty((0, 2)), after, _rotation(ephemeris), location, options
        ).polynomials
        found[group] = polynomials.phases(polynomials.seconds(times[group]))
    return found


def _nights(seconds: NDArray) -> list[NDArray]:
    """Return the indices of times in groups of a day each.

    Each gets polynomials of its own: seconds of years would be rounded at 10 ns, and a par file
    may have a solution for each month.
    """
    order = np.argsort(seconds, kind="stable")
    days = np.floor((seconds[order] - seconds[order[0]]) / _DAY)
    return np.split(order, np.flatnonzero(np.diff(days)) + 1)


def assign_phases(
    observations: Observation | Observations | Iterable[Observation],
    ephemeris: PulsarEphemeris | Orbit,
    *,
    site: str | EarthLocation = "header",
    solar_ephem: str | os.PathLike = "par",
    barycentre: bool = True,
    offline: bool = True,
    max_phase_error: float = 0.005,
    backend: str = "auto",
    extrapolate: bool = False,
    time_offset: u.Quantity | str = "0 s",
    orbit: Orbit | None = None,
    pulse_numbers: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Any:
    """Add the phases of a pulsar, or of an orbit, to the events of observations.

    Delays to the barycentre and phases are computed in full at a few nodes of each good time
    interval; events get theirs from Chebyshev polynomials, which are checked between the nodes to
    1e-7 turns. See :doc:`/pulsar-phases`.

    Parameters
    ----------
    observations : `~gammapy.data.Observation`, `~gammapy.data.Observations`, or iterable
        With events and good time intervals. Their filters are applied. Not modified.
    ephemeris : PulsarEphemeris or Orbit
        The pulsar; an orbit gives the column ``ORBPHASE`` instead of ``PHASE``.
    site : {"header", "north", "south"}, str or `~astropy.coordinates.EarthLocation`
        Where the telescopes stand: as the header of the events says, which is checked; or,
        whatever the header says, a site of CTAO or another place, also as text
        ("16.5002 deg, -23.2718 deg, 1835 m").
    solar_ephem : str or path-like
        Solar-system ephemeris: "par" for the one that the par file names, if it is at hand, else
        "builtin" with a warning; "builtin" for that of ERFA; a name such as "de440s"; or a kernel
        file, or a folder with kernels.
    barycentre : bool
        False takes times for TDB at the barycentre, for events that are barycentred already or
        were simulated without delays.
    offline : bool
        Open no socket. False permits astropy to download the solar-system ephemeris.
    max_phase_error : float
        Largest permitted sum of the error budget, in turns.
    backend : {"auto", "native", "pint"}
        What computes the nodes: "auto" takes PINT if the ephemeris has keys that only PINT knows.
    extrapolate : bool
        Permit times outside of START and FINISH of the par file.
    time_offset : Quantity[time] or str
        Added to the times of events before all else.
    orbit : Orbit, optional
        Add orbital phases, too; `Orbit.from_ephemeris` takes it from the par file.
    pulse_numbers : bool
        Add the column ``PULSE_N``: whole turns since phase zero.
    overwrite : bool
        Replace phases that events have already.
    progress : bool
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    observations : `~gammapy.data.Observation` or `~gammapy.data.Observations`
        New observations: one for one, else several. Their events have the columns ``PHASE``
        (float64, in [0, 1)), on request ``PULSE_N`` (int64) and ``ORBPHASE``, and header cards
        with what the phases were made of and how wrong they may be, which `ctao_sat.dl3.write`
        keeps.

    Raises
    ------
    ConfigError
        If an argument cannot be used, PINT is needed and not installed, or events have phases.
    EphemerisError
        If the ephemeris asks for what is not supported, or is incomplete.
    PhaseError
        If phases are not known to ``max_phase_error``, the ephemeris is not valid at these times,
        the place or the times are not what they seem, or the polynomials are not good to 1e-7.
    MissingHDUError
        If an observation has no events or no good time intervals.

    Warns
    -----
    CtaoSatWarning
        With the size of the effect in turns: if another solar-system ephemeris had to be taken, the
        ephemeris is extrapolated, the place is that of no observatory, or times are doubtful.

    Examples
    --------
    >>> from ctao_sat import dl3, pulsar
    >>> observations = dl3.open_dl3("dl3").get_observations()  # doctest: +SKIP
    >>> ephemeris = pulsar.PulsarEphemeris.read("crab.par")  # doctest: +SKIP
    >>> phased = pulsar.assign_phases(observations, ephemeris)  # doctest: +SKIP
    >>> phased[0].events.table["PHASE"]  # doctest: +SKIP
    >>> dl3.write(phased, "crab-phased")  # doctest: +SKIP
    """
    wanted = [(ephemeris, ORBIT_COLUMN if isinstance(ephemeris, Orbit) else PHASE_COLUMN)]
    if orbit is not None:
        wanted.append((orbit, ORBIT_COLUMN))
    if len({column for _, column in wanted}) < len(wanted):
        raise ConfigError("Two orbits are given.", remedy="Give one, as `ephemeris` or `orbit`.")
    options = Options(solar_ephem, barycentre, offline, max_phase_error, backend, extrapolate)
    task = _Task(
        tuple((_rotation(turning), turning, column) for turning, column in wanted),
        site,
        options,
        _offset(time_offset),
        pulse_numbers,
        overwrite,
    )
    single = isinstance(observations, Observation)
    items = [observations] if single else _listed(observations)
    made = [
        _assigned(item, task)
        for item in progress_bar(items, description="Phases", progress=progress)
    ]
    return made[0] if single else Observations(made)


@dataclass(frozen=True)
class _Task:
    """What shall be added to the events of each observation."""

    wanted: tuple[tuple[PulsarEphemeris, PulsarEphemeris | Orbit, str], ...]
    site: str | EarthLocation
    options: Options
    offset: float
    pulse_numbers: bool
    overwrite: bool


def _offset(value: u.Quantity | str) -> float:
    try:
        offset = float(u.Quantity(value).to_value("s"))
    except (TypeError, ValueError, u.UnitsError) as error:
        raise ConfigError(f"The offset {value!r} is no time.", remedy="Give '1 s'.") from error
    if not np.isfinite(offset):
        raise ConfigError(f"The offset {value!r} is not finite.", remedy="Give '1 s'.")
    return offset


def _listed(observations: Any) -> list[Observation]:
    remedy = "Give Observations of Gammapy, a list of Observation, or one."
    if isinstance(observations, DataStore):
        remedy = "Read them first: dl3.read_observations(store, store.obs_ids)."
    items = list(observations) if isinstance(observations, Iterable) else [observations]
    for item in items:
        if not isinstance(item, Observation):
            raise ConfigError(
                f"There are no observations in an object of the type {type(item).__name__}.",
                remedy=remedy,
            )
    if not items:
        raise SelectionError("There is no observation.", remedy="Give at least one.")
    return items


def _assigned(observation: Observation, task: _Task) -> Observation:
    """Return an observation with phases."""
    where = f"observation {observation.obs_id}"
    events = observation.events
    if events is None or observation.gti is None or len(observation.gti.table) == 0:
        raise MissingHDUError(
            f"The {where} has no events or no good time intervals.", remedy="Leave it out."
        )
    # Columns are shared with the input; the header never is.
    table = events.table.copy(copy_data=False)
    times = table["TIME"].tt + task.offset * u.s
    for ephemeris, turning, column in task.wanted:
        for taken in (column, PULSE_COLUMN) if column == PHASE_COLUMN else (column,):
            _check_free(table, taken, task.overwrite, where)
        timing, location = observation_timing(
            observation, times, ephemeris, task.site, task.options, task.offset
        )
        seconds = timing.polynomials.seconds(times)
        table[column] = timing.polynomials.phases(seconds)
        if isinstance(turning, Orbit):
            table.meta.update(orbit_cards(turning, timing))
            continue
        # Those of earlier phases must not stay.
        table.meta = {k: v for k, v in table.meta.items() if k not in PHASE_CARDS}
        table.meta.update(phase_cards(timing, ephemeris, location, task.offset))
        if PULSE_COLUMN in table.colnames:
            table.remove_column(PULSE_COLUMN)
        if task.pulse_numbers:
            table[PULSE_COLUMN] = timing.polynomials.pulse_numbers(seconds)
    made = copy.copy(observation)
    made.events = EventList(table)
    return made


def observation_timing(
    observation: Observation,
    times: Time,
    ephemeris: PulsarEphemeris,
    site: str | EarthLocation,
    options: Options,
    offset: float = 0.0,
) -> tuple[RunTiming, EarthLocation | None]:
    """Return the timing of an observation, and the place it is for."""
    frequency = abs(ephemeris.solutions[0].spin[0][0])
    check_times(observation, frequency, options.barycentre)
    location = None
    if options.barycentre:
        location = telescope_place(observation, site, frequency)
    gti = observation.gti
    zero = gti.time_start[0].tt
    edges = (gti.time_start.tt - zero, gti.time_stop.tt - zero)
    spans = np.column_stack([edge.to_value("s") + offset for edge in edges])
    seconds = np.atleast_1d((times - zero).to_value("s"))
    where = f"observation {observation.obs_id}"
    timing = run_timing(
        zero, spans, seconds, ephemeris, location, options, resolution(observation), where
    )
    return timing, location


def _rotation(ephemeris: PulsarEphemeris | Orbit) -> PulsarEphemeris:
    if isinstance(ephemeris, Orbit):
        return PulsarEphemeris((orbit_solution(ephemeris),), "", "")
    if not isinstance(ephemeris, PulsarEphemeris):
        raise ConfigError(
            f"`ephemeris` is of the type {type(ephemeris).__name__}.",
            remedy="Read a par file: PulsarEphemeris.read('crab.par'); or give an Orbit.",
        )
    return ephemeris


def _check_free(table: Table, column: str, overwrite: bool, where: str) -> None:
    """Make sure that no phases are lost."""
    if column not in table.colnames:
        return
    if len(table) and not np.any(np.asarray(table[column])):
        warnings.warn(
            f"The column {column} of {where} holds zeros alone, which are no phases; it is "
            "replaced.",
            CtaoSatWarning,
            stacklevel=4,
        )
    elif len(table) and not overwrite:
        raise ConfigError(
            f"The events of {where} have a column {column} already.",
            remedy="Replace it with overwrite=True (--replace-phases; replace_phases: true in a "
            "configuration), or rename it.",
            where=where,
        )
