"""Pulls: compiled fits of simulated data are unbiased, and their errors are right.

For each of 500 sets the counts are drawn anew; (fitted - true) / error of each free parameter
should have mean 0 and width 1. With N sets the mean is uncertain by 1 / sqrt(N), the width by
1 / sqrt(2 N). Each of the 2 x 9 numbers is to be within three of its standard deviations, beyond
which it is by chance with a probability of 0.27 %, or 5 % for one of them all. The seeds are
fixed: what passes once passes always.
"""

import numpy as np
import pytest

from ctao_sat.dl5 import fit

N_SETS = 500


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("on_off", ["index", "amplitude"]),
        ("spectrum", ["index", "amplitude"]),
        ("cube", ["amplitude", "amplitude", "alpha", "tilt", "norm"]),
    ],
)
def test_pulls(zoo, sort, names):
    datasets = getattr(zoo.plain, sort)(asimov=True)
    rng = np.random.default_rng([20281107, len(sort)])
    parameters = list(datasets.parameters.free_parameters)
    assert [parameter.name for parameter in parameters] == names
    truth = np.array([parameter.value for parameter in parameters])
    expected, pulls = zoo.plain.expected(datasets), []
    for _ in range(N_SETS):
        for parameter, value in zip(parameters, truth, strict=True):
            parameter.value, parameter.error = value, 0
        zoo.plain.draw(datasets, rng, expected)
        result = fit(datasets, compiled=True, guard=False)
        assert result.success
        assert result.report.is_complete
        fitted = np.array([parameter.value for parameter in parameters])
        errors = np.array([parameter.error for parameter in parameters])
        pulls.append((fitted - truth) / errors)
    mean, width = np.mean(pulls, axis=0), np.std(pulls, axis=0, ddof=1)
    assert np.all(np.abs(mean) < 3 / np.sqrt(N_SETS)), mean
    assert np.all(np.abs(width - 1) < 3 / np.sqrt(2 * N_SETS)), width
