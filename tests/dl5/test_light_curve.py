"""Light curves against Gammapy's own."""

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.estimators import FluxPoints, FluxPointsEstimator, LightCurveEstimator
from gammapy.modeling.models import GaussianPrior

from ctao_sat import dl5
from ctao_sat.dl5._estimator_options import exploring
from ctao_sat.errors import ConfigError, DataError, SourceNotFoundError

EDGES = [1, 5, 20] * u.TeV
SUMS = ("counts", "npred", "npred_excess")


def gammapy(datasets, **options):
    """Return Gammapy's light curve."""
    options = {"energy_edges": EDGES, "source": "source", **options}
    with exploring():
        return LightCurveEstimator(**options).run(datasets)


def numbers(curve, name):
    """Return numbers as they are, whether there was success or not."""
    curve.filter_success_nan = False
    return getattr(curve, name).data


def check(ours, theirs):
    """Compare all quantities of two light curves: 0.02 sigma, and ours is never worse."""
    assert set(ours.available_quantities) == set(theirs.available_quantities)
    assert ours.geom.axes == theirs.geom.axes
    error = numbers(theirs, "norm_err")
    for name in theirs.available_quantities:
        one, other = numbers(ours, name), numbers(theirs, name)
        assert getattr(ours, name).geom.axes.names == getattr(theirs, name).geom.axes.names
        if name in SUMS:
            np.testing.assert_allclose(one, other, rtol=5e-3, err_msg=name)
        elif name == "stat_scan":
            np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=name)
        elif name == "norm_sensitivity":
            np.testing.assert_allclose(one, other, rtol=0.01, err_msg=name)
        elif name == "success":
            np.testing.assert_array_equal(one, other)
        else:
            assert np.array_equal(np.isnan(one), np.isnan(other)), name
            assert np.nanmax(np.abs(one - other) / error) < 0.02, name
    assert np.nanmax(numbers(ours, "stat") - numbers(theirs, "stat")) < 1e-6


@pytest.mark.parametrize("kind", ["on-off", "spectrum"])
def test_all_quantities_are_those_of_gammapy(nights, kind):
    datasets = nights(kind, 2)
    ours = dl5.light_curve(datasets, EDGES, selection_optional="all")
    check(ours, gammapy(datasets, selection_optional="all"))
    assert ours.meta["fallbacks"] == []
    # Also those that are derived, and tables.
    theirs = gammapy(datasets, selection_optional=["ul"])
    for sed_type in ("dnde", "flux", "likelihood"):
        names = dl5.light_curve(datasets, EDGES, selection_optional=["ul"]).to_table(sed_type)
        assert names.colnames == theirs.to_table(sed_type).colnames


def test_cubes_with_a_background_model(nights):
    datasets = nights("cube", 2)
    start, stop = datasets.gti.time_start[0], datasets.gti.time_stop[-1]
    options = {"time_intervals": [Time([start, stop])], "selection_optional": ["errn-errp", "ul"]}
    ours = dl5.light_curve(datasets, EDGES, **options)
    check(ours, gammapy(datasets, **options))
    assert ours.geom.axes["time"].nbin == 1


def test_other_models_are_fitted_again_if_asked(nights):
    datasets = nights("cube", 1)
    options = {"reoptimize": True, "selection_optional": [], "energy_edges": EDGES[[0, -1]]}
    ours = dl5.light_curve(datasets, **options)
    check(ours, gammapy(datasets, **options))
    fixed = dl5.light_curve(datasets, EDGES[[0, -1]], selection_optional=[])
    assert np.all(ours.stat.data < fixed.stat.data)


def test_numbers_of_sigmas_and_the_norm(nights):
    datasets = nights("on-off", 2)
    options = {"n_sigma": 2, "n_sigma_ul": 3, "selection_optional": ["errn-errp", "ul", "scan"]}
    norm = {"scan_values": np.array([0.5, 2.0])}
    ours = dl5.light_curve(datasets, EDGES, norm=norm, **options)
    check(ours, gammapy(datasets, norm=dict(norm), **options))
    assert (ours.meta["n_sigma"], ours.meta["n_sigma_ul"]) == (2, 3)


def test_many_small_pieces_are_one_large_one(nights, monkeypatch, assert_equal):
    datasets = nights("on-off", 4)
    whole = dl5.light_curve(datasets, EDGES, selection_optional="all")
    monkeypatch.setattr("ctao_sat.dl5._light_curve._BINS_AT_ONCE", 1)
    assert_equal(dl5.light_curve(datasets, EDGES, selection_optional="all"), whole)


def test_priors_are_part_of_the_statistic(nights):
    datasets = nights("on-off", 2)
    datasets.parameters["index"].prior = GaussianPrior(mu=2.5, sigma=0.1)
    plain = nights("on-off", 2)
    ours = dl5.light_curve(datasets, EDGES, selection_optional=[])
    check(ours, gammapy(datasets, selection_optional=[]))
    assert np.array_equal(ours.norm.data, dl5.light_curve(plain, EDGES).norm.data)


def test_nothing_is_changed(nights):
    datasets = nights("cube", 2)
    before = datasets.parameters.value.copy(), datasets.parameters.free_parameters.names
    models, stat = list(datasets.models), datasets.stat_sum()
    for spectrum in ("fixed", "free"):
        dl5.light_curve(datasets, EDGES, spectrum=spectrum, reoptimize=True, selection_optional=[])
    assert np.array_equal(datasets.parameters.value, before[0])
    assert datasets.parameters.free_parameters.names == before[1]
    assert [a is b for a, b in zip(datasets.models, models, strict=True)] == [True] * 3
    assert datasets.stat_sum() == stat


# -- intervals that hold little, or nothing --------------------------------------------------------


def test_runs_without_counts_have_limits(nights):
    datasets = nights("on-off", 4)
    datasets[0].counts.data[:] = 0
    datasets[1].counts.data[:] = 0
    datasets[1].counts_off.data[:] = 0
    curve = dl5.light_curve(datasets, EDGES)
    limits = curve.norm_ul.data.reshape(4, 2)
    assert np.all(np.isfinite(limits))
    assert np.all(curve.is_ul.data.reshape(4, 2)[:2])
    # Without any counts the statistic is 2 s norm: at a limit of two sigmas s norm = 2.
    signal = datasets[1].npred_signal().data.ravel()
    expected = 2 / np.array([signal[:2].sum(), signal[2:].sum()])
    np.testing.assert_allclose(limits[1], expected, rtol=1e-6)
    for i in (2, 3):
        alone = dl5.flux_points(Datasets([datasets[i]]), EDGES, selection_optional=["ul"])
        assert np.array_equal(limits[i], alone.norm_ul.data.ravel())


def test_runs_that_tell_nothing_are_flagged(nights):
    datasets = nights("on-off", 3)
    datasets[0].exposure.data[:] = 0
    datasets[1].mask_safe = datasets[1].counts.geom.energy_mask(energy_min=5 * u.TeV)
    curve = dl5.light_curve(datasets, EDGES)
    success = curve.success.data.reshape(3, 2)
    assert success.tolist() == [[False, False], [False, True], [True, True]]
    assert np.array_equal(np.isfinite(curve.norm_ul.data.reshape(3, 2)), success)
    assert np.array_equal(np.isfinite(curve.norm.data.reshape(3, 2)), success)


def test_bins_beyond_the_data(nights):
    curve = dl5.light_curve(nights("on-off", 2), [1, 20, 50] * u.TeV)
    assert curve.success.data.reshape(2, 2).tolist() == [[True, False]] * 2


# -- what cannot be compiled -----------------------------------------------------------------------


def test_gammapy_takes_what_cannot_be_compiled_and_it_is_said(nights, caplog):
    datasets = nights("spectrum", 2)
    # Nobody knows what a subclass does.
    datasets[1].__class__ = type("Own", (SpectrumDataset,), {})
    curve = dl5.light_curve(datasets, EDGES, selection_optional=[])
    (note,) = curve.meta["fallbacks"]
    assert "2020-01-02T00:00:00.000" in note
    assert "unknown kind of dataset: Own" in note
    assert "unknown kind of dataset: Own" in caplog.text
    alone = FluxPointsEstimator(energy_edges=EDGES, source="source")
    with exploring():
        theirs = alone.run(Datasets([datasets[1]]))
    assert np.array_equal(curve.norm.data[1], theirs.norm.data)
    ours = dl5.flux_points(Datasets([datasets[0]]), EDGES, selection_optional=[])
    assert np.array_equal(curve.norm.data[0], ours.norm.data)


def test_gammapy_alone_if_asked(nights, assert_equal):
    datasets = nights("on-off", 2)
    curve = dl5.light_curve(datasets, EDGES, compiled=False, selection_optional=["ul"])
    assert_equal(curve, gammapy(datasets, selection_optional=["ul"]))


# -- a spectrum in each interval -------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_shape():
    """Return the tolerance of a flux, relative to its error."""
    return 0.02


def test_free_spectra_are_those_of_fits(nights, one_shape):
    datasets = nights("on-off", 3)
    curve = dl5.light_curve(datasets, EDGES, spectrum="free", selection_optional="all")
    table = curve.meta["parameters"]
    assert table.meta["parameters"] == ["index", "amplitude"]
    assert np.all(table["success"])
    for i, dataset in enumerate(datasets):
        alone = Datasets([dataset.copy(name=dataset.name)])
        alone.models = datasets.models.copy()
        null = Datasets([dataset.copy(name="null")]).stat_sum()
        result = dl5.fit(alone, compiled=False)
        model = alone.models[0].spectral_model
        assert table["stat"][i] == pytest.approx(result.total_stat, abs=1e-3)
        assert table["ts"][i] == pytest.approx(null - result.total_stat, abs=1e-3)
        for name in ("index", "amplitude"):
            parameter, error = model.parameters[name], table[f"{name}_err"][i]
            assert abs(table[name][i] - parameter.quantity) < one_shape * error
            assert error.value == pytest.approx(parameter.error, rel=0.05)
        assert table["covariance"][i][0, 0] == pytest.approx(table["index_err"][i] ** 2)
        # The flux in a bin is that of the interval's spectrum times its norm, and so is the limit.
        points = dl5.flux_points(alone, EDGES)
        for name in ("flux", "flux_err", "flux_ul", "flux_errp"):
            ours, theirs = getattr(curve, name).quantity[i], getattr(points, name).quantity
            assert np.all(np.abs(ours - theirs) < one_shape * points.flux_err.quantity), name
        assert np.allclose(curve.ts.data[i], points.ts.data, rtol=1e-2)


def test_the_scan_of_a_free_spectrum_is_at_common_norms(nights):
    datasets = nights("on-off", 2)
    curve = dl5.light_curve(datasets, EDGES, spectrum="free", selection_optional=["scan"])
    fixed = dl5.light_curve(datasets, EDGES, selection_optional=["scan"])
    assert curve.stat_scan.geom.axes["norm"] == fixed.stat_scan.geom.axes["norm"]
    # Near its minimum each scan is a parabola around the norm of the curve.
    norm = curve.stat_scan.geom.axes["norm"].center.value
    stat = numbers(curve, "stat_scan")[:, :, :, 0, 0]
    best, error = curve.norm.data[..., 0, 0], curve.norm_err.data[..., 0, 0]
    near = np.abs(norm - best[..., None]) < 1.5 * error[..., None]
    rise = stat - numbers(curve, "stat")[..., 0, 0][..., None]
    parabola = ((norm - best[..., None]) / error[..., None]) ** 2
    assert near.any()
    assert np.max(np.abs(rise - parabola)[near]) < 0.6


def test_free_spectra_of_cubes_with_the_background(nights):
    datasets = nights("cube", 2)
    curve = dl5.light_curve(
        datasets, EDGES, spectrum="free", reoptimize=True, selection_optional=["ul"]
    )
    table = curve.meta["parameters"]
    for i, dataset in enumerate(datasets):
        alone = Datasets([dataset.copy(name=dataset.name)])
        alone.models = [datasets.models[0].copy(name="source"), datasets.models[i + 1].copy()]
        assert table["stat"][i] == pytest.approx(dl5.fit(alone).total_stat, abs=1e-3)
        alone.models = [datasets.models[i + 1].copy()]
        null = dl5.fit(alone).total_stat
        assert table["ts"][i] == pytest.approx(null - table["stat"][i], abs=1e-3)
    assert np.all(np.isfinite(curve.norm_ul.data))


def test_a_free_spectrum_that_is_linked_to_another(nights):
    datasets = nights("on-off", 1)
    source = datasets.models[0]
    other = source.copy(name="other")
    other.spectral_model.amplitude.value *= 0.1
    other.spectral_model.index = source.spectral_model.index
    datasets.models = [source, other]
    before = datasets.parameters.value.copy()
    row = dl5.light_curve(datasets, EDGES, spectrum="free").meta["parameters"][0]
    assert np.array_equal(datasets.parameters.value, before)
    other.spectral_model.amplitude.frozen = True
    dl5.fit(datasets)
    np.testing.assert_allclose(row["index"], source.spectral_model.index.value, rtol=1e-4)


def test_a_spectrum_that_cannot_be_determined(nights, caplog):
    datasets = nights("on-off", 2)
    datasets[1].counts.data[:] = 0
    curve = dl5.light_curve(datasets, EDGES, spectrum="free")
    table = curve.meta["parameters"]
    assert table["success"].tolist() == [True, False]
    assert np.isnan(table["index"][1])
    assert np.isnan(table["amplitude_err"][1])
    (note,) = curve.meta["fallbacks"]
    assert "the fixed spectrum was taken: no counts" in note
    assert f"In {note.replace(': the', ' the')}" in caplog.text
    fixed = dl5.light_curve(datasets, EDGES)
    assert np.allclose(curve.norm_ul.data[1], fixed.norm_ul.data[1], rtol=1e-9)


def test_light_curves_with_free_spectra_can_be_written(nights, tmp_path):
    curve = dl5.light_curve(nights("on-off", 2), EDGES, spectrum="free")
    curve.write(tmp_path / "curve.fits", sed_type="flux")
    again = FluxPoints.read(tmp_path / "curve.fits")
    np.testing.assert_allclose(again.flux.data, curve.flux.data)
    table = curve.meta["parameters"]
    table.write(tmp_path / "spectra.ecsv")
    assert type(table).read(tmp_path / "spectra.ecsv")["covariance"].shape == (2, 2, 2)


# -- what cannot be asked for ----------------------------------------------------------------------


def test_bad_options(nights):
    datasets = nights("on-off", 2)
    with pytest.raises(ConfigError, match="Unknown spectrum: 'loose'"):
        dl5.light_curve(datasets, EDGES, spectrum="loose")
    with pytest.raises(ConfigError, match="Unknown choice"):
        dl5.light_curve(datasets, EDGES, compiled="yes")
    with pytest.raises(SourceNotFoundError, match="Did you mean 'source'"):
        dl5.light_curve(datasets, EDGES, "sauce")
    datasets.parameters.freeze_all()
    with pytest.raises(ConfigError, match="No spectral parameter of 'source' is free"):
        dl5.light_curve(datasets, EDGES, spectrum="free")
    with pytest.raises(DataError, match="No dataset lies completely within"):
        dl5.light_curve(datasets, EDGES, time_intervals=[Time(["2001-01-01", "2001-01-02"])])


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_parallel_equals_serial(nights, backend, assert_equal):
    datasets = nights("on-off", 2)
    curve = dl5.light_curve(datasets, EDGES, selection_optional=[])
    parallel = dl5.light_curve(datasets, EDGES, selection_optional=[], n_jobs=2, backend=backend)
    assert_equal(parallel, curve)
