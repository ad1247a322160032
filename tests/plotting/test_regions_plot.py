"""The plot of regions on the sky."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from gammapy.maps import WcsGeom, WcsNDMap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.testing import assert_allclose
from regions import CircleSkyRegion

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import plot_regions

CENTRE = SkyCoord(83.63, 22.01, unit="deg")


def circles(ax):
    return [artist for artist in ax.get_children() if isinstance(artist, Circle)]


def sky(ax, x, y):
    return SkyCoord.from_pixel(x, y, ax.wcs)


def entries(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_on_and_off_regions_where_they_are(on_off_dataset):
    ax = plot_regions([on_off_dataset])
    off, on = circles(ax)[:-1], circles(ax)[-1]
    assert len(off) == 3
    assert sky(ax, *on.center).separation(CENTRE) < 1 * u.arcsec
    scale = ax.wcs.proj_plane_pixel_scales()[0]
    assert_allclose((on.radius * scale).to_value("deg"), 0.1, rtol=1e-3)
    for circle in off:
        assert_allclose(sky(ax, *circle.center).separation(CENTRE).deg, 1.0, atol=1e-3)
        (low, _), (high, _) = ax.get_xlim(), ax.get_ylim()
        assert low < circle.center[0] < 400
        assert high < circle.center[1] < 400
    assert entries(ax) == ["On region", "Off regions"]


def test_regions_shared_by_runs_are_drawn_once(on_off_dataset):
    ax = plot_regions([on_off_dataset, on_off_dataset.copy(name="again")])
    assert len(circles(ax)) == 4


@pytest.mark.parametrize("several", [True, False])
def test_pointings_are_inside(on_off_dataset, several):
    pointings = SkyCoord([83.63, 80.0], [22.5, 22.0], unit="deg")
    given = [pointings[0], pointings[1]] if several else pointings
    ax = plot_regions([on_off_dataset], pointings=given)
    (line,) = [line for line in ax.lines if line.get_marker() == "+"]
    assert_allclose(line.get_xdata(), pointings.ra.deg)
    assert_allclose(line.get_ydata(), pointings.dec.deg)
    x, _ = pointings.to_pixel(ax.wcs)
    assert ((x > ax.get_xlim()[0]) & (x < ax.get_xlim()[1])).all()
    assert "Pointings" in entries(ax)


def test_exclusion_mask_is_filled_where_it_is_false(on_off_dataset):
    geom = WcsGeom.create(skydir=CENTRE, width=4 * u.deg, binsz=0.05)
    hole = CENTRE.directional_offset_by(0 * u.deg, 0.7 * u.deg)
    mask = geom.region_mask([CircleSkyRegion(hole, 0.2 * u.deg)], inside=False)
    before = plot_regions([on_off_dataset]).get_xlim()
    ax = plot_regions([on_off_dataset], mask)
    assert ax.get_xlim() == before
    (filled,) = [each for each in ax.collections if len(each.get_paths())]
    transform = filled.get_transform() - ax.transData
    vertices = transform.transform(filled.get_paths()[0].vertices)
    distance = sky(ax, *vertices.T).separation(hole).deg
    assert_allclose(distance, 0.2, atol=0.06)
    assert entries(ax)[0] == "Excluded"


def test_exclusion_by_regions_and_by_none(on_off_dataset):
    region = CircleSkyRegion(CENTRE, 0.3 * u.deg)
    assert len(circles(plot_regions([on_off_dataset], [region]))) == 5
    nothing = WcsNDMap.create(skydir=CENTRE, width=4, dtype=bool)
    nothing.data[...] = True
    assert "Excluded" not in entries(plot_regions([on_off_dataset], nothing))


def test_no_off_regions(on_off_dataset):
    on_off_dataset.counts_off = None
    ax = plot_regions([on_off_dataset])
    assert entries(ax) == ["On region"]


def test_refusals(on_off_dataset):
    with pytest.raises(ConfigError, match="no on region"):
        plot_regions([])
    with pytest.raises(ConfigError, match="sky projection"):
        plot_regions([on_off_dataset], ax=Figure().add_subplot())


def test_given_axes_may_be_galactic(on_off_dataset):
    geom = WcsGeom.create(skydir=CENTRE, width=4 * u.deg, frame="galactic")
    ax = Figure().add_subplot(projection=geom.wcs)
    ax.set_xlim(0, geom.data_shape[1])
    ax.set_ylim(0, geom.data_shape[0])
    assert plot_regions([on_off_dataset], ax=ax) is ax
    assert ax.get_xlabel() == "Galactic longitude"
    assert sky(ax, *circles(ax)[-1].center).icrs.separation(CENTRE) < 1 * u.arcsec
    assert np.isclose(ax.get_xlim()[1], geom.data_shape[1])
