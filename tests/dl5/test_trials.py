"""Significances after trials."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from ctao_sat import dl5


@pytest.mark.parametrize("n", [1, 10, 1e4])
def test_independent_trials_are_sidaks(n):
    z = np.array([2.0, 4.0, 5.0])
    expected = norm.isf(-np.expm1(n * np.log1p(-norm.sf(z))))
    assert_allclose(dl5.trials_corrected(z, n_trials=n), expected, rtol=1e-6)


def test_very_large_significances_stay_finite():
    after = dl5.trials_corrected(np.array([40.0, 100.0]), area=1e3)
    assert (after > 39).all()
    assert np.isfinite(after).all()


def test_nothing_searched_changes_nothing():
    assert_allclose(dl5.trials_corrected(4.0, area=0), 4.0)


def test_chance_of_a_peak_in_smooth_noise():
    rng = np.random.default_rng(2)
    n, width, maps = 100, 3.0, 600
    highest = []
    for _ in range(maps):
        noise = gaussian_filter(rng.normal(size=(n, n)), width, mode="wrap")
        highest.append(noise.max() * 2 * np.sqrt(np.pi) * width)
    # The correlation is exp(-r**2 / 4 width**2), whose curvature is 1 / (2 width**2).
    area = n**2 / (2 * width**2)
    level = 3.5
    chance = norm.sf(dl5.trials_corrected(level, area=area))
    share = np.mean(np.array(highest) > level)
    # 3 sigma of the binomial distribution: 0.27 % of all seeds, and 10 % for the periodic border.
    assert abs(share - chance) < 3 * np.sqrt(chance * (1 - chance) / maps) + 0.1 * chance
