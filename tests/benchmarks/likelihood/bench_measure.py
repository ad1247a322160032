"""Time sides of a benchmark in turns, keep the numbers, and hold them against the bars."""

import csv
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

PACKAGES = ("ctao-sat", "gammapy", "numpy", "scipy", "numba", "iminuit")
# Above this, cores besides the first have worked: process time is that of all threads.
MAX_CPU_PER_WALL = 1.15


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes
    ----------
    run : callable
        What to time.
    setup : callable, optional
        What to do before, without timing it.
    inner : int
        How many calls are timed as one.
    repeat : int
        How many times are taken in a turn.
    """

    run: Callable[[], object]
    setup: Callable[[], object] | None = None
    inner: int = 1
    repeat: int = 1


def in_turns(
    sides: dict[str, Side],
    turns: int,
    average: Callable = statistics.median,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the time of each side per call in s, timed A B A B so that drifts cancel."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    for _ in range(turns):
        for name, side in sides.items():
            times[name] += [_time(side, clock) for _ in range(side.repeat)]
    return {name: average(values) for name, values in times.items()}


def _time(side: Side, clock: Callable[[], float]) -> float:
    if side.setup is not None:
        side.setup()
    start = clock()
    for _ in range(side.inner):
        side.run()
    return (clock() - start) / side.inner


def once(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the time of one call in s."""
    start = clock()
    function()
    return clock() - start


def slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Return the power with which the cost grows where it is largest.

    The slope of log(time) over log(size) through the upper half of the points: what does not
    depend on the size only flattens the lower end.
    """
    first = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[first:]), np.log(times[first:]), 1)[0])


@dataclass
class Row:
    """A line of the table: times in s, or sizes in the unit that ``unit`` names.

    The JSON file also has the ``series`` of which a slope is taken.
    """

    job: str
    what: str
    gammapy: float | None = None
    ours: float | None = None
    bar: float | None = None
    most: float | None = None
    difference: float | None = None
    allowed: float | None = None
    unit: str = "s"
    note: str = ""
    series: list | None = None

    @property
    def ratio(self) -> float | None:
        """How often our cost fits into Gammapy's."""
        if self.gammapy is None or not self.ours:
            return None
        return self.gammapy / self.ours

    @property
    def faults(self) -> list[str]:
        """What is below its bar or differs too much."""
        found = []
        if self.bar is not None and not (self.ratio or 0) >= self.bar:
            found.append(f"{self.what}: {self.ratio:.3g} times, not {self.bar:g}")
        if self.most is not None and not (self.ours or 0) <= self.most:
            found.append(f"{self.what}: {self.ours:.3g}, more than {self.most:.3g}")
        # Written so that a NaN is a fault.
        if self.allowed is not None and not self.difference <= self.allowed:
            found.append(f"{self.what}: differs by {self.difference:.3g}, not {self.allowed:g}")
        return found


@dataclass
class Record:
    """The numbers of a session, in the order in which they came."""

    folder: Path
    name: str = "likelihood"
    rows: list[Row] = field(default_factory=list)

    def add(self, job: str, what: str, **numbers) -> Row:
        """Keep a row."""
        row = Row(job, what, **numbers)
        self.rows.append(row)
        return row

    def check(self, job: str) -> None:
        """Fail with all faults of a job, after all its rows are kept."""
        rows = [row for row in self.rows if row.job == job]
        faults = [fault for row in rows for fault in row.faults]
        assert rows, f"no numbers for {job}"
        assert not faults, f"{job}: " + "; ".join(faults)

    def write(self) -> list[Path]:
        """Write the JSON file, and the table of the documentation as CSV."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = [{**asdict(row), "ratio": row.ratio} for row in self.rows]
        content = {"machine": describe_machine(), "rows": values}
        paths = [self.folder / f"{self.name}.json", self.folder / f"{self.name}.csv"]
        paths[0].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        with paths[1].open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *map(cells, self.rows)])
        return paths


HEADER = ("job", "what", "Gammapy", "ours", "ratio", "bar", "difference", "allowed", "note")


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as text."""
    limit = f">= {row.bar:g}" if row.bar is not None else ""
    limit = f"<= {row.most:.3g}" if row.most is not None else limit
    return (
        row.job,
        row.what,
        amount(row.gammapy, row.unit),
        amount(row.ours, row.unit),
        "" if row.ratio is None else f"{row.ratio:.3g}",
        limit,
        "" if row.difference is None else f"{row.difference:.1e}",
        "" if row.allowed is None else f"{row.allowed:.0e}",
        row.note,
    )


def amount(value: float | None, unit: str) -> str:
    """Return a number with its unit, times in the prefix that suits them."""
    if value is None:
        return ""
    if unit != "s":
        return f"{value:.3g} {unit}".strip()
    for factor, prefix in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {prefix}"
    return f"{value * 1e9:.3g} ns"


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table."""
    text = [HEADER, *map(cells, rows)]
    widths = [max(len(line[i]) for line in text) for i in range(len(HEADER))]
    lines = []
    for line in text:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def describe_machine() -> dict[str, object]:
    """Return what the times depend on, without the name of the machine."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": load,
        "versions": {name: version(name) for name in PACKAGES},
        "command": Path(sys.argv[0]).name,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def cpu_per_wall(function: Callable[[], object]) -> float:
    """Return how many cores a call keeps busy."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return (time.process_time() - cpu) / (time.perf_counter() - wall)
