"""Products on disk with their provenance: write atomically, hash, and say what made them.

The question answered here: *can I trust that this file is complete, and what was it made from?* Nothing
appears under its final name before it is complete, and nothing that is there is overwritten unasked.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from ctao_sat.errors import OutputError

__all__ = [
    "MARKER",
    "check_free",
    "describe_inputs",
    "sha256",
    "staged_file",
    "staged_folder",
    "versions",
    "write_json",
    "write_table",
]

MARKER = "provenance.json"

_PACKAGES = (
    "ctao-sat",
    "gammapy",
    "astropy",
    "numpy",
    "scipy",
    "regions",
    "iminuit",
    "numba",
    "matplotlib",
    "pydantic",
)


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    digest : str
        64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_inputs(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return path, size and checksum of each input file.

    Parameters
    ----------
    paths : iterable of Path
        The files.

    Returns
    -------
    inputs : list of dict
        With the keys ``path``, ``bytes`` and ``sha256``.
    """
    return [
        {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths
    ]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that make the numbers.

    Returns
    -------
    versions : dict
        Version by distribution name; "not installed" for one that is not there.
    """
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; it becomes the final one if no error occurs.

    Parameters
    ----------
    path : Path
        Final name. A file of this name is replaced, at once and completely.

    Yields
    ------
    temporary : Path
        In the same folder, with the same suffixes.
    """
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder to write to; it becomes the final one if no error occurs.

    After an error the folder is removed, unless a product was written: then it is kept beside the final
    name with the ending ``.incomplete``.

    Parameters
    ----------
    path : Path
        Final name.
    overwrite : bool
        Replace an earlier run folder of this name, once the new one is complete. A folder
        that is no run folder is never replaced.

    Yields
    ------
    temporary : Path
        An empty folder beside the final one.

    Raises
    ------
    OutputError
        If the final name is taken, or cannot be written.
    """
    path = path.absolute()
    check_free(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OutputError(
            f"The folder '{path.parent}' cannot be written: {error.strerror}.",
            remedy="Choose another place with --out.",
        ) from error
    temporary.chmod(0o755)
    try:
        yield temporary
        check_free(path, overwrite)
        _swap(temporary, path)
    except OSError as error:
        raise OutputError(
            f"Writing to '{path}' failed: {error.strerror or error}.",
            remedy="Check the disk's free space and the permissions.",
        ) from error
    finally:
        _keep_or_remove(temporary, path)


def check_free(path: Path, overwrite: bool) -> None:
    """Raise an error if a run folder of this name may not be written.

    Parameters
    ----------
    path : Path
        The folder.
    overwrite : bool
        An earlier run folder may be replaced.

    Raises
    ------
    OutputError
        If the name is taken.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(
            f"'{path}' is a file.", remedy="Choose another name for the run folder with --out."
        )
    if not any(path.iterdir()):
        return
    if not (path / MARKER).is_file():
        raise OutputError(
            f"The folder '{path}' holds other things than a run.",
            remedy="Choose another name with --out; it is not overwritten.",
        )
    if not overwrite:
        raise OutputError(
            f"The run folder '{path}' is there already.",
            remedy="Choose another name with --out, or replace it with --overwrite.",
        )


def _swap(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.replace(temporary, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.replace(path, old)
    os.replace(temporary, path)
    shutil.rmtree(old)


def _keep_or_remove(temporary: Path, path: Path) -> None:
    if not temporary.exists():
        return
    if any(temporary.iterdir()):
        kept = path.with_name(f"{path.name}.incomplete")
        shutil.rmtree(kept, ignore_errors=True)
        os.replace(temporary, kept)
    else:
        temporary.rmdir()


def write_json(content: Any, path: Path) -> None:
    """Write JSON atomically.

    Parameters
    ----------
    content : dict or list
        May hold numpy scalars and arrays; NaN and infinity become null.
    path : Path
        The file.
    """
    text = json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False)
    with staged_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, np.ndarray):
        return _plain(content.tolist())
    if isinstance(content, np.generic):
        return _plain(content.item())
    if isinstance(content, float) and not np.isfinite(content):
        return None
    if isinstance(content, Path):
        return str(content)
    return content


def write_table(table: Table, path: Path) -> None:
    """Write a table atomically, as ECSV or FITS according to the name.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    path : Path
        Ends with ``.ecsv`` or ``.fits``.
    """
    with staged_file(path) as temporary:
        table.write(temporary)
