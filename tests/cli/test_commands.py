"""What each command prints, writes and returns."""

import hashlib
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import click
import pytest
import yaml
from astropy.io import fits

from ctao_sat import recipes, result
from ctao_sat.cli import cli

COMMANDS = ["demo", "init", "validate", "run", "simulate", "irf", "info"]
COMMANDS += ["data index", "data check", "pulsar phase", "pulsar test"]
INIT = ("init", "--source", "Crab-like", "--position", "83.633 deg, 22.014 deg")


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Help


def leaves(group, words=()):
    """Yield each command by its words; a group stands for the commands in it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def test_all_commands_are_tested():
    assert sorted(name for name, _ in leaves(cli)) == sorted(COMMANDS)


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", ["", "data", "pulsar", *COMMANDS])
def test_help_has_examples_and_explains_each_option(call, command, option):
    code, out, err = call(*command.split(), option)
    assert (code, err) == (0, "")
    assert f"  ctao-sat {command}" in out.split("Example", 1)[1]
    if command in COMMANDS:
        found = dict(leaves(cli))[command]
        options = [one for one in found.params if isinstance(one, click.Option)]
        assert [one.name for one in options if not one.help] == []


def test_no_arguments_show_the_help(call):
    assert call() == call("--help")


def test_version(call):
    code, out, _ = call("--version")
    assert code == 0
    assert out.startswith("ctao-sat ")


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help_are_valid_commands(command):
    found = dict(leaves(cli))[command]
    lines = found.epilog.replace("\n      --", " --").splitlines()
    examples = [line.split("   ", 1)[0] for line in map(str.strip, lines) if "ctao-sat" in line]
    assert examples
    for example in examples:
        words = shlex.split(example)[1 + len(command.split()) :]
        context = found.make_context(command, words)
        assert context.args == []


# The chain


def test_init_validate_dry_run_run(call, work):
    code, out, _ = call(*INIT, "--data", "dl3", "-o", "mine/new.yaml")
    assert code == 0
    assert "ctao-sat run mine/new.yaml --dry-run" in out
    # The path was given from here; the file stands elsewhere.
    assert yaml.safe_load(Path("mine/new.yaml").read_text())["data"]["path"] == "../dl3"

    code, out, _ = call("validate", "mine/new.yaml")
    assert (code, out) == (0, "mine/new.yaml is a valid configuration of spectrum-1d.\n")

    before = tree(work)
    code, out, _ = call("run", "mine/new.yaml", "--dry-run")
    assert code == 0
    assert "2 observations, 0.07 h of livetime" in out
    assert tree(work) == before


def test_a_run_is_complete_and_never_overwritten_unasked(call, work):
    inputs = tree(work)
    code, out, err = call("run", "crab.yaml")
    assert code == 0
    assert "Crab-like is detected" in out
    assert "crab-run" in out
    assert "… Select observations" in err
    first = tree(work / "crab-run")
    assert {"provenance.json", "report.html", "config.yaml", "models.yaml"} <= set(first)
    assert {name: tree(work)[name] for name in inputs} == inputs
    assert sorted(path.name for path in work.iterdir()) == ["crab-run", "crab.yaml", "dl3"]

    code, out, err = call("run", "crab.yaml")
    assert (code, out) == (1, "")
    assert "is there already" in err
    assert "--overwrite" in err
    assert tree(work / "crab-run") == first

    code, out, err = call("run", "crab.yaml", "--overwrite", "--quiet")
    assert (code, out, err) == (0, "", "")
    assert tree(work / "crab-run") != first
    assert sorted(path.name for path in work.iterdir()) == ["crab-run", "crab.yaml", "dl3"]

    code, out, err = call("info", "crab-run")
    assert code == 0
    assert out.startswith("Crab-like: detection\n- Crab-like is detected")

    code, out, err = call("info", "crab-run", "--json")
    summary = json.loads(out)
    assert (code, err, summary["status"]) == (0, "", "detection")

    # The configuration as run gives the same run.
    code, out, err = call("run", "crab-run/config.yaml", "-o", "again", "--json", "--quiet")
    again = json.loads(out)
    assert (code, err) == (0, "")
    assert again.pop("path") == str(work / "again")
    assert again == summary


# JSON, and silence


def test_json_of_a_dry_run(call, work):
    code, out, _ = call("run", "crab.yaml", "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0
    assert [row["obs_id"] for row in plan["observations"]] == [1, 2]
    assert plan["cuts"][0] == {"criterion": "candidates", "passed": 2, "left": 2}
    assert plan["estimated_seconds"] > 0


def test_json_of_a_validation(call, work):
    code, out, err = call("validate", "crab.yaml", "--json")
    config = json.loads(out)
    assert (code, err) == (0, "")
    assert config["on_region"]["radius"] == "0.11 deg"
    # Defaults are written out.
    assert config["detection_threshold"] == 5.0


def test_json_of_info(call, work):
    code, out, err = call("info", "--json")
    assert (code, err) == (0, "")
    assert set(json.loads(out)) == {"versions", "GAMMAPY_DATA"}
    code, out, err = call("info", "dl3", "--json")
    assert (code, err) == (0, "")
    assert [row["obs_id"] for row in json.loads(out)] == [1, 2]


def test_json_of_a_simulation(call, work):
    arguments = ("simulate", "--target", "1 deg, 2 deg", "--n-runs", 1, "--livetime", "1 s")
    code, out, err = call(*arguments, "-o", "sim", "--json")
    assert (code, err) == (0, "")
    assert [row["obs_id"] for row in json.loads(out)] == [1]
    first = tree(work / "sim")
    code, out, err = call(*arguments, "-o", "sim")
    assert (code, out) == (1, "")
    assert "--overwrite" in err
    assert tree(work / "sim") == first


def test_a_simulation_in_the_dialect_of_ctao(call, work):
    product = {
        "contact": {"name": "A. Person", "organization": "An institute", "email": "a@b.org"},
        "curation": {"license": "CC-BY-SA-4.0"},
    }
    Path("product.yaml").write_text(yaml.safe_dump(product))
    arguments = ("--target", "83.6 deg, 22 deg", "--n-runs", 1, "--livetime", "2 s", "-o", "sim")
    code, _, _ = call(
        "simulate", *arguments, "--dialect", "ctao-gadf", "--metadata", "product.yaml"
    )
    assert code == 0
    header = fits.getheader("sim/obs_000001.fits")
    assert (header["AUTHOR"], header["DATATYPE"]) == ("A. Person", "ObservationSim")


@pytest.mark.parametrize(
    "arguments",
    [
        ("info",),
        ("info", "dl3"),
        ("validate", "crab.yaml"),
        ("run", "crab.yaml", "--dry-run"),
        (*INIT, "-o", "new.yaml"),
        ("simulate", "--target", "1 deg, 2 deg", "--n-runs", "1", "--livetime", "1 s", "-o", "s"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_quiet_prints_nothing(call, work, arguments):
    assert call(*arguments, "--quiet") == (0, "", "")


def test_quiet_still_prints_errors(call, work):
    code, out, err = call("info", "nowhere", "--quiet")
    assert (code, out) == (3, "")
    assert err.startswith("Error: There is no data folder 'nowhere'.")


# The demonstration


@pytest.fixture
def quick_demo(monkeypatch, tmp_path):
    """Make the demonstration write its data only, for it is tested as a whole elsewhere."""
    monkeypatch.chdir(tmp_path)
    written = []

    def write_demo(path, **options):
        path.mkdir(exist_ok=options["overwrite"])
        written.append((path, options))
        return path / "demo.yaml"

    monkeypatch.setattr(recipes, "write_demo", write_demo)
    return written


def test_demo_passes_its_options_on(call, quick_demo, monkeypatch):
    class Done:
        exit_code = 4
        statements = ("One.",)
        summary = {"significance": float("nan")}  # noqa: RUF012
        path = Path("here")

    seen = {}
    monkeypatch.setattr(recipes, "run", lambda config, **options: seen.update(options) or Done())
    code, out, _ = call("demo", "--site", "south", "--seed", 7, "-o", "d", "-j", 2, "--json")
    assert code == 4
    assert json.loads(out) == {"significance": None, "statements": ["One."], "path": "here"}
    assert (seen["n_jobs"], seen["out"], seen["overwrite"]) == (2, Path("d/run"), False)
    ((path, options),) = quick_demo
    assert (path, options["site"], options["seed"]) == (Path("d"), "south", 7)


# Messages


def test_a_message_is_shown_once(call, work, monkeypatch):
    def noisy(path):
        for number in range(3):
            logging.getLogger("gammapy.irf").warning("The axis is a scalar.")
            logging.getLogger("gammapy.irf").info("Details.")
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.warn("A warning.", UserWarning, stacklevel=number + 1)
        return {"target": "x", "status": "y", "statements": []}

    monkeypatch.setattr("ctao_sat.workflow.read_summary", noisy)
    Path("run").mkdir()
    Path("run", result.MARKER).write_text("{}")
    loggers = [logging.getLogger(name) for name in ("gammapy", "ctao_sat")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    shown = warnings.showwarning

    code, out, err = call("info", "run")
    assert (code, out) == (0, "x: y\n")
    assert err.splitlines() == ["WARNING: The axis is a scalar.", "WARNING: A warning."]
    assert "INFO: Details." in call("info", "run", "--verbose")[2]
    assert call("info", "run", "--debug")[2].count("WARNING: The axis is a scalar.") == 3
    assert call("info", "run", "--quiet") == (0, "", "")
    assert [(one.handlers[:], one.level, one.propagate) for one in loggers] == before
    assert warnings.showwarning is shown


def test_years_without_leap_seconds_are_no_news(call, work):
    text = Path("crab.yaml").read_text()
    later = text.replace("path: dl3", "path: dl3\n  time: [[2033-01-01, 2033-02-01]]")
    Path("crab.yaml").write_text(later)
    code, _, err = call("validate", "crab.yaml")
    assert (code, err) == (0, "")


def test_a_bug_of_ours_is_reported_without_traceback(call, work, monkeypatch):
    def fail(path):
        raise RuntimeError("boom")

    monkeypatch.setattr(recipes, "read_config", fail)
    code, out, err = call("validate", "crab.yaml")
    assert (code, out) == (1, "")
    assert "RuntimeError: boom" in err
    assert "report the traceback" in err
    assert "Traceback" not in err
    assert "Traceback" in call("validate", "crab.yaml", "--debug")[2]


def test_debug_shows_where_an_error_comes_from(call, work):
    code, _, err = call("validate", "vela.yaml", "--debug")
    assert code == 2
    assert "Traceback" in err


# Interrupts


def test_an_interrupt_is_reported(call, work, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "run", interrupt)
    before = tree(work)
    assert call("run", "crab.yaml") == (130, "", "\nInterrupted. Nothing was overwritten.\n")
    assert tree(work) == before


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "ctao_sat", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c(work, jobs):
    arguments = ("simulate", "--target", "1 deg, 2 deg", "--livetime", "50 h", "--n-runs", "8")
    process = start(*arguments, "-j", jobs, "-o", "out/sim")
    for _ in range(600):
        if any(work.glob("out/.sim*")) or process.poll() is not None:
            break
        time.sleep(0.05)
    time.sleep(0.5)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted. Nothing was overwritten."
    assert "Traceback" not in err
    # No data, and no scratch folder.
    assert list((work / "out").iterdir()) == []


def test_a_reader_that_has_seen_enough(work):
    process = start("info", "dl3", stdout=subprocess.PIPE)
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == ""


# Real data


@pytest.mark.realdata
def test_init_knows_sources_by_name(call, tmp_path, gammapy_data):
    path = tmp_path / "crab.yaml"
    assert call("init", "--source", "Crab Nebula", "-o", path)[0] == 0
    assert yaml.safe_load(path.read_text())["target"]["position"].startswith("83.6")

    code, out, err = call("init", "--source", "Crab Nebulla", "-o", tmp_path / "new.yaml")
    assert (code, out) == (3, "")
    assert "No source 'Crab Nebulla'" in err
    assert "Did you mean 'Crab nebula'?" in err
    assert not (tmp_path / "new.yaml").exists()
