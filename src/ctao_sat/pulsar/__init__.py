r"""Pulsars: from times of events to phases.

The question answered here: *when in the rotation of a pulsar, or in the orbit of a binary, was an
event, and how sure is that?* The phase in turns of an event that arrives at the time ``t`` is

.. math::

    \phi(t) = \sum_n \frac{F_n}{(n + 1)!}\,(t_e - t_0)^{n + 1} + \phi_\mathrm{glitch}(t_e)
    - \phi_\mathrm{ref}, \qquad
    t_e = t + \Delta_\mathrm{TDB} - \Delta_\mathrm{Roemer} - \Delta_\mathrm{parallax}
    - \Delta_\mathrm{Shapiro} - \Delta_\mathrm{binary}

with the frequency :math:`F_0` and its derivatives at the epoch :math:`t_0`, as in TEMPO2 (Hobbs,
Edwards & Manchester 2006, MNRAS 369, 655; Edwards et al. 2006, MNRAS 372, 1549). It is computed in
full at a few nodes, and interpolated with an error that is checked.

What to use when:

==============================================  ==============================================
you have or want                                start with
==============================================  ==============================================
a par file                                      `PulsarEphemeris.read`
observations, whose events get phases           `assign_phases`
times, which get phases                         `phases`
the orbit of a binary                           `Orbit`, in the place of an ephemeris
times of emission for a scan over frequencies   `timing_polynomials`
==============================================  ==============================================

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
