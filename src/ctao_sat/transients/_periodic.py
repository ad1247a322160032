"""Temporal models of what returns: sines and profiles of orbits."""

from typing import Any, ClassVar

import numpy as np
from gammapy.modeling import Parameter
from numpy.typing import ArrayLike

from ctao_sat.errors import ConfigError
from ctao_sat.kernels import temporal_shapes as shapes
from ctao_sat.transients._model import TransientModel
from ctao_sat.transients._reference import SMALLEST, reference_parameter
from ctao_sat.transients._tables import checked_norms

__all__ = ["OrbitalTemporalModel", "PeriodicTemporalModel"]


class PeriodicTemporalModel(TransientModel):
    r"""Sine around a constant flux.

    .. math:: f(t) = 1 + A \sin\frac{2\pi (t - T_0)}{P}

    As Gammapy's ``SineTemporalModel`` with :math:`\omega = 2\pi/P`, whose integral is wrong.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        Where the sine crosses zero. Frozen.
    amp : float
        Amplitude; above 1 the flux is negative at times, and cannot be drawn from.
    period : Quantity[time]
        Period.
    scale : str, optional
        Time scale of ``t_ref``; default: that of the time given.

    Raises
    ------
    ConfigError
        If T0 has no scale, or a parameter has a value that it cannot have.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat.transients import PeriodicTemporalModel
    >>> t0 = Time("2028-01-01", scale="utc")
    >>> model = PeriodicTemporalModel(t0, amp=0.5, period=4 * u.d)
    >>> model(t0 + [0, 1, 3] * u.d).value.round(6).tolist()
    [1.0, 1.5, 0.5]
    """

    tag: ClassVar[list[str]] = ["PeriodicTemporalModel", "periodic"]
    kind = shapes.SINE
    order = ("amp", "period")
    positive = ("period",)

    t_ref = reference_parameter()
    amp = Parameter("amp", 0.5)
    period = Parameter("period", "1 d", min=SMALLEST)

    def __init__(self, t_ref, amp=0.5, period="1 d", *, scale=None):
        super().__init__(t_ref, scale, amp=amp, period=period)

    @property
    def samples_exactly(self) -> bool:
        """Whether the flux is nowhere negative."""
        return bool(abs(self.amp.value) <= 1)


class OrbitalTemporalModel(TransientModel):
    """Flux over the phase of an orbit, linear between nodes.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        Time of phase 0. Frozen.
    period : Quantity[time]
        Period of the orbit. Frozen.
    phase : array-like of float, shape (n,)
        Nodes in [0, 1), increasing. The last one is joined to the first one, a turn later.
    norm : array-like of float, shape (n,)
        Flux there over that of the spectral model. It is not normalised.
    scale : str, optional
        Time scale of ``t_ref``; default: that of the time given.

    Raises
    ------
    ConfigError
        If T0 has no scale, or nodes or norms are not as they have to be.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat.transients import OrbitalTemporalModel
    >>> t0 = Time("2000-01-01", scale="tdb")
    >>> model = OrbitalTemporalModel(t0, 26.5 * u.d, phase=[0.2, 0.6], norm=[0, 1])
    >>> model(t0 + [5.3, 10.6, 15.9, 23.85, 31.8] * u.d).value.round(6).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    tag: ClassVar[list[str]] = ["OrbitalTemporalModel", "orbital-profile"]
    kind = shapes.ORBIT
    order = ("period",)
    positive = ("period",)

    t_ref = reference_parameter()
    period = Parameter("period", "1 d", min=SMALLEST, frozen=True)

    def __init__(self, t_ref, period, phase: ArrayLike, norm: ArrayLike, *, scale=None):
        self.phase, self.norm = checked_norms(phase, norm)
        if not (self.phase[0] >= 0 and self.phase[-1] < 1):
            raise ConfigError(
                "The phases of an orbital profile are not within [0, 1).",
                remedy="The node at phase 1 is that at phase 0.",
            )
        super().__init__(t_ref, scale, period=period)

    def to_dict(self, full_output: bool = False) -> dict:
        """Return the model as plain values, as Gammapy writes them to YAML.

        Parameters
        ----------
        full_output : bool
            As for any Gammapy model.

        Returns
        -------
        data : dict
            With the profile in it.
        """
        data = super().to_dict(full_output)
        data["temporal"] |= {"phase": self.phase.tolist(), "norm": self.norm.tolist()}
        return data

    @classmethod
    def from_dict(cls, data: dict, **kwargs: Any) -> "OrbitalTemporalModel":
        """Return the model that `to_dict` wrote.

        Parameters
        ----------
        data : dict
            Plain values, with the lists ``phase`` and ``norm``.
        **kwargs : dict
            Passed to the constructor.

        Returns
        -------
        model : OrbitalTemporalModel
            The model.
        """
        values = data.get("temporal", data)
        tables = {"phase": values["phase"], "norm": values["norm"]}
        return super().from_dict(data, **tables, **kwargs)

    def _arguments(self) -> np.ndarray:
        phase, norm = self.phase, self.norm
        joint = np.interp(1.0, [phase[-1], 1.0 + phase[0]], [norm[-1], norm[0]])
        phases = np.concatenate([[0.0], phase[phase > 0], [1.0]])
        norms = np.concatenate([[joint], norm[phase > 0], [joint]])
        return np.concatenate([super()._arguments(), phases, norms])
