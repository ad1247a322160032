"""What Gammapy 2.1 gets wrong over time, as the page on temporal models lists it, and ours right.

Each of these tests fails once Gammapy is right: then its line in the list goes.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from gammapy.modeling.models import (
    ConstantTemporalModel,
    ExpDecayTemporalModel,
    GaussianTemporalModel,
    LightCurveTemplateTemporalModel,
    PowerLawTemporalModel,
    SineTemporalModel,
)
from gammapy.utils.time import time_ref_to_dict
from numpy.testing import assert_allclose

from ctao_sat import transients as tr


def test_integral_of_a_sine(t0):
    start, stop = t0, t0 + 2 * u.d
    theirs = SineTemporalModel(amp=0.5, omega="1 rad / d", t_ref=t0.mjd * u.d)
    ours = tr.PeriodicTemporalModel(t0, amp=0.5, period=2 * np.pi * u.d)
    assert_allclose(ours(t0 + [0.3, 1.7] * u.d), theirs(t0 + [0.3, 1.7] * u.d), rtol=1e-9)
    right = 2 + 0.5 * (1 - np.cos(2))
    assert 2 * float(ours.integral(start, stop)) == pytest.approx(right, rel=1e-12)
    assert right == pytest.approx(2.708, abs=1e-3)
    assert 2 * float(theirs.integral(start, stop)) == pytest.approx(1.545, abs=1e-3)


def test_integral_of_a_template(t0):
    table = Table({"TIME": [0.0, 100.0] * u.s, "NORM": [1.0, 1.0]})
    table.meta = time_ref_to_dict(t0, scale="utc")
    theirs = LightCurveTemplateTemporalModel.from_table(table)
    ours = tr.TableTemporalModel.from_gammapy(theirs)
    start, stop = t0 + 10 * u.s, t0 + 90 * u.s
    assert float(ours.integral(start, stop)) == pytest.approx(1, rel=1e-12)
    assert float(theirs.integral(start, stop)) == pytest.approx(1 + 1 / 99, rel=1e-6)


def test_template_beyond_its_table(t0):
    table = Table({"TIME": [0.0, 100.0] * u.s, "NORM": [1.0, 2.0]})
    table.meta = time_ref_to_dict(t0, scale="utc")
    theirs = LightCurveTemplateTemporalModel.from_table(table)
    ours = tr.TableTemporalModel.from_gammapy(theirs)
    assert float(theirs(t0 + 300 * u.s).value.item()) == pytest.approx(4, rel=1e-6)
    assert ours(t0 + 300 * u.s) == 0


def test_power_law_before_its_reference(t0):
    theirs = PowerLawTemporalModel(alpha=-1.6, t0=100 * u.s, t_ref=t0.mjd * u.d)
    ours = tr.OnsetPowerLawTemporalModel(t0, alpha=1.6, t0=100 * u.s, t_on=60 * u.s)
    start, stop = t0 - 10 * u.s, t0 + 200 * u.s
    with np.errstate(invalid="ignore"):
        assert np.isnan(theirs(start))
        assert np.isnan(theirs.integral(start, stop))
    assert ours(start) == 0
    right = 100 / 0.6 * (0.6**-0.6 - 2**-0.6) / 210
    assert float(ours.integral(start, stop)) == pytest.approx(right, rel=1e-9)
    # Afterwards they agree.
    later = t0 + 62 * u.s, t0 + 2454 * u.s
    assert_allclose(ours.integral(*later), theirs.integral(*later).to(""), rtol=1e-7)


def test_exponential_before_its_reference(t0):
    theirs = ExpDecayTemporalModel(t0=100 * u.s, t_ref=t0.mjd * u.d)
    ours = tr.OnsetExpDecayTemporalModel(t0, t0=100 * u.s)
    start, stop = t0 - 500 * u.s, t0 + 500 * u.s
    assert float(theirs(start).to_value("")) == pytest.approx(np.exp(5), rel=1e-6)
    # The integral is that of the growing flux: 300 times too large.
    assert theirs.integral(start, stop).to_value("") == pytest.approx(14.8, abs=0.1)
    assert float(ours.integral(start, stop)) == pytest.approx(0.1 * (1 - np.exp(-5)), rel=1e-9)


def test_random_times_have_steps_of_a_second(t0):
    theirs = ExpDecayTemporalModel(t0=0.1 * u.s, t_ref=t0.mjd * u.d)
    times = theirs.sample_time(1000, t0, t0 + 10 * u.s, random_state=1)
    mean = np.mean((times - t0).to_value("s"))
    assert mean == pytest.approx(0.5, abs=0.05)
    ours = tr.OnsetExpDecayTemporalModel(t0, t0=0.1 * u.s)
    times = ours.sample_time(1000, t0, t0 + 10 * u.s, random_state=1)
    # Four standard deviations: 1 of 10,000 seeds.
    assert np.mean((times - t0).to_value("s")) == pytest.approx(0.1, abs=4 * 0.1 / np.sqrt(1000))


def test_random_times_in_several_intervals(t0):
    start, stop = t0 + [0, 500] * u.s, t0 + [100, 600] * u.s
    with pytest.raises(ValueError, match="can only convert an array of size 1"):
        ConstantTemporalModel().sample_time(10, start, stop)
    ours = tr.OnsetExpDecayTemporalModel(t0, t0=100 * u.s)
    seconds = (ours.sample_time(500, start, stop, random_state=1) - t0).to_value("s")
    assert np.all((seconds < 100) | (seconds > 500))


def test_empty_interval(t0):
    with np.errstate(invalid="ignore"):
        assert np.isnan(GaussianTemporalModel(t_ref=t0.mjd * u.d).integral(t0, t0))
    assert float(tr.FREDTemporalModel(t0).integral(t0, t0)) == 0
