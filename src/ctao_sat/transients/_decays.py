"""Temporal models of other decays: exponential, tidal disruption, nova."""

from typing import ClassVar

from gammapy.modeling import Parameter

from ctao_sat.kernels import temporal_shapes as shapes
from ctao_sat.transients._model import TransientModel
from ctao_sat.transients._reference import SMALLEST, reference_parameter

__all__ = [
    "DelayedNovaTemporalModel",
    "OnsetExpDecayTemporalModel",
    "TidalDisruptionTemporalModel",
]


class OnsetExpDecayTemporalModel(TransientModel):
    r"""Exponential decay from an onset on.

    .. math:: f(\tau) = e^{-\tau / t_0} \quad\text{for}\ \tau > t_\mathrm{on},
        \quad\text{else}\ 0

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        T0. Frozen.
    t0 : Quantity[time]
        Time scale of the decay.
    t_on : Quantity[time]
        Onset after T0, zero or more. Frozen.
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
    >>> from ctao_sat.transients import OnsetExpDecayTemporalModel
    >>> t0 = Time("2028-01-01", scale="tt")
    >>> OnsetExpDecayTemporalModel(t0, 100 * u.s)(t0 + [-100, 100] * u.s).value.round(4).tolist()
    [0.0, 0.3679]
    """

    tag: ClassVar[list[str]] = ["OnsetExpDecayTemporalModel", "onset-exp-decay"]
    kind = shapes.EXPONENTIAL
    order = ("t_on", "t0")
    positive = ("t0",)
    not_negative = ("t_on",)

    t_ref = reference_parameter()
    t0 = Parameter("t0", "1 d", min=SMALLEST)
    t_on = Parameter("t_on", "0 s", min=0, frozen=True)

    def __init__(self, t_ref, t0="1 d", t_on="0 s", *, scale=None):
        super().__init__(t_ref, scale, t0=t0, t_on=t_on)


class TidalDisruptionTemporalModel(TransientModel):
    r"""Decay after a star was torn apart: matter falls back ever slower.

    .. math:: f(\tau) = (1 + \tau / t_\mathrm{fb})^{-\alpha} \quad\text{for}\ \tau > 0,
        \qquad \alpha = 5/3

    (Rees 1988, Nature 333, 523; in this form, from the peak on, van Velzen et al. 2021, ApJ 908,
    4).

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        Time of the peak. Frozen.
    t_fb : Quantity[time]
        Time scale of the fallback.
    alpha : float
        Slope at late times. Frozen.
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
    >>> from ctao_sat.transients import TidalDisruptionTemporalModel
    >>> peak = Time("2028-01-01", scale="utc")
    >>> TidalDisruptionTemporalModel(peak, 40 * u.d)(peak + [0.0, 280.0] * u.d).value.tolist()
    [0.0, 0.03125]
    """

    tag: ClassVar[list[str]] = ["TidalDisruptionTemporalModel", "tidal-disruption"]
    kind = shapes.TIDAL
    order = ("t_fb", "alpha")
    positive = ("t_fb",)

    t_ref = reference_parameter()
    t_fb = Parameter("t_fb", "30 d", min=SMALLEST)
    alpha = Parameter("alpha", 5 / 3, frozen=True)

    def __init__(self, t_ref, t_fb="30 d", alpha=5 / 3, *, scale=None):
        super().__init__(t_ref, scale, t_fb=t_fb, alpha=alpha)


class DelayedNovaTemporalModel(TransientModel):
    r"""Rise after a delay, times a power-law decay.

    .. math:: f(\tau) = \left[1 - e^{-(\tau - t_\mathrm{on}) / t_\mathrm{rise}}\right]
        (\tau / t_0)^{-\alpha} \quad\text{for}\ \tau > t_\mathrm{on}, \quad\text{else}\ 0

    The decay is that of RS Oph in 2021 (H.E.S.S., Science 376, 77: slopes of -1.43 ± 0.18, and of
    -1.31 ± 0.07 in Fermi-LAT); the rise lets particles take their time to be accelerated.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        Time of the outburst. Frozen.
    alpha : float
        Slope of the decay, above zero.
    t_rise : Quantity[time]
        Time scale of the rise.
    t0 : Quantity[time]
        Where the power law is one. Frozen.
    t_on : Quantity[time]
        Onset after T0, zero or more. Frozen.
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
    >>> from ctao_sat.transients import DelayedNovaTemporalModel
    >>> t0 = Time("2021-08-08T22:20", scale="utc")
    >>> model = DelayedNovaTemporalModel(t0, alpha=1.43, t_rise=2 * u.d)
    >>> model(t0 + [1, 3, 10] * u.d).value.round(3).tolist()
    [0.393, 0.161, 0.037]
    """

    tag: ClassVar[list[str]] = ["DelayedNovaTemporalModel", "delayed-nova"]
    kind = shapes.NOVA
    order = ("t_on", "t_rise", "t0", "alpha")
    positive = ("t_rise", "t0")
    not_negative = ("t_on",)

    t_ref = reference_parameter()
    alpha = Parameter("alpha", 1.4)
    t_rise = Parameter("t_rise", "1 d", min=SMALLEST)
    t0 = Parameter("t0", "1 d", min=SMALLEST, frozen=True)
    t_on = Parameter("t_on", "0 s", min=0, frozen=True)

    def __init__(self, t_ref, alpha=1.4, t_rise="1 d", t0="1 d", t_on="0 s", *, scale=None):
        super().__init__(t_ref, scale, alpha=alpha, t_rise=t_rise, t0=t0, t_on=t_on)
