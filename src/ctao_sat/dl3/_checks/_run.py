"""Run all checks on files."""

import functools
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from gammapy.data import DataStore

from ctao_sat.config import expand_path
from ctao_sat.dl3._check import reason
from ctao_sat.dl3._checks._content import FAILURES, is_dialect, read_content
from ctao_sat.dl3._checks._folder import Folder, Summary, summarise
from ctao_sat.dl3._checks._interrupt import interrupts_kept
from ctao_sat.dl3._checks._matching import slim
from ctao_sat.dl3._checks._model import (
    SEVERITIES,
    Check,
    CheckResult,
    Fault,
    Finding,
    NotRun,
)
from ctao_sat.dl3._checks._table import FILE_CHECKS, FOLDER_CHECKS, READABLE, SCHEMA
from ctao_sat.dl3._headers import fits_files, path_list
from ctao_sat.parallel import pmap

__all__ = ["check"]

_NO_TABLE = "there is no table for it"
_NOT_CLAIMED = "no file says that it is CTAO-GADF"


@dataclass
class _Outcome:
    """What checks of one file, or of a folder, gave."""

    findings: list[Finding] = field(default_factory=list)
    run: Counter = field(default_factory=Counter)
    not_run: Counter = field(default_factory=Counter)
    summary: Summary | None = None


def check(
    path: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    schema: bool = False,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> CheckResult:
    """Check DL3 files for what would make an analysis wrong, or fail.

    Files are opened one at a time, only to be read. One that cannot be read is a finding.

    Parameters
    ----------
    path : path-like, or an iterable of them
        Folders, which are searched with all folders in them, or files, as `open_dl3` takes them.
    schema : bool
        Compare all files with the schema of CTAO-GADF, and not only those that say that they are.
    n_jobs : int
        Number of workers; -1 takes all available cores.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute, see `ctao_sat.parallel.pmap`.
    progress : bool
        Show a progress bar when it takes more than two seconds.

    Returns
    -------
    result : `CheckResult`
        The findings, and which checks were made.

    Raises
    ------
    ConfigError
        If something is no path.
    MissingDataError
        If a path is not there, or there is no FITS file.

    Examples
    --------
    >>> from ctao_sat import dl3
    >>> result = dl3.check("$GAMMAPY_DATA/hess-dl3-dr1")  # doctest: +SKIP
    >>> result.ok, result.counts  # doctest: +SKIP
    (True, {'error': 0, 'warning': 221, 'info': 186})
    """
    named = path_list(path)
    work = functools.partial(_check_file, schema=schema)
    options: dict[str, Any] = {"n_jobs": n_jobs, "backend": backend, "progress": progress}
    outcomes = pmap(work, fits_files(named), description="Checking", **options)
    files = [outcome.summary for outcome in outcomes if outcome.summary is not None]
    more = _elsewhere(files)
    if more:
        outcomes += pmap(work, more, description="Checking what the index names", **options)
        files = [outcome.summary for outcome in outcomes if outcome.summary is not None]
    outcomes.append(_check_folder(Folder(tuple(files), _index_folder(named))))
    return _result(outcomes, [str(file.path) for file in files])


def _elsewhere(files: list[Summary]) -> list[Path]:
    """Return the files that index tables name and that were not checked, each once."""
    known = {file.path.resolve() for file in files}
    named = {Path(os.path.normpath(row.path)) for file in files for row in file.rows}
    found = {path.resolve(): path for path in sorted(named) if path.is_file()}
    return [path for real, path in found.items() if real not in known]


def _index_folder(named: list[str | os.PathLike]) -> Path | None:
    """Return the folder whose index tables `open_dl3` would go by."""
    folder = expand_path(named[0])
    names = (DataStore.DEFAULT_HDU_TABLE, DataStore.DEFAULT_OBS_TABLE)
    has_tables = any((folder / name).is_file() for name in names)
    return folder if len(named) == 1 and has_tables else None


def _check_file(path: Path, schema: bool) -> _Outcome:
    with interrupts_kept():
        return _checked(path, schema)


def _checked(path: Path, schema: bool) -> _Outcome:
    outcome = _Outcome(summary=Summary(path))
    try:
        content = read_content(path)
        claims = is_dialect(content.infos)
        with np.errstate(all="ignore"):
            outcome.summary = replace(summarise(content), infos=slim(content.infos))
    except FAILURES as error:
        what = f"The file cannot be read: {reason(error)}."
        outcome.findings = [_finding(READABLE, Fault(what), str(path))]
        outcome.run[READABLE.name] = 1
        return outcome
    kinds = {table.info.kind for table in content.tables}
    for one in FILE_CHECKS:
        _make(one, content, kinds, str(path), outcome)
    if schema or claims:
        _make(SCHEMA, content, kinds, str(path), outcome)
    return outcome


def _check_folder(folder: Folder) -> _Outcome:
    outcome = _Outcome()
    for one in FOLDER_CHECKS:
        _make(one, folder, folder.kinds, "", outcome)
    return outcome


def _make(one: Check, what: Any, kinds: set[str], file: str, outcome: _Outcome) -> None:
    """Make a check, unless there is nothing to make it of."""
    if one.kinds and not kinds & set(one.kinds):
        return
    reasons: list[str] = []
    try:
        # Values that are not finite have a check of their own.
        with np.errstate(all="ignore"):
            for item in one.function(what):
                if isinstance(item, NotRun):
                    reasons.append(item.reason)
                else:
                    outcome.findings.append(_finding(one, item, file))
    except FAILURES as error:
        fault = Fault(f"The check cannot be made: {reason(error)}.", severity="error")
        outcome.findings.append(_finding(one, fault, file))
    if reasons:
        outcome.not_run.update((one.name, why) for why in set(reasons))
    else:
        outcome.run[one.name] += 1


def _finding(one: Check, fault: Fault, file: str) -> Finding:
    return Finding(
        severity=fault.severity or one.severity,
        file=fault.file or file,
        hdu=fault.hdu,
        check=one.name,
        what=fault.what,
        remedy=fault.remedy or one.remedy,
    )


def _result(outcomes: list[_Outcome], files: list[str]) -> CheckResult:
    run: Counter[str] = Counter()
    not_run: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        run.update(outcome.run)
        not_run.update(outcome.not_run)
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for (name, why), count in sorted(not_run.items()):
        reasons[name][why] = count
    for name in _never(run, reasons):
        reasons[name][_NOT_CLAIMED if name == SCHEMA.name else _NO_TABLE] = 0
    order = {severity: i for i, severity in enumerate(SEVERITIES)}
    findings = sorted(
        (finding for outcome in outcomes for finding in outcome.findings),
        key=lambda finding: (order[finding.severity], finding.check, finding.file),
    )
    return CheckResult(tuple(findings), tuple(files), dict(run), dict(reasons))


def _never(run: Counter, reasons: dict[str, dict[str, int]]) -> Iterator[str]:
    names = [one.name for one in (*FILE_CHECKS, *FOLDER_CHECKS, SCHEMA)]
    return (name for name in names if name not in run and name not in reasons)
