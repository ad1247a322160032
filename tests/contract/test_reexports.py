"""Every re-export is Gammapy's own object, and no public Gammapy name is forgotten.

Public is what a module lists in ``__all__``; in a module without one, the classes it defines that
have no leading underscore. A name may be public in several modules; it counts once.
"""

import inspect
import pkgutil
import re
from importlib import import_module
from types import ModuleType

import gammapy
import pytest

LEVELS = {
    "ctao_sat.dl3": ("gammapy.data", "gammapy.irf"),
    "ctao_sat.dl4": ("gammapy.maps", "gammapy.makers", "gammapy.datasets"),
    "ctao_sat.dl5": (
        "gammapy.astro.darkmatter",
        "gammapy.catalog",
        "gammapy.estimators",
        "gammapy.modeling",
        "gammapy.stats",
    ),
}

OUT_OF_SCOPE = {
    "gammapy.analysis": "a configured chain of steps; ctao_sat.recipes takes its place",
    "gammapy.astro.population": "synthetic source populations, an input to simulations",
    "gammapy.astro.source": "physics of pulsars and remnants, no data product",
    "gammapy.scripts": "the command line of Gammapy",
    "gammapy.utils": "helpers of Gammapy itself, which promise no stability",
    "gammapy.version": "the version of Gammapy",
    "gammapy.visualization": "figures; ctao_sat.plotting takes its place",
    "gammapy.workflow": "a configured chain of steps; ctao_sat.recipes takes its place",
}


def is_within(module: str, packages) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def public_modules(package: ModuleType) -> list[str]:
    """Return the names of a package and of all public modules in it."""
    names = [package.__name__]
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        last = info.name.rpartition(".")[2]
        if last.startswith("_") or last in {"tests", "conftest"}:
            continue
        names += public_modules(import_module(info.name)) if info.ispkg else [info.name]
    return names


def public_names(module: ModuleType) -> dict[str, object]:
    """Return the public objects of one module, by their dotted names."""
    if hasattr(module, "__all__"):
        names = module.__all__
    else:
        names = [
            name
            for name, value in vars(module).items()
            if inspect.isclass(value)
            and value.__module__ == module.__name__
            and not name.startswith("_")
        ]
    return {f"{module.__name__}.{name}": getattr(module, name) for name in names}


def public_of_level(level: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for package in LEVELS[level]:
        for module in public_modules(import_module(package)):
            found |= public_names(import_module(module))
    return found


def is_verb(value: object) -> bool:
    return getattr(value, "__module__", "").startswith("ctao_sat.")


def faults(
    exported: dict[str, object], left_out: dict[str, str], public: dict[str, object]
) -> list[str]:
    """Compare the names of a level with what Gammapy has, and say what is wrong."""
    found = []
    gammapys = {name: value for name, value in exported.items() if not is_verb(value)}
    homes: dict[str, list[object]] = {}
    for dotted, value in public.items():
        homes.setdefault(dotted.rpartition(".")[2], []).append(value)
    for name, value in gammapys.items():
        if name not in homes:
            found.append(f"{name} is not public in Gammapy")
        elif not any(value is home for home in homes[name]):
            found.append(f"{name} is not the object that Gammapy has under that name")

    here = {id(value) for value in gammapys.values()}
    listed = {
        id(value): dotted
        for dotted, value in public.items()
        if any(dotted == key or dotted.startswith(f"{key}.") for key in left_out)
    }
    for dotted, value in public.items():
        if id(value) not in here and id(value) not in listed:
            found.append(f"{dotted} is neither re-exported nor left out with a reason")
    for key, reason in left_out.items():
        if not reason.strip():
            found.append(f"{key} is left out without a reason")
        matches = [value for dotted, value in public.items() if is_within(dotted, [key])]
        if not matches:
            found.append(f"{key} is left out, but does not exist")
        if any(id(value) in here for value in matches):
            found.append(f"{key} is left out, but also re-exported")
    return found


@pytest.fixture(scope="module", params=LEVELS)
def level(request) -> ModuleType:
    return import_module(request.param)


def exported_by(level: ModuleType) -> dict[str, object]:
    return {name: getattr(level, name) for name in level.__all__}


def test_level_is_complete(level):
    public = public_of_level(level.__name__)
    assert len(public) > 30
    assert faults(exported_by(level), level._NOT_REEXPORTED, public) == []


def test_all_has_no_duplicates(level):
    assert len(level.__all__) == len(set(level.__all__))


def test_verbs_are_public_functions(level):
    own = {name: value for name, value in exported_by(level).items() if is_verb(value)}
    # What a verb returns where Gammapy has no class for it: frozen, and nothing of Gammapy's.
    results = {name: value for name, value in own.items() if inspect.isclass(value)}
    assert len(own) > len(results)
    assert all(inspect.isfunction(own[name]) for name in set(own) - set(results))
    assert all(inspect.getdoc(value) for value in own.values())
    for result in results.values():
        assert result.__dataclass_params__.frozen
        assert result.__mro__ == (result, object)


def test_docstring_names_exist(level):
    names = re.findall(r"`{1,2}([A-Za-z_][\w.]*)", level.__doc__)
    assert len(names) > 10
    for name in names:
        if name.startswith("ctao_sat"):
            import_module(name)
            continue
        value = level
        for part in name.split("."):
            value = getattr(value, part)


def test_names_of_levels_do_not_overlap():
    seen: dict[str, str] = {}
    for level in LEVELS:
        for name in import_module(level).__all__:
            assert seen.setdefault(name, level) == level


def unassigned(modules: list[str], packages) -> list[str]:
    """Return the modules of Gammapy that are in no package given, empty containers aside."""
    return [
        module
        for module in modules
        if not is_within(module, packages) and public_names(import_module(module))
    ]


def gammapys_modules() -> list[str]:
    # The package itself holds no class, only its version.
    return public_modules(gammapy)[1:]


def test_every_gammapy_module_has_a_place():
    modules = gammapys_modules()
    assigned = [*(package for level in LEVELS.values() for package in level), *OUT_OF_SCOPE]
    assert set(assigned) <= set(modules)
    assert len(assigned) == len(set(assigned))
    assert unassigned(modules, assigned) == []
    assert all(reason.strip() for reason in OUT_OF_SCOPE.values())


def test_sweep_finds_an_unassigned_package():
    packages = [package for package in OUT_OF_SCOPE if package != "gammapy.workflow"]
    packages += [package for level in LEVELS.values() for package in level]
    found = unassigned(gammapys_modules(), packages)
    assert "gammapy.workflow" in found
    assert is_within("gammapy.workflow.core", found)
    assert all(is_within(module, ["gammapy.workflow"]) for module in found)


class Planted:
    """Stands for a class that a new version of Gammapy brings."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda exported, left_out, public: public.update({"gammapy.data.Planted": Planted}),
            "gammapy.data.Planted is neither re-exported nor left out with a reason",
        ),
        (
            lambda exported, left_out, public: exported.pop("DataStore"),
            "gammapy.data.DataStore is neither re-exported nor left out with a reason",
        ),
        (
            lambda exported, left_out, public: exported.update(DataStore=Planted),
            "DataStore is not the object that Gammapy has under that name",
        ),
        (
            lambda exported, left_out, public: exported.update(Planted=Planted),
            "Planted is not public in Gammapy",
        ),
        (
            lambda exported, left_out, public: left_out.update({"gammapy.data.Gone": "reason"}),
            "gammapy.data.Gone is left out, but does not exist",
        ),
        (
            lambda exported, left_out, public: left_out.update({"gammapy.data.GTI": "reason"}),
            "gammapy.data.GTI is left out, but also re-exported",
        ),
        (
            lambda exported, left_out, public: left_out.update({"gammapy.irf.psf.core.PSF": " "}),
            "gammapy.irf.psf.core.PSF is left out without a reason",
        ),
    ],
)
def test_check_finds_a_planted_fault(change, message):
    level = import_module("ctao_sat.dl3")
    exported = exported_by(level)
    left_out = dict(level._NOT_REEXPORTED)
    public = public_of_level(level.__name__)
    change(exported, left_out, public)
    assert message in faults(exported, left_out, public)
