"""The shape of a pulse: flux over phase, as a table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ctao_sat.errors import ConfigError

__all__ = ["PulseTemplate"]


@dataclass(frozen=True, eq=False)
class PulseTemplate:
    """Flux of a pulsar over its phase, relative to the mean, linear between nodes.

    Parameters
    ----------
    phase : array-like of float, shape (n,)
        Nodes in [0, 1), increasing. The last one is joined to the first one, a turn later.
    norm : array-like of float, shape (n,)
        Flux there, of any scale: it is divided by its mean over a turn.

    Raises
    ------
    ConfigError
        If there are fewer than two nodes, they do not increase, or a flux is negative or not
        finite, or all are zero.

    Examples
    --------
    >>> from ctao_sat import pulsar
    >>> triangle = pulsar.PulseTemplate([0.2, 0.3, 0.4], [0, 5, 0])
    >>> triangle([0.3, 0.35, 0.9]).round(6).tolist(), triangle.maximum
    ([10.0, 5.0, 0.0], 10.0)
    """

    phase: np.ndarray
    norm: np.ndarray

    def __post_init__(self) -> None:
        phase, norm = (np.array(part, dtype=float) for part in (self.phase, self.norm))
        if phase.ndim != 1 or phase.shape != norm.shape or len(phase) < 2:
            raise ConfigError(
                f"A pulse template has phases of the shape {phase.shape} and fluxes of "
                f"{norm.shape}.",
                remedy="Give two lists of the same length, with two nodes at least.",
            )
        # Written so that a NaN is refused.
        if not (phase[0] >= 0 and phase[-1] < 1 and np.all(np.diff(phase) > 0)):
            raise ConfigError(
                "The phases of a pulse template do not increase within [0, 1).",
                remedy="Sort them; the node at phase 1 is that at phase 0.",
            )
        if not (np.all(np.isfinite(norm)) and np.all(norm >= 0) and np.any(norm > 0)):
            raise ConfigError(
                "A flux of a pulse template is negative or not finite, or all are zero.",
                remedy="Give the flux over phase, background subtracted.",
            )
        around = np.append(norm, norm[0])
        mean = np.sum(0.5 * (around[1:] + around[:-1]) * np.diff(np.append(phase, 1 + phase[0])))
        object.__setattr__(self, "phase", phase)
        object.__setattr__(self, "norm", norm / mean)

    @classmethod
    def from_function(
        cls, density: Callable[[np.ndarray], ArrayLike], n_nodes: int = 1000
    ) -> "PulseTemplate":
        """Tabulate a function of phase.

        Parameters
        ----------
        density : callable
            Flux at an array of phases in [0, 1), of any scale.
        n_nodes : int
            Number of nodes, at equal distances.

        Returns
        -------
        template : PulseTemplate
            The table.

        Examples
        --------
        >>> import numpy as np
        >>> from ctao_sat import pulsar
        >>> template = pulsar.PulseTemplate.from_function(lambda x: 1 + np.cos(2 * np.pi * x))
        >>> round(template.maximum, 9)
        2.0
        """
        phase = np.arange(n_nodes) / n_nodes
        return cls(phase, np.asarray(density(phase), dtype=float))

    def __call__(self, phases: ArrayLike) -> np.ndarray:
        """Return the flux at phases in turns, over its mean."""
        return np.interp(np.asarray(phases, dtype=float), self.phase, self.norm, period=1.0)

    @property
    def maximum(self) -> float:
        """The largest flux, over its mean."""
        return float(self.norm.max())

    def cumulative(self, phases: ArrayLike) -> np.ndarray:
        """Return the integral of the flux from phase 0.

        Parameters
        ----------
        phases : array-like of float
            In [0, 1].

        Returns
        -------
        integral : array of float
            From 0 at phase 0 to 1 at phase 1.
        """
        edges = np.unique(np.concatenate([[0.0], self.phase, [1.0]]))
        norm = self(edges)
        steps = 0.5 * (norm[1:] + norm[:-1]) * np.diff(edges)
        total = np.concatenate([[0.0], np.cumsum(steps)])
        x = np.asarray(phases, dtype=float)
        k = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(steps) - 1)
        return total[k] + 0.5 * (norm[k] + self(x)) * (x - edges[k])
