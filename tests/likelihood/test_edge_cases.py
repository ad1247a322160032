"""Data, models and parameters at the edge: the compiled likelihood does what Gammapy does there.

Most tests break a well-behaved likelihood in one way and ask for Gammapy's statistic, finite or
not, at the start and nearby.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from gammapy.data import GTI
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.estimators import FluxPoints
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map
from gammapy.modeling import Fit, FitResult, Parameter, Parameters
from gammapy.modeling.models import (
    ConstantSpectralModel,
    ExpDecayTemporalModel,
    FoVBackgroundModel,
    GaussianPrior,
    GaussianSpatialModel,
    Models,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    SpectralModel,
    TemplateNPredModel,
    UniformPrior,
)
from gammapy.stats import GaussianPriorPenalty

from ctao_sat.dl5 import fit
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import NotCompilable, compile_likelihood


def gammapy(datasets):
    """Return Gammapy's statistic; it complains about numbers that we ask for."""
    with np.errstate(all="ignore"):
        return float(datasets.stat_sum())


def factors(like):
    return np.array([parameter.factor for parameter in like.parameters])


def assert_same(ours, theirs):
    assert np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, equal_nan=True) is None


def assert_as_gammapy(zoo, datasets, *, finite=True):
    """Compare with Gammapy at the start and at two points nearby; return the likelihood."""
    rng = np.random.default_rng(20281110)
    like = compile_likelihood(datasets)
    points, values = [], []
    for number in range(3):
        if number:
            zoo.perturb(rng, Parameters(like.parameters))
        theirs = gammapy(datasets)
        assert np.isfinite(theirs) == finite
        assert_same(like.stat_sum(), theirs)
        points.append(factors(like))
        values.append(theirs)
        if finite:
            value, gradient = like.value_and_grad(points[-1])
            assert_same(value, theirs)
            assert np.all(np.isfinite(gradient))
            assert np.all(np.isfinite(like.hessian(points[-1])))
    assert_same([like.value(x) for x in points], values)
    assert_same(like.batch(np.array(points)), values)
    return like


def assert_gradient(zoo, like):
    """Compare the gradient with differences of the value."""
    x = factors(like)
    _, gradient = like.value_and_grad(x)
    for index in range(len(x)):
        step = 0.01 * (abs(x[index]) or 1)
        enough = 1e-6 * max(abs(gradient[index]), 1 / step)
        numeric, error = zoo.derivative(like.value, x, index, step, enough)
        assert gradient[index] == pytest.approx(numeric, rel=1e-5, abs=10 * enough + 3 * error)


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
    whole = gammapy(datasets)
    change(datasets[0])
    zoo.rebuild(datasets)
    assert_as_gammapy(zoo, datasets, finite=finite)
    assert gammapy(datasets) != whole


@pytest.mark.parametrize("irf", ["edisp", "psf"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_broken_response(zoo, irf, value):
    datasets = zoo.plain.cube()
    getattr(getattr(datasets[0], irf), f"{irf}_map").data[2:5] = value
    zoo.rebuild(datasets)
    with np.errstate(all="ignore"):
        assert_as_gammapy(zoo, datasets)


@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube"])
def test_one_energy_bin(zoo, sort):
    datasets = getattr(zoo.plain, sort)(n_energy=1)
    assert_gradient(zoo, assert_as_gammapy(zoo, datasets))


def test_one_pixel(zoo):
    assert_gradient(zoo, assert_as_gammapy(zoo, zoo.plain.cube(npix=(1, 1))))


@pytest.mark.parametrize("weight", [0.0, 0.5, -1.0, np.nan, np.inf])
def test_strange_weights(zoo, weight):
    datasets = zoo.plain.cube()
    datasets[0].stat_type = "cash_weighted"
    datasets[0].mask_fit = Map.from_geom(datasets[0].counts.geom, dtype=float)
    datasets[0].mask_fit.data += 1
    datasets[0].mask_fit.data[1:3] = weight
    assert_as_gammapy(zoo, datasets, finite=not np.isinf(weight))


def test_empty_mask_beside_a_full_one(zoo):
    datasets = zoo.plain.on_off()
    _mask(False)(datasets[1])
    assert_gradient(zoo, assert_as_gammapy(zoo, datasets))


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
    assert_as_gammapy(zoo, datasets, finite=np.isfinite(gammapy(datasets)))


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
    assert_as_gammapy(zoo, datasets)


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
    like = assert_as_gammapy(zoo, datasets)
    for norm in (-3.0, 0.0, 0.1, 30.0):
        template.spectral_model.norm.value = norm
        assert_same(like.stat_sum(), gammapy(datasets))


@pytest.mark.parametrize("amplitude", [0.0, -1e-12, -3e-11, 1e-30, 1e-3])
@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off", "points"])
def test_amplitude(zoo, sort, amplitude):
    datasets = getattr(zoo.plain, sort)()
    like = compile_likelihood(datasets)
    datasets.models[0].spectral_model.amplitude.value = amplitude
    assert_same(like.stat_sum(), gammapy(datasets))
    assert_as_gammapy(zoo, datasets)


@pytest.mark.parametrize("norm", [0.0, -0.5, 1e-30])
def test_norm_of_background(zoo, norm):
    datasets = zoo.plain.cube()
    like = compile_likelihood(datasets)
    datasets.models["cube-bkg"].spectral_model.norm.value = norm
    assert_same(like.stat_sum(), gammapy(datasets))
    assert_as_gammapy(zoo, datasets)


@pytest.mark.parametrize("index", [1.0, 1 + 1e-9, 1 - 1e-9, 1 + 1e-7, 0.0, -1.0, 20.0])
@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube"])
def test_index(zoo, sort, index):
    datasets = getattr(zoo.plain, sort)()
    like = compile_likelihood(datasets)
    datasets.models[0].spectral_model.index.value = index
    assert_same(like.stat_sum(), gammapy(datasets))
    assert_same(compile_likelihood(datasets).stat_sum(), gammapy(datasets))


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
    ours, theirs = like.stat_sum(), gammapy(datasets)
    assert not np.isnan(ours)
    if theirs > 1e20:
        assert ours > 1e20
    else:
        assert_same(ours, theirs)
    assert ours > reasonable


def test_gradient_at_index_one(zoo):
    datasets = zoo.plain.spectrum()
    datasets.models[0].spectral_model.index.value = 1
    assert_gradient(zoo, compile_likelihood(datasets))


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
    assert_same(like.stat_sum(), gammapy(datasets))


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
    like = assert_as_gammapy(zoo, datasets)
    assert len(like.parameters) == 7


def test_only_source_is_outside(zoo):
    datasets = zoo.plain.cube()
    position = zoo.plain.POSITION.directional_offset_by(30 * u.deg, 5 * u.deg)
    shape = PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs")
    shape.freeze()
    datasets.models = Models([zoo.plain.power_law("outside", shape)])
    like = assert_as_gammapy(zoo, datasets)
    _, gradient = like.value_and_grad(factors(like))
    assert np.all(gradient == 0)


def test_source_outside_the_region(zoo):
    datasets = zoo.plain.spectrum()
    position = zoo.plain.POSITION.directional_offset_by(0 * u.deg, 5 * u.deg)
    shape = PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs")
    shape.freeze()
    datasets.models = Models([*datasets.models, zoo.plain.power_law("outside", shape)])
    assert_as_gammapy(zoo, datasets)


@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off", "points"])
def test_nothing_is_free(zoo, sort):
    datasets = getattr(zoo.plain, sort)()
    datasets.parameters.freeze_all()
    like = compile_likelihood(datasets)
    assert like.parameters == []
    assert_same(like.stat_sum(), gammapy(datasets))
    value, gradient = like.value_and_grad([])
    assert_same(value, gammapy(datasets))
    assert gradient.shape == (0,)
    assert like.hessian([]).shape == (0, 0)
    assert_same(like.batch(np.empty((2, 0))), [value, value])
    datasets.models[0].spectral_model.amplitude.value *= 1.5
    assert like.value([]) != value
    assert_same(like.value([]), gammapy(datasets))
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
    assert_gradient(zoo, assert_as_gammapy(zoo, datasets))


def test_background_without_sources(zoo):
    datasets = zoo.plain.cube()
    datasets.models = Models([datasets.models["cube-bkg"]])
    like = assert_as_gammapy(zoo, datasets)
    assert len(like.parameters) == 2
    assert_gradient(zoo, like)


def test_norm_of_a_background_that_is_not_there(zoo):
    datasets = zoo.plain.cube()
    datasets[0].background = None
    zoo.rebuild(datasets)
    assert_as_gammapy(zoo, datasets)


@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off"])
@pytest.mark.parametrize("missing", ["exposure", "edisp", "psf", "gti"])
def test_missing_part(zoo, sort, missing):
    """Gammapy's value, or an error where Gammapy has one."""
    datasets = getattr(zoo.plain, sort)()
    setattr(datasets[0], missing, None)
    zoo.rebuild(datasets)
    try:
        gammapy(datasets)
    except (AttributeError, ValueError):
        with pytest.raises((NotCompilable, ConfigError, AttributeError, ValueError)):
            compile_likelihood(datasets).stat_sum()
    else:
        assert_as_gammapy(zoo, datasets)


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube"])
def test_parameter_at_a_limit(zoo, sort, side):
    datasets = getattr(zoo.plain, sort)()
    amplitude = datasets.models[0].spectral_model.amplitude
    setattr(amplitude, side, amplitude.value)
    like = compile_likelihood(datasets)
    assert_same(like.stat_sum(), gammapy(datasets))
    assert_gradient(zoo, like)
    for value in (0.5, 2):
        amplitude.value *= value
        # An optimiser does not go there, but a user may.
        assert_same(like.value(factors(like)), gammapy(datasets))


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
    before = like.stat_sum(), factors(like)
    amplitude = datasets.models[0].spectral_model.amplitude
    amplitude.scale_transform = "log"
    datasets.parameters.autoscale()
    assert not np.allclose(factors(like), before[1])
    assert_same(like.stat_sum(), before[0])
    assert_same(like.value(factors(like)), before[0])
    assert_gradient(zoo, like)


def test_wrong_number_of_factors(zoo):
    like = compile_likelihood(zoo.plain.spectrum())
    for x in ([1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="factors"):
            like.value(x)


def test_unknown_options(zoo):
    datasets = zoo.plain.spectrum()
    like = compile_likelihood(datasets)
    with pytest.raises(ConfigError):
        like.hessian(factors(like), kind="expected")
    with pytest.raises(ConfigError):
        fit(datasets, errors="minos")
    with pytest.raises(ConfigError):
        fit(datasets, compiled="yes")


@pytest.mark.parametrize("sort", ["spectrum", "cube", "on_off"])
def test_fisher_information_is_that_of_expected_counts(zoo, sort):
    """Where the counts are those expected, expected and observed second derivatives agree."""
    datasets = getattr(zoo.plain, sort)(asimov=True)
    like = compile_likelihood(datasets)
    x = factors(like)
    observed, fisher = like.hessian(x), like.hessian(x, kind="fisher")
    sigma = np.sqrt(np.diag(observed))
    np.testing.assert_allclose(fisher / sigma / sigma[:, None], observed / sigma / sigma[:, None], atol=1e-7)
    zoo.perturb(np.random.default_rng(1), Parameters(like.parameters))
    x = factors(like)
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
    like = assert_as_gammapy(zoo, datasets)
    expected = list(datasets.parameters.free_unique_parameters)
    assert [id(p) for p in like.parameters] == [id(p) for p in expected]
    assert_gradient(zoo, like)


def test_sources_that_share_a_spectrum(zoo):
    datasets = zoo.plain.cube()
    sources = [datasets.models["point"], datasets.models["extended"]]
    sources[1].spectral_model = sources[0].spectral_model
    sources[0].spectral_model.index.frozen = False
    datasets.models = Models(sources)
    like = assert_as_gammapy(zoo, datasets)
    assert len(like.parameters) == 2
    assert_gradient(zoo, like)


def test_spectrum_that_holds_a_part_twice(zoo):
    datasets = zoo.plain.spectrum()
    source = datasets.models[0]
    norm = PowerLawNormSpectralModel(norm=0.8, tilt=0.1)
    norm.tilt.frozen = False
    source.spectral_model = source.spectral_model * norm * norm
    zoo.rebuild(datasets)
    assert_gradient(zoo, assert_as_gammapy(zoo, datasets))


def test_prior_of_a_linked_parameter(zoo):
    """Gammapy counts it once for each model that has the parameter."""
    datasets = zoo.plain.on_off()
    one, two = zoo.plain.power_law("a"), zoo.plain.power_law("b")
    two.spectral_model.index = one.spectral_model.index
    one.spectral_model.index.prior = GaussianPrior(mu=2.0, sigma=0.1)
    datasets.models = Models([one, two])
    like = assert_as_gammapy(zoo, datasets)
    assert_gradient(zoo, like)


def test_prior_and_penalty_of_frozen_parameters(zoo):
    datasets = zoo.plain.spectrum()
    model = datasets.models[0].spectral_model
    model.index.frozen = True
    model.index.prior = GaussianPrior(mu=2.0, sigma=0.1)
    penalty = GaussianPriorPenalty.L2_penalty([model.index, model.reference], lambda_=2)
    datasets.models = Models(list(datasets.models), penalties=[penalty])
    like = assert_as_gammapy(zoo, datasets)
    assert_gradient(zoo, like)
    for parameter, value in ((model.index, 2.6), (model.reference, 1.3)):
        parameter.value = value
        assert_same(like.value(factors(like)), gammapy(datasets))


def test_outside_of_a_uniform_prior(zoo):
    datasets = zoo.plain.spectrum()
    model = datasets.models[0].spectral_model
    model.index.prior = UniformPrior(min=2, max=3)
    like = compile_likelihood(datasets)
    assert_same(like.stat_sum(), gammapy(datasets))
    model.index.value = 3.5
    assert gammapy(datasets) == np.inf
    assert like.stat_sum() == like.value(factors(like)) == np.inf
    assert_same(like.batch(factors(like)[np.newaxis]), [np.inf])


def test_template_of_a_part_of_the_map(zoo):
    datasets = zoo.plain.cube()
    counts = datasets[0].counts
    part = counts.cutout(zoo.plain.POSITION, width=0.25 * u.deg)
    part.data = part.data + 1.0
    assert part.geom.data_shape != counts.geom.data_shape
    template = TemplateNPredModel(part, name="part", datasets_names=["cube"])
    datasets.models = Models([*datasets.models, template])
    assert_gradient(zoo, assert_as_gammapy(zoo, datasets))


@pytest.mark.parametrize("dtype", [bool, int, "float32"])
def test_kinds_of_masks(zoo, dtype):
    """A plain statistic takes each number but zero for true."""
    datasets = zoo.plain.cube()
    mask = Map.from_geom(datasets[0].counts.geom, dtype=float)
    mask.data += 2
    mask.data[1:3, 2:5] = 0
    mask.data = mask.data.astype(dtype)
    datasets[0].mask_fit = mask
    assert_gradient(zoo, assert_as_gammapy(zoo, datasets))


# -- change detection --------------------------------------------------------------------------


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
    datasets.models[0].spectral_model = PowerLawSpectralModel(index=1.9, amplitude="2e-11 cm-2 s-1 TeV-1")


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
    (("points",), [_point_values, _point_errors, _other_limits, _point_mask, _points_of_other_kind]),
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
    assert_same(before, gammapy(datasets))
    change(datasets)
    # Gammapy keeps responses and predicted counts, too, until it gets its models anew.
    zoo.rebuild(datasets)
    theirs = gammapy(datasets)
    assert theirs != pytest.approx(before, rel=1e-6)
    assert_same(like.stat_sum(), theirs)
    free = list(datasets.parameters.free_unique_parameters)
    assert [id(p) for p in like.parameters] == [id(p) for p in free]
    x = factors(like)
    assert_same(like.value(x), theirs)
    assert_same(like.value_and_grad(x)[0], theirs)


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
    assert_same(like.stat_sum(), before)


def test_times_are_seen(zoo):
    datasets = zoo.plain.spectrum()
    source = datasets.models[0]
    source.temporal_model = ExpDecayTemporalModel(t0=0.1 * u.d, t_ref=51544 * u.d)
    source.temporal_model.t0.frozen = True
    zoo.rebuild(datasets)
    like = compile_likelihood(datasets)
    before = like.stat_sum()
    assert_same(before, gammapy(datasets))
    source.temporal_model.t0.value = 0.2
    assert_same(like.stat_sum(), gammapy(datasets))
    assert like.stat_sum() != pytest.approx(before)
    datasets[0].gti = GTI.create(1 * u.h, 5 * u.h)
    zoo.rebuild(datasets)
    assert_same(like.stat_sum(), gammapy(datasets))


def test_new_dataset_is_seen(zoo):
    datasets = zoo.plain.on_off()
    like = compile_likelihood(datasets)
    assert_same(like.stat_sum(), gammapy(datasets))
    other = datasets[0].copy(name="another")
    other.models = list(datasets.models)
    datasets.append(other)
    assert_same(like.stat_sum(), gammapy(datasets))


def test_inputs_stay_as_they_are(zoo):
    datasets = zoo.plain.cube()
    dataset = datasets[0]
    parts = [dataset.counts, dataset.background, dataset.exposure]
    parts += [dataset.psf.psf_map, dataset.edisp.edisp_map]
    before = [part.data.copy() for part in parts]
    values = datasets.parameters.value.copy()
    like = compile_likelihood(datasets)
    x = 1.1 * factors(like)
    like.value(x), like.value_and_grad(x), like.hessian(x), like.batch(x[np.newaxis])
    assert np.array_equal(values, datasets.parameters.value)
    for part, data in zip(parts, before, strict=True):
        assert np.array_equal(part.data, data)


# -- what is left to Gammapy -------------------------------------------------------------------


class OwnSpectrumDataset(SpectrumDataset):
    """A dataset of a kind that no library knows."""

    tag = "OwnSpectrumDataset"


def _free_shape(zoo):
    datasets = zoo.plain.cube()
    datasets.models["extended"].spatial_model.sigma.frozen = False
    return datasets


def test_compiled_true_refuses_with_reasons(zoo):
    datasets = _free_shape(zoo)
    before = datasets.parameters.value.copy()
    with pytest.raises(NotCompilable, match=r"extended.*sigma") as caught:
        fit(datasets, compiled=True)
    assert caught.value.remedy
    np.testing.assert_allclose(datasets.parameters.value, before, rtol=1e-12)


def test_auto_keeps_and_logs_the_reason(zoo, caplog):
    datasets = _free_shape(zoo)
    with caplog.at_level(logging.INFO, logger="ctao_sat"):
        result = fit(datasets, compiled="auto")
    (fallback,) = result.report.fallbacks
    assert (fallback.dataset, fallback.model) == ("cube", "extended")
    assert "sigma" in fallback.reason
    assert not result.report.is_complete
    assert fallback.reason in str(result.report)
    assert fallback.reason in caplog.text
    assert result.success
    assert result.total_stat == pytest.approx(gammapy(datasets), rel=1e-9)


def test_complete_report_is_quiet(zoo, caplog):
    datasets = zoo.plain.cube()
    with caplog.at_level(logging.WARNING, logger="ctao_sat"):
        result = fit(datasets)
    assert result.report.is_complete
    assert result.report.fallbacks == []
    assert result.report.compiled == ["cube"]
    assert caplog.text == ""


def test_unknown_dataset_is_left_to_gammapy(zoo, caplog):
    plain = zoo.plain.spectrum()[0]
    own = OwnSpectrumDataset(
        name="own", counts=plain.counts, exposure=plain.exposure, edisp=plain.edisp,
        background=plain.background, gti=plain.gti,
    )  # fmt: skip
    datasets = Datasets([own, plain])
    datasets.models = Models([zoo.plain.power_law()])
    like = assert_as_gammapy(zoo, datasets)
    assert like.report.compiled == ["run"]
    assert [fallback.dataset for fallback in like.report.fallbacks] == ["own"]
    assert_gradient(zoo, like)
    with pytest.raises(NotCompilable, match="own"):
        fit(datasets, compiled=True)


def test_everything_is_left_to_gammapy(zoo):
    plain = zoo.plain.spectrum()[0]
    own = OwnSpectrumDataset(
        name="own", counts=plain.counts, exposure=plain.exposure, edisp=plain.edisp,
        background=plain.background, gti=plain.gti,
    )  # fmt: skip
    datasets = Datasets([own])
    datasets.models = Models([zoo.plain.power_law()])
    like = assert_as_gammapy(zoo, datasets)
    assert like.report.compiled == []
    result = fit(datasets)
    assert result.success
    assert not result.report.is_complete


def test_fisher_information_needs_compiled_parts(zoo):
    like = compile_likelihood(_free_shape(zoo))
    with pytest.raises(NotCompilable):
        like.hessian(factors(like), kind="fisher")


def test_healpix_is_left_to_gammapy(zoo):
    pytest.importorskip("healpy")
    from gammapy.datasets import MapDataset
    from gammapy.maps import HpxGeom

    reco, true = zoo.plain.axes(4)
    geom = HpxGeom.create(nside=64, region="DISK(83.6,22,3)", frame="icrs", axes=[reco])
    exposure = Map.from_geom(geom.to_image().to_cube([true]), unit="cm2 s")
    exposure.data += 3e13
    counts, background = Map.from_geom(geom, dtype=float), Map.from_geom(geom, dtype=float)
    counts.data += 2
    background.data += 1
    dataset = MapDataset(name="sky", counts=counts, background=background, exposure=exposure)
    dataset.gti = GTI.create(0 * u.h, 1 * u.h)
    shape = GaussianSpatialModel(
        lon_0=83.6 * u.deg, lat_0=22 * u.deg, sigma=1 * u.deg, frame="icrs"
    )
    shape.freeze()
    datasets = Datasets([dataset])
    datasets.models = [zoo.plain.power_law("source", shape), FoVBackgroundModel(dataset_name="sky")]
    like = assert_as_gammapy(zoo, datasets)
    assert "HEALPix" in like.report.reasons()


def test_compiled_false_is_gammapys_fit(zoo):
    one, two = zoo.plain.spectrum(), zoo.plain.spectrum()
    result = fit(one, compiled=False)
    assert isinstance(result, FitResult)
    theirs = Fit().run(two)
    assert result.total_stat == theirs.total_stat
    np.testing.assert_array_equal(one.parameters.value, two.parameters.value)


@pytest.mark.parametrize("sort", ["spectrum", "on_off", "cube", "points"])
def test_fit_agrees_with_gammapys(zoo, sort):
    one, two = getattr(zoo.plain, sort)(), getattr(zoo.plain, sort)()
    ours = fit(one, compiled=True)
    # Gammapy stops when its own estimate of the distance is small: go on from where it stopped.
    Fit().run(two)
    theirs = Fit().run(two)
    assert isinstance(ours, FitResult)
    assert ours.total_stat == pytest.approx(theirs.total_stat, abs=1e-3)
    assert ours.total_stat == pytest.approx(gammapy(one), rel=1e-9)
    for mine, other in zip(one.parameters, two.parameters, strict=True):
        assert mine.value == pytest.approx(other.value, abs=0.05 * other.error, rel=1e-12)
        assert mine.error == pytest.approx(other.error, rel=0.05)
    assert "Gammapy" in " ".join(ours.report.guard)


# -- the guard ---------------------------------------------------------------------------------


class DriftingSpectralModel(SpectralModel):
    """A power law whose flux grows with each of its first calls: no two of them agree."""

    tag = ["DriftingSpectralModel", "drifting"]
    index = Parameter("index", 2.3)
    amplitude = Parameter("amplitude", 3e-11, unit="cm-2 s-1 TeV-1", scale_method="scale10")
    n_calls = 0
    n_drifting = 60

    def evaluate(self, energy, index, amplitude):
        """Return dN/dE."""
        self.n_calls += 1
        drift = 1 + 1e-3 * min(self.n_calls, self.n_drifting)
        return drift * amplitude * (energy / u.TeV).to_value("") ** -index.value


def _drifting(zoo):
    datasets = zoo.plain.spectrum()
    datasets.models = Models([SkyModel(DriftingSpectralModel(), name="source")])
    return datasets


def test_guard_lets_gammapy_fit_where_values_differ(zoo, caplog):
    datasets = _drifting(zoo)
    with caplog.at_level(logging.WARNING, logger="ctao_sat"), np.errstate(all="ignore"):
        result = fit(datasets, compiled="auto")
    assert "differs from Gammapy" in caplog.text
    assert result.report.refused
    assert "but Gammapy has" in result.report.guard[-1]
    assert datasets.models[0].spectral_model.n_calls > DriftingSpectralModel.n_drifting
    # What Gammapy finds is that of a power law, but for the drift.
    plain = zoo.plain.spectrum()
    expected = Fit().run(plain).total_stat
    assert result.total_stat == pytest.approx(expected, abs=0.01)
    ratio = plain.parameters["amplitude"].value / datasets.parameters["amplitude"].value
    assert ratio == pytest.approx(1.06, rel=1e-2)


def test_guard_can_be_switched_off(zoo):
    datasets = zoo.plain.spectrum()
    result = fit(datasets, compiled=True, guard=False)
    assert result.report.guard == ["off"]
    guarded = fit(datasets, compiled=True)
    assert len(guarded.report.guard) == 3
    assert not guarded.report.refused


def test_guard_does_not_move_parameters(zoo):
    """The point near the start is left again: the fit starts from where the user has put it."""
    one, two = zoo.plain.cube(), zoo.plain.cube()
    guarded = fit(one, compiled=True, guard=True)
    free = fit(two, compiled=True, guard=False)
    assert guarded.total_stat == free.total_stat
    np.testing.assert_array_equal(one.parameters.value, two.parameters.value)


def test_norm_spectrum_of_one(zoo):
    """A factor of one changes nothing."""
    datasets = zoo.plain.spectrum()
    before = compile_likelihood(datasets).stat_sum()
    norm = PowerLawNormSpectralModel()
    norm.freeze()
    source = datasets.models[0]
    source.spectral_model = source.spectral_model * norm
    zoo.rebuild(datasets)
    like = assert_as_gammapy(zoo, datasets)
    assert like.report.is_complete
    # The product is integrated with a rule, the power law alone is not.
    assert before == pytest.approx(gammapy(zoo.plain.spectrum()), rel=1e-9)
