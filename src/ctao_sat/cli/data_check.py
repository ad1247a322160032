"""Command that checks data."""

from pathlib import Path

import click

from ctao_sat.cli._common import (
    common_options,
    json_option,
    parallel_options,
    progress_wanted,
    show_json,
)

__all__ = ["check"]

DATA = 3


@click.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat data check dl3                         a folder, with all folders in it\n"
    "  ctao-sat data check events.fits irfs.fits       files that belong together\n"
    "  ctao-sat data check dl3 --strict --json -j 4    for a pipeline\n\n"
    "Exit code 3 if there is an error; with --strict, also if there is a warning."
)
@click.argument("paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@click.option("--schema", is_flag=True, help="Compare all files with the schema of CTAO-GADF.")
@json_option("Print all findings as JSON.")
@parallel_options
@common_options
def check(paths, strict, schema, as_json, n_jobs, backend, quiet):
    """Check event lists and responses for what would make an analysis wrong, or fail."""
    from ctao_sat import dl3

    progress = progress_wanted(quiet)
    result = dl3.check(paths, schema=schema, n_jobs=n_jobs, backend=backend, progress=progress)
    if as_json:
        show_json(result.to_dict())
    elif not (quiet and result.ok):
        click.echo(str(result))
    failed = not result.ok or (strict and result.counts["warning"] > 0)
    return DATA if failed else 0
