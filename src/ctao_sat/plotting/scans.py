"""Scans of the statistic: along one parameter, and contours of two."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ctao_sat.plotting import _style as style

__all__ = ["plot_contours", "plot_stat_profile"]


def plot_stat_profile(
    profiles: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    labels: Sequence[str] | None = None,
    unit: str = "",
    ax: Axes | None = None,
) -> Axes:
    r"""Plot by how much the statistic rises along a parameter.

    Dotted lines are where it has risen by 1 and by 4: with one parameter of interest, the ends of
    the intervals of one and two standard deviations.

    Parameters
    ----------
    profiles : dict or sequence of dict
        As `ctao_sat.dl5.profile` or Gammapy's ``Fit.stat_profile`` returns them, all of one
        parameter. The rise is counted from the lowest value of all.
    labels : sequence of str, optional
        What each of them is.
    unit : str
        Of the parameter, as "cm-2 s-1 TeV-1".
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Examples
    --------
    >>> from ctao_sat.plotting import plot_stat_profile
    >>> plot_stat_profile({"crab.index_scan": [1, 2, 3], "stat_scan": [14, 10, 14]}).get_xlabel()
    'crab.index'
    """
    ax = style.new_axes() if ax is None else ax
    several = [profiles] if isinstance(profiles, Mapping) else list(profiles)
    names = ["Profile"] if labels is None and len(several) == 1 else labels
    lowest = min(np.nanmin(np.asarray(each["stat_scan"], dtype=float)) for each in several)
    for i, each in enumerate(several):
        parameter = _scanned(each)
        x = np.asarray(each[f"{parameter}_scan"], dtype=float)
        rise = np.asarray(each["stat_scan"], dtype=float) - lowest
        look: dict[str, Any] = {"color": style.SERIES[i % len(style.SERIES)], "linewidth": 1.3}
        marker = style.MARKERS[i % len(style.MARKERS)]
        label = None if names is None else names[i]
        ax.plot(x, rise, marker=marker, markersize=3.5, label=label, **look)
    for level in (1, 4):
        ax.axhline(level, color=style.GREY, linestyle=":", linewidth=1.1, zorder=1)
        text = rf"${level**0.5:.0f}\,\sigma$"
        ax.annotate(text, (0.01, level), xycoords=("axes fraction", "data"), va="bottom")
    ax.set_ylim(0.0, max(4.6, ax.get_ylim()[1] if len(several) == 1 else 4.6))
    _plain_ticks(ax, "x")
    ax.set_xlabel(_label(parameter, unit))
    ax.set_ylabel(r"Rise of the statistic, $\Delta\,(-2\ln L)$")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def plot_contours(
    contours: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    labels: Sequence[str] | None = None,
    best: tuple[float, float] | None = None,
    units: tuple[str, str] = ("", ""),
    ax: Axes | None = None,
) -> Axes:
    """Plot contours of two parameters.

    Parameters
    ----------
    contours : dict or sequence of dict
        As `ctao_sat.dl5.contour` or Gammapy's ``Fit.stat_contour`` returns them.
    labels : sequence of str, optional
        What each of them is, as "68.3 %".
    best : tuple of float, optional
        The best values of the two parameters.
    units : tuple of str
        Of the two parameters.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Examples
    --------
    >>> from ctao_sat.plotting import plot_contours
    >>> contour = {"a.x": [0, 1, 0, -1, 0], "a.y": [1, 0, -1, 0, 1], "success": True}
    >>> plot_contours(contour).get_ylabel()
    'a.y'
    """
    ax = style.new_axes() if ax is None else ax
    several = [contours] if isinstance(contours, Mapping) else list(contours)
    names = ["Contour"] if labels is None and len(several) == 1 else labels
    for i, each in enumerate(several):
        x, y = (key for key in each if "." in key)
        colour = style.SERIES[i % len(style.SERIES)]
        label = None if names is None else names[i]
        # Gammapy leaves some polygons open.
        px, py = (np.append(each[key], each[key][0]) for key in (x, y))
        ax.plot(px, py, color=colour, linewidth=1.4, label=label)
    if best is not None:
        ax.plot(*best, color=style.ink(ax), marker="+", markersize=9, linestyle="none",
                label="Best fit")  # fmt: skip
    for which in "xy":
        _plain_ticks(ax, which)
    ax.set_xlabel(_label(x, units[0]))
    ax.set_ylabel(_label(y, units[1]))
    style.dress(ax)
    style.legend_above(ax)
    return ax


def _scanned(profile: Mapping[str, Any]) -> str:
    """Return the name of the parameter that was scanned."""
    return next(key for key in profile if key != "stat_scan" and key.endswith("_scan"))[:-5]


def _plain_ticks(ax: Axes, which: str) -> None:
    """Write small and large numbers out: a common factor would stand in the legend."""

    def write(value: float, _position: int | None = None) -> str:
        if value == 0:
            return "0"
        return style.power(value) if value > 0 else f"$-${style.power(-value)}"

    largest = np.max(np.abs(getattr(ax, f"get_{which}lim")()))
    if not 1e-3 < largest < 1e5:
        getattr(ax, f"{which}axis").set_major_formatter(FuncFormatter(write))


def _label(name: str, unit: str) -> str:
    # The kind of the part of a model, as "spectral", tells a reader nothing.
    parts = name.split(".")
    short = ".".join(parts[:1] + parts[-1:]) if len(parts) > 2 else name
    return f"{short} [{style.unit_label(unit)}]" if unit else short
