"""Event types of the same observations: kept apart, selectable, and no event lost."""

import pickle
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from gammapy.data import DataStore
from gammapy.datasets import Datasets
from gammapy.maps import MapAxis, RegionGeom
from gammapy.modeling.models import SkyModel
from regions import CircleSkyRegion

from ctao_sat import dl3, dl4, dl5, recipes
from ctao_sat.errors import (
    AmbiguousDataError,
    ConfigError,
    DataError,
    MissingDataError,
    SelectionError,
)

TABLES = ("hdu-index.fits.gz", "obs-index.fits.gz")


@pytest.fixture
def folder(tmp_path, typed_dl3):
    """Return a copy of the data, to be changed."""
    return shutil.copytree(typed_dl3, tmp_path / "dl3")


def n_events(path):
    with fits.open(path) as hdus:
        return len(hdus["EVENTS"].data)


def test_every_event_of_every_type_is_loaded(typed_dl3):
    stores = dl3.open_event_types(typed_dl3)
    assert list(stores) == ["hires", "lores"]
    loaded = sum(
        len(observation.events.table)
        for store in stores.values()
        for observation in dl3.read_observations(store, store.obs_ids)
    )
    files = [*typed_dl3.glob("hires/*"), *typed_dl3.glob("lores/*")]
    assert len(files) == 4
    assert loaded == sum(map(n_events, files))
    assert loaded > 10_000


def test_gammapy_itself_drops_a_type(typed_dl3):
    # Why this module is there. If it fails, Gammapy has learned it: simplify.
    paths = [typed_dl3 / "hires/obs_000001.fits", typed_dl3 / "lores/obs_000001.fits.gz"]
    store = DataStore.from_events_files(paths)
    assert len(store.obs_table) == 1
    assert len(store.get_observations(required_irf=[])) == 1


def test_parts_are_those_of_the_type(typed_dl3):
    stores = dl3.open_event_types(typed_dl3)
    for name, joint in (("hires", True), ("lores", False)):
        for obs_id in (1, 2):
            row = stores[name].hdu_table
            paths = {
                kind: Path(row.hdu_location(obs_id, hdu_type=kind).path())
                for kind in ("events", "gti", "aeff", "psf")
            }
            assert {path.parent.name for path in paths.values()} == (
                {"hires"} if joint else {"lores", "irfs"}
            )
            assert set(stores[name].hdu_table["EVTYPE"]) == {name}


def test_a_store_holds_one_type(typed_dl3):
    with pytest.raises(AmbiguousDataError) as caught:
        dl3.open_dl3(typed_dl3)
    says = "Observation 1, and 1 more, have several event types: 'hires', 'lores'."
    assert caught.value.message == says
    assert "event_types='hires'" in caught.value.remedy
    store = dl3.open_dl3(typed_dl3, event_types="lores")
    assert type(store) is DataStore
    assert list(store.obs_table["EVTYPE"]) == ["lores", "lores"]
    assert len(store.get_observations()) == 2
    with pytest.raises(AmbiguousDataError, match="several of the chosen event types") as caught:
        dl3.open_dl3(typed_dl3, event_types=["hires", "lores"])
    assert "open_event_types with the same event_types" in caught.value.remedy
    assert "[hires, lores]" in caught.value.remedy
    assert "event_types='hires'" in caught.value.remedy


def test_one_observation_of_several_types(folder):
    (folder / "hires/obs_000002.fits").unlink()
    with pytest.raises(AmbiguousDataError, match=r"Observation 1 has several event types: 'hires'"):
        dl3.open_dl3(folder)


def test_all_types(typed_dl3, folder):
    assert list(dl3.open_event_types(typed_dl3, "all")) == ["hires", "lores"]
    with pytest.raises(AmbiguousDataError, match="have several event types") as caught:
        dl3.open_dl3(typed_dl3, event_types="all")
    assert "`data.event_types: all`" in caught.value.remedy
    for name in ("hires/obs_000001.fits", "lores/obs_000002.fits.gz"):
        (folder / name).unlink()
    assert sorted(dl3.open_dl3(folder, event_types="all").obs_ids) == [1, 2]


def test_a_type_of_the_name_all(folder):
    for path in folder.glob("hires/*.fits*"):
        with fits.open(path, mode="update") as hdus:
            for hdu in hdus:
                if "EVTYPE" in hdu.header:
                    hdu.header["EVTYPE"] = "all"
    store = dl3.open_dl3(folder, event_types="all")
    assert set(store.obs_table["EVTYPE"]) == {"all"}


@pytest.mark.parametrize("wanted", [1, ["hires", 1], [None]])
def test_types_that_are_no_names(typed_dl3, wanted):
    for open_ in (dl3.open_dl3, dl3.open_event_types):
        with pytest.raises(ConfigError, match=r"must be a name.*'hires', 'lores'"):
            open_(typed_dl3, event_types=wanted)


def test_types_of_different_observations_make_one_store(folder):
    (folder / "hires/obs_000001.fits").unlink()
    (folder / "lores/obs_000002.fits.gz").unlink()
    store = dl3.open_dl3(folder)
    assert dict(zip(store.obs_table["OBS_ID"], store.obs_table["EVTYPE"], strict=True)) == {
        1: "lores",
        2: "hires",
    }
    assert list(dl3.open_event_types(folder)["hires"].obs_ids) == [2]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("hires2", "no event type 'hires2'. Did you mean 'hires'"),
        ([], "list of event types is empty"),
    ],
)
def test_types_that_are_not_there(typed_dl3, wanted, says):
    with pytest.raises(SelectionError, match=says):
        dl3.open_event_types(typed_dl3, wanted)


def test_data_that_state_no_type(small_dl3, tmp_path):
    assert list(dl3.open_event_types(small_dl3)) == [""]
    with pytest.raises(SelectionError, match=r"no event type 'a'.*index='headers'"):
        dl3.open_dl3(small_dl3, event_types="a")
    # The simulator writes an event class.
    assert list(dl3.open_event_types(small_dl3, index="headers")) == ["STANDARD"]


def test_a_store_survives_the_way_to_a_worker(typed_dl3):
    store = pickle.loads(pickle.dumps(dl3.open_dl3(typed_dl3, event_types="hires")))
    (observation,) = dl3.read_observations(store, [2], required_irf="full-enclosure")
    assert len(observation.events.table) == n_events(typed_dl3 / "hires/obs_000002.fits")


def test_files_behind_each_type(typed_dl3):
    stores = dl3.open_event_types(typed_dl3)
    assert dl3.data_files(stores["hires"], [1]) == [typed_dl3 / "hires/obs_000001.fits"]
    assert dl3.data_files(stores["lores"], [1]) == [
        typed_dl3 / "irfs/lores.fits",
        typed_dl3 / "lores/obs_000001.fits.gz",
    ]


class TestTables:
    """Index tables on disk that hold several event types."""

    def test_they_are_as_good_as_the_headers(self, folder):
        dl3.write_index(folder)
        stores = dl3.open_event_types(folder)
        fresh = dl3.open_event_types(folder, index="headers")
        assert list(stores) == ["hires", "lores"]
        for name, store in stores.items():
            assert len(store.hdu_table) == len(fresh[name].hdu_table) == 12
            assert list(store.obs_table["OBS_ID"]) == [1, 2]
            assert set(store.obs_table["EVTYPE"]) == {name}
            assert len(dl3.read_observations(store, [1, 2], required_irf="full-enclosure")) == 2
        with pytest.raises(AmbiguousDataError, match="'hires', 'lores'"):
            dl3.open_dl3(folder)
        # The tables were used, thus they are inputs; else not.
        assert folder / TABLES[0] in dl3.data_files(stores["hires"], [1])
        assert folder / TABLES[0] not in dl3.data_files(fresh["hires"], [1])

    def test_without_the_column_nothing_is_halved(self, folder):
        dl3.write_index(folder)
        for name in TABLES:
            table = Table.read(folder / name)
            table.remove_column("EVTYPE")
            table.meta.pop("EXTNAME")
            hdu = fits.BinTableHDU(table, name="INDEX")
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / name, overwrite=True)
        for open_ in (dl3.open_dl3, dl3.open_event_types):
            with pytest.raises(AmbiguousDataError) as caught:
                open_(folder)
            for text in ("2 tables 'events'", "hires/obs_000001.fits[EVENTS]", "index='headers'"):
                assert text in str(caught.value)
        assert list(dl3.open_event_types(folder, index="headers")) == ["hires", "lores"]

    def test_an_observation_that_is_listed_twice(self, folder):
        shutil.rmtree(folder / "lores")
        dl3.write_index(folder)
        table = Table.read(folder / TABLES[1])
        table = table[[0, 0, 1]]
        table.meta.pop("EXTNAME")
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table)]).writeto(
            folder / TABLES[1], overwrite=True
        )
        with pytest.raises(AmbiguousDataError, match="lists observation 1 more than once"):
            dl3.open_dl3(folder)


def test_ways_to_open(typed_dl3, small_dl3, tmp_path):
    with pytest.raises(ConfigError, match=r"Unknown index 'header'\. Did you mean 'headers'"):
        dl3.open_dl3(typed_dl3, index="header")
    with pytest.raises(MissingDataError, match="no index table"):
        dl3.open_dl3(typed_dl3, index="tables")
    with pytest.raises(ConfigError, match="those of one folder"):
        dl3.open_dl3([small_dl3, typed_dl3], index="tables")
    with pytest.raises(MissingDataError, match="There is no data folder"):
        dl3.open_dl3(tmp_path / "nowhere")
    assert list(dl3.open_dl3([small_dl3], index="tables").obs_ids) == [1, 2]


def test_events_and_responses_apart(typed_dl3):
    store = dl3.open_dl3([typed_dl3 / "lores", typed_dl3 / "irfs/lores.fits"])
    observations = dl3.read_observations(store, [1, 2], required_irf="full-enclosure")
    (joint,) = dl3.read_observations(
        dl3.open_dl3(typed_dl3 / "hires/obs_000001.fits"), [1], required_irf="full-enclosure"
    )
    for observation in observations:
        for name in ("aeff", "edisp", "psf", "bkg"):
            assert np.array_equal(getattr(observation, name).data, getattr(joint, name).data)


class TestJoint:
    """Observations of several event types, read for a joint analysis."""

    def test_names_are_unique_and_runs_together(self, typed_dl3):
        named = dl3.read_event_types(dl3.open_event_types(typed_dl3))
        assert list(named) == ["1-hires", "1-lores", "2-hires", "2-lores"]
        assert [observation.obs_id for observation in named.values()] == [1, 1, 2, 2]

    def test_one_type_is_named_by_its_observations(self, typed_dl3):
        named = dl3.read_event_types(dl3.open_event_types(typed_dl3, "lores"), [2, 1])
        assert list(named) == ["2", "1"]

    def test_a_run_without_a_type(self, folder, caplog):
        (folder / "hires/obs_000002.fits").unlink()
        named = dl3.read_event_types(dl3.open_event_types(folder))
        assert list(named) == ["1-hires", "1-lores", "2-lores"]
        assert "There are no events of type 'hires' of observation 2." in caplog.text

    def test_names_are_fit_for_files(self, typed_dl3):
        stores = dl3.open_event_types(typed_dl3)
        slash = dict(zip(("a/b", "c"), stores.values(), strict=True))
        assert list(dl3.read_event_types(slash, [1])) == ["1-a_b", "1-c"]
        alike = dict(zip(("a/b", "a b"), stores.values(), strict=True))
        assert list(dl3.read_event_types(alike, [1])) == ["1-a_b.1", "1-a_b.2"]

    def test_an_event_of_two_types_would_count_twice(self, folder):
        with fits.open(folder / "hires/obs_000001.fits", memmap=False) as hdus:
            some = hdus["EVENTS"].data[10:15].copy()
        path = folder / "lores/obs_000001.fits.gz"
        with fits.open(path, memmap=False) as hdus:
            hdus["EVENTS"].data[20:25] = some
            hdus.writeto(path, overwrite=True)
        stores = dl3.open_event_types(folder)
        with pytest.raises(DataError, match=r"5 events of observation 1 .*'hires' and 'lores'"):
            dl3.read_event_types(stores)
        assert len(dl3.read_event_types(stores, [2])) == 2

    @pytest.mark.parametrize(("ids", "says"), [([7], "no observation 7"), ([], "No observation")])
    def test_observations_that_are_not_there(self, typed_dl3, ids, says):
        with pytest.raises(SelectionError, match=says):
            dl3.read_event_types(dl3.open_event_types(typed_dl3), ids)

    def test_joint_fit_is_better_than_the_best_type(self, typed_dl3):
        """The error of the amplitude of the joint fit does not exceed that of either type."""
        stores = dl3.open_event_types(typed_dl3)
        named = dl3.read_event_types(stores)
        energy = MapAxis.from_energy_bounds("0.2 TeV", "20 TeV", nbin=10, name="energy")
        region = CircleSkyRegion(SkyCoord(83.633, 22.014, unit="deg"), 0.11 * u.deg)
        geometry = RegionGeom.create(region, axes=[energy])
        datasets = dl4.reduce(named.values(), geometry, names=named)
        assert datasets.names == list(named)
        errors, values = {}, {}
        for of in ("hires", "lores", ""):
            model = recipes.crab_like_model()
            chosen = Datasets([dataset for dataset in datasets if dataset.name.endswith(of)])
            chosen.models = [SkyModel(model.spectral_model, name="source")]
            spectrum = chosen.models["source"].spectral_model
            spectrum.amplitude.frozen = False
            assert dl5.fit(chosen).success
            errors[of], values[of] = spectrum.amplitude.error, spectrum.amplitude.value
        assert 0 < errors[""] <= min(errors["hires"], errors["lores"])
        # Two types alike: the error shrinks by the root of two, within 10 %.
        assert errors[""] == pytest.approx(errors["hires"] / np.sqrt(2), rel=0.1)
        assert min(values.values()) <= values[""] <= max(values.values())
