"""The formulas about phases, written plainly: slow, and made to be read and compared with."""

import numpy as np

from ctao_sat.kernels.pulse_profile import GAUSSIAN

__all__ = ["density", "h", "harmonic_sums", "scan", "z2"]


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


def density(x: float, peaks: np.ndarray) -> float:
    """Return the density of phases for peaks on a constant, wrapped by a long sum.

    Parameters
    ----------
    x : float
        Phase in turns.
    peaks : array, shape (n_peaks, 5)
        See `ctao_sat.kernels.pulse_profile`.

    Returns
    -------
    density : float
        Per turn.
    """
    total = 1 - peaks[:, 1].sum()
    for kind, fraction, location, left, right in peaks:
        d = x - location + np.arange(-100_000, 100_001)
        if kind == GAUSSIAN:
            shape = np.exp(-0.5 * (d / left) ** 2) / (left * np.sqrt(2 * np.pi))
        else:
            width = np.where(d < 0, left, right)
            shape = 2 / (np.pi * (left + right)) / (1 + (d / width) ** 2)
        total += fraction * shape.sum()
    return total
