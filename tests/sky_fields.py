"""Simulated fields of the sky, small and with fixed seeds."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets, MapDataset
from gammapy.irf import PSFMap
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

PSF_SIGMA = 0.06 * u.deg


def source(centre, east, north, amplitude, sigma=0.0, name="truth"):
    """Return a source in degrees beside a centre, with 1e-12 cm-2 s-1 TeV-1 as unit of flux."""
    place = centre.spherical_offsets_by(east * u.deg, north * u.deg)
    position = {
        "lon_0": place.data.lon,
        "lat_0": place.data.lat,
        "frame": centre.frame.name,
    }
    shape = (
        GaussianSpatialModel(sigma=sigma * u.deg, **position)
        if sigma
        else PointSpatialModel(**position)
    )
    spectrum = PowerLawSpectralModel(
        index=2.3, amplitude=amplitude * 1e-12 * u.Unit("cm-2 s-1 TeV-1")
    )
    return SkyModel(spectrum, shape, name=name)


def field(sources=(), *, centre=None, seed=1, npix=61, proj="CAR", background=0.05, mean=False):
    """Return a field with Poisson counts, flat background, and a Gaussian PSF."""
    centre = SkyCoord(10, 0, unit="deg", frame="galactic") if centre is None else centre
    energy = MapAxis.from_energy_bounds("0.5 TeV", "10 TeV", nbin=3)
    true = MapAxis.from_energy_bounds("0.5 TeV", "10 TeV", nbin=3, name="energy_true")
    geom = WcsGeom.create(
        skydir=centre, frame=centre.frame.name, binsz=0.03, npix=npix, proj=proj, axes=[energy]
    )
    exposure = Map.from_geom(geom.to_image().to_cube([true]), unit="cm2 s")
    exposure.data += 1e13
    per_bin = Map.from_geom(geom)
    per_bin.data += background * np.array([9, 3, 1])[:, None, None]
    dataset = MapDataset(
        counts=Map.from_geom(geom),
        background=per_bin,
        exposure=exposure,
        psf=PSFMap.from_gauss(true, sigma=PSF_SIGMA),
        mask_safe=Map.from_geom(geom, data=True, dtype=bool),
        name="field",
    )
    dataset.models = [*(source(centre, *one, name=f"s{i}") for i, one in enumerate(sources))]
    npred = dataset.npred().data
    dataset.counts.data = npred if mean else np.random.default_rng(seed).poisson(npred)
    datasets = Datasets([dataset])
    datasets.models = [FoVBackgroundModel(dataset_name="field")]
    return datasets
