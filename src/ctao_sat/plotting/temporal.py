"""A temporal model: its flux over the time after T0."""

import astropy.units as u
import numpy as np
from gammapy.data import GTI
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import _style as style
from ctao_sat.transients import TransientModel

__all__ = ["plot_temporal"]

_N_POINTS = 600
# A flux below this part of the largest one is as good as none.
_DEEPEST = 1e-6


def plot_temporal(
    model: TransientModel,
    time_range: u.Quantity,
    *,
    gti: GTI | None = None,
    log: bool = True,
    label: str = "Model",
    ax: Axes | None = None,
) -> Axes:
    """Plot a temporal model over the time after its T0, with onset and breaks.

    Dotted lines mark the onset, if it is not at T0 itself, and the breaks. Each good time interval
    is a band, and a bar at the mean flux in it, which is what a dataset sees. Several models can be
    drawn on the same axes.

    Parameters
    ----------
    model : TransientModel
        One of `ctao_sat.transients`.
    time_range : Quantity[time], shape (2,)
        First and last time after T0; the axis has its unit.
    gti : `~gammapy.data.GTI`, optional
        Good time intervals.
    log : bool
        Logarithmic axes; False suits sources that return, or rise before their T0.
    label : str
        Legend entry.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Raises
    ------
    ConfigError
        If the range is not one of times, does not increase, or does not begin after T0 on a
        logarithmic axis.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from ctao_sat.plotting import plot_temporal
    >>> from ctao_sat.transients import BrokenPowerLawTemporalModel
    >>> t0 = Time("2019-01-14T20:57:03", scale="utc")
    >>> model = BrokenPowerLawTemporalModel(t0, t_break=500 * u.s)
    >>> plot_temporal(model, [10, 1e4] * u.s).get_xlabel()
    'Time after 2019-01-14T20:57:03.000 UTC [s]'
    """
    unit = u.Quantity(time_range).unit
    if np.shape(time_range) != (2,) or not unit.is_equivalent(u.s):
        raise ConfigError(
            f"'{time_range}' is no range of times after T0.", remedy="Give two: [1, 100] * u.s."
        )
    low, high = u.Quantity(time_range).value
    if not low < high or (log and low <= 0):
        raise ConfigError(
            f"A plot from {low} to {high} {unit} after T0.",
            remedy="The range has to increase, and with log=True to begin after T0.",
        )
    ax = style.new_axes() if ax is None else ax
    had_data = ax.has_data()
    colour = style.SERIES[_n_models(ax) % len(style.SERIES)]
    t0 = model.reference_time
    marks = {name: time.to_value(unit) for name, time in _marks(model).items()}
    tau = np.geomspace(low, high, _N_POINTS) if log else np.linspace(low, high, _N_POINTS)
    # Where the flux jumps, or bends, it is drawn to do so.
    near = [t * (1 + side) for t in marks.values() for side in (-1e-9, 1e-9) if low < t < high]
    tau = np.union1d(tau, near)
    flux = model(t0 + tau * unit).value
    ax.plot(tau, flux, color=colour, linewidth=1.6, label=label, gid="model")
    _draw_marks(ax, marks, (low, high), colour)
    if gti is not None:
        _draw_intervals(ax, model, gti, unit, colour)
    if log:
        style.log_axis(ax, "x", style.plain)
        style.log_axis(ax, "y", style.plain)
        top = flux.max(initial=0.0) or 1.0
        bottom = max(flux[flux > 0].min(initial=top), _DEEPEST * top)
        style.widen(ax, "y", 0.5 * bottom, 2.0 * top, had_data=had_data)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(8))
    style.widen(ax, "x", low, high, had_data=had_data)
    ax.set_xlabel(f"Time after {t0.isot} {t0.scale.upper()} [{style.unit_label(str(unit))}]")
    ax.set_ylabel("Flux over that of the spectral model")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def _n_models(ax: Axes) -> int:
    return sum(line.get_gid() == "model" for line in ax.lines)


def _marks(model: TransientModel) -> dict[str, u.Quantity]:
    """Return onset and breaks of a model, as times after T0."""
    names = [name for name in model.parameters.names if name.startswith(("t_on", "t_break"))]
    return {name: model.parameters[name].quantity for name in names}


def _draw_marks(ax: Axes, marks: dict[str, float], limits: tuple[float, float], colour) -> None:
    for name, time in marks.items():
        if not limits[0] <= time <= limits[1]:
            continue
        ax.axvline(time, color=colour, linestyle=":", linewidth=1.1, zorder=1)
        words = "onset" if name == "t_on" else name.removeprefix("t_").replace("_", " ")
        ax.annotate(
            words,
            (time, 0.03),
            xycoords=ax.get_xaxis_transform(),
            xytext=(3, 0),
            textcoords="offset points",
            rotation=90,
            va="bottom",
            ha="left",
            fontsize="small",
            color=colour,
        )


def _draw_intervals(ax: Axes, model: TransientModel, gti: GTI, unit, colour) -> None:
    """Draw bands, and bars at the mean flux; the legend explains them once."""
    start = (gti.time_start - model.reference_time).to_value(unit)
    stop = (gti.time_stop - model.reference_time).to_value(unit)
    known = set(ax.get_legend_handles_labels()[1])
    words = "Good time intervals, mean flux"
    for a, b, begin, end in zip(start, stop, gti.time_start, gti.time_stop, strict=True):
        mean = float(model.integral(begin, end))
        ax.axvspan(a, b, color=style.GREY, alpha=0.15, linewidth=0, zorder=0)
        label = words if words not in known else None
        known.add(words)
        ax.plot(
            [a, b],
            [mean, mean],
            color=colour,
            linewidth=3.5,
            alpha=0.6,
            label=label,
            solid_capstyle="butt",
        )
