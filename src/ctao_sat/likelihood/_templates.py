"""Templates of sources with a free shape: samples, convolved with the PSF, on the pixels of a map.

Each kind of template answers the same questions about the samples S(u) of a source, a vector:

- ``samples(shape, order)``: what are they, and their derivatives?
- ``gather(samples, part, place, values)``: what do they put into bins?
- ``scatter(part, row_bin, bins)``: what do numbers of the bins say about them, by true energy?
- ``sums(part)``: what do they contribute to the sum over bins that are not evaluated?
- ``holds(shape)``, ``reach()``: is the template the right one, and how far does it go?
"""

import numpy as np

from ctao_sat.likelihood._grid_template import GridTemplate
from ctao_sat.likelihood._point_template import PointTemplate
from ctao_sat.likelihood._shape import Shape

__all__ = ["make_template"]


def make_template(source: Shape, shape: np.ndarray) -> "PointTemplate | GridTemplate":
    """Return the template that suits a shape."""
    if source.is_point:
        return PointTemplate(source, shape)
    return GridTemplate(source, shape)
