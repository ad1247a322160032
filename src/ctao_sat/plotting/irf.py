"""The performance of instrument response functions, over energy."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import _style as style

__all__ = ["plot_irf_performance"]

# Column, label of its line, line style.
_RADII: tuple[tuple[str, str, Any], ...] = (
    ("r68", "68 %", "-"),
    ("r95", "95 %", "--"),
    ("rad_max", "RAD_MAX", ":"),
)
_WIDTHS: tuple[tuple[str, str, Any], ...] = (
    ("energy_resolution", "68 %", "-"),
    ("energy_resolution_rms", "rms", "--"),
)
# Characters a line, and inches.
_NOTE_WIDTH = 200
_NOTE_LINE = 0.16


def plot_irf_performance(
    tables: Sequence[QTable],
    sensitivities: Sequence[QTable] = (),
    *,
    note: str = "",
) -> np.ndarray:
    """Plot effective area, resolutions, background and sensitivity of one or more sets of IRFs.

    Six panels of a new figure: effective area; angular resolution, as containment radii of 68 and
    95 %, or ``RAD_MAX``; energy resolution, of 68 % and rms; mean bias in energy; background rate
    per bin of energy and solid angle; differential sensitivity. Each set has a colour and a marker.

    Parameters
    ----------
    tables : sequence of `~astropy.table.QTable`
        Of `ctao_sat.dl3.irf_performance`; ``meta["label"]`` names each.
    sensitivities : sequence of `~astropy.table.QTable`
        Of `ctao_sat.dl5.sensitivity`; those with the label of a table have its colour.
    note : str
        What to write below the panels, such as the terms of the data.

    Returns
    -------
    axes : array of Axes, shape (2, 3)
        The panels.

    Raises
    ------
    ConfigError
        If there is no table.

    Examples
    --------
    >>> from ctao_sat import dl3, simulate
    >>> from ctao_sat.plotting import plot_irf_performance
    >>> table = dl3.irf_performance(simulate.demo_array("north"))
    >>> axes = plot_irf_performance([table])
    >>> axes[0, 0].get_ylabel()
    'Effective area [m$^{2}$]'
    """
    tables = list(tables)
    if not tables:
        raise ConfigError("There is no table of performance to plot.", remedy="Give one or more.")
    lines = [part for line in note.splitlines() for part in textwrap.wrap(line, _NOTE_WIDTH)]
    figure = style.new_figure(width=12.6, height=7.4 + _NOTE_LINE * len(lines))
    axes = figure.subplots(2, 3, sharex=True)
    area, angle, width, bias, background, flux = axes.flat
    labels = _labels(tables)
    for index, table in enumerate(tables):
        _draw(area, table, "effective_area", "m2", index, label=labels[index])
        for column, _, line in _RADII:
            _draw(angle, table, column, "deg", index, line)
        for column, _, line in _WIDTHS:
            _draw(width, table, column, "", index, line)
        _draw(bias, table, "energy_bias", "", index)
        _draw(background, table, "background_rate", "s-1 deg-2", index)
    for table in sensitivities:
        label = table.meta.get("label")
        index = next((k for k, one in enumerate(tables) if one.meta.get("label") == label), 0)
        _draw(flux, table, "e2dnde", "erg cm-2 s-1", index)
    _finish(axes, tables, sensitivities)
    _explain(angle, tables, _RADII)
    _explain(width, tables, _WIDTHS)
    figure.legend(loc="outside upper left", ncols=min(3, len(labels)), frameon=False)
    _write_below(figure, lines)
    return axes


def _labels(tables: Sequence[QTable]) -> list[str]:
    return [str(table.meta.get("label") or f"IRFs {k + 1}") for k, table in enumerate(tables)]


def _draw(ax, table: QTable, column: str, unit: str, index: int, line: str = "-", label="") -> None:
    if column not in table.colnames:
        return
    energy = table["e_ref"].to_value("TeV")
    values = table[column].to_value(unit).astype(float)
    colour = style.SERIES[index % len(style.SERIES)]
    if column != "energy_bias":
        # Nothing on a logarithmic axis.
        values = np.where(values > 0, values, np.nan)
    main = line == "-" or column == "rad_max"
    look: dict[str, Any] = {}
    if main:
        # Colours and markers come round after six; then they are open.
        look = {
            "marker": style.MARKERS[index % len(style.MARKERS)],
            "markersize": 4.0,
            "fillstyle": "full" if index < len(style.SERIES) else "none",
        }
    ax.plot(energy, values, line, color=colour, linewidth=1.3, label=label or "_", **look)


def _finish(axes: np.ndarray, tables: Sequence[QTable], sensitivities: Sequence[QTable]) -> None:
    area, angle, width, bias, background, flux = axes.flat
    names = (
        f"Effective area [{style.unit_label('m2')}]",
        "Angular resolution [deg]",
        "Energy resolution",
        "Mean energy bias",
        f"Background rate per bin [{style.unit_label('s-1 deg-2')}]",
        rf"Sensitivity $E^2$ d$N$/d$E$ [{style.unit_label('erg cm-2 s-1')}]",
    )
    for ax, name in zip(axes.flat, names, strict=True):
        ax.set_ylabel(name)
        style.log_axis(ax, "x", style.plain)
    for ax in axes[1]:
        ax.set_xlabel("Energy [TeV]")
    for ax in (area, angle, background, flux):
        if _shown(ax):
            style.log_axis(ax, "y", style.plain if ax is angle else style.power)
    _limit_background(background)
    width.set_ylim(0.0, _top(width, 1.0))
    bias.axhline(0.0, color=style.GREY, linewidth=0.8)
    reach = min(_top(bias, 1.0), 0.6)
    bias.set_ylim(-min(0.4, reach), reach)
    low = min(table["e_min"].min().to_value("TeV") for table in tables)
    high = max(table["e_max"].max().to_value("TeV") for table in tables)
    area.set_xlim(low, high)
    if not sensitivities:
        style.say_empty(flux, "No sensitivity")
    for ax, empty in ((angle, "No PSF"), (background, "No background")):
        if not _shown(ax):
            style.say_empty(ax, empty)
    style.dress(*axes.flat)


def _shown(ax: Axes) -> bool:
    return any(np.isfinite(line.get_ydata()).any() for line in ax.lines)


def _limit_background(ax: Axes) -> None:
    """Leave out the all but empty bins, which would squeeze the others."""
    drawn = np.concatenate([line.get_ydata() for line in ax.lines] or [np.zeros(0)])
    if np.isfinite(drawn).any():
        ax.set_ylim(bottom=max(np.nanmin(drawn) / 2, np.nanmax(drawn) * 1e-7))


def _top(ax: Axes, most: float) -> float:
    drawn = np.concatenate([np.abs(line.get_ydata()) for line in ax.lines])
    finite = drawn[np.isfinite(drawn)]
    return float(min(most, max(0.1, 1.1 * finite.max(initial=0.0))))


def _explain(ax: Axes, tables: Sequence[QTable], lines: Sequence[tuple[str, str, Any]]) -> None:
    """Say what the kinds of lines are, whatever their colour."""
    shown = [
        (label, line)
        for column, label, line in lines
        if any(
            column in table.colnames and np.isfinite(table[column].value).any() for table in tables
        )
    ]
    if not shown:
        return
    handles = [
        Line2D([], [], color=style.ink(ax), linestyle=line, linewidth=1.3, label=label)
        for label, line in shown
    ]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(handles),
        frameon=False,
        borderaxespad=0.2,
    )


def _write_below(figure: Figure, lines: Sequence[str]) -> None:
    if not lines:
        return
    share = _NOTE_LINE * (len(lines) + 1) / figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0.0, share, 1.0, 1.0 - share))
    figure.text(0.005, 0.0, "\n".join(lines), ha="left", va="bottom", fontsize=8, color=style.GREY)
