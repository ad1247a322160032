"""Temporal models of transients as Gammapy's classes: T0 with its scale, units, YAML, integrals."""

import pickle
import sys
from importlib import reload

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time
from gammapy.modeling import Parameter
from gammapy.modeling.models import (
    TEMPORAL_MODEL_REGISTRY,
    LightCurveTemplateTemporalModel,
    Model,
    Models,
    PowerLawSpectralModel,
    SkyModel,
)
from gammapy.utils.time import time_ref_to_dict
from numpy.testing import assert_allclose, assert_array_equal

from ctao_sat import transients as tr
from ctao_sat.errors import ConfigError

WINDOWS = [(-100, -50), (-40, 35), (35, 36), (80, 900), (900, 900), (900, 3600)] * u.s


def intervals(t0, windows=WINDOWS):
    return t0 + windows[:, 0], t0 + windows[:, 1]


def test_there_is_a_model_of_each_class(models):
    names = {type(model).__name__ for model in models.values()}
    assert names == set(tr.__all__) - {"TransientModel"}
    assert all(getattr(tr, name) in TEMPORAL_MODEL_REGISTRY for name in names)


def test_tags_are_unique_and_known_once():
    reload(sys.modules["ctao_sat.transients"])
    tags = [tag for cls in TEMPORAL_MODEL_REGISTRY for tag in cls.tag]
    assert len(tags) == len(set(tags))


def test_integral_is_the_mean_over_all_intervals(model, t0):
    start, stop = intervals(t0)
    norms = model.integral(start, stop)
    assert norms.unit == u.one
    # Midpoints on a fine grid, whose cells hold the onset and the breaks.
    total = np.sum(stop - start).to_value("s")
    for norm, a, b in zip(norms, WINDOWS[:, 0].value, WINDOWS[:, 1].value, strict=True):
        n = 30_000
        middle = a + (np.arange(n) + 0.5) * (b - a) / n
        expected = model(t0 + middle * u.s).value.sum() * (b - a) / n / total
        assert norm.value == pytest.approx(expected, rel=2e-4, abs=1e-9)
    one = sum(
        float(model.integral(a, b)) * (b - a).to_value("s")
        for a, b in zip(start, stop, strict=True)
    )
    assert norms.sum().value == pytest.approx(one / total, rel=1e-9)


def test_values_keep_their_shape(model, t0):
    times = t0 + np.arange(6).reshape(2, 3) * 100 * u.s
    assert model(times).shape == (2, 3)
    assert model(times)[1, 2] == model(times[1, 2])
    assert model(t0).shape == ()
    assert model(times[:0]).shape == (0, 3)
    assert np.isfinite(model(t0 + [-1e8, 5e7] * u.s)).all()


def test_empty_intervals(model, t0):
    assert float(model.integral(t0 + 50 * u.s, t0 + 50 * u.s)) == 0
    start, stop = intervals(t0, WINDOWS[:0])
    assert model.integral(start, stop).shape == (0,)
    with pytest.raises(ConfigError, match="ends before it begins"):
        model.integral(t0 + 50 * u.s, t0 + 40 * u.s)


def test_intervals_that_share_an_end(model, t0):
    """One time stands for all of them, as in Gammapy's models."""
    start, stop = t0 + [20, 60, 300] * u.s, t0 + 900 * u.s
    every = Time([stop] * 3)
    expected = model.integral(start, every)
    assert_array_equal(model.integral(start, stop), expected)
    assert_array_equal(model.integral(t0 + 20 * u.s, start[1:]).shape, (2,))
    gradient, other = model.integral_gradient(start, stop), model.integral_gradient(start, every)
    for name, found in gradient.items():
        assert_array_equal(found, other[name], err_msg=name)
    mean, slope = model.mean_function([(start, stop)])(model.parameters.value)
    assert mean[0] == pytest.approx(float(expected.sum()), rel=1e-9)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("time", [100, 100 * u.s, "2025-01-01"])
def test_what_is_no_time_is_refused(models, time, t0):
    with pytest.raises(ConfigError, match="is no time"):
        models["power law"](time)
    with pytest.raises(ConfigError, match="is no time"):
        models["power law"].integral(t0, time)


def test_parameters_that_are_linked_are_one(t0):
    model = tr.BrokenPowerLawTemporalModel(t0, 0.9, 2.1, 400 * u.s, 5 * u.s)
    model.alpha2 = model.alpha1
    single = tr.OnsetPowerLawTemporalModel(t0, 0.9, 400 * u.s, 5 * u.s)
    windows = [intervals(t0)]
    values = model.parameters.unique_parameters.value
    mean, slope = model.mean_function(windows)(values)
    expected, expected_slope = single.mean_function(windows)(single.parameters.value)
    assert mean == pytest.approx(expected, rel=1e-12)
    names = model.parameters.unique_parameters.names
    assert slope.shape == (1, 4)
    alpha = expected_slope[0, single.parameters.names.index("alpha")]
    assert slope[0, names.index("alpha1")] == pytest.approx(alpha, rel=1e-9)


def test_gradient_is_that_of_differences(model, t0):
    start, stop = intervals(t0)
    gradient = model.integral_gradient(start, stop)
    assert set(gradient) == set(model.parameters.names)
    for name, found in gradient.items():
        other = model.copy()
        value = getattr(model, name).value
        # T0 is known to a fraction of a microsecond: it moves by a tenth of a second.
        step = 1e-6 if name == "t_ref" else 2e-4 * abs(value)
        if step == 0:
            continue
        norms = []
        for k in (-1, 1):
            getattr(other, name).value = value + k * step
            norms.append(other.integral(start, stop).value)
        expected = (norms[1] - norms[0]) / (2 * step)
        scale = abs(expected).max() + 1e-12
        assert_allclose(found, expected, atol=2e-3 * scale, err_msg=name)


def test_mean_function_is_integral_and_gradient(model, t0):
    groups = [intervals(t0), intervals(t0, WINDOWS[2:3]), intervals(t0, WINDOWS[4:5])]
    groups.append((t0 + 70 * u.s, t0 + 80 * u.s))
    function = model.mean_function(groups)
    other = model.copy()
    # Five seconds later: the times of the intervals are not converted again.
    other.t_ref.value += 5 / 86400
    for each in (model, other):
        means, slopes = function(each.parameters.value)
        assert slopes.shape == (4, len(each.parameters))
        for group, mean, slope in zip(groups, means, slopes, strict=True):
            assert mean == pytest.approx(float(each.integral(*group).sum()), rel=1e-7)
            gradient = each.integral_gradient(*group)
            expected = [np.sum(gradient[name]) for name in each.parameters.names]
            assert_allclose(slope, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())
    with pytest.raises(ConfigError, match="ends before it begins"):
        model.mean_function([(t0 + 3 * u.s, t0)])


def test_yaml_round_trip_is_exact(model, tmp_path, t0):
    model = model.copy()
    model.parameters[-1].error = 0.1
    model.parameters[-1].min = -7.3
    model.parameters["t_ref"].frozen = False
    sky = SkyModel(PowerLawSpectralModel(), temporal_model=model, name="burst")
    Models([sky]).write(tmp_path / "models.yaml")
    read = Models.read(tmp_path / "models.yaml")["burst"].temporal_model
    assert type(read).__name__ == type(model).__name__
    assert read.scale == model.scale
    for old, new in zip(model.parameters, read.parameters, strict=True):
        for field in ("name", "value", "unit", "frozen", "error", "min", "max"):
            a, b = getattr(old, field), getattr(new, field)
            assert a == b or (a != a and b != b), (old.name, field)
    times = t0 + np.arange(-50, 3000, 7.7) * u.s
    assert_array_equal(read(times), model(times))
    assert_array_equal(read.integral(*intervals(t0)), model.integral(*intervals(t0)))


@pytest.mark.parametrize("through", [lambda m: m.copy(), lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_the_same(model, through, t0):
    times = t0 + np.arange(-50, 3000, 77) * u.s
    assert_array_equal(through(model)(times), model(times))
    assert through(model).parameters.free_parameters.names == model.parameters.free_parameters.names


@pytest.mark.parametrize("scale", ["utc", "tt", "tai", "tdb"])
def test_scale_is_kept_and_changes_nothing(scale, t0):
    moved = getattr(t0, scale)
    model = tr.OnsetPowerLawTemporalModel(moved, 1.6, 100 * u.s)
    assert model.scale == scale
    other = tr.OnsetPowerLawTemporalModel(t0, 1.6, 100 * u.s, scale=scale)
    assert other.t_ref.value == model.t_ref.value
    # An MJD has steps of 0.6 us.
    assert abs(model.reference_time - t0) < 1 * u.us
    utc = tr.OnsetPowerLawTemporalModel(t0, 1.6, 100 * u.s)
    assert_allclose(model(t0.tt + 62 * u.s), utc(t0 + 62 * u.s), rtol=2e-8)
    assert type(model).from_dict(model.to_dict()).scale == scale


def test_mixing_up_tt_and_utc_is_a_factor_of_three(t0):
    """The number of a time in UTC, taken for one in TT, is 69 s earlier."""
    right = tr.OnsetPowerLawTemporalModel(t0, 1.6, 100 * u.s)
    wrong = tr.OnsetPowerLawTemporalModel(t0.mjd * u.d, 1.6, 100 * u.s, scale="tt")
    assert (right.reference_time - wrong.reference_time).to_value("s") == pytest.approx(
        69.184, abs=1e-5
    )
    # Then 62 s after the event are 131 s.
    ratio = wrong(t0 + 62 * u.s) / right(t0 + 62 * u.s)
    assert float(ratio) == pytest.approx((131.184 / 62) ** -1.6, rel=1e-6)
    assert round(float(ratio), 2) == 0.30


@pytest.mark.parametrize("t_ref", [58497.0, 58497 * u.d, Parameter("t_ref", 58497, unit="d"), "T"])
def test_number_without_a_scale_is_refused(t_ref):
    with pytest.raises(ConfigError, match=r"T0 has no time scale.*69 s apart"):
        tr.FREDTemporalModel(t_ref)


def test_number_with_a_scale_is_taken():
    model = tr.FREDTemporalModel(58497 * u.d, scale="tt")
    assert model.reference_time == Time(58497, format="mjd", scale="tt")
    assert tr.FREDTemporalModel(58497, scale="tt").t_ref.value == 58497


@pytest.mark.parametrize(
    ("t_ref", "scale", "match"),
    [
        (58497, "local", "is no time scale"),
        (58497, "UTC", "is no time scale"),
        (Time("2028-01-01", scale="local"), None, "is no time scale"),
        (Time("2028-01-01", scale="local"), "utc", "cannot be read"),
        (np.nan, "utc", "is not one time"),
        (Time(["2028-01-01", "2028-01-02"]), None, "is not one time"),
        ("yesterday", "utc", "cannot be read"),
        (3 * u.m, "utc", "cannot be read"),
    ],
)
def test_other_bad_reference_times(t_ref, scale, match):
    with pytest.raises(ConfigError, match=match):
        tr.FREDTemporalModel(t_ref, scale=scale)


def test_yaml_without_scale_or_reference_is_refused(model):
    data = model.to_dict()
    del data["temporal"]["scale"]
    with pytest.raises(ConfigError, match="T0 has no time scale"):
        type(model).from_dict(data)
    data = model.to_dict()
    parameters = data["temporal"]["parameters"]
    data["temporal"]["parameters"] = [p for p in parameters if p["name"] != "t_ref"]
    with pytest.raises(ConfigError, match="has no T0"):
        type(model).from_dict(data)


def test_gammapy_makes_models_by_their_tag(t0):
    assert type(Model.create("fred", "temporal", t_ref=t0)) is tr.FREDTemporalModel
    chain = Model.create(
        "multi-broken-powerlaw", "temporal", t_ref=t0, alphas=[1, 2], t_breaks=[1] * u.d
    )
    assert chain.parameters.names == ["t_ref", "t_on", "alpha_0", "t_break_1", "alpha_1"]


@pytest.mark.parametrize(
    ("cls", "parameters", "match"),
    [
        ("OnsetPowerLawTemporalModel", {"t_on": -1 * u.s}, "t_on of .* is -1"),
        ("OnsetPowerLawTemporalModel", {"t0": 0 * u.s}, "t0 of .* above zero"),
        ("BrokenPowerLawTemporalModel", {"t_break": np.nan * u.s}, "t_break of .* is nan"),
        ("SmoothBrokenPowerLawTemporalModel", {"smoothness": 0}, "other than zero"),
        ("FREDTemporalModel", {"tau1": -3 * u.s}, "tau1"),
        ("PeriodicTemporalModel", {"period": -3 * u.s}, "period"),
        ("MultiBrokenPowerLawTemporalModel", {}, "the parameters none"),
        ("MultiBrokenPowerLawTemporalModel", {"alphas": [1, 2], "t_breaks": [] * u.s}, "one break"),
        (
            "MultiBrokenPowerLawTemporalModel",
            {"alphas": [1, 2, 3], "t_breaks": [5, 4] * u.s},
            "do not increase",
        ),
        ("TableTemporalModel", {"time": [1, 1] * u.s, "norm": [1, 1]}, "do not increase"),
        ("TableTemporalModel", {"time": [1, 2] * u.s, "norm": [1, -1]}, "negative"),
        ("TableTemporalModel", {"time": [1] * u.s, "norm": [1]}, "two nodes"),
        ("TableTemporalModel", {"time": [1, 2], "norm": [1, 1]}, "no unit of time"),
        ("TableTemporalModel", {"time": [1, 2] * u.m, "norm": [1, 1]}, "no unit of time"),
        (
            "TableTemporalModel",
            {"time": Time([60000, 60001], format="mjd"), "norm": [1, 1]},
            "times - T0",
        ),
        ("TableTemporalModel", {"time": [1, 2] * u.s, "norm": [1, 1] / u.cm**2}, "have the unit"),
        (
            "OrbitalTemporalModel",
            {"period": 1 * u.d, "phase": [0, 1], "norm": [1, 1]},
            r"within \[0, 1\)",
        ),
    ],
)
def test_bad_parameters_are_refused(cls, parameters, match, t0):
    with pytest.raises(ConfigError, match=match):
        getattr(tr, cls)(t0, **parameters)


def test_values_at_the_lower_limits_are_allowed(model, t0):
    """Fits come to them, and must not end there in an error."""
    model = model.copy()
    for name in (*model.positive, *model.not_negative):
        parameter = getattr(model, name)
        assert parameter.min >= 0
        if name.startswith("t_break_") and name != "t_break_1":
            # Breaks have to increase.
            continue
        value, parameter.value = parameter.value, parameter.min
        assert np.isfinite(model.integral(t0 + 10 * u.s, t0 + 900 * u.s)), name
        parameter.value = value


def test_one_break_needs_no_list(t0):
    model = tr.MultiBrokenPowerLawTemporalModel(t0, [1, 2], 300 * u.s)
    assert model.parameters["t_break_1"].quantity == 300 * u.s


def test_parameter_that_a_fit_made_bad_is_refused(t0):
    model = tr.OnsetPowerLawTemporalModel(t0)
    model.t0.value = -1
    with pytest.raises(ConfigError, match="give it a lower limit"):
        model(t0)


def test_divergence_at_the_event_is_an_error(t0):
    model = tr.OnsetPowerLawTemporalModel(t0, 1.6, 100 * u.s)
    with pytest.raises(ConfigError, match="give an onset"):
        model.integral(t0 - 1 * u.s, t0 + 10 * u.s)
    with pytest.raises(ConfigError, match="give an onset"):
        model.sample_time(3, t0 - 1 * u.s, t0 + 10 * u.s)
    assert np.isfinite(model.integral(t0 + 1 * u.s, t0 + 10 * u.s))


def test_template_of_gammapy_becomes_a_table(t0):
    meta = time_ref_to_dict(t0, scale="utc")
    table = Table({"TIME": [0.0, 100.0, 250.0] * u.s, "NORM": [1.0, 3.0, 0.0]}, meta=meta)
    template = LightCurveTemplateTemporalModel.from_table(table)
    model = tr.TableTemporalModel.from_gammapy(template)
    times = t0 + [1, 50, 100, 200] * u.s
    assert_allclose(model(times), template(times), rtol=1e-6)
    assert float(model.integral(t0, t0 + 250 * u.s)) == pytest.approx(425 / 250, rel=1e-9)


def test_arrays_of_a_model_cannot_be_changed(models):
    for array in (models["orbit"].norm, models["orbit"].phase, models["table"].norm):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
