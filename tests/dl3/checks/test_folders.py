"""Checks across files, what a check returns, and files that cannot be read."""

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from ctao_sat import dl3
from ctao_sat.dl3._checks import CHECKS, FOLDER_CHECKS
from ctao_sat.errors import DataError, MissingDataError

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


def drop_index(folder):
    for index in folder.glob("*index*"):
        index.unlink()


def same_run_twice_unindexed(folder):
    same_run_twice(folder)
    drop_index(folder)


def two_sets_of_responses(folder):
    split(folder)
    (folder / "other").mkdir()
    shutil.copy(folder / "irfs.fits", folder / "other")


def change_run(folder, change):
    with fits.open(folder / RUN, memmap=False) as content:
        hdus = fits.HDUList([hdu.copy() for hdu in content])
    change(hdus)
    hdus.writeto(folder / RUN, overwrite=True)
    drop_index(folder)


def twice_in_a_file(name):
    def change(hdus):
        hdus.append(hdus[name].copy())
        hdus[-1].name = "OTHER"

    return lambda folder: change_run(folder, change)


def same_name(folder):
    def change(hdus):
        hdus.append(fits.ImageHDU(np.zeros(3), name="GTI"))

    change_run(folder, change)


def of_unknown_class(folder):
    def change(hdus):
        hdus["EFFECTIVE AREA"].header["HDUCLAS4"] = "AEFF_3D"

    change_run(folder, change)


def listed_twice(table):
    row = [kind.strip() for kind in table["HDU_TYPE"]].index("gti")
    table.add_row(table[row])
    table["HDU_NAME"][-1] = "EVENTS"


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
    ("matching", "warning", "; the index tables decide.", same_run_twice),
    ("matching", "error", "copy.fits[EVENTS], obs_000001.fits[EVENTS]", same_run_twice_unindexed),
    ("matching", "error", "has 2 candidates for 'aeff': ", two_sets_of_responses),
    ("matching", "error", "has 2 candidates for 'aeff': ", twice_in_a_file("EFFECTIVE AREA")),
    ("matching", "error", "has 2 candidates for 'gti': ", twice_in_a_file("GTI")),
    ("matching", "error", "2 HDUs named 'GTI'", same_name),
    ("index-readable", "error", "no index table", lambda f: (f / "obs-index.fits.gz").unlink()),
    (
        "index-readable",
        "error",
        "lists 2 tables 'gti'",
        edit_hdu_index(listed_twice),
    ),
    ("responses", "error", "no aeff", of_unknown_class),
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
    # Field of view and energies are among the faults of a file.
    assert {fault[0] for fault in FAULTS} | {"event-field", "event-energy"} == names


REFUSED = [
    same_run_twice_unindexed,
    two_sets_of_responses,
    twice_in_a_file("EFFECTIVE AREA"),
    twice_in_a_file("GTI"),
    same_name,
    lambda folder: (folder / "obs-index.fits.gz").unlink(),
]


@pytest.mark.parametrize("change", REFUSED)
def test_what_open_dl3_refuses_is_an_error_with_its_remedy(folder, change):
    change(folder)
    with pytest.raises(DataError) as refused:
        dl3.open_dl3(folder)
    found = [f for f in dl3.check(folder).findings if f.severity == "error"]
    assert (refused.value.message, refused.value.remedy) in {(f.what, f.remedy) for f in found}


def test_two_event_types_of_an_observation_are_no_fault(folder):
    for name, event_type in ((RUN, "one"), ("obs_000002.fits", "two")):
        with fits.open(folder / name, mode="update") as hdus:
            for hdu in hdus[1:]:
                hdu.header["EVTYPE"] = event_type
                hdu.header["OBS_ID"] = 1
    drop_index(folder)
    assert dl3.check(folder).findings == ()


def test_two_event_types_with_the_same_events(folder):
    for name in (RUN, "copy.fits"):
        shutil.copy(folder / RUN, folder / "copy.fits")
        with fits.open(folder / name, mode="update") as hdus:
            for hdu in hdus[1:]:
                hdu.header["EVTYPE"] = name
    drop_index(folder)
    (folder / "obs_000002.fits").unlink()
    (finding,) = dl3.check(folder).findings
    assert (finding.check, finding.severity) == ("matching", "error")
    assert "of both event types" in finding.what
    with pytest.raises(DataError, match="of both event types"):
        dl3.read_event_types(dl3.open_event_types(folder), [1])


def test_index_tables_of_files_elsewhere_are_followed(folder, tmp_path, monkeypatch):
    index = tmp_path / "index"
    index.mkdir()
    for table in folder.glob("*index*"):
        shutil.move(table, index)
    monkeypatch.setenv("DATA_OF_MINE", str(folder))

    def move(table):
        table.replace_column("FILE_DIR", ["$DATA_OF_MINE"] * len(table))

    edit_hdu_index(move)(index)
    result = dl3.check(index)
    assert result.findings == ()
    assert sorted(Path(file).name for file in result.files) == [
        "hdu-index.fits.gz",
        "obs-index.fits.gz",
        RUN,
        "obs_000002.fits",
    ]
    with fits.open(folder / RUN, mode="update") as hdus:
        hdus["EVENTS"].header["DEADC"] = 0.5
    assert [f.check for f in dl3.check([index, folder]).findings] == ["deadc"]
    (folder / RUN).unlink()
    assert {(f.check, f.severity) for f in dl3.check(index).findings} == {
        ("index-targets", "error")
    }


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
