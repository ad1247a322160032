"""What README and the documentation show works as shown: every block is run, here or by CI."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ctao_sat import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^<!-- (ci|test): ([\w-]+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {name: (runner, code) for runner, name, _, code in BLOCK.findall(README)}
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


def run(command: list[str], folder: Path, *, with_data: bool = False) -> str:
    """Run a command as a user would, without Gammapy's data by default; return what it prints."""
    environment = {
        name: value for name, value in os.environ.items() if with_data or name != "GAMMAPY_DATA"
    }
    environment["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def first_minutes(tmp_path_factory) -> tuple[Path, str]:
    """Run the commands of the first ten minutes; return their folder and what they print."""
    folder = tmp_path_factory.mktemp("first-minutes")
    return folder, run(["bash", "-euo", "pipefail", "-c", BLOCKS["first-minutes"][1]], folder)


def test_every_block_is_run():
    assert len(BLOCKS) == README.count("\n```") / 2
    assert {name: runner for name, (runner, _) in BLOCKS.items()} == {
        "demo": "ci",
        "test": "ci",
        "first-minutes": "test",
        "python": "test",
    }


@pytest.mark.parametrize("name", ["demo", "test"])
def test_set_up_is_one_command(name):
    _, code = BLOCKS[name]
    assert len(code.splitlines()) == 1
    assert f"run_block {name}" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_first_minutes_use_every_command():
    called = re.findall(r"^ctao-sat (\w+)", BLOCKS["first-minutes"][1], re.MULTILINE)
    # Pulsars need a par file: they have examples of their own.
    assert {*called, "pulsar"} == set(cli.cli.commands)


def test_table_names_every_command():
    (row,) = [line for line in README.splitlines() if line.startswith("| `ctao-sat` |")]
    commands = set()
    for name, command in cli.cli.commands.items():
        inner = getattr(command, "commands", None)
        commands |= {f"{name} {one}" for one in inner} if inner else {name}
    assert set(re.findall(r"`([a-z ]+)`", row)) == commands
    page = (ROOT / "docs" / "command-line.rst").read_text(encoding="utf-8")
    assert set(re.findall(r"^``([a-z ]+)`` ", page, re.MULTILINE)) == commands


def test_first_minutes_leave_a_run(first_minutes):
    folder, output = first_minutes
    for name in (
        "config.yaml",
        "models.yaml",
        "models_covariance.dat",
        "datasets/datasets.yaml",
        "fit_result.yaml",
        "flux_points.fits",
        "flux_points.ecsv",
        "light_curve.fits",
        "light_curve.ecsv",
        "summary.json",
        "provenance.json",
        "report.html",
    ):
        assert (folder / "crab-run" / name).stat().st_size > 0
    assert list((folder / "crab-run" / "plots").glob("*.png"))
    # The last command repeats the findings.
    assert "Crab: detection" in output.split("Report:")[-1]


def test_notebook(first_minutes):
    folder, _ = first_minutes
    output = run([sys.executable, "-W", "error", "-c", BLOCKS["python"][1]], folder)
    assert output.startswith("detection\n")
    assert "LogParabolaSpectralModel" in output


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_of_the_documentation(first_minutes, path):
    folder, _ = first_minutes
    assert run([sys.executable, "-W", "error", str(path)], folder)


def test_configuration_of_the_pulsar_recipe(first_minutes, monkeypatch, capsys):
    folder, _ = first_minutes
    examples = ROOT / "docs" / "examples"
    if not (folder / "crab-pulsar-dl3").is_dir():
        run([sys.executable, str(examples / "pulsar.py")], folder)
    shutil.copy(examples / "pulsar.yaml", folder)
    monkeypatch.chdir(folder)
    assert cli.main(["run", "pulsar.yaml"]) == 0
    assert "Pulsations of Crab pulsar are detected" in capsys.readouterr().out
    assert (folder / "pulsar-run" / "report.html").is_file()


@pytest.mark.realdata
def test_tutorial_prints_what_its_page_shows(tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(ROOT / "docs" / "examples" / "realdata", tmp_path / "vela")
    output = run([sys.executable, "-W", "error", "vela.py"], folder, with_data=True)
    page = (ROOT / "docs" / "tutorial-vela.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^    (?!ctao-sat)(\S.*)$", page, re.MULTILINE)
    assert shown == output.splitlines()
    monkeypatch.chdir(folder)
    assert cli.main(["run", "vela.yaml", "-o", "vela-run"]) == 0
    verdict = "Pulsations of Vela are detected: 3.9 sigma by the regions of phase"
    assert verdict in capsys.readouterr().out


@pytest.mark.realdata
def test_flare_prints_what_its_page_shows(tmp_path):
    examples = ROOT / "docs" / "examples" / "realdata"
    output = run(
        [sys.executable, "-W", "error", str(examples / "flare.py")], tmp_path, with_data=True
    )
    assert output == (examples / "flare.txt").read_text(encoding="utf-8")
    assert (tmp_path / "pks-2155-304.png").is_file()


def test_examples_are_shown():
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.rst"))
    assert EXAMPLES
    for path in EXAMPLES:
        assert f".. literalinclude:: examples/{path.name}\n" in pages
