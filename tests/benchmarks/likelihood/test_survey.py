"""A field of 50 sources: 101 parameters, 2.5 million bins."""

import numpy as np
import pytest
from bench_fits import add_values, cool, count_calls, from_here, relative, solve, values_along
from bench_measure import Side, in_turns, once

from ctao_sat import dl5
from ctao_sat.likelihood import KernelCache, compile_likelihood

VALUE = "50 sources: value"
FIT = "50 sources: fit"
# Minuit without gradients needs some ten thousand: enough to say what Gammapy takes at least.
MOST_CALLS = 5000


@pytest.fixture(scope="module")
def start(survey):
    """Return a function that sets the parameters to the truth."""
    return from_here(survey)


@pytest.fixture(scope="module")
def cache(survey):
    """Return the extracted kernels."""
    cache = KernelCache()
    survey.models = survey.models
    compile_likelihood(survey, kernels=cache)
    return cache


def test_cost_of_a_value(survey, start, cache, record):
    start()
    like = compile_likelihood(survey, kernels=cache)
    assert like.report.is_complete, str(like.report)
    assert len(like.parameters) == 101
    assert survey[0].counts.data.size == 2_500_000
    record.add(VALUE, "compile", ours=like.report.timings["compile"], note="kernels excluded")
    record.add(VALUE, "kernels", ours=cache.seconds, note="extracted by Gammapy")
    choice = {"index": 0, "amplitude": 1, "background norm": 100}
    add_values(record, VALUE, survey, like, choice, bar=100, inner=10, repetitions=5)
    # Without the bookkeeping of Datasets: what is left if nothing but the statistic is wanted.
    x = np.array([p.factor for p in like.parameters])
    sides = {"gammapy": Side(survey[0].stat_sum), "ours": Side(lambda: like.value(x), inner=10)}
    times = in_turns(sides, 5)
    note = "Gammapy without Datasets.models, nothing changed"
    record.add(VALUE, "dataset alone", gammapy=times["gammapy"], ours=times["ours"], note=note)
    factors, expected = values_along(survey, like.parameters[::7], 0.05, 1)
    ours = [like.value(x) for x in factors]
    record.add(VALUE, "all, far", difference=relative(ours, expected), allowed=1e-9)
    start()
    record.check(VALUE)


def test_fit(survey, start, cache, record):
    start()
    rng = np.random.default_rng(2)
    for parameter in survey.models.parameters.free_parameters:
        parameter.value *= 1 + 0.1 * rng.standard_normal()
    away = from_here(survey)
    like = compile_likelihood(survey, kernels=cache)
    per_call = in_turns({"gammapy": Side(survey.stat_sum)}, 4)["gammapy"]
    calls = count_calls(like, MOST_CALLS)
    extrapolated = calls * per_call
    least = "at least " if calls >= MOST_CALLS else ""
    note = f"Gammapy extrapolated: {least}{calls} calls of its Minuit, counted with our values"
    cold = cool(survey, away)
    sides = {
        "compiled": Side(lambda: solve(like), away),
        "bar": Side(lambda: solve(compile_likelihood(survey, kernels=cache)), cold),
    }
    times = in_turns(sides, 3)
    record.add(FIT, "solver, compiled before", gammapy=extrapolated, ours=times["compiled"])
    record.add(FIT, "solver, with compile", gammapy=extrapolated, ours=times["bar"], note=note)
    cold()
    results = []
    seconds = once(lambda: results.append(dl5.fit(survey, compiled=True, guard=False)))
    what = "dl5.fit, guard off, with kernels"
    record.add(FIT, what, gammapy=extrapolated, ours=seconds, note="Gammapy extrapolated")
    (result,) = results
    assert result.success
    record.add(
        FIT,
        "statistic at the minimum",
        difference=relative(result.total_stat, survey.stat_sum()),
        allowed=1e-9,
    )
    check_pulls(survey, start, record)
    start()
    record.check(FIT)


def check_pulls(survey, start, record):
    """Compare the fit with the simulated truth: 101 pulls, of mean 0 and variance 1."""
    free = list(survey.models.parameters.free_parameters)
    fitted, errors = (np.array([getattr(p, name) for p in free]) for name in ("value", "error"))
    start()
    truth = np.array([p.value for p in free])
    pulls = (fitted - truth) / errors
    # Chi-squared of 101 degrees of freedom is beyond 160 in 2e-4 of all cases.
    record.add(FIT, "chi-squared of 101 pulls", difference=float(pulls @ pulls), allowed=160)
