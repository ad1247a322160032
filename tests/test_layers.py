"""The import contracts of ``pyproject.toml`` hold, and each of them can be broken."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> tuple[int, str, dict[str, str]]:
    """Return exit code, output, and the verdict on each contract of the project in a folder."""
    # A path entry comes before an installed package, so that the folder's own sources are read.
    path = os.pathsep.join([str(folder / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    output = done.stdout + done.stderr
    verdicts = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", output, re.MULTILINE))
    return done.returncode, output, verdicts


@pytest.fixture
def copy(tmp_path) -> Path:
    """Return a copy of the project that a test may spoil."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "src" / "ctao_sat",
        tmp_path / "src" / "ctao_sat",
        ignore=lambda folder, names: [
            name for name in names if not (name.endswith(".py") or Path(folder, name).is_dir())
        ],
    )
    return tmp_path


PLANTED = [
    ("Imports go down the layers", "errors.py", "import ctao_sat.dl3"),
    ("Imports go down the layers", "dl3/_open.py", "from ctao_sat import dl5"),
    ("Imports go down the layers", "parallel.py", "import ctao_sat.result"),
    ("Imports go down the layers", "unlisted.py", ""),
    ("The top level loads nothing heavy", "__init__.py", "import gammapy.data"),
    ("The top level loads nothing heavy", "__init__.py", "import numpy as np"),
    ("Kernels know arrays only", "kernels/sums.py", "import astropy.units as u"),
    ("Kernels know arrays only", "kernels/sums.py", "from gammapy.stats import cash"),
    ("matplotlib only in plotting", "result.py", "import matplotlib.pyplot as plt"),
    ("dask only in parallel", "dl4/_reduce.py", "import dask"),
    ("dask only in parallel", "dl5/_light_curve.py", "from distributed import Client"),
    ("PINT only in its backend", "pulsar/_native.py", "import pint.models"),
    ("PINT only in its backend", "plotting/pulsar.py", "from pint import toa"),
    ("Recipes do not import each other", "recipes/other.py", "import ctao_sat.recipes.spectrum_1d"),
    ("Recipes do not import each other", "recipes/other.py", "import ctao_sat.recipes._registry"),
]


def test_contracts_hold():
    code, output, verdicts = lint(ROOT)
    assert code == 0, output
    assert set(verdicts) == {contract for contract, _, _ in PLANTED}


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_contract_can_be_broken(copy, contract, file, line):
    path = copy / "src" / "ctao_sat" / file
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{text}\n{line}\n", encoding="utf-8")
    code, output, verdicts = lint(copy)
    assert code == 1, output
    broken = {name for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert broken == {contract}, output
