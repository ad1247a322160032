"""What tests of reading and writing DL3 share."""

import sys
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from gammapy.maps import MapAxis

# ctao-datamodel, CTAO's validator, needs Python 3.12; CI runs a newer one, too.
collect_ignore = ["test_ctao_schema.py"] if sys.version_info < (3, 12) else []

IRFS = ("aeff", "edisp", "psf", "bkg", "rad_max")
# What a dialect says of itself, and what a reader adds.
OF_THE_FORMAT = {"HDUCLASS", "HDUDOC", "HDUVERS", "HDUCLAS4", "EXTNAME", "EXTVER"}
KEYS_OF_TIME = ("MJDREFI", "MJDREFF", "TIMESYS", "TIMEUNIT", "TIMEREF")


def same_events(before, after, changed=()):
    """Compare all columns, exactly, and all header cards but some."""
    old, new = before.table, after.table
    assert set(new.colnames) == set(old.colnames)
    assert len(new) == len(old)
    for name in old.colnames:
        if name == "TIME":
            assert new[name].scale == old[name].scale
            assert np.abs((new[name] - old[name]).sec).max(initial=0) == 0
            continue
        assert new[name].unit == old[name].unit
        assert np.array_equal(new[name], old[name], equal_nan=old[name].dtype.kind == "f")
    differing = {
        key
        for key, value in old.meta.items()
        if key not in OF_THE_FORMAT and new.meta.get(key) != value
    }
    assert differing == set(changed)


def in_gadf(irf):
    """Return a background of old H.E.S.S. data with the alignment that GADF has for it."""
    if irf.fov_alignment != "REVERSE_LON_RADEC":
        return irf
    energy, lon, lat = irf.axes
    lon = MapAxis.from_edges(-lon.edges[::-1], name="fov_lon", interp=lon.interp)
    return type(irf)([energy, lon, lat], irf.data[:, ::-1], unit=irf.unit, meta=irf.meta)


def same_irf(before, after, rtol):
    """Compare class, axes, values and header cards; values exactly if the tolerance is zero."""
    if before is None:
        assert after is None
        return
    assert type(after) is type(before)
    before = in_gadf(before)
    assert after.is_pointlike == before.is_pointlike
    assert after.fov_alignment == before.fov_alignment
    for old, new in zip(before.axes, after.axes, strict=True):
        assert (new.name, new.interp, new.unit, new.nbin) == (
            old.name,
            old.interp,
            old.unit,
            old.nbin,
        )
        # Gammapy computes edges through logarithms.
        assert np.allclose(new.edges.value, old.edges.value, rtol=max(rtol, 1e-14), atol=1e-15)
    names = before.data.dtype.names
    pairs = [(before.data[n], after.data[n]) for n in names] if names else [(before, after)]
    for old, new in pairs:
        old, new = (getattr(part, "data", part) for part in (old, new))
        if rtol:
            assert np.allclose(new, old, rtol=rtol, atol=0 if names else 1e-37, equal_nan=True)
        else:
            assert np.array_equal(new, old, equal_nan=True)
    if not names:
        assert after.unit == before.unit
    ours = OF_THE_FORMAT | {"TELESCOP", "INSTRUME", "FOVALIGN"}
    assert {key for key, v in before.meta.items() if after.meta.get(key) != v} <= ours


def same(before, after, *, changed=(), rtol=0.0):
    """Compare two observations in all that an analysis uses."""
    assert after.obs_id == before.obs_id
    same_events(before.events, after.events, changed)
    assert len(after.gti.table) == len(before.gti.table)
    for name in ("time_start", "time_stop"):
        old, new = getattr(before.gti, name), getattr(after.gti, name)
        assert new.scale == old.scale
        assert np.abs((new - old).sec).max() == 0
    assert abs((after.gti.time_ref - before.gti.time_ref).sec) == 0
    live = [obs.observation_live_time_duration.to_value("s") for obs in (before, after)]
    assert live[1] == pytest.approx(live[0], rel=1e-14)
    assert after.pointing.mode == before.pointing.mode
    for name in ("fixed_icrs", "fixed_altaz"):
        old, new = getattr(before.pointing, name), getattr(after.pointing, name)
        assert (old is None) == (new is None)
        if old is not None:
            angles = [(c.spherical.lon.deg, c.spherical.lat.deg) for c in (old, new)]
            assert np.allclose(*angles, rtol=0, atol=1e-12)
    apart = (
        before.observatory_earth_location.geocentric,
        after.observatory_earth_location.geocentric,
    )
    assert np.allclose([c.to_value("m") for c in apart[0]], [c.to_value("m") for c in apart[1]])
    for name in IRFS:
        same_irf(getattr(before, name), getattr(after, name), rtol)


def selection(observation, folder):
    """Write the second half of an observation, and look at each number of its times."""
    from gammapy.data import Observation

    from ctao_sat import dl3

    half = observation.select_time(Time([observation.tmid, observation.tstop]))
    assert half.gti.time_ref.mjd == pytest.approx(51544, abs=0.1)
    with fits.open(dl3.write(half, folder / "half.fits")) as hdus:
        events, gti = hdus["EVENTS"], hdus["GTI"].copy()
        for key in KEYS_OF_TIME:
            assert gti.header[key] == events.header[key]
            if key in observation.events.table.meta and key != "TIMEREF":
                assert events.header[key] == observation.events.table.meta[key]
        header, start, stop = events.header, gti.data["START"], gti.data["STOP"]
    reference = observation.events.time_ref
    assert np.abs((reference + start * u.s - half.gti.time_start).sec).max() < 1e-7
    assert np.abs((reference + stop * u.s - half.gti.time_stop).sec).max() < 1e-7
    assert (header["TSTART"], header["TSTOP"]) == (start[0], stop[-1])
    assert header["TELAPSE"] == stop[-1] - start[0]
    assert header["ONTIME"] == pytest.approx(np.sum(stop - start), rel=1e-6)
    live = half.observation_live_time_duration.to_value("s")
    assert header["LIVETIME"] == pytest.approx(live, rel=1e-6)
    whole = observation.observation_live_time_duration.to_value("s")
    assert 0.3 * whole < live < 0.7 * whole
    return half, Observation.read(folder / "half.fits")


@pytest.fixture(scope="session")
def compare():
    """Return the functions that compare."""
    return SimpleNamespace(observations=same, events=same_events, irf=same_irf, selection=selection)


@pytest.fixture(scope="session")
def product():
    """Return the least that CTAO-GADF wants to be told."""
    return {
        "contact": {
            "name": "A. Person",
            "organization": "An institute",
            "email": "a.person@institute.org",
        },
        "curation": {
            "license": "CC-BY-4.0",
            "license_url": "https://creativecommons.org/licenses/by/4.0/",
        },
    }


@pytest.fixture
def observation(small_dl3):
    """Return an observation in memory, with the columns and cards that real ones have."""
    from gammapy.data import DataStore

    read = DataStore.from_dir(small_dl3).get_observations()[0]
    obs = read.copy(in_memory=True)
    table = Table(obs.events.table, copy=True)
    n = len(table)
    table["PHASE"] = np.linspace(0, 1, n)
    table["PULSE_N"] = np.arange(n, dtype=np.int32)
    table["EVENT_TYPE"] = np.arange(n, dtype=np.uint8) % 3
    table["FLAG"] = np.arange(n) % 2 == 0
    table["NAME"] = [f"e{i % 7}" for i in range(n)]
    table["VECTOR"] = np.ones((n, 2), dtype=np.float32)
    table.meta |= {"MUONEFF": 0.75, "MY LONG KEY": "kept", "comments": ["one", "two"]}
    obs.events.table = table
    return obs
