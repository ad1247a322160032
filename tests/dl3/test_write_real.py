"""Real data come back as they were, and give the same spectrum."""

import copy

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore, Observations
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.makers import ReflectedRegionsBackgroundMaker, SpectrumDatasetMaker
from gammapy.makers.utils import make_map_background_irf
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from regions import CircleSkyRegion, PointSkyRegion

from ctao_sat import dl3
from ctao_sat.errors import DataError, MissingColumnError

pytestmark = [
    pytest.mark.realdata,
    # Of the files as they are: units and axes that Gammapy mends.
    pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning"),
]

CRAB = SkyCoord(83.6333, 22.0144, unit="deg")
SETS = {
    "hess": ("hess-dl3-dr1", [23523, 23526], "full-enclosure"),
    "1dc": ("cta-1dc/index/gps", [110380, 111630], "full-enclosure"),
    "magic": ("magic/rad_max/data", [5029747, 5029748], "point-like"),
}
# What the files say wrongly or in another way; anything else that differs is a fault.
CHANGED = {
    # TELAPSE is zero, WOBBLE is no mode, and "local" is written in capitals.
    "hess": {"OBS_MODE", "TELAPSE", "TIMEREF"},
    # One stops eight seconds before its good times do, one has a number for a text.
    "1dc": {"OBS_ID", "TSTOP"},
    "magic": {"TIMEREF"},
}


def read(gammapy_data, name):
    folder, ids, required = SETS[name]
    return DataStore.from_dir(gammapy_data / folder).get_observations(ids, required_irf=required)


@pytest.fixture(autouse=True)
def _caldb(gammapy_data, monkeypatch):
    monkeypatch.setenv("CALDB", str(gammapy_data / "cta-1dc" / "caldb"))


@pytest.mark.parametrize("name", SETS)
def test_round_trip(gammapy_data, tmp_path, compare, name):
    observations = read(gammapy_data, name)
    _, ids, required = SETS[name]
    folder = dl3.write(observations, tmp_path / "dl3")
    for store in (DataStore.from_dir(folder), dl3.open_dl3(folder, index="headers")):
        back = store.get_observations(ids, required_irf=required)
        for before, after in zip(observations, back, strict=True):
            header = before.events.table.meta
            wrong = {
                key for key in CHANGED[name] if header.get(key) != after.events.table.meta[key]
            }
            compare.observations(before, after, changed=wrong)
            assert after.available_irfs == before.available_irfs


@pytest.mark.parametrize("name", SETS)
def test_a_selection_in_time(gammapy_data, tmp_path, compare, name):
    compare.selection(read(gammapy_data, name)[0], tmp_path)


def test_backgrounds_of_hess_are_in_gadf(gammapy_data, tmp_path):
    observations = read(gammapy_data, "hess")
    assert {obs.bkg.fov_alignment.value for obs in observations} == {"REVERSE_LON_RADEC"}
    folder = dl3.write(observations, tmp_path / "dl3")
    result = dl3.check(folder)
    assert result.checks_run["fov-alignment"] == 2
    assert [finding for finding in result.findings if finding.check == "fov-alignment"] == []
    back = DataStore.from_dir(folder).get_observations()
    energy = MapAxis.from_energy_bounds("0.7 TeV", "20 TeV", nbin=3)
    for before, after in zip(observations, back, strict=True):
        assert after.bkg.fov_alignment == "RADEC"
        geom = WcsGeom.create(skydir=before.pointing.fixed_icrs, width=4, binsz=0.2, axes=[energy])
        maps = [
            make_map_background_irf(
                obs.pointing, obs.gti.time_sum, obs.bkg, geom, time_start=obs.tstart
            ).data
            for obs in (before, after)
        ]
        assert maps[0].sum() > 100
        assert np.allclose(maps[1], maps[0], rtol=1e-6, atol=1e-12)


def test_ctao_gadf_is_for_ctao(gammapy_data, tmp_path, product):
    for name, error, says in (
        ("hess", DataError, "system FK5"),
        ("1dc", DataError, "system FK5"),
        ("magic", DataError, "has no psf"),
    ):
        with pytest.raises(error, match=says):
            dl3.write(read(gammapy_data, name), tmp_path / name, "ctao-gadf", metadata=product)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_the_data_challenge_in_ctao_gadf(gammapy_data, tmp_path, product, compare):
    # Simulated data: the system of its directions is a matter of the header alone.
    observation = read(gammapy_data, "1dc")[0].copy(in_memory=True)
    observation.events.table.meta["RADECSYS"] = "ICRS"
    with pytest.raises(MissingColumnError, match=r"instance\.facility_name.*TELESCOP is 'CTA'"):
        dl3.write(observation, tmp_path / "dl3", "ctao-gadf", metadata=product)
    # Its site header is wrong, too: 79.4 degrees East.
    said = copy.deepcopy(product) | {
        "instance": {"facility_name": "Simulated-CTAO", "site_id": "CTAO-South"}
    }
    folder = dl3.write(observation, tmp_path / "dl3", "ctao-gadf", metadata=said)
    (after,) = dl3.open_dl3(folder).get_observations()
    compare.observations(
        observation, after, changed={"TELESCOP", "TSTOP"}, rtol=float(np.finfo("f4").eps)
    )


def fit(observations, point_like):
    """Return parameters and errors of a power law, by Gammapy alone."""
    region = PointSkyRegion(CRAB) if point_like else CircleSkyRegion(CRAB, 0.11 * u.deg)
    energy = MapAxis.from_energy_bounds("0.7 TeV", "20 TeV", nbin=6)
    energy_true = MapAxis.from_energy_bounds("0.3 TeV", "50 TeV", nbin=15, name="energy_true")
    empty = SpectrumDataset.create(
        RegionGeom.create(region, axes=[energy]), energy_axis_true=energy_true
    )
    maker = SpectrumDatasetMaker(
        selection=["counts", "exposure", "edisp"], containment_correction=not point_like
    )
    finder = {"region_finder": None}
    if point_like:
        from gammapy.makers import WobbleRegionsFinder

        finder = {"region_finder": WobbleRegionsFinder(n_off_regions=3)}
    off = ReflectedRegionsBackgroundMaker(**{k: v for k, v in finder.items() if v is not None})
    datasets = Datasets()
    for obs in observations:
        datasets.append(off.run(maker.run(empty.copy(name=str(obs.obs_id)), obs), obs))
    model = SkyModel(PowerLawSpectralModel(amplitude="3e-11 cm-2 s-1 TeV-1"), name="crab")
    datasets.models = [model]
    assert Fit().run(datasets).success
    counts = [dataset.counts.data.sum() for dataset in datasets]
    return [*model.parameters.free_parameters.value, *counts], float(datasets.stat_sum())


@pytest.mark.parametrize("name", ["hess", "magic"])
def test_the_same_spectrum(gammapy_data, tmp_path, name):
    observations = read(gammapy_data, name)
    folder = dl3.write(observations, tmp_path / "dl3")
    _, ids, required = SETS[name]
    back = DataStore.from_dir(folder).get_observations(ids, required_irf=required)
    before, after = (fit(Observations(list(obs)), name == "magic") for obs in (observations, back))
    assert before[0][-1] > 0
    # Edges of axes may differ in the last digit.
    assert np.allclose(after[0], before[0], rtol=1e-7)
    assert after[1] == pytest.approx(before[1], rel=1e-10)
