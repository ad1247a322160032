"""Predicted counts of one source and of all else, bin by bin, with every parameter as it is."""

from collections.abc import Mapping
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

__all__ = ["SourceCounts", "SourceTerms"]


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


class SourceTerms:
    """What a source and all else predict in the bins of datasets.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With counts and models. They are not changed.
    source : str
        Name of the model.
    kernels : `KernelCache`, optional
        PSF and energy-dispersion kernels extracted before.

    Attributes
    ----------
    left : list of str
        What of the other models was left to Gammapy, and why.

    Raises
    ------
    NotCompilable
        If a dataset, or the source in it, cannot be compiled.
    """

    def __init__(self, datasets: Datasets, source: str, kernels: KernelCache | None = None):
        models = unique_models(datasets)
        parameters = {id(p): p for model in models for p in model.parameters}
        self._source, self._map = source, ParameterMap(list(parameters.values()))
        report = Report()
        kernels = KernelCache() if kernels is None else kernels
        self._terms = build_terms(datasets, self._map, kernels, report, fixed=True)
        for fallback in report.fallbacks:
            if fallback.model in ("", source):
                raise NotCompilable(str(fallback))
        self.left = [str(fallback) for fallback in report.fallbacks]

    @classmethod
    def of(cls, terms: Terms, parameters: ParameterMap, source: str) -> "SourceTerms":
        """Return those of a likelihood that is compiled as a whole, and has no free shapes."""
        self = cls.__new__(cls)
        self._source, self._map, self._terms, self.left = source, parameters, terms, []
        return self

    def counts(self, energies: Mapping[str, slice] | None = None) -> list[SourceCounts]:
        """Return the bins of each dataset with the present parameters of all spectra.

        Parameters
        ----------
        energies : mapping of str to slice, optional
            By name of the dataset; all by default, and none of a dataset that is not there.

        Returns
        -------
        counts : list of `SourceCounts`
            One for each dataset. A dataset that the source does not reach has no bins of its own.
        """
        terms, p = self._terms, self._map.values()
        with np.errstate(all="ignore"):
            f, _, _ = terms.spectra.compute(p, 0)
        clear_non_finite(f, terms.spectra.start, terms.signal)
        out = []
        for i, data in enumerate(terms.data):
            if not isinstance(data, CountsData):
                raise NotCompilable("flux points have no counts")
            part = slice(None)
            if energies is not None:
                part = energies.get(data.dataset.name, slice(0))
            out.append(_sorted(terms, i, self._source, f, p, part))
        return out


def _sorted(
    terms: Terms, i: int, source: str, f: np.ndarray, p: np.ndarray, part: slice
) -> SourceCounts:
    data, columns = terms.data[i], terms.columns[i]
    n_energy = len(data.counts)
    low, high, _ = part.indices(n_energy)
    part, shape = slice(low, high), (high - low, *data.counts.shape[1:])
    background = _background(data, columns, f, part)
    signal = np.zeros(shape)
    for response, (column, _, factor) in zip(data.responses, columns.responses, strict=True):
        assert isinstance(response, Response)
        target = signal if response.name == source else background
        n_k, n_y, n_x = response.images.shape
        weights = response.edisp[:, part] * (factor * f[column : column + n_k])[:, None]
        y, x = response.corner
        window = target[:, y : y + n_y, x : x + n_x]
        window += (weights.T @ response.images.reshape(n_k, -1)).reshape(window.shape)
    if i in terms.models:
        whole = np.zeros(data.counts.shape)
        whole[data.mask] = terms.models[i].value(p)
        background += whole[part]
    second, third = data.weights, None
    if data.kind == WSTAT:
        second, third = data.counts_off, data.alpha
    maps = [_flat(one, data.counts.shape, part) for one in (data.counts, second, third, data.mask)]
    n_pixels = int(np.prod(shape[1:]))
    first, rows, b, s, sums = sort_planes(
        data.kind, *maps, background.reshape(-1, n_pixels), signal.reshape(-1, n_pixels)
    )
    start = np.zeros(n_energy + 1, dtype=np.int64)
    start[low : high + 1], start[high + 1 :] = first, first[-1]
    others, fitted = np.zeros((n_energy, 3)), np.zeros(n_energy, dtype=bool)
    others[part], fitted[part] = sums, data.mask[part].any(axis=(1, 2))
    return SourceCounts(data.dataset.name, data.kind, start, rows, b, s, others, fitted)


def _background(data: CountsData, columns: Columns, f: np.ndarray, part: slice) -> np.ndarray:
    """Return what is predicted without any source, a new array."""
    if data.background is None:
        return np.zeros(data.counts[part].shape)
    background = np.array(np.broadcast_to(data.background, data.counts.shape)[part])
    if columns.background is not None:
        first = columns.background[0]
        background *= f[first + part.start : first + part.stop, None, None]
    return background


def _flat(array: np.ndarray | None, shape: tuple[int, ...], part: slice) -> np.ndarray:
    """Return an array of energies and pixels, without any if there is none."""
    if array is None:
        return np.zeros((0, 0))
    used = np.ascontiguousarray(np.broadcast_to(array, shape)[part])
    return used.reshape(len(used), int(np.prod(shape[1:])))
