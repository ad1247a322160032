"""What the command irf prints and writes."""

import json
import time

import pytest
from astropy.io import fits
from astropy.table import QTable

from ctao_sat.cli import main
from ctao_sat.simulate import demo_array


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Return a function that runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["irf", *map(str, arguments)])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def test_demonstration_arrays(call):
    start = time.monotonic()
    code, out, err = call("demo-north", "demo-south")
    assert time.monotonic() - start < 10
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "CTAO-SAT-DEMO north, offset 0.5 deg"
    assert "e2dnde" in lines[1]
    assert out.count("significance") > 10
    assert "CTAO-SAT-DEMO south, offset 0.5 deg" in lines
    assert "Demonstration array: These data were simulated" in lines[-1]


def test_range_and_offset(call):
    code, out, _ = call("demo-north", "--energy-min", "1 TeV", "--energy-max", "10 TeV", "--json")
    assert code == 0
    rows = json.loads(out)["irfs"][0]["rows"]
    assert [rows[0]["e_ref"], rows[-1]["e_ref"], len(rows)] == [1.0, 10.0, 6]
    code, out, _ = call("demo-north", "--offset", "2 deg", "--livetime", "5 h", "--json")
    content = json.loads(out)
    assert content["irfs"][0]["offset"] == {"value": 2.0, "unit": "deg"}
    (far,) = [row for row in content["irfs"][0]["rows"] if row["e_ref"] == 1.0]
    assert far["e2dnde"] > 2 * rows[0]["e2dnde"]
    assert content["terms"][0]["name"] == "Demonstration array"


def test_files(call, tmp_path):
    code, out, err = call("demo-north", "demo-south", "-o", "new/irfs.png")
    assert (code, err) == (0, "")
    assert out.splitlines()[-2:] == ["Wrote new/irfs.ecsv", "Wrote new/irfs.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["irfs.ecsv", "irfs.png"]
    table = QTable.read(tmp_path / "new" / "irfs.ecsv")
    assert list(dict.fromkeys(table["irfs"])) == ["CTAO-SAT-DEMO north", "CTAO-SAT-DEMO south"]
    assert table.meta["terms"][0]["name"] == "Demonstration array"
    assert len(table.meta["irfs"]) == 2
    assert "ctao-sat" in table.meta["versions"]
    before = (tmp_path / "new" / "irfs.png").stat().st_mtime_ns
    code, out, err = call("demo-north", "-o", "new/irfs")
    assert (code, out) == (1, "")
    assert "--overwrite" in err
    assert (tmp_path / "new" / "irfs.png").stat().st_mtime_ns == before
    assert call("demo-north", "-o", "new/irfs", "--overwrite", "--quiet") == (0, "", "")
    assert len(QTable.read(tmp_path / "new" / "irfs.ecsv")) == len(table) / 2


def test_a_set_without_background_is_shown_without_sensitivity(call, tmp_path):
    demo_array("north")["aeff"].write(tmp_path / "aeff.fits")
    code, out, err = call("aeff.fits")
    assert (code, err) == (0, "")
    assert "- sensitivity: The IRFs of CTAO-SAT-DEMO north have no edisp, no bkg" in out
    assert "e2dnde" not in out


def test_same_labels_are_told_apart(call, tmp_path):
    for name in ("a", "b"):
        demo_array("north")["aeff"].write(tmp_path / f"{name}.fits")
    _, out, _ = call(".", "--json")
    assert [one["label"] for one in json.loads(out)["irfs"]] == [
        "CTAO-SAT-DEMO north (a.fits)",
        "CTAO-SAT-DEMO north (b.fits)",
    ]


def test_ambiguous_areas(call, tmp_path):
    area = demo_array("north")["aeff"].to_table_hdu()
    areas = [fits.BinTableHDU(area.data, area.header, name=name) for name in ("LOOSE", "TIGHT")]
    fits.HDUList([fits.PrimaryHDU(), *areas]).writeto(tmp_path / "two.fits")
    code, out, err = call("two.fits")
    assert (code, out) == (3, "")
    assert "'LOOSE', 'TIGHT'" in err
    assert call("two.fits", "--hdu", "aeff=LOOSE")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "PATH"),
        (["nowhere"], 3, "no file or folder"),
        (["demo-north", "--offset", "9 deg"], 3, "0–6 deg"),
        (["demo-north", "--offset", "far"], 2, "is not one angle"),
        (["demo-north", "--livetime", "5 TeV"], 2, "livetime"),
        (["demo-north", "--energy-min", "1 deg"], 2, "no energy"),
        (["demo-north", "--energy-min", "1 PeV"], 3, "No bin of energy is left"),
        (["demo-north", "--hdu", "aeff"], 2, "names no HDU"),
        (["demo-north"] * 13, 3, "at most 12"),
        (["no.fits"], 3, "cannot be read"),
        (["empty"], 3, "no FITS file"),
    ],
)
def test_errors(call, tmp_path, arguments, code, message):
    (tmp_path / "no.fits").write_text("no FITS file")
    (tmp_path / "empty").mkdir()
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.realdata
def test_terms_of_real_data(call, gammapy_data):
    _, out, err = call(gammapy_data / "cta-caldb", "-o", "irfs")
    assert err == ""
    assert "Zenodo, doi:10.5281/zenodo.5499840). Licence: CC BY 4.0" in out
    _, out, _ = call(gammapy_data / "hess-dl3-dr1", "--obs-id", 20282)
    assert "No scientific publication may be derived" in out
    assert out.splitlines()[-1].endswith("Not for publication.")
    _, out, _ = call(gammapy_data / "magic" / "rad_max")
    assert "CC BY-NC-SA 4.0" in out
    _, out, err = call(gammapy_data / "hess-dl3-dr1")
    assert "93 sets of IRFs" in err
    assert "--obs-id" in err
