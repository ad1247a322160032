"""Reduce observations to spectrum datasets with Gammapy's makers."""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.data import Observation, Observations
from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
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
from ctao_sat.dl4._map_dataset import read_once
from ctao_sat.errors import ConfigError, CtaoSatWarning, DataError, MissingHDUError
from ctao_sat.parallel import pmap

__all__ = ["reduce_spectra"]

_MIN_RADIUS = 0.01 * u.deg
_CONTENTS = ("events", "aeff", "edisp", "psf")


@dataclass(frozen=True)
class _Task:
    """All that a worker needs to reduce one observation."""

    observation: Observation
    empty: SpectrumDataset
    makers: tuple[Maker, ...]


def reduce_spectra(
    observations: Observations,
    geometry: RegionGeom,
    *,
    names: list[str],
    energy_axis_true: MapAxis,
    background: Maker | str,
    exclusion: WcsNDMap | str | os.PathLike | Iterable[SkyRegion] | None,
    safe_mask: SafeMaskMaker | None,
    containment_correction: bool | None,
    n_off_regions: int,
    **parallel,
) -> list[SpectrumDatasetOnOff]:
    """Reduce observations to one spectrum dataset each; see `ctao_sat.dl4.reduce`."""
    _check_region(geometry)
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
        for name, observation in zip(names, observations, strict=True)
    ]
    return _with_background(pmap(_reduce_one, tasks, description="Reduction", **parallel))


def _reduce_one(task: _Task) -> SpectrumDatasetOnOff:
    dataset = task.empty.copy(name=task.empty.name)
    observation = read_once(task.observation, _CONTENTS)
    for maker in task.makers:
        dataset = maker.run(dataset, observation)
    if not np.isfinite(dataset.exposure.data).all():
        raise DataError(
            f"The exposure of observation {task.observation.obs_id} is not finite.",
            remedy="Its effective area, or the containment of its PSF, is not valid at this "
            "offset: exclude the run.",
        )
    return dataset


def _check_region(geometry: RegionGeom) -> None:
    if geometry.region is None:
        raise ConfigError(
            "The geometry has no region; spectra need one.",
            remedy="Give a gammapy.maps.RegionGeom of the on region with an energy axis.",
        )
    if isinstance(geometry.region, CircleSkyRegion) and geometry.region.radius < _MIN_RADIUS:
        raise ConfigError(
            f"The on region has a radius of {geometry.region.radius:.3g}.",
            remedy=f"Take at least {_MIN_RADIUS}, the pixels in which off regions are found.",
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
