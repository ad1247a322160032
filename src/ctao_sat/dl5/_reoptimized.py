"""Fit a norm in each energy bin, together with the free parameters of all other models."""

import numpy as np
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator
from gammapy.modeling.models import ScaleSpectralModel

from ctao_sat._gammapy import fresh_copy
from ctao_sat.dl5._energy_bins import EnergyBin
from ctao_sat.dl5._estimator_options import prior_constant
from ctao_sat.dl5._norm_columns import NormColumns, norm_columns, scan_values
from ctao_sat.errors import NotCompilable
from ctao_sat.likelihood import CompiledLikelihood, KernelCache
from ctao_sat.likelihood._compiled import source_terms, with_energies
from ctao_sat.likelihood._constrained import Minimum
from ctao_sat.likelihood._profile import ProfileLikelihood
from ctao_sat.likelihood._source_counts import SourceTerms
from ctao_sat.parallel import progress_bar

__all__ = ["reoptimized_columns"]

# How often a lower minimum that turns up on the way may replace the one before.
_RESTARTS = 3


def reoptimized_columns(
    datasets: Datasets,
    bins: list[EnergyBin],
    estimator: FluxPointsEstimator,
    kernels: KernelCache | None,
    *,
    progress: bool = False,
) -> NormColumns:
    """Fit the norm of a source and all other free parameters in each bin.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models. They are not changed.
    bins : list of `EnergyBin`, m elements
        What to fit.
    estimator : `~gammapy.estimators.FluxPointsEstimator`
        Its options.
    kernels : `~ctao_sat.likelihood.KernelCache` or None
        PSF and energy-dispersion kernels extracted before.
    progress : bool
        Show a progress bar.

    Returns
    -------
    columns : `NormColumns`
        Statistics are at the minimum over the other parameters, as in Gammapy; so are errors,
        limits and scans. The sensitivity is that with the others at their best fit.

    Raises
    ------
    NotCompilable
        If anything cannot be compiled.
    """
    study = _Study(datasets, estimator, KernelCache() if kernels is None else kernels)
    columns: dict[str, list] = {}
    failed = {}
    for i, one in enumerate(progress_bar(bins, description="Flux points", progress=progress)):
        found = study.columns(one)
        for key, values in found.columns.items():
            columns.setdefault(key, []).append(values[0])
        if found.failed:
            failed[i] = found.failed[0]
    return NormColumns({key: np.array(values) for key, values in columns.items()}, failed)


class _Study:
    """Copies of datasets whose source has a norm, compiled once for all bins."""

    def __init__(self, datasets: Datasets, estimator: FluxPointsEstimator, kernels: KernelCache):
        self._estimator, self._kernels, self._names = estimator, kernels, datasets.names
        models = datasets.models.copy()
        source = models[estimator.source]
        source.parameters.freeze_all()
        source.spectral_model = ScaleSpectralModel(source.spectral_model)
        self._norm = source.spectral_model.norm = estimator.norm.copy()
        self._datasets = fresh_copy(datasets)
        self._datasets.models = models
        self._likelihood = CompiledLikelihood(self._datasets, kernels, watch=False)
        if not self._likelihood.report.is_complete:
            raise NotCompilable(self._likelihood.report.reasons())
        for parameter in self._likelihood.parameters:
            parameter.autoscale()
        self._start = np.array([p.factor for p in self._likelihood.parameters])
        self._index = [id(p) for p in self._likelihood.parameters].index(id(self._norm))

    def columns(self, one: EnergyBin) -> NormColumns:
        """Return the numbers of one bin."""
        energies = {self._names[k]: slice(first, last) for k, first, last in one.parts}
        self._likelihood.set_factors(self._start)
        alone = self._alone(one, energies)
        if not np.isfinite(alone.columns["norm"][0]):
            # Nothing to fit, or no signal that the others could make room for.
            return alone
        profile = ProfileLikelihood(with_energies(self._likelihood, energies))
        for _ in range(_RESTARTS):
            self._likelihood.set_factors(profile.best.x)
            alone = self._alone(one, energies)
            found = _Profiled(profile, self._index, self._norm, self._estimator)
            own = found.columns(alone.columns)
            if found.lower is None:
                break
            profile.start_at(found.lower.x)
        failed = {} if profile.best.success else {0: "the fit of all parameters did not converge"}
        return NormColumns({**alone.columns, **own}, failed or alone.failed)

    def _alone(self, one: EnergyBin, energies: dict[str, slice]) -> NormColumns:
        """Return the numbers with all other parameters as they are."""
        source = self._estimator.source
        if self._likelihood.sources:
            # Shapes that are free have moved.
            terms = SourceTerms(self._datasets, source, self._kernels)
        else:
            terms = source_terms(self._likelihood, source)
        # A norm of 1 stands for the spectrum itself.
        value, self._norm.value = self._norm.value, 1.0
        counts = terms.counts(energies)
        self._norm.value = value
        constant = prior_constant(self._datasets, source)
        return norm_columns(counts, [one.parts], self._estimator, constant)


class _Profiled:
    """What the profile over all other parameters says of the norm."""

    def __init__(self, profile: ProfileLikelihood, index: int, norm, estimator):
        self._profile, self._index, self._norm, self._estimator = profile, [index], norm, estimator
        self.lower: Minimum | None = None
        self._width = float(np.sqrt(profile.covariance(self._index)[0, 0]))

    def columns(self, alone: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the columns that differ from those with all other parameters held."""
        best, estimator = self._profile.best, self._estimator
        value = self._norm.inverse_transform(best.x[self._index[0]])
        error = self._width * abs(self._norm.scale)
        if not np.isfinite(alone["norm_err"][0]):
            error = np.nan
        null = self._profile.at(self._index, np.zeros(1)).stat
        out = {
            "norm": value,
            "norm_err": error * estimator.n_sigma,
            "stat": best.stat,
            "stat_null": null,
            "ts": null - best.stat,
        }
        if "norm_errp" in alone:
            out["norm_errp"] = self._distance(estimator.n_sigma, 1)
            out["norm_errn"] = self._distance(estimator.n_sigma, -1)
        if "norm_ul" in alone:
            out["norm_ul"] = value + self._distance(estimator.n_sigma_ul, 1)
        if "stat_scan" in alone:
            where = scan_values(self._norm, np.array([value]), np.array([error]))
            out["norm_scan"], out["stat_scan"] = where[0], self._scan(where[0])
        return {key: np.array([number]) for key, number in out.items()}

    def _distance(self, n_sigma: float, side: int) -> float:
        """Return how far the norm is from where the profile has risen by the square of a number."""
        if self.lower is not None:
            return np.nan
        direction = np.array([side * self._width])
        found = self._profile.crossing(self._index, direction, float(n_sigma) ** 2)
        self.lower = found.lower
        if found.at_limit or not found.success or not np.isfinite(found.t):
            return np.nan
        return found.t * self._width * abs(self._norm.scale)

    def _scan(self, where: np.ndarray) -> np.ndarray:
        stats = []
        for value in where:
            found = self._profile.at(self._index, np.array([self._norm.transform(value)]))
            stats.append(found.stat if found.success else np.nan)
        return np.array(stats)
