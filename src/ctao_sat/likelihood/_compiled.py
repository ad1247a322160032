"""A likelihood compiled from Gammapy datasets: value, gradient, second derivatives."""

import time

import numpy as np
from gammapy.datasets import Datasets

from ctao_sat._gammapy import unique_models
from ctao_sat.errors import ConfigError
from ctao_sat.kernels.batch import statistics
from ctao_sat.kernels.counts import (
    CountsArrays,
    adjoint,
    bin_derivatives,
    is_valid,
    predict,
    stat_sum,
)
from ctao_sat.kernels.joint import (
    chain,
    clear_non_finite,
    statistic,
    statistic_and_gradient,
)
from ctao_sat.likelihood._curvature import second_derivatives
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._plan import Plan
from ctao_sat.likelihood._priors import build_priors
from ctao_sat.likelihood._report import Report
from ctao_sat.likelihood._signature import Signature
from ctao_sat.likelihood._terms import build_terms

__all__ = ["CompiledLikelihood", "compile_likelihood"]

_MAX_PLANS = 4


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
        self._priors = build_priors(self.datasets, self._map.all, self._map.free)
        self._terms = build_terms(self.datasets, self._map, self._kernels, self.report, reuse=reuse)
        self._signature = Signature(self.datasets, self._map, self._terms, self._priors)
        if self._watch:
            self._signature.take()
        spectra = self._terms.spectra
        self.layout = (
            spectra.start, spectra.dstart, spectra.column_start, spectra.column_index
        )  # fmt: skip
        self._full: Plan | None = None
        f, _, _ = spectra.compute(self._map.values(), 0)
        self._plan = self._terms.plan(f, full=False)
        self._plans = [self._plan]
        self._fill_report(time.perf_counter() - start, self._kernels.seconds - before)

    def _fill_report(self, total: float, kernels: float) -> None:
        report, arrays = self.report, self._plan.arrays
        report.timings = {"kernels": kernels, "compile": total - kernels}
        report.n_parameters = len(self._map.free_index)
        report.n_evaluated = len(arrays.offset)
        report.n_bins = self._terms.n_bins
        report.memory = sum(array.nbytes for array in arrays)

    @property
    def parameters(self) -> list:
        """The unique free parameters; ``x`` are their factors."""
        return list(self._map.free_parameters)

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

    # -- what users call ------------------------------------------------------------------------

    def stat_sum(self) -> float:
        """Return the statistic at the present parameters; compile again if data have changed."""
        self.refresh()
        return self.value_at(self._map.values())

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
        return second_derivatives(self, self._map, self._terms, self._map.check(x), kind)

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
        if not self._terms.is_native:
            return np.array([self.value_at(p) for p in values])
        spectra, plan = self._terms.spectra, self._plan
        out, valid = np.empty(len(values)), np.empty(len(values), dtype=bool)
        statistics(
            values, spectra.arrays, spectra.start, self._terms.signal, plan.arrays, out, valid
        )  # fmt: skip
        out += plan.constant
        if not self._priors.is_empty:
            out += [self._priors.value(p) for p in values]
        for i in np.flatnonzero(~valid):
            out[i] = self.value_at(values[i])
        return out

    # -- by values of all parameters ------------------------------------------------------------

    def _follow(self) -> None:
        """Compile again if a fixed shape has moved, or other parameters are free."""
        if not self._signature.shapes_are_current():
            self._compile()

    def evaluate(self, x: np.ndarray, order: int):
        """Return what `value` (order 0), `value_and_grad` (1) or `hessian` (2) return.

        Without looking whether models have changed: for minimisers, while they do not.
        """
        if order == 2:
            return second_derivatives(self, self._map, self._terms, x, "observed")
        p = self._map.values(x)
        if order == 0:
            return self.value_at(p)
        stat, by_p = self.gradient_at(p)
        slopes, _ = self._map.slopes(x, p)
        return stat, by_p[self._map.free_index] * slopes

    def value_at(self, p: np.ndarray) -> float:
        """Return the statistic at values ``p`` of all parameters, shape (n,)."""
        terms = self._terms
        if terms.is_native:
            spectra, plan = terms.spectra, self._plan
            f, _, _ = spectra.compute(p, 0)
            stat, valid = statistic(f, spectra.start, terms.signal, plan.arrays)
            if valid:
                return stat + plan.constant + self._priors.value(p)
        f, _, _ = self.spectra_at(p, 0)
        plan = self.plan_for(f)
        mu = self.counts_at(p, f, plan)
        total = stat_sum(plan.arrays, f, mu) + plan.constant + self._priors.value(p)
        return total + sum(float(term.value(p)[0]) for term in terms.datasets)

    def gradient_at(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the statistic and its derivatives by the values of all parameters."""
        terms = self._terms
        if terms.is_native:
            gradient = np.zeros(len(p))
            f, df, _ = terms.spectra.compute(p, 1)
            stat, valid = statistic_and_gradient(
                f, df, terms.signal, self._plan.arrays, self.layout, gradient
            )
            if valid:
                return self._with_priors(p, stat + self._plan.constant, gradient)
        return self._with_priors(p, *self._gradient_in_parts(p))

    def _with_priors(self, p: np.ndarray, stat: float, gradient: np.ndarray):
        if self._priors.is_empty:
            return stat, gradient
        value, by_p, _ = self.priors_at(p, second=False)
        return stat + value, gradient + by_p

    def _gradient_in_parts(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        f, df, _ = self.spectra_at(p, 1)
        plan = self.plan_for(f)
        mu = self.counts_at(p, f, plan)
        first, second = np.empty(len(mu)), np.empty(len(mu))
        total = stat_sum(plan.arrays, f, mu) + plan.constant
        bin_derivatives(plan.arrays, mu, first, second)
        by_f = np.empty(len(f))
        adjoint(plan.arrays, first, by_f)
        gradient = np.zeros(len(self._map))
        chain(by_f, df, self.layout, gradient)
        for i, term in self._terms.models.items():
            low, high = plan.bins[i]
            gradient[term.columns] += first[low:high] @ term.jacobian(p)
        for term in self._terms.datasets:
            total += float(term.value(p)[0])
            gradient[term.columns] += term.jacobian(p)[0]
        return total, gradient

    def priors_at(self, p: np.ndarray, *, second: bool = True):
        """Return the priors and penalties with first and second derivatives by all values."""
        return self._priors.value_grad_hess(p, second=second)

    def spectra_at(self, p: np.ndarray, order: int):
        """Return the spectra and their derivatives, those of sources cleared if not finite."""
        spectra = self._terms.spectra
        f, df, d2f = spectra.compute(p, order)
        cleared = clear_non_finite(f, spectra.start, self._terms.signal)
        for v in np.flatnonzero(cleared):
            if df is not None:
                df[spectra.dstart[v] : spectra.dstart[v + 1]] = 0
            if d2f is not None:
                d2f[spectra.d2start[v] : spectra.d2start[v + 1]] = 0
        return f, df, d2f

    def plan_for(self, f: np.ndarray, *, full: bool = False) -> Plan:
        """Return the quick plan if it holds for these spectra, else the one with all bins."""
        if not full:
            for plan in self._plans:
                if is_valid(plan.arrays, f):
                    return plan
            # Brighter sources have deeper noise: a plan made for them may hold from now on.
            if len(self._plans) < _MAX_PLANS and _is_positive(self._plan.arrays, f):
                self._plans.append(self._terms.plan(f, full=False))
                if is_valid(self._plans[-1].arrays, f):
                    return self._plans[-1]
        if self._full is None:
            self._full = self._terms.plan(f, full=True)
        return self._full

    def counts_at(self, p: np.ndarray, f: np.ndarray, plan: Plan) -> np.ndarray:
        """Return the predicted counts of the bins of a plan, parts by Gammapy included."""
        mu = np.empty(len(plan.arrays.offset))
        predict(plan.arrays, f, mu)
        for i, term in self._terms.models.items():
            low, high = plan.bins[i]
            mu[low:high] += term.value(p)
        return mu


def _is_positive(arrays: CountsArrays, f: np.ndarray) -> bool:
    """Return whether sources and backgrounds are positive, as any quick plan asks for."""
    columns = arrays.floors[:, 0].astype(int)
    background = f[columns[columns >= 0]]
    return bool(np.all(f[arrays.signs > 0] >= 0) and np.all(background > 0))
