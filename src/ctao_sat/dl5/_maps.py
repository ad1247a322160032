"""Map excess, significance and residuals of counts over the sky."""

from collections.abc import Sequence
from typing import Any, TypeVar

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets, MapDataset, MapDatasetOnOff
from gammapy.estimators import ExcessMapEstimator, FluxMaps
from gammapy.maps import Map, MapAxis, WcsNDMap
from gammapy.modeling.models import SpectralModel
from gammapy.stats import CashCountsStatistic
from scipy.stats import norm

from ctao_sat.dl5._energy_bins import energy_bins
from ctao_sat.errors import ConfigError, DataError, did_you_mean

__all__ = ["excess_map", "residual_map", "significance_distribution", "significance_map"]

_RESIDUALS = ("diff", "diff/model", "diff/sqrt(model)", "significance")
AnyMapDataset = TypeVar("AnyMapDataset", bound=MapDataset)


def excess_map(
    datasets: Datasets | MapDataset,
    correlation_radius: u.Quantity = 0.1 * u.deg,
    *,
    energy_edges: u.Quantity | None = None,
    selection_optional: str | Sequence[str] = (),
    spectral_model: SpectralModel | None = None,
    correlate_off: bool = True,
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
) -> FluxMaps:
    r"""Map excess counts, their significance and flux within a circle around each pixel.

    What the models of the datasets predict is background here: without models of sources, the map
    is one of all of them; with them, one of what they leave. The significance is that of Li & Ma
    (1983, ApJ 272, 317, eq. 17) where the background is measured, and where it is predicted

    .. math::

        \mathrm{TS} = 2 \left(n \ln \frac{n}{b} - n + b\right).

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets` or `~gammapy.datasets.MapDataset`
        Maps of one geometry; several are added up. They are not changed.
    correlation_radius : Quantity[angle]
        Radius of the circle, about that of the source or of the PSF.
    energy_edges : Quantity[energy], shape (n+1,), optional
        Edges of bands with a map each; by default one band with all energies.
    selection_optional : "all" or sequence of str
        What to compute besides, see ``ExcessMapEstimator``: "errn-errp" and "ul" take long.
    spectral_model : `~gammapy.modeling.models.SpectralModel`, optional
        Shape with which counts become a flux; by default a power law of index 2.
    correlate_off : bool
        Add up the off counts within the circle, too. False for a ring background, whose off counts
        are sums over a ring already.
    n_sigma, n_sigma_ul : float
        Errors and upper limits are where the statistic has grown by the square of these.

    Returns
    -------
    maps : `~gammapy.estimators.FluxMaps`
        NaN outside of the masks. Pixels within a circle of each other are not independent.

    Raises
    ------
    ConfigError
        If the radius is smaller than a pixel.
    DataError
        If datasets are no maps, or not of one geometry and kind.

    Examples
    --------
    >>> import astropy.units as u
    >>> from gammapy.datasets import MapDataset
    >>> from gammapy.maps import MapAxis, WcsGeom
    >>> from ctao_sat import dl5
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=2)
    >>> dataset = MapDataset.create(WcsGeom.create(npix=11, binsz=0.1, axes=[energy]))
    >>> dataset.mask_safe.data[...] = True
    >>> dataset.background.data[...] = 0.5
    >>> dataset.counts.data[0, 5, 5] = 7
    >>> maps = dl5.excess_map(dataset, 0.1 * u.deg)
    >>> print(maps.npred_excess.data[0, 5, 5], round(float(maps.sqrt_ts.data[0, 5, 5]), 2))
    2.0 0.84
    """
    dataset = joined(datasets)
    radius = u.Quantity(correlation_radius, "deg")
    smallest = dataset.counts.geom.pixel_scales.to("deg").max()
    if not radius >= smallest:
        raise ConfigError(
            f"A correlation radius of {radius:.3g} is smaller than a pixel of {smallest:.3g}.",
            remedy="Take a larger radius: 0.1 deg is usual.",
        )
    estimator = ExcessMapEstimator(
        correlation_radius=radius,
        energy_edges=energy_edges,
        sum_over_energy_groups=energy_edges is None,
        selection_optional=selection_optional
        if selection_optional == "all"
        else list(selection_optional),
        spectral_model=spectral_model,
        correlate_off=correlate_off,
        n_sigma=n_sigma,
        n_sigma_ul=n_sigma_ul,
    )
    # Pixels without background, or without off counts, have no significance.
    with np.errstate(divide="ignore", invalid="ignore"):
        return estimator.run(dataset)


def significance_map(
    datasets: Datasets | MapDataset,
    correlation_radius: u.Quantity = 0.1 * u.deg,
    *,
    energy_edges: u.Quantity | None = None,
    correlate_off: bool = True,
) -> WcsNDMap:
    """Map the significance of the excess within a circle around each pixel, in sigma.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets` or `~gammapy.datasets.MapDataset`
        See `excess_map`, which gives the excess itself besides.
    correlation_radius : Quantity[angle]
        Radius of the circle.
    energy_edges : Quantity[energy], shape (n+1,), optional
        Edges of bands with a map each; by default one band with all energies.
    correlate_off : bool
        False for a ring background.

    Returns
    -------
    significance : `~gammapy.maps.WcsNDMap`, shape (n, height, width)
        Negative where there are fewer counts than background.

    Raises
    ------
    ConfigError
        If the radius is smaller than a pixel.
    DataError
        If datasets are no maps, or not of one geometry and kind.
    """
    maps = excess_map(
        datasets, correlation_radius, energy_edges=energy_edges, correlate_off=correlate_off
    )
    return maps.sqrt_ts


def residual_map(
    datasets: Datasets | MapDataset,
    method: str = "diff/sqrt(model)",
    *,
    energy_edges: u.Quantity | None = None,
    smooth: u.Quantity | None = None,
) -> WcsNDMap:
    """Map the difference of counts and what the models predict.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets` or `~gammapy.datasets.MapDataset`
        Maps of one geometry with fitted models; several are added up. They are not changed.
    method : {"diff/sqrt(model)", "diff", "diff/model", "significance"}
        How the difference is scaled. "significance" is the signed root of the likelihood ratio of
        `excess_map`, for the counts of a pixel; with `smooth` there are no counts, and it is not
        defined.
    energy_edges : Quantity[energy], shape (n+1,), optional
        Edges of bands with a map each; by default one band with all energies.
    smooth : Quantity[angle], optional
        Width of a Gaussian with which counts and prediction are smoothed before.

    Returns
    -------
    residuals : `~gammapy.maps.WcsNDMap`, shape (n, height, width)
        NaN outside of the masks, and where nothing is predicted that it is divided by.

    Raises
    ------
    ConfigError
        If the method is unknown, or significance is asked for with smoothing.
    DataError
        If datasets are no maps, or not of one geometry and kind.
    """
    if method not in _RESIDUALS:
        raise ConfigError(
            f"Unknown method {method!r}.", remedy=did_you_mean(str(method), list(_RESIDUALS))
        )
    if method == "significance" and smooth is not None:
        raise ConfigError(
            "Smoothed counts have no significance.",
            remedy="Take `significance_map` with a correlation radius.",
        )
    dataset = joined(datasets)
    weights = _mask(dataset)
    bands = _bands(dataset, energy_edges)
    counts, npred = (
        each.resample_axis(axis=bands, weights=weights)
        for each in (dataset.counts, dataset.npred())
    )
    if smooth is not None:
        counts, npred = (
            each.smooth(u.Quantity(smooth, "deg"), "gauss") for each in (counts, npred)
        )
    difference = counts.data - npred.data
    with np.errstate(divide="ignore", invalid="ignore"):
        if method == "diff/model":
            difference = difference / npred.data
        elif method == "diff/sqrt(model)":
            difference = difference / np.sqrt(npred.data)
        elif method == "significance":
            difference = CashCountsStatistic(counts.data, npred.data).sqrt_ts
    inside = weights.resample_axis(axis=bands, ufunc=np.logical_or).data
    difference = np.where(inside & np.isfinite(difference), difference, np.nan)
    return Map.from_geom(counts.geom, data=difference)


def significance_distribution(
    significance: WcsNDMap,
    exclusion: WcsNDMap | None = None,
    *,
    correlation_radius: u.Quantity | None = None,
) -> dict[str, Any]:
    r"""Return mean and width of the significances in a map, as of a normal distribution.

    Where nothing but background is left they are 0 and 1; a larger width tells of a background
    that does not fit, or of sources that are not excluded.

    Parameters
    ----------
    significance : `~gammapy.maps.WcsNDMap`
        Of `significance_map`, of all bands together, or ``sqrt_ts`` of a TS map.
    exclusion : `~gammapy.maps.WcsNDMap`, optional
        Mask of an image that is false where there are sources, as Gammapy's exclusion masks are.
    correlation_radius : Quantity[angle], optional
        That of the map. The sum of the correlations of a pixel with all others is then the area
        of the circle, and :math:`n_\mathrm{eff}` is n pixels in units of it. By default pixels are
        taken to be independent, which makes the errors of a correlated map too small.

    Returns
    -------
    distribution : dict
        "mean", "std", their errors ``std / sqrt(n_eff)`` and ``std / sqrt(2 n_eff)`` as "mean_err"
        and "std_err", "n", the number of pixels, and "values", array, shape (n,).

    Raises
    ------
    DataError
        If no pixel is left.

    Examples
    --------
    >>> import numpy as np
    >>> from gammapy.maps import WcsNDMap
    >>> from ctao_sat import dl5
    >>> noise = WcsNDMap.create(npix=100, binsz=0.02)
    >>> noise.data = np.random.default_rng(1).normal(size=noise.data.shape)
    >>> found = dl5.significance_distribution(noise)
    >>> print(f"{found['mean']:.2f} +- {found['mean_err']:.2f}, {found['std']:.2f}")
    -0.01 +- 0.01, 1.00
    """
    values = significance.data
    image = significance.geom.to_image()
    if exclusion is not None:
        kept = exclusion.interp_to_geom(image, method="nearest", fill_value=1).data > 0.5
        values = np.where(kept, values, np.nan)
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise DataError(
            "No pixel of the map is left.", remedy="Exclude less, or look at the mask of the map."
        )
    n_eff = float(values.size)
    if correlation_radius is not None:
        width, height = image.pixel_scales
        circle = np.pi * u.Quantity(correlation_radius) ** 2 / (width * height)
        n_eff /= max(float(circle.to_value("")), 1.0)
    mean, std = norm.fit(values)
    return {
        "mean": float(mean),
        "std": float(std),
        "mean_err": float(std / np.sqrt(n_eff)),
        "std_err": float(std / np.sqrt(2 * n_eff)),
        "n": int(values.size),
        "values": values,
    }


def joined(datasets: Datasets | MapDataset) -> MapDataset:
    """Return one dataset: the only one, or the sum of several, their models in the background."""
    datasets = Datasets(datasets)
    _check(datasets)
    if len(datasets) == 1:
        return datasets[0]
    return Datasets([_bare(dataset) for dataset in datasets]).stack_reduce(name="joined")


def _bare(dataset: AnyMapDataset) -> AnyMapDataset:
    """Return a dataset in which what its models predict is background, and all masks are one."""
    parts = {
        "counts": dataset.counts,
        "exposure": dataset.exposure,
        "psf": dataset.psf,
        "edisp": dataset.edisp,
        "mask_safe": _mask(dataset),
        "gti": dataset.gti,
        "name": dataset.name,
    }
    if isinstance(dataset, MapDatasetOnOff):
        return MapDatasetOnOff(
            counts_off=dataset.counts_off,
            acceptance=dataset.acceptance,
            acceptance_off=dataset.acceptance_off,
            **parts,
        )
    return MapDataset(background=dataset.npred(), **parts)


def _bands(dataset: MapDataset, energy_edges: u.Quantity | None) -> MapAxis:
    edges = dataset.counts.geom.axes["energy"].edges
    if energy_edges is not None:
        bins = energy_bins(Datasets([dataset]), u.Quantity(energy_edges))
        edges = u.Quantity([bins[0].edges[0], *(each.edges[1] for each in bins)])
    else:
        edges = edges[[0, -1]]
    return MapAxis.from_energy_edges(edges)


def _mask(dataset: MapDataset) -> Map:
    mask = dataset.mask
    return Map.from_geom(dataset.counts.geom, data=True, dtype=bool) if mask is None else mask


def _check(datasets: Datasets) -> None:
    for dataset in datasets:
        if (
            not isinstance(dataset, MapDataset)
            or dataset.counts is None
            or dataset.counts.geom.is_region
        ):
            raise DataError(
                f"Dataset '{dataset.name}' is no map of counts.",
                remedy="Reduce the observations with a WcsGeom.",
            )
    first = datasets[0]
    for dataset in datasets:
        if dataset.counts.geom != first.counts.geom or type(dataset) is not type(first):
            raise DataError(
                f"Datasets '{first.name}' and '{dataset.name}' are not of one geometry and kind.",
                remedy="Reduce them into the same geometry, or stack them first.",
            )
        if isinstance(dataset, MapDatasetOnOff) and len(datasets) > 1 and dataset.models:
            raise DataError(
                "Several datasets with measured background cannot be added up with their models.",
                remedy="Stack them, and set the models of the sum.",
            )
