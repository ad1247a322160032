"""Run the recipe ``pulsar``: call the steps in their order, and say what came out."""

import time
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from gammapy.data import DataStore, Observation, Observations
from gammapy.stats import WStatCountsStatistic

from ctao_sat import dl3, pulsar
from ctao_sat.config import expand_path
from ctao_sat.pulsar import FrequencyScan, PhaseRegions, ProfileFit, PulsarEphemeris
from ctao_sat.recipes.pulsar import _steps as steps
from ctao_sat.recipes.pulsar._config import PulsarConfig
from ctao_sat.recipes.pulsar._result import PhaseSpectrum, PulsarRun
from ctao_sat.recipes.pulsar._statements import Findings, summarise
from ctao_sat.workflow import Plan, StepLog, provenance
from ctao_sat.workflow import _inputs as data
from ctao_sat.workflow import _spectra as spectra

__all__ = ["plan", "run"]


@dataclass(frozen=True)
class _Inputs:
    """What the analysis starts from."""

    data_stores: dict[str, DataStore]
    named: dict[str, Observation]
    cuts: Table
    table: Table
    ephemeris: PulsarEphemeris


def plan(config: PulsarConfig, *, n_jobs: int = 1) -> Plan:
    """Select the observations without analysing them, and estimate time and memory.

    Parameters
    ----------
    config : PulsarConfig
        The configuration.
    n_jobs : int
        Number of workers that search in frequency; phases take less time than one to start.

    Returns
    -------
    plan : `~ctao_sat.workflow.Plan`
        What would be analysed.
    """
    inputs = _read(config)
    observations = list(inputs.named.values())
    start = time.perf_counter()
    (first,) = steps.with_phases(observations[:1], inputs.ephemeris, config)
    seconds = time.perf_counter() - start
    events = sum(len(observation.events.table) for observation in observations)
    search = 0.0
    if config.scan is not None:
        search = steps.search_seconds(observations, config, config.scan) / max(1, n_jobs)
    return Plan(
        observations=inputs.table,
        cuts=inputs.cuts,
        seconds=seconds * len(observations) + search,
        megabytes=events * len(first.events.table.colnames) * 8 / 1e6,
    )


def run(
    config: PulsarConfig,
    *,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
    log_steps: StepLog | None = None,
) -> PulsarRun:
    """Analyse the pulsations of a source.

    Parameters
    ----------
    config : PulsarConfig
        What to do.
    n_jobs : int
        Number of workers, see `ctao_sat.parallel.pmap`.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute.
    progress : bool
        Show progress bars.
    log_steps : `~ctao_sat.workflow.StepLog`, optional
        Records the steps.

    Returns
    -------
    run : PulsarRun
        Products and findings. Nothing is written to disk.

    Raises
    ------
    DataError, ConfigError
        If the input does not allow the analysis; the message says why, and what to do.
    """
    recorder = log_steps or StepLog()
    with recorder.step("Select observations"):
        inputs = _read(config, progress)
    with recorder.step("Assign phases"):
        phased = steps.with_phases(inputs.named.values(), inputs.ephemeris, config, progress)
        selected = steps.select_events(phased, config)
        events = steps.event_table(selected)
        phases = np.asarray(events["PHASE"])
    with recorder.step("Test for pulsations"):
        tables = {
            "observations": inputs.table,
            "selection": inputs.cuts,
            "phases": steps.phase_table(phased),
            "tests": steps.test_table(phases, config),
            "h_test": pulsar.h_test_growth(
                phases,
                steps.passed_livetime(selected),
                max_harmonics=config.tests.max_harmonics,
            ),
            "profile": steps.profile_table(phases, config.profile.n_bins),
        }
        regions = None if config.regions is None else config.regions.regions()
        if regions is not None:
            tables["regions"] = steps.region_table(regions, phases)
    fit = _fit_profile(phases, config, recorder, tables)
    parallel = {"n_jobs": n_jobs, "backend": backend, "progress": progress}
    scan = _scan(selected, inputs.ephemeris, config, recorder, tables, parallel)
    statistic, spectrum = _spectrum(phased, regions, config, recorder, tables, parallel)
    livetimes = steps.run_livetimes(phased)
    found = Findings(
        config=config,
        n_events=len(events),
        livetime=sum(livetimes.values(), start=0 * next(iter(livetimes.values()))),
        n_runs=len(livetimes),
        phases=tables["phases"],
        tests=tables["tests"],
        regions=regions,
        counts=tables.get("regions"),
        profile_fit=fit,
        scan=scan,
        spectrum=spectrum,
        statistic=statistic,
    )
    return _assemble(found, inputs, events, tables, recorder)


def _assemble(
    found: Findings, inputs: _Inputs, events: Table, tables: dict[str, Table], recorder: StepLog
) -> PulsarRun:
    """Put findings and products together, with the record of what they were made from."""
    status, statements, summary = summarise(found)
    files = data.files_behind(inputs.data_stores, inputs.named)
    files.append(expand_path(found.config.ephemeris.file))
    return PulsarRun(
        config=found.config,
        status=status,
        statements=statements,
        summary=summary,
        tables=tables,
        provenance=provenance(found.config, files, recorder),
        ephemeris=inputs.ephemeris,
        events=events,
        regions=found.regions,
        profile_fit=found.profile_fit,
        scan=found.scan,
        spectrum=found.spectrum,
    )


def _read(config: PulsarConfig, progress: bool = False) -> _Inputs:
    ephemeris = steps.read_ephemeris(config)
    stores = data.open_stores(config.data, progress)
    ids, cuts = data.select(stores, config.data, config.target.position)
    needed = "none" if config.spectrum is None else "spectrum"
    named = dl3.read_event_types(stores, ids, required_irf=needed, progress=progress)
    table = data.observation_table(named, config.target.position)
    return _Inputs(stores, named, cuts, table, ephemeris)


def _fit_profile(
    phases: np.ndarray, config: PulsarConfig, recorder: StepLog, tables: dict[str, Table]
) -> ProfileFit | None:
    if not config.profile.peaks:
        return None
    with recorder.step("Fit the profile"):
        fit = pulsar.fit_profile(phases, [peak.peak() for peak in config.profile.peaks])
        tables["peaks"] = fit.to_table()
    return fit


def _scan(
    observations: Observations,
    ephemeris: PulsarEphemeris,
    config: PulsarConfig,
    recorder: StepLog,
    tables: dict[str, Table],
    parallel: dict,
) -> FrequencyScan | None:
    if config.scan is None:
        return None
    with recorder.step("Search in frequency"):
        how = {name: value for name, value in parallel.items() if name != "backend"}
        scan = steps.search(observations, ephemeris, config, config.scan, **how)
        tables["scan"] = scan.to_table()
    return scan


def _spectrum(
    observations: Observations,
    regions: PhaseRegions | None,
    config: PulsarConfig,
    recorder: StepLog,
    tables: dict[str, Table],
    parallel: dict,
) -> tuple[WStatCountsStatistic | None, PhaseSpectrum | None]:
    """Return counts and spectrum of the on phases, the latter if there is something to fit."""
    wanted = config.spectrum
    if wanted is None or regions is None:
        return None, None
    with recorder.step("Reduce the on phases"):
        datasets = steps.reduce(observations, regions, config, wanted, **parallel)
        statistic = spectra.counts_statistic(datasets)
    if statistic.sqrt_ts < config.detection_threshold:
        return statistic, None
    with recorder.step("Fit the spectrum"):
        spectrum = steps.fit_spectrum(datasets, config, wanted, **parallel)
        tables["parameters"] = spectra.parameter_table(spectrum.models[0], None)
    return statistic, spectrum
