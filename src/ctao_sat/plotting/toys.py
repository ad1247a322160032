"""Toys: their pulls, and how often intervals hold the truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from scipy.stats import norm

from ctao_sat.likelihood import Toys
from ctao_sat.plotting import _style as style

__all__ = ["plot_coverage", "plot_pulls"]

_BINS = np.linspace(-4.5, 4.5, 37)


def plot_pulls(toys: Toys, *, names: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Plot the distribution of (fitted - true) / error, with that of a Gaussian.

    Parameters
    ----------
    toys : `~ctao_sat.likelihood.Toys`
        Fits of many sets of counts.
    names : sequence of str, optional
        Which parameters; all of them by default.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.
    """
    ax = style.new_axes() if ax is None else ax
    pulls = toys.pulls()
    for i, name in enumerate(toys.names if names is None else names):
        own = pulls[:, toys.names.index(name)]
        own = own[np.isfinite(own)]
        spread = f"{own.mean():+.2f}, {own.std(ddof=1):.2f}"
        look: dict[str, Any] = {"color": style.SERIES[i % len(style.SERIES)], "linewidth": 1.3}
        label = f"{name}: mean, width {spread}"
        ax.hist(own, bins=_BINS, density=True, histtype="step", label=label, **look)
    x = np.linspace(_BINS[0], _BINS[-1], 200)
    ax.plot(x, norm.pdf(x), color=style.GREY, linestyle="--", linewidth=1.1, label="Gaussian")
    ax.set_xlim(_BINS[0], _BINS[-1])
    ax.set_xlabel("(Fitted - true) / error")
    ax.set_ylabel(f"Density of {len(toys)} toys")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def plot_coverage(
    table: Table, *, kinds: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Plot how often intervals hold the truth, against the expected counts of the signal.

    Dashed lines are what each kind claims.

    Parameters
    ----------
    table : Table
        As `ctao_sat.dl5.exact_coverage` returns it.
    kinds : sequence of str, optional
        Which columns; all by default.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.
    """
    ax = style.new_axes() if ax is None else ax
    signal = np.asarray(table["signal"], dtype=float)
    nominal = table.meta["nominal"]
    for i, kind in enumerate(nominal if kinds is None else kinds):
        colour = style.SERIES[i % len(style.SERIES)]
        ax.plot(signal, table[kind], color=colour, linewidth=1.1, label=kind)
        ax.axhline(nominal[kind], color=style.GREY, linestyle="--", linewidth=1.0, zorder=1)
    style.log_axis(ax, "x", style.plain)
    ax.set_xlim(signal.min(), signal.max())
    ax.set_xlabel("Expected counts of the signal")
    ax.set_ylabel("Coverage")
    style.dress(ax)
    style.legend_above(ax)
    return ax
