"""A Gammapy temporal model: the flux of a pulsar as telescopes on Earth see it."""

import warnings
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from gammapy.modeling.models import (
    TEMPORAL_MODEL_REGISTRY,
    PointSpatialModel,
    SkyModel,
    SpectralModel,
    TemporalModel,
)

from ctao_sat._gammapy import get_random_state
from ctao_sat.dl3._sites import site_location
from ctao_sat.errors import CtaoSatWarning, EphemerisError
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._nodes import TimingPolynomials
from ctao_sat.pulsar._template import PulseTemplate
from ctao_sat.pulsar._timing import timing_polynomials

__all__ = ["PulsarTemporalModel", "pulsed_source"]


class PulsarTemporalModel(TemporalModel):
    """Flux over time of a pulsar: the shape of its pulse at the phases of an ephemeris.

    The phases are those at the place of the telescopes, with all delays to the barycentre of the
    solar system. Gammapy's ``TemplatePhaseCurveTemporalModel`` knows no delays: for the Crab
    pulsar its phase drifts by up to five turns within half an hour, as the season has it.

    The mean over a turn is one, so that the spectral model is the mean flux. There are no
    parameters to fit. With ``import ctao_sat.pulsar``, Gammapy reads the model from YAML.

    Parameters
    ----------
    ephemeris : PulsarEphemeris
        Rotation and position of the pulsar.
    template : PulseTemplate
        Shape of the pulse.
    location : `~astropy.coordinates.EarthLocation` or {"north", "south"}
        Where the telescopes stand, or a site of CTAO.
    barycentre : bool
        False takes times for those at the pulsar, as some simulations have them.
    solar_ephem : str
        Solar-system ephemeris, see `assign_phases`. By default "builtin", whatever the par file
        asks for: the same everywhere.

    Attributes
    ----------
    largest_norm : float
        Upper bound of the values.

    Raises
    ------
    ConfigError
        If there is no such site.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat import pulsar
    >>> text = "PSR X\\nRAJ 05:34:31.97\\nDECJ 22:00:52.1\\nF0 29.946923\\nPEPOCH 55555\\n"
    >>> model = pulsar.PulsarTemporalModel(
    ...     pulsar.PulsarEphemeris.from_text(text),
    ...     pulsar.PulseTemplate([0.2, 0.3, 0.4], [0, 5, 0]),
    ...     "north",
    ... )
    >>> values = model(Time("2011-01-01") + [0, 0.001, 0.002] * u.s)
    >>> values.shape, model.largest_norm
    ((3,), 10.0)
    """

    tag: ClassVar[list[str]] = ["PulsarTemporalModel", "pulsar"]

    def __init__(
        self,
        ephemeris: PulsarEphemeris,
        template: PulseTemplate,
        location: EarthLocation | str,
        barycentre: bool = True,
        solar_ephem: str = "builtin",
        **kwargs: Any,
    ):
        self.ephemeris = ephemeris
        self.template = template
        self.location = site_location(location) if isinstance(location, str) else location
        self.barycentre = barycentre
        self.solar_ephem = solar_ephem
        super().__init__(**kwargs)

    @property
    def largest_norm(self) -> float:
        """Upper bound of the values."""
        return self.template.maximum

    def __call__(self, time: Time, energy: u.Quantity | None = None) -> u.Quantity:
        """Return the flux over its mean.

        Parameters
        ----------
        time : `~astropy.time.Time`
            When photons arrive at the telescopes.
        energy : Quantity[energy], optional
            Not used.

        Returns
        -------
        norm : Quantity[dimensionless]
            Of the shape of the times.
        """
        if time.size == 0:
            return np.zeros(time.shape) * u.one
        flat = time.reshape(-1)
        polynomials = self._polynomials(flat.min(), flat.max())
        norm = self.template(polynomials.phases(polynomials.seconds(flat)))
        return norm.reshape(time.shape) * u.one

    def integral(self, t_min: Time, t_max: Time, **kwargs: Any) -> u.Quantity:
        """Return the mean of the flux in time intervals, each weighted by its length.

        Parameters
        ----------
        t_min, t_max : `~astropy.time.Time`
            Begin and end.
        **kwargs : dict
            Not used.

        Returns
        -------
        norm : Quantity[dimensionless]
            The sum over all intervals is the mean flux; near 1 if they hold many turns.
        """
        start, stop = np.atleast_1d(t_min), np.atleast_1d(t_max)
        polynomials = self._polynomials(start.min(), stop.max())
        turns = [self._turns(polynomials, polynomials.seconds(time)) for time in (start, stop)]
        (n_0, phase_0), (n_1, phase_1) = turns
        passed = (n_1 - n_0) + (phase_1 - phase_0)
        flux = self.template.cumulative(phase_1) - self.template.cumulative(phase_0) + (n_1 - n_0)
        duration = (stop - start).to("d")
        norm = flux / passed * duration / self.time_sum(start, stop)
        return norm.to("").reshape(t_min.shape)

    def sample_time(
        self, n_events: int, t_min: Time, t_max: Time, t_delta=None, random_state=0
    ) -> Time:
        """Draw arrival times.

        Parameters
        ----------
        n_events : int
            How many.
        t_min, t_max : `~astropy.time.Time`
            Interval.
        t_delta : object
            Of Gammapy's interface; there is no time step here.
        random_state : {int, 'random-seed', 'global-rng', `~numpy.random.RandomState`}
            Passed to `~gammapy.utils.random.get_random_state`.

        Returns
        -------
        time : `~astropy.time.Time`, shape (n_events,)
            In no order.
        """
        random = get_random_state(random_state)
        polynomials = self._polynomials(t_min, t_max)
        start, stop = polynomials.seconds(Time([t_min, t_max]))
        drawn = np.empty(0)
        while len(drawn) < n_events:
            n = int(1.1 * (n_events - len(drawn)) * self.largest_norm) + 10
            seconds = random.uniform(start, stop, n)
            norm = self.template(polynomials.phases(seconds))
            keep = random.uniform(0.0, self.largest_norm, n) < norm
            drawn = np.concatenate([drawn, seconds[keep]])
        return polynomials.epoch + drawn[:n_events] * u.s

    def to_dict(self, full_output: bool = False) -> dict:
        """Return the model as plain values, as Gammapy writes them to YAML.

        Parameters
        ----------
        full_output : bool
            As for any Gammapy model.

        Returns
        -------
        data : dict
            The par file in it is complete.
        """
        data = super().to_dict(full_output)
        lon, lat, height = self.location.geodetic
        data["temporal"] |= {
            "ephemeris": self.ephemeris.text,
            "phase": self.template.phase.tolist(),
            "norm": self.template.norm.tolist(),
            "location": {
                "lon": float(lon.to_value("deg")),
                "lat": float(lat.to_value("deg")),
                "height": float(height.to_value("m")),
            },
            "barycentre": self.barycentre,
            "solar_ephem": self.solar_ephem,
        }
        return data

    @classmethod
    def from_dict(cls, data: dict, **kwargs: Any) -> "PulsarTemporalModel":
        """Return the model that `to_dict` wrote.

        Parameters
        ----------
        data : dict
            Plain values: ``ephemeris`` (a par file), ``phase`` and ``norm`` (the template),
            ``location`` (``lon`` and ``lat`` in deg, ``height`` in m, or a site of CTAO) and,
            optionally, ``barycentre`` and ``solar_ephem``.
        **kwargs : dict
            Not used.

        Returns
        -------
        model : PulsarTemporalModel
            The model.
        """
        values = data.get("temporal", data)
        location = values["location"]
        if not isinstance(location, str):
            location = EarthLocation.from_geodetic(
                location["lon"] * u.deg, location["lat"] * u.deg, location["height"] * u.m
            )
        return cls(
            PulsarEphemeris.from_text(values["ephemeris"]),
            PulseTemplate(values["phase"], values["norm"]),
            location,
            values.get("barycentre", True),
            values.get("solar_ephem", "builtin"),
            scale=values.get("scale", "utc"),
        )

    def _polynomials(self, start: Time, stop: Time) -> TimingPolynomials:
        # An instant has no length, and rounding must not move its ends outside.
        margin = 0.1 * u.s
        with warnings.catch_warnings():
            # That an ephemeris is old, or its solar system another one, matters to measured
            # events: what is simulated is as the model has it.
            warnings.simplefilter("ignore", CtaoSatWarning)
            return timing_polynomials(
                start - margin,
                stop + margin,
                self.ephemeris,
                self.location,
                solar_ephem=self.solar_ephem,
                barycentre=self.barycentre,
                max_phase_error=np.inf,
                extrapolate=True,
            )

    @staticmethod
    def _turns(polynomials: TimingPolynomials, seconds: np.ndarray) -> tuple:
        return polynomials.pulse_numbers(seconds), polynomials.phases(seconds)


# As Gammapy's own models are known to it.
TEMPORAL_MODEL_REGISTRY.append(PulsarTemporalModel)


def pulsed_source(
    ephemeris: PulsarEphemeris,
    spectrum: SpectralModel,
    template: PulseTemplate,
    location: EarthLocation | str,
    *,
    name: str | None = None,
) -> SkyModel:
    """Return the model of a pulsar, ready to be simulated.

    Parameters
    ----------
    ephemeris : PulsarEphemeris
        Rotation and position.
    spectrum : `~gammapy.modeling.models.SpectralModel`
        Flux, mean of all phases.
    template : PulseTemplate
        Shape of the pulse.
    location : `~astropy.coordinates.EarthLocation` or {"north", "south"}
        Where the telescopes stand, or a site of CTAO.
    name : str, optional
        Default: that of the pulsar.

    Returns
    -------
    model : `~gammapy.modeling.models.SkyModel`
        A point source at the position in the ephemeris, without proper motion.

    Raises
    ------
    EphemerisError
        If the ephemeris has no position.
    ConfigError
        If there is no such site.

    Examples
    --------
    >>> from gammapy.modeling.models import PowerLawSpectralModel
    >>> from ctao_sat import pulsar
    >>> text = "PSR X\\nRAJ 05:34:31.97\\nDECJ 22:00:52.1\\nF0 29.946923\\nPEPOCH 55555\\n"
    >>> model = pulsar.pulsed_source(
    ...     pulsar.PulsarEphemeris.from_text(text),
    ...     PowerLawSpectralModel(index=3),
    ...     pulsar.PulseTemplate([0.2, 0.3, 0.4], [0, 5, 0]),
    ...     "north",
    ... )
    >>> print(model.name, model.position.to_string(precision=2))
    X 83.63 22.01
    """
    direction = ephemeris.solutions[0].position
    if direction is None:
        raise EphemerisError(
            f"The par file of {ephemeris.name} has no position.", remedy="Add RAJ and DECJ."
        )
    position = PointSpatialModel(lon_0=direction.ra, lat_0=direction.dec, frame="icrs")
    return SkyModel(
        spectral_model=spectrum.copy(),
        spatial_model=position,
        temporal_model=PulsarTemporalModel(ephemeris, template, location),
        name=name or ephemeris.name,
    )
