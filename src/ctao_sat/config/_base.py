"""The base classes of configurations, and how a mapping becomes one or is refused with a reason."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ctao_sat.config._files import read_yaml, to_yaml
from ctao_sat.errors import ConfigError, did_you_mean

__all__ = ["Config", "RecipeConfig", "dump", "load", "parse"]

ConfigT = TypeVar("ConfigT", bound="Config")


class Config(BaseModel):
    """Base of all sections of configurations: strict, frozen, without unknown keys.

    Examples
    --------
    >>> from ctao_sat.config import Angle, Config, parse
    >>> class Cone(Config):
    ...     radius: Angle
    >>> parse(Cone, {"radius": "0.5 deg"}).radius
    <Quantity 0.5 deg>
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        validate_default=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )


class RecipeConfig(Config):
    """Base of the configurations of recipes: each names its recipe and its schema."""

    recipe: str
    schema_version: int


def parse(
    cls: type[ConfigT],
    values: dict[str, Any],
    *,
    name: str = "",
    lines: dict[tuple, int] | None = None,
) -> ConfigT:
    """Validate a mapping.

    Parameters
    ----------
    cls : type
        The `Config` class.
    values : dict
        The mapping, as read from YAML.
    name : str
        File name for messages.
    lines : dict, optional
        Line numbers by key path, from `read_yaml`.

    Returns
    -------
    config : Config
        The validated, frozen configuration.

    Raises
    ------
    ConfigError
        Naming every wrong key or value, with its line and its remedy.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        problems = [_explain(cls, problem, lines or {}) for problem in error.errors()]
    text = problems[0] if len(problems) == 1 else "\n  ".join(["", *problems, ""]).rstrip(" ")
    noun = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise ConfigError(f"The configuration has {noun}: {text}", where=name)


def load(cls: type[ConfigT], path: Path | str) -> ConfigT:
    """Read and validate a configuration file.

    Parameters
    ----------
    cls : type
        The `Config` class.
    path : path-like
        The YAML file.

    Returns
    -------
    config : Config
        The validated, frozen configuration.

    Raises
    ------
    ConfigError
        If the file cannot be read or does not fit the class.
    """
    values, lines = read_yaml(path)
    return parse(cls, values, name=Path(path).name, lines=lines)


def dump(config: Config) -> str:
    """Return a configuration as YAML that `load` reads back to an equal one.

    Parameters
    ----------
    config : Config
        The configuration.

    Returns
    -------
    text : str
        YAML, in the order of the fields, defaults included.
    """
    # Keys without a value too: their default may be something else.
    return to_yaml(config.model_dump(mode="json"))


def _explain(cls: type[BaseModel], problem: Any, lines: dict[tuple, int]) -> str:
    """Turn one pydantic error into a sentence with a remedy, and the line it is about."""
    location = tuple(problem["loc"])
    known = [length for length in range(len(location), 0, -1) if location[:length] in lines]
    line = f" (line {lines[location[: known[0]]]})" if known else ""
    dotted = ".".join(str(part) for part in location)
    return _sentence(cls, problem, location, dotted) + line


def _sentence(cls: type[BaseModel], problem: Any, location: tuple, dotted: str) -> str:
    found = problem["input"]
    kind = problem["type"]
    if kind == "extra_forbidden":
        siblings = did_you_mean(str(location[-1]), _section(cls, location[:-1]).model_fields)
        return f"unknown key '{dotted}'. {siblings}"
    if kind == "missing":
        return f"the key '{dotted}' is missing. Add it; `ctao-sat init` writes a complete example."
    if dotted == "schema_version" and kind == "literal_error":
        return (
            f"schema_version is {found!r}; this version of ctao_sat reads "
            f"{problem['ctx']['expected']}. Use the one the file was written for, or write a new "
            "file with `ctao-sat init`."
        )
    if kind == "literal_error":
        return f"{dotted} is {found!r}; it must be {problem['ctx']['expected']}.{_near(problem)}"
    if kind == "string_pattern_mismatch":
        return f"{dotted}: a character in {found!r} is not allowed there."
    if kind == "model_type":
        keys = ", ".join(_section(cls, location).model_fields)
        return f"{dotted} is a section; write its keys on lines of their own below it: {keys}."
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{dotted}: {message}." if dotted else f"{message}."


def _near(problem: Any) -> str:
    options = [
        option.strip(" '") for option in problem["ctx"]["expected"].replace(" or ", ",").split(",")
    ]
    near = difflib.get_close_matches(str(problem["input"]), options, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _section(cls: type[BaseModel], path: tuple) -> type[BaseModel]:
    """Return the class of the section at a key path."""
    for part in path:
        info = cls.model_fields.get(str(part))
        cls = (_nested(info.annotation) if info else None) or cls
    return cls


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _nested(argument)
        if found is not None:
            return found
    return None
