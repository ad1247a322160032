"""Starts of a fit beside the given one, and what a fit makes of them."""

import numpy as np
import pytest

from ctao_sat import dl5
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import compile_likelihood
from ctao_sat.likelihood._sources import spiral
from ctao_sat.likelihood._starts import scattered_starts


@pytest.fixture
def datasets(small):
    """Return a cube with a Gaussian of free position and size, beside where it is."""
    datasets = small.datasets("cube")
    source = datasets.models["source"]
    source.spatial_model = small.gaussian(source, sigma="0.15 deg")
    source.spatial_model.sigma.max = 0.4
    datasets.models = list(datasets.models)
    datasets.parameters.autoscale()
    return datasets


def test_a_spiral_fills_a_circle():
    points = spiral(400)
    np.testing.assert_array_equal(points[0], 0)
    assert np.hypot(*points[-1]) == pytest.approx(1)
    # As many within half of the radius as there is area.
    assert np.count_nonzero(np.hypot(*points.T) <= 0.5) == pytest.approx(100, abs=1)
    distances = np.hypot(*(points[:, None] - points[None]).T) + 10 * np.eye(400)
    assert distances.min() > 0.03
    np.testing.assert_array_equal(spiral(1), [[0, 0]])


def test_the_first_start_is_the_present_one_and_all_keep_limits(datasets):
    likelihood = compile_likelihood(datasets)
    starts = np.array(scattered_starts(likelihood, 5))
    np.testing.assert_array_equal(starts[0], [p.factor for p in likelihood.parameters])
    where = {p.name: i for i, p in enumerate(likelihood.parameters) if p.unit == "deg"}
    sizes = starts[:, where["sigma"]] * likelihood.parameters[where["sigma"]].scale
    np.testing.assert_allclose(sizes, [0.15, 0.3, 0.075, 0.4, 0.05])
    for name in ("lon_0", "lat_0"):
        assert len(set(starts[:, where[name]])) == 5
    others = [i for i in range(starts.shape[1]) if i not in where.values()]
    np.testing.assert_array_equal(starts[:, others], np.tile(starts[0, others], (5, 1)))


def test_the_lowest_minimum_is_taken(datasets):
    result = dl5.fit(datasets, compiled=True, starts=3)
    assert result.success
    found = [float(line.split()[-1]) for line in result.report.shapes if line.startswith("start")]
    assert len(found) == 3
    assert result.total_stat <= min(found) + 1e-3


@pytest.mark.parametrize("starts", [0, -1, 2.5, "two"])
def test_impossible_numbers_of_starts(datasets, starts):
    with pytest.raises(ConfigError, match="starts"):
        dl5.fit(datasets, starts=starts)
