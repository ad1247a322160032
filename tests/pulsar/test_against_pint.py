"""Phases are those of PINT, event by event."""

import astropy.units as u
import numpy as np
import pytest

from ctao_sat.dl3._sites import site_location
from ctao_sat.pulsar import PulsarEphemeris, timing_polynomials

N_EVENTS = 300


@pytest.mark.parametrize("site", ["north", "south"])
@pytest.mark.parametrize("name", ["crab", "vela", "geminga", "glitch", "binary"])
def test_phases_and_pulse_numbers(name, site, pars, start, pint_turns):
    location = site_location(site)
    ephemeris = PulsarEphemeris.from_text(pars[name])
    run = timing_polynomials(start, start + 30 * u.min, ephemeris, location)
    seconds = np.sort(np.random.default_rng(1).uniform(*run.edges[[0, -1], [0, 1]], N_EVENTS))
    expected = pint_turns(pars[name], run.epoch + seconds * u.s, location)
    off = np.asarray(expected - run.pulse_numbers(seconds) - run.phases(seconds), dtype=float)
    # The bar is 1e-7 turns. PINT's times are rounded at 0.3 ns, 2e-8 turns of the fastest.
    assert np.max(np.abs(off)) < 3e-8
    assert run.residual < 1e-8
    assert len(run.edges) == (2 if name == "glitch" else 1)


def test_a_night_of_eight_hours(pars, start, north, pint_turns):
    ephemeris = PulsarEphemeris.from_text(pars["crab"])
    run = timing_polynomials(start, start + 8 * u.h, ephemeris, north)
    seconds = np.linspace(-14400, 14400, 50)
    expected = pint_turns(pars["crab"], run.epoch + seconds * u.s, north)
    off = np.asarray(expected - run.pulse_numbers(seconds) - run.phases(seconds), dtype=float)
    assert np.max(np.abs(off)) < 3e-8
    assert run.delays.shape == (1, 12)


def test_both_backends_agree(pars, start, south):
    ephemeris = PulsarEphemeris.from_text(pars["geminga"])
    native, pint = (
        timing_polynomials(start, start + 10 * u.min, ephemeris, south, backend=backend)
        for backend in ("native", "pint")
    )
    seconds = np.linspace(-300, 300, 100)
    assert np.max(np.abs(native.phases(seconds) - pint.phases(seconds))) < 1e-9
    np.testing.assert_allclose(
        native.emission_times(seconds), pint.emission_times(seconds), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("site", ["gbt", "pks", "8", "ncyobs", "eff", "meerkat", "chime"])
def test_telescopes_are_where_pint_has_them(site):
    import pint.observatory

    from ctao_sat.pulsar._reference import reference_place

    text = f"PSR X\nF0 1\nPEPOCH 55000\nTZRMJD 55000\nTZRSITE {site}\n"
    ours = reference_place(PulsarEphemeris.from_text(text).solutions[0])
    theirs = pint.observatory.get_observatory(site).location
    assert u.allclose(u.Quantity(ours.geocentric), u.Quantity(theirs.geocentric), atol=1 * u.mm)


def test_phase_zero_at_a_telescope(pars, start, south, pint_turns, monkeypatch):
    import pint.observatory

    # The clock of the telescope would be corrected by a file from the network.
    telescope = pint.observatory.get_observatory("parkes")
    monkeypatch.setattr(telescope, "clock_files", [])
    monkeypatch.setattr(telescope, "_clock", [])
    monkeypatch.setattr(telescope, "apply_gps2utc", False)
    text = pars["vela"].replace("TZRSITE @", "TZRSITE pks")
    run = timing_polynomials(start, start + 60 * u.s, PulsarEphemeris.from_text(text), south)
    seconds = np.linspace(-30, 30, 10)
    expected = pint_turns(text, run.epoch + seconds * u.s, south)
    off = np.asarray(expected - run.pulse_numbers(seconds) - run.phases(seconds), dtype=float)
    assert np.max(np.abs(off)) < 3e-8
