"""Priors and penalties: against Gammapy, differences, and densities by hand."""

import math

import numpy as np
import pytest
from gammapy.datasets import Datasets, FluxPointsDataset
from gammapy.modeling import PriorParameter
from gammapy.modeling.models import (
    DatasetModels,
    GaussianPrior,
    GeneralizedGaussianPrior,
    LogUniformPrior,
    PowerLawSpectralModel,
    Prior,
    SkyModel,
    UniformPrior,
)
from gammapy.stats import GaussianPriorPenalty
from gammapy.stats.fit_statistics import FitStatisticPenalty

from ctao_sat.likelihood._priors import build_priors, prior_signature


class CauchyPrior(Prior):
    """A prior of no known kind."""

    tag = "CauchyPrior"
    _type = "prior"
    mu = PriorParameter(name="mu", value=0)
    gamma = PriorParameter(name="gamma", value=1)

    @staticmethod
    def evaluate(value, mu, gamma):
        return 2 * np.log(np.pi * gamma * (1 + ((value - mu) / gamma) ** 2))


class HalfOpenPrior(GaussianPrior):
    """A known kind, changed: nothing below 0."""

    tag = "HalfOpenPrior"

    @staticmethod
    def evaluate(value, mu, sigma):
        return math.inf if value < 0 else (value / sigma) ** 4

    mu = PriorParameter(name="mu", value=0)
    sigma = PriorParameter(name="sigma", value=1)


class Wiggle(FitStatisticPenalty):
    """A penalty that couples two parameters."""

    def stat_sum(self):
        a, b = (parameter.value for parameter in self.parameters)
        return self.lambda_ * math.exp(a) * math.sin(b)


def models(**priors):
    """Return a source with priors on its parameters."""
    spectrum = PowerLawSpectralModel(index=2.3, amplitude="4e-12 cm-2 s-1 TeV-1")
    for name, prior in priors.items():
        spectrum.parameters[name].prior = prior
    return DatasetModels([SkyModel(spectrum, name="source")])


def build(held):
    unique = held.parameters.unique_parameters
    priors = build_priors(held, unique, [not parameter.frozen for parameter in unique])
    return priors, unique.value.copy()


def gammapy_sum(held, p):
    """Return what Gammapy adds to a statistic at values p."""
    unique = held.parameters.unique_parameters
    with unique.restore_status():
        unique.value = p
        datasets = Datasets([])
        datasets.models = held
        penalties = datasets._penalties or []
        return held.parameters.prior_stat_sum() + sum(term.stat_sum() for term in penalties)


def differences(priors, p, i, step):
    """Return derivatives of value and gradient by parameter i, of sixth order."""
    weights = {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
    first, second = 0.0, 0.0
    for k, weight in weights.items():
        e = step * k * np.eye(len(p))[i]
        first += weight * (priors.value(p + e) - priors.value(p - e))
        second = second + weight * (
            priors.value_grad_hess(p + e)[1] - priors.value_grad_hess(p - e)[1]
        )
    return first / step, second / step


def check_derivatives(priors, p, held, *, rel=1e-7):
    value, gradient, hessian = priors.value_grad_hess(p)
    assert value == priors.value(p)
    np.testing.assert_array_equal(hessian, hessian.T)
    for i, parameter in enumerate(held.parameters.unique_parameters):
        if parameter.frozen:
            assert gradient[i] == 0
            assert not hessian[i].any()
            continue
        step = 3e-3 * abs(p[i])
        first, second = differences(priors, p, i, step)
        assert gradient[i] == pytest.approx(first, rel=rel, abs=1e-12 / step)
        free = np.array([not parameter.frozen for parameter in held.parameters.unique_parameters])
        # A second derivative can vanish: it is then small compared with the first.
        atol = 1e-9 * abs(second).max() + 1e-7 * abs(first / p[i])
        np.testing.assert_allclose(hessian[i, free], second[free], rtol=rel, atol=atol)


KNOWN = {
    "gaussian": GaussianPrior(mu="2.1", sigma=0.4),
    "weighted": GaussianPrior(mu=2.1, sigma=0.4, weight=3.5),
    "uniform": UniformPrior(min=1, max=4),
    "uniform-weighted": UniformPrior(min=1, max=4, weight=2),
    "loguniform": LogUniformPrior(min=0.5, max=50, weight=1.5),
    "laplace": GeneralizedGaussianPrior(mu=2, sigma=0.3, eta=1),
    "normal": GeneralizedGaussianPrior(mu=2, sigma=0.3, eta=0.5, weight=2),
    "flat": GeneralizedGaussianPrior(mu=2, sigma=0.3, eta=0.125),
    "pointed": GeneralizedGaussianPrior(mu=2, sigma=0.3, eta=1.6),
}
UNKNOWN = {
    "cauchy": CauchyPrior(mu=2, gamma=0.3, weight=2),
    "quartic": HalfOpenPrior(mu=0, sigma=2),
}


@pytest.mark.parametrize("index", [-1.0, 0.5, 1.0, 2.3, 3.99, 4.0, 4.01, 50.0])
@pytest.mark.parametrize("prior", [*KNOWN.values(), *UNKNOWN.values()], ids=[*KNOWN, *UNKNOWN])
def test_value_is_that_of_gammapy(prior, index):
    held = models(index=prior)
    priors, p = build(held)
    p[0] = index
    assert priors.value(p) == pytest.approx(gammapy_sum(held, p), rel=1e-13)
    assert held.parameters["index"].value == 2.3


@pytest.mark.parametrize("index", [1.7, 2.3, 3.1])
@pytest.mark.parametrize("prior", [*KNOWN.values(), *UNKNOWN.values()], ids=[*KNOWN, *UNKNOWN])
def test_derivatives(prior, index):
    held = models(index=prior)
    priors, p = build(held)
    p[0] = index
    check_derivatives(priors, p, held)


def test_densities_by_hand():
    # -2 ln of: the normal density one sigma off, 1/sqrt(2 pi e); 1/3; and 1/(4 ln 100).
    cases = [
        (GaussianPrior(mu=1.3, sigma=1), 2.3, 1 + 1.8378770664093453, 2.0, 2.0),
        (UniformPrior(min=1, max=4), 2.3, 2 * 1.0986122886681098, 0.0, 0.0),
        (LogUniformPrior(min=0.5, max=50), 4.0, 5.826948, 0.5, -0.125),
    ]
    for prior, index, value, first, second in cases:
        priors, p = build(models(index=prior))
        p[0] = index
        ours = priors.value_grad_hess(p)
        assert ours[0] == pytest.approx(value, abs=1e-6)
        assert ours[1][0] == pytest.approx(first, rel=1e-14)
        assert ours[2][0, 0] == pytest.approx(second, rel=1e-14)


class StrictPrior(GaussianPrior):
    """A prior that must not be called for values below 2.3."""

    tag = "StrictPrior"

    @staticmethod
    def evaluate(value, mu, sigma):
        if value < 2.3:
            raise ValueError(value)
        return ((value - mu) / sigma) ** 2

    mu = PriorParameter(name="mu", value=0)
    sigma = PriorParameter(name="sigma", value=1)


def test_limits_are_respected():
    held = models(index=StrictPrior(mu=2, sigma=0.5))
    held.parameters["index"].min = 2.3
    priors, p = build(held)
    _, gradient, hessian = priors.value_grad_hess(p)
    assert gradient[0] == pytest.approx(2.4, rel=1e-7)
    assert hessian[0, 0] == pytest.approx(8, rel=1e-5)


def test_several_priors_and_small_numbers():
    held = models(
        index=GaussianPrior(mu=2, sigma=0.2), amplitude=LogUniformPrior(min=1e-14, max=1e-10)
    )
    priors, p = build(held)
    assert priors.value(p) == pytest.approx(gammapy_sum(held, p), rel=1e-13)
    _, gradient, hessian = priors.value_grad_hess(p)
    assert gradient[1] == pytest.approx(2 / 4e-12, rel=1e-12)
    assert hessian[1, 1] == pytest.approx(-2 / 4e-12**2, rel=1e-12)
    assert hessian[0, 1] == 0


def test_excluded_values_are_infinite_and_flat():
    for prior in (UniformPrior(min=3, max=4), LogUniformPrior(min=3, max=4), UNKNOWN["quartic"]):
        priors, p = build(models(index=prior))
        p[0] = -2.0
        value, gradient, hessian = priors.value_grad_hess(p)
        assert value == math.inf
        assert not gradient.any()
        assert not hessian.any()


@pytest.mark.parametrize("eta", [0.3, 0.5, 0.8, 1, 2])
def test_derivatives_at_the_peak_are_finite(eta):
    priors, p = build(models(index=GeneralizedGaussianPrior(mu=2, sigma=0.3, eta=eta)))
    p[0] = 2.0
    _, gradient, hessian = priors.value_grad_hess(p)
    assert gradient[0] == 0
    assert hessian[0, 0] == pytest.approx(2 / 0.3**2 if eta == 0.5 else 0, rel=1e-12)


@pytest.mark.parametrize(
    "prior",
    [
        GaussianPrior(mu=2, sigma=-1),
        UniformPrior(min=4, max=1),
        LogUniformPrior(min=-1, max=1),
        GeneralizedGaussianPrior(mu=2, sigma=0.3, eta=-1),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_priors_that_are_no_density_are_left_to_gammapy(prior):
    held = models(index=prior)
    priors, p = build(held)
    with np.errstate(all="ignore"):
        np.testing.assert_equal(priors.value(p), gammapy_sum(held, p))


def test_a_shared_parameter_counts_for_each_model():
    held = models(index=GaussianPrior(mu=2, sigma=0.2))
    other = SkyModel(PowerLawSpectralModel(), name="other")
    other.spectral_model.index = held[0].spectral_model.index
    both = DatasetModels([held[0], other])
    alone, twice = build(held)[0], build(both)[0]
    p = both.parameters.unique_parameters.value
    assert twice.value(p) == pytest.approx(2 * alone.value(p[:3]), rel=1e-14)
    assert twice.value(p) == pytest.approx(gammapy_sum(both, p), rel=1e-14)
    assert twice.value_grad_hess(p)[1][0] == 2 * alone.value_grad_hess(p[:3])[1][0]
    check_derivatives(twice, p, both)


def test_a_frozen_parameter_counts_without_derivatives():
    held = models(index=GaussianPrior(mu=2, sigma=0.2), amplitude=LogUniformPrior())
    held.parameters["index"].frozen = True
    priors, p = build(held)
    assert priors.value(p) == pytest.approx(gammapy_sum(held, p), rel=1e-14)
    check_derivatives(priors, p, held)


def with_penalties(*penalties, held=None):
    held = models() if held is None else held
    return DatasetModels(list(held), penalties=list(penalties))


def penalty_cases():
    held = models(index=GaussianPrior(mu=2, sigma=0.2))
    reference = held.parameters["reference"]
    reference.value = 1.4
    index, amplitude = held.parameters["index"], held.parameters["amplitude"]
    covariance = np.array([[0.3, 1e-13], [1e-13, 9e-25]])
    foreign = PowerLawSpectralModel(index=3.5).index
    return held, {
        "gaussian": GaussianPriorPenalty([index, amplitude], [2, 3e-12], covariance, lambda_=0.7),
        "L2": GaussianPriorPenalty.L2_penalty([index, reference], lambda_=2),
        "smooth": GaussianPriorPenalty.SmoothnessPenalty([index, reference, index]),
        "skew": GaussianPriorPenalty([index, reference], [1, 1], [[1.0, 0.4], [0.1, 2.0]]),
        "foreign": GaussianPriorPenalty.SmoothnessPenalty([foreign, index, reference]),
        "unknown": Wiggle([index, reference], 1.3),
    }


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", penalty_cases()[1])
def test_penalties(name, frozen):
    held, cases = penalty_cases()
    held.parameters["reference"].frozen = frozen
    both = with_penalties(cases[name], held=held)
    priors, p = build(both)
    p = p * [1.1, 1.2, 1.3]
    assert priors.value(p) == pytest.approx(gammapy_sum(both, p), rel=1e-12)
    check_derivatives(priors, p, both, rel=1e-6)
    np.testing.assert_array_equal(both.parameters.value, [2.3, 4e-12, 1.4])


def test_second_derivatives_can_be_left_out():
    held, cases = penalty_cases()
    held.parameters["reference"].frozen = False
    priors, p = build(with_penalties(cases["unknown"], cases["gaussian"], held=held))
    full, quick = priors.value_grad_hess(p), priors.value_grad_hess(p, second=False)
    assert quick[0] == full[0]
    np.testing.assert_array_equal(quick[1], full[1])


def test_penalties_by_hand():
    held = models()
    penalty = GaussianPriorPenalty.from_diagonal([held.parameters["index"]], 0.5, 2.0, lambda_=3)
    priors, p = build(with_penalties(penalty, held=held))
    # 3 ((2.3 - 2) / 0.5)^2
    value, gradient, hessian = priors.value_grad_hess(p)
    assert value == pytest.approx(1.08, rel=1e-13)
    assert gradient[0] == pytest.approx(7.2, rel=1e-13)
    assert hessian[0, 0] == pytest.approx(24, rel=1e-13)


@pytest.mark.realdata
def test_datasets_add_the_same(gammapy_data):
    """The statistic of datasets is that of each dataset and the priors and penalties once."""
    name = gammapy_data / "tests/spectrum/flux_points/diff_flux_points.fits"
    held = models(index=GaussianPrior(mu=2, sigma=0.2))
    penalty = GaussianPriorPenalty.L2_penalty([held.parameters["index"]])
    datasets = Datasets([FluxPointsDataset.read(name, name=f"d{i}") for i in range(2)])
    datasets.models = with_penalties(penalty, held=held)
    priors, p = build(datasets.models)
    alone = sum(dataset.stat_sum() for dataset in datasets)
    assert datasets.stat_sum() == pytest.approx(alone + priors.value(p), rel=1e-13)


def test_without_priors():
    held = models()
    priors, p = build(held)
    assert priors.is_empty
    assert priors.value(p) == 0
    value, gradient, hessian = priors.value_grad_hess(p)
    assert (value, gradient.shape, hessian.shape) == (0, (3,), (3, 3))
    assert not gradient.any()
    assert not hessian.any()
    assert priors.signature() == ()
    assert not build(models(index=UniformPrior()))[0].is_empty


def test_signature_changes_with_priors():
    held = models(index=GaussianPrior(mu=2, sigma=0.2))
    priors, _ = build(held)
    index = held.parameters["index"]
    seen = [priors.signature()]
    assert priors.signature() == seen[0]
    index.prior.sigma.value = 0.3
    seen.append(priors.signature())
    index.prior.weight = 2
    seen.append(priors.signature())
    index.prior = GeneralizedGaussianPrior(mu=2, sigma=0.3)
    seen.append(priors.signature())
    index.prior = None
    seen.append(priors.signature())
    held.parameters["amplitude"].prior = GaussianPrior(mu=2, sigma=0.3, weight=2)
    seen.append(priors.signature())
    assert len(set(seen)) == len(seen)


def test_signature_changes_with_penalties():
    held, cases = penalty_cases()
    foreign = cases["foreign"]
    seen = [prior_signature(with_penalties(held=held))]
    seen += [prior_signature(with_penalties(case, held=held)) for case in cases.values()]
    foreign.parameters[0].value = 7
    seen.append(prior_signature(with_penalties(foreign, held=held)))
    foreign.lambda_ = 9
    seen.append(prior_signature(with_penalties(foreign, held=held)))
    foreign.mean = [1, 2, 3]
    seen.append(prior_signature(with_penalties(foreign, held=held)))
    foreign.covariance = np.eye(3)
    seen.append(prior_signature(with_penalties(foreign, held=held)))
    assert len(set(seen)) == len(seen)
    # The values of free parameters are no part of it.
    before = prior_signature(with_penalties(foreign, held=held))
    held.parameters["index"].value = 3
    assert prior_signature(with_penalties(foreign, held=held)) == before
