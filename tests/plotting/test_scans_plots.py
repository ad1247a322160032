"""Plots of profiles, contours and toys: what stands in them."""

import numpy as np
from astropy.table import Table

from ctao_sat import plotting
from ctao_sat.likelihood import Toys


def test_profiles_are_counted_from_the_lowest_of_all():
    first = {"crab.spectral.index_scan": [1.0, 2, 3], "stat_scan": [14.0, 11, 14]}
    second = {"crab.spectral.index_scan": [1.0, 2, 3], "stat_scan": [12.0, 10, np.nan]}
    ax = plotting.plot_stat_profile([first, second], labels=["held", "free"])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [4, 1, 4])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [2, 0, np.nan])
    assert ax.get_xlabel() == "crab.index"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["held", "free"]


def test_small_numbers_are_written_out():
    profile = {"a.spectral.amplitude_scan": [1e-12, 2e-12], "stat_scan": [0.0, 1]}
    ax = plotting.plot_stat_profile(profile, unit="cm-2 s-1 TeV-1")
    assert ax.get_xlabel() == "a.amplitude [cm$^{-2}$ s$^{-1}$ TeV$^{-1}$]"
    write = ax.xaxis.get_major_formatter()
    assert write(2e-12) == r"$2{\times}10^{-12}$"
    assert write(-1e-12) == "$-$$10^{-12}$"
    assert write(0.0) == "0"


def test_open_contours_are_closed():
    """Gammapy's last point is not always its first."""
    contour = {"a.spectral.x": np.array([0.0, 1, 1]), "a.spectral.y": np.array([0.0, 0, 1]),
               "success": True}  # fmt: skip
    ax = plotting.plot_contours(contour, best=(0.7, 0.3))
    line = ax.lines[0].get_xydata()
    np.testing.assert_array_equal(line[0], line[-1])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[0.7, 0.3]])


def test_pulls_tell_mean_and_width_and_leave_out_what_has_none():
    n = 4
    values = np.array([[1.0], [-1.0], [3.0], [7.0]])
    covariance = np.ones((n, 1, 1))
    covariance[3] = 0
    numbers = np.zeros(n)
    toys = Toys(["a.x"], [""], np.zeros(1), values, covariance, numbers, numbers, numbers,
                np.ones(n, dtype=bool), np.zeros(n, dtype=bool))  # fmt: skip
    ax = plotting.plot_pulls(toys)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[0] == "a.x: mean, width +1.00, 2.00"
    assert ax.get_ylabel() == "Density of 4 toys"


def test_coverage_shows_what_is_claimed():
    table = Table({"signal": [1.0, 10], "errors": [0.6, 0.7], "limit": [0.9, 0.97]})
    table.meta["nominal"] = {"errors": 0.683, "limit": 0.977}
    ax = plotting.plot_coverage(table, kinds=["limit"])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.9, 0.97])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0.977, 0.977])
    assert len(ax.lines) == 2
