"""Plain, well-behaved likelihoods, one of each sort: what tests break or draw counts for."""

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.data import GTI
from gammapy.datasets import (
    Datasets,
    FluxPointsDataset,
    MapDataset,
    SpectrumDataset,
    SpectrumDatasetOnOff,
)
from gammapy.estimators import FluxPoints
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map, MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianSpatialModel,
    LogParabolaSpectralModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)
from regions import CircleSkyRegion

from ._irfs import center

FLUX = u.Unit("cm-2 s-1 TeV-1")
POSITION = center("icrs")


def axes(n_energy, n_true=12):
    """Return reconstructed and true energy axis."""
    reco = MapAxis.from_energy_bounds(0.6, 20, nbin=n_energy, unit="TeV")
    true = MapAxis.from_energy_bounds(0.4, 40, nbin=n_true, unit="TeV", name="energy_true")
    return reco, true


def region_geom(n_energy=8):
    """Return a circular region with an energy axis."""
    region = CircleSkyRegion(POSITION, 0.1 * u.deg)
    return RegionGeom(region, axes=[axes(n_energy)[0]])


def map_geom(npix, n_energy=6):
    """Return a small map with an energy axis."""
    reco, _ = axes(n_energy)
    return WcsGeom.create(skydir=POSITION, npix=npix, binsz=0.05, frame="icrs", axes=[reco])


def power_law(name="source", spatial_model=None):
    """Return a source with a power law."""
    spectral_model = PowerLawSpectralModel(index=2.3, amplitude=3e-11 * FLUX)
    return SkyModel(spectral_model, spatial_model, name=name)


def _content(geom, exposure, n_true=12):
    reco, true = geom.axes["energy"], axes(1, n_true)[1]
    maps = Map.from_geom(geom.to_image().to_cube([true]), unit="cm2 s")
    maps.data += exposure
    return {
        "counts": Map.from_geom(geom, dtype=float),
        "exposure": maps,
        "edisp": EDispKernelMap.from_gauss(reco, true, 0.15, 0.0),
        "gti": GTI.create(0 * u.h, 1 * u.h),
    }


def _fall(geom, first):
    """Return expected background counts that fall with energy."""
    background = Map.from_geom(geom, dtype=float)
    last = geom.data_shape[0]
    background.data += np.geomspace(first, 0.05 * first, last)[:, np.newaxis, np.newaxis]
    return background


def draw(datasets, rng, npred):
    """Draw counts of all datasets; ``npred`` are their expected ones, as `expected` has them."""
    for dataset, (on, off) in zip(datasets, npred, strict=True):
        dataset.counts.data = rng.poisson(on).astype(float)
        if off is not None:
            dataset.counts_off.data = rng.poisson(off).astype(float)


def expected(datasets):
    """Return the expected counts of each dataset: on and, if there are, off."""
    pairs = []
    for dataset in datasets:
        if "OnOff" in dataset.tag:
            off = dataset.counts_off.data.copy()
            pairs.append((dataset.npred_signal().data + dataset.alpha.data * off, off))
        else:
            pairs.append((dataset.npred().data.copy(), None))
    return pairs


def _filled(datasets, models, asimov):
    """Return datasets with counts: those expected if ``asimov``, else drawn from them."""
    datasets = Datasets(datasets)
    datasets.models = models
    # A fit does so first. The position of a source changes in its last digit, and once is enough.
    datasets.parameters.autoscale()
    npred = expected(datasets)
    for dataset, (on, _) in zip(datasets, npred, strict=True):
        dataset.counts.data = on
    if not asimov:
        draw(datasets, np.random.default_rng(20281108), npred)
    return datasets


def on_off(n_energy=8, *, asimov=False):
    """Return two on-off spectra of one source."""
    geom, datasets = region_geom(n_energy), []
    for number, ratio in enumerate([3, 10]):
        one = Map.from_geom(geom, dtype=float)
        one.data += 1
        off = {"acceptance": one, "acceptance_off": one * ratio}
        off["counts_off"] = _fall(geom, 20) * ratio
        datasets.append(SpectrumDatasetOnOff(name=f"run-{number}", **_content(geom, 2e13), **off))
    return _filled(datasets, [power_law()], asimov)


def spectrum(n_energy=8, *, asimov=False):
    """Return a spectrum with a known background."""
    geom = region_geom(n_energy)
    dataset = SpectrumDataset(name="run", background=_fall(geom, 30), **_content(geom, 3e13))
    return _filled([dataset], [power_law()], asimov)


def cube(npix=(12, 10), n_energy=6, *, asimov=False):
    """Return a cube: two sources of fixed shape, and a background with free norm and tilt."""
    geom = map_geom(npix, n_energy)
    rad = MapAxis.from_bounds(0, 0.4, nbin=30, unit="deg", name="rad", node_type="edges")
    dataset = MapDataset(
        name="cube",
        background=_fall(geom, 4),
        psf=PSFMap.from_gauss(axes(1)[1], rad, sigma=0.06 * u.deg),
        **_content(geom, 3e13),
    )
    place = [POSITION.spherical_offsets_by(x * u.deg, x * u.deg).icrs for x in (0.07, -0.1)]
    place = [{"lon_0": p.ra, "lat_0": p.dec, "frame": "icrs"} for p in place]
    curved = LogParabolaSpectralModel(
        amplitude=3e-11 * FLUX, alpha=2.2, beta=0.1, reference=1.5 * u.TeV
    )
    curved.beta.frozen = True
    norm = FoVBackgroundModel(dataset_name="cube")
    norm.spectral_model.tilt.frozen = False
    sources = [
        power_law("point", PointSpatialModel(**place[0])),
        SkyModel(curved, GaussianSpatialModel(sigma=0.1 * u.deg, **place[1]), name="extended"),
    ]
    for source in sources:
        source.spatial_model.freeze()
    sources[0].spectral_model.index.frozen = True
    return _filled([dataset], [*sources, norm], asimov)


def moving(npix=(22, 20), n_energy=3, n_true=5, *, asimov=False):
    """Return a cube with a Gaussian of free position and size, and a point of free position."""
    geom, true = map_geom(npix, n_energy), axes(1, n_true)[1]
    rad = MapAxis.from_bounds(0, 0.3, nbin=30, unit="deg", name="rad", node_type="edges")
    # Of one pixel: there is no other place to take responses from.
    place = WcsGeom.create(skydir=POSITION, npix=1, binsz=5)
    content = _content(geom, 3e13, n_true) | {"background": _fall(geom, 1)}
    content["psf"] = PSFMap.from_gauss(true, rad, sigma=0.06 * u.deg, geom=place)
    kernel = content["edisp"].get_edisp_kernel(position=POSITION)
    content["edisp"] = EDispKernelMap.from_edisp_kernel(kernel, geom=place)
    dataset = MapDataset(name="cube", **content)
    extended, point = GaussianSpatialModel(sigma=0.18 * u.deg), PointSpatialModel()
    for shape, (x, y) in ((extended, (0.12, -0.08)), (point, (-0.288, 0.267))):
        there = POSITION.spherical_offsets_by(x * u.deg, y * u.deg)
        shape.lon_0.quantity, shape.lat_0.quantity = there.ra.to("deg"), there.dec.to("deg")
    models = [power_law("extended", extended), power_law("point", point)]
    models[1].spectral_model.index.frozen = True
    return _filled([dataset], [*models, FoVBackgroundModel(dataset_name="cube")], asimov)


def flux_points(change=None):
    """Return flux points of a source, two of them upper limits; ``change`` is called on a table."""
    energy = np.geomspace(0.7, 15, 8)
    truth = 3e-11 * energy**-2.3
    error = 0.2 * truth
    value = np.random.default_rng(20281109).normal(truth, error)
    table = Table({"e_ref": energy * u.TeV, "is_ul": energy > 8})
    table["dnde"] = np.where(table["is_ul"], np.nan, value) * FLUX
    table["dnde_err"], table["dnde_ul"] = error * FLUX, (value + 2 * error) * FLUX
    table["dnde_errp"], table["dnde_errn"] = 1.2 * error * FLUX, 0.8 * error * FLUX
    table.meta["SED_TYPE"] = "dnde"
    if change is not None:
        change(table)
    return FluxPoints.from_table(table)


def points(stat_type="chi2", change=None):
    """Return a dataset of `flux_points`."""
    dataset = FluxPointsDataset(data=flux_points(change), name="points", stat_type=stat_type)
    datasets = Datasets([dataset])
    datasets.models = [power_law()]
    return datasets
