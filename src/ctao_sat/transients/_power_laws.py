"""Temporal models of afterglows: power laws, with an onset and breaks."""

from collections.abc import Sequence
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from gammapy.modeling import Parameter, Parameters

from ctao_sat.errors import ConfigError
from ctao_sat.kernels import temporal_shapes as shapes
from ctao_sat.transients._model import TransientModel
from ctao_sat.transients._reference import SMALLEST, reference_parameter

__all__ = [
    "BrokenPowerLawTemporalModel",
    "MultiBrokenPowerLawTemporalModel",
    "OnsetPowerLawTemporalModel",
    "SmoothBrokenPowerLawTemporalModel",
]


class OnsetPowerLawTemporalModel(TransientModel):
    r"""Power law in the time after T0, from an onset on.

    .. math:: f(\tau) = (\tau / t_0)^{-\alpha} \quad\text{for}\ \tau > t_\mathrm{on},
        \quad\text{else}\ 0, \qquad \tau = t - T_0

    The sign is that of afterglows: ``alpha`` is above zero for a decay (in Gammapy's
    ``PowerLawTemporalModel`` it is below).

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        T0. Frozen.
    alpha : float
        Slope of the decay.
    t0 : Quantity[time]
        Where the flux is that of the spectral model. Frozen.
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
    >>> from ctao_sat.transients import OnsetPowerLawTemporalModel
    >>> t0 = Time("2019-01-14T20:57:03", scale="utc")
    >>> decay = OnsetPowerLawTemporalModel(t0, alpha=1.6, t0=100 * u.s, t_on=60 * u.s)
    >>> decay(t0 + [-10, 50, 100, 1000] * u.s).value.round(4).tolist()
    [0.0, 0.0, 1.0, 0.0251]
    """

    tag: ClassVar[list[str]] = ["OnsetPowerLawTemporalModel", "onset-powerlaw"]
    kind = shapes.POWER_LAW
    order = ("t_on", "t0", "alpha")
    positive = ("t0",)
    not_negative = ("t_on",)

    t_ref = reference_parameter()
    alpha = Parameter("alpha", 1.2)
    t0 = Parameter("t0", "1 d", min=SMALLEST, frozen=True)
    t_on = Parameter("t_on", "0 s", min=0, frozen=True)

    def __init__(self, t_ref, alpha=1.2, t0="1 d", t_on="0 s", *, scale=None):
        super().__init__(t_ref, scale, alpha=alpha, t0=t0, t_on=t_on)


class BrokenPowerLawTemporalModel(TransientModel):
    r"""Two power laws in the time after T0 that meet at a break.

    .. math:: f(\tau) = (\tau / t_b)^{-\alpha_1}\ \text{for}\ t_\mathrm{on} < \tau < t_b,
        \quad (\tau / t_b)^{-\alpha_2}\ \text{later}

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        T0. Frozen.
    alpha1, alpha2 : float
        Slopes before and after the break, above zero for a decay.
    t_break : Quantity[time]
        Break after T0, where the flux is that of the spectral model.
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
    >>> from ctao_sat.transients import BrokenPowerLawTemporalModel
    >>> t0 = Time("2022-10-09T13:17:00", scale="utc")
    >>> model = BrokenPowerLawTemporalModel(t0, alpha1=1, alpha2=2, t_break=100 * u.s)
    >>> model(t0 + [50, 100, 200] * u.s).value.round(6).tolist()
    [2.0, 1.0, 0.25]
    """

    tag: ClassVar[list[str]] = ["BrokenPowerLawTemporalModel", "broken-powerlaw"]
    kind = shapes.CHAIN
    order = ("t_on", "alpha1", "t_break", "alpha2")
    positive = ("t_break",)
    not_negative = ("t_on",)

    t_ref = reference_parameter()
    alpha1 = Parameter("alpha1", 1.0)
    alpha2 = Parameter("alpha2", 2.0)
    t_break = Parameter("t_break", "1 d", min=SMALLEST)
    t_on = Parameter("t_on", "0 s", min=0, frozen=True)

    def __init__(self, t_ref, alpha1=1.0, alpha2=2.0, t_break="1 d", t_on="0 s", *, scale=None):
        parts = {"alpha1": alpha1, "alpha2": alpha2, "t_break": t_break, "t_on": t_on}
        super().__init__(t_ref, scale, **parts)


class MultiBrokenPowerLawTemporalModel(TransientModel):
    r"""Any number of power laws in the time after T0 that meet at breaks.

    Between the breaks :math:`t_k` and :math:`t_{k+1}` the flux is a power law of slope
    :math:`-\alpha_k`; it is that of the spectral model at the first break. The parameters are
    ``alpha_0``, ``t_break_1``, ``alpha_1``, ``t_break_2``, …

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        T0. Frozen.
    alphas : sequence of float, shape (n + 1,)
        Slopes, above zero for a decay and below it for a rise.
    t_breaks : Quantity[time], shape (n,)
        Breaks after T0, increasing; one at least. Frozen.
    t_on : Quantity[time]
        Onset after T0, zero or more. Frozen.
    scale : str, optional
        Time scale of ``t_ref``; default: that of the time given.
    **parameters : dict
        The same, each by its name, as Gammapy reads models.

    Raises
    ------
    ConfigError
        If T0 has no scale, the breaks do not increase, or there is not one slope more than breaks.

    Examples
    --------
    The TeV light curve of GRB 221009A (LHAASO, Science 380, 1390), after its own onset:

    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat.transients import MultiBrokenPowerLawTemporalModel
    >>> onset = Time("2022-10-09T13:16:59.99", scale="utc") + 226 * u.s
    >>> model = MultiBrokenPowerLawTemporalModel(
    ...     onset, [-14.9, -1.82, 1.115, 2.21], [4.85, 15.4, 670] * u.s
    ... )
    >>> model(onset + [4.85, 15.4, 670, 2000] * u.s).value.round(3).tolist()
    [1.0, 8.189, 0.122, 0.011]
    """

    tag: ClassVar[list[str]] = ["MultiBrokenPowerLawTemporalModel", "multi-broken-powerlaw"]
    kind = shapes.CHAIN
    not_negative = ("t_on",)

    def __init__(
        self,
        t_ref: Any,
        alphas: Sequence[float] | None = None,
        t_breaks: u.Quantity | None = None,
        t_on: Any = "0 s",
        *,
        scale: str | None = None,
        **parameters: Any,
    ):
        for k, alpha in enumerate([] if alphas is None else alphas):
            parameters[f"alpha_{k}"] = alpha
        for k, time in enumerate([] if t_breaks is None else np.ravel(t_breaks), start=1):
            parameters[f"t_break_{k}"] = time
        n = sum(name.startswith("t_break_") for name in parameters)
        self.default_parameters = _chain_parameters(n)
        self.order = tuple(self.default_parameters.names[1:])
        self.positive = self.order[2::2]
        expected = set(self.order[1:])
        if n == 0 or set(parameters) != expected:
            raise ConfigError(
                f"{self.tag[0]} has the parameters {', '.join(sorted(parameters)) or 'none'}.",
                remedy="Give one break at least, and one slope more than there are breaks.",
            )
        super().__init__(t_ref, scale, t_on=t_on, **parameters)

    @classmethod
    def from_dict(cls, data: dict, **kwargs: Any) -> "MultiBrokenPowerLawTemporalModel":
        """Return the model that ``to_dict`` wrote.

        Parameters
        ----------
        data : dict
            Plain values, with all parameters and ``scale``.
        **kwargs : dict
            Passed to the constructor.

        Returns
        -------
        model : MultiBrokenPowerLawTemporalModel
            The model.

        Raises
        ------
        ConfigError
            If a parameter or the scale is missing.
        """
        values = data.get("temporal", data)
        given = {parameter["name"]: parameter for parameter in values["parameters"]}
        if "t_ref" not in given:
            raise ConfigError(f"{cls.tag[0]} has no T0.", remedy="Add the parameter 't_ref'.")
        defaults = _chain_parameters(sum(name.startswith("t_break_") for name in given))
        # What is not written, whether a parameter is frozen for example, is as by default.
        known = {default.name: default.to_dict() for default in defaults}
        merged = [known.get(name, {}) | parameter for name, parameter in given.items()]
        parameters = Parameters.from_dict(merged)
        return cls.from_parameters(parameters, scale=values.get("scale"), **kwargs)

    def _arguments(self):
        p = super()._arguments()
        if not (p[2::2][1:] > p[2::2][:-1]).all():
            raise ConfigError(
                f"The breaks of {self.tag[0]} do not increase.",
                remedy="Sort them; for a fit, give them limits that keep them apart.",
            )
        return p


def _chain_parameters(n: int) -> Parameters:
    """Return the parameters of a chain of n breaks, in the order of the kernel after ``t_ref``."""
    parameters = [reference_parameter(), Parameter("t_on", "0 s", min=0, frozen=True)]
    parameters.append(Parameter("alpha_0", 1.0))
    for k in range(1, n + 1):
        parameters.append(Parameter(f"t_break_{k}", f"{k} d", min=SMALLEST, frozen=True))
        parameters.append(Parameter(f"alpha_{k}", 1.0))
    return Parameters(parameters)


class SmoothBrokenPowerLawTemporalModel(TransientModel):
    r"""Two power laws in the time after T0 with a smooth transition.

    .. math:: f(\tau) = 2^{1/s} \left[x^{s\alpha_1} + x^{s\alpha_2}\right]^{-1/s},
        \qquad x = \tau / t_b

    (Beuermann et al. 1999, A&A 352, L26). With ``smoothness`` :math:`s` above zero the flux goes
    from the smaller slope to the larger one, with one below zero the other way round; the larger
    its absolute value is, the sharper is the break.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        T0. Frozen.
    alpha1, alpha2 : float
        Slopes, above zero for a decay.
    t_break : Quantity[time]
        Break after T0, where the flux is that of the spectral model.
    smoothness : float
        Not zero. Frozen.
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
    >>> from ctao_sat.transients import SmoothBrokenPowerLawTemporalModel
    >>> t0 = Time("2022-10-09T13:17:00", scale="utc")
    >>> model = SmoothBrokenPowerLawTemporalModel(t0, alpha1=-2, alpha2=1, t_break=100 * u.s)
    >>> model(t0 + [50, 100, 200] * u.s).value.round(3).tolist()
    [0.444, 1.0, 0.889]
    """

    tag: ClassVar[list[str]] = ["SmoothBrokenPowerLawTemporalModel", "smooth-broken-powerlaw"]
    kind = shapes.SMOOTH
    order = ("t_on", "alpha1", "alpha2", "t_break", "smoothness")
    positive = ("t_break",)
    not_negative = ("t_on",)

    t_ref = reference_parameter()
    alpha1 = Parameter("alpha1", 1.0)
    alpha2 = Parameter("alpha2", 2.0)
    t_break = Parameter("t_break", "1 d", min=SMALLEST)
    smoothness = Parameter("smoothness", 1.0, frozen=True)
    t_on = Parameter("t_on", "0 s", min=0, frozen=True)

    def __init__(
        self,
        t_ref,
        alpha1=1.0,
        alpha2=2.0,
        t_break="1 d",
        smoothness=1.0,
        t_on="0 s",
        *,
        scale=None,
    ):
        parts = {"alpha1": alpha1, "alpha2": alpha2, "t_break": t_break, "t_on": t_on}
        super().__init__(t_ref, scale, smoothness=smoothness, **parts)

    def _arguments(self):
        if self.smoothness.value == 0:
            raise self._refusal("smoothness", "other than zero")
        return super()._arguments()
