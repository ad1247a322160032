"""All of Gammapy's tests of fits, datasets and estimators with the fit backend "ctao_sat".

It takes some minutes, and runs only where it is named on the command line.
"""

import pytest

NAMES = (
    "gammapy.modeling",
    "gammapy.datasets",
    "gammapy.estimators",
    "gammapy.makers.background.tests.test_fov",
    "gammapy.analysis",
)


@pytest.mark.realdata
def test_all_of_gammapys_own_tests(gammapy_suite, differences):
    suite = gammapy_suite(*NAMES)
    assert suite.count("passed") > 440, suite.output
    suite.check(differences)
    for task in ("optimize", "covariance", "confidence"):
        assert suite.share(task) > 0.95
