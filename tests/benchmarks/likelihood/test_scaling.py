"""How the cost grows with bins, sources, datasets and parameters: linear or better."""

import bench_jobs
import numpy as np
import pytest
from bench_measure import Side, in_turns, slope
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ctao_sat.likelihood import KernelCache, compile_likelihood

# Beyond 1, room for the noise of the clock and for caches that overflow.
STEEPEST = 1.1
LABELS = {
    "value": "value",
    "gradient": "value and gradient",
    "hessian": "second derivatives",
    "compile": "compile",
    "gammapy": "Gammapy, nothing changed",
}


def measure(datasets, inner: int) -> dict[str, float]:
    """Return the times of one size in s."""
    cache = KernelCache()
    like = compile_likelihood(datasets, kernels=cache)
    x = np.array([p.factor for p in like.parameters])
    datasets.stat_sum()
    sides = {
        "gammapy": Side(datasets.stat_sum),
        "value": Side(lambda: like.value(x), inner=inner),
        "gradient": Side(lambda: like.value_and_grad(x), inner=inner),
        "hessian": Side(lambda: like.hessian(x), inner=max(inner // 10, 1)),
        "compile": Side(lambda: compile_likelihood(datasets, kernels=cache)),
    }
    # The lowest: for how the cost grows, what else the machine does is noise.
    return in_turns(sides, 5, min)


def draw(path, what: str, sizes, times: dict[str, list[float]]) -> None:
    """Plot times over size, both logarithmic."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel=what, ylabel="time [s]")
    for name, values in times.items():
        style = {"marker": "s", "linestyle": "--"} if name == "gammapy" else {"marker": "o"}
        axes.plot(sizes, values, label=LABELS[name], **style)
    line = np.array([sizes[0], sizes[-1]])
    axes.plot(line, times["value"][-1] * line / sizes[-1], "k:", label="linear")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside lower center", ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def run(record, what: str, cases, limited=("value", "gradient", "compile"), inner=20) -> None:
    """Measure all sizes, plot them, keep the slopes."""
    job = f"cost against {what}"
    sizes, times = [], {name: [] for name in LABELS}
    for size, datasets in cases:
        sizes.append(size)
        for name, value in measure(datasets, inner).items():
            times[name].append(value)
    draw(record.folder / f"scaling-{what}.png", f"number of {what}", sizes, times)
    for name, values in times.items():
        row = record.add(job, f"slope: {LABELS[name]}", ours=slope(sizes, values), unit="")
        row.note = f"{values[0]:.1e} s at {sizes[0]}, {values[-1]:.1e} s at {sizes[-1]}"
        row.series = [list(pair) for pair in zip(sizes, values, strict=True)]
        row.most = STEEPEST if name in limited else None
    record.check(job)


def test_bins(record):
    """The same field in finer and finer bins."""
    run(
        record,
        "bins",
        ((10 * n * n, bench_jobs.survey(8, n, 4, ring=True)) for n in (100, 160, 240, 360, 500)),
    )


def test_sources(record):
    """The same data with more and more sources in the model."""
    datasets = bench_jobs.survey(64, 250, 5, ring=True)
    cases = ((n, bench_jobs.with_sources(datasets, n)) for n in (4, 8, 16, 32, 64))
    run(record, "sources", cases)


def test_parameters(record):
    """The same data and sources with more and more free parameters."""

    def cases():
        datasets = bench_jobs.survey(40, 250, 5, ring=True)
        for n in (5, 10, 20, 40, 80):
            bench_jobs.thaw(datasets, n)
            yield n, datasets

    run(record, "parameters", cases())


@pytest.mark.realdata
def test_datasets(record, crab):
    """More and more copies of four runs."""
    cases = ((n, bench_jobs.many_runs(crab, n)) for n in (4, 8, 16, 32, 64))
    run(record, "datasets", cases, inner=100)
