"""Known sources from Gammapy's catalogues, region files and masks as one exclusion mask."""

import functools
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import astropy.units as u
from astropy.coordinates import SkyCoord
from astropy.utils.exceptions import AstropyUserWarning
from gammapy.catalog import CATALOG_REGISTRY, SourceCatalog, SourceCatalogObject
from gammapy.maps import Map, WcsGeom, WcsNDMap
from gammapy.modeling.models import SpatialModel
from regions import CircleSkyRegion, Region, Regions, SkyRegion

from ctao_sat._gammapy import source_names
from ctao_sat.errors import (
    ConfigError,
    FileFormatError,
    MissingDataError,
    SourceNotFoundError,
    did_you_mean,
)

_NOT_THIS_FORMAT = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)

__all__ = ["catalog_regions", "exclusion_mask", "find_source"]

# Not 1LHAASO, which has two shapes for a source, nor the pulsar catalogues, which have none.
_CATALOGS = ("gamma-cat", "hgps", "3hwc", "2hwc", "3fhl", "4fgl", "3fgl", "2fhl")


def find_source(name: str, *, catalogs: Sequence[str] = ("gamma-cat", "hgps")) -> SkyCoord:
    """Return the position of a source by its name in Gammapy's catalogues.

    Parameters
    ----------
    name : str
        Any of the names a catalogue gives to the source; case and blanks do not matter.
    catalogs : sequence of str
        Names of Gammapy catalogues, asked in this order.

    Returns
    -------
    position : `~astropy.coordinates.SkyCoord`
        ICRS position.

    Raises
    ------
    SourceNotFoundError
        If no catalogue knows the name; the nearest one is named.
    MissingDataError
        If the catalogues are not there.
    """
    known: dict[str, str] = {}
    partial: dict[str, SkyCoord] = {}
    for catalog_name in catalogs:
        catalog = _read_catalog(catalog_name)
        for row in range(len(catalog.table)):
            for alias in source_names(catalog, row):
                key = _plain(alias)
                if key == _plain(name):
                    return catalog[row].position.icrs
                known.setdefault(key, alias)
                if key.startswith(_plain(name)):
                    partial.setdefault(catalog.source_name(row), catalog[row].position.icrs)
    if len(partial) == 1:
        return next(iter(partial.values()))
    candidates = list(partial) or list(known.values())
    raise SourceNotFoundError(
        f"No source '{name}' in {', '.join(catalogs)}.",
        remedy=did_you_mean(name, candidates) + " Or give a position.",
    )


def _plain(name: str) -> str:
    return "".join(name.lower().split())


def _read_catalog(name: str) -> SourceCatalog:
    if name not in _CATALOGS:
        raise ConfigError(
            f"There is no source catalogue '{name}'.", remedy=did_you_mean(name, _CATALOGS)
        )
    if not os.environ.get("GAMMAPY_DATA"):
        raise MissingDataError(
            f"The catalogue '{name}' needs Gammapy's data, and GAMMAPY_DATA is not set.",
            remedy="Download them with `gammapy download datasets`, and set GAMMAPY_DATA to "
            "the folder.",
        )
    try:
        return CATALOG_REGISTRY.get_cls(name)()
    except OSError as error:
        raise MissingDataError(
            f"The catalogue '{name}' is not in GAMMAPY_DATA ({os.environ['GAMMAPY_DATA']}).",
            remedy="Download it with `gammapy download datasets`, or leave it out.",
        ) from error


def catalog_regions(
    catalogs: Iterable[str],
    center: SkyCoord,
    radius: u.Quantity,
    *,
    margin: u.Quantity = 0.2 * u.deg,
) -> list[CircleSkyRegion]:
    """Return a circle around each known source near a position.

    Parameters
    ----------
    catalogs : iterable of str
        Names of Gammapy catalogues: ``"gamma-cat"``, ``"hgps"``, ...
    center : `~astropy.coordinates.SkyCoord`
        Centre of the search.
    radius : Quantity[angle]
        Radius of the search.
    margin : Quantity[angle]
        Radius of the circle of a point source, to hold the tails of the PSF; added to the size of
        an extended one.

    Returns
    -------
    regions : list of `~regions.CircleSkyRegion`
        One for each source of each catalogue.

    Raises
    ------
    ConfigError, MissingDataError
        If a catalogue does not exist, or is not there.
    """
    regions = []
    for name in catalogs:
        catalog = _read_catalog(name)
        for source in catalog[catalog.positions.separation(center) < radius]:
            for model in _spatial_models(source):
                position = source.position if model is None else model.position
                regions.append(CircleSkyRegion(position, margin + _extent(model)))
    return regions


def _spatial_models(source: SourceCatalogObject) -> list[SpatialModel | None]:
    """Return the shape of a source, or of each component where a catalogue (HGPS) has such."""
    if hasattr(source, "components_models"):
        return [model.spatial_model for model in source.components_models()]
    return [source.spatial_model()]


def _extent(model: SpatialModel | None) -> u.Quantity:
    """Return the radius beyond the centre to which a source extends."""
    if model is None or "point" in model.tag:
        return 0 * u.deg
    if "gauss" in model.tag:
        # Two sigma hold 86 % of a Gaussian in two dimensions; Gammapy evaluates it to five.
        return 2 * model.sigma.quantity.to("deg")
    return model.evaluation_radius.to("deg")


def exclusion_mask(
    exclusion: WcsNDMap | str | os.PathLike | Iterable[SkyRegion],
    center: SkyCoord,
    *,
    width: u.Quantity = 8 * u.deg,
    binsz: u.Quantity = 0.01 * u.deg,
    geom: WcsGeom | None = None,
) -> WcsNDMap | None:
    """Return a mask that is False where known sources are.

    Parameters
    ----------
    exclusion : `~gammapy.maps.WcsNDMap`, path-like, or iterable of `~regions.SkyRegion`
        A mask as it is, a file that holds a mask (FITS) or regions (DS9 or FITS), or regions.
    center : `~astropy.coordinates.SkyCoord`
        Centre of a mask made from regions.
    width : Quantity[angle]
        Its width. What lies beyond is not excluded.
    binsz : Quantity[angle]
        Its pixel size.
    geom : `~gammapy.maps.WcsGeom`, optional
        The image to make it on, instead of center, width and pixel size.

    Returns
    -------
    mask : `~gammapy.maps.WcsNDMap` or None
        None if there is nothing to exclude.

    Raises
    ------
    MissingDataError, FileFormatError
        If the file is not there, or is neither regions nor a mask.
    """
    if isinstance(exclusion, WcsNDMap):
        return exclusion
    if isinstance(exclusion, str | os.PathLike):
        content = _read_exclusion(Path(exclusion))
        if isinstance(content, WcsNDMap):
            return content
        exclusion = content
    regions = list(exclusion)
    if not regions:
        return None
    if geom is None:
        geom = WcsGeom.create(skydir=center, width=width, binsz=binsz, proj="TAN", frame="icrs")
    return ~geom.region_mask(regions)


def _read_exclusion(path: Path) -> WcsNDMap | list[Region]:
    if not path.is_file():
        raise MissingDataError(
            f"There is no exclusion file '{path}'.", remedy="Check the path for a typing error."
        )
    reason = ""
    for read in _readers(path):
        try:
            with warnings.catch_warnings():
                # A line that is skipped would be a source that is not excluded.
                warnings.simplefilter("error", AstropyUserWarning)
                content = read(path)
        except (*_NOT_THIS_FORMAT, AstropyUserWarning) as error:
            reason = str(error).splitlines()[0]
            continue
        if isinstance(content, WcsNDMap) or len(content):
            return content
        reason = "it is empty"
    raise FileFormatError(
        f"'{path}' holds neither a mask nor sky regions: {reason}",
        remedy="Give a DS9 region file (.reg) in sky coordinates, or a FITS image that is 0 where "
        "events are to be left out.",
    )


def _readers(path: Path) -> list[Callable[[Path], WcsNDMap | list[Region]]]:
    if ".fits" in path.suffixes:
        return [_read_mask, functools.partial(Regions.read, format="fits")]
    kind = "crtf" if path.suffix == ".crtf" else "ds9"
    return [functools.partial(Regions.read, format=kind)]


def _read_mask(path: Path) -> WcsNDMap:
    mask = Map.read(path)
    mask.data = mask.data.astype(bool)
    return mask
