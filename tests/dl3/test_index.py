"""Index tables built from headers: those that were shipped, wherever Gammapy looks at them."""

import gzip
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from gammapy.data import DataStore

from ctao_sat import dl3
from ctao_sat.errors import MissingColumnError, MissingDataError, OutputError

TABLES = ("hdu-index.fits.gz", "obs-index.fits.gz")


@pytest.fixture
def folder(tmp_path, small_dl3):
    """Return a copy of the data without index tables, to be changed."""
    path = shutil.copytree(small_dl3, tmp_path / "dl3")
    for name in TABLES:
        (path / name).unlink()
    return path


def change(path, **keys):
    """Change keys of the events header; None removes one."""
    with fits.open(path, mode="update", memmap=False) as hdus:
        for key, value in keys.items():
            if value is None:
                del hdus["EVENTS"].header[key]
            else:
                hdus["EVENTS"].header[key.replace("_", "-") if "DATE" in key else key] = value


def rows(table):
    """Return what Gammapy uses of an hdu-index table, files in full."""
    return sorted(
        (
            int(row["OBS_ID"]),
            row["HDU_TYPE"].strip(),
            row["HDU_CLASS"].strip(),
            table.location_info(index).path().resolve(),
            # FITS compares names without case.
            row["HDU_NAME"].strip().upper(),
        )
        for index, row in enumerate(table)
    )


def assert_same(built, shipped, columns, rtol):
    """Compare the rows of two obs-index tables in columns of numbers or texts."""
    built, shipped = built.copy(), shipped.copy()
    built.sort("OBS_ID")
    shipped.sort("OBS_ID")
    assert list(built["OBS_ID"]) == list(shipped["OBS_ID"])
    for name in columns:
        if built[name].dtype.kind in "US":
            assert [text.strip() for text in built[name]] == [
                text.strip() for text in shipped[name]
            ]
        else:
            assert built[name].unit == shipped[name].unit
            # Absolute where a number may be zero, such as an angle.
            np.testing.assert_allclose(
                built[name], shipped[name], rtol=rtol, atol=rtol, err_msg=name
            )


def test_index_of_simulated_runs_is_that_of_the_simulator(small_dl3, folder):
    shipped = DataStore.from_dir(small_dl3)
    hdus, runs = dl3.index_tables(folder)
    expected = [(*row[:3], folder / row[3].name, row[4]) for row in rows(shipped.hdu_table)]
    assert rows(hdus) == expected
    columns = [name for name in runs.colnames if name in shipped.obs_table.colnames]
    assert {"RA_PNT", "ZEN_PNT", "LIVETIME", "TSTART", "OBJECT", "TIME-OBS"} <= set(columns)
    assert_same(runs, shipped.obs_table, columns, rtol=1e-12)
    assert np.all(runs.time_start == shipped.obs_table.time_start)


_ANGLES = ("RA_PNT", "DEC_PNT", "ZEN_PNT", "ALT_PNT", "AZ_PNT")
_GALACTIC = ("GLON_PNT", "GLAT_PNT")
_TIMES = ("TSTART", "TSTOP", "ONTIME", "LIVETIME", "DEADC")
_DATES = ("DATE-OBS", "TIME-OBS", "DATE-END", "TIME-END", "OBJECT")


@pytest.mark.realdata
def test_index_of_hess_is_the_shipped_one(gammapy_data):
    shipped = DataStore.from_dir(gammapy_data / "hess-dl3-dr1")
    hdus, runs = dl3.index_tables(gammapy_data / "hess-dl3-dr1")
    assert len(runs) == 93
    assert rows(hdus) == rows(shipped.hdu_table)
    # The shipped numbers are single precision, and the places in the Galaxy were made from such.
    assert_same(runs, shipped.obs_table, (*_TIMES, *_DATES, *_ANGLES, "EVENT_COUNT"), rtol=1e-7)
    assert_same(runs, shipped.obs_table, _GALACTIC, rtol=2e-4)
    assert np.all(runs.time_start == shipped.obs_table.time_start)
    assert np.all(runs.time_stop == shipped.obs_table.time_stop)
    assert runs.pointing_radec.separation(shipped.obs_table.pointing_radec).max() < 0.1 * u.arcsec


@pytest.mark.realdata
def test_index_of_cta_1dc_is_the_shipped_one(gammapy_data):
    shipped = DataStore.from_dir(gammapy_data / "cta-1dc/index/gps")
    hdus, runs = dl3.index_tables(gammapy_data / "cta-1dc")
    assert len(runs) == 4
    assert rows(hdus) == rows(shipped.hdu_table)
    exact = [name for name in (*_TIMES, *_DATES, *_ANGLES, *_GALACTIC) if name != "TSTOP"]
    assert_same(runs, shipped.obs_table, [*exact, "EVENT_COUNT"], rtol=1e-7)
    # The shipped TSTOP is single precision, that is 64 s, of what the headers state.
    assert np.max(np.abs(runs["TSTOP"] - shipped.obs_table["TSTOP"])) <= 32
    assert np.all(np.abs(runs["TSTOP"] - runs["TSTART"] - runs["ONTIME"]) <= 8)


@pytest.mark.realdata
def test_index_of_magic_is_the_shipped_one_with_times(gammapy_data):
    folder = gammapy_data / "magic/rad_max/data"
    shipped = DataStore.from_dir(folder)
    hdus, runs = dl3.index_tables(folder)
    assert rows(hdus) == rows(shipped.hdu_table)
    # Single precision, and without the reference of its times.
    assert_same(runs, shipped.obs_table, ("RA_PNT", "DEC_PNT", "DEADC", "TSTART"), rtol=1e-7)
    assert "MJDREFI" not in shipped.obs_table.meta
    store = dl3.open_dl3(folder, index="headers")
    for obs in store.get_observations(required_irf="point-like"):
        row = store.obs_table[store.obs_table["OBS_ID"] == obs.obs_id]
        assert abs(row.time_start[0] - obs.gti.time_start[0]) < 1 * u.s


@pytest.mark.realdata
def test_responses_from_caldb(gammapy_data, monkeypatch):
    events = gammapy_data / "cta-1dc/data/baseline/gps/gps_baseline_110380.fits"
    monkeypatch.delenv("CALDB", raising=False)
    assert set(dl3.index_tables(events)[0]["HDU_TYPE"]) == {"events", "gti"}
    monkeypatch.setenv("CALDB", str(gammapy_data / "cta-1dc/caldb"))
    (obs,) = dl3.open_dl3(events).get_observations()
    assert obs.aeff.meta["INSTRUME"] == "1DC"
    assert obs.psf.tag == "psf_3gauss"


def test_what_is_read_goes_on_with_gammapy(folder, small_dl3):
    store = dl3.open_dl3(folder)
    assert "OBS_ID: 1 -- 2" in store.info(show=False)
    runs = store.obs_table
    early = runs.select_time_range([runs.time_start[0] - 1 * u.s, runs.time_stop[0] + 1 * u.s])
    assert list(early["OBS_ID"]) == [1]
    # Of Gammapy's checks, "observations" fails with any data, and "hdu_table" leaves files open.
    shipped = DataStore.from_dir(small_dl3)
    for check in ("obs_table", "consistency"):
        assert list(store.check([check])) == list(shipped.check([check]))


def test_times_relative_to_different_references(folder):
    before = dl3.index_tables(folder)[1]
    path = folder / "obs_000002.fits"
    with fits.open(path) as hdus:
        header = hdus["EVENTS"].header
        start, whole = header["TSTART"], header["MJDREFI"]
    change(path, MJDREFI=whole + 1, TSTART=start - 86400, TIMESYS="TT")
    after = dl3.index_tables(folder)[1]
    assert np.all(np.abs((after.time_start - before.time_start).to_value("s")) < 1e-6)
    change(path, TIMESYS="TAI")
    shift = (dl3.index_tables(folder)[1].time_start[1] - before.time_start[1]).to_value("s")
    assert shift == pytest.approx(32.184, abs=1e-5)


def test_a_drift_scan_has_no_pointing(folder):
    change(folder / "obs_000001.fits", OBS_MODE="DRIFT", RA_PNT=None)
    table = dl3.index_tables(folder)[1]
    assert np.isnan(table["RA_PNT"][0])
    assert np.isfinite(table["RA_PNT"][1])


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"TSTART": None}, "TSTART of observation 1 is absent"),
        ({"RA_PNT": "east"}, "RA_PNT of observation 1 is 'east', no number"),
        ({"MJDREFI": True}, "MJDREFI of observation 1 is True, no number"),
        ({"TIMESYS": "MARS"}, "TIMESYS of observation 1 is 'MARS'"),
        ({"OBS_ID": "one"}, "OBS_ID = 'one', which is no number"),
    ],
)
def test_headers_without_what_the_index_needs(folder, keys, says):
    change(folder / "obs_000001.fits", **keys)
    with pytest.raises(MissingColumnError, match=says) as caught:
        dl3.index_tables(folder)
    assert "obs_000001.fits[EVENTS]" in caught.value.where


def test_columns_that_some_headers_have(folder):
    change(folder / "obs_000001.fits", OBJECT=None, DEADC=None, N_TELS=None)
    table = dl3.index_tables(folder)[1]
    assert list(table["OBJECT"]) == ["", table["OBJECT"][1]] != ["", ""]
    assert np.isnan(table["DEADC"][0])
    assert "N_TELS" not in table.colnames


class TestWrite:
    def test_written_tables_are_those_of_the_headers(self, folder):
        hdus, runs = dl3.write_index(folder)
        store = dl3.open_dl3(folder, index="tables")
        assert rows(store.hdu_table) == rows(hdus)
        assert_same(store.obs_table, runs, runs.colnames, rtol=0)
        assert set(store.hdu_table["FILE_DIR"]) == {"."}
        assert np.all(store.obs_table.time_start == runs.time_start)
        # Gammapy alone reads them, too.
        assert len(DataStore.from_dir(folder).get_observations([1, 2])) == 2

    def test_the_folder_can_be_moved(self, folder):
        dl3.write_index(folder)
        moved = folder.rename(folder.with_name("moved"))
        assert len(dl3.read_observations(dl3.open_dl3(moved), [1, 2])) == 2

    def test_to_another_folder(self, folder, tmp_path):
        out = tmp_path / "a" / "index"
        dl3.write_index(folder, out)
        assert sorted(path.name for path in out.iterdir()) == sorted(TABLES)
        assert not (folder / TABLES[0]).exists()
        store = dl3.open_dl3(out)
        assert set(store.hdu_table["FILE_DIR"]) == {"../../dl3"}
        assert len(dl3.read_observations(store, [1, 2])) == 2

    def test_nothing_is_overwritten_unasked(self, folder):
        dl3.write_index(folder)
        before = [(folder / name).read_bytes() for name in TABLES]
        (folder / TABLES[0]).unlink()
        (folder / "obs_000002.fits").unlink()
        with pytest.raises(OutputError, match=r"obs-index\.fits\.gz' is there already"):
            dl3.write_index(folder)
        assert not (folder / TABLES[0]).exists()
        assert (folder / TABLES[1]).read_bytes() == before[1]
        dl3.write_index(folder, overwrite=True)
        assert list(dl3.open_dl3(folder).obs_ids) == [1]

    def test_same_files_give_the_same_bytes(self, folder, tmp_path):
        for name in "ab":
            dl3.write_index(folder, tmp_path / name)
        for table in TABLES:
            assert (tmp_path / "a" / table).read_bytes() == (tmp_path / "b" / table).read_bytes()

    def test_names_that_fits_cannot_hold(self, folder):
        path = folder.rename(folder.with_name("Möwe"))
        assert len(dl3.open_dl3(path).obs_ids) == 2
        (path / "obs_000001.fits").rename(path / "Möwe.fits")
        with pytest.raises(OutputError, match=r"Möwe.*not ASCII"):
            dl3.write_index(path)
        assert not [file for file in path.iterdir() if "index" in file.name]

    def test_failure_leaves_nothing(self, folder):
        change(folder / "obs_000001.fits", TSTART=None)
        with pytest.raises(MissingColumnError):
            dl3.write_index(folder)
        assert not [file for file in folder.iterdir() if "index" in file.name]

    def test_no_data(self, tmp_path):
        with pytest.raises(MissingDataError, match="no FITS file"):
            dl3.write_index(tmp_path)


def test_gzip_and_plain_files(folder):
    plain = folder / "obs_000001.fits"
    (folder / "obs_000001.fits.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    store = dl3.open_dl3(folder)
    assert [Path(name).suffix for name in Table(store.hdu_table)["FILE_NAME"][[0, 6]]] == [
        ".gz",
        ".fits",
    ]
    assert len(dl3.read_observations(store, [1, 2], required_irf="full-enclosure")) == 2
