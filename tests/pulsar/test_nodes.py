"""Polynomials: pieces, the check between the nodes, and what they do not hold."""

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time

from ctao_sat.errors import ConfigError, PhaseError
from ctao_sat.pulsar import PulsarEphemeris, phases, timing_polynomials
from ctao_sat.pulsar._intervals import covering
from ctao_sat.pulsar._nodes import Nodes, fit_polynomials

EPOCH = Time(58000, format="mjd", scale="tt")


class Wavy:
    """A phase that waves around a linear one, with a jump if asked for."""

    epoch = EPOCH

    def __init__(self, period, amplitude=1.0, jump=None):
        self.period, self.amplitude, self.jump = period, amplitude, jump

    def nodes(self, seconds, middles):
        wave = self.amplitude * np.sin(2 * np.pi * seconds / self.period)
        if self.jump is not None:
            wave = wave + 0.1 * (seconds > self.jump)
        return Nodes(1e-4 * seconds, (3.0 * seconds, wave))

    def cuts(self, start, stop):
        return []


def test_a_fast_orbit_is_cut_until_it_is_smooth():
    made = fit_polynomials(np.array([[-1800.0, 1800.0]]), Wavy(600.0))
    assert len(made.edges) > 4
    assert made.residual < 1e-7
    seconds = np.linspace(-1799, 1799, 500)
    expected = 3 * seconds + np.sin(2 * np.pi * seconds / 600)
    off = made.phases(seconds) + made.pulse_numbers(seconds) - expected
    assert np.max(np.abs(off)) < 1e-7


def test_a_jump_is_refused():
    with pytest.raises(PhaseError, match="cannot be interpolated"):
        fit_polynomials(np.array([[-1800.0, 1800.0]]), Wavy(6000.0, jump=333.3))


def test_pieces_follow_the_intervals(pars, start, north):
    begin = start + [0, 60, 240] * u.min
    stop = start + [28, 88, 260] * u.min
    run = timing_polynomials(begin, stop, PulsarEphemeris.from_text(pars["crab"]), north)
    assert len(run.edges) == 3
    with pytest.raises(PhaseError, match="1 of 2 times are outside"):
        run.phases(run.seconds(start + [1, 45] * u.min))
    again = pickle.loads(pickle.dumps(run))
    seconds = run.seconds(begin + 1 * u.min)
    np.testing.assert_array_equal(again.phases(seconds), run.phases(seconds))
    # 29.7 turns a second, twenty minutes long, Doppler shift included.
    turns = np.diff(run.pulse_numbers(run.seconds(start + [241, 259] * u.min)))
    assert abs(turns[0] / (18 * 60) - 29.7) < 0.01


def test_times_of_emission_do_not_depend_on_the_frequency(pars, start, north):
    texts = (pars["crab"], pars["crab"].replace("F0 29.70", "F0 11.10"))
    one, other = (
        timing_polynomials(start, start + 10 * u.min, PulsarEphemeris.from_text(text), north)
        for text in texts
    )
    seconds = one.seconds(start + [1, 9] * u.min)
    emitted = one.emission_times(seconds)
    np.testing.assert_array_equal(emitted, other.emission_times(seconds))
    # They count from the TDB whose number is that of the epoch, and give the phase.
    since = (one.reference - PulsarEphemeris.from_text(pars["crab"]).pepoch).to_value("s") + emitted
    turns = since * 29.7028547123456789 - 3.714e-10 * since**2 / 2 + 1e-20 * since**3 / 6
    expected = np.diff(one.pulse_numbers(seconds) + one.phases(seconds))
    assert np.diff(turns)[0] == pytest.approx(expected[0], abs=1e-5)


def test_nights_of_years_keep_their_precision(pars, north, start):
    ephemeris = PulsarEphemeris.from_text(pars["crab"])
    nights = start + [0, 0.01, 400, 400.01, 800, 3] * u.d
    together = phases(nights, ephemeris, north)
    alone = [phases(night, ephemeris, north)[0] for night in nights]
    assert np.max(np.abs(together - alone)) < 1e-8


def test_no_times_and_no_place(pars, north, start):
    ephemeris = PulsarEphemeris.from_text(pars["crab"])
    assert phases(start + [] * u.s, ephemeris, north).shape == (0,)
    with pytest.raises(ConfigError, match="Without a place on Earth"):
        phases(start, ephemeris, None)
    with pytest.raises(ConfigError, match="no backend 'tempo'"):
        phases(start, ephemeris, north, backend="tempo")
    with pytest.raises(ConfigError, match="of the type str"):
        phases(start, "crab.par", north)


@pytest.mark.parametrize(
    ("intervals", "seconds", "expected"),
    [
        ([], [5.0], [[4, 6]]),
        ([[0, 10]], [], [[-1, 11]]),
        ([[100, 200], [0, 10]], [5, 150], [[-1, 11], [99, 201]]),
        ([[0, 10], [10.5, 20]], [], [[-1, 21]]),
        ([[0, 100], [20, 30]], [101.5], [[-1, 102.5]]),
        ([[0, 10]], [-4000, 3000, 4000], [[-4001, -3999], [-1, 11], [2999, 4001]]),
    ],
)
def test_all_events_are_covered(intervals, seconds, expected):
    found = covering(np.array(intervals, dtype=float).reshape(-1, 2), np.array(seconds))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("after", "pieces"), [(-900.0, 1), (0.0, 1), (5e-7, 1), (901.0, 2), (1e4, 1)]
)
def test_two_glitches_at_once_wherever_they_are(after, pieces, pars, start, south):
    one = timing_polynomials(
        start, start + 30 * u.min, PulsarEphemeris.from_text(pars["glitch"]), south
    )
    arrival = one.epoch + one.edges[0, 1] * u.s
    second = [line.replace("_1", "_2") for line in pars["glitch"].splitlines() if line[:2] == "GL"]
    twice = PulsarEphemeris.from_text(pars["glitch"] + "\n".join(second))
    # Intervals are a second longer on each side.
    begin = arrival + (1 - after) * u.s
    run = timing_polynomials(begin, begin + 30 * u.min, twice, south)
    assert len(run.edges) == pieces
    assert run.residual < 1e-8
    if after in (-900.0, 1e4):
        return
    whole = timing_polynomials(arrival - 900 * u.s, arrival + 900 * u.s, twice, south)
    later = arrival + [0.001, 800] * u.s
    found, expected = (poly.phases(poly.seconds(later)) for poly in (run, whole))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_no_number_is_no_success():
    with pytest.raises(PhaseError, match="error is nan"):
        fit_polynomials(np.array([[0.0, 10.0]]), Wavy(600.0, amplitude=np.nan))
