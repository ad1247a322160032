"""Opening DL3: what is fit for an analysis passes, and each fault is named.

How the faults read to a user, file by file, is in ``tests/cli/test_bad_input.py``.
"""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from gammapy.data import DataStore

from ctao_sat.dl3 import (
    check,
    data_files,
    index_tables,
    open_dl3,
    read_observations,
    write_index,
)
from ctao_sat.errors import (
    ConfigError,
    DataError,
    FileFormatError,
    MissingColumnError,
    MissingDataError,
    MissingHDUError,
    SelectionError,
)


@pytest.fixture
def folder(tmp_path, small_dl3):
    """Return a copy of the data, to be damaged."""
    return shutil.copytree(small_dl3, tmp_path / "dl3")


def change(path, edit):
    with fits.open(path, memmap=False) as content:
        copy = fits.HDUList([hdu.copy() for hdu in content])
    edit(copy)
    copy.writeto(path, overwrite=True)


def test_a_store_is_that_of_gammapy(small_dl3):
    store = open_dl3(small_dl3)
    plain = DataStore.from_dir(small_dl3)
    assert type(store) is DataStore
    assert list(store.obs_ids) == list(plain.obs_ids) == [1, 2]


def test_a_path_may_hold_a_variable(small_dl3, monkeypatch):
    monkeypatch.setenv("MY_DATA", str(small_dl3.parent))
    assert list(open_dl3("$MY_DATA/dl3").obs_ids) == [1, 2]


def test_observations_are_those_of_gammapy_in_the_order_asked_for(small_dl3):
    store = open_dl3(small_dl3)
    observations = read_observations(store, [2, 1])
    assert observations.ids == ["2", "1"]
    for observation, plain in zip(observations, store.get_observations([2, 1]), strict=True):
        assert np.array_equal(observation.events.energy, plain.events.energy)
        assert observation.gti.time_sum == plain.gti.time_sum
        assert np.array_equal(observation.aeff.data, plain.aeff.data)


@pytest.mark.parametrize("kind", ["spectrum", "full-enclosure"])
def test_all_parts_are_there(small_dl3, kind):
    (observation,) = read_observations(open_dl3(small_dl3), [1], required_irf=kind)
    assert {"aeff", "edisp", "psf", "bkg"} <= set(observation.available_irfs)


def test_parts_that_are_not_asked_for_may_be_damaged(folder):
    def spoil(content):
        content["BACKGROUND"].data["BKG"].flat[0] = np.nan
        content["POINT SPREAD FUNCTION"].data["SIGMA_1"].flat[:2] = np.inf

    change(folder / "obs_000001.fits", spoil)
    store = open_dl3(folder)
    assert len(read_observations(store, [1])) == 1
    # Of two damaged parts, and of the fields of a parametric PSF, the first is named.
    with pytest.raises(DataError, match=r"psf of observation 1 have 2 values.*exclude_ids: \[1\]"):
        read_observations(store, [1], required_irf="full-enclosure")
    assert len(read_observations(store, [2], required_irf="full-enclosure")) == 1


def test_names_of_hdus_are_compared_without_case(folder):
    # As FITS does, and as the files of H.E.S.S. need it.
    path = folder / "hdu-index.fits.gz"

    def lower(content):
        names = content[1].data["HDU_NAME"]
        names[:] = np.char.lower(names)

    change(path, lower)
    assert len(read_observations(open_dl3(folder), [1, 2])) == 2


def test_an_observation_without_events_is_read(folder):
    def empty(content):
        content["EVENTS"].data = content["EVENTS"].data[:0]

    change(folder / "obs_000001.fits", empty)
    (observation,) = read_observations(open_dl3(folder), [1])
    assert len(observation.events.table) == 0


@pytest.mark.parametrize("ids", [[3], [1, 3]])
def test_unknown_observations(small_dl3, ids):
    with pytest.raises(SelectionError, match=r"no observation 3 .*'1', '2'"):
        read_observations(open_dl3(small_dl3), ids)


def test_no_observation(small_dl3):
    with pytest.raises(SelectionError, match="No observation is selected"):
        read_observations(open_dl3(small_dl3), [])


def test_a_point_like_analysis_needs_rad_max(small_dl3):
    with pytest.raises(MissingHDUError, match=r"has no rad_max.*method: circle"):
        read_observations(open_dl3(small_dl3), [1], required_irf="point-like")


@pytest.mark.parametrize("path", [None, 3, ["dl3", None], [b"dl3"]])
def test_what_is_no_path(path):
    for function in (open_dl3, index_tables, write_index, check):
        with pytest.raises(ConfigError, match="is no path") as caught:
            function(path)
        assert caught.value.remedy


def test_no_path():
    for function in (open_dl3, index_tables, write_index, check):
        with pytest.raises(MissingDataError, match="list of paths is empty"):
            function([])


def test_no_folder(tmp_path):
    with pytest.raises(MissingDataError, match="no data folder"):
        open_dl3(tmp_path / "dl3")


@pytest.mark.parametrize("name", ["obs-index.fits.gz", "hdu-index.fits.gz"])
class TestIndex:
    """Damage to either of the index tables."""

    def test_not_there(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(MissingDataError, match=f"no index table '{name}'"):
            open_dl3(folder)

    @pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9])
    def test_truncated(self, folder, name, part):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(FileFormatError, match=f"{name}.*make it again"):
            open_dl3(folder)

    def test_flipped_bits(self, folder, name):
        path = folder / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 20] = bytes(20)
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=name):
            open_dl3(folder)

    def test_without_column(self, folder, name):
        path = folder / name
        table = Table.read(path)
        table.remove_column("OBS_ID")
        table.meta.clear()
        table.write(path, overwrite=True)
        with pytest.raises((MissingColumnError, FileFormatError), match="OBS_ID"):
            open_dl3(folder)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.01, 0.3, 0.7, 0.999])
def test_truncated_events(folder, part):
    path = folder / "obs_000001.fits"
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    store = open_dl3(folder)
    with pytest.raises(FileFormatError, match=r"observation 1 cannot be read.*obs_000001.fits"):
        read_observations(store, [1])
    assert len(read_observations(store, [2])) == 1


def test_files_behind_observations(small_dl3):
    store = open_dl3(small_dl3)
    index = [small_dl3 / "hdu-index.fits.gz", small_dl3 / "obs-index.fits.gz"]
    assert data_files(store, [1]) == sorted([*index, small_dl3 / "obs_000001.fits"])
    assert len(data_files(store, [1, 2])) == 4


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "obs_id", "kind"),
    [
        ("hess-dl3-dr1", 23523, "full-enclosure"),
        ("magic/rad_max/data", 5029747, "point-like"),
        ("cta-1dc/index/gps", 110380, "full-enclosure"),
    ],
)
@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
def test_real_data_pass(gammapy_data, name, obs_id, kind):
    store = open_dl3(gammapy_data / name)
    (observation,) = read_observations(store, [obs_id], required_irf=kind)
    assert observation.obs_id == obs_id
    assert all(path.is_file() for path in data_files(store, [obs_id]))


def test_an_observation_id_in_the_primary_header(folder):
    # Where CTAO-GADF has it.
    def move(content):
        content[0].header["OBS_ID"] = content["EVENTS"].header.pop("OBS_ID")

    change(folder / "obs_000001.fits", move)
    for how in ("tables", "headers"):
        (observation,) = read_observations(open_dl3(folder, index=how), [1])
        assert observation.obs_id == 1
        assert len(observation.events.table) > 0
