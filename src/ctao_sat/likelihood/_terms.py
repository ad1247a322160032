"""The terms of a likelihood: datasets, their spectra, and what is left to Gammapy."""

from dataclasses import dataclass, field

import numpy as np
from gammapy.datasets import Datasets, FluxPointsDataset, MapDataset

from ctao_sat._gammapy import new_evaluator, plain_stat_sum, with_evaluators
from ctao_sat.errors import NotCompilable
from ctao_sat.kernels.statistics import PROFILE
from ctao_sat.likelihood._bins import add_counts
from ctao_sat.likelihood._data import CountsData, describe_counts
from ctao_sat.likelihood._flux_points import FluxPointsRows, flux_points_rows
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._moving import MovingResponse
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._plan import Columns, Plan, PlanBuilder
from ctao_sat.likelihood._report import Fallback, Report
from ctao_sat.likelihood._responses import build_response
from ctao_sat.likelihood._slow import SlowTerm
from ctao_sat.likelihood._spectra import Spectra, SpectrumRequest, build_spectra

__all__ = ["Terms", "build_terms"]

# In degrees. Responses change over tenths of a degree.
_HARDLY = 0.001


@dataclass
class Terms:
    """All terms of the statistic but priors.

    Attributes
    ----------
    data : list of `CountsData` or `FluxPointsRows`
        Datasets that are compiled, at least in part.
    spectra : `Spectra`
        All spectra.
    signal : array of bool, shape (n_vectors,)
        Whether a spectrum is one of a source.
    columns : list of `Columns`
        Where the spectra of each dataset are.
    models : dict of int to `SlowTerm`
        Predicted counts by Gammapy, of the dataset with this index.
    datasets : list of `SlowTerm`
        Statistics by Gammapy.
    """

    data: list
    spectra: Spectra
    signal: np.ndarray
    columns: list[Columns]
    models: dict[int, SlowTerm] = field(default_factory=dict)
    datasets: list[SlowTerm] = field(default_factory=list)

    @property
    def n_bins(self) -> int:
        """Number of bins to fit, of all datasets that are compiled."""
        return sum(
            len(data.rows) if isinstance(data, FluxPointsRows) else int(np.count_nonzero(data.mask))
            for data in self.data
        )

    @property
    def is_native(self) -> bool:
        """Whether nothing is evaluated by Gammapy, not even a spectrum."""
        return self.is_whole and not self.spectra.numeric

    @property
    def is_whole(self) -> bool:
        """Whether Gammapy evaluates spectra at most."""
        return not (self.models or self.datasets)

    @property
    def moving(self) -> list[MovingResponse]:
        """The responses to models with a free shape."""
        return [
            response
            for data in self.data
            if isinstance(data, CountsData)
            for response in data.responses
            if isinstance(response, MovingResponse)
        ]

    def anchor(self, p: np.ndarray, parameters: ParameterMap, kernels: KernelCache) -> None:
        """Take the responses of sources with a free shape from where these are now.

        Parameters
        ----------
        p : array, shape (n,)
            Values of all parameters: the present ones.
        parameters : `ParameterMap`
            All parameters.
        kernels : `KernelCache`
            Where PSF and energy dispersion are extracted.
        """
        for data in self.data:
            if isinstance(data, CountsData):
                data.responses = [
                    _anchored(data.dataset, response, p, parameters, kernels)
                    for response in data.responses
                ]

    def plan(self, f: np.ndarray, p: np.ndarray, *, full: bool, room: float = 1.0) -> Plan:
        """Return the arrays of the kernels.

        Parameters
        ----------
        f : array, shape (n_f,)
            Spectra at present.
        p : array, shape (n,)
            Values of all parameters at present.
        full : bool
            Whether to evaluate each bin by itself.
        room : float
            How much room sources get to move in, relative to the usual.
        """
        builder = PlanBuilder(len(f), p, room)
        for i, (data, columns) in enumerate(zip(self.data, self.columns, strict=True)):
            if isinstance(data, FluxPointsRows):
                _add_flux_points(builder, data, columns)
            else:
                add_counts(builder, data, columns, f, full=full or i in self.models)
        return builder.finish()


def _anchored(dataset, response, p: np.ndarray, parameters: ParameterMap, kernels: KernelCache):
    """Return a response from where the source is now, the same one if it has hardly moved."""
    if not isinstance(response, MovingResponse) or response.drift(p) < _HARDLY:
        return response
    model = next(model for model in dataset.models if model.name == response.name)
    return build_response(dataset, model, parameters, kernels, reuse=False)


def _add_flux_points(builder: PlanBuilder, data: FluxPointsRows, columns: Columns) -> None:
    first_block, n = len(builder.blocks), len(data.rows)
    rows = data.rows
    if data.kind == PROFILE:
        rows = rows.copy()
        rows[:, 0] += builder.add_table(data.tables)
    first = builder.add_bins(data.kind, rows, np.zeros(n))
    for term, (column, vector, factor) in zip(data.terms, columns.responses, strict=True):
        for row in range(n):
            value = np.array([[factor * term.factor[row]]])
            builder.add_block(column + int(term.index[row]), vector, np.array([first + row]), value)
    builder.close_group(first_block, first)
    builder.bins.append((first, builder.n_bins))
    builder.positions.append(None)


def build_terms(
    datasets: Datasets,
    parameters: ParameterMap,
    kernels: KernelCache,
    report: Report,
    *,
    reuse: bool = True,
    fixed: bool = False,
) -> Terms:
    """Return the terms of datasets; what falls back is added to the report.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models.
    parameters : `ParameterMap`
        All parameters of their models.
    kernels : `KernelCache`
        Where PSF and energy dispersion are extracted.
    report : `Report`
        Added to.
    reuse, fixed : bool
        See `build_response`.

    Returns
    -------
    terms : `Terms`
        All but the priors.
    """
    described, slow = [], []
    for dataset in datasets:
        try:
            data = _describe(dataset, parameters, kernels, reuse, fixed)
        except NotCompilable as error:
            report.fallbacks.append(Fallback(dataset.name, "", error.message))
            slow.append(_slow_dataset(dataset, parameters))
            continue
        described.append(data)
        report.compiled.append(dataset.name)
    table = _RequestTable()
    places = [table.add(data) for data in described]
    spectra = build_spectra(table.requests, parameters.all, parameters.free)
    for vector, reason in spectra.numeric:
        where = report.spectra if vector in spectra.models else report.scaled
        where.append(f"{table.names[vector]}: {reason}")
    columns = [
        _columns(data, vectors, spectra) for data, vectors in zip(described, places, strict=True)
    ]
    models = {}
    for i, data in enumerate(described):
        if isinstance(data, CountsData) and data.slow:
            for name, reason in data.slow.items():
                report.fallbacks.append(Fallback(data.dataset.name, name, reason))
            models[i] = _slow_models(data, parameters, kernels)
    return Terms(described, spectra, np.array(table.signal, dtype=bool), columns, models, slow)


def _describe(
    dataset, parameters: ParameterMap, kernels: KernelCache, reuse: bool, fixed: bool
) -> CountsData | FluxPointsRows:
    if type(dataset) is FluxPointsDataset:
        return flux_points_rows(dataset)
    return describe_counts(dataset, parameters, kernels, reuse=reuse, fixed=fixed)


class _RequestTable:
    """All spectra that are needed, each once."""

    def __init__(self):
        self.requests, self.signal, self.names, self._known = [], [], [], {}

    def add(self, data: CountsData | FluxPointsRows) -> tuple[list[int], int | None]:
        """Return the vectors of a dataset: of its models, and of its background."""
        if isinstance(data, FluxPointsRows):
            return [self._add(term.request, False, term.name) for term in data.terms], None
        background = None
        if data.background_request is not None:
            background = self._add(data.background_request, False, f"{data.dataset.name}-bkg")
        vectors = [self._add(r.request, True, r.name) for r in data.responses]
        return vectors, background

    def _add(self, request: SpectrumRequest, signal: bool, name: str) -> int:
        temporal = None if request.temporal is None else tuple(map(id, request.temporal))
        key = (
            id(request.model), request.energy.tobytes(), request.energy_unit, request.integrate,
            temporal, signal,
        )  # fmt: skip
        if key not in self._known:
            self._known[key] = len(self.requests)
            self.requests.append(request)
            self.signal.append(signal)
            self.names.append(name)
        return self._known[key]


def _columns(data, vectors: tuple[list[int], int | None], spectra: Spectra) -> Columns:
    responses, background = vectors
    if isinstance(data, FluxPointsRows):
        return Columns(
            [(int(spectra.start[v]), v, spectra.units[v].to(data.unit)) for v in responses]
        )
    places = []
    for vector, response in zip(responses, data.responses, strict=True):
        unit = response.unit * spectra.units[vector]
        factor = 1.0 if unit == "" else unit.to("")
        places.append((int(spectra.start[vector]), vector, float(factor)))
    place = None if background is None else (int(spectra.start[background]), background)
    return Columns(places, place)


def _slow_dataset(dataset, parameters: ParameterMap) -> SlowTerm:
    used = [] if dataset.models is None else dataset.models.parameters
    return SlowTerm(lambda: plain_stat_sum(dataset), parameters, used)


def _slow_models(data: CountsData, parameters: ParameterMap, kernels: KernelCache) -> SlowTerm:
    """Return the predicted counts, in the bins to fit, of all models that are not compiled."""
    dataset: MapDataset = data.dataset
    psf, edisp = kernels.psf(dataset.psf), kernels.edisp(dataset.edisp)
    models = [model for model in dataset.models if model.name in data.slow]
    evaluators = {model.name: new_evaluator(dataset, model, psf, edisp) for model in models}
    shadow = with_evaluators(dataset, evaluators)
    positions = np.flatnonzero(data.mask)

    def counts() -> np.ndarray:
        return shadow.npred_signal(model_names=list(data.slow)).data.reshape(-1)[positions]

    used = [parameter for model in models for parameter in model.parameters]
    return SlowTerm(counts, parameters, used)
