"""Fits against Gammapy's own: optimum, errors, covariance, and what stays as it was."""

import functools
import logging
import pickle

import numpy as np
import pytest
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.maps import Map
from gammapy.modeling import Fit, FitResult, Parameter
from gammapy.modeling.models import (
    GaussianPrior,
    LogParabolaSpectralModel,
    Models,
    SkyModel,
    SpectralModel,
)
from gammapy.stats import GaussianPriorPenalty
from gammapy.stats.fit_statistics import FitStatisticPenalty
from scipy.stats import chi2

from ctao_sat import dl5
from ctao_sat.errors import ConfigError, DataError, NotCompilable
from ctao_sat.kernels.checksum import checksum
from ctao_sat.likelihood import KernelCache

KINDS = ["spectrum", "on-off", "cube", "map on-off", "flux points", "joint"]
# Of the error: Gammapy's own minimiser stops within 0.014.
PARAMETER_SIGMA = 0.01
ERROR_RTOL = 0.01


class Reference:
    """A fit by Gammapy, to a small tolerance, and the second derivatives of its own statistic."""

    def __init__(self, datasets):
        self.datasets = datasets
        self.result = Fit(optimize_opts={"tol": 1e-4}).run(datasets)
        free = datasets.parameters.free_parameters
        self.values = free.value.copy()
        self.stat = datasets.stat_sum()
        self.migrad = np.array([parameter.error for parameter in free])
        minuit = self.result.minuit
        minuit.hesse()
        slopes = np.array([parameter.scale for parameter in free])
        self.covariance = np.array(minuit.covariance) * np.outer(slopes, slopes)
        self.errors = np.sqrt(np.diag(self.covariance))
        free.value = self.values

    def check(self, datasets, *, errors=True):
        """Compare another fit of the same data."""
        free = datasets.parameters.free_parameters
        assert datasets.stat_sum() == pytest.approx(self.stat, abs=1e-5)
        pull = (free.value - self.values) / self.errors
        assert np.max(np.abs(pull)) < PARAMETER_SIGMA
        if errors:
            ours = [parameter.error for parameter in free]
            np.testing.assert_allclose(ours, self.errors, rtol=ERROR_RTOL)


@pytest.fixture(scope="module")
def reference(small):
    """Return a function from the kind of datasets to the fit by Gammapy."""
    return functools.cache(lambda kind: Reference(small.datasets(kind)))


@pytest.fixture
def datasets(small):
    return small.datasets("spectrum")


@pytest.fixture
def spectral(datasets):
    return datasets.models[0].spectral_model


def off_truth(datasets):
    """Start away from the truth."""
    for parameter in datasets.parameters.free_parameters:
        parameter.value = 1.1 * parameter.value + (0.05 if parameter.name == "tilt" else 0)
    return datasets


# -- equal to Gammapy -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spectrum", "flux points"])
def test_without_compilation_it_is_gammapys_fit(small, kind):
    ours, theirs = small.datasets(kind), small.datasets(kind)
    one, other = dl5.fit(ours, compiled=False), Fit().run(theirs)
    np.testing.assert_array_equal(ours.models.parameters.value, theirs.models.parameters.value)
    np.testing.assert_array_equal(ours.models.covariance.data, theirs.models.covariance.data)
    np.testing.assert_array_equal(one.covariance_result.matrix, other.covariance_result.matrix)
    assert one.total_stat == other.total_stat
    assert (one.nfev, one.message, one.success) == (other.nfev, other.message, other.success)
    assert (one.backend, one.method) == ("minuit", "migrad")


@pytest.mark.parametrize("compiled", [True, "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_optimum_and_errors_are_gammapys(small, reference, kind, compiled):
    expected = reference(kind)
    datasets = off_truth(small.datasets(kind))
    result = dl5.fit(datasets, compiled=compiled)
    assert result.success
    assert result.report.is_complete
    assert result.total_stat == pytest.approx(expected.stat, abs=1e-5)
    expected.check(datasets)


@pytest.mark.parametrize("kind", ["spectrum", "cube", "joint"])
def test_the_whole_covariance_is_that_of_the_second_derivatives(small, reference, kind):
    expected = reference(kind)
    datasets = small.datasets(kind)
    result = dl5.fit(datasets)
    assert result.covariance_result.method == "hesse"
    assert result.covariance_result.success
    free = [not parameter.frozen for parameter in datasets.models.parameters]
    matrix = datasets.models.covariance.data
    ours = matrix[np.ix_(free, free)]
    scale = np.outer(expected.errors, expected.errors)
    np.testing.assert_allclose(ours / scale, expected.covariance / scale, atol=0.01)
    frozen = ~np.array(free)
    assert np.all(matrix[frozen] == 0)
    assert np.all(matrix[:, frozen] == 0)


def test_errors_gathered_on_the_way_are_labelled_so(small, reference):
    expected = reference("cube")
    datasets = off_truth(small.datasets("cube"))
    result = dl5.fit(datasets, errors="migrad")
    assert result.covariance_result.method == "migrad"
    assert "MIGRAD" in result.covariance_result.message
    assert result.covariance_result.success
    expected.check(datasets, errors=False)
    ours = [parameter.error for parameter in datasets.parameters.free_parameters]
    np.testing.assert_allclose(ours, expected.errors, rtol=0.3)


# -- the result -----------------------------------------------------------------------------------


def test_the_result_is_gammapys(datasets, spectral):
    result = dl5.fit(datasets)
    assert isinstance(result, FitResult)
    assert (result.backend, result.method) == ("ctao_sat", "migrad")
    assert result.message == "Optimization terminated successfully."
    assert result.total_stat == pytest.approx(datasets.stat_sum(), rel=1e-12)
    assert 3 < result.nfev < 50
    assert result.parameters["index"].value == spectral.index.value
    assert result.parameters["index"].error == spectral.index.error
    np.testing.assert_array_equal(result.models.covariance.data, datasets.models.covariance.data)
    np.testing.assert_array_equal(result.covariance_result.matrix, datasets.models.covariance.data)
    assert len(result.trace) == 0
    assert result.optimize_result.to_dict()["OptimizeResult"]["success"] is True
    assert result.covariance_result.to_dict()["CovarianceResult"]["method"] == "hesse"


def test_the_result_stays_when_the_models_change(datasets, spectral):
    result = dl5.fit(datasets)
    before = result.parameters["index"].value, str(result)
    spectral.index.value += 1
    assert (result.parameters["index"].value, str(result)) == before


def test_the_result_prints(datasets):
    text = str(dl5.fit(datasets))
    for part in ("OptimizeResult", "CovarianceResult", "total stat", "hesse", "guard: optimum"):
        assert part in text
    assert "by Gammapy" not in text


def test_errors_are_set_on_the_parameters(datasets, spectral):
    dl5.fit(datasets)
    matrix = datasets.models.covariance.data
    assert spectral.index.error == pytest.approx(np.sqrt(matrix[0, 0]), rel=1e-12)
    assert spectral.amplitude.error == pytest.approx(np.sqrt(matrix[1, 1]), rel=1e-12)
    assert spectral.reference.error == 0
    np.testing.assert_array_equal(spectral.covariance.data, matrix)
    correlation = datasets.models.covariance.correlation[0, 1]
    assert 0.3 < correlation < 0.99


@pytest.mark.parametrize("kind", [list, lambda datasets: datasets[0]])
def test_a_list_and_a_single_dataset_are_fitted_too(small, reference, kind):
    datasets = off_truth(small.datasets("spectrum"))
    free = datasets.parameters.free_parameters
    assert dl5.fit(kind(datasets)).success
    expected = reference("spectrum")
    assert np.max(np.abs(free.value - expected.values) / expected.errors) < PARAMETER_SIGMA
    np.testing.assert_allclose([p.error for p in free], expected.errors, rtol=ERROR_RTOL)


def test_two_fits_give_the_same_bits(small):
    first, second = (off_truth(small.datasets("joint")) for _ in range(2))
    for datasets in (first, second):
        dl5.fit(datasets)
    np.testing.assert_array_equal(first.parameters.value, second.parameters.value)
    np.testing.assert_array_equal(first.models.covariance.data, second.models.covariance.data)


# -- parameters -----------------------------------------------------------------------------------


def fits(small, kind, change):
    """Return datasets fitted by us and by Gammapy, after the same change to both."""
    ours, theirs = small.datasets(kind), small.datasets(kind)
    for datasets in (ours, theirs):
        change(datasets)
    result = dl5.fit(ours, compiled=True)
    return ours, result, Reference(theirs)


def test_linked_parameters_have_the_errors_and_the_covariance_of_gammapy(small):
    def link(datasets):
        first, second = datasets.models["source"], datasets.models["second"]
        second.spectral_model.index = first.spectral_model.index
        datasets.models = Models(list(datasets.models))

    ours, result, expected = fits(small, "cube", link)
    assert result.success
    expected.check(ours)
    source, second = (ours.models[name].spectral_model for name in ("source", "second"))
    assert second.index.error == source.index.error > 0
    assert second.covariance.data[0, 0] == pytest.approx(second.index.error**2)
    theirs = expected.result
    scale = np.sqrt(np.diag(theirs.covariance_result.matrix))
    scale[scale == 0] = 1
    scale = np.outer(scale, scale)
    for one, other in (
        (result.covariance_result.matrix, theirs.covariance_result.matrix),
        (result.models.covariance.data, theirs.models.covariance.data),
        (ours.models.covariance.data, theirs.models.covariance.data),
    ):
        np.testing.assert_allclose(one / scale, other / scale, atol=0.02)


def test_frozen_parameters_do_not_move(small):
    def freeze(datasets):
        datasets.models[0].spectral_model.index.frozen = True

    ours, result, expected = fits(small, "spectrum", freeze)
    expected.check(ours)
    index = ours.models[0].spectral_model.index
    assert (index.value, index.error) == (2.2, 0)
    assert result.report.n_parameters == 1


@pytest.mark.parametrize("start", [2.05, 2.1])
def test_a_parameter_ends_at_its_limit(small, start):
    def bound(datasets):
        index = datasets.models[0].spectral_model.index
        index.value, index.max = start, 2.1

    ours, result, expected = fits(small, "spectrum", bound)
    index = ours.models[0].spectral_model.index
    assert index.value == pytest.approx(2.1, abs=1e-4)
    assert index.value <= 2.1
    assert ours.stat_sum() == pytest.approx(expected.stat, abs=1e-3)
    assert ours.stat_sum() < -5730
    amplitude = ours.models[0].spectral_model.amplitude
    assert amplitude.value == pytest.approx(expected.values[1], abs=0.01 * expected.errors[1])
    assert result.success


@pytest.mark.parametrize("start", [1.9, 2.0, 2.09, 2.1])
@pytest.mark.parametrize("low", [np.nan, 1.0])
def test_a_fit_with_a_limit_never_ends_above_its_start(datasets, spectral, start, low):
    spectral.index.value, spectral.index.max, spectral.index.min = start, 2.1, low
    before = datasets.stat_sum()
    result = dl5.fit(datasets)
    assert result.total_stat <= before
    assert 1 < spectral.index.value <= 2.1


def test_limits_that_do_not_bind_change_nothing(small, reference):
    datasets = off_truth(small.datasets("spectrum"))
    spectral = datasets.models[0].spectral_model
    spectral.index.min, spectral.index.max = 0, 5
    spectral.amplitude.min = 0
    assert dl5.fit(datasets).success
    reference("spectrum").check(datasets)


@pytest.mark.parametrize("scale", ["log", "sqrt"])
@pytest.mark.parametrize("kind", ["spectrum", "cube"])
def test_transformed_parameters_have_the_same_optimum_and_errors(small, reference, kind, scale):
    datasets = off_truth(small.datasets(kind))
    for model in datasets.models:
        if isinstance(model, SkyModel):
            model.spectral_model.amplitude.scale_transform = scale
    assert dl5.fit(datasets, compiled=True).success
    reference(kind).check(datasets)


def test_priors_pull(small, reference):
    def add(datasets):
        index = datasets.models[0].spectral_model.index
        index.prior = GaussianPrior(mu=2.0, sigma=0.05)

    ours, _, expected = fits(small, "spectrum", add)
    expected.check(ours)
    without = reference("spectrum")
    assert ours.parameters["index"].value < without.values[0] - 0.5 * without.errors[0]
    # The information of the prior is added to that of the data.
    assert ours.parameters["index"].error < 0.8 * without.errors[0]


def test_penalties_pull(small, reference):
    def add(datasets):
        models = list(datasets.models)
        index = Models(models).parameters.select(name="index")
        penalty = GaussianPriorPenalty(index, mean=[2.0], covariance=np.array([[0.0025]]))
        datasets.models = Models(models, penalties=[penalty])

    ours, _, expected = fits(small, "spectrum", add)
    expected.check(ours)
    assert ours.parameters["index"].value < reference("spectrum").values[0] - 0.02


# -- MINOS and contours ---------------------------------------------------------------------------


def test_minos_of_the_result_is_that_of_gammapy(small, datasets, spectral):
    result = dl5.fit(datasets)
    minuit = result.minuit
    minuit.minos()
    theirs = small.datasets("spectrum")
    fit = Fit(optimize_opts={"tol": 1e-4})
    fit.run(theirs)
    for parameter, name in zip(
        (spectral.index, spectral.amplitude), minuit.parameters, strict=True
    ):
        expected = fit.confidence(theirs, theirs.parameters[parameter.name])
        error = minuit.merrors[name]
        assert error.is_valid
        factor = parameter.scale
        assert error.upper * factor == pytest.approx(expected["errp"] * factor, rel=ERROR_RTOL)
        assert -error.lower * factor == pytest.approx(expected["errn"] * factor, rel=ERROR_RTOL)


def test_minos_does_not_move_the_models(datasets):
    result = dl5.fit(datasets)
    before = datasets.parameters.value.copy()
    result.minuit.minos()
    np.testing.assert_array_equal(datasets.parameters.value, before)


def test_contours_of_the_result_lie_at_their_level(datasets, spectral):
    result = dl5.fit(datasets)
    level = 0.6827
    contour = result.minuit.mncontour(0, 1, cl=level, size=8)
    assert len(contour) >= 8
    rise = []
    for x, y in contour:
        spectral.index.factor, spectral.amplitude.factor = x, y
        rise.append(datasets.stat_sum() - result.total_stat)
    np.testing.assert_allclose(rise, chi2(2).ppf(level), rtol=0.02)


# -- what stays as it was -------------------------------------------------------------------------


def data_of(datasets):
    """Return checksums of all data of datasets."""
    sums = {}
    for dataset in datasets:
        for name in ("counts", "counts_off", "acceptance", "exposure", "mask_safe"):
            part = getattr(dataset, name, None)
            if part is not None:
                sums[dataset.name, name] = checksum(np.asarray(part.data))
    return sums


@pytest.mark.parametrize("kind", ["joint", "map on-off"])
def test_data_stay_as_they_were(small, kind):
    datasets = small.datasets(kind)
    models = [id(model) for model in datasets.models]
    parameters = [(id(p), p.frozen, p.min, p.max, p.unit) for p in datasets.parameters]
    frozen = [p.value for p in datasets.parameters if p.frozen]
    before = data_of(datasets), datasets.names
    dl5.fit(datasets)
    assert (data_of(datasets), datasets.names) == before
    assert [id(model) for model in datasets.models] == models
    np.testing.assert_equal(
        [(id(p), p.frozen, p.min, p.max, p.unit) for p in datasets.parameters], parameters
    )
    assert [p.value for p in datasets.parameters if p.frozen] == frozen


def test_a_second_fit_starts_where_the_first_ended(datasets):
    first = dl5.fit(datasets)
    before = datasets.parameters.value.copy()
    errors = [parameter.error for parameter in datasets.parameters]
    second = dl5.fit(datasets)
    assert second.total_stat == pytest.approx(first.total_stat, abs=1e-6)
    assert second.nfev <= first.nfev
    pull = (datasets.parameters.value - before)[:2] / errors[:2]
    assert np.max(np.abs(pull)) < PARAMETER_SIGMA
    ours = [parameter.error for parameter in datasets.parameters]
    np.testing.assert_allclose(ours, errors, rtol=1e-3)


def test_changed_data_are_fitted(small, datasets):
    dl5.fit(datasets)
    before = datasets.parameters["amplitude"].value
    datasets[0].counts.data *= 2
    dl5.fit(datasets)
    assert datasets.parameters["amplitude"].value > 1.9 * before


def test_kernels_of_earlier_fits_are_taken(small):
    kernels, results = KernelCache(), []
    for _ in range(2):
        datasets = small.datasets("cube")
        datasets.models = Models(list(datasets.models))
        results.append(dl5.fit(datasets, guard=False, kernels=kernels))
    seconds = [result.report.timings["kernels"] for result in results]
    assert seconds[0] > 0
    assert seconds[1] == 0
    assert results[0].total_stat == results[1].total_stat


# -- what cannot be compiled ----------------------------------------------------------------------


@pytest.fixture
def free_position(small):
    """Return a cube with a free position that only Gammapy can evaluate."""
    datasets = small.datasets("cube")
    datasets.models["source"].spatial_model = small.own_point(datasets.models["source"])
    datasets.models["source"].spatial_model.lat_0.frozen = False
    datasets.models = list(datasets.models)
    return datasets


def test_what_cannot_be_compiled_is_refused(free_position):
    before = free_position.parameters.value.copy()
    with pytest.raises(NotCompilable, match="'source' in dataset 'cube': a free shape") as info:
        dl5.fit(free_position, compiled=True)
    assert "compiled='auto'" in info.value.remedy
    np.testing.assert_array_equal(free_position.parameters.value, before)


def test_what_cannot_be_compiled_is_left_to_gammapy_and_said(free_position, reference, caplog):
    with caplog.at_level(logging.WARNING):
        result = dl5.fit(free_position)
    assert "'source' in dataset 'cube': a free shape with its own integral" in caplog.text
    assert result.success
    (fallback,) = result.report.fallbacks
    assert (fallback.dataset, fallback.model) == ("cube", "source")
    assert result.report.compiled == ["cube"]
    assert "by Gammapy: model 'source'" in str(result)
    expected = reference("cube")
    # One more parameter, at its truth but for noise: half the rise of the statistic is its pull.
    assert expected.stat - 5 < result.total_stat < expected.stat
    latitude = free_position.models["source"].spatial_model.lat_0
    assert abs(latitude.value - 22.0) < 4 * latitude.error < 0.1


class Unknown(SpectrumDataset):
    """A dataset that may do anything."""


def test_where_nothing_can_be_compiled_gammapy_fits(small, caplog):
    ours, theirs = small.datasets("spectrum"), small.datasets("spectrum")
    for datasets in (ours, theirs):
        datasets[0].__class__ = Unknown
    with caplog.at_level(logging.WARNING):
        result = dl5.fit(ours)
    assert result.report.compiled == []
    assert "unknown kind of dataset: Unknown" in caplog.text
    assert result.backend == "minuit"
    Fit().run(theirs)
    np.testing.assert_array_equal(ours.parameters.value, theirs.parameters.value)
    assert "by Gammapy: dataset 'spectrum': unknown kind" in str(result)


def test_a_dataset_left_to_gammapy_is_fitted_with_the_others(small):
    ours, theirs = small.datasets("joint"), small.datasets("joint")
    for datasets in (ours, theirs):
        datasets["spectrum"].__class__ = Unknown
    result = dl5.fit(ours)
    assert result.success
    assert len(result.report.fallbacks) == 1
    assert len(result.report.compiled) == 3
    assert not result.report.refused
    Reference(theirs).check(ours)


class HomeMade(SpectralModel):
    """A power law of somebody else: there is no kernel for it."""

    tag = ("HomeMadeSpectralModel", "home-made")
    index = Parameter("index", 2.0)
    amplitude = Parameter("amplitude", 1.2e-11, unit="cm-2 s-1 TeV-1", scale_method="scale10")

    @staticmethod
    def evaluate(energy, index, amplitude):
        """Return dN/dE."""
        return amplitude * energy.to_value("TeV") ** -index.value


def test_a_spectrum_without_kernel_is_compiled_all_the_same(small):
    ours, theirs = small.datasets("spectrum"), small.datasets("spectrum")
    for datasets in (ours, theirs):
        datasets.models = [SkyModel(HomeMade(), name="source")]
    result = dl5.fit(ours, compiled=True)
    assert result.success
    assert len(result.report.spectra) == 1
    assert "no kernel for HomeMade" in str(result)
    Reference(theirs).check(ours)


# -- the guard ------------------------------------------------------------------------------------


def test_the_guard_compares_at_three_points(datasets):
    notes = dl5.fit(datasets).report.guard
    assert [note.partition(":")[0] for note in notes] == ["start", "near the start", "optimum"]
    assert all("Gammapy" in note for note in notes)
    values = [float(note.split(":")[1].split(",")[0]) for note in notes]
    assert values[2] == pytest.approx(datasets.stat_sum(), abs=1e-6)
    assert values[1] != values[0] > values[2]


def test_without_guard_gammapy_is_not_asked(datasets, monkeypatch):
    monkeypatch.setattr(datasets[0], "npred", lambda: pytest.fail("asked"))
    result = dl5.fit(datasets, guard=False)
    assert result.report.guard == ["off"]
    assert "guard: off" in str(result)


def test_the_guard_leaves_the_start_as_it_was(small):
    first, second = small.datasets("spectrum"), small.datasets("spectrum")
    dl5.fit(first, guard=False)
    dl5.fit(second, guard=True)
    np.testing.assert_array_equal(first.parameters.value, second.parameters.value)


@pytest.mark.parametrize(
    ("differs", "n_notes"),
    [
        (lambda _: True, 1),
        (lambda index: index != 2.3, 2),
        (lambda index: abs(index - 2.229) < 5e-3, 3),
    ],
    ids=["start", "near the start", "optimum"],
)
def test_where_gammapy_differs_it_fits_instead(small, caplog, differs, n_notes):
    ours, theirs = small.datasets("spectrum"), small.datasets("spectrum")
    for datasets in (ours, theirs):
        disturb(datasets, differs)
    with caplog.at_level(logging.WARNING):
        result = dl5.fit(ours)
    assert "differs from Gammapy, which fits instead" in caplog.text
    assert result.report.refused
    assert len(result.report.guard) == n_notes
    assert "but Gammapy has" in result.report.guard[-1]
    assert "Gammapy" in str(result)
    assert result.backend == "minuit"
    Fit().run(theirs)
    np.testing.assert_array_equal(ours.parameters.value, theirs.parameters.value)
    np.testing.assert_array_equal(ours.models.covariance.data, theirs.models.covariance.data)


def disturb(datasets, differs):
    """Make a dataset predict more than its maps say, where an index fulfils a condition."""
    dataset = datasets[0]
    index = dataset.models[0].spectral_model.index
    index.value = 2.3
    plain = dataset.npred

    def npred():
        return plain() * (1.001 if differs(index.value) else 1.0)

    dataset.npred = npred


# -- fits that fail -------------------------------------------------------------------------------


class Nowhere(FitStatisticPenalty):
    """A penalty that is no number."""

    def stat_sum(self):
        """Return the penalty."""
        return np.nan


def test_a_fit_that_does_not_converge_is_no_error(datasets, caplog):
    models = list(datasets.models)
    index = [models[0].spectral_model.index]
    datasets.models = Models(models, penalties=[Nowhere(index, 1.0)])
    with caplog.at_level(logging.WARNING):
        result = dl5.fit(datasets)
    assert not result.success
    assert "Optimization failed" in result.message
    assert "The fit did not converge: Optimization failed." in caplog.text


def test_a_fit_without_a_finite_statistic_says_so_of_its_covariance(datasets):
    models = list(datasets.models)
    penalty = Nowhere([models[0].spectral_model.index], 1.0)
    datasets.models = Models(models, penalties=[penalty])
    result = dl5.fit(datasets)
    assert not result.covariance_result.success
    assert "successfully" not in result.covariance_result.message
    assert np.all(np.isfinite(datasets.parameters.value))


def test_a_fit_that_converges_logs_nothing(datasets, caplog):
    with caplog.at_level(logging.WARNING):
        dl5.fit(datasets)
    assert caplog.text == ""


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", ["yes", None, 2])
def test_unknown_choice(datasets, compiled):
    with pytest.raises(ConfigError, match=f"compiled={compiled!r}") as info:
        dl5.fit(datasets, compiled=compiled)
    assert info.value.remedy


@pytest.mark.parametrize("compiled", ["auto", True, False])
def test_unknown_errors(datasets, compiled):
    before = datasets.parameters.value.copy()
    with pytest.raises(ConfigError, match="'minos'") as info:
        dl5.fit(datasets, compiled=compiled, errors="minos")
    assert "'hesse'" in info.value.remedy
    np.testing.assert_array_equal(datasets.parameters.value, before)


@pytest.mark.parametrize("compiled", ["auto", True, False])
def test_nothing_to_fit(small, datasets, spectral, compiled):
    with pytest.raises(ConfigError, match="no models") as info:
        dl5.fit([small.spectrum()], compiled=compiled)
    assert "datasets.models" in info.value.remedy
    with pytest.raises(ConfigError, match="no models"):
        dl5.fit(Datasets([]), compiled=compiled)
    spectral.parameters.freeze_all()
    with pytest.raises(ConfigError, match="No parameter is free") as info:
        dl5.fit(datasets, compiled=compiled)
    assert info.value.remedy


@pytest.mark.parametrize("compiled", ["auto", True, False])
@pytest.mark.parametrize("name", ["mask_safe", "mask_fit"])
def test_no_bin_is_left(small, compiled, name):
    datasets = small.datasets("cube")
    mask = Map.from_geom(datasets[0].counts.geom, dtype=bool)
    setattr(datasets[0], name, mask)
    with pytest.raises(DataError, match="No energy bin is left") as info:
        dl5.fit(datasets, compiled=compiled)
    assert info.value.remedy


def test_a_dataset_without_bins_is_no_error_beside_another(small, reference):
    datasets = small.datasets("spectrum")
    empty = small.spectrum("empty")
    empty.mask_safe = Map.from_geom(empty.counts.geom, dtype=bool)
    both = Datasets([*datasets, empty])
    both.models = datasets.models
    assert dl5.fit(both, compiled=True).success
    reference("spectrum").check(both)


def test_arguments_are_keywords(datasets):
    with pytest.raises(TypeError):
        dl5.fit(datasets, True)


def test_a_log_parabola_on_two_datasets(small):
    """Twice the information: errors shrink with the square root of the number of copies."""
    errors = {}
    for n in (1, 4):
        made = [small.spectrum(f"run {i}") for i in range(n)]
        model = LogParabolaSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1", alpha=2.0, beta=0.1)
        for dataset in made:
            dataset.models = [SkyModel(model, name="source")]
            dataset.counts.data = dataset.npred().data.round()
        datasets = Datasets(made)
        datasets.models = [SkyModel(model, name="source")]
        assert dl5.fit(datasets).success
        errors[n] = np.array([model.alpha.error, model.amplitude.error, model.beta.error])
    np.testing.assert_allclose(errors[4], errors[1] / 2, rtol=1e-3)


# -- sources that the data do not show ------------------------------------------------------------


@pytest.fixture
def field(small):
    """Return a cube with a source, its background, and a second source that is not there."""
    datasets = small.datasets("cube")
    ghost = small.point("ghost", offset=-0.3)
    ghost.spectral_model.amplitude.value = 1e-15
    datasets.models = [*datasets.models, ghost]
    # Fewer counts there than the background predicts.
    counts = datasets[0].counts
    pixel = counts.geom.to_image().coord_to_idx(ghost.position)
    y, x = int(pixel[1][0]), int(pixel[0][0])
    counts.data[:, y - 1 : y + 2, x - 1 : x + 2] = 0
    return datasets


def test_an_absent_source_at_its_limit_leaves_the_errors_of_others(field):
    ghost = field.models["ghost"].spectral_model
    ghost.amplitude.min = 0
    result = dl5.fit(field, compiled=True)
    assert ghost.amplitude.value == 0
    assert result.optimize_result.success
    # Of a flux of zero no index is better than another.
    assert not result.covariance_result.success
    assert "ghost.index" in result.covariance_result.message
    assert "source" not in result.covariance_result.message
    assert ghost.index.error == np.inf
    # Gammapy gathers covariances anew, and squares: it stays absurd, where NaN would become 1.
    assert result.models["ghost"].spectral_model.index.error > 1e100
    assert field.models["ghost"].spectral_model.index.error > 1e100
    assert np.count_nonzero(np.isinf(result.covariance_result.matrix)) == 1
    assert ghost.amplitude.error == 0
    rest = [p for p in field.parameters.free_parameters if p not in (ghost.index, ghost.amplitude)]
    found = [(p.value, p.error) for p in rest]
    assert np.all(np.isfinite(found))
    ghost.index.frozen, ghost.amplitude.frozen = True, True
    assert dl5.fit(field, compiled=True).success
    np.testing.assert_allclose(found, [(p.value, p.error) for p in rest], rtol=1e-4)


def test_a_negative_source_is_fitted(field):
    ghost = field.models["ghost"].spectral_model
    result = dl5.fit(field, compiled=True)
    assert result.success
    assert ghost.amplitude.value < 0
    assert result.optimize_result.nfev < 100
    ours = result.total_stat
    theirs = Fit().run(field)
    assert ours <= theirs.total_stat + 1e-3


def test_a_source_that_runs_away_is_named(field, caplog):
    """The index of a source without counts anywhere has no best value."""
    ghost = field.models["ghost"].spectral_model
    field[0].counts.data[...] = 0
    result = dl5.fit(field, compiled=True)
    assert not result.success
    text = result.message + result.covariance_result.message
    assert "ghost.index" in text or "ghost.amplitude" in text
    assert "did not converge" in caplog.text
    assert not np.isfinite(ghost.index.error)


def test_a_result_travels_between_processes(datasets):
    result = dl5.fit(datasets)
    other = pickle.loads(pickle.dumps(result))
    assert other.minuit is None
    assert other.total_stat == result.total_stat
    assert str(other) == str(result)
    np.testing.assert_array_equal(other.covariance_result.matrix, result.covariance_result.matrix)
    assert other.parameters["index"].error == result.parameters["index"].error


def test_the_late_minuit_object_is_that_of_the_fit(datasets, spectral):
    spectral.amplitude.min = 0
    result = dl5.fit(datasets)
    scale, value, error = spectral.amplitude.scale, spectral.amplitude.value, spectral.index.error
    # What happens to the models afterwards is another matter.
    spectral.index.max = spectral.index.value - 3 * error
    spectral.amplitude.value *= 1e3
    spectral.amplitude.autoscale()
    minuit = result.minuit
    assert minuit.fval == pytest.approx(result.total_stat, abs=1e-6)
    assert minuit.values[1] * scale == pytest.approx(value, rel=1e-4)
    assert minuit.errors[0] == pytest.approx(error / spectral.index.scale, rel=0.05)


def test_a_parameter_without_room_is_held(small):
    """Limits that leave one value only, of a spectrum that Gammapy evaluates."""
    datasets = small.datasets("spectrum")
    spectral = datasets.models[0].spectral_model
    spectral.reference.frozen = False
    spectral.reference.min = spectral.reference.max = spectral.reference.value
    result = dl5.fit(datasets, compiled=True)
    assert result.success
    assert spectral.reference.error == 0
    assert 0 < spectral.index.error < 10


def test_a_degenerate_parameter_leaves_the_errors_of_others(small):
    """Reference energy and amplitude stand for the same; the index does not."""
    plain = small.datasets("spectrum")
    dl5.fit(plain)
    datasets = small.datasets("spectrum")
    spectral = datasets.models[0].spectral_model
    spectral.reference.frozen = False
    result = dl5.fit(datasets, compiled=True)
    assert "reference" in result.covariance_result.message
    expected = plain.models[0].spectral_model.index.error
    # Along the degenerate direction the index does not change.
    assert spectral.index.error == pytest.approx(expected, rel=0.05)
    assert spectral.amplitude.error == spectral.reference.error == np.inf
