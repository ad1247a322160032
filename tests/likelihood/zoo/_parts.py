"""A source with a free shape on a small map, and its blocks: what templates are tested with."""

import astropy.units as u
import numpy as np
from gammapy.maps import WcsGeom
from gammapy.modeling.models import (
    DiskSpatialModel,
    GaussianSpatialModel,
    GeneralizedGaussianSpatialModel,
    PointSpatialModel,
    ShellSpatialModel,
)

from ctao_sat.likelihood._moving import MovingPart, MovingResponse
from ctao_sat.likelihood._pixels import MapPixels
from ctao_sat.likelihood._shape import Shape

from ._irfs import center

N_K = 3
POSITION = center("icrs")
KINDS = ("point", "Gaussian", "elongated", "disk", "generalised Gaussian", "shell")


def geom(npix=(30, 34), binsz=0.05):
    """Return an image."""
    return WcsGeom.create(skydir=POSITION, npix=npix, binsz=binsz, proj="TAN", frame="icrs")


def model(kind, x=0.1, y=-0.05, size=0.12):
    """Return a spatial model, all of it free, by degrees from the centre of the map."""
    there = POSITION.spherical_offsets_by(x * u.deg, y * u.deg)
    place = {"lon_0": there.ra.to("deg"), "lat_0": there.dec.to("deg"), "frame": "icrs"}
    size = size * u.deg
    makers = {
        "point": lambda: PointSpatialModel(**place),
        "Gaussian": lambda: GaussianSpatialModel(sigma=size, **place),
        "elongated": lambda: GaussianSpatialModel(sigma=size, e=0.6, phi=20 * u.deg, **place),
        "disk": lambda: DiskSpatialModel(r_0=size, edge_width=0.1, **place),
        "generalised Gaussian": lambda: GeneralizedGaussianSpatialModel(r_0=size, eta=0.4, **place),
        "shell": lambda: ShellSpatialModel(radius=size, width=0.3 * size, **place),
    }
    result = makers[kind]()
    for parameter in result.parameters:
        parameter.frozen = kind != "elongated" and parameter.name in ("e", "phi", "edge_width")
    return result


def psf(widths=(2.0, 1.5, 1.2), half=4):
    """Return Gaussian kernels, widths in pixels."""
    at = np.arange(-half, half + 1)
    kernels = [np.exp(-0.5 * (at[:, None] ** 2 + at**2) / width**2) for width in widths]
    return np.array([kernel / kernel.sum() for kernel in kernels])


def source(spatial, on=None, kernels=None):
    """Return the shape of a spatial model on a map, and the values of its parameters."""
    pixels = MapPixels(geom() if on is None else on, spatial.frame)
    shape = Shape(spatial, pixels, psf() if kernels is None else kernels)
    return shape, np.array([parameter.value for parameter in spatial.parameters])


def part(shape, p, *, seed=1, room=1.0):
    """Return the blocks of a source: of two energies, on most pixels; other bins are summed."""
    rng = np.random.default_rng(seed)
    n_y, n_x = shape.pixels.shape
    response = MovingResponse(
        name="source",
        request=None,
        source=shape,
        exposure=rng.uniform(1, 2, (N_K, n_y, n_x)),
        edisp=rng.uniform(0.2, 1, (N_K, 2)),
        unit=u.one,
        index=np.arange(len(p)),
        anchor=shape.center(p),
        is_local=False,
    )
    moving = MovingPart(response, 0, 1.0, response.window(p, room))
    y0, y1, x0, x1 = moving.window
    inside = np.mgrid[y0:y1, x0:x1].reshape(2, -1)
    value = row = 0
    for energy, (low, high) in enumerate([(0, 3), (1, 3)]):
        pixels = inside[:, rng.uniform(size=inside.shape[1]) < 0.8]
        moving.add(energy, low, high, value, row, tuple(pixels))
        value, row = value + (high - low) * pixels.shape[1], row + pixels.shape[1]
    moving.implicit = rng.uniform(0, 1, (N_K, y1 - y0, x1 - x0))
    return moving.finish(), value, np.arange(row)
