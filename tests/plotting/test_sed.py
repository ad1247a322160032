"""The plot of the spectrum."""

import numpy as np
import pytest
from astropy import units as u
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import plot_sed

# The reference model of the flux points, E^-2, is flat in E^2 dN/dE.
LEVEL = 1e-12


def container(ax, label):
    return next(each for each in ax.containers if each.get_label() == label)


def limits(ax):
    """Return energies and values of the arrows, and their lower ends."""
    shafts = [
        segment
        for each in ax.containers
        if each.get_label() == "" or each.get_label().startswith("_")
        for collection in each[2]
        for segment in collection.get_segments()
        if np.ptp(segment[:, 0]) == 0
    ]
    return np.array([[shaft[0, 0], shaft[:, 1].max(), shaft[:, 1].min()] for shaft in shafts])


def labels(ax):
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def fitted(index_error=0.1):
    model = PowerLawSpectralModel(index=2.0)
    model.covariance = np.diag([index_error, 1e-13, 0.0]) ** 2
    return model


def band(ax):
    found = [each for each in ax.collections if isinstance(each, FillBetweenPolyCollection)]
    return found[0].get_paths()[0].vertices if found else None


def test_points_with_asymmetric_errors(make_flux_points, bars):
    points = make_flux_points(
        norm=[1.0, 2.0], norm_err=[0.2, 0.3], norm_errn=[0.1, np.nan], norm_errp=[0.4, 0.5]
    )
    ax = plot_sed(points, None)
    drawn = container(ax, "Flux points")
    assert_allclose(drawn[0].get_xdata(), points.energy_ref.value)
    assert_allclose(drawn[0].get_ydata(), [1 * LEVEL, 2 * LEVEL])
    assert_allclose(bars(drawn, "y")[0], [0.9 * LEVEL, 1.4 * LEVEL])
    assert_allclose(bars(drawn, "y")[1], [1.7 * LEVEL, 2.3 * LEVEL])
    assert_allclose(bars(drawn, "x").ravel(), points.energy_axis.edges.value[[0, 1, 1, 2]])
    assert ax.get_ylabel().endswith("[TeV cm$^{-2}$ s$^{-1}$]")


def test_limits_take_the_place_of_insignificant_points(make_flux_points):
    points = make_flux_points(
        norm=[1.0, 0.2, -0.5], norm_err=[0.1] * 3, norm_ul=[1.2, 0.6, 0.3], ts=[100.0, 1.0, 0.5]
    )
    ax = plot_sed(points, None)
    assert_allclose(container(ax, "Flux points")[0].get_ydata(), [LEVEL])
    drawn = limits(ax)
    assert_allclose(drawn[:, 0], points.energy_ref.value[1:])
    assert_allclose(drawn[:, 1], [0.6 * LEVEL, 0.3 * LEVEL])
    assert (drawn[:, 2] < 0.6 * drawn[:, 1]).all()
    assert labels(ax) == ["Flux points", r"Upper limits ($2\sigma$)"]


def test_limits_that_were_not_computed_leave_the_point(make_flux_points):
    points = make_flux_points(
        norm=[1.0, 0.2], norm_err=[0.1, 0.2], norm_ul=[1.2, np.nan], ts=[100.0, 1.0]
    )
    ax = plot_sed(points, None)
    assert_allclose(container(ax, "Flux points")[0].get_ydata(), [LEVEL, 0.2 * LEVEL])
    assert not limits(ax).size


def test_negative_flux_without_limit_is_left_out(make_flux_points):
    ax = plot_sed(make_flux_points(norm=[1.0, -0.3, np.nan], norm_err=[0.1, 0.2, np.nan]), None)
    assert_allclose(container(ax, "Flux points")[0].get_ydata(), [LEVEL])


def test_points_without_any_error(make_flux_points):
    ax = plot_sed(make_flux_points(norm=[1.0, 3.0]), None)
    assert_allclose(container(ax, "Flux points")[0].get_ydata(), [LEVEL, 3 * LEVEL])


def test_all_limits(make_flux_points):
    points = make_flux_points(norm=[0.1, -0.1], norm_ul=[0.5, 0.4], ts=[0.1, 0.1])
    ax = plot_sed(points, None)
    assert_allclose(limits(ax)[:, 1], [0.5 * LEVEL, 0.4 * LEVEL])
    assert labels(ax) == [r"Upper limits ($2\sigma$)"]
    low, high = ax.get_ylim()
    assert low < limits(ax)[:, 2].min()
    assert high > 0.5 * LEVEL


@pytest.mark.parametrize("norm", [[np.nan, np.nan], [-1.0, -2.0]])
def test_nothing_to_draw_is_said(make_flux_points, norm):
    ax = plot_sed(make_flux_points(norm=norm), None)
    assert [text.get_text() for text in ax.texts] == ["No flux point could be computed"]


def test_model_and_band(make_flux_points):
    ax = plot_sed(make_flux_points(norm=[1.0, 1.0]), SkyModel(fitted()))
    (line,) = [line for line in ax.lines if line.get_label() == r"Model $\pm 1\sigma$"]
    assert_allclose(line.get_ydata(), LEVEL)
    vertices = band(ax)
    # At 1 TeV only the amplitude counts: a tenth. The band is sampled: 3500 draws a parameter.
    pivot = np.abs(vertices[:, 0] - 1.0) < 0.01
    assert_allclose(np.ptp(vertices[pivot, 1]), 0.2 * LEVEL, rtol=0.05)
    ten = np.abs(vertices[:, 0] / 10.0 - 1.0) < 0.01
    assert np.ptp(vertices[ten, 1]) > 2 * np.ptp(vertices[pivot, 1])


@pytest.mark.parametrize(
    "covariance",
    [np.zeros((3, 3)), np.diag([-1.0, 1e-26, 0.0]), np.full((3, 3), np.nan)],
    ids=["none", "negative variance", "nan"],
)
def test_no_band_without_a_covariance_to_draw_from(make_flux_points, covariance):
    model = PowerLawSpectralModel(index=2.0)
    with np.errstate(invalid="ignore"):
        model.covariance = covariance
    ax = plot_sed(make_flux_points(norm=[1.0, 1.0]), model)
    assert band(ax) is None
    assert "Model" in labels(ax)


def test_no_band_for_a_matrix_that_is_not_positive(make_flux_points):
    model = PowerLawSpectralModel(index=2.0)
    model.covariance = np.array([[0.01, 2e-14, 0], [2e-14, 1e-26, 0], [0, 0, 0]])
    assert band(plot_sed(make_flux_points(norm=[1.0, 1.0]), model)) is None


def test_band_of_an_undetermined_index_does_not_squeeze_the_points(make_flux_points):
    ax = plot_sed(make_flux_points(norm=[1.0, 1.0]), fitted(index_error=300.0))
    low, high = ax.get_ylim()
    assert low > 0.1 * LEVEL
    assert high < 10 * LEVEL


@pytest.mark.parametrize("amplitude", [-1e-12, 1e-20])
def test_model_that_lies_elsewhere_is_left_out(make_flux_points, amplitude):
    model = PowerLawSpectralModel(index=2.0, amplitude=amplitude * u.Unit("cm-2 s-1 TeV-1"))
    assert labels(plot_sed(make_flux_points(norm=[1.0, 1.0]), model)) == ["Flux points"]


def test_reference_is_dashed_and_named(make_flux_points):
    truth = SkyModel(PowerLawSpectralModel(index=2.0, amplitude="3e-12 cm-2 s-1 TeV-1"), name="T")
    ax = plot_sed(make_flux_points(norm=[1.0, 1.0]), fitted(), reference=truth)
    (line,) = [line for line in ax.lines if line.get_label() == "T (reference)"]
    assert line.get_linestyle() == "--"
    assert_allclose(line.get_ydata(), 3 * LEVEL)
    assert ax.get_ylim()[1] > 3 * LEVEL


def test_other_unit(make_flux_points):
    ax = plot_sed(make_flux_points(norm=[1.0]), None, energy_flux_unit="erg cm-2 s-1")
    assert_allclose(container(ax, "Flux points")[0].get_ydata(), 1.602177e-12, rtol=1e-6)
    assert "erg cm" in ax.get_ylabel()


def test_second_spectrum_on_the_same_axes_widens_them(make_flux_points):
    ax = Figure().add_subplot()
    assert plot_sed(make_flux_points(norm=[1.0]), None, ax=ax) is ax
    low = ax.get_ylim()[0]
    plot_sed(make_flux_points(norm=[100.0], edges=np.array([20.0, 50.0])), None, ax=ax)
    assert ax.get_ylim()[0] == low
    assert ax.get_ylim()[1] > 100 * LEVEL
    assert ax.get_xlim()[0] < 1.0 < 50.0 < ax.get_xlim()[1]


def test_points_over_time_are_refused(make_light_curve):
    with pytest.raises(ConfigError, match="plot_light_curve"):
        plot_sed(make_light_curve([0.0], norm=[1.0]), None)


def test_long_names_do_not_squeeze_the_axes(make_flux_points):
    truth = SkyModel(PowerLawSpectralModel(index=2.0), name="A published spectrum with a long name")
    points = make_flux_points(norm=[1.0, 0.1], norm_ul=[2.0, 0.5], ts=[50.0, 0.1])
    ax = plot_sed(points, fitted(), reference=truth)
    ax.figure.draw_without_rendering()
    assert ax.get_window_extent().width > 0.8 * ax.figure.bbox.width
    assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1
