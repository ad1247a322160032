"""A small data set with its configuration, copied for each test that damages it."""

import shutil
from pathlib import Path

import pytest

from ctao_sat.cli import main

CONFIG = """\
recipe: spectrum-1d
schema_version: 1

data:
  path: dl3

target:
  name: Crab-like
  position: 83.633 deg, 22.014 deg

on_region:
  radius: 0.11 deg

reduction:
  energy: {min: 0.5 TeV, max: 20 TeV, per_decade: 5}
  energy_true: {min: 0.2 TeV, max: 50 TeV, per_decade: 5}

fit:
  model:
    type: PowerLawSpectralModel
    parameters:
      - {name: amplitude, value: 1.0e-11, unit: cm-2 s-1 TeV-1}
      - {name: index, value: 2}
      - {name: reference, value: 1, unit: TeV, frozen: true}

flux_points:
  energy: {min: 0.5 TeV, max: 20 TeV, per_decade: 1}

light_curve: null
"""


@pytest.fixture
def call(capsys):
    """Return a function that runs the command line, and returns code, output and messages."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture
def work(tmp_path, monkeypatch, small_dl3) -> Path:
    """Return the present folder, with the data in ``dl3`` and the configuration ``crab.yaml``."""
    folder = tmp_path / "work"
    shutil.copytree(small_dl3, folder / "dl3")
    (folder / "crab.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("GAMMAPY_DATA", raising=False)
    yield folder
    shutil.rmtree(folder)
