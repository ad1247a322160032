"""Observations and both ways to reduce them; as a script, one side in a process of its own.

    python bench_reduction.py {centre,hess} {gammapy,ours}

prints the process times of the first and the second reduction as JSON.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore, Observations
from gammapy.datasets import Datasets, MapDataset, SpectrumDataset
from gammapy.makers import (
    FoVBackgroundMaker,
    MapDatasetMaker,
    ReflectedRegionsBackgroundMaker,
    SafeMaskMaker,
    SpectrumDatasetMaker,
)
from gammapy.maps import Map, MapAxis, RegionGeom, WcsGeom
from regions import CircleSkyRegion

from ctao_sat import dl4

CENTRE_RUNS = (110380, 111140, 111159)
PKS_2155 = SkyCoord(329.7169, -30.2256, unit="deg")


@dataclass(frozen=True)
class Job:
    """Observations and what is made of them."""

    store: DataStore
    runs: tuple[int, ...]
    geom: WcsGeom
    true_axis: MapAxis
    offset_max: u.Quantity
    required: str = "full-enclosure"

    def observations(self) -> Observations:
        """Return observations of which nothing has been read."""
        return self.store.get_observations(self.runs, required_irf=self.required)


def centre(data: Path) -> Job:
    """Return three CTA-1DC runs, into 10 x 400 x 500 bins of 0.02 deg and 20 true energies."""
    # The index of the data names its IRFs by this variable.
    os.environ.setdefault("CALDB", str(data / "cta-1dc" / "caldb"))
    geom = WcsGeom.create(
        skydir=(0, 0),
        frame="galactic",
        binsz=0.02,
        npix=(500, 400),
        axes=[MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=10)],
    )
    axis = MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=20, name="energy_true")
    return Job(
        DataStore.from_dir(data / "cta-1dc" / "index" / "gps"), CENTRE_RUNS, geom, axis, 4 * u.deg
    )


def hess(data: Path) -> Job:
    """Return 21 H.E.S.S. runs on PKS 2155-304, into 8 x 250 x 250 bins of 0.02 deg."""
    store = DataStore.from_dir(data / "hess-dl3-dr1")
    table = store.obs_table
    runs = tuple(int(i) for i in table["OBS_ID"][["2155" in str(x) for x in table["OBJECT"]]])
    axis = MapAxis.from_energy_bounds("0.3 TeV", "10 TeV", nbin=8)
    geom = WcsGeom.create(skydir=PKS_2155, binsz=0.02, width=5, frame="icrs", axes=[axis])
    true = MapAxis.from_energy_bounds("0.1 TeV", "20 TeV", nbin=20, name="energy_true")
    return Job(store, runs, geom, true, 2 * u.deg)


JOBS = {"centre": centre, "hess": hess}


def gammapy_maps(job: Job, observations: Observations, *, norm: bool = False) -> MapDataset:
    """Return the stacked map of Gammapy's makers, in cutouts."""
    empty = MapDataset.create(job.geom, energy_axis_true=job.true_axis, name="stacked")
    total = MapDataset.create(job.geom, energy_axis_true=job.true_axis, name="stacked")
    makers = [
        MapDatasetMaker(),
        SafeMaskMaker(methods=["aeff-max", "offset-max"], offset_max=job.offset_max),
    ]
    makers += [FoVBackgroundMaker(method="fit")] if norm else []
    for observation in observations:
        pointing = observation.get_pointing_icrs(observation.tmid)
        dataset = empty.cutout(pointing, width=2 * job.offset_max, name=str(observation.obs_id))
        for maker in makers:
            dataset = maker.run(dataset, observation)
        total.stack(dataset)
    return total


def our_maps(
    job: Job, observations: Observations, *, norm: bool = False, integration: str = "bin-edges"
) -> MapDataset:
    """Return the same from ``dl4.reduce``."""
    (total,) = dl4.reduce(
        observations,
        job.geom,
        energy_axis_true=job.true_axis,
        background="fov" if norm else "none",
        offset_max=job.offset_max,
        background_integration=integration,
        stack=True,
    )
    return total


def region(geom: WcsGeom) -> RegionGeom:
    """Return the on region of the spectra."""
    axis = MapAxis.from_energy_bounds("0.1 TeV", "100 TeV", nbin=40)
    return RegionGeom.create(CircleSkyRegion(geom.center_skydir, 0.11 * u.deg), axes=[axis])


def gammapy_spectra(job: Job, observations: Observations) -> Datasets:
    """Return the spectra of Gammapy's makers, with reflected regions."""
    geom, made = region(job.geom), []
    makers = [
        SpectrumDatasetMaker(
            selection=["counts", "exposure", "edisp"], containment_correction=True
        ),
        ReflectedRegionsBackgroundMaker(),
        SafeMaskMaker(methods=["aeff-max"]),
    ]
    for observation in observations:
        dataset = SpectrumDataset.create(
            geom, energy_axis_true=job.true_axis, name=str(observation.obs_id)
        )
        for maker in makers:
            dataset = maker.run(dataset, observation)
        made.append(dataset)
    return Datasets(made)


def our_spectra(job: Job, observations: Observations) -> Datasets:
    """Return the same from ``dl4.reduce``."""
    return dl4.reduce(observations, region(job.geom), energy_axis_true=job.true_axis)


def maps(dataset: MapDataset) -> dict[str, Map]:
    """Return all maps of a dataset."""
    return {
        "counts": dataset.counts,
        "exposure": dataset.exposure,
        "background": dataset.background,
        "psf": dataset.psf.psf_map,
        "psf exposure": dataset.psf.exposure_map,
        "edisp": dataset.edisp.edisp_map,
        "edisp exposure": dataset.edisp.exposure_map,
        "mask": dataset.mask_safe,
    }


def difference(ours: Map, theirs: Map) -> float:
    """Return the largest relative difference of two maps, of any bin above 1e-8 of the largest."""
    assert ours.geom == theirs.geom
    assert ours.unit == theirs.unit
    one, other = ours.data.astype(float), theirs.data.astype(float)
    assert np.array_equal(np.isnan(one), np.isnan(other))
    floor = 1e-8 * np.nanmax(np.abs(other))
    return float(np.nanmax(np.abs(one - other) / np.maximum(np.abs(other), floor)))


def in_process(job: str, side: str, cache: Path) -> dict[str, float]:
    """Start a process for one side, with compiled code in a folder, and return its times."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, job, side],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure one side."""
    name, side = sys.argv[1:]
    job = JOBS[name](Path(os.environ["GAMMAPY_DATA"]))
    make = {"gammapy": gammapy_maps, "ours": our_maps}[side]
    times = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            observations = job.observations()
            start = time.process_time()
            make(job, observations)
            times.append(time.process_time() - start)
    print(json.dumps({"first": times[0], "second": times[1]}))


if __name__ == "__main__":
    main()
