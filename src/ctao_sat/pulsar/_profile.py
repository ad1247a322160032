"""Pulse profiles of peaks on a constant, and their unbinned fit."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import numpy as np
from astropy.table import Table
from iminuit import Minuit
from numpy.typing import ArrayLike

from ctao_sat.errors import ConfigError, DataError, did_you_mean
from ctao_sat.kernels import pulse_profile as kernels
from ctao_sat.pulsar._periodicity import checked_phases, checked_weights

__all__ = ["GaussianPeak", "LorentzianPeak", "ProfileFit", "PulseProfile", "fit_profile"]

# In turns: narrower than any clock, and wider than any peak.
NARROWEST, WIDEST = 1e-5, 1.0
# Of the sum of fractions, where a fit ends with no constant.
ROUNDING = 1e-6
# A sum of fractions that is above 1 by this much costs as much as a standard deviation.
STIFF = 1e-4


@dataclass(frozen=True)
class GaussianPeak:
    """A Gaussian, wrapped around the turn.

    Attributes
    ----------
    location : float
        Phase of the peak.
    width : float
        Standard deviation in turns.
    fraction : float
        Part of all events that is in the peak.
    """

    location: float
    width: float
    fraction: float


@dataclass(frozen=True)
class LorentzianPeak:
    """A Lorentzian with different widths before and after the peak, wrapped around the turn.

    Attributes
    ----------
    location : float
        Phase of the peak.
    width_left, width_right : float
        Half-widths at half maximum in turns, before and after the peak.
    fraction : float
        Part of all events that is in the peak.
    """

    location: float
    width_left: float
    width_right: float
    fraction: float


Peak = GaussianPeak | LorentzianPeak


@dataclass(frozen=True)
class PulseProfile:
    """Peaks on a constant: the density of phases over one turn.

    Attributes
    ----------
    peaks : tuple of GaussianPeak or LorentzianPeak
        In any order.

    Raises
    ------
    ConfigError
        If there is no peak, a width is not in (0, 1], a fraction is negative, or their sum above 1.

    Examples
    --------
    >>> from ctao_sat import pulsar
    >>> profile = pulsar.PulseProfile(
    ...     (pulsar.LorentzianPeak(0.0, 0.01, 0.02, 0.3), pulsar.GaussianPeak(0.4, 0.02, 0.2))
    ... )
    >>> f"{profile.constant:.1f} {profile.density([0.2])[0]:.3f}"
    '0.5 0.568'
    """

    peaks: tuple[Peak, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "peaks", tuple(self.peaks))
        if not self.peaks:
            raise ConfigError("A profile needs a peak.", remedy="Give GaussianPeak(0.0, 0.03, 0.1)")
        for peak in self.peaks:
            for name, value in zip(_names_of(peak), _values_of(peak), strict=True):
                # Written so that a NaN is refused.
                good = value >= 0 if name == "fraction" else value > 0 and value <= WIDEST
                if not (math.isfinite(value) if name == "location" else good):
                    raise ConfigError(
                        f"The {name} of a peak is {value:g}.",
                        remedy="A location is finite, a width positive and at most 1, a fraction "
                        "not negative.",
                    )
        if self.constant < -ROUNDING:
            raise ConfigError(
                f"The peaks hold {1 - self.constant:g} of all events.",
                remedy="Make the sum of their fractions at most 1.",
            )

    @property
    def constant(self) -> float:
        """Part of all events that is in no peak."""
        return 1.0 - sum(peak.fraction for peak in self.peaks)

    def density(self, phases: ArrayLike) -> np.ndarray:
        """Return the density at phases; over one turn its integral is 1.

        Parameters
        ----------
        phases : array-like of float, shape (n,)
            In turns.

        Returns
        -------
        density : array, shape (n,)
            Per turn.
        """
        x = np.ascontiguousarray(phases, dtype=float)
        out = np.empty(x.shape)
        kernels.densities(x, _rows(self), out)
        return out


@dataclass(frozen=True, eq=False)
class ProfileFit:
    """The profile that fits best, and how well it is known.

    Attributes
    ----------
    profile : PulseProfile
        At the maximum of the likelihood.
    names : tuple of str
        Parameters: "location_1", "width_1", "fraction_1", ..., numbered by peak.
    values, errors : array, shape (n,)
        Of all parameters; errors from the second derivatives, 0 for what was frozen.
    covariance : array, shape (n, n)
        With zeros for what was frozen.
    ts : float
        Twice the gain in ln L over uniform phases.
    n_events : int
        Number of phases.
    success : bool
        Whether the fit converged, with a valid covariance.
    message : str
        Why not, or which parameters ended at a limit.
    """

    profile: PulseProfile
    names: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    covariance: np.ndarray
    ts: float
    n_events: int
    success: bool
    message: str

    def to_table(self) -> Table:
        """Return names, values and errors of the parameters.

        Returns
        -------
        table : `~astropy.table.Table`
            ``name``, ``value``, ``error``; in turns or as a fraction of events.
        """
        return Table(
            {"name": list(self.names), "value": self.values, "error": self.errors},
            meta={"ts": self.ts, "n_events": self.n_events, "success": self.success},
        )


def fit_profile(
    phases: ArrayLike,
    model: PulseProfile | Peak | Sequence[Peak],
    weights: ArrayLike | None = None,
    *,
    frozen: Collection[str] = (),
) -> ProfileFit:
    r"""Fit a profile to phases by maximum likelihood, without bins.

    .. math:: \ln L = \sum_i \ln (w_i f(\varphi_i) + 1 - w_i)

    Parameters
    ----------
    phases : array-like of float, shape (n,)
        In turns.
    model : PulseProfile, peak or sequence of peaks
        Where the fit begins. It must be near: the likelihood has other maxima.
    weights : array-like of float, shape (n,), optional
        Probability that an event is of the source, see `event_weights`: then f is the profile of
        the source, without the background. Default: all 1.
    frozen : collection of str
        Names of parameters to keep: "location_1", "width_left_2", ...

    Returns
    -------
    fit : ProfileFit
        Profile, errors and TS. A fit that did not converge is no error here: see ``success``.

    Raises
    ------
    SelectionError, DataError, ConfigError
        As `h_test`; or if a weight is above 1, a frozen parameter does not exist, or none is left.

    Notes
    -----
    The likelihood is that of Kerr 2011, ApJ 732, 38, with the profile instead of harmonics. Errors
    hold for many events in each peak; `bootstrap` gives those of few.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat import pulsar
    >>> rng = np.random.default_rng(1)
    >>> phases = np.concatenate([rng.normal(0.4, 0.02, 500), rng.random(1500)])
    >>> fit = pulsar.fit_profile(phases, [pulsar.GaussianPeak(0.42, 0.05, 0.1)])
    >>> fit.success
    True
    >>> for name, value, error in zip(fit.names, fit.values, fit.errors):
    ...     print(f"{name} {value:.3f} {error:.3f}")
    location_1 0.399 0.001
    width_1 0.018 0.001
    fraction_1 0.247 0.012
    """
    if isinstance(model, Peak):
        model = [model]
    start = model if isinstance(model, PulseProfile) else PulseProfile(tuple(model))
    x = checked_phases(phases)
    w = checked_weights(weights, len(x))
    if (w > 1).any():
        raise DataError(
            f"A weight is {w.max():g}.", remedy="Give probabilities to be of the source, in [0, 1]."
        )
    names = [f"{name}_{i}" for i, peak in enumerate(start.peaks, 1) for name in _names_of(peak)]
    for name in frozen:
        if name not in names:
            raise ConfigError(f"There is no parameter '{name}'.", remedy=did_you_mean(name, names))
    if set(frozen) == set(names):
        raise ConfigError("All parameters are frozen.", remedy="Leave at least one free.")

    def cost(*values: float) -> float:
        rows = _rows(start, values)
        excess = _bounded(rows[:, 1])
        return -2.0 * kernels.log_likelihood(x, w, rows) + (excess / STIFF) ** 2

    minuit = Minuit(cost, *(v for peak in start.peaks for v in _values_of(peak)), name=names)
    minuit.errordef = Minuit.LEAST_SQUARES
    for name in names:
        minuit.fixed[name] = name in frozen
        if name.startswith("width"):
            minuit.limits[name] = (NARROWEST, WIDEST)
        elif name.startswith("fraction"):
            minuit.limits[name] = (0.0, 1.0)
        # A tenth of a width is a step that sees the peak, whatever its place.
        minuit.errors[name] = 0.1 * _scale(start, name)
    minuit.migrad()
    if minuit.valid:
        minuit.hesse()
    return _result(minuit, start, len(x))


def _names_of(peak: Peak) -> list[str]:
    return [field.name for field in fields(peak)]


def _values_of(peak: Peak) -> list[float]:
    return [float(getattr(peak, name)) for name in _names_of(peak)]


def _rows(profile: PulseProfile, values: Sequence[float] | None = None) -> np.ndarray:
    """Return peaks as the kernels want them, with other values if there are any."""
    rows = np.zeros((len(profile.peaks), 5))
    start = 0
    for row, peak in zip(rows, profile.peaks, strict=True):
        own = _values_of(peak)
        if values is not None:
            own = list(values[start : start + len(own)])
        start += len(own)
        row[0] = kernels.GAUSSIAN if isinstance(peak, GaussianPeak) else kernels.LORENTZIAN
        # The fraction is the last one, and the widths are in between.
        row[1], row[2], row[3 : 1 + len(own)] = own[-1], own[0], own[1:-1]
    return rows


def _bounded(fractions: np.ndarray) -> float:
    """Scale fractions to a sum of at most 1, in place, and return by what it was exceeded."""
    excess = max(float(fractions.sum()) - 1.0, 0.0)
    fractions /= 1.0 + excess
    return excess


def _scale(profile: PulseProfile, name: str) -> float:
    """Return of what size a parameter is: a location is known to a part of the width."""
    kind, _, number = name.rpartition("_")
    peak = profile.peaks[int(number) - 1]
    return max(float(getattr(peak, _names_of(peak)[1] if kind == "location" else kind)), 1e-3)


def _result(minuit: Minuit, start: PulseProfile, n_events: int) -> ProfileFit:
    """Return what Minuit has found."""
    names, values = tuple(minuit.parameters), np.array(minuit.values)
    of_fractions = [name.startswith("fraction") for name in names]
    fractions = values[of_fractions]
    _bounded(fractions)
    values[of_fractions] = fractions
    peaks, first = [], 0
    for peak in start.peaks:
        own = values[first : first + len(fields(peak))].tolist()
        first += len(own)
        peaks.append(type(peak)(own[0] % 1, *own[1:]))
    covariance = np.zeros((len(names), len(names)))
    if minuit.covariance is not None:
        covariance[:] = minuit.covariance
    at_limit = [
        name
        for name, value, (low, high) in zip(names, values, minuit.limits, strict=True)
        if not minuit.fixed[name] and min(value - low, high - value) < 1e-6 * (high - low)
    ]
    if fractions.sum() > 1 - ROUNDING:
        at_limit.append("sum of fractions")
    success = bool(minuit.valid and minuit.fmin.has_accurate_covar)
    message = "" if success else "The fit did not converge: begin nearer, or freeze a parameter."
    if at_limit:
        message = f"{message} At a limit: {', '.join(at_limit)}.".strip()
    return ProfileFit(
        profile=PulseProfile(tuple(peaks)),
        names=names,
        values=np.array([value for peak in peaks for value in _values_of(peak)]),
        errors=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        ts=-float(minuit.fval),
        n_events=n_events,
        success=success,
        message=message,
    )
