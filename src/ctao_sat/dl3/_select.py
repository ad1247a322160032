"""Select observations by named criteria, and count what each of them leaves."""

from collections import Counter
from collections.abc import Iterable, Sequence

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.data import DataStore, ObservationTable

from ctao_sat.errors import MissingColumnError, SelectionError, did_you_mean

__all__ = ["observation_index", "select_observations"]


def select_observations(
    data_store: DataStore,
    *,
    obs_ids: Iterable[int] | None = None,
    exclude_ids: Iterable[int] = (),
    position: SkyCoord | None = None,
    radius: u.Quantity | None = None,
    time_intervals: Sequence[tuple[Time, Time]] = (),
    zenith_range: tuple[u.Quantity, u.Quantity] | None = None,
    livetime_min: u.Quantity | None = None,
) -> tuple[list[int], Table]:
    """Select observations from an index table.

    Parameters
    ----------
    data_store : `~gammapy.data.DataStore`
        Where the observations are.
    obs_ids : iterable of int, optional
        Take these only, in this order. Without it, all are candidates.
    exclude_ids : iterable of int
        Leave these out.
    position : `~astropy.coordinates.SkyCoord`, optional
        Centre of the cone of pointings.
    radius : Quantity[angle], optional
        Radius of the cone.
    time_intervals : sequence of pairs of `~astropy.time.Time`
        An observation passes if it lies completely within one of them.
    zenith_range : pair of Quantity[angle], optional
        Lower and upper limit of the zenith angle of the pointing.
    livetime_min : Quantity[time], optional
        Shortest livetime.

    Returns
    -------
    obs_ids : list of int
        What is selected.
    cuts : `~astropy.table.Table`
        One row a criterion: ``criterion``, ``passed`` (alone) and ``left`` (together with those
        above it).

    Raises
    ------
    SelectionError
        If an ID does not exist, or nothing is left.
    MissingColumnError
        If the index table lacks the column of a criterion.
    """
    excluded = list(exclude_ids)
    rows = _candidates(data_store, obs_ids, excluded)
    criteria = {"candidates": np.ones(len(rows), dtype=bool)}
    if excluded:
        criteria["exclude_ids"] = ~np.isin(rows["OBS_ID"], excluded)
    if position is not None and radius is not None:
        criteria[f"pointing within {radius:.4g}"] = (
            rows.pointing_radec.separation(position) <= radius
        )
    if time_intervals:
        criteria["time"] = _in_time(rows, time_intervals)
    if zenith_range is not None:
        zenith = _zenith(rows)
        low, high = zenith_range
        criteria[f"zenith {low:.4g} to {high:.4g}"] = (zenith >= low) & (zenith <= high)
    if livetime_min is not None:
        _need(rows, "LIVETIME")
        livetime = u.Quantity(rows["LIVETIME"], rows["LIVETIME"].unit or "s")
        criteria[f"livetime at least {livetime_min:.4g}"] = livetime >= livetime_min
    passed, cuts = _count(criteria)
    if not passed.any():
        worst = min(cuts[1:] if len(cuts) > 1 else cuts, key=lambda row: row["passed"])
        raise SelectionError(
            f"No observation passes the selection: of {len(rows)} candidates, "
            f"{worst['passed']} pass '{worst['criterion']}'.",
            remedy="Widen the selection; `ctao-sat info DIR` lists what there is.",
        )
    return [int(obs_id) for obs_id in rows["OBS_ID"][passed]], cuts


def _candidates(
    data_store: DataStore, obs_ids: Iterable[int] | None, excluded: list[int]
) -> ObservationTable:
    """Return the rows of the observations that are named, or all."""
    table = data_store.obs_table
    index = {int(obs_id): row for row, obs_id in enumerate(table["OBS_ID"])}
    wanted = list(index) if obs_ids is None else [int(obs_id) for obs_id in obs_ids]
    unknown = [obs_id for obs_id in [*wanted, *excluded] if obs_id not in index]
    if unknown:
        raise SelectionError(
            f"There is no observation {unknown[0]} in '{data_store.hdu_table.base_dir}'.",
            remedy=did_you_mean(str(unknown[0]), [str(obs_id) for obs_id in index]),
        )
    twice = [obs_id for obs_id, count in Counter(wanted).items() if count > 1]
    if twice:
        raise SelectionError(
            f"Observation {twice[0]} is selected twice.", remedy="Name each observation once."
        )
    if not wanted:
        raise SelectionError("The list of observations is empty.", remedy="Name at least one.")
    return table[[index[obs_id] for obs_id in wanted]]


def _count(criteria: dict[str, np.ndarray]) -> tuple[np.ndarray, Table]:
    together = np.ones(len(next(iter(criteria.values()))), dtype=bool)
    counts = []
    for name, mask in criteria.items():
        together = together & np.asarray(mask)
        counts.append((name, int(np.count_nonzero(mask)), int(np.count_nonzero(together))))
    return together, Table(rows=counts, names=["criterion", "passed", "left"])


def _in_time(rows: ObservationTable, intervals: Sequence[tuple[Time, Time]]) -> np.ndarray:
    start, stop = _times(rows)
    mask = np.zeros(len(rows), dtype=bool)
    for low, high in intervals:
        mask |= (start >= low) & (stop <= high)
    return mask


def _times(rows: ObservationTable) -> tuple[Time, Time]:
    """Return start and stop of each observation."""
    try:
        return rows.time_start, rows.time_stop
    except (KeyError, ValueError, TypeError) as error:
        raise MissingColumnError(
            "The obs-index table has no times: its header lacks MJDREFI, MJDREFF or TIMESYS.",
            remedy="Add the keys to its header, as GADF requires, or make the table again.",
        ) from error


def _zenith(rows: ObservationTable) -> u.Quantity:
    if "ALT_PNT" in rows.colnames and "ZEN_PNT" not in rows.colnames:
        return 90 * u.deg - u.Quantity(rows["ALT_PNT"], rows["ALT_PNT"].unit or "deg")
    _need(rows, "ZEN_PNT")
    return u.Quantity(rows["ZEN_PNT"], rows["ZEN_PNT"].unit or "deg")


def _need(rows: ObservationTable, column: str) -> None:
    if column not in rows.colnames:
        raise MissingColumnError(
            f"The observation index has no column {column}, which this selection needs.",
            remedy=f"It has: {', '.join(rows.colnames)}. Drop the criterion, or add the column.",
        )


def observation_index(data_store: DataStore) -> Table:
    """Return the columns of an index table that people look at.

    Parameters
    ----------
    data_store : `~gammapy.data.DataStore`
        The data store.

    Returns
    -------
    table : `~astropy.table.Table`
        ``obs_id``, ``object``, ``start_utc``, ``livetime`` (min), ``ra_pnt``, ``dec_pnt``,
        ``zenith`` (deg); those that the index has.
    """
    rows = data_store.obs_table
    table = Table({"obs_id": np.asarray(rows["OBS_ID"], dtype=int)})
    if "OBJECT" in rows.colnames:
        table["object"] = [str(name).strip() for name in rows["OBJECT"]]
    table["start_utc"] = [time[:19] for time in _times(rows)[0].utc.iso]
    if "LIVETIME" in rows.colnames:
        livetime = u.Quantity(rows["LIVETIME"], rows["LIVETIME"].unit or "s")
        table["livetime"] = np.round(livetime.to("min"), 2)
    for name in ("RA_PNT", "DEC_PNT"):
        angle = u.Quantity(rows[name], rows[name].unit or "deg")
        table[name.lower()] = np.round(angle.to("deg"), 4)
    if {"ZEN_PNT", "ALT_PNT"} & set(rows.colnames):
        table["zenith"] = np.round(_zenith(rows).to("deg"), 1)
    return table
