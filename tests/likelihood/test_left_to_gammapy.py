"""What cannot be compiled is left to Gammapy, with its reason; the guard watches over the rest."""

import logging

import astropy.units as u
import numpy as np
import pytest
from gammapy.data import GTI
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.maps import Map
from gammapy.modeling import Fit, FitResult, Parameter
from gammapy.modeling.models import (
    ConstantFluxSpatialModel,
    FoVBackgroundModel,
    GaussianSpatialModel,
    Models,
    PowerLawNormSpectralModel,
    SkyModel,
    SpectralModel,
)

from ctao_sat.dl5 import fit
from ctao_sat.likelihood import NotCompilable, compile_likelihood


class OwnSpectrumDataset(SpectrumDataset):
    """A dataset of a kind that no library knows."""

    tag = "OwnSpectrumDataset"


class OwnGaussian(GaussianSpatialModel):
    """A shape that integrates over pixels in its own way."""

    tag = "OwnGaussian"
    lon_0 = GaussianSpatialModel.lon_0
    lat_0 = GaussianSpatialModel.lat_0
    sigma = GaussianSpatialModel.sigma
    e = GaussianSpatialModel.e
    phi = GaussianSpatialModel.phi

    def integrate_geom(self, geom, oversampling_factor=None):
        """Return the integral with pixels divided by two."""
        return super().integrate_geom(geom, oversampling_factor=2)


def _free_shape(zoo):
    """Return a cube with a free shape that only Gammapy can evaluate."""
    datasets = zoo.plain.cube()
    source, usual = datasets.models["extended"], datasets.models["extended"].spatial_model
    values = {parameter.name: parameter.quantity for parameter in usual.parameters}
    source.spatial_model = OwnGaussian(**values, frame=usual.frame)
    source.spatial_model.freeze()
    source.spatial_model.sigma.frozen = False
    datasets.models = list(datasets.models)
    return datasets


def test_compiled_true_refuses_with_reasons(zoo):
    datasets = _free_shape(zoo)
    before = datasets.parameters.value.copy()
    with pytest.raises(NotCompilable, match=r"extended.*own integral: OwnGaussian") as caught:
        fit(datasets, compiled=True)
    assert caught.value.remedy
    np.testing.assert_allclose(datasets.parameters.value, before, rtol=1e-12)


def test_auto_keeps_and_logs_the_reason(zoo, caplog):
    datasets = _free_shape(zoo)
    with caplog.at_level(logging.INFO, logger="ctao_sat"):
        result = fit(datasets, compiled="auto")
    (fallback,) = result.report.fallbacks
    assert (fallback.dataset, fallback.model) == ("cube", "extended")
    assert "OwnGaussian" in fallback.reason
    assert not result.report.is_complete
    assert fallback.reason in str(result.report)
    assert fallback.reason in caplog.text
    assert result.success
    assert result.total_stat == pytest.approx(zoo.gammapy(datasets), rel=1e-9)


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
    like = zoo.assert_as_gammapy(datasets)
    assert like.report.compiled == ["run"]
    assert [fallback.dataset for fallback in like.report.fallbacks] == ["own"]
    zoo.assert_gradient(like)
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
    like = zoo.assert_as_gammapy(datasets)
    assert like.report.compiled == []
    result = fit(datasets)
    assert result.success
    assert not result.report.is_complete


def test_fisher_information_needs_compiled_parts(zoo):
    like = compile_likelihood(_free_shape(zoo))
    with pytest.raises(NotCompilable):
        like.hessian(zoo.factors(like), kind="fisher")


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
    # The one shape that Gammapy 2.1 can evaluate there.
    shape = ConstantFluxSpatialModel()
    datasets = Datasets([dataset])
    datasets.models = [zoo.plain.power_law("source", shape), FoVBackgroundModel(dataset_name="sky")]
    like = zoo.assert_as_gammapy(datasets)
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
    assert ours.total_stat == pytest.approx(zoo.gammapy(one), rel=1e-9)
    for mine, other in zip(one.parameters, two.parameters, strict=True):
        assert mine.value == pytest.approx(other.value, abs=0.05 * other.error, rel=1e-12)
        assert mine.error == pytest.approx(other.error, rel=0.05)
    assert "Gammapy" in " ".join(ours.report.guard)


# -- the guard ---------------------------------------------------------------------------------


class DriftingSpectralModel(SpectralModel):
    """A power law whose flux grows with each of its first calls: no two of them agree."""

    tag = "DriftingSpectralModel"
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
    like = zoo.assert_as_gammapy(datasets)
    assert like.report.is_complete
    # The product is integrated with a rule, the power law alone is not.
    assert before == pytest.approx(zoo.gammapy(zoo.plain.spectrum()), rel=1e-9)
