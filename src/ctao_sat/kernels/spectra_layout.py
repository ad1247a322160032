"""Layout of compiled spectra: one array of integers with records, and one of numbers.

Kinds of shapes, and their arguments, those with a derivative first:

===========================  =====================================================================
kind of shape                parameters, those with a derivative first
===========================  =====================================================================
`POWER`                      index | reference
`POWER_2`                    index | emin, emax
`LOG_PARABOLA`               alpha, beta | reference, escale
`CUTOFF`                     index, lambda, alpha | reference
`CUTOFF_3FGL`                index, ecut | reference
`SUPER_CUTOFF_3FGL`          index_1, index_2, ecut | reference
`SUPER_CUTOFF_4FGL`          index_1, index_2, expfactor | reference
`SUPER_CUTOFF_4FGL_DR3`      index_1, index_2, expfactor | reference
`BROKEN_POWER_LAW`           index1, index2, ebreak
`SMOOTH_BROKEN_POWER_LAW`    index1, index2, ebreak, beta | reference
`GAUSSIAN`                   mean, sigma
`PIECEWISE_LOG`, `_LIN`      the norms
`TABLE`                      alpha, the power of the tabulated factor
===========================  =====================================================================

A record begins at some position ``at`` of ``ints``; the names below are its entries, ``ints[at +
MODE]`` and so on.
"""

from typing import NamedTuple

import numpy as np

POWER, POWER_2, LOG_PARABOLA, CUTOFF, CUTOFF_3FGL = 0, 1, 2, 3, 4
SUPER_CUTOFF_3FGL, SUPER_CUTOFF_4FGL, SUPER_CUTOFF_4FGL_DR3 = 5, 6, 7
BROKEN_POWER_LAW, SMOOTH_BROKEN_POWER_LAW, GAUSSIAN = 8, 9, 10
PIECEWISE_LOG, PIECEWISE_LIN, TABLE = 11, 12, 13

# What is computed of a spectrum: nothing, values, integrals between nodes, or one of these with
# an antiderivative of its own.
SKIPPED, POINTS, BINS, POWER_BINS, GAUSSIAN_BINS = 0, 1, 2, 3, 4

# Numbers in front of all records: of spectra, then the largest number of nodes, of rows, of rows
# of second derivatives and of slots that one spectrum or shape has.
N_VECTORS, MAX_NODES, MAX_ROWS, MAX_CURVES, MAX_SLOTS, HEADER = 0, 1, 2, 3, 4, 5
# Record of a spectrum. Logarithms of the energies, energies, and the differences between the
# logarithms begin in `floats` where the first three say; the others are positions in `ints`.
LN_E, E, LENGTH, MODE, N_NODES, N_BINS, N_SEGMENTS, F_START, D_START = 0, 1, 2, 3, 4, 5, 6, 7, 8
D2_START, N_COLUMNS, FACTOR, N_FACTORS, LINEAR, N_LINEAR, ROW, N_ROWS = (
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
)
VECTOR_SIZE = 17
# Record of a shape. PAIRS are the pairs of parameters with a second derivative, as bits, and CURVE
# the first of the rows for them; VALUES (in `floats`) and LEFT belong to tables.
KIND, SLOT, N_SLOTS, N_FREE_SLOTS, PAIRS, CURVE, VALUES, LEFT, FACTOR_SIZE = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
)
# Record of an argument of a shape: parameter, row of derivatives (-1 without), and where in
# `floats` its unit is. The argument is one without parameter (-1).
PARAMETER, SLOT_ROW, SCALE, SLOT_SIZE = 0, 1, 2, 3
# Record of an amplitude (parameter and column) and of a row of derivatives (column and SCALE).
COLUMN, PAIR_SIZE = 1, 2


class SpectraArrays(NamedTuple):
    """Compiled spectra.

    Two arrays, because each further one costs 10 ns whenever a compiled function hands it on.

    Attributes
    ----------
    ints : array of int64
        A header, then records of spectra, shapes, arguments, amplitudes and rows of derivatives.
    floats : array of float64
        Units, nodes and tables.
    """

    ints: np.ndarray
    floats: np.ndarray
