"""A temporal model of any light curve, given as a table."""

from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astropy.time import Time
from gammapy.modeling.models import LightCurveTemplateTemporalModel
from numpy.typing import ArrayLike, NDArray

from ctao_sat.errors import ConfigError
from ctao_sat.kernels import temporal_shapes as shapes
from ctao_sat.transients._model import TransientModel
from ctao_sat.transients._reference import reference_parameter

__all__ = ["TableTemporalModel", "checked_norms"]


def checked_norms(nodes: ArrayLike, norm: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return nodes and norms as arrays that cannot be written to.

    Parameters
    ----------
    nodes, norm : array-like of float, shape (n,)
        Nodes, and the flux there.

    Returns
    -------
    nodes, norm : array, shape (n,)
        Copies.

    Raises
    ------
    ConfigError
        If there are fewer than two nodes, they do not increase, or a norm is negative, not finite
        or has a unit.
    """
    if not u.Quantity(norm).unit.is_equivalent(u.one):
        raise ConfigError(
            f"The norms of a light curve have the unit {u.Quantity(norm).unit}.",
            remedy="Give fluxes over that of the spectral model: numbers without a unit.",
        )
    nodes, norm = np.array(nodes, dtype=float), np.array(u.Quantity(norm).to_value(u.one))
    if nodes.ndim != 1 or nodes.shape != norm.shape or len(nodes) < 2:
        raise ConfigError(
            f"A light curve has nodes of the shape {nodes.shape} and norms of {norm.shape}.",
            remedy="Give two lists of the same length, with two nodes at least.",
        )
    # Written so that a NaN is refused.
    if not (np.all(np.isfinite(nodes)) and np.all(np.diff(nodes) > 0)):
        raise ConfigError("The nodes of a light curve do not increase.", remedy="Sort them.")
    if not (np.all(np.isfinite(norm)) and np.all(norm >= 0)):
        raise ConfigError(
            "A norm of a light curve is negative or not finite.",
            remedy="Give fluxes over that of the spectral model; leave gaps out.",
        )
    nodes.setflags(write=False)
    norm.setflags(write=False)
    return nodes, norm


class TableTemporalModel(TransientModel):
    """Light curve from a table, linear between times, zero before the first and after the last.

    As Gammapy's ``LightCurveTemplateTemporalModel`` of one energy, whose integral is a sum of
    rectangles, and which goes on outside of the table along its last lines. The table is part of
    the YAML, not a file of its own.

    Parameters
    ----------
    t_ref : `~astropy.time.Time`, or MJD with a scale
        T0. Frozen.
    time : Quantity[time], shape (n,)
        Times after T0, increasing.
    norm : array-like of float, shape (n,)
        Flux there over that of the spectral model.
    scale : str, optional
        Time scale of ``t_ref``; default: that of the time given.

    Raises
    ------
    ConfigError
        If T0 has no scale, or times or norms are not as they have to be.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat.transients import TableTemporalModel
    >>> t0 = Time("2028-01-01", scale="utc")
    >>> model = TableTemporalModel(t0, [0, 10, 30] * u.s, [0, 2, 0])
    >>> model(t0 + [5, 10, 20, 40] * u.s).value.round(9).tolist()
    [1.0, 2.0, 1.0, 0.0]
    >>> float(model.integral(t0, t0 + 30 * u.s).round(6))
    1.0
    """

    tag: ClassVar[list[str]] = ["TableTemporalModel", "table"]
    kind = shapes.TABLE
    order = ()

    t_ref = reference_parameter()

    def __init__(self, t_ref, time: u.Quantity, norm: ArrayLike, *, scale=None):
        if isinstance(time, Time) or not u.Quantity(time).unit.is_equivalent(u.s):
            raise ConfigError(
                "The times of a light curve have no unit of time.",
                remedy="Give times after T0: [0, 10] * u.s, or times - T0.",
            )
        nodes, self.norm = checked_norms(u.Quantity(time).value, norm)
        self.time = u.Quantity(nodes, u.Quantity(time).unit, copy=False)
        super().__init__(t_ref, scale)

    @classmethod
    def from_gammapy(cls, model: LightCurveTemplateTemporalModel) -> "TableTemporalModel":
        """Return the light curve of one of Gammapy's templates.

        Parameters
        ----------
        model : `~gammapy.modeling.models.LightCurveTemplateTemporalModel`
            Without energies.

        Returns
        -------
        model : TableTemporalModel
            The same within the times of the table.

        Raises
        ------
        ConfigError
            If the template depends on energy.
        """
        if model.is_energy_dependent:
            raise ConfigError(
                "A light curve that depends on energy is no table of times.",
                remedy="Use Gammapy's template; it can be simulated, not fitted.",
            )
        axis = model.map.geom.axes["time"]
        return cls(model.reference_time, axis.center, model.map.data.ravel())

    def to_dict(self, full_output: bool = False) -> dict:
        """Return the model as plain values, as Gammapy writes them to YAML.

        Parameters
        ----------
        full_output : bool
            As for any Gammapy model.

        Returns
        -------
        data : dict
            With the table in it.
        """
        data = super().to_dict(full_output)
        time = {"data": self.time.value.tolist(), "unit": self.time.unit.to_string()}
        data["temporal"] |= {"time": time, "norm": self.norm.tolist()}
        return data

    @classmethod
    def from_dict(cls, data: dict, **kwargs: Any) -> "TableTemporalModel":
        """Return the model that `to_dict` wrote.

        Parameters
        ----------
        data : dict
            Plain values, with ``time`` (lists ``data`` and a ``unit``) and the list ``norm``.
        **kwargs : dict
            Passed to the constructor.

        Returns
        -------
        model : TableTemporalModel
            The model.
        """
        values = data.get("temporal", data)
        time = u.Quantity(values["time"]["data"], values["time"]["unit"])
        return super().from_dict(data, time=time, norm=values["norm"], **kwargs)

    def _arguments(self) -> NDArray:
        return np.concatenate([self.time.to_value("s"), self.norm])
