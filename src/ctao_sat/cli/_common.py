"""Options, logging and tables shared by the commands."""

import functools
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["common_options", "overwrite_option", "parallel_options", "show_table", "step_reporter"]


def common_options(command: Callable) -> Callable:
    """Add ``--quiet``, ``--verbose`` and ``--debug``, and set up messages accordingly."""

    @click.option("-q", "--quiet", is_flag=True, help="Print errors alone.")
    @click.option("-v", "--verbose", is_flag=True, help="Print what Gammapy logs, too.")
    @click.option("--debug", is_flag=True, help="Print everything, tracebacks included.")
    @functools.wraps(command)
    def wrapped(*args: Any, quiet: bool, verbose: bool, debug: bool, **kwargs: Any) -> Any:
        _set_up_messages(quiet, verbose, debug)
        return command(*args, quiet=quiet, **kwargs)

    return wrapped


def _set_up_messages(quiet: bool, verbose: bool, debug: bool) -> None:
    level = logging.WARNING
    if quiet:
        level = logging.ERROR
    if verbose:
        level = logging.INFO
    if debug:
        level = logging.DEBUG
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    for name in ("ctao_sat", "gammapy"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False

    def show(message, category, filename, lineno, file=None, line=None):
        if not quiet:
            click.echo(f"WARNING: {message}", err=True)

    warnings.showwarning = show


def overwrite_option(command: Callable) -> Callable:
    """Add ``--overwrite``."""
    return click.option(
        "--overwrite", is_flag=True, help="Replace what an earlier call wrote to this place."
    )(command)


def parallel_options(command: Callable) -> Callable:
    """Add ``-j`` and ``--backend``."""
    backend = click.option(
        "--backend",
        type=click.Choice(["auto", "serial", "processes", "dask"]),
        default="auto",
        show_default=True,
        help="Where to compute.",
    )
    jobs = click.option(
        "-j", "--jobs", "n_jobs", default=1, show_default=True, help="Workers; -1: all cores."
    )
    return jobs(backend(command))


def step_reporter(quiet: bool) -> Callable[[str], None] | None:
    """Return a function that prints the name of each step, or None."""
    if quiet:
        return None
    return lambda name: click.echo(f"… {name}", err=True)


def show_table(table: Any) -> None:
    """Print an astropy table as wide as it is."""
    for line in table.pformat(max_lines=-1, max_width=-1, show_unit=True):
        click.echo(line)


def progress_wanted(quiet: bool) -> bool:
    """Return whether progress bars are wanted: on a terminal, and not if quiet."""
    return not quiet and sys.stderr.isatty()


def new_text_file(path: Path, text: str, overwrite: bool) -> None:
    """Write a text file that is not there yet.

    Raises
    ------
    OutputError
        If it is there, or cannot be written.
    """
    from ctao_sat.errors import OutputError

    if path.exists() and not overwrite:
        raise OutputError(
            f"The file '{path}' is there already.",
            remedy="Choose another name with -o, or replace it with --overwrite.",
        )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written: {error.strerror}.", remedy="Choose another place."
        ) from error
