"""Whatever changes after a likelihood is compiled is seen: its statistic stays that of Gammapy."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.data import GTI
from gammapy.estimators import FluxPoints
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map
from gammapy.modeling.models import (
    ExpDecayTemporalModel,
    GaussianPrior,
    Models,
    PowerLawSpectralModel,
    TemplateNPredModel,
)
from gammapy.stats import GaussianPriorPenalty

from ctao_sat.likelihood import compile_likelihood


def _mask(value):
    def change(dataset):
        dataset.mask_safe = Map.from_geom(dataset.counts.geom, dtype=bool)
        dataset.mask_safe.data[...] = value

    return change


def _template(dataset, level):
    template = Map.from_geom(dataset.counts.geom, dtype=float)
    template.data += level
    return TemplateNPredModel(template, name="template", datasets_names=[dataset.name])


def _replace_edisp(datasets):
    dataset = datasets[0]
    reco, true = dataset.counts.geom.axes["energy"], dataset.exposure.geom.axes["energy_true"]
    dataset.edisp = EDispKernelMap.from_gauss(reco, true, 0.3, 0.1)


def _replace_psf(datasets):
    axes = datasets[0].psf.psf_map.geom.axes
    datasets[0].psf = PSFMap.from_gauss(axes["energy_true"], axes["rad"], sigma=0.12 * u.deg)


def _psf_in_place(datasets):
    psf = datasets[0].psf
    psf.psf_map.data[:, 10:] = 0
    psf.normalize()


def _edisp_in_place(datasets):
    data = datasets[0].edisp.edisp_map.data
    data[:, :-1] = data[:, 1:].copy()


def _counts(datasets):
    datasets[0].counts.data[1:3] += 3


def _one_count(datasets):
    data = datasets[0].counts.data
    data[np.unravel_index(np.argmin(data), data.shape)] += 1


def _swap_counts(datasets):
    data = datasets[0].counts.data
    data[[0, 1]] = data[[1, 0]].copy()


def _new_counts(datasets):
    datasets[0].counts = datasets[0].counts * 2


def _new_mask(datasets):
    _mask(True)(datasets[0])
    datasets[0].mask_safe.data[0] = False


def _mask_in_place(datasets):
    datasets[0].mask_fit.data[-2:] = False


def _background(datasets):
    datasets[0].background.data[1] *= 1.3


def _exposure(datasets):
    datasets[0].exposure.data[4:] *= 1.3


def _thaw(datasets):
    model = datasets.models[0].spectral_model
    model.index.frozen = not model.index.frozen
    model.index.value += 0.1


def _frozen_value(datasets):
    datasets.models[0].spectral_model.reference.value = 1.7


def _frozen_shape(datasets):
    datasets.models[0].spatial_model.lat_0.value += 0.04


def _other_spectrum(datasets):
    datasets.models[0].spectral_model = PowerLawSpectralModel(
        index=1.9, amplitude="2e-11 cm-2 s-1 TeV-1"
    )


def _unit(datasets):
    amplitude = datasets.models[0].spectral_model.amplitude
    amplitude.quantity = (1.5 * amplitude.quantity).to("m-2 s-1 GeV-1")


def _add_source(datasets):
    source = datasets.models[0].copy(name="another")
    source.spectral_model.index.value = 1.8
    datasets.models = Models([*datasets.models, source])


def _remove_source(datasets):
    datasets.models = Models(list(datasets.models)[1:])


def _add_template(datasets):
    datasets.models = Models([*datasets.models, _template(datasets[0], 2.0)])


def _prior(datasets):
    datasets.models[0].spectral_model.amplitude.prior = GaussianPrior(mu=1e-11, sigma=1e-11)


def _penalty(datasets):
    parameters = list(datasets.models[0].spectral_model.parameters)[:2]
    penalty = GaussianPriorPenalty.L2_penalty(parameters, lambda_=3)
    datasets.models = Models(list(datasets.models), penalties=[penalty])


def _off_counts(datasets):
    datasets[1].counts_off.data[1:4] += 2


def _acceptance(datasets):
    datasets[1].acceptance_off.data *= 1.2


def _statistic(datasets):
    dataset = datasets[0]
    dataset.mask_fit.data = dataset.mask_fit.data * 0.5
    dataset.stat_type = "cash_weighted"


def _scale_points(datasets, column):
    table = datasets[0].data.to_table(sed_type="dnde")
    table[column][1] *= 1.2
    datasets[0].data = FluxPoints.from_table(table)


def _point_values(datasets):
    _scale_points(datasets, "dnde")


def _point_errors(datasets):
    _scale_points(datasets, "dnde_err")


def _other_limits(datasets):
    table = datasets[0].data.to_table(sed_type="dnde")
    table["is_ul"][:2] = True
    datasets[0].data = FluxPoints.from_table(table)
    datasets[0].stat_type = "chi2"


def _point_mask(datasets):
    datasets[0].mask_fit = np.arange(8).reshape(-1, 1, 1) > 1


def _points_of_other_kind(datasets):
    datasets[0].stat_type = "distrib"


CHANGES = [
    (("spectrum", "cube", "on_off"), [_counts, _one_count, _swap_counts, _new_counts, _new_mask]),
    (("spectrum", "cube"), [_mask_in_place, _background, _statistic]),
    (("spectrum", "cube", "on_off"), [_exposure, _replace_edisp, _edisp_in_place]),
    (("cube",), [_replace_psf, _psf_in_place, _frozen_shape, _remove_source]),
    (("on_off",), [_off_counts, _acceptance]),
    (("spectrum", "cube", "on_off", "points"), [_thaw, _frozen_value, _other_spectrum, _unit]),
    (("spectrum", "cube", "on_off", "points"), [_add_source, _prior, _penalty]),
    (("spectrum", "cube"), [_add_template]),
    (
        ("points",),
        [_point_values, _point_errors, _other_limits, _point_mask, _points_of_other_kind],
    ),
]


@pytest.mark.parametrize(
    ("sort", "change"),
    [
        pytest.param(sort, change, id=f"{change.__name__[1:]}, {sort}")
        for sorts, changes in CHANGES
        for change in changes
        for sort in sorts
    ],
)
def test_change_is_seen(zoo, sort, change):
    datasets = getattr(zoo.plain, sort)()
    if sort != "points":
        datasets[0].mask_fit = Map.from_geom(datasets[0].counts.geom, dtype=float)
        datasets[0].mask_fit.data += 1
        datasets[0].mask_fit.data = datasets[0].mask_fit.data.astype(bool)
    like = compile_likelihood(datasets)
    before = like.stat_sum()
    zoo.assert_same(before, zoo.gammapy(datasets))
    change(datasets)
    # Gammapy keeps responses and predicted counts, too, until it gets its models anew.
    zoo.rebuild(datasets)
    theirs = zoo.gammapy(datasets)
    assert theirs != pytest.approx(before, rel=1e-6)
    zoo.assert_same(like.stat_sum(), theirs)
    free = list(datasets.parameters.free_unique_parameters)
    assert [id(p) for p in like.parameters] == [id(p) for p in free]
    x = zoo.factors(like)
    zoo.assert_same(like.value(x), theirs)
    zoo.assert_same(like.value_and_grad(x)[0], theirs)


@pytest.mark.parametrize("name", ["counts", "mask", "background"])
def test_change_and_back(zoo, name):
    datasets = zoo.plain.cube()
    like = compile_likelihood(datasets)
    before = like.stat_sum()
    data = datasets[0].counts.data
    kept = data.copy()
    data[...] = 0
    assert like.stat_sum() != pytest.approx(before)
    data[...] = kept
    zoo.assert_same(like.stat_sum(), before)


def test_times_are_seen(zoo):
    datasets = zoo.plain.spectrum()
    source = datasets.models[0]
    source.temporal_model = ExpDecayTemporalModel(t0=0.1 * u.d, t_ref=51544 * u.d)
    source.temporal_model.t0.frozen = True
    zoo.rebuild(datasets)
    like = compile_likelihood(datasets)
    before = like.stat_sum()
    zoo.assert_same(before, zoo.gammapy(datasets))
    source.temporal_model.t0.value = 0.2
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    assert like.stat_sum() != pytest.approx(before)
    datasets[0].gti = GTI.create(1 * u.h, 5 * u.h)
    zoo.rebuild(datasets)
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))


def test_new_dataset_is_seen(zoo):
    datasets = zoo.plain.on_off()
    like = compile_likelihood(datasets)
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    other = datasets[0].copy(name="another")
    other.models = list(datasets.models)
    datasets.append(other)
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))


def test_inputs_stay_as_they_are(zoo):
    datasets = zoo.plain.cube()
    dataset = datasets[0]
    parts = [dataset.counts, dataset.background, dataset.exposure]
    parts += [dataset.psf.psf_map, dataset.edisp.edisp_map]
    before = [part.data.copy() for part in parts]
    values = datasets.parameters.value.copy()
    like = compile_likelihood(datasets)
    x = 1.1 * zoo.factors(like)
    like.value(x), like.value_and_grad(x), like.hessian(x), like.batch(x[np.newaxis])
    assert np.array_equal(values, datasets.parameters.value)
    for part, data in zip(parts, before, strict=True):
        assert np.array_equal(part.data, data)
