"""What headers say about the tables of a file."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ctao_sat.dl3._headers import fits_files, read_headers
from ctao_sat.errors import FileFormatError, MissingDataError


def _table(columns, **header):
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "D", array=np.zeros(3), unit=unit) for name, unit in columns.items()]
    )
    table.header.update(header)
    return table


def _write(path, *tables, **primary):
    head = fits.PrimaryHDU()
    head.header.update(primary)
    fits.HDUList([head, *tables]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("header", "columns", "expected"),
    [
        ({"HDUCLAS1": "EVENTS"}, ["TIME"], ("events", "events")),
        ({"EXTNAME": "events"}, ["TIME"], ("events", "events")),
        ({"HDUCLAS1": "GTI"}, ["START"], ("gti", "gti")),
        ({"HDUCLAS1": "INDEX", "HDUCLAS2": "OBS"}, ["OBS_ID"], ("index", "")),
        (
            {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "EFF_AREA", "HDUCLAS4": "AEFF_2D"},
            ["EFFAREA"],
            ("aeff", "aeff_2d"),
        ),
        # CTA-1DC
        (
            {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RPSF", "HDUCLAS4": "3GAUSS"},
            ["SIGMA_1"],
            ("psf", "psf_3gauss"),
        ),
        # pyirf
        (
            {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "PSF", "HDUCLAS4": "PSF_TABLE"},
            ["RPSF"],
            ("psf", "psf_table"),
        ),
        # The class counts, whatever the name is.
        (
            {
                "HDUCLAS1": "RESPONSE",
                "HDUCLAS2": "BKG",
                "HDUCLAS4": "BKG_2D",
                "EXTNAME": "EVENTS",
            },
            ["BKG", "THETA_LO"],
            ("bkg", "bkg_2d"),
        ),
        # Without HDUCLAS4 the columns tell, if one class alone has them.
        (
            {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RPSF"},
            ["RPSF", "RAD_LO"],
            ("psf", "psf_table"),
        ),
        ({"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RPSF"}, ["RPSF"], ("psf", "")),
        ({"EXTNAME": "EFFECTIVE AREA"}, ["EFFAREA", "THETA_LO"], ("aeff", "aeff_2d")),
        # Known to CTAO-GADF or ctapipe, and not to Gammapy.
        (
            {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RPSF", "HDUCLAS4": "PSF_GTPSF"},
            ["RPSF", "RAD_LO"],
            ("psf", ""),
        ),
        # OGIP spectra are no DL3.
        ({"HDUCLAS1": "RESPONSE", "HDUCLAS2": "SPECRESP"}, ["SPECRESP"], ("", "")),
        ({"HDUCLAS1": "SPECTRUM", "EXTNAME": "EVENTS"}, ["COUNTS"], ("", "")),
        ({"EXTNAME": "WHATEVER"}, ["X"], ("", "")),
    ],
)
def test_class_of_a_table(tmp_path, header, columns, expected):
    path = _write(tmp_path / "a.fits", _table(dict.fromkeys(columns), **header))
    primary, table = read_headers(path)
    assert (primary.kind, primary.hdu_class) == ("", "")
    assert (table.kind, table.hdu_class) == expected
    assert table.index == 1
    assert table.name == header.get("EXTNAME", "")


def test_what_else_is_told(tmp_path):
    path = _write(
        tmp_path / "a.fits.gz",
        _table(
            {"ENERGY": "TeV", "TIME": None},
            HDUCLAS1="EVENTS",
            EXTNAME="EVENTS",
            OBS_ID="0012",
            EV_CLASS="std",
        ),
        _table({"EFFAREA": "m2"}, HDUCLAS1="RESPONSE", HDUCLAS3="POINT-LIKE", EVTYPE=" hires "),
    )
    _, events, response = read_headers(path)
    assert events.columns == {"ENERGY": "TeV", "TIME": ""}
    assert events.obs_id == 12
    assert events.event_type == "std"
    assert events.where == "a.fits.gz[EVENTS]"
    assert not events.point_like
    assert response.point_like
    assert response.obs_id is None
    assert response.event_type == "hires"
    assert response.where == "a.fits.gz[2]"


def test_primary_header_speaks_for_the_file(tmp_path):
    path = _write(
        tmp_path / "a.fits",
        _table({"TIME": "s"}, HDUCLAS1="EVENTS", EV_CLASS="std"),
        _table({"TIME": "s"}, HDUCLAS1="EVENTS", OBS_ID=8, EVTYPE="b"),
        OBS_ID=7,
        EVTYPE="a",
    )
    told = [(hdu.obs_id, hdu.event_type) for hdu in read_headers(path)[1:]]
    assert told == [(7, "a"), (8, "b")]


@pytest.mark.parametrize("value", ["stacked", 1.5, True, "", "nan", "1e999"])
def test_obs_id_that_is_no_number(tmp_path, value):
    path = _write(tmp_path / "a.fits", _table({"TIME": "s"}, HDUCLAS1="EVENTS", OBS_ID=value))
    assert read_headers(path)[1].obs_id is None


def _damage_gzip(data):
    return gzip.compress(data)[:-400]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("truncated.fits", lambda data: data[:-3000]),
        ("headless.fits", lambda data: data[:1000]),
        ("empty.fits", lambda data: b""),
        ("text.fits", lambda data: b"no FITS at all\n" * 999),
        ("truncated.fits.gz", _damage_gzip),
        ("no.fits.gz", lambda data: b"\x1f\x8bnot gzip"),
        ("card.fits", lambda data: data.replace(b"'EVENTS  '", b"'EVENTS   ", 1)),
        ("fields.fits", lambda data: data.replace(b"PCOUNT  =", b"PCOUNT  %", 1)),
    ],
)
def test_damaged_file(tmp_path, name, damage):
    columns = dict.fromkeys(map(str, range(300)))
    good = _write(tmp_path / "good.fits", _table(columns, EXTNAME="EVENTS", HDUCLAS1="EVENTS"))
    bad = tmp_path / name
    bad.write_bytes(damage(good.read_bytes()))
    with pytest.raises(FileFormatError, match=name) as caught:
        read_headers(bad)
    assert caught.value.remedy
    assert caught.value.where == str(bad)


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="There is no file"):
        read_headers(tmp_path / "a.fits")


def test_files_of_folders(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    names = ["b/c/1.FITS", "b/2.fits.gz", "a.fit", "b/.hidden.fits", "README", "x.txt"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    expected = [tmp_path / name for name in ("a.fit", "b/2.fits.gz", "b/c/1.FITS")]
    assert fits_files(tmp_path) == expected
    # Each once, and named files whatever they end in.
    assert fits_files([tmp_path, tmp_path / "a.fit"]) == expected
    assert fits_files([tmp_path / "x.txt", str(tmp_path / "b/c")]) == [
        tmp_path / "b/c/1.FITS",
        tmp_path / "x.txt",
    ]


def test_no_files(tmp_path):
    with pytest.raises(MissingDataError, match="There is no FITS file"):
        fits_files(tmp_path)
    with pytest.raises(MissingDataError, match="the list of paths is empty"):
        fits_files([])
    with pytest.raises(MissingDataError, match="There is no file or folder"):
        fits_files(tmp_path / "nowhere")


_FULL = {"events", "gti", "aeff_2d", "edisp_2d", "bkg_3d"}


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hess-dl3-dr1/data/hess_dl3_dr1_obs_id_020136.fits.gz", _FULL | {"psf_table"}),
        ("cta-1dc/data/baseline/gps/gps_baseline_110380.fits", {"events", "gti"}),
        (
            "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits",
            {"aeff_2d", "edisp_2d", "bkg_3d", "psf_3gauss"},
        ),
        (
            "cta-caldb/Prod5-South-20deg-AverageAz-14MSTs37SSTs.180000s-v0.1.fits.gz",
            {"aeff_2d", "edisp_2d", "bkg_3d", "psf_3gauss"},
        ),
        (
            "magic/rad_max/data/20131004_05029747_DL3_CrabNebula-W0.40+035.fits",
            {"events", "gti", "aeff_2d", "edisp_2d", "rad_max_2d"},
        ),
    ],
)
def test_real_files(path, expected):
    hdus = read_headers(Path(os.environ["GAMMAPY_DATA"]) / path)
    assert {hdu.hdu_class for hdu in hdus[1:]} == expected
