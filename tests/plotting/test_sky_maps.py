"""Plots of maps of the sky."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.visualization.wcsaxes import SphericalCircle
from gammapy.maps import MapAxis, WcsNDMap
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from ctao_sat import plotting
from ctao_sat.errors import ConfigError


@pytest.fixture
def image():
    image = WcsNDMap.create(skydir=(10, 0), npix=41, binsz=0.05, frame="galactic")
    image.data = np.random.default_rng(1).normal(size=image.data.shape)
    return image


def test_sources_stand_where_they_are_with_any_name(image, tmp_path):
    table = QTable(
        {
            "name": ["J$1$", "wide"],
            "lon": [10.5, 9.5] * u.deg,
            "lat": [0.5, -0.5] * u.deg,
            "sigma": [np.nan, 0.2] * u.deg,
        },
        meta={"frame": "galactic"},
    )
    ax = plotting.plot_sky_map(image, sources=table, beam=0.1 * u.deg)
    crosses = [line.get_xydata()[0] for line in ax.lines if line.get_marker() == "x"]
    assert_allclose(crosses, [[10, 30], [30, 10]], atol=0.01)
    assert [text.get_text() for text in ax.texts] == ["J$1$", "wide"]
    assert len([patch for patch in ax.patches if isinstance(patch, SphericalCircle)]) == 2
    assert plotting.save(ax, tmp_path / "map.png").stat().st_size > 5000


def test_zero_is_white_where_values_are_of_both_signs(image):
    low, high = plotting.plot_sky_map(image).images[0].get_clim()
    assert low == -high
    image.data = np.abs(image.data)
    assert plotting.plot_sky_map(image).images[0].get_clim()[0] == 0


def test_contours_do_not_move_the_view(image):
    wide = WcsNDMap.create(skydir=(10, 0), npix=99, binsz=0.05, frame="galactic")
    wide.data += np.hypot(*(np.indices(wide.data.shape) - 49.0))
    ax = plotting.plot_sky_map(image, contours=wide, levels=[10, 1000])
    assert ax.get_xlim() == plotting.plot_sky_map(image).get_xlim()
    assert ax.get_legend().get_texts()[0].get_text() == "Contours: 10, 1000"


def test_map_without_a_value(image):
    image.data += np.nan
    assert plotting.plot_sky_map(image).get_ylabel() == "Galactic latitude"


def test_refusals(image):
    axis = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=2)
    with pytest.raises(ConfigError, match="2 energy bins"):
        plotting.plot_sky_map(WcsNDMap.create(npix=3, axes=[axis]))
    with pytest.raises(ConfigError, match="sky projection"):
        plotting.plot_sky_map(image, ax=Figure().add_subplot())


def test_fit_of_the_distribution_stands_in_the_legend(image):
    ax = plotting.plot_significance_distribution(image)
    (text,) = (t.get_text() for t in ax.get_legend().get_texts() if t.get_text().startswith("Fit"))
    assert f"mu={image.data.mean():.3f}" in text
