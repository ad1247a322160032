"""TS maps: a stacked H.E.S.S. map of the Crab nebula, and the cube of the Galactic centre."""

import time
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import pytest
from gammapy.data import DataStore
from gammapy.datasets import Datasets, MapDataset
from gammapy.estimators import FluxMaps, TSMapEstimator
from gammapy.makers import MapDatasetMaker, SafeMaskMaker
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

from ctao_sat import dl5

WIDTH = 0.4 * u.deg
BANDS = np.geomspace(1, 10, 4) * u.TeV
ALL = ["errn-errp", "ul"]


@dataclass(frozen=True)
class Job:
    """What is mapped, and how."""

    name: str
    options: dict
    bar: float = 20.0


def model() -> SkyModel:
    """Return a point source."""
    return SkyModel(PowerLawSpectralModel(index=2.3), PointSpatialModel(), name="kernel")


@pytest.fixture(scope="module")
def crab_map(gammapy_data) -> MapDataset:
    """Return four H.E.S.S. runs on the Crab nebula stacked: 3 x 200 x 200 bins of 0.02 deg."""
    import bench_jobs

    store = DataStore.from_dir(gammapy_data / "hess-dl3-dr1")
    axis_true = MapAxis.from_energy_bounds(
        "0.5 TeV", "20 TeV", nbin=10, per_decade=True, name="energy_true"
    )
    geom = WcsGeom.create(
        skydir=(83.633, 22.014),
        frame="icrs",
        binsz=0.02,
        npix=200,
        axes=[MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=3)],
    )
    stacked = MapDataset.create(geom=geom, energy_axis_true=axis_true, name="crab")
    maker = MapDatasetMaker(selection=["counts", "background", "exposure", "psf", "edisp"])
    safe = SafeMaskMaker(methods=["offset-max"], offset_max=2 * u.deg)
    for observation in store.get_observations(bench_jobs.CRAB_RUNS):
        run = maker.run(stacked.copy(name="run"), observation)
        stacked.stack(safe.run(run, observation))
    stacked.models = [FoVBackgroundModel(dataset_name="crab")]
    return stacked


@pytest.fixture(scope="module")
def centre_map(centre) -> MapDataset:
    """Return the cube of the Galactic centre, with its background alone as null hypothesis."""
    datasets = Datasets([centre[0].copy(name="centre")])
    datasets.models = [FoVBackgroundModel(dataset_name="centre")]
    return datasets[0]


def gammapy(dataset: MapDataset, options: dict, rtol: float = 0.01) -> FluxMaps:
    """Return Gammapy's map."""
    with np.errstate(all="ignore"):
        return TSMapEstimator(model(), kernel_width=WIDTH, n_jobs=1, rtol=rtol, **options).run(
            dataset
        )


def timed(function, number: int = 1) -> tuple[float, FluxMaps]:
    """Return the median process time, which is not that of other programs, and the result."""
    times = []
    for _ in range(number):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return float(np.median(times)), result


def differences(ours: FluxMaps, theirs: FluxMaps) -> tuple[float, float]:
    """Return the largest relative difference of TS and norm where TS is above one."""
    ok = np.isfinite(theirs["ts"].data) & (theirs.success.data == 1) & (theirs["ts"].data > 1)
    return tuple(
        float(np.max(np.abs(ours[name].data[ok] / theirs[name].data[ok] - 1)))
        for name in ("ts", "norm")
    )


def measure(record, dataset: MapDataset, job: Job) -> None:
    """Keep the times and the differences of a job; preparation is in the time of both."""

    def ours():
        return dl5.ts_map(dataset, model(), kernel_width=WIDTH, **job.options)

    cold, _ = timed(ours)
    theirs_time, theirs = timed(lambda: gammapy(dataset, job.options))
    ours_time, maps = timed(ours, 5)
    ts, norm = differences(maps, theirs)
    record.add(
        job.name,
        "map, TS",
        gammapy=theirs_time,
        ours=ours_time,
        bar=job.bar,
        difference=ts,
        allowed=1e-3,
    )
    record.add(job.name, "map, norm", difference=norm, allowed=5e-3)
    record.add(job.name, "first call", gammapy=theirs_time, ours=cold)
    record.check(job.name)


@pytest.mark.realdata
@pytest.mark.parametrize(
    "job",
    [
        Job("Crab, 200 x 200 x 3, summed", {}),
        Job("Crab, 200 x 200 x 3, joint", {"sum_over_energy_groups": False}),
        Job("Crab, 200 x 200 x 3, bands", {"energy_edges": BANDS}),
        Job("Crab, three bands, limits", {"energy_edges": BANDS, "selection_optional": ALL}),
    ],
    ids=lambda job: job.name.split(", ")[-1],
)
def test_crab(record, crab_map, job):
    measure(record, crab_map, job)


@pytest.mark.realdata
def test_galactic_centre(record, centre_map):
    measure(record, centre_map, Job("Galactic centre, 500 x 400 x 10, summed", {}))


@pytest.mark.realdata
def test_crab_against_sharp_roots(record, crab_map):
    maps = dl5.ts_map(crab_map, model(), kernel_width=WIDTH)
    ts, norm = differences(maps, gammapy(crab_map, {}, rtol=1e-9))
    name = "Crab, Gammapy with rtol=1e-9"
    record.add(name, "map, TS", difference=ts, allowed=1e-6)
    record.add(name, "map, norm", difference=norm, allowed=1e-6)
    record.check(name)
