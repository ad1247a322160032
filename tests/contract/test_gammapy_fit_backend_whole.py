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
    assert suite.count("passed") > 850, suite.output
    # Such as one that counts runs of which some are not at hand.
    modules = sorted({name.split("::")[0] for name in suite.unknown(differences)})
    if modules:
        suite.leave_out(gammapy_suite(*modules, plugin="unswitched"))
        suite.print_ends()
    suite.check(differences)
    for task in ("optimize", "covariance", "confidence"):
        assert suite.share(task) > 0.95
