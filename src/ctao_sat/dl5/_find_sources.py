"""Find sources in maps, one after the other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from gammapy.datasets import Datasets, MapDataset
from gammapy.estimators import FluxMaps
from gammapy.estimators.utils import find_peaks
from gammapy.maps import Map, WcsNDMap
from gammapy.modeling.models import (
    GaussianSpatialModel,
    Models,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
    SpectralModel,
)
from scipy.ndimage import distance_transform_edt

from ctao_sat._gammapy import fresh_copy, unique_models
from ctao_sat.dl5._fit import fit
from ctao_sat.dl5._source_table import source_table
from ctao_sat.dl5._trials import searched_area, trials_corrected
from ctao_sat.dl5._ts_map import ts_map
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import KernelCache
from ctao_sat.parallel import progress_bar

__all__ = ["FoundSources", "find_sources"]

log = logging.getLogger(__name__)

# In units of the PSF's 68 % radius: what is nearer to a border, or to another source, is flagged.
_NEAR_BORDER = 1.0
_NEAR_SOURCE = 3.0


class FoundSources(NamedTuple):
    """What `find_sources` returns.

    Attributes
    ----------
    models : `~gammapy.modeling.models.Models`
        The sources, strongest first, with their covariance: to be set to datasets and fitted.
    table : `~astropy.table.QTable`
        A row a source, see `find_sources`.
    ts_map : `~gammapy.estimators.FluxMaps`
        Of the first search, in which all sources are to be seen.
    residual : `~gammapy.estimators.FluxMaps`
        Of the last search, in which none is left.
    """

    models: Models
    table: QTable
    ts_map: FluxMaps
    residual: FluxMaps


@dataclass
class _Search:
    """The state of a search: what is known so far."""

    datasets: Datasets
    template: SkyModel
    kernels: KernelCache
    area: float | None = None
    n_trials: float | None = None
    inside: WcsNDMap | None = None
    found: list[SkyModel] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)


def find_sources(
    datasets: Datasets | MapDataset,
    spectral_model: SpectralModel | None = None,
    *,
    threshold: float = 3,
    n_trials: float | None = None,
    extended: bool = True,
    ts_extended: float = 16,
    mask: WcsNDMap | None = None,
    max_sources: int = 20,
    frame: str | None = None,
    n_jobs: int = 1,
    progress: bool = False,
) -> FoundSources:
    r"""Find sources: the highest peak of a TS map, until none is significant after trials.

    The position and the spectrum of each are fitted, with a Gaussian if that is
    significantly better than a point; then it is part of the model, and the map is made again.
    At last all sources are fitted together, and those are left out, weakest first, that the others
    explain: between two near sources may have been the highest peak.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets` or `~gammapy.datasets.MapDataset`
        Maps of one geometry with a model of the background, and of known sources if there are any.
        They are not changed.
    spectral_model : `~gammapy.modeling.models.SpectralModel`, optional
        Of the sources, to begin with; what is free in it is fitted. By default a power law of index
        2.3, and amplitude and index are fitted.
    threshold : float
        In sigma after trials. The chance that noise anywhere in the map is called a source is the
        upper tail of the normal distribution: 0.13 % for 3.
    n_trials : float, optional
        Number of independent trials. By default it follows from the area and the point spread
        function, see `trials_corrected`.
    extended : bool
        Whether to look for extension.
    ts_extended : float
        How much better a Gaussian has to be than a point, as a difference of the statistic: 16 is
        4 sigma for the one parameter more (Ackermann et al. 2017, ApJ 843, 139).
    mask : `~gammapy.maps.WcsNDMap`, optional
        Image that is true where sources are searched for, besides the masks of the datasets.
    max_sources : int
        Stop after so many, with a warning in the log.
    frame : {"icrs", "galactic"}, optional
        Of the positions; by default that of the maps.
    n_jobs : int
        Number of workers for the TS maps.
    progress : bool
        Show how many are found.

    Returns
    -------
    found : FoundSources
        A tuple of ``models``, ``table``, ``ts_map`` and ``residual``. Columns of the table:
        ``name`` as J0534+2200 of its equinox J2000 position; ``lon``, ``lat``, ``lon_err`` (on the
        sky), ``lat_err``, ``r68`` that holds the true position with 68 %; ``ts`` for position
        and spectrum, with all other sources fitted; ``sqrt_ts``
        of its peak; ``significance`` of that after trials; ``flux`` and ``flux_err`` in the
        energies of the data; ``sigma``, ``sigma_err``, ``ts_ext`` of the extension, NaN for a point
        and where it was not asked for; ``flag``, with what to look
        at: "near the border" (of map or mask, within the 68 % radius of the PSF), "near another
        source" (within three of them), "the fit did not converge". ``meta`` has the frame, the
        energies, the threshold, and ``trials``: their number, or the area of `trials_corrected`.

    Raises
    ------
    ConfigError
        If there is no background to compare with, or an option has no meaning.
    DataError
        If datasets are no maps of one geometry.

    Notes
    -----
    Position errors are those of the fit, r68 from the mean of both: 1.515 times
    :math:`\sqrt{(\sigma_x^2 + \sigma_y^2) / 2}`. Two sources nearer than the point spread function
    is wide may be found as one that is extended.
    """
    _check(threshold, n_trials, max_sources)
    datasets = Datasets(datasets)
    search = _begin(datasets, spectral_model, n_trials, frame)
    first: FluxMaps | None = None
    bar = progress_bar(range(max_sources + 1), description="Search for sources", progress=progress)
    for step in bar:
        maps = _map(search, n_jobs)
        first = maps if first is None else first
        image = _searched(maps.sqrt_ts, mask)
        if search.area is None:
            search.inside = Map.from_geom(image.geom, data=np.isfinite(image.data))
            search.area = searched_area(search.datasets, search.template, search.inside)
        peak = _next_peak(image, search, threshold)
        if peak is None:
            break
        if step == max_sources:
            log.warning("More than %d sources: the search ended there.", max_sources)
            break
        _add(search, *peak, extended=extended, ts_extended=ts_extended)
    if _fit_all(search, threshold):
        maps = _map(search, n_jobs)
    models = Models(sorted(search.found, key=lambda model: -search.facts[model.name]["ts"]))
    _flag(search)
    frame = search.template.spatial_model.frame
    table = source_table(models, search.facts, _energies(datasets), frame)
    table.meta["threshold"] = threshold
    table.meta["trials"] = f"area {search.area:.4g}" if n_trials is None else f"{n_trials:g}"
    return FoundSources(models, table, first, maps)


def _check(threshold: float, n_trials: float | None, max_sources: int) -> None:
    if not threshold > 0:
        raise ConfigError(
            f"A threshold of {threshold!r}.", remedy="Take a positive number of sigma: 3, or 5."
        )
    if n_trials is not None and not n_trials >= 1:
        raise ConfigError(f"{n_trials!r} trials.", remedy="Take a number from 1 on.")
    if max_sources < 1:
        raise ConfigError(f"At most {max_sources!r} sources.", remedy="Take a number from 1 on.")


def _begin(
    datasets: Datasets, spectral: SpectralModel | None, n_trials: float | None, frame: str | None
) -> _Search:
    work = fresh_copy(datasets)
    if datasets.models:
        work.models = datasets.models.copy()
    if all(dataset.background is None for dataset in work):
        raise ConfigError(
            "There is no background to compare with.",
            remedy="Reduce with a background of the IRFs; for off counts, take `significance_map`.",
        )
    if spectral is None:
        spectral = PowerLawSpectralModel(index=2.3, amplitude="1e-13 cm-2 s-1 TeV-1")
    frame = work[0].counts.geom.frame if frame is None else frame
    template = SkyModel(spectral.copy(), PointSpatialModel(frame=frame), name="searched")
    return _Search(work, template, KernelCache(), n_trials=n_trials)


def _map(search: _Search, n_jobs: int) -> FluxMaps:
    return ts_map(
        search.datasets,
        search.template,
        sum_over_energy_groups=False,
        kernels=search.kernels,
        n_jobs=n_jobs,
    )


def _searched(sqrt_ts: WcsNDMap, mask: WcsNDMap | None) -> WcsNDMap:
    image = sqrt_ts.sum_over_axes(keepdims=False)
    if mask is not None:
        wanted = mask.interp_to_geom(image.geom, method="nearest", fill_value=0).data > 0.5
        image.data[~wanted] = np.nan
    return image


def _next_peak(
    image: WcsNDMap, search: _Search, threshold: float
) -> tuple[SkyCoord, float, float] | None:
    """Return position, significance, and that after trials of the highest new peak."""
    lowest = max(1.0, 0.9 * threshold)
    peaks = find_peaks(image, threshold=lowest, min_distance=1)
    for row in peaks:
        value = float(row["value"])
        after = float(trials_corrected(np.array(value), area=search.area, n_trials=search.n_trials))
        if not after > threshold:
            return None
        position = SkyCoord(row["ra"], row["dec"], unit="deg", frame="icrs")
        if not _is_known(position, search):
            return position, value, after
        log.info("A peak of %.1f sigma beside a source that is found already: left.", value)
    return None


def _is_known(position: SkyCoord, search: _Search) -> bool:
    pixel = search.datasets[0].counts.geom.pixel_scales.max()
    return any(
        model.spatial_model.position.separation(position) < 1.5 * pixel for model in search.found
    )


def _add(
    search: _Search,
    position: SkyCoord,
    sqrt_ts: float,
    after: float,
    *,
    extended: bool,
    ts_extended: float,
) -> None:
    """Fit a source at a peak, as a point or as a Gaussian, and keep it."""
    name = _name(position, [model.name for model in search.found])
    point = _source(search, position, name)
    stat_point, success = _fit_one(search, point)
    facts = {"sqrt_ts": sqrt_ts, "significance": after, "ts_ext": np.nan, "success": success}
    best = point
    if extended:
        wide = _as_gaussian(search, point)
        stat_wide, success = _fit_one(search, wide)
        facts["ts_ext"] = max(stat_point - stat_wide, 0.0)
        if stat_point - stat_wide > ts_extended:
            best, facts["success"] = wide, success
    search.found.append(best)
    search.facts[name] = facts
    search.datasets.models = [*_others(search), *search.found]


def _source(search: _Search, position: SkyCoord, name: str) -> SkyModel:
    model = search.template.copy(name=name)
    frame = model.spatial_model.frame
    place = position.transform_to(frame)
    model.spatial_model.lon_0.quantity = place.data.lon
    model.spatial_model.lat_0.quantity = place.data.lat
    return model


def _as_gaussian(search: _Search, point: SkyModel) -> SkyModel:
    pixel = search.datasets[0].counts.geom.pixel_scales.max()
    shape = GaussianSpatialModel(
        lon_0=point.spatial_model.lon_0.quantity,
        lat_0=point.spatial_model.lat_0.quantity,
        sigma=3 * pixel,
        frame=point.spatial_model.frame,
    )
    shape.sigma.min = 0
    return SkyModel(point.spectral_model.copy(), shape, name=point.name)


def _others(search: _Search) -> list:
    found = {id(model) for model in search.found}
    return [model for model in unique_models(search.datasets) if id(model) not in found]


def _fit_one(search: _Search, model: SkyModel) -> tuple[float, bool]:
    """Fit one source with all amplitudes and the background; return the statistic."""
    work = fresh_copy(search.datasets)
    others = [*_others(search), *search.found]
    frozen = [p for other in search.found for p in other.parameters.free_parameters]
    kept = [p for p in frozen if p.name not in ("amplitude", "norm")]
    for parameter in kept:
        parameter.frozen = True
    try:
        work.models = [*others, model]
        result = fit(work, guard=False, kernels=search.kernels)
    finally:
        for parameter in kept:
            parameter.frozen = False
    return float(result.total_stat), bool(result.success)


def _fit_all(search: _Search, threshold: float) -> bool:
    """Fit all sources together; take out what the others explain, and return whether some was."""
    dropped = False
    while search.found:
        search.datasets.models = [*_others(search), *search.found]
        result = fit(search.datasets, guard=False, kernels=search.kernels)
        for model in search.found:
            facts = search.facts[model.name]
            facts["success"] = bool(result.success)
            facts["ts"] = _stat_without(search, model) - float(result.total_stat)
        worst = min(search.found, key=lambda model: search.facts[model.name]["ts"])
        root = np.sqrt(max(search.facts[worst.name]["ts"], 0.0))
        if trials_corrected(root, area=search.area, n_trials=search.n_trials) > threshold:
            break
        log.info("%s is left out: the sources around explain it.", worst.name)
        others = _others(search)
        search.found.remove(worst)
        search.datasets.models = [*others, *search.found]
        dropped = True
    return dropped


def _stat_without(search: _Search, model: SkyModel) -> float:
    work = fresh_copy(search.datasets)
    work.models = [other for other in search.datasets.models.copy() if other.name != model.name]
    if not work.models.parameters.free_parameters:
        return float(work.stat_sum())
    for other in work.models:
        if isinstance(other, SkyModel):
            other.spatial_model.freeze()
    if not work.models.parameters.free_parameters:
        return float(work.stat_sum())
    return float(fit(work, guard=False, kernels=search.kernels).total_stat)


def _flag(search: _Search) -> None:
    """Say of each source what to look at."""
    for model in search.found:
        flags = [] if search.facts[model.name]["success"] else ["the fit did not converge"]
        position = model.spatial_model.position
        beam = _beam(search, position)
        if _distance_to_border(search, position) < _NEAR_BORDER * beam:
            flags.append("near the border")
        others = [each.spatial_model.position for each in search.found if each is not model]
        if any(each.separation(position) < _NEAR_SOURCE * beam for each in others):
            flags.append("near another source")
        search.facts[model.name]["flags"] = flags


def _beam(search: _Search, position: SkyCoord) -> u.Quantity:
    """Return the smallest 68 % radius of the PSFs at the middle energy; a pixel without PSF."""
    radii = [search.datasets[0].counts.geom.pixel_scales.max()]
    low, high = _energies(search.datasets)
    middle = np.sqrt(low * high)
    for psf in (dataset.psf for dataset in search.datasets if dataset.psf is not None):
        energy = {psf.energy_name: middle}
        radii.append(psf.containment_radius(0.68, position=position, **energy).squeeze())
    return min(radii[1:], default=radii[0])


def _distance_to_border(search: _Search, position: SkyCoord) -> u.Quantity:
    assert search.inside is not None
    distance = distance_transform_edt(np.pad(search.inside.data, 1))
    column, row = (int(np.rint(x)) + 1 for x in position.to_pixel(search.inside.geom.wcs))
    row, column = np.clip((row, column), 0, np.array(distance.shape) - 1)
    return distance[row, column] * search.inside.geom.pixel_scales.min()


def _name(position: SkyCoord, taken: Sequence[str]) -> str:
    """Return a name by position, J0534+2200, as the IAU recommends: cut off, not rounded."""
    place = position.icrs
    lon = place.ra.to_string(unit="hour", sep="", precision=4, pad=True)[:4]
    lat = place.dec.to_string(unit="deg", sep="", precision=4, pad=True, alwayssign=True)[:5]
    name = f"J{lon}{lat}"
    letters = (f"{name}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    return name if name not in taken else next(each for each in letters if each not in taken)


def _energies(datasets: Datasets) -> u.Quantity:
    edges = [dataset.counts.geom.axes["energy"].edges for dataset in datasets]
    return u.Quantity([min(each[0] for each in edges), max(each[-1] for each in edges)])
