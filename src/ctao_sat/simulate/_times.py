"""Draw arrival times of candidates from an upper bound of a light curve, and thin them to it.

Thinning makes no use of integrals of the temporal model, some of which are wrong in Gammapy 2.1
(the sine) or rectangle sums (the default), and it has no time step: a bound on a grid only sets how
many candidates are needed. Models whose own times are exact draw them themselves.
"""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.time import Time
from gammapy.modeling.models import ConstantTemporalModel, TemporalModel
from numpy.typing import NDArray

from ctao_sat.errors import ConfigError

__all__ = ["Windows", "draw_times"]

_N_SLICES = 256
_N_POINTS = 64


@dataclass(frozen=True)
class Windows:
    """Good time intervals of a run: seconds after ``reference``."""

    reference: Time
    start: NDArray
    stop: NDArray

    @property
    def ontime(self) -> float:
        """Sum of the intervals in s."""
        return float((self.stop - self.start).sum())

    def at(self, seconds: NDArray | float) -> Time:
        """Return times as astropy objects.

        Parameters
        ----------
        seconds : array of float
            Seconds after the reference.

        Returns
        -------
        time : `astropy.time.Time`
            On the scale of the reference.
        """
        return self.reference + seconds * u.s

    def draw(self, rng: np.random.Generator, size: int) -> NDArray:
        """Draw times uniformly.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Source of randomness.
        size : int
            Number of times.

        Returns
        -------
        seconds : array of float, shape (size,)
            Seconds after the reference, inside the intervals.
        """
        cumulative = np.concatenate([[0.0], np.cumsum(self.stop - self.start)])
        elapsed = rng.random(size) * cumulative[-1]
        index = np.searchsorted(cumulative, elapsed, side="right") - 1
        index = np.clip(index, 0, len(self.start) - 1)
        # Rounding must not move an event out of its interval.
        return np.minimum(self.start[index] + (elapsed - cumulative[index]), self.stop[index])

    def slices(self, n: int) -> "Windows":
        """Divide the intervals into about n slices.

        Parameters
        ----------
        n : int
            Number of slices wanted; each interval gives at least one.

        Returns
        -------
        slices : Windows
            The slices, in order.
        """
        starts, stops = [], []
        for start, stop in zip(self.start, self.stop, strict=True):
            edges = np.linspace(start, stop, 1 + max(1, round(n * (stop - start) / self.ontime)))
            starts.append(edges[:-1])
            stops.append(edges[1:])
        return Windows(self.reference, np.concatenate(starts), np.concatenate(stops))


def draw_times(
    rng: np.random.Generator, temporal: TemporalModel, windows: Windows, rate: float
) -> NDArray:
    """Draw a Poisson process whose rate follows a temporal model.

    A model whose peaks may be narrower than any grid knows its upper bound, and says it in an
    attribute ``largest_norm``, or has an exact integral and times that follow it, and says so in an
    attribute ``samples_exactly``.

    Parameters
    ----------
    rng : `numpy.random.Generator`
        Source of randomness.
    temporal : `gammapy.modeling.models.TemporalModel`
        Norm as a function of time; not dependent on energy.
    windows : Windows
        When events can arrive.
    rate : float
        Rate in 1/s where the norm is 1.

    Returns
    -------
    seconds : array of float, shape (n,)
        Seconds after the reference of the windows, unordered.

    Raises
    ------
    ConfigError
        If the model gives a norm that is not finite.
    """
    if getattr(temporal, "samples_exactly", False):
        return _draw_exactly(rng, temporal, windows, rate)
    largest = getattr(temporal, "largest_norm", None)
    if largest is not None:
        seconds = windows.draw(rng, rng.poisson(rate * largest * windows.ontime))
        return seconds[rng.random(len(seconds)) * largest < _norm(temporal, windows, seconds)]
    slices = windows.slices(_N_SLICES)
    width = slices.stop - slices.start
    points = slices.start[:, None] + width[:, None] * np.linspace(0.0, 1.0, _N_POINTS)
    bound = _norm(temporal, windows, points.ravel()).reshape(points.shape).max(axis=1)
    # A peak between two points can exceed the bound: then raise it to what was seen, and redraw.
    while True:
        n = rng.poisson(rate * bound * width)
        index = np.repeat(np.arange(len(n)), n)
        seconds = slices.start[index] + rng.random(len(index)) * width[index]
        seconds = np.minimum(seconds, slices.stop[index])
        norm = _norm(temporal, windows, seconds)
        if np.all(norm <= bound[index] * (1 + 1e-9)):
            return seconds[rng.random(len(index)) * bound[index] < norm]
        np.maximum.at(bound, index, norm)


def _draw_exactly(
    rng: np.random.Generator, temporal: TemporalModel, windows: Windows, rate: float
) -> NDArray:
    """Draw a Poisson number of events, and their times from the model itself."""
    start, stop = windows.at(windows.start), windows.at(windows.stop)
    mean = float(np.sum(temporal.integral(start, stop)))
    n = rng.poisson(rate * mean * windows.ontime)
    if n == 0:
        return np.zeros(0)
    # Gammapy's models take the legacy interface to the same stream of random numbers.
    legacy = np.random.RandomState(rng.bit_generator)
    times = temporal.sample_time(n, start, stop, random_state=legacy)
    return (times - windows.reference).to_value("s")


def _norm(temporal: TemporalModel, windows: Windows, seconds: NDArray) -> NDArray:
    """Evaluate a temporal model; negative norms count as zero, as in Gammapy's sampler."""
    # Its norm is 1: times of millions of events need not change their scale for it.
    if len(seconds) == 0 or type(temporal) is ConstantTemporalModel:
        return np.ones(len(seconds))
    time = windows.at(seconds)
    values = np.asarray(u.Quantity(temporal(time)).to_value(""), dtype=float)
    if not np.all(np.isfinite(values)):
        raise ConfigError(
            f"The temporal model '{temporal.tag[0]}' is not finite between "
            f"{time.min().isot} and {time.max().isot}.",
            remedy="Check its parameters, and that its template covers the observations.",
        )
    return np.maximum(np.broadcast_to(values, time.shape), 0.0)
