"""The compiled likelihood as users call it: Gammapy's numbers, derivatives, batches, errors."""

import functools

import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.maps import Map
from gammapy.modeling.models import (
    GaussianPrior,
    LogParabolaSpectralModel,
    Models,
    PowerLawSpectralModel,
    SkyModel,
)

from ctao_sat._gammapy import fresh_copy
from ctao_sat.errors import ConfigError, NotCompilable
from ctao_sat.kernels.checksum import checksum
from ctao_sat.likelihood import CompiledLikelihood, compile_likelihood
from ctao_sat.likelihood._compiled import source_terms, with_energies
from ctao_sat.likelihood._source_counts import SourceTerms

KINDS = ["spectrum", "on-off", "cube", "map on-off", "flux points", "joint"]
VALUE = 1e-9


@pytest.fixture(scope="module")
def made(small):
    """Return a function from a kind to datasets and their likelihood; both are shared."""

    @functools.cache
    def make(kind):
        datasets = small.datasets(kind)
        datasets.parameters.autoscale()
        return datasets, compile_likelihood(datasets)

    return make


def factors(likelihood) -> np.ndarray:
    return np.array([parameter.factor for parameter in likelihood.parameters])


def samples(likelihood, n: int) -> np.ndarray:
    """Return random factors around the present ones, norms down to zero and below among them."""
    rng = np.random.default_rng(20261130)
    here = factors(likelihood)
    return here + rng.normal(0, 0.2, (n, len(here))) * np.maximum(np.abs(here), 0.2)


def gammapy_at(datasets, likelihood, x) -> float:
    """Return Gammapy's statistic at factors; the parameters are as before afterwards."""
    before = factors(likelihood)
    try:
        for parameter, factor in zip(likelihood.parameters, x, strict=True):
            parameter.factor = factor
        with np.errstate(all="ignore"):
            return datasets.stat_sum()
    finally:
        for parameter, factor in zip(likelihood.parameters, before, strict=True):
            parameter.factor = factor


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_gammapys(made, kind):
    datasets, likelihood = made(kind)
    assert likelihood.report.is_complete
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=VALUE)
    for x in samples(likelihood, 5):
        expected = gammapy_at(datasets, likelihood, x)
        assert likelihood.value(x) == pytest.approx(expected, rel=VALUE)
        assert likelihood.value_and_grad(x)[0] == pytest.approx(expected, rel=VALUE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_values(made, kind):
    _, likelihood = made(kind)
    many = samples(likelihood, 40)
    kept = many.copy()
    expected = [likelihood.value(x) for x in many]
    np.testing.assert_allclose(likelihood.batch(many), expected, rtol=1e-12)
    np.testing.assert_array_equal(many, kept)
    np.testing.assert_array_equal(likelihood.batch(many), likelihood.batch(many.tolist()))


def test_a_batch_far_away(made):
    """Negative amplitudes, backgrounds near zero, indices at which spectra overflow."""
    datasets, likelihood = made("cube")
    here = factors(likelihood)
    many = np.array([here] * 5)
    for row, (name, value) in enumerate(
        [("amplitude", -2.0), ("norm", 0.0), ("norm", -1.0), ("index", 900.0), ("tilt", 30.0)]
    ):
        column = [parameter.name for parameter in likelihood.parameters].index(name)
        many[row, column] = value
    expected = [gammapy_at(datasets, likelihood, x) for x in many]
    np.testing.assert_allclose(likelihood.batch(many), expected, rtol=VALUE)


def test_parameters_are_in_gammapys_order(made):
    datasets, likelihood = made("joint")
    expected = datasets.parameters.free_parameters
    assert [id(p) for p in likelihood.parameters] == [id(p) for p in expected]
    likelihood.parameters.clear()
    assert len(likelihood.parameters) == 4


def test_nothing_is_changed(made):
    datasets, likelihood = made("joint")
    x = samples(likelihood, 1)[0]
    kept = x.copy()
    state = [(p.value, p.factor, p.scale, p.error) for p in datasets.parameters]
    sums = [checksum(dataset.counts.data) for dataset in datasets[:3]]
    likelihood.value(x)
    likelihood.value_and_grad(x)
    likelihood.hessian(x)
    likelihood.hessian(x, kind="fisher")
    likelihood.batch([x, x])
    likelihood.stat_sum()
    np.testing.assert_array_equal(x, kept)
    assert [(p.value, p.factor, p.scale, p.error) for p in datasets.parameters] == state
    assert [checksum(dataset.counts.data) for dataset in datasets[:3]] == sums


def test_results_are_arrays_of_their_own(made):
    _, likelihood = made("cube")
    x = factors(likelihood)
    first = likelihood.value_and_grad(x)[1], likelihood.hessian(x), likelihood.batch([x])
    kept = [array.copy() for array in first]
    other = samples(likelihood, 1)[0]
    likelihood.value_and_grad(other)
    likelihood.hessian(other)
    likelihood.batch([other])
    for array, expected in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_frozen_parameters_are_read_at_each_call(small):
    datasets = small.datasets("spectrum")
    amplitude, reference = (datasets.parameters[name] for name in ("amplitude", "reference"))
    amplitude.frozen = True
    likelihood = compile_likelihood(datasets)
    x = factors(likelihood)
    before = likelihood.value(x)
    for parameter in (amplitude, reference):
        parameter.value *= 1.3
        assert abs(likelihood.value(x) - before) > 1
        assert likelihood.value(x) == pytest.approx(datasets.stat_sum(), rel=VALUE)
        assert likelihood.batch([x])[0] == pytest.approx(datasets.stat_sum(), rel=VALUE)
        before = likelihood.value(x)


@pytest.mark.parametrize("transform", ["log", "sqrt"])
def test_transformed_parameters(small, transform):
    datasets = small.datasets("cube")
    amplitude = datasets.parameters["amplitude"]
    amplitude.scale_transform = transform
    datasets.parameters.autoscale()
    likelihood = compile_likelihood(datasets)
    x = factors(likelihood) * 1.01
    assert likelihood.value(x) == pytest.approx(gammapy_at(datasets, likelihood, x), rel=VALUE)
    check_derivatives(likelihood, x)


def test_priors_are_in_the_statistic(small):
    datasets = small.datasets("spectrum")
    without = compile_likelihood(datasets).stat_sum()
    datasets.parameters["index"].prior = GaussianPrior(mu=2.0, sigma=0.1)
    likelihood = compile_likelihood(datasets)
    # Two standard deviations off, and the normalisation that Gammapy gives a prior.
    expected = without + 4 + np.log(2 * np.pi * 0.01)
    assert likelihood.stat_sum() == pytest.approx(expected, rel=VALUE)
    assert likelihood.batch([factors(likelihood)])[0] == pytest.approx(expected, rel=VALUE)
    check_derivatives(likelihood, factors(likelihood))


def test_a_source_that_does_not_contribute(small):
    datasets = small.datasets("cube")
    far = small.point("far", offset=20.0)
    datasets.models = Models([*datasets.models, far])
    likelihood = compile_likelihood(datasets)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=VALUE)
    assert len(likelihood.parameters) == 8
    _, gradient = likelihood.value_and_grad(factors(likelihood))
    np.testing.assert_array_equal(gradient[-2:], 0)


def test_a_list_and_a_single_dataset(small):
    datasets = small.datasets("spectrum")
    expected = compile_likelihood(datasets).stat_sum()
    assert compile_likelihood(list(datasets)).stat_sum() == expected
    assert compile_likelihood(datasets[0]).stat_sum() == expected


def test_one_bin(small):
    dataset = small.spectrum().slice_by_energy("1 TeV", "2.2 TeV", name="one")
    assert dataset.counts.data.size == 1
    dataset.counts.data[...] = 7
    dataset.models = [small.power_law()]
    likelihood = compile_likelihood([dataset])
    expected = Datasets([dataset]).stat_sum()
    assert likelihood.stat_sum() == pytest.approx(expected, rel=VALUE)
    (mu,) = dataset.npred().data.ravel()
    assert expected == pytest.approx(2 * (mu - 7 * np.log(mu)), rel=1e-9)


def test_no_bin(small):
    datasets = small.datasets("spectrum")
    datasets[0].mask_safe = Map.from_geom(datasets[0].counts.geom, dtype=bool)
    likelihood = compile_likelihood(datasets)
    assert likelihood.stat_sum() == datasets.stat_sum() == 0
    np.testing.assert_array_equal(likelihood.value_and_grad(factors(likelihood))[1], 0)
    np.testing.assert_array_equal(likelihood.hessian(factors(likelihood)), 0)


# -- derivatives ----------------------------------------------------------------------------------


def check_derivatives(likelihood, x):
    """Compare gradient and second derivatives with central differences."""
    value, gradient = likelihood.value_and_grad(x)
    assert value == pytest.approx(likelihood.value(x), rel=1e-12)
    hessian = likelihood.hessian(x)
    np.testing.assert_array_equal(hessian, hessian.T)
    unit = 1 / np.sqrt(np.abs(np.diag(hessian)))
    for i in range(len(x)):
        step = np.eye(len(x))[i] * 1e-2 * unit[i]
        lines = [(likelihood.value(x + k * step), likelihood.value_and_grad(x + k * step)[1])
                 for k in (-2, -1, 1, 2)]  # fmt: skip
        weights = np.array([1, -8, 8, -1]) / (12 * step[i])
        slope = weights @ [line[0] for line in lines]
        row = weights @ np.array([line[1] for line in lines])
        assert gradient[i] * unit[i] == pytest.approx(slope * unit[i], rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(
            hessian[i] * unit[i] * unit, row * unit[i] * unit, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_are_those_of_differences(made, kind):
    _, likelihood = made(kind)
    check_derivatives(likelihood, factors(likelihood) * 1.05)


def asimov(small, kind):
    """Return datasets whose counts are exactly those that are expected."""
    datasets = small.datasets(kind)
    for dataset in datasets:
        background = dataset.npred_background()
        if hasattr(dataset, "counts_off"):
            dataset.counts_off = background / dataset.alpha
            background = dataset.alpha * dataset.counts_off
        dataset.counts.data = (dataset.npred_signal() + background).data
    datasets.parameters.autoscale()
    return datasets


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube", "map on-off"])
def test_fisher_information_is_the_curvature_for_expected_data(small, kind):
    datasets = asimov(small, kind)
    likelihood = compile_likelihood(datasets)
    x = factors(likelihood)
    assert np.max(np.abs(likelihood.value_and_grad(x)[1])) < 1e-6
    observed, fisher = likelihood.hessian(x), likelihood.hessian(x, kind="fisher")
    np.testing.assert_allclose(fisher, observed, rtol=1e-6, atol=1e-8 * np.abs(observed).max())
    assert np.all(np.linalg.eigvalsh(fisher) > 0)


def test_fisher_information_does_not_depend_on_the_counts(small):
    one, other = (compile_likelihood(small.datasets("cube", seed=seed)) for seed in (1, 2))
    x = factors(one)
    np.testing.assert_array_equal(one.hessian(x, kind="fisher"), other.hessian(x, kind="fisher"))
    assert np.any(one.hessian(x) != other.hessian(x))


def test_fisher_information_of_an_amplitude_worked_out_by_hand(small):
    """For the amplitude alone, it is 2 sum s^2 / (s + b)."""
    datasets = small.datasets("spectrum")
    datasets.parameters["index"].frozen = True
    likelihood = compile_likelihood(datasets)
    amplitude = datasets.parameters["amplitude"]
    signal, total = datasets[0].npred_signal().data, datasets[0].npred().data
    expected = 2 * np.sum(signal**2 / total) / amplitude.factor**2
    x = factors(likelihood)
    assert likelihood.hessian(x, kind="fisher")[0, 0] == pytest.approx(expected, rel=1e-9)


def test_the_information_of_a_prior_is_added(small):
    datasets = small.datasets("spectrum")
    x = factors(compile_likelihood(datasets))
    plain = compile_likelihood(datasets)
    before = {kind: plain.hessian(x, kind=kind) for kind in ("observed", "fisher")}
    datasets.parameters["index"].prior = GaussianPrior(mu=2.0, sigma=0.1)
    with_prior = compile_likelihood(datasets)
    for kind, hessian in before.items():
        difference = with_prior.hessian(x, kind=kind) - hessian
        scale = datasets.parameters["index"].scale
        assert difference[0, 0] == pytest.approx(200 * scale**2, rel=1e-6)
        assert np.abs(difference[1]).max() < 1e-6 * hessian[1, 1]


# -- parts that Gammapy evaluates -----------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(small):
    """Return datasets, of which one source and one dataset are left to Gammapy."""
    datasets = small.datasets("cube")
    other = small.spectrum("other")
    other.counts.data[...] = 20
    other.models = [small.power_law("alone")]
    other.__class__ = type("Unknown", (type(other),), {})
    both = Datasets([*datasets, other])
    models = [*datasets.models, *other.models]
    models[-1].datasets_names = ["other"]
    for model in models[:-1]:
        if isinstance(model, SkyModel):
            model.datasets_names = ["cube"]
    models[0].spatial_model = small.own_point(models[0])
    models[0].spatial_model.lat_0.frozen = False
    both.models = Models(models)
    both.parameters.autoscale()
    return both, compile_likelihood(both)


def test_mixed_likelihoods_are_gammapys(mixed):
    datasets, likelihood = mixed
    assert {(f.dataset, f.model) for f in likelihood.report.fallbacks} == {
        ("cube", "source"), ("other", ""),
    }  # fmt: skip
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=VALUE)
    for shift in (0.97, 1.05):
        x = factors(likelihood) * [shift if p.name != "lat_0" else 1 for p in likelihood.parameters]
        expected = gammapy_at(datasets, likelihood, x)
        assert likelihood.value(x) == pytest.approx(expected, rel=VALUE)
        np.testing.assert_allclose(likelihood.batch([x]), [expected], rtol=VALUE)


def test_gradients_of_mixed_likelihoods(mixed):
    _, likelihood = mixed
    x = factors(likelihood)
    _, gradient = likelihood.value_and_grad(x)
    for i, parameter in enumerate(likelihood.parameters):
        if parameter.name == "lat_0":
            continue
        step = 1e-3 * max(abs(x[i]), 0.1) * np.eye(len(x))[i]
        slope = (likelihood.value(x + step) - likelihood.value(x - step)) / (2 * step[i])
        assert gradient[i] == pytest.approx(slope, rel=1e-3, abs=1e-2)


def test_no_fisher_information_of_mixed_likelihoods(mixed):
    _, likelihood = mixed
    with pytest.raises(NotCompilable, match=r"No Fisher information: .*free shape") as info:
        likelihood.hessian(factors(likelihood), kind="fisher")
    assert "observed" in info.value.remedy


def test_all_left_to_gammapy(small):
    datasets = small.datasets("spectrum")
    datasets[0].__class__ = type("Unknown", (type(datasets[0]),), {})
    likelihood = compile_likelihood(datasets)
    assert likelihood.report.compiled == []
    x = factors(likelihood)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=VALUE)
    assert likelihood.value(x) == likelihood.value_and_grad(x)[0]
    np.testing.assert_allclose(likelihood.batch([x, x]), [likelihood.value(x)] * 2)


# -- compile again --------------------------------------------------------------------------------


def test_data_are_a_snapshot_until_looked_at(small):
    datasets = small.datasets("spectrum")
    likelihood = compile_likelihood(datasets)
    x = factors(likelihood)
    before = likelihood.value(x)
    assert not likelihood.refresh()
    datasets[0].counts.data[0] += 5
    assert likelihood.value(x) == before
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=VALUE)
    assert likelihood.value(x) == pytest.approx(datasets.stat_sum(), rel=VALUE)
    assert not likelihood.refresh()


def test_a_moved_shape_is_followed_at_once(small):
    datasets = small.datasets("cube")
    likelihood = compile_likelihood(datasets)
    x = factors(likelihood)
    before = likelihood.value(x)
    datasets.models["source"].spatial_model.lat_0.value += 0.1
    datasets.models = Models(list(datasets.models))
    expected = datasets.stat_sum()
    assert abs(expected - before) > 1
    assert likelihood.value(x) == pytest.approx(expected, rel=VALUE)
    assert likelihood.batch([x])[0] == pytest.approx(expected, rel=VALUE)


def test_what_is_free_is_followed_at_once(small):
    datasets = small.datasets("spectrum")
    likelihood = compile_likelihood(datasets)
    datasets.parameters["index"].frozen = True
    x = datasets.parameters["amplitude"].factor
    assert likelihood.value([x]) == pytest.approx(datasets.stat_sum(), rel=VALUE)
    assert len(likelihood.parameters) == 1
    assert likelihood.hessian([x]).shape == (1, 1)


def test_without_watching_it_stays_as_it_is(small):
    datasets = small.datasets("spectrum")
    likelihood = CompiledLikelihood(datasets, watch=False)
    before = likelihood.stat_sum()
    datasets[0].counts.data[0] += 5
    assert not likelihood.refresh()
    assert likelihood.stat_sum() == before


# -- arguments ------------------------------------------------------------------------------------


def test_no_models(small):
    with pytest.raises(ConfigError, match="no models") as info:
        compile_likelihood([small.spectrum()])
    assert "datasets.models" in info.value.remedy


@pytest.mark.parametrize("x", [[1.0], [1.0] * 3, [[1.0, 1.0]], 1.0])
@pytest.mark.parametrize("method", ["value", "value_and_grad", "hessian"])
def test_wrong_numbers_of_factors(made, method, x):
    _, likelihood = made("spectrum")
    with pytest.raises(ValueError, match="Expected 2 factors"):
        getattr(likelihood, method)(x)


@pytest.mark.parametrize("x", [[1.0, 1.0], np.ones((1, 2, 1)), np.ones((3, 1))])
def test_wrong_shapes_of_samples(made, x):
    _, likelihood = made("spectrum")
    with pytest.raises(ValueError, match=r"two dimensions|Expected 2 factors"):
        likelihood.batch(x)


def test_no_samples(made):
    _, likelihood = made("spectrum")
    assert likelihood.batch(np.empty((0, 2))).shape == (0,)


def test_factors_may_be_lists(made):
    _, likelihood = made("spectrum")
    x = factors(likelihood)
    assert likelihood.value(list(x)) == likelihood.value(x)
    assert likelihood.value_and_grad(list(x))[0] == likelihood.value_and_grad(x)[0]
    np.testing.assert_array_equal(likelihood.hessian(list(x)), likelihood.hessian(x))


@pytest.mark.parametrize("kind", ["expected", None, ""])
def test_unknown_kind_of_second_derivatives(made, kind):
    _, likelihood = made("spectrum")
    with pytest.raises(ConfigError, match="Unknown kind of second derivatives") as info:
        likelihood.hessian(factors(likelihood), kind=kind)
    assert "fisher" in info.value.remedy


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["spectrum", "cube", "joint"])
def test_factors_that_are_no_numbers_do_not_raise(made, kind, bad):
    datasets, likelihood = made(kind)
    for i in range(len(likelihood.parameters)):
        x = factors(likelihood)
        x[i] = bad
        # Gammapy would keep what is no number, and scale it.
        expected = gammapy_at(fresh_copy(datasets), likelihood, x)
        for ours in (likelihood.value(x), likelihood.batch([x])[0]):
            assert ours == pytest.approx(expected, rel=VALUE, nan_ok=True)


def test_models_shared_by_datasets_count_once(small):
    made = [small.spectrum("one"), small.spectrum("two")]
    model = SkyModel(LogParabolaSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1"), name="source")
    datasets = Datasets(made)
    datasets.models = [model]
    for dataset in datasets:
        dataset.counts.data[...] = 30
    likelihood = compile_likelihood(datasets)
    assert len(likelihood.parameters) == 3
    single = compile_likelihood(made[:1])
    x = factors(single)
    assert likelihood.value(x) == pytest.approx(2 * single.value(x), rel=1e-12)
    np.testing.assert_allclose(likelihood.hessian(x), 2 * single.hessian(x), rtol=1e-10)


def test_linked_parameters_add_their_slopes(small):
    """Two sources with all parameters in common are one of twice the amplitude."""
    datasets = small.datasets("spectrum")
    spectral = datasets.models[0].spectral_model
    twin = SkyModel(PowerLawSpectralModel(), name="twin")
    for name in ("index", "amplitude", "reference"):
        setattr(twin.spectral_model, name, getattr(spectral, name))
    linked = small.datasets("spectrum")
    linked.models = Models([datasets.models[0], twin])
    likelihood, single = compile_likelihood(linked), compile_likelihood(datasets)
    x = factors(likelihood)
    assert len(x) == 2
    doubled = x * [1, 2]
    assert likelihood.value(x) == pytest.approx(single.value(doubled), rel=1e-12)
    slopes = single.value_and_grad(doubled)[1] * [1, 2]
    np.testing.assert_allclose(likelihood.value_and_grad(x)[1], slopes, rtol=1e-9)


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube", "map on-off"])
class TestEnergies:
    def test_parts_make_the_whole(self, made, kind):
        datasets, likelihood = made(kind)
        x = factors(likelihood) * 1.1
        name, n = datasets[0].name, datasets[0].counts.data.shape[0]
        parts = [with_energies(likelihood, {name: slice(i, i + 1)}) for i in range(n)]
        values, slopes = zip(*(part.value_and_grad(x) for part in parts), strict=True)
        value, slope = likelihood.value_and_grad(x)
        assert sum(values) == pytest.approx(value, rel=1e-12)
        assert np.sum(slopes, axis=0) == pytest.approx(slope, rel=1e-9, abs=1e-9)

    def test_equals_gammapys_slices(self, made, kind):
        datasets, likelihood = made(kind)
        edges = datasets[0].counts.geom.axes["energy"].edges
        sliced = datasets.slice_by_energy(edges[1], edges[3])
        sliced[0]._name = datasets[0].name
        sliced.models = datasets.models
        part = with_energies(likelihood, {datasets[0].name: slice(1, 3)})
        assert part.value(factors(likelihood)) == pytest.approx(sliced.stat_sum(), rel=VALUE)

    def test_no_energies_of_a_dataset_that_is_not_named(self, made, kind):
        _, likelihood = made(kind)
        assert with_energies(likelihood, {}).value(factors(likelihood)) == 0.0

    def test_terms_of_a_source_are_shared(self, made, kind):
        datasets, likelihood = made(kind)
        shared = source_terms(likelihood, "source").counts()[0]
        own = SourceTerms(datasets, "source").counts()[0]
        for name in ("start", "rows", "background", "signal", "others", "fitted"):
            assert np.array_equal(getattr(shared, name), getattr(own, name)), name
        assert shared.signal.size > 0
