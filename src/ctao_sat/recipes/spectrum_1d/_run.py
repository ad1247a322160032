"""Run the recipe ``spectrum-1d``: call the steps in their order, and say what came out."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import astropy.units as u
from astropy.table import Table
from gammapy.data import DataStore, Observation, Observations
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.maps import WcsNDMap
from gammapy.modeling import FitResult
from gammapy.modeling.models import Models, SkyModel

from ctao_sat import dl3, dl4, dl5
from ctao_sat.config import expand_path
from ctao_sat.errors import ConfigError, DataError
from ctao_sat.recipes.spectrum_1d import _steps as steps
from ctao_sat.recipes.spectrum_1d._config import Spectrum1DConfig
from ctao_sat.recipes.spectrum_1d._statements import Findings, summarise
from ctao_sat.workflow import Plan, SpectrumRun, StepLog, provenance
from ctao_sat.workflow import _inputs as data
from ctao_sat.workflow import _spectra as spectra

__all__ = ["plan", "run"]

log = logging.getLogger(__name__)

_OPTIONAL = ("errn-errp", "ul")


@dataclass(frozen=True)
class _Parallel:
    """How to spread the work."""

    n_jobs: int = 1
    backend: str = "auto"
    progress: bool = False

    def options(self) -> dict:
        return {"n_jobs": self.n_jobs, "backend": self.backend, "progress": self.progress}


@dataclass
class _Inputs:
    """What the reduction starts from."""

    data_stores: dict[str, DataStore]
    named: dict[str, Observation]
    cuts: Table
    table: Table
    model: SkyModel
    reference: SkyModel | None
    exclusion: WcsNDMap | None
    left_out: list[str] = field(default_factory=list)

    @property
    def observations(self) -> Observations:
        """All event types of a run next to each other."""
        return Observations(list(self.named.values()))

    @property
    def runs(self) -> dict[str, int]:
        """Observation ID of each dataset, by its name."""
        return {name: int(observation.obs_id) for name, observation in self.named.items()}


def plan(config: Spectrum1DConfig, *, n_jobs: int = 1) -> Plan:
    """Select the observations without analysing them, and estimate time and memory.

    Parameters
    ----------
    config : Spectrum1DConfig
        The configuration.
    n_jobs : int
        Number of workers to estimate for.

    Returns
    -------
    plan : `~ctao_sat.workflow.Plan`
        What would be analysed.
    """
    inputs = _read(config)
    start = time.perf_counter()
    first = _reduce(config, inputs.observations[:1], inputs.exclusion, _Parallel())
    reduction = time.perf_counter() - start
    first.models = [inputs.model]
    start = time.perf_counter()
    first.stat_sum()
    evaluation = time.perf_counter() - start
    n = len(inputs.observations)
    # Gammapy needs some 220 evaluations of all datasets for a flux point with its limit.
    n_points = len(spectra.flux_edges(first, config, spectra.fit_range(first)))
    points = 220 * evaluation * n * (n_points + 2)
    dataset = first[0]
    size = dataset.edisp.edisp_map.data.nbytes + 10 * dataset.exposure.data.nbytes
    return Plan(
        observations=inputs.table,
        cuts=inputs.cuts,
        seconds=(reduction * n + points) / max(1, min(n_jobs, n)),
        megabytes=n * size / 1e6,
    )


def run(
    config: Spectrum1DConfig,
    *,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
    log_steps: StepLog | None = None,
) -> SpectrumRun:
    """Analyse the observations of a source.

    Parameters
    ----------
    config : Spectrum1DConfig
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
    run : `~ctao_sat.workflow.SpectrumRun`
        Products and findings. Nothing is written to disk.

    Raises
    ------
    DataError, ConfigError
        If the input does not allow the analysis; the message says why, and what to do.
    """
    parallel = _Parallel(n_jobs, backend, progress)
    recorder = log_steps or StepLog()
    with recorder.step("Select observations"):
        inputs = _read(config, progress)
    with recorder.step("Reduce observations"):
        datasets = _reduce(
            config, inputs.observations, inputs.exclusion, parallel, names=inputs.named
        )
        limits = spectra.fit_range(datasets)
        inputs.left_out.extend(set(inputs.named) - set(datasets.names))
        livetimes = data.run_livetimes(datasets, inputs.runs)
    with recorder.step("Theta-squared distribution"):
        theta_squared = steps.theta_squared(inputs.observations, config, limits)
    with recorder.step("Fit the spectrum"):
        statistic = spectra.counts_statistic(datasets)
        detected = bool(statistic.sqrt_ts >= config.detection_threshold)
        fitted, result = _fit(config, datasets, inputs.model, detected)
    products = _products(config, inputs, datasets, fitted, limits, result, recorder, parallel)
    findings = Findings(
        config=config,
        statistic=statistic,
        detected=detected,
        limits=limits,
        livetime=sum(livetimes.values(), start=0 * u.s),
        n_runs=len(livetimes),
        result=result,
        model=inputs.model,
        n_bins=sum(int(dataset.mask.data.sum()) for dataset in fitted),
        total=products.total,
        limit=products.limit,
        points=products.points,
        curve=products.curve,
        left_out=sorted(inputs.left_out),
        failed=products.failed,
    )
    tables = {
        "observations": inputs.table,
        "selection": inputs.cuts,
        "significance": steps.significance(datasets, inputs.runs, livetimes),
        "parameters": spectra.parameter_table(inputs.model, inputs.reference),
    }
    if theta_squared is not None:
        tables["theta_squared"] = theta_squared
    return _assemble(findings, inputs, datasets, tables, recorder)


def _assemble(
    findings: Findings,
    inputs: _Inputs,
    datasets: Datasets,
    tables: dict[str, Table],
    recorder: StepLog,
) -> SpectrumRun:
    """Put findings and products together, with the record of what they were made from."""
    config = findings.config
    status, statements, summary = summarise(findings)
    files = data.files_behind(inputs.data_stores, inputs.named)
    others = (config.reference_model, config.background.exclusion.file)
    files += [expand_path(path) for path in others if path is not None]
    return SpectrumRun(
        config=config,
        status=status,
        statements=statements,
        summary=summary,
        models=Models([inputs.model]),
        datasets=datasets,
        fit_result=findings.result,
        flux_points=findings.points,
        light_curve=findings.curve,
        tables=tables,
        provenance=provenance(config, files, recorder),
        reference=inputs.reference,
        exclusion=inputs.exclusion,
    )


def _read(config: Spectrum1DConfig, progress: bool = False) -> _Inputs:
    stores = data.open_stores(config.data, progress)
    ids, cuts = data.select(stores, config.data, config.target.position)
    kind = "point-like" if config.on_region.method == "rad_max" else "spectrum"
    named = dl3.read_event_types(stores, ids, required_irf=kind, progress=progress)
    return _Inputs(
        data_stores=stores,
        named=named,
        cuts=cuts,
        table=data.observation_table(named, config.target.position),
        model=steps.build_model(config),
        reference=steps.read_reference(config),
        exclusion=steps.exclusion(config.background.exclusion, config.target.position),
    )


def _reduce(
    config: Spectrum1DConfig,
    observations: Observations,
    exclusion: WcsNDMap | None,
    parallel: _Parallel,
    names: Iterable[str] | None = None,
) -> Datasets:
    datasets = dl4.reduce(
        observations,
        steps.geometry(config),
        energy_axis_true=config.reduction.energy_true.axis("energy_true"),
        exclusion=exclusion,
        safe_mask=spectra.safe_mask(config),
        containment_correction=config.reduction.containment_correction,
        n_off_regions=config.background.n_off_regions,
        names=names,
        **parallel.options(),
    )
    return spectra.with_fit_range(datasets, config)


def _fit(
    config: Spectrum1DConfig, datasets: Datasets, model: SkyModel, detected: bool
) -> tuple[Datasets, FitResult | None]:
    """Set the model on the datasets, and fit it if there is something to fit."""
    fitted = Datasets([datasets.stack_reduce(name="stacked")]) if config.fit.stack else datasets
    if config.fit.stack:
        fitted = spectra.with_fit_range(fitted, config)
    fitted.models = [model]
    if not detected:
        log.warning(
            "No detection: the spectral shape stays as configured, and limits are given for it."
        )
        return fitted, None
    return fitted, dl5.fit(fitted)


@dataclass
class _Products:
    """What is estimated with the fitted shape; None where that failed, with the reason."""

    points: FluxPoints | None = None
    total: FluxPoints | None = None
    limit: u.Quantity | None = None
    curve: FluxPoints | None = None
    failed: list[str] = field(default_factory=list)


def _products(
    config: Spectrum1DConfig,
    inputs: _Inputs,
    datasets: Datasets,
    fitted: Datasets,
    limits: u.Quantity,
    result: FitResult | None,
    recorder: StepLog,
    parallel: _Parallel,
) -> _Products:
    """Estimate fluxes with the fitted shape, unless there is none to trust."""
    products = _Products()
    if result is not None and not result.success:
        return products
    with recorder.step("Flux points"):
        edges = spectra.flux_edges(datasets, config, limits)
        try:
            products.points = _flux_points(fitted, edges, config, parallel)
            products.total = _flux_points(fitted, limits, config, parallel)
            products.limit = steps.flux_limit(
                fitted,
                config.target.name,
                limits,
                norm=float(products.total.norm.data.squeeze()),
                n_sigma=config.flux_points.n_sigma_ul,
            )
        except (ConfigError, ValueError) as error:
            # Gammapy 2.1 cannot do so for every model, BrokenPowerLawSpectralModel for one.
            products.points = None
            products.failed.append(_failure("flux points", error))
    if config.light_curve is None:
        return products
    with recorder.step("Light curve"):
        try:
            products.curve = _light_curve(config, inputs, datasets, limits, parallel)
        except (ConfigError, ValueError) as error:
            products.failed.append(_failure("light curve", error))
    return products


def _failure(product: str, error: Exception) -> str:
    why = str(error).rstrip(".")
    text = f"Gammapy could not estimate the {product} for this spectral model: {why}."
    log.warning(text)
    return text


def _flux_points(
    fitted: Datasets,
    edges: u.Quantity,
    config: Spectrum1DConfig,
    parallel: _Parallel,
) -> FluxPoints:
    return dl5.flux_points(
        fitted,
        edges,
        config.target.name,
        selection_optional=_OPTIONAL,
        n_sigma_ul=config.flux_points.n_sigma_ul,
        **parallel.options(),
    )


def _light_curve(
    config: Spectrum1DConfig,
    inputs: _Inputs,
    datasets: Datasets,
    limits: u.Quantity,
    parallel: _Parallel,
) -> FluxPoints | None:
    wanted = config.light_curve
    if wanted is None:
        return None
    pieces = datasets
    if wanted.by not in ("run", "night"):
        kept = [obs for name, obs in inputs.named.items() if name in datasets.names]
        cut = steps.split(Observations(kept), u.Quantity(wanted.by))
        pieces = _reduce(config, cut, inputs.exclusion, parallel)
    pieces.models = [inputs.model]
    low = limits[0] if wanted.energy_min is None else max(limits[0], wanted.energy_min)
    high = limits[1] if wanted.energy_max is None else min(limits[1], wanted.energy_max)
    if not low < high:
        raise DataError(
            "The energy range of the light curve is outside the range of the fit.",
            remedy="Change `light_curve.energy_min` and `light_curve.energy_max`.",
        )
    return dl5.light_curve(
        pieces,
        u.Quantity([low, high]),
        config.target.name,
        time_intervals=steps.group_times(pieces, wanted.by),
        selection_optional=_OPTIONAL,
        n_sigma_ul=config.flux_points.n_sigma_ul,
        **parallel.options(),
    )
