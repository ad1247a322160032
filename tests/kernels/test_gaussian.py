"""The Gaussian on the sphere: against its twin, differences, Gammapy and its integral."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling.models import GaussianSpatialModel

from ctao_sat.kernels import reference_templates as reference
from ctao_sat.kernels.gaussian import N_DERIVATIVES, gaussian

# Rows of second derivatives, in the order of the parameters.
SECOND = {(0, 0): 4, (1, 0): 5, (1, 1): 6, (2, 0): 7, (2, 1): 8, (2, 2): 9}
PLACES = [(0.3, 0.1, 0.2), (6.27, -1.2, 0.05), (-0.4, 1.5, 0.7), (1.0, 0.0, 2.5)]


def run(lon, lat, place, order=2):
    out = np.full((N_DERIVATIVES, len(lon)), np.nan)
    gaussian(lon, lat, *place, order, out)
    return out


def around(place, n=40):
    rng = np.random.default_rng(20281211)
    lon, lat = (at + place[2] * rng.normal(size=n) for at in place[:2])
    return lon, np.clip(lat, -1.57, 1.57)


@pytest.mark.parametrize("place", PLACES)
def test_agrees_with_the_twin_and_with_gammapy(place):
    lon, lat = around(place)
    value = run(lon, lat, place)[0]
    np.testing.assert_allclose(value, reference.gaussian(lon, lat, *place), rtol=1e-9)
    names = zip(("lon_0", "lat_0", "sigma"), place, strict=True)
    model = GaussianSpatialModel(**{name: number * u.rad for name, number in names})
    theirs = model(lon * u.rad, lat * u.rad).to_value("sr-1")
    np.testing.assert_allclose(value, theirs, rtol=1e-9)


@pytest.mark.parametrize("place", PLACES)
def test_derivatives_are_those_of_differences(place):
    (lon, lat), h = around(place), 1e-4 * place[2]
    found = run(lon, lat, place)
    for i in range(3):
        up, down = (run(lon, lat, np.array(place) + s * h * np.eye(3)[i]) for s in (1, -1))
        largest = np.abs(found[1 + i]).max()
        np.testing.assert_allclose(found[1 + i], (up[0] - down[0]) / (2 * h), atol=1e-6 * largest)
        for j in range(3):
            row = found[SECOND[max(i, j), min(i, j)]]
            change, size = (up[1 + j] - down[1 + j]) / (2 * h), np.abs(row).max()
            np.testing.assert_allclose(row, change, atol=1e-6 * size)


def test_no_more_than_asked_for():
    place = PLACES[0]
    lon, lat = around(place)
    full = run(lon, lat, place)
    for order, known in ((0, 1), (1, 4), (2, 10)):
        some = run(lon, lat, place, order)
        np.testing.assert_array_equal(some[:known], full[:known])
        assert np.all(np.isnan(some[known:]))
    assert run(np.zeros(0), np.zeros(0), place).shape == (N_DERIVATIVES, 0)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5])
def test_integral_over_the_sphere_is_one(sigma):
    """A number from outside; so the integrals of its derivatives are zero."""
    node, weight = np.polynomial.legendre.leggauss(200)
    lon, lat = (
        grid.ravel() for grid in np.meshgrid(2 * np.pi * np.arange(200) / 200, np.arcsin(node))
    )
    found = run(lon, lat, (1.0, 0.4, sigma)) @ np.repeat(weight, 200) * 2 * np.pi / 200
    assert found[0] == pytest.approx(1, rel=1e-10)
    np.testing.assert_allclose(found[1:], 0, atol=1e-7)
