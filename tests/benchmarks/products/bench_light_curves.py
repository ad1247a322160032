"""The datasets of which the benchmarks take light curves; none is kept on disk."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.data import DataStore, FixedPointingInfo, Observation
from gammapy.datasets import Datasets, MapDataset
from gammapy.makers import MapDatasetMaker
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)
from regions import CircleSkyRegion

from ctao_sat import dl4, simulate

PKS = SkyCoord(329.7169, -30.2256, unit="deg")
PKS_RUNS = (*range(33787, 33802), 47802, 47803, 47804, 47827, 47828, 47829)
FLUX = u.Unit("cm-2 s-1 TeV-1")
SEED = 21550304


def pks_2155(data: Path) -> Datasets:
    """Return 21 H.E.S.S. runs on PKS 2155-304: 24 x 60 energies, reflected regions."""
    store = DataStore.from_dir(data / "hess-dl3-dr1")
    energy = MapAxis.from_energy_bounds("0.1 TeV", "40 TeV", nbin=24)
    datasets = dl4.reduce(
        store.get_observations(PKS_RUNS, required_irf="point-like"),
        RegionGeom.create(CircleSkyRegion(PKS, 0.11 * u.deg), axes=[energy]),
        energy_axis_true=MapAxis.from_energy_bounds(
            "0.05 TeV", "100 TeV", nbin=60, name="energy_true"
        ),
    )
    spectrum = PowerLawSpectralModel(amplitude=1e-11 * FLUX, reference=1 * u.TeV, index=3.4)
    datasets.models = [SkyModel(spectrum, name="pks")]
    return datasets


def cubes(n_datasets: int = 10, n_pixels: int = 200, *, wobble: bool = False) -> Datasets:
    """Return simulated observations of a point source: 9 x 200 x 200 bins each, one after another.

    With the fluxes and indices of a decaying flare. All point at the source, as in Gammapy's own
    benchmark of light curves in 3D, or 0.5 deg away from it in turns, each with its own responses.
    """
    irfs = simulate.demo_array("south")
    center = SkyCoord(83.63, 22.01, unit="deg")
    geom = WcsGeom.create(
        skydir=center,
        frame="icrs",
        binsz=0.02,
        npix=n_pixels,
        axes=[MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=9)],
    )
    axis_true = MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=20, name="energy_true")
    start = Time("2031-01-01", scale="tt")
    maker = MapDatasetMaker(selection=["background", "exposure", "psf", "edisp"])
    rng = np.random.default_rng(SEED)
    datasets = Datasets()
    for i in range(n_datasets):
        pointing = center.directional_offset_by(i * 100 * u.deg, 0.5 * wobble * u.deg)
        observation = Observation.create(
            pointing=FixedPointingInfo(fixed_icrs=pointing),
            livetime=20 * u.min,
            tstart=30 * i * u.min,
            tstop=(30 * i + 20) * u.min,
            reference_time=start,
            irfs=irfs,
        )
        empty = MapDataset.create(geom=geom, energy_axis_true=axis_true, name=f"run-{i}")
        dataset = maker.run(empty, observation)
        dataset.models = [
            point(4e-12 * np.exp(-i / 5), center, 2.0 + 0.05 * i),
            FoVBackgroundModel(dataset_name=dataset.name),
        ]
        npred = dataset.npred()
        dataset.counts = npred.copy(data=rng.poisson(npred.data).astype(np.float32))
        datasets.append(dataset)
    datasets.models = [
        point(2e-12, center, 2.2),
        *(FoVBackgroundModel(dataset_name=name) for name in datasets.names),
    ]
    return datasets


def point(amplitude: float, position: SkyCoord, index: float) -> SkyModel:
    """Return a point source with a frozen position."""
    spatial = PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs")
    spatial.freeze()
    spectrum = PowerLawSpectralModel(amplitude=amplitude * FLUX, index=index, reference=1 * u.TeV)
    return SkyModel(spectrum, spatial, name="flare")
