"""Map the test statistic of a source over the sky."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets, MapDataset
from gammapy.estimators import FluxMaps, TSMapEstimator
from gammapy.maps import Map, MapAxis, Maps
from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel

from ctao_sat.dl5._ts_inputs import Group, group_of, read_cubes
from ctao_sat.errors import ConfigError, DataError, SelectionError, did_you_mean
from ctao_sat.kernels.ts_map import ERRORS, LIMIT, RESULTS, SENSITIVITY, ts_positions
from ctao_sat.likelihood import KernelCache
from ctao_sat.parallel import available_cpus, pmap

__all__ = ["ts_map"]

log = logging.getLogger(__name__)

_OPTIONS = {"errn-errp": ERRORS, "ul": LIMIT, "sensitivity": SENSITIVITY}
_SELECTION = (*_OPTIONS, "stat_scan")
_WEIGHTINGS = ("mean", "expected")
_QUANTITIES = (
    *("ts", "norm", "niter", "norm_err", "npred", "npred_excess", "stat", "stat_null", "success"),
)


@dataclass(frozen=True)
class _Part:
    """Some positions of a band of energy."""

    group: Group
    options: int
    rises: np.ndarray


def ts_map(
    datasets: Datasets | MapDataset,
    model: SkyModel | None = None,
    *,
    energy_edges: u.Quantity | None = None,
    kernel_width: u.Quantity | None = None,
    selection_optional: str | Sequence[str] = (),
    sum_over_energy_groups: bool = True,
    energy_weighting: str = "mean",
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
    n_sigma_sensitivity: float = 5,
    kernels: KernelCache | None = None,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> FluxMaps:
    r"""Map the test statistic, flux, errors and limits of a source at each position.

    At each pixel, a source of the model is added to what the models of the datasets predict, and
    its norm alone is fitted: the minimum over :math:`x` of

    .. math::

        C(x) = 2 \sum_j (\mu_j - n_j \log \mu_j), \qquad \mu_j = b_j + x s_j \ge 0,
        \qquad \mathrm{TS} = C(0) - C(\hat x)

    over pixels, energies and datasets :math:`j` within the kernel of the source (Stewart 2009,
    A&A 495, 989, appendix A). It gives what Gammapy's ``TSMapEstimator`` gives, minimised exactly;
    the page on TS maps has the differences.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets` or `~gammapy.datasets.MapDataset`
        Maps of one geometry, fitted jointly. Their models are the null hypothesis: all sources
        but the one that is searched for. They are not changed.
    model : `~gammapy.modeling.models.SkyModel`, optional
        Shape and spectrum of the source; its position does not matter, its amplitude is norm 1.
        By default a point source with a power law of index 2.
    energy_edges : Quantity[energy], shape (n+1,), optional
        Edges of bands with a norm each; the nearest edges of the datasets' axis are taken. By
        default one band with all energies.
    kernel_width : Quantity[angle], optional
        Width at which the kernel of the source is cut off; by default as wide as needed.
    selection_optional : "all" or sequence of {"errn-errp", "ul", "sensitivity", "stat_scan"}
        What to compute besides. "all" is without "stat_scan", for which Gammapy is called.
    sum_over_energy_groups : bool
        Add up the energies of a band before the fit, as Gammapy does by default; else the energies
        of a band are fitted jointly, which is more sensitive.
    energy_weighting : {"mean", "expected"}
        Kernels at the energies that are added up: their plain mean, as Gammapy takes it, or
        weighted by the counts that are expected from the model, which is right.
    n_sigma, n_sigma_ul, n_sigma_sensitivity : float
        Errors and upper limits are where the statistic has grown by the square of these; the
        sensitivity is the norm with which this significance is expected. Limits count from the
        best fit even where that is negative, as Gammapy's do.
    kernels : KernelCache, optional
        To share PSF and energy-dispersion kernels with other calls and fits.
    n_jobs : int
        Number of workers, each with a part of the map. Worth it for maps that take long.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute.
    progress : bool
        Show a progress bar.

    Returns
    -------
    maps : `~gammapy.estimators.FluxMaps`
        Quantities as of Gammapy, on the bands. NaN outside masks and where no background is
        predicted. ``success`` is false where no position or energy has exposure.
        ``maps.meta["fallbacks"]`` lists what was left to Gammapy, and why.

    Raises
    ------
    ConfigError
        If an option is unknown, or the model has no position.
    DataError
        If datasets are not of one geometry, lack counts or exposure, or are not of ``cash`` type.
    SelectionError
        If no band has a pixel that is not masked and has background.

    Examples
    --------
    >>> import astropy.units as u
    >>> from gammapy.datasets import MapDataset
    >>> from gammapy.maps import MapAxis, WcsGeom
    >>> from ctao_sat import dl5
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=2)
    >>> geom = WcsGeom.create(npix=11, binsz=0.1, axes=[energy])
    >>> dataset = MapDataset.create(geom)
    >>> dataset.psf = None
    >>> dataset.mask_safe.data[...] = True
    >>> dataset.background.data[...] = 0.5
    >>> dataset.exposure.quantity = 1e12 * u.Unit("cm2 s") + 0 * dataset.exposure.quantity
    >>> dataset.counts.data[0, 5, 5] = 7
    >>> maps = dl5.ts_map(dataset)
    >>> print(f"{maps.sqrt_ts.data[0, 5, 5]:.2f}, {maps.npred_excess.data[0, 5, 5]:.2f} counts")
    3.90, 6.00 counts
    """
    datasets = Datasets(datasets)
    model = _default_model() if model is None else model
    selected = _check_options(selection_optional, energy_weighting, model)
    _check_datasets(datasets)
    if "stat_scan" in selected:
        options = {"selection_optional": selected, "n_sigma": n_sigma, "n_sigma_ul": n_sigma_ul}
        options |= {"energy_edges": energy_edges, "kernel_width": kernel_width}
        options["sum_over_energy_groups"] = sum_over_energy_groups
        return _by_gammapy(datasets, model, options, "stat_scan is not compiled")
    axis = datasets[0].counts.geom.axes["energy"]
    bands = _bands(axis, energy_edges)
    cubes = read_cubes(datasets, model, kernel_width, kernels or KernelCache())
    expected = energy_weighting == "expected"
    groups = [group_of(cubes, b, summed=sum_over_energy_groups, expected=expected) for b in bands]
    _check_groups(groups, axis, bands)
    results = _solve_all(
        groups,
        sum(_OPTIONS[name] for name in selected),
        np.square([n_sigma, n_sigma_ul, n_sigma_sensitivity]).astype(float),
        {"n_jobs": n_jobs, "backend": backend, "progress": progress},
    )
    quantities = [
        {} if group is None else _quantities(group, result, n_sigma)
        for group, result in zip(groups, results, strict=True)
    ]
    meta = {
        "n_sigma": n_sigma,
        "n_sigma_ul": n_sigma_ul,
        "n_sigma_sensitivity": n_sigma_sensitivity,
        "energy_weighting": energy_weighting,
        "fallbacks": [],
    }
    return FluxMaps(
        data=_maps(datasets, axis, bands, groups, quantities, selected),
        reference_model=model,
        gti=datasets.gti,
        meta=meta,
    )


def _default_model() -> SkyModel:
    return SkyModel(PowerLawSpectralModel(), PointSpatialModel(), name="ts-kernel")


def _check_options(selection: str | Sequence[str], weighting: str, model: SkyModel) -> list[str]:
    """Return the selection as a list."""
    selected = list(_OPTIONS) if selection == "all" else list(selection)
    for name, known in [*((name, _SELECTION) for name in selected), (weighting, _WEIGHTINGS)]:
        if name not in known:
            raise ConfigError(f"Unknown option '{name}'.", remedy=did_you_mean(name, known))
    if getattr(model, "spatial_model", None) is None:
        raise ConfigError(
            f"The model '{model.name}' has no position.",
            remedy="Give a SkyModel with a spatial model, such as PointSpatialModel().",
        )
    return selected


def _check_datasets(datasets: Datasets) -> None:
    for dataset in datasets:
        name, kind = f"The dataset '{dataset.name}'", type(dataset).__name__
        if getattr(dataset, "stat_type", "") != "cash" or not isinstance(dataset, MapDataset):
            raise DataError(
                f"{name} is a {kind} with another statistic than 'cash'.",
                remedy="A TS map needs a MapDataset, with a background model.",
            )
        if dataset.counts is None or dataset.exposure is None:
            raise DataError(f"{name} has no counts, or no exposure.", remedy="Reduce it again.")
        if not np.any(dataset.exposure.data > 0):
            raise DataError(f"{name} has no exposure above zero.", remedy="Leave it out.")
        if dataset.counts.geom != datasets[0].counts.geom:
            raise DataError(
                f"{name} has another geometry than '{datasets[0].name}'.",
                remedy="Reduce them to one geometry.",
            )


def _check_groups(groups: list[Group | None], axis: MapAxis, bands: list[slice]) -> None:
    for group, band in zip(groups, bands, strict=True):
        if group is None:
            edges = axis.edges[[band.start, band.stop]]
            log.warning("No position between %s and %s has background.", *edges)
    if all(group is None for group in groups):
        raise SelectionError(
            "No pixel has background that is not masked.",
            remedy="Check background, mask_safe and mask_fit of the datasets.",
        )


def _bands(axis: MapAxis, edges: u.Quantity | None) -> list[slice]:
    """Return the bins of each band."""
    if edges is None:
        return [slice(0, axis.nbin)]
    groups = axis.group_table(u.Quantity(edges))
    groups = groups[groups["bin_type"] == "normal   "]
    return [slice(int(row["idx_min"]), int(row["idx_max"]) + 1) for row in groups]


def _by_gammapy(datasets: Datasets, model: SkyModel, options: dict, reason: str) -> FluxMaps:
    log.warning("The TS map is left to Gammapy: %s", reason)
    maps = TSMapEstimator(model, n_jobs=1, **options).run(datasets)
    maps.meta["fallbacks"] = [reason]
    return maps


def _solve_all(
    groups: list[Group | None], options: int, rises: np.ndarray, how: dict
) -> list[np.ndarray]:
    """Return the results of each band, those of all positions."""
    n_jobs = how["n_jobs"]
    pieces = available_cpus() if n_jobs == -1 else max(n_jobs, 1)
    parts = [
        _Part(replace(group, positions=positions), options, rises)
        for group in groups
        if group is not None
        for positions in np.array_split(group.positions, pieces)
    ]
    solved = iter(pmap(_solve, parts, description="TS map", **how))
    none = np.empty((0, len(RESULTS)))
    return [
        none if group is None else np.concatenate([next(solved) for _ in range(pieces)])
        for group in groups
    ]


def _solve(part: _Part) -> np.ndarray:
    group = part.group
    out = np.empty((len(group.positions), len(RESULTS)))
    ts_positions(
        group.maps, group.positions, group.totals, group.ratios, part.options, part.rises, out
    )
    return out


def _quantities(group: Group, result: np.ndarray, n_sigma: float) -> dict[str, np.ndarray]:
    """Return Gammapy's quantities at the positions."""
    at = tuple(group.positions.T)
    values = dict(zip(RESULTS, result.T, strict=True))
    excess = values["norm"] * values["total"]
    with np.errstate(divide="ignore"):
        # Without counts nothing limits the norm from above: infinite, as Gammapy has it.
        error = n_sigma / np.sqrt(values["curvature"])
    return {
        "ts": values["ts"],
        "norm": values["norm"],
        "niter": values["niter"],
        "norm_err": error,
        "npred": group.background[at] + excess,
        "npred_excess": excess,
        "stat": group.stat[at] - values["ts"],
        "stat_null": group.stat[at],
        "success": np.isfinite(values["norm"]),
        "norm_errn": values["errn"],
        "norm_errp": values["errp"],
        "norm_ul": values["ul"],
        "norm_sensitivity": values["sensitivity"],
    }


def _maps(datasets, axis, bands, groups, quantities, selected) -> Maps:
    """Return one map for each quantity."""
    ends = [band.start for band in bands] + [bands[-1].stop]
    energy = MapAxis.from_energy_edges(axis.edges[ends], name="energy")
    geom = datasets[0].counts.geom.to_image().to_cube([energy])
    names = [*_QUANTITIES]
    if "errn-errp" in selected:
        names += ["norm_errp", "norm_errn"]
    names += [f"norm_{name}" for name in ("ul", "sensitivity") if name in selected]
    maps = Maps()
    for name in names:
        # In Gammapy's maps NaN becomes True: positions that were not fitted have not failed.
        m = Map.from_geom(
            geom, data=np.full(geom.data_shape, True if name == "success" else np.nan)
        )
        for i, (group, values) in enumerate(zip(groups, quantities, strict=True)):
            if group is not None:
                m.data[(i, *group.positions.T)] = values[name]
        maps[name] = m
    return maps
