"""The files around the code agree with each other, and with the code."""

import ast
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from numpydoc.validate import validate
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "ctao_sat"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))
JOBS = {
    name: job
    for name, job in GITLAB.items()
    if name not in {"stages", "default", "variables"} and not name.startswith(".")
}
PYTHONS = [
    name.rpartition(" ")[2]
    for name in PROJECT["classifiers"]
    if name.startswith("Programming Language :: Python :: 3.")
]
GAMMAPY_DOI = "10.1051/0004-6361/202346488"
MODULES = [
    "cli", "config", "dl3", "dl4", "dl5", "errors", "likelihood", "parallel", "plotting", "pulsar",
    "recipes", "recipes.pulsar", "recipes.spectrum_1d", "report", "result", "simulate",
    "transients", "workflow",
]  # fmt: skip


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def names(requirements: list[str]) -> set[str]:
    """Return the names of required distributions, ours with its extras resolved."""
    found = set()
    for requirement in map(Requirement, requirements):
        if requirement.name == PROJECT["name"]:
            for extra in requirement.extras:
                found |= names(EXTRAS[extra])
        else:
            found.add(requirement.name.lower())
    return found


def test_python_versions_are_those_allowed():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(6, 30) if f"3.{minor}.5" in allowed] == PYTHONS


def test_python_versions_agree():
    (matrix,) = JOBS["test"]["parallel"]["matrix"]
    assert matrix["PYTHON"] == PYTHONS
    assert JOBS["oldest-dependencies"]["variables"]["PYTHON"] == PYTHONS[0]
    assert GITLAB["variables"]["PYTHON"] in PYTHONS
    assert json.loads(read("codemeta.json"))["runtimePlatform"] == [f"Python {v}" for v in PYTHONS]
    (image,) = set(re.findall(r"^ARG PYTHON=(.*)$", read("Dockerfile"), re.MULTILINE))
    assert image in PYTHONS
    assert f"Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}" in read("README.md")
    target = PYPROJECT["tool"]["mypy"]["python_version"]
    assert target == PYTHONS[0]


def test_pipeline_is_consistent():
    stages = ["static-checks", "test", "docs", "build", "deploy"]
    assert GITLAB["stages"] == stages
    assert {job["stage"] for job in JOBS.values()} == set(stages)
    for job in JOBS.values():
        assert set(job.get("needs", [])) <= set(JOBS)
    assert JOBS["deploy"]["rules"] == [{"if": "$CI_COMMIT_TAG"}]


def test_pipeline_calls_parts_that_exist():
    lines = [line for job in JOBS.values() for line in job["script"]]
    called = [line.split()[1] for line in lines if line.startswith(".ci/run ")]
    assert sorted(called) == ["oldest", "readme", "static"]
    script = read(".ci/run")
    for part in called:
        assert re.search(rf"^{part}\(\) \{{$", script, re.MULTILINE)


def test_ci_refuses_unknown_parts():
    done = subprocess.run(
        [ROOT / ".ci" / "run", "nonsense"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "No part 'nonsense'" in done.stderr


def test_checkers_are_in_the_extra():
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    tools = {hook["entry"].removeprefix("python -m ").split()[0] for hook in repository["hooks"]}
    assert tools == {"codespell", "mypy", "numpydoc", "ruff"}
    assert tools <= names(EXTRAS["lint"])


def test_extra_all_is_all():
    others = [name for name in EXTRAS if name != "all"]
    assert names(EXTRAS["all"]) == set().union(*(names(EXTRAS[name]) for name in others))
    assert set(metadata.metadata("ctao-sat").get_all("Provides-Extra")) == set(EXTRAS)


def imported() -> dict[str, set[str]]:
    """Return the top-level modules that our sources import, with the modules that do."""
    found: dict[str, set[str]] = {}
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                found.setdefault(module.partition(".")[0], set()).add(
                    path.relative_to(SOURCES).parts[0]
                )
    return found


def test_imports_are_declared():
    providers = metadata.packages_distributions()
    declared = names(PROJECT["dependencies"])
    optional = {"parallel": names(EXTRAS["distributed"]), "pulsar": names(EXTRAS["pulsar"])}
    for module, files in imported().items():
        if module == "ctao_sat" or module in sys.stdlib_module_names:
            continue
        distributions = {name.lower() for name in providers[module]}
        if all(distributions & optional.get(file, set()) for file in files):
            continue
        assert distributions & declared, f"{module}, imported in {sorted(files)}, is not declared"


def test_lower_bounds_are_given():
    for requirement in map(Requirement, PROJECT["dependencies"]):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert ">=" in operators, requirement


def test_data_files_are_packaged():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [
        path
        for path in SOURCES.rglob("*")
        if path.is_file() and path.suffix != ".py" and path.parent.name != "__pycache__"
    ]
    assert files
    for path in files:
        assert any(fnmatch(path.name, pattern) for pattern in patterns), path
        assert (path.parent / "__init__.py").is_file(), path


def test_citation():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    (article,) = citation["references"]
    assert article["doi"] == GAMMAPY_DOI
    assert GAMMAPY_DOI in read("README.md")


def test_codemeta():
    codemeta = json.loads(read("codemeta.json"))
    assert codemeta["name"] == PROJECT["name"]
    assert codemeta["description"] == PROJECT["description"]
    assert codemeta["license"].rpartition("/")[2] == PROJECT["license"]
    assert codemeta["referencePublication"]["identifier"].endswith(GAMMAPY_DOI)


def test_change_fragments_are_collected():
    types = [kind["directory"] for kind in PYPROJECT["tool"]["towncrier"]["type"]]
    pattern = rf"(\d+|\+[\w-]+)\.({'|'.join(types)})(\.\d+)?\.rst"
    for path in (ROOT / "docs" / "changes").iterdir():
        assert re.fullmatch(pattern, path.name), path.name
    assert "\n.. towncrier release notes start\n" in read("CHANGES.rst")


def test_image_runs_without_privileges():
    final = read("Dockerfile").rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\w+)$", final, re.MULTILINE) == ["sat"]
    assert 'ENTRYPOINT ["ctao-sat"]' in final
    (writable,) = re.findall(r"chmod -R 1777 (\S+)", final)
    for variable in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        (folder,) = re.findall(rf"{variable}=(\S+)", final)
        assert folder.startswith(f"{writable}/")
        assert folder in final.partition("mkdir -p")[2].partition("&&")[0]


def test_image_copies_what_the_build_needs():
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", read("Dockerfile"), re.MULTILINE)
    files = {name for line in copied for name in line.split()}
    assert files == {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "src"}


def documented() -> set[str]:
    """Return the full names in the tables of the API page."""
    found, module = set(), ""
    for line in read("docs/api/index.rst").splitlines():
        if match := re.match(r"\.\. (?:auto)?module:: (\S+)", line):
            module = match[1]
        elif match := re.match(r"   (\w[\w.]*)$", line):
            found.add(f"{module}.{match[1]}")
    return found


def public_names(module: str) -> list[str]:
    """Return the full names of our own functions and classes that a module offers."""
    found = importlib.import_module(f"ctao_sat.{module}")
    return [
        f"ctao_sat.{module}.{name}"
        for name in found.__all__
        if inspect.isroutine(value := getattr(found, name)) or inspect.isclass(value)
        if value.__module__.startswith("ctao_sat.")
    ]


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_in_the_documentation(module):
    own = public_names(module)
    assert own
    # The errors are documented by automodule.
    assert module == "errors" or set(own) - documented() == set()


def docstring_faults(name: str, more: set[str]) -> list[tuple[str, str, str]]:
    """Return what numpydoc finds wrong with the docstring of one name."""
    checks = {*PYPROJECT["tool"]["numpydoc_validation"]["checks"], "GL08", "PR02", *more}
    found = [(name, *fault) for fault in validate(name)["errors"] if fault[0] in checks]
    # numpydoc takes a first parameter of this name for that of a class method.
    return [fault for fault in found if fault[2] != "Unknown parameters {'cls'}"]


@pytest.mark.parametrize("module", MODULES)
def test_public_names_have_docstrings(module):
    faults = []
    for name in public_names(module):
        value = getattr(importlib.import_module(f"ctao_sat.{module}"), name.rpartition(".")[2])
        more = {"PR01", "RT01"} if inspect.isroutine(value) else set()
        faults += docstring_faults(name, more)
        if dataclasses.is_dataclass(value):
            fields = {field.name for field in dataclasses.fields(value)}
            faults += [(name, field) for field in fields if field not in value.__doc__]
        for member, method in vars(value).items() if inspect.isclass(value) else ():
            if inspect.isroutine(method) and not member.startswith("_"):
                faults += docstring_faults(f"{name}.{member}", set())
    assert faults == []


def test_documented_names_exist():
    for name in documented():
        module, _, public = name.rpartition(".")
        assert public in importlib.import_module(module).__all__


def test_every_module_is_documented():
    found = {
        path.parent.name if path.stem == "__init__" else path.stem
        for path in (*SOURCES.glob("*.py"), *SOURCES.glob("*/__init__.py"))
    }
    # Kernels take arrays and check nothing: they are for the modules above them.
    public = {name for name in found if not name.startswith("_")} - {"ctao_sat", "kernels"}
    assert public == {name for name in MODULES if "." not in name}
