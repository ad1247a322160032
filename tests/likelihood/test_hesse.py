"""Covariances from second derivatives, at kinks, and of what the data do not determine."""

import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling.models import FoVBackgroundModel

from ctao_sat.likelihood import compile_likelihood, optimize
from ctao_sat.likelihood._hesse import HESSE, NO_MINIMUM, finite_covariance, kink_width


@pytest.fixture
def empty(small):
    """Return on-off data without counts, with a power law; only its amplitude is free."""
    datasets = small.datasets("on-off")
    for counts in (datasets[0].counts, datasets[0].counts_off):
        counts.data[:] = 0
    datasets.parameters["index"].frozen = True
    datasets.parameters.autoscale()
    return datasets


def slope(datasets):
    """Return the increase of the statistic by one factor, for a positive flux."""
    amplitude = datasets.parameters["amplitude"]
    return 2 * datasets[0].npred_signal().data.sum() / amplitude.factor


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube", "joint"])
def test_it_is_the_covariance_of_the_optimum(small, kind):
    likelihood = compile_likelihood(small.datasets(kind))
    optimum = optimize(likelihood)
    matrix, success, message = finite_covariance(likelihood, optimum.x)
    assert success
    assert message == HESSE
    scale = np.sqrt(np.diag(optimum.covariance))
    np.testing.assert_allclose(
        matrix / np.outer(scale, scale), optimum.covariance / np.outer(scale, scale), atol=1e-6
    )
    curvatures = np.diag(likelihood.hessian(optimum.x))
    for i, curvature in enumerate(curvatures):
        assert np.isinf(kink_width(likelihood, optimum.x, i, curvature))


@pytest.mark.parametrize("x", [0.0, 1e-9, -1e-9, 1e-5])
def test_width_of_a_kink(empty, x):
    expected = slope(empty)
    # On the other side the profiled background has to make up for the signal.
    alpha = empty[0].alpha.data.flat[0]
    likelihood = compile_likelihood(empty)
    width = kink_width(likelihood, np.array([x]), 0, 0.0)
    assert width == pytest.approx(0.5 * (1 + alpha) / expected, rel=1e-4)
    matrix, success, message = finite_covariance(likelihood, np.array([x]))
    assert success
    assert message == HESSE
    np.testing.assert_allclose(matrix, [[width**2]])


def test_beside_a_kink_there_is_none(empty):
    likelihood = compile_likelihood(empty)
    assert np.isinf(kink_width(likelihood, np.array([0.1]), 0, 0.0))
    assert not finite_covariance(likelihood, np.array([0.1]))[1]


def test_a_kink_leaves_other_parameters_their_errors(small, empty):
    other = small.datasets("spectrum")
    source = other.models["source"].copy(name="other", copy_data=True)
    source.datasets_names, empty.models["source"].datasets_names = ["spectrum"], ["on-off"]
    other.models = [source]
    optimum = optimize(compile_likelihood(other))
    datasets = Datasets([*other, *empty])
    datasets.models = [source, *empty.models]
    matrix, success, _ = finite_covariance(compile_likelihood(datasets), np.append(optimum.x, 0))
    assert success
    np.testing.assert_allclose(matrix[:2, :2], optimum.covariance, rtol=1e-6)
    assert 0 < matrix[2, 2] < 1
    np.testing.assert_array_equal(matrix[2, :2], 0)


def test_what_the_data_do_not_determine_is_named_and_has_an_error_of_one(small):
    dataset = small.cube().to_image(name="image")
    model = FoVBackgroundModel(dataset_name="image")
    model.spectral_model.tilt.frozen = False
    dataset.models = [model]
    dataset.counts.data = dataset.background.data.round()
    likelihood = compile_likelihood(Datasets([dataset]))
    matrix, success, message = finite_covariance(likelihood, optimize(likelihood).x)
    assert not success
    assert "do not determine image-bkg.tilt, image-bkg.norm" in message
    np.testing.assert_array_equal(matrix, np.eye(2))


def test_away_from_a_minimum(small):
    likelihood = compile_likelihood(small.datasets("flux points"))
    x = optimize(likelihood).x
    matrix, success, message = finite_covariance(likelihood, x * [1, -0.5])
    assert not success
    assert message == NO_MINIMUM
    assert matrix.shape == (2, 2)


def test_what_gammapy_evaluates_is_differentiated_by_minuit(small):
    datasets = small.datasets("cube")
    source = datasets.models["source"]
    source.spatial_model = small.own_point(source)
    source.spatial_model.lat_0.frozen = False
    datasets.models = list(datasets.models)
    likelihood = compile_likelihood(datasets)
    x = optimize(likelihood).x
    matrix, success, message = finite_covariance(likelihood, x)
    assert success
    assert message == HESSE
    assert np.all(np.linalg.eigvalsh(matrix) > 0)
