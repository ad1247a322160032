"""Maps of the test statistic: against Gammapy's estimator, and at their edges."""

import logging
import warnings

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets, MapDataset, MapDatasetOnOff
from gammapy.estimators import FluxMaps, TSMapEstimator
from gammapy.irf import PSFMap
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling.models import (
    DiskSpatialModel,
    GaussianSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

from ctao_sat import dl5
from ctao_sat.errors import ConfigError, DataError, SelectionError

WIDTH = 0.5 * u.deg
CENTRE = np.s_[0, 12, 12]


def source(spatial=None, **kwargs) -> SkyModel:
    """Return a source at the origin."""
    spectrum = PowerLawSpectralModel(amplitude="1e-12 cm-2s-1TeV-1", index=2.3)
    return SkyModel(spectrum, spatial or PointSpatialModel(), name="source", **kwargs)


def simulated(seed=1, sigma=0.06, name="simulated") -> MapDataset:
    """Return 4 x 25 x 25 bins with a source at the centre, masks that differ in energy."""
    axis = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=4)
    axis_true = MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", nbin=6, name="energy_true")
    geom = WcsGeom.create(npix=25, binsz=0.05, axes=[axis])
    dataset = MapDataset.create(geom, energy_axis_true=axis_true, name=name)
    dataset.psf = PSFMap.from_gauss(axis_true, sigma=sigma * u.deg)
    dataset.mask_safe.data[...] = True
    dataset.background.data[...] = np.array([2.0, 1.0, 0.4, 0.1])[:, None, None]
    offset = geom.to_image().separation(geom.center_skydir).to_value("deg")
    area = np.geomspace(0.5, 2, 6)[:, None, None] * np.exp(-((offset / 0.8) ** 2))
    dataset.exposure.quantity = 3e14 * area * u.Unit("cm2 s")
    dataset.models = [source()]
    dataset.fake(random_state=seed)
    dataset.models = None
    return dataset


@pytest.fixture(scope="module")
def dataset() -> MapDataset:
    """Return simulated data; tests copy what they change."""
    return simulated()


def holed(dataset: MapDataset) -> MapDataset:
    """Return the data with a mask that depends on energy, a hole, and no exposure at a border."""
    copy = dataset.copy(name="holed")
    copy.mask_safe.data[3, :, 15:] = False
    copy.mask_safe.data[:, 5:7, 5:7] = False
    copy.exposure.data[:, :, :8] = 0.0
    return copy


def gammapy(datasets, model, **options) -> FluxMaps:
    """Return what Gammapy finds with sharp root finding."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # Its start values divide by an exposure of zero; they are of no use here.
        warnings.filterwarnings("ignore", "Use of fft convolution", RuntimeWarning)
        return TSMapEstimator(model, kernel_width=WIDTH, rtol=1e-10, n_jobs=1, **options).run(
            datasets
        )


def compare(ours: FluxMaps, theirs: FluxMaps, names=()) -> None:
    """Compare all quantities where Gammapy has succeeded."""
    ok = np.isfinite(theirs["ts"].data) & (theirs.success.data == 1)
    # Where noise of the kernel alone reaches exposure, Gammapy has norms up to -1e14; ours is NaN.
    ok &= np.isfinite(ours.norm.data) & (theirs["norm_err"].data < 30)
    assert ok.sum() > 300
    np.testing.assert_array_equal(
        ours.geom.axes["energy"].edges.value, theirs.geom.axes["energy"].edges.value
    )
    fixed = ("norm", "ts", "sqrt_ts", "stat", "stat_null", "npred", "npred_excess", "flux")
    for name in (*fixed, "norm_err", *names):
        here, there = ours[name].data, theirs[name].data
        some = ok & np.isfinite(there)
        assert some.sum() > 300, name
        # Gammapy's logarithms and the tails of its kernels are in single precision; where those
        # tails alone reach exposure, errors are large.
        error = theirs["norm_err"].data[some] if name.startswith("norm") else 0.0
        bound = 3e-5 * (1 + np.abs(there[some])) + 1e-4 * error
        assert (np.abs(here[some] - there[some]) <= bound).all(), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sum_over_energy_groups": False},
        {"energy_edges": [1, 3, 10] * u.TeV},
    ],
    ids=["summed", "joint", "bands"],
)
def test_agrees_with_gammapy(dataset, options):
    data = holed(dataset)
    selection = ["errn-errp", "ul"]
    ours = dl5.ts_map(data, source(), kernel_width=WIDTH, selection_optional=selection, **options)
    theirs = gammapy(data, source(), selection_optional=selection, **options)
    compare(ours, theirs, ["norm_errn", "norm_errp", "norm_ul"])


def test_several_datasets_and_models_are_taken_jointly(dataset):
    data = Datasets([dataset.copy(name="one"), simulated(2, 0.1, "two")])
    data.models = [source(GaussianSpatialModel(lon_0="0.1 deg", sigma="0.03 deg"))]
    extended = source(DiskSpatialModel(r_0="0.1 deg"))
    compare(dl5.ts_map(data, extended, kernel_width=WIDTH), gammapy(data, extended))


def test_width_of_the_kernel_is_found(dataset):
    theirs = TSMapEstimator(source(), rtol=1e-10, n_jobs=1).run(dataset)
    compare(dl5.ts_map(dataset, source()), theirs)


def test_the_source_is_found_again(dataset):
    maps = dl5.ts_map(dataset, source(), kernel_width=WIDTH, selection_optional="all")
    assert maps.sqrt_ts.data[CENTRE] > 5
    pull = (maps.norm.data[CENTRE] - 1) / maps.norm_err.data[CENTRE]
    assert abs(pull) < 4  # One in 16,000.
    assert maps.flux_ul.data[CENTRE] > maps.flux.data[CENTRE]
    np.testing.assert_allclose(
        maps.flux_ul.quantity[CENTRE],
        maps.norm_ul.data[CENTRE] * source().spectral_model.integral(1 * u.TeV, 10 * u.TeV),
    )
    assert maps.meta["fallbacks"] == []


def test_expected_weights_give_the_flux_back():
    data = simulated()
    data.models = [source()]
    data.counts = data.npred()
    data.models = None
    norm = {}
    for weighting in ("mean", "expected"):
        maps = dl5.ts_map(data, source(), kernel_width=WIDTH, energy_weighting=weighting)
        norm[weighting] = maps.norm.data[CENTRE]
    # The kernels of one PSF are the same at all energies: so is the answer.
    assert norm["mean"] == pytest.approx(1, abs=0.02)
    assert norm["expected"] == pytest.approx(norm["mean"], rel=1e-6)


def test_plain_mean_is_wrong_where_the_psf_depends_on_energy():
    data = simulated()
    axis_true = data.exposure.geom.axes["energy_true"]
    data.psf = PSFMap.from_gauss(axis_true, sigma=np.geomspace(0.15, 0.03, 6) * u.deg)
    data.models = [source()]
    data.counts = data.npred()
    data.models = None
    options = {"kernel_width": WIDTH}
    mean = dl5.ts_map(data, source(), **options)
    expected = dl5.ts_map(data, source(), energy_weighting="expected", **options)
    assert abs(expected.norm.data[CENTRE] - 1) < 0.03
    assert abs(mean.norm.data[CENTRE] - 1) > 2 * abs(expected.norm.data[CENTRE] - 1)
    assert expected.ts.data[CENTRE] > mean.ts.data[CENTRE]


def test_gammapy_fails_where_one_pixel_has_counts_and_we_do_not(dataset):
    data = dataset.copy(name="sparse")
    data.counts.data[...] = 0
    data.counts.data[0, 12, 12] = 1
    data.background.data[...] = 1e-3
    ours = dl5.ts_map(data, source(), kernel_width=WIDTH, selection_optional=["ul", "errn-errp"])
    theirs = gammapy(data, source(), selection_optional=["ul", "errn-errp"])
    theirs.filter_success_nan = False
    assert not theirs.success.data[CENTRE]
    assert ours.success.data.all()
    assert ours.stat.data[CENTRE] < theirs.stat.data[CENTRE] - 1
    # Far from the count nothing is seen, but a limit is there, and Gammapy has none.
    assert np.isnan(theirs.norm_ul.data[0, 0, 0])
    assert ours.flux_ul.data[0, 0, 0] > 0
    assert (ours.norm_ul.data > ours.norm.data).all()


def test_sensitivity_of_gammapy_is_negative_where_the_best_norm_is(dataset):
    options = {"selection_optional": ["sensitivity"]}
    ours = dl5.ts_map(dataset, source(), kernel_width=WIDTH, **options)
    theirs = gammapy(dataset, source(), **options).norm_sensitivity.data
    positive = ours.norm.data > 0.01
    np.testing.assert_allclose(ours.norm_sensitivity.data[positive], theirs[positive], rtol=1e-5)
    assert (ours.norm_sensitivity.data > 0).all()
    assert np.nanmin(theirs) < 0


def test_no_exposure_around_a_position_is_flagged(dataset):
    data = dataset.copy(name="border")
    data.exposure.data[:, :, :15] = 0.0
    maps = dl5.ts_map(data, source(), kernel_width=WIDTH)
    assert not maps.success.data[0, :, 0].any()
    assert np.isnan(maps.norm.data[0, :, 0]).all()
    assert maps.success.data[0, :, 20].all()


def test_a_band_without_background_is_empty_and_said(dataset, caplog):
    data = dataset.copy(name="empty-band")
    data.mask_safe.data[2:] = False
    with caplog.at_level(logging.WARNING):
        maps = dl5.ts_map(data, source(), kernel_width=WIDTH, energy_edges=[1, 3.16, 10] * u.TeV)
    assert "background" in caplog.text
    assert np.isfinite(maps.ts.data[0]).all()
    assert np.isnan(maps.ts.data[1]).all()


def test_background_that_is_not_finite_is_masked(dataset):
    broken, masked = dataset.copy(name="broken"), dataset.copy(name="masked")
    broken.background.data[1, 20, 20] = np.nan
    masked.mask_safe.data[1, 20, 20] = False
    ours = dl5.ts_map(broken, source(), kernel_width=WIDTH)
    expected = dl5.ts_map(masked, source(), kernel_width=WIDTH)
    np.testing.assert_allclose(ours.ts.data, expected.ts.data, rtol=1e-12, atol=1e-12)
    assert np.isfinite(ours.ts.data).all()


def test_nothing_is_changed_and_workers_give_the_same(dataset):
    data = holed(dataset)
    before = data.copy(name=data.name)
    one = dl5.ts_map(data, source(), kernel_width=WIDTH)
    two = dl5.ts_map(data, source(), kernel_width=WIDTH, n_jobs=2, backend="serial")
    np.testing.assert_array_equal(one.norm.data, two.norm.data)
    for name in ("counts", "background", "exposure", "mask_safe"):
        np.testing.assert_array_equal(getattr(data, name).data, getattr(before, name).data)


def test_scans_are_left_to_gammapy(dataset):
    data = dataset.downsample(5)
    maps = dl5.ts_map(data, source(), kernel_width="0.3 deg", selection_optional=["stat_scan"])
    assert maps.meta["fallbacks"] == ["stat_scan is not compiled"]
    assert maps.stat_scan.data.shape[1] == 109


def test_maps_survive_a_file(dataset, tmp_path):
    maps = dl5.ts_map(dataset, source(), kernel_width=WIDTH)
    maps.write(tmp_path / "ts.fits", sed_type="likelihood")
    back = FluxMaps.read(tmp_path / "ts.fits")
    np.testing.assert_allclose(back.ts.data, maps.ts.data, rtol=1e-6)


def test_options_that_are_wrong_are_named(dataset):
    with pytest.raises(ConfigError, match="errn-errp"):
        dl5.ts_map(dataset, source(), selection_optional=["errn-errpp"])
    with pytest.raises(ConfigError, match="expected"):
        dl5.ts_map(dataset, source(), energy_weighting="expect")
    with pytest.raises(ConfigError, match="position"):
        dl5.ts_map(dataset, SkyModel(PowerLawSpectralModel()))


def test_data_that_are_wrong_are_named(dataset):
    axis = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1)
    with pytest.raises(DataError, match="cash"):
        dl5.ts_map(MapDatasetOnOff.create(WcsGeom.create(width=1, axes=[axis])))
    with pytest.raises(DataError, match="geometry"):
        dl5.ts_map([dataset, dataset.downsample(5)])
    dark = dataset.copy(name="dark")
    dark.exposure.data[...] = 0
    with pytest.raises(DataError, match="dark"):
        dl5.ts_map(dark)
    masked = dataset.copy(name="masked")
    masked.mask_safe.data[...] = False
    with pytest.raises(SelectionError, match="masked"):
        dl5.ts_map(masked)
