"""What Gammapy's own writer of DL3 loses: the reason why `ctao_sat.dl3.write` is there.

A red test here is good news: that loss can then be struck out of the documentation.
"""

import astropy.units as u
import pytest
from astropy.io import fits
from astropy.time import Time
from gammapy.data import GTI, DataStore, Observation


@pytest.fixture(scope="module")
def pair(small_dl3, tmp_path_factory):
    """Return an observation, and the file that Gammapy writes of it."""
    observation = DataStore.from_dir(small_dl3).get_observations()[0]
    path = tmp_path_factory.mktemp("gammapy") / "obs.fits"
    observation.write(path)
    return observation, path


def header(path, name):
    return fits.getheader(path, name)


def test_no_product_metadata(pair):
    primary = header(pair[1], 0)
    assert not {"TITLE", "DATALEVL", "DATAID", "LICENSE", "AUTHOR"} & set(primary)


def test_good_time_intervals_without_class(pair):
    assert not {"HDUCLASS", "HDUVERS", "HDUCLAS1"} & set(header(pair[1], "GTI"))


def test_responses_of_an_old_version(pair):
    for name in ("EFFECTIVE AREA", "ENERGY DISPERSION"):
        assert header(pair[1], name)["HDUVERS"] == "0.2"


def test_parametric_psf_without_header(pair):
    psf = header(pair[1], "PSF_2D_GAUSS")
    assert not {"HDUCLASS", "HDUCLAS2", "HDUCLAS4", "TELESCOP"} & set(psf)
    # Gammapy cannot find it any more.
    assert pair[0].psf is not None
    assert Observation.read(pair[1]).psf is None


def test_time_reference_of_good_time_intervals_is_rounded(pair):
    reference = Time(51910, 0.000742870370370241, format="mjd", scale="tt")
    gti = GTI.create([123890826.0] * u.s, [123892513.0] * u.s, reference)
    fraction = gti.to_table_hdu().header["MJDREFF"]
    assert 1e-13 < abs(fraction - 0.000742870370370241) < 1e-10
