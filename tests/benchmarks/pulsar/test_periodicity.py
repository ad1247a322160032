"""H test against PINT, and the cost of the frequency scan, in the same process."""

import time

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time
from gammapy.data import GTI, EventList, Observation

from ctao_sat import pulsar
from ctao_sat.dl3._sites import site_location

N_EVENTS = 1_000_000
PAR = """\
PSR    J0534+2200
RAJ    05:34:31.973
DECJ   22:00:52.06
F0     29.6
F1     -3.66e-10
PEPOCH 61500
EPHEM  builtin
CLK    TT(TAI)
"""
# Of the cost against events, runs and trials, as a power of their number.
STEEPEST = 1.1


def best(job, n):
    """Return the shortest of n times in s."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.fixture(scope="module")
def phases():
    rng = np.random.default_rng(1)
    return np.concatenate([rng.random(N_EVENTS - 2000), rng.normal(0.4, 0.02, 2000) % 1])


@pytest.mark.parametrize("weighted", [False, True])
def test_h_against_pint(phases, rows, weighted):
    from pint import eventstats

    weights = np.random.default_rng(2).random(N_EVENTS) if weighted else None

    def ours():
        return pulsar.h_test(phases, weights)

    def theirs():
        return eventstats.hmw(phases, weights) if weighted else eventstats.hm(phases)

    start = time.perf_counter()
    h, _ = ours()
    first = time.perf_counter() - start
    expected = theirs()
    mine, pints = 1.0, 1.0
    for _ in range(3):
        # In turns, so that drifts cancel.
        mine, pints = min(mine, best(ours, 5)), min(pints, best(theirs, 1))
    difference = abs(h / expected - 1)
    rows.append(
        f"H test, 1e6 events, 20 harmonics{', weighted' if weighted else ''}: PINT {pints:.3f} s, "
        f"ours {mine:.4f} s, first call {first:.2f} s: {pints / mine:.1f} times; "
        f"difference {difference:.1e}"
    )
    assert difference <= 1e-12
    assert pints / mine >= 8


def night(start, rng):
    """Return half an hour with 1000 events."""
    stop = start + 1800 * u.s
    times = start + rng.uniform(0, 1800, 1000) * u.s
    events = Table({"TIME": times, "ENERGY": np.ones(1000) * u.TeV})
    events["RA"], events["DEC"] = np.full((2, 1000), [[83.633], [22.014]]) * u.deg
    gti = GTI.create([0] * u.s, [(stop - start).to_value("s")] * u.s, reference_time=start)
    return Observation(events=EventList(events), gti=gti, location=site_location("north"))


def cost(n_runs, n_trials):
    """Return the time of a scan over nights, from observations to the last trial."""
    rng = np.random.default_rng(3)
    start = Time("2028-01-05T22:00", scale="tt")
    nights = [night(start + k * u.day, rng) for k in range(n_runs)]
    ephemeris = pulsar.PulsarEphemeris.from_text(PAR)
    half = 0.5 * (n_runs - 1) * 86400 + 900
    band = (29.6, 29.6 + (n_trials - 1.5) / (20 * half))

    def job():
        return pulsar.frequency_scan(nights, ephemeris, f0=band, oversampling=10)

    assert job().n_trials == pytest.approx(n_trials, rel=0.01)
    return best(job, 3)


def slope(sizes, times):
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def test_cost_of_the_scan_is_linear(rows):
    runs, trials = [2, 4, 8], [20_000, 40_000, 80_000]
    in_runs = [cost(n, 20_000) for n in runs]
    in_trials = [cost(4, n) for n in trials]
    found = slope(runs, in_runs), slope(trials, in_trials)
    rows.append(
        f"scan, H with 20 harmonics: {1e9 * in_trials[-1] / (4000 * 80_000):.2f} ns an event and "
        f"trial; cost as a power of runs {found[0]:.2f}, of trials {found[1]:.2f}"
    )
    assert max(found) <= STEEPEST
    assert min(found) > 0.8
