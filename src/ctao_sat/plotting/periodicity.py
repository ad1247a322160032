"""Tests for pulsations, over livetime."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from scipy.optimize import brentq
from scipy.stats import norm

from ctao_sat.plotting import _style as style
from ctao_sat.pulsar import h_p_value

__all__ = ["plot_h_test"]

_LEVELS = (3.0, 5.0)


def plot_h_test(growth: Table, *, max_harmonics: int = 20, ax: Axes | None = None) -> Axes:
    r"""Plot the H test of the events so far over the livetime.

    A steady pulsar grows as :math:`t`, apart from fluctuations of a few: the dashed line, through
    the last point. Dotted lines are where the p-value is that of 3 and 5 standard deviations of a
    Gaussian, one-sided.

    Parameters
    ----------
    growth : Table, shape (n,)
        As `~ctao_sat.pulsar.h_test_growth` returns it.
    max_harmonics : int
        That of the test, for the dotted lines.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import Table
    >>> from ctao_sat.plotting import plot_h_test
    >>> growth = Table({"livetime": [1, 2] * u.h, "h": [20.0, 44.0]})
    >>> plot_h_test(growth).get_ylabel()
    'H'
    """
    ax = style.new_axes(height=4.0) if ax is None else ax
    livetime, unit = style.livetimes(growth)
    h = np.asarray(growth["h"], dtype=float)
    marks: dict[str, Any] = {"color": style.BLUE, "marker": "o", "markersize": 4.5}
    ax.plot(livetime, h, linewidth=1.0, label="H test of the events so far", **marks)
    longest = float(np.nanmax(livetime, initial=0.0)) or 1.0
    if len(h) > 1 and h[-1] > 0:
        line = np.array([0.0, 1.05 * longest])
        expected = h[-1] * line / livetime[-1]
        look: dict[str, Any] = {"color": style.GREY, "linestyle": "--", "linewidth": 1.1}
        ax.plot(line, expected, label=r"Steady pulsar: $\propto t$", zorder=1, **look)
    for sigma in _LEVELS:
        level = _h_of(sigma, max_harmonics)
        ax.axhline(level, color=style.GREY, linestyle=":", linewidth=1.1, zorder=1)
        ax.text(0.01 * longest, level, rf"${sigma:.0f}\,\sigma$", va="bottom", color=style.ink(ax))
    ax.set_xlim(0.0, 1.05 * longest)
    top = max(float(np.nanmax(h, initial=0.0)), _h_of(_LEVELS[0], max_harmonics))
    ax.set_ylim(0.0, 1.12 * top)
    ax.set_ylabel("H")
    ax.set_xlabel(f"Livetime [{unit}]")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def _h_of(sigma: float, max_harmonics: int) -> float:
    """Return the H whose p-value is that of a number of standard deviations."""
    wanted = float(norm.logsf(sigma))
    return float(brentq(lambda h: np.log(h_p_value(h, max_harmonics)) - wanted, 1e-6, 1000.0))
