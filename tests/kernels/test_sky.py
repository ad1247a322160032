"""Directions and solid angles of pixels: those of the plain formulas, of spheres and of Gammapy."""

import numpy as np
import pytest
from gammapy.maps import WcsGeom

from ctao_sat.kernels import reference_interpolation as reference
from ctao_sat.kernels import sky


@pytest.fixture
def rng():
    return np.random.default_rng(20280814)


def test_rotated_frames(rng):
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    lon, lat = rng.uniform(-3, 3, 50), rng.uniform(-1.5, 1.5, 50)
    found = np.transpose(sky.field_of_view(lon, lat, basis))
    expected = [reference.rotated(*place, basis) for place in zip(lon, lat, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_solid_angle_of_a_sphere_and_of_small_pixels():
    lon, lat = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.linspace(-np.pi / 2, np.pi / 2, 361))
    found = sky.solid_angles(lon.T.copy(), lat.T.copy())
    assert found.sum() == pytest.approx(4 * np.pi, rel=1e-4)
    i, j = 300, 100
    corners = lon.T[i : i + 2, j : j + 2], lat.T[i : i + 2, j : j + 2]
    assert found[i, j] == pytest.approx(reference.solid_angle(*corners), rel=1e-4)


@pytest.mark.parametrize("proj", ["CAR", "TAN", "AIT"])
def test_solid_angle_is_that_of_gammapy(proj):
    geom = WcsGeom.create(skydir=(83, 60), binsz=2, width=(30, 20), proj=proj)
    corners = geom.get_coord(mode="edges")
    lon, lat = (np.radians(x.to_value("deg")) for x in (corners.lon, corners.lat))
    np.testing.assert_allclose(
        sky.solid_angles(lon, lat), geom.solid_angle().to_value("sr"), rtol=1e-10
    )


def test_no_pixels():
    assert sky.solid_angles(np.zeros((1, 1)), np.zeros((1, 1))).shape == (0, 0)
