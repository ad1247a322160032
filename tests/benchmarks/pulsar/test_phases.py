"""Phases of a run, against PINT and against astropy for each event, in the same process."""

import io
import time
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from ctao_sat.dl3._sites import site_location
from ctao_sat.pulsar import PulsarEphemeris, phases, timing_polynomials
from ctao_sat.pulsar._native import Barycentre, spin_phase

N_EVENTS = 100_000
START = Time("2017-09-04T02:24", scale="tt")
NORTH = site_location("north")
CRAB = """\
PSR J0534+2200
RAJ 05:34:31.97232
DECJ 22:00:52.0690
PMRA -14.7
PMDEC 2.0
POSEPOCH 55555
F0 29.7028547123456789
F1 -3.714e-10
F2 1.0e-20
PEPOCH 57555.123
EPHEM builtin
CLK TT(TAI)
UNITS TDB
"""


def best(job, n: int):
    """Return the shortest of n times in s, and the last result."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        result = job()
        times.append(time.perf_counter() - start)
    return min(times), result


def by_pint(times: Time):
    """Return the phases that PINT computes for each event."""
    import loguru
    import pint.models
    import pint.toa
    from pint.observatory.topo_obs import TopoObs

    loguru.logger.disable("pint")
    model = pint.models.get_model(io.StringIO(CRAB))
    TopoObs("bench", location=NORTH, apply_gps2utc=False, overwrite=True)

    def job():
        toas = pint.toa.get_TOAs_array(times.utc, "bench", ephem="builtin", include_bipm=False)
        return np.asarray(model.phase(toas, abs_phase=False).frac.value, dtype=float)

    return job


def by_astropy(times: Time, ephemeris: PulsarEphemeris):
    """Return the phases with all delays computed for each event, as scripts do it."""
    solution = ephemeris.solutions[0]
    barycentre = Barycentre(NORTH, solution)

    def job():
        tdb = barycentre.tdb(times)
        high, low = spin_phase(solution, tdb, barycentre.delay(tdb), ())
        return (high - np.floor(high)) + low

    return job


def apart(one, other) -> float:
    """Return the largest difference of phases in turns."""
    return float(np.max(np.abs((one - other + 0.5) % 1 - 0.5)))


@pytest.mark.filterwarnings("ignore")
def test_a_run_of_half_an_hour(rows, pytestconfig):
    ephemeris = PulsarEphemeris.from_text(CRAB)
    times = START + np.sort(np.random.default_rng(0).uniform(0, 1800, N_EVENTS)) * u.s
    few = times[:: N_EVENTS // pytestconfig.getoption("--pint-events")]
    stop = START + 30 * u.min

    def nodes():
        return timing_polynomials(START, stop, ephemeris, NORTH)

    first, _ = best(nodes, 1)
    run = nodes()
    seconds = run.seconds(times)
    cold, _ = best(lambda: run.phases(seconds), 1)
    alone, ours = best(lambda: run.phases(seconds), 20)
    with_nodes, _ = best(lambda: nodes().phases(seconds), 20)
    from_times, _ = best(lambda: phases(times, ephemeris, NORTH), 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_pint(few[:100])()
        pint, theirs = best(by_pint(few), 1)
        astropy, full = best(by_astropy(times, ephemeris), 2)
    per_event = pint / len(few)
    measured = {
        "PINT, per event": per_event,
        "astropy, per event": astropy / N_EVENTS,
        "evaluation alone, per event": alone / N_EVENTS,
        "nodes and evaluation, per event": with_nodes / N_EVENTS,
        "the same from astropy's times, per event": from_times / N_EVENTS,
    }
    rows += [f"{name:45} {value * 1e9:14.1f} ns" for name, value in measured.items()]
    rows.append(f"{'nodes, the first time':45} {first * 1e3:14.1f} ms")
    rows.append(f"{'evaluation, the first time':45} {cold * 1e3:14.1f} ms")
    for name, bar, ratio in (
        ("PINT / nodes and evaluation", 3_000, per_event * N_EVENTS / with_nodes),
        ("PINT / evaluation alone", 30_000, per_event * N_EVENTS / alone),
        ("astropy / nodes and evaluation", 500, astropy / with_nodes),
    ):
        rows.append(f"{name:45} {ratio:14.0f}    (bar {bar})")
        assert ratio >= bar, name
    differences = apart(ours[:: N_EVENTS // len(few)], theirs), apart(ours, full)
    rows.append(f"{f'largest difference from PINT, {len(few)} events':45} {differences[0]:14.1e}")
    rows.append(f"{'largest difference from astropy':45} {differences[1]:14.1e}")
    assert max(differences) < 1e-7
