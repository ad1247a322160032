"""The plot of the light curve, and its time axis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.dates import date2num, num2date
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import plot_light_curve
from ctao_sat.plotting._timeaxis import _layout

# Integral of 1e-12 (E / TeV)^-2 per cm2 s TeV from 1 to 10 TeV.
FLUX = 0.9e-12


def series(ax):
    return [each for each in ax.containers if each[0] is not None]


def arrows(ax):
    """Return times, limits and lower ends of arrows."""
    shafts = [
        segment
        for each in ax.containers
        if each[0] is None
        for collection in each[2]
        for segment in collection.get_segments()
        if np.ptp(segment[:, 0]) == 0
    ]
    return np.array([[shaft[0, 0], shaft[:, 1].max(), shaft[:, 1].min()] for shaft in shafts])


def nights(*starts, runs=3):
    return np.concatenate([start + 0.6 * np.arange(runs) for start in starts])


def test_values_at_dates_in_utc(make_light_curve, bars):
    curve = make_light_curve([0.0, 1.0], norm=[1.0, 2.0], norm_err=[0.1, 0.2])
    (drawn,) = series(plot_light_curve(curve))
    # The reference is midnight in UTC, kept as TT by Gammapy: 69.184 s later.
    middle = date2num(np.array(["2024-03-01T00:15", "2024-03-01T01:15"], dtype="datetime64"))
    assert_allclose(drawn[0].get_xdata(), middle, rtol=0, atol=1e-8)
    assert_allclose(drawn[0].get_ydata(), [FLUX, 2 * FLUX])
    assert_allclose(bars(drawn, "x"), middle[:, None] + np.array([-0.25, 0.25]) / 24, atol=1e-8)
    assert_allclose(bars(drawn, "y"), [[0.9 * FLUX, 1.1 * FLUX], [1.8 * FLUX, 2.2 * FLUX]])


def test_dates_to_come_raise_no_warning(make_light_curve):
    # Warnings are errors in this test session; leap seconds of 2060 are "dubious" for ERFA.
    curve = make_light_curve([0.0, 1.0, 2.0], reference="2020-01-01", norm=[1.0, 1.0, 1.0])
    later = make_light_curve([350_400.0], reference="2020-01-01", norm=[1.0])
    years = [num2date(plot_light_curve(each).get_xlim()[0]).year for each in (curve, later)]
    assert years == [2019, 2059]


def test_limits_as_arrows(make_light_curve):
    curve = make_light_curve(
        [0, 1, 2],
        norm=[1.0, 0.2, -0.4],
        norm_err=[0.1] * 3,
        norm_ul=[1.2, 0.6, 0.3],
        ts=[99.0, 1.0, 0.1],
    )
    ax = plot_light_curve(curve)
    assert_allclose(series(ax)[0][0].get_ydata(), [FLUX])
    assert_allclose(arrows(ax)[:, 1], [0.6 * FLUX, 0.3 * FLUX])
    low, high = ax.get_ylim()
    assert low < arrows(ax)[:, 2].min()
    assert high > 1.1 * FLUX
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["Flux", r"Upper limits ($2\sigma$)"]


def test_all_limits(make_light_curve):
    ax = plot_light_curve(make_light_curve([0, 1], norm=[0, 0], norm_ul=[1, 2], ts=[0, 0]))
    assert not series(ax)
    assert_allclose(arrows(ax)[:, 1], [FLUX, 2 * FLUX])


def test_negative_flux_without_limits_is_drawn(make_light_curve):
    ax = plot_light_curve(make_light_curve([0, 1], norm=[1.0, -0.5], norm_err=[0.1, 0.3]))
    assert_allclose(series(ax)[0][0].get_ydata(), [FLUX, -0.5 * FLUX])
    assert ax.get_ylim()[0] < -0.8 * FLUX


def test_nan_is_left_out_and_nothing_is_said_to_be_nothing(make_light_curve):
    ax = plot_light_curve(make_light_curve([0, 1], norm=[1.0, np.nan], norm_err=[0.1, np.nan]))
    assert len(series(ax)[0][0].get_xdata()) == 1
    empty = plot_light_curve(make_light_curve([0, 1], norm=[np.nan, np.nan]))
    assert [text.get_text() for text in empty.texts] == ["No flux could be computed"]


def test_energy_bands(make_light_curve):
    curve = make_light_curve(
        [0, 1], edges=(1.0, 2.0, 10.0), norm=[[1.0, 2.0], [3.0, 0.1]], ts=[[50, 50], [50, 0.1]],
        norm_ul=[[2, 3], [4, 1]],
    )  # fmt: skip
    ax = plot_light_curve(curve)
    first, second = series(ax)
    assert_allclose(first[0].get_ydata(), [0.5e-12, 1.5e-12])
    assert_allclose(second[0].get_ydata(), [0.8e-12])
    assert_allclose(arrows(ax)[:, 1], [0.4e-12])
    assert first[0].get_color() != second[0].get_color()
    assert first[0].get_marker() != second[0].get_marker()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["1–2 TeV", "2–10 TeV", r"Upper limits ($2\sigma$)"]


def test_logarithmic_for_a_decay(make_light_curve):
    fading = plot_light_curve(make_light_curve([0, 1, 2], norm=[1000.0, 10.0, 1.0]))
    assert fading.get_yscale() == "log"
    level = plot_light_curve(make_light_curve([0, 1, 2], norm=[1000.0, 10.0, -1.0]))
    assert level.get_yscale() == "linear"


def test_one_run(make_light_curve):
    ax = plot_light_curve(make_light_curve([22.0], norm=[1.0], norm_err=[0.1]))
    start, stop = num2date(ax.get_xlim()[0]), num2date(ax.get_xlim()[1])
    assert (start.isoformat()[:15], stop.isoformat()[:15]) == ("2024-03-01T21:5", "2024-03-01T22:3")
    ax.figure.draw_without_rendering()
    assert ax.xaxis.get_major_formatter().get_offset() == "2024-03-01"


@pytest.mark.parametrize(
    ("starts", "breaks"),
    [
        (0.6 * np.arange(20), 0),
        (24.0 * np.arange(100), 0),
        (np.array([0.0, 26280.0]), 0),
        (nights(0.0, 17520.0), 1),
        (nights(0.0, 17520.0, 17544.0, runs=7), 1),
        (np.concatenate([nights(0.0, runs=15), nights(17520.0, 17544.0)]), 2),
        (nights(0.0, 240.0, 480.0, 720.0, 960.0, runs=20), 4),
        (np.concatenate([24.0 * np.arange(30), 35040 + 24.0 * np.arange(20)]), 1),
        (np.concatenate([24.0 * night + 0.6 * np.arange(5) for night in range(30)]), 0),
    ],
    ids=[
        "one night",
        "100 nights",
        "two runs",
        "two years",
        "three nights",
        "flare",
        "five nights",
        "two seasons",
        "30 nights of 5",
    ],
)
def test_gaps_are_cut_only_where_it_helps(make_light_curve, starts, breaks):
    ax = plot_light_curve(make_light_curve(starts, norm=np.ones(len(starts))))
    shaded = [patch for patch in ax.patches if patch.get_zorder() == 0]
    assert len(shaded) == breaks
    assert ("gaps" in ax.get_xlabel()) == bool(breaks)
    middle = date2num(np.datetime64("2024-03-01T00:15")) + starts / 24
    assert_allclose(series(ax)[0][0].get_xdata(), middle, rtol=0, atol=1e-8)
    pixels = ax.transData.transform(np.column_stack([middle, np.ones(len(starts))]))[:, 0]
    low, high = ax.get_window_extent().intervalx
    assert (np.diff(pixels) > 0).all()
    assert low < pixels[0] < pixels[-1] < high
    if breaks:
        assert np.quantile(np.diff(pixels), 0.1) > 2.0


def test_labels_of_a_cut_axis_name_each_night(make_light_curve):
    ax = plot_light_curve(make_light_curve(nights(0.0, 17520.0), norm=np.ones(6)))
    texts = " ".join(ax.xaxis.get_major_formatter().seq)
    assert "2024-03-01" in texts
    assert "2026-03-01" in texts


def test_second_curve_keeps_and_widens_the_axis(make_light_curve):
    ax = Figure().add_subplot()
    plot_light_curve(make_light_curve([0, 1], norm=[1.0, 1.0]), ax=ax)
    assert plot_light_curve(make_light_curve([5, 6], norm=[9.0, 9.0]), ax=ax) is ax
    midnight = date2num(np.datetime64("2024-03-01T00:00"))
    assert ax.get_xlim()[0] < midnight
    assert ax.get_xlim()[1] >= midnight + 6.5 / 24 - 1e-8
    assert ax.get_ylim()[1] > 9 * FLUX


def test_points_without_time_are_refused(make_flux_points):
    with pytest.raises(ConfigError, match="plot_sed"):
        plot_light_curve(make_flux_points(norm=[1.0]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(1e-4, 2000.0), st.floats(1e-3, 0.5)), min_size=1, max_size=60))
def test_layout_is_monotonic_invertible_and_complete(steps):
    """Any sequence of gaps and durations in days."""
    lengths = np.array(steps)
    stop = 19000.0 + np.cumsum(lengths.sum(axis=1))
    start = stop - lengths[:, 1]
    layout = _layout(start, stop)
    assert (np.diff(layout.dates) > 0).all()
    assert (np.diff(layout.places) > 0).all()
    values = np.linspace(layout.dates[0] - 1.0, layout.dates[-1] + 1.0, 300)
    assert_allclose(layout.inverse(layout.forward(values)), values, rtol=0, atol=1e-4)
    inside = [
        any(begin <= first and last <= end for begin, end in layout.segments)
        for first, last in zip(start, stop, strict=True)
    ]
    assert all(inside)
