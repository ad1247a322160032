"""Axes, geometries and response functions, analytic and small."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.irf import EDispKernel, EDispKernelMap, EDispMap, PSFMap, RecoPSFMap
from gammapy.maps import Map, MapAxis, RegionGeom, RegionNDMap, WcsGeom
from scipy.stats import norm

PROJECTIONS = ("TAN", "CAR", "TAN", "SIN", "AIT", "ZEA", "CEA")
CENTERS = {"icrs": (83.6, 22.0), "galactic": (184.5, -5.8), "galactic-far": (0.5, 0.3)}
RAD = {"name": "rad", "unit": "deg", "node_type": "edges"}


def energy_axes(rng):
    """Return the reconstructed and the true energy axis."""
    unit = rng.choice(["TeV", "TeV", "GeV"])
    scale = u.Unit("TeV").to(unit)
    low, high = rng.uniform(0.4, 0.8) * scale, rng.uniform(10, 30) * scale
    reco = MapAxis.from_energy_bounds(low, high, nbin=int(rng.integers(3, 6)), unit=unit)
    true = MapAxis.from_energy_bounds(
        0.3, 40, nbin=int(rng.integers(5, 9)), unit="TeV", name="energy_true"
    )
    return reco, true


def center(frame):
    """Return the center of all maps of that frame."""
    return SkyCoord(*CENTERS[frame], unit="deg", frame=frame.split("-")[0])


def wcs_geom(rng, position, axis, *, square):
    """Return the geometry of a small cube, and the names of its features."""
    projection = str(rng.choice(PROJECTIONS))
    binsz = 0.1 if square else (0.1, 0.13)
    geom = WcsGeom.create(
        skydir=position,
        npix=(8, 10),
        binsz=binsz,
        proj=projection,
        frame=position.frame.name,
        axes=[axis],
    )
    features = {f"projection {projection}", f"frame {position.frame.name}"}
    return geom, features | (set() if square else {"oblong pixels"})


def region_geom(rng, position, axis, *, shape=None):
    """Return the geometry of a region, and the names of its features."""
    shape = shape or str(rng.choice(["circle", "circle", "box", "annulus", "ellipse", "none"]))
    here = f"{position.data.lon.deg}, {position.data.lat.deg}"
    text = {
        "circle": f"circle({here}, {rng.uniform(0.1, 0.2):.3f})",
        "box": f"box({here}, 0.3, 0.2, 20)",
        "annulus": f"annulus({here}, 0.1, 0.3)",
        "ellipse": f"ellipse({here}, 0.2, 0.3, 10)",
        "none": None,
    }[shape]
    region = None if text is None else f"{position.frame.name};{text}"
    return RegionGeom.create(region, axes=[axis]), {f"region {shape}"}


def _two_pixels(position, *axes):
    """Return a map geometry whose two pixels differ: east and west of the position."""
    return WcsGeom.create(
        skydir=position,
        npix=(2, 1),
        binsz=(1, 20),
        proj="CAR",
        frame=position.frame.name,
        axes=list(axes),
    )


def psf(rng, kind, position, reco, true):
    """Return a point spread function map of that kind."""
    rad = MapAxis.from_bounds(0, 0.5, nbin=25, **RAD)
    if kind == "reconstructed":
        width = np.linspace(0.14, 0.08, reco.nbin)
        return RecoPSFMap.from_gauss(reco, rad, sigma=width * u.deg)
    width = np.linspace(rng.uniform(0.1, 0.14), 0.07, true.nbin)
    if kind == "constant":
        return PSFMap.from_gauss(true, rad, sigma=width * u.deg)
    result = PSFMap.from_gauss(true, rad, sigma=width * u.deg, geom=_two_pixels(position))
    wide = PSFMap.from_gauss(true, rad, sigma=1.5 * width * u.deg, geom=_two_pixels(position))
    result.psf_map.data[..., 1] = wide.psf_map.data[..., 1]
    return result


def _gaussian_kernel(reco, true, width, bias):
    """Return a Gaussian energy dispersion: as `EDispKernel.from_gauss`, but in a millisecond."""
    edges = reco.edges.to_value("TeV") / true.center.to_value("TeV")[:, np.newaxis]
    data = np.diff(norm.cdf(edges, 1 + bias, width), axis=1)
    return EDispKernel(axes=[true, reco], data=np.where(data > 1e-6, data, 0))


def edisp(rng, kind, position, reco, true):
    """Return an energy dispersion map of that kind."""
    if kind == "diagonal":
        return EDispKernelMap.from_diagonal_response(reco, true)
    width, bias = rng.uniform(0.08, 0.25), rng.uniform(-0.1, 0.1)
    if kind == "kernel":
        return EDispKernelMap.from_edisp_kernel(_gaussian_kernel(reco, true, width, bias))
    if kind == "migration":
        axis = MapAxis.from_bounds(0.2, 2.2, nbin=40, name="migra", node_type="edges")
        result = EDispMap.from_diagonal_response(true, axis)
        migra = axis.center.value[:, np.newaxis, np.newaxis]
        result.edisp_map.data[...] = np.exp(-0.5 * ((migra - 1 - bias) / width) ** 2)
        result.normalize()
        return result
    geom = _two_pixels(position)
    kernels = _gaussian_kernel(reco, true, width, bias), _gaussian_kernel(reco, true, 0.3, 0.1)
    result, other = (EDispKernelMap.from_edisp_kernel(kernel, geom=geom) for kernel in kernels)
    result.edisp_map.data[..., 1] = other.edisp_map.data[..., 1]
    return result


def exposure(rng, geom, true):
    """Return an exposure map that depends on energy and, for an image, on position."""
    geom = geom.to_image().to_cube([true])
    level = 10 ** rng.uniform(9.0, 9.8) * np.linspace(0.3, 1.5, true.nbin)
    data = np.broadcast_to(level[:, np.newaxis, np.newaxis], geom.data_shape).copy()
    if not geom.is_region:
        data *= np.linspace(0.6, 1.4, geom.data_shape[-1])
    unit = rng.choice(["m2 s", "cm2 s"])
    data *= u.Unit("m2 s").to(unit)
    kind = RegionNDMap if geom.is_region else Map
    return kind.from_geom(geom, data=data, unit=unit)
