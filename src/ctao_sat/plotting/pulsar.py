"""Events over the phase of a pulsar."""

import warnings
from collections.abc import Callable
from typing import Any

import astropy.units as u
import numpy as np
from astropy.time import Time
from erfa import ErfaWarning
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from numpy.typing import ArrayLike

from ctao_sat.errors import ConfigError
from ctao_sat.plotting import _style as style
from ctao_sat.pulsar import PhaseRegions
from ctao_sat.pulsar._bootstrap import profile_bins
from ctao_sat.pulsar._periodicity import checked_phases, checked_weights

__all__ = ["plot_phaseogram", "plot_profile"]

Density = Callable[[np.ndarray], ArrayLike]


# Seconds without an event after which another night, or another source, may lie between.
_GAP = 3600.0
_COUNTS_A_CELL = 8
_CELLS = (10, 50)
_ROWS = (6, 40)
# More dates do not fit beside the axes.
_DATES = 14
_FILL = {"On": (style.BLUE, 0.16), "Off": (style.GREY, 0.22)}


def plot_profile(
    phases: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    regions: PhaseRegions | None = None,
    model: Density | None = None,
    n_bins: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Plot events over phase, twice the same cycle.

    Error bars are :math:`\sqrt{\sum w^2}`, without weights the root of the counts. The counts axis
    begins near the lowest bin, not at zero: pulses may be a per cent of the background.

    Parameters
    ----------
    phases : array of float, shape (n,)
        In turns; their fraction counts.
    weights : array of float, shape (n,), optional
        Weight of each event.
    regions : `~ctao_sat.pulsar.PhaseRegions`, optional
        On and off regions, shaded. The dashed line is the level in the off regions.
    model : callable, optional
        Density of events over phases in [0, 1): a function of an array, with the integral 1.
    n_bins : int, optional
        Bins a cycle; by default 10 to 50, about 25 counts in each.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Raises
    ------
    SelectionError, DataError
        If there is no phase, or one is not finite.
    ConfigError
        If there is not one weight for each, or there is no bin.

    Examples
    --------
    >>> import numpy as np
    >>> from ctao_sat.plotting import plot_profile
    >>> plot_profile(np.array([0.1, 0.12, 0.6])).get_xlabel()
    'Phase [turns]'
    """
    turns = checked_phases(phases)
    weight = _weights(weights, len(turns))
    _check_bins(n_bins)
    ax = style.new_axes(width=7.2, height=4.0) if ax is None else ax
    n_bins = profile_bins(len(turns)) if n_bins is None else n_bins
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    counts = np.histogram(turns, edges, weights=weight)[0]
    error = np.sqrt(np.histogram(turns, edges, weights=weight**2)[0])
    level = _off_level(turns, weight, regions) if regions is not None and regions.off else None

    _mark_regions(ax, regions)
    twice = np.concatenate([edges, edges[1:] + 1.0])
    ax.stairs(np.tile(counts, 2), twice, baseline=None, color=style.BLUE, linewidth=1.4)
    centre = 0.5 * (twice[1:] + twice[:-1])
    ax.errorbar(
        centre,
        np.tile(counts, 2),
        np.tile(error, 2),
        fmt="o",
        color=style.BLUE,
        label="Events" if np.all(weight == 1.0) else "Events, weighted",
        **style.POINTS | {"markersize": 3.0},
    )
    if level is not None:
        look: dict[str, Any] = {"linestyle": "--", "linewidth": 1.1, "color": style.ink(ax)}
        ax.axhline(level / n_bins, label="Level of the off regions", **look)
    low, high = float(np.min(counts - error)), float(np.max(counts + error))
    if model is not None:
        high = max(high, _draw_model(ax, model, weight.sum() / n_bins))
    margin = 0.12 * (high - low)
    ax.set_ylim(max(0.0, low - margin), high + margin)
    ax.set_xlim(0.0, 2.0)
    ax.set_xlabel("Phase [turns]")
    ax.set_ylabel(f"Events per {1 / n_bins:.3g} turn")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def plot_phaseogram(
    phases: ArrayLike,
    times: Time,
    *,
    weights: ArrayLike | None = None,
    regions: PhaseRegions | None = None,
    n_bins: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot events over phase and time, twice the same cycle.

    A pulse whose ephemeris is right stands upright; one with a wrong frequency leans. The colour is
    the number of events over the mean of the row, so that short rows compare with long ones.
    Gaps of an hour or more without events are cut out, and marked by lines.

    Parameters
    ----------
    phases : array of float, shape (n,)
        In turns; their fraction counts.
    times : `~astropy.time.Time`, shape (n,)
        When the events were, in any order.
    weights : array of float, shape (n,), optional
        Weight of each event.
    regions : `~ctao_sat.pulsar.PhaseRegions`, optional
        On and off regions, marked by lines.
    n_bins : int, optional
        Bins a cycle; by default 10 to 50, as counts allow.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on. Their y coordinates are minutes of observation, or hours if there are
        gaps, where dates label them.

    Raises
    ------
    SelectionError, DataError
        If there is no phase, or one is not finite.
    ConfigError
        If there is not one time and one weight for each, or there is no bin.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from astropy.time import Time
    >>> from ctao_sat.plotting import plot_phaseogram
    >>> times = Time("2028-01-01") + np.arange(3) * u.min
    >>> plot_phaseogram(np.array([0.1, 0.12, 0.6]), times).get_ylabel()
    'Time after 2028-01-01 00:00 UTC [min]'
    """
    turns = checked_phases(phases)
    weight = _weights(weights, len(turns))
    if times.shape != turns.shape:
        raise ConfigError(
            f"There are {times.size} times for {len(turns)} phases.", remedy="Give one for each."
        )
    _check_bins(n_bins)
    ax = style.new_axes(width=7.2, height=5.2) if ax is None else ax
    first, seconds = _elapsed(times)
    start, stop = _segments(np.sort(seconds))
    n_bins = _cells(len(turns)) if n_bins is None else n_bins
    bottom = np.concatenate([[0.0], np.cumsum(stop - start)])
    scale = 60.0 if len(start) == 1 else 3600.0
    n_rows = np.clip(len(turns) / _COUNTS_A_CELL / n_bins, *_ROWS)
    brightest = 0.0
    meshes = []
    for k in range(len(start)):
        number = max(1, round(n_rows * (stop[k] - start[k]) / bottom[-1]))
        rows = np.linspace(start[k], stop[k], number + 1)
        image = _image(turns, seconds, weight, rows, n_bins)
        brightest = max(brightest, float(np.fmax.reduce(image, axis=None, initial=0.0)))
        y = (rows - start[k] + bottom[k]) / scale
        meshes.append(_draw_image(ax, image, y))
    for mesh in meshes:
        mesh.set_clim(0.0, brightest)
    ax.figure.colorbar(meshes[0], ax=ax, label="Events / mean of the row", pad=0.02)
    _label_times(ax, first + start * u.s, bottom / scale)
    ax.set_xlim(0.0, 2.0)
    ax.set_ylim(0.0, bottom[-1] / scale)
    ax.set_xlabel("Phase [turns]")
    _mark_borders(ax, regions)
    style.dress(ax)
    style.legend_above(ax)
    return ax


def _check_bins(n_bins: int | None) -> None:
    if n_bins is not None and n_bins < 1:
        raise ConfigError(f"There are no {n_bins} bins.", remedy="Take at least 1.")


def _cells(n_events: int) -> int:
    return int(np.clip(np.sqrt(n_events / _COUNTS_A_CELL), *_CELLS))


def _weights(weights: ArrayLike | None, n_events: int) -> np.ndarray:
    return np.ones(n_events) if weights is None else checked_weights(weights, n_events)


def _off_level(phases: np.ndarray, weights: np.ndarray, regions: PhaseRegions) -> float:
    """Return the weight a turn that the off regions see."""
    return float(weights[regions.off_mask(phases)].sum()) / regions.width_off


def _cycles(intervals) -> list[tuple[float, float]]:
    """Return the intervals as they show on axes from 0 to 2."""
    moved = [(low + k, high + k) for low, high in intervals for k in (-1, 0, 1)]
    return [(max(low, 0.0), min(high, 2.0)) for low, high in moved if high > 0 and low < 2]


def _mark_regions(ax: Axes, regions: PhaseRegions | None) -> None:
    if regions is None:
        return
    for label, intervals in (("On", regions.on), ("Off", regions.off)):
        colour, alpha = _FILL[label]
        for low, high in _cycles(intervals):
            ax.axvspan(low, high, color=colour, alpha=alpha, linewidth=0, zorder=0, label=label)
            label = "_"


def _mark_borders(ax: Axes, regions: PhaseRegions | None) -> None:
    """Draw the borders of regions: shades would change the colours of the image."""
    if regions is None:
        return
    for label, intervals, line in (("On", regions.on, "-"), ("Off", regions.off, ":")):
        for border in sorted({edge + k for pair in intervals for edge in pair for k in (-1, 0, 1)}):
            ax.axvline(border, color=style.VERMILLION, linestyle=line, linewidth=1.2, label=label)
            label = "_"


def _draw_model(ax: Axes, model: Density, scale: float) -> float:
    """Draw a density of phases as events a bin, and return its highest value."""
    phase = np.linspace(0.0, 1.0, 1001)[:-1]
    density = scale * np.asarray(model(phase), dtype=float)
    ax.plot(
        np.concatenate([phase, phase + 1.0]),
        np.tile(density, 2),
        color=style.VERMILLION,
        linewidth=1.6,
        label="Fit",
        zorder=3,
    )
    return float(density.max())


def _elapsed(times: Time) -> tuple[Time, np.ndarray]:
    """Return the first of the times, and the seconds after it of all."""
    with warnings.catch_warnings():
        # Leap seconds to come are unknown: of no weight in a plot.
        warnings.simplefilter("ignore", ErfaWarning)
        terrestrial = times.tt
    first = terrestrial.min()
    return first, (terrestrial - first).to_value("s")


def _segments(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last time of each group of events without long gaps."""
    gaps = np.flatnonzero(np.diff(seconds) > _GAP)
    start = seconds[np.concatenate([[0], gaps + 1])]
    stop = seconds[np.concatenate([gaps, [len(seconds) - 1]])]
    # A row has a height, also that of a single event.
    return start, np.maximum(stop, start + 1.0)


def _image(turns, seconds, weight, rows: np.ndarray, n_bins: int) -> np.ndarray:
    bins = (rows, np.linspace(0.0, 1.0, n_bins + 1))
    counts = np.histogram2d(seconds, turns, bins, weights=weight)[0]
    mean = counts.mean(axis=1, keepdims=True)
    return np.divide(counts, mean, out=np.full(counts.shape, np.nan), where=mean > 0)


def _draw_image(ax: Axes, image: np.ndarray, y: np.ndarray) -> QuadMesh:
    x = np.linspace(0.0, 2.0, 2 * image.shape[1] + 1)
    return ax.pcolormesh(x, y, np.tile(image, 2), cmap="viridis", rasterized=True)


def _label_times(ax: Axes, starts: Time, borders: np.ndarray) -> None:
    """Label the time axis: minutes of one group of events, or the dates of several."""
    if len(starts) == 1:
        ax.set_ylabel(f"Time after {_utc(starts[0])[:16]} UTC [min]")
        return
    for border in borders[1:-1]:
        ax.axhline(border, color="white", linewidth=1.2)
    every = -(-len(starts) // _DATES)
    middle = 0.5 * (borders[1:] + borders[:-1])
    ax.set_yticks(middle[::every], [_utc(time)[:10] for time in starts[::every]])
    ax.set_ylabel("Start of observation (UTC), gaps cut out")


def _utc(time: Time) -> str:
    with warnings.catch_warnings():
        # As above.
        warnings.simplefilter("ignore", ErfaWarning)
        return str(time.utc.iso)
