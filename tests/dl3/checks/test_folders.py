"""Checks across files, what a check returns, and files that cannot be read."""

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from ctao_sat import dl3
from ctao_sat.dl3._checks import CHECKS, FOLDER_CHECKS
from ctao_sat.errors import MissingDataError

RUN = "obs_000001.fits"


@pytest.fixture
def folder(small_dl3, tmp_path):
    return shutil.copytree(small_dl3, tmp_path / "dl3")


def edit(path, change):
    table = Table.read(path)
    table.meta.pop("EXTNAME", None)
    changed = change(table)
    table = table if changed is None else changed
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="INDEX")])
    hdus.writeto(path, overwrite=True)


def edit_hdu_index(change):
    return lambda folder: edit(folder / "hdu-index.fits.gz", change)


def edit_obs_index(change):
    return lambda folder: edit(folder / "obs-index.fits.gz", change)


def set_value(name, row, value):
    def change(table):
        table[name][row] = value

    return change


def split(folder, irfs="irfs.fits", **keys):
    """Move the responses of both runs into one file."""
    for name in (RUN, "obs_000002.fits"):
        with fits.open(folder / name, memmap=False) as content:
            hdus = [hdu.copy() for hdu in content]
        fits.HDUList(hdus[:3]).writeto(folder / name, overwrite=True)
    for hdu in hdus[3:]:
        hdu.header.update(keys)
    fits.HDUList([fits.PrimaryHDU(), *hdus[3:]]).writeto(folder / irfs)
    for index in folder.glob("*index*"):
        index.unlink()


def without_responses(folder):
    split(folder)
    (folder / "irfs.fits").unlink()


def with_responses_of_another_run(folder):
    split(folder, OBS_ID=7)


def without(name):
    def change(folder):
        with fits.open(folder / RUN, memmap=False) as content:
            hdus = fits.HDUList([hdu.copy() for hdu in content if hdu.name != name])
        hdus.writeto(folder / RUN, overwrite=True)
        for index in folder.glob("*index*"):
            index.unlink()

    return change


def same_run_twice(folder):
    shutil.copy(folder / RUN, folder / "copy.fits")


def without_obs_id(folder):
    with fits.open(folder / RUN, mode="update") as hdus:
        del hdus["EVENTS"].header["OBS_ID"]


FAULTS = [
    ("responses", "error", "no instrument responses", without_responses),
    ("responses", "error", "no instrument responses", with_responses_of_another_run),
    ("responses", "error", "no aeff", without("EFFECTIVE AREA")),
    ("responses", "error", "no good time intervals", without("GTI")),
    ("responses", "warning", "no psf", without("POINT SPREAD FUNCTION")),
    ("responses", "warning", "no bkg", without("BACKGROUND")),
    ("observation-id", "warning", "as well", same_run_twice),
    ("observation-id", "error", "no OBS_ID", without_obs_id),
    ("index-targets", "error", "is not there", lambda folder: (folder / RUN).unlink()),
    (
        "index-targets",
        "error",
        "which has none",
        edit_hdu_index(set_value("HDU_NAME", 0, "EVENTX")),
    ),
    (
        "index-targets",
        "error",
        "$NOWHERE, which is not set",
        edit_hdu_index(
            lambda table: table.replace_column("FILE_DIR", ["$NOWHERE"] + ["."] * (len(table) - 1))
        ),
    ),
    ("index-complete", "warning", "in no hdu-index", edit_hdu_index(lambda t: t[t["OBS_ID"] == 1])),
    (
        "index-header",
        "warning",
        "MJDREFI",
        edit_obs_index(lambda table: table.meta.update(MJDREFI="x")),
    ),
    ("index-values", "warning", "s off those", edit_obs_index(set_value("TSTART", 0, 0))),
    ("index-values", "warning", "0.2 deg off", edit_obs_index(set_value("DEC_PNT", 0, 22.314))),
    ("index-values", "warning", "no event list", edit_obs_index(set_value("OBS_ID", 0, 9))),
]


def test_the_clean_folder_has_no_findings(small_dl3):
    result = dl3.check(small_dl3)
    assert result.findings == ()
    assert len(result.files) == 4
    # Everything was checked, but the schema of a dialect that the files do not claim.
    assert set(result.checks_run) == {check.name for check in CHECKS} - {"ctao-gadf"}
    assert list(result.checks_not_run) == ["ctao-gadf"]


@pytest.mark.parametrize(
    ("name", "severity", "says", "change"), FAULTS, ids=[f"{f[0]}: {f[2]}" for f in FAULTS]
)
def test_a_planted_fault_is_found(folder, name, severity, says, change):
    change(folder)
    findings = [f for f in dl3.check(folder).findings if f.check == name]
    assert {f.severity for f in findings} == {severity}
    assert any(says in f.what for f in findings), findings


def test_each_check_of_a_folder_has_a_planted_fault():
    names = {check.name for check in FOLDER_CHECKS}
    # The field of view is among the faults of a file.
    assert {fault[0] for fault in FAULTS} | {"event-field"} == names


def test_events_and_responses_in_separate_files(folder):
    split(folder)
    assert dl3.check(folder).findings == ()
    paths = [folder / RUN, folder / "irfs.fits"]
    assert dl3.check(paths).findings == ()


def test_events_outside_of_the_field_of_separate_responses(folder):
    split(folder)
    with fits.open(folder / RUN, mode="update") as hdus:
        hdus["EVENTS"].data["DEC"][0] = -60
    (finding,) = dl3.check(folder).findings
    assert (finding.check, finding.severity) == ("event-field", "warning")
    assert "1 of" in finding.what
    assert "reach to 8.49 deg" in finding.what


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "gzip"])
def test_a_file_that_cannot_be_read_is_a_finding(folder, damage):
    path = folder / RUN
    content = path.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "empty": b"",
        "text": b"no FITS",
        "gzip": gzip.compress(content)[:-500],
    }
    path.write_bytes(damaged[damage])
    (finding,) = [f for f in dl3.check(folder).findings if f.check == "readable"]
    assert finding.severity == "error"
    assert finding.file == str(path)
    assert "cannot be read" in finding.what


def test_headers_of_the_wrong_type_are_findings(spoiled):
    def change(hdus):
        header = hdus["EVENTS"].header
        for name in ("DEADC", "TSTART", "MJDREFI", "GEOLON", "RA_PNT", "ALT_PNT", "OBS_ID"):
            header[name] = "nonsense"
        hdus["GTI"].header["MJDREFI"] = True
        hdus["EFFECTIVE AREA"].header["LO_THRES"] = "low"

    checks = {f.check for f in dl3.check(spoiled(change)).findings}
    assert {"deadc", "gti-span", "time-reference", "site", "directions"} <= checks


def test_a_file_without_tables_is_a_remark(tmp_path):
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(path)
    (finding,) = dl3.check(path).findings
    assert (finding.severity, finding.check) == ("info", "readable")


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="no file or folder"):
        dl3.check(tmp_path / "nothing")
    with pytest.raises(MissingDataError, match="no FITS file"):
        dl3.check(tmp_path)


def test_workers_find_the_same(folder):
    (folder / RUN).write_bytes(b"")
    one, two = dl3.check(folder), dl3.check(folder, n_jobs=2)
    assert one == two
    assert not one.ok


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


def test_checks_have_one_name_each():
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(check.checks and check.remedy for check in CHECKS)


def test_the_documentation_lists_all_checks():
    text = (Path(__file__).parents[3] / "docs" / "dl3-check.rst").read_text(encoding="utf-8")
    for check in CHECKS:
        assert re.search(
            rf"^``{check.name}`` +{re.escape(check.checks)} +{check.severity}$", text, re.MULTILINE
        ), check.name
