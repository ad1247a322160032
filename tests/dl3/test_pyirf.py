"""Responses written by pyirf, as they are and as ctapipe names them: read, never mistaken."""

import logging

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from pyirf.io import (
    create_aeff2d_hdu,
    create_background_2d_hdu,
    create_energy_dispersion_hdu,
    create_psf_table_hdu,
    create_rad_max_hdu,
)

from ctao_sat import dl3
from ctao_sat.errors import AmbiguousDataError, MissingHDUError

ENERGY = np.geomspace(0.05, 50, 7) * u.TeV
OFFSET = [0, 1, 2, 3] * u.deg
MIGRA = np.linspace(0.2, 5, 31)
RAD = np.linspace(0, 1, 21) * u.deg


def values(*shape, seed):
    return np.random.default_rng(seed).uniform(0.5, 1.5, size=shape)


AEFF = {
    name: values(6, 3, seed=i) * 1e5 * u.m**2
    for i, name in enumerate(("gamma", "proton", "electron"))
}
EDISP = values(6, 30, 3, seed=3)
PSF = values(6, 3, 20, seed=4) / u.sr
BKG = values(6, 3, seed=5) * u.Unit("1e-6 MeV-1 s-1 sr-1")
RAD_MAX = values(6, 1, seed=6) * 0.1 * u.deg


def aeff(name, extname, point_like=False):
    offset = [0, 3] * u.deg if point_like else OFFSET
    area = AEFF[name][:, :1] if point_like else AEFF[name]
    return create_aeff2d_hdu(area, ENERGY, offset, extname=extname, point_like=point_like)


def edisp(point_like=False):
    if point_like:
        return create_energy_dispersion_hdu(EDISP[..., :1], ENERGY, MIGRA, [0, 3] * u.deg)
    return create_energy_dispersion_hdu(EDISP, ENERGY, MIGRA, OFFSET, point_like=False)


def full_enclosure(*areas):
    return [
        *areas,
        edisp(),
        create_psf_table_hdu(PSF, ENERGY, RAD, OFFSET),
        create_background_2d_hdu(BKG, ENERGY, OFFSET),
    ]


CTAPIPE = {
    "gamma": "EFFECTIVE AREA",
    "proton": "EFFECTIVE AREA PROTONS",
    "electron": "EFFECTIVE AREA ELECTRONS",
}


@pytest.fixture(scope="module")
def events(tmp_path_factory, small_dl3):
    """Return a file with events and good time intervals alone."""
    path = tmp_path_factory.mktemp("events") / "events.fits"
    with fits.open(small_dl3 / "obs_000001.fits", memmap=False) as hdus:
        fits.HDUList([hdu.copy() for hdu in hdus[:3]]).writeto(path)
    return path


def write(path, *hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def observation(events, irfs, **kwargs):
    (found,) = dl3.read_observations(dl3.open_dl3([events, irfs]), [1], **kwargs)
    return found


def assert_equal(irf, expected):
    np.testing.assert_allclose(irf.quantity.to_value(expected.unit), expected.value, rtol=1e-6)


def test_pyirf_states_neither_telescope_nor_observation(tmp_path):
    # What has to be supplied; the index does.
    path = write(tmp_path / "irf.fits", *full_enclosure(aeff("gamma", "EFFECTIVE AREA")))
    headers = [fits.getheader(path, i) for i in range(1, 5)]
    assert not any({"OBS_ID", "TELESCOP", "INSTRUME"} & set(header) for header in headers)
    assert [header["HDUCLAS4"] for header in headers] == [
        "AEFF_2D",
        "EDISP_2D",
        "PSF_TABLE",
        "BKG_2D",
    ]


@pytest.mark.parametrize("suffix", ["fits", "fits.gz"])
def test_full_enclosure(tmp_path, events, suffix):
    irfs = write(tmp_path / f"irf.{suffix}", *full_enclosure(aeff("gamma", "EFFECTIVE AREA")))
    found = observation(events, irfs, required_irf="full-enclosure")
    assert_equal(found.aeff, AEFF["gamma"])
    assert_equal(found.edisp, EDISP * u.one)
    assert_equal(found.psf, PSF)
    assert_equal(found.bkg, BKG)
    assert [irf.tag for irf in (found.aeff, found.edisp, found.psf, found.bkg)] == [
        "aeff_2d",
        "edisp_2d",
        "psf_table",
        "bkg_2d",
    ]
    np.testing.assert_allclose(found.aeff.axes["energy_true"].edges, ENERGY, rtol=1e-6)
    np.testing.assert_allclose(found.aeff.axes["offset"].edges, OFFSET, rtol=1e-6)
    assert found.obs_id == 1


def test_point_like_with_rad_max(tmp_path, events):
    irfs = write(
        tmp_path / "irf.fits",
        aeff("gamma", "EFFECTIVE AREA", point_like=True),
        edisp(point_like=True),
        create_rad_max_hdu(RAD_MAX, ENERGY, [0, 3] * u.deg),
    )
    found = observation(events, irfs, required_irf="point-like")
    assert_equal(found.rad_max, RAD_MAX)
    assert_equal(found.aeff, AEFF["gamma"][:, :1])
    assert found.aeff.is_pointlike


@pytest.mark.parametrize(
    "order", [("gamma", "proton", "electron"), ("proton", "electron", "gamma")]
)
@pytest.mark.parametrize("names", [CTAPIPE, {name: f"EFFECTIVE_AREA_{name}S" for name in CTAPIPE}])
def test_effective_area_of_gamma_rays_among_those_of_particles(
    tmp_path, events, order, names, caplog
):
    areas = [aeff(name, names[name]) for name in order]
    irfs = write(tmp_path / "irf.fits", *full_enclosure(*areas))
    with caplog.at_level(logging.INFO, "ctao_sat"):
        found = observation(events, irfs, required_irf="full-enclosure")
    assert_equal(found.aeff, AEFF["gamma"])
    for name in ("proton", "electron"):
        assert f"irf.fits[{names[name].upper()}] is a response to other particles" in caplog.text


def test_effective_area_of_protons_alone_is_none_of_gamma_rays(tmp_path, events):
    irfs = write(tmp_path / "irf.fits", aeff("proton", CTAPIPE["proton"]), edisp())
    with pytest.raises(MissingHDUError, match="no aeff"):
        observation(events, irfs)


def test_effective_areas_that_cannot_be_told_apart(tmp_path, events):
    areas = [aeff(name, f"AEFF_{i}") for i, name in enumerate(AEFF)]
    irfs = write(tmp_path / "irf.fits", *full_enclosure(*areas))
    with pytest.raises(AmbiguousDataError) as caught:
        dl3.open_dl3([events, irfs])
    assert "3 candidates for 'aeff'" in str(caught.value)
    for i in range(3):
        assert f"irf.fits[AEFF_{i}]" in str(caught.value)


def test_areas_of_the_same_name(tmp_path, events):
    # Gammapy goes by the name, and would take the first: that of protons.
    areas = [aeff("proton", "EFFECTIVE AREA"), aeff("gamma", "EFFECTIVE AREA")]
    irfs = write(tmp_path / "irf.fits", *full_enclosure(*areas))
    with pytest.raises(AmbiguousDataError, match="2 candidates for 'aeff'"):
        dl3.open_dl3([events, irfs])


def test_full_enclosure_beside_point_like(tmp_path, events):
    areas = [aeff("gamma", "AREA FULL"), aeff("gamma", "AREA POINT", point_like=True)]
    irfs = write(tmp_path / "irf.fits", *areas)
    with pytest.raises(
        AmbiguousDataError, match=r"irf\.fits\[AREA FULL\], irf\.fits\[AREA POINT\]"
    ):
        dl3.open_dl3([events, irfs])


def test_through_written_index_tables(tmp_path, events):
    areas = [aeff(name, CTAPIPE[name]) for name in ("proton", "gamma")]
    write(tmp_path / "irf.fits", *full_enclosure(*areas))
    dl3.write_index([events, tmp_path], tmp_path)
    (found,) = dl3.read_observations(dl3.open_dl3(tmp_path), [1], required_irf="full-enclosure")
    assert_equal(found.aeff, AEFF["gamma"])
