"""House style: figures, colours, legends and tick labels that all plots share."""

import math
import re
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.visualization.wcsaxes import WCSAxes
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from mpl_toolkits.axes_grid1 import make_axes_locatable

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color: told apart with any colour vision.
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
GREY = "#8A8A8A"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "D", "^", "v", "P")

# How the legend entry of upper limits begins.
LIMITS = "Upper limits"
# Characters that fit over the axes, with 6 for each symbol.
WIDTH = 72
POINTS: dict[str, Any] = {"linestyle": "none", "markersize": 4.5, "elinewidth": 1.1, "capsize": 0}


def new_figure(width: float = 6.4, height: float = 4.4) -> Figure:
    """Return an empty figure that ``pyplot`` does not know, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float = 6.4, height: float = 4.4) -> Axes:
    """Return the only axes of a new figure, in inches."""
    return new_figure(width, height).add_subplot()


def lower_panel(ax: Axes, share: float) -> Axes:
    """Split ``ax`` and return its lower part, a ``share`` of the upper part, over the same x."""
    place = ax.get_subplotspec()
    if place is None:
        # Axes placed by hand have no grid to split, and no layout engine that would care.
        panel = make_axes_locatable(ax).append_axes(
            "bottom", size=f"{share:.0%}", pad=0.08, sharex=ax
        )
    else:
        grid = place.subgridspec(2, 1, height_ratios=(1.0, share), hspace=0.02)
        ax.set_subplotspec(grid[0])
        panel = ax.figure.add_subplot(grid[1], sharex=ax)
    ax.tick_params(which="both", labelbottom=False)
    return panel


def dress(*axes: Axes) -> None:
    """Give axes ticks on all sides, pointing inwards."""
    for ax in axes:
        ax.tick_params(which="both", direction="in", top=True, right=True)
        ax.set_axisbelow(False)


def ink(ax: Axes) -> Any:
    """Return the colour of the axes' text, so that dark styles stay readable."""
    return ax.xaxis.label.get_color()


def legend_above(ax: Axes, *, right: bool = False) -> None:
    """Put the legend over the axes, limits last, if there is anything to explain."""
    entries = list(zip(*ax.get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: str(entry[1]).startswith(LIMITS))
    labels = [str(label) for _, label in entries]
    if entries:
        ax.legend(
            [handle for handle, _ in entries],
            labels,
            loc="lower right" if right else "lower left",
            bbox_to_anchor=(1.01 if right else -0.01, 1.0),
            ncols=_columns(labels),
            frameon=False,
            columnspacing=1.4,
            handlelength=1.8,
            borderaxespad=0.2,
        )


def _columns(labels: list[str]) -> int:
    """Return how many columns of labels are not wider than the axes, about."""
    for columns in range(min(4, len(labels)), 1, -1):
        rows = -(-len(labels) // columns)
        lengths = [max(map(len, labels[k : k + rows])) for k in range(0, len(labels), rows)]
        if sum(lengths) + 6 * len(lengths) <= WIDTH:
            return columns
    return 1


def say_empty(ax: Axes, text: str) -> None:
    """Write in the middle of empty axes why they are empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)


def plain(value: float, _position: int | None = None) -> str:
    """Format a tick as 0.1, 1, 20, with a power of ten only far from one.

    Examples
    --------
    >>> from ctao_sat.plotting._style import plain
    >>> plain(0.02), plain(30.0), plain(1e6)
    ('0.02', '30', '$10^{6}$')
    """
    if 1e-3 < value < 1e5:
        return f"{value:g}"
    return power(value)


def power(value: float, _position: int | None = None) -> str:
    """Format a tick as a power of ten, with its factor where that is not one.

    Examples
    --------
    >>> from ctao_sat.plotting._style import power
    >>> power(1e-12), power(2e-12)
    ('$10^{-12}$', '$2{\\\\times}10^{-12}$')
    """
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = value / 10.0**exponent
    if abs(factor - 1.0) < 1e-6:
        return rf"$10^{{{exponent}}}$"
    return rf"${factor:.3g}{{\times}}10^{{{exponent}}}$"


def log_axis(ax: Axes, which: str, formatter=power) -> None:
    """Make the ``"x"`` or ``"y"`` axis logarithmic, labelled densely enough at any zoom."""
    getattr(ax, f"set_{which}scale")("log", nonpositive="clip")
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(LogLocator(numticks=12))
    axis.set_major_formatter(FuncFormatter(formatter))
    axis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=120))

    # Powers of ten with a factor are long: few of them fit.
    room = 1.3 if formatter is power else 2.4

    def minor(value: float, position: int | None = None) -> str:
        low, high = sorted(axis.get_view_interval())
        decades = math.log10(high / low) if low > 0 else math.inf
        wanted = {2, 5} if decades < room else set()
        if decades < 0.35 * room:
            wanted = {2, 3, 4, 5, 6, 8}
        leading = round(value / 10.0 ** math.floor(math.log10(value) + 1e-9))
        return formatter(value, position) if leading in wanted else ""

    axis.set_minor_formatter(FuncFormatter(minor))


def livetimes(table: Table) -> tuple[np.ndarray, str]:
    """Return the column ``livetime`` in hours, or in minutes if it is short."""
    hours = u.Quantity(table["livetime"]).to_value("h")
    if np.nanmax(hours, initial=0.0) < 1.0:
        return 60.0 * hours, "min"
    return hours, "h"


def draw_limits(ax: Axes, x, limit, *, length, xerr, colour: str, label: str) -> None:
    """Draw upper limits: a bar as wide as the bin, with an arrow pointing down."""
    look: dict[str, Any] = {"fmt": "none", "ecolor": colour, "elinewidth": 1.1, "zorder": 3}
    # The size of the caps is that of the arrow heads; the bars are to have none.
    ax.errorbar(x, limit, (length, 0.0 * length), uplims=True, capsize=2.5, **look)
    ax.errorbar(x, limit, xerr=xerr, capsize=0, **look)
    if label:
        arrow: dict[str, Any] = {"marker": r"$\downarrow$", "markersize": 9.0, "linestyle": "none"}
        ax.plot([], [], color=colour, label=label, **arrow)


def unit_label(unit: str) -> str:
    """Return a unit for an axis label, its factors in the order given.

    Examples
    --------
    >>> from ctao_sat.plotting._style import unit_label
    >>> unit_label("TeV cm-2 s-1")
    'TeV cm$^{-2}$ s$^{-1}$'
    """
    factors = [re.fullmatch(r"([A-Za-z]+)(-?\d+)?", factor) for factor in unit.split()]
    if not all(factors):
        return f"{u.Unit(unit):latex_inline}"
    return " ".join(
        name + (f"$^{{{exponent}}}$" if exponent else "")
        for name, exponent in (factor.groups() for factor in factors if factor)
    )


def widen(ax: Axes, which: str, low: float, high: float, *, had_data: bool) -> None:
    """Set limits, or widen those of axes that showed something before."""
    if had_data:
        old = sorted(getattr(ax, f"get_{which}lim")())
        low, high = min(low, old[0]), max(high, old[1])
    getattr(ax, f"set_{which}lim")(low, high)


def sky_labels(ax: WCSAxes) -> None:
    """Name the axes of a sky projection, with a few ticks in degrees."""
    longitude, latitude = ax.coords[0], ax.coords[1]
    galactic = longitude.default_label == "pos.galactic.lon"
    ax.set_xlabel("Galactic longitude" if galactic else "Right ascension")
    ax.set_ylabel("Galactic latitude" if galactic else "Declination")
    for axis in (longitude, latitude):
        axis.set_major_formatter("d.d")
        axis.set_ticks(number=5)
