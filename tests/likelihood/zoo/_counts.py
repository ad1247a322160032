"""Predicted counts of a compiled likelihood and of Gammapy, bin by bin."""

import numpy as np

from ctao_sat._gammapy import fresh_copy
from ctao_sat.kernels.counts import bin_derivatives, stat_sum


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
        bin_derivatives(plan.arrays, mu, first, second)
        return first, second

    def shape_steps(self, p):
        """Return the steps of free parameters of shapes in each dataset, by index among all.

        They differ with the size of pixels. Parameters that sources share in a dataset, with
        different steps, have NaN.
        """
        result = []
        for data in self._engine.terms.data:
            steps = {}
            for response in data.responses:
                if hasattr(response, "source"):
                    found = response.source.steps(p[response.index])
                    for i, step in zip(response.free_index.tolist(), found, strict=True):
                        steps[i] = step if steps.get(i, step) == step else np.nan
            result.append(steps)
        return result

    def bins(self, p):
        """Return a slice with the bins of each dataset."""
        return [slice(*bins) for bins in self.plan(p)[0].bins]

    def gammapy(self, datasets, p):
        """Return Gammapy's counts from new evaluators, and the largest of sources in a dataset."""
        plan, _ = self.plan(p)
        counts, peak = [], []
        for dataset, at in zip(fresh_copy(datasets), plan.positions, strict=True):
            with np.errstate(all="ignore"):
                signal = dataset.npred_signal().data
                known = hasattr(dataset, "counts_off") or dataset.background is None
                total = signal if known else signal + dataset.npred_background().data
            counts.append(total.reshape(-1)[at])
            peak.append(np.full(len(at), np.abs(signal).max(initial=0.0)))
        return np.concatenate(counts), np.concatenate(peak)
