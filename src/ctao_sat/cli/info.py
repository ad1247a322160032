"""Command that says what is installed, and what a folder holds."""

import os
from collections.abc import Callable
from pathlib import Path

import click

from ctao_sat.cli._common import (
    common_options,
    json_option,
    progress_wanted,
    show_json,
    show_table,
    table_rows,
)

__all__ = ["info"]


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat info                                   versions and data\n"
    "  ctao-sat info $GAMMAPY_DATA/hess-dl3-dr1        the observations in a folder\n"
    "  ctao-sat info crab-run                          the findings of a run"
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@json_option("Print JSON.")
@common_options
def info(path, as_json, quiet):
    """Show versions, the observations in a data folder, or the findings of a run folder."""
    from ctao_sat import result
    from ctao_sat.config import expand_path

    folder = None if path is None else expand_path(path)
    content: object
    if folder is None:
        content, show = _installation()
    elif (folder / result.MARKER).is_file():
        content, show = _run(folder)
    else:
        content, show = _data(folder, progress_wanted(quiet))
    if as_json:
        show_json(content)
    elif not quiet:
        show()


def _installation() -> tuple[dict, Callable[[], None]]:
    from ctao_sat.result import versions

    found = versions()
    data = os.environ.get("GAMMAPY_DATA", "not set")

    def show() -> None:
        for name, value in {**found, "GAMMAPY_DATA": data}.items():
            click.echo(f"{name:<12} {value}")

    return {"versions": found, "GAMMAPY_DATA": data}, show


def _run(folder: Path) -> tuple[dict, Callable[[], None]]:
    from ctao_sat.workflow import read_summary

    summary = read_summary(folder)

    def show() -> None:
        click.echo(f"{summary['target']}: {summary['status']}")
        for statement in summary["statements"]:
            click.echo(f"- {statement}")

    return summary, show


def _data(path: Path, progress: bool) -> tuple[list[dict], Callable[[], None]]:
    from astropy.table import vstack

    from ctao_sat.dl3 import observation_index, open_event_types

    stores = open_event_types(path, progress=progress)
    tables = []
    for name, store in stores.items():
        table = observation_index(store)
        if any(stores):
            table.add_column(name, name="event_type", index=1)
        tables.append(table)
    table = vstack(tables)
    table.sort(table.colnames[:2] if any(stores) else "obs_id")

    def show() -> None:
        show_table(table)
        types = f", of {len(stores)} event types," if len(stores) > 1 else ""
        click.echo(f"{len(set(table['obs_id']))} observations{types} in {path}")

    return table_rows(table), show
