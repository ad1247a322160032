"""The comparison with Gammapy: what agrees, what does not, and at which point."""

import numpy as np
import pytest
from gammapy.modeling.models import Models

from ctao_sat.likelihood import compile_likelihood
from ctao_sat.likelihood._guard import compare, perturbed


@pytest.fixture
def datasets(small):
    return small.datasets("spectrum")


@pytest.fixture
def likelihood(datasets):
    datasets.parameters.autoscale()
    return compile_likelihood(datasets)


def test_equal_statistics_agree(datasets, likelihood):
    agrees, note = compare(likelihood, "here")
    assert agrees
    assert note.startswith(f"here: {datasets.stat_sum():.6f}, Gammapy ")


@pytest.mark.parametrize(("extra", "agrees"), [(1e-5, False), (-1e-5, False), (1e-7, True)])
def test_unequal_statistics_do_not(datasets, likelihood, monkeypatch, extra, agrees):
    dataset = datasets[0]
    plain = type(dataset).stat_sum
    monkeypatch.setattr(type(dataset), "stat_sum", lambda self: plain(self) + extra)
    found, note = compare(likelihood, "there")
    # 1e-9 of the statistic, which is 5700, and 1e-6.
    assert found is agrees
    assert ("but Gammapy has" in note) is not agrees
    assert note.startswith("there: ")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_statistics_that_are_no_number(datasets, likelihood, monkeypatch, value):
    monkeypatch.setattr(type(datasets[0]), "stat_sum", lambda _: value)
    assert not compare(likelihood, "here")[0]
    # When ours is the same, it agrees.
    monkeypatch.setattr(likelihood, "stat_sum", lambda: value)
    assert compare(likelihood, "here")[0]


def test_cutouts_of_an_earlier_shape_are_no_disagreement(small):
    datasets = small.datasets("cube")
    datasets[0].psf = small.varying_psf()
    datasets.models = Models(list(datasets.models))
    latitude = datasets.models["source"].spatial_model.lat_0
    for shift in (0.0, 0.01, 0.04):
        latitude.value += shift
        stale = datasets.stat_sum()
    likelihood = compile_likelihood(datasets)
    agrees, note = compare(likelihood, "start")
    assert agrees
    assert "cutouts from an earlier shape" in note
    assert f"{stale:.6f}" in note
    datasets.models = Models(list(datasets.models))
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-12)


def test_comparing_changes_nothing(datasets, likelihood):
    before = datasets.parameters.value.copy(), likelihood.report.guard.copy()
    compare(likelihood, "here")
    np.testing.assert_array_equal(datasets.parameters.value, before[0])
    assert likelihood.report.guard == before[1]


def test_the_perturbed_point_is_near_but_not_here(datasets, likelihood):
    here = np.array([parameter.factor for parameter in likelihood.parameters])
    there = perturbed(likelihood)
    assert np.all(there != here)
    np.testing.assert_allclose(there, here, rtol=0.05)
    # It is a matter of the state alone, and changes nothing.
    np.testing.assert_array_equal(perturbed(likelihood), there)
    np.testing.assert_array_equal([p.factor for p in likelihood.parameters], here)


def test_parameters_at_zero_are_perturbed_too(small):
    datasets = small.datasets("cube")
    datasets.models[1].parameters["tilt"].value = 0
    likelihood = compile_likelihood(datasets)
    here = np.array([parameter.factor for parameter in likelihood.parameters])
    assert np.all(perturbed(likelihood) != here)


def test_known_errors_limit_the_step(likelihood):
    index = likelihood.parameters[0]
    index.error = 1e-3
    assert abs(perturbed(likelihood)[0] - index.factor) == pytest.approx(3e-4, rel=1e-9)


def test_limits_hold(likelihood):
    index, amplitude = likelihood.parameters
    index.max = index.value
    amplitude.min = amplitude.value
    there = perturbed(likelihood)
    assert there[0] <= index.factor_max
    assert there[1] >= amplitude.factor_min


@pytest.mark.parametrize("transform", ["log", "sqrt"])
def test_transformed_parameters_are_perturbed_by_little(datasets, transform):
    amplitude = datasets.models[0].spectral_model.amplitude
    amplitude.scale_transform = transform
    datasets.parameters.autoscale()
    amplitude.error = 0.1 * amplitude.value
    likelihood = compile_likelihood(datasets)
    there = perturbed(likelihood)
    value = amplitude.inverse_transform(there[1])
    assert value != amplitude.value
    assert value == pytest.approx(amplitude.value, rel=1)
