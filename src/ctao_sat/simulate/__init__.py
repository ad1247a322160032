"""Simulate observations: models and instrument responses in, DL3 on disk out.

The question answered here: *what would the array have recorded, had the sky been like this?*

Entry points:

`observations`
    Models, pointings, live time and IRFs to event lists on disk, with the truth beside them.
`demo_array`
    A built-in demonstration array, never CTAO's own responses: nothing has to be downloaded.
`wobble_pointings`, `survey_pointings`
    Where to point: around a target, or over a field.

A source is a Poisson process in true energy, direction and time with the density flux times
effective area. Events are drawn as candidates from an upper bound of it and thinned
to the density itself, then blurred by the point spread function and the energy dispersion.
The background is drawn from its response in the same way. All responses are interpolated as Gammapy
does, so that an analysis with Gammapy finds what went in.
"""

from ctao_sat.simulate._builtin_array import demo_array
from ctao_sat.simulate._observe import observations
from ctao_sat.simulate._patterns import survey_pointings, wobble_pointings

__all__ = ["demo_array", "observations", "survey_pointings", "wobble_pointings"]
