"""Reduce observations to map datasets."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import NoOverlapError
from gammapy.data import Observation, Observations
from gammapy.datasets import MapDataset, MapDatasetOnOff
from gammapy.makers import FoVBackgroundMaker, Maker, RingBackgroundMaker, SafeMaskMaker
from gammapy.maps import MapAxis, WcsGeom, WcsNDMap

from ctao_sat.dl4._map_dataset import make_map_dataset, read_once
from ctao_sat.errors import ConfigError, CtaoSatWarning, DataError, MissingHDUError, did_you_mean
from ctao_sat.parallel import pmap

__all__ = ["reduce_maps"]

_BACKGROUNDS = ("fov", "ring", "none")
_INTEGRATIONS = ("irf", "bin-edges")

# Observations are stacked in at most so many parts, or of at least so many observations each:
# whatever the number of workers, sums are the same to the last bit, and few maps are in memory.
_MAX_PARTS = 16
_MIN_PART = 8


@dataclass(frozen=True)
class _Plan:
    """What is done with each observation."""

    empty: MapDataset
    makers: tuple[Maker, ...]
    width: u.Quantity | None
    integration: str


@dataclass(frozen=True)
class _Part:
    """All that a worker needs to reduce some observations."""

    plan: _Plan
    observations: tuple[Observation, ...]
    names: tuple[str, ...]
    stack: bool


@dataclass(frozen=True)
class _Reduced:
    """What became of a part: its datasets, stacked or not, and the names that were left out."""

    datasets: list[MapDataset]
    left_out: list[str]


def reduce_maps(
    observations: Observations,
    geometry: WcsGeom,
    names: list[str],
    *,
    energy_axis_true: MapAxis,
    background: Maker | str,
    exclusion: WcsNDMap | None,
    safe_mask: SafeMaskMaker | None,
    offset_max: u.Quantity | None,
    cutout: bool,
    integration: str,
    stack: bool,
    **parallel,
) -> list[MapDataset]:
    """Reduce observations to one map dataset each, or a stacked one; see `ctao_sat.dl4.reduce`."""
    if integration not in _INTEGRATIONS:
        raise ConfigError(
            f"Unknown integration of the background '{integration}'.",
            remedy=did_you_mean(integration, _INTEGRATIONS),
        )
    _check_responses(observations, background)
    empty = MapDataset.create(geometry, energy_axis_true=energy_axis_true, name="stacked")
    makers: list[Maker] = [safe_mask or SafeMaskMaker(methods=["aeff-max"], aeff_percent=10)]
    if offset_max is not None:
        makers.append(SafeMaskMaker(methods=["offset-max"], offset_max=offset_max))
    makers += _background_makers(background, exclusion)
    width = 2 * offset_max if offset_max is not None and cutout else None
    plan = _Plan(empty, tuple(makers), width, integration)
    size = max(_MIN_PART, -(-len(names) // _MAX_PARTS)) if stack else 1
    parts = [
        _Part(plan, tuple(observations[i : i + size]), tuple(names[i : i + size]), stack)
        for i in range(0, len(names), size)
    ]
    reduced = pmap(_reduce_part, parts, description="Reduction", **parallel)
    _warn_left_out(reduced, len(names))
    datasets = [dataset for part in reduced for dataset in part.datasets]
    return [_stacked(datasets, empty)] if stack else datasets


def _check_responses(observations: Observations, background: Maker | str) -> None:
    needed = ["events", "aeff", "edisp", "psf"] + ["bkg"] * (background in ("fov", "ring"))
    for observation in observations:
        absent = [name for name in needed if name not in observation.available_hdus]
        if absent:
            raise MissingHDUError(
                f"Observation {observation.obs_id} has no {absent[0]}, which maps need.",
                remedy="Complete the data"
                + (", or take background='none'." if absent == ["bkg"] else "."),
            )


def _background_makers(background: Maker | str, exclusion: WcsNDMap | None) -> list[Maker]:
    if isinstance(background, Maker):
        if exclusion is not None:
            raise ConfigError(
                "An exclusion does not go with a background maker.",
                remedy="Give the exclusion mask to the background maker itself.",
            )
        return [background]
    if background == "fov":
        # With a norm alone, the fit has this solution: counts over expected counts.
        return [FoVBackgroundMaker(method="scale", exclusion_mask=exclusion)]
    if background == "ring":
        return [RingBackgroundMaker(0.5 * u.deg, 0.3 * u.deg, exclusion_mask=exclusion)]
    if background != "none":
        raise ConfigError(
            f"Unknown background '{background}' of maps.",
            remedy=did_you_mean(background, _BACKGROUNDS) or "Or give a Gammapy maker.",
        )
    if exclusion is not None:
        raise ConfigError(
            "An exclusion does nothing with background='none'.", remedy="Leave it out."
        )
    return []


def _reduce_part(part: _Part) -> _Reduced:
    datasets: list[MapDataset] = []
    left_out = []
    for name, observation in zip(part.names, part.observations, strict=True):
        dataset = _reduce_one(part.plan, observation, name)
        if dataset is None or not dataset.mask_safe.data.any():
            left_out.append(name)
        elif part.stack and datasets:
            datasets[0].stack(dataset)
        elif part.stack:
            datasets.append(_stacked([dataset], part.plan.empty))
        else:
            datasets.append(dataset)
    return _Reduced(datasets, left_out)


def _reduce_one(plan: _Plan, observation: Observation, name: str) -> MapDataset | None:
    """Return the dataset of an observation, or None if it lies beside the map."""
    observation = read_once(observation)
    if plan.width is None:
        empty = plan.empty.copy(name=name)
    else:
        pointing = observation.get_pointing_icrs(observation.tmid)
        try:
            empty = plan.empty.cutout(pointing, width=plan.width, name=name)
        except NoOverlapError:
            return None
    dataset = make_map_dataset(empty, observation, integration=plan.integration)
    for maker in plan.makers:
        dataset = maker.run(dataset, observation)
    if not np.isfinite(dataset.exposure.data).all():
        raise DataError(
            f"The exposure of observation {observation.obs_id} is not finite.",
            remedy="Its effective area is not valid at this offset: exclude the run.",
        )
    return dataset


def _stacked(datasets: Iterable[MapDataset], empty: MapDataset) -> MapDataset:
    """Return the sum of datasets on the whole map."""
    total = None
    for dataset in datasets:
        if total is None:
            kind = MapDatasetOnOff if isinstance(dataset, MapDatasetOnOff) else MapDataset
            total = kind.create(**_geometries(empty), name="stacked")
        total.stack(dataset)
    return total


def _geometries(empty: MapDataset) -> dict:
    return {
        "geom": empty.counts.geom,
        "energy_axis_true": empty.exposure.geom.axes["energy_true"],
    }


def _warn_left_out(reduced: list[_Reduced], n: int) -> None:
    left_out = [name for part in reduced for name in part.left_out]
    if len(left_out) == n:
        raise DataError(
            "No observation has a usable bin on this map.",
            remedy="Compare the map with the pointings, and widen `offset_max`, the energy range "
            "or the safe mask; or exclude less, so that the background can be scaled.",
        )
    if left_out:
        warnings.warn(
            f"No bin of the map is usable in {', '.join(left_out)}: left out.",
            CtaoSatWarning,
            stacklevel=4,
        )
