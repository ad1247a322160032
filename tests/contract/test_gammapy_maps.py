"""What maps need of Gammapy's private side behaves as assumed."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from gammapy.data import GTI, FixedPointingInfo, Observation

from ctao_sat._gammapy import FoVICRSFrame, interpolation_scale, rotating_field_of_view
from ctao_sat.dl3._sites import altaz, bundled_earth_rotation

POINTING = SkyCoord(83.63, 22.0, unit="deg")


def test_scales_of_interpolation():
    assert interpolation_scale("lin")([1.0, 2.0]) == [1.0, 2.0]
    scale = interpolation_scale("log")
    np.testing.assert_allclose(scale([1.0, np.e]), [0, 1])
    # Zero is the smallest normal number, in the precision of the data.
    for dtype in (np.float32, np.float64):
        smallest = np.log(np.finfo(dtype).tiny)
        assert scale(np.zeros(1, dtype))[0] == pytest.approx(smallest, rel=1e-6)
    tiny = np.finfo(float).tiny
    assert scale.inverse(np.log([3 * tiny, 1.9 * tiny])).tolist()[1] == 0


def test_longitude_in_the_field_of_view_grows_against_right_ascension():
    east = POINTING.directional_offset_by(90 * u.deg, 1 * u.deg)
    north = POINTING.directional_offset_by(0 * u.deg, 1 * u.deg)
    frame = FoVICRSFrame(origin=POINTING)
    assert east.transform_to(frame).fov_lon.deg == pytest.approx(-1, rel=1e-4)
    assert north.transform_to(frame).fov_lat.deg == pytest.approx(1)


def test_a_field_of_view_that_turns():
    start = Time("2020-01-10T22:00:00")
    location = EarthLocation.from_geodetic(-17.89 * u.deg, 28.76 * u.deg, 2158 * u.m)
    observation = Observation(
        gti=GTI.create(0 * u.h, 1 * u.h, reference_time=start),
        pointing=FixedPointingInfo(fixed_icrs=POINTING),
        location=location,
    )
    above = POINTING.directional_offset_by(0 * u.deg, [0, 0.5] * u.deg)
    with bundled_earth_rotation():
        steps = list(rotating_field_of_view(observation, 2 * u.deg, above))
    weights = [weight for weight, _, _ in steps]
    assert sum(weights) == pytest.approx(1)
    assert len(weights) > 5
    for (_, lon, lat), time in zip((steps[0], steps[-1]), (start, start + 1 * u.h), strict=True):
        np.testing.assert_allclose([lon[0], lat[0]], 0, atol=1e-6)
        assert np.hypot(lon[1], lat[1]) == pytest.approx(np.radians(0.5), rel=1e-3)
        pointing, place = (altaz(sky, time, location) for sky in (POINTING, above[1]))
        assert np.degrees(lat[1]) == pytest.approx((place.alt - pointing.alt).deg, abs=0.02)
