"""Fit the spectrum of a source in one time interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from gammapy.datasets import Datasets
from gammapy.modeling.models import Models, SpectralModel

from ctao_sat._gammapy import fresh_copy
from ctao_sat.dl5._fit import fit
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import KernelCache

__all__ = ["IntervalSpectrum", "check_free", "fit_interval", "parameter_table"]


@dataclass(frozen=True)
class IntervalSpectrum:
    """The free parameters of a spectrum in a time interval.

    Attributes
    ----------
    values : array, shape (n,)
        In the units of the model; NaN if they could not be determined.
    covariance : array, shape (n, n)
        Of the values.
    stat, ts : float
        Statistic of the fit, and by how much it is better than without the source.
    success : bool
        Whether the fit has converged to parameters with errors.
    message : str
        Why not.
    """

    values: np.ndarray
    covariance: np.ndarray
    stat: float
    ts: float
    success: bool
    message: str = ""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all but the message as arrays, for `from_arrays`."""
        return {
            "spectrum values": self.values,
            "spectrum covariance": self.covariance,
            "spectrum numbers": np.array([self.stat, self.ts, self.success], dtype=float),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], message: str) -> "IntervalSpectrum":
        """Return what `to_arrays` was made of."""
        stat, ts, success = arrays["spectrum numbers"].tolist()
        values, covariance = arrays["spectrum values"], arrays["spectrum covariance"]
        return cls(values, covariance, stat, ts, bool(success), message)


def check_free(model: SpectralModel, source: str) -> None:
    """Raise ConfigError if no parameter of a spectrum is free."""
    if not model.parameters.free_parameters:
        raise ConfigError(
            f"No spectral parameter of '{source}' is free.",
            remedy="Thaw one, or take spectrum='fixed'.",
        )


def fit_interval(
    datasets: Datasets, source: str, *, reoptimize: bool, compiled: bool | str, kernels: KernelCache
) -> tuple[IntervalSpectrum, Datasets]:
    """Fit the free spectral parameters of a source.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        Of one interval, with models. They are not changed.
    source : str
        Name of the model. Where it is, and how large, stays.
    reoptimize : bool
        Whether the free parameters of the other models are fitted, too.
    compiled : {"auto", True, False}
        As for `ctao_sat.dl5.fit`.
    kernels : `KernelCache`
        Kernels extracted before.

    Returns
    -------
    spectrum : IntervalSpectrum
        The parameters.
    fitted : `~gammapy.datasets.Datasets`
        With the fitted models; with the models as they were if the fit has failed.
    """
    models = datasets.models.copy()
    own = {id(p) for p in models[source].spectral_model.parameters}
    for model in models:
        if model.name == source:
            for part in (model.spatial_model, model.temporal_model):
                if part is not None:
                    part.freeze()
        elif not reoptimize:
            for parameter in model.parameters:
                # What is linked to the source is fitted with it.
                parameter.frozen |= id(parameter) not in own
    copies = fresh_copy(datasets, models)
    spectral = models[source].spectral_model
    free = list(spectral.parameters.free_parameters)
    n = len(free)
    if sum(float(np.sum(d.counts.data[d.mask])) for d in copies) == 0:
        lost = IntervalSpectrum(
            np.full(n, np.nan),
            np.full((n, n), np.nan),
            copies.stat_sum(),
            np.nan,
            False,
            "no counts",
        )
        return lost, datasets
    options: dict[str, Any] = {"compiled": compiled, "kernels": kernels}
    result = fit(copies, **options)
    covariance = spectral.covariance.get_subcovariance(free).data
    success = result.success and bool(np.all(np.isfinite(covariance)))
    message = "" if success else " ".join(str(result.message).split())
    values = np.array([parameter.value for parameter in free])
    stat = result.total_stat
    ts = _null(copies, source, reoptimize, options) - stat
    if not success:
        values, covariance = np.full(n, np.nan), np.full((n, n), np.nan)
        return IntervalSpectrum(values, covariance, stat, ts, False, message), datasets
    return IntervalSpectrum(values, covariance.copy(), stat, ts, True), copies


def _null(fitted: Datasets, source: str, reoptimize: bool, options: dict[str, Any]) -> float:
    """Return the statistic without the source, the others as they are or fitted again."""
    others = Models([model for model in fitted.models if model.name != source]).copy()
    without = fresh_copy(fitted, others)
    if reoptimize and any(model.parameters.free_parameters for model in others):
        return fit(without, **options).total_stat
    return without.stat_sum()


def parameter_table(
    spectra: Sequence[IntervalSpectrum], times: tuple[Time, Time], model: SpectralModel
) -> QTable:
    """Return the parameters of all intervals.

    Parameters
    ----------
    spectra : sequence of IntervalSpectrum, shape (m,)
        Of each interval.
    times : tuple of `~astropy.time.Time`, shape (m,)
        Start and stop of the intervals.
    model : `~gammapy.modeling.models.SpectralModel`
        Its free parameters are those of the spectra.

    Returns
    -------
    table : `~astropy.table.QTable`
        A row an interval: ``time_min``, ``time_max``, each parameter and its error by name and
        ``name_err``, ``stat``, ``ts``, ``success``, and the ``covariance``, shape (n, n), in the
        order and the units of the parameters, which ``table.meta["parameters"]`` names.
    """
    table = QTable()
    table["time_min"], table["time_max"] = times
    free = model.parameters.free_parameters
    values = np.array([spectrum.values for spectrum in spectra])
    covariance = np.array([spectrum.covariance for spectrum in spectra])
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    for i, parameter in enumerate(free):
        table[parameter.name] = values[:, i] * parameter.unit
        table[f"{parameter.name}_err"] = errors[:, i] * parameter.unit
    table["stat"] = [spectrum.stat for spectrum in spectra]
    table["ts"] = [spectrum.ts for spectrum in spectra]
    table["success"] = [spectrum.success for spectrum in spectra]
    table["covariance"] = covariance
    table.meta["parameters"] = list(free.names)
    return table
