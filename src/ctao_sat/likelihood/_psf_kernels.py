"""Kernels of a PSF on pixels, as Gammapy makes them, by interpolation along the radius alone."""

import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.irf import PSFKernel, PSFMap
from gammapy.maps import Map, WcsGeom

from ctao_sat._gammapy import psf_kernel_sizes

__all__ = ["psf_kernel"]


def psf_kernel(
    psf: PSFMap, geom: WcsGeom, position: SkyCoord | None, options: dict, grids: dict
) -> PSFKernel:
    """Return what ``psf.get_psf_kernel`` returns.

    Gammapy interpolates in energy, radius and position at each part of each pixel. At a position
    and the centre of an energy bin, that is a function of the radius, linear between the nodes of
    its axis; and the radii of parts of pixels are the same for all positions.

    Parameters
    ----------
    psf : `~gammapy.irf.PSFMap`
        In true energy.
    geom : `~gammapy.maps.WcsGeom`
        Of the exposure.
    position : `~astropy.coordinates.SkyCoord` or None
        Where; None is the centre of the map.
    options : dict
        ``containment`` and ``max_radius`` of Gammapy's method.
    grids : dict
        Radii found before; added to.

    Returns
    -------
    kernel : `~gammapy.irf.PSFKernel`
        One image for each true energy, normalised.
    """
    position, radii, factors = psf_kernel_sizes(psf, geom, position, **options)
    axes = psf.psf_map.geom.axes
    energy, rad = axes["energy_true"], axes["rad"]
    profiles = psf.psf_map.interp_by_coord(
        {
            "energy_true": energy.center[:, np.newaxis],
            "rad": rad.center[np.newaxis],
            "skycoord": position,
        },
        method="linear",
    )
    whole = geom.to_odd_npix(max_radius=np.max(radii))
    kernel, size = Map.from_geom(whole), whole.pixel_scales.max()
    for image, radius, factor, profile in zip(kernel.data, radii, factors, profiles, strict=True):
        pixel, share = _radii(whole, factor, rad, grids)
        # As ``to_odd_npix`` has it, for each energy.
        n = int(np.ceil((2 * radius / size).to_value(""))) // 2 * 2 + 1
        first = (len(image) - n) // 2
        inner = np.s_[first * factor : (first + n) * factor, first * factor : (first + n) * factor]
        i, t = pixel[inner], share[inner]
        values = np.maximum(profile[i] * (1 - t) + profile[i + 1] * t, 0.0)
        parts = values.reshape(n, factor, n, factor)
        image[first : first + n, first : first + n] = parts.sum(axis=(1, 3))
    return PSFKernel(kernel, normalize=True)


def _radii(geom: WcsGeom, factor: int, rad, grids: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return for each part of each pixel the node below its radius, and how far it is above."""
    key = geom.data_shape[-2:], factor, rad.nbin
    if key not in grids:
        fine = geom.to_image().upsample(factor)
        separation = fine.get_coord(sparse=True).skycoord.separation(geom.center_skydir)
        at = np.broadcast_to(rad.coord_to_pix(separation), fine.data_shape)
        node = np.clip(np.floor(at), 0, rad.nbin - 2).astype(np.int64)
        grids[key] = node, at - node
    return grids[key]
