"""Which bins of a cube need a logarithm of their own, and the sums over those that do not."""

import math

from ctao_sat.kernels._jit import kernel

__all__ = ["EXPLICIT", "IMPLICIT", "LONELY", "UNUSED", "select"]

UNUSED = 0
#: Without counts, and never negative: the statistic is linear in the prediction.
IMPLICIT = 1
#: With counts that only the background explains.
LONELY = 2
#: To be evaluated by itself.
EXPLICIT = 3


@kernel
def select(counts, quiet, background, weights, mask, covered, floors, least, classes, sums):
    """Fill the class of each bin and the sums by energy.

    Parameters
    ----------
    counts : array, shape (n_energy, n_pixels)
        Counts.
    quiet : array of bool, shape (n_energy, n_pixels) or (0, 0)
        On-off data: whether all that is needed for a linear statistic but zero counts holds.
        Empty for data with a background model.
    background : array, shape (n_energy, n_pixels) or (0, 0)
        Background; empty if there is none.
    weights : array, shape (n_energy, n_pixels) or (0, 0)
        Weights of the bins; empty if all are 1.
    mask : array of bool, shape (n_energy, n_pixels)
        Bins to fit.
    covered : array of bool, shape (n_pixels,)
        Pixels that a source reaches.
    floors : array, shape (n_energy, n_pixels)
        Background below which bins are evaluated by themselves.
    least : float
        Background below which bins with counts are evaluated by themselves.
    classes : array of uint8, shape (n_energy, n_pixels)
        Filled.
    sums : array, shape (n_energy, 5)
        Filled, all with weights: background of implicit bins; counts, background and counts times
        log background of lonely bins; counts where nothing is predicted whatever the parameters.
    """
    on_off, weighted, with_background = quiet.size > 0, weights.size > 0, background.size > 0
    for e in range(mask.shape[0]):
        for k in range(5):
            sums[e, k] = 0.0
        for i in range(mask.shape[1]):
            if not mask[e, i]:
                classes[e, i] = UNUSED
                continue
            n = counts[e, i]
            b = background[e, i] if with_background else 0.0
            w = weights[e, i] if weighted else 1.0
            simple = (n == 0 and quiet[e, i]) if on_off else not n > 0
            # NaN fails each comparison.
            if simple and b >= 0 and b >= floors[e, i]:
                classes[e, i] = IMPLICIT
                sums[e, 0] += w * b
            elif on_off or covered[i] or not n > 0:
                classes[e, i] = EXPLICIT
            elif b == 0:
                classes[e, i] = UNUSED
                sums[e, 4] += w * n
            elif b >= least:
                classes[e, i] = LONELY
                sums[e, 1] += w * n
                sums[e, 2] += w * b
                sums[e, 3] += w * n * math.log(b)
            else:
                classes[e, i] = EXPLICIT
