"""Recipe ``pulsar``: phases, tests for pulsations, pulse profile and phase-resolved spectrum.

The question answered here: *does the source pulse at the frequency of its ephemeris, and what does
the pulse look like?* Events get the phase of the ephemeris at the barycentre of the solar system;
those near the target are tested against a uniform distribution. Regions of phase that were chosen
beforehand give an excess, and on request the spectrum of the pulse, with the background of the
off phases.

Entry points: `PulsarConfig` says what to do, `run` does it and returns a `PulsarRun`.
"""

from ctao_sat.recipes.pulsar._config import PulsarConfig
from ctao_sat.recipes.pulsar._result import PulsarRun
from ctao_sat.recipes.pulsar._run import plan, run

__all__ = ["PulsarConfig", "PulsarRun", "plan", "run"]
