r"""Pulsars: from times of events to phases, and what phases tell.

The question answered here: *when in the rotation of a pulsar, or in the orbit of a binary, was an
event, how sure is that, and are there pulses?* The phase in turns of an event that arrives at the
time ``t`` is

.. math::

    \phi(t) = \sum_n \frac{F_n}{(n + 1)!}\,(t_e - t_0)^{n + 1} + \phi_\mathrm{glitch}(t_e)
    - \phi_\mathrm{ref}, \qquad
    t_e = t + \Delta_\mathrm{TDB} - \Delta_\mathrm{Roemer} - \Delta_\mathrm{parallax}
    - \Delta_\mathrm{Shapiro} - \Delta_\mathrm{binary}

with the frequency :math:`F_0` and its derivatives at the epoch :math:`t_0`, as in TEMPO2 (Hobbs,
Edwards & Manchester 2006, MNRAS 369, 655; Edwards et al. 2006, MNRAS 372, 1549). It is computed in
full at a few nodes, and interpolated with an error that is checked.

What to use when:

===================================================  ==============================================
you have or want                                     start with
===================================================  ==============================================
a par file                                           `PulsarEphemeris.read`
observations, whose events get phases                `assign_phases`
times, which get phases                              `phases`
the orbit of a binary                                `Orbit`, in the place of an ephemeris
events near the pulsar, and the phases they have     `select_events`, `event_phases`
to know whether there are pulses, of unknown shape   `h_test`
the same, of a few harmonics; in a histogram         `z2_test`; `chi2_test`
the same, of a frequency that is not known well      `frequency_scan`
whether pulsations grow as the livetime does         `h_test_growth`
counts and significance of pulses known before       `PhaseRegions`, then ``statistic``
weights of events, by what a model predicts          `event_weights`
a profile of peaks, with errors                      `fit_profile`
errors of anything else, by drawing events again     `bootstrap`; `folded_light_curve`
spectra and maps of phase regions                    `reduce_phases`
times of emission, for a scan of your own            `timing_polynomials`
a simulated pulsar                                   `pulsed_source`, with a `PulseTemplate`
===================================================  ==============================================

Examples
--------
>>> import astropy.units as u
>>> from astropy.time import Time
>>> from ctao_sat import pulsar
>>> ephemeris = pulsar.PulsarEphemeris.from_text(
...     "PSR J0534+2200\nRAJ 05:34:31.97\nDECJ 22:00:52.1\nF0 29.9469\nPEPOCH 58849\n"
...     "EPHEM builtin\nCLK TT(TAI)\n"
... )
>>> from astropy.coordinates import EarthLocation
>>> north = EarthLocation.from_geodetic(-17.892, 28.7622, 2158)
>>> times = Time("2020-01-01T00:00", scale="tt") + [0, 1, 2] * u.ms
>>> pulsar.phases(times, ephemeris, north).round(4)
array([0.5405, 0.5704, 0.6004])
"""

from ctao_sat.pulsar._bootstrap import bootstrap, folded_light_curve
from ctao_sat.pulsar._ephemeris import PulsarEphemeris
from ctao_sat.pulsar._events import event_phases, select_events
from ctao_sat.pulsar._growth import h_test_growth
from ctao_sat.pulsar._nodes import TimingPolynomials
from ctao_sat.pulsar._orbit import Orbit
from ctao_sat.pulsar._periodicity import (
    PeriodicityTest,
    chi2_test,
    h_p_value,
    h_test,
    z2_test,
)
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
