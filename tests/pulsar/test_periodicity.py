"""Periodicity tests: published numbers, PINT's, and the distributions that p-values promise."""

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from scipy.stats import chisquare, kstest

from ctao_sat import pulsar
from ctao_sat.errors import ConfigError, DataError, SelectionError

# Probability of a false alarm of each test of a distribution.
FALSE_ALARM = 1e-4
SEEDS = [20110501, 20100701, 19890901]
N_SETS, N_EVENTS = 10_000, 300


@pytest.fixture(scope="module")
def vela_run(gammapy_data):
    """Return phases, Monte-Carlo IDs and whether events are within 0.2 deg of Vela."""
    path = gammapy_data / "cta-1dc/data/baseline/gps/gps_baseline_111630.fits"
    with fits.open(path) as hdus:
        table = hdus["EVENTS"].data
        position = SkyCoord(table["RA"], table["DEC"], unit="deg")
        near = position.separation(SkyCoord(128.8361, -45.1764, unit="deg")).deg < 0.2
        return table["PHASE"].astype(float), table["MC_ID"].copy(), near


# -- numbers from elsewhere -----------------------------------------------------------------------


@pytest.mark.realdata
def test_vela_region_of_cta_1dc(vela_run):
    phases, _, near = vela_run
    x = phases[near]
    assert len(x) == 843
    assert pulsar.h_test(x).statistic == pytest.approx(7.0525, abs=5e-5)
    assert pulsar.z2_test(x, 2).statistic == pytest.approx(10.6627, abs=5e-5)
    assert pulsar.z2_test(x, 10).statistic == pytest.approx(35.8350, abs=5e-5)
    counts = pulsar.PhaseRegions(on=(0.5, 0.6), off=(0.7, 1.0)).statistic(x)
    assert (counts.n_on, counts.n_off) == (122, 234)
    assert counts.n_sig == pytest.approx(44.0)
    assert counts.sqrt_ts == pytest.approx(3.900, abs=5e-4)


@pytest.mark.realdata
def test_simulated_events_of_vela_in_cta_1dc(vela_run):
    phases, truth, _ = vela_run
    x = phases[truth == 91]
    assert len(x) == 116
    assert pulsar.h_test(x).statistic == pytest.approx(370.371, abs=5e-4)
    assert pulsar.z2_test(x, 20).statistic == pytest.approx(443.254, abs=5e-4)


def test_unit_values_of_pint():
    x = np.linspace(0, 1, 101)
    w = np.where(np.arange(101) < 50, 1.0, 0.0)
    assert pulsar.h_test(x).statistic == pytest.approx(0.0198019802, abs=5e-11)
    assert pulsar.z2_test(x, 4).statistic == pytest.approx(0.0792079208, abs=5e-11)
    assert pulsar.h_test(x, w).statistic == pytest.approx(40.5418094, abs=5e-8)
    assert pulsar.z2_test(x, 4, w).statistic == pytest.approx(45.0583302, abs=5e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_are_those_of_pint(weighted):
    eventstats = pytest.importorskip("pint.eventstats", exc_type=ImportError)
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.random(3000), rng.normal(0.3, 0.02, 300) % 1])
    w = rng.random(len(x)) if weighted else None
    h = eventstats.hmw(x, w) if weighted else eventstats.hm(x)
    z2 = eventstats.z2mw(x, w, 20) if weighted else eventstats.z2m(x, 20)
    assert pulsar.h_test(x, w).statistic == pytest.approx(h, rel=1e-12)
    for m in (1, 2, 20):
        assert pulsar.z2_test(x, m, w).statistic == pytest.approx(z2[m - 1], rel=1e-12)


@pytest.mark.parametrize("max_harmonics", [1, 2, 10, 20])
def test_probability_of_h_is_that_of_kerr(max_harmonics):
    eventstats = pytest.importorskip("pint.eventstats", exc_type=ImportError)
    for h in (0.01, 1.0, 5.0, 23.0, 70.0, 200.0):
        expected = eventstats.sf_hm(h, m=max_harmonics)
        assert pulsar.h_p_value(h, max_harmonics) == pytest.approx(expected, rel=1e-12)


def test_probability_of_h_near_the_formula_of_de_jager_and_buesching():
    for h in (1, 10, 23, 50, 70):
        assert pulsar.h_p_value(h) == pytest.approx(math.exp(-0.4 * h), rel=0.06)
    # In the bulk, no set of 10,000 tells them apart.
    bulk = [pulsar.h_p_value(h) - math.exp(-0.4 * h) for h in np.arange(0, 30, 0.1)]
    assert 0.001 < max(bulk) < 0.0015
    # Beyond what they simulated.
    assert math.exp(-0.4 * 200) / pulsar.h_p_value(200) == pytest.approx(15, rel=0.01)


def test_probability_of_h_in_limits():
    assert pulsar.h_p_value(0) == 1.0
    # One harmonic: chi2 with two degrees of freedom.
    assert pulsar.h_p_value(9.0, 1) == pytest.approx(math.exp(-4.5), rel=1e-14)
    assert pulsar.h_p_value(1e5) == 0.0


def test_chi2_is_that_of_pearson():
    x = np.random.default_rng(6).beta(2, 3, 500)
    expected = chisquare(np.histogram(x, 12, (0, 1))[0])
    assert pulsar.chi2_test(x, 12) == pytest.approx((expected.statistic, expected.pvalue))


def test_significance():
    assert pulsar.PeriodicityTest(0.0, 0.00134989803).significance == pytest.approx(3)


# -- distributions under the null -----------------------------------------------------------------


def uniform_sets(seed):
    """Return phases and weights of many sets of events without pulses.

    Weights are as of a faint source: most are small, few are large.
    """
    rng = np.random.default_rng(seed)
    return rng.random((N_SETS, N_EVENTS)), rng.random((N_SETS, N_EVENTS)) ** 4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_p_values_are_uniform_without_pulses(seed, weighted):
    phases, weights = uniform_sets(seed)
    sets = [(x, w if weighted else None) for x, w in zip(phases, weights, strict=True)]
    p_h = [pulsar.h_test(x, w).p_value for x, w in sets]
    p_2 = [pulsar.z2_test(x, 2, w).p_value for x, w in sets]
    p_20 = [pulsar.z2_test(x, 20, w).p_value for x, w in sets]
    for p in (p_h, p_2, p_20):
        assert kstest(p, "uniform").pvalue > FALSE_ALARM


@pytest.mark.parametrize("seed", SEEDS)
def test_p_values_of_folding_are_uniform_without_pulses(seed):
    """With weights alone: sums of whole numbers have few values, which the test would find."""
    p = [pulsar.chi2_test(x, 10, w).p_value for x, w in zip(*uniform_sets(seed), strict=True)]
    assert kstest(p, "uniform").pvalue > FALSE_ALARM


def test_uniformity_would_show_a_wrong_number_of_degrees_of_freedom():
    """Sums of n + 1 harmonics with 2 n degrees of freedom, as some code has them."""
    phases, _ = uniform_sets(SEEDS[0])
    z2 = [pulsar.z2_test(x, 3).statistic for x in phases[:1000]]
    assert kstest(z2, "chi2", args=(4,)).pvalue < FALSE_ALARM


# -- input ----------------------------------------------------------------------------------------


def test_one_event():
    # Each harmonic has the power 2: H is largest with the first.
    assert pulsar.h_test([0.3]).statistic == pytest.approx(2)
    assert pulsar.z2_test([0.3], 5).statistic == pytest.approx(10)


def test_whole_turns_do_not_matter():
    x = np.random.default_rng(7).random(100)
    turns = np.arange(100) - 50
    assert pulsar.h_test(x + turns) == pytest.approx(pulsar.h_test(x), rel=1e-10)
    assert pulsar.chi2_test(x + turns) == pytest.approx(pulsar.chi2_test(x))


def test_events_without_weight_do_not_matter():
    x = np.random.default_rng(8).random(50)
    w = np.repeat([0.7, 0.0], 25)
    assert pulsar.h_test(x, w) == pytest.approx(pulsar.h_test(x[:25]))
    assert pulsar.chi2_test(x, weights=w) == pytest.approx(pulsar.chi2_test(x[:25]))


def test_input_is_not_changed():
    x, w = np.array([-0.25, 3.5]), np.array([1.0, 0.5])
    pulsar.h_test(x, w)
    assert (x.tolist(), w.tolist()) == ([-0.25, 3.5], [1.0, 0.5])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([],), SelectionError, "no event"),
        (([0.1, math.nan],), DataError, "1 of 2 phases"),
        (([[0.1]],), ConfigError, r"shape \(1, 1\)"),
        (([0.1, 0.2], [1.0]), ConfigError, "one weight for each event"),
        (([0.1], [-1.0]), DataError, "negative or not finite"),
        (([0.1], [math.inf]), DataError, "negative or not finite"),
        (([0.1], [0.0]), SelectionError, "All weights are zero"),
        (([0.1], [1e-200]), SelectionError, "All weights are zero"),
        (([0.1], None, 0), ConfigError, "0 harmonics"),
        (([0.1], None, 2.5), ConfigError, "2.5 harmonics"),
        (([0.1], None, 10**9), ConfigError, "Take 1 to 10000"),
        ((np.ma.masked_array([0.1, 0.2], [True, False]),), DataError, "1 of 2 phases"),
        (([0.1, 0.2] * u.TeV,), DataError, "in turns, and these are in TeV"),
    ],
)
def test_what_cannot_be_tested(arguments, error, message):
    with pytest.raises(error, match=message):
        pulsar.h_test(*arguments)


def test_a_histogram_needs_two_bins():
    with pytest.raises(ConfigError, match="two bins"):
        pulsar.chi2_test([0.1], 1)


def test_phases_may_be_angles():
    x = np.array([0.1, 0.15, 0.8])
    assert pulsar.h_test(x * 360 * u.deg) == pytest.approx(pulsar.h_test(x))
    assert pulsar.h_test(x * u.dimensionless_unscaled) == pulsar.h_test(x)


@pytest.mark.parametrize(("h", "p"), [(math.inf, 0.0), (-math.inf, 1.0), (math.nan, math.nan)])
def test_probability_of_h_that_is_not_finite(h, p):
    assert pulsar.h_p_value(h) == pytest.approx(p, nan_ok=True)
