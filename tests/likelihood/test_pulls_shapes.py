"""Pulls with free shapes: positions, sizes and spectra are unbiased, and their errors are right.

Counts of a cube with a Gaussian and a point are drawn anew for each of 300 sets; (fitted - true) /
error of each free parameter should have mean 0 and width 1. With N sets the mean is uncertain by
1 / sqrt(N), the width by 1 / sqrt(2 N). Each of the 2 x 9 numbers is to be within three of its
standard deviations, beyond which it is by chance with a probability of 0.27 %, or 5 % for one of
them all. So is the number of sets in which the true position lies within the ellipse of 68.3 %: the
interval of the binomial distribution holds all but 0.27 %. The seed is fixed: what passes once
passes always.
"""

import numpy as np
import pytest
from scipy import stats

from ctao_sat.dl5 import fit
from ctao_sat.likelihood import KernelCache

N_SETS = 300
NAMES = ["index", "amplitude", "lon_0", "lat_0", "sigma", "amplitude", "lon_0", "lat_0", "norm"]
POSITIONS = {"extended": [2, 3], "point": [6, 7]}
INSIDE = 0.683


@pytest.fixture(scope="module")
def sets(zoo):
    """Return deviations from the truth and covariances of all sets."""
    datasets, rng = zoo.plain.moving(asimov=True), np.random.default_rng(20281208)
    parameters = list(datasets.parameters.free_parameters)
    assert [parameter.name for parameter in parameters] == NAMES
    free = [list(datasets.parameters).index(parameter) for parameter in parameters]
    truth = np.array([parameter.value for parameter in parameters])
    npred, kernels, deviations, covariances = zoo.plain.expected(datasets), KernelCache(), [], []
    for _ in range(N_SETS):
        for parameter, value in zip(parameters, truth, strict=True):
            parameter.value, parameter.error = value, 0
        zoo.plain.draw(datasets, rng, npred)
        result = fit(datasets, compiled=True, guard=False, kernels=kernels)
        assert result.success
        assert result.report.is_complete
        deviations.append([q.value for q in parameters] - truth)
        covariances.append(result.covariance_result.matrix[np.ix_(free, free)])
    return np.array(deviations), np.array(covariances)


def test_pulls(sets):
    deviations, covariances = sets
    pulls = deviations / np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    mean, width = np.mean(pulls, axis=0), np.std(pulls, axis=0, ddof=1)
    assert np.all(np.abs(mean) < 3 / np.sqrt(N_SETS)), mean
    assert np.all(np.abs(width - 1) < 3 / np.sqrt(2 * N_SETS)), width


@pytest.mark.parametrize("name", POSITIONS)
def test_localisation(sets, name):
    at = POSITIONS[name]
    away = sets[0][:, at]
    distance = np.einsum("ni,nij,nj->n", away, np.linalg.inv(sets[1][:, at][:, :, at]), away)
    inside = int(np.sum(distance < stats.chi2(2).ppf(INSIDE)))
    low, high = stats.binom(N_SETS, INSIDE).ppf([0.00135, 0.99865])
    assert low <= inside <= high
