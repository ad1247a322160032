"""Find the recipe a configuration asks for, and run it."""

import importlib.resources
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ctao_sat.config import RecipeConfig, parse, read_yaml
from ctao_sat.config._files import parse_yaml
from ctao_sat.dl4 import find_source
from ctao_sat.errors import ConfigError, did_you_mean
from ctao_sat.recipes import pulsar, spectrum_1d
from ctao_sat.result import check_free
from ctao_sat.workflow import Plan, Run, StepLog, write_run

__all__ = ["RECIPES", "configuration_text", "plan", "read_config", "run"]

RECIPES: dict[str, ModuleType] = {"spectrum-1d": spectrum_1d, "pulsar": pulsar}
_CONFIGS: dict[str, type[RecipeConfig]] = {
    "spectrum-1d": spectrum_1d.Spectrum1DConfig,
    "pulsar": pulsar.PulsarConfig,
}

# Where a configuration names files; relative ones are meant relative to the configuration file.
_PATHS = (
    ("data", "path"),
    ("background", "exclusion", "file"),
    ("reference_model",),
    ("ephemeris", "file"),
)


def read_config(path: Path | str) -> RecipeConfig:
    """Read and validate the configuration of any recipe.

    Parameters
    ----------
    path : path-like
        YAML file with the key ``recipe``. Relative paths in it are relative to its folder.

    Returns
    -------
    config : RecipeConfig
        Of the recipe's own class.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not valid; the message names line and remedy.
    """
    values, lines = read_yaml(path)
    recipe = str(values.get("recipe", ""))
    _find(recipe, Path(path).name)
    _resolve_paths(values, Path(path).parent)
    return parse(_CONFIGS[recipe], values, name=Path(path).name, lines=lines)


def _find(recipe: str, where: str = "") -> ModuleType:
    if not recipe:
        raise ConfigError(
            "The configuration names no recipe.",
            remedy=f"Add the line 'recipe: {next(iter(RECIPES))}'.",
            where=where,
        )
    if recipe not in RECIPES:
        raise ConfigError(
            f"There is no recipe '{recipe}'.",
            remedy=did_you_mean(recipe, RECIPES),
            where=where,
        )
    return RECIPES[recipe]


def _resolve_paths(values: dict[str, Any], base: Path) -> None:
    for *sections, key in _PATHS:
        node: Any = values
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        value = node.get(key) if isinstance(node, dict) else None
        if isinstance(value, str):
            node[key] = _resolved(value, base)
        elif isinstance(value, list):
            node[key] = [_resolved(text, base) for text in value]


def _resolved(text: Any, base: Path) -> Any:
    """Return a path from the base on; what is no text, the configuration refuses later."""
    if not isinstance(text, str) or text.startswith(("$", "~")):
        return text
    return str((base / text).absolute())


def run(
    config: RecipeConfig | Path | str,
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
    report: Callable[[str], None] | None = None,
) -> Run:
    """Run the recipe of a configuration.

    Parameters
    ----------
    config : RecipeConfig or path-like
        A configuration, or its YAML file.
    out : path-like, optional
        Run folder to write. Without it nothing is written to disk.
    overwrite : bool
        Replace an earlier run folder.
    n_jobs : int
        Number of workers, see `ctao_sat.parallel.pmap`.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute.
    progress : bool
        Show progress bars.
    report : callable, optional
        Called with the name of each step.

    Returns
    -------
    run : `~ctao_sat.workflow.Run`
        Products and findings.

    Raises
    ------
    CtaoSatError
        With what is wrong and its remedy.

    Examples
    --------
    >>> import ctao_sat as sat
    >>> run = sat.run("crab.yaml", out="crab-run")  # doctest: +SKIP
    >>> run.plot_sed()  # doctest: +SKIP
    """
    if not isinstance(config, RecipeConfig):
        config = read_config(config)
    if out is not None:
        check_free(Path(out), overwrite)
    log = StepLog(report=report)
    done = _find(config.recipe).run(
        config, n_jobs=n_jobs, backend=backend, progress=progress, log_steps=log
    )
    if out is None:
        return done
    with log.step("Write products"):
        path = write_run(done, out, overwrite=overwrite)
    return done.at(path)


def plan(config: RecipeConfig, *, n_jobs: int = 1) -> Plan:
    """Select the observations of a configuration, and estimate time and memory.

    Parameters
    ----------
    config : RecipeConfig
        The configuration.
    n_jobs : int
        Number of workers to estimate for.

    Returns
    -------
    plan : `~ctao_sat.workflow.Plan`
        What would be analysed.
    """
    return _find(config.recipe).plan(config, n_jobs=n_jobs)


def configuration_text(recipe: str, *, name: str, position: str | None, data: str) -> str:
    """Return a commented configuration to start from.

    Parameters
    ----------
    recipe : str
        Name of the recipe.
    name : str
        Name of the source.
    position : str or None
        Its position, as in a configuration; looked up in Gammapy's catalogues if None.
    data : str
        Folder of the data.

    Returns
    -------
    text : str
        YAML, valid for `read_config`.

    Raises
    ------
    ConfigError
        If there is no such recipe, or name or position are not valid.
    SourceNotFoundError, MissingDataError
        If the catalogues do not know the name, or are not there.
    """
    module = _find(recipe)
    if position is None:
        found = find_source(name)
        position = f"{found.ra.deg:.4f} deg, {found.dec.deg:.4f} deg"
    pattern = importlib.resources.files(module).joinpath("template.yaml")
    text = pattern.read_text(encoding="utf-8").format(
        name=_quoted(name), position=_quoted(position), path=_quoted(data)
    )
    parse(_CONFIGS[recipe], parse_yaml(text, Path("template.yaml"))[0])
    return text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
