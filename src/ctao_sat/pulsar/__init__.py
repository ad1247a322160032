"""Pulsars: from event times to phases, and what phases tell."""

from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._nodes import TimingPolynomials
from ctao_sat.pulsar._polynomials import timing_polynomials

__all__ = ["PulsarEphemeris", "TimingPolynomials", "timing_polynomials"]
