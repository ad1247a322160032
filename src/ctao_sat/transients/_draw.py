"""Random times that follow a flux, by inversion of its integral."""

import numpy as np
from numpy.typing import NDArray

from ctao_sat.kernels import temporal
from ctao_sat.kernels import temporal_shapes as shapes
from ctao_sat.kernels.temporal_integrals import landmarks

__all__ = ["draw"]

# Cells only set where the search for a time begins: times do not depend on them.
_PER_WINDOW = 128
_DECADES = 9
_MOST = 100_000


def draw(
    kind: int, p: NDArray, start: NDArray, stop: NDArray, level: NDArray
) -> tuple[NDArray, float]:
    """Return the times up to which given parts of all photons have arrived.

    Parameters
    ----------
    kind : int
        Model, see `ctao_sat.kernels.temporal_shapes`.
    p : array
        Its parameters.
    start, stop : array, shape (n_windows,)
        Windows, in order.
    level : array, shape (n,)
        Parts, from 0 to 1: if they are uniform at random, the times follow the flux.

    Returns
    -------
    times : array, shape (n,)
        Within the windows; empty if there is no flux.
    total : float
        Integral of the flux over the windows.
    """
    edges = [_cells(kind, p, a, b) for a, b in zip(start, stop, strict=True) if a < b]
    cells = np.concatenate([np.empty((0, 2)), *(np.stack([e[:-1], e[1:]], axis=1) for e in edges)])
    masses = np.empty((len(cells), 1))
    # Contiguous arrays have one compiled kernel.
    temporal.integrate(kind, cells[:, 0].copy(), cells[:, 1].copy(), p, masses)
    total = float(masses.sum())
    if not 0 < total < np.inf:
        return np.empty(0), total
    times = np.empty(len(level))
    temporal.invert(kind, cells, masses.ravel(), level, p, times)
    return times, total


def _cells(kind: int, p: NDArray, lo: float, hi: float) -> NDArray:
    """Return edges of cells in a window: even in the logarithm of time, as the flux is."""
    a = max(lo, shapes.start_of(kind, p))
    if not a < hi:
        return np.array([lo, hi])
    if kind in (shapes.SINE, shapes.ORBIT):
        period = p[1] if kind == shapes.SINE else p[0]
        return np.linspace(a, hi, 2 + int(min(4 * (hi - a) / period, _MOST)))
    if kind == shapes.TABLE:
        inner = p[: p.size // 2]
    elif kind == shapes.FLARE:
        side = np.geomspace(0.01, 700.0, _PER_WINDOW // 2)
        inner = np.concatenate([-p[0] * side, [0.0], p[1] * side])
    else:
        shift = p[0] if kind == shapes.NOVA else 0.0
        inner = np.geomspace(max(a - shift, (hi - shift) / 10**_DECADES), hi - shift, _PER_WINDOW)
        inner = np.concatenate([inner, landmarks(kind, p)]) + shift
    return np.unique(np.concatenate([[a, hi], inner[(inner > a) & (inner < hi)]]))
