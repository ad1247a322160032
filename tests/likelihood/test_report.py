"""What a report says, and that it is right."""

import numpy as np
import pytest

from ctao_sat.likelihood import Fallback, Report, compile_likelihood


def test_an_empty_report_is_complete():
    report = Report()
    assert report.is_complete
    assert report.reasons() == ""
    assert "0 datasets, 0 free parameters" in str(report)
    assert "guard" not in str(report)


def test_reports_share_nothing():
    one, other = Report(), Report()
    one.compiled.append("a")
    one.timings["compile"] = 1.0
    assert other.compiled == []
    assert other.timings == {}


@pytest.mark.parametrize(
    ("model", "text"),
    [("", "dataset 'run': why"), ("crab", "model 'crab' in dataset 'run': why")],
)
def test_a_fallback_prints(model, text):
    assert str(Fallback("run", model, "why")) == text


def test_fallbacks_are_joined():
    report = Report(fallbacks=[Fallback("a", "", "one"), Fallback("b", "c", "two")])
    assert not report.is_complete
    assert report.reasons() == "dataset 'a': one; model 'c' in dataset 'b': two"


def test_all_that_is_known_is_printed():
    report = Report(
        compiled=["a", "b"],
        fallbacks=[Fallback("c", "", "why not")],
        spectra=["crab: no kernel"],
        scaled=["burst: by its decay"],
        guard=["start: 1.0", "optimum: 0.5"],
        n_parameters=3,
        n_bins=1000,
        n_evaluated=70,
        memory=2_500_000,
        timings={"compile": 0.25, "kernels": 1.5},
    )
    lines = str(report).splitlines()
    assert lines[0] == "Compiled likelihood: 2 datasets, 3 free parameters"
    assert [line.strip() for line in lines[1:]] == [
        "bins        : 1000, of which 70 one by one",
        "memory      : 2.5 MB",
        "compilation : 0.250 s, kernels 1.500 s",
        "by Gammapy: dataset 'c': why not",
        "spectrum by Gammapy: crab: no kernel",
        "spectrum that varies: burst: by its decay",
        "guard: start: 1.0",
        "guard: optimum: 0.5",
    ]


def test_the_report_of_a_likelihood(small):
    datasets = small.datasets("joint")
    report = compile_likelihood(datasets).report
    assert report.compiled == ["cube", "on-off", "spectrum", "flux points"]
    assert report.is_complete
    assert report.spectra == report.scaled == report.guard == []
    assert report.n_parameters == 4
    in_fit = [d.mask.data.sum() if d.mask is not None else d.counts.data.size for d in datasets[:3]]
    assert report.n_bins == sum(in_fit) + 6
    # Most bins of the cube have no counts, or no source.
    assert 14 < report.n_evaluated < report.n_bins / 2
    assert report.memory > 8 * 6 * report.n_evaluated
    assert report.timings["compile"] > 0
    # Gammapy has evaluated the models before: kernels are there.
    assert report.timings["kernels"] >= 0


def test_time_for_kernels_is_reported(small):
    dataset = small.cube()
    dataset.models = [small.point()]
    first, second = (compile_likelihood([dataset]).report.timings for _ in range(2))
    assert set(first) == set(second) == {"kernels", "compile"}
    assert min(first.values()) > 0


def test_what_falls_back_is_in_the_report(small):
    datasets = small.datasets("joint")
    datasets.models["source"].spatial_model.lat_0.frozen = False
    datasets["flux points"].stat_type = "chi2"
    report = compile_likelihood(datasets).report
    assert not report.is_complete
    regions = {("spectrum", "source"), ("on-off", "source")}
    assert {(f.dataset, f.model) for f in report.fallbacks} == regions
    assert all(f.reason == "a free shape in a region" for f in report.fallbacks)
    assert "a free shape in a region" in str(report)


def test_a_new_compilation_makes_a_new_report(small):
    datasets = small.datasets("spectrum")
    likelihood = compile_likelihood(datasets)
    first = likelihood.report
    datasets.models[0].spectral_model.index.frozen = True
    likelihood.stat_sum()
    assert likelihood.report is not first
    assert (first.n_parameters, likelihood.report.n_parameters) == (2, 1)


def test_memory_grows_with_the_bins(small):
    sizes = []
    for n_pixels in (8, 24):
        dataset = small.cube(n_pixels=n_pixels)
        dataset.models = [small.point()]
        dataset.counts.data[...] = 1
        report = compile_likelihood([dataset]).report
        assert report.n_evaluated <= report.n_bins
        sizes.append((report.n_bins, report.memory))
    ratio = np.divide(*sizes[::-1])
    assert 4 < ratio[0] < 12
    assert 1.5 < ratio[1] < 1.3 * ratio[0]
