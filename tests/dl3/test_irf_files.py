"""Which responses are read from files and folders, and what is said of them."""

import gzip

import astropy.units as u
import pytest
from astropy.io import fits
from astropy.table import Table

from ctao_sat import dl3
from ctao_sat.errors import (
    AmbiguousDataError,
    ConfigError,
    FileFormatError,
    MissingDataError,
    MissingHDUError,
    SelectionError,
)
from ctao_sat.simulate import demo_array


@pytest.fixture(scope="module")
def demo():
    return demo_array("north")


@pytest.fixture
def hdus(demo):
    """The four responses as HDUs, as Gammapy writes them."""
    psf = fits.BinTableHDU(demo["psf"].to_table(), name="PSF")
    psf.header.update(HDUCLASS="GADF", HDUCLAS1="RESPONSE", HDUCLAS2="RPSF", HDUCLAS4="PSF_3GAUSS")
    return [psf, *(demo[name].to_table_hdu() for name in ("aeff", "edisp", "bkg"))]


def write(path, hdus, **primary):
    found = fits.HDUList([fits.PrimaryHDU(), *hdus])
    found[0].header.update(primary)
    found.writeto(path)
    return path


def named(hdu, name, **keys):
    copy = hdu.copy()
    copy.name = name
    copy.header.update(keys)
    return copy


def test_a_file(hdus, demo, tmp_path):
    (found,) = dl3.read_irfs(write(tmp_path / "irfs.fits", hdus))
    assert set(found.irfs) == {"aeff", "edisp", "psf", "bkg"}
    for name in ("aeff", "edisp", "bkg"):
        assert found.irfs[name].is_allclose(demo[name], rtol=0, atol=0)
    assert (found.telescope, found.site, found.zenith) == ("CTAO-SAT-DEMO", "north", None)
    assert found.label == "CTAO-SAT-DEMO north"
    assert found.source == "irfs.fits"
    assert found.header["TELESCOP"] == "CTAO-SAT-DEMO"
    assert len(found.inputs[0]["sha256"]) == 64


def test_several_areas_side_by_side(hdus, tmp_path):
    others = [named(hdus[1], f"EFFECTIVE_AREA_{name}") for name in ("LOOSE", "TIGHT")]
    path = write(tmp_path / "several.fits", [hdus[0], *others, *hdus[2:]])
    with pytest.raises(AmbiguousDataError) as caught:
        dl3.read_irfs(path)
    assert "2 HDUs with aeff: 'EFFECTIVE_AREA_LOOSE', 'EFFECTIVE_AREA_TIGHT'" in str(caught.value)
    assert "--hdu aeff=NAME" in caught.value.remedy
    assert caught.value.exit_code == 3
    (found,) = dl3.read_irfs(path, hdus={"aeff": "effective_area_tight"})
    assert found.irfs["aeff"].meta["EXTNAME"] == "EFFECTIVE_AREA_TIGHT"
    with pytest.raises(MissingHDUError, match="EFFECTIVE_AREA_TIGH"):
        dl3.read_irfs(path, hdus={"aeff": "EFFECTIVE_AREA_TIGH"})
    with pytest.raises(ConfigError, match="no kind of response 'area'"):
        dl3.read_irfs(path, hdus={"area": "X"})


def test_areas_of_other_particles_are_left_out(hdus, tmp_path):
    names = ("PROTONS", "GAMMAS", "ELECTRONS")
    others = [named(hdus[1], f"EFFECTIVE_AREA_{name}") for name in names]
    path = write(tmp_path / "pyirf.fits", [hdus[0], *others, *hdus[2:]])
    (found,) = dl3.read_irfs(path)
    assert found.irfs["aeff"].meta["EXTNAME"] == "EFFECTIVE_AREA_GAMMAS"
    with pytest.raises(MissingHDUError, match="No HDU with aeff is of gamma rays"):
        dl3.read_irfs(write(tmp_path / "protons.fits", others[:1]))


def test_event_types_are_kept_apart(hdus, tmp_path):
    areas = [named(hdus[1], f"AEFF {kind}", EVTYPE=kind) for kind in ("FAIR", "GOOD")]
    path = write(tmp_path / "types.fits", [hdus[0], *areas, *hdus[2:]])
    found = dl3.read_irfs(path)
    assert [one.event_type for one in found] == ["FAIR", "GOOD"]
    assert [one.irfs["aeff"].meta["EXTNAME"] for one in found] == ["AEFF FAIR", "AEFF GOOD"]
    assert all("psf" in one.irfs for one in found)
    assert found[0].label == "CTAO-SAT-DEMO north, FAIR"
    (good,) = dl3.read_irfs(path, event_type="GOOD")
    assert good.event_type == "GOOD"
    with pytest.raises(SelectionError, match=r"no event type 'GOD'.*Did you mean 'GOOD'"):
        dl3.read_irfs(path, event_type="GOD")


def test_no_responses(tmp_path, hdus, small_dl3):
    path = write(tmp_path / "none.fits", [fits.BinTableHDU(Table({"a": [1]}))])
    with pytest.raises(MissingHDUError, match="no instrument response functions"):
        dl3.read_irfs(path)
    write(tmp_path / "psf.fits", hdus[:1])
    with pytest.raises(MissingHDUError, match=r"no effective area in 'psf.fits'\. It has psf"):
        dl3.read_irfs(tmp_path / "psf.fits")
    with pytest.raises(MissingDataError):
        dl3.read_irfs(tmp_path / "nowhere")


def test_a_folder_with_index_tables(small_dl3):
    found = dl3.read_irfs(small_dl3)
    assert [one.label for one in found] == [f"CTAO-SAT-DEMO north, run {k}" for k in (1, 2)]
    (second,) = dl3.read_irfs(small_dl3, obs_ids=[2])
    assert second.label.endswith("run 2")
    for path in (small_dl3, small_dl3 / "obs_000001.fits"):
        with pytest.raises(SelectionError, match="responses of run 3 in"):
            dl3.read_irfs(path, obs_ids=[3])


def test_a_folder_without_index_tables(small_dl3, hdus, tmp_path):
    for number, name in enumerate(("b.fits", "a.fits.gz")):
        write(tmp_path / name, hdus, INSTRUME=f"Array {number}")
    assert [one.source for one in dl3.read_irfs(tmp_path)] == ["a.fits.gz", "b.fits"]


@pytest.mark.parametrize("damage", ["cut", "gzip", "noise", "shape"])
def test_damaged_files(hdus, tmp_path, damage):
    path = write(tmp_path / "irfs.fits", hdus)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "gzip":
        path = tmp_path / "irfs.fits.gz"
        path.write_bytes(gzip.compress(content)[:-1000])
    elif damage == "noise":
        path.write_bytes(b"no FITS file" * 1000)
    else:
        with fits.open(path, mode="update") as found:
            found["EFFECTIVE AREA"].header["TTYPE5"] = "SOMETHING"
    with pytest.raises(FileFormatError, match=path.name):
        dl3.read_irfs(path)


@pytest.mark.parametrize(
    ("name", "primary", "keys", "site", "zenith", "notes"),
    [
        (
            "a",
            {"INSTRUME": "CTAO Northern Array"},
            {"INSTRUME": "Southern Array"},
            "north",
            None,
            1,
        ),
        ("a", {}, {"INSTRUME": "Southern Array", "ZENITH": 41.5}, "south", 41.5, 0),
        (
            "a",
            {},
            {"CBD10001": "NAME(South_z40_50h)", "CBD60001": "ZENITH(40.000)deg"},
            "south",
            40,
            0,
        ),
        ("Prod5-North-60deg-AverageAz", {}, {"INSTRUME": ""}, "north", 60, 0),
        ("South_z40_5h", {}, {"INSTRUME": ""}, "south", 40, 0),
        ("run_20240501_north_south", {}, {"INSTRUME": "H.E.S.S."}, "", None, 0),
        ("north-120deg", {}, {"INSTRUME": "", "ZENITH": "low"}, "north", None, 0),
    ],
)
def test_site_and_zenith(hdus, tmp_path, name, primary, keys, site, zenith, notes):
    keys = {"INSTRUME": ""} | keys
    path = write(tmp_path / f"{name}.fits", [named(hdus[1], "AEFF", **keys)], **primary)
    (found,) = dl3.read_irfs(path)
    assert found.site == site
    assert found.zenith == (None if zenith is None else zenith * u.deg)
    assert len(found.notes) == notes
    if notes:
        assert dl3.irf_performance(found).meta["notes"][0] == (
            "site: north, as in the header of the file; not as in the headers of the responses."
        )


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("path", "labels"),
    [
        (
            "cta-caldb",
            [f"CTA (MC prod5, v0.1) {site}, zenith 20 deg" for site in ("north", "south")],
        ),
        ("cta-1dc/index/gps", ["CTA south, zenith 20 deg"]),
        ("cta-1dc/caldb", ["CTA south, zenith 20 deg"]),
        ("magic/rad_max", ["MAGIC, run 5029747", "MAGIC, run 5029748"]),
    ],
)
def test_real_files(gammapy_data, path, labels, caplog):
    assert [one.label for one in dl3.read_irfs(gammapy_data / path)] == labels
    # What Gammapy would say of a unit, or of an axis of one bin, is put right before.
    assert caplog.records == []


@pytest.mark.realdata
def test_runs_of_hess(gammapy_data):
    (found,) = dl3.read_irfs(gammapy_data / "hess-dl3-dr1", obs_ids=[20282])
    assert found.label == "HESS, zenith 37.1 deg, std, run 20282"
    assert found.source == "hess_dl3_dr1_obs_id_020282.fits.gz"
