"""Predicted counts of a compiled likelihood and of Gammapy, bin by bin."""

import itertools

import numpy as np

from ctao_sat._gammapy import fresh_copy
from ctao_sat.kernels.counts import bin_derivatives, stat_sum
from ctao_sat.kernels.statistics import CASH, TRUNCATION

SIZES = ("sigma", "r_0", "radius", "width", "eta", "e", "edge_width")


class Counts:
    """The predicted counts of a likelihood that is compiled as a whole, each bin by itself.

    Parameters
    ----------
    like : `~ctao_sat.likelihood.CompiledLikelihood`
        The likelihood.
    """

    def __init__(self, like):
        self._engine, self.map = like._engine, like._map

    def plan(self, p):
        """Return the plan with all bins for these values of all parameters, and its spectra."""
        f, _, _ = self._engine.spectra(p, 0)
        return self._engine.plan_for(f, p, full=True), f

    def at(self, p):
        """Return the counts of all bins for these values of all parameters."""
        plan, f = self.plan(p)
        return self._engine.counts(p, f, plan)

    def statistic(self, p):
        """Return the statistic of all bins, without priors."""
        plan, f = self.plan(p)
        return stat_sum(plan.arrays, f, self._engine.counts(p, f, plan)) + plan.constant

    def slopes(self, p):
        """Return first and second derivatives of the statistic by the counts of each bin."""
        plan, _ = self.plan(p)
        mu = self.at(p)
        first, second = np.empty(len(mu)), np.empty(len(mu))
        arrays = plan.arrays
        bin_derivatives(arrays, mu, first, second)
        for a, b, kind in arrays.segments:
            if kind == CASH:
                # Where nothing is predicted, as nothing is counted, the statistic is truncated; yet
                # across a step more is predicted.
                n, weight = arrays.rows[a:b, 0], arrays.rows[a:b, 1]
                first[a:b] = np.where((mu[a:b] <= TRUNCATION) & (n == 0), 2 * weight, first[a:b])
        return first, second

    def shape_steps(self, p):
        """Return the steps of free parameters of shapes in each dataset, by index among all.

        They differ with the size of pixels. Those that are no derivative are NaN: of parameters
        that sources share in a dataset, with different steps; and of sizes with which Gammapy
        divides pixels in another way on the other side of a step, where the counts jump.
        """
        result = []
        for data in self._engine.terms.data:
            steps = {}
            for response in data.responses:
                if hasattr(response, "source"):
                    found = _steps(response.source, p[response.index])
                    for i, step in zip(response.free_index.tolist(), found, strict=True):
                        steps[i] = step if steps.get(i, step) == step else np.nan
            result.append(steps)
        return result

    def bins(self, p):
        """Return a slice with the bins of each dataset."""
        return [slice(*bins) for bins in self.plan(p)[0].bins]

    def gammapy(self, datasets, p):
        """Return Gammapy's counts from new evaluators, and the largest of sources in a dataset.

        Both are NaN in datasets from which Gammapy drops a source that has left the map, all of it
        at once.
        """
        plan, _ = self.plan(p)
        counts, peak = [], []
        for dataset, at in zip(fresh_copy(datasets), plan.positions, strict=True):
            with np.errstate(all="ignore"):
                signal = dataset.npred_signal().data
                known = hasattr(dataset, "counts_off") or dataset.background is None
                total = signal if known else signal + dataset.npred_background().data
            complete = all(evaluator.contributes for evaluator in dataset.evaluators.values())
            counts.append(total.reshape(-1)[at] if complete else np.full(len(at), np.nan))
            peak.append(np.full(len(at), np.abs(signal).max(initial=0.0)))
        return np.concatenate(counts), np.concatenate(peak)


def _steps(source, shape):
    """Return the steps of a shape, NaN for those across which pixels are divided in another way."""
    steps = source.steps(shape)
    if source.is_round:
        # Its derivatives are exact, differences with long steps are not.
        return steps / 4
    sizes = [k for k, i in enumerate(source.free) if source.names[i] in SIZES]
    factors = set()
    for signs in itertools.product((-1, 0, 1), repeat=len(sizes)):
        moved = shape.copy()
        for k, sign in zip(sizes, signs, strict=True):
            moved[source.free[k]] += sign * steps[k]
        factors.add(_divisor(source, moved))
    if len(factors) > 1:
        steps[sizes] = np.nan
    return steps


def _divisor(source, shape):
    """Return into how many parts Gammapy divides pixels."""
    source.set(shape)
    smallest = source.model.evaluation_bin_size_min
    if smallest is None or source.is_point:
        return 1
    return int(np.ceil(np.max(source.pixels.scales) / smallest.to_value("deg")))
