"""Bins summed beforehand and bins evaluated one by one give the same statistic."""

import functools

import numpy as np
import pytest
from gammapy.maps import Map
from gammapy.modeling.models import FoVBackgroundModel, Models
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from ctao_sat._gammapy import fresh_copy
from ctao_sat.kernels import reference
from ctao_sat.kernels.counts import is_valid, predict, stat_sum
from ctao_sat.kernels.statistics import WSTAT
from ctao_sat.likelihood import KernelCache, Report, compile_likelihood
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._terms import build_terms


def scatter(value, share):
    """Return a change of the background: this value in a share of all bins."""

    def change(datasets, rng):
        data = datasets[0].background.data
        data[rng.uniform(size=data.shape) < share] = value

    return change


def without_model(datasets, _):
    """Take the model of the background away: nothing changes it then."""
    kept = [m for m in datasets.models if not isinstance(m, FoVBackgroundModel)]
    datasets.models = Models(kept)


def without_background(datasets, rng):
    without_model(datasets, rng)
    datasets[0].background = None


def fixed_with_holes(datasets, rng):
    without_model(datasets, rng)
    scatter(0.0, 0.3)(datasets, rng)
    scatter(np.nan, 0.05)(datasets, rng)


def weights(datasets, rng):
    geom = datasets[0].counts.geom
    drawn = rng.uniform(-0.2, 1, geom.data_shape)
    datasets[0].mask_fit = Map.from_geom(geom, data=np.maximum(drawn, 0))
    datasets[0].stat_type = "cash_weighted"


def weights_with_holes(datasets, rng):
    weights(datasets, rng)
    scatter(0.0, 0.3)(datasets, rng)


def no_counts(datasets, _):
    datasets[0].counts.data[...] = 0


def many_counts(datasets, rng):
    datasets[0].counts.data[...] = rng.poisson(3, datasets[0].counts.data.shape)


def masked(datasets, rng):
    mask = datasets[0].mask_safe.data
    mask[1] = False
    mask[2] = rng.uniform(size=mask[2].shape) < 0.5


def faint_background(datasets, _):
    datasets[0].background.data *= 1e-6


def quiet(datasets, rng):
    """Most bins have neither on nor off counts."""
    dataset = datasets[0]
    shape = dataset.counts.data.shape
    dataset.counts.data[rng.uniform(size=shape) < 0.7] = 0
    dataset.counts_off.data[rng.uniform(size=shape) < 0.8] = 0


def no_on_region(datasets, rng):
    """In some bins the ratio of acceptances is zero."""
    quiet(datasets, rng)
    data = datasets[0].acceptance.data
    data[rng.uniform(size=data.shape) < 0.2] = 0


def no_off_region(datasets, rng):
    """In some bins the ratio of acceptances is not finite; Gammapy takes the largest number."""
    quiet(datasets, rng)
    data = datasets[0].acceptance_off.data
    data[rng.uniform(size=data.shape) < 0.2] = 0


def unchanged(_, __):
    pass


VARIANTS = {
    "plain": ("cube", unchanged),
    "zero background": ("cube", scatter(0.0, 2.0)),
    "holes": ("cube", scatter(0.0, 0.3)),
    "no numbers": ("cube", scatter(np.nan, 0.1)),
    "negative": ("cube", scatter(-0.1, 0.1)),
    "tiny": ("cube", scatter(1e-14, 0.1)),
    "faint": ("cube", faint_background),
    "fixed background": ("cube", without_model),
    "fixed background with holes": ("cube", fixed_with_holes),
    "no background": ("cube", without_background),
    "weights": ("cube", weights),
    "weights with holes": ("cube", weights_with_holes),
    "no counts": ("cube", no_counts),
    "many counts": ("cube", many_counts),
    "masked": ("cube", masked),
    "on-off": ("map on-off", unchanged),
    "quiet on-off": ("map on-off", quiet),
    "on-off without on": ("map on-off", no_on_region),
    "on-off without off": ("map on-off", no_off_region),
    "region": ("spectrum", unchanged),
    "region on-off": ("on-off", unchanged),
    "joint": ("joint", unchanged),
}
# In these most bins are summed beforehand.
SHRINKING = {
    "plain", "holes", "no numbers", "fixed background", "weights", "no counts", "masked",
    "quiet on-off", "joint",
}  # fmt: skip


class Parts:
    """The terms of some datasets with both plans."""

    def __init__(self, datasets):
        self.datasets = datasets
        self.map = ParameterMap(datasets.parameters)
        self.terms = build_terms(datasets, self.map, KernelCache(), Report())
        self.f = self.spectra(self.map.values())
        self.quick, self.full = (
            self.terms.plan(self.f, self.map.values(), full=full) for full in (False, True)
        )

    def spectra(self, p):
        return self.terms.spectra.compute(p, 0)[0]


def statistic(plan, f) -> float:
    mu = np.empty(len(plan.arrays.offset))
    predict(plan.arrays, f, mu)
    return stat_sum(plan.arrays, f, mu) + plan.constant


@pytest.fixture(scope="module")
def parts(small):
    """Return a function from the name of a variant to its parts."""

    @functools.cache
    def make(name):
        kind, change = VARIANTS[name]
        datasets = small.datasets(kind)
        change(datasets, np.random.default_rng(20261201))
        return Parts(fresh_copy(datasets))

    return make


@pytest.mark.parametrize("name", VARIANTS)
def test_both_plans_give_gammapys_statistic(parts, name):
    made = parts(name)
    with np.errstate(all="ignore"):
        expected = made.datasets.stat_sum()
    assert is_valid(made.quick.arrays, made.f)
    for plan in (made.quick, made.full):
        assert statistic(plan, made.f) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_full_plan_has_all_bins(parts, name):
    made = parts(name)
    assert len(made.full.arrays.offset) == made.terms.n_bins
    assert np.all(made.full.arrays.implicit == 0)
    assert is_valid(made.full.arrays, -made.f)
    for data, positions in zip(made.terms.data, made.full.positions, strict=True):
        if positions is not None:
            np.testing.assert_array_equal(positions, np.flatnonzero(data.mask))


@pytest.mark.parametrize("name", sorted(SHRINKING))
def test_the_quick_plan_has_few(parts, name):
    made = parts(name)
    quick, full = len(made.quick.arrays.offset), len(made.full.arrays.offset)
    assert quick < 0.7 * full
    assert made.quick.arrays.values.size < made.full.arrays.values.size


@pytest.mark.parametrize("name", VARIANTS)
def test_counts_are_neither_lost_nor_doubled(parts, name):
    """With weights one, all counts are in the bins of each plan."""
    made = parts(name)
    if "weights" in name or name == "joint":
        return
    data = made.terms.data[0]
    expected = data.counts[data.mask].sum()
    for plan in (made.quick, made.full):
        assert plan.arrays.rows[:, 0].sum() == pytest.approx(
            expected - constant(data) * (plan is made.quick)
        )


def constant(data) -> float:
    """Return the counts in bins that no parameter changes, which are in the constant."""
    if data.kind == WSTAT:
        return 0.0
    covered = np.zeros(data.mask.shape[1:], dtype=bool)
    for response in data.responses:
        (y, x), (n_y, n_x) = response.corner, response.images.shape[1:]
        covered[y : y + n_y, x : x + n_x] = True
    if covered.size == 1:
        return 0.0
    background = np.zeros(data.mask.shape) if data.background is None else data.background
    fixed = background == 0
    if data.background_request is None:
        fixed |= background >= 1e-12
    return data.counts[data.mask & ~covered & fixed].sum()


@seed(20261202)
@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(list(VARIANTS)), number=st.integers(0, 2**32 - 1), wild=st.booleans())
def test_where_the_quick_plan_holds_it_is_exact(parts, name, number, wild):
    made, rng = parts(name), np.random.default_rng(number)
    f = made.f * np.exp(rng.normal(0, 2 if wild else 0.3, len(made.f)))
    if wild:
        chosen = rng.uniform(size=len(f)) < 0.05
        f[chosen] *= rng.choice([0.0, -1.0, -1e-3, np.nan, 1e6], chosen.sum())
    kept = f.copy()
    valid = is_valid(made.quick.arrays, f)
    if valid:
        quick, full = statistic(made.quick, f), statistic(made.full, f)
        assert quick == pytest.approx(full, rel=1e-11, nan_ok=True)
    np.testing.assert_array_equal(f, kept)
    if not wild and "background" not in name and name not in ("holes", "faint"):
        assert valid


@seed(20261203)
@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(list(VARIANTS)), number=st.integers(0, 2**32 - 1))
def test_the_full_plan_is_that_of_the_dense_twin(parts, name, number):
    made, rng = parts(name), np.random.default_rng(number)
    if name == "joint":
        return
    f = made.f * np.exp(rng.normal(0, 1, len(made.f)))
    f[rng.uniform(size=len(f)) < 0.05] *= -1
    # Where there is no off region a bin of negative signal has more than there are numbers for.
    with np.errstate(over="ignore"):
        expected = reference.counts_statistic(made.full.arrays, f) + made.full.constant
    assert statistic(made.full, f) == pytest.approx(expected, rel=1e-11)


@seed(20261204)
@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from([n for n in VARIANTS if n != "joint"]), number=st.integers(0, 2**32 - 1)
)
def test_values_are_gammapys_for_random_parameters(parts, name, number):
    """Norms of sources and backgrounds may be negative, zero, tiny or huge."""
    made, rng = parts(name), np.random.default_rng(number)
    datasets = made.datasets
    likelihood = likelihoods(parts, name)
    before = [parameter.value for parameter in likelihood.parameters]
    try:
        for parameter in likelihood.parameters:
            norm = parameter.name in ("norm", "amplitude")
            choices = [1, 1, 1, 0, -0.2, -2, 1e-9, 1e3] if norm else [1, 1, 0.8, 1.5]
            parameter.value *= rng.choice(choices) * rng.uniform(0.9, 1.1)
        with np.errstate(all="ignore"):
            expected = fresh_copy(datasets).stat_sum()
        assert likelihood.stat_sum() == pytest.approx(expected, rel=1e-9, abs=1e-6)
        x = [parameter.factor for parameter in likelihood.parameters]
        assert likelihood.batch([x])[0] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        assert likelihood.value_and_grad(x)[0] == pytest.approx(expected, rel=1e-9, abs=1e-6)
    finally:
        for parameter, value in zip(likelihood.parameters, before, strict=True):
            parameter.value = value


@functools.cache
def likelihoods(parts, name):
    return compile_likelihood(parts(name).datasets)


@pytest.mark.parametrize("name", ["plain", "weights", "fixed background", "quiet on-off"])
def test_derivatives_of_both_plans_agree(parts, name, monkeypatch):
    likelihood = compile_likelihood(parts(name).datasets)
    x = np.array([parameter.factor for parameter in likelihood.parameters])
    quick = likelihood.value_and_grad(x)[1], likelihood.hessian(x)
    full = parts(name).full
    monkeypatch.setattr(likelihood._engine, "plan", full)
    monkeypatch.setattr(likelihood._engine, "_plans", [full])
    monkeypatch.setattr(likelihood._engine, "_current", full)
    exact = likelihood.value_and_grad(x)[1], likelihood.hessian(x)
    scale = np.sqrt(np.diag(exact[1]))
    np.testing.assert_allclose(quick[0] / scale, exact[0] / scale, atol=1e-9)
    np.testing.assert_allclose(
        quick[1] / np.outer(scale, scale), exact[1] / np.outer(scale, scale), atol=1e-9
    )


def test_a_brighter_source_makes_a_new_plan_or_the_full_one(parts):
    """The noise of Fourier transforms grows with the source; a plan holds up to a brightness."""
    made = parts("plain")
    for factor in (1.0, 1e2, 1e4, 1e8):
        plan = made.terms.plan(factor * made.f, made.map.values(), full=False)
        assert is_valid(plan.arrays, factor * made.f)
        expected = statistic(made.full, factor * made.f)
        assert statistic(plan, factor * made.f) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("name", ["plain", "weights", "fixed background"])
@pytest.mark.parametrize("part", [-1.0, -1e-2, -1e-4])
def test_a_negative_source_has_a_plan_of_its_own(parts, name, part):
    """Where it takes little from the background, bins without counts are still summed."""
    made = parts(name)
    sources = np.repeat(made.terms.signal, np.diff(made.terms.spectra.start))
    f = np.where(sources, part * made.f, made.f)
    plan = made.terms.plan(f, made.map.values(), full=False)
    assert is_valid(plan.arrays, f)
    assert statistic(plan, f) == pytest.approx(statistic(made.full, f), rel=1e-11)
    assert len(plan.arrays.offset) <= len(made.full.arrays.offset)
    stronger = np.where(sources, 20 * f, f)
    assert is_valid(plan.arrays, stronger)
    assert statistic(plan, stronger) == pytest.approx(statistic(made.full, stronger), rel=1e-11)


def test_faint_negative_sources_are_cheap(parts):
    made = parts("plain")
    sources = np.repeat(made.terms.signal, np.diff(made.terms.spectra.start))
    plan = made.terms.plan(np.where(sources, -1e-6 * made.f, made.f), made.map.values(), full=False)
    assert len(plan.arrays.offset) <= 1.2 * len(made.quick.arrays.offset)
    assert len(plan.arrays.offset) < 0.9 * len(made.full.arrays.offset)


def test_plans_do_not_pile_up(parts):
    """A search that wanders gets a new plan now and then, and the numbers are the same."""
    made = parts("plain")
    engine = compile_likelihood(made.datasets)._engine
    sources = np.repeat(made.terms.signal, np.diff(made.terms.spectra.start))
    for i in range(40):
        f = np.where(sources, (-1) ** i * 40.0 ** (i % 7 - 5) * made.f, made.f)
        plan = engine.plan_for(f, made.map.values())
        assert statistic(plan, f) == pytest.approx(statistic(made.full, f), rel=1e-11)
    assert len(engine._plans) <= 4
