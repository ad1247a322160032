"""The counts spectrum against what the models predict."""

from collections.abc import Sequence

import numpy as np
from astropy.stats import poisson_conf_interval
from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
from gammapy.stats import CashCountsStatistic, WStatCountsStatistic
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ctao_sat.plotting import _style as style

__all__ = ["plot_counts"]


def plot_counts(
    dataset: SpectrumDataset | SpectrumDatasetOnOff, *, axes: Sequence[Axes] | None = None
) -> tuple[Axes, Axes]:
    r"""Plot counts, background, prediction and residuals over reconstructed energy.

    The residual of a bin is :math:`\pm\sqrt{TS}` of its counts against the prediction: Cash's
    statistic for a known background, and W statistic for a measured one, as
    `~gammapy.stats.CashCountsStatistic` and `~gammapy.stats.WStatCountsStatistic` give it. It is
    meaningful down to a few counts, unlike a difference over a square root. Without models it is
    the significance of the excess. Energies outside of the dataset's masks are shaded;
    a bin without counts has a residual, but no point.

    Parameters
    ----------
    dataset : SpectrumDataset or SpectrumDatasetOnOff
        Counts, with models or without.
    axes : sequence of Axes, shape (2,), optional
        Axes for the counts and for the residuals.

    Returns
    -------
    axes : tuple of Axes, shape (2,)
        The axes of the counts and of the residuals.

    Examples
    --------
    >>> import numpy as np
    >>> from gammapy.datasets import SpectrumDataset
    >>> from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
    >>> from ctao_sat.plotting import plot_counts
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=2)
    >>> geom = RegionGeom.create("icrs;circle(0, 0, 0.1)", axes=[energy])
    >>> dataset = SpectrumDataset(
    ...     counts=RegionNDMap.from_geom(geom, data=np.array([[[9.0]], [[3.0]]])),
    ...     background=RegionNDMap.from_geom(geom, data=np.array([[[4.0]], [[3.0]]])),
    ... )
    >>> upper, lower = plot_counts(dataset)
    >>> lower.get_xlabel()
    'Energy [TeV]'
    """
    upper, lower = _panels() if axes is None else axes
    edges = dataset.counts.geom.axes["energy"].edges.to_value("TeV")
    counts = dataset.counts.data.ravel().astype(float)
    fitted = bool(dataset.models)
    background = None if dataset.background is None else dataset.background.data.ravel()
    predicted = dataset.npred().data.ravel() if fitted else None

    tops = _draw_counts(upper, edges, counts, background, predicted)
    _draw_residuals(lower, edges, _residuals(dataset, counts, background), fitted)
    if dataset.mask is not None:
        _shade_masked(edges, dataset.mask.data.ravel().astype(bool), (upper, lower))
    if tops > 30:
        style.log_axis(upper, "y", style.plain)
        upper.set_ylim(0.3, 2.0 * tops)
    else:
        upper.set_ylim(0.0, 1.1 * max(1.0, tops))
    for ax in (upper, lower):
        style.log_axis(ax, "x", style.plain)
        ax.set_xlim(edges[0], edges[-1])
    upper.set_ylabel("Counts per bin")
    lower.set_ylabel(r"Residual [$\sigma$]" if fitted else r"Excess [$\sigma$]")
    lower.set_xlabel("Energy [TeV]")
    style.dress(upper, lower)
    style.legend_above(upper)
    upper.figure.align_ylabels([upper, lower])
    return upper, lower


def _panels() -> tuple[Axes, Axes]:
    upper = style.new_axes(height=4.8)
    return upper, style.lower_panel(upper, 0.4)


def _draw_counts(ax, edges, counts, background, predicted) -> float:
    """Draw the upper panel and return the highest thing in it."""
    low, high = np.abs(poisson_conf_interval(counts, interval="frequentist-confidence") - counts)
    centre = np.sqrt(edges[1:] * edges[:-1])
    if background is not None:
        ax.stairs(background, edges, fill=True, color=style.GREY, alpha=0.35, label="Background")
    if predicted is not None:
        ax.stairs(predicted, edges, color=style.VERMILLION, linewidth=1.4, label="Prediction")
    shown = counts > 0
    xerr = np.array([centre - edges[:-1], edges[1:] - centre])
    ax.errorbar(
        centre[shown],
        counts[shown],
        (low[shown], high[shown]),
        xerr[:, shown],
        "o",
        color=style.BLUE,
        label="Counts",
        **style.POINTS,
    )
    drawn = [
        values for values in ((counts + high)[shown], background, predicted) if values is not None
    ]
    return float(max(np.nanmax(values, initial=0.0) for values in drawn))


def _residuals(dataset, counts: np.ndarray, background: np.ndarray | None) -> np.ndarray:
    """Return the signed root of TS of each bin, NaN where there is nothing to compare with."""
    signal = dataset.npred_signal().data.ravel() if dataset.models else np.zeros_like(counts)
    if isinstance(dataset, SpectrumDatasetOnOff):
        if dataset.counts_off is None:
            return np.full(counts.shape, np.nan)
        off, alpha = dataset.counts_off.data.ravel(), dataset.alpha.data.ravel()
        usable = np.isfinite(alpha) & (alpha > 0)
        stat = WStatCountsStatistic(counts[usable], off[usable], alpha[usable], signal[usable])
    else:
        expected = dataset.npred().data.ravel() if dataset.models else background
        if expected is None:
            return np.full(counts.shape, np.nan)
        usable = np.isfinite(expected) & (expected > 0)
        stat = CashCountsStatistic(counts[usable], expected[usable])
    residuals = np.full(counts.shape, np.nan)
    residuals[usable] = stat.sqrt_ts
    return residuals


def _draw_residuals(ax: Axes, edges, residuals, fitted: bool) -> None:
    centre = np.sqrt(edges[1:] * edges[:-1])
    ax.axhline(0.0, color=style.VERMILLION if fitted else style.ink(ax), linewidth=1.2)
    for level in (-2.0, 2.0):
        ax.axhline(level, color=style.GREY, linewidth=0.7, linestyle=":")
    ax.errorbar(
        centre,
        residuals,
        xerr=(centre - edges[:-1], edges[1:] - centre),
        fmt="o",
        color=style.BLUE,
        **style.POINTS,
    )
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=(1, 2, 4, 5, 10)))
    reach = np.nanmax(np.abs(residuals), initial=0.0)
    ax.set_ylim(-max(3.4, 1.15 * reach), max(3.4, 1.15 * reach))


def _shade_masked(edges: np.ndarray, used: np.ndarray, axes: tuple[Axes, Axes]) -> None:
    """Shade the energies that do not enter the fit, each run of bins once."""
    steps = np.diff(np.concatenate([[0], (~used).astype(int), [0]]))
    label = "Not used"
    for first, last in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True):
        for ax in axes:
            ax.axvspan(
                edges[first], edges[last], color=style.GREY, alpha=0.15, linewidth=0, label=label
            )
            label = "_"
