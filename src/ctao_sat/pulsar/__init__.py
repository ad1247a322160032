"""Pulsars: from event times to phases, and what phases tell.

What to use when:

===================================================  ==============================================
you want                                             start with
===================================================  ==============================================
phases of the events of observations, or of times    `assign_phases`, `phases`
to know whether phases are pulsed, pulse unknown     `h_test`
the same, for a pulse with few harmonics             `z2_test`
the same, from a histogram                           `chi2_test`
whether pulsations grow as livetime does             `h_test_growth`
pulses of a frequency that is not known well         `frequency_scan`
counts and significance of a known pulse             `PhaseRegions`, then ``statistic``
events near the pulsar                               `select_events`
spectra and maps of phase regions                    `reduce_phases`
to simulate a pulsar                                 `pulsed_source`, with a `PulseTemplate`
===================================================  ==============================================
"""

from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._events import select_events
from ctao_sat.pulsar._growth import h_test_growth
from ctao_sat.pulsar._nodes import TimingPolynomials
from ctao_sat.pulsar._orbit import Orbit
from ctao_sat.pulsar._periodicity import PeriodicityTest, chi2_test, h_p_value, h_test, z2_test
from ctao_sat.pulsar._phases import assign_phases, phases
from ctao_sat.pulsar._reduce import reduce_phases
from ctao_sat.pulsar._regions import PhaseRegions
from ctao_sat.pulsar._scan import FrequencyScan, frequency_scan
from ctao_sat.pulsar._template import PulseTemplate
from ctao_sat.pulsar._temporal import PulsarTemporalModel, pulsed_source
from ctao_sat.pulsar._timing import timing_polynomials

__all__ = [
    "FrequencyScan",
    "Orbit",
    "PeriodicityTest",
    "PhaseRegions",
    "PulsarEphemeris",
    "PulsarTemporalModel",
    "PulseTemplate",
    "TimingPolynomials",
    "assign_phases",
    "chi2_test",
    "frequency_scan",
    "h_p_value",
    "h_test",
    "h_test_growth",
    "phases",
    "pulsed_source",
    "reduce_phases",
    "select_events",
    "timing_polynomials",
    "z2_test",
]
