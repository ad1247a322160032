"""A likelihood compiled from Gammapy datasets: value, gradient, second derivatives."""

import copy
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from gammapy.datasets import Datasets

from ctao_sat._gammapy import unique_models
from ctao_sat.errors import ConfigError, NotCompilable
from ctao_sat.likelihood._curvature import by_differences, expansion, second_derivatives
from ctao_sat.likelihood._data import CountsData
from ctao_sat.likelihood._engine import Engine
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._priors import build_priors
from ctao_sat.likelihood._report import Report
from ctao_sat.likelihood._signature import Signature
from ctao_sat.likelihood._source_counts import SourceTerms
from ctao_sat.likelihood._sources import MovingSources
from ctao_sat.likelihood._terms import Terms, build_terms

__all__ = [
    "CompiledLikelihood",
    "compile_likelihood",
    "source_terms",
    "with_counts",
    "with_energies",
]


def compile_likelihood(
    datasets: Datasets, *, kernels: KernelCache | None = None
) -> "CompiledLikelihood":
    """Compile the likelihood of datasets with models.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        Any of Gammapy's, with models. They are not changed.
    kernels : `KernelCache`, optional
        PSF and energy-dispersion kernels extracted before; those that are missing are added.

    Returns
    -------
    likelihood : `CompiledLikelihood`
        See its ``report`` for what was left to Gammapy, and why.

    Raises
    ------
    ConfigError
        If there are no models.
    """
    return CompiledLikelihood(datasets, kernels)


class CompiledLikelihood:
    """The statistic -2 ln L of datasets as a function of the factors of their free parameters.

    Made by `compile_likelihood`. Parameters stay live: frozen ones are read at each call. Data,
    masks and instrument responses are snapshots; `stat_sum` and `ctao_sat.dl5.fit` look whether
    they have changed and then compile again.

    Attributes
    ----------
    report : `Report`
        What is compiled and what is not.
    """

    def __init__(
        self, datasets: Datasets, kernels: KernelCache | None = None, *, watch: bool = True
    ):
        self.datasets = datasets if isinstance(datasets, Datasets) else Datasets(datasets)
        self._kernels = KernelCache() if kernels is None else kernels
        self._watch = watch
        self._compile()

    def _compile(self, *, reuse: bool = True) -> None:
        start, before = time.perf_counter(), self._kernels.seconds
        models = unique_models(self.datasets)
        if not models:
            raise ConfigError("The datasets have no models.", remedy="Set datasets.models first.")
        parameters = list({id(p): p for model in models for p in model.parameters}.values())
        self.report = Report()
        self._map = ParameterMap(parameters)
        self._priors = priors = build_priors(self.datasets, self._map.all, self._map.free)
        terms = build_terms(self.datasets, self._map, self._kernels, self.report, reuse=reuse)
        self._signature = Signature(self.datasets, self._map, terms, priors)
        if self._watch:
            self._signature.take()
        self._engine = Engine(terms, priors, self._map.values())
        self._fill_report(time.perf_counter() - start, self._kernels.seconds - before)

    def _fill_report(self, total: float, kernels: float) -> None:
        report, arrays = self.report, self._engine.plan.arrays
        report.timings = {"kernels": kernels, "compile": total - kernels}
        report.n_parameters = len(self._map.free_index)
        report.n_evaluated = len(arrays.offset)
        report.n_bins = self._engine.terms.n_bins
        report.memory = sum(array.nbytes for array in arrays)

    @property
    def parameters(self) -> list:
        """The unique free parameters; ``x`` are their factors."""
        return list(self._map.free_parameters)

    @property
    def all_parameters(self) -> list:
        """The unique parameters, frozen ones included."""
        return list(self._map.all)

    @property
    def parameter_names(self) -> list[str]:
        """The names of the free parameters, each with that of the first model that has it."""
        names: dict[int, str] = {}
        for model in unique_models(self.datasets):
            for parameter in model.parameters:
                names.setdefault(id(parameter), f"{model.name}.{parameter.name}")
        return [names[id(parameter)] for parameter in self._map.free_parameters]

    def refresh(self) -> bool:
        """Compile again if data, masks, responses, shapes or what is free have changed.

        Returns
        -------
        changed : bool
            Whether it was necessary.
        """
        if not self._watch or self._signature.is_current():
            return False
        # Gammapy's evaluators may still have the kernels of a response that was exchanged.
        self._compile(reuse=False)
        return True

    def stat_sum(self) -> float:
        """Return the statistic at the present parameters; compile again if data have changed."""
        self.refresh()
        return self._engine.value(self._map.values())

    def value(self, x: np.ndarray) -> float:
        """Return the statistic.

        Parameters
        ----------
        x : array, shape (n_free,)
            Factors of the free parameters.

        Returns
        -------
        stat : float
            -2 ln L with priors and penalties, as ``Datasets.stat_sum`` has it.
        """
        self._follow()
        return self.evaluate(x, 0)

    def value_and_grad(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the statistic and its gradient.

        Parameters
        ----------
        x : array, shape (n_free,)
            Factors of the free parameters.

        Returns
        -------
        stat : float
            See `value`.
        gradient : array, shape (n_free,)
            Its derivatives by the factors.
        """
        self._follow()
        return self.evaluate(x, 1)

    def hessian(self, x: np.ndarray, kind: str = "observed") -> np.ndarray:
        """Return the second derivatives of the statistic.

        The covariance of the factors is twice its inverse.

        Parameters
        ----------
        x : array, shape (n_free,)
            Factors of the free parameters.
        kind : {"observed", "fisher"}
            Of the data at hand, or expected for data that the model predicts.

        Returns
        -------
        hessian : array, shape (n_free, n_free)
            Symmetric.

        Raises
        ------
        ConfigError
            If the kind is unknown.
        NotCompilable
            If the Fisher information is asked for, and a part falls back to Gammapy.
        """
        self._follow()
        return self._second_derivatives(self._map.check(x), kind)

    def batch(self, samples: np.ndarray) -> np.ndarray:
        """Return the statistic of many sets of factors.

        Parameters
        ----------
        samples : array, shape (n, n_free)
            Factors of the free parameters.

        Returns
        -------
        stat : array, shape (n,)
            See `value`.
        """
        self._follow()
        values = self._map.many_values(samples)
        return self._engine.values(values)

    def _follow(self) -> None:
        """Compile again if a fixed shape has moved, or other parameters are free."""
        if not self._signature.shapes_are_current():
            self._compile()

    def evaluate(self, x: np.ndarray, order: int):
        """Return what `value` (order 0), `value_and_grad` (1) or `hessian` (2) return.

        Without looking whether models have changed: for minimisers, while they do not.
        """
        if order == 2:
            return self._second_derivatives(x, "observed")
        p = self._map.values(x)
        if order == 0:
            return self._engine.value(p)
        stat, by_p = self._engine.gradient(p)
        slopes, _ = self._map.slopes(x, p)
        return stat, by_p[self._map.free_index] * slopes

    def set_factors(self, x: np.ndarray) -> None:
        """Set the factors of the free parameters."""
        for parameter, factor in zip(self.parameters, self._map.check(x), strict=True):
            parameter.factor = factor

    @property
    def sources(self) -> MovingSources:
        """The sources with a free shape."""
        return MovingSources(self._engine.moving, self._map)

    def anchor(self) -> None:
        """Take PSF and energy dispersion from where the sources are now.

        Those of sources that have hardly moved are kept.
        """
        p = self._map.values()
        self._engine.terms.anchor(p, self._map, self._kernels)
        self._engine = Engine(self._engine.terms, self._priors, p)

    def expand(self, x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the statistic, its gradient and its second derivatives, if all is compiled.

        Without looking whether models have changed, as `evaluate`.
        """
        return expansion(self._engine, self._map, x)

    def noise(self) -> float:
        """Return the noise of the statistic if predictions are rounded to single precision."""
        return self._engine.noise(self._map.values())

    def n_clipped(self, x: np.ndarray) -> int:
        """Return in how many bins with counts nothing is predicted."""
        return self._engine.n_clipped(self._map.values(x))

    def _with_counts(
        self, counts: Mapping[str, tuple[np.ndarray, np.ndarray | None]]
    ) -> "CompiledLikelihood":
        data = []
        for one in self._engine.terms.data:
            if isinstance(one, CountsData) and one.dataset.name in counts:
                on, off = counts[one.dataset.name]
                one = replace(one, counts=on, counts_off=one.counts_off if off is None else off)
            data.append(one)
        return self._with_data(data)

    def _with_energies(self, energies: Mapping[str, slice]) -> "CompiledLikelihood":
        data = []
        for one in self._engine.terms.data:
            mask = np.zeros_like(one.mask)
            part = energies.get(one.dataset.name, slice(0))
            mask[part] = one.mask[part]
            data.append(replace(one, mask=mask, responses=list(one.responses)))
        return self._with_data(data)

    def _source_terms(self, source: str) -> SourceTerms:
        return SourceTerms.of(self._engine.terms, self._map, source)

    def _with_data(self, data: list) -> "CompiledLikelihood":
        other = copy.copy(self)
        other._exchange(replace(self._engine.terms, data=data))
        return other

    def _exchange(self, terms: Terms) -> None:
        # Other counts would look like a change of the data.
        self._watch = False
        self._engine = Engine(terms, self._priors, self._map.values())

    def _second_derivatives(self, x: np.ndarray, kind: str) -> np.ndarray:
        if kind not in ("observed", "fisher"):
            raise ConfigError(
                f"Unknown kind of second derivatives: {kind!r}.",
                remedy="Take 'observed' or 'fisher'.",
            )
        if self._engine.terms.is_whole:
            return second_derivatives(self._engine, self._map, x, kind)
        if kind == "fisher":
            raise NotCompilable(
                f"No Fisher information: {self.report.reasons()}.",
                remedy="Take kind='observed', or freeze what cannot be compiled.",
            )
        return by_differences(lambda shifted: self.evaluate(shifted, 1)[1], self._map, x)


def with_counts(
    likelihood: CompiledLikelihood, counts: Mapping[str, tuple[np.ndarray, np.ndarray | None]]
) -> CompiledLikelihood:
    """Return the likelihood of other counts; all else, and the parameters, are shared.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        It is not changed.
    counts : mapping of str to (array, array or None)
        For each dataset with counts that is compiled, by name, those of the on and of the off
        region, each of shape (n_energy, n_y, n_x).

    Returns
    -------
    likelihood : `CompiledLikelihood`
        Datasets that Gammapy evaluates as a whole, and flux points, have the data that they had.
    """
    return likelihood._with_counts(counts)


def with_energies(
    likelihood: CompiledLikelihood, energies: Mapping[str, slice]
) -> CompiledLikelihood:
    """Return the likelihood of some energies; all else, and the parameters, are shared.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        Complete: nothing of it is left to Gammapy. It is not changed.
    energies : mapping of str to slice
        For each dataset, by name, the energies to fit; none of a dataset that is not there.

    Returns
    -------
    likelihood : `CompiledLikelihood`
        Priors are in each of them.
    """
    return likelihood._with_energies(energies)


def source_terms(likelihood: CompiledLikelihood, source: str) -> SourceTerms:
    """Return what a source and all else predict, from what is compiled.

    Parameters
    ----------
    likelihood : `CompiledLikelihood`
        Complete, and without free shapes.
    source : str
        Name of the model.

    Returns
    -------
    terms : `~ctao_sat.likelihood._source_counts.SourceTerms`
        They follow the parameters.
    """
    return likelihood._source_terms(source)
