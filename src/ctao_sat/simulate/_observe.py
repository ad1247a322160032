"""Simulate observations of a sky, and write them as DL3."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from gammapy.data import GTI, DataStore
from gammapy.irf import IRF
from gammapy.modeling.models import Models, SkyModel
from numpy.typing import NDArray

from ctao_sat.dl3._index_tables import Entry
from ctao_sat.dl3._sites import altaz
from ctao_sat.dl3._write import Form, build_hdus, write_contents, write_tables
from ctao_sat.parallel import pmap
from ctao_sat.result import staged_folder
from ctao_sat.simulate._background import BackgroundCells, background_cells, offset_direction
from ctao_sat.simulate._directions import blur_from_irf
from ctao_sat.simulate._energies import Migration
from ctao_sat.simulate._folder import not_of_a_simulation, write_truth
from ctao_sat.simulate._form import identifiers, simulation_form
from ctao_sat.simulate._inputs import (
    Run,
    check_energy_range,
    check_models,
    check_places,
    check_schedule,
)
from ctao_sat.simulate._irfs import Instrument, load_instrument
from ctao_sat.simulate._run_contents import NO_EVENTS, RunInfo, run_contents
from ctao_sat.simulate._sources import Response, draw_source, measure

__all__ = ["observations", "simulate_run"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One run, complete, so that it can travel to another process."""

    info: RunInfo
    models: tuple[SkyModel, ...]
    instrument: Instrument
    response: Response
    background: BackgroundCells
    rng: np.random.Generator
    folder: Path
    form: Form


def observations(
    models: Models | Sequence[SkyModel] | SkyModel | None,
    pointings: SkyCoord | Sequence[SkyCoord],
    livetime: u.Quantity | str | None,
    irfs: str | Path | dict[str, IRF],
    rng: np.random.Generator,
    *,
    path: str | Path,
    deadtime_fraction: float = 0.0,
    start: Time | str = "2028-01-01T00:00:00",
    gap: u.Quantity | str = "0 s",
    gti: Sequence[GTI] | None = None,
    obs_id_start: int = 1,
    energy_range: u.Quantity | None = None,
    location: EarthLocation | str | None = None,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
    overwrite: bool = False,
    dialect: str = "gadf",
    metadata: Mapping[str, Any] | str | os.PathLike | None = None,
) -> DataStore:
    """Simulate observations and write them as DL3.

    Each source is a Poisson process with the density::

        phi(E, p, t) A(E, theta) (1 - f_dead)

    in true energy, direction and time, with the differential flux of the model and the
    effective area at the angle from the pointing. Its events then get a
    reconstructed direction and energy from the point spread function and the energy
    dispersion. Background events follow the background response times the time *on*: by the
    definition of GADF its rates hold the dead time already.

    Parameters
    ----------
    models : `gammapy.modeling.models.Models`, list of `~gammapy.modeling.models.SkyModel` or None
        The sky. None or an empty list simulates background alone. Not modified. Pulsars are
        `ctao_sat.pulsar.pulsed_source`.
    pointings : `astropy.coordinates.SkyCoord` or list of `~astropy.coordinates.SkyCoord`
        One direction per observation, n in all.
    livetime : `astropy.units.Quantity` or str
        Live time of each observation, scalar or shape (n,): the time on is
        ``livetime / (1 - deadtime_fraction)``. None if ``gti`` is given.
    irfs : str, `pathlib.Path` or dict
        A GADF file of full-enclosure IRFs, a dictionary with the keys aeff, edisp, psf and bkg, or
        one of "demo-north" and "demo-south" (see `ctao_sat.simulate.demo_array`). They are used as
        they are, whatever the altitude of the pointing.
    rng : `numpy.random.Generator`
        Source of randomness; each observation gets a child of it, so that the result does not
        depend on how the work is spread.
    path : str or `pathlib.Path`
        Folder to make.
    deadtime_fraction : float
        Part of the time on that is dead.
    start : `astropy.time.Time` or str
        Start of the first observation; a string is read as UTC.
    gap : `astropy.units.Quantity` or str
        Time between the end of an observation and the start of the next.
    gti : list of `gammapy.data.GTI`, optional
        Good time intervals of each observation, in place of ``livetime``, ``start`` and ``gap``.
    obs_id_start : int
        Identifier of the first observation.
    energy_range : `astropy.units.Quantity`, shape (2,), optional
        Keep events with reconstructed energies in this range. By default that of the
        background response.
    location : `astropy.coordinates.EarthLocation` or {"north", "south"}, optional
        Where the array stands. By default what the IRFs say.
    n_jobs : int
        Number of processes; see `ctao_sat.parallel.pmap`.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute; the result is the same.
    progress : bool
        Show a progress bar.
    overwrite : bool
        Replace the simulation that ``path`` holds. A folder with anything else is not touched.
    dialect : {"gadf", "ctao-gadf"}
        Dialect of the files; see `ctao_sat.dl3.write`. CTAO's needs ``metadata``.
    metadata : mapping or path-like, optional
        For "ctao-gadf": product metadata, with contact and licence at least. Facility and site
        need not be given where an array of CTAO's is simulated at one of its sites.

    Returns
    -------
    data_store : `gammapy.data.DataStore`
        The data on disk. Beside them, ``models.yaml`` holds the truth. The column MC_ID of
        events is 0 for background and i for the i-th model, in every observation.

    Raises
    ------
    ConfigError
        If an argument cannot be used.
    DataError
        If the IRFs cannot be used, or the dialect cannot hold them.
    OutputError
        If ``path`` holds something already, or cannot be written.

    Notes
    -----
    The same generator state gives the same bytes, but for the time of writing (CREATED, and
    ACTSTART where an activity is described). Events are
    drawn from the IRFs as Gammapy interpolates them, not through maps: there are no pixels for
    point sources, and no bins in energy or time. Gammapy's own
    `gammapy.datasets.ObservationEventSampler` goes through maps: with the Prod5 IRFs and its
    default geometry it needs more than 12 GB, with 5 energy bins a decade the background rate of
    the southern array comes out 12 % low (one trapezoid per bin), and it modifies the models
    passed.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> from ctao_sat.simulate import observations, wobble_pointings
    >>> from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel
    >>> position = PointSpatialModel(lon_0="83.63 deg", lat_0="22.01 deg", frame="icrs")
    >>> source = SkyModel(PowerLawSpectralModel(), position)
    >>> pointings = wobble_pointings(source.position, n=2)
    >>> with TemporaryDirectory() as folder:
    ...     store = observations(
    ...         source,
    ...         pointings,
    ...         "60 s",
    ...         "demo-north",
    ...         np.random.default_rng(1),
    ...         path=f"{folder}/dl3",
    ...     )
    ...     events = store.get_observations()[0].events
    >>> len(store.obs_ids), int(events.table["MC_ID"].max())
    (2, 1)
    """
    wanted = simulation_form(dialect, metadata, irfs)
    truth = check_models(models)
    instrument = load_instrument(irfs, location)
    check_places(truth, instrument.location)
    runs = check_schedule(
        pointings, livetime, deadtime_fraction, start, gap, gti, obs_id_start, rng
    )
    limits = check_energy_range(energy_range, instrument.irfs["bkg"])
    final = Path(path).expanduser().absolute()
    with staged_folder(
        final,
        overwrite=overwrite,
        foreign=not_of_a_simulation,
        kind="a simulation",
        keep_incomplete=False,
    ) as folder:
        jobs = _jobs(truth, runs, instrument, limits, deadtime_fraction, rng, folder, wanted)
        # What the dialect refuses shall be known before the work.
        build_hdus(run_contents(NO_EVENTS, jobs[0].info, instrument), wanted)
        entries = pmap(
            simulate_run,
            jobs,
            n_jobs=n_jobs,
            backend=backend,
            description="Simulating",
            progress=progress,
        )
        write_tables(folder, entries, wanted, new_id=identifiers(rng))
        write_truth(truth, folder, final)
    _warn_of_horizon(entries)
    return DataStore.from_dir(final)


def _jobs(
    truth: Models,
    runs: list[Run],
    instrument: Instrument,
    limits: tuple[float, float],
    deadtime_fraction: float,
    rng: np.random.Generator,
    folder: Path,
    wanted: Form,
) -> list[Job]:
    """Prepare the tables that all runs share, and the random numbers that they do not."""
    irfs, models = instrument.irfs, tuple(truth)
    response = Response(
        aeff=irfs["aeff"],
        migration=Migration.from_irf(irfs["edisp"]),
        blur=blur_from_irf(irfs["psf"]),
        field_radius=float(irfs["aeff"].axes["offset"].edges[-1].to_value("deg")),
    )
    cells = background_cells(irfs["bkg"], limits)
    jobs = []
    for run, child in zip(runs, rng.spawn(len(runs)), strict=True):
        info = RunInfo(
            obs_id=run.obs_id,
            pointing=run.pointing,
            windows=run.windows,
            deadtime_fraction=deadtime_fraction,
            model_names=tuple(truth.names),
            target=_target(models, run.pointing),
            energy_range=limits,
            field_radius=response.field_radius,
        )
        jobs.append(Job(info, models, instrument, response, cells, child, folder, wanted))
    return jobs


def _target(models: tuple[SkyModel, ...], pointing: SkyCoord) -> tuple[str, float, float]:
    """Return name and position of the first model with a position, or of the empty field."""
    for model in models:
        if model.position is not None:
            icrs = model.position.icrs
            return model.name, float(icrs.ra.deg), float(icrs.dec.deg)
    return "none", float(pointing.ra.deg), float(pointing.dec.deg)


def _warn_of_horizon(entries: list[Entry]) -> None:
    low = [entry.row["OBS_ID"] for entry in entries if entry.row["ALT_PNT"] < 0]
    if low:
        log.warning(
            "Pointings below the horizon at the time of observation: %s. The events are those of "
            "the IRFs all the same; choose `start` for altitudes that make sense.",
            ", ".join(map(str, low)),
        )


def simulate_run(job: Job) -> Entry:
    """Simulate one observation and write its file.

    Parameters
    ----------
    job : Job
        The run.

    Returns
    -------
    entry : Entry
        What the index tables say of it.
    """
    # One stream for each component: the background does not change when a model is added.
    background_rng, *model_rngs = job.rng.spawn(1 + len(job.models))
    parts = [_background(job, background_rng)]
    for i, (model, rng) in enumerate(zip(job.models, model_rngs, strict=True), start=1):
        parts.append(_source(job, model, i, rng))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    contents = run_contents(columns, job.info, job.instrument)
    return write_contents(job.folder, contents, job.form, new_id=identifiers(job.rng))


def _columns(
    time: NDArray, ra: NDArray, dec: NDArray, energy: NDArray, mc_id: int
) -> dict[str, NDArray]:
    return {
        "TIME": time,
        "RA": np.degrees(ra),
        "DEC": np.degrees(dec),
        "ENERGY": energy,
        "MC_ID": np.full(len(time), mc_id),
    }


def _background(job: Job, rng: np.random.Generator) -> dict[str, NDArray]:
    info = job.info
    energy, distance, angle = job.background.draw(
        rng, job.instrument.irfs["bkg"], info.windows.ontime
    )
    time = info.windows.draw(rng, len(energy))
    if job.background.alignment == "ALTAZ" and not job.background.polar:
        angle = angle + _parallactic_angle(job, time)
    pointing = info.pointing.ra.rad, info.pointing.dec.rad
    ra, dec = offset_direction(pointing, distance, angle)
    return _columns(time, ra, dec, energy, 0)


def _parallactic_angle(job: Job, time: NDArray) -> NDArray:
    """Return the position angle of the zenith at the pointing, in radians."""
    windows, pointing = job.info.windows, job.info.pointing
    nodes = np.linspace(windows.start[0], windows.stop[-1], 64)
    horizontal = altaz(pointing, windows.at(nodes), job.instrument.location)
    north = pointing.directional_offset_by(0 * u.deg, 1 * u.arcmin)
    above = altaz(north, windows.at(nodes), job.instrument.location)
    # Azimuth grows from North to East as seen from above, against the sense of position angles.
    azimuth_of_north = horizontal.position_angle(above).rad
    return np.interp(time, nodes, np.unwrap(azimuth_of_north))


def _source(job: Job, model: SkyModel, mc_id: int, rng: np.random.Generator) -> dict[str, NDArray]:
    info = job.info
    photons = draw_source(
        rng, model, info.pointing, info.windows, 1 - info.deadtime_fraction, job.response
    )
    use = model.apply_irf
    events = measure(
        rng, photons, info.pointing, job.response, blur=use["psf"], migrate=use["edisp"]
    )
    low, high = info.energy_range
    keep = (events.energy >= low) & (events.energy <= high)
    return _columns(
        events.time[keep], events.ra[keep], events.dec[keep], events.energy[keep], mc_id
    )
