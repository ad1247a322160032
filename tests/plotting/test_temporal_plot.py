"""The plot of a temporal model."""

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from gammapy.data import GTI

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import plot_temporal
from ctao_sat.transients import (
    MultiBrokenPowerLawTemporalModel,
    OnsetPowerLawTemporalModel,
    PeriodicTemporalModel,
)

T0 = Time("2028-01-10T22:00:00", scale="utc")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_curve_onset_and_breaks():
    model = MultiBrokenPowerLawTemporalModel(T0, [1, 2, 3], [100, 500] * u.s, t_on=20 * u.s)
    ax = plot_temporal(model, [1, 60] * u.min)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "Time after 2028-01-10T22:00:00.000 UTC [min]"
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, model(T0 + x * u.min).value)
    # The onset is before the plot begins.
    assert texts(ax) == ["break 1", "break 2"]
    assert texts(plot_temporal(model, [1, 3600] * u.s)) == ["onset", "break 1", "break 2"]


def test_flux_jumps_at_the_onset():
    model = OnsetPowerLawTemporalModel(T0, 1.2, 100 * u.s, t_on=20 * u.s)
    x, y = plot_temporal(model, [1, 1e4] * u.s).lines[0].get_data()
    step = np.flatnonzero(y)[0]
    assert x[step] - x[step - 1] < 1e-6
    assert y[step] == pytest.approx(0.2**-1.2, rel=1e-6)


def test_good_time_intervals_have_the_mean_flux():
    model = OnsetPowerLawTemporalModel(T0, 1.2, 100 * u.s, t_on=20 * u.s)
    gti = GTI.create([50, 1000] * u.s, [200, 3000] * u.s, reference_time=T0)
    ax = plot_temporal(model, [10, 1e4] * u.s, gti=gti)
    bars = [line.get_data() for line in ax.lines if len(line.get_xdata()) == 2][1:]
    assert len(bars) == 2
    for (x, y), start, stop in zip(bars, gti.time_start, gti.time_stop, strict=True):
        np.testing.assert_allclose(x, [(t - T0).to_value("s") for t in (start, stop)], atol=1e-6)
        assert y[0] == pytest.approx(float(model.integral(start, stop)), rel=1e-9)
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["Model", "Good time intervals, mean flux"]


def test_several_models_on_one_plot():
    ax = None
    for alpha in (1, 2):
        model = OnsetPowerLawTemporalModel(T0, alpha, 100 * u.s)
        ax = plot_temporal(model, [10 * alpha, 1000 * alpha] * u.s, label=f"{alpha}", ax=ax)
    assert ax.get_legend_handles_labels()[1] == ["1", "2"]
    assert ax.lines[0].get_color() != ax.lines[-1].get_color()
    assert ax.get_xlim() == (10, 2000)


def test_linear_axes():
    ax = plot_temporal(PeriodicTemporalModel(T0, 0.5, 2 * u.d), [-3, 3] * u.d, log=False)
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")
    assert ax.get_xlim() == (-3, 3)


@pytest.mark.parametrize(("time_range", "log"), [([0, 9], True), ([9, 3], False), ([3, 3], True)])
def test_ranges_that_cannot_be_drawn(time_range, log):
    model = OnsetPowerLawTemporalModel(T0)
    with pytest.raises(ConfigError, match="has to increase"):
        plot_temporal(model, time_range * u.s, log=log)


@pytest.mark.parametrize("time_range", [[1, 9], [1, 9] * u.m, [1, 3, 9] * u.s, 9 * u.s])
def test_what_is_no_range_of_times(time_range):
    with pytest.raises(ConfigError, match="is no range of times"):
        plot_temporal(OnsetPowerLawTemporalModel(T0), time_range)
