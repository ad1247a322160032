"""Pulsars: from event times to phases, and what phases tell."""

from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._nodes import TimingPolynomials
from ctao_sat.pulsar._orbit import Orbit
from ctao_sat.pulsar._phases import assign_phases, phases
from ctao_sat.pulsar._timing import timing_polynomials

__all__ = [
    "Orbit",
    "PulsarEphemeris",
    "TimingPolynomials",
    "assign_phases",
    "phases",
    "timing_polynomials",
]
