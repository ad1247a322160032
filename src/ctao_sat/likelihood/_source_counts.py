"""Predicted counts of one source and of all else, bin by bin, with every parameter as it is."""

from dataclasses import dataclass

import numpy as np
from gammapy.datasets import Datasets

from ctao_sat._gammapy import unique_models
from ctao_sat.errors import NotCompilable
from ctao_sat.kernels.joint import clear_non_finite
from ctao_sat.kernels.norm_planes import sort_planes
from ctao_sat.kernels.statistics import WSTAT
from ctao_sat.likelihood._data import CountsData
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._plan import Columns
from ctao_sat.likelihood._report import Report
from ctao_sat.likelihood._responses import Response
from ctao_sat.likelihood._terms import Terms, build_terms

__all__ = ["SourceCounts", "source_counts"]


@dataclass(frozen=True)
class SourceCounts:
    """The bins of one dataset as a problem of one norm.

    Attributes
    ----------
    name : str
        Of the dataset.
    kind : int
        Of the statistic: ``CASH`` or ``WSTAT``.
    start : array of int, shape (n_energy + 1,)
        First bin of each energy in the next three.
    rows, background, signal : array, shape (n, 3), (n,) and (n,)
        Bins to fit that the source reaches, see `ctao_sat.kernels.norms.split`.
    others : array, shape (n_energy, 3)
        See `ctao_sat.kernels.norm_planes.sort_planes`.
    fitted : array of bool, shape (n_energy,)
        Whether an energy has bins to fit.
    """

    name: str
    kind: int
    start: np.ndarray
    rows: np.ndarray
    background: np.ndarray
    signal: np.ndarray
    others: np.ndarray
    fitted: np.ndarray


def source_counts(
    datasets: Datasets, source: str, kernels: KernelCache | None = None
) -> tuple[list[SourceCounts], list[str]]:
    """Return what a source and all else predict in the bins of datasets.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With counts and models. They are not changed.
    source : str
        Name of the model.
    kernels : `KernelCache`, optional
        PSF and energy-dispersion kernels extracted before.

    Returns
    -------
    counts : list of `SourceCounts`
        One for each dataset. A dataset that the source does not reach has no bins of its own.
    left : list of str
        What of the other models was left to Gammapy, and why.

    Raises
    ------
    NotCompilable
        If a dataset, or the source in it, cannot be compiled.
    """
    models = unique_models(datasets)
    parameters = {id(p): p for model in models for p in model.parameters}
    every = ParameterMap(list(parameters.values()))
    report = Report()
    kernels = KernelCache() if kernels is None else kernels
    terms = build_terms(datasets, every, kernels, report, fixed=True)
    for fallback in report.fallbacks:
        if fallback.model in ("", source):
            raise NotCompilable(f"{fallback.dataset}: {fallback.reason}")
    p = every.values()
    with np.errstate(all="ignore"):
        f, _, _ = terms.spectra.compute(p, 0)
    clear_non_finite(f, terms.spectra.start, terms.signal)
    left = [f"{fallback.dataset}, {fallback.model}: {fallback.reason}" for fallback in report.fallbacks]
    return [_sorted(terms, i, source, f, p) for i in range(len(terms.data))], left


def _sorted(terms: Terms, i: int, source: str, f: np.ndarray, p: np.ndarray) -> SourceCounts:
    data, columns = terms.data[i], terms.columns[i]
    if not isinstance(data, CountsData):
        raise NotCompilable("flux points have no counts")
    background = _background(data, columns, f)
    signal = np.zeros(background.shape)
    for response, (column, _, factor) in zip(data.responses, columns.responses, strict=True):
        assert isinstance(response, Response)
        target = signal if response.name == source else background
        n_k, n_y, n_x = response.images.shape
        weights = response.edisp * (factor * f[column : column + n_k])[:, None]
        y, x = response.corner
        window = target[:, y : y + n_y, x : x + n_x]
        window += (weights.T @ response.images.reshape(n_k, -1)).reshape(window.shape)
    if i in terms.models:
        background.reshape(-1)[np.flatnonzero(data.mask)] += terms.models[i].value(p)
    second, third = data.weights, None
    if data.kind == WSTAT:
        second, third = data.counts_off, data.alpha
    maps = [_flat(part, data.counts.shape) for part in (data.counts, second, third, data.mask)]
    start, rows, b, s, others = sort_planes(
        data.kind, *maps, *(part.reshape(len(part), -1) for part in (background, signal))
    )
    fitted = data.mask.any(axis=(1, 2))
    return SourceCounts(data.dataset.name, data.kind, start, rows, b, s, others, fitted)


def _background(data: CountsData, columns: Columns, f: np.ndarray) -> np.ndarray:
    """Return what is predicted without any source, a new array."""
    if data.background is None:
        return np.zeros(data.counts.shape)
    background = np.array(np.broadcast_to(data.background, data.counts.shape))
    if columns.background is not None:
        first = columns.background[0]
        background *= f[first : first + len(background), None, None]
    return background


def _flat(array: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of energies and pixels, without any if there is none."""
    if array is None:
        return np.zeros((0, 0))
    return np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(shape[0], -1)
