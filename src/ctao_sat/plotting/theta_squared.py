"""The theta-squared plot: counts against the squared distance to a position."""

import astropy.units as u
import numpy as np
from astropy.stats import poisson_conf_interval
from astropy.table import Table
from gammapy.stats import WStatCountsStatistic
from matplotlib.axes import Axes

from ctao_sat.plotting import _style as style

__all__ = ["plot_theta_squared"]


def plot_theta_squared(table: Table, *, radius=None, ax: Axes | None = None) -> Axes:
    r"""Plot on counts, normalised off counts and their difference around a position.

    Errors of the counts are the central 68.3 % Poisson intervals (Garwood, 1936). With ``radius``
    the numbers inside of it are written into the plot, with the significance of Li & Ma (1983),
    equation 17, as `~gammapy.stats.WStatCountsStatistic` gives it. They are sums over bins, to the
    edge nearest to the squared radius; the edge is written with them.

    Parameters
    ----------
    table : Table, shape (n,)
        Of `gammapy.makers.utils.ThetaSquaredTable`; columns ``theta2_min``, ``theta2_max``,
        ``counts``, ``counts_off``, ``alpha`` and, optionally, ``excess_errn``, ``excess_errp``.
    radius : Quantity[angle] or str, optional
        Radius of the on region.
    ax : Axes, optional
        Axes to draw on; a panel for the excess is split off at their bottom.

    Returns
    -------
    ax : Axes
        The axes of the counts. Those of the excess are the last of ``ax.figure.axes``.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import Table
    >>> from ctao_sat.plotting import plot_theta_squared
    >>> table = Table(
    ...     {
    ...         "theta2_min": [0.0, 0.01] * u.deg**2,
    ...         "theta2_max": [0.01, 0.02] * u.deg**2,
    ...         "counts": [12, 3],
    ...         "counts_off": [4.0, 6.0],
    ...         "alpha": [0.5, 0.5],
    ...     }
    ... )
    >>> ax = plot_theta_squared(table, radius="0.1 deg")
    >>> ax.get_ylabel()
    'Counts per bin'
    """
    ax = style.new_axes(height=4.8) if ax is None else ax
    panel = style.lower_panel(ax, 0.4)
    edges = _edges(table)
    n_on = np.asarray(table["counts"], dtype=float)
    n_off = np.asarray(table["counts_off"], dtype=float)
    alpha = np.asarray(table["alpha"], dtype=float)
    centre, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)

    on_top = _draw_counts(ax, edges, n_on, n_off, alpha)
    low, high = _excess_error(table, n_on, n_off, alpha)
    panel.axhline(0.0, color=style.ink(ax), linewidth=0.8)
    panel.errorbar(
        centre, n_on - alpha * n_off, (low, high), half, "o", color=style.BLUE, **style.POINTS
    )
    if radius is not None:
        squared = u.Quantity(radius).to_value("deg") ** 2
        for each in (ax, panel):
            each.axvline(squared, color=style.ink(ax), linestyle="--", linewidth=1.0)
        _write_statistics(ax, edges, n_on, n_off, alpha, squared)
    # The numbers stand above the data, never on them.
    ax.set_ylim(0.0, max(1.0, on_top) * (1.08 if radius is None else 1.55))
    panel.set_xlim(edges[0], edges[-1])
    ax.set_ylabel("Counts per bin")
    panel.set_ylabel("Excess")
    panel.set_xlabel(r"$\theta^2$ [deg$^2$]")
    style.dress(ax, panel)
    style.legend_above(ax)
    ax.figure.align_ylabels([ax, panel])
    return ax


def _edges(table: Table) -> np.ndarray:
    low = u.Quantity(table["theta2_min"], "deg2").value
    high = u.Quantity(table["theta2_max"], "deg2").value
    return np.append(low, high[-1])


def _draw_counts(ax, edges, n_on, n_off, alpha) -> float:
    """Draw on counts as points and off counts as steps; return the highest error bar."""
    centre, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    off = alpha * n_off
    low, high = alpha * _poisson_error(n_off)
    ax.stairs(off, edges, fill=True, color=style.GREY, alpha=0.35, label=r"Off $\times\ \alpha$")
    ax.errorbar(centre, off, (low, high), fmt="none", ecolor=style.GREY, elinewidth=1.1)
    tallest = np.max(off + high, initial=0.0)
    low, high = _poisson_error(n_on)
    ax.errorbar(centre, n_on, (low, high), half, "o", color=style.BLUE, label="On", **style.POINTS)
    return float(max(tallest, np.max(n_on + high, initial=0.0)))


def _poisson_error(counts: np.ndarray) -> np.ndarray:
    """Return the lower and upper 68.3 % errors, shape (2, n)."""
    interval = poisson_conf_interval(counts, interval="frequentist-confidence")
    return np.abs(interval - counts)


def _excess_error(table: Table, n_on, n_off, alpha) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of the table, and Gaussian ones where it has none."""
    gauss = np.sqrt(n_on + alpha**2 * n_off)
    errors = []
    for name in ("excess_errn", "excess_errp"):
        given = np.asarray(table[name], dtype=float) if name in table.colnames else gauss
        errors.append(np.where(np.isfinite(given), np.abs(given), gauss))
    return errors[0], errors[1]


def _write_statistics(ax, edges, n_on, n_off, alpha, squared) -> None:
    last = max(1, int(np.argmin(np.abs(edges - squared))))
    on, off = n_on[:last].sum(), n_off[:last].sum()
    background = float(np.sum(alpha[:last] * n_off[:last]))
    # Bins can differ in alpha: the ratio that keeps the background is the one to quote.
    ratio = background / off if off > 0 else float(np.mean(alpha[:last]))
    stat = WStatCountsStatistic(on, off, ratio)
    digits = 1 if stat.error < 10 else 0
    lines = (
        rf"$\theta^2 < {edges[last]:.4g}$ deg$^2$",
        rf"$N_\mathrm{{on}} = {on:.0f}$,  $N_\mathrm{{off}} = {off:.0f}$,  $\alpha = {ratio:.3g}$",
        rf"Excess $= {float(stat.n_sig):.{digits}f} \pm {float(stat.error):.{digits}f}$",
        rf"Significance (Li & Ma) $= {float(stat.sqrt_ts):.1f}\,\sigma$",
    )
    ax.text(
        0.98, 0.95, "\n".join(lines), transform=ax.transAxes, ha="right", va="top", linespacing=1.5
    )
