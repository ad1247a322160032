"""Value and gradient of a compiled likelihood by the values of all parameters."""

import numpy as np

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
from ctao_sat.kernels.statistics import CASH, TRUNCATION
from ctao_sat.likelihood._plan import Plan
from ctao_sat.likelihood._priors import Priors
from ctao_sat.likelihood._terms import Terms

__all__ = ["Engine"]

# Plans that are kept. One costs as much as some values with all bins: so many come before it.
_MAX_PLANS, _PATIENCE = 4, 3
_SINGLE = 1e-7


class Engine:
    """Evaluates compiled terms, with the plan that holds for the parameters.

    Parameters
    ----------
    terms : `Terms`
        Datasets and spectra.
    priors : `Priors`
        Priors and penalties.
    p : array, shape (n,)
        Values of all parameters at present; the first plan is made for them.

    Attributes
    ----------
    plan : `Plan`
        The first plan.
    layout : tuple of array
        Of the derivatives of the spectra, see `ctao_sat.kernels.counts.add_curvature`.
    """

    def __init__(self, terms: Terms, priors: Priors, p: np.ndarray):
        self.terms, self._priors, self._n_parameters = terms, priors, len(p)
        spectra = terms.spectra
        self.layout = (
            spectra.start, spectra.dstart, spectra.column_start, spectra.column_index
        )  # fmt: skip
        self._room = 1.0
        self.moving = terms.moving
        self.plan = terms.plan(spectra.compute(p, 0)[0], p, full=False)
        self._plans, self._patience = [self.plan], 0
        self._current = self.plan
        self._full: Plan | None = None

    def value(self, p: np.ndarray) -> float:
        """Return the statistic at values ``p`` of all parameters, shape (n,)."""
        terms, plan = self.terms, self._current
        if not self._has_shapes(p):
            return np.nan
        if terms.is_native and plan.move(p):
            f, _, _ = terms.spectra.compute(p, 0)
            stat, valid = statistic(
                f, terms.spectra.start, terms.signal, plan.arrays, plan.scratch[0]
            )
            if valid:
                return stat + plan.constant + self._priors.value(p)
        f, _, _ = self.spectra(p, 0)
        plan = self.plan_for(f, p)
        mu = self.counts(p, f, plan)
        total = stat_sum(plan.arrays, f, mu) + plan.constant + self._priors.value(p)
        return total + sum(float(term.value(p)[0]) for term in terms.datasets)

    def _has_shapes(self, p: np.ndarray) -> bool:
        """Return whether shapes are numbers; Minuit tries others, which are on no pixel."""
        return all(np.isfinite(p[response.index]).all() for response in self.moving)

    def values(self, samples: np.ndarray) -> np.ndarray:
        """Return the statistic at many sets of values, shape (m, n)."""
        terms = self.terms
        if not terms.is_native or self.moving:
            return np.array([self.value(p) for p in samples])
        out, valid = np.empty(len(samples)), np.empty(len(samples), dtype=bool)
        statistics(
            samples,
            terms.spectra.arrays,
            terms.spectra.start,
            terms.signal,
            self.plan.arrays,
            out,
            valid,
        )
        out += self.plan.constant
        if not self._priors.is_empty:
            out += [self._priors.value(p) for p in samples]
        for i in np.flatnonzero(~valid):
            out[i] = self.value(samples[i])
        return out

    def gradient(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the statistic and its derivatives by the values of all parameters."""
        terms = self.terms
        if not self._has_shapes(p):
            return np.nan, np.full(len(p), np.nan)
        if terms.is_native and not self.moving:
            gradient = np.zeros(len(p))
            f, df, _ = terms.spectra.compute(p, 1)
            plan = self._current
            stat, valid = statistic_and_gradient(
                f, df, terms.signal, plan.arrays, self.layout, plan.scratch, gradient
            )
            if valid:
                return self._with_priors(p, stat + plan.constant, gradient)
        return self._with_priors(p, *self._gradient_in_parts(p))

    def _with_priors(self, p: np.ndarray, stat: float, gradient: np.ndarray):
        if self._priors.is_empty:
            return stat, gradient
        value, by_p, _ = self.prior_terms(p, second=False)
        return stat + value, gradient + by_p

    def _gradient_in_parts(self, p: np.ndarray) -> tuple[float, np.ndarray]:
        f, df, _ = self.spectra(p, 1)
        plan = self.plan_for(f, p)
        mu = self.counts(p, f, plan)
        first, second = np.empty(len(mu)), np.empty(len(mu))
        total = stat_sum(plan.arrays, f, mu) + plan.constant
        bin_derivatives(plan.arrays, mu, first, second)
        by_f = np.empty(len(f))
        adjoint(plan.arrays, first, by_f)
        gradient = np.zeros(self._n_parameters)
        chain(by_f, df, self.layout, gradient)
        for part in plan.parts:
            by_shape = part.derivatives(p, f, plan.arrays.row_bin, first, 1).by_f
            own = f[part.column : part.column + by_shape.shape[1]]
            np.add.at(gradient, part.response.free_index, by_shape @ own)
        for i, term in self.terms.models.items():
            low, high = plan.bins[i]
            gradient[term.columns] += first[low:high] @ term.jacobian(p)
        for term in self.terms.datasets:
            total += float(term.value(p)[0])
            gradient[term.columns] += term.jacobian(p)[0]
        return total, gradient

    def prior_terms(self, p: np.ndarray, *, second: bool = True):
        """Return the priors and penalties with first and second derivatives by all values."""
        return self._priors.value_grad_hess(p, second=second)

    def spectra(self, p: np.ndarray, order: int):
        """Return the spectra and their derivatives, those of sources cleared if not finite."""
        spectra = self.terms.spectra
        f, df, d2f = spectra.compute(p, order)
        cleared = clear_non_finite(f, spectra.start, self.terms.signal)
        for v in np.flatnonzero(cleared):
            if df is not None:
                df[spectra.dstart[v] : spectra.dstart[v + 1]] = 0
            if d2f is not None:
                d2f[spectra.d2start[v] : spectra.d2start[v + 1]] = 0
        return f, df, d2f

    def plan_for(self, f: np.ndarray, p: np.ndarray, *, full: bool = False) -> Plan:
        """Return a quick plan that holds for these spectra, else the one with all bins."""
        if not full:
            lost = False
            # The one in use is most likely the right one.
            for plan in sorted(self._plans, key=lambda plan: plan is not self._current):
                if is_valid(plan.arrays, f):
                    if plan.move(p):
                        self._current = plan
                        return plan
                    lost = True
            if lost:
                # A source has left the room that it had: the next time it gets more.
                self._room *= 2
                self._patience = 0
            if _has_background(self.plan.arrays, f):
                self._patience -= 1
                if self._patience < 0:
                    self._patience = _PATIENCE
                    self._add_plan(self.terms.plan(f, p, full=False, room=self._room))
                    if is_valid(self._current.arrays, f) and self._current.move(p):
                        return self._current
        if self._full is None or not self._full.move(p):
            self._full = self.terms.plan(f, p, full=True, room=self._room)
            self._full.move(p)
        return self._full

    def noise(self, p: np.ndarray) -> float:
        """Return the noise of the statistic if predictions are rounded to single precision.

        That of Fourier transforms: in each bin some 1e-7 of the largest prediction.
        """
        f, _, _ = self.spectra(p, 0)
        plan = self.plan_for(f, p)
        mu = self.counts(p, f, plan)
        first, second = np.empty(len(mu)), np.empty(len(mu))
        bin_derivatives(plan.arrays, mu, first, second)
        # The statistic of bins without counts is twice the prediction.
        n_summed = max(self.terms.n_bins - len(mu), 0)
        peak = float(np.max(mu, initial=0.0))
        return _SINGLE * peak * float(np.sqrt(np.sum(first**2) + 4 * n_summed))

    def n_clipped(self, p: np.ndarray) -> int:
        """Return the number of bins with counts whose prediction is truncated."""
        f, _, _ = self.spectra(p, 0)
        arrays = self.plan_for(f, p).arrays
        mu = np.empty(len(arrays.offset))
        predict(arrays, f, mu)
        return sum(
            int(np.count_nonzero((mu[a:b] <= TRUNCATION) & (arrays.rows[a:b, 0] > 0)))
            for a, b, kind in arrays.segments
            if kind == CASH
        )

    def _add_plan(self, plan: Plan) -> None:
        # The first is kept: it holds where the parameters were at the beginning.
        self._plans = [self._plans[0], *self._plans[1:][2 - _MAX_PLANS :], plan]
        self._current = plan

    def counts(self, p: np.ndarray, f: np.ndarray, plan: Plan) -> np.ndarray:
        """Return the predicted counts of the bins of a plan, parts by Gammapy included."""
        mu = np.empty(len(plan.arrays.offset))
        predict(plan.arrays, f, mu)
        for i, term in self.terms.models.items():
            low, high = plan.bins[i]
            mu[low:high] += term.value(p)
        return mu


def _has_background(arrays: CountsArrays, f: np.ndarray) -> bool:
    """Return whether spectra are finite, and backgrounds positive, as any quick plan asks for."""
    return bool(np.all(np.isfinite(f)) and np.all(f[arrays.least > 0] > 0))
