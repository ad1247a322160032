"""Fit one norm in each of many groups of bins: the numbers of Gammapy's flux estimator."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gammapy.estimators import FluxPointsEstimator

from ctao_sat.kernels import norms
from ctao_sat.likelihood._source_counts import SourceCounts

__all__ = ["NormColumns", "norm_columns", "scan_values"]

Parts = Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class NormColumns:
    """What is known of m norms.

    Attributes
    ----------
    columns : dict of str to array, shape (m, ...)
        By the names of Gammapy's tables; "counts", "npred" and "npred_excess" have a column for
        each data set, "stat_scan" for each norm of the scan.
    failed : dict of int to str
        Norms that were not found, and why.
    """

    columns: dict[str, np.ndarray]
    failed: dict[int, str]


class _Groups:
    """Bins of groups, one group after the other."""

    def __init__(self, counts: Sequence[SourceCounts], groups: Sequence[Parts]):
        self.counts, self.groups = counts, groups
        self.pieces = [
            (g, k, first, last) for g, parts in enumerate(groups) for k, first, last in parts
        ]
        sizes, parts = np.zeros(len(groups), dtype=np.int64), []
        for g, k, first, last in self.pieces:
            one = counts[k]
            part = slice(one.start[first], one.start[last])
            parts.append((one.kind, one.rows[part], one.background[part], one.signal[part]))
            sizes[g] += len(one.signal[part])
        self.lengths = np.array([len(part[3]) for part in parts], dtype=np.int64)
        self.start = np.concatenate([[0], np.cumsum(sizes)])
        kinds = [np.full(len(part[3]), part[0]) for part in parts]
        self.kind = np.concatenate([np.zeros(0, dtype=np.int64), *kinds])
        self.rows = np.concatenate([np.zeros((0, 3)), *(part[1] for part in parts)])
        self.background, self.signal = (
            np.concatenate([np.zeros(0), *(part[i] for part in parts)]) for i in (2, 3)
        )

    def table(self, values: np.ndarray, column: int | None = None) -> np.ndarray:
        """Return sums by group and data set, with a column of the bins without signal."""
        out = np.zeros((len(self.groups), len(self.counts)))
        ends = np.cumsum(self.lengths)
        for (g, k, first, last), end, n in zip(self.pieces, ends, self.lengths, strict=True):
            out[g, k] = np.sum(values[end - n : end])
            if column is not None:
                out[g, k] += np.sum(self.counts[k].others[first:last, column])
        return out

    def others(self, column: int) -> np.ndarray:
        """Return sums over bins without signal, by group and data set."""
        return self.table(np.zeros(len(self.signal)), column)

    def fitted(self) -> np.ndarray:
        """Return whether a group has bins to fit."""
        return np.array(
            [any(self.counts[k].fitted[a:b].any() for k, a, b in parts) for parts in self.groups],
            dtype=bool,
        )


_REASONS = {
    norms.EMPTY_DOMAIN: "no norm predicts counts in all bins that have some",
    norms.NO_CONVERGENCE: "no minimum was found",
}


def norm_columns(
    counts: Sequence[SourceCounts],
    groups: Sequence[Parts],
    estimator: FluxPointsEstimator,
    constant: float = 0.0,
) -> NormColumns:
    """Fit the norm of a source in each group of bins.

    Parameters
    ----------
    counts : sequence of `SourceCounts`
        One for each data set.
    groups : sequence of list of (int, int, int), m elements
        Index of the data set, first energy and last + 1; each group is fitted jointly.
    estimator : `~gammapy.estimators.FluxPointsEstimator`
        Its options: which numbers to give, how many sigmas, limits and scan of the norm.
    constant : float
        Of the statistic: priors on what is not fitted.

    Returns
    -------
    columns : `NormColumns`
        A group without bins to fit, or without signal in them, has no norm and no success.
    """
    bins = _Groups(counts, groups)
    m = len(groups)
    problems = norms.split(bins.start, bins.kind, bins.rows, bins.background, bins.signal)
    norm, stat, curvature = np.full((3, m), np.nan)
    status = np.empty(m, dtype=np.int64)
    limits = np.tile(_limits(estimator.norm), (m, 1))
    start = np.full(m, float(estimator.norm.value))
    norms.best_norms(problems, limits, start, norm, stat, curvature, status)
    fitted = bins.fitted()
    offset = np.where(fitted, bins.others(0).sum(axis=1) + constant, constant)
    total = stat + problems.constant + offset
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(curvature > 0, np.sqrt(2 / curvature), np.nan)
    null = _at(problems, np.zeros((m, 1)))[:, 0] + offset
    mu = bins.background + np.repeat(norm, np.diff(bins.start)) * bins.signal
    predicted = np.empty(len(mu))
    norms.predictions(bins.kind, bins.rows, mu, predicted)
    excess = bins.table(bins.signal) * np.where(np.isfinite(norm) | ~fitted, norm, 0)[:, None]
    columns = {
        "norm": norm,
        "norm_err": error * estimator.n_sigma,
        "ts": np.where(fitted, null - total, np.nan),
        "npred": np.where(fitted[:, None], bins.table(predicted, 1), np.nan),
        "npred_excess": np.where(fitted[:, None], excess, 0.0),
        "stat": np.where(fitted, total, 0.0),
        "stat_null": null,
        "counts": bins.others(2).astype(int),
        "success": np.isin(status, (norms.OK, norms.FLAT, norms.AT_LIMIT)),
    }
    state = _State(problems, limits, norm, stat, curvature)
    columns |= _optional(estimator, state, error, offset, fitted)
    failed = {
        i: _REASONS[int(status[i])] for i in range(m) if int(status[i]) in _REASONS and fitted[i]
    }
    return NormColumns(columns, failed)


@dataclass(frozen=True)
class _State:
    """Problems and their best norms."""

    problems: norms.NormProblems
    limits: np.ndarray
    norm: np.ndarray
    stat: np.ndarray
    curvature: np.ndarray

    def crossing(self, n_sigma: float, *, upwards: bool) -> np.ndarray:
        """Return where the statistic has grown by the square of a number."""
        out = np.empty(len(self.norm))
        best = self.norm, self.stat, self.curvature
        norms.crossings(self.problems, self.limits, *best, float(n_sigma) ** 2, upwards, out)
        return out


def _limits(norm) -> list[float]:
    return [
        -np.inf if np.isnan(norm.min) else float(norm.min),
        np.inf if np.isnan(norm.max) else float(norm.max),
    ]


def _at(problems: norms.NormProblems, where: np.ndarray) -> np.ndarray:
    out = np.empty(where.shape)
    norms.statistics_at(problems, where, out)
    return out


def _optional(estimator, state: _State, error, offset, fitted) -> dict[str, np.ndarray]:
    wanted, columns = estimator.selection_optional, {}
    if "errn-errp" in wanted:
        columns["norm_errp"] = state.crossing(estimator.n_sigma, upwards=True) - state.norm
        columns["norm_errn"] = state.norm - state.crossing(estimator.n_sigma, upwards=False)
    if "ul" in wanted:
        columns["norm_ul"] = state.crossing(estimator.n_sigma_ul, upwards=True)
    if "scan" in wanted:
        where = scan_values(estimator.norm, state.norm, error)
        stats = _at(state.problems, where) + offset[:, None]
        columns["norm_scan"] = where
        columns["stat_scan"] = np.where(fitted[:, None], stats, np.nan)
    if "sensitivity" in wanted:
        columns["norm_sensitivity"] = np.empty(len(state.norm))
        rise = float(estimator.n_sigma_sensitivity) ** 2
        norms.sensitivities(state.problems, rise, state.limits, columns["norm_sensitivity"])
    return columns


def scan_values(norm, values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return where to scan each norm, shape (m, n_scan).

    Parameters
    ----------
    norm : `~gammapy.modeling.Parameter`
        With the options of the scan.
    values, errors : array, shape (m,)
        Best norms and their errors, around which to scan if the parameter has no range.

    Returns
    -------
    values : array, shape (m, n_scan)
        Norms.
    """
    rows = []
    for value, error in zip(values, errors, strict=True):
        one = norm.copy()
        if np.isfinite(value) and np.isfinite(error):
            one.value, one.error = value, error
        rows.append(np.asarray(one.scan_values, dtype=float))
    return np.array(rows)
