"""Products on disk with their provenance: write atomically, hash, and say what made them.

The question answered here: *can I trust that this file is complete, and what was it made from?*
Nothing appears under its final name before it is complete, and nothing that is there is overwritten
unasked.
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from ctao_sat.errors import OutputError

__all__ = [
    "MARKER",
    "check_free",
    "describe_inputs",
    "json_text",
    "not_of_a_run",
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
        In the same folder, with the same suffixes. After an error it is removed.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> OutputError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return OutputError(
        f"'{path}' cannot be written: {error.strerror or error}.",
        remedy="Free some space there, or choose another place."
        if full
        else "Choose another place with --out, or check the permissions.",
    )


def not_of_a_run(path: Path) -> list[str]:
    """Return what a folder holds, unless it is a run folder.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    names : list of str
        Empty if the folder holds the provenance of a run.
    """
    return [] if (path / MARKER).is_file() else sorted(item.name for item in path.iterdir())


@contextlib.contextmanager
def staged_folder(
    path: Path,
    *,
    overwrite: bool = False,
    foreign: Callable[[Path], list[str]] = not_of_a_run,
    kind: str = "a run",
    keep_incomplete: bool = True,
) -> Iterator[Path]:
    """Give a temporary folder to write to; it becomes the final one if no error occurs.

    Parameters
    ----------
    path : Path
        Final name. Of a symbolic link, the folder it leads to is written.
    overwrite : bool
        Replace an earlier folder of this name, once the new one is complete.
    foreign : callable
        Returns what in a folder forbids to replace it, ever.
    kind : str
        What such a folder holds, for messages.
    keep_incomplete : bool
        After an error, keep what was written beside the final name with the ending
        ``.incomplete``, or ``.incomplete-2`` and so on if that is taken.

    Yields
    ------
    temporary : Path
        An empty folder beside the final one.

    Raises
    ------
    OutputError
        If the final name is taken, or cannot be written.
    """
    check_free(path, overwrite, foreign=foreign, kind=kind)
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary.chmod(0o755)
    try:
        yield temporary
        check_free(path, overwrite, foreign=foreign, kind=kind)
        _swap(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if keep_incomplete:
            _keep_or_remove(temporary, path)
        else:
            shutil.rmtree(temporary, ignore_errors=True)


def check_free(
    path: Path,
    overwrite: bool,
    *,
    foreign: Callable[[Path], list[str]] = not_of_a_run,
    kind: str = "a run",
) -> None:
    """Raise an error if a folder of this name may not be written.

    To be called before hours of work as well: it also tries whether the disk can be written to.

    Parameters
    ----------
    path : Path
        The folder.
    overwrite : bool
        An earlier folder of its kind may be replaced.
    foreign : callable
        Returns what in a folder forbids to replace it, ever.
    kind : str
        What such a folder holds, for messages.

    Raises
    ------
    OutputError
        If the name is taken, or cannot be written.
    """
    try:
        exists = _try_to_write(path)
        if not exists or (path.is_dir() and not any(path.iterdir())):
            return
    except OSError as error:
        raise _unwritable(path, error) from error
    if not path.is_dir():
        raise OutputError(
            f"'{path}' is a file.", remedy="Choose another name for the folder with --out."
        )
    others = foreign(path)
    if others:
        raise OutputError(
            f"The folder '{path}' holds other things than {kind}, such as '{others[0]}'.",
            remedy="Choose another name with --out; it is not overwritten.",
        )
    if not overwrite:
        raise OutputError(
            f"The folder '{path}' is there already.",
            remedy="Choose another name with --out, or replace it: overwrite=True, --overwrite.",
        )


def _try_to_write(path: Path) -> bool:
    """Return whether the path exists; raise OSError if it could not be made. Leaves no trace."""
    try:
        path.stat()
        exists = True
    except FileNotFoundError:
        exists = False
    above = path.resolve().parent
    while not above.exists():
        above = above.parent
    with tempfile.TemporaryFile(dir=above):
        return exists


def _swap(temporary: Path, path: Path) -> None:
    """Put the new folder in the place of the old one, which comes back if that fails."""
    if not path.exists():
        os.replace(temporary, path)
        return
    # A folder cannot replace one that is not empty: the old one steps aside first.
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _keep_or_remove(temporary: Path, path: Path) -> None:
    if not temporary.exists():
        return
    if not any(temporary.iterdir()):
        temporary.rmdir()
        return
    kept, number = path.with_name(f"{path.name}.incomplete"), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.incomplete-{number}")
    os.replace(temporary, kept)


def write_json(content: Any, path: Path) -> None:
    """Write JSON atomically.

    Parameters
    ----------
    content : dict or list
        As for `json_text`.
    path : Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = json_text(content)
    with staged_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def json_text(content: Any) -> str:
    """Return content as JSON that any reader accepts.

    Parameters
    ----------
    content : dict or list
        May hold numpy scalars and arrays; NaN and infinity, which JSON does not have, become null.

    Returns
    -------
    text : str
        Indented by two blanks.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat.result import json_text
    >>> print(json_text({"flux": np.array([1.5, np.nan])}))
    {
      "flux": [
        1.5,
        null
      ]
    }
    """
    return json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False)


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

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with staged_file(path) as temporary:
        table.write(temporary)
