"""Errors to both sides and limits: against MINOS, and against what is known exactly."""

import logging

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling import Fit
from scipy.special import lambertw
from scipy.stats import norm

from ctao_sat import dl5
from ctao_sat.errors import ConfigError

# Of one bin, from its own fit: counts per amplitude of 1e-11 cm-2 s-1 TeV-1.
FLUX = u.Unit("cm-2 s-1 TeV-1")


def one_bin(small, counts, background):
    """Return a spectrum with all counts in one bin, and what an amplitude of 1 predicts."""
    datasets = small.datasets("spectrum")
    one = datasets[0]
    keep = np.arange(one.counts.data.size).reshape(one.counts.data.shape) == 0
    one.mask_fit = one.counts.copy(data=keep)
    one.counts.data[...], one.background.data[...] = counts, background
    model = datasets.models[0].spectral_model
    model.index.frozen = True
    per_amplitude = one.npred_signal().data[keep][0] / model.amplitude.value
    model.amplitude.value = max(counts - background, 0.1) / per_amplitude
    dl5.fit(datasets)
    return datasets, per_amplitude


def poisson_ends(n, rise):
    """Return where -2 ln L of n counts has risen: mu = -n W(-exp(-1 - rise / (2 n)))."""
    inside = -np.exp(-1 - rise / (2 * n))
    return tuple(float(-n * lambertw(inside, k).real) for k in (0, -1))


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 10, 100])
@pytest.mark.parametrize("n_sigma", [1, 2])
def test_poisson_errors_are_exact(small, n, n_sigma):
    datasets, scale = one_bin(small, n, 1.5)
    found = dl5.asymmetric_errors(datasets, "source.amplitude", n_sigma=n_sigma)
    low, high = poisson_ends(n, n_sigma**2)
    assert found["success"]
    assert found["errn"] * scale == pytest.approx(n - low, rel=1e-4)
    assert found["errp"] * scale == pytest.approx(high - n, rel=1e-4)


def test_published_poisson_errors(small):
    """For 5 counts the likelihood rises by 1/2 at 3.08 and 7.58 (Barlow 2003, physics/0306138)."""
    datasets, scale = one_bin(small, 5, 0)
    found = dl5.asymmetric_errors(datasets, "source.amplitude")
    assert round(found["errn"] * scale, 2) == 1.92
    assert round(found["errp"] * scale, 2) == 2.58


@pytest.mark.parametrize("kind", ["spectrum", "on-off", "cube"])
def test_errors_are_those_of_minos(small, kind):
    datasets = small.datasets(kind)
    dl5.fit(datasets)
    before = [(p.value, p.error, p.frozen) for p in datasets.models.parameters]
    table = dl5.asymmetric_errors(datasets)
    assert table.meta["fallbacks"] == []
    assert before == [(p.value, p.error, p.frozen) for p in datasets.models.parameters]
    assert table["success"].all()
    free = datasets.models.parameters.free_parameters
    assert len(table) == len(free)
    for row, parameter in list(zip(table, free, strict=True))[:2]:
        expected = Fit().confidence(datasets, parameter)
        assert row["errn"] == pytest.approx(expected["errn"], rel=2e-3)
        assert row["errp"] == pytest.approx(expected["errp"], rel=2e-3)
        assert row["unit"] == str(parameter.unit)


def test_errors_of_a_free_position(small):
    datasets = small.datasets("cube")
    shape = datasets.models["source"].spatial_model
    shape.lon_0.frozen = shape.lat_0.frozen = False
    dl5.fit(datasets)
    found = dl5.asymmetric_errors(datasets, shape.lat_0)
    datasets.models = datasets.models
    expected = Fit().confidence(datasets, shape.lat_0)
    assert found["success"]
    # Gammapy's statistic has a kink at the centre of each pixel.
    assert found["errn"] == pytest.approx(expected["errn"], rel=0.02)
    assert found["errp"] == pytest.approx(expected["errp"], rel=0.02)


def test_without_reoptimising_errors_are_smaller(small):
    datasets = small.datasets("spectrum")
    dl5.fit(datasets)
    index = datasets.models[0].spectral_model.index
    slice_ = dl5.asymmetric_errors(datasets, index, reoptimize=False)
    whole = dl5.asymmetric_errors(datasets, index)
    matrix = datasets.models.covariance.get_subcovariance(
        datasets.models.parameters.free_parameters
    ).data
    expected = 1 / np.sqrt(np.linalg.inv(matrix)[0, 0])
    assert slice_["errp"] == pytest.approx(expected, rel=0.05)
    assert slice_["errp"] < 0.95 * whole["errp"]


def test_an_error_ends_at_a_limit(small):
    datasets, scale = one_bin(small, 5, 4)
    amplitude = datasets.models[0].spectral_model.amplitude
    amplitude.min = 0
    found = dl5.asymmetric_errors(datasets, amplitude)
    assert found["success"]
    assert found["errn_at_limit"]
    assert not found["errp_at_limit"]
    assert found["errn"] == pytest.approx(amplitude.value, rel=1e-6)
    assert "limit" in found["message"]
    assert found["errp"] * scale == pytest.approx(poisson_ends(5, 1)[1] - 5, rel=1e-4)


def test_an_error_without_end_is_infinite(small):
    """No counts and no background: any index does as well as another for an amplitude of 0."""
    datasets, _ = one_bin(small, 3, 5)
    datasets.models[0].spectral_model.amplitude.min = 0
    dl5.fit(datasets)
    found = dl5.asymmetric_errors(datasets, "source.index")
    assert found["errp"] == np.inf
    assert not found["success"]
    assert "do not limit" in found["message"]


def test_errors_count_from_the_minimum_wherever_the_parameters_are(small, caplog):
    datasets = small.datasets("spectrum")
    dl5.fit(datasets)
    index = datasets.models[0].spectral_model.index
    best = index.value
    expected = dl5.asymmetric_errors(datasets, index)
    index.value += index.error
    with caplog.at_level(logging.WARNING):
        found = dl5.asymmetric_errors(datasets, index)
    assert "Take dl5.fit first" in caplog.text
    assert found["value"] == pytest.approx(best, rel=1e-5)
    assert found["errp"] == pytest.approx(expected["errp"], rel=1e-4)
    assert index.value == best + index.error


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "background"), [(3, 1), (10, 10.5), (2, 6)])
def test_limits_are_exact(small, n, background):
    """Counted from the best value, wherever it is, or from 0."""
    datasets, scale = one_bin(small, n, background)
    found = dl5.upper_limit(datasets, "source.amplitude")
    assert found["success"]
    high = poisson_ends(n, 4)[1]
    assert found["ul"] * scale + background == pytest.approx(high, rel=1e-4)
    bounded = dl5.upper_limit(datasets, "source.amplitude", border=0)
    best = max(n, background)
    stat = bounded["ul"] * scale + background
    rise = 2 * (stat - n * np.log(stat)) - 2 * (best - n * np.log(best))
    assert rise == pytest.approx(4, rel=1e-3)
    assert bounded["ul"] > 0
    assert bounded["ul"] >= found["ul"] * (1 - 1e-6)
    # A limit of the parameter is such a border.
    datasets.models[0].spectral_model.amplitude.min = 0
    same = dl5.upper_limit(datasets, "source.amplitude")
    assert same["ul"] == pytest.approx(bounded["ul"], rel=1e-4)


def test_no_counts_at_all(small):
    """2 mu rises by 4 at two counts, and by 2.71 at 1.35, whatever the background."""
    datasets, scale = one_bin(small, 0, 1)
    datasets.models[0].spectral_model.amplitude.min = 0
    found = dl5.upper_limit(datasets, "source.amplitude")
    assert found["ul"] * scale == pytest.approx(2, rel=1e-4)
    found = dl5.upper_limit(datasets, "source.amplitude", confidence_level=0.95)
    assert found["ul"] * scale == pytest.approx(norm.ppf(0.95) ** 2 / 2, rel=1e-4)


def test_a_limit_with_nuisance_parameters_is_that_of_minos(small):
    datasets = small.datasets("cube")
    dl5.fit(datasets)
    amplitude = datasets.models["second"].spectral_model.amplitude
    found = dl5.upper_limit(datasets, amplitude)
    expected = Fit().confidence(datasets, amplitude, sigma=2)
    assert found["ul"] - found["value"] == pytest.approx(expected["errp"], rel=2e-3)
    held = dl5.upper_limit(datasets, amplitude, reoptimize=False)
    assert held["ul"] < found["ul"]


def test_a_limit_of_the_parameter_comes_first(small):
    datasets, _ = one_bin(small, 5, 1)
    amplitude = datasets.models[0].spectral_model.amplitude
    amplitude.max = 1.1 * amplitude.value
    found = dl5.upper_limit(datasets, amplitude)
    assert found["at_limit"]
    assert found["ul"] == pytest.approx(amplitude.max)


def test_units_of_a_border(small):
    datasets, _ = one_bin(small, 5, 9)
    plain = dl5.upper_limit(datasets, "amplitude", border=1e-13)
    found = dl5.upper_limit(datasets, "amplitude", border="1e-9 m-2 s-1 TeV-1")
    assert found["ul"] == pytest.approx(plain["ul"], rel=1e-9)


# -- what falls back ------------------------------------------------------------------------------


def test_gammapy_finds_limits_of_what_cannot_be_compiled(small, caplog):
    datasets = small.datasets("spectrum")
    dl5.fit(datasets)
    amplitude = datasets.models[0].spectral_model.amplitude
    expected = dl5.upper_limit(datasets, amplitude), dl5.asymmetric_errors(datasets, amplitude)

    class Own(type(datasets[0])):
        tag = "Own"

    datasets[0].__class__ = Own
    with caplog.at_level(logging.WARNING):
        found = (
            dl5.upper_limit(datasets, amplitude, border=0),
            dl5.asymmetric_errors(datasets, amplitude),
        )
    assert "unknown kind of dataset" in caplog.text
    assert found[0]["fallbacks"]
    assert found[1]["fallbacks"]
    assert found[0]["ul"] == pytest.approx(expected[0]["ul"], rel=1e-2)
    assert found[1]["errn"] == pytest.approx(expected[1]["errn"], rel=1e-2)
    assert np.isnan(amplitude.min)


def test_wrong_arguments(small):
    datasets = small.datasets("spectrum")
    with pytest.raises(ConfigError, match=r"confidence level of 0\.3"):
        dl5.upper_limit(datasets, "index", confidence_level=0.3)
    with pytest.raises(ConfigError, match="Both n_sigma"):
        dl5.upper_limit(datasets, "index", confidence_level=0.9, n_sigma=2)
    with pytest.raises(ConfigError, match="0 sigma"):
        dl5.asymmetric_errors(datasets, n_sigma=0)
    datasets.models[0].parameters.freeze_all()
    with pytest.raises(ConfigError, match="No parameter is free"):
        dl5.asymmetric_errors(datasets)
    with pytest.raises(ConfigError, match="no models"):
        dl5.upper_limit([small.spectrum()], "index")
