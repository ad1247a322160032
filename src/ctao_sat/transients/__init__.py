r"""Transients: what fades, flares or returns, described so that it can be fitted.

The question answered here: *how bright is a source at a time after its event?* A temporal model of
Gammapy multiplies the spectrum of a ``SkyModel``; those here are functions of
:math:`\tau = t - T_0`, with an onset before which there is no flux. In a dataset the source has the
mean over its good time intervals,

.. math:: \langle f \rangle = \sum_i \int_{a_i}^{b_i} f(t)\,\mathrm{d}t \Big/ \sum_i (b_i - a_i)

in closed form where there is one, else by Gauss-Legendre quadrature in :math:`\log\tau`.

What to use when:

======================================================  ===========================================
the source is                                           model
======================================================  ===========================================
an afterglow, or any decay without a time scale         `OnsetPowerLawTemporalModel`
the same, steeper from a time on: a jet break           `BrokenPowerLawTemporalModel`
the same, with a peak or a smooth transition            `SmoothBrokenPowerLawTemporalModel`
the same, with several breaks                           `MultiBrokenPowerLawTemporalModel`
a decay with a time scale                               `OnsetExpDecayTemporalModel`
a pulse: fast rise, slower decay, with a begin          `FREDTemporalModel`, `FREDXiTemporalModel`
a flare of a blazar, without a begin                    `DoubleExpFlareTemporalModel`
a star that was torn apart                              `TidalDisruptionTemporalModel`
a nova, or what rises late and fades                    `DelayedNovaTemporalModel`
a source that varies as a sine                          `PeriodicTemporalModel`
a binary with a light curve over its orbit              `OrbitalTemporalModel`
anything with a light curve in a table                  `TableTemporalModel`
======================================================  ===========================================

Every model takes T0 as an `astropy.time.Time`, whose scale it keeps; a number without a scale is
refused. All have Gammapy's methods, and ``integral_gradient``, the derivatives of the integral;
``sample_time`` draws from its exact inverse. With ``import ctao_sat.transients``, Gammapy reads
them from YAML.

Examples
--------
>>> import astropy.units as u
>>> from astropy.time import Time
>>> from ctao_sat import transients
>>> t0 = Time("2019-01-14T20:57:03", scale="utc")
>>> decay = transients.OnsetPowerLawTemporalModel(t0, alpha=1.6, t0=100 * u.s, t_on=6 * u.s)
>>> float(decay.integral(t0 + 62 * u.s, t0 + 2454 * u.s).round(5))
0.08261
>>> times = decay.sample_time(1000, t0, t0 + 1 * u.h, random_state=1)
>>> bool((times - t0).min() > 6 * u.s)
True
"""

from gammapy.modeling.models import TEMPORAL_MODEL_REGISTRY

from ctao_sat.transients._decays import (
    DelayedNovaTemporalModel,
    OnsetExpDecayTemporalModel,
    TidalDisruptionTemporalModel,
)
from ctao_sat.transients._flares import (
    DoubleExpFlareTemporalModel,
    FREDTemporalModel,
    FREDXiTemporalModel,
)
from ctao_sat.transients._model import TransientModel
from ctao_sat.transients._periodic import OrbitalTemporalModel, PeriodicTemporalModel
from ctao_sat.transients._power_laws import (
    BrokenPowerLawTemporalModel,
    MultiBrokenPowerLawTemporalModel,
    OnsetPowerLawTemporalModel,
    SmoothBrokenPowerLawTemporalModel,
)
from ctao_sat.transients._tables import TableTemporalModel

__all__ = [
    "BrokenPowerLawTemporalModel",
    "DelayedNovaTemporalModel",
    "DoubleExpFlareTemporalModel",
    "FREDTemporalModel",
    "FREDXiTemporalModel",
    "MultiBrokenPowerLawTemporalModel",
    "OnsetExpDecayTemporalModel",
    "OnsetPowerLawTemporalModel",
    "OrbitalTemporalModel",
    "PeriodicTemporalModel",
    "SmoothBrokenPowerLawTemporalModel",
    "TableTemporalModel",
    "TidalDisruptionTemporalModel",
    "TransientModel",
]

# As Gammapy's own models are known to it; a module that is loaded again adds nothing.
for _model in (
    OnsetPowerLawTemporalModel,
    BrokenPowerLawTemporalModel,
    SmoothBrokenPowerLawTemporalModel,
    MultiBrokenPowerLawTemporalModel,
    OnsetExpDecayTemporalModel,
    FREDTemporalModel,
    FREDXiTemporalModel,
    DoubleExpFlareTemporalModel,
    TidalDisruptionTemporalModel,
    DelayedNovaTemporalModel,
    PeriodicTemporalModel,
    OrbitalTemporalModel,
    TableTemporalModel,
):
    if _model not in TEMPORAL_MODEL_REGISTRY:
        TEMPORAL_MODEL_REGISTRY.append(_model)
