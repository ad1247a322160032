"""Fits and values, ours and Gammapy's, from the same start."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from bench_measure import Record, Side, in_turns
from gammapy.datasets import Datasets
from gammapy.modeling import FitResult, Parameter
from gammapy.modeling.iminuit import covariance_iminuit, optimize_iminuit
from iminuit import Minuit

from ctao_sat.likelihood import CompiledLikelihood, Optimum, optimize


@dataclass(frozen=True)
class Minimum:
    """Where a fit ended."""

    stat: float
    values: np.ndarray
    errors: np.ndarray


def free_parameters(datasets: Datasets) -> list[Parameter]:
    """Return the unique free parameters in Gammapy's order."""
    return list(datasets.models.parameters.unique_parameters.free_parameters)


def from_here(datasets: Datasets) -> Callable[[], None]:
    """Return a function that sets all parameters and their errors as they are now."""
    state = [(p, p.value, p.error) for p in datasets.models.parameters.unique_parameters]

    def reset() -> None:
        for parameter, value, error in state:
            parameter.value, parameter.error = value, error

    return reset


def cool(datasets: Datasets, start: Callable[[], None]) -> Callable[[], None]:
    """Return a function that goes to the start and lets Gammapy forget its evaluators."""

    def setup() -> None:
        start()
        datasets.models = datasets.models

    return setup


def warm(datasets: Datasets, start: Callable[[], None]) -> Callable[[], None]:
    """Return a function that goes to the start and lets Gammapy build its evaluators."""

    def setup() -> None:
        start()
        datasets.stat_sum()

    return setup


def gammapy_solver(datasets: Datasets) -> None:
    """Let Gammapy's minimiser find optimum and covariance, without its result objects."""
    parameters = datasets.models.parameters.unique_parameters
    parameters.autoscale()
    options = {"parameters": parameters, "function": datasets.stat_sum}
    factors, _, minuit = optimize_iminuit(**options)
    covariance_iminuit(minuit=minuit, **options)
    parameters.set_parameter_factors(factors)


def solve(like: CompiledLikelihood) -> Optimum:
    """Find optimum and covariance by ours, without Gammapy's result objects."""
    for parameter in like.parameters:
        parameter.autoscale()
    optimum = optimize(like)
    for parameter, factor in zip(like.parameters, optimum.x, strict=True):
        parameter.factor = factor
    return optimum


def sharpened(datasets: Datasets) -> Minimum:
    """Return Gammapy's minimum, found more sharply than by its fit, which may stop 2e-4 above.

    Two Newton steps from the present parameters. Errors are from the second derivatives, which
    is what HESSE stands for: Gammapy's own are MIGRAD's, and those of Minuit's HESSE vary by some
    per cent with the steps that it takes. The steps here are a tenth of sigma, and for gradients a
    hundredth: small against the curvature of the likelihood, large against its rounding.
    """
    parameters = free_parameters(datasets)
    step = np.array([0.1 * p.error / abs(p.scale) for p in parameters])

    def stat(x) -> float:
        for parameter, factor in zip(parameters, x, strict=True):
            parameter.factor = factor
        return datasets.stat_sum()

    x = np.array([p.factor for p in parameters])
    hessian = numeric_hessian(stat, x, step)
    for _ in range(2):
        x = x - np.linalg.solve(hessian, numeric_gradient(stat, x, 0.1 * step))
    lowest = stat(x)
    scales = np.array([abs(p.scale) for p in parameters])
    errors = np.sqrt(2 * np.diag(np.linalg.inv(hessian))) * scales
    return Minimum(lowest, np.array([p.value for p in parameters]), errors)


def numeric_gradient(function: Callable, x: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return first derivatives by central differences."""
    shifts = np.diag(step)
    return np.array([function(x + d) - function(x - d) for d in shifts]) / (2 * step)


def numeric_hessian(function: Callable, x: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return second derivatives by central differences."""
    n, shifts, centre = len(x), np.diag(step), function(x)
    alone = np.array([function(x + d) + function(x - d) - 2 * centre for d in shifts])
    out = np.diag(alone / step**2)
    for i in range(n):
        for j in range(i):
            together = shifts[i] + shifts[j]
            both = function(x + together) + function(x - together) - 2 * centre
            out[i, j] = out[j, i] = (both - alone[i] - alone[j]) / (2 * step[i] * step[j])
    return out


def ended(datasets: Datasets, result: FitResult) -> Minimum:
    """Return the minimum that a fit has left in the parameters."""
    parameters = free_parameters(datasets)
    values = np.array([p.value for p in parameters])
    errors = np.array([p.error for p in parameters])
    return Minimum(float(result.total_stat), values, errors)


def values_along(
    datasets: Datasets, parameters: list[Parameter], step: float, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return factors around the present ones, one changed at a time, and Gammapy's values.

    Returns
    -------
    factors : ndarray, shape (number * len(parameters), n_free)
        Factors of all free parameters.
    stats : ndarray
        What ``datasets.stat_sum`` gives there. The parameters are left as they were.
    """
    free = free_parameters(datasets)
    factors, stats = [], []
    for parameter in parameters:
        before = parameter.factor
        for i in range(number):
            parameter.factor = before + step * (i + 1) * (abs(before) or 1)
            factors.append([p.factor for p in free])
            stats.append(datasets.stat_sum())
        parameter.factor = before
    return np.array(factors), np.array(stats)


class Walk:
    """Change one parameter by a little at every call, and evaluate; never twice the same value.

    Parameters
    ----------
    function : callable
        Of the factors of all free parameters.
    factors : array-like, shape (n_free,)
        Where to start.
    index : int
        Which to change.
    """

    def __init__(self, function: Callable, factors, index: int):
        self.function = function
        self.factors = np.array(factors, dtype=float)
        self.index = index
        self.start = self.factors[index]
        self.calls = 0

    def __call__(self):
        self.calls += 1
        self.factors[self.index] = self.start + 1e-4 * (self.calls % 997) * (abs(self.start) or 1)
        return self.function(self.factors)


def gammapy_value(datasets: Datasets, index: int) -> Callable[[np.ndarray], float]:
    """Return Gammapy's statistic as a function of the factors, of which one changes."""
    parameter = free_parameters(datasets)[index]

    def value(factors: np.ndarray) -> float:
        parameter.factor = factors[index]
        return datasets.stat_sum()

    return value


def relative(ours, theirs) -> float:
    """Return the largest relative difference."""
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def add_values(
    record: Record,
    job: str,
    datasets: Datasets,
    like: CompiledLikelihood,
    choice: dict[str, int],
    *,
    bar: float | None = None,
    inner: int = 10,
    repetitions: int = 9,
) -> None:
    """Time and compare values while one of the chosen free parameters changes, and keep rows."""
    reset = from_here(datasets)
    datasets.stat_sum()
    for name, index in choice.items():
        x = [p.factor for p in like.parameters]
        theirs, ours = Walk(gammapy_value(datasets, index), x, index), Walk(like.value, x, index)
        sides = {"gammapy": Side(theirs, inner=2), "ours": Side(ours, inner=inner)}
        times = in_turns(sides, repetitions)
        ours.calls = theirs.calls = 500
        record.add(
            job,
            f"{name} changed",
            gammapy=times["gammapy"],
            ours=times["ours"],
            bar=bar,
            difference=relative(ours(), theirs()),
            allowed=1e-9,
        )
        reset()


def check_minimum(
    record: Record,
    job: str,
    datasets: Datasets,
    result: FitResult,
    to_their_end: Callable[[], None],
    *,
    absolute: float,
) -> None:
    """Compare a fit of ours with Gammapy's own, sharpened, and keep rows."""
    ours = ended(datasets, result)
    there = datasets.stat_sum()
    record.add(
        job, "statistic against Gammapy there", difference=abs(ours.stat - there), allowed=absolute
    )
    to_their_end()
    theirs = sharpened(datasets)
    record.add(
        job,
        "statistic at the minimum",
        difference=abs(ours.stat - theirs.stat),
        allowed=absolute,
        note=f"ours minus Gammapy's, sharpened: {ours.stat - theirs.stat:+.1e}",
    )
    shift = np.max(np.abs(ours.values - theirs.values) / theirs.errors)
    record.add(job, "parameters, in sigma", difference=float(shift), allowed=0.01)
    record.add(
        job, "errors against HESSE", difference=relative(ours.errors, theirs.errors), allowed=0.01
    )


def count_calls(like: CompiledLikelihood, most: int) -> int:
    """Return how often Minuit calls the statistic when set up as by Gammapy, without gradients.

    It stops soon after ``most`` calls, whether it has converged or not.
    """
    like.datasets.models.parameters.autoscale()
    minuit = Minuit(like.value, [p.factor for p in like.parameters])
    minuit.errordef, minuit.tol, minuit.strategy = 1, 0.1, 1
    minuit.errors = 1
    minuit.migrad(ncall=most, iterate=1)
    return minuit.nfcn
