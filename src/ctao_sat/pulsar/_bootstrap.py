"""Errors of what is made of phases, by drawing events again."""

from collections.abc import Callable

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike

from ctao_sat.errors import ConfigError
from ctao_sat.parallel import progress_bar
from ctao_sat.pulsar._periodicity import checked_phases, checked_weights

__all__ = ["bootstrap", "folded_light_curve", "profile_bins"]

# Central 68.27 % of a Gaussian.
QUANTILES = (0.158655254, 0.841344746)
# Fewer counts a bin are noise to the eye, more bins are not seen.
_COUNTS_A_BIN = 25
_BINS = (10, 50)


def bootstrap(
    phases: ArrayLike,
    estimator: Callable[..., ArrayLike],
    n_samples: int,
    rng: np.random.Generator,
    weights: ArrayLike | None = None,
    *,
    progress: bool = False,
) -> np.ndarray:
    """Return what an estimator makes of phases that are drawn from the given ones.

    Each sample has a Poisson number of events, drawn with replacement: its spread is that of the
    estimator, whatever the distribution of phases.

    Parameters
    ----------
    phases : array-like of float, shape (n,)
        In turns.
    estimator : callable
        ``estimator(phases)``, or with weights ``estimator(phases, weights)``; returns a number or
        an array, always of the same shape.
    n_samples : int
        How many samples; 1,000 give errors to 2 %.
    rng : `numpy.random.Generator`
        Source of randomness.
    weights : array-like of float, shape (n,), optional
        Drawn together with the phases.
    progress : bool
        Show a progress bar.

    Returns
    -------
    estimates : array, shape (n_samples, ...)
        Of each sample.

    Raises
    ------
    ConfigError
        If there are fewer than two samples.
    SelectionError, DataError
        As `h_test`.

    Notes
    -----
    Efron 1979, Ann. Statist. 7, 1. It does not give the significance of pulses: the samples have
    those of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat import pulsar
    >>> rng = np.random.default_rng(1)
    >>> phases = rng.normal(0.4, 0.02, 200) % 1
    >>> medians = pulsar.bootstrap(phases, np.median, 500, rng)
    >>> f"{medians.mean():.3f} {medians.std():.3f}"
    '0.400 0.001'
    """
    if n_samples < 2:
        raise ConfigError(f"{n_samples} samples have no spread.", remedy="Take 1000.")
    x = checked_phases(phases)
    w = checked_weights(weights, len(x))
    estimates = []
    steps = progress_bar(range(n_samples), description="Bootstrap", progress=progress)
    for _ in steps:
        # At least one: an estimator of nothing is not defined.
        drawn = rng.integers(len(x), size=max(1, rng.poisson(len(x))))
        arguments = (x[drawn], w[drawn]) if len(w) else (x[drawn],)
        estimates.append(np.asarray(estimator(*arguments), dtype=float))
    return np.stack(estimates)


def folded_light_curve(
    phases: ArrayLike,
    n_bins: int,
    weights: ArrayLike | None = None,
    *,
    n_samples: int = 0,
    rng: np.random.Generator | None = None,
) -> Table:
    """Return the events in bins of phase, with errors.

    Parameters
    ----------
    phases : array-like of float, shape (n,)
        In turns.
    n_bins : int
        Bins in a turn.
    weights : array-like of float, shape (n,), optional
        Probability that an event is of the source, see `event_weights`.
    n_samples : int
        Samples of the bootstrap; 0 does without.
    rng : `numpy.random.Generator`, optional
        Source of randomness, for the bootstrap.

    Returns
    -------
    table : `~astropy.table.Table`
        ``phase_min``, ``phase_max``, ``counts`` (the sum of weights) and ``error``, the root of the
        sum of squared weights. With a bootstrap also ``counts_low`` and ``counts_high``: the
        central 68 % of the samples, not symmetric in bins with few events.

    Raises
    ------
    ConfigError
        If there is no bin, or a bootstrap without source of randomness.
    SelectionError, DataError
        As `h_test`.

    Examples
    --------
    >>> from ctao_sat import pulsar
    >>> print(pulsar.folded_light_curve([0.1, 0.6, 0.7, 1.2], 2))
    phase_min phase_max counts       error
    --------- --------- ------ ------------------
          0.0       0.5    2.0 1.4142135623730951
          0.5       1.0    2.0 1.4142135623730951
    """
    if n_bins < 1:
        raise ConfigError(f"There are no {n_bins} bins.", remedy="Take at least 1.")
    x = checked_phases(phases)
    w = checked_weights(weights, len(x))
    edges = np.linspace(0, 1, n_bins + 1)

    def counts(values: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
        return np.histogram(values, edges, weights=of)[0].astype(float)

    each = w if len(w) else np.ones(len(x))
    table = Table({"phase_min": edges[:-1], "phase_max": edges[1:], "counts": counts(x, each)})
    table["error"] = np.sqrt(counts(x, each**2))
    if n_samples:
        if rng is None:
            raise ConfigError(
                "A bootstrap needs a source of randomness.", remedy="rng=np.random.default_rng(1)"
            )
        samples = bootstrap(x, counts, n_samples, rng, w if len(w) else None)
        table["counts_low"], table["counts_high"] = np.quantile(samples, QUANTILES, axis=0)
    return table


def profile_bins(n_events: int) -> int:
    """Return into how many bins a turn a number of events is divided by default."""
    return int(np.clip(n_events // _COUNTS_A_BIN, *_BINS))
