"""Reduce observations to map datasets."""

import warnings
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


@dataclass(frozen=True)
class _Plan:
    """What is done with each observation."""

    empty: MapDataset
    makers: tuple[Maker, ...]
    width: u.Quantity | None
    integration: str


@dataclass(frozen=True)
class _Task:
    """All that a worker needs to reduce one observation."""

    plan: _Plan
    observation: Observation
    name: str


class _Stack:
    """The sum of datasets on the whole map, which takes one after the other."""

    def __init__(self, empty: MapDataset):
        self._empty = empty
        self.total: MapDataset | None = None

    def add(self, dataset: MapDataset) -> None:
        """Add a dataset."""
        if self.total is None:
            kind = MapDatasetOnOff if isinstance(dataset, MapDatasetOnOff) else MapDataset
            self.total = kind.create(
                self._empty.counts.geom,
                energy_axis_true=self._empty.exposure.geom.axes["energy_true"],
                name="stacked",
            )
        self.total.stack(dataset)


def reduce_maps(
    observations: Observations,
    geometry: WcsGeom,
    *,
    names: list[str],
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
    _check_offset(offset_max)
    _check_responses(observations, background)
    empty = MapDataset.create(geometry, energy_axis_true=energy_axis_true, name="stacked")
    makers: list[Maker] = [safe_mask or SafeMaskMaker(methods=["aeff-max"], aeff_percent=10)]
    if offset_max is not None:
        makers.append(SafeMaskMaker(methods=["offset-max"], offset_max=offset_max))
    makers += _background_makers(background, exclusion)
    width = 2 * offset_max if offset_max is not None and cutout else None
    plan = _Plan(empty, tuple(makers), width, integration)
    tasks = [_Task(plan, *pair) for pair in zip(observations, names, strict=True)]
    datasets: list[MapDataset] = []
    stacked, left_out = _Stack(empty), []

    def take(dataset: MapDataset | str) -> None:
        if isinstance(dataset, str):
            left_out.append(dataset)
        elif stack:
            stacked.add(dataset)
        else:
            datasets.append(dataset)

    pmap(_reduce_one, tasks, description="Reduction", consume=take, **parallel)
    _warn_left_out(left_out, len(names))
    return datasets if stacked.total is None else [stacked.total]


def _check_offset(offset_max: u.Quantity | None) -> None:
    if offset_max is None:
        return
    angle = isinstance(offset_max, u.Quantity) and offset_max.unit.is_equivalent("deg")
    if not angle or not offset_max > 0 * u.deg:
        raise ConfigError(
            f"`offset_max` is {offset_max!r}, and no positive angle.",
            remedy="Give an angle with its unit, such as 2 * u.deg.",
        )


def _check_responses(observations: Observations, background: Maker | str) -> None:
    needed = ["events", "aeff", "edisp", "psf"] + ["bkg"] * (background in ("fov", "ring"))
    for observation in observations:
        # Gammapy takes an empty event list in memory for none.
        absent = [
            name
            for name in needed
            if name not in observation.available_hdus
            and (name != "events" or observation.events is None)
        ]
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
            remedy=did_you_mean(str(background), _BACKGROUNDS) or "Or give a Gammapy maker.",
        )
    if exclusion is not None:
        raise ConfigError(
            "An exclusion does nothing with background='none'.", remedy="Leave it out."
        )
    return []


def _reduce_one(task: _Task) -> MapDataset | str:
    """Return the dataset of an observation, or its name if no bin of it can be used."""
    plan, observation = task.plan, task.observation
    observation = read_once(observation)
    if plan.width is None:
        empty = plan.empty.copy(name=task.name)
    else:
        pointing = observation.get_pointing_icrs(observation.tmid)
        try:
            empty = plan.empty.cutout(pointing, width=plan.width, name=task.name)
        except NoOverlapError:
            return task.name
    dataset = make_map_dataset(empty, observation, integration=plan.integration)
    for maker in plan.makers:
        dataset = maker.run(dataset, observation)
    if not np.isfinite(dataset.exposure.data).all():
        raise DataError(
            f"The exposure of observation {observation.obs_id} is not finite.",
            remedy="Its effective area is not valid at this offset: exclude the run.",
        )
    return dataset if dataset.mask_safe.data.any() else task.name


def _warn_left_out(left_out: list[str], n: int) -> None:
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
