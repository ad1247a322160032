"""Bad input: a typed error with its remedy, and nothing on disk."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from gammapy.data import GTI
from gammapy.irf import EffectiveAreaTable2D
from gammapy.modeling.models import (
    FoVBackgroundModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

from ctao_sat.errors import (
    ConfigError,
    DataError,
    FileFormatError,
    MissingDataError,
    MissingHDUError,
    OutputError,
)
from ctao_sat.simulate import demo_array, observations

POINTING = SkyCoord(83.63, 22.51, unit="deg")


def source(name="a"):
    return SkyModel(PowerLawSpectralModel(), PointSpatialModel(), name=name)


def without_exposure():
    model = source()
    model.apply_irf["exposure"] = False
    return model


def gti(start=(0.0,), stop=(10.0,)):
    return GTI.create(list(start) * u.s, list(stop) * u.s, Time("2028-01-01", scale="tt"))


def run(path, **kwargs):
    arguments = {
        "models": None,
        "pointings": POINTING,
        "livetime": "10 s",
        "irfs": "demo-south",
        "rng": np.random.default_rng(1),
    }
    return observations(path=path, **(arguments | kwargs))


BAD_ARGUMENTS = {
    "model of another type": ({"models": [FoVBackgroundModel(dataset_name="x")]}, "FoVBackground"),
    "model without position": ({"models": SkyModel(PowerLawSpectralModel())}, "no spatial model"),
    "twins": ({"models": [source(), source()]}, "Two models have the name 'a'"),
    "no exposure": ({"models": without_exposure()}, "exposure"),
    "no pointings": ({"pointings": []}, "no pointings"),
    "pointing of another type": ({"pointings": ["Crab"]}, "'Crab'"),
    "pointing NaN": ({"pointings": SkyCoord(np.nan, 0, unit="deg")}, "not finite"),
    "live time without unit": ({"livetime": 10}, "30 min"),
    "live time in degrees": ({"livetime": 10 * u.deg}, "30 min"),
    "live time negative": ({"livetime": -10 * u.s}, "not positive"),
    "live time infinite": ({"livetime": np.inf * u.s}, "not finite"),
    "live times": ({"livetime": [10, 20] * u.s}, "2 live times for 1 pointings"),
    "no live time": ({"livetime": None}, "Give `livetime` or `gti`"),
    "dead": ({"deadtime_fraction": 1.0}, "deadtime_fraction"),
    "start": ({"start": "tomorrow"}, "'tomorrow'"),
    "gap": ({"gap": "-1 s"}, "'gap'"),
    "GTI and live time": ({"gti": [gti()]}, "livetime=None"),
    "GTIs": ({"livetime": None, "gti": [gti(), gti()]}, "2 GTIs for 1 pointings"),
    "empty GTI": ({"livetime": None, "gti": [gti((), ())]}, "A GTI is empty"),
    "GTI order": ({"livetime": None, "gti": [gti((0.0, 5.0), (10.0, 20.0))]}, "overlap"),
    "seed for a generator": ({"rng": 42}, "default_rng"),
    "identifier": ({"obs_id_start": -1}, "obs_id_start"),
    "energies": ({"energy_range": [10, 1] * u.TeV}, "lower limit first"),
    "energies without unit": ({"energy_range": [1, 10]}, "energy_range"),
    "site": ({"location": "nrth"}, "Did you mean 'north'?"),
    "IRFs of another type": ({"irfs": 5}, "type 'int'"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_argument(tmp_path, case):
    arguments, message = BAD_ARGUMENTS[case]
    with pytest.raises(ConfigError) as info:
        run(tmp_path / "dl3", **arguments)
    assert message in str(info.value)
    assert info.value.remedy
    assert list(tmp_path.iterdir()) == []


def irfs_with(**changes):
    return demo_array("south") | changes


def nan_area():
    area = demo_array("south")["aeff"]
    data = area.data.copy()
    data[3, 2] = np.nan
    return EffectiveAreaTable2D(area.axes, data, unit="m2", meta=area.meta)


def pointlike_area():
    area = demo_array("south")["aeff"]
    return EffectiveAreaTable2D(area.axes, area.data, unit="m2", meta=area.meta, is_pointlike=True)


def write_truncated(path):
    hdus = [fits.PrimaryHDU(), demo_array("south")["edisp"].to_table_hdu()]
    fits.HDUList(hdus).writeto(path)
    path.write_bytes(path.read_bytes()[:4000])


BAD_IRFS = {
    "no file": (lambda path: None, MissingDataError),
    "empty file": (lambda path: path.write_bytes(b""), FileFormatError),
    "text file": (lambda path: path.write_text("not FITS"), FileFormatError),
    "truncated file": (write_truncated, FileFormatError),
    "no IRF inside": (lambda path: fits.PrimaryHDU().writeto(path), MissingHDUError),
}


@pytest.mark.parametrize("case", BAD_IRFS)
def test_bad_irf_file(tmp_path, case):
    make, error = BAD_IRFS[case]
    path = tmp_path / "irf.fits"
    make(path)
    with pytest.raises(error, match=r"irf\.fits"):
        run(tmp_path / "dl3", irfs=path)
    assert not (tmp_path / "dl3").exists()


@pytest.mark.parametrize(
    ("irfs", "error", "message"),
    [
        (irfs_with(bkg=None), MissingHDUError, "lack bkg"),
        (irfs_with(aeff=nan_area()), DataError, "not finite"),
        (irfs_with(aeff=pointlike_area()), DataError, "point-like"),
    ],
)
def test_bad_irf_objects(tmp_path, irfs, error, message):
    with pytest.raises(error, match=message):
        run(tmp_path / "dl3", irfs=irfs)


def test_misspelt_array(tmp_path):
    with pytest.raises(MissingDataError, match="Did you mean 'demo-north'"):
        run(tmp_path / "dl3", irfs="demo-nrth")


def test_irfs_of_an_unknown_site(tmp_path):
    irfs = demo_array("south")
    area = irfs["aeff"]
    irfs["aeff"] = EffectiveAreaTable2D(area.axes, area.data, unit="m2", meta={"TELESCOP": "X"})
    with pytest.raises(ConfigError, match="location='north'"):
        run(tmp_path / "dl3", irfs=irfs)
    store = run(tmp_path / "dl3", irfs=irfs, location="north")
    assert store.obs_table["GEOLAT"][0] == pytest.approx(28.7622)


def test_output_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        run(tmp_path / "file")
    with pytest.raises(OutputError):
        run(tmp_path / "file" / "dl3")
    assert (tmp_path / "file").read_text() == "mine"


def test_pointing_below_the_horizon_is_reported(tmp_path, caplog):
    run(tmp_path / "dl3", pointings=SkyCoord(83.63, 80, unit="deg"))
    assert "below the horizon" in caplog.text


def test_negative_flux_is_refused(tmp_path):
    spectrum = PowerLawSpectralModel(amplitude="-1e-11 cm-2 s-1 TeV-1")
    model = SkyModel(spectrum, PointSpatialModel(lon_0="83.63 deg", lat_0="22.01 deg"), name="x")
    with pytest.raises(ConfigError, match="negative flux"):
        run(tmp_path / "dl3", models=model)


def test_spectral_model_alone_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="PowerLawSpectralModel"):
        run(tmp_path / "dl3", models=PowerLawSpectralModel())
