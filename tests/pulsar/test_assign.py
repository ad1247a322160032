"""Phases get into event lists, with their provenance, and stay there when written."""

import copy

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.table import Table
from astropy.time import Time

from ctao_sat import dl3
from ctao_sat.errors import ConfigError, CtaoSatWarning, EphemerisError, PhaseError, SelectionError
from ctao_sat.pulsar import Orbit, PulsarEphemeris, assign_phases, phases
from ctao_sat.pulsar._cards import PHASE_CARDS

START_OF_2028 = Time("2028-01-01", scale="tt")
CRAB = SkyCoord(83.633, 22.0145, unit="deg")
PRODUCT = {
    "contact": {"name": "A. Person", "organization": "An institute", "email": "a@b.org"},
    "curation": {"license": "CC-BY-4.0", "license_url": "https://spdx.org/licenses"},
    "instance": {"facility_name": "Simulated-CTAO"},
}


@pytest.fixture(scope="module")
def observations(small_dl3):
    return dl3.open_dl3(small_dl3).get_observations()


@pytest.fixture(scope="module")
def crab(pars):
    return PulsarEphemeris.from_text(pars["crab"], "crab.par")


@pytest.fixture(scope="module")
def phased(observations, crab):
    return assign_phases(observations, crab, pulse_numbers=True)


def test_new_columns_and_nothing_else(observations, phased, crab, north):
    assert [obs.obs_id for obs in phased] == [obs.obs_id for obs in observations]
    for before, after in zip(observations, phased, strict=True):
        old, new = before.events.table, after.events.table
        assert "PHASE" not in old.colnames
        assert not [key for key in old.meta if key.startswith("PH")]
        assert new.colnames == [*old.colnames, "PHASE", "PULSE_N"]
        assert (new["PHASE"].dtype, new["PULSE_N"].dtype) == (np.float64, np.int64)
        assert np.all((new["PHASE"] >= 0) & (new["PHASE"] < 1))
        np.testing.assert_allclose(new["PHASE"], phases(old["TIME"], crab, north), atol=1e-9)
        assert after.aeff is not None
        assert after.gti.time_sum == before.gti.time_sum


def test_the_error_budget_is_not_exceeded(phased, pars, pint_turns, north):
    for observation in phased:
        table = observation.events.table[::10]
        turns = pint_turns(pars["crab"], table["TIME"], north)
        off = np.asarray(turns - table["PULSE_N"] - table["PHASE"], dtype=float)
        assert 0 < np.max(np.abs(off)) < 3e-8 < table.meta["PHERR"]


def test_one_is_one(observations, phased, crab):
    one = assign_phases(observations[0], crab)
    assert isinstance(one, dl3.Observation)
    np.testing.assert_array_equal(one.events.table["PHASE"], phased[0].events.table["PHASE"])
    assert "PULSE_N" not in one.events.table.colnames


def test_provenance(phased, crab):
    cards = phased[0].events.table.meta
    assert cards["PHPSR"] == "J0534+2200"
    assert (cards["PHPAR"], cards["PHPARSHA"]) == ("crab.par", crab.sha256)
    assert (cards["PHEPHREQ"], cards["PHEPHUSE"]) == ("builtin", "builtin")
    assert (cards["PHCLKPAR"], cards["PHCLKUSE"]) == ("TT(TAI)", "TT(TAI)")
    assert (cards["PHSITE"], cards["PHBACK"], cards["PHBARY"]) == ("CTAO-North", "native", True)
    assert cards["PHZERO"] == "57555.500000 coe"
    parts = [key for key in cards if key.startswith("PHERR") and key != "PHERR"]
    assert len(parts) == 6
    assert cards["PHERR"] == pytest.approx(sum(cards[key] for key in parts), rel=1e-3)
    assert cards["PHERRINT"] == cards["PHRESID"] < 1e-7
    # Seconds after 2000 or so are rounded at 0.06 microseconds.
    assert 1e-7 < cards["PHERRTIM"] < 3e-6


@pytest.mark.parametrize("dialect", ["gadf", "ctao-gadf"])
def test_files_keep_phases_and_cards(dialect, phased, tmp_path):
    metadata = PRODUCT if dialect == "ctao-gadf" else None
    path = dl3.write(phased, tmp_path / "phased", dialect, metadata=metadata, rounding=True)
    again = dl3.open_dl3(path).get_observations()
    for before, after in zip(phased, again, strict=True):
        for name in ("PHASE", "PULSE_N"):
            one, other = before.events.table[name], after.events.table[name]
            np.testing.assert_array_equal(one, other)
            assert one.dtype.kind == other.dtype.kind
        of = {key: value for key, value in before.events.table.meta.items() if key[:2] == "PH"}
        assert len(of) == 23
        assert {key: after.events.table.meta[key] for key in of} == of
    result = dl3.check(path, schema=dialect == "ctao-gadf")
    assert [finding for finding in result.findings if finding.severity != "info"] == []


def test_filters_are_applied(observations, crab):
    window = observations[0].gti.time_start[0] + [10, 40] * u.s
    chosen = observations[0].select_time(window)
    made = assign_phases(chosen, crab)
    assert 0 < len(made.events.table) == len(chosen.events.table) < 1e6
    assert len(chosen.events.table) < len(observations[0].events.table)


def test_phases_are_not_lost(phased, crab):
    with pytest.raises(ConfigError, match="have a column PHASE already"):
        assign_phases(phased[0], crab)
    made = assign_phases(phased[0], crab, overwrite=True, time_offset="0.01 s")
    moved = (made.events.table["PHASE"] - phased[0].events.table["PHASE"]) % 1
    np.testing.assert_allclose(moved, 0.297, atol=2e-3)
    assert made.events.table.meta["PHOFFSET"] == 0.01


def test_nothing_of_earlier_phases_stays(phased, crab):
    made = assign_phases(phased[0], crab, overwrite=True, barycentre=False).events.table
    assert "PULSE_N" not in made.colnames
    assert made.meta["PHBARY"] is False
    assert not {"PHSITE", "PHLON", "PHEPHUSE"} & set(made.meta)
    assert {key for key in phased[0].events.table.meta if key[:2] == "PH"} == set(PHASE_CARDS)


def test_the_input_is_not_touched(observations, crab):
    # In memory: those from a file are read again each time.
    given = with_table(observations[0])
    before = Table(given.events.table, copy=True)
    made = assign_phases(
        given, crab, pulse_numbers=True, orbit=Orbit(1 * u.d, START_OF_2028, position=CRAB)
    )
    after = given.events.table
    assert after.colnames == before.colnames
    assert dict(after.meta) == dict(before.meta)
    for name in before.colnames:
        assert np.all(after[name] == before[name])
    assert "ORBPER" in made.events.table.meta


def test_zeros_are_no_phases(observations, crab):
    blank = with_table(observations[0], PHASE=lambda table: np.zeros(len(table)))
    with pytest.warns(CtaoSatWarning, match="column PHASE of observation 1 holds zeros alone"):
        made = assign_phases(blank, crab)
    assert np.ptp(made.events.table["PHASE"]) > 0.5


def with_table(observation, meta=None, **columns):
    """Return an observation with changed columns and header cards of its events."""
    table = Table(observation.events.table, copy=True)
    for name, make in columns.items():
        table[name] = make(table)
    for key, value in (meta or {}).items():
        if value is None:
            del table.meta[key]
        else:
            table.meta[key] = value
    made = copy.copy(observation)
    made.events = dl3.EventList(table)
    return made


def test_events_outside_of_good_times_have_phases(observations, crab, north):
    late = with_table(
        observations[0], TIME=lambda t: t["TIME"] + np.where(np.arange(len(t)) < 3, 0.5, 0) * u.d
    )
    made = assign_phases(late, crab).events.table
    np.testing.assert_allclose(made["PHASE"], phases(made["TIME"], crab, north), atol=1e-9)


def test_no_events(observations, crab):
    none = with_table(observations[0])
    none.events = dl3.EventList(none.events.table[:0])
    made = assign_phases(none, crab, pulse_numbers=True).events.table
    assert len(made) == 0
    assert made["PHASE"].dtype == np.float64


def test_orbits_through_the_same_call(observations, pars, crab, north):
    binary = PulsarEphemeris.from_text(pars["binary"])
    orbit = Orbit.from_ephemeris(binary)
    made = assign_phases(observations[0], crab, orbit=orbit).events.table
    assert "PHASE" in made.colnames
    alone = assign_phases(observations[0], orbit).events.table
    assert "PHASE" not in alone.colnames
    np.testing.assert_array_equal(made["ORBPHASE"], alone["ORBPHASE"])
    np.testing.assert_allclose(alone["ORBPHASE"], phases(alone["TIME"], orbit, north), atol=1e-9)
    assert alone.meta["ORBPER"] == pytest.approx(0.19809620412)
    with pytest.raises(ConfigError, match="Two orbits"):
        assign_phases(observations[0], orbit, orbit=orbit)


def test_what_cannot_be_used(observations, crab, small_dl3):
    with pytest.raises(SelectionError, match="no observation"):
        assign_phases([], crab)
    with pytest.raises(ConfigError, match="Read them first"):
        assign_phases(dl3.open_dl3(small_dl3), crab)
    with pytest.raises(ConfigError, match="of the type int"):
        assign_phases([3], crab)
    for offset in ("1 m", "x", "nan s"):
        with pytest.raises(ConfigError, match="offset"):
            assign_phases(observations[0], crab, time_offset=offset)
    with pytest.raises(ConfigError, match="max_phase_error"):
        assign_phases(observations[0], crab, max_phase_error=0)


def test_sites(observations, crab):
    there = assign_phases(observations[0], crab).events.table
    named = assign_phases(observations[0], crab, site="north").events.table
    np.testing.assert_array_equal(named["PHASE"], there["PHASE"])
    other = assign_phases(observations[0], crab, site="16.5002 deg, -23.2718 deg, 1835 m")
    assert other.events.table.meta["PHSITE"] == "other"
    place = EarthLocation.from_geodetic(16.5002, -23.2718, 1835)
    same = assign_phases(observations[0], crab, site=place)
    np.testing.assert_array_equal(same.events.table["PHASE"], other.events.table["PHASE"])
    off = (other.events.table["PHASE"] - there["PHASE"] + 0.5) % 1 - 0.5
    assert 0.01 < np.abs(off).max() < 30 * 0.0425
    for site in ("east", "1 deg, 2 deg", "1 m, 2 m, 3 m"):
        with pytest.raises(ConfigError):
            assign_phases(observations[0], crab, site=site)


@pytest.mark.parametrize(
    ("lon", "lat", "height", "meta", "message"),
    [
        (0, 0, 0, {}, r"which is no place: .* turns"),
        (-17.892, 28.7622, 2158e3, {}, "which is no place"),
        (17.892, 28.7622, 2158, {}, "with another sign that is CTAO-North, 11.5 ms"),
        (-17.892, -28.7622, 2158, {}, "with another sign that is CTAO-North"),
        (70.3163, -24.6834, 2150, {}, "with another sign that is CTAO-South"),
        (79.4041, -24.6272, 2.15, {}, "which is no site of CTAO"),
        (16.5002, -23.2718, 1835, {}, "which is no site of CTAO"),
        (-16.5002, -23.2718, 1835, {"TELESCOP": "HESS"}, "with another sign that is hess"),
        (None, None, None, {}, "does not say where the telescopes stand"),
    ],
)
def test_wrong_places_are_refused(lon, lat, height, meta, message, observations, crab):
    wrong = with_table(observations[0], meta)
    place = EarthLocation.from_geodetic(lon, lat, height) if lon is not None else None
    wrong = wrong.copy(in_memory=True, location=place)
    if place is None:
        wrong.meta.location = None
    with pytest.raises(PhaseError, match=message) as error:
        assign_phases(wrong, crab)
    assert "turns" in str(error.value)
    assert "--site" in error.value.remedy
    assert len(assign_phases(wrong, crab, site="north").events.table) > 0


def test_an_unknown_place_of_others_is_used_with_a_warning(observations, crab):
    other = with_table(observations[0], {"TELESCOP": "TAIGA"})
    other = other.copy(in_memory=True, location=EarthLocation.from_geodetic(103.07, 51.81, 675))
    with pytest.warns(CtaoSatWarning, match="no gamma-ray observatory is known"):
        assign_phases(other, crab)


def test_times_that_are_not_what_they_seem(observations, crab):
    one = observations[0]
    with pytest.raises(PhaseError, match=r"no TIMESYS: TT and UTC are 69.184 s apart, 2055 turns"):
        assign_phases(with_table(one, {"TIMESYS": None}), crab)
    old = with_table(one, TIME=lambda t: t["TIME"] - 60 * u.yr)
    with pytest.raises(PhaseError, match="MJDREFI and MJDREFF, or the unit of TIME"):
        assign_phases(old, crab)
    with pytest.warns(CtaoSatWarning, match=r"-69\.200 s off TSTART, -2055 turns"):
        assign_phases(with_table(one, {"TIME-OBS": "23:58:50.8", "DATE-OBS": "2027-12-31"}), crab)
    with pytest.raises(EphemerisError, match="has no RAJ"):
        assign_phases(one, PulsarEphemeris.from_text("PSR X\nF0 1\nPEPOCH 58000\n"))


def test_times_of_32_bits_are_no_times(observations, crab):
    def in_32_bits(table):
        zero = Time(table.meta["MJDREFI"], table.meta["MJDREFF"], format="mjd", scale="tt")
        seconds = (table["TIME"] - zero).to_value("s").astype(np.float32).astype(float)
        return zero + seconds * u.s

    rounded = with_table(observations[0], TIME=in_32_bits)
    with pytest.raises(PhaseError, match=r"time precision 9\.5e\+02") as error:
        assign_phases(rounded, crab)
    assert "64 bits" in error.value.remedy


@pytest.mark.parametrize("reference", ["SOLARSYSTEM", "barycenter", "GEOCENTRIC"])
def test_times_are_not_barycentred_twice(reference, observations, crab):
    corrected = with_table(observations[0], {"TIMEREF": reference})
    with pytest.raises(PhaseError, match=r"499 s or 1\.482e\+04 turns, are taken off"):
        assign_phases(corrected, crab)
    assert "PHASE" in assign_phases(corrected, crab, barycentre=False).events.table.colnames


def test_no_place_and_no_metadata(observations, crab):
    bare = copy.copy(observations[0])
    bare._location = bare._meta = None
    with pytest.raises(PhaseError, match="does not say where the telescopes stand"):
        assign_phases(bare, crab)


def test_leap_seconds(observations, crab):
    utc = with_table(
        observations[0], {"TIMESYS": "UTC", "MJDREFI": 50000}, TIME=lambda t: t["TIME"].utc
    )
    with (
        pytest.warns(CtaoSatWarning, match=r"8 leap seconds fell .* off by 237\.6 turns"),
        pytest.warns(CtaoSatWarning, match="off TSTART"),
    ):
        made = assign_phases(utc, crab)
    # What is UTC is taken for UTC.
    expected = assign_phases(observations[0], crab).events.table["PHASE"]
    np.testing.assert_allclose(made.events.table["PHASE"], expected, atol=1e-7)
    twice = with_table(
        observations[0],
        {"TIMESYS": "UTC", "MJDREFF": 64.184 / 86400},
        TIME=lambda t: t["TIME"].utc,
    )
    with pytest.warns(CtaoSatWarning) as found:
        assign_phases(twice, crab)
    assert any("MJDREFF = 64.184 s as for TT" in str(one.message) for one in found)


def test_names_of_other_alphabets(observations, pars, tmp_path):
    """Cards hold ASCII alone: the file is written all the same."""
    ephemeris = PulsarEphemeris.from_text(pars["crab"], "crèbe.par")
    made = assign_phases(observations[0], ephemeris)
    dl3.write([made], tmp_path / "dl3")
    (again,) = dl3.open_dl3(tmp_path / "dl3").get_observations()
    assert again.events.table.meta["PHPAR"] == r"cr\xe8be.par"
