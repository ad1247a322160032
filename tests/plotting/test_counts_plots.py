"""The plots of counts: theta-squared, significance, counts spectrum."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from gammapy.datasets import SpectrumDataset
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from gammapy.stats import wstat
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from scipy.stats import chi2, norm

from ctao_sat.plotting import plot_counts, plot_significance, plot_theta_squared


def li_ma(n_on, n_off, alpha):
    """Return equation 17 of Li & Ma (1983), without sign."""
    on = n_on * np.log((1 + alpha) / alpha * n_on / (n_on + n_off))
    off = n_off * np.log((1 + alpha) * n_off / (n_on + n_off))
    return np.sqrt(2 * (on + off))


def points(container):
    return container[0].get_xdata(), container[0].get_ydata()


def texts(ax):
    return "\n".join(text.get_text() for text in ax.texts)


class TestThetaSquared:
    def test_counts_and_excess_are_those_of_the_table(self, theta_squared_table, bars):
        ax = plot_theta_squared(theta_squared_table)
        panel = ax.figure.axes[-1]
        x, y = points(ax.containers[-1])
        assert_allclose(x, [0.005, 0.015, 0.025, 0.035, 0.045])
        assert_allclose(y, theta_squared_table["counts"])
        assert_allclose(points(panel.containers[0])[1], [51.0, 2.0, 8.0, -11.0, -0.5])
        assert_allclose(ax.patches[0].get_data().values, [9.0, 10.0, 0.0, 11.0, 9.5])
        # Garwood's interval of 12 counts, by quantiles of chi-squared.
        tail = norm.sf(1.0)
        interval = [chi2.ppf(tail, 24) / 2, chi2.isf(tail, 26) / 2]
        assert_allclose(bars(ax.containers[-1], "y")[1], interval)
        assert_allclose(bars(panel.containers[0], "y")[1], 2 + np.sqrt(17) * np.array([-1, 1]))

    def test_asymmetric_errors_of_the_table_come_first(self, theta_squared_table, bars):
        theta_squared_table["excess_errn"] = [1.0, 2.0, 3.0, np.nan, 5.0]
        theta_squared_table["excess_errp"] = [2.0, 4.0, 6.0, 8.0, 10.0]
        panel = plot_theta_squared(theta_squared_table).figure.axes[-1]
        drawn = bars(panel.containers[0], "y")
        assert_allclose(drawn[0], [50.0, 53.0])
        assert_allclose(drawn[3], [-11 - np.sqrt(0.25 * 22), -3.0])

    def test_numbers_inside_the_radius(self, theta_squared_table):
        ax = plot_theta_squared(theta_squared_table, radius=np.sqrt(0.02) * u.deg)
        written = texts(ax)
        assert "= 72" in written
        assert "= 38" in written
        assert r"\alpha = 0.5" in written
        assert rf"53.0 \pm {np.sqrt(72 + 0.25 * 38):.1f}" in written
        assert rf"{li_ma(72, 38, 0.5):.1f}\,\sigma" in written
        assert_allclose(ax.lines[-1].get_xdata(), 0.02)
        assert ax.get_ylim()[1] > 1.3 * 60

    def test_radius_between_edges_takes_the_nearest_and_says_which(self, theta_squared_table):
        ax = plot_theta_squared(theta_squared_table, radius="0.11 deg")
        assert r"\theta^2 < 0.01$" in texts(ax)
        assert "= 60" in texts(ax)
        tiny = plot_theta_squared(theta_squared_table, radius=1 * u.arcmin)
        assert r"\theta^2 < 0.01$" in texts(tiny)

    def test_alpha_keeps_the_background(self, theta_squared_table):
        theta_squared_table["alpha"] = [0.5, 0.25, 0.5, 0.5, 0.5]
        ax = plot_theta_squared(theta_squared_table, radius=np.sqrt(0.02) * u.deg)
        assert rf"\alpha = {14 / 38:.3g}" in texts(ax)

    def test_deficit_and_no_counts_at_all(self, theta_squared_table):
        theta_squared_table["counts"] = [1, 0, 0, 0, 0]
        assert rf"-{li_ma(1, 18, 0.5):.1f}\,\sigma" in texts(
            plot_theta_squared(theta_squared_table, radius="0.1 deg")
        )
        theta_squared_table["counts"] = 0
        theta_squared_table["counts_off"] = 0.0
        ax = plot_theta_squared(theta_squared_table, radius="0.1 deg")
        assert r"0.0\,\sigma" in texts(ax)
        assert np.isfinite(ax.get_ylim()).all()

    def test_given_axes_are_used(self, theta_squared_table):
        figure = Figure()
        left, right = figure.subplots(1, 2)
        assert plot_theta_squared(theta_squared_table, ax=left) is left
        assert len(figure.axes) == 3
        assert not right.has_data()

    def test_axes_without_a_grid_are_split_too(self, theta_squared_table):
        ax = Figure().add_axes((0.2, 0.2, 0.6, 0.6))
        plot_theta_squared(theta_squared_table, ax=ax)
        ax.figure.draw_without_rendering()
        upper, lower = (each.get_window_extent() for each in ax.figure.axes)
        assert lower.y1 < upper.y0
        assert lower.intervalx.tolist() == upper.intervalx.tolist()


class TestSignificance:
    def test_values_over_hours(self, info_table):
        ax = plot_significance(info_table)
        panel = ax.figure.axes[-1]
        assert_allclose(ax.lines[0].get_xdata(), [0.5, 1.0, 2.0])
        assert_allclose(ax.lines[0].get_ydata(), [4.0, 5.5, 8.0])
        assert_allclose(panel.lines[0].get_ydata(), [20.0, 41.0, 80.0])
        assert panel.get_xlabel() == "Livetime [h]"
        # Extent of the band at the last point: 120 + 160 / 16 = 130.
        band = panel.collections[0].get_paths()[0].vertices
        at_end = band[np.isclose(band[:, 0], 2.0), 1]
        assert_allclose([at_end.min(), at_end.max()], 80 + np.sqrt(130) * np.array([-1, 1]))

    def test_expectation_goes_through_the_last_point(self, info_table):
        ax = plot_significance(info_table)
        for each, index in ((ax, 0.5), (ax.figure.axes[-1], 1.0)):
            time, value = each.lines[1].get_data()
            last = each.lines[0].get_ydata()[-1]
            assert_allclose(value, last * (time / 2.0) ** index)

    def test_one_short_run_with_a_deficit(self, bars):
        row = {"livetime": [1500.0] * u.s, "sqrt_ts": [-1.7], "excess": [-5.0]}
        row |= {"counts": [5], "counts_off": [100.0], "alpha": [0.1]}
        ax = plot_significance(Table(row))
        panel = ax.figure.axes[-1]
        assert panel.get_xlabel() == "Livetime [min]"
        assert_allclose(panel.lines[0].get_xdata(), 25.0)
        assert_allclose(bars(panel.containers[0], "y"), [-5 + np.sqrt(6) * np.array([-1, 1])])
        assert len([line for line in ax.lines if line.get_linestyle() == "--"]) == 0

    def test_without_off_counts_there_is_no_band(self, info_table):
        panel = plot_significance(info_table["livetime", "sqrt_ts", "excess"]).figure.axes[-1]
        assert not panel.collections

    def test_no_off_counts_yet_and_alpha_unknown(self, info_table):
        info_table["counts_off"][0] = 0
        info_table["alpha"][0] = np.nan
        panel = plot_significance(info_table).figure.axes[-1]
        band = panel.collections[0].get_paths()[0].vertices
        assert np.isfinite(band).all()

    def test_nan_is_left_out(self, info_table):
        info_table["sqrt_ts"][-1] = np.nan
        ax = plot_significance(info_table)
        assert not [line for line in ax.lines if line.get_linestyle() == "--"]


class TestCounts:
    def test_without_models_shows_the_significance_of_the_excess(self, on_off_dataset):
        upper, lower = plot_counts(on_off_dataset)
        x, y = points(upper.containers[-1])
        assert_allclose(y, [50, 12, 3])
        centre = on_off_dataset.counts.geom.axes["energy"].center.value
        assert_allclose(x, centre[[0, 1, 3]])
        assert_allclose(upper.patches[0].get_data().values, [10, 3, 1, 0])
        residual = points(lower.containers[0])[1]
        assert_allclose(residual[:2], [li_ma(50, 30, 1 / 3), li_ma(12, 9, 1 / 3)], rtol=1e-6)
        # No counts on, three off: the limit of the formula.
        assert_allclose(residual[2], -np.sqrt(2 * 3 * np.log(4 / 3)), rtol=1e-6)
        assert "Excess" in lower.get_ylabel()

    def test_with_a_model_shows_prediction_and_residuals(self, on_off_dataset):
        axis = on_off_dataset.counts.geom.axes["energy"]
        geom = on_off_dataset.counts.geom.to_image().to_cube([axis.rename("energy_true")])
        on_off_dataset.exposure = RegionNDMap.from_geom(geom, data=1e13, unit="cm2 s")
        on_off_dataset.models = [SkyModel(PowerLawSpectralModel(index=2), name="model")]
        upper, lower = plot_counts(on_off_dataset)
        signal = on_off_dataset.npred_signal().data.ravel()
        assert signal.min() > 0
        prediction = upper.patches[1].get_data().values
        assert_allclose(prediction, on_off_dataset.npred().data.ravel())
        residual = points(lower.containers[0])[1]
        on, off = np.array([50.0, 12.0]), np.array([30.0, 9.0])
        best = wstat(on, off, 1 / 3, on - off / 3)
        deviance = wstat(on, off, 1 / 3, signal[:2]) - best
        sign = np.sign(on - off / 3 - signal[:2])
        assert_allclose(residual[:2], sign * np.sqrt(deviance), rtol=1e-6)
        assert residual[2] < 0
        assert "Residual" in lower.get_ylabel()

    def test_known_background_uses_cash(self):
        axis = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=3)
        geom = RegionGeom.create("icrs;circle(0, 0, 0.1)", axes=[axis])
        n, mu = np.array([9.0, 1.0, 4.0]), np.array([4.0, 3.0, 0.0])
        dataset = SpectrumDataset(
            counts=RegionNDMap.from_geom(geom, data=n.reshape(3, 1, 1)),
            background=RegionNDMap.from_geom(geom, data=mu.reshape(3, 1, 1)),
        )
        residual = points(plot_counts(dataset)[1].containers[0])[1]
        n, mu = n[:2], mu[:2]
        cash = np.sqrt(2 * (mu - n + n * np.log(n / mu)))
        assert_allclose(residual[:2], cash * [1, -1])
        assert np.isnan(residual[2])

    def test_masked_energies_are_shaded(self, on_off_dataset):
        axes = plot_counts(on_off_dataset)
        edges = on_off_dataset.counts.geom.axes["energy"].edges.value
        for ax in axes:
            box = ax.patches[-1].get_extents().transformed(ax.transData.inverted())
            assert_allclose([box.x0, box.x1], edges[3:])
        assert "Not used" in [text.get_text() for text in axes[0].get_legend().get_texts()]

    @pytest.mark.parametrize("missing", ["counts_off", "mask_safe"])
    def test_missing_parts(self, on_off_dataset, missing):
        setattr(on_off_dataset, missing, None)
        upper, lower = plot_counts(on_off_dataset)
        assert len(points(upper.containers[-1])[1]) == 3
        assert np.isnan(points(lower.containers[0])[1]).all() == (missing == "counts_off")

    def test_no_counts(self, on_off_dataset):
        on_off_dataset.counts.data[...] = 0
        on_off_dataset.counts_off.data[...] = 0
        upper, _ = plot_counts(on_off_dataset)
        assert upper.get_yscale() == "linear"
        assert upper.get_ylim() == (0.0, pytest.approx(1.1))

    def test_given_axes_are_used(self, on_off_dataset):
        axes = Figure().subplots(2)
        assert plot_counts(on_off_dataset, axes=axes) == tuple(axes)
