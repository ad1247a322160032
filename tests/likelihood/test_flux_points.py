"""Flux points as arrays: against Gammapy, and by hand."""

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import FluxPointsDataset
from gammapy.estimators import FluxPoints
from gammapy.maps import Map, MapAxis, RegionGeom, WcsNDMap
from gammapy.modeling.models import (
    ConstantSpectralModel,
    ExpDecayTemporalModel,
    FoVBackgroundModel,
    GaussianSpatialModel,
    LogParabolaSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    TemplateSpatialModel,
)

from ctao_sat.errors import NotCompilable
from ctao_sat.kernels.statistics import CHI2, DISTRIB, PROFILE, bin_stat, bin_value
from ctao_sat.likelihood._flux_points import flux_points_rows
from ctao_sat.likelihood._spectra import build_spectra

N = 7
NORM = MapAxis.from_nodes(np.geomspace(0.2, 5, 11), name="norm")


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def models():
    """Return two sources, one of them with a fixed light curve."""
    source = LogParabolaSpectralModel(amplitude="3e-12 cm-2 s-1 TeV-1", alpha=2.1, beta=0.1)
    other = PowerLawSpectralModel(amplitude="2e-9 m-2 s-1 GeV-1", index=2.8, reference="20 GeV")
    decay = ExpDecayTemporalModel(t0="2 h", t_ref=55555 * u.d)
    decay.parameters.freeze_all()
    return [SkyModel(source, name="a"), SkyModel(other, temporal_model=decay, name="b")]


def flux_points(rng, quantities=("norm_err",), *, gti=True, unit="TeV"):
    """Return flux points around a power law, two of them limits, one of them missing."""
    axis = MapAxis.from_energy_bounds("0.1 TeV", "30 TeV", nbin=N, name="energy")
    axis = MapAxis.from_edges(axis.edges.to(unit), name="energy", interp="log")
    geom = RegionGeom.create("icrs;circle(83.63, 22.01, 0.1)", axes=[axis])
    values = {
        "norm": rng.normal(1, 0.3, N),
        "norm_err": rng.uniform(0.1, 0.4, N),
        "norm_errn": rng.uniform(0.1, 0.4, N),
        "norm_errp": rng.uniform(0.1, 0.4, N),
        "norm_ul": rng.uniform(1, 2, N),
        "stat": rng.uniform(20, 30, N),
        "ts": np.full(N, 50.0),
    }
    values["ts"][[2, 5]] = 0.5
    values["norm"][3] = np.nan
    values["norm_errp"][1] = np.nan
    kept = {name: values[name] for name in ("norm", *quantities) if name != "stat_scan"}
    maps = {name: Map.from_geom(geom, data=data.reshape(-1, 1, 1)) for name, data in kept.items()}
    if "stat_scan" in quantities:
        scan = RegionGeom.create(geom.region, axes=[NORM, axis])
        depth = ((NORM.center.value - 1.1) / 0.3) ** 2 + 0.1 * NORM.center.value**3
        data = values["stat"][:, np.newaxis] + depth * rng.uniform(0.5, 2, (N, 1))
        data[4, 2] = np.nan
        maps["stat_scan"] = Map.from_geom(scan, data=data.reshape(N, -1, 1, 1))
    start = Time(["2010-12-25T00:00", "2010-12-25T02:00"])
    intervals = GTI.create([0, 2] * u.h, [1, 2.5] * u.h, reference_time=start[0])
    return FluxPoints.from_maps(
        maps,
        sed_type="likelihood",
        reference_model=PowerLawSpectralModel(amplitude="2e-12 cm-2 s-1 TeV-1"),
        gti=intervals if gti else None,
    )


CASES = {
    "chi2": ("chi2", ("norm_err", "norm_ul", "ts")),
    "chi2-sided": ("chi2", ("norm_errn", "norm_errp")),
    "distrib": ("distrib", ("norm_err", "norm_ul", "ts")),
    "distrib-sided": ("distrib", ("norm_err", "norm_errn", "norm_errp", "norm_ul", "ts")),
    "profile": ("profile", ("norm_err", "stat", "stat_scan")),
}


def make(rng, models, name, **kwargs):
    stat_type, quantities = CASES[name]
    options = {key: kwargs.pop(key) for key in ("stat_kwargs", "mask_fit") if key in kwargs}
    data = flux_points(rng, quantities, **kwargs)
    return FluxPointsDataset(models, data, stat_type=stat_type, name="points", **options)


def predict(data):
    """Return the predictions of all points, with spectra evaluated by Gammapy."""
    mu = np.zeros(len(data.rows))
    for term in data.terms:
        flux = term.request.model(term.request.energy * u.TeV)
        if term.request.temporal is not None:
            temporal, gti = term.request.temporal
            flux = flux * np.sum(temporal.integral(gti.time_start, gti.time_stop))
        mu += term.factor * flux.to_value(data.unit)[term.index]
    return mu


def stat(data, mu):
    return np.array([
        bin_value(data.kind, row, data.tables, x) for row, x in zip(data.rows, mu, strict=True)
    ])  # fmt: skip


def gammapy_stat(dataset):
    # The tail of a limit underflows for predictions far below zero.
    with np.errstate(divide="ignore"):
        return dataset.stat_array()[dataset.mask]


@pytest.mark.parametrize("norm", [1.0, 0.0, -3.0, 40.0, 1e3])
@pytest.mark.parametrize("unit", ["TeV", "GeV"])
@pytest.mark.parametrize("name", CASES)
def test_stat_is_that_of_gammapy(rng, models, name, unit, norm):
    dataset = make(rng, models, name, unit=unit)
    models[0].parameters["amplitude"].value *= norm
    data = flux_points_rows(dataset)
    ours, theirs = stat(data, predict(data)), gammapy_stat(dataset)
    assert len(ours) >= 4
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)
    assert ours.sum() == pytest.approx(theirs.sum(), rel=1e-12, nan_ok=True)


def test_kinds_and_masks(rng, models):
    kinds = {name: flux_points_rows(make(rng, models, name)) for name in CASES}
    assert [data.kind for data in kinds.values()] == [CHI2, CHI2, DISTRIB, DISTRIB, PROFILE]
    # One point is missing; chi2 leaves out two limits, a profile only the one that is not finite.
    expected = {"chi2": 4, "distrib": 7, "profile": 6}
    for name, number in expected.items():
        assert len(kinds[name].rows) == number
    fit = np.array([True, True, False, True, False, True, True]).reshape(N, 1, 1)
    dataset = make(rng, models, "profile", mask_fit=fit)
    data = flux_points_rows(dataset)
    assert len(data.rows) == 5
    np.testing.assert_allclose(stat(data, predict(data)), gammapy_stat(dataset), rtol=1e-11)


@pytest.mark.parametrize("mu", [-2.0, 0.1, 0.2, 0.9, 3.3, 5.0, 30.0])
@pytest.mark.parametrize("scale", ["sqrt", "lin"])
def test_profiles_between_and_beyond_their_points(rng, mu, scale):
    """A constant times the reference spectrum is predicted: mu is that constant."""
    points = flux_points(rng, CASES["profile"][1], gti=False)
    model = SkyModel(points.reference_model.spectral_model.copy())
    model.parameters["amplitude"].value *= mu
    dataset = FluxPointsDataset(
        [model], points, stat_type="profile",
        stat_kwargs={"interp_scale": scale, "extrapolate": True},
    )  # fmt: skip
    data = flux_points_rows(dataset)
    predicted = predict(data)
    np.testing.assert_allclose(predicted, mu, rtol=1e-13)
    theirs = gammapy_stat(dataset)
    size = abs(data.tables).max()
    np.testing.assert_allclose(stat(data, predicted), theirs, rtol=1e-11, atol=1e-13 * size)


def test_profile_derivatives_are_smooth(rng, models):
    """A quadratic spline has one continuous derivative; the table keeps it."""
    data = flux_points_rows(make(rng, models, "profile"))
    start, pieces = int(data.rows[2, 0]), int(data.rows[2, 1])
    for x in data.tables[start + 1 : start + pieces]:
        below = bin_stat(PROFILE, data.rows[2], data.tables, x * (1 - 1e-13))
        above = bin_stat(PROFILE, data.rows[2], data.tables, x * (1 + 1e-13))
        np.testing.assert_allclose(below[:2], above[:2], rtol=1e-9, atol=1e-9)


def test_prediction_through_compiled_spectra(rng, models):
    dataset = make(rng, models, "chi2")
    data = flux_points_rows(dataset)
    parameters = dataset.models.parameters.unique_parameters
    free = np.array([not parameter.frozen for parameter in parameters])
    spectra = build_spectra([term.request for term in data.terms], list(parameters), free)
    f, _, _ = spectra.compute(parameters.value, 0)
    mu = np.zeros(len(data.rows))
    for v, term in enumerate(data.terms):
        mu += spectra.units[v].to(data.unit) * term.factor * f[spectra.start[v] + term.index]
    expected = dataset.flux_pred().to_value(data.unit)[dataset.mask]
    np.testing.assert_allclose(mu, expected, rtol=1e-12)


def test_a_fixed_light_curve_is_a_factor(rng, models):
    with_gti = flux_points_rows(make(rng, models, "chi2"))
    # Mean of exp(-t / 2 h) over 0 h to 1 h and 2 h to 2.5 h, from the reference time on:
    # 2 (1 - e^-0.5 + e^-1 - e^-1.25) / 1.5.
    expected = 2 * (1 - np.exp(-0.5) + np.exp(-1) - np.exp(-1.25)) / 1.5
    np.testing.assert_array_equal(with_gti.terms[0].factor, 1)
    np.testing.assert_allclose(with_gti.terms[1].factor, expected, rtol=1e-6)
    # Without good time intervals, Gammapy does not look at the light curve.
    dataset = make(rng, models, "chi2", gti=False)
    without = flux_points_rows(dataset)
    np.testing.assert_array_equal(without.terms[1].factor, 1)
    expected = dataset.flux_pred().to_value(without.unit)[dataset.mask]
    np.testing.assert_allclose(predict(without), expected, rtol=1e-13)


def test_a_free_light_curve_is_part_of_the_spectrum(rng, models):
    models[1].temporal_model.parameters["t0"].frozen = False
    dataset = make(rng, models, "profile")
    data = flux_points_rows(dataset)
    assert data.terms[0].request.temporal is None
    assert data.terms[1].request.temporal[0] is models[1].temporal_model
    np.testing.assert_allclose(stat(data, predict(data)), gammapy_stat(dataset), rtol=1e-11)


def test_spatial_models_do_not_count(rng, models):
    models[0].spatial_model = GaussianSpatialModel(sigma="0.3 deg")
    dataset = make(rng, models, "chi2")
    data = flux_points_rows(dataset)
    np.testing.assert_allclose(stat(data, predict(data)), gammapy_stat(dataset), rtol=1e-11)


def test_chi2_by_hand(rng):
    points = flux_points(rng, ("norm_err",), gti=False)
    points.norm.data[0], points.norm_err.data[0] = 1.5, 0.25
    model = SkyModel(points.reference_model.spectral_model)
    data = flux_points_rows(FluxPointsDataset([model], points))
    # The model is the reference: (1.5 - 1) / 0.25 = 2 errors off.
    assert stat(data, predict(data))[0] == pytest.approx(4, rel=1e-12)


def test_nothing_left_to_fit(rng, models):
    nothing = np.zeros((N, 1, 1), dtype=bool)
    for name in ("chi2", "distrib", "profile"):
        data = flux_points_rows(make(rng, models, name, mask_fit=nothing))
        assert data.rows.shape == (0, 6)
        assert len(data.tables) == 0
        assert [len(term.index) for term in data.terms] == [0, 0]


def test_data_are_not_changed(rng, models):
    dataset = make(rng, models, "distrib-sided")
    names = ("norm", "norm_err", "norm_errp", "norm_ul")
    before = {name: getattr(dataset.data, name).data.copy() for name in names}
    data = flux_points_rows(dataset)
    data.rows[:] = 0
    for name in names:
        np.testing.assert_array_equal(getattr(dataset.data, name).data, before[name])


# -- what is left to Gammapy ----------------------------------------------------------------------


def template_model():
    template = WcsNDMap.create(npix=5, binsz=0.1, unit="sr-1")
    template.data += 1.0
    return SkyModel(ConstantSpectralModel(), TemplateSpatialModel(template, normalize=False))


def test_other_models_are_not_compilable(rng, models):
    dataset = make(rng, models, "chi2")
    dataset.models = [template_model()]
    with pytest.raises(NotCompilable, match="spatial template"):
        flux_points_rows(dataset)
    dataset.models = [FoVBackgroundModel(dataset_name="points")]
    with pytest.raises(NotCompilable, match="FoVBackgroundModel"):
        flux_points_rows(dataset)
    for none in (None, []):
        dataset.models = none
        with pytest.raises(NotCompilable, match="without a model"):
            flux_points_rows(dataset)


def test_other_axes_are_not_compilable(rng, models):
    points = flux_points(rng, gti=False)
    time = MapAxis.from_edges([0, 1, 2], unit="d", name="phase")
    geom = RegionGeom.create(points.geom.region, axes=[points.geom.axes["energy"], time])
    maps = {name: Map.from_geom(geom) for name in ("norm", "norm_err")}
    more = FluxPoints.from_maps(
        maps, sed_type="likelihood", reference_model=points.reference_model
    )  # fmt: skip
    with pytest.raises(NotCompilable, match="axes other than energy"):
        flux_points_rows(FluxPointsDataset(models, more))


@pytest.mark.parametrize(
    ("stat_type", "quantities", "message"),
    [
        ("chi2", (), "without errors"),
        ("chi2", ("norm_errp",), "without errors"),
        ("distrib", ("norm_errn", "norm_errp", "norm_ul"), "without symmetric errors"),
    ],
)
def test_points_without_errors_are_not_compilable(rng, models, stat_type, quantities, message):
    points = flux_points(rng, quantities)
    dataset = FluxPointsDataset(models, points, stat_type=stat_type)
    with pytest.raises(NotCompilable, match=message):
        flux_points_rows(dataset)
    # Gammapy cannot evaluate them either.
    with pytest.raises(AttributeError):
        dataset.stat_sum()


def test_profiles_that_end_are_not_compilable(rng, models):
    options = {"interp_scale": "sqrt", "extrapolate": False}
    dataset = make(rng, models, "profile", stat_kwargs=options)
    with pytest.raises(NotCompilable, match="extrapolated"):
        flux_points_rows(dataset)


@pytest.mark.parametrize("mask", [np.ones((N, 1, 1), dtype=int), np.ones(N, dtype=bool)])
def test_odd_masks_are_not_compilable(rng, models, mask):
    dataset = make(rng, models, "chi2", mask_fit=mask)
    with pytest.raises(NotCompilable, match="one boolean for each"):
        flux_points_rows(dataset)


@pytest.mark.realdata
@pytest.mark.parametrize("stat_type", ["chi2", "distrib"])
def test_real_flux_points(gammapy_data, models, stat_type):
    name = gammapy_data / "tests/spectrum/flux_points/diff_flux_points.fits"
    dataset = FluxPointsDataset(
        models[:1], FluxPoints.read(name, reference_model=models[0]), stat_type=stat_type
    )
    data = flux_points_rows(dataset)
    assert len(data.rows) > 15
    np.testing.assert_allclose(stat(data, predict(data)), gammapy_stat(dataset), rtol=1e-11)
