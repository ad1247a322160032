"""Density of pulse profiles: against long sums, closed forms and its integral."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from ctao_sat.kernels import reference_periodicity
from ctao_sat.kernels.pulse_profile import (
    GAUSSIAN,
    LEAST,
    LORENTZIAN,
    densities,
    density,
    log_likelihood,
)

NONE = np.empty(0)
PEAKS = {
    "narrow Gaussian": [[GAUSSIAN, 0.3, 0.02, 1e-3, 0.0]],
    "wide Gaussian": [[GAUSSIAN, 1.0, 0.7, 0.9, 0.0]],
    "narrow Lorentzian": [[LORENTZIAN, 0.5, 0.99, 1e-3, 5e-3]],
    "wide Lorentzian": [[LORENTZIAN, 1.0, 0.3, 0.9, 0.2]],
    "two": [[LORENTZIAN, 0.2, 0.0, 0.01, 0.03], [GAUSSIAN, 0.1, 0.4, 0.02, 0.0]],
}


@pytest.fixture(params=PEAKS)
def peaks(request):
    return np.array(PEAKS[request.param])


def test_density_is_that_of_a_long_sum(peaks):
    for x in [0.0, 0.019, 0.02, 0.3, 0.5, 0.989, 0.99, 1.3, -4.2]:
        # Beyond 1e5 turns, a Lorentzian has 1e-6 of its width left.
        expected = reference_periodicity.density(x, peaks)
        assert density(x, peaks) == pytest.approx(expected, abs=1e-5, rel=1e-10)


def test_integral_is_one(peaks):
    total, _ = quad(density, 0, 1, (peaks,), points=sorted(peaks[:, 2] % 1), limit=500)
    assert total == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("width", [1e-3, 0.05, 0.5, 1.0])
def test_symmetric_lorentzian_is_a_wrapped_cauchy_distribution(width):
    peaks = np.array([[LORENTZIAN, 1.0, 0.2, width, width]])
    a = 2 * math.pi * width
    for x in (0.2, 0.2 + width, 0.7, 0.19):
        angle = 2 * math.pi * (x - 0.2)
        # A turn is 1, not 2 pi.
        expected = math.sinh(a) / (math.cosh(a) - math.cos(angle))
        assert density(x, peaks) == pytest.approx(expected, rel=2e-9)


def test_half_maximum_is_at_the_widths():
    peaks = np.array([[LORENTZIAN, 1.0, 0.5, 1e-4, 3e-4]])
    top = density(0.5, peaks)
    assert density(0.5 - 1e-4, peaks) == pytest.approx(top / 2, rel=1e-3)
    assert density(0.5 + 3e-4, peaks) == pytest.approx(top / 2, rel=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_likelihood_is_a_sum(peaks, weighted):
    rng = np.random.default_rng(1)
    x, w = rng.random(30), rng.random(30) if weighted else NONE
    out = np.empty(30)
    densities(x, peaks, out)
    of = w if weighted else np.ones(30)
    expected = np.log(of * out + 1 - of).sum()
    assert log_likelihood(x, w, peaks) == pytest.approx(expected, rel=1e-12)


def test_likelihood_of_nothing_is_one():
    assert log_likelihood(NONE, NONE, np.array(PEAKS["two"])) == 0


def test_likelihood_of_events_without_weight_is_one(peaks):
    assert log_likelihood(np.linspace(0, 1, 9), np.zeros(9), peaks) == 0


def test_density_below_zero_is_turned_back():
    peaks = np.array([[GAUSSIAN, 1.5, 0.5, 0.01, 0.0]])
    assert density(0.0, peaks) < 0
    assert log_likelihood(np.zeros(2), NONE, peaks) == 2 * math.log(LEAST)
