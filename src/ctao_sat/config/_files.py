"""Read the files that configurations are made of, and resolve the paths in them."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from gammapy.modeling.models import Models

from ctao_sat.errors import ConfigError, MissingDataError

__all__ = ["expand_path", "parse_yaml", "read_models", "read_yaml", "to_yaml"]

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")

_EXAMPLE = "`ctao-sat init --source NAME -o FILE` writes an example."


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
        If it names a variable that is not set, or empty.

    Examples
    --------
    >>> from ctao_sat.config import expand_path
    >>> expand_path("$HOME/dl3") == expand_path("~/dl3")
    True
    """
    return Path(os.path.expanduser(_VARIABLE.sub(_value, str(path))))


def _value(match: re.Match[str]) -> str:
    name = match[1].strip("{}")
    value = os.environ.get(name)
    if not value:
        raise MissingDataError(
            f"The environment variable {name}, used in '{match.string}', is not set.",
            remedy=f"Set it: export {name}=/path/to/data",
        )
    return value


# "1e-11" is a number in YAML 1.2, in JSON and to every physicist, but a text in YAML 1.1.
_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_FLOAT_STARTS = list("-+.0123456789")


# "on" and "off" are texts in YAML 1.2, and keys of ours, but booleans in YAML 1.1.
_BOOL_TAG = "tag:yaml.org,2002:bool"
_BOOL = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses what YAML would silently drop: the first of duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            problem = ""
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a plain word"
            elif key.value in seen:
                problem = f"the key '{key.value}' stands twice"
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """YAML writer that puts quotes where `_Loader` would take a text for a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL_TAG]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL_TAG, _BOOL, list("tTfF"))
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _FLOAT_STARTS)


def to_yaml(values: dict[str, Any]) -> str:
    """Return a mapping as YAML that `read_yaml` reads back, in its order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


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
    return parse_yaml(_read_text(path), path)


def parse_yaml(text: str, path: Path) -> tuple[dict[str, Any], dict[tuple, int]]:
    """Return content and lines of the text of a file; see `read_yaml`."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ConfigError(
            f"This is no valid YAML: {error.problem}.",
            remedy="Check indentation, colons and quotes on this line, and on the one above.",
            where=f"{path.name}, line {mark.line + 1}" if mark else path.name,
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: YAML takes 2028-13-01 for a date.
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"'{path}' is no valid YAML: {reason}.", remedy="Correct it, or quote the text."
        ) from None
    if root is None or not isinstance(values, dict):
        raise ConfigError(
            f"'{path}' holds no configuration (a mapping of keys to values).", remedy=_EXAMPLE
        )
    return values, _line_numbers(root)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file '{path}'.", remedy=_EXAMPLE) from None
    except OSError as error:
        raise ConfigError(
            f"'{path}' cannot be read: {error.strerror}.", remedy="Give a YAML file."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"'{path}' is no text in UTF-8.", remedy=f"Give a YAML file; {_EXAMPLE}"
        ) from None


def _line_numbers(root: yaml.Node) -> dict[tuple, int]:
    lines: dict[tuple, int] = {}
    seen: set[int] = set()
    todo: list[tuple[tuple, yaml.Node]] = [((), root)]
    while todo:
        path, node = todo.pop()
        # An alias leads to a node that is there already, or even above.
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            children = [(key.value, key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = [(index, value, value) for index, value in enumerate(node.value)]
        else:
            continue
        for name, key, value in children:
            lines[path + (name,)] = key.start_mark.line + 1
            todo.append((path + (name,), value))
    return lines


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
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"'{path}' is no Gammapy model file: {reason}.", remedy=remedy) from error
    if len(models) == 0:
        raise ConfigError(f"The model file '{path}' holds no model.", remedy=remedy)
    return models
