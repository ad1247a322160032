"""What is written is what is read again; what cannot be held, or kept apart, is refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from astropy.io import fits
from astropy.time import Time
from gammapy.data import GTI, DataStore, EventList, FixedPointingInfo, Observation, Observations
from gammapy.irf import (
    Background2D,
    Background3D,
    EffectiveAreaTable2D,
    EnergyDependentMultiGaussPSF,
    EnergyDispersion2D,
    PSFKing,
    RadMax2D,
)
from gammapy.makers.utils import make_map_background_irf
from gammapy.maps import MapAxis, WcsGeom

from ctao_sat import dl3
from ctao_sat.errors import (
    ConfigError,
    DataError,
    MissingColumnError,
    MissingHDUError,
    OutputError,
    SelectionError,
)

ENERGY_TRUE = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=4, name="energy_true")
ENERGY = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=5)
OFFSET = MapAxis.from_edges([0, 1, 2, 3], unit="deg", name="offset")


def table_of(observation):
    return observation.events.table


def parametric(cls, names, units):
    data = np.zeros((4, 3), dtype=[(name, np.float32) for name in names])
    for i, name in enumerate(names):
        data[name] = 1 + i + np.arange(12).reshape(4, 3) / 100
    return cls(
        [ENERGY_TRUE, OFFSET], data, unit=dict(zip(names, units, strict=True)), meta={"A": 1}
    )


def king():
    return parametric(PSFKing, ["gamma", "sigma"], ["", "deg"])


def gauss():
    names = ["sigma_1", "sigma_2", "sigma_3", "scale", "ampl_2", "ampl_3"]
    units = ["deg", "deg", "deg", "sr-1", "", ""]
    return parametric(EnergyDependentMultiGaussPSF, names, units)


def point_like(cls, axes, shape, unit, **meta):
    data = 1 + np.arange(np.prod(shape), dtype=float).reshape(shape)
    return cls(axes, data, unit=unit, is_pointlike=True, meta=meta)


def round_trip(observations, path, **options):
    written = dl3.write(observations, path, **options)
    assert written == Path(path).absolute()
    return dl3.open_dl3(written).get_observations(required_irf="all-optional")


# What is kept


def test_everything_is_kept(observation, tmp_path, compare):
    before = table_of(observation).copy()
    (read,) = round_trip([observation], tmp_path / "dl3")
    compare.observations(observation, read)
    assert set(read.available_irfs) == {"aeff", "edisp", "psf", "bkg"}
    assert read.events.table["EVENT_TYPE"].dtype == np.uint8
    # Not modified.
    assert table_of(observation).meta == before.meta
    assert table_of(observation).colnames == before.colnames


def test_reading_and_writing_again_changes_no_byte(small_dl3, tmp_path):
    observations = DataStore.from_dir(small_dl3).get_observations()
    for name in ("a", "b"):
        observations = dl3.open_dl3(dl3.write(observations, tmp_path / name)).get_observations()
    for path in (tmp_path / "a").iterdir():
        first, second = (tmp_path / name / path.name for name in ("a", "b"))
        created = [fits.getheader(path).get("CREATED", "").encode() for path in (first, second)]
        assert second.read_bytes().replace(created[1], created[0]) == first.read_bytes()


def test_files_of_one_observation(observation, tmp_path, compare):
    for name in ("one.fits", "sub/two.fits.gz"):
        path = dl3.write(observation, tmp_path / name)
        compare.observations(observation, Observation.read(path))
        with pytest.raises(OutputError, match="there already"):
            dl3.write(observation, path)
        dl3.write(observation, path, overwrite=True)
    with pytest.raises(ConfigError, match="2 observations"):
        dl3.write([observation, observation], tmp_path / "three.fits")
    assert sorted(item.name for item in tmp_path.rglob("*.fits*")) == ["one.fits", "two.fits.gz"]


def test_gammapy_reads_it_in_all_its_ways(observation, tmp_path, compare):
    folder = dl3.write([observation], tmp_path / "dl3")
    file = folder / "obs_000001.fits"
    compare.observations(observation, Observation.read(file))
    compare.observations(observation, DataStore.from_dir(folder).get_observations()[0])
    compare.observations(observation, DataStore.from_events_files([file]).get_observations()[0])


@pytest.mark.parametrize("psf", [king, gauss])
def test_parametric_psf(observation, tmp_path, compare, psf):
    observation.psf = psf()
    (read,) = round_trip([observation], tmp_path / "dl3")
    compare.irf(observation.psf, read.psf, 0)
    # Gammapy's own writer drops these.
    assert read.psf.meta["HDUCLAS4"] == observation.psf.tag.upper()
    assert read.psf.meta["A"] == 1


def test_background_that_depends_on_the_offset(observation, tmp_path, compare):
    data = np.arange(15.0).reshape(5, 3)
    observation.bkg = Background2D([ENERGY, OFFSET], data, unit="s-1 MeV-1 sr-1", meta={"B": "x"})
    (read,) = round_trip([observation], tmp_path / "dl3")
    compare.irf(observation.bkg, read.bkg, 0)


@pytest.mark.parametrize("alignment", ["ALTAZ", "RADEC", "REVERSE_LON_RADEC"])
def test_alignment_of_the_background(observation, tmp_path, compare, alignment):
    bkg = observation.bkg
    observation.bkg = type(bkg)(bkg.axes, bkg.data, bkg.unit, fov_alignment=alignment)
    (read,) = round_trip([observation], tmp_path / "dl3")
    compare.irf(observation.bkg, read.bkg, 0)


@pytest.mark.parametrize("edges", [[-3, -1, 0, 1, 3], [-3, -1, 0, 2]])
def test_a_mirrored_background_predicts_the_same(observation, tmp_path, edges):
    lon = MapAxis.from_edges(edges, unit="deg", name="fov_lon")
    lat = MapAxis.from_edges([-3, 0, 2], unit="deg", name="fov_lat")
    rate = 1 + np.arange(5.0 * lon.nbin * 2).reshape(5, lon.nbin, 2)
    observation.bkg = Background3D(
        [ENERGY, lon, lat], rate, "s-1 MeV-1 sr-1", fov_alignment="REVERSE_LON_RADEC"
    )
    (read,) = round_trip([observation], tmp_path / "dl3")
    assert read.bkg.fov_alignment == "RADEC"
    assert "mirrored" in read.bkg.meta["HISTORY"][0]
    maps = [background_map(obs) for obs in (observation, read)]
    assert np.allclose(maps[1], maps[0], rtol=1e-12)
    # On the left and on the right are not the same.
    assert not np.allclose(maps[0], maps[0][..., ::-1], rtol=0.1)
    for sign in (-1, 1):
        at = {"energy": 1 * u.TeV, "fov_lat": 0.5 * u.deg}
        before = observation.bkg.evaluate(fov_lon=sign * 0.7 * u.deg, **at)
        assert u.isclose(read.bkg.evaluate(fov_lon=-sign * 0.7 * u.deg, **at), before)


def background_map(observation):
    """Return what Gammapy predicts in the field of view."""
    axis = MapAxis.from_energy_bounds("0.2 TeV", "5 TeV", nbin=3)
    center = observation.pointing.fixed_icrs
    geom = WcsGeom.create(skydir=center, npix=8, binsz=0.4, axes=[axis])
    return make_map_background_irf(
        observation.pointing, observation.gti.time_sum, observation.bkg, geom,
        time_start=observation.tstart,
    ).data  # fmt: skip


@pytest.mark.parametrize("fixed", [True, False])
def test_point_like_responses(observation, tmp_path, compare, fixed):
    migra = MapAxis.from_bounds(0.2, 5, nbin=6, name="migra")
    cards = {"LO_THRES": 0.2, "HI_THRES": 50.0, **({"RAD_MAX": 0.125} if fixed else {})}
    observation.aeff = point_like(
        EffectiveAreaTable2D, [ENERGY_TRUE, OFFSET], (4, 3), "m2", **cards
    )
    observation.edisp = point_like(
        EnergyDispersion2D, [ENERGY_TRUE, migra, OFFSET], (4, 6, 3), "", **cards
    )
    observation.psf = observation.bkg = None
    if not fixed:
        data = np.linspace(0.1, 0.3, 15).reshape(5, 3)
        observation._rad_max = RadMax2D([ENERGY, OFFSET], data, unit="deg", is_pointlike=True)
    assert observation.rad_max is not None
    (read,) = round_trip([observation], tmp_path / "dl3")
    compare.observations(observation, read)
    assert read.aeff.meta["HI_THRES"] == 50.0
    # A radius that a card of the effective area gives is not written a second time.
    with fits.open(tmp_path / "dl3" / "obs_000001.fits") as hdus:
        names = [hdu.name for hdu in hdus]
    assert ("RAD_MAX" in names) == (not fixed)


def test_card_of_column_reference_follows_the_columns(observation, tmp_path):
    observation.aeff.meta["CREF3"] = "(old)"
    (read,) = round_trip([observation], tmp_path / "dl3")
    assert read.aeff.meta["CREF5"] == "(ENERG_LO:ENERG_HI,THETA_LO:THETA_HI)"
    assert "CREF3" not in read.aeff.meta


@pytest.mark.parametrize("scale", ["utc", "tt", "tai"])
def test_time_scale_and_reference(observation, tmp_path, compare, scale):
    reference = Time(58000.123456789, format="mjd", scale=scale)
    start = reference + [10.1, 333.3] * u.s
    gti = GTI.create(start, start + [100.7, 200.9] * u.s, reference)
    table = table_of(observation)[:3]
    table["TIME"] = reference + [20.123456789, 400.1, 401.2] * u.s
    for key in ("MJDREFI", "MJDREFF", "TIMESYS", "TSTART", "TSTOP", "LIVETIME", "ONTIME"):
        table.meta.pop(key)
    made = Observation(
        obs_id=7,
        gti=gti,
        events=EventList(table),
        pointing=observation.pointing,
        location=observation.observatory_earth_location,
    )
    made.meta.deadtime_fraction = 0.25
    (read,) = round_trip([made], tmp_path / "dl3")
    assert np.abs((read.events.time - made.events.time).sec).max() < 1e-11
    assert np.abs((read.gti.time_start - gti.time_start).sec).max() < 1e-11
    assert read.gti.time_ref.scale == scale
    assert abs((read.gti.time_ref - reference).sec) < 1e-11
    assert read.observation_live_time_duration.to_value("s") == pytest.approx(0.75 * 301.6)
    header = read.events.table.meta
    assert header["TSTART"] == pytest.approx(10.1)
    assert header["TELAPSE"] == pytest.approx(header["TSTOP"] - header["TSTART"])


def test_drift(observation, tmp_path, compare):
    fixed = FixedPointingInfo(fixed_altaz=AltAz(alt=70 * u.deg, az=10.5 * u.deg))
    drifting = observation.copy(in_memory=True, pointing=fixed)
    (read,) = round_trip([drifting], tmp_path / "dl3")
    changed = {"OBS_MODE", "ALT_PNT", "AZ_PNT"}
    compare.observations(drifting, read, changed=changed)
    header = read.events.table.meta
    assert (header["OBS_MODE"], header["ALT_PNT"], header["AZ_PNT"]) == ("DRIFT", 70, 10.5)
    assert "OBS_MODE was 'POINTING'" in header["HISTORY"]


def test_filters_are_applied(observation, tmp_path):
    middle = observation.tmid
    half = observation.select_time(Time([observation.tstart, middle]))
    (read,) = round_trip([half], tmp_path / "dl3")
    assert 0 < len(read.events.table) < len(table_of(observation))
    assert read.events.time.max() <= middle
    live = observation.observation_live_time_duration.to_value("s") / 2
    assert read.observation_live_time_duration.to_value("s") == pytest.approx(live)
    header, row = read.events.table.meta, dl3.open_dl3(tmp_path / "dl3").obs_table[0]
    assert header["TSTOP"] - header["TSTART"] == pytest.approx(live, rel=1e-6)
    assert header["LIVETIME"] == row["LIVETIME"] == pytest.approx(live)
    assert header["TIME-END"] == middle.utc.isot[11:]


def test_intervals_are_in_the_time_reference_of_the_events(observation, tmp_path, compare):
    half, read = compare.selection(observation, tmp_path)
    assert len(read.events.table) == len(half.events.table)


def test_intervals_of_another_time_scale(observation, tmp_path):
    # TDB and TT differ by a changing millisecond.
    start, stop = observation.gti.time_start.tdb, observation.gti.time_stop.tdb
    other = observation.copy(in_memory=True)
    other._gti = GTI.create(start, stop, Time(51910, format="mjd", scale="tdb"))
    (read,) = round_trip([other], tmp_path / "dl3")
    assert read.gti.time_ref.scale == observation.gti.time_ref.scale
    assert np.abs((read.gti.time_start - observation.gti.time_start).sec).max() < 1e-7
    assert np.abs((read.gti.time_stop - observation.gti.time_stop).sec).max() < 1e-7


def test_what_the_header_says_wrongly_is_corrected(observation, tmp_path):
    table_of(observation).meta.update(
        {"TSTOP": 1.0, "ONTIME": 5.0, "TELAPSE": 0, "OBS_MODE": "WOBBLE"}
    )
    (read,) = round_trip([observation], tmp_path / "dl3")
    header = read.events.table.meta
    assert header["ONTIME"] == pytest.approx(120)
    assert header["TELAPSE"] == pytest.approx(120)
    assert header["OBS_MODE"] == "POINTING"
    assert header["HISTORY"] == ["OBS_MODE was 'WOBBLE'"]


def test_index_tables_of_observations_with_different_references(small_dl3, tmp_path):
    one, two = DataStore.from_dir(small_dl3).get_observations()
    two = two.copy(in_memory=True)
    reference = Time(59000, format="mjd", scale="utc")
    two.events.table.meta |= {"MJDREFI": 59000, "MJDREFF": 0.0, "TIMESYS": "UTC", "N_TELS": 13}
    for key in ("TSTART", "TSTOP"):
        two.events.table.meta[key] = float((getattr(two, key.lower()) - reference).sec)
    store = dl3.open_dl3(dl3.write([one, two], tmp_path / "dl3"))
    starts = store.obs_table.time_start
    for start, obs in zip(starts, (one, two), strict=True):
        assert abs((start - obs.tstart).sec) < 1e-6
    assert np.allclose(store.obs_table["ZEN_PNT"], 90 - store.obs_table["ALT_PNT"])
    assert list(store.obs_table["N_TELS"]) == [0, 13]
    assert set(store.hdu_table["HDU_CLASS"]) == {
        "events", "gti", "aeff_2d", "edisp_2d", "psf_3gauss", "bkg_3d",
    }  # fmt: skip


def test_index_tables_agree_with_those_made_from_headers(small_dl3, tmp_path):
    folder = dl3.write(DataStore.from_dir(small_dl3).get_observations(), tmp_path / "dl3")
    written = dl3.open_dl3(folder)
    hdus, runs = dl3.index_tables(folder)
    names = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_NAME", "HDU_NAME")
    rows = [
        sorted(tuple(str(row[name]).strip() for name in names) for row in table)
        for table in (written.hdu_table, hdus)
    ]
    assert rows[0] == rows[1]
    shared = set(runs.colnames) & set(written.obs_table.colnames)
    assert {"OBS_ID", "RA_PNT", "TSTART", "LIVETIME", "ZEN_PNT", "OBJECT"} <= shared
    for name in shared:
        one, other = (table[name] for table in (written.obs_table, runs))
        if one.dtype.kind == "f":
            assert np.allclose(one, other), name
        else:
            assert [str(value) for value in one] == [str(value) for value in other], name


# Event types


@pytest.mark.parametrize("key", ["EVTYPE", "EV_CLASS"])
def test_two_event_types_of_one_observation(observation, tmp_path, compare, key):
    kinds = []
    for name, step in (("type A", 2), ("type/B", 3)):
        kind = observation.copy(in_memory=True)
        kind.events.table = table_of(observation)[::step]
        kind.events.table.meta[key] = name
        kinds.append(kind)
    folder = dl3.write(kinds, tmp_path / "dl3")
    assert len(list(folder.glob("obs_000001*.fits"))) == 2
    stores = dl3.open_event_types(folder)
    from_headers = dl3.open_event_types(folder, index="headers")
    assert list(stores) == list(from_headers) == ["type A", "type/B"]
    for kind, store in zip(kinds, stores.values(), strict=True):
        compare.observations(kind, store.get_observations()[0])


def test_observations_that_cannot_be_told_apart(observation, tmp_path):
    with pytest.raises(DataError, match=r"two observations 1.*EVTYPE"):
        dl3.write([observation, observation.copy(in_memory=True)], tmp_path / "dl3")
    assert list(tmp_path.iterdir()) == []


# What is refused


def no_events(obs):
    return Observation(obs_id=1, gti=obs.gti, pointing=obs.pointing)


def no_location(obs):
    return Observation(obs_id=1, gti=obs.gti, pointing=obs.pointing, events=obs.events)


def no_number(obs):
    obs.obs_id = "first"
    return obs


def no_event_id(obs):
    table_of(obs).remove_column("EVENT_ID")
    return obs


def column_of_coordinates(obs):
    table_of(obs)["POSITION"] = SkyCoord(table_of(obs)["RA"], table_of(obs)["DEC"])
    return obs


def column_of_objects(obs):
    table_of(obs)["THINGS"] = np.array([None] * len(table_of(obs)), dtype=object)
    return obs


def column_with_a_strange_unit(obs):
    table_of(obs)["WEIGHT"] = np.ones(len(table_of(obs))) * u.imperial.pound
    return obs


def column_in_greek(obs):
    table_of(obs)["LETTER"] = ["γ"] * len(table_of(obs))
    return obs


def columns_that_differ_in_case(obs):
    table_of(obs)["Energy"] = table_of(obs)["ENERGY"]
    return obs


def no_good_time(obs):
    return obs.select_time(obs.tstart + [100, 200] * u.d)


def card(value):
    def change(obs):
        table_of(obs).meta["THING"] = value
        return obs

    return change


def comment_in_greek(obs):
    table_of(obs).meta["comments"] = ["γ"]
    return obs


def time_scale(obs):
    table_of(obs).meta["TIMESYS"] = "LOCAL"
    return obs


def psf_map(obs):
    from gammapy.irf import PSFMap

    obs.psf = PSFMap.from_gauss(ENERGY_TRUE, sigma=0.1 * u.deg)
    return obs


def other_interpolation(obs):
    axis = MapAxis.from_edges([0.1, 1, 10], unit="TeV", name="energy_true", interp="lin")
    obs.aeff = EffectiveAreaTable2D([axis, OFFSET], np.ones((2, 3)), unit="m2")
    return obs


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (no_events, MissingHDUError, "has no events"),
        (no_location, MissingColumnError, "has no location.*location="),
        (no_number, MissingColumnError, "identifier 'first'"),
        (no_event_id, MissingColumnError, "no column EVENT_ID"),
        (column_of_coordinates, DataError, "column POSITION.*SkyCoord"),
        (column_of_objects, DataError, "column THINGS"),
        (column_with_a_strange_unit, DataError, "FITS cannot hold the events"),
        (column_in_greek, DataError, "FITS cannot hold the events"),
        (columns_that_differ_in_case, DataError, "columns ENERGY and Energy of the events"),
        (no_good_time, DataError, "no good time interval left"),
        (card(np.nan), DataError, "cannot hold THING = nan"),
        (card([1, 2]), DataError, "cannot hold THING"),
        (card("γ"), DataError, "cannot hold THING"),
        (comment_in_greek, DataError, "cannot hold the COMMENT"),
        (time_scale, DataError, "TIMESYS = 'local'"),
        (psf_map, DataError, "no table for the psf.*PSFMap"),
        (other_interpolation, DataError, "'energy_true'.*'lin'"),
    ],
)
def test_what_gadf_cannot_hold_is_refused(observation, tmp_path, change, error, says):
    with pytest.raises(error, match=f"(?s){says}") as caught:
        dl3.write([change(observation)], tmp_path / "dl3")
    assert caught.value.remedy
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments(observation, tmp_path):
    with pytest.raises(ConfigError, match=r"no dialect 'gdaf'.*'gadf'"):
        dl3.write([observation], tmp_path / "dl3", "gdaf")
    with pytest.raises(ConfigError, match="no place for product metadata"):
        dl3.write([observation], tmp_path / "dl3", metadata={})
    with pytest.raises(SelectionError, match="no observation"):
        dl3.write(Observations(), tmp_path / "dl3")


@pytest.mark.parametrize("given", [None, 5, "dl3", [None]])
def test_what_is_no_observation(tmp_path, given):
    with pytest.raises(ConfigError, match="no observations to write") as caught:
        dl3.write(given, tmp_path / "dl3")
    assert "list of Observation" in caught.value.remedy


def test_a_data_store_is_no_observation(small_dl3, tmp_path):
    with pytest.raises(ConfigError, match=r"type DataStore.*dl3\.read_observations\(store"):
        dl3.write(DataStore.from_dir(small_dl3), tmp_path / "dl3")


@pytest.mark.parametrize("path", [None, 5])
def test_what_is_no_path(observation, path):
    with pytest.raises(ConfigError, match=r"`path` is .*Give the name of a folder"):
        dl3.write(observation, path)


def test_metadata_that_are_not_there(observation, tmp_path):
    (tmp_path / "empty.yaml").touch()
    for name in ("nope.yaml", "empty.yaml"):
        with pytest.raises(ConfigError, match=f"{name}.*YAML file with product metadata") as caught:
            dl3.write(observation, tmp_path / "dl3", "ctao-gadf", metadata=str(tmp_path / name))
        assert "ctao-sat init" not in str(caught.value)
        assert "configuration" not in caught.value.message
    with pytest.raises(ConfigError, match=r"'activity\.name' is missing\. Add it\.") as caught:
        dl3.write(observation, tmp_path / "dl3", "ctao-gadf", metadata={"activity": {}})
    assert "init" not in str(caught.value)


def test_a_part_that_went_missing(small_dl3, tmp_path):
    folder = tmp_path / "copy"
    dl3.write(DataStore.from_dir(small_dl3).get_observations(), folder)
    observations = DataStore.from_dir(folder).get_observations()
    for path in folder.glob("*.fits"):
        path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        dl3.write(observations, tmp_path / "dl3")
    assert [item.name for item in tmp_path.iterdir()] == ["copy"]


# Completely or not at all


def test_nothing_is_overwritten_unasked(observation, tmp_path):
    path = tmp_path / "dl3"
    dl3.write([observation], path)
    before = {item.name: item.read_bytes() for item in path.iterdir()}
    with pytest.raises(OutputError, match="there already"):
        dl3.write([observation], path)
    assert {item.name: item.read_bytes() for item in path.iterdir()} == before
    # The data that are replaced may be those that are read.
    dl3.write(DataStore.from_dir(path).get_observations(), path, overwrite=True)
    assert len(dl3.open_dl3(path).get_observations()) == 1
    (path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        dl3.write([observation], path, overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space left")])
def test_a_failure_in_the_middle_leaves_nothing(small_dl3, tmp_path, monkeypatch, error):
    observations = DataStore.from_dir(small_dl3).get_observations()
    written = []
    original = fits.HDUList.writeto

    def writeto(self, *args, **kwargs):
        if written:
            raise error
        written.append(args)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(fits.HDUList, "writeto", writeto)
    expected = OutputError if isinstance(error, OSError) else error
    with pytest.raises(expected):
        dl3.write(observations, tmp_path / "dl3")
    assert written
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(observation, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "dl3", Path("/proc/dl3"), tmp_path / "file" / "one.fits"):
        with pytest.raises(OutputError):
            dl3.write([observation], path)


SLOW = """
import sys, time
from gammapy.data import DataStore
from ctao_sat import dl3

def slowly(observations):
    for number, observation in enumerate(observations):
        if number:
            print("one is written", flush=True)
            time.sleep(60)
        yield observation

import ctao_sat.dl3._write as module
module.progress_bar = lambda items, **options: slowly(items)
dl3.write(DataStore.from_dir(sys.argv[1]).get_observations(), sys.argv[2])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("interruptible")
def test_a_process_that_is_stopped(small_dl3, tmp_path, how):
    command = [sys.executable, "-c", SLOW, str(small_dl3), str(tmp_path / "dl3")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)
    ) as process:
        assert process.stdout.readline() == b"one is written\n"
        process.send_signal(how)
        assert process.wait(timeout=30) != 0
    assert not (tmp_path / "dl3").exists()
    if how == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []
    # What a killed process left is in nobody's way.
    dl3.write(DataStore.from_dir(small_dl3).get_observations(), tmp_path / "dl3")
