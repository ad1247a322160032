"""Maps of excess, significance and residuals, against Gammapy and by hand."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets, MapDatasetOnOff, SpectrumDataset
from gammapy.estimators import ExcessMapEstimator
from gammapy.maps import Map, RegionGeom, WcsNDMap
from gammapy.stats import WStatCountsStatistic
from numpy.testing import assert_allclose

from ctao_sat import dl5
from ctao_sat.errors import ConfigError, DataError

RADIUS = 0.09 * u.deg


@pytest.fixture(scope="module")
def datasets(sky):
    return sky.field([(0, 0, 20)], seed=11)


def on_off(datasets, name="onoff"):
    """Return the field with three times its background as off counts."""
    dataset = datasets[0]
    geom = dataset.counts.geom
    off = np.random.default_rng(3).poisson(3 * dataset.background.data)
    return MapDatasetOnOff(
        counts=dataset.counts,
        counts_off=Map.from_geom(geom, data=off),
        acceptance=Map.from_geom(geom, data=np.ones(geom.data_shape)),
        acceptance_off=Map.from_geom(geom, data=np.full(geom.data_shape, 3.0)),
        exposure=dataset.exposure,
        mask_safe=dataset.mask_safe,
        name=name,
    )


def test_equals_gammapys_estimator(datasets):
    edges = [0.5, 2, 10] * u.TeV
    ours = dl5.excess_map(datasets, RADIUS, energy_edges=edges)
    theirs = ExcessMapEstimator(correlation_radius=RADIUS, energy_edges=edges).run(datasets[0])
    assert ours.available_quantities == theirs.available_quantities
    for name in theirs.available_quantities:
        assert_allclose(getattr(ours, name).data, getattr(theirs, name).data, rtol=1e-10)


def test_significance_of_on_and_off_counts_is_li_and_mas(datasets):
    dataset = on_off(datasets)
    found = dl5.significance_map(dataset, RADIUS)
    y, x = (int(i) for i in np.unravel_index(np.argmax(found.data[0]), found.data[0].shape))
    rows, columns = np.indices(found.data[0].shape)
    circle = np.hypot(rows - y, columns - x) <= 3
    on, off = (each.data.sum(axis=0)[circle].sum() for each in (dataset.counts, dataset.counts_off))
    assert_allclose(found.data[0, y, x], WStatCountsStatistic(on, off, 1 / 3).sqrt_ts, rtol=1e-6)
    assert found.data[0, y, x] > 5


def test_models_are_background(datasets, sky):
    centre = datasets[0].counts.geom.center_skydir
    before = dl5.significance_map(datasets, RADIUS)
    explained = Datasets([datasets[0].copy(name="field")])
    explained.models = [sky.source(centre, 0, 0, 20)]
    after = dl5.significance_map(explained, RADIUS)
    assert before.data[0, 30, 30] > 10
    assert abs(after.data[0, 30, 30]) < 4


@pytest.mark.parametrize("kind", ["model", "on-off"])
def test_several_datasets_add_up(datasets, kind):
    first = datasets[0] if kind == "model" else on_off(datasets)
    second = first.copy(name="second")
    if kind == "model":
        second.models = [model.copy() for model in datasets.models if False]
        first = first.copy(name="first")
    both = dl5.excess_map([first, second], RADIUS)
    one = dl5.excess_map(first, RADIUS)
    assert_allclose(both.npred_excess.data, 2 * one.npred_excess.data, rtol=1e-6, atol=1e-4)


def test_errors_and_limits_on_request(sky):
    small = sky.field([(0, 0, 20)], seed=11, npix=11)
    maps = dl5.excess_map(small, RADIUS, selection_optional=["errn-errp", "ul"])
    assert (maps.norm_ul.data > maps.norm.data).all()
    assert (maps.norm_errp.data > 0).all()


@pytest.mark.parametrize("method", ["diff", "diff/model", "diff/sqrt(model)", "significance"])
def test_residuals_by_hand(datasets, method):
    residuals = dl5.residual_map(datasets, method)
    n = datasets[0].counts.data.sum(axis=0, keepdims=True)
    b = datasets[0].npred().data.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(n > 0, n * np.log(n / b), 0)
    expected = {
        "diff": n - b,
        "diff/model": (n - b) / b,
        "diff/sqrt(model)": (n - b) / np.sqrt(b),
        "significance": np.sign(n - b) * np.sqrt(np.maximum(2 * (log - n + b), 0)),
    }[method]
    assert residuals.data.shape == (1, 61, 61)
    assert_allclose(residuals.data, expected, rtol=1e-4, atol=1e-4)


def test_residuals_of_bands_smoothed_and_masked(datasets):
    dataset = datasets[0].copy(name="field")
    dataset.models = datasets.models
    dataset.mask_safe.data[:, :10] = False
    residuals = dl5.residual_map(dataset, energy_edges=[0.5, 2, 10] * u.TeV, smooth="0.06 deg")
    assert residuals.data.shape[0] == 2
    assert np.isnan(residuals.data[:, :10]).all()
    assert np.isfinite(residuals.data[:, 10:]).all()
    with pytest.raises(ConfigError, match="Smoothed"):
        dl5.residual_map(dataset, "significance", smooth="0.06 deg")


def test_distribution_of_noise_and_of_what_is_excluded(datasets, sky):
    noise = dl5.significance_map(sky.field(seed=12), RADIUS)
    found = dl5.significance_distribution(noise, correlation_radius=RADIUS)
    # Beyond 4 sigma in 6e-5 of all seeds each.
    assert abs(found["mean"]) < 4 * found["mean_err"]
    assert abs(found["std"] - 1) < 4 * found["std_err"]
    assert found["mean_err"] > 4 * found["std"] / np.sqrt(found["n"])
    bright = dl5.significance_map(datasets, RADIUS)
    mask = bright.geom.to_image().region_mask("galactic;circle(10, 0, 0.4)", inside=False)
    assert dl5.significance_distribution(bright)["std"] > 1.5
    outside = dl5.significance_distribution(bright, mask, correlation_radius=RADIUS)
    assert abs(outside["std"] - 1) < 4 * outside["std_err"]
    assert outside["n"] == mask.data.sum()


def test_refusals(datasets):
    with pytest.raises(ConfigError, match="smaller than a pixel"):
        dl5.excess_map(datasets, 0.01 * u.deg)
    with pytest.raises(ConfigError, match="diff/model"):
        dl5.residual_map(datasets, "diff/mod")
    spectrum = SpectrumDataset.create(
        RegionGeom.create("icrs;circle(0, 0, 1)", axes=datasets[0].counts.geom.axes)
    )
    with pytest.raises(DataError, match="no map of counts"):
        dl5.excess_map(spectrum)
    other = datasets[0].cutout(datasets[0].counts.geom.center_skydir, 0.5 * u.deg, name="cut")
    with pytest.raises(DataError, match="one geometry"):
        dl5.excess_map([datasets[0], other])
    nothing = WcsNDMap.create(npix=3)
    nothing.data += np.nan
    with pytest.raises(DataError, match="No pixel"):
        dl5.significance_distribution(nothing)
