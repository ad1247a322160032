"""Reduce observations to binned datasets of phase regions."""

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from gammapy.data import EventList, Observation
from gammapy.datasets import (
    Datasets,
    MapDataset,
    MapDatasetOnOff,
    SpectrumDataset,
    SpectrumDatasetOnOff,
)
from gammapy.makers import (
    FoVBackgroundMaker,
    Maker,
    MapDatasetMaker,
    SafeMaskMaker,
    SpectrumDatasetMaker,
)
from gammapy.maps import Map, MapAxis, RegionGeom, WcsGeom, WcsNDMap
from gammapy.modeling.models import FoVBackgroundModel
from regions import SkyRegion

from ctao_sat import dl4
from ctao_sat.dl4._names import dataset_names, default_true_axis
from ctao_sat.errors import ConfigError, CtaoSatWarning, SelectionError, did_you_mean
from ctao_sat.parallel import pmap
from ctao_sat.pulsar._events import as_list, event_phases, with_events
from ctao_sat.pulsar._regions import PhaseRegions, shared_phases

__all__ = ["reduce_phases"]

SPECTRA, MAPS = ("phase", "reflected"), ("phase", "fov")
AVERAGES = ("phases", "period")


class _NoBackground(Maker):
    """Leave a dataset as it is: its background comes later, or from a model."""

    tag = "NoBackground"

    def run(self, dataset: SpectrumDataset, observation: Observation) -> SpectrumDataset:
        """Return the dataset."""
        return dataset


@dataclass(frozen=True)
class _MapTask:
    """All that a worker needs to reduce one observation to maps."""

    observation: Observation
    empty: MapDataset
    makers: tuple[Maker, ...]


@dataclass(frozen=True)
class _How:
    """What is made of the phases."""

    background: str
    average: str
    column: str


def reduce_phases(
    observations: Observation | Iterable[Observation],
    geometry: RegionGeom | WcsGeom,
    regions: PhaseRegions | Mapping[str, PhaseRegions],
    *,
    background: str = "phase",
    average: str = "phases",
    energy_axis_true: MapAxis | None = None,
    exclusion: WcsNDMap | str | os.PathLike | Iterable[SkyRegion] | None = None,
    safe_mask: SafeMaskMaker | None = None,
    containment_correction: bool | None = None,
    stack: bool = False,
    phase_column: str = "PHASE",
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> Datasets:
    """Reduce observations to spectra or maps of phase regions.

    With ``background="phase"`` the background is what is counted at the same place in the off
    phases, as with Gammapy's ``PhaseBackgroundMaker``; it holds all that is not pulsed, a nebula
    included. Otherwise it is that of all phases, scaled to the on phases, and what is left is
    pulsed or not.

    Parameters
    ----------
    observations : `~gammapy.data.Observation` or iterable of them
        With phases. They are not changed.
    geometry : `~gammapy.maps.RegionGeom` or `~gammapy.maps.WcsGeom`
        On region, or map, with the axis of reconstructed energy.
    regions : PhaseRegions or mapping of str to PhaseRegions
        On and off phases; several regions by their names.
    background : {"phase", "reflected", "fov"}
        Off phases; for spectra also reflected regions of all phases; for maps the background model
        of the responses, with its norm from all phases.
    average : {"phases", "period"}
        What fluxes are averaged over. With "phases" the exposure is multiplied with the width of
        the on phases: the flux is that during these phases. With "period" it is not: the flux is
        that of the pulse, spread over the turn.
    energy_axis_true : `~gammapy.maps.MapAxis`, optional
        See `ctao_sat.dl4.reduce`.
    exclusion : mask, path-like or iterable of `~regions.SkyRegion`, optional
        Where no off region may lie, and no background norm is taken from; see
        `ctao_sat.dl4.exclusion_mask`. Off phases need none.
    safe_mask : `~gammapy.makers.SafeMaskMaker`, optional
        Default: where the effective area is above 10 % of its maximum.
    containment_correction : bool, optional
        For spectra, see `ctao_sat.dl4.reduce`.
    stack : bool
        Stack the observations, to one dataset for each region.
    phase_column : str
        Column of the events that holds phases.
    n_jobs, backend, progress : int, str, bool
        See `ctao_sat.parallel.pmap`.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
        For each region one of each observation, or one of all. The names are the observation IDs,
        or "stacked"; with several regions "P1-123", or "P1".

    Raises
    ------
    ConfigError
        If the options do not go together, or a region lacks off phases that are needed.
    SelectionError
        If there is no observation.
    MissingColumnError, DataError
        If phases are missing, or cannot be right; or as `ctao_sat.dl4.reduce`.

    Warns
    -----
    CtaoSatWarning
        If regions share phases: their datasets are then not independent.

    Notes
    -----
    The exposure is that of a source whose phase is uniform over a run: the period must be much
    shorter than the good time intervals.

    Unlike with ``PhaseBackgroundMaker`` of Gammapy 2.1, on and off cannot overlap, an
    interval may lie anywhere, such as (1.2, 1.4), alpha is the same in bins without off counts, the
    given intervals are not changed, and the exposure is that of the phases.

    Examples
    --------
    >>> from ctao_sat import pulsar
    >>> regions = pulsar.PhaseRegions(on=[(0.983, 1.026), (0.377, 0.422)], off=[(0.52, 0.87)])
    >>> datasets = pulsar.reduce_phases(observations, geometry, regions)  # doctest: +SKIP
    """
    how = _How(background, average, phase_column)
    named = dict(regions) if isinstance(regions, Mapping) else {"": regions}
    runs = as_list(observations)
    if not runs:
        raise SelectionError("There is no observation.", remedy="Widen the selection.")
    _check(how, geometry, named, exclusion)
    if containment_correction is not None and not isinstance(geometry, RegionGeom):
        raise ConfigError(
            "There is no containment correction for maps.", remedy="Their PSF is in the dataset."
        )
    by_name = dict(zip(dataset_names(runs, None), runs, strict=True))
    parallel = {"n_jobs": n_jobs, "backend": backend, "progress": progress}
    if isinstance(geometry, RegionGeom):
        options = {"energy_axis_true": energy_axis_true, "safe_mask": safe_mask}
        options |= {"containment_correction": containment_correction, **parallel}
        of_all = _spectra(by_name, geometry, how, exclusion, options)
    else:
        true_axis = energy_axis_true or default_true_axis(geometry.axes["energy"])
        empty = MapDataset.create(geometry, energy_axis_true=true_axis)
        makers = _map_makers(how, geometry, exclusion, safe_mask)
        of_all = _maps(by_name, empty, makers, parallel)
    made = []
    for name, region in named.items():
        parts = [_of_phases(one, by_name[one.name], region, how, name) for one in of_all]
        made += [Datasets(parts).stack_reduce(name=name or "stacked")] if stack else parts
    return Datasets(made)


def _check(
    how: _How,
    geometry: RegionGeom | WcsGeom,
    named: dict[str, PhaseRegions],
    exclusion: object,
) -> None:
    """Raise an error, or warn, where the options do not go together."""
    known = SPECTRA if isinstance(geometry, RegionGeom) else MAPS
    if how.background not in known:
        raise ConfigError(
            f"There is no background '{how.background}' for a {type(geometry).__name__}.",
            remedy=did_you_mean(how.background, known),
        )
    if how.average not in AVERAGES:
        raise ConfigError(
            f"Unknown average '{how.average}'.", remedy=did_you_mean(how.average, AVERAGES)
        )
    if not all(isinstance(region, PhaseRegions) for region in named.values()):
        raise ConfigError(
            "Regions are no PhaseRegions.", remedy="Give one, or several by name: {'P1': …}."
        )
    if not named:
        raise ConfigError("There are no phase regions.", remedy="Give at least one.")
    if how.background != "phase":
        return
    if exclusion is not None:
        raise ConfigError(
            "Off phases are at the place of the source: an exclusion has no meaning.",
            remedy="Leave the exclusion out.",
        )
    for region in named.values():
        # Raises its error if there is none.
        _ = region.alpha
    for (one, first), (other, second) in combinations(named.items(), 2):
        for kind in ("on", "off"):
            if shared_phases(getattr(first, kind), getattr(second, kind)):
                warnings.warn(
                    f"{one} and {other} share {kind} phases: in a joint fit, the same events count "
                    "twice and errors are too small. PhaseRegions.split gives each its own.",
                    CtaoSatWarning,
                    stacklevel=3,
                )


def _spectra(
    by_name: dict[str, Observation],
    geometry: RegionGeom,
    how: _How,
    exclusion: object,
    options: dict[str, Any],
) -> Datasets:
    """Return spectra of all phases."""
    if how.background == "reflected":
        options = options | {"background": "reflected", "exclusion": exclusion}
    else:
        options = options | {"background": _NoBackground()}
    return dl4.reduce(list(by_name.values()), geometry, names=list(by_name), **options)


def _map_makers(
    how: _How, geometry: WcsGeom, exclusion: Any, safe_mask: SafeMaskMaker | None
) -> tuple[Maker, ...]:
    safe = safe_mask or SafeMaskMaker(methods=["aeff-max"], aeff_percent=10)
    if how.background == "phase":
        return MapDatasetMaker(selection=["counts", "exposure", "psf", "edisp"]), safe
    mask = None
    if exclusion is not None:
        mask = dl4.exclusion_mask(
            exclusion, geometry.center_skydir.icrs, width=geometry.width.max()
        )
    return MapDatasetMaker(), safe, FoVBackgroundMaker(method="scale", exclusion_mask=mask)


def _maps(
    by_name: dict[str, Observation],
    empty: MapDataset,
    makers: tuple[Maker, ...],
    parallel: dict[str, Any],
) -> Datasets:
    """Return maps of all phases."""
    tasks = [_MapTask(one, empty.copy(name=name), makers) for name, one in by_name.items()]
    return Datasets(pmap(_reduce_map, tasks, description="Reduction", **parallel))


def _reduce_map(task: _MapTask) -> MapDataset:
    dataset = task.empty
    for maker in task.makers:
        dataset = maker.run(dataset, task.observation)
    return dataset


def _of_phases(
    dataset: MapDataset, observation: Observation, region: PhaseRegions, how: _How, name: str
) -> MapDataset:
    """Return the dataset of one region, made of that of all phases."""
    whole = dataset.copy(name=f"{name}-{dataset.name}" if name else dataset.name)
    # Read once.
    observation = with_events(observation, observation.events)
    phases = event_phases(observation, how.column)
    parts = {
        "counts": _counts(whole, observation, region.on_mask(phases)),
        "exposure": _exposure(whole, region.width_on if how.average == "phases" else 1.0),
        "name": whole.name,
    }
    for same in ("psf", "edisp", "mask_safe", "mask_fit", "gti", "meta_table", "meta"):
        parts[same] = getattr(whole, same)
    if how.background == "fov":
        background = whole.background * region.width_on
        # The norm, under the name of this dataset.
        norm = dataset.background_model.spectral_model.copy()
        model = FoVBackgroundModel(spectral_model=norm, dataset_name=whole.name)
        return MapDataset(**parts, background=background, models=[model])
    if how.background == "reflected":
        acceptance = whole.acceptance * region.width_on
        off = {"counts_off": whole.counts_off, "acceptance_off": whole.acceptance_off}
        return SpectrumDatasetOnOff(**parts, **off, acceptance=acceptance)
    geom = whole.counts.geom
    on_off = SpectrumDatasetOnOff if isinstance(whole, SpectrumDataset) else MapDatasetOnOff
    return on_off(
        **parts,
        counts_off=_counts(whole, observation, region.off_mask(phases)),
        acceptance=Map.from_geom(geom, data=np.full(geom.data_shape, region.width_on)),
        acceptance_off=Map.from_geom(geom, data=np.full(geom.data_shape, region.width_off)),
    )


def _counts(dataset: MapDataset, observation: Observation, mask: np.ndarray) -> Map:
    maker = SpectrumDatasetMaker if dataset.counts.geom.is_region else MapDatasetMaker
    events = EventList(observation.events.table[mask])
    return maker.make_counts(dataset.counts.geom, with_events(observation, events))


def _exposure(dataset: MapDataset, width: float) -> Map:
    """Return the exposure, and with it the livetime, of a part of the period."""
    exposure = dataset.exposure * width
    exposure.meta = dict(dataset.exposure.meta)
    if "livetime" in exposure.meta:
        exposure.meta["livetime"] = exposure.meta["livetime"] * width
    return exposure
