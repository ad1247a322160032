"""Recipe ``spectrum-1d``: the spectrum and light curve of one source from on and off regions.

The question answered here: *how bright is the source at which energy, and did it change?* Counts in
an on region around the target are compared with those in off regions at the same distance from
the pointing, where the background is alike. The statistic is Gammapy's ``wstat``: a Poisson
likelihood of on and off counts with the background profiled out.

Entry points: `Spectrum1DConfig` says what to do, `run` does it and returns a
`ctao_sat.workflow.SpectrumRun`.
"""

from ctao_sat.recipes.spectrum_1d._config import Spectrum1DConfig
from ctao_sat.recipes.spectrum_1d._run import plan, run

__all__ = ["Spectrum1DConfig", "plan", "run"]
