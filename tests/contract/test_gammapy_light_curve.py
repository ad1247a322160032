"""Gammapy's own tests of light curves with `ctao_sat.dl5.light_curve`."""

import pytest

NAME = "gammapy.estimators.points.tests.test_lightcurve"


@pytest.mark.realdata
def test_gammapys_own_tests(gammapy_suite):
    suite = gammapy_suite(NAME, plugin="switched_light_curve")
    print(suite.failures)
    assert suite.count("passed") > 15, suite.output
