"""Pixels of a map as a spatial model sees them: those of Gammapy."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.nddata import NoOverlapError
from gammapy.maps import WcsGeom

from ctao_sat.likelihood._pixels import MapPixels

CENTER = SkyCoord(83.6, 22.0, unit="deg")
FRAMES = ("icrs", "galactic")


def _geom(projection="TAN", frame="icrs", binsz=0.1, npix=(23, 18)):
    return WcsGeom.create(skydir=CENTER, npix=npix, binsz=binsz, proj=projection, frame=frame)


@pytest.mark.parametrize("projection", ["CAR", "TAN", "AIT"])
@pytest.mark.parametrize("map_frame", FRAMES)
@pytest.mark.parametrize("frame", FRAMES)
def test_positions_and_coordinates_are_gammapys(projection, map_frame, frame):
    geom = _geom(projection, map_frame)
    pixels = MapPixels(geom, frame)
    for x, y in ((0, 0), (0.3, -0.4), (-3, 2)):
        there = CENTER.spherical_offsets_by(x * u.deg, y * u.deg).transform_to(frame)
        found = pixels.locate(there.data.lon.deg, there.data.lat.deg)
        np.testing.assert_allclose(found[::-1], there.to_pixel(geom.wcs), atol=1e-8)
    coords = geom.get_coord(frame=frame)
    for ours, theirs in zip(pixels.coordinates, (coords.lon, coords.lat), strict=True):
        assert ours.shape == geom.data_shape
        np.testing.assert_allclose(ours.to_value("deg"), theirs.to_value("deg"), rtol=1e-13)
    solid_angles = geom.solid_angle().to_value("sr")
    np.testing.assert_array_equal(pixels.solid_angles, solid_angles)
    # The same of some rows and columns, which may be beyond the map.
    y, x = np.array([1, 4, 17]), np.array([0, 21])
    np.testing.assert_allclose(pixels.solid_angles_at(y, x), solid_angles[np.ix_(y, x)], rtol=1e-12)
    wide = MapPixels(geom.pad(3, axis_name=None), frame)
    found = pixels.solid_angles_at(y - 3, x + 3), *pixels.coordinates_at(y - 3, x + 3)
    expected = wide.solid_angles, *wide.coordinates
    for ours, theirs in zip(found, expected, strict=True):
        theirs = theirs[np.ix_(y, x + 6)]
        np.testing.assert_allclose(u.Quantity(ours).value, u.Quantity(theirs).value, rtol=1e-11)


def test_where_the_map_does_not_go():
    geom = _geom("TAN")
    behind = CENTER.directional_offset_by(30 * u.deg, 150 * u.deg)
    assert np.all(np.isnan(MapPixels(geom, "icrs").locate(behind.ra.deg, behind.dec.deg)))
    assert np.all(np.isnan(MapPixels(geom, "icrs").locate(np.nan, 0.0)))


def test_scales_are_by_row_and_column():
    pixels = MapPixels(_geom(binsz=(0.1, 0.2)), "icrs")
    np.testing.assert_allclose(pixels.scales, (0.2, 0.1), rtol=1e-6)


def _cutout(geom, position, width, odd):
    """Return first and last + 1 pixel of Gammapy's cutout, in y and in x."""
    try:
        cutout = geom.cutout(position, width * u.deg, odd_npix=odd)
    except NoOverlapError:
        return None
    rows, columns = cutout.cutout_slices(geom)["parent-slices"]
    return rows.start, rows.stop, columns.start, columns.stop


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("binsz", [0.1, (0.1, 0.13)])
def test_boxes_are_gammapys_cutouts(odd, binsz):
    geom, rng = _geom(binsz=binsz), np.random.default_rng(20281210)
    pixels, beyond = MapPixels(geom, "icrs"), 0
    for _ in range(200):
        x, y = rng.uniform(-2, 2, 2) * u.deg
        width, position = rng.uniform(0.01, 2.5), CENTER.spherical_offsets_by(x, y)
        expected = _cutout(geom, position, width, odd)
        at = pixels.locate(position.ra.deg, position.dec.deg)
        y0, y1, x0, x1 = pixels.box(at, width, odd=odd)
        if expected is None:
            beyond += 1
            assert y0 == y1 or x0 == x1
        else:
            assert (y0, y1, x0, x1) == expected
    assert 10 < beyond < 190


@pytest.mark.parametrize("at", [(np.nan, np.nan), (np.inf, 3.0), (1e9, -1e9)])
def test_box_of_nowhere_is_empty(at):
    y0, y1, x0, x1 = MapPixels(_geom(), "icrs").box(at, 0.5)
    assert y0 == y1 or x0 == x1


@pytest.mark.parametrize("frame", FRAMES)
def test_divided_pixels_are_gammapys(frame):
    geom, factor = _geom("CAR", "galactic"), 3
    part = geom.cutout(geom.center_skydir, 0.7 * u.deg)
    rows, columns = part.cutout_slices(geom)["parent-slices"]
    box = (rows.start, rows.stop, columns.start, columns.stop)
    found = MapPixels(geom, frame).fine_coordinates(box, factor)
    coords = part.upsample(factor).get_coord(frame=frame)
    for ours, theirs in zip(found, (coords.lon, coords.lat), strict=True):
        np.testing.assert_allclose(ours.to_value("deg"), theirs.to_value("deg"), rtol=1e-12)
