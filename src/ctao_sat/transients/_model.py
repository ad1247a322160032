"""What temporal models of transients share: T0, units, integrals, random times."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astropy.time import Time
from gammapy.modeling.models import TemporalModel
from numpy.typing import NDArray

from ctao_sat._gammapy import get_random_state
from ctao_sat.errors import ConfigError
from ctao_sat.kernels import temporal
from ctao_sat.transients._draw import draw
from ctao_sat.transients._reference import reference_time

__all__ = ["TransientModel"]

# In seconds.
_DAY = 86400.0


class TransientModel(TemporalModel):
    """Base of the temporal models of `ctao_sat.transients`; not to be used by itself.

    The flux is a function of the time after T0 that a compiled kernel knows, with its integral and
    its derivatives. Time differences are those that pass, with leap seconds, whatever the scale.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        T0.
    scale : str, optional
        Time scale of ``t_ref`` in the model; default: that of the time given.
    **parameters : dict
        Parameters of the model.

    Raises
    ------
    ConfigError
        If T0 has no scale, or a parameter has a value that it cannot have.
    """

    # The model and the parameters of its kernel, in its order; then those that have to be above
    # zero, and those that must not be below it.
    kind: ClassVar[int]
    order: tuple[str, ...]
    positive: tuple[str, ...] = ()
    not_negative: tuple[str, ...] = ()

    def __init__(self, t_ref: Any, scale: str | None, **parameters: Any):
        t_ref, scale = reference_time(t_ref, scale)
        super().__init__(t_ref=t_ref, scale=scale, **parameters)
        self._arguments()

    @property
    def samples_exactly(self) -> bool:
        """Whether `sample_time` has a probability to follow: the flux is nowhere negative."""
        return True

    def __call__(self, time: Time, energy: u.Quantity | None = None) -> u.Quantity:
        """Return the flux over that of the spectral model.

        Parameters
        ----------
        time : `~astropy.time.Time`
            Times.
        energy : Quantity[energy], optional
            Not used.

        Returns
        -------
        norm : Quantity[dimensionless]
            Of the shape of the times.
        """
        seconds = self._seconds(time)
        norm = np.empty((seconds.size, 1))
        temporal.evaluate(self.kind, seconds.ravel(), self._arguments(), norm)
        return self._finite(norm[:, 0]).reshape(seconds.shape) * u.one

    def integral(self, t_min: Time, t_max: Time, **kwargs: Any) -> u.Quantity:
        """Return the mean of the flux in time intervals, each weighted by its length.

        Parameters
        ----------
        t_min, t_max : `~astropy.time.Time`
            Begin and end of the intervals.
        **kwargs : dict
            Of Gammapy's interface; not used.

        Returns
        -------
        norm : Quantity[dimensionless]
            Integral over each interval, divided by the length of all: their sum is the mean flux.
            Zero if all intervals are empty.

        Raises
        ------
        ConfigError
            If an interval ends before it begins, or the integral is infinite: power laws that are
            steep need an onset above zero.
        """
        return self._integrals(t_min, t_max, 0)[..., 0] * u.one

    def integral_gradient(self, t_min: Time, t_max: Time) -> dict[str, NDArray]:
        """Return the derivatives of `integral` by the parameters.

        Parameters
        ----------
        t_min, t_max : `~astropy.time.Time`
            Begin and end of the intervals.

        Returns
        -------
        gradient : dict of str to array
            For each parameter, by its value in its own unit; of the shape of the intervals.

        Raises
        ------
        ConfigError
            See `integral`.
        """
        norms = self._integrals(t_min, t_max, len(self.order))
        gradient = {
            name: norms[..., 1 + i] * _factor(getattr(self, name).unit)
            for i, name in enumerate(self.order)
        }
        # The window moves against T0.
        start, stop = self._windows(t_min, t_max)
        total = float(np.sum(stop - start)) / _DAY
        ends = self(t_min).value - self(t_max).value
        gradient["t_ref"] = ends / total if total > 0 else np.zeros(ends.shape)
        return gradient

    def mean_function(
        self, intervals: Sequence[tuple[Time, Time]]
    ) -> Callable[[NDArray], tuple[NDArray, NDArray]]:
        """Return the mean flux in groups of intervals as a function of the parameters.

        For likelihoods, which ask for it often: times are converted once.

        Parameters
        ----------
        intervals : sequence of (`~astropy.time.Time`, `~astropy.time.Time`)
            Begins and ends of the intervals of each group, of a dataset for example.

        Returns
        -------
        means : callable
            From values of all parameters, in their units and order, to the means, shape
            (n_groups,), and their derivatives by these values, shape (n_groups, n_parameters).
            Parameters that are linked to each other are one.
        """
        model = self.copy()
        windows = [self._windows(*(np.atleast_1d(time) for time in pair)) for pair in intervals]
        start = np.concatenate([window[0] for window in windows])
        stop = np.concatenate([window[1] for window in windows])
        group = np.repeat(np.arange(len(windows)), [len(window[0]) for window in windows])
        total = np.bincount(group, stop - start, minlength=len(windows))
        # An empty group has a mean of zero.
        weights = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)[group]
        parameters, t_ref = model.parameters.unique_parameters, self.t_ref.value
        # A link has the name of what it is linked to.
        places = {id(parameter): i for i, parameter in enumerate(parameters)}
        order = [places[id(getattr(model, name))] for name in self.order]
        moved = places[id(model.t_ref)]
        factors = np.array([_factor(getattr(self, name).unit) for name in self.order])

        def means(values: NDArray) -> tuple[NDArray, NDArray]:
            for parameter, value in zip(parameters, values, strict=True):
                parameter.value = value
            shift = (values[moved] - t_ref) * _DAY
            p, a, b = model._arguments(), start - shift, stop - shift
            out = np.empty((len(a), 1 + len(order)))
            temporal.integrate(model.kind, a, b, p, out)
            ends = np.empty((2 * len(a), 1))
            temporal.evaluate(model.kind, np.concatenate([a, b]), p, ends)
            by_group = np.zeros((len(windows), 1 + len(parameters)))
            np.add.at(by_group[:, 0], group, model._finite(out)[:, 0] * weights)
            for i, place in enumerate(order):
                np.add.at(by_group[:, 1 + place], group, out[:, 1 + i] * weights * factors[i])
            slope = (ends[: len(a), 0] - ends[len(a) :, 0]) * weights * _DAY
            np.add.at(by_group[:, 1 + moved], group, slope)
            return by_group[:, 0], by_group[:, 1:]

        return means

    def sample_time(
        self, n_events: int, t_min: Time, t_max: Time, t_delta=None, random_state=0
    ) -> Time:
        """Draw arrival times from the exact inverse of the integral.

        Parameters
        ----------
        n_events : int
            How many.
        t_min, t_max : `~astropy.time.Time`
            Interval, or intervals in order.
        t_delta : object
            Of Gammapy's interface; there is no time step here.
        random_state : {int, 'random-seed', 'global-rng', `~numpy.random.RandomState`}
            Passed to `~gammapy.utils.random.get_random_state`.

        Returns
        -------
        time : `~astropy.time.Time`, shape (n_events,)
            In no order.

        Raises
        ------
        ConfigError
            If there is no flux in the intervals, it is infinite, or it is negative somewhere.
        """
        if not self.samples_exactly:
            raise ConfigError(f"The flux of {self.tag[0]} is negative at times.")
        start, stop = self._windows(t_min, t_max)
        level = get_random_state(random_state).uniform(size=int(n_events))
        times, total = draw(self.kind, self._arguments(), start.ravel(), stop.ravel(), level)
        self._finite(np.array([total]))
        if len(times) < len(level):
            raise ConfigError(
                f"{self.tag[0]} has no flux between {np.min(t_min).isot} and {np.max(t_max).isot}.",
                remedy="Compare these times, and their scale, with T0 and the onset.",
            )
        return self.reference_time + times * u.s

    @classmethod
    def from_dict(cls, data: dict, **kwargs: Any) -> "TransientModel":
        """Return the model that ``to_dict`` wrote.

        Parameters
        ----------
        data : dict
            Plain values; ``scale`` and the parameter ``t_ref`` have to be there.
        **kwargs : dict
            Passed to the constructor.

        Returns
        -------
        model : TransientModel
            The model.

        Raises
        ------
        ConfigError
            If there is no T0, or it has no scale.
        """
        values = data.get("temporal", data)
        if "t_ref" not in [parameter["name"] for parameter in values["parameters"]]:
            raise ConfigError(f"{cls.tag[0]} has no T0.", remedy="Add the parameter 't_ref'.")
        return super().from_dict(data, **kwargs)

    def _arguments(self) -> NDArray:
        """Return the parameters of the kernel, times in s."""
        for name in self.positive:
            if not getattr(self, name).value > 0:
                raise self._refusal(name, "above zero")
        for name in self.not_negative:
            if not getattr(self, name).value >= 0:
                raise self._refusal(name, "zero or more")
        parameters = [getattr(self, name) for name in self.order]
        return np.array([p.value * _factor(p.unit) for p in parameters])

    def _refusal(self, name: str, wanted: str) -> ConfigError:
        return ConfigError(
            f"{name} of {self.tag[0]} is {getattr(self, name).quantity}.",
            remedy=f"It has to be {wanted}; for a fit, give it a lower limit there.",
        )

    def _seconds(self, time: Time) -> NDArray:
        """Return elapsed times since T0; as differences of two doubles, good to nanoseconds."""
        if not isinstance(time, Time):
            raise ConfigError(
                f"{time!r} is no time.", remedy="Give an astropy Time: T0 + 100 s, for example."
            )
        elapsed = Time(time, scale=self.scale) - self.reference_time
        return np.asarray(elapsed.to_value("s"), dtype=float)

    def _windows(self, t_min: Time, t_max: Time) -> tuple[NDArray, NDArray]:
        start, stop = np.broadcast_arrays(self._seconds(t_min), self._seconds(t_max))
        if np.any(stop < start):
            raise ConfigError("A time interval ends before it begins.")
        return start, stop

    def _integrals(self, t_min: Time, t_max: Time, n_derivatives: int) -> NDArray:
        start, stop = self._windows(t_min, t_max)
        out = np.empty((start.size, 1 + n_derivatives))
        temporal.integrate(self.kind, start.ravel(), stop.ravel(), self._arguments(), out)
        total = float(np.sum(stop - start))
        norms = self._finite(out) / total if total > 0 else np.zeros_like(out)
        return norms.reshape(*start.shape, 1 + n_derivatives)

    def _finite(self, values: NDArray) -> NDArray:
        if np.all(np.isfinite(values)):
            return values
        raise ConfigError(
            f"The flux of {self.tag[0]}, or its integral, is not finite.",
            remedy="If the decay is steep and a time interval begins before T0, give an onset "
            "t_on above zero; otherwise check times and parameters.",
        )


def _factor(unit: u.UnitBase) -> float:
    """Return the seconds in a unit of time, 1 for one without dimension."""
    return float(unit.to(u.s)) if unit.is_equivalent(u.s) else float(unit.to(u.one))
