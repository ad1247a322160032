"""The plots of phases and of tests for pulsations."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time
from matplotlib.collections import QuadMesh
from numpy.testing import assert_allclose

from ctao_sat import plotting
from ctao_sat.errors import ConfigError, DataError, SelectionError
from ctao_sat.pulsar import FrequencyScan, PhaseRegions, h_p_value, h_test_growth

START = Time("2028-01-10T22:00:00", scale="utc")
REGIONS = PhaseRegions(on=[(0.1, 0.2)], off=[(0.7, 1.1)])


def lines(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


class TestProfile:
    """Events over phase."""

    def test_shows_each_event_in_both_cycles(self):
        phases = np.array([0.05, 0.05, 0.55, -0.45, 3.95])
        ax = plotting.plot_profile(phases, n_bins=10)
        (steps,) = ax.patches
        assert steps.get_data().values.tolist() == 2 * [2, 0, 0, 0, 0, 2, 0, 0, 0, 1]
        assert ax.get_xlim() == (0.0, 2.0)
        assert ax.get_ylabel() == "Events per 0.1 turn"

    def test_errors_are_those_of_weights(self, bars):
        phases, weights = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.1, 1.0])
        ax = plotting.plot_profile(phases, weights=weights, n_bins=2)
        (container,) = ax.containers
        middle, half = np.array([0.6, 1.0]), np.array([np.hypot(0.5, 0.1), 1.0])
        expected = np.column_stack([middle - half, middle + half])
        assert_allclose(bars(container, "y"), np.tile(expected, (2, 1)))
        assert container.get_label() == "Events, weighted"

    def test_level_is_that_of_the_off_regions(self):
        phases = np.array([0.15] * 30 + [0.05] * 3 + [0.8] * 5)
        ax = plotting.plot_profile(phases, regions=REGIONS, n_bins=10)
        (line,) = lines(ax, "Level of the off regions")
        assert_allclose(line.get_ydata(), 8 / 0.4 / 10)
        # On in both cycles; off is cut at the ends of the axes.
        spans = [patch for patch in ax.patches if patch.get_alpha()]
        edges = sorted((span.get_x(), span.get_x() + span.get_width()) for span in spans)
        assert_allclose(edges, [(0, 0.1), (0.1, 0.2), (0.7, 1.1), (1.1, 1.2), (1.7, 2.0)])

    def test_model_is_scaled_to_the_events(self):
        ax = plotting.plot_profile(np.linspace(0, 0.99, 100), n_bins=10, model=lambda x: 2 * x)
        (line,) = lines(ax, "Fit")
        assert_allclose(np.interp([0.25, 1.25], *line.get_data()), 5.0)

    def test_small_pulse_on_a_large_background_is_seen(self):
        phases = np.concatenate([np.arange(10_000) / 10_000, np.full(100, 0.31)])
        low, high = plotting.plot_profile(phases, n_bins=20).get_ylim()
        assert low > 400
        assert high < 700

    @pytest.mark.parametrize(("phases", "error"), [([], SelectionError), ([np.nan], DataError)])
    def test_what_cannot_be_shown_is_an_error(self, phases, error):
        with pytest.raises(error):
            plotting.plot_profile(phases)


class TestPhaseogram:
    """Events over phase and time."""

    def meshes(self, ax):
        return [each for each in ax.collections if isinstance(each, QuadMesh)]

    def test_one_run(self):
        phases, times = np.tile([0.05, 0.55], 300), START + np.arange(600) * u.s
        ax = plotting.plot_phaseogram(phases, times[::-1], n_bins=10)
        (mesh,) = self.meshes(ax)
        image = mesh.get_array()
        assert image.shape[1] == 20
        assert_allclose(image[:, [0, 5, 10, 15]], 5.0, rtol=0.02)
        assert image.sum() == pytest.approx(20 * image.shape[0])
        assert ax.get_ylim() == (0.0, pytest.approx(599 / 60))
        assert ax.get_ylabel() == "Time after 2028-01-10 22:00 UTC [min]"

    def test_nights_stand_on_each_other(self):
        seconds = np.concatenate([np.arange(0, 3600), np.arange(0, 1800) + 30 * 86400.0])
        phases = np.full(len(seconds), 0.35)
        ax = plotting.plot_phaseogram(phases, START + seconds * u.s)
        first, second = self.meshes(ax)
        assert ax.get_ylim() == (0.0, pytest.approx(1.5, abs=1e-3))
        assert first.get_clim() == second.get_clim()
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels == ["2028-01-10", "2028-02-09"]
        assert len(first.get_array()) == pytest.approx(2 * len(second.get_array()), abs=1)

    def test_single_event_and_zero_weights(self):
        ax = plotting.plot_phaseogram([0.3], Time([START]), weights=[0.5])
        assert np.isfinite(self.meshes(ax)[0].get_clim()).all()
        times = START + [0, 1, 7200] * u.s
        ax = plotting.plot_phaseogram([0.3, 0.4, 0.5], times, weights=[1, 1, 0])
        assert self.meshes(ax)[1].get_array().mask.all()

    def test_borders_of_regions_are_marked_where_they_are(self):
        ax = plotting.plot_phaseogram([0.3, 0.4], START + [0, 9] * u.s, regions=REGIONS)
        borders = {round(line.get_xdata()[0], 9) for line in ax.get_lines()}
        shown = sorted(border for border in borders if 0 <= border <= 2)
        assert shown == [0.1, 0.2, 0.7, 1.1, 1.2, 1.7]

    def test_dates_to_come_raise_no_warning(self):
        # Warnings are errors in this test session; leap seconds of 2060 are "dubious" for ERFA.
        times = Time("2060-01-01T00:02", scale="tt") + [0, 30] * u.s
        ax = plotting.plot_phaseogram([0.3, 0.4], times)
        assert "2060-01-01 00:00" in ax.get_ylabel()

    def test_times_must_be_those_of_the_phases(self):
        with pytest.raises(ConfigError, match="2 times for 1 phases"):
            plotting.plot_phaseogram([0.3], START + [0, 9] * u.s)


class TestHTest:
    """H over livetime."""

    def test_points_and_expectation(self):
        growth = Table({"livetime": [0.5, 1.0, 2.0] * u.h, "h": [10.0, 25.0, 44.0]})
        ax = plotting.plot_h_test(growth)
        (points,) = lines(ax, "H test of the events so far")
        assert_allclose(points.get_xydata(), [[0.5, 10], [1, 25], [2, 44]])
        (line,) = lines(ax, r"Steady pulsar: $\propto t$")
        assert_allclose(line.get_ydata() / line.get_xdata().clip(1e-9), [0, 22.0])
        assert ax.get_xlabel() == "Livetime [h]"

    def test_levels_have_the_p_values_of_their_names(self):
        growth = Table({"livetime": [5.0] * u.min, "h": [40.0]})
        ax = plotting.plot_h_test(growth)
        assert [text.get_text() for text in ax.texts] == [r"$5\,\sigma$", r"$3\,\sigma$"]
        levels = [line.get_ydata()[0] for line in ax.get_lines() if line.get_linestyle() == ":"]
        assert_allclose([h_p_value(h) for h in levels], [2.866516e-7, 1.349898e-3], rtol=1e-5)
        assert ax.get_xlabel() == "Livetime [min]"

    def test_levels_without_room_are_left_out(self):
        ax = plotting.plot_h_test(Table({"livetime": [5.0] * u.min, "h": [3.0]}))
        assert [text.get_text() for text in ax.texts] == [r"$3\,\sigma$"]
        assert ax.texts[0].get_position()[1] < ax.get_ylim()[1]
        ax = plotting.plot_h_test(Table({"livetime": [5.0] * u.min, "h": [3000.0]}))
        assert [text.get_text() for text in ax.texts] == [r"$5\,\sigma$"]

    def test_growth_is_that_of_the_first_events(self):
        rng = np.random.default_rng(9)
        phases, livetimes = rng.random(500), rng.random(500) * u.h
        growth = h_test_growth(phases, livetimes, n_points=5)
        assert growth["n_events"][-1] == 500
        half = livetimes <= growth["livetime"].quantity[2]
        again = h_test_growth(phases[half], livetimes[half], n_points=1)
        assert growth["h"][2] == pytest.approx(again["h"][0])

    def test_growth_with_weights_leaves_out_what_has_none(self):
        growth = h_test_growth(
            [0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4] * u.h, weights=[0, 0, 1, 1], n_points=4
        )
        assert growth["n_events"].tolist() == [3, 4]

    @pytest.mark.parametrize("options", [{"n_points": 0}, {"livetimes": [1.0] * u.h}])
    def test_growth_of_nothing(self, options):
        with pytest.raises(ConfigError):
            h_test_growth(**{"phases": [0.1, 0.2], "livetimes": [1, 2] * u.h} | options)


def search(values, f1=None):
    n = np.shape(values)[1]
    return FrequencyScan(
        f0=(29.9 + 1e-6 * np.arange(n)) * u.Hz,
        f1=np.atleast_1d([-1e-10] if f1 is None else f1) * u.Hz / u.s,
        values=np.asarray(values, dtype=float),
        epoch=START.tdb,
        statistic="z2",
        n_harmonics=2,
        n_events=10,
    )


class TestScan:
    """The statistic of trials."""

    def test_frequency_alone(self):
        ax = plotting.plot_scan(search([[1, 2, 9, 3]]))
        (steps,) = ax.patches
        assert steps.get_data().values.tolist() == [1, 2, 9, 3]
        assert_allclose(ax.get_xlim(), (-2.5, 1.5), atol=1e-6)
        assert ax.get_xlabel() == "Frequency $-$ 29.900002 Hz [µHz]"
        (label,) = [text.get_text() for text in ax.get_legend().get_texts()]
        assert label == "Largest $Z^2_{2}$ of 4 trials: 9.0"

    def test_derivative_too(self):
        ax = plotting.plot_scan(search([[1, 2, 9], [0, 0, 0]], [-3e-10, -2e-10]))
        (mesh,) = (each for each in ax.collections if isinstance(each, QuadMesh))
        assert mesh.get_array().tolist() == [[1, 2, 9], [0, 0, 0]]
        assert_allclose(ax.get_ylim(), (-0.5, 1.5), atol=1e-6)
        assert "-3.0000 \\times 10^{-10}" in ax.get_ylabel()

    def test_peak_among_very_many_trials_is_kept(self):
        values = np.zeros((1, 100_000))
        values[0, 77_777] = 50.0
        (steps,) = plotting.plot_scan(search(values)).patches
        assert len(steps.get_data().values) <= 600
        assert steps.get_data().values.max() == 50.0

    def test_single_trial(self):
        ax = plotting.plot_scan(search([[4.0]]))
        assert "1 trial: 4.0" in ax.get_legend().get_texts()[0].get_text()


@pytest.mark.parametrize("n_bins", [0, -3])
def test_plots_need_a_bin(n_bins):
    with pytest.raises(ConfigError, match="There are no"):
        plotting.plot_profile([0.1, 0.2], n_bins=n_bins)
    with pytest.raises(ConfigError, match="There are no"):
        plotting.plot_phaseogram([0.1, 0.2], Time([60000.0, 60000.1], format="mjd"), n_bins=n_bins)
