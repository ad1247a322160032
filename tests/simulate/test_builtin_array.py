"""The demonstration array: well formed, sane over the field, and close to Prod5 on axis."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.irf import load_irf_dict_from_file
from gammapy.maps import MapAxis

from ctao_sat.errors import ConfigError
from ctao_sat.simulate import demo_array

SITES = ("north", "south")
OFFSET = 0.5 * u.deg
FILES = {
    "north": "Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz",
    "south": "Prod5-South-20deg-AverageAz-14MSTs37SSTs.180000s-v0.1.fits.gz",
}
ENERGY = np.geomspace(0.05, 50, 61) * u.TeV


@pytest.fixture(scope="module", params=SITES)
def site(request):
    return request.param


def resolution(edisp, offset=OFFSET):
    """Width of the reconstructed energy in bands of a tenth of a decade."""
    true = MapAxis.from_energy_bounds(
        10**-1.35 * u.TeV, 10**1.75 * u.TeV, nbin=10, per_decade=True, name="energy_true"
    )
    reco = MapAxis.from_energy_bounds(0.005 * u.TeV, 1000 * u.TeV, nbin=600)
    kernel = edisp.to_edisp_kernel(offset=offset, energy_axis=reco, energy_axis_true=true)
    return np.array([float(kernel.get_resolution(energy)[0]) for energy in true.center])


def test_it_says_what_it_is(site):
    for irf in demo_array(site).values():
        assert irf.meta["TELESCOP"] == irf.meta["ORIGIN"] == "CTAO-SAT-DEMO"
        assert "demonstration" in irf.meta["INSTRUME"]
        assert not irf.is_pointlike


def test_dispersion_is_normalised(site):
    edisp = demo_array(site)["edisp"]
    total = (edisp.data * edisp.axes["migra"].bin_width.value[None, :, None]).sum(axis=1)
    assert np.allclose(total, 1, atol=1e-5)


def test_responses_are_finite_and_behave_off_axis(site):
    irfs = demo_array(site)
    offset = np.array([0.5, 1, 2, 3, 4, 5]) * u.deg
    area = irfs["aeff"].evaluate(energy_true=ENERGY[:, None], offset=offset[None, :]).value
    assert np.all(area > 0)
    assert np.all(np.diff(area, axis=1) < 0)
    assert np.all(np.diff(area[:, 0]) > 0)
    r68 = irfs["psf"].containment_radius(0.68, energy_true=ENERGY[:, None], offset=offset[None, :])
    assert np.all(np.diff(r68.value, axis=0) <= 1e-3)
    assert np.all(np.diff(r68.value, axis=1) >= 0)
    assert r68.to_value("deg").max() < 0.5
    bkg = (
        irfs["bkg"]
        .evaluate(energy=ENERGY[:, None], fov_lon=offset[None, :], fov_lat=0 * u.deg)
        .value
    )
    assert np.all(bkg >= 0)
    assert np.all(np.diff(bkg, axis=1) <= 0)
    wide = resolution(irfs["edisp"], 4 * u.deg)
    assert np.all(wide > resolution(irfs["edisp"]))


def test_unknown_site():
    with pytest.raises(ConfigError, match="Did you mean 'north'"):
        demo_array("North")


@pytest.mark.realdata
def test_close_to_prod5(site, gammapy_data):
    demo = demo_array(site)
    prod5 = load_irf_dict_from_file(gammapy_data / "cta-caldb" / FILES[site])

    def worst(function):
        return np.max(np.abs(function(demo) / function(prod5) - 1))

    def area(irfs):
        return irfs["aeff"].evaluate(energy_true=ENERGY, offset=OFFSET).to_value("m2")

    def rate(irfs):
        values = irfs["bkg"].evaluate(energy=ENERGY, fov_lon=OFFSET, fov_lat=0 * u.deg)
        return values.to_value("s-1 TeV-1 sr-1")

    def r68(irfs):
        radius = irfs["psf"].containment_radius(0.68, energy_true=ENERGY, offset=OFFSET)
        return radius.to_value("deg").ravel()

    assert worst(area) < 0.30
    assert worst(rate) < 0.30
    assert worst(r68) < 0.20
    assert worst(lambda irfs: resolution(irfs["edisp"])) < 0.25
