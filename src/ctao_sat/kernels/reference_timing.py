"""The formulas of the timing kernels, written plainly: slow, and made to be compared with."""

import numpy as np
from numpy.polynomial import chebyshev

__all__ = ["emission_times", "pulse_phases"]


def pulse_phases(
    seconds: np.ndarray,
    edges: np.ndarray,
    numbers: np.ndarray,
    rates: np.ndarray,
    terms: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return phases and pulse numbers of events.

    Parameters
    ----------
    seconds, edges, numbers, rates, terms : array
        See `ctao_sat.kernels.timing.pulse_phases`.

    Returns
    -------
    phases : array, shape (n,)
        In [0, 1); NaN outside all pieces.
    pulses : array of int64, shape (n,)
        0 outside all pieces.
    """
    phases = np.full(len(seconds), np.nan)
    pulses = np.zeros(len(seconds), dtype=np.int64)
    for (a, b), number, rate, coefficients in zip(edges, numbers, rates, terms, strict=True):
        inside = np.isnan(phases) & (seconds >= a) & (seconds <= b)
        half = 0.5 * (b - a)
        dt = seconds[inside] - (a + half)
        turns = rate * dt + chebyshev.chebval(dt / half, coefficients)
        phases[inside] = turns - np.floor(turns)
        pulses[inside] = number + np.floor(turns).astype(np.int64)
    return phases, pulses


def emission_times(seconds: np.ndarray, edges: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Return barycentric times.

    Parameters
    ----------
    seconds, edges, delays : array
        See `ctao_sat.kernels.timing.emission_times`.

    Returns
    -------
    emitted : array, shape (n,)
        NaN outside all pieces.
    """
    emitted = np.full(len(seconds), np.nan)
    for (a, b), coefficients in zip(edges, delays, strict=True):
        inside = np.isnan(emitted) & (seconds >= a) & (seconds <= b)
        half = 0.5 * (b - a)
        u = (seconds[inside] - (a + half)) / half
        emitted[inside] = seconds[inside] + chebyshev.chebval(u, coefficients)
    return emitted
