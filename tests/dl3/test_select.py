"""The selection of observations: each criterion against a plain loop, and its counts."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.data import ObservationTable

from ctao_sat.dl3 import observation_index, open_dl3, select_observations
from ctao_sat.errors import MissingColumnError, SelectionError

START = Time("2024-01-01", scale="tt")
N = 12


@pytest.fixture
def table():
    """Return twelve runs: one an hour, farther and farther away, lower and lower."""
    start = np.arange(N) * 3600.0
    reference = Time(51544.5, format="mjd", scale="tt")
    offset = (START - reference).to_value("s")
    columns = {
        "OBS_ID": np.arange(100, 100 + N),
        "RA_PNT": np.full(N, 83.63) * u.deg,
        "DEC_PNT": (22.01 + 0.5 * np.arange(N)) * u.deg,
        "TSTART": (start + offset) * u.s,
        "TSTOP": (start + offset + 1500) * u.s,
        "LIVETIME": (1000.0 + 30 * np.arange(N)) * u.s,
        "ZEN_PNT": (5.0 + 5 * np.arange(N)) * u.deg,
        "OBJECT": ["Crab"] * N,
    }
    meta = {"MJDREFI": 51544, "MJDREFF": 0.5, "TIMESYS": "TT", "TIMEUNIT": "s"}
    return ObservationTable(columns, meta=meta)


def store(table):
    """Return as much of a data store as the selection looks at."""
    return SimpleNamespace(obs_table=table, hdu_table=SimpleNamespace(base_dir="dl3"))


def selected(table, **criteria) -> list[int]:
    return [obs_id - 100 for obs_id in select_observations(store(table), **criteria)[0]]


def test_without_criteria_all_pass(table):
    ids, cuts = select_observations(store(table))
    assert ids == list(range(100, 112))
    assert [tuple(row) for row in cuts] == [("candidates", N, N)]


def test_named_ones_come_in_the_order_of_their_names(table):
    assert selected(table, obs_ids=[105, 101, 111]) == [5, 1, 11]
    # An iterator is used up after one look at it.
    assert selected(table, obs_ids=iter([105, 101]), exclude_ids=iter([101])) == [5]


def test_cone(table):
    center = SkyCoord(83.63, 22.01, unit="deg")
    assert selected(table, position=center, radius=1.2 * u.deg) == [0, 1, 2]
    # Of a frame of any kind.
    assert selected(table, position=center.galactic, radius=72 * u.arcmin) == [0, 1, 2]


def test_time_intervals_hold_whole_observations(table):
    hour = 1 * u.h
    inside = (START + 1.9 * hour, START + 4.5 * hour)
    assert selected(table, time_intervals=[inside]) == [2, 3, 4]
    # The start of run 4 is inside, its end is not.
    cutting = (START + 1.9 * hour, START + 4.2 * hour)
    assert selected(table, time_intervals=[cutting]) == [2, 3]
    later = (START + 8.9 * hour, START + 10.5 * hour)
    assert selected(table, time_intervals=[cutting, later]) == [2, 3, 9, 10]


def test_time_scales_are_told_apart(table):
    # UTC is 69 s behind TT: 00:00:00 UTC is after the start of the first run.
    utc = Time("2024-01-01", scale="utc")
    assert selected(table, time_intervals=[(utc, utc + 2 * u.h)]) == [1]


def test_zenith_range_includes_its_limits(table):
    assert selected(table, zenith_range=(10 * u.deg, 20 * u.deg)) == [1, 2, 3]


def test_zenith_from_altitude(table):
    table["ALT_PNT"] = 90 * u.deg - table["ZEN_PNT"].quantity
    table.remove_column("ZEN_PNT")
    assert selected(table, zenith_range=(9.9 * u.deg, 20.1 * u.deg)) == [1, 2, 3]


def test_livetime(table):
    assert selected(table, livetime_min=20 * u.min) == [7, 8, 9, 10, 11]


def test_columns_without_units_are_those_of_gadf(table):
    for name in ("LIVETIME", "ZEN_PNT"):
        table[name].unit = None
    assert selected(table, livetime_min=20 * u.min) == [7, 8, 9, 10, 11]
    assert selected(table, zenith_range=(10 * u.deg, 20 * u.deg)) == [1, 2, 3]


def test_each_cut_is_counted_alone_and_together(table):
    ids, cuts = select_observations(
        store(table),
        obs_ids=range(100, 110),
        exclude_ids=[103],
        zenith_range=(10 * u.deg, 30 * u.deg),
        livetime_min=1070 * u.s,
    )
    assert ids == [104, 105]
    assert [tuple(row) for row in cuts] == [
        ("candidates", 10, 10),
        ("exclude_ids", 9, 9),
        ("zenith 10 deg to 30 deg", 5, 4),
        ("livetime at least 1070 s", 7, 2),
    ]


def test_an_empty_selection_names_the_hardest_cut(table):
    with pytest.raises(SelectionError, match=r"of 12 candidates, 1 pass 'zenith 60 deg to 90 deg'"):
        select_observations(
            store(table),
            zenith_range=(60 * u.deg, 90 * u.deg),
            livetime_min=1070 * u.s,
            exclude_ids=[111],
        )


@pytest.mark.parametrize(
    ("criteria", "says"),
    [
        ({"obs_ids": [7]}, "no observation 7"),
        ({"exclude_ids": [7]}, "no observation 7"),
        ({"obs_ids": [100, 101, 100]}, "Observation 100 is selected twice"),
        ({"obs_ids": []}, "list of observations is empty"),
        ({"livetime_min": 1 * u.d}, "0 pass 'livetime at least 1 d'"),
    ],
)
def test_selections_that_leave_nothing(table, criteria, says):
    with pytest.raises(SelectionError, match=says) as caught:
        select_observations(store(table), **criteria)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("column", "criteria"),
    [
        ("LIVETIME", {"livetime_min": 1 * u.s}),
        ("ZEN_PNT", {"zenith_range": (0 * u.deg, 90 * u.deg)}),
    ],
)
def test_a_column_that_a_criterion_needs(table, column, criteria):
    table.remove_column(column)
    with pytest.raises(MissingColumnError, match=f"no column {column}.*It has: OBS_ID"):
        select_observations(store(table), **criteria)


def test_an_index_without_reference_time(table):
    del table.meta["MJDREFI"]
    with pytest.raises(MissingColumnError, match="MJDREFI"):
        select_observations(store(table), time_intervals=[(START, START + 1 * u.d)])
    with pytest.raises(MissingColumnError, match="MJDREFI"):
        observation_index(store(table))


def test_inputs_are_not_changed(table):
    before = Table(table, copy=True)
    select_observations(store(table), obs_ids=[101], zenith_range=(0 * u.deg, 90 * u.deg))
    assert before.values_equal(Table(table)).as_array().view(bool).all()


def test_observation_index(small_dl3):
    table = observation_index(open_dl3(small_dl3))
    assert list(table["obs_id"]) == [1, 2]
    assert set(table["object"]) == {"Crab-like"}
    assert table["start_utc"][0] == "2028-01-01 00:00:00"
    assert np.allclose(table["livetime"].quantity.to_value("s"), 120)
    assert table["zenith"].unit == "deg"


def test_observation_index_of_little(table):
    for name in ("OBJECT", "LIVETIME", "ZEN_PNT"):
        table.remove_column(name)
    found = observation_index(store(table))
    assert found.colnames == ["obs_id", "start_utc", "ra_pnt", "dec_pnt"]
