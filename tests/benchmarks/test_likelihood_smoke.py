"""The benchmarks of the likelihood work, in the smallest; how fast it is, they say themselves."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "likelihood"


@pytest.fixture
def bench(monkeypatch):
    """Return a function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.fixture
def small(bench):
    """Return a field of two sources, 10 x 30 x 30 bins."""
    return bench("bench_jobs").survey(2, 30, 0.6)


def test_what_misses_its_bar_is_a_fault(bench, tmp_path):
    record = bench("bench_measure").Record(tmp_path)
    record.add("good", "a", gammapy=2.0, ours=1.0, bar=2, difference=1e-10, allowed=1e-9)
    record.check("good")
    record.add("slow", "a", gammapy=1.9, ours=1.0, bar=2)
    record.add("steep", "a", ours=1.2, most=1.1)
    record.add("wrong", "a", difference=float("nan"), allowed=1e-9)
    for job in ("slow", "steep", "wrong", "missing"):
        with pytest.raises(AssertionError, match=job):
            record.check(job)


def test_slope_is_that_of_the_large_sizes(bench):
    sizes = [1, 10, 100, 1000, 10000]
    slope = bench("bench_measure").slope
    assert slope(sizes, [3 + n for n in sizes]) == pytest.approx(1, abs=0.05)
    assert slope(sizes, [n**2 for n in sizes]) == pytest.approx(2)


def test_turns_take_the_median_without_the_setup(bench):
    measure, calls = bench("bench_measure"), []
    sides = {
        "a": measure.Side(lambda: calls.append("a"), lambda: calls.append("setup"), inner=2),
        "b": measure.Side(lambda: calls.append("b")),
    }
    times = measure.in_turns(sides, 2)
    assert calls == ["setup", "a", "a", "b"] * 2
    assert 0 < times["a"] < 1e-3


def test_values_and_minimum_of_a_small_field(bench, small, tmp_path):
    from gammapy.modeling import Fit

    from ctao_sat import dl5
    from ctao_sat.likelihood import compile_likelihood

    fits, record = bench("bench_fits"), bench("bench_measure").Record(tmp_path / "numbers")
    start = fits.from_here(small)
    like = compile_likelihood(small)
    fits.add_values(record, "small", small, like, {"index": 0, "norm": 4}, inner=2, repetitions=2)
    Fit().run(small)
    their_end = fits.from_here(small)
    start()
    result = dl5.fit(small, compiled=True, guard=False)
    fits.check_minimum(record, "small", small, result, their_end, absolute=1e-6)
    record.check("small")
    json_file, csv_file = record.write()
    rows = json.loads(json_file.read_text())["rows"]
    assert [row["ratio"] > 0 for row in rows[:2]] == [True, True]
    assert len(csv_file.read_text().splitlines()) == len(rows) + 1


def test_scaling_is_measured_and_drawn(bench, small, tmp_path):
    record = bench("bench_measure").Record(tmp_path)
    scaling = bench("test_scaling")
    times = scaling.measure(small, 1)
    assert set(times) == set(scaling.LABELS)
    assert min(times.values()) > 0
    scaling.draw(tmp_path / "plot.png", "bins", [1, 2], {name: [1, 2] for name in scaling.LABELS})
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert record.rows == []


def test_free_shapes_of_a_small_field(bench, tmp_path):
    from ctao_sat import dl5

    jobs, shapes = bench("bench_jobs"), bench("bench_shapes")
    field = jobs.survey(1, 20, 0.4)
    jobs.thaw_shapes(field)
    before = field.models[0].spatial_model.position
    to_bad_start = shapes.bad_start(field, np.random.default_rng(1), 0.02, 3.0)
    fits = shapes.gammapy_refitted(field)
    assert fits.is_stable
    assert fits.total > 0
    to_bad_start()
    moved = field.models[0].spatial_model.position.separation(before).deg
    assert moved == pytest.approx(0.02, rel=1e-3)
    result = dl5.fit(field, compiled=True, guard=False)
    record = bench("bench_measure").Record(tmp_path, "shapes")
    shapes.add_minimum(record, "small", field, result, fits, thorough=True)
    record.check("small")
    assert [path.name for path in record.write()] == ["shapes.json", "shapes.csv"]


def test_refits_that_still_find_something_are_not_stable(bench):
    refits = bench("bench_shapes").Refits
    assert not refits(stats=[10.0]).is_stable
    assert not refits(stats=[10.0, 9.8]).is_stable
    assert refits(stats=[10.0, 9.8, 9.75]).is_stable
