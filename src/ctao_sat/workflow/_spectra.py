"""Steps of a spectral analysis that several recipes take."""

from collections.abc import Sequence
from typing import Protocol

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import Datasets, SpectrumDatasetOnOff
from gammapy.makers import SafeMaskMaker
from gammapy.modeling.models import SkyModel
from gammapy.stats import WStatCountsStatistic

from ctao_sat.config import FitConfig, FluxPointsConfig, ReductionConfig
from ctao_sat.errors import DataError


class SpectralConfig(Protocol):
    """What these steps need of a configuration."""

    @property
    def reduction(self) -> ReductionConfig:
        """How events become binned datasets."""

    @property
    def fit(self) -> FitConfig:
        """What is fitted, and where."""

    @property
    def flux_points(self) -> FluxPointsConfig:
        """The flux in bins of energy."""


def safe_mask(config: SpectralConfig) -> SafeMaskMaker:
    """Return the maker of the safe energy range."""
    reduction = config.reduction
    methods = ["aeff-max"]
    if reduction.safe_bias_percent is not None:
        methods.append("edisp-bias")
    if reduction.use_default_thresholds:
        methods.append("aeff-default")
    return SafeMaskMaker(
        methods=methods,
        aeff_percent=reduction.safe_aeff_percent,
        bias_percent=reduction.safe_bias_percent or 10,
    )


def fit_range(datasets: Datasets) -> u.Quantity:
    """Return the energies from where to where the fit uses data, shape (2,)."""
    edges = datasets[0].counts.geom.axes["energy"].edges
    used = np.flatnonzero(used_bins(datasets))
    if used.size == 0:
        raise DataError(
            "No energy bin is inside both the safe range and the fit range.",
            remedy="Widen `fit.energy_min` and `fit.energy_max`, or lower "
            "`reduction.safe_aeff_percent`.",
        )
    return u.Quantity([edges[used[0]], edges[used[-1] + 1]])


def used_bins(datasets: Datasets) -> np.ndarray:
    """Return which energy bins any of the datasets uses."""
    return np.any([dataset.mask.data.ravel() for dataset in datasets], axis=0)


def with_fit_range(datasets: Datasets, config: SpectralConfig) -> Datasets:
    """Return copies of the datasets with the fit range set."""
    copies = []
    for dataset in datasets:
        copy = dataset.copy(name=dataset.name)
        copy.mask_fit = copy.counts.geom.energy_mask(config.fit.energy_min, config.fit.energy_max)
        copies.append(copy)
    return Datasets(copies)


def counts_statistic(datasets: Sequence[SpectrumDatasetOnOff]) -> WStatCountsStatistic:
    """Return on and off counts of all datasets in the bins they use, as one measurement.

    The ratio of exposures is the mean weighted by off counts, so that the background equals the sum
    of the backgrounds of the datasets.
    """
    n_on = n_off = background = 0.0
    alphas = []
    for dataset in datasets:
        mask = dataset.mask.data
        n_on += dataset.counts.data[mask].sum()
        n_off += dataset.counts_off.data[mask].sum()
        background += (dataset.alpha.data * dataset.counts_off.data)[mask].sum()
        alphas.append(float(np.mean(dataset.alpha.data[mask])) if mask.any() else np.nan)
    alpha = background / n_off if n_off > 0 else float(np.nanmean(alphas))
    return WStatCountsStatistic(n_on=n_on, n_off=n_off, alpha=alpha)


def flux_edges(datasets: Datasets, config: SpectralConfig, limits: u.Quantity) -> u.Quantity:
    """Return the edges of the flux points: as configured, or five a decade in the fit range."""
    wanted = config.flux_points.energy
    if wanted is not None:
        return wanted.axis("energy").edges
    edges = datasets[0].counts.geom.axes["energy"].edges
    inside = edges[(edges >= limits[0] * (1 - 1e-9)) & (edges <= limits[1] * (1 + 1e-9))]
    step = max(1, round(config.reduction.energy.per_decade / 5))
    # The last bin may be narrower: no data of the fit are left out.
    return np.append(inside[:-1:step], inside[-1])


def parameter_table(model: SkyModel, reference: SkyModel | None) -> Table:
    """Return the spectral parameters with errors, and their pulls from a reference model."""
    rows = []
    others = {}
    if reference is not None and type(reference.spectral_model) is type(model.spectral_model):
        others = {p.name: p.quantity for p in reference.spectral_model.parameters}
    for parameter in model.spectral_model.parameters:
        truth = others.get(parameter.name)
        value = np.nan if truth is None else truth.to_value(parameter.unit)
        free = not parameter.frozen and parameter.error > 0
        pull = (parameter.value - value) / parameter.error if free else np.nan
        rows.append(
            (
                parameter.name,
                parameter.value,
                parameter.error if free else np.nan,
                parameter.unit.to_string(),
                not parameter.frozen,
                value,
                pull,
            )
        )
    names = ["name", "value", "error", "unit", "free", "reference", "pull"]
    table = Table(rows=rows, names=names)
    if not others:
        table.remove_columns(["reference", "pull"])
    return table
