"""The formulas of the kernels, written plainly: slow, and made to be read and compared with."""

import math
from collections.abc import Callable

import numpy as np

from ctao_sat.kernels import spectra_layout as layout
from ctao_sat.kernels.poisson import LOG_TRUNCATION, TRUNCATION
from ctao_sat.kernels.selection import EXPLICIT, IMPLICIT, LONELY, UNUSED
from ctao_sat.kernels.statistics import CASH

# -- statistics -----------------------------------------------------------------------------------


def cash(n: np.ndarray, w: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return the Cash statistic of bins, 2 w (mu - n ln mu).

    Parameters
    ----------
    n, w, mu : array, shape (n,)
        Observed counts, weights and predicted counts.

    Returns
    -------
    stat : array, shape (n,)
        Bins without weight have none; predictions that are not larger than `TRUNCATION` are
        truncated.
    """
    kept = mu > TRUNCATION
    safe = np.where(kept, mu, TRUNCATION)
    log = np.where(kept, np.log(safe), LOG_TRUNCATION)
    stat = 2 * w * (safe - np.where(n > 0, n * log, 0.0))
    return np.where(w > 0, stat, 0.0)


def wstat(n_on: np.ndarray, n_off: np.ndarray, alpha: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return the on-off statistic of bins, with the terms that depend on the data alone.

    Parameters
    ----------
    n_on, n_off, alpha, mu : array, shape (n,)
        Counts in the on and in the off region, ratio of their exposures, predicted signal.

    Returns
    -------
    stat : array, shape (n,)
        0 where the formula gives NaN, the largest number where it gives infinity.
    """
    with np.errstate(all="ignore"):
        background = wstat_background(n_on, n_off, alpha, mu)
        on, off = _n_log(n_on, mu + alpha * background), _n_log(n_off, background)
        stat = 2 * (mu + (1 + alpha) * background - on - off)
        constant = 2 * (_n_log(n_on, n_on) - n_on + _n_log(n_off, n_off) - n_off)
    return np.nan_to_num(stat + constant)


def wstat_background(
    n_on: np.ndarray, n_off: np.ndarray, alpha: np.ndarray, mu: np.ndarray
) -> np.ndarray:
    """Return the background that maximises the likelihood of an on-off measurement.

    Parameters
    ----------
    n_on, n_off, alpha, mu : array, shape (n,)
        As in `wstat`.

    Returns
    -------
    background : array, shape (n,)
        Predicted counts in the off region: the larger root of
        ``alpha (1 + alpha) b^2 - c b - n_off mu = 0``, with
        ``c = alpha (n_on + n_off) - (1 + alpha) mu``.
    """
    with np.errstate(all="ignore"):
        c = alpha * (n_on + n_off) - (1 + alpha) * mu
        root = np.sqrt(c**2 + 4 * alpha * (1 + alpha) * n_off * mu)
        return (c + root) / (2 * alpha * (1 + alpha))


def _n_log(n: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.where(n == 0, 0.0, n * np.log(x))


def chi2(y: np.ndarray, sigma: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return ((y - mu) / sigma)^2.

    Parameters
    ----------
    y, sigma, mu : array, shape (n,)
        Fluxes, their errors and their predictions.

    Returns
    -------
    stat : array, shape (n,)
        The statistic of each flux.
    """
    return ((y - mu) / sigma) ** 2


def distrib(rows: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return the statistic of fluxes with asymmetric errors, and of upper limits.

    Parameters
    ----------
    rows : array, shape (n, 6)
        Flux, error up, error down, is valid, is limit, limit.
    mu : array, shape (n,)
        Predicted fluxes.

    Returns
    -------
    stat : array, shape (n,)
        0 where there is neither flux nor limit, or NaN.
    """
    y, up, down, is_valid, is_limit, limit = rows.T
    erfc = np.vectorize(math.erfc, otypes=[float])
    with np.errstate(all="ignore"):
        stat = np.where(is_valid != 0, chi2(y, np.where(mu >= y, up, down), mu), 0.0)
        tail = 2 * np.log(erfc((limit - mu) / limit) / erfc(1.0))
    stat = np.where(is_limit != 0, tail, stat)
    return np.where(np.isnan(stat), 0.0, stat)


def profile(breaks: np.ndarray, coefficients: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Return a profile of the statistic that is a polynomial between breaks.

    Parameters
    ----------
    breaks : array, shape (m + 1,)
        Where the pieces meet, in increasing order; the outer ones extend beyond.
    coefficients : array, shape (m, 3)
        In increasing powers of the distance from the break before.
    mu : array, shape (n,)
        Predicted fluxes, over the reference flux.

    Returns
    -------
    stat : array, shape (n,)
        The statistic of each flux.
    """
    piece = np.clip(np.searchsorted(breaks, mu, side="right") - 1, 0, len(coefficients) - 1)
    x = mu - breaks[piece]
    return np.sum(coefficients[piece] * x[:, np.newaxis] ** np.arange(3), axis=1)


# -- binned data ----------------------------------------------------------------------------------


def response_matrix(arrays) -> np.ndarray:
    """Return the matrix M of binned data whose prediction is ``offset + M f``.

    Parameters
    ----------
    arrays : `~ctao_sat.kernels.counts.CountsArrays`
        Compiled data.

    Returns
    -------
    matrix : array, shape (n_bins, n_f)
        Dense.
    """
    matrix = np.zeros((len(arrays.offset), len(arrays.implicit)))
    for column, n_columns, row, n_rows, first, _ in arrays.blocks:
        values = arrays.values[first : first + n_columns * n_rows].reshape(n_columns, n_rows)
        for c in range(n_columns):
            for r in range(n_rows):
                matrix[arrays.row_bin[row + r], column + c] += values[c, r]
    return matrix


def counts_statistic(arrays, f: np.ndarray) -> float:
    """Return the statistic of binned data with ``cash`` or ``wstat`` bins.

    Parameters
    ----------
    arrays : `~ctao_sat.kernels.counts.CountsArrays`
        Compiled data.
    f : array, shape (n_f,)
        Spectra.

    Returns
    -------
    stat : float
        The terms of on-off data that depend on the counts alone are in their rows.
    """
    mu = arrays.offset + response_matrix(arrays) @ f
    total = float(arrays.implicit @ f)
    for first, last, kind in arrays.segments:
        rows, part = arrays.rows[first:last], mu[first:last]
        if kind == CASH:
            total += cash(rows[:, 0], rows[:, 1], part).sum()
        else:
            n_on, n_off = rows[:, 0], rows[:, 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                constant = 2 * (_n_log(n_on, n_on) - n_on + _n_log(n_off, n_off) - n_off)
            total += (wstat(n_on, n_off, rows[:, 2], part) - constant + rows[:, 3]).sum()
    return total


def select(
    counts: np.ndarray,
    quiet: np.ndarray,
    background: np.ndarray,
    weights: np.ndarray,
    mask: np.ndarray,
    covered: np.ndarray,
    floors: np.ndarray,
    least: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each bin and the sums by energy.

    Parameters
    ----------
    counts, quiet, background, weights, mask, covered, floors, least : number or array
        See `ctao_sat.kernels.selection.select`.

    Returns
    -------
    classes : array of uint8, shape (n_energy, n_pixels)
        See there.
    sums : array, shape (n_energy, 5)
        See there.
    """
    b = background if background.size else np.zeros(mask.shape)
    w = weights if weights.size else np.ones(mask.shape)
    simple = (counts == 0) & quiet if quiet.size else ~(counts > 0)
    implicit = mask & simple & (b >= 0) & (b >= floors)
    alone = mask & ~implicit & ~covered & (counts > 0) & (quiet.size == 0)
    dark, lonely = alone & (b == 0), alone & (b >= least)
    classes = np.where(mask & ~dark, EXPLICIT, UNUSED)
    classes[implicit], classes[lonely] = IMPLICIT, LONELY
    logs = np.log(np.where(lonely, b, 1.0))
    sums = [
        np.sum(np.where(implicit, w * b, 0.0), axis=1),
        np.sum(np.where(lonely, w * counts, 0.0), axis=1),
        np.sum(np.where(lonely, w * b, 0.0), axis=1),
        np.sum(np.where(lonely, w * counts * logs, 0.0), axis=1),
        np.sum(np.where(dark, w * counts, 0.0), axis=1),
    ]
    return classes.astype(np.uint8), np.array(sums).T


# -- spectra --------------------------------------------------------------------------------------

_TINY = np.finfo(np.float64).tiny


def spectra(p: np.ndarray, arrays) -> list[np.ndarray]:
    """Return the spectra that `ctao_sat.kernels.spectra.evaluate` computes.

    Parameters
    ----------
    p : array, shape (n_parameters,)
        Values of all parameters; complex ones give derivatives by a complex step.
    arrays : SpectraArrays
        Compiled spectra.

    Returns
    -------
    spectra : list of array
        One for each spectrum; empty for those that have no kernel.
    """
    records = arrays.ints[layout.HEADER :]
    vectors = [
        records[v * layout.VECTOR_SIZE : (v + 1) * layout.VECTOR_SIZE]
        for v in range(arrays.ints[layout.N_VECTORS])
    ]
    with np.errstate(all="ignore"):
        return [_spectrum(vector, p, arrays) for vector in vectors]


def _spectrum(vector, p, arrays) -> np.ndarray:
    """Return one spectrum from its record."""
    mode = vector[layout.MODE]
    if mode == layout.SKIPPED:
        return np.zeros(0)
    n_nodes = vector[layout.N_NODES]
    e = arrays.floats[vector[layout.E] : vector[layout.E] + n_nodes]
    flux = np.ones(n_nodes)
    arguments: list = []
    for i in range(vector[layout.N_FACTORS]):
        begin = vector[layout.FACTOR] + i * layout.FACTOR_SIZE
        factor = arrays.ints[begin : begin + layout.FACTOR_SIZE]
        arguments = _arguments(factor, p, arrays)
        if factor[layout.KIND] >= layout.PIECEWISE_LOG:
            flux = flux * _table(factor, arguments, n_nodes, arrays)
        else:
            flux = flux * _SHAPES[factor[layout.KIND]](e, *arguments)
    amplitude = 1.0
    for i in range(vector[layout.N_LINEAR]):
        amplitude = amplitude * p[arrays.ints[vector[layout.LINEAR] + i * layout.PAIR_SIZE]]
    if mode == layout.POINTS:
        return amplitude * flux
    if mode == layout.GAUSSIAN_BINS:
        return amplitude * _gaussian_integral(e, *arguments)
    segments = _trapezoid(e, flux).reshape(vector[layout.N_BINS], vector[layout.N_SEGMENTS])
    return amplitude * segments.sum(axis=1)


def _arguments(factor, p, arrays) -> list:
    """Return the arguments of a shape."""
    arguments = []
    for s in range(factor[layout.N_SLOTS]):
        slot = factor[layout.SLOT] + s * layout.SLOT_SIZE
        parameter, scale = arrays.ints[slot], arrays.floats[arrays.ints[slot + layout.SCALE]]
        arguments.append(p[parameter] * scale if parameter >= 0 else 1.0)
    return arguments


def _table(factor, arguments, n_nodes, arrays) -> np.ndarray:
    """Return a tabulated or an interpolated factor."""
    begin, left = factor[layout.VALUES], factor[layout.LEFT]
    values = arrays.floats[begin : begin + n_nodes]
    if factor[layout.KIND] == layout.TABLE:
        return np.exp(values) ** arguments[0]
    norms = np.array(arguments)
    i = arrays.ints[left : left + n_nodes]
    if factor[layout.KIND] == layout.PIECEWISE_LIN:
        return (1 - values) * norms[i] + values * norms[i + 1]
    logs = np.log(np.where(norms.real > _TINY, norms, _TINY))
    flux = np.exp((1 - values) * logs[i] + values * logs[i + 1])
    return np.where(flux.real > 2 * _TINY, flux, 0.0)


def _power(e, i, e0):
    return (e / e0) ** -i


def _unit_power(e, i, e1, e2):
    """Return a power law whose integral from e1 to e2 is one."""
    if abs(i - 1) < 1e-6:
        return e**-i / (e1 ** (1 - i) * np.log(e2 / e1))
    return (1 - i) * e**-i / (e2 ** (1 - i) - e1 ** (1 - i))


def _log_parabola(e, alpha, beta, e0, es):
    return (e / e0) ** (-alpha - beta * np.log(e / es))


def _cutoff(e, i, rate, alpha, e0):
    return _power(e, i, e0) * np.exp(-((rate * e) ** alpha))


def _cutoff_3fgl(e, i, ec, e0):
    return _power(e, i, e0) * np.exp((e0 - e) / ec)


def _super_cutoff_3fgl(e, i, b, ec, e0):
    return _power(e, i, e0) * np.exp((e0 / ec) ** b - (e / ec) ** b)


def _super_cutoff_4fgl(e, i, b, a, e0):
    return _power(e, i, e0) * np.exp(a * ((1e6 * e0) ** b - (1e6 * e) ** b))


def _super_cutoff_4fgl_dr3(e, i, b, a, e0):
    """Return the curved power law, with a series where index_2 matters little."""
    x = np.log(e / e0)
    full = a / b * x + a / b**2 * (1 - np.exp(b * x)) if b != 0 else 0 * x
    series = -a * x**2 * (1 / 2 + b * x / 6 + (b * x) ** 2 / 24)
    return np.exp(-i * x + np.where(np.abs(b * x) < 1e-2, series, full))


def _broken_power_law(e, i1, i2, eb):
    return np.where(e < np.real(eb), (e / eb) ** -i1, (e / eb) ** -i2)


def _smooth_broken_power_law(e, i1, i2, eb, beta, e0):
    change = i2 - i1
    if change == 0:
        return _power(e, i1, e0)
    beta = beta * np.sign(np.real(change))
    return _power(e, i1, e0) * (1 + (e / eb) ** (change / beta)) ** -beta


def _gaussian(e, mean, sigma):
    return np.exp(-0.5 * ((e - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


_SHAPES: dict[int, Callable[..., np.ndarray]] = {
    layout.POWER: _power,
    layout.POWER_2: _unit_power,
    layout.LOG_PARABOLA: _log_parabola,
    layout.CUTOFF: _cutoff,
    layout.CUTOFF_3FGL: _cutoff_3fgl,
    layout.SUPER_CUTOFF_3FGL: _super_cutoff_3fgl,
    layout.SUPER_CUTOFF_4FGL: _super_cutoff_4fgl,
    layout.SUPER_CUTOFF_4FGL_DR3: _super_cutoff_4fgl_dr3,
    layout.BROKEN_POWER_LAW: _broken_power_law,
    layout.SMOOTH_BROKEN_POWER_LAW: _smooth_broken_power_law,
    layout.GAUSSIAN: _gaussian,
}


def _gaussian_integral(e, mean, sigma) -> np.ndarray:
    """Return the integrals of a normal distribution between the energies."""
    t = (e - mean) / (sigma * math.sqrt(2))
    return np.diff([math.erf(x) for x in t]) / 2


def _trapezoid(e, flux) -> np.ndarray:
    """Return the integrals of power laws between the nodes; zero with a zero at a node."""
    left, right = flux[:-1], flux[1:]
    length = np.log(e[1:] / e[:-1])
    ratio = right / left
    exponent = 1 + np.log(np.where(ratio.real > _TINY, ratio, _TINY)) / length
    safe = np.where(np.abs(exponent) > 1e-8, exponent, 1.0)
    mean = np.where(np.abs(exponent) > 1e-8, np.expm1(safe * length) / safe, length)
    return np.where((left == 0) | (right == 0), 0.0, left * e[:-1] * mean)
