"""The steps of the recipe ``pulsar``, each a function of its inputs."""

import logging
from collections.abc import Iterable
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.data import Observation, Observations
from gammapy.datasets import Datasets
from gammapy.maps import RegionGeom
from gammapy.modeling.models import Models, SkyModel
from regions import CircleSkyRegion

from ctao_sat import dl5, pulsar
from ctao_sat.config import expand_path, spectral_model
from ctao_sat.errors import SelectionError
from ctao_sat.pulsar._bootstrap import profile_bins
from ctao_sat.pulsar._scan import count_trials
from ctao_sat.recipes.pulsar._config import (
    EphemerisConfig,
    PulsarConfig,
    ScanConfig,
    SpectrumConfig,
)
from ctao_sat.recipes.pulsar._result import PhaseSpectrum
from ctao_sat.workflow import _spectra as spectra

log = logging.getLogger(__name__)

# Of a search, for an event, a trial and a harmonic.
_SEARCH_SECONDS = 1.5e-10

# Header cards of phases: name of the column, and what it is.
_CARDS = {
    "PHERR": "phase_error",
    "PHERREPH": "solar_system",
    "PHERRCLK": "clock",
    "PHERRINT": "interpolation",
    "PHERRTIM": "time_precision",
    "PHERRROT": "earth_rotation",
    "PHERRPAR": "parameters",
    "PHSITE": "site",
    "PHEPHUSE": "solar_ephem",
    "PHBACK": "backend",
}


def read_ephemeris(config: PulsarConfig) -> pulsar.PulsarEphemeris:
    """Return the ephemeris; warn if its pulsar is not at the target."""
    ephemeris = pulsar.PulsarEphemeris.read(config.ephemeris.file)
    solution = ephemeris.solutions[0]
    if np.isfinite(solution.ra) and np.isfinite(solution.dec):
        position = SkyCoord(solution.ra, solution.dec, unit="rad")
        apart = position.separation(config.target.position)
        if apart > config.events.radius:
            log.warning(
                "The target is %.3g deg from %s, the pulsar of the par file.",
                apart.deg,
                ephemeris.name,
            )
    return ephemeris


def with_phases(
    observations: Iterable[Observation],
    ephemeris: pulsar.PulsarEphemeris,
    config: PulsarConfig,
    progress: bool = False,
) -> Observations:
    """Return the observations with the phases of their events."""
    wanted = config.ephemeris
    return pulsar.assign_phases(
        list(observations),
        ephemeris,
        **_places(wanted),
        max_phase_error=wanted.max_phase_error,
        backend=wanted.backend,
        extrapolate=wanted.extrapolate,
        time_offset=wanted.time_offset,
        overwrite=wanted.replace_phases,
        progress=progress,
    )


def _places(wanted: EphemerisConfig) -> dict[str, Any]:
    """Return what the times of arrival are referred to."""
    kernel = wanted.solar_ephem
    return {
        "site": wanted.site,
        "solar_ephem": expand_path(kernel) if "$" in kernel else kernel,
        "barycentre": wanted.barycentre,
        "offline": wanted.offline,
    }


def select_events(observations: Observations, config: PulsarConfig) -> Observations:
    """Return the observations with the events near the target, of the energies asked for."""
    wanted = config.events
    selected = pulsar.select_events(
        observations,
        config.target.position,
        wanted.radius,
        energy_range=(wanted.energy_min, wanted.energy_max),
    )
    if not any(len(observation.events.table) for observation in selected):
        raise SelectionError(
            f"No event is within {wanted.radius:.3g} of {config.target.name}, at the energies "
            "asked for.",
            remedy="Check `target.position`, and widen `events`.",
        )
    return selected


def phase_table(observations: Observations) -> Table:
    """Return what the phases of each observation were made of, and how wrong they may be."""
    rows = []
    for observation in observations:
        cards = observation.events.table.meta
        rows.append([int(observation.obs_id), *(cards.get(key, "none") for key in _CARDS)])
    table = Table(rows=rows, names=["obs_id", *_CARDS.values()])
    for name in list(_CARDS.values())[:7]:
        table[name].info.format = ".2g"
    return table


def event_table(observations: Observations) -> Table:
    """Return the events of all observations with their phases."""
    parts = [observation.events for observation in observations]
    times = [part.time.tt for part in parts]
    table = Table()
    table["OBS_ID"] = np.repeat([int(o.obs_id) for o in observations], [len(t) for t in times])
    table["TIME"] = Time(
        np.concatenate([time.jd1 for time in times]),
        np.concatenate([time.jd2 for time in times]),
        format="jd",
        scale="tt",
    )
    table["PHASE"] = np.concatenate([pulsar.event_phases(one) for one in observations])
    table["ENERGY"] = u.Quantity(
        np.concatenate([part.energy.to_value("TeV") for part in parts]), "TeV"
    )
    table["RA"] = u.Quantity(np.concatenate([part.radec.ra.deg for part in parts]), "deg")
    table["DEC"] = u.Quantity(np.concatenate([part.radec.dec.deg for part in parts]), "deg")
    return table


def run_livetimes(observations: Iterable[Observation]) -> dict[int, u.Quantity]:
    """Return the livetime of each run in the order of time; its event types share it."""
    ordered = sorted(observations, key=lambda observation: observation.tstart.mjd)
    return {int(one.obs_id): one.observation_live_time_duration.to("h") for one in ordered}


def passed_livetime(observations: Observations) -> u.Quantity:
    """Return the livetime that had passed at each event, in the order of `event_table`."""
    livetimes = run_livetimes(observations)
    hours = np.array([livetime.value for livetime in livetimes.values()])
    before = dict(zip(livetimes, np.cumsum(hours) - hours, strict=True))
    passed = []
    for observation in observations:
        gti, obs_id = observation.gti, int(observation.obs_id)
        zero = gti.time_start[0]
        start, stop = ((edge - zero).to_value("s") for edge in (gti.time_start, gti.time_stop))
        on = np.concatenate([[0.0], np.cumsum(stop - start)])
        knots = np.column_stack([start, stop]).ravel()
        elapsed = np.column_stack([on[:-1], on[1:]]).ravel()
        seconds = (observation.events.time - zero).to_value("s")
        share = np.interp(seconds, knots, elapsed) / on[-1]
        passed.append(before[obs_id] + share * livetimes[obs_id].value)
    return np.concatenate(passed) * u.h


def test_table(phases: np.ndarray, config: PulsarConfig) -> Table:
    """Return the tests of phases against a uniform distribution, the H test first."""
    wanted = config.tests
    h = pulsar.h_test(phases, max_harmonics=wanted.max_harmonics)
    rows = [(f"H, up to {wanted.max_harmonics} harmonics", *h, h.significance)]
    for number in wanted.z2_harmonics:
        z2 = pulsar.z2_test(phases, number)
        rows.append((f"Z², {number} harmonics", *z2, z2.significance))
    table = Table(rows=rows, names=["test", "statistic", "p_value", "significance"])
    table["statistic"].info.format = ".4f"
    table["p_value"].info.format = ".3g"
    table["significance"].info.format = ".2f"
    return table


def region_table(regions: pulsar.PhaseRegions, phases: np.ndarray) -> Table:
    """Return counts, excess and significance (Li & Ma) of the on phases."""
    counts = regions.statistic(phases)
    row = (
        int(counts.n_on), int(counts.n_off), float(counts.alpha), float(counts.n_sig),
        float(counts.error), float(counts.sqrt_ts), float(counts.p_value),
    )  # fmt: skip
    names = ["n_on", "n_off", "alpha", "excess", "excess_err", "significance", "p_value"]
    return Table(rows=[row], names=names)


def profile_table(phases: np.ndarray, n_bins: int | None) -> Table:
    """Return the folded light curve, in the bins of its plot."""
    return pulsar.folded_light_curve(phases, n_bins or profile_bins(len(phases)))


def search(
    observations: Observations,
    ephemeris: pulsar.PulsarEphemeris,
    config: PulsarConfig,
    wanted: ScanConfig,
    **parallel: Any,
) -> pulsar.FrequencyScan:
    """Return the search in frequency."""
    return pulsar.frequency_scan(
        observations,
        ephemeris,
        f0=u.Quantity(wanted.f0),
        f1=None if wanted.f1 is None else u.Quantity(wanted.f1),
        statistic=wanted.statistic,
        n_harmonics=wanted.n_harmonics,
        oversampling=wanted.oversampling,
        **_places(config.ephemeris),
        **parallel,
    )


def search_seconds(
    observations: Iterable[Observation], config: PulsarConfig, wanted: ScanConfig
) -> float:
    """Return about how long a search takes; raise an error if it has too many trials."""
    selected = select_events(Observations(list(observations)), config)
    starts, stops = zip(*((one.tstart, one.tstop) for one in selected), strict=True)
    trials = count_trials(
        (max(stops) - min(starts)).to("s"),
        u.Quantity(wanted.f0),
        None if wanted.f1 is None else u.Quantity(wanted.f1),
        wanted.oversampling,
    )
    events = sum(len(one.events.table) for one in selected)
    return _SEARCH_SECONDS * wanted.n_harmonics * trials * events


def reduce(
    observations: Observations,
    regions: pulsar.PhaseRegions,
    config: PulsarConfig,
    wanted: SpectrumConfig,
    **parallel: Any,
) -> Datasets:
    """Return counts of the on phases over energy, with the background of the off phases."""
    region = CircleSkyRegion(config.target.position, config.events.radius)
    reduction = wanted.reduction
    datasets = pulsar.reduce_phases(
        observations,
        RegionGeom.create(region, axes=[reduction.energy.axis("energy")]),
        regions,
        average=wanted.average,
        energy_axis_true=reduction.energy_true.axis("energy_true"),
        safe_mask=spectra.safe_mask(wanted),
        containment_correction=reduction.containment_correction,
        **parallel,
    )
    return spectra.with_fit_range(datasets, wanted)


def fit_spectrum(
    datasets: Datasets, config: PulsarConfig, wanted: SpectrumConfig, **parallel: Any
) -> PhaseSpectrum:
    """Return the spectrum of the on phases; without flux points if the fit fails."""
    model = SkyModel(spectral_model=spectral_model(wanted.fit.model), name=config.target.name)
    fitted = Datasets([datasets.stack_reduce(name="stacked")]) if wanted.fit.stack else datasets
    if wanted.fit.stack:
        fitted = spectra.with_fit_range(fitted, wanted)
    fitted.models = [model]
    found = dl5.fit(fitted)
    points = None
    if found.success:
        limits = spectra.fit_range(fitted)
        points = dl5.flux_points(
            fitted,
            spectra.flux_edges(fitted, wanted, limits),
            config.target.name,
            selection_optional=("errn-errp", "ul"),
            n_sigma_ul=wanted.flux_points.n_sigma_ul,
            **parallel,
        )
    return PhaseSpectrum(
        datasets=datasets, models=Models([model]), fit_result=found, flux_points=points
    )
