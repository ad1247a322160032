"""Errors by drawing events again, and folded light curves."""

import math

import numpy as np
import pytest

from ctao_sat import pulsar
from ctao_sat.errors import ConfigError, SelectionError


def test_spread_of_a_mean_is_its_error():
    x = np.random.default_rng(1).normal(0.5, 0.05, 400)
    means = pulsar.bootstrap(x, np.mean, 2000, np.random.default_rng(2))
    # The spread of a spread is 1.6 % of it.
    assert means.std() == pytest.approx(x.std() / math.sqrt(400), rel=0.08)
    assert means.mean() == pytest.approx(x.mean(), abs=4 * means.std() / math.sqrt(2000))


def test_number_of_events_varies_as_a_poisson_number():
    sizes = pulsar.bootstrap(np.zeros(100) + 0.1, len, 2000, np.random.default_rng(3))
    assert sizes.mean() == pytest.approx(100, abs=4 * 10 / math.sqrt(2000))
    assert sizes.std() == pytest.approx(10, rel=0.08)


def test_weights_stay_with_their_events():
    x = np.linspace(0, 0.99, 100)
    w = 1 + x

    def largest_miss(phases, weights):
        return np.abs(weights - 1 - phases).max()

    misses = pulsar.bootstrap(x, largest_miss, 50, np.random.default_rng(4), w)
    assert misses.max() < 1e-12


def test_fit_errors_agree_with_the_likelihood():
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0.3, 0.02, 300), rng.random(700)])
    start = pulsar.PulseProfile((pulsar.GaussianPeak(0.3, 0.02, 0.3),))
    fit = pulsar.fit_profile(x, start)
    drawn = pulsar.bootstrap(x, lambda phases: pulsar.fit_profile(phases, start).values, 200, rng)
    assert drawn.shape == (200, 3)
    # Four times the 5 % that 200 samples leave.
    np.testing.assert_allclose(drawn.std(axis=0), fit.errors, rtol=0.2)


def test_light_curve_by_hand():
    table = pulsar.folded_light_curve([0.0, 0.1, 0.3, 0.999, 1.3], 4, [1, 0.5, 0.5, 0.25, 1])
    assert table["counts"].tolist() == [1.5, 1.5, 0, 0.25]
    assert table["error"].tolist() == pytest.approx([math.sqrt(1.25), math.sqrt(1.25), 0, 0.25])
    assert table["phase_min"].tolist() == [0, 0.25, 0.5, 0.75]


def test_light_curve_with_a_bootstrap():
    x = np.random.default_rng(6).random(4000)
    table = pulsar.folded_light_curve(x, 10, n_samples=500, rng=np.random.default_rng(7))
    half = 0.5 * (table["counts_high"] - table["counts_low"])
    np.testing.assert_allclose(half, table["error"], rtol=0.25)
    assert (table["counts_low"] < table["counts"]).all()
    assert (table["counts"] < table["counts_high"]).all()


def test_what_cannot_be_drawn():
    rng = np.random.default_rng(8)
    with pytest.raises(ConfigError, match="no spread"):
        pulsar.bootstrap([0.1], len, 1, rng)
    with pytest.raises(SelectionError, match="no event"):
        pulsar.bootstrap([], len, 10, rng)
    with pytest.raises(ConfigError, match="0 bins"):
        pulsar.folded_light_curve([0.1], 0)
    with pytest.raises(ConfigError, match="source of randomness"):
        pulsar.folded_light_curve([0.1], 2, n_samples=10)
