"""The growth of significance over the livetime."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes

from ctao_sat.plotting import _style as style

__all__ = ["plot_significance"]


def plot_significance(info_table: Table, *, ax: Axes | None = None) -> Axes:
    r"""Plot cumulative significance and excess over the livetime.

    A steady source grows as :math:`\sqrt{t}` in significance and as :math:`t` in excess: the
    dashed lines, through the last point. The band around the excess is
    :math:`\sqrt{N_\mathrm{on} + \alpha^2 N_\mathrm{off}}`; its points are cumulative and therefore
    not independent.

    Parameters
    ----------
    info_table : Table, shape (n,)
        Of ``Datasets.info_table(cumulative=True)``; columns ``livetime``, ``sqrt_ts``, ``excess``
        and, optionally, ``counts``, ``counts_off``, ``alpha``.
    ax : Axes, optional
        Axes to draw on; a panel for the excess is split off at their bottom.

    Returns
    -------
    ax : Axes
        The axes of the significance. Those of the excess are the last of ``ax.figure.axes``.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import Table
    >>> from ctao_sat.plotting import plot_significance
    >>> table = Table({"livetime": [1, 2] * u.h, "sqrt_ts": [3.0, 4.2], "excess": [20.0, 41.0]})
    >>> plot_significance(table).get_ylabel()
    'Significance [$\\sigma$]'
    """
    ax = style.new_axes(height=4.8) if ax is None else ax
    panel = style.lower_panel(ax, 0.6)
    livetime, unit = style.livetimes(info_table)
    significance = np.asarray(info_table["sqrt_ts"], dtype=float)
    excess = np.asarray(info_table["excess"], dtype=float)
    marks: dict[str, Any] = {
        "color": style.BLUE,
        "marker": "o",
        "markersize": 4.5,
        "linewidth": 1.0,
    }

    ax.plot(livetime, significance, label="Cumulative", **marks)
    panel.plot(livetime, excess, **marks)
    error = _excess_error(info_table)
    if error is not None:
        panel.fill_between(
            livetime, excess - error, excess + error, color=style.BLUE, alpha=0.2, linewidth=0
        )
        if len(livetime) == 1:
            panel.errorbar(livetime, excess, error, color=style.BLUE, elinewidth=1.1)
    _draw_expectation(ax, livetime, significance, 0.5, r"Steady source: $\propto\sqrt{t}$")
    _draw_expectation(panel, livetime, excess, 1.0, r"$\propto t$")
    for each in (ax, panel):
        each.axhline(0.0, color=style.ink(ax), linewidth=0.8)
    longest = np.nanmax(livetime, initial=0.0)
    panel.set_xlim(0.0, 1.05 * longest if longest > 0 else 1.0)
    ax.set_ylabel(r"Significance [$\sigma$]")
    panel.set_ylabel("Excess counts")
    panel.set_xlabel(f"Livetime [{unit}]")
    style.dress(ax, panel)
    style.legend_above(ax)
    ax.figure.align_ylabels([ax, panel])
    return ax


def _excess_error(table: Table) -> np.ndarray | None:
    if not {"counts", "counts_off", "alpha"} <= set(table.colnames):
        return None
    n_on, n_off, alpha = (
        np.asarray(table[name], dtype=float) for name in ("counts", "counts_off", "alpha")
    )
    # Without off counts Gammapy gives no alpha, and the term it belongs to is zero.
    return np.sqrt(n_on + np.where(n_off > 0, alpha, 0.0) ** 2 * n_off)


def _draw_expectation(ax: Axes, livetime, values, index: float, label: str) -> None:
    if len(values) < 2 or not np.isfinite(values[-1]) or values[-1] <= 0:
        return
    time = np.linspace(0.0, 1.05 * livetime[-1], 200)
    curve = values[-1] * (time / livetime[-1]) ** index
    ax.plot(time, curve, color=style.GREY, linestyle="--", linewidth=1.1, label=label, zorder=1)
