"""Blind search in frequency: ten simulated nights, and what must not change its result."""

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time
from gammapy.data import GTI, EventList, Observation, Observations
from numpy.testing import assert_allclose

from ctao_sat import pulsar
from ctao_sat.dl3._sites import site_location
from ctao_sat.errors import ConfigError, SelectionError
from ctao_sat.kernels import periodicity

NORTH = site_location("north")
PAR = """\
PSR    J0534+2200
RAJ    05:34:31.973
DECJ   22:00:52.06
F0     29.5962300000
F1     -3.66e-10
PEPOCH 61500
EPHEM  builtin
CLK    TT(TAI)
"""
START = Time("2028-01-05T22:00:00", scale="tt")
# Half an hour in each of ten nights, at different hours; 12 events of the pulsar among 120.
N_NIGHTS, LIVETIME, N_EVENTS, N_PULSED = 10, 1800.0, 120, 12
HOURS = [0.0, 2.4, 1.1, 3.0, 0.4, 1.9, 2.7, 0.2, 1.5, 3.3]


@pytest.fixture(scope="module")
def ephemeris():
    return pulsar.PulsarEphemeris.from_text(PAR)


def night(ephemeris, start, rng, n_pulsed=N_PULSED):
    """Return an observation whose pulsed events have the phase 0.4 with a width of 0.02."""
    stop = start + LIVETIME * u.s
    polynomials = pulsar.timing_polynomials(start, stop, ephemeris, NORTH)
    seconds = rng.uniform(-LIVETIME / 2, LIVETIME / 2, N_EVENTS)
    wanted = rng.normal(0.4, 0.02, n_pulsed)
    pulsed = seconds[:n_pulsed]
    for _ in range(4):
        # To the nearest pulse; the frequency is good enough to get there within a few steps.
        miss = (polynomials.phases(pulsed) - wanted + 0.5) % 1 - 0.5
        pulsed = np.clip(pulsed - miss / ephemeris.f[0], -LIVETIME / 2, LIVETIME / 2)
    times = polynomials.epoch + np.concatenate([pulsed, seconds[n_pulsed:]]) * u.s
    events = Table({"TIME": times, "ENERGY": np.ones(N_EVENTS) * u.TeV})
    events["RA"], events["DEC"] = np.full((2, N_EVENTS), [[83.633], [22.014]]) * u.deg
    gti = GTI.create([0] * u.s, [LIVETIME] * u.s, reference_time=start)
    return Observation(events=EventList(events), gti=gti, location=NORTH)


@pytest.fixture(scope="module")
def nights(ephemeris):
    rng = np.random.default_rng(20280105)
    return Observations(
        [night(ephemeris, START + k * u.day + hour * u.hour, rng) for k, hour in enumerate(HOURS)]
    )


@pytest.fixture(scope="module")
def truth(nights, ephemeris):
    """Return frequency and derivative at the epoch that a scan of all nights takes by itself."""
    epoch = pulsar.frequency_scan(nights, ephemeris, f0=(1.0, 1.0)).epoch
    f0, f1 = ephemeris.f
    return f0 + f1 * (epoch - Time(61500, format="mjd", scale="tdb")).to_value("s"), f1


@pytest.fixture(scope="module")
def blind(nights, ephemeris, truth):
    f0, f1 = truth
    # Neither limit is symmetric to the truth.
    return pulsar.frequency_scan(
        nights, ephemeris, f0=(f0 - 3e-5, f0 + 5e-5), f1=(f1 - 1e-11, f1 + 2e-11), n_harmonics=20
    )


def test_ten_nights_are_found(blind, truth):
    f0, f1 = (value.value for value in blind.best)
    half = 4.5 * 86400
    # A tenth of what is independent, with 20 harmonics in a pulse of 0.02 turns.
    assert abs(f0 - truth[0]) < 0.1 / half
    assert abs(f1 - truth[1]) < 0.2 / half**2
    assert blind.p_value < 1e-6
    assert blind.n_trials == blind.values.size > 10_000
    assert blind.n_events == N_NIGHTS * N_EVENTS
    assert blind.significance > 4.75


def test_nights_apart_do_not_show_it(nights, ephemeris, truth):
    f0, _ = truth
    single = pulsar.frequency_scan(nights[0], ephemeris, f0=(f0 - 3e-5, f0 + 5e-5))
    assert single.p_value > 1e-6


def test_largest_of_the_scan_is_the_h_test_of_its_phases(nights, ephemeris, truth):
    f0, f1 = truth
    scan = pulsar.frequency_scan(nights, ephemeris, f0=(f0, f0), f1=(f1, f1))
    # By the ephemeris itself, whose phases are of the same frequencies.
    phases = []
    for one in nights:
        polynomials = pulsar.timing_polynomials(
            one.gti.time_start, one.gti.time_stop, ephemeris, NORTH
        )
        phases.append(polynomials.phases(polynomials.seconds(one.events.time)))
    expected = pulsar.h_test(np.concatenate(phases))
    assert scan.largest == pytest.approx(expected.statistic, rel=1e-4)
    assert scan.n_trials == 1
    assert scan.p_value == pytest.approx(scan.p_value_single)


def test_z2_and_weights(nights, ephemeris, truth):
    f0, f1 = truth
    weights = [np.where(np.arange(N_EVENTS) < N_PULSED, 0.9, 0.05)] * N_NIGHTS
    trial = {"f0": (f0, f0), "f1": (f1, f1), "statistic": "z2", "n_harmonics": 2}
    plain = pulsar.frequency_scan(nights, ephemeris, **trial)
    weighted = pulsar.frequency_scan(nights, ephemeris, weights=weights, **trial)
    assert weighted.p_value < 1e-3 * plain.p_value
    flat = pulsar.frequency_scan(nights, ephemeris, weights=[np.ones(N_EVENTS)] * 10, **trial)
    assert_allclose(flat.values, plain.values, rtol=1e-12)


def test_order_of_runs_does_not_matter(nights, ephemeris, truth):
    f0, f1 = truth
    trial = {"f0": (f0, f0 + 1e-5), "f1": (f1, f1)}
    one = pulsar.frequency_scan(nights, ephemeris, **trial)
    other = pulsar.frequency_scan(Observations(list(nights)[::-1]), ephemeris, **trial)
    assert abs((one.epoch - other.epoch).to_value("s")) < 1e-5
    assert_allclose(other.values, one.values, rtol=1e-3, atol=1e-2)


def test_epoch_of_the_frequencies(nights, ephemeris):
    epoch = Time(61500, format="mjd", scale="tdb")
    f0, f1 = ephemeris.f
    scan = pulsar.frequency_scan(nights, ephemeris, f0=(f0, f0) * u.Hz, epoch=epoch)
    assert scan.epoch == epoch
    assert scan.f1.to_value("Hz / s") == pytest.approx(f1)
    assert scan.p_value < 1e-6


def test_bundles_of_trials_do_not_matter(nights, ephemeris, truth, monkeypatch):
    trial = {"f0": (truth[0], truth[0] + 2e-4), "f1": (-3.7e-10, -3.6e-10)}
    many = pulsar.frequency_scan(nights, ephemeris, **trial)
    monkeypatch.setattr("ctao_sat.pulsar._scan.PARTS", 1)
    one = pulsar.frequency_scan(nights, ephemeris, **trial)
    assert_allclose(many.values, one.values, rtol=1e-6, atol=1e-6)


def test_table_has_the_best_trials(blind):
    table = blind.to_table(5)
    assert len(table) == 5
    assert table["h"][0] == blind.largest
    assert (table["f0"][0], table["f1"][0]) == tuple(value.value for value in blind.best)
    assert table["f0"].unit == "Hz"
    assert np.all(np.diff(table["h"]) <= 0)


@pytest.mark.parametrize(("statistic", "penalty", "m"), [("z2", 0.0, 2), ("h", 4.0, 20)])
def test_best_of_trials_without_pulses_is_not_significant_too_often(statistic, penalty, m):
    """Of 500 scans, at most 5 % and 4.5 standard deviations have a p-value below 5 %."""
    rng = np.random.default_rng(11)
    f0, f1 = 29.5 + 5e-5 * np.arange(1000), np.zeros(1)
    found = 0
    for _ in range(500):
        values = np.empty((1, 1000))
        t = rng.uniform(-900, 900, 120)
        periodicity.scan(t, np.empty(0), 29.5, 5e-5, f1, 2 / 120, penalty, np.empty((2, m)), values)
        scan = pulsar.FrequencyScan(f0 * u.Hz, f1 * u.Hz / u.s, values, START, statistic, m, 120)
        found += scan.p_value < 0.05
    assert 1 <= found <= 25 + 4.5 * math.sqrt(500 * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f0": (2.0, 1.0)}, "range from 2 to 1 Hz is empty"),
        ({"f0": (1.0, math.nan)}, "is empty"),
        ({"f0": (1.0, 2e6)}, "trials"),
        ({"statistic": "chi2"}, "Unknown statistic"),
        ({"n_harmonics": 0}, "0 harmonics"),
        ({"oversampling": 0}, "0 trials per frequency"),
        ({"weights": [[1.0]]}, "not those of the events"),
    ],
)
def test_what_cannot_be_scanned(nights, ephemeris, change, message):
    with pytest.raises(ConfigError, match=message):
        pulsar.frequency_scan(nights, ephemeris, **({"f0": (1.0, 1.0)} | change))


def test_runs_without_events_do_not_matter(nights, ephemeris, truth):
    empty = nights[4].copy(in_memory=True, events=EventList(nights[4].events.table[:0]))
    trial = {"f0": (truth[0], truth[0] + 1e-6)}
    some = pulsar.frequency_scan([nights[0], empty, nights[9]], ephemeris, **trial)
    same = pulsar.frequency_scan([nights[0], nights[9]], ephemeris, **trial)
    np.testing.assert_array_equal(some.values, same.values)


def test_one_event(nights, ephemeris):
    one = nights[0].copy(in_memory=True, events=EventList(nights[0].events.table[:1]))
    scan = pulsar.frequency_scan(one, ephemeris, f0=(1.0, 1.0))
    assert scan.largest == pytest.approx(2)


def test_without_events(nights, ephemeris):
    empty = nights[0].copy(in_memory=True, events=EventList(nights[0].events.table[:0]))
    with pytest.raises(SelectionError, match="no event"):
        pulsar.frequency_scan(empty, ephemeris, f0=(1.0, 1.0))


def test_derivative_by_default_is_that_at_the_epoch(nights):
    """Higher derivatives and glitches count, also those long after the epoch of the par file."""
    glitch = "GLEP_1 61700\nGLF1_1 -2e-12\nGLF2_1 3e-20\nGLF0D_1 1e-6\nGLTD_1 100\n"
    later = "GLEP_2 62000\nGLF1_2 -1e-9\n"
    ephemeris = pulsar.PulsarEphemeris.from_text(f"{PAR}F2 1.2e-20\n{glitch}{later}")
    scan = pulsar.frequency_scan(nights[:1], ephemeris, f0=(29.59, 29.59))
    days = scan.epoch.tdb.mjd - np.array([61500, 61700])
    t, dt = days * 86400
    decayed = 1e-6 / 8.64e6 * math.exp(-days[1] / 100)
    assert_allclose(
        scan.f1.value, -3.66e-10 + 1.2e-20 * t - 2e-12 + 3e-20 * dt - decayed, rtol=1e-9
    )


@pytest.mark.parametrize("f0", [29.59, (29.59,), ("a", "b"), (29, 30) * u.s])
def test_ranges_that_are_none(nights, ephemeris, f0):
    with pytest.raises(ConfigError, match="no range in Hz"):
        pulsar.frequency_scan(nights[:1], ephemeris, f0=f0)
