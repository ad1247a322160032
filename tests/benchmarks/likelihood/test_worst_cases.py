"""Where compiling gains least: many counts, no background, masks that vary with energy."""

import bench_jobs
import numpy as np
import pytest
from bench_fits import add_values, relative, values_along

from ctao_sat.likelihood import compile_likelihood

pytestmark = pytest.mark.realdata

PARAMETERS = {"index of a point": 0, "amplitude of a point": 1, "amplitude of the Gaussian": 5}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("filled", bench_jobs.filled),
        ("no background", bench_jobs.without_background),
        ("energy-dependent mask", bench_jobs.masked_by_energy),
    ],
)
def test_worst_case(centre, record, name, change):
    job = f"worst case: {name}"
    datasets = change(centre)
    dataset = datasets[0]
    if name == "filled":
        assert np.mean(dataset.counts.data[dataset.mask.data] > 0) > 0.5
    like = compile_likelihood(datasets)
    assert like.report.is_complete, str(like.report)
    add_values(record, job, datasets, like, PARAMETERS, bar=3, inner=10)
    factors, expected = values_along(datasets, like.parameters, 0.05, 1)
    ours = [like.value(x) for x in factors]
    record.add(job, "all, far", difference=relative(ours, expected), allowed=1e-9)
    record.check(job)
