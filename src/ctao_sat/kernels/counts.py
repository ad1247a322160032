"""Statistic of binned data whose prediction is linear in spectra: value, gradient, curvature.

The prediction is ``mu = offset + M f``, where ``f`` (n_f,) holds all spectra and the matrix M
(n_bins, n_f) is stored in dense blocks: the columns of one spectrum that feed some bins. The
statistic is

    S = sum_j phi_j(mu_j) + s . f + constant,

with phi_j from `ctao_sat.kernels.statistics` and s the sum over all bins that need no logarithm.
"""

import math
from typing import NamedTuple

import numpy as np

from ctao_sat.kernels._jit import kernel
from ctao_sat.kernels.statistics import (
    CASH,
    TRUNCATION,
    WSTAT,
    bin_fisher,
    bin_stat,
    bin_value,
    cash_value,
    wstat,
    wstat_constant,
    wstat_value,
)

__all__ = [
    "CountsArrays",
    "add_curvature",
    "adjoint",
    "bin_derivatives",
    "expected_curvature",
    "fill_wstat_constants",
    "is_valid",
    "predict",
    "stat_sum",
]


class CountsArrays(NamedTuple):
    """Bins, blocks and sums; all arrays float64 or int64.

    A segment is a run of bins with the same statistic. The values of a block are stored column by
    column: ``values[value_first + column * n_rows + row]``. A group is a run of blocks whose bins
    lie in the same range; bins of different groups are disjoint.
    """

    segments: np.ndarray  # (n_segments, 3): first bin, last bin + 1, kind of statistic
    rows: np.ndarray  # (n_bins, 6): the data of a bin, see `statistics.bin_value`
    few: np.ndarray  # (n_bins,): counts of ``cash`` bins with 0, 1 or 2 and weight 1; -1 for others
    tables: np.ndarray  # tabulated profiles, see `statistics.profile`
    offset: np.ndarray  # (n_bins,): what no spectrum changes
    blocks: np.ndarray  # (n_blocks, 6): column, n_columns, row, n_rows, value_first, vector
    row_bin: np.ndarray  # (n_rows,): bin of each row
    values: np.ndarray  # (n_values,)
    groups: np.ndarray  # (n_groups, 4): first block, last block + 1, first bin, last bin + 1
    implicit: np.ndarray  # (n_f,): s
    least: np.ndarray  # (n_f,): smallest spectra for which s holds
    most: np.ndarray  # (n_f,): largest spectra for which s holds


@kernel
def predict(arrays, f, mu):
    """Fill the predicted counts: mu = offset + M f.

    Parameters
    ----------
    arrays : CountsArrays
        The compiled data.
    f : array, shape (n_f,)
        Spectra.
    mu : array, shape (n_bins,)
        Filled.
    """
    for j in range(mu.shape[0]):
        mu[j] = arrays.offset[j]
    blocks, row_bin, values = arrays.blocks, arrays.row_bin, arrays.values
    scratch = np.empty(_longest_block(blocks))
    for b in range(blocks.shape[0]):
        column, n_columns, row, n_rows = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3]
        start = blocks[b, 4]
        if n_columns == 1:
            for r in range(n_rows):
                mu[row_bin[row + r]] += f[column] * values[start + r]
            continue
        _weighted_columns(values, start, f[column : column + n_columns], scratch[:n_rows])
        for r in range(n_rows):
            mu[row_bin[row + r]] += scratch[r]


@kernel
def _weighted_columns(values, start, factors, out):
    """Fill the sum of columns, each times its factor: four at once, for fewer passes over it."""
    n = out.shape[0]
    whole = factors.shape[0] - factors.shape[0] % 4
    out[:] = 0.0
    for c in range(0, whole, 4):
        f0, f1, f2, f3 = factors[c], factors[c + 1], factors[c + 2], factors[c + 3]
        # A slice needs no check of each index, which would keep the loop from vector units.
        first, second = values[start : start + n], values[start + n : start + 2 * n]
        third, fourth = values[start + 2 * n : start + 3 * n], values[start + 3 * n : start + 4 * n]
        for r in range(n):
            out[r] += (f0 * first[r] + f1 * second[r]) + (f2 * third[r] + f3 * fourth[r])
        start += 4 * n
    for c in range(whole, factors.shape[0]):
        part = values[start : start + n]
        for r in range(n):
            out[r] += factors[c] * part[r]
        start += n


@kernel
def _longest_block(blocks):
    longest = 1
    for b in range(blocks.shape[0]):
        longest = max(longest, blocks[b, 3])
    return longest


@kernel
def is_valid(arrays, f):
    """Return whether no implicit bin can turn negative with these spectra.

    Only then is the sum over bins without counts linear; otherwise all bins are to be evaluated.
    """
    for i in range(f.shape[0]):
        # NaN fails, too.
        holds = f[i] >= arrays.least[i] and f[i] <= arrays.most[i]
        if not holds:
            return False
    return True


@kernel
def stat_sum(arrays, f, mu):
    """Return the statistic of the predicted counts ``mu``, without its constant.

    Parameters
    ----------
    arrays : CountsArrays
        The compiled data.
    f : array, shape (n_f,)
        Spectra, for the bins that are summed beforehand.
    mu : array, shape (n_bins,)
        From `predict`.

    Returns
    -------
    stat : float
        Sum of phi_j(mu_j) and s . f.
    """
    total = 0.0
    for i in range(f.shape[0]):
        if arrays.implicit[i] != 0:
            total += arrays.implicit[i] * f[i]
    for s in range(arrays.segments.shape[0]):
        first, last, kind = arrays.segments[s]
        if kind == CASH:
            total += _cash_sum(arrays.rows, arrays.few, mu, first, last)
        elif kind == WSTAT:
            for j in range(first, last):
                # With the terms of the data alone a bin is small: their sum would drown it.
                row = arrays.rows[j]
                total += row[3] + wstat_value(row[0], row[1], row[2], mu[j])
        else:
            for j in range(first, last):
                total += bin_value(kind, arrays.rows[j], arrays.tables, mu[j])
    return total


@kernel
def _cash_sum(rows, few, mu, first, last):
    # The logarithm of a product costs one logarithm: bins with one or two counts are the rule.
    total, logs, product = 0.0, 0.0, 1.0
    for j in range(first, last):
        n, m = few[j], mu[j]
        # Of a moderate prediction neither the square nor the product leaves the range.
        if n >= 0.0 and m > TRUNCATION and m < 1e80:
            total += m
            # Chosen without a branch, which could not be foreseen.
            product *= (m if n > 0.5 else 1.0) * (m if n > 1.5 else 1.0)
            if product < 1e-100 or product > 1e100:
                logs += math.log(product)
                product = 1.0
        else:
            total += 0.5 * cash_value(rows[j, 0], rows[j, 1], m)
    return 2 * (total - logs - math.log(product))


@kernel
def bin_derivatives(arrays, mu, first, second):
    """Fill the derivatives of phi_j by mu_j.

    Parameters
    ----------
    arrays : CountsArrays
        The compiled data.
    mu : array, shape (n_bins,)
        Predicted counts.
    first, second : array, shape (n_bins,)
        Filled.
    """
    rows = arrays.rows
    for s in range(arrays.segments.shape[0]):
        start, stop, kind = arrays.segments[s]
        if kind == CASH:
            for j in range(start, stop):
                m, weight = mu[j], rows[j, 1]
                if weight > 0 and m > TRUNCATION:
                    ratio = rows[j, 0] / m if rows[j, 0] > 0 else 0.0
                    first[j] = 2 * weight * (1 - ratio)
                    second[j] = 2 * weight * ratio / m
                else:
                    first[j], second[j] = 0.0, 0.0
        elif kind == WSTAT:
            for j in range(start, stop):
                _, first[j], second[j] = wstat(rows[j, 0], rows[j, 1], rows[j, 2], mu[j])
        else:
            for j in range(start, stop):
                _, first[j], second[j] = bin_stat(kind, rows[j], arrays.tables, mu[j])


@kernel
def expected_curvature(arrays, mu, second):
    """Fill the second derivatives of phi_j that are expected for the prediction.

    Parameters
    ----------
    arrays : CountsArrays
        The compiled data.
    mu : array, shape (n_bins,)
        Predicted counts.
    second : array, shape (n_bins,)
        Filled.
    """
    for s in range(arrays.segments.shape[0]):
        start, stop, kind = arrays.segments[s]
        for j in range(start, stop):
            second[j] = bin_fisher(kind, arrays.rows[j], arrays.tables, mu[j])


@kernel
def adjoint(arrays, first, out):
    """Fill the gradient by the spectra: M^T phi' + s.

    Parameters
    ----------
    arrays : CountsArrays
        The compiled data.
    first : array, shape (n_bins,)
        Derivatives phi' of the bins.
    out : array, shape (n_f,)
        Filled.
    """
    for i in range(out.shape[0]):
        out[i] = arrays.implicit[i]
    blocks, row_bin, values = arrays.blocks, arrays.row_bin, arrays.values
    scratch = np.empty(_longest_block(blocks) + 4)
    for b in range(blocks.shape[0]):
        column, n_columns, row, n_rows = blocks[b, 0], blocks[b, 1], blocks[b, 2], blocks[b, 3]
        for r in range(n_rows):
            scratch[r] = first[row_bin[row + r]]
        for c in range(n_columns):
            start = blocks[b, 4] + c * n_rows
            out[column + c] += _dot(values[start : start + n_rows], scratch, n_rows)


@kernel
def _dot(a, b, n):
    # Four sums at once: a single one waits for its own last addition.
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
    for i in range(whole, n):
        s0 += a[i] * b[i]
    return (s0 + s1) + (s2 + s3)


@kernel
def add_curvature(arrays, second, jacobian, layout, curvature):
    """Add J^T M^T diag(phi'') M J to the matrix of second derivatives.

    Parameters
    ----------
    arrays : CountsArrays
        The compiled data.
    second : array, shape (n_bins,)
        Second derivatives phi'' of the bins.
    jacobian : array
        Derivatives of the spectra, flat: a block (n_columns, n_parameters) for each vector.
    layout : tuple of array
        Of the vectors: first column; first entry in ``jacobian``; first entry in the fourth array,
        which lists the parameters of each vector.
    curvature : array, shape (n_parameters, n_parameters)
        Upper and lower triangle are added to.
    """
    start, jacobian_start, parameter_start, parameter_index = layout
    for g in range(arrays.groups.shape[0]):
        first_block, last_block, first_bin, last_bin = arrays.groups[g]
        parts = [
            _block_jacobian(arrays, b, jacobian, start, jacobian_start, parameter_start)
            for b in range(first_block, last_block)
        ]
        scratch = np.zeros(last_bin - first_bin)
        for i in range(len(parts)):
            if parts[i].shape[0] == 0:
                continue
            row, n_rows = arrays.blocks[first_block + i, 2], arrays.blocks[first_block + i, 3]
            own = parameter_start[arrays.blocks[first_block + i, 5]]
            for q in range(parts[i].shape[0]):
                for r in range(n_rows):
                    j = arrays.row_bin[row + r]
                    scratch[j - first_bin] = second[j] * parts[i][q, r]
                for k in range(i, len(parts)):
                    if not _overlap(arrays, first_block + i, first_block + k):
                        continue
                    _add_products(
                        arrays, first_block + k, parts[k], scratch, first_bin,
                        parameter_index[own + q], i == k, parameter_start, parameter_index,
                        curvature,
                    )  # fmt: skip
                for r in range(n_rows):
                    scratch[arrays.row_bin[row + r] - first_bin] = 0


@kernel
def _block_jacobian(arrays, b, jacobian, start, jacobian_start, parameter_start):
    """Return the derivatives of the prediction of one block, shape (n_parameters, n_rows)."""
    column, n_columns, n_rows = arrays.blocks[b, 0], arrays.blocks[b, 1], arrays.blocks[b, 3]
    vector = arrays.blocks[b, 5]
    n_parameters = parameter_start[vector + 1] - parameter_start[vector]
    out = np.zeros((n_parameters, n_rows))
    for c in range(n_columns):
        line = jacobian_start[vector] + (column + c - start[vector]) * n_parameters
        value = arrays.blocks[b, 4] + c * n_rows
        for q in range(n_parameters):
            factor = jacobian[line + q]
            if factor != 0:
                part = arrays.values[value : value + n_rows]
                for r in range(n_rows):
                    out[q, r] += factor * part[r]
    return out


@kernel
def _overlap(arrays, a, b):
    """Return whether the ranges of bins of two blocks overlap; rows are sorted by bin."""
    rows = arrays.row_bin
    first_a, n_a = arrays.blocks[a, 2], arrays.blocks[a, 3]
    first_b, n_b = arrays.blocks[b, 2], arrays.blocks[b, 3]
    if n_a == 0 or n_b == 0:
        return False
    return rows[first_a] <= rows[first_b + n_b - 1] and rows[first_b] <= rows[first_a + n_a - 1]


@kernel
def _add_products(
    arrays, b, part, scratch, first_bin, parameter, same, parameter_start, parameter_index, out
):  # fmt: skip
    """Add the products of one weighted derivative with those of block b."""
    row, n_rows = arrays.blocks[b, 2], arrays.blocks[b, 3]
    other = parameter_start[arrays.blocks[b, 5]]
    for q in range(part.shape[0]):
        total = 0.0
        for r in range(n_rows):
            total += scratch[arrays.row_bin[row + r] - first_bin] * part[q, r]
        out[parameter, parameter_index[other + q]] += total
        if not same:
            out[parameter_index[other + q], parameter] += total


@kernel
def fill_wstat_constants(rows):
    """Fill the terms of the on-off statistic that depend on the data alone.

    Parameters
    ----------
    rows : array, shape (n_bins, 6)
        Bins of on-off data; the fourth number of each is set. Counts that are NaN have no term.
    """
    for j in range(rows.shape[0]):
        value = wstat_constant(rows[j, 0], rows[j, 1])
        rows[j, 3] = 0.0 if np.isnan(value) else value
