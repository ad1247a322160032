"""Fits of pulse profiles: their pulls, published separations, and what they say of failure."""

import math
import pickle

import numpy as np
import pytest
from astropy.io import fits
from scipy.stats import kstest

from ctao_sat import pulsar
from ctao_sat.errors import ConfigError, DataError, SelectionError
from ctao_sat.pulsar import GaussianPeak, LorentzianPeak, PulseProfile

# Like the Crab: two peaks, 0.398889 apart, on much background.
CRAB = PulseProfile(
    (LorentzianPeak(0.067066, 0.012, 0.02, 0.06), GaussianPeak(0.067066 + 0.398889, 0.02, 0.08))
)


def drawn(profile, n, rng):
    """Return phases that follow a profile."""
    parts = []
    shares = [peak.fraction for peak in profile.peaks]
    numbers = rng.multinomial(n, [*shares, 1 - sum(shares)])
    for peak, number in zip(profile.peaks, numbers[:-1], strict=True):
        if isinstance(peak, GaussianPeak):
            parts.append(rng.normal(peak.location, peak.width, number))
            continue
        side = rng.random(number) * (peak.width_left + peak.width_right) < peak.width_left
        width = np.where(side, -peak.width_left, peak.width_right)
        parts.append(peak.location + width * np.abs(rng.standard_cauchy(number)))
    parts.append(rng.random(numbers[-1]))
    return rng.permutation(np.concatenate(parts) % 1)


def start():
    return [LorentzianPeak(0.08, 0.02, 0.02, 0.1), GaussianPeak(0.45, 0.03, 0.1)]


@pytest.fixture(scope="module")
def phases():
    return drawn(CRAB, 20_000, np.random.default_rng(20260105))


@pytest.fixture(scope="module")
def fit(phases):
    return pulsar.fit_profile(phases, start())


def test_drawn_phases_follow_the_density():
    """The draw is independent of the density that is fitted."""
    x = drawn(CRAB, 20_000, np.random.default_rng(3))
    grid = np.linspace(0, 1, 20_001)
    middle = CRAB.density(0.5 * (grid[:-1] + grid[1:]))
    cumulative = np.concatenate([[0], np.cumsum(middle)]) / middle.sum()
    assert kstest(x, lambda values: np.interp(values, grid, cumulative)).pvalue > 1e-4


def test_crab_like_profile(fit):
    assert fit.success, fit.message
    assert fit.message == ""
    truth = [0.067066, 0.012, 0.02, 0.06, 0.465955, 0.02, 0.08]
    pulls = (fit.values - truth) / fit.errors
    assert np.abs(pulls).max() < 4
    assert (fit.errors < [0.003, 0.005, 0.006, 0.02, 0.002, 0.002, 0.01]).all()
    assert fit.ts > 500
    assert fit.profile.peaks[0].location == fit.values[0]
    # That of two peaks, in the catalogue 3PC: PKSEP.
    jacobian = np.where(np.arange(7) == 0, -1.0, np.where(np.arange(7) == 4, 1.0, 0.0))
    error = math.sqrt(jacobian @ fit.covariance @ jacobian)
    assert fit.values[4] - fit.values[0] == pytest.approx(0.398889, abs=4 * error)


@pytest.fixture(scope="module")
def catalogue(gammapy_data):
    """Return the third Fermi-LAT catalogue of pulsars, by name."""
    (path,) = (gammapy_data / "catalogs/fermi").glob("3PC_Catalog*")
    with fits.open(path) as hdus:
        rows = hdus["PULSARS_BIGFILE"].data
        return {str(row["PSRJ"]).strip(): (row["PHI1"], row["PKSEP"]) for row in rows}


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "first", "separation"),
    [
        ("J0534+2200", 0.067066, 0.398889),
        ("J0835-4510", 0.133126, 0.431865),
        ("J0633+1746", 0.083631, 0.503976),
        ("J1709-4429", 0.236446, 0.251533),
    ],
)
def test_separations_of_the_catalogue_are_fitted(catalogue, name, first, separation):
    """Phase zero of the catalogue is not that of other papers: separations count."""
    assert catalogue[name] == pytest.approx((first, separation), abs=5e-7)
    shift = 0.6
    truth = PulseProfile(
        (
            GaussianPeak(first + shift, 0.015, 0.15),
            LorentzianPeak(first + shift + separation, 0.02, 0.01, 0.2),
        )
    )
    x = drawn(truth, 4000, np.random.default_rng(2023))
    found = pulsar.fit_profile(x, truth)
    assert found.success
    step = (found.values[3] - found.values[0]) % 1
    error = math.hypot(found.errors[0], found.errors[3])
    assert error < 0.003
    assert step == pytest.approx(separation, abs=4 * error)


def test_ts_is_that_of_the_likelihood(fit, phases):
    assert fit.ts == pytest.approx(2 * np.log(fit.profile.density(phases)).sum(), rel=1e-9)


def test_pulls():
    """Of 200 sets: means and widths of the pulls within four standard deviations of 0 and 1."""
    rng = np.random.default_rng(7)
    profile = PulseProfile((GaussianPeak(0.98, 0.03, 0.3),))
    pulls = []
    for _ in range(200):
        found = pulsar.fit_profile(drawn(profile, 1000, rng), profile)
        assert found.success
        miss = found.values - [0.98, 0.03, 0.3]
        miss[0] = (miss[0] + 0.5) % 1 - 0.5
        pulls.append(miss / found.errors)
    assert np.abs(np.mean(pulls, axis=0)).max() < 4 / math.sqrt(200)
    assert np.abs(np.std(pulls, axis=0) - 1).max() < 4 / math.sqrt(400) + 0.05


def test_weights_take_out_the_background():
    """The fraction of the peak is then that of the source alone."""
    rng = np.random.default_rng(8)
    source = PulseProfile((GaussianPeak(0.3, 0.03, 0.7),))
    w = np.concatenate([rng.uniform(0.5, 1, 3000), rng.uniform(0, 0.2, 20_000)])
    x = np.where(rng.random(len(w)) < w, drawn(source, len(w), rng), rng.random(len(w)))
    found = pulsar.fit_profile(x, [GaussianPeak(0.3, 0.05, 0.3)], w)
    assert found.success
    assert found.values == pytest.approx([0.3, 0.03, 0.7], abs=4 * found.errors.max())
    plain = pulsar.fit_profile(x, [GaussianPeak(0.3, 0.05, 0.3)])
    assert plain.values[2] == pytest.approx(0.7 * w.mean(), abs=4 * plain.errors[2])
    assert found.ts > plain.ts


def test_frozen_parameters_stay(phases):
    found = pulsar.fit_profile(phases, CRAB, frozen=["location_1", "width_2"])
    assert found.success
    assert (found.values[0], found.values[5]) == (0.067066, 0.02)
    assert (found.errors[0], found.errors[5]) == (0, 0)
    assert not found.covariance[0].any()
    assert (found.errors[[1, 2, 3, 4, 6]] > 0).all()


def test_a_peak_that_is_not_there_ends_at_a_limit():
    x = np.concatenate([np.arange(0, 1, 0.001), np.arange(0.6, 1, 0.01)])
    found = pulsar.fit_profile(x, [GaussianPeak(0.3, 0.02, 0.1)], frozen=["location_1", "width_1"])
    assert found.values[2] == pytest.approx(0, abs=1e-5)
    assert "At a limit: fraction_1" in found.message


def test_pulses_without_a_constant():
    """Between two peaks there is nothing that keeps the sum of fractions from exceeding 1."""
    rng = np.random.default_rng(10)
    x = np.concatenate([rng.normal(0.2, 0.01, 300), rng.normal(0.7, 0.01, 700)])
    start = [GaussianPeak(0.21, 0.02, 0.4), GaussianPeak(0.69, 0.02, 0.4)]
    found = pulsar.fit_profile(x, start)
    assert "At a limit: sum of fractions" in found.message
    assert found.profile.constant == pytest.approx(0, abs=1e-6)
    fractions = [peak.fraction for peak in found.profile.peaks]
    assert fractions == pytest.approx([0.3, 0.7], abs=0.06)
    assert found.values[[0, 3]] == pytest.approx([0.2, 0.7], abs=0.003)


def test_a_fit_without_convergence_says_so():
    # A peak without events may be anywhere.
    peak = GaussianPeak(0.3, 0.1, 0.0)
    found = pulsar.fit_profile(np.arange(0, 1, 0.001), [peak], frozen=["fraction_1"])
    assert not found.success
    assert "did not converge" in found.message


def test_one_event_is_a_peak_without_width():
    found = pulsar.fit_profile([0.3], [GaussianPeak(0.3, 0.1, 0.5)])
    assert "At a limit: width_1" in found.message


def test_table(fit):
    table = fit.to_table()
    assert table["name"][:2].tolist() == ["location_1", "width_left_1"]
    np.testing.assert_array_equal(table["error"], fit.errors)
    assert table.meta["n_events"] == 20_000


def test_location_is_given_back_within_the_turn():
    x = drawn(PulseProfile((GaussianPeak(0.0, 0.03, 0.5),)), 2000, np.random.default_rng(9))
    found = pulsar.fit_profile(x, [GaussianPeak(1.02, 0.03, 0.5)])
    assert 0 <= found.values[0] < 1
    assert abs((found.values[0] + 0.5) % 1 - 0.5) < 4 * found.errors[0]


@pytest.mark.parametrize(
    ("peaks", "message"),
    [
        ([], "needs a peak"),
        ([GaussianPeak(0.1, 0.0, 0.1)], "width of a peak is 0"),
        ([GaussianPeak(0.1, 0.1, -0.1)], "fraction of a peak is -0.1"),
        ([LorentzianPeak(0.1, 0.1, math.nan, 0.1)], "width_right of a peak is nan"),
        ([GaussianPeak(math.inf, 0.1, 0.1)], "location of a peak is inf"),
        ([GaussianPeak(0.1, 0.1, 0.6)] * 2, r"hold 1\.2 of all events"),
    ],
)
def test_profiles_that_are_none(peaks, message):
    with pytest.raises(ConfigError, match=message):
        PulseProfile(tuple(peaks))


def test_what_cannot_be_fitted():
    peak = GaussianPeak(0.1, 0.1, 0.1)
    with pytest.raises(SelectionError, match="no event"):
        pulsar.fit_profile([], [peak])
    with pytest.raises(ConfigError, match="Did you mean 'width_1'"):
        pulsar.fit_profile([0.1], [peak], frozen=["width1"])
    with pytest.raises(ConfigError, match="All parameters are frozen"):
        pulsar.fit_profile([0.1], [peak], frozen=["location_1", "width_1", "fraction_1"])


def test_profiles_survive_pickling():
    assert pickle.loads(pickle.dumps(CRAB)) == CRAB


def test_weights_are_probabilities():
    with pytest.raises(DataError, match="A weight is 2"):
        pulsar.fit_profile([0.1, 0.2], [GaussianPeak(0.1, 0.1, 0.5)], [1.0, 2.0])


def test_a_single_peak_needs_no_sequence(phases):
    peak = GaussianPeak(0.4, 0.02, 0.1)
    assert pulsar.fit_profile(phases, peak).ts == pulsar.fit_profile(phases, [peak]).ts
