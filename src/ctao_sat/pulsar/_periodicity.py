"""Tests of phases against a uniform distribution."""

import math
from numbers import Integral
from typing import NamedTuple

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, gammaln
from scipy.stats import norm

from ctao_sat.errors import ConfigError, DataError, SelectionError
from ctao_sat.kernels.periodicity import harmonic_sums, largest

__all__ = [
    "H_PENALTY",
    "PeriodicityTest",
    "check_harmonics",
    "checked_phases",
    "checked_weights",
    "chi2_test",
    "h_p_value",
    "h_test",
    "in_turns",
    "turn_fraction",
    "z2_test",
]

# Of de Jager, Raubenheimer & Swanepoel (1989), for each harmonic after the first.
H_PENALTY = 4.0
NO_WEIGHTS = np.empty(0)
# A pulse of more is narrower than any clock; room for them is needed in memory.
MOST_HARMONICS = 10_000


class PeriodicityTest(NamedTuple):
    """A test statistic and its p-value; unpacks to the two.

    Attributes
    ----------
    statistic : float
        Large if the phases are not uniform.
    p_value : float
        Probability of at least this value if they are.
    """

    statistic: float
    p_value: float

    @property
    def significance(self) -> float:
        """The p-value as one-sided standard deviations of a Gaussian."""
        return float(norm.isf(self.p_value))


def h_test(
    phases: ArrayLike, weights: ArrayLike | None = None, max_harmonics: int = 20
) -> PeriodicityTest:
    r"""Test phases with the H test: the best number of harmonics, without knowing the pulse.

    .. math:: H = \max_{1 \le m \le M} (Z^2_m - 4 m + 4)

    Parameters
    ----------
    phases : array-like of float, shape (n,)
        In turns; whole turns do not matter.
    weights : array-like of float, shape (n,), optional
        Probability that an event is of the source, see `event_weights`. Default: all 1.
    max_harmonics : int
        M, 20 in the references.

    Returns
    -------
    result : PeriodicityTest
        H, and its p-value as `h_p_value` gives it; unpacks to the two.

    Raises
    ------
    SelectionError
        If there is no phase, or no weight above zero.
    DataError
        If a phase or a weight is not finite, or a weight is negative.
    ConfigError
        If there is not one weight for each phase, or no harmonic.

    Notes
    -----
    De Jager, Raubenheimer & Swanepoel 1989, A&A 221, 180; de Jager & Büsching 2010, A&A 517, L9;
    with weights Kerr 2011, ApJ 732, 38.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat import pulsar
    >>> h, p = pulsar.h_test(np.linspace(0, 1, 101))
    >>> print(f"{h:.10f} {p:.4f}")
    0.0198019802 0.9921
    """
    sums, scale = _sums(phases, weights, max_harmonics)
    h = float(largest(sums, scale, H_PENALTY))
    return PeriodicityTest(h, h_p_value(h, max_harmonics))


def z2_test(
    phases: ArrayLike, n_harmonics: int, weights: ArrayLike | None = None
) -> PeriodicityTest:
    r"""Test phases with the :math:`Z^2_m` test, for pulses that some harmonics describe.

    .. math:: Z^2_m = \frac{2}{\sum_i w_i^2} \sum_{k=1}^m
              \left|\sum_i w_i e^{2 \pi i k \varphi_i}\right|^2

    Parameters
    ----------
    phases : array-like of float, shape (n,)
        In turns; whole turns do not matter.
    n_harmonics : int
        m, chosen before the data are looked at; 1 is the Rayleigh test.
    weights : array-like of float, shape (n,), optional
        Probability that an event is of the source, see `event_weights`. Default: all 1.

    Returns
    -------
    result : PeriodicityTest
        Z² with the probability of a χ² distribution with 2 m degrees of freedom, which holds for
        many events; unpacks to the two.

    Raises
    ------
    SelectionError, DataError, ConfigError
        As in `h_test`.

    Notes
    -----
    Buccheri et al. 1983, A&A 128, 245; with weights Kerr 2011, ApJ 732, 38.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat import pulsar
    >>> z2, p = pulsar.z2_test(np.linspace(0, 1, 101), 4)
    >>> print(f"{z2:.10f}")
    0.0792079208
    """
    sums, scale = _sums(phases, weights, n_harmonics)
    z2 = float(largest(sums, scale, 0.0))
    return PeriodicityTest(z2, float(chdtrc(2 * n_harmonics, z2)))


def chi2_test(
    phases: ArrayLike, n_bins: int = 20, weights: ArrayLike | None = None
) -> PeriodicityTest:
    r"""Test the histogram of phases against a flat one (epoch folding).

    .. math:: \chi^2 = \frac{B}{\sum_i w_i^2} \sum_{b=1}^B \left(W_b - \frac{W}{B}\right)^2

    with the sums of weights :math:`W_b` in each bin and :math:`W` in all.

    Parameters
    ----------
    phases : array-like of float, shape (n,)
        In turns; whole turns do not matter.
    n_bins : int
        B. Without weights, each bin should hold at least about five events.
    weights : array-like of float, shape (n,), optional
        Probability that an event is of the source, see `event_weights`. Default: all 1.

    Returns
    -------
    result : PeriodicityTest
        χ² with the probability of B - 1 degrees of freedom; unpacks to the two.

    Raises
    ------
    SelectionError, DataError, ConfigError
        As in `h_test`; also if there are fewer than two bins.

    Notes
    -----
    Leahy et al. 1983, ApJ 266, 160; with all weights 1 it is Pearson's. The bins and where they
    begin are a choice that `h_test` does not ask for.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat import pulsar
    >>> pulsar.chi2_test(np.array([0.1, 0.2, 0.3, 0.7]), n_bins=2).statistic
    1.0
    """
    if n_bins < 2:
        raise ConfigError(f"A test needs two bins, not {n_bins}.", remedy="Take 10 to 50.")
    x = checked_phases(phases)
    w = checked_weights(weights, len(x))
    w = np.ones(len(x)) if len(w) == 0 else w
    # A product may be rounded to the next bin.
    index = np.minimum((x * n_bins).astype(int), n_bins - 1)
    sums = np.bincount(index, weights=w, minlength=n_bins)
    value = float(n_bins / (w @ w) * np.sum((sums - w.sum() / n_bins) ** 2))
    return PeriodicityTest(value, float(chdtrc(n_bins - 1, value)))


def h_p_value(h: float, max_harmonics: int = 20) -> float:
    r"""Return the probability of at least this H if phases are uniform and events are many.

    .. math:: P(H \ge h) = \sum_{n=0}^{M-1} \frac{h (h + 4 n)^{n-1}}{2^n n!} e^{-(h + 4 n) / 2}

    Parameters
    ----------
    h : float
        H.
    max_harmonics : int
        M.

    Returns
    -------
    p : float
        Probability, to rounding that of Kerr (2011).

    Notes
    -----
    Under the null hypothesis the :math:`Z^2_m` are the arrival times of a Poisson process with the
    rate 1/2. H exceeds h if the (n+1)-th arrival is the first one beyond :math:`h + 4 n`: there are
    n of them before, in a volume that is an Abel polynomial (Pitman & Stanley 2002, Discrete
    Comput. Geom. 27, 603). The sum is that of Kerr 2011, ApJ 732, 38, in closed form, with
    positive terms only. For M to infinity it is exactly exp(-0.398405 h), which de Jager & Büsching
    2010, A&A 517, L9, found in simulations as exp(-0.4 h). For M = 20 that is below p by at most
    5 % up to h = 70, and above it beyond, by a factor 15 at h = 200.

    Examples
    --------
    >>> import math
    >>> from ctao_sat import pulsar
    >>> print(f"{pulsar.h_p_value(20):.3e} {math.exp(-0.4 * 20):.3e}")
    3.458e-04 3.355e-04
    """
    check_harmonics(max_harmonics)
    if not math.isfinite(h):
        return math.nan if math.isnan(h) else float(h < 0)
    if h <= 0:
        return 1.0
    n = np.arange(max_harmonics)
    far = h + H_PENALTY * n
    logs = math.log(h) + (n - 1) * np.log(far) - n * math.log(2) - gammaln(n + 1) - far / 2
    top = logs.max()
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))


def _sums(
    phases: ArrayLike, weights: ArrayLike | None, n_harmonics: int
) -> tuple[np.ndarray, float]:
    """Return the sums over events of each harmonic, and what makes Z² of their powers."""
    check_harmonics(n_harmonics)
    x = checked_phases(phases)
    w = checked_weights(weights, len(x))
    sums = np.empty((2, n_harmonics))
    harmonic_sums(x, w, sums)
    return sums, 2 / (float(w @ w) if len(w) else len(x))


def check_harmonics(number: int) -> None:
    """Raise an error if there cannot be as many harmonics."""
    if not isinstance(number, Integral) or not 1 <= number <= MOST_HARMONICS:
        raise ConfigError(
            f"There are no {number} harmonics.", remedy=f"Take 1 to {MOST_HARMONICS}."
        )


def checked_phases(phases: ArrayLike) -> np.ndarray:
    """Return phases as an array in [0, 1), at least one of them and all finite."""
    x = in_turns(phases)
    if x.ndim != 1:
        raise ConfigError(
            f"Phases have the shape {x.shape}.", remedy="Give an array of one dimension."
        )
    if len(x) == 0:
        raise SelectionError(
            "There is no event to test.", remedy="Widen the selection in position and energy."
        )
    if not np.isfinite(x).all():
        raise DataError(
            f"{np.count_nonzero(~np.isfinite(x))} of {len(x)} phases are not finite.",
            remedy="Assign phases to all events, or leave out those without.",
        )
    return turn_fraction(x)


def in_turns(phases: ArrayLike) -> np.ndarray:
    """Return phases as an array of turns, with NaN where they are masked."""
    unit = getattr(phases, "unit", None)
    if isinstance(phases, np.ma.MaskedArray):
        phases = np.ma.filled(phases.astype(float), np.nan)
    x = np.asarray(phases, dtype=float)
    if unit is None or unit == u.dimensionless_unscaled or isinstance(unit, u.UnrecognizedUnit):
        return x
    if not unit.is_equivalent(u.cycle):
        raise DataError(
            f"Phases are in turns, and these are in {unit}.", remedy="Check the name of the column."
        )
    return x * unit.to(u.cycle)


def turn_fraction(turns: np.ndarray) -> np.ndarray:
    """Return what is left of turns without whole ones, in [0, 1)."""
    x = turns - np.floor(turns)
    # What is just below a whole turn is rounded to it.
    return np.where(x == 1.0, 0.0, x)


def checked_weights(weights: ArrayLike | None, n_events: int) -> np.ndarray:
    """Return weights as an array, empty if there are none, all finite and none negative."""
    if weights is None:
        return NO_WEIGHTS
    w = np.asarray(weights, dtype=float)
    if w.shape != (n_events,):
        raise ConfigError(
            f"Weights have the shape {w.shape} for {n_events} events.",
            remedy="Give one weight for each event.",
        )
    if not np.isfinite(w).all() or (w < 0).any():
        raise DataError(
            "A weight is negative or not finite.",
            remedy="Weights are probabilities: s / (s + b) with a positive sum.",
        )
    # Squared, for that is what counts, and what may be too small for a number.
    if not w @ w:
        raise SelectionError(
            "All weights are zero: no event can be of the source.",
            remedy="Check the position of the source, and that its model predicts counts.",
        )
    return w
