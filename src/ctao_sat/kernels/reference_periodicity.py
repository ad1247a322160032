"""The formulas of periodicity, written plainly: slow, and made to be read and compared with."""

import numpy as np

__all__ = ["h", "harmonic_sums", "scan", "z2"]


def harmonic_sums(phases: np.ndarray, weights: np.ndarray, n_harmonics: int) -> np.ndarray:
    """Return the sums over events of the first harmonics.

    Parameters
    ----------
    phases, weights : array, shape (n,)
        Phases in turns; weights, empty if all are 1.
    n_harmonics : int
        How many.

    Returns
    -------
    sums : array of complex, shape (n_harmonics,)
        Sums of w exp(2 pi i k x).
    """
    w = weights if len(weights) else np.ones(len(phases))
    harmonics = range(1, n_harmonics + 1)
    return np.array([np.sum(w * np.exp(2j * np.pi * k * phases)) for k in harmonics])


def z2(phases: np.ndarray, weights: np.ndarray, n_harmonics: int) -> float:
    """Return Z^2.

    Parameters
    ----------
    phases, weights, n_harmonics : array or int
        As in `harmonic_sums`.

    Returns
    -------
    z2 : float
        2 / sum of w^2 times the powers of all harmonics.
    """
    norm = 2 / (np.sum(weights**2) if len(weights) else len(phases))
    return norm * np.sum(np.abs(harmonic_sums(phases, weights, n_harmonics)) ** 2)


def h(phases: np.ndarray, weights: np.ndarray, max_harmonics: int) -> float:
    """Return H.

    Parameters
    ----------
    phases, weights, max_harmonics : array or int
        As in `harmonic_sums`.

    Returns
    -------
    h : float
        The largest Z^2_m - 4 m + 4.
    """
    numbers = range(1, max_harmonics + 1)
    return max(z2(phases, weights, m) - 4 * m + 4 for m in numbers)


def scan(
    times: np.ndarray, weights: np.ndarray, f0: np.ndarray, f1: np.ndarray, max_harmonics: int
) -> np.ndarray:
    """Return H of each trial.

    Parameters
    ----------
    times, weights : array, shape (n,)
        Emission times in s; weights, empty if all are 1.
    f0, f1 : array, shape (n_f0,), (n_f1,)
        Frequencies in Hz and derivatives in Hz/s.
    max_harmonics : int
        How many.

    Returns
    -------
    values : array, shape (n_f1, n_f0)
        H.
    """
    return np.array(
        [[h((f * times + 0.5 * d * times**2) % 1, weights, max_harmonics) for f in f0] for d in f1]
    )
