"""Temporal models of single flares, with their rise."""

from typing import ClassVar

from gammapy.modeling import Parameter

from ctao_sat.kernels import temporal_shapes as shapes
from ctao_sat.transients._model import TransientModel
from ctao_sat.transients._reference import SMALLEST, reference_parameter

__all__ = [
    "DoubleExpFlareTemporalModel",
    "FREDTemporalModel",
    "FREDXiTemporalModel",
]


class FREDTemporalModel(TransientModel):
    r"""Pulse with a fast rise and an exponential decay.

    .. math:: f(\tau) = e^{2\mu}\, e^{-\tau_1/\tau - \tau/\tau_2} \quad\text{for}\ \tau > 0,
        \qquad \mu = \sqrt{\tau_1 / \tau_2}

    (Norris et al. 2005, ApJ 627, 324). The peak, 1, is at :math:`\sqrt{\tau_1\tau_2}`.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        Begin of the pulse. Frozen.
    tau1, tau2 : Quantity[time]
        Time scales of the rise and of the decay.
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
    >>> from ctao_sat.transients import FREDTemporalModel
    >>> t0 = Time("2028-01-01", scale="utc")
    >>> FREDTemporalModel(t0, 9 * u.s, 1 * u.s)(t0 + [1, 3, 9] * u.s).value.round(4).tolist()
    [0.0183, 1.0, 0.0183]
    """

    tag: ClassVar[list[str]] = ["FREDTemporalModel", "fred"]
    kind = shapes.FRED
    order = ("tau1", "tau2")
    positive = ("tau1", "tau2")

    t_ref = reference_parameter()
    tau1 = Parameter("tau1", "10 s", min=SMALLEST)
    tau2 = Parameter("tau2", "100 s", min=SMALLEST)

    def __init__(self, t_ref, tau1="10 s", tau2="100 s", *, scale=None):
        super().__init__(t_ref, scale, tau1=tau1, tau2=tau2)


class FREDXiTemporalModel(TransientModel):
    r"""Pulse of `FREDTemporalModel`, by the time of its peak and its sharpness.

    .. math:: f(\tau) = \exp\left[-\xi \left(\tau/T + T/\tau - 2\right)\right]
        \quad\text{for}\ \tau > 0

    with :math:`T = \sqrt{\tau_1 \tau_2}` and :math:`\xi = \sqrt{\tau_1 / \tau_2}` (after Norris et
    al. 2005, ApJ 627, 324). In fits these two depend less on each other than :math:`\tau_1` and
    :math:`\tau_2` do.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        Begin of the pulse. Frozen.
    t_peak : Quantity[time]
        Peak after T0, where the flux is that of the spectral model.
    xi : float
        Above zero; the smaller, the more lopsided.
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
    >>> from ctao_sat.transients import FREDXiTemporalModel
    >>> t0 = Time("2028-01-01", scale="utc")
    >>> FREDXiTemporalModel(t0, 3 * u.s, 3)(t0 + [1, 3, 9] * u.s).value.round(4).tolist()
    [0.0183, 1.0, 0.0183]
    """

    tag: ClassVar[list[str]] = ["FREDXiTemporalModel", "fred-xi"]
    kind = shapes.FRED_XI
    order = ("t_peak", "xi")
    positive = ("t_peak", "xi")

    t_ref = reference_parameter()
    t_peak = Parameter("t_peak", "100 s", min=SMALLEST)
    xi = Parameter("xi", 1.0, min=SMALLEST)

    def __init__(self, t_ref, t_peak="100 s", xi=1.0, *, scale=None):
        super().__init__(t_ref, scale, t_peak=t_peak, xi=xi)


class DoubleExpFlareTemporalModel(TransientModel):
    r"""Flare that rises and decays exponentially.

    .. math:: f(t) = 2 \left[e^{-(t - T_0)/T_r} + e^{(t - T_0)/T_d}\right]^{-1}

    (Abdo et al. 2010, ApJ 722, 520). The flux is that of the spectral model at ``t_ref``; the peak
    is :math:`T_r T_d / (T_r + T_d) \ln(T_d / T_r)` later.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        Time of the flare. Frozen.
    t_rise, t_decay : Quantity[time]
        Time scales.
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
    >>> from ctao_sat.transients import DoubleExpFlareTemporalModel
    >>> t0 = Time("2006-07-28T01:00", scale="utc")
    >>> model = DoubleExpFlareTemporalModel(t0, 100 * u.s, 200 * u.s)
    >>> model(t0 + [-200, 0, 400] * u.s).value.round(3).tolist()
    [0.258, 1.0, 0.27]
    """

    tag: ClassVar[list[str]] = ["DoubleExpFlareTemporalModel", "double-exp-flare"]
    kind = shapes.FLARE
    order = ("t_rise", "t_decay")
    positive = ("t_rise", "t_decay")

    t_ref = reference_parameter()
    t_rise = Parameter("t_rise", "1 h", min=SMALLEST)
    t_decay = Parameter("t_decay", "1 h", min=SMALLEST)

    def __init__(self, t_ref, t_rise="1 h", t_decay="1 h", *, scale=None):
        super().__init__(t_ref, scale, t_rise=t_rise, t_decay=t_decay)
