"""The cube of the Galactic centre: values, and the fit with fixed shapes."""

import bench_process
import pytest
from bench_fits import (
    add_values,
    check_minimum,
    cool,
    from_here,
    relative,
    solve,
    values_along,
    warm,
)
from bench_measure import MAX_CPU_PER_WALL, Side, cpu_per_wall, in_turns, once
from gammapy.modeling import Fit

from ctao_sat import dl5
from ctao_sat.likelihood import KernelCache, compile_likelihood

pytestmark = pytest.mark.realdata

VALUE = "3D centre: value"
FIT = "3D centre: fit"
COLD = "3D centre: cold"
# Positions among the free parameters: index and amplitude of each source, tilt and norm.
PARAMETERS = {"index of a point": 0, "amplitude of a point": 1, "index of the Gaussian": 4}
BACKGROUND = {"background tilt": 6, "background norm": 7}


@pytest.fixture(scope="module")
def start(centre):
    """Return a function that sets the parameters to where the fits start."""
    return from_here(centre)


@pytest.fixture(scope="module")
def cache(centre):
    """Return the extracted kernels."""
    cache = KernelCache()
    centre.models = centre.models
    compile_likelihood(centre, kernels=cache)
    return cache


def test_cost_of_a_value(centre, start, cache, record):
    start()
    like = compile_likelihood(centre, kernels=cache)
    assert like.report.is_complete, str(like.report)
    add_values(record, VALUE, centre, like, PARAMETERS | BACKGROUND, bar=30, inner=20)
    factors, expected = values_along(centre, like.parameters, 0.05, 2)
    ours = [like.value(x) for x in factors]
    record.add(VALUE, "all, far", difference=relative(ours, expected), allowed=1e-9)
    record.add(
        VALUE,
        "cores kept busy",
        gammapy=cpu_per_wall(lambda: values_along(centre, like.parameters, 0.05, 1)),
        ours=cpu_per_wall(lambda: [like.value(x) for _ in range(20) for x in factors]),
        unit="cores",
        most=MAX_CPU_PER_WALL,
    )
    start()
    record.check(VALUE)


def test_fit(centre, start, cache, record):
    like = compile_likelihood(centre, kernels=cache)
    hot, cold = warm(centre, start), cool(centre, start)
    their_end = []

    def gammapy() -> None:
        Fit().run(centre)
        their_end.append(from_here(centre))

    def compile_and_solve() -> None:
        solve(compile_likelihood(centre, kernels=cache))

    sides = {
        "gammapy": Side(gammapy, hot),
        "warm": Side(compile_and_solve, hot, repeat=3),
        "compiled": Side(lambda: solve(like), start, repeat=3),
        "bar": Side(compile_and_solve, cold, repeat=3),
        "kernels": Side(lambda: solve(compile_likelihood(centre)), cold, repeat=3),
        "fit": Side(lambda: dl5.fit(centre, compiled=True, guard=False), cold, repeat=3),
        "guarded": Side(lambda: dl5.fit(centre, compiled=True), cold, repeat=3),
    }
    times = in_turns(sides, 2)
    for side, what, bar in (
        ("compiled", "solver, compiled before", None),
        ("warm", "solver, with compile from Gammapy's evaluators", None),
        ("bar", "solver, with compile", 80),
        ("kernels", "solver, with compile and kernels", None),
        ("fit", "dl5.fit, guard off", None),
        ("guarded", "dl5.fit, guard on", None),
    ):
        record.add(FIT, what, gammapy=times["gammapy"], ours=times[side], bar=bar)
    start()
    result = dl5.fit(centre, compiled=True, guard=False)
    check_minimum(record, FIT, centre, result, their_end[-1], absolute=1e-6)
    start()
    record.check(FIT)


def test_first_call(centre, start, record, pickled, numba_cache):
    start()
    path = pickled(centre, "centre")
    gammapy = bench_process.run("cold", "gammapy", path)
    # The first fills the cache, unless an earlier test has.
    bench_process.run("cold", "ours", path, cache=numba_cache)
    ours = bench_process.run("cold", "ours", path, cache=numba_cache)
    record.add(
        COLD,
        "import to first value, JIT cache on disk",
        gammapy=gammapy["import"] + gammapy["first"],
        ours=ours["import"] + ours["first"],
        note=f"of which import {ours['import']:.2f} s; kernels are extracted on both sides",
    )
    record.check(COLD)


@pytest.mark.parametrize("side", ["ours", "ours-guarded"])
def test_memory(centre, start, record, pickled, numba_cache, side):
    job = f"3D centre: memory, {side}"
    start()
    path = pickled(centre, "centre")
    gammapy = bench_process.run("memory", "gammapy", path)
    ours = bench_process.run("memory", side, path, cache=numba_cache)
    record.add(
        job,
        "peak of value and fit",
        gammapy=gammapy["peak"],
        ours=ours["peak"],
        unit="MB",
        bar=1 / 1.5,
        note=f"loaded: {gammapy['loaded']:.0f} and {ours['loaded']:.0f} MB",
    )
    assert ours["total_stat"] == pytest.approx(gammapy["total_stat"], abs=1e-3)
    record.check(job)


def test_compile(centre, start, record):
    """What a compile costs."""
    job = "3D centre: compile"
    start()
    fresh = KernelCache()
    cool(centre, start)()
    first = once(lambda: compile_likelihood(centre, kernels=fresh))
    record.add(job, "with kernels", ours=first, note=f"{fresh.seconds:.2f} s in kernels")
    sides = {
        "cold": Side(lambda: compile_likelihood(centre, kernels=fresh), cool(centre, start)),
        "warm": Side(lambda: compile_likelihood(centre, kernels=fresh), warm(centre, start)),
    }
    times = in_turns(sides, 5)
    record.add(job, "kernels extracted before", ours=times["cold"])
    record.add(job, "from Gammapy's evaluators", ours=times["warm"])
    record.check(job)
