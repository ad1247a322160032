"""The command that adds phases writes new files, says how good they are, and touches no input."""

import hashlib
import json

import pytest
from astropy.io import fits

from ctao_sat import dl3

PAR = """\
PSR J0534+2200
RAJ 05:34:31.97232
DECJ 22:00:52.0690
F0 29.7028547123456789
PEPOCH 61770
EPHEM {ephem}
CLK TT(TAI)
"""


@pytest.fixture
def data(work):
    (work / "crab.par").write_text(PAR.format(ephem="builtin"))
    (work / "de.par").write_text(PAR.format(ephem="DE421"))
    orbit = "BINARY BT\nPB 10\nT0 61760\nA1 1\nECC 0.1\nOM 0\n"
    (work / "orbit.par").write_text(PAR.format(ephem="builtin") + orbit)
    return work


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_phase(call, data):
    before = hashes(data / "dl3")
    code, out, err = call("pulsar", "phase", "dl3", "--par", "crab.par", "-o", "new")
    assert (code, err) == (0, "")
    assert "events of 2 observations with phases to" in out
    assert hashes(data / "dl3") == before
    for observation in dl3.open_dl3(data / "new").get_observations():
        table = observation.events.table
        assert table["PHASE"].dtype.kind == "f"
        assert "PULSE_N" not in table.colnames
        assert table.meta["PHPAR"] == "crab.par"
        assert observation.psf is not None
    code, _, err = call("pulsar", "phase", "dl3", "--par", "crab.par", "-o", "new")
    assert code == 1
    assert "--overwrite" in err


def test_files_options_and_json(call, data):
    files = sorted((data / "dl3").glob("obs_*.fits"))
    code, out, _ = call(
        "pulsar", "phase", *files, "--par", "orbit.par", "--site", "south", "--backend", "pint",
        "--pulse-numbers", "--orbit", "--time-offset", "1 ms", "--json", "-o", "new",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert [row["obs_id"] for row in found["observations"]] == [1, 2]
    first = found["observations"][0]
    assert (first["PHSITE"], first["PHBACK"], first["PHOFFSET"]) == ("CTAO-South", "pint", 0.001)
    assert first["ORBPER"] == 10
    assert first["events"] > 100
    table = dl3.open_dl3(found["path"]).get_observations()[0].events.table
    assert {"PHASE", "PULSE_N", "ORBPHASE"} <= set(table.colnames)


def test_events_without_responses(call, data):
    with fits.open(data / "dl3" / "obs_000001.fits") as hdus:
        fits.HDUList([hdus[0], hdus["EVENTS"], hdus["GTI"]]).writeto(data / "events.fits")
    code, out, err = call("pulsar", "phase", "events.fits", "--par", "crab.par", "-o", "new")
    assert (code, err) == (0, "")
    assert "events of 1 observations" in out


def test_the_dialect_of_ctao(call, data):
    (data / "product.yaml").write_text(
        "contact: {name: A. Person, organization: An institute, email: a@b.org}\n"
        "curation: {license: CC-BY-4.0, license_url: 'https://spdx.org/licenses'}\n"
        "instance: {facility_name: Simulated-CTAO}\n"
    )
    code, _, err = call(
        "pulsar", "phase", "dl3", "--par", "crab.par", "--dialect", "ctao-gadf", "--rounding",
        "--metadata", "product.yaml", "-o", "new",
    )  # fmt: skip
    assert (code, err) == (0, "")
    header = fits.getheader(data / "new" / "obs_000001.fits", "EVENTS")
    assert header["PHPSR"] == "J0534+2200"


@pytest.mark.filterwarnings("default::ctao_sat.errors.CtaoSatWarning")
def test_a_missing_kernel_is_told_once(call, data):
    code, _, err = call("pulsar", "phase", "dl3", "--par", "de.par", "-o", "new")
    assert code == 0
    assert err.count("asks for DE421") == 1
    code, _, err = call(
        "pulsar", "phase", "dl3", "--par", "de.par", "--max-phase-error", "1e-4", "-o", "newer"
    )
    assert code == 3
    assert "--ephem" in err
    assert not (data / "newer").exists()
    code, _, err = call("pulsar", "phase", "dl3", "--par", "de.par", "--ephem", "x.bsp", "-o", "n")
    assert code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["dl3", "--par", "crab.par"], 2, "--out"),
        (["dl3", "-o", "new"], 2, "--par"),
        (["dl3", "--par", "none.par", "-o", "new"], 3, "no par file"),
        (["none", "--par", "crab.par", "-o", "new"], 3, "none"),
        (["dl3", "--par", "crab.par", "--site", "norht", "-o", "new"], 2, "Did you mean 'north'?"),
        (["dl3", "--par", "crab.par", "--time-offset", "1 m", "-o", "new"], 2, "is no time"),
        (["dl3", "--par", "crab.par", "--orbit", "-o", "new"], 3, "has no orbit"),
    ],
)
def test_mistakes(arguments, code, text, call, data):
    found, _, err = call("pulsar", "phase", *arguments)
    assert found == code
    assert text in err


def test_replace_phases(call, data):
    call("pulsar", "phase", "dl3", "--par", "crab.par", "-o", "one", "-q")
    code, _, err = call("pulsar", "phase", "one", "--par", "crab.par", "-o", "two")
    assert code == 2
    assert "--replace-phases" in err
    code, out, err = call(
        "pulsar", "phase", "one", "--par", "crab.par", "--replace-phases", "--no-barycentre",
        "-o", "two", "-q",
    )  # fmt: skip
    assert (code, out, err) == (0, "", "")


def test_help_has_examples(call):
    code, out, _ = call("pulsar", "phase", "--help")
    assert code == 0
    assert "Examples:" in out
    assert call("pulsar", "--help")[0] == 0
