"""The schema of CTAO-GADF: run where it can be, and its absence said where it cannot."""

import importlib.util
import sys

import pytest
from astropy.io import fits

from ctao_sat import dl3
from ctao_sat.dl3._checks import _schema

AVAILABLE = sys.version_info >= (3, 12) and importlib.util.find_spec("ctao_datamodel") is not None
needs_schema = pytest.mark.skipif(not AVAILABLE, reason="needs ctao-datamodel and Python 3.12")


def not_run(result):
    return result.checks_not_run.get("ctao-gadf", {})


def test_files_that_do_not_claim_it_are_not_compared(clean_file):
    assert not_run(dl3.check(clean_file)) == {"no file says that it is CTAO-GADF": 0}


@pytest.mark.parametrize("claimed", [True, False])
def test_without_the_schema_it_says_so(clean_file, spoiled, monkeypatch, claimed):
    monkeypatch.setattr(_schema, "unavailable", lambda: "not here")

    def change(hdus):
        hdus["EVENTS"].header["HDUCLASS"] = "CTAO-GADF"

    result = dl3.check(spoiled(change)) if claimed else dl3.check(clean_file, schema=True)
    assert not_run(result) == {"not here": 1}
    assert "not here: ctao-gadf" in str(result)
    assert result.ok


def test_why_it_is_not_available(monkeypatch):
    if sys.version_info < (3, 12):
        assert "needs Python 3.12" in _schema.unavailable()
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert "not installed" in _schema.unavailable()


@needs_schema
def test_a_gadf_file_fails(clean_file):
    result = dl3.check(clean_file, schema=True)
    assert not_run(result) == {}
    failed = {finding.hdu for finding in result.findings}
    assert "PRIMARY" in failed
    assert {finding.check for finding in result.findings} == {"ctao-gadf"}


@needs_schema
def test_a_claim_is_checked(small_dl3, tmp_path, product):
    observations = dl3.read_observations(dl3.open_dl3(small_dl3), [1])
    said = product | {"instance": {"facility_name": "Simulated-CTAO"}}
    dialect = dl3.write(observations, tmp_path / "dl3", "ctao-gadf", metadata=said)
    result = dl3.check(dialect)
    assert result.findings == ()
    assert result.checks_run["ctao-gadf"] == 3
    (path,) = dialect.glob("*.fits")
    with fits.open(path, memmap=False) as content:
        hdus = fits.HDUList([hdu.copy() for hdu in content])
    del hdus["GTI"].header["HDUVERS"]
    hdus.writeto(tmp_path / "spoiled.fits")
    (finding,) = dl3.check(tmp_path / "spoiled.fits").findings
    assert (finding.check, finding.hdu, finding.severity) == ("ctao-gadf", "GTI", "error")
    assert "HDUVERS" in finding.what
