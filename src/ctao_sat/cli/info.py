"""Command that says what is installed, and what a folder holds."""

import json
import os
from pathlib import Path

import click

from ctao_sat.cli._common import common_options, show_table

__all__ = ["info"]


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat info                                   versions and data\n"
    "  ctao-sat info $GAMMAPY_DATA/hess-dl3-dr1        the observations in a folder\n"
    "  ctao-sat info crab-run                          the findings of a run"
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common_options
def info(path, as_json, quiet):
    """Show versions, the observations in a data folder, or the findings of a run folder."""
    from ctao_sat import result
    from ctao_sat.config import expand_path

    if path is None:
        _show_installation(result.versions(), as_json)
        return
    folder = expand_path(path)
    if (folder / result.MARKER).is_file():
        _show_run(folder, as_json)
    else:
        _show_data(folder, as_json)


def _show_installation(versions: dict[str, str], as_json: bool) -> None:
    data = os.environ.get("GAMMAPY_DATA", "not set")
    if as_json:
        click.echo(json.dumps({"versions": versions, "GAMMAPY_DATA": data}, indent=2))
        return
    for name, version in versions.items():
        click.echo(f"{name:<12} {version}")
    click.echo(f"{'GAMMAPY_DATA':<12} {data}")


def _show_run(folder: Path, as_json: bool) -> None:
    from ctao_sat.workflow import read_summary

    summary = read_summary(folder)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    click.echo(f"{summary['target']}: {summary['status']}")
    for statement in summary["statements"]:
        click.echo(f"- {statement}")


def _show_data(folder: Path, as_json: bool) -> None:
    from ctao_sat.dl3 import observation_index, open_dl3

    table = observation_index(open_dl3(folder))
    if as_json:
        rows = [{name: row[name].item() for name in table.colnames} for row in table]
        click.echo(json.dumps(rows, indent=2))
        return
    show_table(table)
    click.echo(f"{len(table)} observations in {folder}")
