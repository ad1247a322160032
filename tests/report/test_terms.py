"""The terms of data sets, from headers written here and from real ones."""

import pytest
from astropy.io import fits
from astropy.table import Table

from ctao_sat.report import HEADER_KEYS, data_terms

DR1_COMMENT = "This file is part of the first H.E.S.S. FITS test data release from 2018."
HESS = {"TELESCOP": "HESS", "INSTRUME": "H.E.S.S. Phase I"}
SASH = {"CREATOR": "SASH FITS::EventListWriter", "DATE": "2018-05-06T09:14:21"}
MAGIC = {"TELESCOP": "MAGIC", "CREATOR": "MAGIC_DL3", "OBS_ID": 5029747}
CTOOLS = {"TELESCOP": "CTA", "CREATOR": "ctobssim (1.4.0)", "OBS_ID": 110380}


@pytest.mark.parametrize(
    ("header", "name", "publishable"),
    [
        ({"TELESCOP": "CTAO-SAT-DEMO"}, "Demonstration array", True),
        ({"TELESCOP": "CTA", "ORIGIN": "ctao-sat-demo south"}, "Demonstration array", True),
        (HESS | {"COMMENT": DR1_COMMENT}, "H.E.S.S. DL3 DR1", False),
        (HESS | {"comments": [DR1_COMMENT]}, "H.E.S.S. DL3 DR1", False),
        (HESS | {"TELESCOP": "H.E.S.S."} | SASH, "H.E.S.S. DL3 DR1", False),
        (HESS | SASH | {"DATE": "2024-01-01"}, "H.E.S.S., release not recognised", False),
        (HESS, "H.E.S.S., release not recognised", False),
        (MAGIC, "MAGIC, Crab Nebula with RAD_MAX", True),
        (MAGIC | {"OBS_ID": 5029800}, "Unrecognised data (MAGIC)", True),
        (MAGIC | {"CREATOR": ""}, "Unrecognised data (MAGIC)", True),
        ({"TELESCOP": "CTA (MC prod5, v0.1)"}, "prod5", True),
        ({"TELESCOP": "CTA", "IRFFILE": "Prod5-North-20deg-v0.1.fits.gz"}, "prod5", True),
        ({"TELESCOP": "CTA", "ORIGIN": "CTAO", "AUTHOR": "G.Maier"}, "prod5", True),
        (CTOOLS, "CTA-1DC", True),
        (CTOOLS | {"CREATOR": "GammaLib", "OBS_ID": "111630"}, "CTA-1DC", True),
        ({"TELESCOP": "CTA", "INSTRUME": "1DC"}, "CTA-1DC", True),
        (CTOOLS | {"OBS_ID": 1}, "Unrecognised data (CTA)", True),
        ({"TELESCOP": "VERITAS"}, "Unrecognised data (VERITAS)", True),
        ({}, "Unrecognised data (no TELESCOP given)", True),
        ({"COMMENT": DR1_COMMENT}, "Unrecognised data (no TELESCOP given)", True),
    ],
)
def test_rules(header, name, publishable):
    (terms,) = data_terms([header])
    assert name in terms.name
    assert terms.publishable is publishable


def test_unknown_data_are_said_to_be_unknown():
    (terms,) = data_terms([{"TELESCOP": "X"}])
    assert "could not be recognised" in terms.acknowledgement
    assert "Unknown" in terms.licence
    assert "Check" in terms.licence


def test_wording_that_the_providers_ask_for():
    prod5 = {"TELESCOP": "CTA", "CALDB": "prod5-v0.1"}
    headers = [HESS | SASH, MAGIC, prod5, {"ORIGIN": "CTAO-SAT-DEMO"}]
    hess, magic, prod5, demo = data_terms(headers)
    assert hess.acknowledgement == (
        "This work made use of data from the H.E.S.S. DL3 public test data release 1 "
        "(HESS DL3 DR1, H.E.S.S. collaboration, 2018)."
    )
    assert "CC BY-NC-SA 4.0" in magic.licence
    assert prod5.licence == "CC BY 4.0"
    assert "zenodo.5499840" in prod5.acknowledgement
    assert "not CTAO's IRFs" in demo.acknowledgement


def test_each_data_set_once_in_order():
    headers = [{"TELESCOP": "X"}, HESS | SASH, {"TELESCOP": "X"}, HESS | SASH | {"OBS_ID": 2}]
    names = [each.name for each in data_terms(headers)]
    assert names == ["Unrecognised data (X)", "H.E.S.S. DL3 DR1"]
    assert data_terms([]) == []


REAL = [
    ("hess-dl3-dr1/data/*.fits.gz", "EVENTS", "H.E.S.S. DL3 DR1"),
    ("magic/rad_max/data/20*.fits", "EVENTS", "MAGIC, Crab Nebula with RAD_MAX"),
    ("cta-1dc/data/baseline/*/*.fits", "EVENTS", "CTA-1DC"),
    ("cta-1dc/caldb/data/cta/1dc/bcf/*/irf_file.fits", "EFFECTIVE AREA", "CTA-1DC"),
    ("cta-caldb/Prod5*.gz", "EFFECTIVE AREA", "CTAO instrument response functions, prod5 v0.1"),
]


@pytest.mark.realdata
@pytest.mark.parametrize(("pattern", "extension", "name"), REAL)
def test_every_public_file_is_recognised(gammapy_data, pattern, extension, name):
    # A dozen files of each set are enough: their headers are alike.
    paths = sorted(gammapy_data.glob(pattern))[:12]
    assert paths
    headers = [fits.getheader(path, extension) for path in paths]
    assert [each.name for each in data_terms(headers)] == [name]
    assert [each.name for each in data_terms([dict(header) for header in headers])] == [name]
    cut = [{key: header[key] for key in HEADER_KEYS if key in header} for header in headers]
    assert [each.name for each in data_terms(cut)] == [name]


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
def test_headers_read_as_tables_are_recognised(gammapy_data):
    path = sorted(gammapy_data.glob("hess-dl3-dr1/data/*.fits.gz"))[0]
    (terms,) = data_terms([Table.read(path, hdu="EVENTS").meta])
    assert terms.name == "H.E.S.S. DL3 DR1"
