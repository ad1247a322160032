"""Spectra that a temporal model of transients scales: values and derivatives of the likelihood."""

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets
from gammapy.modeling.models import (
    ExpDecayTemporalModel,
    LogParabolaSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
)
from numpy.testing import assert_allclose

from ctao_sat import transients as tr
from ctao_sat.likelihood import compile_likelihood

T0 = Time("2025-01-01T00:00:00", scale="utc")


def make(small, temporals, spectra=None):
    """Return three intervals of all models, with counts that no model predicts exactly."""
    models = [
        SkyModel(
            (spectra or {}).get(i, PowerLawSpectralModel(amplitude=f"{2 + i}e-11 cm-2 s-1 TeV-1")),
            temporal_model=temporal,
            name=f"source {i}",
        )
        for i, temporal in enumerate(temporals)
    ]
    datasets = Datasets()
    for k, (start, stop) in enumerate([(60, 300), (300, 900), (900, 2400)]):
        dataset = small.spectrum(f"interval {k}")
        dataset.gti = GTI.create(start * u.s, stop * u.s, reference_time=T0)
        datasets.append(dataset)
    datasets.models = models
    rng = np.random.default_rng(1)
    for dataset in datasets:
        dataset.counts.data = rng.poisson(1.1 * dataset.npred().data).astype(float)
    return datasets


def decay():
    return tr.OnsetPowerLawTemporalModel(T0, 1.3, 200 * u.s)


def free_time_scales():
    model = tr.BrokenPowerLawTemporalModel(T0, 0.7, 1.9, 500 * u.s, 20 * u.s)
    model.t_ref.frozen = False
    return model


CASES = {
    "one decay": [decay()],
    "breaks and T0": [free_time_scales()],
    "quadrature": [tr.FREDTemporalModel(T0, 300 * u.s, 400 * u.s)],
    "two, one of Gammapy": [decay(), ExpDecayTemporalModel(t0=900 * u.s, t_ref=T0.mjd * u.d)],
    "two of ours and a steady one": [decay(), free_time_scales(), None],
}


def differences(function, x, rel=3e-5):
    columns = []
    for i in range(len(x)):
        step = np.zeros(len(x))
        # T0 is a large number that moves a little.
        step[i] = 2e-6 if x[i] > 5e4 else rel * (abs(x[i]) or 1)
        columns.append((function(x + step) - function(x - step)) / (2 * step[i]))
    return np.array(columns).T


@pytest.mark.parametrize("name", CASES)
def test_value_and_derivatives(small, name):
    # To check units, Gammapy evaluates models in 2010, where its exponential overflows.
    with np.errstate(over="ignore"):
        datasets = make(small, [model and model.copy() for model in CASES[name]])
    likelihood = compile_likelihood(datasets)
    assert likelihood.report.is_complete
    x = np.array([p.factor for p in likelihood.parameters])
    assert likelihood.value(x) == pytest.approx(datasets.stat_sum(), rel=1e-9)
    assert likelihood.batch([x])[0] == pytest.approx(datasets.stat_sum(), rel=1e-9)
    value, gradient = likelihood.value_and_grad(x)
    assert value == pytest.approx(datasets.stat_sum(), rel=1e-9)
    expected = differences(likelihood.value, x)
    assert_allclose(gradient, expected, rtol=1e-4)
    hessian = likelihood.hessian(x)
    expected = differences(lambda y: likelihood.value_and_grad(y)[1], x)
    scale = np.sqrt(np.abs(np.outer(np.diag(expected), np.diag(expected))))
    assert np.all(np.abs(hessian - expected) < 2e-3 * scale + 1e-6 * np.abs(hessian))


def test_parameter_that_spectrum_and_decay_share(small):
    """The product rule: a linked parameter has one column."""
    datasets = make(
        small, [decay()], {0: LogParabolaSpectralModel(amplitude="2e-11 cm-2 s-1 TeV-1")}
    )
    (model,) = datasets.models
    model.temporal_model.alpha = model.spectral_model.alpha
    likelihood = compile_likelihood(datasets)
    x = np.array([p.factor for p in likelihood.parameters])
    assert len(x) == 3
    assert likelihood.value(x) == pytest.approx(datasets.stat_sum(), rel=1e-9)
    gradient = likelihood.value_and_grad(x)[1]
    assert_allclose(gradient, differences(likelihood.value, x), rtol=1e-4)
    expected = differences(lambda y: likelihood.value_and_grad(y)[1], x)
    assert_allclose(likelihood.hessian(x), expected, rtol=1e-3)


def test_parameters_that_a_decay_shares(small):
    model = free_time_scales()
    model.t_ref.frozen = True
    model.alpha2 = model.alpha1
    datasets = make(small, [model])
    likelihood = compile_likelihood(datasets)
    x = np.array([p.factor for p in likelihood.parameters])
    assert likelihood.value(x) == pytest.approx(datasets.stat_sum(), rel=1e-9)
    gradient = likelihood.value_and_grad(x)[1]
    assert_allclose(gradient, differences(likelihood.value, x), rtol=1e-4)


def test_curvature_at_a_limit(small):
    """Differences stay within the limits: before zero there is no onset."""
    model = tr.OnsetPowerLawTemporalModel(T0, 0.7, 200 * u.s)
    model.t_on.frozen = False
    likelihood = compile_likelihood(make(small, [model]))
    x = np.array([p.factor for p in likelihood.parameters])
    assert np.count_nonzero(x == 0) == 1
    hessian = likelihood.hessian(x)
    expected = differences(lambda y: likelihood.value_and_grad(y)[1], x + 1e-2 * (x == 0))
    for i in np.flatnonzero(x):
        assert hessian[i, i] == pytest.approx(expected[i, i], rel=1e-2)


def test_spectrum_without_a_kernel_is_left_to_gammapy(small):
    total = PowerLawSpectralModel() + PowerLawSpectralModel(index=3)
    datasets = make(small, [decay()], {0: total})
    likelihood = compile_likelihood(datasets)
    assert all("sum or difference" in reason for reason in likelihood.report.spectra)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-9)


def test_models_of_the_user_are_not_changed(small):
    datasets = make(small, [decay()])
    likelihood = compile_likelihood(datasets)
    before = datasets.parameters.value.copy()
    likelihood.value(np.array([p.factor for p in likelihood.parameters]) * 1.1)
    np.testing.assert_array_equal(datasets.parameters.value, before)
