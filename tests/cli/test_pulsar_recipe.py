"""The recipe ``pulsar`` from the command line: configure, look, run, look again."""

import json
import shutil
from pathlib import Path

import pytest

POSITION = "83.6332 deg, 22.0145 deg"


@pytest.fixture
def work(tmp_path, monkeypatch, pulsar_dl3):
    """Return the present folder, with data of a pulsar, its par file, and a configuration."""
    shutil.copytree(pulsar_dl3 / "dl3", tmp_path / "dl3")
    shutil.copy(pulsar_dl3 / "crab.par", tmp_path / "pulsar.par")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def config(call, work):
    words = ["--recipe", "pulsar", "--source", "Crab", "--position", POSITION, "--data", "dl3"]
    code, out, _ = call("init", *words, "-o", "crab.yaml")
    assert code == 0
    assert "ctao-sat run crab.yaml --dry-run" in out
    return Path("crab.yaml")


def test_from_configuration_to_findings(call, config):
    assert call("validate", config)[:2] == (0, "crab.yaml is a valid configuration of pulsar.\n")
    code, out, _ = call("run", config, "--dry-run")
    assert code == 0
    assert "2 observations, 0.17 h of livetime" in out
    code, out, err = call("run", config)
    assert code == 0
    # So bright that the p-value is zero.
    assert "Pulsations of Crab are detected: more than 37 sigma by the H test" in out
    assert "… Test for pulsations" in err
    code, out, _ = call("info", "crab-run", "--json")
    assert code == 0
    assert json.loads(out)["h"] == {
        "statistic": pytest.approx(6000, rel=0.8),
        "p_value": 0,
        "sigma": None,
    }


def test_par_file_that_is_not_there(call, config, work):
    (work / "pulsar.par").unlink()
    code, _, err = call("run", config)
    assert code == 3
    assert "There is no par file" in err
    assert not (work / "crab-run").exists()


def test_par_file_of_another_time(call, config, work):
    path = work / "pulsar.par"
    path.write_text(path.read_text().replace("61700", "50000").replace("61900", "51000"))
    code, _, err = call("run", config)
    assert code == 3
    assert "valid from MJD 50000" in err


def test_phases_that_are_there_are_kept(call, config, work):
    code, _, _ = call("pulsar", "phase", "dl3", "--par", "pulsar.par", "-o", "phased")
    assert code == 0
    text = config.read_text().replace('"dl3"', '"phased"')
    config.write_text(text)
    code, _, err = call("run", config)
    assert code == 2
    assert "have a column PHASE already" in err
    config.write_text(text.replace("  site: header", "  site: header\n  replace_phases: true"))
    assert call("run", config)[0] == 0
