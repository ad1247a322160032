"""Correct the significance of a peak in a map for how many places were looked at."""

import numpy as np
from gammapy.datasets import Datasets
from gammapy.maps import Map
from gammapy.modeling.models import SkyModel
from scipy.special import ndtri_exp
from scipy.stats import norm

from ctao_sat._gammapy import fresh_copy

__all__ = ["searched_area", "trials_corrected"]


def trials_corrected(
    significance: np.ndarray, *, area: float | None = None, n_trials: float | None = None
) -> np.ndarray:
    r"""Return significances after trials: of a peak, given how many places were looked at.

    The chance of a peak above z anywhere in a map of correlated normal noise is, for high z, the
    expected Euler characteristic of what is above z (Adler & Taylor 2007; Vitells & Gross 2011,
    Astropart. Phys. 35, 230; Worsley et al. 1992):

    .. math::

        p = Q(z) + \frac{\sqrt{A}}{\pi} e^{-z^2/2} + \frac{A}{(2\pi)^{3/2}}\, z\, e^{-z^2/2},

    with Q the upper tail of the normal distribution, and A the area times the roughness
    :math:`\sqrt{\det(-\nabla\nabla\rho)}` of the correlation :math:`\rho` at distance zero; the
    map is taken to be a square. For N independent trials it is :math:`p = 1 - (1 - Q)^N`.

    Parameters
    ----------
    significance : array
        Before trials, in sigma; of positive excess.
    area : float, optional
        A, without a unit.
    n_trials : float, optional
        N, instead of the area.

    Returns
    -------
    significance : array
        After trials, in sigma: at least -inf, where something as high is certain to be found.

    Examples
    --------
    >>> from ctao_sat import dl5
    >>> print(dl5.trials_corrected(5.0, n_trials=1e4).round(2))
    2.76
    """
    z = np.asarray(significance, dtype=float)
    log_q = norm.logsf(z)
    if n_trials is not None:
        # log(1 - (1 - q)^n), which for small q is log(n q) to rounding.
        log_p = np.where(
            np.log(n_trials) + log_q < -20,
            np.log(n_trials) + log_q,
            np.log(-np.expm1(n_trials * np.log1p(-np.exp(np.minimum(log_q, -1e-300))))),
        )
    else:
        flat = 0.0 if area is None else area
        per_area = np.sqrt(flat) / np.pi + flat * np.maximum(z, 0) * (2 * np.pi) ** -1.5
        with np.errstate(divide="ignore"):
            log_p = np.logaddexp(log_q, np.log(per_area) - z**2 / 2)
        log_p = np.where(z < 1, 0.0, log_p)
    return -ndtri_exp(np.minimum(log_p, 0.0))


def searched_area(datasets: Datasets, model: SkyModel, mask: Map) -> float:
    """Return how large the part of a map within a mask is, for a search for a source.

    The significance map of noise is as smooth as the autocorrelation of what the source adds to
    the counts, in each energy weighted by the inverse of the background.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With the models of the null hypothesis.
    model : `~gammapy.modeling.models.SkyModel`
        What is searched for.
    mask : `~gammapy.maps.Map`
        Image that is true where it is searched.

    Returns
    -------
    area : float
        A of `trials_corrected`, of all that is within the mask.
    """
    steps, norm_sum = np.zeros(2), 0.0
    for dataset in datasets:
        signal, background = _expected(dataset, model)
        weights = 1 / np.maximum(background, 1e-6 * background.max(initial=1e-300))
        norm_sum += np.sum(weights * np.sum(signal**2, axis=(1, 2)))
        for i in range(2):
            squares = np.sum(np.diff(signal, axis=i + 1) ** 2, axis=(1, 2))
            steps[i] += np.sum(weights * squares)
    roughness = np.sqrt(np.prod(steps / norm_sum)) if norm_sum > 0 else 0.0
    return float(np.count_nonzero(mask.data) * roughness)


def _expected(dataset, model: SkyModel) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of a source where exposure is largest, and the mean background there."""
    image = dataset.exposure.sum_over_axes(keepdims=False)
    row, column = np.unravel_index(np.argmax(image.data), image.data.shape)
    position = image.geom.pix_to_coord((column, row))
    source = model.copy(name="searched")
    source.spatial_model.lon_0.quantity, source.spatial_model.lat_0.quantity = position
    source.spatial_model.frame = image.geom.frame
    probe = fresh_copy(Datasets([dataset]))[0]
    probe.models = [source]
    signal = probe.npred_signal().data
    background = dataset.npred().data
    inside = np.ones_like(background, dtype=bool) if dataset.mask is None else dataset.mask.data
    counts = np.where(inside, background, 0.0).sum(axis=(1, 2))
    return signal, counts / np.maximum(inside.sum(axis=(1, 2)), 1)
