"""Random times of transients: they follow the flux, in Gammapy's sampler and in simulations."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import MapDatasetEventSampler
from gammapy.modeling.models import Models, PointSpatialModel, PowerLawSpectralModel, SkyModel
from numpy.testing import assert_array_equal
from scipy.stats import kstest

from ctao_sat import simulate
from ctao_sat import transients as tr
from ctao_sat.errors import ConfigError
from ctao_sat.simulate._times import Windows, draw_times

WINDOWS = [(-300, -100), (-50, 60), (200, 900), (1000, 3000)] * u.s


def cdf(model, t0, windows):
    """Return the integral within windows up to times in s after T0, by interpolation."""
    edges = [np.append(np.linspace(a, b, 1000, endpoint=False), b) for a, b in windows.value]
    lows = np.concatenate([edge[:-1] for edge in edges])
    highs = np.concatenate([edge[1:] for edge in edges])
    parts = model.integral(t0 + lows * u.s, t0 + highs * u.s).value
    cumulative = np.append(0, np.cumsum(parts)) / parts.sum()
    return lambda seconds: np.interp(seconds, np.append(lows[0], highs), cumulative)


@pytest.mark.parametrize("seed", [1, 20250101, 4711])
def test_times_follow_the_flux(model, seed, t0):
    start, stop = t0 + WINDOWS[:, 0], t0 + WINDOWS[:, 1]
    times = model.sample_time(3000, start, stop, random_state=seed)
    seconds = (times - t0).to_value("s")
    inside = np.any(
        (seconds[:, None] >= WINDOWS[:, 0].value - 1e-9)
        & (seconds[:, None] <= WINDOWS[:, 1].value + 1e-9),
        axis=1,
    )
    assert inside.all()
    # False alarms in 1 of 10,000 seeds for each model; these are fixed.
    assert kstest(seconds, cdf(model, t0, WINDOWS)).pvalue > 1e-4
    again = model.sample_time(3000, start, stop, random_state=np.random.RandomState(seed))
    assert_array_equal((again - times).to_value("s"), 0)


def test_burst_of_milliseconds_within_an_hour(t0):
    """Gammapy's steps of a second do not see it."""
    model = tr.FREDTemporalModel(t0 + 1000.123 * u.s, 1 * u.ms, 2 * u.ms)
    times = model.sample_time(2000, t0, t0 + 1 * u.h, random_state=3)
    seconds = (times - model.reference_time).to_value("s")
    assert 0 < seconds.min() < seconds.max() < 0.1
    fine = cdf(model, model.reference_time, [(0, 0.1)] * u.s)
    assert kstest(seconds, fine).pvalue > 1e-4


def test_no_events(model, t0):
    assert len(model.sample_time(0, t0, t0 + 1 * u.h)) == 0
    assert len(model.sample_time(0, t0 - 2 * u.h, t0 - 2 * u.h)) == 0


@pytest.mark.parametrize("name", ["power law", "multi-broken", "tidal", "FRED", "table"])
def test_no_flux(models, name, t0):
    with pytest.raises(ConfigError, match=r"has no flux between .* Compare these times"):
        models[name].sample_time(3, t0 - 2 * u.h, t0 - 1 * u.h)


def test_negative_flux_is_not_drawn_from(t0):
    model = tr.PeriodicTemporalModel(t0, 1.5, 1 * u.h)
    assert not model.samples_exactly
    with pytest.raises(ConfigError, match="negative"):
        model.sample_time(3, t0, t0 + 1 * u.h)


@pytest.fixture(scope="module")
def burst(t0):
    position = SkyCoord(83.6, 22.0, unit="deg")
    return SkyModel(
        PowerLawSpectralModel(index=2.3, amplitude="1e-8 cm-2 s-1 TeV-1"),
        PointSpatialModel.from_position(position),
        tr.OnsetPowerLawTemporalModel(t0 + 100 * u.s, 1.3, 100 * u.s, 20 * u.s),
        name="burst",
    )


def test_sampler_of_gammapy_draws_from_all_good_time_intervals(small, burst, t0):
    dataset = small.cube()
    dataset.psf = dataset.edisp = None
    windows = [(0, 300), (900, 1500)] * u.s
    dataset.gti = GTI.create(windows[:, 0], windows[:, 1], reference_time=t0)
    dataset.models = [burst]
    events = MapDatasetEventSampler(random_state=5).sample_sources(dataset)
    seconds = (Time(events["TIME"]) - t0).to_value("s")
    assert len(seconds) > 500
    assert kstest(seconds, cdf(burst.temporal_model, t0, windows)).pvalue > 1e-4


@pytest.mark.parametrize("seed", [1, 20250101, 4711])
def test_simulated_process_has_the_rate_and_the_shape(model, seed, t0):
    start, stop = WINDOWS.value.T
    windows = Windows(t0, start, stop)
    rng = np.random.default_rng(seed)
    seconds = draw_times(rng, model, windows, 5.0)
    mean = 5 * float(model.integral(t0 + start * u.s, t0 + stop * u.s).sum()) * windows.ontime
    # Four standard deviations: 1 of 10,000 seeds.
    assert abs(len(seconds) - mean) < 4 * np.sqrt(mean) + 1
    assert kstest(seconds, cdf(model, t0, WINDOWS)).pvalue > 1e-4
    # What is drawn next comes from the same stream.
    other = np.random.default_rng(seed)
    assert_array_equal(draw_times(other, model, windows, 5.0), seconds)
    assert other.random() == rng.random()


def test_simulation_of_a_flash(t0):
    """Narrower than any grid in time, it has all its photons."""
    flash = tr.FREDTemporalModel(t0 + 313.37 * u.s, 1 * u.ms, 2 * u.ms)
    windows = Windows(t0, np.array([0.0]), np.array([1800.0]))
    seconds = draw_times(np.random.default_rng(1), flash, windows, 1e6)
    mean = 1e6 * float(flash.integral(t0, t0 + 1800 * u.s)) * 1800
    assert mean > 1000
    assert abs(len(seconds) - mean) < 4 * np.sqrt(mean)


def test_simulated_observation_of_a_burst(burst, tmp_path, t0):
    store = simulate.observations(
        [burst],
        [burst.position],
        10 * u.min,
        "demo-north",
        np.random.default_rng(2),
        path=tmp_path / "dl3",
        start=t0,
        energy_range=[1, 50] * u.TeV,
    )
    (observation,) = store.get_observations()
    events = observation.events
    seconds = (events.time[events.table["MC_ID"] == 1] - t0).to_value("s")
    assert len(seconds) > 300
    assert seconds.min() > 120
    fine = cdf(burst.temporal_model, t0, [(0, 600)] * u.s)
    # Times are rounded to the steps of the file.
    assert kstest(seconds, fine).pvalue > 1e-4
    (truth,) = Models.read(tmp_path / "dl3" / "models.yaml")
    assert type(truth.temporal_model) is tr.OnsetPowerLawTemporalModel
    assert truth.temporal_model.reference_time == burst.temporal_model.reference_time
