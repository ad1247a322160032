"""What the checks find in public data: known faults, explained in the documentation."""

from collections import Counter

import numpy as np
import pytest
from astropy.io import fits

from ctao_sat import dl3

pytestmark = pytest.mark.realdata

GPS = "gps_baseline_{}.fits"


def counted(result):
    """Return the number of files of each kind of finding."""
    return Counter((f.severity, f.check, f.hdu) for f in result.findings)


@pytest.fixture(scope="module")
def hess(gammapy_data):
    return dl3.check(gammapy_data / "hess-dl3-dr1")


@pytest.fixture(scope="module")
def cta_1dc(gammapy_data):
    return dl3.check(gammapy_data / "cta-1dc")


def test_hess(hess):
    assert len(hess.files) == 93 + 2
    assert counted(hess) == {
        ("warning", "event-gti", "EVENTS"): 78,
        ("warning", "event-field", "EVENTS"): 93,
        ("warning", "altaz", "EVENTS"): 1,
        ("warning", "negative", "AEFF"): 13,
        ("warning", "negative", "EDISP"): 18,
        ("warning", "negative", "PSF"): 18,
        ("info", "edisp-norm", "EDISP"): 93,
        ("info", "psf-norm", "PSF"): 93,
    }
    assert hess.ok
    assert list(hess.checks_not_run) == ["ctao-gadf"]


def test_hess_events_outside_of_the_intervals(hess, gammapy_data):
    """Counted without the checks, for all runs."""
    expected = {}
    for path in sorted((gammapy_data / "hess-dl3-dr1" / "data").glob("*.fits.gz"))[:12]:
        with fits.open(path, memmap=False) as hdus:
            (start,), (stop,) = hdus["GTI"].data["START"], hdus["GTI"].data["STOP"]
            time = hdus["EVENTS"].data["TIME"]
        if np.any((time < start) | (time > stop)):
            expected[str(path)] = int(np.sum((time < start) | (time > stop)))
    found = {f.file: int(f.what.split()[0]) for f in hess.findings if f.check == "event-gti"}
    assert expected == {path: found[path] for path in expected}
    assert len(expected) == 10


def test_hess_altitude_of_the_target(hess):
    """ALT_PNT is that of the object, 7.5 deg away, in one run."""
    (finding,) = [f for f in hess.findings if f.check == "altaz"]
    assert "028981" in finding.file
    assert "4.21 deg" in finding.what


def test_cta_1dc_sites(cta_1dc):
    found = {f.file.rpartition("/")[2]: f.what for f in cta_1dc.findings if f.check == "site"}
    assert found.pop(GPS.format(111630)) == "GEOLON, GEOLAT and ALTITUDE are 0."
    assert set(found) == {GPS.format(run) for run in (110380, 111140, 111159)}
    for what in found.values():
        assert "13636 km from ctao_south" in what
        # The sign is not all: 79.4 stands for 70.4.
        assert "with the other sign of GEOLON 918 km" in what
        assert "ALTITUDE 2.15 m is not 2150 m: it is in km" in what


def test_cta_1dc(cta_1dc):
    assert len(cta_1dc.files) == 4 + 1 + 2
    psf, edisp, bkg = "POINT SPREAD FUNCTION", "ENERGY DISPERSION", "BACKGROUND"
    assert counted(cta_1dc) == {
        ("error", "site", "EVENTS"): 4,
        ("warning", "altaz", "EVENTS"): 3,
        ("warning", "gti-span", "EVENTS"): 3,
        ("warning", "units", "GTI"): 4,
        ("warning", "units", psf): 1,
        ("warning", "units", bkg): 1,
        ("warning", "psf-norm", psf): 1,
        ("warning", "edisp-norm", edisp): 1,
        ("warning", "index-values", ""): 1,
        ("info", "directions", "EVENTS"): 3,
        ("info", "event-order", "EVENTS"): 4,
        ("info", "hdu-class", "EVENTS"): 4,
        ("info", "hdu-class", "GTI"): 4,
        ("info", "fov-alignment", bkg): 1,
    }


def test_cta_1dc_by_its_index(cta_1dc, gammapy_data, monkeypatch):
    monkeypatch.setenv("CALDB", str(gammapy_data / "cta-1dc" / "caldb"))
    result = dl3.check(gammapy_data / "cta-1dc" / "index" / "gps")
    assert {*result.files} == {*cta_1dc.files}
    assert counted(result) == counted(cta_1dc)


def test_magic(gammapy_data):
    result = dl3.check(gammapy_data / "magic" / "rad_max")
    assert counted(result) == {
        ("warning", "index-header", ""): 1,
        ("warning", "index-values", ""): 2,
        ("info", "time-reference", "EVENTS"): 2,
    }
    assert result.checks_not_run["event-field"] == {"no response over the field of view": 1}


def test_prod5(gammapy_data):
    result = dl3.check(gammapy_data / "cta-caldb")
    assert len(result.files) == 2
    assert counted(result) == {
        ("warning", "psf-norm", "POINT SPREAD FUNCTION"): 2,
        ("warning", "edisp-norm", "ENERGY DISPERSION"): 2,
        ("warning", "instrument", ""): 1,
    }
    (finding,) = [f for f in result.findings if f.check == "instrument"]
    assert "Prod5-North" in finding.file


@pytest.mark.parametrize(
    ("folder", "ok", "checks"),
    [
        ("tests/minimal_datastore", True, {"event-gti", "event-field", "index-header"}),
        ("PKS2155-steady", True, set()),
        ("tests/format/swgo", True, set()),
        ("tests/unbundled/irfs", False, {"axes", "units", "thresholds", "containment"}),
    ],
)
def test_other_folders(gammapy_data, folder, ok, checks):
    result = dl3.check(gammapy_data / folder)
    assert result.ok == ok
    assert {f.check for f in result.findings if f.severity != "info"} == checks
