"""Gammapy's own tests of light curves with `ctao_sat.dl5.light_curve`: what differs, and why."""

import astropy.units as u
import pytest
from gammapy.estimators import LightCurveEstimator

from ctao_sat import dl5

NAME = "gammapy.estimators.points.tests.test_lightcurve"
# With each test of Gammapy that fails, a number that does.
DIFFERENCES = {
    # Gammapy stops before the minimum: see below.
    "minimum": {
        "test_lightcurve_estimator_spectrum_datasets_largerbin": "0.909646",
        "test_dataset_stat_type": "5.824218",
    },
    # How many workers Gammapy's estimator leaves to its energy bins, a number of its own.
    "workers": {"test_lightcurve_parallel_multiprocessing": "_get_n_child_jobs"},
}


@pytest.mark.realdata
def test_gammapys_own_tests(gammapy_suite):
    suite = gammapy_suite(NAME, plugin="switched_light_curve")
    assert suite.count("passed") >= 21, suite.output
    assert suite.ways["light curve: ours"] >= 15
    assert "light curve: partly" not in suite.ways
    suite.check(
        {
            kind: {
                f"{NAME.removeprefix('gammapy.')}::{test}": number for test, number in tests.items()
            }
            for kind, tests in DIFFERENCES.items()
        }
    )


def test_minimum_ours_is_nearer(small):
    """Gammapy stops Minuit at a tolerance of 0.1. The lower statistic is right."""
    datasets = small.datasets("spectrum")
    edges = [1, 20] * u.TeV
    theirs = LightCurveEstimator(energy_edges=edges, source="source").run(datasets)
    ours = dl5.light_curve(datasets, edges, selection_optional=[])
    lower = float((theirs.stat.data - ours.stat.data).squeeze())
    assert 1e-9 < lower < 1e-3
    far = abs(ours.norm.data - theirs.norm.data) / theirs.norm_err.data
    assert 1e-4 < far.squeeze() < 0.02
