"""Pulsars: from event times to phases, and what phases tell.

What to use when:

===================================================  ==============================================
you want                                             start with
===================================================  ==============================================
the rotation of a pulsar, from a par file            `PulsarEphemeris`
phases of the events of observations, or of times    `assign_phases`; `phases`
to know whether phases are pulsed, pulse unknown     `h_test`
the same, for a pulse with few harmonics             `z2_test`
the same, from a histogram                           `chi2_test`
whether pulsations grow as livetime does             `h_test_growth`
pulses of a frequency that is not known well         `frequency_scan`
counts and significance of a known pulse             `PhaseRegions`, then ``statistic``
a profile of peaks, with errors                      `fit_profile`
errors of anything else, by drawing events again     `bootstrap`; `folded_light_curve`
weights of events, by what a model predicts          `event_weights`
events near the pulsar, and the phases they have     `select_events`, `event_phases`
spectra and maps of phase regions                    `reduce_phases`
to simulate a pulsar                                 `pulsed_source`, with a `PulseTemplate`
===================================================  ==============================================
"""

from ctao_sat.pulsar._bootstrap import bootstrap, folded_light_curve
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._events import event_phases, select_events
from ctao_sat.pulsar._growth import h_test_growth
from ctao_sat.pulsar._nodes import TimingPolynomials
from ctao_sat.pulsar._orbit import Orbit
from ctao_sat.pulsar._periodicity import PeriodicityTest, chi2_test, h_p_value, h_test, z2_test
from ctao_sat.pulsar._phases import assign_phases, phases
from ctao_sat.pulsar._profile import (
    GaussianPeak,
    LorentzianPeak,
    ProfileFit,
    PulseProfile,
    fit_profile,
)
from ctao_sat.pulsar._reduce import reduce_phases
from ctao_sat.pulsar._regions import PhaseRegions
from ctao_sat.pulsar._scan import FrequencyScan, frequency_scan
from ctao_sat.pulsar._template import PulseTemplate
from ctao_sat.pulsar._temporal import PulsarTemporalModel, pulsed_source
from ctao_sat.pulsar._timing import timing_polynomials
from ctao_sat.pulsar._weights import event_weights

__all__ = [
    "FrequencyScan",
    "GaussianPeak",
    "LorentzianPeak",
    "Orbit",
    "PeriodicityTest",
    "PhaseRegions",
    "ProfileFit",
    "PulsarEphemeris",
    "PulsarTemporalModel",
    "PulseProfile",
    "PulseTemplate",
    "TimingPolynomials",
    "assign_phases",
    "bootstrap",
    "chi2_test",
    "event_phases",
    "event_weights",
    "fit_profile",
    "folded_light_curve",
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
