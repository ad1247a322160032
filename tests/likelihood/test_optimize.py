"""The minimum of a compiled likelihood, without Gammapy's result objects."""

import dataclasses

import numpy as np
import pytest
from gammapy.modeling.models import Models
from scipy.optimize import minimize

from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import Optimum, compile_likelihood, optimize


def likelihood_of(datasets):
    """Compile datasets, with factors of order one, away from the truth."""
    for parameter in datasets.parameters.free_parameters:
        parameter.value *= 1.1
    datasets.parameters.autoscale()
    return compile_likelihood(datasets)


@pytest.fixture
def datasets(small):
    return small.datasets("spectrum")


@pytest.fixture
def likelihood(datasets):
    return likelihood_of(datasets)


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube", "flux points", "joint"])
def test_it_is_the_minimum_that_another_minimiser_finds(small, kind):
    likelihood = likelihood_of(small.datasets(kind))
    optimum = optimize(likelihood)
    assert optimum.success
    assert optimum.covariance_success
    start = [parameter.factor for parameter in likelihood.parameters]
    other = minimize(likelihood.value, start, method="Nelder-Mead", options={"maxiter": 4000})
    other = minimize(likelihood.value_and_grad, other.x, jac=True, method="BFGS")
    errors = np.sqrt(np.diag(optimum.covariance))
    assert np.max(np.abs(optimum.x - other.x) / errors) < 0.01
    assert optimum.stat == pytest.approx(other.fun, abs=1e-5)
    assert optimum.stat == likelihood.value(optimum.x)
    slopes = likelihood.value_and_grad(optimum.x)[1] * errors
    assert np.max(np.abs(slopes)) < 0.02


def test_the_covariance_is_twice_the_inverse_of_the_second_derivatives(small):
    likelihood = likelihood_of(small.datasets("cube"))
    optimum = optimize(likelihood)
    expected = 2 * np.linalg.inv(likelihood.hessian(optimum.x))
    np.testing.assert_allclose(optimum.covariance, expected, rtol=1e-4)
    assert optimum.errors == "hesse"


def test_the_other_covariance_is_labelled(likelihood):
    optimum = optimize(likelihood, errors="migrad")
    assert optimum.errors == "migrad"
    assert optimum.covariance_message == "Covariance as gathered by MIGRAD."
    exact = optimize(likelihood)
    np.testing.assert_allclose(np.diag(optimum.covariance), np.diag(exact.covariance), rtol=0.3)


def test_free_shapes_have_second_derivatives_whatever_is_asked_for(small):
    """Minuit has no part in their fit, and so has gathered nothing."""
    datasets = small.datasets("cube")
    datasets.models["source"].spatial_model.lat_0.frozen = False
    datasets.parameters.autoscale()
    likelihood = compile_likelihood(datasets)
    optimum = optimize(likelihood, errors="migrad")
    assert optimum.success
    assert optimum.errors == "hesse"
    expected = 2 * np.linalg.inv(likelihood.hessian(optimum.x))
    np.testing.assert_allclose(optimum.covariance, expected, rtol=1e-6)


def test_parameters_do_not_move(datasets, likelihood):
    before = [(p.value, p.factor, p.scale, p.error) for p in datasets.parameters]
    optimize(likelihood)
    assert [(p.value, p.factor, p.scale, p.error) for p in datasets.parameters] == before


def test_the_guards_are_quick(small):
    likelihood = likelihood_of(small.datasets("joint"))
    optimum = optimize(likelihood)
    assert 5 < optimum.n_calls < 60
    # As many as Minuit has made.
    assert optimum.n_calls <= optimum.minuit.nfcn + 2 * optimum.minuit.ngrad + 30


def test_minuit_has_names_limits_and_errors(datasets, likelihood):
    index, amplitude = likelihood.parameters
    index.min, index.max, amplitude.min = 1, 4, 0
    index.error = 0.3
    minuit = optimize(likelihood, errors="migrad").minuit
    assert minuit.parameters == ("par_000_index", "par_001_amplitude")
    assert minuit.limits[0] == (index.factor_min, index.factor_max)
    assert minuit.limits[1] == (0, np.inf)
    assert minuit.errordef == 1
    assert minuit.init_params[0].error == pytest.approx(0.3 / index.scale)


def test_minos_works_on_the_result(likelihood):
    optimum = optimize(likelihood)
    minuit = optimum.minuit
    minuit.minos()
    for i, error in enumerate(minuit.merrors.values()):
        assert error.is_valid
        for distance in (error.upper, error.lower):
            fixed = optimum.x.copy()
            fixed[i] += distance
            free = 1 - i

            def profile(y, at=fixed, column=free):
                at[column] = y[0]
                return likelihood.value(at)

            lowest = minimize(profile, [optimum.x[free]], method="Nelder-Mead", tol=1e-10).fun
            assert lowest - optimum.stat == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("transform", ["log", "sqrt"])
def test_transformed_parameters(small, likelihood, transform):
    expected = optimize(likelihood)
    datasets = small.datasets("spectrum")
    amplitude = datasets.models[0].spectral_model.amplitude
    amplitude.scale_transform = transform
    other = likelihood_of(datasets)
    optimum = optimize(other)
    assert optimum.stat == pytest.approx(expected.stat, abs=1e-5)
    assert amplitude.inverse_transform(optimum.x[1]) == pytest.approx(
        likelihood.parameters[1].inverse_transform(expected.x[1]), rel=1e-4
    )
    assert optimum.covariance[0, 0] == pytest.approx(expected.covariance[0, 0], rel=1e-3)


@pytest.mark.parametrize(("low", "high"), [(np.nan, 2.1), (1.0, 2.1), (2.35, np.nan), (2.35, 4.0)])
@pytest.mark.parametrize("start", [0.0, 0.02, 0.2])
def test_limits_are_kept_and_reached(small, low, high, start):
    datasets = small.datasets("spectrum")
    index = datasets.models[0].spectral_model.index
    bound = low if low > 2.3 else high
    index.min, index.max = low, high
    index.value = bound + (start if bound == low else -start)
    datasets.parameters.autoscale()
    likelihood = compile_likelihood(datasets)
    before = likelihood.stat_sum()
    optimum = optimize(likelihood)
    assert optimum.stat <= before
    assert index.inverse_transform(optimum.x[0]) == pytest.approx(bound, abs=1e-3)
    assert optimum.success


def test_an_unbounded_statistic_is_no_success(datasets):
    """With the counts of a bin negative, more signal is always better."""
    datasets[0].counts.data[...] = 0
    datasets[0].background.data[...] = 0
    datasets[0].background.data += 1e3
    likelihood = likelihood_of(datasets)
    optimum = optimize(likelihood)
    # The statistic falls with the amplitude until the prediction reaches zero.
    assert optimum.stat < likelihood.stat_sum()
    assert np.all(np.isfinite(optimum.x))


def test_two_sources_at_one_place_are_told_apart_by_nothing(small):
    datasets = small.datasets("spectrum")
    datasets.models = Models([small.power_law("one"), small.power_law("two")])
    likelihood = likelihood_of(datasets)
    optimum = optimize(likelihood)
    if optimum.covariance_success:
        # Then it must be huge, or made positive by force and said to be unreliable.
        assert "unreliable" in optimum.message or np.max(np.diag(optimum.covariance)) > 1
    assert optimum.stat == pytest.approx(optimize(likelihood).stat, abs=1e-9)


def test_it_can_be_repeated_bit_by_bit(small):
    one, other = (optimize(likelihood_of(small.datasets("joint"))) for _ in range(2))
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.covariance, other.covariance)
    assert one.stat == other.stat


def test_an_optimum_is_not_to_be_changed(likelihood):
    optimum = optimize(likelihood)
    assert isinstance(optimum, Optimum)
    with pytest.raises(dataclasses.FrozenInstanceError):
        optimum.stat = 0.0


def test_one_parameter(small, datasets):
    datasets.models[0].spectral_model.index.frozen = True
    likelihood = likelihood_of(datasets)
    optimum = optimize(likelihood)
    assert optimum.x.shape == (1,)
    assert optimum.covariance.shape == (1, 1)
    assert optimum.success


def test_no_parameter(datasets):
    datasets.models[0].parameters.freeze_all()
    with pytest.raises(ConfigError, match="No parameter is free") as info:
        optimize(compile_likelihood(datasets))
    assert info.value.remedy


def test_unknown_errors(likelihood):
    with pytest.raises(ConfigError, match="Unknown errors: 'minos'") as info:
        optimize(likelihood, errors="minos")
    assert info.value.remedy == "Take 'hesse' or 'migrad'."


def test_bins_with_counts_and_no_prediction_are_known(small):
    likelihood = likelihood_of(small.datasets("cube"))
    x = np.array([parameter.factor for parameter in likelihood.parameters])
    assert likelihood.n_clipped(x) == 0
    amplitude = likelihood.parameter_names.index("source.amplitude")
    x[amplitude] *= -1e4
    assert likelihood.n_clipped(x) > 0
