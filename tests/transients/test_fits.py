"""Sources that fade, in fits: Gammapy's datasets and the compiled likelihood take the models."""

from itertools import pairwise

import astropy.units as u
import numpy as np
import pytest
from gammapy.data import GTI
from gammapy.datasets import Datasets
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel

from ctao_sat import dl5
from ctao_sat import transients as tr
from ctao_sat.likelihood import compile_likelihood

EDGES = [62, 150, 400, 1000, 2454]


@pytest.fixture
def afterglow(t0):
    spectrum = PowerLawSpectralModel(index=2.2, amplitude="1e-11 cm-2 s-1 TeV-1")
    decay = tr.OnsetPowerLawTemporalModel(t0, alpha=1.6, t0=300 * u.s)
    return SkyModel(spectrum, temporal_model=decay, name="afterglow")


@pytest.fixture
def datasets(small, afterglow, t0):
    """Return intervals of one night, each with the exposure of its length, with expected counts."""
    made = Datasets()
    for k, (start, stop) in enumerate(pairwise(EDGES)):
        dataset = small.spectrum(f"interval {k}")
        # One of them has a gap.
        parts = [(start, stop)] if k != 2 else [(start, start + 100), (stop - 200, stop)]
        dataset.gti = GTI.create(*(np.transpose(parts) * u.s), reference_time=t0)
        dataset.exposure.data *= dataset.gti.time_sum.to_value("s") / 600
        made.append(dataset)
    made.models = [afterglow]
    for dataset in made:
        dataset.counts.data = np.random.default_rng(4).poisson(dataset.npred().data).astype(float)
    return made


def test_predictions_have_the_mean_of_the_good_time_intervals(datasets, afterglow):
    model = afterglow.temporal_model
    for dataset in datasets:
        gti = dataset.gti
        mean = model.integral(gti.time_start, gti.time_stop).sum()
        signal = dataset.npred_signal().data.sum()
        steady = afterglow.copy(name="steady")
        steady.temporal_model = None
        dataset.models = [steady]
        assert signal == pytest.approx(mean.value * dataset.npred_signal().data.sum(), rel=1e-9)


def test_fit_with_a_frozen_decay_is_compiled(datasets, afterglow):
    afterglow.temporal_model.alpha.frozen = True
    likelihood = compile_likelihood(datasets)
    assert likelihood.report.is_complete
    assert not likelihood.report.spectra
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), rel=1e-10)
    afterglow.spectral_model.amplitude.value *= 2
    assert dl5.fit(datasets, compiled=True).success
    amplitude = afterglow.spectral_model.amplitude
    assert abs(amplitude.value - 1e-11) < 4 * amplitude.error


def test_slope_of_a_decay_is_fitted(datasets, afterglow):
    alpha, amplitude = afterglow.temporal_model.alpha, afterglow.spectral_model.amplitude
    alpha.value, amplitude.value = 1.0, 2e-11
    result = dl5.fit(datasets)
    assert result.success
    assert 0.01 < alpha.error < 0.2
    # Four standard deviations: 1 of 10,000 seeds.
    assert abs(alpha.value - 1.6) < 4 * alpha.error
    assert abs(amplitude.value - 1e-11) < 4 * amplitude.error
    ours = alpha.value, alpha.error, datasets.stat_sum()
    # The same by Gammapy alone.
    alpha.value, amplitude.value = 1.0, 2e-11
    assert dl5.fit(datasets, compiled=False).success
    assert ours[2] <= datasets.stat_sum() + 1e-6
    assert alpha.value == pytest.approx(ours[0], abs=0.02 * ours[1])
    assert alpha.error == pytest.approx(ours[1], rel=0.02)


def test_free_decay_is_reported(datasets):
    report = compile_likelihood(datasets).report
    assert report.is_complete
    assert all("scaled by the mean of its temporal model" in reason for reason in report.scaled)
    assert len(report.scaled) == len(datasets)
    # Gammapy has no part in them.
    assert not report.spectra
    assert "by Gammapy" not in str(report)
