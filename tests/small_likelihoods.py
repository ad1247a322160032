"""Small datasets with models, made in memory, for tests of likelihoods and fits."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import (
    Datasets,
    FluxPointsDataset,
    MapDataset,
    MapDatasetOnOff,
    SpectrumDataset,
    SpectrumDatasetOnOff,
)
from gammapy.estimators import FluxPoints
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map, MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianSpatialModel,
    Models,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

__all__ = [
    "CENTER",
    "ENERGY",
    "KINDS",
    "background_model",
    "cube",
    "datasets",
    "fill",
    "flux_points",
    "gaussian",
    "gti",
    "map_on_off",
    "on_off",
    "own_point",
    "point",
    "power_law",
    "psf",
    "spectrum",
    "varying_psf",
]

CENTER = SkyCoord(83.6, 22.0, unit="deg")
KINDS = ("spectrum", "on-off", "cube", "map on-off", "flux points", "joint")
ENERGY = MapAxis.from_energy_bounds("1 TeV", "20 TeV", nbin=4)
ENERGY_TRUE = MapAxis.from_energy_bounds("0.7 TeV", "30 TeV", nbin=6, name="energy_true")


def gti():
    """Return ten minutes of observation."""
    return GTI.create(0 * u.s, 600 * u.s, reference_time=Time("2020-01-01", scale="tt"))


def _region():
    return RegionGeom.create(f"icrs;circle({CENTER.ra.deg}, {CENTER.dec.deg}, 0.2)", axes=[ENERGY])


def _image(n_pixels):
    return WcsGeom.create(skydir=CENTER, npix=n_pixels, binsz=0.1, axes=[ENERGY])


def _exposure(geom, level):
    exposure = Map.from_geom(geom.to_image().to_cube([ENERGY_TRUE]), unit="m2 s")
    exposure.data += level * np.linspace(0.5, 1.5, ENERGY_TRUE.nbin)[:, np.newaxis, np.newaxis]
    return exposure


def _map(geom, value):
    result = Map.from_geom(geom)
    result.data += np.asarray(value) * np.geomspace(2, 0.2, ENERGY.nbin)[:, np.newaxis, np.newaxis]
    return result


def _edisp():
    return EDispKernelMap.from_gauss(ENERGY, ENERGY_TRUE, sigma=0.2, bias=0.02)


def _common(geom, level):
    return {
        "counts": Map.from_geom(geom), "exposure": _exposure(geom, level), "edisp": _edisp(),
        "gti": gti(),
    }  # fmt: skip


def _off(geom, level):
    one = Map.from_geom(geom)
    one.data += 1
    counts = _map(geom, 5 * level)
    counts.data = np.round(counts.data)
    return {"counts_off": counts, "acceptance": one, "acceptance_off": one * 5}


def spectrum(name="spectrum"):
    """Return a spectrum with a known background, without counts."""
    geom = _region()
    return SpectrumDataset(name=name, background=_map(geom, 10), **_common(geom, 1e10))


def on_off(name="on-off"):
    """Return a spectrum with a measured background, without counts in the on region."""
    geom = _region()
    return SpectrumDatasetOnOff(name=name, **_common(geom, 1e10), **_off(geom, 10))


def psf(geom=None, scale=1.0):
    """Return a point spread function for the whole sky, or for the pixels of an image."""
    rad = MapAxis.from_bounds(0, 0.4, nbin=20, name="rad", unit="deg", node_type="edges")
    width = scale * np.linspace(0.12, 0.07, ENERGY_TRUE.nbin) * u.deg
    return PSFMap.from_gauss(ENERGY_TRUE, rad, sigma=width, geom=geom)


def varying_psf():
    """Return a point spread function that is wider in the north."""
    geom = WcsGeom.create(skydir=CENTER, npix=(1, 2), binsz=(20, 1), proj="CAR")
    result = psf(geom)
    result.psf_map.data[..., 1:, :] = psf(geom, scale=2).psf_map.data[..., 1:, :]
    return result


def cube(name="cube", n_pixels=12, geom=None):
    """Return a cube with background, PSF and a mask that depends on energy, without counts."""
    geom = _image(n_pixels) if geom is None else geom
    mask = Map.from_geom(geom, dtype=bool)
    mask.data[...] = True
    mask.data[0, :, :2] = False
    return MapDataset(
        name=name,
        background=_map(geom, 0.2),
        psf=psf(),
        mask_safe=mask,
        **_common(geom, 1e10),
    )


def map_on_off(name="map on-off"):
    """Return a cube with a measured background, without counts in the on region."""
    geom = _image(8)
    return MapDatasetOnOff(name=name, psf=psf(), **_common(geom, 1e10), **_off(geom, 1))


def flux_points(name="flux points", seed=20261101):
    """Return flux points around a power law."""
    rng = np.random.default_rng(seed)
    model = PowerLawSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1")
    edges = np.geomspace(0.5, 20, 7) * u.TeV
    energy = np.sqrt(edges[1:] * edges[:-1])
    table = Table({"e_ref": energy, "e_min": edges[:-1], "e_max": edges[1:]})
    truth = model(energy)
    table["dnde"] = truth * rng.normal(1, 0.1, len(energy))
    table["dnde_err"] = 0.1 * truth
    table.meta["SED_TYPE"] = "dnde"
    return FluxPointsDataset(data=FluxPoints.from_table(table, reference_model=model), name=name)


def power_law(name="source", **kwargs):
    """Return a model with a power law and no position."""
    options = {"amplitude": "1e-11 cm-2 s-1 TeV-1", "index": 2.2, **kwargs}
    return SkyModel(PowerLawSpectralModel(**options), name=name)


def point(name="source", offset=0.0, **kwargs):
    """Return a model with a power law at a fixed position, north of the center by degrees."""
    model = power_law(name, **kwargs)
    position = CENTER.directional_offset_by(0 * u.deg, offset * u.deg)
    model.spatial_model = PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs")
    model.spatial_model.parameters.freeze_all()
    return model


def background_model(name="cube"):
    """Return a background with free norm and tilt."""
    model = FoVBackgroundModel(dataset_name=name)
    model.spectral_model.tilt.frozen = False
    return model


def fill(all_datasets, rng):
    """Draw the counts of datasets from what their models predict."""
    for dataset in all_datasets:
        if isinstance(dataset, FluxPointsDataset):
            continue
        expected = dataset.npred_signal().data
        if hasattr(dataset, "counts_off"):
            expected = expected + (dataset.counts_off * dataset.alpha).data
        else:
            expected = expected + dataset.npred_background().data
        dataset.counts.data = rng.poisson(expected).astype(dataset.counts.data.dtype)


def datasets(kind, seed=20261101):
    """Return datasets of a kind with models and with counts drawn from them.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    seed : int
        Of the counts.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
        The parameters are at the truth.
    """
    made = {
        "spectrum": lambda: [spectrum()],
        "on-off": lambda: [on_off()],
        "cube": lambda: [cube()],
        "map on-off": lambda: [map_on_off()],
        "flux points": lambda: [flux_points()],
        "joint": lambda: [cube(), on_off(), spectrum(), flux_points()],
    }[kind]()
    models = [power_law()]
    if "cube" in kind or kind in ("map on-off", "joint"):
        models = [point()]
    if kind in ("cube", "joint"):
        models.append(background_model())
    if kind == "cube":
        models.append(point("second", offset=0.35, index=2.6, amplitude="6e-12 cm-2 s-1 TeV-1"))
    result = Datasets(made)
    result.models = Models(models)
    fill(result, np.random.default_rng(seed))
    return result


def gaussian(model, sigma):
    """Return a free round Gaussian at the place of a model."""
    position = model.spatial_model.position
    return GaussianSpatialModel.from_position(position, sigma=sigma)


class OwnPoint(PointSpatialModel):
    """A point whose integral over pixels is its own, as far as anyone can tell."""

    tag = "OwnPoint"
    lon_0 = PointSpatialModel.lon_0
    lat_0 = PointSpatialModel.lat_0

    def integrate_geom(self, geom, oversampling_factor=None):
        """Return that of a point."""
        return super().integrate_geom(geom, oversampling_factor)


def own_point(model):
    """Return the position of a point source as a model that cannot be compiled, frozen."""
    usual = model.spatial_model
    values = {parameter.name: parameter.quantity for parameter in usual.parameters}
    own = OwnPoint(**values, frame=usual.frame)
    own.freeze()
    return own
