"""The commands on data folders, and ``info`` of folders without index tables."""

import json
import shutil
from pathlib import Path

import pytest
from gammapy.data import DataStore

TABLES = ("hdu-index.fits.gz", "obs-index.fits.gz")


@pytest.fixture
def folder(tmp_path, typed_dl3):
    """Return a copy of data of two event types, without index tables."""
    return shutil.copytree(typed_dl3, tmp_path / "dl3")


def test_index(call, folder):
    code, out, err = call("data", "index", folder)
    assert code == 0
    assert err.startswith("Note: Gammapy's DataStore alone sees one event type of each observation")
    assert "open_event_types" in err
    assert out == "Indexed 24 tables of 4 event lists; event types: hires, lores.\n"
    assert all((folder / name).is_file() for name in TABLES)
    assert call("data", "index", folder)[0] == 1
    assert call("data", "index", folder, "--overwrite", "-q") == (0, "", "")


def test_index_as_json(call, folder, tmp_path):
    code, out, _ = call("data", "index", folder / "hires", "-o", tmp_path / "index", "--json")
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == 12
    assert rows[0] == {
        "OBS_ID": 1,
        "HDU_TYPE": "events",
        "HDU_CLASS": "events",
        "FILE_DIR": "../dl3/hires",
        "FILE_NAME": "obs_000001.fits",
        "HDU_NAME": "EVENTS",
        "EVTYPE": "hires",
    }
    assert len(DataStore.from_dir(tmp_path / "index").get_observations()) == 2


def test_index_of_events_and_responses_apart(call, folder):
    code, out, err = call(
        "data", "index", folder / "lores", folder / "irfs", "-o", folder / "index"
    )
    # Of one event type, thus without a note.
    assert err == ""
    assert (code, out) == (0, "Indexed 12 tables of 2 event lists; event types: lores.\n")


def test_info_shows_event_types(call, folder):
    code, out, _ = call("info", folder)
    assert code == 0
    assert f"2 observations, of 2 event types, in {folder}" in out
    assert "event_type" in out
    code, out, _ = call("info", folder, "--json")
    rows = [(row["obs_id"], row["event_type"]) for row in json.loads(out)]
    assert rows == [(1, "hires"), (1, "lores"), (2, "hires"), (2, "lores")]
    call("data", "index", folder)
    assert json.loads(call("info", folder, "--json")[1]) == json.loads(out)


def test_info_of_a_folder_without_types(call, small_dl3):
    code, out, _ = call("info", small_dl3, "--json")
    assert code == 0
    assert [row["obs_id"] for row in json.loads(out)] == [1, 2]
    assert "event_type" not in json.loads(out)[0]


@pytest.mark.realdata
def test_info_of_cta_1dc_without_its_index(call, gammapy_data):
    code, out, _ = call("info", Path(gammapy_data, "cta-1dc"), "--json")
    assert code == 0
    assert [row["obs_id"] for row in json.loads(out)] == [110380, 111140, 111159, 111630]
