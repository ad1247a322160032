"""Reduce observations to binned datasets with Gammapy's makers, one observation a work item."""

import logging
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.data import Observation, Observations
from gammapy.datasets import Datasets, SpectrumDataset, SpectrumDatasetOnOff
from gammapy.makers import (
    Maker,
    ReflectedRegionsBackgroundMaker,
    SafeMaskMaker,
    SpectrumDatasetMaker,
    WobbleRegionsFinder,
)
from gammapy.maps import MapAxis, RegionGeom, WcsNDMap
from regions import CircleSkyRegion, PointSkyRegion, SkyRegion

from ctao_sat.dl4._exclusion import exclusion_mask
from ctao_sat.errors import ConfigError, CtaoSatWarning, DataError, MissingHDUError
from ctao_sat.parallel import pmap

__all__ = ["dataset_names", "default_true_axis", "reduce"]

log = logging.getLogger(__name__)

_MIN_RADIUS = 0.01 * u.deg


@dataclass(frozen=True)
class _Task:
    """All that a worker needs to reduce one observation."""

    observation: Observation
    empty: SpectrumDataset
    makers: tuple[Maker, ...]


def reduce(
    observations: Observations | Iterable[Observation],
    geometry: RegionGeom,
    *,
    energy_axis_true: MapAxis | None = None,
    background: Maker | str = "reflected",
    exclusion: WcsNDMap | str | os.PathLike | Iterable[SkyRegion] | None = None,
    safe_mask: SafeMaskMaker | None = None,
    containment_correction: bool | None = None,
    n_off_regions: int = 1,
    names: Iterable[str] | None = None,
    stack: bool = False,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> Datasets:
    """Reduce observations to one spectrum dataset each, with background from off regions.

    Parameters
    ----------
    observations : `~gammapy.data.Observations`
        What to reduce. They are not changed.
    geometry : `~gammapy.maps.RegionGeom`
        On region with the axis of reconstructed energy: a circle, or a point for IRFs with
        an energy-dependent ``RAD_MAX`` cut.
    energy_axis_true : `~gammapy.maps.MapAxis`, optional
        Axis ``energy_true``. Default: the range of the energy axis widened by a factor five at
        both ends, 20 bins a decade.
    background : {"reflected"} or `~gammapy.makers.Maker`
        Reflected regions (for a point: ``n_off_regions`` on the circle around the pointing),
        or any Gammapy background maker of spectra.
    exclusion : mask, path-like or iterable of `~regions.SkyRegion`, optional
        Where no off region may lie; see `exclusion_mask`.
    safe_mask : `~gammapy.makers.SafeMaskMaker`, optional
        Default: where the effective area is above 10 % of its maximum.
    containment_correction : bool, optional
        Correct the effective area for the part of the PSF outside the on region. Default: yes
        for full-enclosure IRFs and a circle, no for point-like ones.
    n_off_regions : int
        Number of off regions for a point geometry.
    names : iterable of str, optional
        Names of the datasets, each once. Default: the observation IDs, numbered where an ID stands
        twice.
    stack : bool
        Stack to one dataset, named "stacked".
    n_jobs : int
        Number of workers, see `ctao_sat.parallel.pmap`.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute.
    progress : bool
        Show a progress bar.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
        One `~gammapy.datasets.SpectrumDatasetOnOff` an observation, or one for all.
        Observations without any off region are left out, with a warning.

    Raises
    ------
    ConfigError
        If the geometry is no region with an energy axis, the background is unknown, or the
        names are not one for each observation.
    MissingHDUError
        If the containment correction needs a PSF that is not there.
    DataError
        If no observation has an off region, or an exposure is not finite.
    """
    observations = Observations(list(observations))
    _check_geometry(geometry)
    energy_axis_true = energy_axis_true or default_true_axis(geometry.axes["energy"])
    makers = (
        SpectrumDatasetMaker(
            selection=["counts", "exposure", "edisp"],
            containment_correction=_containment(containment_correction, geometry, observations),
            use_region_center=True,
        ),
        _background_maker(background, geometry, exclusion, n_off_regions),
        safe_mask or SafeMaskMaker(methods=["aeff-max"], aeff_percent=10),
    )
    tasks = [
        _Task(
            observation,
            SpectrumDataset.create(geometry, energy_axis_true=energy_axis_true, name=name),
            makers,
        )
        for name, observation in zip(dataset_names(observations, names), observations, strict=True)
    ]
    reduced = pmap(
        _reduce_one,
        tasks,
        n_jobs=n_jobs,
        backend=backend,
        description="Reduction",
        progress=progress,
    )
    datasets = Datasets(_with_background(reduced))
    return Datasets([datasets.stack_reduce(name="stacked")]) if stack else datasets


def _reduce_one(task: _Task) -> SpectrumDatasetOnOff:
    dataset = task.empty.copy(name=task.empty.name)
    for maker in task.makers:
        dataset = maker.run(dataset, task.observation)
    if not np.isfinite(dataset.exposure.data).all():
        raise DataError(
            f"The exposure of observation {task.observation.obs_id} is not finite.",
            remedy="Its effective area, or the containment of its PSF, is not valid at this "
            "offset: exclude the run.",
        )
    return dataset


def dataset_names(observations: Observations, wanted: Iterable[str] | None) -> list[str]:
    """Return dataset names: those wanted, or the observation IDs, numbered where one recurs."""
    if wanted is not None:
        given = list(wanted)
        if len(set(given)) != len(given) or len(given) != len(observations):
            raise ConfigError(
                f"There are {len(set(given))} names for {len(observations)} observations.",
                remedy="Give each observation a name of its own.",
            )
        return given
    ids = [str(observation.obs_id) for observation in observations]
    seen: dict[str, int] = {}
    numbered = []
    for obs_id in ids:
        seen[obs_id] = seen.get(obs_id, 0) + 1
        numbered.append(obs_id if seen[obs_id] == 1 else f"{obs_id}-{seen[obs_id]}")
    return numbered


def _check_geometry(geometry: RegionGeom) -> None:
    if not isinstance(geometry, RegionGeom) or geometry.region is None:
        raise ConfigError(
            f"The geometry is a {type(geometry).__name__}; spectra need a region.",
            remedy="Give a gammapy.maps.RegionGeom of the on region with an energy axis.",
        )
    if isinstance(geometry.region, CircleSkyRegion) and geometry.region.radius < _MIN_RADIUS:
        raise ConfigError(
            f"The on region has a radius of {geometry.region.radius:.3g}.",
            remedy=f"Take at least {_MIN_RADIUS}, the pixels in which off regions are found.",
        )
    if "energy" not in geometry.axes.names:
        raise ConfigError(
            "The geometry has no energy axis.",
            remedy="Add one with MapAxis.from_energy_bounds('0.1 TeV', '100 TeV', nbin=30).",
        )


def default_true_axis(energy_axis: MapAxis) -> MapAxis:
    low, high = energy_axis.bounds
    return MapAxis.from_energy_bounds(
        low / 5, high * 5, nbin=20, per_decade=True, name="energy_true"
    )


def _containment(wanted: bool | None, geometry: RegionGeom, observations: Observations) -> bool:
    """Decide on the containment correction; never for point-like IRFs, which contain it."""
    point_like = [
        str(observation.obs_id)
        for observation in observations
        if observation.aeff is not None and observation.aeff.is_pointlike
    ]
    circle = isinstance(geometry.region, CircleSkyRegion)
    if wanted and point_like:
        raise ConfigError(
            f"The IRFs of observation {point_like[0]} are point-like: they are corrected already.",
            remedy="Do not ask for a containment correction.",
        )
    if wanted and not circle:
        raise ConfigError(
            "The containment correction needs a circle as on region.",
            remedy="Take a CircleSkyRegion, or leave the correction out.",
        )
    correct = circle and not point_like if wanted is None else wanted
    bare = [str(observation.obs_id) for observation in observations if observation.psf is None]
    if correct and bare:
        raise MissingHDUError(
            f"Observation {bare[0]} has no point spread function (psf), which the containment "
            "correction needs.",
            remedy="Complete the data, or do without: `reduction.containment_correction: false`.",
        )
    return correct


def _background_maker(
    background: Maker | str,
    geometry: RegionGeom,
    exclusion: WcsNDMap | str | os.PathLike | Iterable[SkyRegion] | None,
    n_off_regions: int,
) -> Maker:
    mask = None
    if exclusion is not None:
        mask = exclusion_mask(exclusion, geometry.center_skydir.icrs)
    if isinstance(background, Maker):
        if mask is not None:
            raise ConfigError(
                "An exclusion goes with background='reflected' only.",
                remedy="Give the exclusion mask to the background maker itself.",
            )
        return background
    if background != "reflected":
        raise ConfigError(
            f"Unknown background '{background}'.", remedy="Take 'reflected', or a Gammapy maker."
        )
    if isinstance(geometry.region, PointSkyRegion):
        finder = WobbleRegionsFinder(n_off_regions=n_off_regions)
        return ReflectedRegionsBackgroundMaker(region_finder=finder, exclusion_mask=mask)
    return ReflectedRegionsBackgroundMaker(exclusion_mask=mask)


def _with_background(reduced: list[SpectrumDatasetOnOff]) -> list[SpectrumDatasetOnOff]:
    bare = [dataset.name for dataset in reduced if _lacks_off(dataset)]
    if len(bare) == len(reduced):
        raise DataError(
            "No off region was found for any observation.",
            remedy="Make the on region or the exclusion smaller, take fewer off regions, or take "
            "observations that point farther from the target than the size of the on region.",
        )
    if bare:
        warnings.warn(
            f"No off region was found for {', '.join(bare)}: left out.",
            CtaoSatWarning,
            stacklevel=3,
        )
    return [dataset for dataset in reduced if dataset.name not in bare]


def _lacks_off(dataset: SpectrumDatasetOnOff) -> bool:
    return isinstance(dataset, SpectrumDatasetOnOff) and dataset.counts_off is None
