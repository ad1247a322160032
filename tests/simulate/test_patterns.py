"""Pointing patterns: distances on the sphere, order, coverage."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.errors import ConfigError
from ctao_sat.simulate import survey_pointings, wobble_pointings


@settings(deadline=None, max_examples=50)
@given(
    lon=st.floats(0, 359.9),
    lat=st.floats(-89.9, 89.9),
    offset=st.floats(0.01, 5),
    n=st.integers(1, 9),
)
def test_wobble_positions_lie_on_a_circle(lon, lat, offset, n):
    target = SkyCoord(lon, lat, unit="deg", frame="galactic")
    pointings = wobble_pointings(target, offset * u.deg, n)
    assert len(pointings) == n
    distances = [pointing.separation(target.icrs).deg for pointing in pointings]
    assert np.allclose(distances, offset, rtol=1e-9)
    if n > 1:
        nearest = min(pointings[0].separation(other).rad for other in pointings[1:])
        chord = np.sin(np.radians(offset)) * np.sin(np.pi / n)
        assert np.sin(nearest / 2) == pytest.approx(chord, rel=1e-6)


def test_wobble_partners_are_opposite():
    target = SkyCoord(10, 60, unit="deg")
    first, second, third, _ = wobble_pointings(target, "0.7 deg", 4, start_angle="30 deg")
    assert target.position_angle(first).deg == pytest.approx(30)
    assert first.separation(second).deg == pytest.approx(1.4)
    assert target.position_angle(third).deg == pytest.approx(120)


@settings(deadline=None, max_examples=15)
@given(lat=st.floats(-80, 80), spacing=st.floats(1, 3))
def test_survey_covers_the_field_at_its_spacing(lat, spacing):
    center = SkyCoord(120, lat, unit="deg", frame="galactic")
    pointings = SkyCoord(survey_pointings(center, 12 * u.deg, 6 * u.deg, spacing * u.deg))
    distance = pointings[:, None].separation(pointings[None, :]).deg
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 0.97 * spacing
    assert np.all(distance.min(axis=0) < 1.01 * spacing)
    # A triangular grid leaves no hole; the rim is at most half a step away.
    frame = center.skyoffset_frame()
    lons, lats = np.meshgrid(np.linspace(-6, 6, 13), np.linspace(-3, 3, 9))
    field = SkyCoord(lons.ravel() * u.deg, lats.ravel() * u.deg, frame=frame).icrs
    assert field[:, None].separation(pointings[None, :]).deg.min(axis=1).max() < 0.8 * spacing


def test_survey_of_a_field_smaller_than_its_spacing_is_its_centre():
    center = SkyCoord(0, 0, unit="deg", frame="galactic")
    (pointing,) = survey_pointings(center, "1 deg", "1 deg", "2 deg")
    assert pointing.separation(center.icrs).deg == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda target: wobble_pointings(target, 0.5),
        lambda target: wobble_pointings(target, "-1 deg"),
        lambda target: wobble_pointings(target, "1 s"),
        lambda target: wobble_pointings(target, "1 deg", 0),
        lambda target: survey_pointings(target, "1 deg", "1 deg", "0 deg"),
        lambda target: survey_pointings(target, "1 deg", "170 deg", "5 deg"),
    ],
)
def test_bad_patterns(call):
    with pytest.raises(ConfigError) as info:
        call(SkyCoord(0, 0, unit="deg"))
    assert info.value.remedy
