"""Minima at kinks: no step along pixels leads further down, whatever the start."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling.models import DiskSpatialModel, GaussianSpatialModel, PointSpatialModel

from ctao_sat.likelihood import compile_likelihood
from ctao_sat.likelihood._descend import descend
from ctao_sat.likelihood._minuit import Objective

STEPS = 10.0 ** np.arange(-4, 0)


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


def _drawn(zoo, true, fitted, strength):
    """Return the likelihood of a source that is as bright as that, drawn with another shape."""
    datasets = Datasets(list(zoo.plain.moving()))
    place = zoo.plain.POSITION.spherical_offsets_by(0.023 * u.deg, 0.031 * u.deg)
    for shape in (true, fitted):
        shape.position = place
        source = zoo.plain.power_law("source", shape)
        source.spectral_model.amplitude.value *= strength
        source.spectral_model.index.frozen = True
        datasets.models = [source]
        if shape is true:
            random = np.random.default_rng(20281213)
            zoo.plain.draw(datasets, random, zoo.plain.expected(datasets))
    return compile_likelihood(datasets)


@pytest.mark.parametrize(
    ("true", "fitted", "strength"),
    [
        (PointSpatialModel(), PointSpatialModel(), 1000),
        (DiskSpatialModel(r_0=0.2 * u.deg), DiskSpatialModel(r_0=0.15 * u.deg), 10),
        (PointSpatialModel(), GaussianSpatialModel(sigma=0.1 * u.deg), 10),
    ],
    ids=["bright point", "disk", "Gaussian on a point"],
)
def test_no_step_of_any_size_leads_down(zoo, true, fitted, strength):
    likelihood = _drawn(zoo, *(shape.copy() for shape in (true, fitted)), strength)
    start = likelihood._map.factors()
    # Without a size, Gammapy's formulas divide by zero.
    with np.errstate(all="ignore"):
        end = descend(likelihood, Objective(likelihood), start, _limits(len(start)))
        around = [
            likelihood.evaluate(_moved(end.x, index, sign * size * step), 0)
            for index, step in likelihood.sources.pixel_axes(end.x)
            for size in STEPS
            for sign in (-1, 1)
        ]
    assert end.converged
    assert len(around) == 8 * len(likelihood.parameters[1:])
    assert likelihood.evaluate(end.x, 0) <= min(around) + 2e-3


def test_a_shape_that_is_no_number_has_no_statistic(zoo):
    datasets = Datasets(list(zoo.plain.moving()))
    datasets.models = [zoo.plain.power_law("source", DiskSpatialModel())]
    likelihood = compile_likelihood(datasets)
    x = likelihood._map.factors()
    x[likelihood.parameter_names.index("source.r_0")] = np.nan
    assert np.isnan(likelihood.value(x))
    stat, gradient = likelihood.value_and_grad(x)
    assert np.isnan(stat)
    assert np.isnan(gradient).all()
