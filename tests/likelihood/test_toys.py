"""Toys: what is drawn, how it is fitted, and that both depend on nothing but the seed.

Statistical statements have fixed seeds; each says how often it would fail by chance.
"""

import logging
import pickle

import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.maps import Map
from gammapy.modeling import Fit
from gammapy.modeling.models import SkyModel
from scipy.stats import chi2, kstest

from ctao_sat import dl5
from ctao_sat.errors import ConfigError, DataError
from ctao_sat.likelihood import Toys, draw_counts, toys
from ctao_sat.likelihood._draw import draw, expected_counts

SEED = 20281201
KINDS = ["spectrum", "on-off", "cube", "map on-off"]


def rng(*more):
    return np.random.default_rng([SEED, *more])


@pytest.fixture(scope="module")
def fits(small):
    """Return 300 fits of each kind."""
    return {kind: toys(small.datasets(kind), 300, rng()) for kind in KINDS}


# -- what is drawn --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_those_of_the_model(small, kind):
    """Sums over all bins of 200 sets; beyond 4 standard deviations in 1 of 16,000 cases."""
    datasets = small.datasets(kind)
    one, expected = datasets[0], expected_counts(datasets)
    inside = slice(None) if one.mask is None else one.mask.data
    drawn = [draw(expected, stream)[one.name] for stream in rng(1).spawn(200)]
    sums = np.array([[np.sum(part) for part in pair if part is not None] for pair in drawn])
    means = [(one.npred_signal() + one.npred_background()).data[inside].sum()]
    if "on-off" in kind:
        means.append(one.npred_off().data.sum())
        # On and off are independent of each other.
        assert abs(np.corrcoef(sums.T)[0, 1]) < 4 / np.sqrt(len(sums))
    assert np.all(np.abs(sums.mean(axis=0) - means) < 4 * np.sqrt(means) / np.sqrt(len(sums)))


def test_drawn_datasets_are_copies(small):
    datasets = small.datasets("on-off")
    before = datasets[0].counts.data.copy(), datasets[0].counts_off.data.copy()
    drawn = draw_counts(datasets, rng(2))
    counts = draw(expected_counts(datasets), rng(2))["on-off"]
    for name, own, new in zip(("counts", "counts_off"), before, counts, strict=True):
        np.testing.assert_array_equal(getattr(datasets[0], name).data, own)
        np.testing.assert_array_equal(getattr(drawn[0], name).data, new)
    assert drawn.models is not None
    assert drawn[0].models[0] is datasets.models[0]


def test_nothing_is_drawn_outside_of_the_mask(small):
    datasets = small.datasets("cube")
    drawn = draw_counts(datasets, rng(2))[0].counts.data
    assert not drawn[~datasets[0].mask.data].any()
    assert drawn.any()


def test_flux_points_have_no_counts(small):
    with pytest.raises(DataError, match="flux points"):
        toys(small.datasets("joint"), 1, rng())


# -- how it is fitted -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_gammapy_fits_the_same(small, kind, fits):
    """The same set, drawn again for Gammapy's fit."""
    datasets = small.datasets(kind)
    found = fits[kind]
    assert found.success.all()
    assert found.n_by_minuit == 0
    one = Datasets(draw_counts(datasets, rng().spawn(300)[7]))
    one.models = datasets.models.copy()
    result = Fit(optimize_opts={"tol": 1e-4}).run(one)
    values = one.models.parameters.free_parameters.value
    assert found.stat[7] == pytest.approx(result.total_stat, abs=1e-4)
    assert np.max(np.abs(values - found.values[7]) / found.errors[7]) < 0.01
    np.testing.assert_allclose(dl5.fit(one).parameters.free_parameters.value, found.values[7],
                               rtol=1e-4)  # fmt: skip
    errors = [parameter.error for parameter in one.models.parameters.free_parameters]
    np.testing.assert_allclose(errors, found.errors[7], rtol=1e-3)


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube"])
def test_pulls(small, kind):
    """Mean 0 and width 1, each within 3 of its standard deviations: 5 % for one of 20 by chance.

    With ten times the exposure: the index of a source with a handful of counts is not Gaussian.
    """
    datasets = small.datasets(kind)
    one = datasets[0]
    one.exposure.data *= 10
    for name in ("counts", "counts_off") if kind == "on-off" else ("background",):
        getattr(one, name).data *= 10
    found = toys(datasets, 300, rng())
    assert found.success.all()
    pulls = found.pulls()
    n = len(pulls)
    assert np.all(np.abs(pulls.mean(axis=0)) < 3 / np.sqrt(n))
    assert np.all(np.abs(pulls.std(axis=0, ddof=1) - 1) < 3 / np.sqrt(2 * n))


@pytest.mark.parametrize("kind", ["spectrum", "cube"])
def test_truth_is_above_the_minimum_by_a_chi_squared_variable(kind, fits):
    """Wilks' theorem, for as many degrees of freedom as parameters; false in 1 of 10,000."""
    above = fits[kind].stat_truth - fits[kind].stat
    assert above.min() > 0
    assert kstest(above, chi2(len(fits[kind].names)).cdf).pvalue > 1e-4


def test_a_free_position(small):
    """Fits of a source that moves are those of `dl5.fit` from the same start."""
    datasets = small.datasets("cube")
    for parameter in (datasets.models["source"].spatial_model.lon_0,):
        parameter.frozen = False
    found = toys(datasets, 3, rng(3))
    assert found.success.all()
    one = draw_counts(datasets, rng(3).spawn(3)[1])
    one.models = datasets.models.copy()
    result = dl5.fit(one)
    assert found.stat[1] == pytest.approx(result.total_stat, abs=2e-3)
    names = [name for name in found.names if name == "source.lon_0"]
    assert names == ["source.lon_0"]


def test_a_limit_holds(small):
    """Without a source, half of the amplitudes are 0 within limits; 6 in 1000 beyond 0.08."""
    datasets = small.datasets("spectrum")
    model = datasets.models[0].spectral_model
    model.amplitude.value, model.amplitude.min, model.index.frozen = 0, 0, True
    found = toys(datasets, 300, rng(4), null=["source.amplitude"])
    assert found.success.all()
    at_zero = np.mean(found.values[:, 0] == 0)
    assert abs(at_zero - 0.5) < 0.08
    assert np.all(found.ts[found.values[:, 0] == 0] < 1e-9)
    # What is left is a chi-squared variable with one degree of freedom: false in 1 of 10,000.
    assert kstest(found.ts[found.values[:, 0] > 0], chi2(1).cdf).pvalue > 1e-4
    assert np.isnan(found.pulls()[found.values[:, 0] == 0]).all()


def test_null_distribution_with_nuisance_parameters(small):
    """TS of a source that is not there, on a background with free norm and tilt, without limits.

    A chi-squared variable with one degree of freedom: false in 1 of 10,000.
    """
    datasets = small.datasets("cube")
    ghost = datasets.models["second"].spectral_model
    ghost.amplitude.value, ghost.index.frozen = 0, True
    found = toys(datasets, 300, rng(5), null=[ghost.amplitude])
    assert found.success.all()
    assert found.ts.min() > -1e-6
    assert kstest(found.ts, chi2(1).cdf).pvalue > 1e-4


def test_sets_without_counts_are_fitted_too(small):
    """Half a count on average: fits at the limit, none lost, none that is not a number."""
    datasets = small.datasets("spectrum")
    datasets[0].background.data *= 0.005
    model = datasets.models[0].spectral_model
    model.amplitude.value, model.amplitude.min, model.index.frozen = 1e-14, 0, True
    found = toys(datasets, 50, rng(6))
    assert np.isfinite(found.stat).all()
    assert found.success.all()
    assert np.all(found.values >= 0)


def test_minuit_takes_over_where_steps_fail(small, monkeypatch, caplog):
    from ctao_sat.likelihood import _constrained

    datasets = small.datasets("spectrum")
    expected = toys(datasets, 3, rng(7))
    usual = _constrained.approach

    def lost(function, start, limits, **options):
        end = usual(function, start, limits, **options)
        return type(end)(start, end.held, False)

    monkeypatch.setattr(_constrained, "approach", lost)
    monkeypatch.setattr(_constrained, "follow_valleys", lambda _, *where: lost(*where))
    with caplog.at_level(logging.WARNING):
        found = toys(datasets, 3, rng(7))
    assert "Of 3 toys, 3 were left to Minuit, and 0 did not converge." in caplog.text
    assert found.by_minuit.all()
    np.testing.assert_allclose(found.stat, expected.stat, atol=1e-6)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4)


# -- what falls back ------------------------------------------------------------------------------


def test_a_model_that_gammapy_evaluates(small, caplog):
    datasets = small.datasets("cube")
    datasets.models["second"].spatial_model.lon_0.frozen = False
    for name in ("source", "second"):
        datasets.models[name].spectral_model.index.frozen = True
    expected = toys(datasets, 2, rng(8))
    own = small.own_point(datasets.models["second"])
    own.lon_0.frozen = False
    datasets.models["second"].spatial_model = own
    datasets.models = list(datasets.models)
    with caplog.at_level(logging.WARNING):
        found = toys(datasets, 2, rng(8))
    assert "Gammapy evaluates model 'second'" in caplog.text
    assert len(found.fallbacks) == 1
    assert "model 'second'" in found.fallbacks[0]
    assert expected.fallbacks == []
    np.testing.assert_allclose(found.stat, expected.stat, atol=1e-2)
    assert np.max(np.abs(found.values - expected.values) / expected.errors) < 0.05


def test_a_dataset_that_gammapy_evaluates(small, caplog):
    class Own(type(small.spectrum())):
        tag = "Own"

    datasets = small.datasets("spectrum")
    expected = toys(datasets, 2, rng(9))
    datasets[0].__class__ = Own
    with caplog.at_level(logging.WARNING):
        found = toys(datasets, 2, rng(9))
    assert "unknown kind of dataset" in caplog.text
    np.testing.assert_allclose(found.stat, expected.stat, atol=1e-2)


# -- what it depends on ---------------------------------------------------------------------------


def test_processes_change_nothing(small, fits, monkeypatch):
    """What processes are given, pickled, gives the same as a loop; `pmap` has its own tests."""
    from ctao_sat.likelihood import _toys

    sent = []

    def pmap(function, items, n_jobs, **options):
        assert n_jobs == 3
        sent.extend(map(pickle.dumps, items))
        return [pickle.loads(pickle.dumps(function(pickle.loads(item)))) for item in sent]

    monkeypatch.setattr(_toys, "pmap", pmap)
    found = toys(small.datasets("on-off"), 5, rng(), n_jobs=3)
    assert len(sent) == 3
    np.testing.assert_array_equal(found.values, fits["on-off"].values[:5])
    np.testing.assert_array_equal(found.covariance, fits["on-off"].covariance[:5])
    np.testing.assert_array_equal(found.stat, fits["on-off"].stat[:5])


def test_a_shorter_run_is_the_beginning_of_a_longer_one(small, fits):
    found = toys(small.datasets("spectrum"), 20, rng())
    np.testing.assert_array_equal(found.stat, fits["spectrum"].stat[:20])


def test_models_and_data_stay(small):
    datasets = small.datasets("cube")
    dl5.fit(datasets)
    before = [(p.value, p.error, p.frozen) for p in datasets.models.parameters]
    matrix, counts = datasets.models.covariance.data.copy(), datasets[0].counts.data.copy()
    toys(datasets, 2, rng(10), null=["second.amplitude"])
    assert before == [(p.value, p.error, p.frozen) for p in datasets.models.parameters]
    np.testing.assert_array_equal(datasets.models.covariance.data, matrix)
    np.testing.assert_array_equal(datasets[0].counts.data, counts)


# -- the goodness of a fit ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spectrum", "on-off"])
def test_goodness_of_fit(small, kind):
    """The model that made the data is not refused, but for chances of 1 in 200; a wrong one is."""
    datasets = small.datasets(kind)
    dl5.fit(datasets)
    good = toys(datasets, 200, rng(11))
    assert 0.005 < good.p_value() <= 1
    datasets[0].counts.data[1] *= 3
    dl5.fit(datasets)
    bad = toys(datasets, 200, rng(12))
    assert bad.p_value() == 1 / 201


def test_the_deviance_is_that_of_many_counts(small):
    """With many counts a chi-squared variable: 4 bins, 2 parameters; false in 1 of 10,000."""
    datasets = small.datasets("spectrum")
    datasets[0].exposure.data *= 100
    found = toys(datasets, 300, rng(13))
    assert kstest(found.deviance, chi2(2).cdf).pvalue > 1e-4


def test_the_deviance_of_weighted_bins(small):
    datasets = small.datasets("spectrum")
    one = datasets[0]
    one.mask_fit = Map.from_geom(one.counts.geom, data=np.array([1, 0.5, 0, 1]).reshape(4, 1, 1))
    one.stat_type = "cash_weighted"
    found = toys(datasets, 3, rng(14))
    counts = draw_counts(datasets, rng(14).spawn(3)[0])[0].counts.data.ravel()
    n, weights = counts[[0, 1, 3]], np.array([1, 0.5, 1])
    assert counts[2] == 0
    assert found.stat_saturated[0] == pytest.approx(2 * np.sum(weights * (n - n * np.log(n))))


# -- what is returned -----------------------------------------------------------------------------


def test_table(fits):
    table = fits["on-off"].table()
    assert len(table) == len(fits["on-off"]) == 300
    assert table["source.amplitude"].unit == "cm-2 s-1 TeV-1"
    np.testing.assert_array_equal(table["source.index_err"], fits["on-off"].errors[:, 0])
    assert isinstance(fits["on-off"], Toys)


@pytest.mark.parametrize(
    ("n", "options", "match"),
    [
        (0, {}, "0 sets"),
        (1, {"null": ["source.reference"]}, "Not free: reference"),
        (1, {"null": ["source.amplitudes"]}, "Did you mean 'source.amplitude'"),
        (1, {"null": ["sharp"]}, "Unknown parameter"),
    ],
)
def test_wrong_arguments(small, n, options, match):
    with pytest.raises(ConfigError, match=match):
        toys(small.datasets("spectrum"), n, rng(), **options)


def test_models_are_needed(small):
    with pytest.raises(ConfigError, match="no models"):
        toys(Datasets([small.spectrum()]), 1, rng())
    datasets = small.datasets("spectrum")
    datasets.models[0].parameters.freeze_all()
    with pytest.raises(ConfigError, match="No parameter is free"):
        toys(datasets, 1, rng())
    other = SkyModel(datasets.models[0].spectral_model.copy(), name="source")
    with pytest.raises(ConfigError, match="No model of the datasets"):
        toys(datasets, 1, rng(), null=[other.spectral_model.index])
