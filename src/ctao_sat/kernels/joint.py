"""From spectra through counts to the statistic, and back to the parameters."""

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.counts import adjoint, bin_derivatives, is_valid, predict, stat_sum

__all__ = [
    "chain",
    "chain_second",
    "clear_non_finite",
    "statistic",
    "statistic_and_gradient",
]


@kernel
def clear_non_finite(f, start, signal):
    """Set the spectra of signals to zero where they are not finite.

    Gammapy multiplies a spectrum by the matrix of the energy dispersion, which spreads NaN to all
    bins, and then sets bins that are not finite to zero: such a source contributes nothing.

    Parameters
    ----------
    f : array, shape (n_f,)
        Changed in place.
    start : array, shape (n_vectors + 1,)
        First column of each spectrum.
    signal : array, shape (n_vectors,)
        Whether the spectrum is one of a source.

    Returns
    -------
    cleared : array, shape (n_vectors,)
        Whether a spectrum was set to zero.
    """
    cleared = np.zeros(signal.shape[0], dtype=np.bool_)
    for v in range(signal.shape[0]):
        if not signal[v]:
            continue
        for i in range(start[v], start[v + 1]):
            if not np.isfinite(f[i]):
                cleared[v] = True
        if cleared[v]:
            for i in range(start[v], start[v + 1]):
                f[i] = 0.0
    return cleared


@kernel
def statistic(f, start, signal, counts, mu):
    """Return the statistic, and whether the plan in ``counts`` holds for these spectra.

    Parameters
    ----------
    f : array, shape (n_f,)
        Spectra; those of sources are cleared if they are not finite.
    start, signal : array
        See `clear_non_finite`.
    counts : CountsArrays
        Compiled data.
    mu : array, shape (n_bins,)
        Scratch. A new one of the size of many cubes costs as much as what is done with it.

    Returns
    -------
    stat : float
        Without its constant.
    valid : bool
        If false, ``stat`` means nothing: evaluate a plan with all bins.
    """
    clear_non_finite(f, start, signal)
    if not is_valid(counts, f):
        return np.nan, False
    predict(counts, f, mu)
    return stat_sum(counts, f, mu), True


@kernel
def statistic_and_gradient(f, df, signal, counts, layout, scratch, gradient):
    """Return the statistic and whether the plan holds; add the gradient by the parameters.

    Parameters
    ----------
    f : array, shape (n_f,)
        See `statistic`.
    df : array
        Derivatives of the spectra by the parameters, flat.
    signal, counts : array
        See `statistic`.
    layout : tuple of array
        See `ctao_sat.kernels.counts.add_curvature`.
    scratch : array, shape (3, n_bins)
        Overwritten.
    gradient : array, shape (n_parameters,)
        Added to.

    Returns
    -------
    stat, valid : float, bool
        See `statistic`.
    """
    start, df_start = layout[0], layout[1]
    cleared = clear_non_finite(f, start, signal)
    for v in range(cleared.shape[0]):
        if cleared[v]:
            for i in range(df_start[v], df_start[v + 1]):
                df[i] = 0.0
    if not is_valid(counts, f):
        return np.nan, False
    mu, first, second = scratch[0], scratch[1], scratch[2]
    by_f = np.empty(f.shape[0])
    predict(counts, f, mu)
    bin_derivatives(counts, mu, first, second)
    adjoint(counts, first, by_f)
    chain(by_f, df, layout, gradient)
    return stat_sum(counts, f, mu), True


@kernel
def chain(by_f, df, layout, gradient):
    """Add the gradient by the parameters: J^T (dS/df).

    Parameters
    ----------
    by_f : array, shape (n_f,)
        Derivatives of the statistic by the spectra.
    df : array
        Derivatives of the spectra by the parameters, flat.
    layout : tuple of array
        See `ctao_sat.kernels.counts.add_curvature`.
    gradient : array, shape (n_parameters,)
        Added to.
    """
    start, df_start, parameter_start, parameter_index = layout
    for v in range(start.shape[0] - 1):
        first, n_parameters = parameter_start[v], parameter_start[v + 1] - parameter_start[v]
        for q in range(n_parameters):
            total = 0.0
            for i in range(start[v + 1] - start[v]):
                total += by_f[start[v] + i] * df[df_start[v] + i * n_parameters + q]
            gradient[parameter_index[first + q]] += total


@kernel
def chain_second(by_f, d2f, d2f_start, layout, curvature):
    """Add the part of the second derivatives that comes from the curvature of the spectra.

    Parameters
    ----------
    by_f : array, shape (n_f,)
        Derivatives of the statistic by the spectra.
    d2f, d2f_start : array
        Second derivatives of the spectra, flat, and the first entry of each vector.
    layout : tuple of array
        See `ctao_sat.kernels.counts.add_curvature`.
    curvature : array, shape (n_parameters, n_parameters)
        Added to.
    """
    start, _, parameter_start, parameter_index = layout
    for v in range(start.shape[0] - 1):
        first, n = parameter_start[v], parameter_start[v + 1] - parameter_start[v]
        for i in range(start[v + 1] - start[v]):
            weight = by_f[start[v] + i]
            if weight == 0:
                continue
            for q in range(n):
                for k in range(n):
                    curvature[parameter_index[first + q], parameter_index[first + k]] += (
                        weight * d2f[d2f_start[v] + (i * n + q) * n + k]
                    )
