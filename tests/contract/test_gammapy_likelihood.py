"""What ``_gammapy`` holds for likelihoods: evaluators, penalties, covariances of datasets."""

import copy
import inspect

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets, MapDataset
from gammapy.datasets import evaluator as gammapy_evaluator
from gammapy.datasets import map as gammapy_map
from gammapy.datasets.evaluator import MapEvaluator
from gammapy.maps import Map, RegionGeom
from gammapy.modeling.models import (
    DatasetModels,
    GaussianPrior,
    GaussianSpatialModel,
    Models,
    PowerLawNormSpectralModel,
    TemplateNPredModel,
)
from gammapy.stats import GaussianPriorPenalty

from ctao_sat import _gammapy
from ctao_sat._gammapy import (
    CUTOUT_MARGIN,
    MAX_OVERSAMPLING,
    current_evaluator,
    fresh_copy,
    new_evaluator,
    penalties,
    penalty_precision,
    plain_stat_sum,
    renew_evaluators,
    set_covariance,
    unique_models,
    with_evaluators,
)

SIGNATURES = {
    "current_evaluator": ["dataset", "model"],
    "fresh_copy": ["datasets", "models"],
    "new_evaluator": ["dataset", "model", "psf", "edisp"],
    "penalties": ["datasets"],
    "penalty_precision": ["penalty"],
    "plain_stat_sum": ["dataset"],
    "psf_kernel_sizes": ["psf", "geom", "position", "containment", "max_radius"],
    "renew_evaluators": ["datasets"],
    "set_covariance": ["datasets", "parameters", "matrix"],
    "unique_models": ["datasets"],
    "with_evaluators": ["dataset", "evaluators"],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    assert list(inspect.signature(getattr(_gammapy, name)).parameters) == SIGNATURES[name]


@pytest.fixture
def datasets(small):
    return small.datasets("cube")


@pytest.fixture
def dataset(datasets):
    return datasets[0]


@pytest.fixture
def source(dataset):
    return dataset.models["source"]


def state(thing) -> dict:
    """Return the attributes of an object, by identity."""
    return {name: id(value) for name, value in vars(thing).items()}


# -- evaluators -----------------------------------------------------------------------------------


def test_an_evaluator_remembers_the_spatial_parameters_it_was_evaluated_with(small):
    dataset = small.cube()
    source = small.point()
    dataset.models = [source]
    evaluator = dataset.evaluators["source"]
    assert evaluator._cached_parameter_values_spatial is None
    assert evaluator.exposure is None
    assert current_evaluator(dataset, source) is None
    dataset.npred_signal()
    remembered = evaluator._cached_parameter_values_spatial
    np.testing.assert_array_equal(remembered, source.spatial_model.parameters.value)
    assert current_evaluator(dataset, source) is evaluator


def test_the_current_evaluator_is_the_one_that_gammapy_uses(dataset, source):
    evaluator = current_evaluator(dataset, source)
    assert evaluator is dataset.evaluators["source"]
    before = {name: id(value) for name, value in vars(evaluator).items()}
    current_evaluator(dataset, source)
    assert {name: id(value) for name, value in vars(evaluator).items()} == before


def move(dataset, source, shift):
    """Move a source to the north by degrees, and let Gammapy evaluate it there."""
    source.spatial_model.lat_0.value += shift
    dataset.npred_signal()


def test_no_evaluator_is_current_for_a_source_that_moved(dataset, source):
    evaluator = dataset.evaluators["source"]
    source.spatial_model.lat_0.value += 0.02
    assert current_evaluator(dataset, source) is None
    dataset.npred_signal()
    # The first time, however small the shift, Gammapy moves cutout and PSF with the source ...
    assert current_evaluator(dataset, source) is evaluator
    move(dataset, source, 0.02)
    # ... later only if it is large.
    assert current_evaluator(dataset, source) is None
    move(dataset, source, 0.3)
    assert current_evaluator(dataset, source) is evaluator


def test_the_position_of_an_evaluator_is_where_its_cutout_is(dataset, source):
    evaluator = dataset.evaluators["source"]
    move(dataset, source, 0.02)
    assert evaluator.position.separation(source.position) < 1e-6 * u.arcsec
    move(dataset, source, 0.02)
    assert evaluator.position.separation(source.position) > 1 * u.arcsec
    assert evaluator.exposure.geom.center_skydir.separation(source.position) > 1 * u.arcsec


def test_no_evaluator_is_current_for_another_exposure(dataset, source):
    dataset.exposure = dataset.exposure.copy()
    assert current_evaluator(dataset, source) is None


def test_the_exposure_of_an_evaluator_is_a_view(dataset, source):
    evaluator = current_evaluator(dataset, source)
    assert np.may_share_memory(evaluator.exposure.data, dataset.exposure.data)
    dataset.exposure.data *= 2
    assert current_evaluator(dataset, source) is evaluator


def test_no_evaluator_is_current_for_another_model_of_that_name(small, dataset):
    assert current_evaluator(dataset, small.point()) is None
    assert current_evaluator(dataset, small.point("unknown")) is None


def test_evaluators_are_updated_with_these_arguments():
    parameters = inspect.signature(MapEvaluator.update).parameters
    assert list(parameters) == ["self", "exposure", "psf", "edisp", "geom", "mask"]
    made = inspect.signature(MapEvaluator).parameters
    assert {"model", "psf", "gti", "evaluation_mode"} <= set(made)
    assert gammapy_map.EVALUATION_MODE == "local"
    assert gammapy_evaluator.PSF_CONTAINMENT == 0.999
    assert gammapy_evaluator.PSF_MAX_RADIUS is None


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube", "map on-off"])
def test_a_new_evaluator_predicts_what_the_dataset_does(small, kind):
    dataset = small.datasets(kind)[0]
    for model in dataset.models:
        if model.name not in dataset.evaluators:
            continue
        evaluator = new_evaluator(dataset, model, dataset.psf, dataset.edisp)
        assert evaluator.contributes
        ours = Map.from_geom(dataset.counts.geom, dtype=float)
        ours.stack(evaluator.compute_npred())
        theirs = dataset.npred_signal(model_names=[model.name])
        np.testing.assert_array_equal(ours.data, theirs.data)
        assert theirs.data.sum() > 1


def test_a_new_evaluator_leaves_the_dataset_alone(small):
    dataset = small.cube()
    dataset.models = [small.point()]
    before = state(dataset)
    evaluator = new_evaluator(dataset, dataset.models[0], dataset.psf, dataset.edisp)
    assert state(dataset) == before
    assert dataset.evaluators["source"] is not evaluator
    assert dataset.evaluators["source"].exposure is None


def test_a_new_evaluator_has_the_single_psf_kernel_of_the_dataset(small, dataset, source):
    assert not dataset.psf.has_single_spatial_bin
    center = RegionGeom.create(f"icrs;point({small.CENTER.ra.deg}, {small.CENTER.dec.deg})")
    dataset.psf = small.psf(center)
    assert dataset.psf.has_single_spatial_bin
    dataset.models = Models(list(dataset.models))
    theirs = dataset.evaluators["source"].psf
    ours = new_evaluator(dataset, source, dataset.psf, dataset.edisp).psf
    assert theirs.psf_kernel_map.data.sum() > 1
    np.testing.assert_array_equal(ours.psf_kernel_map.data, theirs.psf_kernel_map.data)
    assert new_evaluator(dataset, source, None, dataset.edisp).psf is None


def test_a_template_of_counts_needs_no_update(small):
    dataset = small.cube()
    template = TemplateNPredModel(dataset.background.copy(), PowerLawNormSpectralModel())
    evaluator = new_evaluator(dataset, template, dataset.psf, dataset.edisp)
    assert not evaluator.needs_update
    np.testing.assert_allclose(evaluator.compute_npred().data, dataset.background.data)


def test_a_copy_with_evaluators_evaluates_with_them(small, dataset, source):
    shadow = with_evaluators(dataset, {"source": dataset.evaluators["source"]})
    assert type(shadow) is MapDataset
    assert (shadow.name, shadow.counts, shadow.exposure) == (
        dataset.name, dataset.counts, dataset.exposure,
    )  # fmt: skip
    assert list(shadow.evaluators) == ["source"]
    one = dataset.npred_signal(model_names=["source"])
    np.testing.assert_array_equal(shadow.npred_signal().data, one.data)
    assert list(dataset.evaluators) == ["source", "second"]


def test_a_copy_with_evaluators_has_a_background_of_its_own(dataset):
    before = dataset.npred_background()
    assert dataset._background_cached is before
    assert dataset._background_parameters_cached is not None
    kept = before.data.copy()
    shadow = with_evaluators(dataset, {})
    assert shadow._background_cached is None
    assert shadow._background_parameters_cached is None
    dataset.background_model.spectral_model.norm.value = 2
    np.testing.assert_allclose(shadow.npred_background().data, 2 * kept)
    np.testing.assert_array_equal(before.data, kept)


def test_a_fresh_copy_has_not_evaluated_anything(small):
    datasets = small.datasets("joint")
    stat = datasets.stat_sum()
    before = [state(dataset) for dataset in datasets], state(datasets)
    fresh = fresh_copy(datasets)
    assert ([state(dataset) for dataset in datasets], state(datasets)) == before
    assert fresh.names == datasets.names
    assert [id(model) for model in fresh.models] == [id(model) for model in datasets.models]
    for one, other in zip(fresh, datasets, strict=True):
        if isinstance(one, MapDataset):
            assert one is not other
            assert one.counts is other.counts
            assert all(evaluator.exposure is None for evaluator in one.evaluators.values())
    assert fresh.stat_sum() == stat


def test_a_fresh_copy_forgets_old_cutouts(small, datasets, dataset, source):
    dataset.psf = small.varying_psf()
    datasets.models = Models(list(datasets.models))
    dataset.npred_signal()
    move(dataset, source, 0.01)
    move(dataset, source, 0.04)
    stale = datasets.stat_sum()
    other = small.datasets("cube")
    other[0].psf = dataset.psf
    other.models["source"].spatial_model.lat_0.value += 0.05
    other.models = Models(list(other.models))
    expected = other.stat_sum()
    assert abs(expected - stale) > 1e-3
    assert fresh_copy(datasets).stat_sum() == pytest.approx(expected, rel=1e-12)
    assert datasets.stat_sum() == stale


# -- models, penalties, covariance ----------------------------------------------------------------


def test_renewed_evaluators_forget_old_cutouts(datasets, dataset, source):
    before = datasets.stat_sum()
    models, position = list(dataset.models), source.spatial_model.lat_0
    position.value += 0.05
    expected = fresh_copy(datasets).stat_sum()
    assert abs(expected - before) > 1
    renew_evaluators(datasets)
    assert dataset.evaluators["source"].exposure is None
    assert list(dataset.models) == models
    assert datasets.stat_sum() == pytest.approx(expected, rel=1e-12)


def test_the_margin_of_a_cutout(dataset, source):
    dataset.npred_signal()
    evaluator = dataset.evaluators["source"]
    width = evaluator.psf_width + 2 * (source.evaluation_radius + CUTOUT_MARGIN)
    assert u.isclose(evaluator.cutout_width, width)


def test_pixels_are_divided_into_no_more_parts(monkeypatch):
    """A Gaussian of no size would have infinitely many."""
    geom = RegionGeom.create("icrs;circle(0, 0, 0.1)").to_wcs_geom(width_min="0.2 deg").to_image()
    model, factors = GaussianSpatialModel(sigma="1e-9 deg"), []

    def upsample(geom, factor, **kwargs):
        factors.append(factor)
        raise StopIteration

    monkeypatch.setattr(type(geom), "upsample", upsample)
    with pytest.raises(StopIteration):
        model.integrate_geom(geom)
    assert factors == [MAX_OVERSAMPLING]


def test_unique_models(small):
    datasets = small.datasets("joint")
    ours = unique_models(datasets)
    assert [id(model) for model in ours] == [id(model) for model in datasets.models]
    assert len(ours) == 2
    assert sum(model in ours for dataset in datasets for model in dataset.models) == 5
    assert unique_models(Datasets([small.spectrum()])) == []


def test_unique_models_do_not_gather_covariances(datasets, monkeypatch):
    monkeypatch.setattr(DatasetModels, "__init__", lambda *_, **__: pytest.fail("gathered"))
    assert len(unique_models(datasets)) == 3


def penalty_of(models):
    index = Models(models).parameters.select(name="index")
    return GaussianPriorPenalty(
        index, mean=[2.0, 2.5], covariance=np.array([[0.04, 0.01], [0.01, 0.09]])
    )


def test_penalties(small, datasets):
    assert Datasets([small.spectrum()])._penalties is None
    assert penalties(datasets) == []
    without = datasets.stat_sum()
    penalty = penalty_of(datasets.models)
    datasets.models = Models(list(datasets.models), penalties=[penalty])
    assert penalties(datasets) == [penalty]
    penalties(datasets).clear()
    assert penalties(datasets) == [penalty]
    assert datasets.stat_sum() == pytest.approx(without + penalty.stat_sum(), rel=1e-12)
    assert penalties(fresh_copy(datasets)) == [penalty]


def test_penalty_precision(datasets):
    penalty = penalty_of(datasets.models)
    precision = penalty_precision(penalty)
    expected = np.linalg.inv([[0.04, 0.01], [0.01, 0.09]])
    np.testing.assert_allclose(precision, expected, rtol=1e-12)
    difference = datasets.parameters.value[[0, 8]] - [2.0, 2.5]
    assert penalty.stat_sum() == pytest.approx(difference @ expected @ difference, rel=1e-12)


def test_set_covariance(datasets):
    parameters = datasets.models.parameters
    n = len(parameters)
    matrix = np.diag(np.linspace(0.1, 0.2, n)) + 0.01
    before = copy.copy(parameters.value)
    set_covariance(datasets, parameters, matrix)
    np.testing.assert_array_equal(datasets._covariance.data, matrix)
    np.testing.assert_array_equal(datasets.models.covariance.data, matrix)
    np.testing.assert_allclose(datasets.models["second"].covariance.data, matrix[8:, 8:])
    np.testing.assert_array_equal(parameters.value, before)


def test_plain_stat_sum_has_no_priors(datasets, dataset, source):
    without = dataset.stat_sum()
    assert plain_stat_sum(dataset) == without
    source.spectral_model.index.prior = GaussianPrior(mu=1.0, sigma=0.1)
    assert datasets.stat_sum() > without + 10
    assert plain_stat_sum(dataset) == without
    assert isinstance(plain_stat_sum(dataset), float)
