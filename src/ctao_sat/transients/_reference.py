"""The time T0 of an event, which is nothing without its time scale."""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.time import Time
from astropy.time.core import ScaleValueError
from gammapy.modeling import Parameter

from ctao_sat.errors import ConfigError

__all__ = ["SMALLEST", "reference_parameter", "reference_time"]

# Lower limit, in their units, of parameters that have to be above zero: fits come to their limits.
SMALLEST = 1e-12

_REMEDY = (
    "Give t_ref=Time(…, scale='utc') as T0 is published, or name the scale of the number with "
    "scale='utc' or scale='tt': they are 69 s apart."
)


def reference_parameter() -> Parameter:
    """Return the parameter ``t_ref``, an MJD in the scale of its model.

    Returns
    -------
    t_ref : `~gammapy.modeling.Parameter`
        Frozen. Its value stands for nothing: models ask for T0.
    """
    return Parameter("t_ref", 51544.0, unit="d", frozen=True)


def reference_time(t_ref: Any, scale: str | None) -> tuple[Any, str]:
    """Return T0 as Gammapy keeps it, and its time scale.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, Quantity[time], float or `~gammapy.modeling.Parameter`
        T0; all but the first are an MJD, and mean nothing without a scale.
    scale : str or None
        Time scale of the model; None takes that of ``t_ref``.

    Returns
    -------
    t_ref : Quantity[time] or `~gammapy.modeling.Parameter`
        MJD in that scale.
    scale : str
        One of astropy's time scales.

    Raises
    ------
    ConfigError
        If T0 has no scale, is not one finite time, or is in local time.
    """
    if scale is None and not isinstance(t_ref, Time):
        raise ConfigError(f"T0 has no time scale: t_ref={_shown(t_ref)}.", remedy=_REMEDY)
    scale = scale or str(t_ref.scale)
    if scale not in Time.SCALES or scale == "local":
        known = ", ".join(sorted(set(Time.SCALES) - {"local"}))
        raise ConfigError(f"'{scale}' is no time scale for T0.", remedy=f"Choose from: {known}.")
    if isinstance(t_ref, Parameter):
        return t_ref, scale
    try:
        mjd = Time(t_ref, scale=scale).mjd if isinstance(t_ref, Time) else u.Quantity(t_ref, "d")
    except (ScaleValueError, TypeError, ValueError) as error:
        raise ConfigError(
            f"T0 cannot be read: t_ref={_shown(t_ref)}, scale='{scale}' ({error}).", remedy=_REMEDY
        ) from error
    value = u.Quantity(mjd, "d")
    if value.shape or not np.isfinite(value):
        raise ConfigError(f"T0 is not one time: t_ref={_shown(t_ref)}.", remedy=_REMEDY)
    return value, scale


def _shown(t_ref: Any) -> str:
    return str(t_ref.quantity if isinstance(t_ref, Parameter) else t_ref)
