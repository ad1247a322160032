"""Instrument responses as plain tables that kernels can interpolate.

Gammapy interpolates a response multilinearly between the centres of its bins, in the logarithm of
an energy and, for backgrounds, of the value; outside of the bins it is a fill value. The same is
said here with arrays. What a table cannot say exactly is named by `unhandled`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.irf import (
    IRF,
    PSF3D,
    Background2D,
    Background3D,
    EffectiveAreaTable2D,
    EnergyDependentMultiGaussPSF,
    EnergyDispersion2D,
)
from numpy.typing import NDArray

from ctao_sat._gammapy import interpolation_scale
from ctao_sat.kernels import interpolation as kernels

__all__ = ["IRFTable", "irf_table", "parameter_table", "unhandled", "without_gaps"]

_HANDLED = (
    EffectiveAreaTable2D,
    EnergyDispersion2D,
    PSF3D,
    EnergyDependentMultiGaussPSF,
    Background2D,
    Background3D,
)
_OPTIONS = {"bounds_error", "fill_value", "values_scale"}
_SPATIAL = ("offset", "fov_lon", "fov_lat")


@dataclass(frozen=True)
class IRFTable:
    """A response as arrays.

    Attributes
    ----------
    irf : `~gammapy.irf.IRF`
        The response.
    values : array, shape (n_1, ..., n_nodes)
        Its values, or their logarithms; the nodes of the field of view come last, flattened.
    names : tuple of str
        The other axes, in the order of the first dimensions.
    spatial : tuple of str
        Axes of the field of view.
    logarithmic : bool
        Whether the values are logarithms.
    fill : float
        What the response is outside of its bins; NaN if it is extrapolated.
    """

    irf: IRF
    values: NDArray
    names: tuple[str, ...]
    spatial: tuple[str, ...]
    logarithmic: bool
    fill: float

    def nodes(self, name: str) -> tuple[NDArray, NDArray]:
        """Return centres, as interpolated, and edges of an axis in its unit."""
        axis = self.irf.axes[name]
        centers = np.asarray(interpolation_scale(axis.interp)(axis.center), float)
        return centers, axis.edges.value.astype(float)

    def at(self, coordinates: Mapping[str, u.Quantity]) -> tuple[NDArray, NDArray]:
        """Interpolate to coordinates on all axes but those of the field of view.

        Parameters
        ----------
        coordinates : mapping of str to Quantity, shape (m,)
            One-dimensional; the response is taken on their product.

        Returns
        -------
        table : array, shape (m_1, ..., n_nodes)
            Values, or their logarithms.
        usable : array of bool, shape (m_1, ...)
            Whether the coordinates are inside of the response.
        """
        table, inside = self.values, []
        for dimension, name in enumerate(self.names):
            axis = self.irf.axes[name]
            x = u.Quantity(coordinates[name], axis.unit)
            points, edges = self.nodes(name)
            scaled = np.asarray(interpolation_scale(axis.interp)(x), float)
            node, weight, _ = kernels.linear(points, edges, scaled)
            shape = [1] * table.ndim
            shape[dimension] = -1
            table = sum(
                table.take(node[:, side], axis=dimension) * weight[:, side].reshape(shape)
                for side in (0, 1)
            )
            inside.append((x.value >= edges[0]) & (x.value <= edges[-1]))
        return np.ascontiguousarray(table, float), self._usable(inside)

    def _usable(self, inside: list[NDArray]) -> NDArray:
        # Gammapy lets one of the two axes of an energy dispersion be extrapolated.
        combine = np.logical_or if isinstance(self.irf, EnergyDispersion2D) else np.logical_and
        usable = inside[0]
        for other in inside[1:]:
            usable = combine(usable[..., None], other)
        return usable


def unhandled(irf: IRF) -> str:
    """Return why a response cannot be a table, or nothing if it can.

    Parameters
    ----------
    irf : `~gammapy.irf.IRF`
        The response; or a map, or None, which are no tables.

    Returns
    -------
    reason : str
        Empty if it can.
    """
    kind = type(irf).__name__
    if type(irf) not in _HANDLED:
        return f"{kind} is not compiled"
    other = set(irf.interp_kwargs) - _OPTIONS
    if other:
        return f"{kind} is interpolated with '{min(other)}'"
    scale = irf.interp_kwargs.get("values_scale", "lin")
    if scale not in ("lin", "log"):
        return f"{kind} is interpolated in '{scale}'"
    if max(irf.axes.shape) == 1:
        return f"{kind} has a single value"
    for axis in irf.axes:
        spatial = axis.name in _SPATIAL
        if axis.interp not in ("lin", "log") or (spatial and axis.interp != "lin"):
            return f"{kind} is interpolated in '{axis.interp}' of {axis.name}"
        if not np.all(np.diff(axis.center.value) > 0):
            return f"{kind} has an axis {axis.name} that does not increase"
    return ""


def irf_table(irf: IRF) -> IRFTable:
    """Return a response as a table.

    Parameters
    ----------
    irf : `~gammapy.irf.IRF`
        One for which `unhandled` returns nothing, with values rather than parameters.

    Returns
    -------
    table : IRFTable
        It shares nothing with the response that could be changed.
    """
    names = list(irf.axes.names)
    spatial = tuple(name for name in names if name in _SPATIAL)
    others = tuple(name for name in names if name not in _SPATIAL)
    scale = irf.interp_kwargs.get("values_scale", "lin")
    # In the precision of the data, as Gammapy does, then in double.
    values = np.asarray(interpolation_scale(scale)(irf.quantity)).astype(float)
    values = values.transpose([names.index(name) for name in (*others, *spatial)])
    fill = irf.interp_kwargs["fill_value"]
    return IRFTable(
        irf,
        values.reshape(*values.shape[: len(others)], -1),
        others,
        spatial,
        scale == "log",
        np.nan if fill is None else float(fill),
    )


def parameter_table(psf: EnergyDependentMultiGaussPSF, name: str) -> IRFTable:
    """Return one of the parameters of a point spread function as a table.

    Parameters
    ----------
    psf : `~gammapy.irf.EnergyDependentMultiGaussPSF`
        The point spread function.
    name : str
        Name of the parameter.

    Returns
    -------
    table : IRFTable
        Extrapolated without an end, as Gammapy does with parameters.
    """
    values = psf.quantity[name].value.astype(float)
    return IRFTable(psf, values, ("energy_true",), ("offset",), False, np.nan)


def without_gaps(bkg: Background2D | Background3D) -> Background2D | Background3D:
    """Return a background whose empty energies are interpolated between those around.

    This is what Gammapy does in place, ``interp_missing_data("energy")``.

    Parameters
    ----------
    bkg : `~gammapy.irf.Background2D` or `~gammapy.irf.Background3D`
        It is not changed.

    Returns
    -------
    bkg : `~gammapy.irf.Background2D` or `~gammapy.irf.Background3D`
        With new data.
    """
    scale = interpolation_scale(bkg.interp_kwargs.get("values_scale", "lin"))
    missing = ~np.isfinite(bkg.data) | (bkg.data == 0)
    shape = (len(bkg.data), -1)
    columns = np.asarray(scale(bkg.data)).astype(float).reshape(shape)
    values, filled = kernels.fill_missing(columns, missing.reshape(shape))
    data = bkg.data.copy()
    filled = filled.reshape(data.shape)
    data[filled] = scale.inverse(values.reshape(data.shape)[filled])
    return type(bkg)(
        axes=bkg.axes,
        data=data,
        unit=bkg.unit,
        is_pointlike=bkg.is_pointlike,
        fov_alignment=bkg.fov_alignment,
        meta=bkg.meta,
        interp_kwargs=bkg.interp_kwargs,
    )
