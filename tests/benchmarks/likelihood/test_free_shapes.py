"""Free positions and sizes: values, and fits that Gammapy must do again to find the minimum."""

import statistics

import bench_jobs
import numpy as np
import pytest
from bench_fits import Walk, cool, from_here, gammapy_value
from bench_measure import Record, Side, in_turns, once
from bench_shapes import CLOCK, add_minimum, bad_start, fresh_stat, gammapy_refitted
from gammapy.datasets import Datasets

from ctao_sat import dl5
from ctao_sat.likelihood import KernelCache, compile_likelihood

pytestmark = pytest.mark.realdata

VALUE = "free shapes, 3D centre: value"
CENTRE = "free shapes, 3D centre: fit"
RUNS = "free shapes, three runs: fit"
MSH = "free shapes, MSH 15-52: fit"
STARTS = "free shapes, 3D centre: bad starts"
# Positions among the free parameters: index, amplitude, lon, lat of two points, then a Gaussian.
POINT, GAUSSIAN, SIZE = 2, 10, 12
N_STARTS, DISTANCE, FACTOR = 5, 0.3, 3.0
# Statistics that differ by less are of the same minimum.
SAME = 0.05


@pytest.fixture(scope="module")
def record(new_record):
    """Return what keeps the numbers of this module, in files of their own."""
    return new_record("shapes")


@pytest.fixture(scope="module")
def centre(gammapy_data):
    """Return the cube of the Galactic centre with free shapes."""
    datasets = bench_jobs.galactic_centre(gammapy_data)
    bench_jobs.thaw_shapes(datasets)
    return datasets


@pytest.fixture(scope="module")
def start(centre):
    """Return a function that sets the parameters to where the fits start."""
    return from_here(centre)


@pytest.fixture(scope="module")
def optimum(centre, start):
    """Return a function that sets the parameters to the minimum, and its statistic."""
    cool(centre, start)()
    result = dl5.fit(centre, compiled=True, guard=False)
    assert result.success, result.message
    return from_here(centre), result.total_stat


@pytest.mark.parametrize("where", ["start", "optimum"])
def test_cost_of_a_value(centre, start, optimum, record, where):
    job = f"{VALUE} at the {where}"
    reset = start if where == "start" else optimum[0]
    for name, index, bar in (
        ("position of a point", POINT, 25),
        ("position of the Gaussian", GAUSSIAN, None),
        ("size of the Gaussian", SIZE, 6),
    ):
        cool(centre, reset)()
        like = compile_likelihood(centre)
        assert like.report.is_complete, str(like.report)
        x = [p.factor for p in like.parameters]
        fresh_stat(centre)
        theirs, ours = Walk(gammapy_value(centre, index), x, index), Walk(like.value, x, index)
        sides = {"gammapy": Side(theirs, inner=2), "ours": Side(ours, inner=10)}
        times = in_turns(sides, 9, clock=CLOCK)
        ours.calls = theirs.calls = 500
        theirs()
        kept, expected = ours(), fresh_stat(centre)
        record.add(
            job,
            f"{name} changed",
            gammapy=times["gammapy"],
            ours=times["ours"],
            bar=bar,
            difference=abs(compile_likelihood(centre).stat_sum() - expected),
            allowed=1e-3,
            note=f"{abs(kept - expected):.1e} with the responses of where the source was before",
        )
    start()
    record.check(job)


def compare(
    record: Record, job: str, datasets: Datasets, bar: float, *, thorough: bool = True
) -> None:
    """Time and compare a fit of ours with Gammapy's, done again until it is stable."""
    start = from_here(datasets)
    cold, cache = cool(datasets, start), KernelCache()
    ends, turns = [], []

    def fit(**options) -> None:
        ends.append(dl5.fit(datasets, compiled=True, **options))

    sides = {
        "off": Side(lambda: fit(guard=False), cold),
        "guarded": Side(lambda: fit(guard=True), cold),
        "kernels": Side(lambda: fit(guard=False, kernels=cache), cold),
    }
    # So that all is warm, and the kernels are there.
    cold()
    fit(guard=True, kernels=cache)
    start()
    fits = gammapy_refitted(datasets, lambda: turns.append(in_turns(sides, 1, clock=CLOCK)))
    assert fits.is_stable, fits
    times = {name: statistics.median(turn[name] for turn in turns) for name in sides}
    each = " + ".join(f"{seconds:.3g}" for seconds in fits.seconds)
    for side, what, limit in (
        ("off", "dl5.fit, guard off, against all of Gammapy's fits", bar),
        ("guarded", "dl5.fit, guard on, against all of Gammapy's fits", None),
        ("kernels", "dl5.fit, guard off, kernels extracted before", None),
    ):
        record.add(
            job, what, gammapy=fits.total, ours=times[side], bar=limit, note=f"Gammapy: {each} s"
        )
    record.add(
        job, "dl5.fit, guard off, against its first", gammapy=fits.seconds[0], ours=times["off"]
    )
    cold()
    fit(guard=False)
    result = ends[-1]
    assert result.success, result.message
    add_minimum(record, job, datasets, result, fits, thorough=thorough)
    start()
    record.check(job)


def test_fit(centre, start, record):
    start()
    compare(record, CENTRE, centre, bar=25)


def test_fit_of_three_runs(gammapy_data, record):
    datasets = bench_jobs.galactic_centre_runs(gammapy_data)
    bench_jobs.thaw_shapes(datasets)
    compare(record, RUNS, datasets, bar=30, thorough=False)


def test_fit_of_an_extended_source(gammapy_data, record):
    datasets = bench_jobs.msh_15_52(gammapy_data)
    bench_jobs.thaw_shapes(datasets)
    compare(record, MSH, datasets, bar=10)


def test_bad_starts(centre, start, optimum, record):
    rng, results = np.random.default_rng(bench_jobs.SEED), []
    for number in range(1, N_STARTS + 1):
        start()
        bad_start(centre, rng, DISTANCE, FACTOR)()

        def fit() -> None:
            results.append(dl5.fit(centre, compiled=True, guard=False))

        seconds = once(fit, CLOCK)
        above = results[-1].total_stat - optimum[1]
        says = "converged" if results[-1].success else "says that it has not converged"
        record.add(
            STARTS,
            f"start {number}",
            ours=seconds,
            difference=above,
            allowed=SAME if results[-1].success else None,
            note=f"{says}; the difference is to the minimum from the good start",
        )
    start()
    record.check(STARTS)
