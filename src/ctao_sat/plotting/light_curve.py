"""The light curve: flux over time."""

import warnings
from itertools import pairwise

import astropy.units as u
import numpy as np
from astropy.time import Time
from erfa import ErfaWarning
from gammapy.estimators import FluxPoints
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.ticker import ScalarFormatter

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import _style as style
from ctao_sat.plotting._flux import Points, limit_label, points
from ctao_sat.plotting._timeaxis import date_axis

__all__ = ["plot_light_curve"]


def plot_light_curve(light_curve: FluxPoints, *, ax: Axes | None = None) -> Axes:
    """Plot the integral flux over time, upper limits as arrows.

    The flux axis is linear, so that fluxes below zero show, and logarithmic where all of them are
    positive and spread over more than two decades. Several energy bands get a colour and a marker
    each. Nights that would fall on each other on a linear time axis are moved together: the gaps
    cut out are shaded. On axes that hold a light curve already, its time axis is kept, and widened.

    Parameters
    ----------
    light_curve : FluxPoints, shape (n_time, n_energy)
        With a time axis and an energy axis.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on. Their x coordinates are dates.

    Raises
    ------
    ConfigError
        If the flux points have no time axis.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from astropy.time import Time
    >>> from gammapy.estimators import FluxPoints
    >>> from gammapy.maps import MapAxis, RegionGeom, RegionNDMap, TimeMapAxis
    >>> from gammapy.modeling.models import PowerLawSpectralModel
    >>> from ctao_sat.plotting import plot_light_curve
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1)
    >>> time = TimeMapAxis([0, 1] * u.h, [0.5, 1.5] * u.h, Time("2030-01-01", scale="tt"))
    >>> geom = RegionGeom.create(None, axes=[energy, time])
    >>> norm = RegionNDMap.from_geom(geom, data=np.array([[[[1.0]]], [[[2.0]]]]))
    >>> light_curve = FluxPoints({"norm": norm}, PowerLawSpectralModel())
    >>> plot_light_curve(light_curve).get_xlabel()
    'Time (UTC)'
    """
    names = list(light_curve.geom.axes.names)
    if set(names) != {"energy", "time"}:
        raise ConfigError(
            f"A light curve has axes of energy and time; these flux points have {names}.",
            remedy="Plot a spectrum with plot_sed.",
        )
    ax = style.new_axes(width=7.2, height=4.0) if ax is None else ax
    had_data = ax.has_data()
    quantity, unit = _quantity(light_curve)
    drawn = points(light_curve, quantity, u.Unit(unit))
    if names.index("energy") > names.index("time"):
        drawn = drawn.transposed()
    time = light_curve.geom.axes["time"]
    start, stop = _utc(time.time_min), _utc(time.time_max)
    bands = _bands(light_curve)

    logarithmic = _set_flux_axis(ax, drawn, had_data)
    for index, band in enumerate(bands):
        series = drawn.column(index)
        name = band if len(bands) > 1 else "Flux"
        _draw_band(ax, series, index, (start, stop), name)
        if _limited(series).any():
            # One entry explains the arrows of all bands.
            first = not any(_limited(drawn.column(before)).any() for before in range(index))
            label = limit_label(light_curve) if first else ""
            _draw_limits(ax, series, index, (start, stop), label, logarithmic)
    if not (drawn.measured.any() or np.isfinite(drawn.limit).any()):
        style.say_empty(ax, "No flux could be computed")
    symbol = {"flux": "Flux", "dnde": r"$\mathrm{d}N/\mathrm{d}E$"}[quantity]
    within = "" if len(bands) > 1 else f" ({bands[0]})"
    ax.set_ylabel(f"{symbol}{within} [{style.unit_label(unit)}]")
    style.dress(ax)
    if had_data:
        # The curve drawn first has chosen the layout; this one at most widens it.
        ax.set_xlim(min(ax.get_xlim()[0], start.min()), max(ax.get_xlim()[1], stop.max()))
    else:
        date_axis(ax, start, stop)
    if len(bands) > 1 or _limited(drawn).any():
        # The exponent of the flux axis stands on the left.
        style.legend_above(ax, right=True)
    return ax


def _quantity(light_curve: FluxPoints) -> tuple[str, str]:
    """Return what to plot: points without energy bins have no integral flux."""
    if light_curve.is_convertible_to_flux_sed_type:
        return "flux", "cm-2 s-1"
    return "dnde", "TeV-1 cm-2 s-1"


def _bands(light_curve: FluxPoints) -> list[str]:
    axis = light_curve.energy_axis
    if axis.node_type != "edges":
        return [f"{energy:.3g} TeV" for energy in axis.center.to_value("TeV")]
    edges = axis.edges.to_value("TeV")
    return [f"{low:.3g}–{high:.3g} TeV" for low, high in pairwise(edges)]


def _utc(time: Time) -> np.ndarray:
    """Return day numbers of UTC dates."""
    with warnings.catch_warnings():
        # Leap seconds to come are unknown: a few seconds, far below what a date axis shows.
        warnings.simplefilter("ignore", ErfaWarning)
        return date2num(np.atleast_1d(time.utc.to_datetime()))


def _limited(series: Points) -> np.ndarray:
    return ~series.measured & np.isfinite(series.limit)


def _set_flux_axis(ax: Axes, drawn: Points, had_data: bool) -> bool:
    """Set scale and range of the flux axis; return whether it is logarithmic."""
    measured, limited = drawn.measured, _limited(drawn)
    value, limit = drawn.value[measured], drawn.limit[limited]
    high = np.concatenate([value + drawn.above[measured], limit])
    if not high.size:
        return False
    # The arrows of limits need room as well.
    low = np.concatenate([value - drawn.below[measured], limit - 0.1 * high.max()])
    positive = bool(np.all(value > 0) and np.all(limit > 0))
    central = np.concatenate([value, limit])
    if positive and central.max() > 100 * central.min():
        style.log_axis(ax, "y")
        style.widen(ax, "y", 0.4 * central.min(), 2.0 * high.max(), had_data=had_data)
        return True
    top, bottom = max(0.0, high.max()), min(0.0, low.min())
    margin = 0.12 * (top - bottom) or 1.0
    style.widen(ax, "y", bottom - margin * (bottom < 0), top + margin, had_data=had_data)
    formatter = ScalarFormatter(useMathText=True)
    formatter.set_powerlimits((-2, 3))
    ax.yaxis.set_major_formatter(formatter)
    ax.axhline(0.0, color=style.ink(ax), linewidth=0.8, zorder=1)
    return False


def _draw_band(ax: Axes, series: Points, index: int, times, label: str) -> None:
    shown = series.measured
    if not shown.any():
        return
    middle, half = _middle(times)
    ax.errorbar(
        middle[shown],
        series.value[shown],
        (series.below[shown], series.above[shown]),
        half[shown],
        fmt=style.MARKERS[index % len(style.MARKERS)],
        color=style.SERIES[index % len(style.SERIES)],
        label=label,
        zorder=3,
        **style.POINTS,
    )


def _draw_limits(ax: Axes, series: Points, index: int, times, label: str, logarithmic) -> None:
    shown = _limited(series)
    middle, half = _middle(times)
    limit = series.limit[shown]
    bottom, top = ax.get_ylim()
    length = 0.4 * limit if logarithmic else np.full(limit.shape, 0.08 * (top - bottom))
    style.draw_limits(
        ax,
        middle[shown],
        limit,
        length=length,
        xerr=half[shown],
        colour=style.SERIES[index % len(style.SERIES)],
        label=label,
    )


def _middle(times: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    start, stop = times
    return 0.5 * (start + stop), 0.5 * (stop - start)
