"""Options, messages and output shared by the commands."""

import contextlib
import functools
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

__all__ = [
    "common_options",
    "json_option",
    "new_text_file",
    "out_option",
    "overwrite_option",
    "parallel_options",
    "progress_wanted",
    "show_json",
    "show_table",
    "step_reporter",
    "table_rows",
]


def common_options(command: Callable) -> Callable:
    """Add ``--quiet``, ``--verbose`` and ``--debug``, and show messages accordingly."""

    @click.option("-q", "--quiet", is_flag=True, help="Print errors alone, and JSON if asked for.")
    @click.option("-v", "--verbose", is_flag=True, help="Print what Gammapy logs, too.")
    @click.option("--debug", is_flag=True, help="Print everything, tracebacks included.")
    @functools.wraps(command)
    def wrapped(*args: Any, quiet: bool, verbose: bool, debug: bool, **kwargs: Any) -> Any:
        with _messages(quiet, verbose, debug):
            return command(*args, quiet=quiet, **kwargs)

    return wrapped


class _Once(logging.Filter):
    """Let the same text pass once: a hundred runs have the same warning a hundred times."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        new = text not in self.seen
        self.seen.add(text)
        return new


@contextlib.contextmanager
def _messages(quiet: bool, verbose: bool, debug: bool) -> Iterator[None]:
    """Show what is logged and warned of during a command; afterwards all is as it was before."""
    level = logging.ERROR if quiet else logging.WARNING
    if verbose:
        level = logging.INFO
    if debug:
        level = logging.DEBUG
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    once = _Once()
    if not debug:
        handler.addFilter(once)

    def show(message, category, filename, lineno, file=None, line=None):
        record = logging.LogRecord("warnings", logging.WARNING, filename, lineno, message, (), None)
        if level <= logging.WARNING:
            handler.handle(record)

    loggers = [logging.getLogger(name) for name in ("ctao_sat", "gammapy")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
    try:
        with warnings.catch_warnings():
            # From 2029 on, leap seconds are not announced yet: of no weight here, and of no remedy.
            warnings.filterwarnings("ignore", r"ERFA function .* yielded .* \"dubious year")
            warnings.showwarning = show
            yield
    finally:
        for logger, (handlers, old_level, propagate) in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
            logger.setLevel(old_level)
            logger.propagate = propagate


def overwrite_option(command: Callable) -> Callable:
    """Add ``--overwrite``."""
    return click.option(
        "--overwrite", is_flag=True, help="Replace what an earlier call wrote to this place."
    )(command)


def json_option(text: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds ``--json`` with a help text."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def out_option(text: str, **options: Any) -> Callable[[Callable], Callable]:
    """Return a decorator that adds ``--out`` with a help text."""
    return click.option("-o", "--out", type=click.Path(path_type=Path), help=text, **options)


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
        "-j",
        "--jobs",
        "n_jobs",
        default=1,
        show_default=True,
        metavar="N",
        help="Number of workers; -1 takes all cores.",
    )
    return jobs(backend(command))


def step_reporter(quiet: bool) -> Callable[[str], None] | None:
    """Return a function that prints the name of each step, or None."""
    if quiet:
        return None
    return lambda name: click.echo(f"… {name}", err=True)


def progress_wanted(quiet: bool) -> bool:
    """Return whether progress bars are wanted: on a terminal, and not if quiet."""
    return not quiet and sys.stderr.isatty()


def show_table(table: Any) -> None:
    """Print an astropy table as wide as it is."""
    for line in table.pformat(max_lines=-1, max_width=-1, show_unit=True):
        click.echo(line)


def show_json(content: Any) -> None:
    """Print JSON that any reader accepts."""
    from ctao_sat.result import json_text

    click.echo(json_text(content))


def table_rows(table: Any) -> list[dict[str, Any]]:
    """Return a table as a list of its rows."""
    return [{name: row[name] for name in table.colnames} for row in table]


def new_text_file(path: Path, text: str, overwrite: bool) -> None:
    """Write a text file that is not there yet, or raise an OutputError."""
    from ctao_sat.errors import OutputError
    from ctao_sat.result import staged_file

    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputError(
            f"'{path}' is there already.",
            remedy="It is a folder: choose another name with -o."
            if path.is_dir()
            else "Choose another name with -o, or replace it with --overwrite.",
        )
    with staged_file(path) as temporary:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
