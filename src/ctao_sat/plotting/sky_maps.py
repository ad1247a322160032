"""Maps of the sky, with what was found in them."""

from collections.abc import Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.visualization.wcsaxes import SphericalCircle, WCSAxes
from gammapy.estimators import FluxPoints
from gammapy.maps import WcsNDMap
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.stats import norm

from ctao_sat.dl5 import significance_distribution
from ctao_sat.errors import ConfigError
from ctao_sat.plotting import _style as style

__all__ = ["plot_flux_profile", "plot_significance_distribution", "plot_sky_map"]

# Most of the values that are shown in full colour.
_RANGE = 99.5


def plot_sky_map(
    image: WcsNDMap,
    *,
    label: str = "Counts",
    sources: Table | None = None,
    contours: WcsNDMap | None = None,
    levels: Sequence[float] = (5, 10, 15),
    beam: u.Quantity | None = None,
    symmetric: bool | None = None,
    ax: WCSAxes | None = None,
) -> WCSAxes:
    """Plot a map of counts, excess, significance, residuals or TS.

    Parameters
    ----------
    image : `~gammapy.maps.WcsNDMap`
        Of one energy bin. NaN stays empty.
    label : str
        What it is, for the colour bar, with its unit.
    sources : Table, optional
        Of `ctao_sat.dl5.find_sources`: crosses with names, and circles of the size of those that
        are extended.
    contours : `~gammapy.maps.WcsNDMap`, optional
        Another map of one energy bin, such as one of significance.
    levels : sequence of float
        Of the contours.
    beam : Quantity[angle], optional
        Radius of a circle in the lower left corner: of correlation, or of the PSF.
    symmetric : bool, optional
        Whether zero is white, red is above and blue is below; by default if a value is negative.
    ax : WCSAxes, optional
        Axes with a sky projection to draw on.

    Returns
    -------
    ax : WCSAxes
        The axes drawn on.

    Raises
    ------
    ConfigError
        If the map has several energy bins, or ``ax`` has no sky projection.

    Examples
    --------
    >>> import numpy as np
    >>> from gammapy.maps import WcsNDMap
    >>> from ctao_sat.plotting import plot_sky_map
    >>> image = WcsNDMap.create(npix=20, binsz=0.1, frame="galactic", unit="")
    >>> plot_sky_map(image).get_xlabel()
    'Galactic longitude'
    """
    image = _plane(image)
    if ax is None:
        ax = style.new_figure(6.4, 5.4).add_subplot(projection=image.geom.wcs)
    elif not isinstance(ax, WCSAxes):
        raise ConfigError(
            "A map of the sky needs axes with a sky projection.",
            remedy="Leave `ax` out, or make it with `add_subplot(projection=wcs)`.",
        )
    shown = ax.imshow(
        image.data,
        origin="lower",
        interpolation="nearest",
        transform=ax.get_transform(image.geom.wcs),
        **_colours(image, symmetric),
    )
    limits = ax.get_xlim(), ax.get_ylim()
    handles: list[Artist] = []
    if contours is not None:
        handles.append(_draw_contours(ax, _plane(contours), levels))
    if beam is not None:
        handles.append(_draw_beam(ax, image, u.Quantity(beam, "deg")))
    if sources is not None and len(sources):
        handles.append(_draw_sources(ax, sources))
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    ax.figure.colorbar(shown, ax=ax, label=label, pad=0.02, fraction=0.046)
    style.sky_labels(ax)
    if handles:
        ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=3,
            frameon=False,
            columnspacing=1.4,
            borderaxespad=0.2,
        )
    return ax


def plot_significance_distribution(
    significance: WcsNDMap,
    exclusion: WcsNDMap | None = None,
    *,
    correlation_radius: u.Quantity | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the significances of all pixels, of those outside the exclusion, and a normal fit.

    Parameters
    ----------
    significance : `~gammapy.maps.WcsNDMap`
        See `ctao_sat.dl5.significance_map`.
    exclusion : `~gammapy.maps.WcsNDMap`, optional
        Mask of an image, false where there are sources.
    correlation_radius : Quantity[angle], optional
        That of the map, for the errors of mean and width.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.

    Raises
    ------
    DataError
        If no pixel is left.
    """
    ax = style.new_axes() if ax is None else ax
    fitted = significance_distribution(
        significance, exclusion, correlation_radius=correlation_radius
    )
    every = significance_distribution(significance)["values"]
    values = fitted["values"]
    edges = np.arange(np.floor(min(every.min(), -5.0)), max(every.max(), 5.0) + 0.25, 0.25)
    look: dict[str, Any] = {"bins": edges, "histtype": "step"}
    ax.hist(every, color=style.GREY, label="All pixels", **look)
    if exclusion is not None:
        ax.hist(values, color=style.BLUE, linewidth=1.4, label="Outside exclusion", **look)
    x = np.linspace(-5, 5, 300)
    scale = len(values) * 0.25
    error = (
        rf"$\mu={fitted['mean']:.3f}\pm{fitted['mean_err']:.3f}$, "
        rf"$\sigma={fitted['std']:.3f}\pm{fitted['std_err']:.3f}$"
    )
    curve = scale * norm.pdf(x, fitted["mean"], fitted["std"])
    ax.plot(x, curve, color=style.VERMILLION, label=f"Fit: {error}")
    normal = scale * norm.pdf(x)
    ax.plot(x, normal, color=style.GREY, linestyle="--", label="Standard normal")
    style.log_axis(ax, "y", style.plain)
    ax.set_ylim(0.5, None)
    ax.set_xlabel(r"Significance [$\sigma$]")
    ax.set_ylabel("Pixels")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def plot_flux_profile(profile: FluxPoints, *, ax: Axes | None = None) -> Axes:
    """Plot the flux in regions over their distance, a colour for each energy bin.

    Parameters
    ----------
    profile : `~gammapy.estimators.FluxPoints`
        Of `ctao_sat.dl5.flux_profile` or `ctao_sat.dl5.radial_profile`. Where the significance is
        below the threshold of limits, and there is one, a limit is drawn.
    ax : Axes, optional
        Axes to draw on.

    Returns
    -------
    ax : Axes
        The axes drawn on.
    """
    ax = style.new_axes() if ax is None else ax
    axis, energy = profile.geom.axes["projected-distance"], profile.geom.axes["energy"]
    distance = axis.center.to_value("deg")
    width = np.abs(distance - axis.edges.to_value("deg")[:-1])
    power = _power(profile)
    for i in range(energy.nbin):
        colour = style.SERIES[i % len(style.SERIES)]
        low, high = energy.edges[i], energy.edges[i + 1]
        flux, error = (_row(profile, name, i) / 10.0**power for name in ("flux", "flux_err"))
        limit = profile.is_ul.data[..., i, 0, 0].ravel()
        limit &= "norm_ul" in profile.available_quantities
        ax.errorbar(
            distance[~limit],
            flux[~limit],
            error[~limit],
            width[~limit],
            fmt=style.MARKERS[i % len(style.MARKERS)],
            color=colour,
            label=f"{low.value:.3g}\N{EN DASH}{high.value:.3g} {high.unit}",
            **style.POINTS,
        )
        if limit.any():
            bound = _row(profile, "flux_ul", i)[limit] / 10.0**power
            text = style.LIMITS if i == 0 else ""
            length = 0.3 * np.abs(bound)
            style.draw_limits(ax, distance[limit], bound, length=length, xerr=width[limit],
                              colour=colour, label=text)  # fmt: skip
    ax.axhline(0.0, color=style.ink(ax), linewidth=0.8)
    ax.set_xlabel("Distance [deg]")
    ax.set_ylabel(rf"Flux [$10^{{{power}}}$ {style.unit_label('cm-2 s-1')}]")
    style.dress(ax)
    style.legend_above(ax)
    return ax


def _power(profile: FluxPoints) -> int:
    """Return the power of ten of the largest flux: all are near it, and their axis is linear."""
    largest = np.nanmax(np.abs(profile.flux.quantity.to_value("cm-2 s-1")), initial=1e-30)
    return int(np.floor(np.log10(largest)))


def _row(profile: FluxPoints, name: str, i: int) -> np.ndarray:
    return getattr(profile, name).quantity[..., i, 0, 0].to_value("cm-2 s-1").ravel()


def _plane(image: WcsNDMap) -> WcsNDMap:
    if image.data.ndim > 2 and image.data.shape[0] > 1:
        raise ConfigError(
            f"A map of {image.data.shape[0]} energy bins.",
            remedy="Take one, as `image.slice_by_idx({'energy': 0})`, or add them up.",
        )
    return image.sum_over_axes(keepdims=False) if image.data.ndim > 2 else image


def _colours(image: WcsNDMap, symmetric: bool | None) -> dict[str, Any]:
    values = image.data[np.isfinite(image.data)]
    if values.size == 0:
        return {"cmap": "viridis"}
    if values.min() < 0 if symmetric is None else symmetric:
        # At least 5: what is no more than noise stays pale.
        top = max(5.0, float(np.percentile(np.abs(values), _RANGE)))
        return {"cmap": "RdBu_r", "vmin": -top, "vmax": top}
    return {
        "cmap": "viridis",
        "vmin": 0.0,
        "vmax": max(float(np.percentile(values, _RANGE)), 1e-300),
    }


def _draw_contours(ax: WCSAxes, image: WcsNDMap, levels: Sequence[float]) -> Line2D:
    drawn = [level for level in levels if level < np.nanmax(image.data)]
    if drawn:
        ax.contour(
            image.data,
            levels=drawn,
            colors=[style.GREEN],
            linewidths=1.0,
            transform=ax.get_transform(image.geom.wcs),
        )
    text = ", ".join(f"{level:g}" for level in levels)
    return Line2D([], [], color=style.GREEN, linewidth=1.0, label=f"Contours: {text}")


def _draw_beam(ax: WCSAxes, image: WcsNDMap, radius: u.Quantity) -> Line2D:
    size = (radius / image.geom.pixel_scales).to_value("").max()
    corner = SkyCoord.from_pixel(1.4 * size + 1, 1.4 * size + 1, image.geom.wcs)
    ax.add_patch(_circle(ax, corner, radius, edgecolor=style.ORANGE, linewidth=1.5))
    return _ring(style.ORANGE, f"{radius.to_value('deg'):.2g} deg")


def _draw_sources(ax: WCSAxes, sources: Table) -> Line2D:
    frame = sources.meta.get("frame", "icrs")
    for row in sources:
        place = SkyCoord(u.Quantity(row["lon"], "deg"), u.Quantity(row["lat"], "deg"), frame=frame)
        x, y = place.to_pixel(ax.wcs)
        ax.plot(x, y, "x", color="black", markersize=6, markeredgewidth=1.4)
        ax.annotate(
            str(row["name"]),
            (x, y),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize="small",
            color="black",
            # A dollar in a name is no formula.
            parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 1},
        )
        sigma = u.Quantity(row["sigma"], "deg")
        if np.isfinite(sigma):
            ax.add_patch(_circle(ax, place, sigma, edgecolor="black", linestyle="--"))
    return Line2D([], [], color="black", marker="x", linestyle="none", label="Sources")


def _circle(ax: WCSAxes, centre: SkyCoord, radius: u.Quantity, **look) -> SphericalCircle:
    place = centre.icrs
    return SphericalCircle(
        (place.ra, place.dec),
        radius,
        facecolor="none",
        transform=ax.get_transform("icrs"),
        **look,
    )


def _ring(colour: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker="o", markersize=9, markerfacecolor="none",
                  markeredgecolor=colour, markeredgewidth=1.5, label=label)  # fmt: skip
