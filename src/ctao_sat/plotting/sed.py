"""The spectral energy distribution: flux points, limits and the fitted model."""

from typing import TypeAlias

import astropy.units as u
import numpy as np
from gammapy.estimators import FluxPoints
from gammapy.modeling.models import SkyModel, SpectralModel
from matplotlib.axes import Axes

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import _style as style
from ctao_sat.plotting._flux import Points, limit_label, points

__all__ = ["plot_sed"]

Model: TypeAlias = SkyModel | SpectralModel


def plot_sed(
    flux_points: FluxPoints,
    model: Model | None,
    *,
    reference: Model | None = None,
    energy_flux_unit: str = "TeV cm-2 s-1",
    ax: Axes | None = None,
) -> Axes:
    r"""Plot flux points as :math:`E^2 dN/dE`, upper limits and a model with its error.

    A bin is drawn as an upper limit where ``flux_points.is_ul`` says so and the limit is known, or
    where its flux is not positive: a logarithmic axis has no place for it. The band is the central
    68.3 % of the model's values for parameters drawn from its covariance
    (`~gammapy.modeling.models.SpectralModel.evaluate_error`).

    Parameters
    ----------
    flux_points : FluxPoints, shape (n,)
        With an energy axis alone.
    model : SkyModel, SpectralModel or None
        What was fitted; its covariance gives the band. Left out if it lies two decades below
        the points, or is negative.
    reference : SkyModel or SpectralModel, optional
        What to compare with, dashed: the simulated truth, or a published spectrum. The name of a
        sky model becomes a part of its label.
    energy_flux_unit : str, optional
        Unit of the flux axis, an energy flux.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Raises
    ------
    ConfigError
        If the flux points depend on anything else than energy.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import Table
    >>> from gammapy.estimators import FluxPoints
    >>> from gammapy.modeling.models import PowerLawSpectralModel
    >>> from ctao_sat.plotting import plot_sed
    >>> table = Table({"e_ref": [1, 10] * u.TeV, "e2dnde": [3, 1] * u.Unit("1e-12 TeV cm-2 s-1")})
    >>> table.meta["SED_TYPE"] = "e2dnde"
    >>> ax = plot_sed(FluxPoints.from_table(table), PowerLawSpectralModel())
    >>> ax.get_xlabel()
    'Energy [TeV]'
    """
    names = list(flux_points.geom.axes.names)
    if names != ["energy"]:
        raise ConfigError(
            f"A spectrum has an energy axis alone; these flux points have {names}.",
            remedy="Plot points over time with plot_light_curve.",
        )
    ax = style.new_axes() if ax is None else ax
    had_data = ax.has_data()
    unit = u.Unit(energy_flux_unit)
    drawn = points(flux_points, "e2dnde", unit)
    centre = flux_points.energy_ref.to_value("TeV")
    edges = flux_points.energy_axis.edges.to_value("TeV")
    low, high = edges[0] / 1.25, edges[-1] * 1.25
    energy = np.geomspace(low, high, 200) * u.TeV

    data = _draw_points(ax, drawn, centre, edges, limit_label(flux_points))
    # Two decades below the data a curve tells nothing, and would squeeze them.
    floor = data.min() / 100.0 if data.size else 0.0
    curves = [
        _draw_model(ax, model, energy, unit, floor),
        _draw_reference(ax, reference, energy, unit),
    ]
    # Ranges first: matplotlib cannot find any of its own around a single value.
    style.widen(ax, "x", low, high, had_data=had_data)
    _set_flux_range(ax, np.concatenate([data, *curves]), floor, had_data)
    style.log_axis(ax, "x", style.plain)
    style.log_axis(ax, "y")
    ax.set_xlabel("Energy [TeV]")
    ax.set_ylabel(rf"$E^2\,\mathrm{{d}}N/\mathrm{{d}}E$ [{style.unit_label(energy_flux_unit)}]")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def _spectral(model: Model) -> SpectralModel:
    return model.spectral_model if isinstance(model, SkyModel) else model


def _draw_points(ax: Axes, drawn: Points, centre, edges, label: str) -> np.ndarray:
    """Draw points and limits; return the values that have to be inside of the axes."""
    detected = drawn.measured & (drawn.value > 0)
    with np.errstate(invalid="ignore"):
        limited = ~detected & (drawn.limit > 0)
    xerr = np.array([centre - edges[:-1], edges[1:] - centre])
    if detected.any():
        ax.errorbar(
            centre[detected],
            drawn.value[detected],
            (drawn.below[detected], drawn.above[detected]),
            xerr[:, detected],
            "o",
            color=style.BLUE,
            label="Flux points",
            zorder=3,
            **style.POINTS,
        )
    if limited.any():
        limit = drawn.limit[limited]
        style.draw_limits(
            ax,
            centre[limited],
            limit,
            # An arrow of the same length everywhere on a logarithmic axis.
            length=0.45 * limit,
            xerr=xerr[:, limited],
            colour=style.BLUE,
            label=label,
        )
    if not detected.any() and not limited.any():
        style.say_empty(ax, "No flux point could be computed")
    lowest = np.maximum(drawn.value - drawn.below, 0.4 * drawn.value)[detected]
    highest = (drawn.value + drawn.above)[detected]
    return np.concatenate([lowest, highest, drawn.limit[limited], 0.5 * drawn.limit[limited]])


def _draw_model(ax: Axes, model: Model | None, energy, unit, floor: float) -> np.ndarray:
    if model is None:
        return np.array([])
    spectrum = _spectral(model)
    scale = energy**2
    value = (spectrum(energy) * scale).to_value(unit)
    if not (value > floor).any():
        return np.array([])
    label = "Model"
    if _has_error(spectrum):
        # Badly known parameters overflow far from the data; matplotlib leaves such parts out.
        with np.errstate(over="ignore", invalid="ignore"):
            _, below, above = spectrum.evaluate_error(energy)
            below, above = ((error * scale).to_value(unit) for error in (below, above))
        ax.fill_between(
            energy.value,
            value - below,
            value + above,
            color=style.VERMILLION,
            alpha=0.25,
            linewidth=0,
        )
        label = r"Model $\pm 1\sigma$"
    ax.plot(energy.value, value, color=style.VERMILLION, linewidth=1.4, label=label)
    return value


def _has_error(spectrum: SpectralModel) -> bool:
    """Tell whether a band can be drawn: some error is known, and the covariance is one.

    A fit that did not converge can leave a matrix that no set of parameters can be drawn from.
    """
    error = np.array([parameter.error for parameter in spectrum.parameters])
    # Gammapy's covariance has ones in the place of NaN.
    if not np.isfinite(error).all() or not (error > 0).any():
        return False
    known = error > 0
    covariance = spectrum.covariance.data[np.ix_(known, known)]
    correlation = covariance / np.outer(error[known], error[known])
    return bool(np.linalg.eigvalsh(correlation).min() > -1e-8)


def _draw_reference(ax: Axes, reference: Model | None, energy, unit) -> np.ndarray:
    if reference is None:
        return np.array([])
    value = (_spectral(reference)(energy) * energy**2).to_value(unit)
    label = f"{reference.name} (reference)" if isinstance(reference, SkyModel) else "Reference"
    ax.plot(energy.value, value, color=style.ink(ax), linestyle="--", linewidth=1.2, label=label)
    return value


def _set_flux_range(ax: Axes, levels: np.ndarray, floor: float, had_data: bool) -> None:
    shown = levels[np.isfinite(levels) & (levels > floor)]
    if shown.size:
        style.widen(ax, "y", 0.6 * shown.min(), 1.7 * shown.max(), had_data=had_data)
    elif not had_data:
        ax.tick_params(axis="y", which="both", labelleft=False)
