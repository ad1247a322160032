"""Gammapy's own tests with the fit backend "ctao_sat": what differs, and who is right."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator
from gammapy.maps import WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.fit import Registry
from gammapy.modeling.models import FoVBackgroundModel

from ctao_sat._gammapy import fresh_copy
from ctao_sat.likelihood import register_fit_backend

# What takes less than a minute, and has all kinds of datasets and both kinds of estimators. The
# whole is in test_gammapy_fit_backend_whole.py.
NAMES = (
    "gammapy.modeling.tests.test_fit",
    "gammapy.datasets.tests.test_flux_points",
    "gammapy.datasets.tests.test_spectrum",
    "gammapy.datasets.tests.test_map::test_map_fit",
    "gammapy.datasets.tests.test_map::test_map_fit_one_energy_bin",
    "gammapy.makers.background.tests.test_fov",
    "gammapy.estimators.tests.test_flux",
    "gammapy.estimators.tests.test_parameter_estimator",
    "gammapy.estimators.points.tests.test_sed::test_run_pwl",
    "gammapy.estimators.points.tests.test_sed::test_run_ecpl",
    "gammapy.estimators.points.tests.test_sed::test_run_map_pwl_reoptimize",
    "gammapy.estimators.points.tests.test_sed::test_run_pwl_parameter_range",
    "gammapy.estimators.points.tests.test_lightcurve::test_lightcurve_estimator_fit_options",
    "gammapy.estimators.points.tests.test_lightcurve"
    "::test_lightcurve_estimator_spectrum_datasets_largerbin",
)


@pytest.mark.realdata
def test_gammapys_own_tests(gammapy_suite, differences):
    suite = gammapy_suite(*NAMES)
    assert suite.count("passed") > 75, suite.output
    suite.check(differences)
    assert suite.share("optimize") > 0.85
    assert suite.share("covariance") > 0.85


# -- the differences, one by one ------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    for task, backends in Registry.register.items():
        monkeypatch.setitem(Registry.register, task, dict(backends))
    register_fit_backend()


def fitted(small, kind, **options):
    """Return datasets and results of both backends, from the same start."""
    both = []
    for name in ("ctao_sat", "minuit"):
        datasets = small.datasets(kind)
        both += [datasets, Fit(backend=name, **options).run(datasets)]
    return both


def errors(datasets):
    return np.array([parameter.error for parameter in datasets.parameters.free_parameters])


@pytest.mark.parametrize("kind", ["cube", "flux points"])
def test_minimum_the_backend_is_nearer(small, kind):
    """Gammapy stops Minuit at a tolerance of 0.1. The lower statistic is right."""
    ours, result, theirs, expected = fitted(small, kind)
    assert 1e-7 < expected.total_stat - result.total_stat < 1e-3
    difference = ours.parameters.free_parameters.value - theirs.parameters.free_parameters.value
    assert 1e-4 < np.max(np.abs(difference) / errors(ours)) < 0.03


def test_pixels_at_which_gammapy_sticks(small):
    """Without PSF a point lights four pixels: each is a valley. The lower statistic is right."""
    found = {}
    for name in ("ctao_sat", "minuit"):
        datasets = Datasets([_point_without_psf(small)])
        result = Fit(backend=name).run(datasets)
        assert result.success
        # Also of a source that has moved: with the cutouts of where it is now.
        assert result.total_stat == pytest.approx(fresh_copy(datasets).stat_sum(), abs=1e-3)
        found[name] = result.total_stat
    assert found["ctao_sat"] < found["minuit"] - 10


def _point_without_psf(small):
    """Return a cube with the counts of a point source and a PSF, that has none itself."""
    geom = WcsGeom.create(skydir=small.CENTER, npix=30, binsz=0.03, axes=[small.ENERGY])
    dataset = small.cube(geom=geom)
    dataset.background.data *= 0.1
    source = small.point()
    dataset.models = [source, small.background_model()]
    dataset.fake(3)
    dataset.psf = None
    source.spatial_model.unfreeze()
    source.spatial_model.lat_0.value += 0.004
    dataset.models = [source, small.background_model()]
    return dataset


def second_derivatives(datasets, steps):
    """Return those of Gammapy's statistic, by central differences."""
    free = datasets.parameters.free_parameters
    best, n = free.value.copy(), len(free)

    def stat(shift):
        for parameter, value in zip(free, best + shift, strict=True):
            parameter.value = value
        return datasets.stat_sum()

    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = np.eye(n)[i] * steps, np.eye(n)[j] * steps
            corners = stat(a + b) - stat(a - b) - stat(b - a) + stat(-a - b)
            out[i, j] = corners / (4 * steps[i] * steps[j])
    stat(np.zeros(n))
    return out


def test_hesse_errors_are_those_of_the_second_derivatives(small):
    """Gammapy calls MIGRAD's approximation by that name. Its own statistic tells what is right."""
    ours, _, theirs, _ = fitted(small, "spectrum")
    curvature = second_derivatives(ours, 0.05 * errors(ours))
    exact = np.sqrt(np.diag(2 * np.linalg.inv(curvature)))
    np.testing.assert_allclose(errors(ours), exact, rtol=3e-4)
    assert np.max(np.abs(errors(theirs) / exact - 1)) > 1e-3


def test_degenerate_parameters_are_named(small):
    """Norm and tilt in one energy bin. Along the valley Gammapy's statistic does not change."""
    successes = {}
    for name in ("ctao_sat", "minuit"):
        dataset = small.cube().to_image(name="image")
        model = FoVBackgroundModel(dataset_name="image")
        norm, tilt = model.spectral_model.norm, model.spectral_model.tilt
        tilt.frozen = False
        dataset.models = [model]
        dataset.counts.data = (1.3 * dataset.background.data).round()
        result = Fit(backend=name).run(dataset)
        successes[name] = result.success
        stat = dataset.stat_sum()
        energy = dataset.counts.geom.axes["energy"].center[0]
        tilt.value += 1
        norm.value *= (energy / model.spectral_model.reference.quantity).to_value("")
        assert dataset.stat_sum() == pytest.approx(stat, abs=1e-8)
        if name == "ctao_sat":
            message = result.covariance_result.message
            assert "do not determine image-bkg.tilt, image-bkg.norm" in message
    assert successes == {"ctao_sat": False, "minuit": True}


def test_sources_at_one_place_are_named(small):
    """Flux goes from one to the other, and Gammapy's statistic does not change."""
    successes = {}
    for name in ("ctao_sat", "minuit"):
        dataset = small.cube()
        source, twin = small.point(), small.point("twin")
        twin.spectral_model.index = source.spectral_model.index
        dataset.models = [source, twin]
        small.fill([dataset], np.random.default_rng(1))
        result = Fit(backend=name).run(dataset)
        successes[name] = result.success
        stat = dataset.stat_sum()
        moved = 0.5 * source.spectral_model.amplitude.value
        source.spectral_model.amplitude.value -= moved
        twin.spectral_model.amplitude.value += moved
        assert dataset.stat_sum() == pytest.approx(stat, abs=1e-8)
        if name == "ctao_sat":
            message = result.covariance_result.message
            assert "do not determine source.amplitude, twin.amplitude" in message
    assert successes == {"ctao_sat": False, "minuit": True}


def test_options_of_minuit_are_not_used(small):
    """A looser tolerance would only end farther from the minimum."""
    options = {"optimize_opts": {"tol": 10.0, "strategy": 0}}
    _, result, _, expected = fitted(small, "cube", **options)
    assert expected.minuit.tol == 10
    assert result.minuit.tol < 0.1
    assert "Options of Minuit that were not used: tol, strategy." in result.message
    assert result.total_stat < expected.total_stat


def test_kink_limits_without_counts(small):
    """MINOS takes a kink for a parabola. At an upper limit the statistic has risen by four."""
    rises = {}
    for name in ("ctao_sat", "minuit"):
        datasets = small.datasets("on-off")
        for counts in (datasets[0].counts, datasets[0].counts_off):
            counts.data[:] = 0
        estimator = FluxPointsEstimator(
            energy_edges=[1, 20] * u.TeV,
            source="source",
            selection_optional=["ul"],
            fit=Fit(backend=name),
        )
        row = estimator.run(Datasets(datasets)).to_table(sed_type="likelihood")[0]
        datasets.parameters["amplitude"].value *= row["norm_ul"]
        rises[name] = datasets.stat_sum() - row["stat"]
    assert rises["ctao_sat"] == pytest.approx(4, abs=1e-3)
    assert abs(rises["minuit"]) < 0.1
