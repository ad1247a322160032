"""PSF kernels are Gammapy's, bit for bit but for rounding."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.irf import PSFMap
from gammapy.maps import MapAxis, WcsGeom

from ctao_sat.likelihood import KernelCache
from ctao_sat.likelihood._psf_kernels import psf_kernel

ENERGY = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=4, name="energy_true")
OPTIONS = {"containment": 0.999, "max_radius": None}


def varying(interp="lin", nodes="edges"):
    """Return a PSF that is wider in the north, its radii as an axis has them."""
    edges = np.geomspace(0.005, 0.6, 31) if interp == "log" else np.linspace(0, 0.6, 61)
    rad = MapAxis(edges, node_type=nodes, name="rad", unit="deg", interp=interp)
    geom = WcsGeom.create(skydir=(83.6, 22), npix=(3, 4), binsz=1)
    psf = PSFMap.from_gauss(ENERGY, rad, sigma=[0.1, 0.08, 0.05, 0.03] * u.deg, geom=geom)
    wide = PSFMap.from_gauss(ENERGY, rad, sigma=[0.15, 0.12, 0.08, 0.05] * u.deg, geom=geom)
    psf.psf_map.data[..., 2:, :] = wide.psf_map.data[..., 2:, :]
    return psf


@pytest.mark.parametrize("projection", ["CAR", "TAN"])
@pytest.mark.parametrize("size", [0.02, 0.1])
@pytest.mark.parametrize("interp", ["lin", "log"])
@pytest.mark.parametrize("options", [OPTIONS, {"containment": 0.9, "max_radius": 0.2 * u.deg}])
def test_kernels_are_gammapys(projection, size, interp, options):
    psf, grids = varying(interp), {}
    geom = WcsGeom.create(
        skydir=(83.6, 22), npix=(60, 50), binsz=size, proj=projection, axes=[ENERGY]
    )
    for position in (SkyCoord(83.6, 22, unit="deg"), SkyCoord(83.9, 22.83, unit="deg"), None):
        expected = psf.get_psf_kernel(geom=geom, position=position, **options)
        kernel = psf_kernel(psf, geom, position, options, grids)
        np.testing.assert_allclose(kernel.data, expected.data, rtol=1e-12, atol=1e-15)
        assert kernel.psf_kernel_map.geom == expected.psf_kernel_map.geom
    wide = psf.get_psf_kernel(geom=geom, position=SkyCoord(83.6, 23.4, unit="deg"), **options)
    assert wide.data.max() != pytest.approx(expected.data.max(), rel=1e-3)


def test_other_energies_are_left_to_gammapy():
    psf = varying()
    axis = MapAxis.from_energy_bounds("0.5 TeV", "2 TeV", nbin=1, name="energy_true")
    geom = WcsGeom.create(skydir=(83.6, 22), npix=(60, 50), binsz=0.05, axes=[axis])
    position = SkyCoord(83.6, 22, unit="deg")
    expected = psf.get_psf_kernel(geom=geom, position=position, containment=0.999)
    kernel = KernelCache().psf(psf).get_psf_kernel(position=position, geom=geom, containment=0.999)
    np.testing.assert_array_equal(kernel.data, expected.data)


def test_radii_are_found_once():
    cache, psf = KernelCache(), varying()
    geom = WcsGeom.create(skydir=(83.6, 22), npix=(60, 50), binsz=0.05, axes=[ENERGY])
    for position in (SkyCoord(83.6, 22, unit="deg"), SkyCoord(83.6, 22.001, unit="deg")):
        cache.psf(psf).get_psf_kernel(position=position, geom=geom, containment=0.999)
        grids = dict(cache.grids(*next(iter(cache._grids))))
    assert len(cache) == 2
    assert len(cache._grids) == 1
    assert 1 <= len(grids) <= len(ENERGY.center)
