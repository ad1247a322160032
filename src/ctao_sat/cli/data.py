"""Commands about data folders."""

from pathlib import Path

import click

from ctao_sat.cli._common import (
    common_options,
    json_option,
    out_option,
    overwrite_option,
    progress_wanted,
    show_json,
    table_rows,
)
from ctao_sat.cli.data_check import check

__all__ = ["data"]


_SEVERAL_TYPES = (
    "Note: Gammapy's DataStore alone sees one event type of each observation. Open the others "
    "with dl3.open_event_types, or dl3.open_dl3(..., event_types=...)."
)


@click.group(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat data index dl3                         write the index tables of a folder\n"
    "  ctao-sat data check dl3                         what would make an analysis wrong, or fail"
)
def data() -> None:
    """Work on folders of event lists and responses."""


@data.command(
    epilog="Examples:\n\n\b\n"
    "  ctao-sat data index dl3                         write the tables into the folder\n"
    "  ctao-sat data index events irfs -o index        events and responses apart\n"
    "  ctao-sat data index dl3 --overwrite             after files were added"
)
@click.argument("paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option("Folder to write to. Default: that of the data.")
@json_option("Print the rows of the hdu-index table as JSON.")
@overwrite_option
@common_options
def index(paths, out, as_json, overwrite, quiet):
    """Write the index tables of folders or files, built from their headers."""
    from ctao_sat import dl3

    hdus, runs = dl3.write_index(paths, out, overwrite=overwrite, progress=progress_wanted(quiet))
    if as_json:
        show_json(table_rows(hdus))
    elif not quiet:
        types = sorted({str(name) for name in runs["EVTYPE"]} - {""})
        of_types = f"; event types: {', '.join(types)}" if types else ""
        click.echo(f"Indexed {len(hdus)} tables of {len(runs)} event lists{of_types}.")
    if not quiet and len(set(runs["OBS_ID"])) < len(runs):
        click.echo(_SEVERAL_TYPES, err=True)


data.add_command(check)
