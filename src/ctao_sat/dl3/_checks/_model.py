"""What a check is, and what it finds."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from astropy.table import Table

__all__ = ["SEVERITIES", "Check", "CheckResult", "Fault", "Finding", "NotRun", "Severity"]

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

_MAX_NAMED = 3


class Fault(NamedTuple):
    """What a check yields: a fault, with what differs from the entry of the check."""

    what: str
    hdu: str = ""
    severity: Severity | None = None
    remedy: str = ""
    file: str = ""


class NotRun(NamedTuple):
    """What a check yields where it cannot be made, with the reason."""

    reason: str


@dataclass(frozen=True)
class Check:
    """A check: what of, how severe its faults are, and what to do about them.

    Parameters
    ----------
    name : str
        Name, as findings give it.
    checks : str
        What is checked, in one line.
    severity : str
        Severity of a fault, unless the check says otherwise.
    remedy : str
        What to do, unless the check says otherwise.
    kinds : tuple of str
        Kinds of tables that it needs, one at least; empty if it is made of any file.
    function : callable
        Takes the content of a file, or of a folder, and yields `Fault` and `NotRun`.
    """

    name: str
    checks: str
    severity: Severity
    remedy: str
    kinds: tuple[str, ...]
    function: Callable[..., Iterator[Fault | NotRun]]


@dataclass(frozen=True)
class Finding:
    """A fault in a file.

    Parameters
    ----------
    severity : {"error", "warning", "info"}
        ``error``: an analysis would be wrong, or fail.
    file : str
        The file.
    hdu : str
        Name or number of the HDU, empty if it is about the whole file.
    check : str
        Name of the check.
    what : str
        What is wrong, with the number that was measured.
    remedy : str
        What to do about it.
    """

    severity: Severity
    file: str
    hdu: str
    check: str
    what: str
    remedy: str

    @property
    def _alike(self) -> tuple[str, ...]:
        """What findings share that differ in their numbers alone."""
        what = re.sub(r"[-+]?\d[\d.,:e+-]*", "#", self.what)
        return self.severity, self.check, self.hdu, what, self.remedy


@dataclass(frozen=True)
class CheckResult:
    """What `check` found.

    Parameters
    ----------
    findings : tuple of `Finding`
        Errors first, then by check and file.
    files : tuple of str
        The files that were checked.
    checks_run : dict of int
        Number of files, or folders, on which a check was made, by its name.
    checks_not_run : dict of dict
        Number of files on which a check could not be made, by its name, then by the reason; 0 if
        there was nothing to check.
    """

    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    checks_run: Mapping[str, int] = field(default_factory=dict)
    checks_not_run: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is no finding of severity ``error``."""
        return not self.counts["error"]

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings of each severity."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}

    def to_table(self) -> Table:
        """Return the findings, one a row.

        Returns
        -------
        table : `~astropy.table.Table`
            Columns ``severity``, ``file``, ``hdu``, ``check``, ``what``, ``remedy``.
        """
        names = list(Finding.__dataclass_fields__)
        columns = [[getattr(finding, name) for finding in self.findings] for name in names]
        return Table(columns, names=names, dtype=["str"] * len(names))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain types, ready for JSON.

        Returns
        -------
        content : dict
            Keys ``ok``, ``counts``, ``findings``, ``files``, ``checks_run``, ``checks_not_run``.
        """
        return {
            "ok": self.ok,
            "counts": self.counts,
            "findings": [asdict(finding) for finding in self.findings],
            "files": list(self.files),
            "checks_run": dict(self.checks_run),
            "checks_not_run": {name: dict(why) for name, why in self.checks_not_run.items()},
        }

    def grouped(self) -> list[tuple[Finding, tuple[str, ...]]]:
        """Return the findings, those together that differ in file and numbers alone.

        Returns
        -------
        groups : list of tuple
            The first finding of each group, and the files of all of them.
        """
        groups: dict[tuple[str, ...], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault(finding._alike, []).append(finding)
        return [
            (alike[0], tuple(dict.fromkeys(finding.file for finding in alike)))
            for alike in groups.values()
        ]

    def __str__(self) -> str:
        base = os.path.commonpath([os.path.dirname(file) for file in self.files] or [""])
        lines = [
            line
            for first, files in self.grouped()
            for line in _lines(first, [_relative(file, base) for file in files])
        ]
        by_reason: dict[str, list[str]] = {}
        for name, why in self.checks_not_run.items():
            for reason, count in why.items():
                by_reason.setdefault(reason, []).append(f"{name}{_of_files(count)}")
        if by_reason:
            lines.append("Not run:")
            lines += [f"  {reason}: {', '.join(names)}" for reason, names in by_reason.items()]
        counts = ", ".join(_plural(n, name) for name, n in self.counts.items() if name != "info")
        lines.append(
            f"{_plural(len(self.files), 'file')}, {_plural(len(self.checks_run), 'check')}: "
            f"{counts}, {self.counts['info']} remarks."
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        groups = self.grouped()
        rows = [
            (first.severity, first.check, first.hdu, first.what, len(files), first.remedy)
            for first, files in groups
        ]
        names = ("severity", "check", "hdu", "what", "files", "remedy")
        head = f"<p>{str(self).splitlines()[-1]}</p>"
        return head + (Table(rows=rows, names=names)._repr_html_() if rows else "")


def _relative(file: str, base: str) -> str:
    return os.path.relpath(file, base or ".") if file else "all files"


def _lines(finding: Finding, files: Sequence[str]) -> list[str]:
    hdu = f"[{finding.hdu}]" if finding.hdu else ""
    named = ", ".join(files[:_MAX_NAMED]) + (", …" if len(files) > _MAX_NAMED else "")
    example = "For example: " if len(files) > 1 else ""
    head = f"{finding.severity.upper()} {finding.check}{_in_files(len(files))}"
    lines = [f"{head}: {named} {hdu}".rstrip(), f"  {example}{finding.what}"]
    return [*lines, f"  {finding.remedy}"] if finding.remedy else lines


def _of_files(count: int) -> str:
    return f" (of {count} files)" if count > 1 else ""


def _in_files(count: int) -> str:
    return f" ({count} files)" if count > 1 else ""


def _plural(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
