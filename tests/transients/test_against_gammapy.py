"""What Gammapy 2.1 gets wrong over time, and ours right: the list in the documentation is run."""

import doctest
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling.models import ExpDecayTemporalModel, PowerLawTemporalModel, SineTemporalModel
from numpy.testing import assert_allclose

from ctao_sat import transients as tr

PAGE = Path(__file__).parents[2] / "docs" / "temporal-models.rst"


def test_differences_are_as_the_documentation_lists_them():
    """A line of the list fails once Gammapy is right: then it goes."""
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags)
    assert result.failed == 0
    assert result.attempted > 30


def test_power_law_is_that_of_gammapy_after_its_reference(t0):
    theirs = PowerLawTemporalModel(alpha=-1.6, t0=100 * u.s, t_ref=t0.mjd * u.d)
    ours = tr.OnsetPowerLawTemporalModel(t0, alpha=1.6, t0=100 * u.s)
    later = t0 + 62 * u.s, t0 + 2454 * u.s
    assert_allclose(ours(later[0]), theirs(later[0]), rtol=1e-7)
    assert_allclose(ours.integral(*later), theirs.integral(*later).to(""), rtol=1e-7)


def test_exponential_is_that_of_gammapy_after_its_reference(t0):
    theirs = ExpDecayTemporalModel(t0=100 * u.s, t_ref=t0.mjd * u.d)
    ours = tr.OnsetExpDecayTemporalModel(t0, t0=100 * u.s)
    later = t0 + 62 * u.s, t0 + 500 * u.s
    assert_allclose(ours(later[0]), theirs(later[0]), rtol=1e-7)
    assert_allclose(ours.integral(*later), theirs.integral(*later).to(""), rtol=1e-7)


def test_sine_is_that_of_gammapy_but_for_its_integral(t0):
    theirs = SineTemporalModel(amp=0.5, omega="1 rad / d", t_ref=t0.mjd * u.d)
    ours = tr.PeriodicTemporalModel(t0, amp=0.5, period=2 * np.pi * u.d)
    times = t0 + [0, 0.3, 1.7, 88.8] * u.d
    assert_allclose(ours(times), theirs(times), rtol=1e-7)
    mean = float(ours.integral(t0, t0 + 2 * u.d))
    assert mean == pytest.approx((2 + 0.5 * (1 - np.cos(2))) / 2, rel=1e-12)
