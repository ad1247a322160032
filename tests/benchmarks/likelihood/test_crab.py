"""Four H.E.S.S. runs on the Crab nebula, joint in one dimension: fit, values, many samples."""

import bench_process
import numpy as np
import pytest
from bench_fits import (
    add_values,
    check_minimum,
    cool,
    from_here,
    gammapy_solver,
    relative,
    solve,
    values_along,
    warm,
)
from bench_measure import Side, in_turns
from gammapy.modeling import Fit

from ctao_sat import dl5
from ctao_sat.likelihood import KernelCache, compile_likelihood

pytestmark = pytest.mark.realdata

FIT = "1D joint: fit"
VALUE = "1D joint: value"
BATCH = "1D joint: batch"
COLD = "1D joint: cold"
N_SAMPLES = 100_000
N_GAMMAPY = 300


@pytest.fixture(scope="module")
def start(crab):
    """Return a function that sets the parameters to where the fits start."""
    return from_here(crab)


@pytest.fixture
def like(crab, start):
    """Return the compiled likelihood, and Gammapy's parameters at the start."""
    start()
    yield compile_likelihood(crab)
    start()


def test_cost_of_the_fit(crab, start, record):
    cache = KernelCache()
    like = compile_likelihood(crab, kernels=cache)
    hot, cold = warm(crab, start), cool(crab, start)
    sides = {
        "gammapy": Side(lambda: gammapy_solver(crab), hot),
        "compiled": Side(lambda: solve(like), start),
        "bar": Side(lambda: solve(compile_likelihood(crab, kernels=cache)), cold),
        "kernels": Side(lambda: solve(compile_likelihood(crab)), cold),
        "gammapy fit": Side(lambda: Fit().run(crab), hot),
        "fit": Side(lambda: dl5.fit(crab, compiled=True, guard=False), cold),
        "guarded": Side(lambda: dl5.fit(crab, compiled=True), cold),
    }
    times = in_turns(sides, 9)
    for side, what, bar in (
        ("compiled", "solver, compiled before", None),
        ("bar", "solver, with compile", 150),
        ("kernels", "solver, with compile and kernels", None),
    ):
        record.add(FIT, what, gammapy=times["gammapy"], ours=times[side], bar=bar)
    for side, what in (("fit", "dl5.fit, guard off"), ("guarded", "dl5.fit, guard on")):
        record.add(FIT, what, gammapy=times["gammapy fit"], ours=times[side])
    record.add(
        FIT,
        "of which Gammapy's result objects",
        ours=times["fit"] - times["kernels"],
        note="by difference, checks of the input included",
    )
    record.check(FIT)


def test_same_minimum(crab, start, record):
    job = "1D joint: minimum"
    start()
    Fit().run(crab)
    their_end = from_here(crab)
    start()
    result = dl5.fit(crab, compiled=True, guard=False)
    check_minimum(record, job, crab, result, their_end, absolute=1e-9 * result.total_stat)
    start()
    record.check(job)


def test_cost_of_a_value(crab, like, record):
    x = np.array([p.factor for p in like.parameters])
    add_values(record, VALUE, crab, like, {"alpha": 1}, inner=200)
    sides = {
        "gradient": Side(lambda: like.value_and_grad(x), inner=200),
        "hessian": Side(lambda: like.hessian(x), inner=50),
    }
    times = in_turns(sides, 9)
    record.add(VALUE, "value and gradient", ours=times["gradient"])
    record.add(VALUE, "second derivatives", ours=times["hessian"])
    record.check(VALUE)


def test_many_samples(crab, start, record):
    start()
    rng = np.random.default_rng(1)
    cache = KernelCache()
    like = compile_likelihood(crab, kernels=cache)
    x = np.array([p.factor for p in like.parameters])
    samples = x * (1 + 0.05 * rng.standard_normal((N_SAMPLES, len(x))))
    expected, ours = np.empty(N_GAMMAPY), None

    def gammapy() -> None:
        for i in range(N_GAMMAPY):
            for parameter, factor in zip(like.parameters, samples[i], strict=True):
                parameter.factor = factor
            expected[i] = crab.stat_sum()

    def batch() -> None:
        nonlocal ours
        ours = compile_likelihood(crab, kernels=cache).batch(samples)

    times = in_turns({"gammapy": Side(gammapy, start), "ours": Side(batch, start)}, 3)
    start()
    record.add(
        BATCH,
        f"{N_SAMPLES:.0e} samples, with compile",
        gammapy=times["gammapy"] / N_GAMMAPY * N_SAMPLES,
        ours=times["ours"],
        bar=1000,
        difference=relative(ours[:N_GAMMAPY], expected),
        allowed=1e-9,
        note=f"Gammapy extrapolated from {N_GAMMAPY}",
    )
    record.check(BATCH)


def test_first_call(crab, start, record, pickled, numba_cache):
    start()
    path = pickled(crab, "crab")
    gammapy = bench_process.run("cold", "gammapy", path)
    for what in ("empty JIT cache", "JIT cache on disk"):
        ours = bench_process.run("cold", "ours", path, cache=numba_cache)
        record.add(
            COLD,
            f"import to first value, {what}",
            gammapy=gammapy["import"] + gammapy["first"],
            ours=ours["import"] + ours["first"],
            note=f"of which import {ours['import']:.2f} s",
        )
    record.check(COLD)


def test_values_agree_everywhere(crab, like, record):
    job = "1D joint: agreement"
    factors, expected = values_along(crab, like.parameters, 0.1, 3)
    ours = [like.value(x) for x in factors]
    record.add(job, "values", difference=relative(ours, expected), allowed=1e-9)
    record.check(job)
