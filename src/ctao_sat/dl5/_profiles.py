"""Estimate the flux in regions along a line or a radius."""

from collections.abc import Sequence
from itertools import pairwise

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets, MapDataset
from gammapy.estimators import FluxPoints
from gammapy.maps import MapAxis
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel, SpectralModel
from regions import CircleAnnulusSkyRegion, CircleSkyRegion, SkyRegion

from ctao_sat.dl5._flux_points import flux_points
from ctao_sat.errors import ConfigError
from ctao_sat.parallel import progress_bar

__all__ = ["flux_profile", "radial_profile"]


def flux_profile(
    datasets: Datasets | MapDataset,
    regions: Sequence[SkyRegion],
    energy_edges: u.Quantity,
    *,
    spectral_model: SpectralModel | None = None,
    selection_optional: str | Sequence[str] = ("errn-errp", "ul"),
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
    progress: bool = False,
) -> FluxPoints:
    """Estimate the flux in each of many regions: boxes along a line, or rings around a position.

    What the models of the datasets predict is background here: leave out the source whose profile
    is wanted. A region is a spectrum of its own; what the point spread function spreads from one
    into another stays there.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets` or `~gammapy.datasets.MapDataset`
        Maps. They are not changed.
    regions : sequence of `~regions.SkyRegion`, n elements
        At least two, as ``gammapy.utils.regions`` makes them
        (``make_orthogonal_rectangle_sky_regions``, ``make_concentric_annulus_sky_regions``).
    energy_edges : Quantity[energy], shape (m+1,)
        Edges of the energy bins.
    spectral_model : `~gammapy.modeling.models.SpectralModel`, optional
        Shape of the spectrum; by default a power law of index 2.
    selection_optional : "all" or sequence of {"errn-errp", "ul", "scan", "sensitivity"}
        What to compute besides norm, error and test statistic.
    n_sigma, n_sigma_ul : float
        Errors and upper limits are where the statistic has grown by the square of these.
    progress : bool
        Show a progress bar.

    Returns
    -------
    profile : `~gammapy.estimators.FluxPoints`
        With an axis "projected-distance" of n bins: the distance from the first region, for rings
        the mean of their radii.

    Raises
    ------
    ConfigError
        If there are fewer than two regions.
    """
    if len(regions) < 2:
        raise ConfigError(
            f"A profile of {len(regions)} regions.", remedy="Give at least two regions."
        )
    estimates = _regions_flux(
        Datasets(datasets),
        regions,
        energy_edges,
        spectral_model,
        {"selection_optional": selection_optional, "n_sigma": n_sigma, "n_sigma_ul": n_sigma_ul},
        progress=progress,
    )
    return FluxPoints.from_stack(maps=estimates, axis=_distances(regions))


def radial_profile(
    datasets: Datasets | MapDataset,
    position: SkyCoord,
    radii: u.Quantity,
    energy_edges: u.Quantity,
    *,
    spectral_model: SpectralModel | None = None,
    selection_optional: str | Sequence[str] = ("errn-errp", "ul"),
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
    progress: bool = False,
) -> FluxPoints:
    """Estimate the flux in rings around a position.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets` or `~gammapy.datasets.MapDataset`
        Maps. They are not changed; what their models predict is background.
    position : `~astropy.coordinates.SkyCoord`
        Centre of the rings.
    radii : Quantity[angle], shape (n+1,)
        Edges of the rings; the first may be 0.
    energy_edges : Quantity[energy], shape (m+1,)
        Edges of the energy bins.
    spectral_model : `~gammapy.modeling.models.SpectralModel`, optional
        Shape of the spectrum; by default a power law of index 2.
    selection_optional : "all" or sequence of {"errn-errp", "ul", "scan", "sensitivity"}
        What to compute besides norm, error and test statistic.
    n_sigma, n_sigma_ul : float
        Errors and upper limits are where the statistic has grown by the square of these.
    progress : bool
        Show a progress bar.

    Returns
    -------
    profile : `~gammapy.estimators.FluxPoints`
        Of the flux in each ring, with an axis "projected-distance" of n bins with these radii as
        edges. Divide by the solid angle of the rings for a surface brightness.

    Raises
    ------
    ConfigError
        If the radii are fewer than three, negative, or do not rise.
    """
    edges = u.Quantity(radii, "deg")
    if edges.ndim != 1 or len(edges) < 3 or edges[0] < 0 or not np.all(np.diff(edges) > 0):
        raise ConfigError(
            "Radii must be at least three, and rise from 0 or more.",
            remedy="For example: [0, 0.1, 0.2] * u.deg.",
        )
    regions = [
        CircleSkyRegion(position, high)
        if low == 0
        else CircleAnnulusSkyRegion(position, inner_radius=low, outer_radius=high)
        for low, high in pairwise(edges)
    ]
    estimates = _regions_flux(
        Datasets(datasets),
        regions,
        energy_edges,
        spectral_model,
        {"selection_optional": selection_optional, "n_sigma": n_sigma, "n_sigma_ul": n_sigma_ul},
        progress=progress,
    )
    axis = MapAxis.from_edges(edges, name="projected-distance")
    return FluxPoints.from_stack(maps=estimates, axis=axis)


def _regions_flux(
    datasets: Datasets,
    regions: Sequence[SkyRegion],
    energy_edges: u.Quantity,
    spectral_model: SpectralModel | None,
    options: dict,
    *,
    progress: bool,
) -> list[FluxPoints]:
    model = PowerLawSpectralModel() if spectral_model is None else spectral_model
    npred = [dataset.npred() for dataset in datasets]
    parts = []
    for region in progress_bar(regions, description="Flux profile", progress=progress):
        spectra = datasets.to_spectrum_datasets(region=region)
        for spectrum, dataset, expected in zip(spectra, datasets, npred, strict=True):
            summed = expected.to_region_nd_map(region, func=np.sum, weights=dataset.mask_safe)
            spectrum.background.data = summed.data
        spectra.models = [SkyModel(model.copy(), name="profile")]
        parts.append(
            flux_points(
                spectra,
                energy_edges,
                "profile",
                **options,
            )
        )
    return parts


def _distances(regions: Sequence[SkyRegion]) -> MapAxis:
    first = regions[0].center
    distances = [
        (region.inner_radius + region.outer_radius) / 2
        if isinstance(region, CircleAnnulusSkyRegion)
        else first.separation(region.center)
        for region in regions
    ]
    return MapAxis.from_nodes(u.Quantity(distances, "deg"), name="projected-distance")
