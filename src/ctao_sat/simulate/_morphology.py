"""Draw true directions from spatial models."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling.models import PointSpatialModel, SpatialModel
from numpy.typing import NDArray

from ctao_sat.simulate._tables import Grid, interpolation_nodes

__all__ = ["Morphology", "morphology"]

# Pixels across the radius of a model: for a Gaussian, evaluated to five sigma, a pixel is then
# sigma/20 wide, and drawing uniformly inside of it adds 1e-4 to the width.
_PIXELS_PER_RADIUS = 100
_FIELD_PIXEL = 0.04  # deg, for what fills the field of view
_TEMPLATE_SPLIT = 2
_ENERGIES_PER_DECADE = 10


@dataclass(frozen=True)
class Morphology:
    """Where the photons of a model come from.

    ``geom`` is None for a point source. ``energy`` holds the nodes of an energy dependent
    morphology (one node else), ``cumulative`` the cumulative weights of the pixels at each node,
    and ``norm`` their sums: the part of the flux that comes from inside of the geometry.
    """

    position: SkyCoord
    geom: WcsGeom | None
    energy: Grid
    cumulative: NDArray
    norm: NDArray

    def total(self, energy: NDArray) -> NDArray:
        """Return the part of the flux that comes from inside of the geometry.

        Parameters
        ----------
        energy : array of float, shape (n,)
            True energies in TeV.

        Returns
        -------
        norm : array of float, shape (n,)
            1 for a source that is inside as a whole.
        """
        lower, weight = interpolation_nodes(self.energy, energy)
        upper = np.minimum(lower + 1, len(self.norm) - 1)
        return (1 - weight) * self.norm[lower] + weight * self.norm[upper]

    def draw(self, rng: np.random.Generator, energy: NDArray) -> tuple[NDArray, NDArray]:
        """Draw one direction per photon.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Source of randomness.
        energy : array of float, shape (n,)
            True energies in TeV.

        Returns
        -------
        ra, dec : array of float, shape (n,)
            In radians.
        """
        if self.geom is None:
            icrs = self.position.icrs
            return np.full(len(energy), icrs.ra.rad), np.full(len(energy), icrs.dec.rad)
        lower, weight = interpolation_nodes(self.energy, energy)
        upper = np.minimum(lower + 1, len(self.norm) - 1)
        # The mixture of two nodes is their linear interpolation, as in `Migration`.
        mass = np.stack([(1 - weight) * self.norm[lower], weight * self.norm[upper]])
        row = np.where(rng.random(len(energy)) * mass.sum(axis=0) < mass[0], lower, upper)
        pixel = _draw_pixels(rng, self.cumulative, row)
        y, x = np.unravel_index(pixel, self.geom.to_image().data_shape)
        shift = rng.random((2, len(energy))) - 0.5
        lon, lat = self.geom.to_image().pix_to_coord((x + shift[0], y + shift[1]))
        icrs = SkyCoord(lon, lat, frame=self.geom.frame).icrs
        return icrs.ra.rad, icrs.dec.rad


def _draw_pixels(rng: np.random.Generator, cumulative: NDArray, row: NDArray) -> NDArray:
    uniform = rng.random(len(row))
    pixel = np.empty(len(row), dtype=int)
    for i in np.unique(row):
        here = row == i
        pixel[here] = np.searchsorted(cumulative[i], uniform[here], side="right")
    return np.minimum(pixel, cumulative.shape[1] - 1)


def morphology(spatial: SpatialModel, pointing: SkyCoord, field_radius: float) -> Morphology:
    """Tabulate a spatial model inside of a field of view.

    Parameters
    ----------
    spatial : `gammapy.modeling.models.SpatialModel`
        The model.
    pointing : `astropy.coordinates.SkyCoord`
        Centre of the field of view.
    field_radius : float
        Its radius in degrees.

    Returns
    -------
    morphology : Morphology
        What to draw from; ``norm`` is zero where nothing of the model lies in the field.
    """
    single = Grid(np.array([1.0]), u.TeV, log=True)
    if isinstance(spatial, PointSpatialModel):
        return Morphology(spatial.position, None, single, np.ones((1, 1)), np.ones(1))
    geom = _geometry(spatial, pointing, field_radius)
    nodes = single
    if spatial.is_energy_dependent:
        nodes = _energy_nodes(spatial)
        axis = MapAxis.from_nodes(nodes.values, unit="TeV", name="energy_true", interp="log")
        geom = geom.to_cube([axis])
    weights = np.nan_to_num(spatial.integrate_geom(geom).quantity.to_value(""))
    image = geom.to_image()
    inside = image.separation(pointing).deg < field_radius
    weights = np.maximum(weights * inside, 0.0).reshape(len(nodes.values), -1)
    norm = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cumulative = np.nan_to_num(np.cumsum(weights, axis=1) / norm[:, None], nan=1.0)
    return Morphology(spatial.position, image, nodes, cumulative, norm)


def _geometry(spatial: SpatialModel, pointing: SkyCoord, field_radius: float) -> WcsGeom:
    """Choose a centre, a width and a pixel that resolve the model inside of the field."""
    radius = spatial.evaluation_radius
    center, width, pixel = pointing, 2 * field_radius, _FIELD_PIXEL
    if radius is not None:
        radius = radius.to_value("deg")
        pixel = min(radius / _PIXELS_PER_RADIUS, _FIELD_PIXEL)
        if hasattr(spatial, "map"):
            scales = spatial.map.geom.to_image().pixel_scales.to_value("deg")
            pixel = float(np.min(scales)) / _TEMPLATE_SPLIT
        if radius < field_radius:
            center, width = spatial.position, 2.04 * radius
    pixel = max(pixel, width / 2000)
    return WcsGeom.create(skydir=center, width=width, binsz=pixel, proj="TAN", frame=spatial.frame)


def _energy_nodes(spatial: SpatialModel) -> Grid:
    """Return the energies of a template, or a grid over all energies of arrays on ground."""
    if hasattr(spatial, "map"):
        values = spatial.map.geom.axes["energy_true"].center.to_value("TeV")
    else:
        values = np.geomspace(1e-3, 1e3, 6 * _ENERGIES_PER_DECADE + 1)
    return Grid(values, u.TeV, log=True)
