"""The dialect of CTAO: what it asks for, what it refuses, what it rounds."""

import copy
import uuid

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from gammapy.data import DataStore, Observation
from gammapy.irf import EffectiveAreaTable2D

from ctao_sat import dl3
from ctao_sat.dl3._sites import site_at, site_location
from ctao_sat.errors import ConfigError, DataError, MissingColumnError, MissingHDUError
from ctao_sat.simulate import observations

FACILITY = {"instance": {"facility_name": "Simulated-CTAO"}}
NARROW = {"TELESCOP", "INSTRUME", "N_TELS"}


@pytest.fixture
def said(product):
    """Return metadata that suffice for what the demonstration array saw."""
    return copy.deepcopy(product) | copy.deepcopy(FACILITY)


def write(obs, tmp_path, said, **options):
    return dl3.write([obs], tmp_path / "dl3", "ctao-gadf", metadata=said, **options)


def primary(folder):
    return fits.getheader(folder / "obs_000001.fits")


def test_everything_is_kept(observation, tmp_path, said, compare):
    folder = write(observation, tmp_path, said)
    readers = (
        dl3.open_dl3(folder),
        dl3.open_dl3(folder, index="headers"),
        DataStore.from_dir(folder),
        DataStore.from_events_files([folder / "obs_000001.fits"]),
    )
    read = [store.get_observations()[0] for store in readers]
    for after in (*read, Observation.read(folder / "obs_000001.fits")):
        compare.observations(
            observation, after, changed={"TELESCOP", "INSTRUME"}, rtol=float(np.finfo("f4").eps)
        )
    header = read[0].events.table.meta
    assert (header["TELESCOP"], header["INSTRUME"]) == ("Simulated-CTAO", "CTAO-North")
    assert header["HISTORY"][0] == "TELESCOP was 'CTAO-SAT-DEMO'"


def test_facts_come_from_the_data(observation, tmp_path, said):
    header = primary(write(observation, tmp_path, said))
    expected = {
        "TITLE": "Observation 1 of Crab-like",
        "DATALEVL": "DL3",
        "DATATYPE": "ObservationSim",
        "OBS_ID": 1,
        "OBJECT": "Crab-like",
        "TELESCOP": "Simulated-CTAO",
        "INSTRUME": "CTAO-North",
        "TSTART": observation.tstart.utc.isot,
        "TSTOP": observation.tstop.utc.isot,
        "FOV": 12.0,
        "AUTHOR": "A. Person",
        "LICENSE": "CC-BY-4.0",
    }
    assert {key: header[key] for key in expected} == expected
    assert uuid.UUID(header["DATAID"]).version == 4
    assert header["EMIN"] == observation.events.energy.to_value("TeV").min()
    assert header["OBSGEO-B"] == pytest.approx(28.7622)


def test_what_the_caller_says_goes_first(observation, tmp_path, said):
    said |= {
        "description": "A test",
        "disclaimer": "word " * 30 + "end",
        "sdc": {"sky_brightness": "dark"},
        "acquisition": {"sb_id": 12},
        "simulation": {"production_name": "prod6"},
        "activity": {
            "name": "tests",
            "configuration_id": "tests/v1",
            "start": "2028-01-01 00:00:00",
        },
    }
    said["instance"] |= {"site_id": "CTAO-South", "category": "C", "event_type": "type 1"}
    said["curation"] |= {"release": "none", "release_date": "2030-01-01 00:00:00"}
    folder = write(observation, tmp_path, said)
    assert list(dl3.open_event_types(folder)) == ["type 1"]
    header = fits.getheader(folder / "obs_000001_type-1.fits")
    assert header["TITLE"] == "A test"
    assert header["INSTRUME"] == "CTAO-South"
    assert header["SDC_NSB"] == "dark"
    assert header["SB_ID"] == 12
    assert header["SIMPROD"] == "prod6"
    assert header["ACTPROC"] == "user"
    assert header["ACTSTART"] == "2028-01-01T00:00:00"
    assert header["SOFTWARE"] == "ctao_sat"
    assert uuid.UUID(header["ACTID"]) != uuid.UUID(header["DATAID"])
    assert header["PUBDATE"] == "2030-01-01T00:00:00"
    assert (header["DATACAT"], header["EVTYPE"], header["RELEASE"]) == ("C", "type 1", "none")
    assert " ".join(header["COMMENT"]).split() == ["word"] * 30 + ["end"]


def test_metadata_from_a_file(observation, tmp_path, said):
    path = tmp_path / "product.yaml"
    path.write_text(yaml.safe_dump(said))
    assert primary(write(observation, tmp_path, path))["AUTHOR"] == "A. Person"
    path.write_text("contact: {nme: x}\n")
    with pytest.raises(ConfigError, match=r"'contact\.nme'.*Did you mean 'name'"):
        dl3.write([observation], tmp_path / "other", "ctao-gadf", metadata=path)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("contact", "name"),
        ("contact", "email"),
        ("curation", "license"),
        ("curation", "license_url"),
        ("instance", "facility_name"),
    ],
)
def test_what_nobody_says_is_not_invented(observation, tmp_path, said, section, key):
    del said[section][key]
    with pytest.raises(MissingColumnError, match=rf"'{section}\.{key}'") as caught:
        write(observation, tmp_path, said)
    assert f"{{'{section}': {{'{key}': ...}}}}" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_the_licence_whose_address_the_model_knows(observation, tmp_path, said):
    said["curation"] = {"license": "CC-BY-SA-4.0"}
    assert primary(write(observation, tmp_path, said))["LICENURL"].endswith("by-sa/4.0/")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"contact": {"email": "nobody"}}, "contact.email"),
        ({"instance": {"facility_name": "HESS"}}, "Simulated-CTAO"),
        ({"sdc": {"sky_brightness": "black"}}, "Did you mean|dark"),
        ({"activity": {"name": "x"}}, "activity.configuration_id"),
        ({"contacts": {}}, "Did you mean 'contact'"),
        ("nowhere.yaml", "nowhere.yaml"),
        (3, "of the type int"),
    ],
)
def test_bad_metadata(observation, tmp_path, bad, says):
    with pytest.raises((ConfigError, DataError), match=says):
        write(observation, tmp_path, bad)
    assert list(tmp_path.iterdir()) == []


def test_headers_that_say_it_all(observation, tmp_path, product):
    observation.events.table.meta |= {"TELESCOP": "CTAO", "INSTRUME": "CTAO-South"}
    header = primary(write(observation, tmp_path, product))
    assert (header["TELESCOP"], header["INSTRUME"]) == ("CTAO", "CTAO-South")
    assert header["DATATYPE"] == "Observation"


def test_sites():
    for site in ("north", "south"):
        assert site_at(site_location(site)) == site
    assert site_at(EarthLocation.from_geodetic(-17.89, 28.7619, 2231)) == "north"
    assert site_at(EarthLocation.from_geodetic(16.5, -23.27, 1835)) == ""
    with pytest.raises(ConfigError, match=r"No site 'nort'.*'north'"):
        site_location("nort")


# What is refused


def without_psf(obs):
    obs.psf = None


def point_like(obs):
    aeff = obs.aeff
    obs.aeff = EffectiveAreaTable2D(aeff.axes, aeff.data, aeff.unit, is_pointlike=True)
    obs.aeff.meta["RAD_MAX"] = 0.1


def king(obs):
    from gammapy.irf import PSFKing

    axes = obs.psf.axes
    data = np.ones(axes.shape, dtype=[("gamma", "f4"), ("sigma", "f4")])
    obs.psf = PSFKing(axes, data, unit={"gamma": "", "sigma": "deg"})


def too_large(obs):
    obs.aeff = EffectiveAreaTable2D(obs.aeff.axes, obs.aeff.data.astype(float) * 1e40, "m2")


def card(key, value):
    return lambda obs: obs.events.table.meta.update({key: value})


def column(name, values):
    def change(obs):
        obs.events.table[name] = values(len(obs.events.table))

    return change


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (without_psf, MissingHDUError, "has no psf"),
        (point_like, DataError, "point-like.*dialect='gadf'"),
        (king, DataError, "'psf_king'.*to_psf3d"),
        (too_large, DataError, "EFFAREA.*float32"),
        (card("RADESYS", "FK5"), DataError, "system FK5"),
        (card("TIMESYS", "TDB"), DataError, "TDB"),
        (card("OBS_MODE", "RASTER"), DataError, "RASTER"),
        (column("MULTIP", lambda n: np.full(n, 40000)), DataError, "MULTIP.*int16"),
        (column("GAMMANESS", lambda n: ["x"] * n), DataError, "GAMMANESS.*no numbers"),
    ],
)
def test_what_ctao_gadf_cannot_hold_is_refused(observation, tmp_path, said, change, error, says):
    change(observation)
    with pytest.raises(error, match=says) as caught:
        write(observation, tmp_path, said)
    assert caught.value.remedy
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_tabulated_psf(observation, tmp_path, said, compare):
    observation.psf = observation.psf.to_psf3d(np.linspace(0, 1, 40) * u.deg)
    folder = write(observation, tmp_path, said)
    read = dl3.open_dl3(folder).get_observations()[0]
    compare.irf(observation.psf, read.psf, float(np.finfo("f4").eps))


def test_number_types(observation, tmp_path, said):
    table = observation.events.table
    table["MULTIP"] = np.arange(len(table)) % 5
    table["EVENT_ID"] = table["EVENT_ID"].astype("uint32")
    read = dl3.open_dl3(write(observation, tmp_path, said)).get_observations()[0].events.table
    assert read["MULTIP"].dtype.kind + str(read["MULTIP"].dtype.itemsize) == "i2"
    assert read["EVENT_ID"].dtype.itemsize == 8
    assert np.array_equal(read["MULTIP"], table["MULTIP"])
    assert np.array_equal(read["EVENT_ID"], table["EVENT_ID"])


def test_events_are_rounded_on_request_only(observation, tmp_path, said):
    table = observation.events.table
    # As Gammapy's own simulator writes them.
    table["RA"] = table["RA"].astype("float64") + 1e-7
    with pytest.raises(DataError, match=r"RA.*float64.*rounding=True"):
        write(observation, tmp_path, said)
    folder = write(observation, tmp_path, said, rounding=True)
    read = dl3.open_dl3(folder).get_observations()[0].events.table
    assert read["RA"].dtype.itemsize == 4
    assert np.abs(np.asarray(read["RA"]) - np.asarray(table["RA"])).max() < 4e-6
    assert np.array_equal(read["ENERGY"], table["ENERGY"])


def test_number_of_telescopes_is_a_number_or_absent(observation, tmp_path, said):
    # As Gammapy's own simulator writes it.
    for name, value in (("a", ""), ("b", " 13 ")):
        observation.events.table.meta["N_TELS"] = value
        dl3.write([observation], tmp_path / name, "ctao-gadf", metadata=said)
    headers = [fits.getheader(tmp_path / name / "obs_000001.fits", "EVENTS") for name in "ab"]
    assert "N_TELS" not in headers[0]
    assert headers[1]["N_TELS"] == 13


# The simulator


def simulate(path, product, seed=1, **options):
    center = SkyCoord(83.63, 22.01, unit="deg")
    options = {"irfs": "demo-north", "dialect": "ctao-gadf", "metadata": product} | options
    irfs = options.pop("irfs")
    rng = np.random.default_rng(seed)
    return observations(None, center, "5 s", irfs, rng, path=path, **options)


def content(folder):
    """All bytes, but for the time of writing."""
    made = {}
    for path in sorted(folder.glob("*.fits")):
        created = fits.getheader(path)["CREATED"]
        made[path.name] = path.read_bytes().replace(created.encode(), b"-" * len(created))
    return made


def test_same_seed_same_bytes(tmp_path, product):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, product, seed)
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")


def test_dialects_hold_the_same_events(tmp_path, product, compare):
    stores = [
        simulate(tmp_path / "a", product),
        simulate(tmp_path / "b", None, dialect="gadf"),
    ]
    ctao, gadf = (store.get_observations()[0] for store in stores)
    compare.observations(
        gadf, ctao, changed={"TELESCOP", "INSTRUME"}, rtol=float(np.finfo("f4").eps)
    )
    comment = " ".join(fits.getheader(tmp_path / "a" / "obs_000001.fits")["COMMENT"])
    assert "demonstration array" in comment


def test_a_simulation_is_refused_before_the_work(tmp_path, product):
    with pytest.raises(MissingColumnError, match=r"contact\.name"):
        simulate(tmp_path / "dl3", None)
    # Only arrays of CTAO are CTAO's.
    with pytest.raises(MissingColumnError, match=r"instance\.facility_name"):
        simulate(
            tmp_path / "dl3", product, location=EarthLocation.from_geodetic(16.5, -23.27, 1835)
        )
    assert list(tmp_path.iterdir()) == []


def test_a_reversed_background_is_mirrored(observation, tmp_path, said, compare):
    bkg = observation.bkg
    observation.bkg = type(bkg)(
        bkg.axes, bkg.data, unit=bkg.unit, fov_alignment="REVERSE_LON_RADEC", meta=bkg.meta
    )
    folder = dl3.write([observation], tmp_path / "dl3", "ctao-gadf", metadata=said, rounding=True)
    (read,) = dl3.open_dl3(folder).get_observations()
    assert read.bkg.fov_alignment == "RADEC"
    compare.irf(observation.bkg, read.bkg, float(np.finfo("f4").eps))
