"""Reduction to maps and spectra: three CTA-1DC runs, 21 H.E.S.S. runs."""

import time

import bench_reduction as bench
import numpy as np
import pytest
from bench_measure import Side, in_turns

pytestmark = [pytest.mark.realdata, pytest.mark.filterwarnings("ignore")]

TITLES = {
    "centre": "three CTA-1DC runs, 10 x 400 x 500",
    "hess": "21 H.E.S.S. runs, 8 x 250 x 250",
}
BARS = {"centre": 3, "hess": 2}


@pytest.fixture(scope="module", params=list(bench.JOBS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def job(name, gammapy_data):
    return bench.JOBS[name](gammapy_data)


def _times(job, sides: dict, turns: int = 2) -> dict[str, float]:
    """Return process times of sides, each of which reads its observations anew."""

    def side(make, **options):
        fresh = {}
        return Side(
            lambda: make(job, fresh["observations"], **options),
            lambda: fresh.update(observations=job.observations()),
        )

    made = {key: side(make, **options) for key, (make, options) in sides.items()}
    return in_turns(made, turns, min, time.process_time)


def test_same_maps(name, job, record):
    ours, theirs = (make(job, job.observations()) for make in (bench.our_maps, bench.gammapy_maps))
    theirs_maps = bench.maps(theirs)
    for what, map_ in bench.maps(ours).items():
        found = bench.difference(map_, theirs_maps[what])
        record.add(f"{TITLES[name]}: maps", what, difference=found, allowed=1e-5)
    assert ours.gti.time_sum == theirs.gti.time_sum
    record.check(f"{TITLES[name]}: maps")


def test_cost(name, job, record):
    bench.our_maps(job, job.observations()[:1])
    times = _times(
        job,
        {
            "gammapy": (bench.gammapy_maps, {}),
            "ours": (bench.our_maps, {}),
            "exact": (bench.our_maps, {"integration": "irf"}),
            "gammapy norm": (bench.gammapy_maps, {"norm": True}),
            "norm": (bench.our_maps, {"norm": True}),
        },
    )
    title = f"{TITLES[name]}: cost"
    for side, what, bar in (
        ("ours", "warm", BARS[name]),
        ("exact", "warm, background integrated exactly", BARS[name]),
    ):
        record.add(title, what, gammapy=times["gammapy"], ours=times[side], bar=bar)
    record.add(
        title,
        "warm, with the background's norm",
        gammapy=times["gammapy norm"],
        ours=times["norm"],
        bar=BARS[name],
    )
    record.check(title)


def test_cold(name, record, tmp_path):
    title = f"{TITLES[name]}: cold"
    theirs = bench.in_process(name, "gammapy", tmp_path)
    compiling = bench.in_process(name, "ours", tmp_path)
    cached = bench.in_process(name, "ours", tmp_path)
    record.add(title, "first in a process", gammapy=theirs["first"], ours=cached["first"], bar=2)
    record.add(
        title, "first ever, kernels compiled", gammapy=theirs["first"], ours=compiling["first"]
    )
    record.check(title)


def test_spectra(gammapy_data, record):
    job, title = bench.hess(gammapy_data), "21 H.E.S.S. runs: spectra"
    times = _times(job, {"gammapy": (bench.gammapy_spectra, {}), "ours": (bench.our_spectra, {})})
    record.add(title, "reflected regions", gammapy=times["gammapy"], ours=times["ours"])
    ours, theirs = (
        bench.our_spectra(job, job.observations()),
        bench.gammapy_spectra(job, job.observations()),
    )
    assert len(ours) == len(theirs) == 21
    for one, other in zip(ours, theirs, strict=True):
        for name in ("counts", "counts_off", "exposure", "mask_safe"):
            assert np.array_equal(getattr(one, name).data, getattr(other, name).data)
        assert np.array_equal(one.edisp.edisp_map.data, other.edisp.edisp_map.data)
    record.check(title)
