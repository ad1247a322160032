"""The top level is a map: it names everything, loads nothing, and helps with mistyped names."""

import ast
import inspect
import json
import os
import pkgutil
import pydoc
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

import ctao_sat

SOURCE = Path(ctao_sat.__file__)
HEAVY = ["astropy", "gammapy", "matplotlib", "numba"]


def declared() -> dict[str, list[str]]:
    """Return what type checkers are told: the names imported from each of our modules."""
    blocks = [
        node
        for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    (block,) = blocks
    return {
        node.module: [alias.name for alias in node.names]
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }


MODULES = declared()["ctao_sat"]
NAMES = [(home, name) for home, names in declared().items() if home != "ctao_sat" for name in names]


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running the code."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    path = os.pathsep.join([str(SOURCE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def test_import_loads_nothing_heavy():
    loaded = loaded_after("import ctao_sat; ctao_sat.__version__; dir(ctao_sat)")
    assert "ctao_sat" in loaded
    assert loaded.isdisjoint([*HEAVY, "numpy", "pydantic", "scipy", "yaml"])


def test_help_of_the_command_loads_nothing_heavy():
    code = """
from ctao_sat.cli import main
sys.argv = ["ctao-sat", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    loaded = loaded_after(code)
    assert {"click", "ctao_sat"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_name_loads_its_level():
    assert "gammapy" in loaded_after("import ctao_sat; ctao_sat.DataStore")


@pytest.mark.parametrize(("home", "name"), NAMES)
def test_name_is_that_of_its_home(home, name):
    module = import_module(home)
    assert name in module.__all__
    assert getattr(ctao_sat, name) is getattr(module, name)


@pytest.mark.parametrize("name", MODULES)
def test_module_is_the_module(name):
    assert getattr(ctao_sat, name) is import_module(f"ctao_sat.{name}")


def test_all_is_what_type_checkers_see():
    assert sorted(ctao_sat.__all__) == sorted(
        ["__version__", *MODULES, *(name for _, name in NAMES)]
    )


def test_dir_lists_all_and_no_helpers():
    names = dir(ctao_sat)
    assert set(ctao_sat.__all__) <= set(names)
    assert not [name for name in names if name not in ctao_sat.__all__ and name[:2] != "__"]


def test_star_import():
    namespace: dict[str, object] = {}
    exec("from ctao_sat import *", namespace)
    assert set(ctao_sat.__all__) <= set(namespace)


def test_version():
    try:
        expected = metadata.version("ctao-sat")
    except metadata.PackageNotFoundError:
        expected = "0+unknown"
    assert ctao_sat.__version__ == expected


def test_version_of_a_tree_that_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert ctao_sat.__version__ == "0+unknown"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("DataStor", "DataStore"), ("dl6", "dl"), ("skymodel", "SkyModel"), ("Flux_Points", "flux")],
)
def test_mistyped_name(name, nearest):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'.* Did you mean '{nearest}"):
        getattr(ctao_sat, name)


@pytest.mark.parametrize("name", ["_private", "import_modul", "qqqqqqqq"])
def test_unknown_name(name):
    assert not hasattr(ctao_sat, name)


def public_modules() -> list[str]:
    found = [module.name for module in pkgutil.iter_modules(ctao_sat.__path__)]
    return [name for name in found if not name.startswith("_")]


def test_help_names_every_module():
    text = pydoc.plain(pydoc.render_doc(ctao_sat))
    table = text[: text.index("PACKAGE CONTENTS")]
    assert [name for name in public_modules() if f"`{name}`" not in table] == []


def test_every_module_but_the_command_is_reachable():
    assert set(public_modules()) - {"cli"} == set(MODULES)


def test_docstring_names_exist():
    names = re.findall(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)", inspect.getdoc(ctao_sat))
    assert len(names) > 10
    for name in set(names) - {"cli"}:
        value = ctao_sat
        for part in name.split("."):
            value = getattr(value, part)
