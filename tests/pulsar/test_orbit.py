"""Orbital phases: Kepler's equation, published orbits, and the same engine as for pulsars."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from ctao_sat.errors import ConfigError, EphemerisError
from ctao_sat.pulsar import Orbit, PulsarEphemeris, phases

# PSR B1259-63: orbit of Shannon et al. (2014), position and period of its par file.
B1259 = """\
PSR J1302-6350
RAJ 13:02:47.6426
DECJ -63:50:08.665
F0 20.9369290
PEPOCH 54000
BINARY BT
PB 1236.724526
A1 1296.27448
T0 53071.2447290
ECC 0.86987970
OM 138.665013
"""
LSI = Orbit(
    26.4960 * u.d,
    Time(43366.275, format="mjd", scale="tdb"),
    0.54,
    position=SkyCoord(40.1319, 61.2293, unit="deg"),
    name="LS I +61 303",
)


@given(st.floats(0, 0.99), st.floats(-3, 3))
def test_keplers_equation_holds(eccentricity, phase):
    orbit = Orbit(1 * u.d, LSI.t0, eccentricity)
    anomaly = orbit.eccentric_anomaly(np.array([phase])).to_value("rad")
    mean = anomaly - eccentricity * np.sin(anomaly)
    assert mean[0] == pytest.approx(2 * np.pi * phase, abs=1e-12)
    true = orbit.true_anomaly(np.array([phase])).to_value("rad")
    expected = np.sqrt((1 + eccentricity) / (1 - eccentricity)) * np.tan(anomaly / 2)
    if abs(np.cos(true[0] / 2)) > 1e-3:
        assert np.tan(true / 2)[0] == pytest.approx(expected[0], rel=1e-7, abs=1e-9)
    assert abs(true[0] - anomaly[0]) < np.pi


def test_periastron_passages_of_b1259():
    orbit = Orbit.from_ephemeris(PulsarEphemeris.from_text(B1259))
    assert orbit.eccentricity == 0.8698797
    # The passages of 2010 and 2014, which telescopes were pointed at.
    passages = Time(["2010-12-14T16:39", "2014-05-04T10:02"], scale="utc")
    off = (orbit.phases(passages) + 0.5) % 1 - 0.5
    assert np.max(np.abs(off)) * 1236.7 < 0.02


def test_a_circular_orbit_with_another_clock():
    text = B1259.split("BINARY")[0] + "BINARY ELL1\nFB0 1e-5\nFB1 -1e-20\nTASC 55000\nA1 1\n"
    orbit = Orbit.from_ephemeris(PulsarEphemeris.from_text(text))
    assert orbit.period.to_value("s") == pytest.approx(1e5)
    assert orbit.period_derivative == pytest.approx(1e-10)
    with pytest.raises(EphemerisError, match="has no orbit"):
        Orbit.from_ephemeris(PulsarEphemeris.from_text(B1259.split("BINARY")[0]))


def test_the_engine_gives_the_phases_at_the_barycentre(north):
    times = Time("2026-01-10T20:00", scale="utc") + np.linspace(0, 3, 20) * u.h
    found = phases(times, LSI, north)
    light = times.light_travel_time(LSI.position, location=north, ephemeris="builtin")
    np.testing.assert_allclose(found, LSI.phases(times.tdb + light), atol=1e-10)
    # Up to 8.3 minutes matter little here, but they are there.
    assert 1e-6 < np.max(np.abs(found - LSI.phases(times))) < 3e-4


def test_a_shrinking_orbit(north):
    orbit = Orbit(4 * u.h, Time(55000, format="mjd", scale="tdb"), period_derivative=-1e-8)
    times = Time([58000.1, 58000.2], format="mjd", scale="tdb")
    turns = (times - orbit.t0).to_value("s") / 14400
    np.testing.assert_allclose(orbit.phases(times), (turns + 0.5 * 1e-8 * turns**2) % 1, atol=1e-9)
    found = phases(Time(times.jd, format="jd", scale="tt"), orbit, None, barycentre=False)
    np.testing.assert_allclose(found, orbit.phases(times), atol=1e-9)


def test_impossible_orbits():
    with pytest.raises(ConfigError, match="eccentricity is 1"):
        Orbit(1 * u.d, LSI.t0, 1.0)
    with pytest.raises(ConfigError, match="period is -1"):
        Orbit(-1 * u.d, LSI.t0)
    with pytest.raises(ConfigError, match="period is 1"):
        Orbit(1 * u.m, LSI.t0)


def test_an_orbit_without_a_place_on_the_sky(north):
    orbit = Orbit(1 * u.d, LSI.t0)
    with pytest.raises(EphemerisError, match="has no RAJ and DECJ"):
        phases(Time("2026-01-01", scale="tt"), orbit, north)


@pytest.mark.parametrize("period", ["26.496 d", 26.496 * u.d])
def test_periods_may_be_texts(period):
    assert Orbit(period, LSI.t0).period == 26.496 * u.d


@pytest.mark.parametrize("t0", [43366.275, Time([43366.0, 43367.0], format="mjd")])
def test_phase_zero_is_one_time(t0):
    with pytest.raises(ConfigError, match="`t0` is"):
        Orbit(1 * u.d, t0)


def test_an_orbital_frequency_of_zero():
    text = B1259.replace("PB 1236.724526", "FB0 0")
    with pytest.raises(EphemerisError, match="FB0 of J1302-6350 is 0"):
        Orbit.from_ephemeris(PulsarEphemeris.from_text(text))


def test_solutions_with_different_orbits():
    first, second = (B1259 + f"START {t}\nFINISH {t + 100}\n" for t in (54000, 54100))
    two = PulsarEphemeris.from_text(first + second)
    assert Orbit.from_ephemeris(two).t0.mjd == 53071.2447290
    two = PulsarEphemeris.from_text(first + second.replace("T0 53071", "T0 53072"))
    with pytest.raises(EphemerisError, match="different orbits"):
        Orbit.from_ephemeris(two)


def test_ecliptic_positions():
    """Millisecond pulsars have them; J2000 and its obliquity are those of IERS 2010."""
    equatorial = Orbit.from_ephemeris(PulsarEphemeris.from_text(B1259))
    place = equatorial.position.transform_to("barycentricmeanecliptic")
    lines = f"ELONG {place.lon.deg:.9f}\nELAT {place.lat.deg:.9f}\n"
    text = B1259.replace("RAJ 13:02:47.6426\nDECJ -63:50:08.665\n", lines)
    ecliptic = Orbit.from_ephemeris(PulsarEphemeris.from_text(text))
    assert ecliptic.position.separation(equatorial.position) < 0.01 * u.arcsec
    nowhere = B1259.replace("RAJ 13:02:47.6426\nDECJ -63:50:08.665\n", "")
    assert Orbit.from_ephemeris(PulsarEphemeris.from_text(nowhere)).position is None


def test_the_ecliptic_is_that_of_pint():
    pint = pytest.importorskip("pint.pulsar_ecliptic")
    text = "PSR X\nF0 1\nPEPOCH 58000\nELONG 84.0978\nELAT -1.2945\n"
    ours = PulsarEphemeris.from_text(text).solutions[0].position
    frame = pint.PulsarEcliptic(lon=84.0978 * u.deg, lat=-1.2945 * u.deg, ecl="IERS2010")
    theirs = SkyCoord(frame).icrs
    assert ours.separation(theirs) < 0.1 * u.arcsec
