"""Each change of what was compiled in is seen; what is live is not taken for a change."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.data import GTI
from gammapy.maps import Map
from gammapy.modeling.models import (
    GaussianPrior,
    LinearTemporalModel,
    LogParabolaSpectralModel,
    Models,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    TemplateNPredModel,
    TemplateSpatialModel,
    UniformPrior,
)
from gammapy.stats import GaussianPriorPenalty

from ctao_sat._gammapy import fresh_copy
from ctao_sat.likelihood import compile_likelihood


def untouched(small, kind):
    """Return datasets that Gammapy has not evaluated since the models were given to them."""
    datasets = small.datasets(kind)
    datasets.models = Models(list(datasets.models))
    return datasets


def index_of(datasets):
    return datasets.models["source"].spectral_model.index


# -- what changes ---------------------------------------------------------------------------------


def counts(_, datasets):
    datasets[0].counts.data[1] += 3


def counts_replaced(_, datasets):
    datasets[0].counts = datasets[0].counts * 2


def off_counts(_, datasets):
    datasets[0].counts_off.data[1] += 3


def acceptance(_, datasets):
    datasets[0].acceptance.data[1] *= 1.1


def off_acceptance(_, datasets):
    datasets[0].acceptance_off.data[1] *= 1.1


def background(_, datasets):
    datasets[0].background.data[2] *= 1.1


def background_taken_away(_, datasets):
    datasets[0].background = None


def exposure(_, datasets):
    datasets[0].exposure.data[2] *= 1.1


def exposure_replaced(_, datasets):
    datasets[0].exposure = datasets[0].exposure * 1.1


def psf_in_place(_, datasets):
    datasets[0].psf.psf_map.data[:, :5] *= 2


def psf_replaced(small, datasets):
    datasets[0].psf = small.psf(scale=1.5)


def edisp_in_place(_, datasets):
    datasets[0].edisp.edisp_map.data[2] *= 0.7


def edisp_taken_away(_, datasets):
    datasets[0].edisp = None


def safe_mask_in_place(_, datasets):
    datasets[0].mask_safe.data[2] = False


def fit_mask_given(_, datasets):
    mask = Map.from_geom(datasets[0].counts.geom, dtype=bool)
    mask.data[:2] = True
    datasets[0].mask_fit = mask


def safe_mask_taken_away(_, datasets):
    datasets[0].mask_safe = None


def prior_given(_, datasets):
    index_of(datasets).prior = GaussianPrior(mu=2.0, sigma=0.1)


def penalty_given(_, datasets):
    models = list(datasets.models)
    penalty = GaussianPriorPenalty([models[0].spectral_model.index], mean=[2.0])
    datasets.models = Models(models, penalties=[penalty])


def spatial_value(_, datasets):
    datasets.models["source"].spatial_model.lat_0.value += 0.1


def frozen_flag(_, datasets):
    index_of(datasets).frozen = True


def spectrum_exchanged(_, datasets):
    model = LogParabolaSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1", beta=0.3)
    datasets.models["source"].spectral_model = model


def shape_exchanged(small, datasets):
    datasets.models["source"].spatial_model = small.point(offset=0.2).spatial_model


def time_given(_, datasets):
    datasets.models["source"].temporal_model = LinearTemporalModel(alpha=0.5, beta=0 / u.d)


def models_exchanged(small, datasets):
    kept = [model for model in datasets.models if model.name != "source"]
    datasets.models = Models([small.point(amplitude="3e-12 cm-2 s-1 TeV-1"), *kept])


def model_added(small, datasets):
    datasets.models = Models([*datasets.models, small.point("another", offset=-0.3)])


def model_taken_away(_, datasets):
    datasets.models = Models(list(datasets.models)[:1])


def parameters_linked(_, datasets):
    first, second = datasets.models["source"], datasets.models["second"]
    second.spectral_model.index = first.spectral_model.index


def points_errors(_, datasets):
    datasets[0].data.norm_err.data[1] *= 2


def points_values(_, datasets):
    datasets[0].data.norm.data[1] *= 1.5


def points_mask(_, datasets):
    datasets[0].mask_fit = np.array([True] * 4 + [False] * 2).reshape(-1, 1, 1)


def points_reference(_, datasets):
    datasets[0].data.reference_model.parameters["amplitude"].value *= 1.5


CHANGES = [
    *[("spectrum", change) for change in (
        counts, counts_replaced, background, background_taken_away, exposure, exposure_replaced,
        edisp_in_place, edisp_taken_away, fit_mask_given, prior_given, penalty_given,
        frozen_flag, spectrum_exchanged, time_given,
    )],
    *[("on-off", change) for change in (
        counts, off_counts, acceptance, off_acceptance, exposure, edisp_in_place,
    )],
    *[("cube", change) for change in (
        counts, background, exposure, psf_in_place, psf_replaced, edisp_in_place,
        safe_mask_in_place, safe_mask_taken_away, fit_mask_given, spatial_value, shape_exchanged,
        models_exchanged, model_added, model_taken_away, parameters_linked, penalty_given,
    )],
    *[("map on-off", change) for change in (counts, off_counts, acceptance, psf_in_place)],
    *[("flux points", change) for change in (
        points_errors, points_values, points_mask, points_reference, prior_given,
    )],
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "change"), CHANGES, ids=[f"{kind}-{change.__name__}" for kind, change in CHANGES]
)
def test_changes_are_seen(small, kind, change):
    datasets = untouched(small, kind)
    likelihood = compile_likelihood(datasets)
    before, n_free = likelihood.stat_sum(), len(likelihood.parameters)
    assert not likelihood.refresh()
    change(small, datasets)
    after = likelihood.stat_sum()
    assert after == pytest.approx(fresh_copy(datasets).stat_sum(), rel=1e-9)
    if change is frozen_flag:
        assert len(likelihood.parameters) == n_free - 1
    elif change is not parameters_linked:
        assert after != before
    assert not likelihood.refresh()


@pytest.mark.parametrize("kind", ["cube", "on-off", "joint"])
def test_refresh_tells_that_it_was_necessary(small, kind):
    datasets = untouched(small, kind)
    likelihood = compile_likelihood(datasets)
    report = likelihood.report
    for _ in range(2):
        assert not likelihood.refresh()
    assert likelihood.report is report
    datasets[0].counts.data[0] += 1
    assert likelihood.refresh()
    assert not likelihood.refresh()
    datasets[0].counts.data[0] -= 1
    assert likelihood.refresh()


def test_a_prior_that_changes_is_seen(small):
    datasets = small.datasets("spectrum")
    index = index_of(datasets)
    index.prior = GaussianPrior(mu=2.0, sigma=0.1)
    likelihood = compile_likelihood(datasets)
    for prior in (
        GaussianPrior(mu=2.1, sigma=0.1),
        GaussianPrior(mu=2.1, sigma=0.2),
        UniformPrior(min=1.0, max=3.0),
        None,
    ):
        before = likelihood.stat_sum()
        index.prior = prior
        after = likelihood.stat_sum()
        assert after == pytest.approx(datasets.stat_sum(), rel=1e-12)
        assert after != before
    index.prior = GaussianPrior(mu=2.1, sigma=0.1)
    likelihood.stat_sum()
    for name, value in (("mu", 1.9), ("sigma", 0.3)):
        getattr(index.prior, name).value = value
        assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-12)


def test_a_dataset_added_later_is_seen(small):
    datasets = small.datasets("spectrum")
    likelihood = compile_likelihood(datasets)
    other = small.spectrum("other")
    other.counts.data[...] = 10
    other.models = list(datasets.models)
    likelihood.datasets.append(other)
    assert likelihood.stat_sum() == pytest.approx(likelihood.datasets.stat_sum(), rel=1e-12)
    likelihood.datasets.remove(other)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-12)


def test_a_statistic_that_is_exchanged_is_seen(small):
    datasets = small.datasets("cube")
    weights = Map.from_geom(datasets[0].counts.geom, data=0.5)
    datasets[0].mask_fit = weights
    likelihood = compile_likelihood(datasets)
    whole = likelihood.stat_sum()
    datasets[0].stat_type = "cash_weighted"
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-9)
    assert likelihood.stat_sum() == pytest.approx(whole / 2, rel=1e-9)


def test_weights_that_change_are_seen(small):
    datasets = small.datasets("cube")
    datasets[0].mask_fit = Map.from_geom(datasets[0].counts.geom, data=0.5)
    datasets[0].stat_type = "cash_weighted"
    likelihood = compile_likelihood(datasets)
    datasets[0].mask_fit.data[1] = 0.25
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-9)


def test_counts_of_a_template_that_change_are_seen(small):
    dataset = small.spectrum()
    template = TemplateNPredModel(
        dataset.background.copy(), PowerLawNormSpectralModel(), datasets_names=[dataset.name]
    )
    dataset.background = None
    dataset.counts.data[...] = 20
    dataset.models = [template]
    likelihood = compile_likelihood([dataset])
    before = likelihood.stat_sum()
    template.map.data *= 2
    after = likelihood.stat_sum()
    assert after != before
    assert after == pytest.approx(fresh_copy(likelihood.datasets).stat_sum(), rel=1e-9)


def test_responses_that_a_model_leaves_out_later_are_seen(small):
    datasets = untouched(small, "spectrum")
    likelihood = compile_likelihood(datasets)
    before = likelihood.stat_sum()
    datasets.models["source"].apply_irf["edisp"] = False
    after = likelihood.stat_sum()
    assert after != before
    assert after == pytest.approx(fresh_copy(datasets).stat_sum(), rel=1e-9)


def test_an_image_that_changes_is_seen(small):
    datasets = small.datasets("cube")
    geom = datasets[0].counts.geom.to_image()
    image = Map.from_geom(geom, unit="sr-1")
    image.data[3:9, 3:9] = 1
    model = small.point()
    model.spatial_model = TemplateSpatialModel(image, normalize=False)
    datasets.models = Models([model])
    likelihood = compile_likelihood(datasets)
    before = likelihood.stat_sum()
    model.spatial_model.map.data[3:5] *= 3
    after = likelihood.stat_sum()
    assert after != before
    assert after == pytest.approx(fresh_copy(datasets).stat_sum(), rel=1e-9)


def test_good_times_that_change_are_seen(small):
    datasets = untouched(small, "spectrum")
    start = datasets[0].gti.time_start[0]
    model = LinearTemporalModel(alpha=1, beta=5 / u.d, t_ref=start.mjd * u.d)
    datasets.models["source"].temporal_model = model
    datasets.models = Models(list(datasets.models))
    likelihood = compile_likelihood(datasets)
    before = likelihood.stat_sum()
    datasets[0].gti = GTI.create(1 * u.d, 1.1 * u.d, reference_time=start)
    after = likelihood.stat_sum()
    assert after != before
    # Gammapy gives its evaluators the good time intervals when the models are set.
    assert after == pytest.approx(fresh_copy(datasets).stat_sum(), rel=1e-9)


# -- what is live ---------------------------------------------------------------------------------


def test_live_parameters_are_no_change(small):
    datasets = small.datasets("joint")
    likelihood = compile_likelihood(datasets)
    report = likelihood.report
    for parameter in datasets.parameters.free_parameters:
        parameter.value = 1.05 * parameter.value + 0.01 * parameter.scale
        parameter.error, parameter.min = 0.1 * parameter.scale, -1e3
        parameter.autoscale()
        assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-9)
    datasets.models["source"].spectral_model.reference.value = 1.5
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-9)
    assert likelihood.report is report


def test_equal_data_are_no_change(small):
    datasets = small.datasets("cube")
    likelihood = compile_likelihood(datasets)
    datasets[0].counts = datasets[0].counts.copy()
    datasets[0].mask_safe = datasets[0].mask_safe.copy()
    assert not likelihood.refresh()


def test_reading_is_no_change(small):
    datasets = small.datasets("joint")
    likelihood = compile_likelihood(datasets)
    for dataset in datasets:
        dataset.stat_sum()
    str(datasets)
    _ = datasets.models.covariance, datasets[0].info_dict(), datasets[0].npred()
    assert not likelihood.refresh()


def test_an_invisible_parameter_of_a_spectrum_is_read(small):
    """Values that a kernel has compiled in, frozen as they are, may be changed all the same."""
    datasets = small.datasets("spectrum")
    model = PowerLawSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1")
    tilted = model * PowerLawNormSpectralModel(tilt=0.3, reference=2 * u.TeV)
    datasets.models["source"].spectral_model = tilted
    datasets.models = Models(list(datasets.models))
    likelihood = compile_likelihood(datasets)
    for parameter in tilted.parameters:
        parameter.value *= 1.1
        expected = fresh_copy(datasets).stat_sum()
        assert likelihood.value([p.factor for p in likelihood.parameters]) == pytest.approx(
            expected, rel=1e-9
        )
