"""Write a run to its folder, and read it back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from ctao_sat import config as configs
from ctao_sat import plotting, result
from ctao_sat.errors import FileFormatError, MissingDataError
from ctao_sat.workflow._page import page
from ctao_sat.workflow._provenance import SCHEMA_VERSION
from ctao_sat.workflow._run import Run

__all__ = ["read_summary", "write_run"]


def write_run(run: Run, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write all products of a run to a folder.

    The folder appears under its name when it is complete.

    Parameters
    ----------
    run : Run
        What to write.
    path : path-like
        The run folder.
    overwrite : bool
        Replace an earlier run folder.

    Returns
    -------
    path : Path
        The run folder.

    Raises
    ------
    OutputError
        If the name is taken, or writing fails.
    """
    path = Path(path).absolute()
    # Gammapy divides by zero, and corrects it, for the energy flux of an index of two.
    quiet = np.errstate(divide="ignore", invalid="ignore")
    with result.staged_folder(path, overwrite=overwrite) as folder, quiet:
        (folder / "config.yaml").write_text(configs.dump(run.config), encoding="utf-8")
        run.write_products(folder)
        for name, table in run.tables.items():
            result.write_table(_storable(table), folder / f"{name}.ecsv")
        figures = _write_plots(run, folder / "plots")
        result.write_json({**run.summary, "statements": run.statements}, folder / "summary.json")
        (folder / "report.html").write_text(page(run, figures), encoding="utf-8")
        result.write_json({**run.provenance, "status": run.status}, folder / result.MARKER)
    return path


def _storable(table: Table) -> Table:
    """Return a copy without the notes of Gammapy that no file format holds."""
    copy = Table(table, copy=True)
    copy.meta = {
        key: value for key, value in table.meta.items() if isinstance(value, str | int | float)
    }
    return copy


def _write_plots(run: Run, folder: Path) -> dict[str, Path]:
    folder.mkdir()
    paths = {}
    for name, plot in run.figures().items():
        paths[name] = folder / f"{name}.png"
        plotting.save(plot(), paths[name])
    return paths


def read_summary(path: Path | str) -> dict[str, Any]:
    """Read what a run folder says of itself.

    Parameters
    ----------
    path : path-like
        The run folder.

    Returns
    -------
    summary : dict
        Status, statements and numbers.

    Raises
    ------
    MissingDataError
        If there is no run in the folder.
    FileFormatError
        If it is of a later schema version, or damaged.
    """
    path = Path(path)
    if not (path / result.MARKER).is_file():
        raise MissingDataError(
            f"'{path}' is no run folder.", remedy="Run a recipe first: ctao-sat run CONFIG"
        )
    try:
        record = json.loads((path / result.MARKER).read_text(encoding="utf-8"))
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"The run folder '{path}' is damaged: {error}.", remedy="Run the recipe again."
        ) from error
    if record.get("schema_version") != SCHEMA_VERSION:
        raise FileFormatError(
            f"The run folder '{path}' has the schema version {record.get('schema_version')}.",
            remedy="Read it with the version of ctao_sat that wrote it.",
        )
    return summary
