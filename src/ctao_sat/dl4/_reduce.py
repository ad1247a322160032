"""Reduce observations to binned datasets, spectra or maps."""

import os
from collections.abc import Iterable
from typing import TypeAlias

import astropy.units as u
from gammapy.data import Observation, Observations
from gammapy.datasets import Datasets
from gammapy.makers import Maker, SafeMaskMaker
from gammapy.maps import Geom, MapAxis, RegionGeom, WcsGeom, WcsNDMap
from regions import SkyRegion

from ctao_sat.dl4._exclusion import exclusion_mask
from ctao_sat.dl4._names import dataset_names, default_true_axis
from ctao_sat.dl4._reduce_maps import reduce_maps
from ctao_sat.dl4._reduce_spectra import reduce_spectra
from ctao_sat.errors import ConfigError, SelectionError

__all__ = ["reduce"]

Exclusion: TypeAlias = WcsNDMap | str | os.PathLike | Iterable[SkyRegion]


def reduce(
    observations: Observations | Iterable[Observation],
    geometry: RegionGeom | WcsGeom,
    *,
    energy_axis_true: MapAxis | None = None,
    background: Maker | str = "auto",
    exclusion: Exclusion | None = None,
    safe_mask: SafeMaskMaker | None = None,
    containment_correction: bool | None = None,
    n_off_regions: int = 1,
    offset_max: u.Quantity | None = None,
    cutout: bool = True,
    background_integration: str = "irf",
    names: Iterable[str] | None = None,
    stack: bool = False,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> Datasets:
    """Reduce observations to one dataset each, or one for all: spectra of a region, or maps.

    Parameters
    ----------
    observations : `~gammapy.data.Observations`
        What to reduce. They are not changed.
    geometry : `~gammapy.maps.RegionGeom` or `~gammapy.maps.WcsGeom`
        Either way with the axis of reconstructed energy. For spectra, the on region: a circle, or a
        point for IRFs with an energy-dependent ``RAD_MAX`` cut. For maps, the pixels.
    energy_axis_true : `~gammapy.maps.MapAxis`, optional
        Axis ``energy_true``. Default: the range of the energy axis widened by a factor five at
        both ends, 20 bins a decade.
    background : {"auto", "reflected", "fov", "ring", "none"} or `~gammapy.makers.Maker`
        For spectra, "reflected" (which "auto" is): reflected regions, for a point ``n_off_regions``
        on the circle around the pointing. For maps, "fov" (which "auto" is): the background of the
        IRFs, its norm fitted outside of the exclusion; "ring": what is counted between 0.5 and
        0.8 deg around each pixel, in the proportion of the background of the IRFs; "none": the
        background of the IRFs as it is. Or any Gammapy background maker of such datasets.
    exclusion : mask, path-like or iterable of `~regions.SkyRegion`, optional
        From where no background is taken; see `exclusion_mask`.
    safe_mask : `~gammapy.makers.SafeMaskMaker`, optional
        Default: where the effective area is above 10 % of its maximum, for maps at their centre.
    containment_correction : bool, optional
        For spectra: correct the effective area for the part of the PSF outside the on region.
        Default: yes for full-enclosure IRFs and a circle, no for point-like ones.
    n_off_regions : int
        For spectra: number of off regions for a point geometry.
    offset_max : Quantity[angle], optional
        For maps: what is farther from the pointing is not used. Default: all is.
    cutout : bool
        For maps: whether a dataset covers only what is within ``offset_max``, as a square.
    background_integration : {"irf", "bin-edges"}
        For maps: how the background of the IRFs is integrated over an energy bin. "irf": exactly,
        as it is interpolated, piece by piece between its own energies. "bin-edges": as one power
        law between the edges of the bin, as Gammapy does, which is off by per cents in wide bins.
    names : iterable of str, optional
        Names of the datasets, each once. Default: the observation IDs, numbered where an ID stands
        twice.
    stack : bool
        Stack to one dataset, named "stacked". Maps are stacked as they come, and few of them are
        in memory at a time.
    n_jobs : int
        Number of workers, see `ctao_sat.parallel.pmap`.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute.
    progress : bool
        Show a progress bar.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
        One `~gammapy.datasets.SpectrumDatasetOnOff` an observation for spectra, one
        `~gammapy.datasets.MapDataset` for maps (`~gammapy.datasets.MapDatasetOnOff` with a ring);
        or one for all. Observations without any off region, or without a bin that can be used, are
        left out, with a warning. The ``meta_table`` of maps tells of each observation how its
        background was integrated (``BKG_INTEGRATION``), and what was not compiled, but left to
        Gammapy's maker, and why (``FALLBACKS``).

    Raises
    ------
    ConfigError
        If the geometry is neither a region nor a map or has other axes than one of energy, an
        option does not go with it or is no angle, the background is unknown, or the names are not
        one for each observation.
    SelectionError
        If there is no observation.
    MissingHDUError
        If the containment correction needs a PSF that is not there, or a map a response.
    DataError
        If no observation has an off region or a bin that can be used, or an exposure is not finite.
    """
    observations = Observations(list(observations))
    if not observations:
        raise SelectionError("There is no observation.", remedy="Widen the selection.")
    _check_geometry(geometry)
    _check_true_axis(energy_axis_true)
    common = {
        "names": dataset_names(observations, names),
        "energy_axis_true": energy_axis_true or default_true_axis(geometry.axes["energy"]),
        "safe_mask": safe_mask,
        "n_jobs": n_jobs,
        "backend": backend,
        "progress": progress,
    }
    if isinstance(geometry, RegionGeom):
        _refuse(
            "spectra",
            offset_max=offset_max is not None,
            cutout=not cutout,
            background_integration=background_integration != "irf",
        )
        spectra = reduce_spectra(
            observations,
            geometry,
            background="reflected" if background == "auto" else background,
            exclusion=exclusion,
            containment_correction=containment_correction,
            n_off_regions=n_off_regions,
            **common,
        )
        return Datasets([Datasets(spectra).stack_reduce(name="stacked")] if stack else spectra)
    _refuse(
        "maps",
        containment_correction=containment_correction is not None,
        n_off_regions=n_off_regions != 1,
    )
    maps = reduce_maps(
        observations,
        geometry,
        background="fov" if background == "auto" else background,
        exclusion=_map_exclusion(exclusion, geometry),
        offset_max=offset_max,
        cutout=cutout,
        integration=background_integration,
        stack=stack,
        **common,
    )
    return Datasets(maps)


def _check_geometry(geometry: Geom) -> None:
    if not isinstance(geometry, RegionGeom | WcsGeom):
        raise ConfigError(
            f"The geometry is a {type(geometry).__name__}.",
            remedy="Give a gammapy.maps.RegionGeom of the on region for spectra, or a WcsGeom for "
            "maps, with an energy axis.",
        )
    if "energy" not in geometry.axes.names:
        raise ConfigError(
            "The geometry has no energy axis.",
            remedy="Add one with MapAxis.from_energy_bounds('0.1 TeV', '100 TeV', nbin=30).",
        )
    others = [name for name in geometry.axes.names if name != "energy"]
    if others:
        raise ConfigError(
            f"The geometry has the axis '{others[0]}'; datasets have energy alone.",
            remedy="Leave it out, and reduce one group of events after the other.",
        )


def _check_true_axis(axis: MapAxis | None) -> None:
    if axis is not None and axis.name != "energy_true":
        raise ConfigError(
            f"The axis of true energy is named '{axis.name}'.",
            remedy="Give MapAxis.from_energy_bounds(…, name='energy_true').",
        )


def _refuse(what: str, **given: bool) -> None:
    """Refuse options that would do nothing."""
    for name in given:
        if given[name]:
            raise ConfigError(f"`{name}` does nothing for {what}.", remedy="Leave it out.")


def _map_exclusion(exclusion: Exclusion | None, geometry: WcsGeom) -> WcsNDMap | None:
    if exclusion is None:
        return None
    return exclusion_mask(exclusion, geometry.center_skydir.icrs, geom=geometry.to_image())
