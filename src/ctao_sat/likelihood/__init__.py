"""Compiled likelihoods: the statistic of Gammapy datasets, hundreds of times faster.

The question answered here: *how well do these parameters describe these data, and in which
direction do they get better?* A likelihood is linear up to the spectra. With f(p) all spectra at
parameters p, and M what exposure, PSF and energy dispersion make of them::

    mu = mu_0 + M f(p),    S = sum_j phi_j(mu_j),    dS/dp = (df/dp)^T M^T phi'(mu)

where phi_j is ``cash``, ``wstat`` or ``chi2`` of bin j. M is taken from Gammapy's own evaluators
once; bins without counts are summed beforehand; derivatives are analytic. The statistic is that
of Gammapy, to rounding.

What to use when:

===================================================  ==============================================
you want                                             start with
===================================================  ==============================================
a fit                                                `ctao_sat.dl5.fit`, which compiles by itself
the statistic at given parameters                    `compile_likelihood`, then ``value``
its gradient or second derivatives                   ``value_and_grad``, ``hessian``
many parameter sets at once                          ``batch``
to know what was left to Gammapy, and why            ``report``
the minimum alone, without Gammapy's result objects  `optimize`
many sets of counts of a model, drawn and fitted     `toys`, which returns `Toys`; `draw_counts`
several likelihoods of the same data                 a shared `KernelCache`
Gammapy's own ``Fit`` and estimators, but faster     `register_fit_backend`
===================================================  ==============================================
"""

from ctao_sat.errors import NotCompilable
from ctao_sat.likelihood._backend import register_fit_backend
from ctao_sat.likelihood._compiled import CompiledLikelihood, compile_likelihood
from ctao_sat.likelihood._draw import draw_counts
from ctao_sat.likelihood._fit import CompiledFitResult, fit_compiled
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._optimize import Optimum, optimize
from ctao_sat.likelihood._report import Fallback, Report
from ctao_sat.likelihood._toy_result import Toys
from ctao_sat.likelihood._toys import toys

__all__ = [
    "CompiledFitResult",
    "CompiledLikelihood",
    "Fallback",
    "KernelCache",
    "NotCompilable",
    "Optimum",
    "Report",
    "Toys",
    "compile_likelihood",
    "draw_counts",
    "fit_compiled",
    "optimize",
    "register_fit_backend",
    "toys",
]
