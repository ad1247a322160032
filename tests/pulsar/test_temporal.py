"""Simulated pulsars: the temporal model, in Gammapy's hands and in a simulation."""

import copy
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation
from astropy.table import Table
from astropy.time import Time
from gammapy.modeling.models import (
    Models,
    PowerLawSpectralModel,
    TemplatePhaseCurveTemporalModel,
)
from numpy.testing import assert_allclose
from scipy.stats import kstest

from ctao_sat import pulsar, simulate
from ctao_sat.dl3._sites import site_location
from ctao_sat.errors import ConfigError, EphemerisError

START = Time("2028-01-10T22:00:00", scale="utc")


def density(phase):
    """Return two pulses like those of the Crab pulsar, the first one narrow."""
    first = np.exp(-0.5 * ((phase - 0.1) / 0.008) ** 2)
    return first + 0.4 * np.exp(-0.5 * ((phase - 0.5) / 0.02) ** 2) + 0.005


@pytest.fixture(scope="module")
def template():
    return pulsar.PulseTemplate.from_function(density)


@pytest.fixture(scope="module")
def model(crab, template):
    return pulsar.PulsarTemporalModel(crab, template, "north")


@pytest.fixture(scope="module")
def polynomials(crab):
    return pulsar.timing_polynomials(START, START + 30 * u.min, crab, site_location("north"))


@pytest.fixture(scope="module")
def source(crab, template):
    spectrum = PowerLawSpectralModel(index=3, amplitude="2e-12 cm-2 s-1 TeV-1")
    return pulsar.pulsed_source(crab, spectrum, template, "north", name="Crab pulsar")


def test_values_are_those_of_the_template_at_the_barycentred_phase(model, template, polynomials):
    times = START + np.linspace(1, 1799, 12).reshape(3, 4) * u.s
    expected = template(polynomials.phases(polynomials.seconds(times.ravel())))
    # 0.1 us between the two computations is 3e-6 turn, on a flank of 60 a turn.
    assert_allclose(model(times).value.ravel(), expected, atol=3e-4 * template.maximum)
    assert model(times).shape == (3, 4)
    assert model(times[0, 0]).shape == ()


def test_gammapys_own_model_drifts(crab, polynomials):
    """It has no barycentre: within half an hour the Crab pulsar runs away from it."""
    phase = Table({"PHASE": [0.0, 1.0], "NORM": [0.0, 1.0]})
    theirs = TemplatePhaseCurveTemporalModel(
        phase,
        "not-written.fits",
        normalize=False,
        t_ref=crab.pepoch.mjd * u.d,
        f0=crab.f[0] / u.s,
        f1=crab.f[1] / u.s**2,
        scale="tdb",
    )
    seconds = np.arange(0.0, 1801.0, 60.0)
    times = START + seconds * u.s
    difference = (polynomials.phases(polynomials.seconds(times)) - theirs(times).value) % 1
    drift = np.unwrap(difference, period=1.0)
    assert abs(drift[-1] - drift[0]) > 0.24


def test_integral_of_whole_and_part_turns(model, polynomials):
    start, stop = START + 100.003 * u.s, START + 100.013 * u.s
    seconds = np.linspace(0.0, 0.01, 4001)
    numeric = np.trapezoid(model(start + seconds * u.s).value, seconds) / 0.01
    assert model.integral(start, stop).value == pytest.approx(numeric, rel=1e-4)
    assert model.integral(START, START + 30 * u.min).value == pytest.approx(1.0, abs=1e-5)
    parts = model.integral(
        Time([START, START + 10 * u.min]), Time([START + 5 * u.min, START + 30 * u.min])
    )
    assert_allclose(parts.value, [0.2, 0.8], atol=1e-5)


def test_gammapys_sampler_gets_the_pulse(model, template, polynomials):
    times = model.sample_time(2000, START, START + 30 * u.min, random_state=7)
    phases = polynomials.phases(polynomials.seconds(times))
    assert len(times) == 2000
    assert times.min() >= START
    assert times.max() <= START + 30 * u.min
    # A false alarm in 1 of 1000 seeds; this one is fixed.
    assert kstest(phases, template.cumulative).pvalue > 1e-3


@pytest.mark.parametrize("through", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_the_same(model, through):
    times = START + np.arange(5) * 0.011 * u.s
    assert_allclose(through(model)(times), model(times), rtol=0, atol=0)


def test_yaml_round_trip(source, tmp_path):
    Models([source]).write(tmp_path / "models.yaml")
    read = Models.read(tmp_path / "models.yaml")["Crab pulsar"]
    times = START + np.arange(50) * 0.0011 * u.s
    assert read.temporal_model.ephemeris.text == source.temporal_model.ephemeris.text
    assert_allclose(read.temporal_model(times), source.temporal_model(times), rtol=1e-6)
    assert read.position.separation(source.position) < 1e-9 * u.deg


def test_what_is_simulated_is_what_the_ephemeris_says(crab, template, model):
    """Neither another solar system nor the range of validity is anything to warn of."""
    other = pulsar.PulsarEphemeris.from_text(crab.text.replace("builtin", "DE421"))
    late = START + 200 * u.d + np.arange(9) * 0.0037 * u.s
    twin = pulsar.PulsarTemporalModel(other, template, "north")
    assert_allclose(twin(late), model(late), rtol=0, atol=0)


def test_a_source_needs_a_position(template):
    spectrum = PowerLawSpectralModel()
    text = "PSR X\nF0 29.9\nPEPOCH 58000\n"
    with pytest.raises(EphemerisError, match="has no position"):
        pulsar.pulsed_source(pulsar.PulsarEphemeris.from_text(text), spectrum, template, "north")
    ecliptic = pulsar.PulsarEphemeris.from_text(text + "ELONG 84.0978\nELAT -1.2945\n")
    position = pulsar.pulsed_source(ecliptic, spectrum, template, "north").position
    # The Crab pulsar.
    assert_allclose([position.ra.deg, position.dec.deg], [83.633, 22.0145], atol=2e-3)


def test_site_by_name_in_yaml(model):
    data = model.to_dict()
    data["temporal"]["location"] = "north"
    site = pulsar.PulsarTemporalModel.from_dict(data).location
    assert site == EarthLocation.from_geodetic(-17.892 * u.deg, 28.7622 * u.deg, 2158 * u.m)


@pytest.fixture(scope="module")
def simulated(source, tmp_path_factory):
    """Return half an hour of the pulsar, without background above 30 GeV to speak of."""
    return simulate.observations(
        source,
        simulate.wobble_pointings(source.position, n=1),
        "30 min",
        "demo-north",
        np.random.default_rng(20280110),
        path=tmp_path_factory.mktemp("pulsar") / "dl3",
        start=START,
    )


def test_simulated_events_have_the_pulse(simulated, crab, template):
    (observation,) = simulated.get_observations()
    events = observation.events
    of_pulsar = events.table["MC_ID"] == 1
    polynomials = pulsar.timing_polynomials(
        observation.tstart, observation.tstop, crab, observation.observatory_earth_location
    )
    phases = polynomials.phases(polynomials.seconds(events.time[of_pulsar]))
    assert len(phases) > 1000
    # False alarms in 1 of 1000 seeds; this one is fixed.
    assert kstest(phases, template.cumulative).pvalue > 1e-3
    background = polynomials.phases(polynomials.seconds(events.time[~of_pulsar]))
    assert kstest(background, "uniform").pvalue > 1e-3
    # Without the delays the pulse is smeared out.
    plain = pulsar.timing_polynomials(
        observation.tstart, observation.tstop, crab, None, barycentre=False
    )
    topocentric = plain.phases(plain.seconds(events.time[of_pulsar]))
    assert pulsar.h_test(topocentric).statistic < 0.1 * pulsar.h_test(phases).statistic


def test_mean_flux_is_that_of_the_spectrum(simulated, source, tmp_path):
    steady = source.copy(name="steady", temporal_model=None)
    other = simulate.observations(
        steady,
        simulate.wobble_pointings(source.position, n=1),
        "30 min",
        "demo-north",
        np.random.default_rng(1),
        path=tmp_path / "dl3",
        start=START,
    )
    n, m = (
        int(np.count_nonzero(store.get_observations()[0].events.table["MC_ID"]))
        for store in (simulated, other)
    )
    # 3.3 standard deviations of the difference of two Poisson counts: 1 of 1000 seeds.
    assert abs(n - m) < 3.3 * np.sqrt(n + m)


def test_truth_beside_the_events_is_complete(simulated, source):
    truth = Models.read(
        simulated.obs_table.meta.get("path", simulated.hdu_table.base_dir) / "models.yaml"
    )
    times = START + np.arange(50) * 0.0011 * u.s
    assert_allclose(truth[0].temporal_model(times), source.temporal_model(times), rtol=1e-6)


def test_model_for_another_site_is_refused(source, tmp_path):
    with pytest.raises(ConfigError, match="km away"):
        simulate.observations(
            source,
            simulate.wobble_pointings(source.position, n=1),
            "1 min",
            "demo-south",
            np.random.default_rng(1),
            path=tmp_path / "dl3",
        )
    assert not (tmp_path / "dl3").exists()


def test_command_line_reads_the_model(source, tmp_path, monkeypatch):
    from ctao_sat.cli import main

    monkeypatch.chdir(tmp_path)
    Models([source]).write("pulsar.yaml")
    words = "simulate --models pulsar.yaml --n-runs 1 --start 2028-01-10T22:00:00 -o dl3 -q"
    assert main([*words.split(), "--livetime", "20 s"]) == 0
    assert (tmp_path / "dl3" / "models.yaml").is_file()
