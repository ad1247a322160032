"""Events of observations, as analyses of pulsars take them."""

import copy
from collections.abc import Iterable

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import EventList, Observation, Observations

from ctao_sat.errors import ConfigError, DataError, MissingColumnError
from ctao_sat.pulsar._periodicity import in_turns, turn_fraction

__all__ = ["as_list", "event_phases", "select_events", "with_events"]


def select_events(
    observations: Observation | Iterable[Observation],
    position: SkyCoord | None = None,
    radius: u.Quantity | None = None,
    *,
    energy_range: tuple[u.Quantity | None, u.Quantity | None] = (None, None),
) -> Observations:
    """Return observations with the events near a position and of some energies.

    Parameters
    ----------
    observations : `~gammapy.data.Observation` or iterable of them
        They are not changed; the selected ones share their responses.
    position : `~astropy.coordinates.SkyCoord`, optional
        Of the pulsar.
    radius : Quantity[angle], optional
        Largest angle to it. Both are given, or none.
    energy_range : pair of Quantity[energy] or None
        Lowest and highest energy, with the lowest included.

    Returns
    -------
    observations : `~gammapy.data.Observations`
        One for each that was given, without events if none passes.

    Raises
    ------
    ConfigError
        If there is a position without radius, or the reverse; or if no event can pass, for the
        radius is not positive, or the energies do not rise.

    Examples
    --------
    >>> from ctao_sat import pulsar
    >>> near = pulsar.select_events(                          # doctest: +SKIP
    ...     observations, position, 0.2 * u.deg, energy_range=(50 * u.GeV, None)
    ... )
    """
    if (position is None) != (radius is None):
        raise ConfigError(
            "A selection in direction needs a position and a radius.", remedy="Give both, or none."
        )
    low, high = energy_range
    _check_selection(radius, low, high)
    selected = []
    for one in as_list(observations):
        # They may come from a file, each time they are asked for.
        events = one.events
        mask = np.ones(len(events.table), dtype=bool)
        if position is not None:
            mask &= events.radec.separation(position) <= radius
        if low is not None:
            mask &= events.energy >= low
        if high is not None:
            mask &= events.energy < high
        selected.append(with_events(one, EventList(events.table[mask], meta=events.meta)))
    return Observations(selected)


def _check_selection(
    radius: u.Quantity | None, low: u.Quantity | None, high: u.Quantity | None
) -> None:
    """Raise an error where no event can pass. Written so that a NaN is refused."""
    if radius is not None and not radius > 0 * u.deg:
        raise ConfigError(f"The radius is {radius}.", remedy="Give an angle above 0.")
    least, most = (0 if low is None else low), (np.inf * u.TeV if high is None else high)
    if not least < most:
        raise ConfigError(
            f"The energies begin at {low}, and end at {high}.", remedy="Low first, then high."
        )


def as_list(observations: Observation | Iterable[Observation]) -> list[Observation]:
    """Return one or several observations as a list."""
    return [observations] if isinstance(observations, Observation) else list(observations)


def with_events(observation: Observation, events: EventList) -> Observation:
    """Return an observation with other events, and the same responses."""
    # Not a copy of all: the responses are large, and nobody changes them.
    changed = copy.copy(observation)
    changed.events = events
    return changed


def event_phases(observation: Observation, column: str = "PHASE") -> np.ndarray:
    """Return the phases of the events of an observation.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With phases.
    column : str
        Column that holds them.

    Returns
    -------
    phases : array of float, shape (n,)
        In turns, as they are in the file.

    Raises
    ------
    MissingColumnError
        If there is no such column.
    DataError
        If a phase is not finite, the column is in another unit than turns, or all of several are
        whole turns, as a column that was never filled or that counts the turns.
    """
    table = observation.events.table
    if column not in table.colnames:
        raise MissingColumnError(
            f"The events of observation {observation.obs_id} have no column {column}.",
            remedy="Assign phases first: pulsar.assign_phases, or `ctao-sat pulsar phase`.",
        )
    phases = in_turns(table[column])
    if not np.isfinite(phases).all():
        raise DataError(
            f"{np.count_nonzero(~np.isfinite(phases))} of {len(phases)} phases of observation "
            f"{observation.obs_id} are not finite.",
            remedy="Assign phases anew.",
        )
    if len(phases) > 1 and not turn_fraction(phases).any():
        what = "whole turns" if phases.any() else "zero"
        raise DataError(
            f"All {len(phases)} phases of observation {observation.obs_id} are {what}.",
            remedy="The column was never filled, or holds no phases: assign phases.",
        )
    return phases
