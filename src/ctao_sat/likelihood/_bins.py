"""Bins and blocks of one dataset: what needs a logarithm, what is summed beforehand."""

from typing import cast

import numpy as np

from ctao_sat.kernels.counts import fill_wstat_constants
from ctao_sat.kernels.selection import EXPLICIT, IMPLICIT, select
from ctao_sat.kernels.statistics import CASH, LOG_TRUNCATION, WSTAT
from ctao_sat.likelihood._data import CountsData
from ctao_sat.likelihood._moving import MovingPart, MovingResponse
from ctao_sat.likelihood._plan import Columns, PlanBuilder
from ctao_sat.likelihood._responses import Response

__all__ = ["add_counts"]

# Bins without counts are summed beforehand where the background is this much larger than what
# sources take away: the negative noise of Fourier transforms, or all of a negative source.
_MARGIN = 1e3
# By so much may a source become stronger, and the background fainter, until that is no more so.
_ROOM = 30.0
# Backgrounds and norms above these stay far from Gammapy's truncation at 1e-25.
_MIN_BACKGROUND = 1e-12
_MIN_NORM = 1e-9
_MAX_ALPHA = 1e100


def add_counts(
    builder: PlanBuilder, data: CountsData, columns: Columns, f: np.ndarray, *, full: bool
) -> None:
    """Add a dataset to a plan.

    Parameters
    ----------
    builder : `PlanBuilder`
        Added to.
    data : `CountsData`
        The dataset.
    columns : `Columns`
        Where its spectra are.
    f : array, shape (n_f,)
        Spectra at present: they tell which bins are dominated by background.
    full : bool
        Whether each bin is evaluated by itself. That is exact whatever the spectra.
    """
    first = builder.n_bins
    moves = False
    for response, (column, _, factor) in zip(data.responses, columns.responses, strict=True):
        if isinstance(response, MovingResponse):
            moves = True
            window = response.window(builder.p, builder.room)
            builder.parts[id(response)] = MovingPart(response, column, factor, window)
    if data.mask.shape[1:] == (1, 1) and not moves:
        positions = _add_region(builder, data, columns)
    elif full:
        positions = _add_all(builder, data, columns)
    else:
        _Selection(builder, data, columns, f).add()
        positions = None
    builder.bins.append((first, builder.n_bins))
    builder.positions.append(positions)


def _rows(data: CountsData, energy, index: np.ndarray) -> np.ndarray:
    """Return the rows of bins: of one energy and some pixels, or of some energies of a region."""
    rows = np.zeros((len(index), 6))
    rows[:, 0] = _take(data.counts, energy, index)
    if data.kind == WSTAT:
        rows[:, 1] = _take(data.counts_off, energy, index)
        rows[:, 2] = _take(data.alpha, energy, index)
    else:
        rows[:, 1] = 1.0 if data.weights is None else _take(data.weights, energy, index)
    return rows


def _take(array: np.ndarray, energy, index: np.ndarray) -> np.ndarray:
    plane = array.reshape(-1) if energy is None else array[energy].reshape(-1)
    return plane[index]


def _add_rows(builder: PlanBuilder, data: CountsData, rows: np.ndarray, background):
    """Add bins; return the first, and the background that a model scales.

    What no model changes is in their offset. So is what is not finite: the statistic truncates
    it, with a derivative of 0, which must not meet it in a product.
    """
    if data.kind == WSTAT:
        fill_wstat_constants(rows)
    if background is None:
        return builder.add_bins(data.kind, rows, np.zeros(len(rows))), None
    if data.background_request is None:
        return builder.add_bins(data.kind, rows, background), None
    finite = np.isfinite(background)
    first = builder.add_bins(data.kind, rows, np.where(finite, 0.0, background))
    return first, np.where(finite, background, 0.0)


def _add_region(builder: PlanBuilder, data: CountsData, columns: Columns) -> np.ndarray:
    """Add a dataset of one pixel: one block holds all energies."""
    index = np.flatnonzero(data.mask)
    background = None if data.background is None else _take(data.background, None, index)
    first_block = len(builder.blocks)
    first, background = _add_rows(builder, data, _rows(data, None, index), background)
    bins = first + np.arange(len(index))
    if columns.background is not None and background is not None:
        column, vector = columns.background
        for row, energy in enumerate(index.tolist()):
            builder.add_block(column + energy, vector, bins[[row]], background[[row]][None])
    for response, (column, vector, factor) in zip(data.responses, columns.responses, strict=True):
        images = cast(Response, response).images[:, 0]
        values = factor * response.edisp[:, index] * images
        low, high = _range(values != 0)
        builder.add_block(column + low, vector, bins, values[low:high])
    builder.close_group(first_block, first)
    return index


def _range(used: np.ndarray) -> tuple[int, int]:
    """Return first and last + 1 row with a true element."""
    lines = np.flatnonzero(used.any(axis=1)) if used.ndim > 1 else np.flatnonzero(used)
    return (0, 0) if len(lines) == 0 else (int(lines[0]), int(lines[-1]) + 1)


def _add_all(builder: PlanBuilder, data: CountsData, columns: Columns) -> np.ndarray:
    """Add all bins to fit, none summed beforehand."""
    n_pixels = data.mask[0].size
    positions = [np.zeros(0, dtype=np.int64)]
    for energy in range(len(data.mask)):
        pixels = np.flatnonzero(data.mask[energy])
        _add_plane(builder, data, columns, energy, pixels)
        positions.append(energy * n_pixels + pixels)
    return np.concatenate(positions)


def _add_plane(builder, data, columns, energy: int, pixels: np.ndarray, merged=None) -> None:
    """Add bins of one energy; ``merged`` is one more, of background only: counts, background."""
    first_block = len(builder.blocks)
    background = None if data.background is None else _take(data.background, energy, pixels)
    first, background = _add_rows(builder, data, _rows(data, energy, pixels), background)
    bins = first + np.arange(len(pixels))
    for response, place in zip(data.responses, columns.responses, strict=True):
        _add_response(builder, data, response, place, energy, pixels, bins)
    if columns.background is not None and background is not None:
        column, vector = columns.background
        if merged is not None:
            last = builder.add_bins(CASH, np.array([[merged[0], 1, 0, 0, 0, 0.0]]), np.zeros(1))
            bins = np.append(bins, last)
            background = np.append(background, merged[1])
        builder.add_block(column + energy, vector, bins, background[None])
    builder.close_group(first_block, first)


def _add_response(builder, data, response, place, energy: int, pixels, bins) -> None:
    column, vector, factor = place
    weight = response.edisp[:, energy]
    low, high = _range(weight != 0)
    y, x = np.divmod(pixels, data.mask.shape[2])
    if isinstance(response, MovingResponse):
        part = builder.parts[id(response)]
        y0, y1, x0, x1 = part.window
        inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        at = y[inside], x[inside]
        builder.add_moving_block(part, energy, low, high, vector, bins[inside], at)
        return
    n_y, n_x = response.images.shape[1:]
    y, x = y - response.corner[0], x - response.corner[1]
    inside = (y >= 0) & (y < n_y) & (x >= 0) & (x < n_x)
    local = y[inside] * n_x + x[inside]
    images = response.images.reshape(len(response.images), -1)[low:high]
    values = images[:, local] * (factor * weight[low:high, None])
    builder.add_block(column + low, vector, bins[inside], values)


class _Selection:
    """Adds a dataset of many pixels with as few bins as possible.

    Three kinds of bins are not evaluated one by one: those without counts, whose statistic is
    linear in the spectra; those that no source reaches, whose logarithm is that of the background
    norm of their energy; those that no model changes.
    """

    def __init__(self, builder: PlanBuilder, data: CountsData, columns: Columns, f: np.ndarray):
        self.builder, self.data, self.columns, self.f = builder, data, columns, f
        self.n_energy, self.n_pixels = len(data.mask), data.mask[0].size
        self.places = list(zip(data.responses, columns.responses, strict=True))
        self.depths = [self._depth(response, place[2]) for response, place in self.places]
        self.classes = np.empty((self.n_energy, self.n_pixels), dtype=np.uint8)
        self.sums = np.empty((self.n_energy, 5))

    @staticmethod
    def _depth(response, factor: float) -> np.ndarray:
        """Return the deepest negative value by column and energy, shape (n_k, n_energy)."""
        if isinstance(response, MovingResponse):
            return np.zeros(response.edisp.shape)
        deepest = np.maximum(-response.images.min(axis=(1, 2), initial=0.0), 0.0)
        return factor * deepest[:, None] * response.edisp

    def add(self) -> None:
        """Add all energies, then the sums."""
        self._select()
        for energy in range(self.n_energy):
            merged = self._add_sums(energy)
            pixels = np.flatnonzero(self.classes[energy] == EXPLICIT)
            _add_plane(self.builder, self.data, self.columns, energy, pixels, merged)
        self._add_signal_sums()
        self._add_bounds()

    def _select(self) -> None:
        data, none = self.data, np.zeros((0, 0))
        quiet = np.zeros((0, 0), dtype=bool)
        if data.kind == WSTAT:
            # Where there is no off region the ratio of exposures is the largest number, and
            # Gammapy's statistic none.
            near = (data.alpha > 0) & (data.alpha < _MAX_ALPHA)
            quiet = self._flat((data.counts_off == 0) & near)
        select(
            self._flat(data.counts),
            quiet,
            none if data.background is None else self._flat(data.background),
            none if data.weights is None else self._flat(data.weights),
            self._flat(data.mask),
            self._covered().reshape(-1),
            self._floors(),
            _MIN_BACKGROUND,
            self.classes,
            self.sums,
        )

    def _flat(self, array: np.ndarray) -> np.ndarray:
        shape = self.data.mask.shape
        return np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(self.n_energy, -1)

    def _covered(self) -> np.ndarray:
        covered = np.zeros(self.data.mask.shape[1:], dtype=bool)
        for response, _ in self.places:
            covered[self._window(response)] = True
        return covered

    def _window(self, response) -> tuple[slice, slice]:
        """Return the pixels that a source may reach."""
        if isinstance(response, MovingResponse):
            y0, y1, x0, x1 = self.builder.parts[id(response)].window
            return slice(y0, y1), slice(x0, x1)
        (y, x), (n_y, n_x) = response.corner, response.images.shape[1:]
        return slice(y, y + n_y), slice(x, x + n_x)

    def _floors(self) -> np.ndarray:
        """Return the background below which bins are not summed, shape (n_energy, n_pixels)."""
        floors = np.zeros(self.data.mask.shape)
        for noise, (response, (column, _, factor)) in zip(self.depths, self.places, strict=True):
            f = np.nan_to_num(self.f[column : column + len(noise)])
            window = floors[:, *self._window(response)]
            window += (_MARGIN * (np.abs(f) @ noise))[:, None, None]
            taken = np.maximum(-f, 0.0)
            if taken.any() and isinstance(response, MovingResponse):
                # Wherever it moves, no bin is to become negative.
                window += np.inf
            elif taken.any() and isinstance(response, Response):
                images = np.maximum(response.images, 0.0).reshape(len(f), -1)
                signal = (_MARGIN * factor * taken[:, None] * response.edisp).T @ images
                window += signal.reshape(window.shape)
        if self.columns.background is not None:
            norms = self.f[self.columns.background[0] :][: self.n_energy]
            floors /= np.maximum(norms, 1e-3)[:, None, None]
        return floors.reshape(self.n_energy, -1)

    def _add_sums(self, energy: int) -> tuple[float, float] | None:
        """Add what is summed; return counts and background of lonely bins, as one bin."""
        implicit, counts, background, logs, dark = self.sums[energy]
        self.builder.constant -= 2 * LOG_TRUNCATION * dark
        if self.columns.background is None:
            self.builder.constant += 2 * (implicit + background - logs)
            return None
        self.builder.implicit[self.columns.background[0] + energy] += 2 * implicit
        if counts == 0:
            return None
        # sum n_j ln(g b_j) and (sum n_j) ln(g sum b_j) differ by a constant.
        self.builder.constant += 2 * (counts * np.log(background) - logs)
        return float(counts), float(background)

    def _add_bounds(self) -> None:
        """Add the spectra for which the sums hold: the margin shared between noise and norm."""
        for negative, (_, (column, _, _)) in zip(self.depths, self.places, strict=True):
            part = slice(column, column + len(negative))
            noisy = negative.any(axis=1)
            most = np.where(noisy, _ROOM * np.abs(self.f[part]), np.inf)
            self.builder.most[part] = np.fmin(self.builder.most[part], most)
        if self.columns.background is not None:
            part = slice(self.columns.background[0], self.columns.background[0] + self.n_energy)
            least = np.maximum(self.f[part] / _ROOM, _MIN_NORM)
            self.builder.least[part] = np.fmax(self.builder.least[part], least)

    def _add_signal_sums(self) -> None:
        implicit = (self.classes == IMPLICIT).reshape(self.data.mask.shape)
        for response, (column, _, factor) in self.places:
            window = np.s_[:, *self._window(response)]
            weights = implicit[window].astype(float)
            if self.data.weights is not None:
                weights *= np.where(implicit[window], self.data.weights[window], 0.0)
            if isinstance(response, MovingResponse):
                self._add_moving_sums(response, column, factor, weights, window)
                continue
            images = response.images.reshape(len(response.images), -1)
            # Infinite weights are not forbidden.
            with np.errstate(invalid="ignore"):
                share = images @ weights.reshape(self.n_energy, -1).T
                sums = factor * np.sum(response.edisp * share, axis=1)
            stop = column + len(sums)
            self.builder.implicit[column:stop] += 2 * sums
            taken = np.minimum(np.nan_to_num(self.f[column:stop]), 0.0)
            least = np.where(sums != 0, _ROOM * taken, -np.inf)
            self.builder.least[column:stop] = np.fmax(self.builder.least[column:stop], least)

    def _add_moving_sums(self, response, column: int, factor: float, weights, window) -> None:
        """Let a part with a free shape know the weights of the bins that are summed."""
        part = self.builder.parts[id(response)]
        shares = np.tensordot(2 * factor * response.edisp, weights, axes=1)
        part.implicit = shares * response.exposure[window]
        used = np.any(part.implicit != 0, axis=(1, 2))
        stop = column + part.implicit.shape[0]
        least = np.where(used, 0.0, -np.inf)
        self.builder.least[column:stop] = np.fmax(self.builder.least[column:stop], least)
