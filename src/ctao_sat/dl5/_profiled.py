"""The profile likelihood of datasets for scans, errors, limits and contours."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.modeling import Parameter
from scipy.stats import chi2, norm

from ctao_sat._gammapy import unique_models
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import CompiledLikelihood, KernelCache
from ctao_sat.likelihood._constrained import prepared
from ctao_sat.likelihood._guard import compare
from ctao_sat.likelihood._names import find_parameter
from ctao_sat.likelihood._profile import ProfileLikelihood

__all__ = ["Profiled", "as_datasets", "profiled", "rise_of", "unique_name"]

log = logging.getLogger(__name__)

# A minimum is said to be elsewhere if it is lower by more.
_ELSEWHERE = 1e-2


@dataclass
class Profiled:
    """What scans need of datasets.

    Attributes
    ----------
    datasets : `~gammapy.datasets.Datasets`
        The datasets.
    parameters : list of `~gammapy.modeling.Parameter`
        Those that are asked for, free.
    likelihood : `~ctao_sat.likelihood._profile.ProfileLikelihood` or None
        None where Gammapy is to do the work.
    fallbacks : list of str
        What Gammapy evaluates, with the reasons.
    """

    datasets: Datasets
    parameters: list[Parameter]
    likelihood: ProfileLikelihood | None = None
    fallbacks: list[str] = field(default_factory=list)

    @property
    def index(self) -> list[int]:
        """Where the parameters are among the free ones."""
        assert self.likelihood is not None
        free = self.likelihood.likelihood.parameters
        return [next(i for i, p in enumerate(free) if p is own) for own in self.parameters]


def as_datasets(datasets) -> Datasets:
    """Return datasets as Gammapy's container, the same one if it is one."""
    return datasets if isinstance(datasets, Datasets) else Datasets(datasets)


@contextmanager
def profiled(
    datasets: Datasets,
    parameters: Sequence[Parameter | str],
    *,
    reoptimize: bool,
    guard: bool,
    kernels: KernelCache | None,
) -> Iterator[Profiled]:
    """Compile the likelihood of datasets, and give them back as they were.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models.
    parameters : sequence of `~gammapy.modeling.Parameter` or str
        Those of interest; they are free meanwhile.
    reoptimize : bool
        Whether others follow them.
    guard : bool
        Whether to compare with Gammapy at the present parameters.
    kernels : `~ctao_sat.likelihood.KernelCache` or None
        Kernels extracted before.
    """
    models = unique_models(datasets)
    if not models:
        raise ConfigError("The datasets have no models.", remedy="Set datasets.models first.")
    found = [find_parameter(datasets, parameter) for parameter in parameters]
    everything = list({id(p): p for model in models for p in model.parameters}.values())
    with prepared(everything, thawed=found), np.errstate(all="ignore"):
        study = Profiled(datasets, found)
        likelihood = CompiledLikelihood(datasets, kernels, watch=False)
        report = likelihood.report
        study.fallbacks = [f"Gammapy evaluates {fallback}" for fallback in report.fallbacks]
        agrees, note = compare(likelihood, "at the present parameters") if guard else (True, "")
        if not agrees:
            study.fallbacks.append(f"Gammapy's Fit, for the compiled likelihood differs {note}")
        elif not report.compiled:
            study.fallbacks.append("Gammapy's Fit, for nothing is compiled")
        else:
            study.likelihood = ProfileLikelihood(likelihood, reoptimize=reoptimize)
            _look_where_the_minimum_is(study.likelihood)
        for fallback in study.fallbacks:
            log.warning("%s.", fallback)
        yield study


def _look_where_the_minimum_is(profile: ProfileLikelihood) -> None:
    likelihood = profile.likelihood
    here = likelihood.evaluate(np.array([p.factor for p in likelihood.parameters]), 0)
    if not profile.best.success:
        log.warning("No minimum was found from the present parameters: take dl5.fit first.")
    elif here - profile.best.stat > _ELSEWHERE:
        log.warning(
            "The statistic has its minimum %.3g below the present parameters: results are counted "
            "from there. Take dl5.fit first.",
            here - profile.best.stat,
        )


def unique_name(datasets: Datasets, parameter: Parameter) -> str:
    """Return the name that Gammapy's ``Fit`` gives to a parameter, "crab.spectral.index"."""
    for model in unique_models(datasets):
        unique = model.parameters.unique_parameters
        for name, own in zip(model.parameters_unique_names, unique, strict=True):
            if own is parameter:
                return f"{model.name}.{name}"
    raise ConfigError(f"No model has the parameter '{parameter.name}'.", remedy="Take another.")


def value_in_unit(parameter: Parameter, value: u.Quantity | float | str) -> float:
    """Return a quantity, or a number in the unit of the parameter, as a number in that unit."""
    if isinstance(value, u.Quantity | str):
        return float(u.Quantity(value).to_value(parameter.unit))
    return float(value)


def rise_of(n_sigma: float | None, confidence_level: float | None, ndim: int | None) -> float:
    """Return the rise of the statistic.

    Parameters
    ----------
    n_sigma : float or None
        Its root.
    confidence_level : float or None
        Of one side with ``ndim`` None, else within a contour of so many parameters.
    ndim : int or None
        Number of parameters.
    """
    if n_sigma is not None and confidence_level is not None:
        raise ConfigError("Both n_sigma and confidence_level.", remedy="Take one of them.")
    if confidence_level is not None:
        lowest = 0.5 if ndim is None else 0.0
        if not lowest < confidence_level < 1:
            raise ConfigError(
                f"A confidence level of {confidence_level}.",
                remedy=f"Take one between {lowest:g} and 1.",
            )
        if ndim is None:
            return float(norm.ppf(confidence_level) ** 2)
        return float(chi2.ppf(confidence_level, ndim))
    if n_sigma is None or not n_sigma > 0:
        raise ConfigError(f"{n_sigma} sigma.", remedy="Take a positive number.")
    return float(n_sigma**2)
