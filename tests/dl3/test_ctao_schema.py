"""CTAO's own validator, which needs Python 3.12, finds no fault in what is written."""

import ctao_datamodel
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from ctao_datamodel import validate_fits_bintable_hdu
from ctao_datamodel.models.dl3 import ctao_gadf
from gammapy.data import DataStore

from ctao_sat import dl3
from ctao_sat.simulate import observations

BUNDLE = ctao_gadf.CTAO_GADF_EVENTBUNDLE_HDUS
INDEX = {
    "obs-index.fits.gz": ctao_gadf.CTAO_GADF_OBSTABLE_HDUS,
    "hdu-index.fits.gz": ctao_gadf.CTAO_GADF_HDUINDEX_HDUS,
}
PROD5 = "cta-caldb/Prod5-{}.180000s-v0.1.fits.gz"


def faults(path, hdus=BUNDLE, columns=True):
    """Return what the validator says of each HDU, and what it could say of its columns."""
    found = {}
    for name, (header_model, column_model) in hdus.items():
        try:
            table, _ = validate_fits_bintable_hdu(
                path, hdu=name, header_model=header_model, column_model=column_model
            )
            # Version 1.4 reads the table, but compares only the header.
            if columns and column_model is not None:
                ctao_datamodel.model_validate_astropy_table(table, column_model)
        except ValueError as error:
            found[name] = str(error)
    return found


def simulate(path, irfs, product):
    return observations(
        None,
        SkyCoord([83.6, 84.0], [22.0, 22.0], unit="deg"),
        "5 s",
        irfs,
        np.random.default_rng(1),
        path=path,
        dialect="ctao-gadf",
        metadata=product,
        deadtime_fraction=0.05,
    )


def check_folder(folder):
    for path in folder.glob("*.fits"):
        assert faults(path) == {}
    for name, hdus in INDEX.items():
        assert faults(folder / name, hdus, columns=False) == {}


@pytest.mark.parametrize("site", ["north", "south"])
def test_a_simulation(tmp_path, product, site):
    simulate(tmp_path / "dl3", f"demo-{site}", product)
    check_folder(tmp_path / "dl3")


@pytest.mark.realdata
@pytest.mark.parametrize(
    "irfs",
    [
        PROD5.format("North-20deg-AverageAz-4LSTs09MSTs"),
        PROD5.format("South-20deg-AverageAz-14MSTs37SSTs"),
        "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits",
    ],
)
def test_a_simulation_with_public_responses(tmp_path, product, gammapy_data, irfs):
    simulate(tmp_path / "dl3", gammapy_data / irfs, product)
    check_folder(tmp_path / "dl3")


def test_observations_written_with_all_metadata(observation, tmp_path, product):
    said = product | {
        "disclaimer": "Not for publication.",
        "instance": {
            "facility_name": "Simulated-CTAO",
            "event_type": "best",
            "observing_night": "2028-01-01",
            "category": "C",
            "messenger": "photon",
            "subarray_id": 3,
        },
        "sdc": {"sky_brightness": "gray"},
        "simulation": {"production_name": "prod6"},
        "acquisition": {"sb_id": 4},
        "activity": {"name": "test", "configuration_id": "tests/v1", "process": "simulation"},
    }
    said["curation"] = product["curation"] | {
        "release": "none",
        "reference": "https://doi.org/10.5281/zenodo.5499840",
        "rights": "public",
        "release_date": "2028-06-01 00:00:00",
        "copyright": "nobody",
    }
    folder = dl3.write([observation], tmp_path / "dl3", "ctao-gadf", metadata=said)
    check_folder(folder)
    (path,) = folder.glob("*.fits")
    _, read = validate_fits_bintable_hdu(
        path, hdu="PRIMARY", header_model=BUNDLE["PRIMARY"][0], column_model=None
    )
    assert read.curation.license == "CC-BY-4.0"
    assert read.sdc.sky_brightness == "gray"
    assert read.activity.configuration_id == "tests/v1"
    assert read.activity.software.name == "ctao_sat"
    assert read.instance.event_type == "best"
    assert read.observation.coverage.space.ra.to_value("deg") == pytest.approx(83.633, abs=1)
    assert read.observation.location.latitude.to_value("deg") == pytest.approx(28.7622)
    assert read.disclaimer == "Not for publication."


def test_tabulated_psf(observation, tmp_path, product):
    observation.psf = observation.psf.to_psf3d()
    said = product | {"instance": {"facility_name": "Simulated-CTAO"}}
    folder = dl3.write([observation], tmp_path / "dl3", "ctao-gadf", metadata=said)
    models = ctao_gadf.GADFPSFTableHeader, ctao_gadf.GADFPSFTableTable
    hdus = BUNDLE | {"POINT SPREAD FUNCTION": models}
    # The schema has the table; the list of what a file holds names the other one.
    assert faults(folder / "obs_000001.fits", hdus) == {}
    assert set(faults(folder / "obs_000001.fits")) == {"POINT SPREAD FUNCTION"}


def test_the_validator_finds_what_gammapy_writes_wrongly(small_dl3, tmp_path):
    observation = DataStore.from_dir(small_dl3).get_observations()[0]
    observation.write(tmp_path / "gammapy.fits")
    assert set(faults(tmp_path / "gammapy.fits")) == set(BUNDLE)
