"""Which bins need a logarithm, which can be summed beforehand: the arrays of the kernels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ctao_sat.kernels.counts import CountsArrays
from ctao_sat.kernels.statistics import CASH
from ctao_sat.likelihood._moving import MovingPart

__all__ = ["Columns", "Plan", "PlanBuilder"]


@dataclass(frozen=True)
class Columns:
    """Where the spectra of a dataset are among all: first column, vector, factor of the unit."""

    responses: Sequence[tuple[int, int, float]]
    background: tuple[int, int] | None = None


@dataclass
class Plan:
    """Compiled data.

    Attributes
    ----------
    arrays : `CountsArrays`
        For the kernels.
    constant : float
        To be added to their statistic.
    bins : list of tuple of int
        First and last bin + 1 of each dataset.
    positions : list of array
        For datasets with all bins: their index in the flat dataset.
    scratch : array, shape (3, n_bins)
        Working space of the kernels.
    parts : list of `MovingPart`
        Blocks of sources with a free shape.
    """

    arrays: CountsArrays
    constant: float
    bins: list[tuple[int, int]]
    positions: list[np.ndarray | None]
    scratch: np.ndarray
    parts: list[MovingPart]

    def __post_init__(self):
        self._fixed_sums = self.arrays.implicit.copy() if self.parts else None

    def move(self, p: np.ndarray) -> bool:
        """Let sources follow the parameters; return whether all stay where the plan holds."""
        if not self.parts:
            return True
        if not all(part.holds(p) for part in self.parts):
            return False
        self.arrays.implicit[:] = self._fixed_sums
        for part in self.parts:
            part.update(p, self.arrays.values, self.arrays.implicit)
        return True


@dataclass
class PlanBuilder:
    """Collects bins and blocks of one dataset after another.

    Parameters
    ----------
    n_f : int
        Number of columns of all spectra.
    p : array, shape (n,)
        Values of all parameters at present.
    room : float
        How much room sources get to move in, relative to the usual.
    """

    n_f: int
    p: np.ndarray
    room: float = 1.0
    parts: dict[int, MovingPart] = field(default_factory=dict)
    segments: list = field(default_factory=list)
    rows: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    offset: list = field(default_factory=list)
    blocks: list = field(default_factory=list)
    row_bin: list = field(default_factory=list)
    values: list = field(default_factory=list)
    groups: list = field(default_factory=list)
    positions: list = field(default_factory=list)
    bins: list = field(default_factory=list)
    constant: float = 0.0
    n_bins: int = 0
    n_rows: int = 0
    n_values: int = 0

    def __post_init__(self):
        self.implicit = np.zeros(self.n_f)
        self.least, self.most = np.full(self.n_f, -np.inf), np.full(self.n_f, np.inf)

    # -- blocks ---------------------------------------------------------------------------------

    def add_bins(self, kind: int, rows: np.ndarray, offset: np.ndarray) -> int:
        """Add bins; return the first."""
        first = self.n_bins
        self.rows.append(rows)
        self.offset.append(offset)
        self.n_bins += len(rows)
        if self.segments and self.segments[-1][2] == kind:
            self.segments[-1][1] = self.n_bins
        else:
            self.segments.append([first, self.n_bins, kind])
        return first

    def add_table(self, table: np.ndarray) -> int:
        """Add tabulated numbers; return where they start."""
        first = sum(map(len, self.tables))
        self.tables.append(table)
        return first

    def add_block(self, column: int, vector: int, bins: np.ndarray, values: np.ndarray) -> None:
        """Add a block: values of shape (n_columns, n_rows) for these bins, sorted."""
        n_columns, n_rows = values.shape
        if n_columns == 0 or n_rows == 0:
            return
        self.blocks.append([column, n_columns, self.n_rows, n_rows, self.n_values, vector])
        self.row_bin.append(bins)
        self.values.append(np.ascontiguousarray(values).reshape(-1))
        self.n_rows += n_rows
        self.n_values += values.size

    def add_moving_block(
        self, part: MovingPart, energy: int, low: int, high: int, vector: int, bins, pixels
    ) -> None:
        """Add the block of a source with a free shape: true energies low to high, some pixels."""
        if high > low and len(bins) > 0:
            part.add(energy, low, high, self.n_values, self.n_rows, pixels)
            values = np.zeros((high - low, len(bins)))
            self.add_block(part.column + low, vector, bins, values)

    def close_group(self, first_block: int, first_bin: int) -> None:
        """Declare all blocks and bins since these to be a group."""
        if len(self.blocks) > first_block:
            self.groups.append([first_block, len(self.blocks), first_bin, self.n_bins])

    def finish(self) -> Plan:
        """Return the plan."""
        segments = np.array(self.segments, dtype=np.int64).reshape(-1, 3)
        rows = np.concatenate([np.zeros((0, 6)), *self.rows])
        arrays = CountsArrays(
            segments=segments,
            rows=rows,
            few=_few(segments, rows),
            tables=np.concatenate([np.zeros(0), *self.tables]),
            offset=np.concatenate([np.zeros(0), *self.offset]),
            blocks=np.array(self.blocks, dtype=np.int64).reshape(-1, 6),
            row_bin=np.concatenate([np.zeros(0, dtype=np.int64), *self.row_bin]),
            values=np.concatenate([np.zeros(0), *self.values]),
            groups=np.array(self.groups, dtype=np.int64).reshape(-1, 4),
            implicit=self.implicit,
            least=self.least,
            most=self.most,
        )
        scratch = np.empty((3, self.n_bins))
        parts = [part.finish() for part in self.parts.values()]
        return Plan(arrays, self.constant, self.bins, self.positions, scratch, parts)


def _few(segments: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return counts that need no logarithm of their own, -1 for others, shape (n_bins,)."""
    few = np.full(len(rows), -1.0)
    for first, last, kind in segments:
        if kind == CASH:
            n, weight = rows[first:last, 0], rows[first:last, 1]
            few[first:last] = np.where((weight == 1) & np.isin(n, (0, 1, 2)), n, -1.0)
    return few
