"""The regions of counts on the sky: on, off, excluded, and where the telescopes pointed."""

from collections.abc import Iterable
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.visualization.wcsaxes import WCSAxes
from gammapy.maps import Map, WcsGeom, WcsNDMap
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from regions import CompoundSkyRegion, PointSkyRegion, SkyRegion

from ctao_sat._gammapy import compound_region_to_regions
from ctao_sat.errors import ConfigError
from ctao_sat.plotting import _style as style

__all__ = ["plot_regions"]


def plot_regions(
    datasets: Iterable,
    exclusion: WcsNDMap | Iterable[SkyRegion] | None = None,
    *,
    pointings: SkyCoord | Iterable[SkyCoord] | None = None,
    ax: WCSAxes | None = None,
) -> WCSAxes:
    """Plot on regions, off regions of all runs, exclusion regions and pointings on the sky.

    Parameters
    ----------
    datasets : Datasets or iterable of SpectrumDatasetOnOff
        Their counts and off counts know their regions.
    exclusion : WcsNDMap or iterable of SkyRegion, optional
        A mask, False where excluded, as Gammapy's background makers take it; or the regions.
    pointings : SkyCoord or iterable of SkyCoord, optional
        Where the telescopes pointed.
    ax : WCSAxes, optional
        Axes with a sky projection to draw on.

    Returns
    -------
    ax : WCSAxes
        The axes drawn on.

    Raises
    ------
    ConfigError
        If there is no region to show, or if ``ax`` has no sky projection.

    Examples
    --------
    >>> from gammapy.datasets import SpectrumDataset
    >>> from gammapy.maps import MapAxis, RegionGeom
    >>> from ctao_sat.plotting import plot_regions
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1)
    >>> geom = RegionGeom.create("icrs;circle(83.6, 22.0, 0.1)", axes=[energy])
    >>> plot_regions([SpectrumDataset.create(geom)]).get_xlabel()
    'Right ascension'
    """
    datasets = list(datasets)
    on = _regions(dataset.counts for dataset in datasets)
    if not on:
        raise ConfigError("There is no on region to show.", remedy="Give datasets with regions.")
    off = _regions(getattr(dataset, "counts_off", None) for dataset in datasets)
    pointing = _coordinates(pointings)
    if ax is None:
        ax = _sky_axes([*on, *off], pointing)
    elif not isinstance(ax, WCSAxes):
        raise ConfigError(
            "Regions need axes with a sky projection.",
            remedy="Leave `ax` out, or make it with `add_subplot(projection=wcs)`.",
        )
    handles: list[Artist] = [*_draw_exclusion(ax, exclusion)]
    _draw(ax, off, style.BLUE, linewidth=0.9)
    _draw(ax, on, style.VERMILLION, linewidth=1.8)
    handles.append(_entry("On region", style.VERMILLION, 1.8))
    if off:
        handles.append(_entry("Off regions", style.BLUE, 0.9))
    if pointing.size:
        look: dict[str, Any] = {
            "marker": "+",
            "color": style.ink(ax),
            "linestyle": "none",
            "label": "Pointings",
        }
        ax.plot(pointing.ra.deg, pointing.dec.deg, transform=ax.get_transform("icrs"), **look)
        handles.append(Line2D([], [], **look))
    style.sky_labels(ax)
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=2,
        frameon=False,
        columnspacing=1.4,
        borderaxespad=0.2,
    )
    return ax


def _regions(maps: Iterable[Map | None]) -> list[SkyRegion]:
    """Return the simple regions of all maps, each one once."""
    found: list[SkyRegion] = []
    for each in maps:
        region = None if each is None else each.geom.region
        if isinstance(region, CompoundSkyRegion):
            found.extend(compound_region_to_regions(region))
        elif region is not None:
            found.append(region)
    return list({repr(region): region for region in found}.values())


def _coordinates(pointings) -> SkyCoord:
    """Return one array of ICRS positions, empty without pointings."""
    if pointings is None:
        pointings = []
    if isinstance(pointings, SkyCoord):
        pointings = [pointings]
    each = [coordinate.icrs for coordinate in pointings]
    ra = [np.ravel(part.ra.deg) for part in each]
    dec = [np.ravel(part.dec.deg) for part in each]
    return SkyCoord(np.concatenate([[], *ra]), np.concatenate([[], *dec]), unit="deg")


def _centre(region: SkyRegion) -> SkyCoord:
    """Return the centre, of the vertices for a polygon."""
    centre = getattr(region, "center", None)
    if centre is None:
        centre = SkyCoord(region.vertices.cartesian.mean(), frame=region.vertices.frame)
    return centre.icrs


def _sky_axes(regions: list[SkyRegion], pointing: SkyCoord) -> WCSAxes:
    """Return new axes in ICRS, centred on the first region and wide enough for all of them."""
    centre = _centre(regions[0])
    reach = max(centre.separation(_centre(region)).deg for region in regions)
    if pointing.size:
        reach = max(reach, float(centre.separation(pointing).deg.max()))
    sizes = [getattr(region, "radius", 0.1 * u.deg).to_value("deg") for region in regions]
    width = 2.0 * (reach + max(sizes)) * 1.12
    geom = WcsGeom.create(skydir=centre, width=width, binsz=width / 400, frame="icrs", proj="TAN")
    figure = style.new_figure(5.4, 5.4)
    ax = figure.add_subplot(projection=geom.wcs)
    ax.set_aspect("equal")
    ax.set_xlim(-0.5, 399.5)
    ax.set_ylim(-0.5, 399.5)
    return ax


def _draw(ax: WCSAxes, regions: list[SkyRegion], colour: str, linewidth: float) -> None:
    for region in regions:
        pixels = region.to_pixel(ax.wcs)
        if isinstance(region, PointSkyRegion):
            ax.plot(pixels.center.x, pixels.center.y, "x", color=colour, markeredgewidth=linewidth)
        else:
            ax.add_artist(pixels.as_artist(fill=False, edgecolor=colour, linewidth=linewidth))


def _draw_exclusion(ax: WCSAxes, exclusion) -> list[Artist]:
    """Draw a mask or regions; return the legend entry."""
    look: dict[str, Any] = {"facecolor": style.GREY, "alpha": 0.3, "linewidth": 0}
    if exclusion is None:
        return []
    if isinstance(exclusion, Map):
        excluded = ~exclusion.data.astype(bool).reshape(exclusion.data.shape[-2:])
        if not excluded.any():
            return []
        limits = ax.get_xlim(), ax.get_ylim()
        ax.contourf(
            excluded.astype(float),
            levels=[0.5, 1.5],
            colors=[style.GREY],
            alpha=0.3,
            transform=ax.get_transform(exclusion.geom.wcs),
        )
        # The mask is often much larger than what there is to see.
        ax.set_xlim(limits[0])
        ax.set_ylim(limits[1])
    else:
        for region in exclusion:
            ax.add_artist(region.to_pixel(ax.wcs).as_artist(**look))
    return [Patch(label="Excluded", **look)]


def _entry(label: str, colour: str, linewidth: float) -> Line2D:
    """Return a legend entry: a circle, as regions mostly are."""
    return Line2D(
        [],
        [],
        linestyle="none",
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=colour,
        markeredgewidth=linewidth,
        label=label,
    )
