"""Search in frequency and its derivative, over many runs."""

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.table import Table
from astropy.time import Time
from gammapy.data import Observation, Observations
from numpy.typing import ArrayLike
from scipy.special import chdtrc
from scipy.stats import norm

from ctao_sat.errors import ConfigError, SelectionError
from ctao_sat.kernels.periodicity import scan
from ctao_sat.parallel import pmap
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._events import as_list
from ctao_sat.pulsar._periodicity import (
    H_PENALTY,
    NO_WEIGHTS,
    check_harmonics,
    checked_weights,
    h_p_value,
)
from ctao_sat.pulsar._phases import observation_timing
from ctao_sat.pulsar._solution import TimingSolution
from ctao_sat.pulsar._timing import Options

__all__ = ["FrequencyScan", "count_trials", "frequency_scan"]

# A grid beyond this takes hours and gigabytes.
MAX_TRIALS = 10**8
PARTS = 100


@dataclass(frozen=True, eq=False)
class FrequencyScan:
    """Statistic of each trial, and what the largest is worth.

    Attributes
    ----------
    f0 : Quantity[frequency], shape (n_f0,)
        Trial frequencies at the epoch.
    f1 : Quantity[frequency / time], shape (n_f1,)
        Trial derivatives.
    values : array, shape (n_f1, n_f0)
        Statistic of each trial.
    epoch : `~astropy.time.Time`
        TDB at the barycentre, to which frequencies belong.
    statistic : {"h", "z2"}
        What `values` are.
    n_harmonics : int
        Of the statistic; for H the largest number.
    n_events : int
        Number of events.
    """

    f0: u.Quantity
    f1: u.Quantity
    values: np.ndarray
    epoch: Time
    statistic: str
    n_harmonics: int
    n_events: int

    @property
    def best(self) -> tuple[u.Quantity, u.Quantity]:
        """Frequency and derivative of the largest statistic."""
        row, column = np.unravel_index(np.argmax(self.values), self.values.shape)
        return self.f0[column], self.f1[row]

    @property
    def largest(self) -> float:
        """The largest statistic."""
        return float(self.values.max())

    @property
    def n_trials(self) -> int:
        """Number of trials. Neighbours are correlated: fewer are independent."""
        return self.values.size

    @property
    def p_value_single(self) -> float:
        """Probability of the largest statistic in one trial, without pulses."""
        if self.statistic == "h":
            return h_p_value(self.largest, self.n_harmonics)
        return float(chdtrc(2 * self.n_harmonics, self.largest))

    @property
    def p_value(self) -> float:
        """Upper limit on the probability that the best of all trials is so large without pulses.

        It is 1 - (1 - p)^n, as if the n trials were independent.
        """
        if self.p_value_single == 1:
            return 1.0
        return -math.expm1(self.n_trials * math.log1p(-self.p_value_single))

    @property
    def significance(self) -> float:
        """`p_value` as one-sided standard deviations of a Gaussian."""
        return float(norm.isf(self.p_value))

    def to_table(self, n: int = 10) -> Table:
        """Return the trials with the largest statistic.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        table : `~astropy.table.Table`
            ``f0``, ``f1`` and the statistic, the largest first; the epoch in ``meta``.
        """
        order = np.argsort(self.values, axis=None)[::-1][:n]
        rows, columns = np.unravel_index(order, self.values.shape)
        table = Table({"f0": self.f0[columns], "f1": self.f1[rows]})
        table[self.statistic] = self.values[rows, columns]
        table.meta.update(epoch=self.epoch.isot, scale="tdb", n_trials=self.n_trials)
        return table


def frequency_scan(
    observations: Observation | Observations,
    ephemeris: PulsarEphemeris,
    *,
    f0: tuple[float, float] | u.Quantity,
    f1: tuple[float, float] | u.Quantity | None = None,
    weights: Sequence[ArrayLike] | None = None,
    statistic: str = "h",
    n_harmonics: int = 20,
    oversampling: float = 10,
    epoch: Time | None = None,
    site: str | EarthLocation = "header",
    solar_ephem: str | os.PathLike = "par",
    barycentre: bool = True,
    offline: bool = True,
    n_jobs: int = 1,
    progress: bool = False,
) -> FrequencyScan:
    r"""Search for pulses in a range of frequencies and their derivatives.

    The times of all runs are taken to the barycentre once, for the position (and the motion) of
    the ephemeris; its frequency plays no part. The phase of a trial is

    .. math:: \varphi = f_0 t + \frac{1}{2} f_1 t^2

    with the time of emission t after the epoch. All runs are added coherently; a glitch between
    them, or a second derivative that counts, is not foreseen.

    Parameters
    ----------
    observations : `~gammapy.data.Observation` or `~gammapy.data.Observations`
        With the events to test, see `select_events`; good time intervals and the location.
    ephemeris : PulsarEphemeris
        Where the pulsar is.
    f0 : pair of float or Quantity[frequency]
        Lowest and highest frequency at the epoch, in Hz.
    f1 : pair of float or Quantity[frequency / time], optional
        Lowest and highest derivative, in Hz/s. Default: that alone which the ephemeris has at the
        epoch, by its higher derivatives and glitches too.
    weights : sequence of array-like, optional
        For each observation the weights of its events, see `event_weights`.
    statistic : {"h", "z2"}
        As in `h_test` and `z2_test`.
    n_harmonics : int
        Of Z², or the largest of H.
    oversampling : float
        Trials for each independent frequency 1/T, where T is the time from the first to the last
        event. A pulse with strong harmonics up to k needs about 2 k.
    epoch : `~astropy.time.Time`, optional
        To which the frequencies belong, at the barycentre. Default: the middle of the events,
        where errors of f0 and f1 do not depend on each other.
    site, solar_ephem, barycentre, offline : str, location, path or bool
        See `assign_phases`.
    n_jobs : int
        Number of workers, see `ctao_sat.parallel.pmap`.
    progress : bool
        Show a progress bar.

    Returns
    -------
    scan : FrequencyScan
        All trials, and the significance of the best.

    Raises
    ------
    ConfigError
        If a range or an option makes no sense, or there are more than 1e8 trials.
    SelectionError
        If there is no event.
    EphemerisError, PhaseError, MissingHDUError
        As `assign_phases`; the validity and the error budget of the ephemeris are not checked.

    Notes
    -----
    Between neighbouring trials the phase drifts by at most 1 / (2 `oversampling`) from the epoch to
    an end of the data, for f0 and for f1 each. The cost is in proportion to the number of events
    times the number of trials; a run adds some ten milliseconds for its barycentre.

    Examples
    --------
    >>> from ctao_sat import pulsar
    >>> scan = pulsar.frequency_scan(                         # doctest: +SKIP
    ...     observations, ephemeris, f0=(29.940, 29.941), f1=(-3.8e-10, -3.6e-10)
    ... )
    >>> scan.best, scan.p_value                               # doctest: +SKIP
    """
    if statistic not in ("h", "z2"):
        raise ConfigError(f"Unknown statistic '{statistic}'.", remedy="Take 'h' or 'z2'.")
    check_harmonics(n_harmonics)
    if not 0 < oversampling < math.inf:
        raise ConfigError(
            f"There are {oversampling:g} trials per frequency.", remedy="Take 10, or some more."
        )
    # It is searched for what the ephemeris does not know.
    options = Options(solar_ephem, barycentre, offline, max_phase_error=math.inf, extrapolate=True)
    references, times = _emission_times(as_list(observations), ephemeris, site, options)
    w = _joined_weights(weights, [len(one) for one in times])
    epoch, t = _since_epoch(references, times, epoch)
    half = float(np.max(np.abs(t))) or 1.0
    step0, step1 = _steps(half, oversampling)
    grid0 = _grid(f0, u.Hz, step0)
    known = _derivative(ephemeris.at(epoch), epoch)
    grid1 = _grid((known, known) if f1 is None else f1, u.Hz / u.s, step1)
    _check_number(len(grid0) * len(grid1))
    penalty = H_PENALTY if statistic == "h" else 0.0
    values = _values(t, w, grid0, grid1, (n_harmonics, penalty), n_jobs, progress)
    return FrequencyScan(
        grid0 * u.Hz, grid1 * u.Hz / u.s, values, epoch, statistic, n_harmonics, len(t)
    )


def _emission_times(
    runs: list[Observation],
    ephemeris: PulsarEphemeris,
    site: str | EarthLocation,
    options: Options,
) -> tuple[list[Time], list[np.ndarray]]:
    """Return for each run the reference time, and when its events were emitted in s after it."""
    references, times = [], []
    for run in runs:
        arrivals = run.events.time
        timing, _ = observation_timing(run, arrivals, ephemeris, site, options)
        polynomials = timing.polynomials
        references.append(polynomials.reference)
        times.append(polynomials.emission_times(polynomials.seconds(arrivals)))
    if not sum(map(len, times)):
        raise SelectionError(
            "There is no event to test.", remedy="Widen the selection in position and energy."
        )
    return references, times


def _joined_weights(weights: Sequence[ArrayLike] | None, lengths: list[int]) -> np.ndarray:
    if weights is None:
        return NO_WEIGHTS
    arrays = [np.asarray(one, dtype=float) for one in weights]
    if [one.shape for one in arrays] != [(length,) for length in lengths]:
        raise ConfigError(
            "The weights are not those of the events.",
            remedy="Give one array for each observation, with a weight for each of its events.",
        )
    return checked_weights(np.concatenate(arrays), sum(lengths))


def _since_epoch(
    references: list[Time], times: list[np.ndarray], epoch: Time | None
) -> tuple[Time, np.ndarray]:
    """Return the epoch, and the times of all runs in s after it."""
    first = references[0]
    shifts = [(reference - first).to_value("s") for reference in references]
    t = np.concatenate([one + shift for one, shift in zip(times, shifts, strict=True)])
    if epoch is None:
        epoch = first + 0.5 * (t.min() + t.max()) * u.s
    return epoch.tdb, t - (epoch.tdb - first).to_value("s")


def _derivative(solution: TimingSolution, epoch: Time) -> float:
    """Return the derivative of the frequency that a pulsar has at an epoch, in Hz/s."""

    def since(day: float, fraction: float) -> float:
        return float((epoch - Time(day, fraction, format="mjd", scale="tdb")).to_value("s"))

    t = since(*solution.pepoch)
    rate = sum(f[0] * t**n / math.factorial(n) for n, f in enumerate(solution.spin[1:]))
    for glitch in solution.glitches:
        dt = since(*glitch.epoch)
        if dt >= 0:
            rate += glitch.f1 + glitch.f2 * dt
            if glitch.f0_decaying:
                rate -= glitch.f0_decaying / glitch.decay_time * math.exp(-dt / glitch.decay_time)
    return rate


def count_trials(
    span: u.Quantity, f0: u.Quantity, f1: u.Quantity | None, oversampling: float
) -> int:
    """Return how many trials a scan over a span of time has; raise an error if too many."""
    step0, step1 = _steps(0.5 * span.to_value("s"), oversampling)
    number = _range(f0, u.Hz, step0)[-1]
    number *= 1 if f1 is None else _range(f1, u.Hz / u.s, step1)[-1]
    _check_number(number)
    return number


def _steps(half: float, oversampling: float) -> tuple[float, float]:
    """Return the steps in Hz and Hz/s for events up to so many s from the epoch."""
    return 1 / (2 * oversampling * half), 1 / (oversampling * half**2)


def _grid(limits: tuple[float, float] | u.Quantity, unit: u.UnitBase, step: float) -> np.ndarray:
    """Return equidistant trials, both limits among them, not more than a step apart."""
    return np.linspace(*_range(limits, unit, step))


def _range(
    limits: tuple[float, float] | u.Quantity, unit: u.UnitBase, step: float
) -> tuple[float, float, int]:
    """Return both limits, and the number of trials between them."""
    try:
        low, high = u.Quantity(limits, unit).to_value(unit)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{limits!r} is no range in {unit}.", remedy="Give the lowest and the highest value."
        ) from error
    # Written so that a NaN is refused.
    if not high >= low:
        raise ConfigError(
            f"The range from {low:g} to {high:g} {unit} is empty.", remedy="Low first, then high."
        )
    n_steps = (high - low) / step
    _check_number(n_steps)
    return low, high, math.ceil(n_steps) + 1 if high > low else 1


def _check_number(n_trials: float) -> None:
    if n_trials > MAX_TRIALS:
        raise ConfigError(
            f"The scan has at least {n_trials:.3g} trials, more than {MAX_TRIALS:.0e}.",
            remedy="Take narrower ranges, less oversampling, or fewer nights at once.",
        )


def _values(
    t: np.ndarray,
    w: np.ndarray,
    grid0: np.ndarray,
    grid1: np.ndarray,
    how: tuple[int, float],
    n_jobs: int,
    progress: bool,
) -> np.ndarray:
    """Return the statistic of each trial, computed in bundles of similar size."""
    # Of neighbours, the difference would be rounded: turns of years add up.
    step = float(grid0[-1] - grid0[0]) / max(len(grid0) - 1, 1)
    # Enough to fill workers, and to move the progress bar.
    n_parts = min(len(grid0), math.ceil(PARTS / len(grid1)))
    columns = np.array_split(np.arange(len(grid0)), n_parts)
    bundles = [(grid0[part[0]], len(part), rate) for rate in grid1 for part in columns]
    work = functools.partial(_bundle, t=t, w=w, step=step, how=how)
    found = pmap(work, bundles, n_jobs=n_jobs, description="Scan", progress=progress)
    return np.concatenate(found).reshape(len(grid1), len(grid0))


def _bundle(
    bundle: tuple[float, int, float],
    *,
    t: np.ndarray,
    w: np.ndarray,
    step: float,
    how: tuple[int, float],
) -> np.ndarray:
    """Return the statistic of neighbouring frequencies with the same derivative."""
    (first, n, rate), (n_harmonics, penalty) = bundle, how
    out = np.empty((1, n))
    scale = 2 / (float(w @ w) if len(w) else len(t))
    sums = np.empty((2, n_harmonics))
    scan(t, w, first, step, np.array([rate]), scale, penalty, sums, out)
    return out[0]
