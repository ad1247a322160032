"""Open and select the observations that a configuration asks for."""

from collections.abc import Mapping
from pathlib import Path

import astropy.units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table, vstack
from gammapy.data import DataStore, Observation
from gammapy.datasets import Datasets

from ctao_sat import dl3
from ctao_sat.config import DataConfig

__all__ = ["files_behind", "observation_table", "open_stores", "run_livetimes", "select"]


def open_stores(config: DataConfig, progress: bool = False) -> dict[str, DataStore]:
    """Return a data store for each event type; one alone if none is asked for."""
    if config.event_types is None:
        store = dl3.open_dl3(config.path, index=config.index, progress=progress)
        return {"": store}
    types = None if config.event_types == "all" else config.event_types
    return dl3.open_event_types(config.path, types, index=config.index, progress=progress)


def select(
    data_stores: Mapping[str, DataStore], data: DataConfig, target: SkyCoord
) -> tuple[list[int], Table]:
    """Return the IDs of the observations the configuration asks for, and the counted cuts."""
    zenith = None
    if data.zenith_min is not None or data.zenith_max is not None:
        low = data.zenith_min if data.zenith_min is not None else 0 * u.deg
        high = data.zenith_max if data.zenith_max is not None else 90 * u.deg
        zenith = (low, high)
    return dl3.select_observations(
        _all_types(list(data_stores.values())),
        obs_ids=data.ids,
        exclude_ids=data.exclude_ids,
        position=target,
        radius=data.cone,
        time_intervals=data.time,
        zenith_range=zenith,
        livetime_min=data.livetime_min,
    )


def _all_types(stores: list[DataStore]) -> DataStore:
    """Return a store that lists each observation of all stores once."""
    if len(stores) == 1:
        return stores[0]
    # The store keeps the first row of each observation: its event types share all that is selected.
    tables = [store.obs_table for store in stores]
    return DataStore(stores[0].hdu_table, vstack(tables, metadata_conflicts="silent"))


def observation_table(observations: Mapping[str, Observation], target: SkyCoord) -> Table:
    """Return one row an observation and event type: when, how long, where to."""
    rows = []
    for observation in observations.values():
        pointing = observation.get_pointing_icrs(observation.tmid)
        rows.append(
            (
                int(observation.obs_id),
                observation.tstart.utc.iso[:19],
                observation.observation_live_time_duration.to_value("min"),
                pointing.ra.deg,
                pointing.dec.deg,
                pointing.separation(target).deg,
                len(observation.events.table),
            )
        )
    names = ["obs_id", "start_utc", "livetime", "ra_pnt", "dec_pnt", "offset", "n_events"]
    table = Table(rows=rows, names=names)
    for name, unit in {
        "livetime": "min",
        "ra_pnt": "deg",
        "dec_pnt": "deg",
        "offset": "deg",
    }.items():
        table[name].unit = unit
    for name, digits in {"livetime": 2, "ra_pnt": 4, "dec_pnt": 4, "offset": 3}.items():
        table[name].info.format = f".{digits}f"
    types = [name.partition("-")[2] for name in observations]
    if any(types):
        table.add_column(types, name="event_type", index=1)
    return table


def run_livetimes(datasets: Datasets, runs: Mapping[str, int]) -> dict[int, u.Quantity]:
    """Return the livetime of each run; its event types share it.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        One an observation and event type.
    runs : mapping of int
        Observation ID of each dataset, by its name.
    """
    livetimes: dict[int, u.Quantity] = {}
    for dataset in datasets:
        run, livetime = runs[dataset.name], dataset.exposure.meta["livetime"]
        livetimes[run] = max(livetimes.get(run, livetime), livetime)
    return livetimes


def files_behind(
    data_stores: Mapping[str, DataStore], observations: Mapping[str, Observation]
) -> list[Path]:
    """Return all files of the observations, each once."""
    ids = {int(observation.obs_id) for observation in observations.values()}
    return sorted({file for store in data_stores.values() for file in dl3.data_files(store, ids)})
