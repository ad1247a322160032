"""Data, models and parameters at the edge: the compiled likelihood does what Gammapy does there.

Most tests break a well-behaved likelihood in one way and ask for Gammapy's statistic, finite or
not, at the start and nearby.
"""

import os
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.maps import Map
from gammapy.modeling import Parameters
from gammapy.modeling.models import (
    ConstantSpectralModel,
    GaussianPrior,
    GaussianSpatialModel,
    Models,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    TemplateNPredModel,
    UniformPrior,
)
from gammapy.stats import GaussianPriorPenalty

from ctao_sat.dl5 import fit
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import NotCompilable, compile_likelihood

# -- data --------------------------------------------------------------------------------------


def _set(name, where, value):
    def change(dataset):
        getattr(dataset, name).data[where] = value

    return change


def _mask(value):
    def change(dataset):
        dataset.mask_safe = Map.from_geom(dataset.counts.geom, dtype=bool)
        dataset.mask_safe.data[...] = value

    return change


FIRST, SOME, ALL = (0, 0, 0), (slice(2, 4), 0, 0), Ellipsis
BOTH = ("spectrum", "cube")
WITH_OFF = ("on_off",)
BROKEN_DATA = [
    ("NaN in counts", BOTH + WITH_OFF, _set("counts", FIRST, np.nan), True),
    ("negative counts", BOTH, _set("counts", FIRST, -2), True),
    ("infinite counts", BOTH, _set("counts", FIRST, np.inf), False),
    ("no counts", BOTH + WITH_OFF, _set("counts", ALL, 0), True),
    ("NaN in background", BOTH, _set("background", FIRST, np.nan), True),
    ("infinite background", BOTH, _set("background", FIRST, np.inf), False),
    ("negative background", BOTH, _set("background", SOME, -30), True),
    ("zero background", BOTH, _set("background", ALL, 0), True),
    ("holes in background", BOTH, _set("background", SOME, 0), True),
    ("tiny background", BOTH, _set("background", ALL, 1e-20), True),
    ("NaN in exposure", BOTH + WITH_OFF, _set("exposure", SOME, np.nan), True),
    ("infinite exposure", BOTH + WITH_OFF, _set("exposure", SOME, np.inf), True),
    ("negative exposure", BOTH + WITH_OFF, _set("exposure", ALL, -1e12), True),
    ("zero exposure", BOTH + WITH_OFF, _set("exposure", ALL, 0), True),
    ("partly zero exposure", BOTH + WITH_OFF, _set("exposure", SOME, 0), True),
    ("empty mask", BOTH + WITH_OFF, _mask(False), True),
    ("full mask", BOTH + WITH_OFF, _mask(True), True),
    ("no off counts", WITH_OFF, _set("counts_off", ALL, 0), True),
    ("some without off counts", WITH_OFF, _set("counts_off", SOME, 0), True),
    ("NaN in off counts", WITH_OFF, _set("counts_off", FIRST, np.nan), True),
    ("zero acceptance", WITH_OFF, _set("acceptance", SOME, 0), True),
    ("zero off acceptance", WITH_OFF, _set("acceptance_off", SOME, 0), True),
    ("NaN in acceptance", WITH_OFF, _set("acceptance", FIRST, np.nan), True),
]


@pytest.mark.parametrize(
    ("sort", "change", "finite"),
    [
        pytest.param(sort, change, finite, id=f"{name}, {sort}")
        for name, sorts, change, finite in BROKEN_DATA
        for sort in sorts
    ],
)
def test_broken_data(zoo, sort, change, finite):
    datasets = getattr(zoo.plain, sort)()
    whole = zoo.gammapy(datasets)
    change(datasets[0])
    zoo.rebuild(datasets)
    zoo.assert_as_gammapy(datasets, finite=finite)
    assert zoo.gammapy(datasets) != whole


@pytest.mark.parametrize("irf", ["edisp", "psf"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_broken_response(zoo, irf, value):
    datasets = zoo.plain.cube()
    getattr(getattr(datasets[0], irf), f"{irf}_map").data[2:5] = value
    zoo.rebuild(datasets)
    with np.errstate(all="ignore"):
        zoo.assert_as_gammapy(datasets)


@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube"])
def test_one_energy_bin(zoo, sort):
    datasets = getattr(zoo.plain, sort)(n_energy=1)
    zoo.assert_gradient(zoo.assert_as_gammapy(datasets))


def test_one_pixel(zoo):
    zoo.assert_gradient(zoo.assert_as_gammapy(zoo.plain.cube(npix=(1, 1))))


@pytest.mark.parametrize("weight", [0.0, 0.5, -1.0, np.nan, np.inf])
def test_strange_weights(zoo, weight):
    datasets = zoo.plain.cube()
    datasets[0].stat_type = "cash_weighted"
    datasets[0].mask_fit = Map.from_geom(datasets[0].counts.geom, dtype=float)
    datasets[0].mask_fit.data += 1
    datasets[0].mask_fit.data[1:3] = weight
    zoo.assert_as_gammapy(datasets, finite=not np.isinf(weight))


def test_empty_mask_beside_a_full_one(zoo):
    datasets = zoo.plain.on_off()
    _mask(False)(datasets[1])
    zoo.assert_gradient(zoo.assert_as_gammapy(datasets))


def _entry(column, where, value):
    def change(table):
        table[column][where] = value

    return change


BROKEN_POINTS = [
    ("all NaN", _entry("dnde", slice(None), np.nan)),
    ("one NaN", _entry("dnde", 2, np.nan)),
    ("infinite", _entry("dnde", 2, np.inf)),
    ("negative", _entry("dnde", 2, -1e-12)),
    ("NaN in error", _entry("dnde_err", 2, np.nan)),
    ("NaN in errors", _entry("dnde_errp", 2, np.nan)),
    ("zero error", _entry("dnde_err", 2, 0)),
    ("NaN in limit", _entry("dnde_ul", 7, np.nan)),
    ("only limits", _entry("is_ul", slice(None), True)),
    ("no limits", _entry("is_ul", slice(None), False)),
]


@pytest.mark.parametrize("stat_type", ["chi2", "distrib"])
@pytest.mark.parametrize("change", [pytest.param(c, id=name) for name, c in BROKEN_POINTS])
def test_broken_points(zoo, stat_type, change):
    datasets = zoo.plain.points(stat_type, change)
    zoo.assert_as_gammapy(datasets, finite=np.isfinite(zoo.gammapy(datasets)))


# -- models ------------------------------------------------------------------------------------


def _template(dataset, level):
    template = Map.from_geom(dataset.counts.geom, dtype=float)
    template.data += level
    return TemplateNPredModel(template, name="template", datasets_names=[dataset.name])


@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off"])
@pytest.mark.parametrize("level", [-0.5, -100.0, 0.0])
def test_negative_template(zoo, sort, level):
    datasets = Datasets(list(getattr(zoo.plain, sort)())[:1])
    models = [*datasets.models, _template(datasets[0], level)]
    datasets.models = Models(models)
    zoo.assert_as_gammapy(datasets)


@pytest.mark.parametrize("sort", ["spectrum", "cube"])
def test_template_that_is_negative_in_places(zoo, sort):
    """Empty bins may be summed beforehand only where none of them can become negative."""
    datasets = getattr(zoo.plain, sort)()
    datasets[0].background.data[...] = 0
    datasets[0].counts.data[::2] = 0
    template = _template(datasets[0], 0.5)
    rng = np.random.default_rng(1)
    template.map.data *= rng.normal(size=template.map.data.shape)
    datasets.models = Models([*datasets.models, template])
    zoo.rebuild(datasets)
    like = zoo.assert_as_gammapy(datasets)
    for norm in (-3.0, 0.0, 0.1, 30.0):
        template.spectral_model.norm.value = norm
        zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))


@pytest.mark.parametrize("amplitude", [0.0, -1e-12, -3e-11, 1e-30, 1e-3])
@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off", "points"])
def test_amplitude(zoo, sort, amplitude):
    datasets = getattr(zoo.plain, sort)()
    like = compile_likelihood(datasets)
    datasets.models[0].spectral_model.amplitude.value = amplitude
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    zoo.assert_as_gammapy(datasets)


@pytest.mark.parametrize("norm", [0.0, -0.5, 1e-30])
def test_norm_of_background(zoo, norm):
    datasets = zoo.plain.cube()
    like = compile_likelihood(datasets)
    datasets.models["cube-bkg"].spectral_model.norm.value = norm
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    zoo.assert_as_gammapy(datasets)


@pytest.mark.parametrize("index", [1.0, 1 + 1e-9, 1 - 1e-9, 1 + 1e-7, 0.0, -1.0, 20.0])
@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube"])
def test_index(zoo, sort, index):
    datasets = getattr(zoo.plain, sort)()
    like = compile_likelihood(datasets)
    datasets.models[0].spectral_model.index.value = index
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    zoo.assert_same(compile_likelihood(datasets).stat_sum(), zoo.gammapy(datasets))


@pytest.mark.parametrize("index", [60.0, 500.0, 5000.0, -60.0, -5000.0])
@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube"])
def test_absurd_index(zoo, sort, index):
    """No optimiser is drawn to where the flux overflows: there it is huge, or is cleared.

    Gammapy's profiled background loses all digits beside 1e16 signal counts, and its statistic is
    infinite long before ours: only its size is compared.
    """
    datasets = getattr(zoo.plain, sort)()
    like = compile_likelihood(datasets)
    reasonable = like.stat_sum()
    datasets.models[0].spectral_model.index.value = index
    ours, theirs = like.stat_sum(), zoo.gammapy(datasets)
    assert not np.isnan(ours)
    if theirs > 1e20:
        assert ours > 1e20
    else:
        zoo.assert_same(ours, theirs)
    assert ours > reasonable


def test_gradient_at_index_one(zoo):
    datasets = zoo.plain.spectrum()
    datasets.models[0].spectral_model.index.value = 1
    zoo.assert_gradient(compile_likelihood(datasets))


@pytest.mark.parametrize("sort", ["spectrum", "on_off"])
def test_spectrum_that_becomes_negative(zoo, sort):
    datasets = getattr(zoo.plain, sort)()
    source = datasets.models[0]
    source.spectral_model = source.spectral_model - ConstantSpectralModel(
        const=1e-13 * u.Unit("cm-2 s-1 TeV-1")
    )
    zoo.rebuild(datasets)
    like = compile_likelihood(datasets)
    # Gammapy integrates a power law between the nodes: next to a zero the result is arbitrary.
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))


@pytest.mark.parametrize("offset", [0.32, 0.5, 3.0, 90.0])
@pytest.mark.parametrize("extended", [False, True])
def test_source_outside(zoo, offset, extended):
    datasets = zoo.plain.cube()
    position = zoo.plain.POSITION.directional_offset_by(30 * u.deg, offset * u.deg)
    kind = GaussianSpatialModel if extended else PointSpatialModel
    shape = kind(lon_0=position.ra, lat_0=position.dec, frame="icrs")
    if extended:
        shape.sigma.value = 0.05
    shape.freeze()
    datasets.models = Models([*datasets.models, zoo.plain.power_law("outside", shape)])
    like = zoo.assert_as_gammapy(datasets)
    assert len(like.parameters) == 7


def test_only_source_is_outside(zoo):
    datasets = zoo.plain.cube()
    position = zoo.plain.POSITION.directional_offset_by(30 * u.deg, 5 * u.deg)
    shape = PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs")
    shape.freeze()
    datasets.models = Models([zoo.plain.power_law("outside", shape)])
    like = zoo.assert_as_gammapy(datasets)
    _, gradient = like.value_and_grad(zoo.factors(like))
    assert np.all(gradient == 0)


def test_source_outside_the_region(zoo):
    datasets = zoo.plain.spectrum()
    position = zoo.plain.POSITION.directional_offset_by(0 * u.deg, 5 * u.deg)
    shape = PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs")
    shape.freeze()
    datasets.models = Models([*datasets.models, zoo.plain.power_law("outside", shape)])
    zoo.assert_as_gammapy(datasets)


@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off", "points"])
def test_nothing_is_free(zoo, sort):
    datasets = getattr(zoo.plain, sort)()
    datasets.parameters.freeze_all()
    like = compile_likelihood(datasets)
    assert like.parameters == []
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    value, gradient = like.value_and_grad([])
    zoo.assert_same(value, zoo.gammapy(datasets))
    assert gradient.shape == (0,)
    assert like.hessian([]).shape == (0, 0)
    zoo.assert_same(like.batch(np.empty((2, 0))), [value, value])
    datasets.models[0].spectral_model.amplitude.value *= 1.5
    assert like.value([]) != value
    zoo.assert_same(like.value([]), zoo.gammapy(datasets))
    with pytest.raises(ConfigError, match=r"[Nn]o .*free"):
        fit(datasets)


def test_no_models(zoo):
    datasets = zoo.plain.spectrum()
    for dataset in datasets:
        dataset.models = None
    with pytest.raises(ConfigError, match="no models") as caught:
        compile_likelihood(datasets)
    assert caught.value.remedy


def test_one_of_two_without_a_model(zoo):
    datasets = zoo.plain.on_off()
    source = datasets.models[0]
    source.datasets_names = ["run-1"]
    datasets.models = Models([source])
    zoo.assert_gradient(zoo.assert_as_gammapy(datasets))


def test_background_without_sources(zoo):
    datasets = zoo.plain.cube()
    datasets.models = Models([datasets.models["cube-bkg"]])
    like = zoo.assert_as_gammapy(datasets)
    assert len(like.parameters) == 2
    zoo.assert_gradient(like)


def test_norm_of_a_background_that_is_not_there(zoo):
    datasets = zoo.plain.cube()
    datasets[0].background = None
    zoo.rebuild(datasets)
    zoo.assert_as_gammapy(datasets)


@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off"])
@pytest.mark.parametrize("missing", ["exposure", "edisp", "psf", "gti"])
def test_missing_part(zoo, sort, missing):
    """Gammapy's value, or an error where Gammapy has one."""
    datasets = getattr(zoo.plain, sort)()
    setattr(datasets[0], missing, None)
    zoo.rebuild(datasets)
    try:
        zoo.gammapy(datasets)
    except (AttributeError, ValueError):
        with pytest.raises((NotCompilable, ConfigError, AttributeError, ValueError)):
            compile_likelihood(datasets).stat_sum()
    else:
        zoo.assert_as_gammapy(datasets)


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube"])
def test_parameter_at_a_limit(zoo, sort, side):
    datasets = getattr(zoo.plain, sort)()
    amplitude = datasets.models[0].spectral_model.amplitude
    setattr(amplitude, side, amplitude.value)
    like = compile_likelihood(datasets)
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    zoo.assert_gradient(like)
    for value in (0.5, 2):
        amplitude.value *= value
        # An optimiser does not go there, but a user may.
        zoo.assert_same(like.value(zoo.factors(like)), zoo.gammapy(datasets))


def test_fit_that_ends_at_a_limit(zoo):
    datasets = zoo.plain.spectrum()
    amplitude = datasets.models[0].spectral_model.amplitude
    best = fit(datasets, compiled=True).total_stat
    fitted = amplitude.value
    amplitude.min = 1.3 * fitted
    amplitude.value = 2 * fitted
    result = fit(datasets, compiled=True)
    assert result.success
    assert result.total_stat > best + 1
    assert amplitude.value == pytest.approx(1.3 * fitted, rel=1e-3)


def test_autoscale_changes_factors_only(zoo):
    datasets = zoo.plain.spectrum()
    like = compile_likelihood(datasets)
    before = like.stat_sum(), zoo.factors(like)
    amplitude = datasets.models[0].spectral_model.amplitude
    amplitude.scale_transform = "log"
    datasets.parameters.autoscale()
    assert not np.allclose(zoo.factors(like), before[1])
    zoo.assert_same(like.stat_sum(), before[0])
    zoo.assert_same(like.value(zoo.factors(like)), before[0])
    zoo.assert_gradient(like)


def test_wrong_number_of_factors(zoo):
    like = compile_likelihood(zoo.plain.spectrum())
    for x in ([1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="factors"):
            like.value(x)


def test_unknown_options(zoo):
    datasets = zoo.plain.spectrum()
    like = compile_likelihood(datasets)
    with pytest.raises(ConfigError):
        like.hessian(zoo.factors(like), kind="expected")
    with pytest.raises(ConfigError):
        fit(datasets, errors="minos")
    with pytest.raises(ConfigError):
        fit(datasets, compiled="yes")


@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off"])
def test_fisher_information_is_that_of_expected_counts(zoo, sort):
    """Where the counts are those expected, expected and observed second derivatives agree."""
    datasets = getattr(zoo.plain, sort)(asimov=True)
    like = compile_likelihood(datasets)
    x = zoo.factors(like)
    observed, fisher = like.hessian(x), like.hessian(x, kind="fisher")
    sigma = np.sqrt(np.diag(observed))
    np.testing.assert_allclose(
        fisher / sigma / sigma[:, None], observed / sigma / sigma[:, None], atol=1e-7
    )
    zoo.perturb(np.random.default_rng(1), Parameters(like.parameters))
    x = zoo.factors(like)
    assert not np.allclose(like.hessian(x), like.hessian(x, kind="fisher"), rtol=1e-3)


BOUNDS = """
import contextlib

import numpy as np
import zoo
from ctao_sat.likelihood import compile_likelihood

np.seterr(all="ignore")
cases = [zoo.plain.spectrum(), zoo.plain.on_off(), zoo.plain.cube((3, 3), 2), zoo.plain.points()]
cases += [zoo.build(seed).datasets for seed in (110, 178)]
for datasets in cases:
    datasets.parameters.autoscale()
    like = compile_likelihood(datasets)
    start = np.array([parameter.factor for parameter in like.parameters])
    for index in range(len(start)):
        for factor in (0, -1, 5, 1e3, np.nan):
            x = start.copy()
            x[index] *= factor
            for call in (like.value, like.value_and_grad, like.hessian, lambda x: like.batch([x])):
                # What is infinite in compiled code is an error in Python.
                with contextlib.suppress(OverflowError, ZeroDivisionError, ValueError):
                    call(x)
print("within bounds")
"""


def test_kernels_stay_within_their_arrays(zoo):
    """Compiled code does not look: what lies beyond an array is overwritten. Python does."""
    environment = os.environ | {
        "NUMBA_DISABLE_JIT": "1",
        "PYTHONPATH": str(Path(zoo.__file__).parents[1]),
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, "-c", BOUNDS], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "within bounds\n", done.stderr


# -- shared parts ------------------------------------------------------------------------------


def test_datasets_with_models_of_their_own(zoo):
    """Gammapy's order of parameters is that in which datasets name models first."""
    datasets = zoo.plain.on_off()
    one, two, three = (zoo.plain.power_law(name) for name in "abc")
    two.spectral_model.index.value = 1.9
    datasets[0].models, datasets[1].models = [two, one], [one, three]
    like = zoo.assert_as_gammapy(datasets)
    expected = list(datasets.parameters.free_unique_parameters)
    assert [id(p) for p in like.parameters] == [id(p) for p in expected]
    zoo.assert_gradient(like)


def test_sources_that_share_a_spectrum(zoo):
    datasets = zoo.plain.cube()
    sources = [datasets.models["point"], datasets.models["extended"]]
    sources[1].spectral_model = sources[0].spectral_model
    sources[0].spectral_model.index.frozen = False
    datasets.models = Models(sources)
    like = zoo.assert_as_gammapy(datasets)
    assert len(like.parameters) == 2
    zoo.assert_gradient(like)


def test_spectrum_that_holds_a_part_twice(zoo):
    datasets = zoo.plain.spectrum()
    source = datasets.models[0]
    norm = PowerLawNormSpectralModel(norm=0.8, tilt=0.1)
    norm.tilt.frozen = False
    source.spectral_model = source.spectral_model * norm * norm
    zoo.rebuild(datasets)
    zoo.assert_gradient(zoo.assert_as_gammapy(datasets))


def test_prior_of_a_linked_parameter(zoo):
    """Gammapy counts it once for each model that has the parameter."""
    datasets = zoo.plain.on_off()
    one, two = zoo.plain.power_law("a"), zoo.plain.power_law("b")
    two.spectral_model.index = one.spectral_model.index
    one.spectral_model.index.prior = GaussianPrior(mu=2.0, sigma=0.1)
    datasets.models = Models([one, two])
    like = zoo.assert_as_gammapy(datasets)
    zoo.assert_gradient(like)


def test_prior_and_penalty_of_frozen_parameters(zoo):
    datasets = zoo.plain.spectrum()
    model = datasets.models[0].spectral_model
    model.index.frozen = True
    model.index.prior = GaussianPrior(mu=2.0, sigma=0.1)
    penalty = GaussianPriorPenalty.L2_penalty([model.index, model.reference], lambda_=2)
    datasets.models = Models(list(datasets.models), penalties=[penalty])
    like = zoo.assert_as_gammapy(datasets)
    zoo.assert_gradient(like)
    for parameter, value in ((model.index, 2.6), (model.reference, 1.3)):
        parameter.value = value
        zoo.assert_same(like.value(zoo.factors(like)), zoo.gammapy(datasets))


def test_outside_of_a_uniform_prior(zoo):
    datasets = zoo.plain.spectrum()
    model = datasets.models[0].spectral_model
    model.index.prior = UniformPrior(min=2, max=3)
    like = compile_likelihood(datasets)
    zoo.assert_same(like.stat_sum(), zoo.gammapy(datasets))
    model.index.value = 3.5
    assert zoo.gammapy(datasets) == np.inf
    assert like.stat_sum() == like.value(zoo.factors(like)) == np.inf
    zoo.assert_same(like.batch(zoo.factors(like)[np.newaxis]), [np.inf])


def test_template_of_a_part_of_the_map(zoo):
    datasets = zoo.plain.cube()
    counts = datasets[0].counts
    part = counts.cutout(zoo.plain.POSITION, width=0.25 * u.deg)
    part.data = part.data + 1.0
    assert part.geom.data_shape != counts.geom.data_shape
    template = TemplateNPredModel(part, name="part", datasets_names=["cube"])
    datasets.models = Models([*datasets.models, template])
    zoo.assert_gradient(zoo.assert_as_gammapy(datasets))


@pytest.mark.parametrize("dtype", [bool, int, "float32"])
def test_kinds_of_masks(zoo, dtype):
    """A plain statistic takes each number but zero for true."""
    datasets = zoo.plain.cube()
    mask = Map.from_geom(datasets[0].counts.geom, dtype=float)
    mask.data += 2
    mask.data[1:3, 2:5] = 0
    mask.data = mask.data.astype(dtype)
    datasets[0].mask_fit = mask
    zoo.assert_gradient(zoo.assert_as_gammapy(datasets))
