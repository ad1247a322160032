"""The plot of IRF performance."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from ctao_sat import dl3, dl5
from ctao_sat.errors import ConfigError
from ctao_sat.plotting import plot_irf_performance, save
from ctao_sat.simulate import demo_array


@pytest.fixture(scope="module")
def demo():
    return demo_array("north")


@pytest.fixture(scope="module")
def table(demo):
    return dl3.irf_performance(demo)


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def drawn(ax):
    return [line for line in ax.lines if line.get_label() != "_child" and len(line.get_xdata()) > 2]


def test_panels_show_the_columns(demo, table):
    sensitivity = dl5.sensitivity(demo)
    axes = plot_irf_performance([table], [sensitivity])
    energy = table["e_ref"].value
    shown = {
        (0, 0): [table["effective_area"].to_value("m2")],
        (0, 1): [table["r68"].value, table["r95"].value],
        (0, 2): [table["energy_resolution"].value, table["energy_resolution_rms"].value],
        (1, 0): [table["energy_bias"].value],
        (1, 1): [table["background_rate"].to_value("s-1 deg-2")],
        (1, 2): [sensitivity["e2dnde"].to_value("erg cm-2 s-1")],
    }
    for place, columns in shown.items():
        lines = drawn(axes[place])
        assert len(lines) == len(columns)
        for line, column in zip(lines, columns, strict=True):
            assert_allclose(line.get_xdata(), energy)
            assert_allclose(line.get_ydata(), column)
    assert texts(axes[0, 0].figure.legends[0]) == ["CTAO-SAT-DEMO north"]
    assert texts(axes[0, 1].get_legend()) == ["68 %", "95 %"]
    assert texts(axes[0, 2].get_legend()) == ["68 %", "rms"]


def test_sets_differ_in_colour_and_marker(table):
    tables = [table.copy() for _ in range(8)]
    for number, one in enumerate(tables):
        one.meta["label"] = f"Set {number}"
    axes = plot_irf_performance(tables)
    looks = {
        (line.get_color(), line.get_marker(), line.get_fillstyle()) for line in drawn(axes[0, 0])
    }
    assert len(looks) == 8
    assert texts(axes[0, 0].figure.legends[0]) == [f"Set {number}" for number in range(8)]


def test_sensitivity_has_the_colour_of_its_set(demo, table):
    other = dl3.irf_performance(demo_array("south"))
    axes = plot_irf_performance([table, other], [dl5.sensitivity(demo_array("south"))])
    (line,) = drawn(axes[1, 2])
    assert line.get_color() == drawn(axes[0, 0])[1].get_color()


def test_what_is_not_there_is_said(demo):
    axes = plot_irf_performance([dl3.irf_performance({"aeff": demo["aeff"]})])
    said = {place: [text.get_text() for text in axes[place].texts] for place in np.ndindex(2, 3)}
    assert said[0, 1] == ["No PSF"]
    assert said[1, 1] == ["No background"]
    assert said[1, 2] == ["No sensitivity"]
    assert axes[0, 1].get_legend() is None


def test_almost_empty_bins_do_not_squeeze_the_others(table):
    odd = table.copy()
    odd["background_rate"][0] = 1e-40 / u.s / u.deg**2
    low, high = plot_irf_performance([odd])[1, 1].get_ylim()
    assert low > 1e-9 * high


def test_note_is_below_the_panels(table, tmp_path):
    note = "Demonstration array.\n" + "Words that go on and on. " * 30
    axes = plot_irf_performance([table], note=note)
    figure = axes[0, 0].figure
    figure.draw_without_rendering()
    (text,) = figure.texts
    assert text.get_text().startswith("Demonstration array.\nWords")
    box = text.get_window_extent()
    assert box.y1 < min(ax.get_tightbbox().y0 for ax in axes[1])
    assert box.x1 < figure.bbox.x1
    assert save(axes, tmp_path / "plot.png").stat().st_size > 20_000


def test_nothing_to_plot():
    with pytest.raises(ConfigError, match="no table"):
        plot_irf_performance([])
