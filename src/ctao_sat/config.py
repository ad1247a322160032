"""Strict, frozen configurations read from YAML, with units and sky positions as field types.

The question answered here: *is this file what the recipe expects, and if not, which line is wrong?*
`Config` is the base of every recipe's configuration: unknown keys fail and name the nearest one,
values are frozen, and the schema carries a version. Units and coordinates are strings in the
file (``"0.11 deg"``) and astropy objects in Python.

Entry points: `load` reads and validates a file, `dump` writes one that `load` reads back.
"""

import difflib
import functools
import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import astropy.units as u
import yaml
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.modeling.models import Models
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
)

from ctao_sat.errors import ConfigError, MissingDataError, did_you_mean

__all__ = [
    "Angle",
    "Config",
    "Duration",
    "Energy",
    "Flux",
    "Instant",
    "RecipeConfig",
    "SkyPosition",
    "dump",
    "expand_path",
    "load",
    "parse",
    "parse_position",
    "read_models",
    "read_yaml",
]

ConfigT = TypeVar("ConfigT", bound="Config")

_FRAMES = ("icrs", "galactic", "fk5")
_TIME_SCALES = ("utc", "tt", "tai", "tdb")


class Config(BaseModel):
    """Base of all configurations: strict, frozen, without unknown keys.

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


def _quantity(value: Any, unit: u.UnitBase, example: str) -> u.Quantity:
    if not isinstance(value, str | u.Quantity):
        raise ValueError(f"{value!r} has no unit; write it like '{example}'")
    try:
        quantity = u.Quantity(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{value}' is no quantity; write it like '{example}'") from error
    if not quantity.unit.is_equivalent(unit):
        found = quantity.unit.to_string() or "no unit"
        raise ValueError(f"'{value}' has {found}; write it like '{example}'")
    if not quantity.isscalar or not bool(abs(quantity.value) < float("inf")):
        raise ValueError(f"'{value}' is not one finite number; write it like '{example}'")
    return quantity


def _to_string(quantity: u.Quantity) -> str:
    return f"{float(quantity.value)!r} {quantity.unit.to_string()}"


def _quantity_type(unit: str, example: str) -> Any:
    return (
        BeforeValidator(functools.partial(_quantity, unit=u.Unit(unit), example=example)),
        PlainSerializer(_to_string, return_type=str),
    )


Energy = Annotated[u.Quantity, *_quantity_type("TeV", "1 TeV")]
Angle = Annotated[u.Quantity, *_quantity_type("deg", "0.5 deg")]
Duration = Annotated[u.Quantity, *_quantity_type("s", "30 min")]
Flux = Annotated[u.Quantity, *_quantity_type("cm-2 s-1 TeV-1", "1e-12 cm-2 s-1 TeV-1")]


def _position(value: Any) -> SkyCoord:
    example = "write it like '83.633 deg, 22.014 deg' or '184.56 deg, -5.78 deg, galactic'"
    if isinstance(value, SkyCoord):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no sky position; {example}")
    parts = [part.strip() for part in value.split(",")]
    frame = "icrs"
    if len(parts) == 3:
        frame = parts.pop().lower()
    if frame not in _FRAMES:
        raise ValueError(f"unknown frame '{frame}'. {did_you_mean(frame, _FRAMES)}")
    if len(parts) != 2:
        raise ValueError(f"'{value}' is no sky position; {example}")
    try:
        # Bare numbers are refused here: hours and degrees would both be plausible.
        return SkyCoord(parts[0], parts[1], frame=frame)
    except (ValueError, u.UnitsError, TypeError) as error:
        raise ValueError(f"'{value}' is no sky position; {example}") from error


def parse_position(text: str) -> SkyCoord:
    """Return the sky position that a string names.

    Parameters
    ----------
    text : str
        Longitude, latitude, and the frame if it is not ICRS, each with its unit.

    Returns
    -------
    position : `~astropy.coordinates.SkyCoord`
        The position.

    Raises
    ------
    ConfigError
        If the text is no position.

    Examples
    --------
    >>> from ctao_sat.config import parse_position
    >>> parse_position("184.56 deg, -5.78 deg, galactic").frame.name
    'galactic'
    """
    try:
        return _position(text)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error


def _position_to_string(position: SkyCoord) -> str:
    frame = position.frame.name
    lon, lat = position.data.lon.deg, position.data.lat.deg
    suffix = "" if frame == "icrs" else f", {frame}"
    return f"{float(lon)!r} deg, {float(lat)!r} deg{suffix}"


SkyPosition = Annotated[
    SkyCoord,
    BeforeValidator(_position),
    PlainSerializer(_position_to_string, return_type=str),
]


def _instant(value: Any) -> Time:
    example = "write it like '2028-03-01 22:15:00 utc'"
    if isinstance(value, Time):
        return value
    text = str(value).strip()
    head, _, tail = text.rpartition(" ")
    scale = tail.lower() if tail.lower() in _TIME_SCALES else "utc"
    date = head if tail.lower() in _TIME_SCALES else text
    try:
        return Time(date, scale=scale, format="isot" if "T" in date else "iso")
    except ValueError as error:
        raise ValueError(f"'{value}' is no time; {example}") from error


def _instant_to_string(time: Time) -> str:
    return f"{time.copy(format='iso').to_value('iso', subfmt='date_hms')} {time.scale}"


Instant = Annotated[
    Time, BeforeValidator(_instant), PlainSerializer(_instant_to_string, return_type=str)
]


def expand_path(path: str | os.PathLike) -> Path:
    """Return a path with its environment variables and ``~`` resolved.

    Parameters
    ----------
    path : path-like
        May start with ``$GAMMAPY_DATA``.

    Returns
    -------
    path : Path
        The resolved path.

    Raises
    ------
    MissingDataError
        If it names a variable that is not set.
    """
    text = os.path.expanduser(os.path.expandvars(str(path)))
    if "$" in text:
        variable = text.split("$", 1)[1].split("/", 1)[0].strip("{}")
        raise MissingDataError(
            f"The environment variable {variable}, used in '{path}', is not set.",
            remedy=f"Set it: export {variable}=/path/to/data",
        )
    return Path(text)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 loader that refuses duplicate keys, which YAML would silently drop."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key_node.value}' stands twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path | str) -> tuple[dict[str, Any], dict[tuple, int]]:
    """Read a YAML mapping, and the line of each of its keys.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    values : dict
        The content.
    lines : dict
        Line number (from 1) of each key path, such as ``("target", "name")``.

    Raises
    ------
    ConfigError
        If the file is missing, empty, no YAML, or no mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file '{path}'.",
            remedy="Write one with: ctao-sat init --recipe spectrum-1d -o FILE",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' cannot be read as text: {error}.") from None
    try:
        root = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path.name}, line {mark.line + 1}" if mark else path.name
        raise ConfigError(
            f"This is no valid YAML: {error.problem}.",
            remedy="Check indentation, colons and quotes on this line.",
            where=where,
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"'{path}' is no valid YAML: {error}.") from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"'{path}' holds no configuration (a mapping of keys to values).",
            remedy="Write a template with: ctao-sat init --recipe spectrum-1d -o FILE",
        )
    return values, _line_numbers(root)


def read_models(path: Path | str) -> Models:
    """Read Gammapy models from their YAML file.

    Parameters
    ----------
    path : path-like
        As `gammapy.modeling.models.Models.write` makes it.

    Returns
    -------
    models : `~gammapy.modeling.models.Models`
        At least one.

    Raises
    ------
    MissingDataError
        If the file is not there.
    ConfigError
        If it holds no models.
    """
    path = expand_path(path)
    if not path.is_file():
        raise MissingDataError(f"There is no model file '{path}'.", remedy="Check the path.")
    remedy = "Write one with gammapy.modeling.models.Models.write."
    try:
        models = Models.read(path)
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError, OSError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"'{path}' is no Gammapy model file: {text}.", remedy=remedy) from error
    if len(models) == 0:
        raise ConfigError(f"The model file '{path}' holds no model.", remedy=remedy)
    return models


def _line_numbers(node: yaml.Node, path: tuple = ()) -> dict[tuple, int]:
    lines: dict[tuple, int] = {}
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(index, value, value) for index, value in enumerate(node.value)]
    else:
        return lines
    for name, key, value in pairs:
        lines[path + (name,)] = key.start_mark.line + 1
        lines.update(_line_numbers(value, path + (name,)))
    return lines


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
    text = problems[0] if len(problems) == 1 else "\n  ".join(["", *problems])
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
        YAML, in the order of the fields.
    """
    values = config.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _explain(cls: type[BaseModel], problem: Any, lines: dict[tuple, int]) -> str:
    """Turn one pydantic error into a sentence with a remedy."""
    location = tuple(problem["loc"])
    known = [length for length in range(len(location), 0, -1) if location[:length] in lines]
    line = f" (line {lines[location[: known[0]]]})" if known else ""
    dotted = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        siblings = _fields(cls, location[:-1])
        return f"unknown key '{dotted}'. {did_you_mean(str(location[-1]), siblings)}{line}"
    if problem["type"] == "missing":
        return f"the key '{dotted}' is missing.{line}"
    if problem["type"] == "literal_error":
        expected = problem["ctx"]["expected"]
        return f"{dotted} is {problem['input']!r}; it must be {expected}.{_near(problem)}{line}"
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{dotted}: {message}.{line}"


def _near(problem: Any) -> str:
    options = [
        option.strip(" '") for option in problem["ctx"]["expected"].replace(" or ", ",").split(",")
    ]
    near = difflib.get_close_matches(str(problem["input"]), options, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _fields(cls: type[BaseModel], path: tuple) -> list[str]:
    """Return the field names of the configuration nested at a key path."""
    for part in path:
        info = cls.model_fields.get(str(part))
        nested = _nested(info.annotation) if info else None
        if nested is None:
            continue
        cls = nested
    return list(cls.model_fields)


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _nested(argument)
        if found is not None:
            return found
    return None
