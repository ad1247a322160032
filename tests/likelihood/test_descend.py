"""Minima at kinks: no step along pixels leads further down, whatever the start."""

import numpy as np
import pytest

from ctao_sat.likelihood import compile_likelihood
from ctao_sat.likelihood._descend import descend
from ctao_sat.likelihood._minuit import Objective


@pytest.fixture
def likelihood(zoo):
    datasets = zoo.plain.moving()
    datasets.models = [datasets.models["point"], datasets.models["cube-bkg"]]
    return compile_likelihood(datasets)


def _limits(n):
    return np.array([[-np.inf] * n, [np.inf] * n])


def _lowest_nearby(likelihood, x):
    """Return the lowest statistic within half a pixel along the axes of the pixels."""
    return min(
        likelihood.evaluate(_moved(x, index, size * step), 0)
        for index, step in likelihood.sources.pixel_axes(x)
        for size in np.linspace(-0.5, 0.5, 101)
    )


def _moved(x, index, move):
    new = x.copy()
    new[index] += move
    return new


def test_axes_are_those_of_pixels(likelihood):
    (response,) = likelihood._engine.moving
    x = likelihood._map.factors()

    def center(factors):
        return np.array(response.source.center(likelihood._map.values(factors)[response.index]))

    axes = likelihood.sources.pixel_axes(x)
    assert len(axes) == 2
    moves = [center(_moved(x, index, step)) - center(x) for index, step in axes]
    np.testing.assert_allclose(np.abs(moves), np.eye(2), atol=0.1)


@pytest.mark.parametrize("shift", [(0, 0), (0.3, -0.4), (-1.5, 1.0)])
def test_ends_where_no_step_leads_down(likelihood, shift):
    start = likelihood._map.factors()
    (index, along_y), (_, along_x) = likelihood.sources.pixel_axes(start)
    start[index] += shift[0] * along_y + shift[1] * along_x
    end = descend(likelihood, Objective(likelihood), start, _limits(len(start)))
    assert end.converged
    assert not end.held.any()
    stat = likelihood.evaluate(end.x, 0)
    assert stat <= _lowest_nearby(likelihood, end.x) + 0.01
    assert stat <= likelihood.evaluate(likelihood._map.factors(), 0)


def test_all_starts_end_alike(likelihood):
    first, ends = likelihood._map.factors(), []
    axes = likelihood.sources.pixel_axes(first)
    for sign in (-1, 1):
        start = first.copy()
        for index, step in axes:
            start[index] += sign * step
        end = descend(likelihood, Objective(likelihood), start, _limits(len(start)))
        ends.append(likelihood.evaluate(end.x, 0))
    assert ends[0] == pytest.approx(ends[1], abs=0.02)


def test_limits_hold(likelihood):
    start = likelihood._map.factors()
    limits = _limits(len(start))
    (index, _), _ = likelihood.sources.pixel_axes(start)
    limits[0, index[0]] = start[index[0]] + 0.01
    start[index[0]] += 0.02
    end = descend(likelihood, Objective(likelihood), start, limits)
    assert np.all(end.x >= limits[0])
    assert end.held[index[0]] == (end.x[index[0]] <= limits[0, index[0]])
