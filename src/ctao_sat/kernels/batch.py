"""The statistic of many sets of parameters, without leaving compiled code.

It is apart from `ctao_sat.kernels.joint` because to compile it takes long, and few need it.
"""

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.joint import statistic
from ctao_sat.kernels.spectra import evaluate

__all__ = ["statistics"]


@kernel
def statistics(samples, spectra, start, signal, counts, out, valid):
    """Fill the statistic of many sets of parameters.

    Parameters
    ----------
    samples : array, shape (n, n_parameters)
        Values of all parameters.
    spectra : SpectraArrays
        Compiled spectra, all of them with a kernel.
    start, signal, counts : number or array
        See `ctao_sat.kernels.joint.statistic`.
    out, valid : array, shape (n,)
        Filled with what that returns.
    """
    f, mu = np.empty(counts.implicit.shape[0]), np.empty(counts.offset.shape[0])
    order = samples.ndim - 2
    for i in range(samples.shape[0]):
        evaluate(order, samples[i], spectra, f, f, f)
        out[i], valid[i] = statistic(f, start, signal, counts, mu)
