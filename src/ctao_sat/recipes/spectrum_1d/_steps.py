"""The steps of the recipe ``spectrum-1d``, each a function of its inputs."""

import itertools
import logging
from collections.abc import Mapping

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.data import Observations
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.maps import MapAxis, RegionGeom, WcsNDMap
from gammapy.modeling.models import ScaleSpectralModel, SkyModel
from regions import CircleSkyRegion, PointSkyRegion
from scipy.optimize import brentq

from ctao_sat._gammapy import ThetaSquaredTable
from ctao_sat.config import expand_path, read_models, spectral_model
from ctao_sat.dl4 import catalog_regions, exclusion_mask
from ctao_sat.errors import ConfigError, did_you_mean
from ctao_sat.recipes.spectrum_1d._config import ExclusionConfig, Spectrum1DConfig

log = logging.getLogger(__name__)

_THETA_SQUARED_BIN = 0.005 * u.deg**2
_N_THETA_SQUARED_BINS = 40
_FLUX_UNIT = u.Unit("cm-2 s-1")
_MIN_THETA_SQUARED_BINS = 4
# Off regions lie in the field of view of pointings that are up to a few degrees away.
_CATALOG_RADIUS = 4 * u.deg


def geometry(config: Spectrum1DConfig) -> RegionGeom:
    """Return the on region with the axis of reconstructed energy."""
    position = config.target.position
    if config.on_region.method == "rad_max":
        region = PointSkyRegion(position)
    else:
        region = CircleSkyRegion(position, config.on_region.radius)
    return RegionGeom.create(region, axes=[config.reduction.energy.axis("energy")])


def exclusion(config: ExclusionConfig, center: SkyCoord) -> WcsNDMap | None:
    """Return the exclusion mask, or None if nothing is excluded."""
    if config.file is not None:
        return exclusion_mask(expand_path(config.file), center)
    regions = [CircleSkyRegion(position, radius) for position, radius in config.circles]
    regions += catalog_regions(config.catalogs, center, _CATALOG_RADIUS)
    return exclusion_mask(regions, center)


def theta_squared(
    observations: Observations, config: Spectrum1DConfig, limits: u.Quantity
) -> Table | None:
    """Return on and off counts over the squared distance to the target.

    The off position is the target mirrored at the pointing. The radius of the on region is a bin
    edge. None if every run points too close to the target for its mirror to be free of it.
    """
    radius = config.on_region.radius
    width = _THETA_SQUARED_BIN if radius is None else radius**2 / 2
    # Beyond its offset a run's on and off counts would overlap; Gammapy refuses that.
    shortest = np.sqrt(_MIN_THETA_SQUARED_BINS * width)
    offsets = {
        observation.obs_id: observation.get_pointing_icrs(observation.tmid).separation(
            config.target.position
        )
        for observation in observations
    }
    usable = [obs for obs in observations if offsets[obs.obs_id] > shortest]
    close = [obs_id for obs_id, offset in offsets.items() if not offset > shortest]
    if close:
        log.warning(
            "Theta-squared leaves out %d of %d runs, which point too close to the target.",
            len(close),
            len(offsets),
        )
    if not usable:
        return None
    reach = min(offsets[obs.obs_id] for obs in usable) ** 2
    n_bins = min(_N_THETA_SQUARED_BINS, int((reach / width).to_value("")))
    bins = MapAxis.from_bounds(
        0,
        n_bins * width.to_value("deg2"),
        nbin=n_bins,
        interp="lin",
        unit="deg2",
        name="theta_squared",
    )
    return ThetaSquaredTable(
        observations=Observations(usable),
        theta_squared_axis=bins,
        position=config.target.position,
        energy_edges=limits,
    ).run()


def build_model(config: Spectrum1DConfig) -> SkyModel:
    """Return the source model at its start values."""
    return SkyModel(spectral_model=spectral_model(config.fit.model), name=config.target.name)


def read_reference(config: Spectrum1DConfig) -> SkyModel | None:
    """Return the model to compare with: that of the target's name, or the only one."""
    if config.reference_model is None:
        return None
    models = [m for m in read_models(config.reference_model) if isinstance(m, SkyModel)]
    by_name = {model.name: model for model in models}
    if config.target.name in by_name:
        return by_name[config.target.name]
    if len(models) == 1:
        return models[0]
    raise ConfigError(
        f"No model '{config.target.name}' in '{config.reference_model}'.",
        remedy=did_you_mean(config.target.name, by_name),
    )


def significance(
    datasets: Datasets, runs: Mapping[str, int], livetimes: Mapping[int, u.Quantity]
) -> Table:
    """Return counts and significance run after run, in the safe range of each.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        One an observation and event type, those of an observation next to each other.
    runs : mapping of int
        Observation ID of each dataset, by its name.
    livetimes : mapping of Quantity[time]
        Of each observation.
    """
    # Gammapy divides by the off events also where there are none.
    with np.errstate(invalid="ignore", divide="ignore"):
        table = datasets.info_table(cumulative=True)
    if len(livetimes) == len(datasets):
        return table
    # One row a run, when its last event type is in; Gammapy counted its time for each type.
    last = {runs[dataset.name]: row for row, dataset in enumerate(datasets)}
    table = table[list(last.values())]
    factor = (
        np.cumsum(u.Quantity(list(livetimes.values()))) / table["livetime"].quantity
    ).to_value("")
    for name in ("livetime", "ontime"):
        table[name] = table[name].quantity * factor
    for name in (name for name in table.colnames if name.endswith("_rate")):
        table[name] = table[name].quantity / factor
    return table


def flux_limit(
    datasets: Datasets, source: str, limits: u.Quantity, *, norm: float, n_sigma: float
) -> u.Quantity:
    """Return the upper limit of an integral flux that is not negative.

    The limit is where the fit statistic has grown by ``n_sigma**2`` from its lowest value among
    fluxes that are not negative: after a downward fluctuation, from zero flux.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models. They are not changed.
    source : str
        Name of the model.
    limits : Quantity[energy], shape (2,)
        Energies of the integral.
    norm : float
        Best factor on the model's flux.
    n_sigma : float
        Number of standard deviations.

    Returns
    -------
    flux : Quantity[photon flux]
        NaN if no factor up to 1e12 reaches the limit.
    """
    scaled = Datasets([dataset.copy(name=dataset.name) for dataset in datasets])
    spectrum = datasets.models[source].spectral_model
    scale = ScaleSpectralModel(model=spectrum)
    scaled.models = [SkyModel(scale, name=source)]

    def growth(factor: float) -> float:
        scale.norm.value = factor
        return scaled.stat_sum() - lowest

    lowest = 0.0
    best = max(norm, 0.0)
    lowest = growth(best)
    high = max(best, 1e-3)
    while growth(high) < n_sigma**2:
        high *= 2
        if high > 1e12:
            return np.nan * _FLUX_UNIT
    factor = brentq(lambda value: growth(value) - n_sigma**2, best, high)
    return factor * spectrum.integral(*limits).to(_FLUX_UNIT)


def split(observations: Observations, width: u.Quantity) -> Observations:
    """Return the observations cut into pieces of equal length, none longer than the width."""
    pieces = Observations()
    for observation in observations:
        start, stop = observation.tstart, observation.tstop
        n = max(1, int(np.ceil((stop - start).to_value("s") / width.to_value("s") - 1e-9)))
        edges = start + (stop - start) * np.linspace(0, 1, n + 1)
        for low, high in itertools.pairwise(edges):
            pieces.append(observation.select_time(Time([low, high])))
    return pieces


def group_times(datasets: Datasets, by: str) -> list[Time]:
    """Return time intervals that hold whole datasets: runs, nights, or of a given width.

    A night lasts from noon to noon, UTC.
    """
    spans = sorted((dataset.gti.time_start[0], dataset.gti.time_stop[-1]) for dataset in datasets)
    groups: list[list[Time]] = []
    for start, stop in spans:
        if groups and _belongs(groups[-1], start, stop, by):
            groups[-1][1] = max(groups[-1][1], stop)
        else:
            groups.append([start, stop])
    return [Time(group) for group in groups]


def _belongs(group: list[Time], start: Time, stop: Time, by: str) -> bool:
    if by == "run":
        # Event types of the same run; runs do not overlap.
        return bool(start < group[1])
    if by == "night":
        return int(group[0].utc.mjd - 0.5) == int(start.utc.mjd - 0.5)
    return bool((stop - group[0]) <= u.Quantity(by) * (1 + 1e-9))


def constant_chi2(light_curve: FluxPoints) -> tuple[float, int]:
    """Return chi-square and degrees of freedom of a constant flux through the light curve.

    Points without a positive error do not count.
    """
    norm = light_curve.norm.data[:, 0].ravel()
    error = light_curve.norm_err.data[:, 0].ravel()
    good = np.isfinite(norm) & np.isfinite(error) & (error > 0)
    if np.count_nonzero(good) < 2:
        return np.nan, 0
    weight = error[good] ** -2
    mean = np.sum(weight * norm[good]) / np.sum(weight)
    return float(np.sum(weight * (norm[good] - mean) ** 2)), int(np.count_nonzero(good) - 1)
