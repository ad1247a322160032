"""Tests for pulsations, over livetime and over trial frequencies."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from scipy.optimize import brentq
from scipy.stats import norm

from ctao_sat.plotting import _style as style
from ctao_sat.pulsar import FrequencyScan, h_p_value

__all__ = ["plot_h_test", "plot_scan"]

_LEVELS = (3.0, 5.0)
# Finer than this is not seen.
_CELLS = 600
_PREFIXES = {1.0: "Hz", 1e-3: "mHz", 1e-6: "µHz", 1e-9: "nHz"}


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
    levels = {sigma: _h_of(sigma, max_harmonics) for sigma in _LEVELS}
    top = 1.12 * max(float(np.nanmax(h, initial=0.0)), min(levels.values()))
    above = top
    for sigma, level in reversed(levels.items()):
        # Labels need room.
        if above - level < 0.06 * top:
            continue
        ax.axhline(level, color=style.GREY, linestyle=":", linewidth=1.1, zorder=1)
        text = rf"${sigma:.0f}\,\sigma$"
        ax.text(0.01 * longest, level, text, va="bottom", color=style.ink(ax))
        above = level
    ax.set_xlim(0.0, 1.05 * longest)
    ax.set_ylim(0.0, top)
    ax.set_ylabel("H")
    ax.set_xlabel(f"Livetime [{unit}]")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def plot_scan(scan: FrequencyScan, *, ax: Axes | None = None) -> Axes:
    """Plot the statistic of all trials of a search in frequency, and in its derivative.

    Axes count from the best trial, which a cross marks; a search in frequency alone is a curve.
    Where there are more trials than can be seen, the largest of neighbours is shown.

    Parameters
    ----------
    scan : `~ctao_sat.pulsar.FrequencyScan`, shape (n_f1, n_f0)
        The search.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from astropy.time import Time
    >>> from ctao_sat import plotting, pulsar
    >>> scan = pulsar.FrequencyScan(
    ...     f0=[11.1, 11.2, 11.3] * u.Hz,
    ...     f1=[0.0] * u.Hz / u.s,
    ...     values=np.array([[1.0, 30.0, 2.0]]),
    ...     epoch=Time("2030-01-01", scale="tdb"),
    ...     statistic="h",
    ...     n_harmonics=20,
    ...     n_events=100,
    ... )
    >>> plotting.plot_scan(scan).get_xlabel()
    'Frequency $-$ 11.2 Hz [Hz]'
    """
    ax = style.new_axes(width=7.2, height=4.6) if ax is None else ax
    name = {"h": "H", "z2": rf"$Z^2_{{{scan.n_harmonics}}}$"}[scan.statistic]
    best_f0, best_f1 = scan.best
    f0 = (scan.f0 - best_f0).to_value("Hz")
    scale, unit = _prefix(f0)
    values, columns = _thinned(scan.values, 1)
    x = _edges(f0 / scale, columns)
    trials = "1 trial" if scan.n_trials == 1 else f"{scan.n_trials:,} trials"
    label = f"Largest {name} of {trials}: {scan.largest:.1f}"
    mark: dict[str, Any] = {"color": style.VERMILLION, "markersize": 9, "markeredgewidth": 1.6}
    if len(scan.f1) == 1:
        ax.stairs(values[0], x, baseline=None, color=style.BLUE, linewidth=1.2)
        ax.plot([0.0], [scan.largest], "x", label=label, **mark)
        ax.set_ylim(0.0, 1.1 * scan.largest if scan.largest > 0 else 1.0)
        ax.set_ylabel(name)
    else:
        f1 = (scan.f1 - best_f1).to_value("Hz / s")
        values, rows = _thinned(values, 0)
        power = int(np.floor(np.log10(np.ptp(f1))))
        y = _edges(f1 / 10.0**power, rows)
        mesh = ax.pcolormesh(x, y, values, cmap="viridis", vmin=0.0, rasterized=True)
        ax.figure.colorbar(mesh, ax=ax, label=name, pad=0.02)
        ax.plot([0.0], [0.0], "x", label=label, **mark)
        # Pads that a marker would make are not part of the search.
        ax.set_ylim(y[0], y[-1])
        ax.set_ylabel(
            rf"Derivative $-$ (${_scientific(best_f1.value)}$) Hz/s [$10^{{{power}}}$ Hz/s]"
        )
    ax.set_xlim(x[0], x[-1])
    ax.set_xlabel(f"Frequency $-$ {best_f0.value:.10g} Hz [{unit}]")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def _prefix(f0: np.ndarray) -> tuple[float, str]:
    """Return the unit in which a range of frequencies has a few digits."""
    reach = float(np.max(np.abs(f0)))
    scale = next((size for size in _PREFIXES if reach >= size / 10), 1e-9)
    return scale, _PREFIXES[scale]


def _thinned(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest of neighbours along an axis, and where each group starts."""
    n = values.shape[axis]
    starts = np.arange(0, n, -(-n // _CELLS))
    return np.maximum.reduceat(values, starts, axis=axis), starts


def _edges(centres: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the edges of groups of equidistant trials."""
    step = centres[1] - centres[0] if len(centres) > 1 else 1.0
    return np.append(centres[starts], centres[-1] + step) - 0.5 * step


def _scientific(value: float) -> str:
    digits, exponent = f"{value:.4e}".split("e")
    return rf"{digits} \times 10^{{{int(exponent)}}}"


def _h_of(sigma: float, max_harmonics: int) -> float:
    """Return the H whose p-value is that of a number of standard deviations."""
    wanted = float(norm.logsf(sigma))
    return float(brentq(lambda h: np.log(h_p_value(h, max_harmonics)) - wanted, 1e-6, 1000.0))
