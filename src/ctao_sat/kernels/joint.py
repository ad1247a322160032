"""From parameters through spectra and counts to the statistic, in one call."""

import numpy as np
from numba import njit

from ctao_sat.kernels.counts import adjoint, bin_derivatives, is_valid, predict, stat_sum
from ctao_sat.kernels.spectra import evaluate

__all__ = [
    "chain",
    "chain_second",
    "clear_non_finite",
    "statistic",
    "statistic_and_gradient",
    "statistics",
]


@njit(cache=True)
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
            f[start[v] : start[v + 1]] = 0
    return cleared


@njit(cache=True)
def statistic(p, spectra, start, signal, counts):
    """Return the statistic, and whether the plan in ``counts`` holds for these parameters.

    Parameters
    ----------
    p : array, shape (n_parameters,)
        Values of all parameters.
    spectra : SpectraArrays
        Compiled spectra, all of them with a kernel.
    start, signal : array
        See `clear_non_finite`.
    counts : CountsArrays
        Compiled data.

    Returns
    -------
    stat : float
        Without its constant.
    valid : bool
        If false, ``stat`` means nothing: evaluate a plan with all bins.
    """
    f, mu = np.empty(counts.implicit.shape[0]), np.empty(counts.offset.shape[0])
    return _statistic(p, spectra, start, signal, counts, f, mu)


@njit(cache=True)
def _statistic(p, spectra, start, signal, counts, f, mu):
    evaluate(0, p, spectra, f, f, f)
    clear_non_finite(f, start, signal)
    if not is_valid(counts, f):
        return np.nan, False
    predict(counts, f, mu)
    return stat_sum(counts, f, mu), True


@njit(cache=True)
def statistics(samples, spectra, start, signal, counts, out, valid):
    """Fill the statistic of many sets of parameters.

    Parameters
    ----------
    samples : array, shape (n, n_parameters)
        Values of all parameters.
    spectra, start, signal, counts
        See `statistic`.
    out, valid : array, shape (n,)
        Filled with what `statistic` returns.
    """
    f, mu = np.empty(counts.implicit.shape[0]), np.empty(counts.offset.shape[0])
    for i in range(samples.shape[0]):
        out[i], valid[i] = _statistic(samples[i], spectra, start, signal, counts, f, mu)


@njit(cache=True)
def statistic_and_gradient(p, spectra, signal, counts, layout, gradient):
    """Return the statistic and whether the plan holds; fill the gradient by the parameters.

    Parameters
    ----------
    p, spectra, signal, counts
        See `statistic`.
    layout : tuple of array
        See `ctao_sat.kernels.counts.add_curvature`.
    gradient : array, shape (n_parameters,)
        Filled.

    Returns
    -------
    stat, valid
        See `statistic`.
    """
    start, df_start = layout[0], layout[1]
    n_f, n_bins = counts.implicit.shape[0], counts.offset.shape[0]
    f, by_f, df = np.empty(n_f), np.empty(n_f), np.empty(df_start[-1])
    mu, first, second = np.empty(n_bins), np.empty(n_bins), np.empty(n_bins)
    evaluate(1, p, spectra, f, df, df)
    cleared = clear_non_finite(f, start, signal)
    for v in range(cleared.shape[0]):
        if cleared[v]:
            df[df_start[v] : df_start[v + 1]] = 0
    if not is_valid(counts, f):
        return np.nan, False
    predict(counts, f, mu)
    bin_derivatives(counts, mu, first, second)
    adjoint(counts, first, by_f)
    gradient[:] = 0
    chain(by_f, df, layout, gradient)
    return stat_sum(counts, f, mu), True


@njit(cache=True)
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


@njit(cache=True)
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
