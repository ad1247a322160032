"""The datasets and models that the benchmarks work on; none is kept on disk."""

import os
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore, FixedPointingInfo, Observation
from gammapy.datasets import Datasets, MapDataset
from gammapy.makers import MapDatasetMaker, SafeMaskMaker
from gammapy.maps import Map, MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianSpatialModel,
    LogParabolaSpectralModel,
    Models,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
    SpatialModel,
)
from regions import CircleSkyRegion

from ctao_sat import dl4, simulate

CRAB_RUNS = (23523, 23526, 23559, 23592)
GALACTIC_CENTRE_RUNS = (110380, 111140, 111159)
MSH_RUNS = (
    *(20136, 20137, 20282, 20283, 20301, 20302, 20303, 20322, 20323, 20324),
    *(20325, 20343, 20344, 20345, 20346, 20365, 20366, 20367, 20368),
)
FLUX = u.Unit("cm-2 s-1 TeV-1")
SEED = 20280106


def crab(data: Path) -> Datasets:
    """Return four H.E.S.S. runs on the Crab nebula: 40 x 100 energies, reflected regions."""
    target = SkyCoord(83.633, 22.014, unit="deg")
    store = DataStore.from_dir(data / "hess-dl3-dr1")
    energy = MapAxis.from_energy_bounds("0.1 TeV", "100 TeV", nbin=40)
    datasets = dl4.reduce(
        store.get_observations(CRAB_RUNS, required_irf="point-like"),
        RegionGeom.create(CircleSkyRegion(target, 0.11 * u.deg), axes=[energy]),
        energy_axis_true=MapAxis.from_energy_bounds(
            "0.05 TeV", "200 TeV", nbin=100, name="energy_true"
        ),
        exclusion=[CircleSkyRegion(SkyCoord(84.8, 21.1, unit="deg"), 0.2 * u.deg)],
    )
    datasets.models = [crab_model()]
    return datasets


def crab_model() -> SkyModel:
    """Return a log-parabola near that of the Crab nebula."""
    spectrum = LogParabolaSpectralModel(
        amplitude=3e-11 * FLUX, reference=1 * u.TeV, alpha=2.3, beta=0.1
    )
    return SkyModel(spectrum, name="crab")


def many_runs(datasets: Datasets, number: int) -> Datasets:
    """Return as many datasets as asked for, copies in turn, with the same model."""
    copies = [datasets[i % len(datasets)].copy(name=f"run-{i}") for i in range(number)]
    many = Datasets(copies)
    many.models = [crab_model()]
    return many


def galactic_centre(data: Path) -> Datasets:
    """Return three CTA-1DC runs stacked: 10 x 400 x 500 bins of 0.02 deg, 20 true energies."""
    stacked = _centre_map()
    for dataset in _centre_runs(data):
        stacked.stack(dataset)
    datasets = Datasets([stacked])
    datasets.models = centre_models()
    return datasets


def galactic_centre_runs(data: Path) -> Datasets:
    """Return the same three runs one by one, on 10 x 400 x 400 bins each."""
    datasets = Datasets(_centre_runs(data))
    sources = centre_models(background=False)
    backgrounds = [centre_background(name) for name in datasets.names]
    datasets.models = [*sources, *backgrounds]
    return datasets


def _centre_map() -> MapDataset:
    geom = WcsGeom.create(
        skydir=(0, 0),
        frame="galactic",
        binsz=0.02,
        npix=(500, 400),
        axes=[MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=10)],
    )
    return MapDataset.create(geom=geom, energy_axis_true=_axis_true(), name="centre")


def _centre_runs(data: Path) -> list[MapDataset]:
    # The index of the data names its IRFs by this variable.
    os.environ.setdefault("CALDB", str(data / "cta-1dc" / "caldb"))
    store = DataStore.from_dir(data / "cta-1dc" / "index" / "gps")
    empty, runs = _centre_map(), []
    maker = MapDatasetMaker(selection=["counts", "background", "exposure", "psf", "edisp"])
    safe = SafeMaskMaker(methods=["offset-max"], offset_max=4 * u.deg)
    with warnings.catch_warnings():
        # The unit of their background, 1/s/MeV/sr, is one that FITS does not know.
        warnings.simplefilter("ignore", u.UnitsWarning)
        for observation in store.get_observations(GALACTIC_CENTRE_RUNS):
            pointing = observation.get_pointing_icrs(observation.tmid)
            cutout = empty.cutout(pointing, width="8 deg", name=f"run-{observation.obs_id}")
            runs.append(safe.run(maker.run(cutout, observation), observation))
    return runs


def _axis_true() -> MapAxis:
    return MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=20, name="energy_true")


def centre_models(*, background: bool = True) -> Models:
    """Return two points and a Gaussian, their shapes frozen, and the background with its tilt."""
    places = [
        ("sgr-a", PointSpatialModel(lon_0="-0.05 deg", lat_0="-0.05 deg", frame="galactic")),
        ("g0.9", PointSpatialModel(lon_0="0.87 deg", lat_0="0.08 deg", frame="galactic")),
        (
            "diffuse",
            GaussianSpatialModel(
                lon_0="-0.99 deg", lat_0="-0.2 deg", sigma="0.3 deg", frame="galactic"
            ),
        ),
    ]
    models = Models([source(name, spatial, 2e-12, 2.3) for name, spatial in places])
    if background:
        models.append(centre_background("centre"))
    return models


def centre_background(name: str) -> FoVBackgroundModel:
    """Return the background of a dataset with its tilt free."""
    model = FoVBackgroundModel(dataset_name=name)
    model.spectral_model.tilt.frozen = False
    return model


def thaw_shapes(datasets: Datasets) -> None:
    """Free the positions and the sizes of all sources; Gaussians stay round."""
    for model in datasets.models:
        if isinstance(model, SkyModel):
            for parameter in model.spatial_model.parameters:
                parameter.frozen = parameter.name not in {"lon_0", "lat_0", "sigma"}


def msh_15_52(data: Path) -> Datasets:
    """Return the H.E.S.S. runs on MSH 15-52 stacked: 10 x 200 x 200 bins of 0.02 deg."""
    store = DataStore.from_dir(data / "hess-dl3-dr1")
    geom = WcsGeom.create(
        skydir=SkyCoord(228.6125, -59.2717, unit="deg"),
        frame="icrs",
        binsz=0.02,
        npix=200,
        axes=[MapAxis.from_energy_bounds("0.5 TeV", "50 TeV", nbin=10)],
    )
    axis_true = MapAxis.from_energy_bounds("0.2 TeV", "100 TeV", nbin=20, name="energy_true")
    stacked = MapDataset.create(geom=geom, energy_axis_true=axis_true, name="msh")
    maker = MapDatasetMaker(selection=["counts", "background", "exposure", "psf", "edisp"])
    safe = SafeMaskMaker(methods=["offset-max"], offset_max=2 * u.deg)
    for observation in store.get_observations(MSH_RUNS):
        stacked.stack(safe.run(maker.run(stacked.copy(name="run"), observation), observation))
    datasets = Datasets([stacked])
    spatial = GaussianSpatialModel(lon_0="228.6 deg", lat_0="-59.2 deg", sigma="0.1 deg")
    datasets.models = [source("msh", spatial, 5e-12, 2.2), FoVBackgroundModel(dataset_name="msh")]
    return datasets


def source(name: str, spatial: SpatialModel, amplitude: float, index: float) -> SkyModel:
    """Return a source with a frozen shape and a free power law."""
    spatial.freeze()
    spectrum = PowerLawSpectralModel(amplitude=amplitude * FLUX, index=index, reference=1 * u.TeV)
    return SkyModel(spectrum, spatial, name=name)


def filled(datasets: Datasets) -> Datasets:
    """Return the cube with sixty times the background: counts in most of its bins."""
    dataset = _copy(datasets)
    dataset.background.data *= 60
    dataset.models = centre_models()
    dataset.counts = _poisson(dataset.npred())
    return Datasets([dataset])


def without_background(datasets: Datasets) -> Datasets:
    """Return the cube without any background: counts also where nothing is predicted."""
    dataset = _copy(datasets)
    dataset.background = None
    dataset.models = centre_models(background=False)
    return Datasets([dataset])


def masked_by_energy(datasets: Datasets) -> Datasets:
    """Return the cube with a fit mask that opens from 1.5 to 4 deg with energy."""
    dataset = _copy(datasets)
    geom = dataset.counts.geom
    offset = geom.to_image().separation(geom.center_skydir).to_value("deg")
    radius = np.linspace(1.5, 4, geom.axes["energy"].nbin)
    dataset.mask_fit = Map.from_geom(geom, data=offset < radius[:, None, None])
    dataset.models = centre_models()
    return Datasets([dataset])


def _copy(datasets: Datasets) -> MapDataset:
    # Not copy(): it takes along the background that Gammapy has evaluated before.
    one = datasets[0]
    names = ("counts", "exposure", "psf", "edisp", "mask_safe", "gti")
    parts = {name: getattr(one, name) for name in names}
    return MapDataset(name=one.name, background=one.background.copy(), **parts)


def _poisson(npred: Map) -> Map:
    rng = np.random.default_rng(SEED)
    # Whole numbers of this size are exact in Gammapy's float32 counts.
    return npred.copy(data=rng.poisson(npred.data).astype(np.float32))


def survey(
    n_sources: int = 50, n_pixels: int = 500, width: float = 10, *, ring: bool = False
) -> Datasets:
    """Return a simulated field of point sources: 10 x n_pixels x n_pixels bins in ``width`` deg.

    The sources lie anywhere, or on a ring, where the PSF is the same for all of them. Two spectral
    parameters a source and one of the background are free. After two hours,
    about as many of the bins have counts as in the cube of the Galactic centre.
    """
    irfs = simulate.demo_array("south")
    center = SkyCoord(0, 0, unit="deg", frame="galactic")
    observation = Observation.create(
        pointing=FixedPointingInfo(fixed_icrs=center.icrs), livetime=2 * u.h, irfs=irfs
    )
    geom = WcsGeom.create(
        skydir=center,
        frame="galactic",
        binsz=width / n_pixels,
        npix=n_pixels,
        axes=[MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=10)],
    )
    empty = MapDataset.create(geom=geom, energy_axis_true=_axis_true(), name="survey")
    maker = MapDatasetMaker(selection=["background", "exposure", "psf", "edisp"])
    datasets = Datasets([maker.run(empty, observation)])
    datasets.models = _survey_models(n_sources, 0.7 * width, ring)
    datasets[0].counts = _poisson(datasets[0].npred())
    return datasets


def _survey_models(number: int, width: float, ring: bool) -> Models:
    rng = np.random.default_rng(SEED)
    models = Models()
    for i in range(number):
        lon, lat = rng.uniform(-width / 2, width / 2, 2)
        if ring:
            # The golden angle: the first few are spread as evenly as all of them.
            angle = 2.39996 * i
            lon, lat = width / 4 * np.cos(angle), width / 4 * np.sin(angle)
        spatial = PointSpatialModel(lon_0=lon * u.deg, lat_0=lat * u.deg, frame="galactic")
        amplitude, index = 10 ** rng.uniform(-12.5, -11.5), rng.uniform(2, 2.8)
        models.append(source(f"source-{i:03d}", spatial, amplitude, index))
    models.append(FoVBackgroundModel(dataset_name="survey"))
    return models


def with_sources(datasets: Datasets, number: int) -> Datasets:
    """Return the same data with the first sources only, and the background."""
    fewer = Datasets([_copy(datasets)])
    models = datasets.models
    fewer.models = [*models[:number], models[-1]]
    return fewer


def thaw(datasets: Datasets, number: int) -> None:
    """Free the first parameters of the spectra and freeze the others."""
    spectral = [p for model in datasets.models for p in model.spectral_model.parameters]
    chosen = [p for p in spectral if p.name in {"amplitude", "index", "norm"}]
    for i, parameter in enumerate(chosen):
        parameter.frozen = i >= number
