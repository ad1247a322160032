"""What a check returns: as text, table and JSON."""

import json
import shutil

import pytest
from astropy.io import fits

from ctao_sat import dl3

RUN = "obs_000001.fits"


@pytest.fixture
def folder(small_dl3, tmp_path):
    return shutil.copytree(small_dl3, tmp_path / "dl3")


@pytest.fixture
def result(folder):
    for name in (RUN, "obs_000002.fits"):
        with fits.open(folder / name, mode="update") as hdus:
            hdus["EVENTS"].header["DEADC"] = 0.5 if name == RUN else 0.25
    return dl3.check(folder)


def test_the_same_fault_is_grouped_in_text_and_complete_in_json(result):
    assert len(result.findings) == 2
    ((first, files),) = result.grouped()
    assert first.what.startswith("DEADC is 0.5")
    assert len(files) == 2
    text = str(result)
    assert text.startswith("ERROR deadc (2 files): obs_000001.fits, obs_000002.fits [EVENTS]")
    assert "DEADC is 0.25" not in text
    assert text.endswith("2 errors, 0 warnings, 0 remarks.")
    content = json.loads(json.dumps(result.to_dict()))
    assert [f["what"][:12] for f in content["findings"]] == ["DEADC is 0.5", "DEADC is 0.2"]
    assert content["ok"] is False
    assert content["counts"] == {"error": 2, "warning": 0, "info": 0}
    assert list(content["checks_not_run"]) == ["ctao-gadf"]


def test_a_result_as_table_and_html(result, small_dl3):
    table = result.to_table()
    assert table.colnames == ["severity", "file", "hdu", "check", "what", "remedy"]
    assert list(table["check"]) == ["deadc", "deadc"]
    assert "DEADC is 0.5" in result._repr_html_()
    clean = dl3.check(small_dl3 / RUN)
    assert len(clean.to_table()) == 0
    assert "<table" not in clean._repr_html_()
