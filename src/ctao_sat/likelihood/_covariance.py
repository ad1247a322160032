"""Covariance of fitted factors from the second derivatives at a minimum."""

from dataclasses import dataclass

import numpy as np

__all__ = ["ExactCovariance", "covariance_across", "exact_covariance", "unbounded"]

# A parameter is at a limit if it is nearer than this part of its error.
_AT_LIMIT = 1e-2
# What counts as zero: eigenvalues of a matrix of second derivatives, whose diagonal is scaled to 1;
# and its diagonal, for factors of about 1. Derivatives by differences are less sharp.
_DEGENERATE, _NO_CURVATURE = 1e-10, 1e-12
_DEGENERATE_NUMERIC, _NO_CURVATURE_NUMERIC = 1e-6, 1e-7
# The share of a parameter in degenerate directions from which on it is not determined.
_SHARE = 1e-4
# The share from which on a parameter is named as one in which there is no minimum.
_MAIN_SHARE = 0.3


@dataclass(frozen=True)
class ExactCovariance:
    """Covariance of the factors.

    Attributes
    ----------
    matrix : array, shape (n, n)
        Zero for parameters at a limit; for those that the data do not determine, infinite
        variances, and zero otherwise.
    determined : array of bool, shape (n,)
        Which parameters the data determine.
    """

    matrix: np.ndarray
    determined: np.ndarray


def exact_covariance(
    hessian: np.ndarray, x: np.ndarray, limits: np.ndarray, *, numeric: bool = False
) -> ExactCovariance | None:
    """Return twice the inverse of the second derivatives of -2 ln L.

    Limits do not enter, but for parameters that are at one: they are held. Directions without
    curvature are left out; parameters with no share in them keep their errors.

    Parameters
    ----------
    hessian : array, shape (n, n)
        Second derivatives.
    x : array, shape (n,)
        The minimum.
    limits : array, shape (2, n)
        Lowest and highest values.
    numeric : bool
        Whether derivatives by differences have a part in the second derivatives.

    Returns
    -------
    covariance : `ExactCovariance` or None
        None if the second derivatives are not those of a minimum.
    """
    if not np.all(np.isfinite(hessian)):
        return None
    diagonal = np.diag(hessian)
    low, high = limits
    sigma = np.sqrt(2 / np.where(diagonal > 0, diagonal, np.inf))
    free = ~((x - low <= _AT_LIMIT * sigma) | (high - x <= _AT_LIMIT * sigma))
    tiny, degenerate = _NO_CURVATURE, _DEGENERATE
    if numeric:
        tiny, degenerate = _NO_CURVATURE_NUMERIC, _DEGENERATE_NUMERIC
    flat = free & (np.abs(diagonal) * np.maximum(x**2, 1.0) <= tiny)
    free &= ~flat
    if np.any(diagonal[free] < 0):
        return None
    # Scaled, so that parameters of all sizes are told from degenerate ones alike.
    root = np.sqrt(diagonal[free])
    values, axes = np.linalg.eigh(hessian[np.ix_(free, free)] / np.outer(root, root))
    if np.any(values < -degenerate):
        return None
    lost = np.abs(values) <= degenerate
    inverse = (axes[:, ~lost] / values[~lost]) @ axes[:, ~lost].T
    matrix = np.zeros(hessian.shape)
    matrix[np.ix_(free, free)] = 2 * inverse / np.outer(root, root)
    determined = ~flat
    determined[free] = np.all(np.abs(axes[:, lost]) < _SHARE, axis=1)
    matrix[~determined], matrix[:, ~determined] = 0.0, 0.0
    matrix[~determined, ~determined] = np.inf
    return ExactCovariance(matrix, determined)


def covariance_across(hessian: np.ndarray, x: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return the covariance of what is determined, at the end of a valley that is flat.

    Twice the pseudo-inverse of the second derivatives, scaled so that the diagonal is 1. At the end
    of a valley they may bend down a little along it. A parameter that has next to no share in the
    valley has the error that the Schur complement of the others would give.

    Parameters
    ----------
    hessian : array, shape (n, n)
        Second derivatives.
    x : array, shape (n,)
        The end.
    limits : array, shape (2, n)
        Lowest and highest values; parameters at one are held.

    Returns
    -------
    covariance : array, shape (n, n)
        Zero for what is held, or without curvature; NaN if second derivatives are not finite.
    """
    matrix = np.zeros(hessian.shape)
    if not np.all(np.isfinite(hessian)):
        return np.full_like(matrix, np.nan)
    diagonal = np.diag(hessian)
    free = (diagonal > 0) & (x > limits[0]) & (x < limits[1])
    root = np.sqrt(diagonal[free])
    values, axes = np.linalg.eigh(hessian[np.ix_(free, free)] / np.outer(root, root))
    kept = values > _DEGENERATE
    inverse = (axes[:, kept] / values[kept]) @ axes[:, kept].T
    matrix[np.ix_(free, free)] = 2 * inverse / np.outer(root, root)
    return matrix


def unbounded(hessian: np.ndarray) -> list[int]:
    """Return the parameters in which a function has no minimum nearby.

    Parameters
    ----------
    hessian : array, shape (n, n)
        Second derivatives.

    Returns
    -------
    index : list of int
        Those with most of the directions along which the function does not bend upwards.
    """
    if not np.all(np.isfinite(hessian)):
        return []
    diagonal = np.abs(np.diag(hessian))
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, axes = np.linalg.eigh(hessian / np.outer(root, root))
    shares = np.abs(axes[:, values < _DEGENERATE])
    return np.flatnonzero(np.any(shares > _MAIN_SHARE, axis=1)).tolist()
