"""Probability of each event to be of a source, by what a dataset predicts."""

import numpy as np
from gammapy.data import EventList, Observation
from gammapy.datasets import MapDataset
from gammapy.maps import Map

from ctao_sat.errors import ConfigError, SourceNotFoundError, did_you_mean

__all__ = ["event_weights"]


def event_weights(events: EventList | Observation, dataset: MapDataset, source: str) -> np.ndarray:
    r"""Return the probability of events to be of a source, for weighted periodicity tests.

    .. math:: w(E, \vec{x}) = \frac{s(E, \vec{x})}{s(E, \vec{x}) + b(E, \vec{x})}

    with the counts that the dataset predicts for the source, s, and for everything else, b: other
    models and the background. By way of exposure, PSF and energy dispersion of the dataset they
    depend on energy, direction and offset.

    Parameters
    ----------
    events : `~gammapy.data.EventList` or `~gammapy.data.Observation`
        Events to weigh; best those of the observation that the dataset is of.
    dataset : `~gammapy.datasets.MapDataset`
        With models: maps (weights by energy and direction), or a spectrum (by energy).
    source : str
        Name of the model of the pulsed emission. A nebula around it is better a model of its own.

    Returns
    -------
    weights : array, shape (n,)
        In [0, 1], one for each event; 0 outside the geometry and the safe mask.

    Raises
    ------
    ConfigError
        If the dataset predicts no counts: it is no ``MapDataset``, or has no models.
    SourceNotFoundError
        If no model has this name.

    Notes
    -----
    Kerr 2011, ApJ 732, 38. The fraction is taken in each bin and interpolated between the centres
    of bins; bins should be finer than the PSF. Weights do not depend on phases: a model that is
    wrong costs sensitivity, and never makes a pulse. In a dataset with off counts, b is the
    estimate of each bin, which fluctuates: take wide bins of energy.

    Examples
    --------
    >>> from ctao_sat import pulsar
    >>> weights = pulsar.event_weights(observation, dataset, "Vela pulsar")  # doctest: +SKIP
    >>> pulsar.h_test(phases, weights)                                       # doctest: +SKIP
    """
    if isinstance(events, Observation):
        events = events.events
    fraction = _fraction(dataset, source)
    coords = events.map_coord(fraction.geom)
    weights = np.zeros(len(events.table))
    if len(weights) == 0:
        return weights
    inside = fraction.geom.contains(coords)
    if dataset.mask_safe is not None:
        # Not a number outside the map.
        inside &= dataset.mask_safe.get_by_coord(coords) == 1
    found = fraction.interp_by_coord(coords, fill_value=None)
    weights[inside] = np.clip(found[inside], 0, 1)
    return weights


def _fraction(dataset: MapDataset, source: str) -> Map:
    """Return the part of the predicted counts that is of a source, in each bin."""
    if not isinstance(dataset, MapDataset) or not dataset.models:
        raise ConfigError(
            "Weights need a dataset of counts with models.",
            remedy="Set the models of a MapDataset or SpectrumDataset, or of one with off counts.",
        )
    names = [name for name in dataset.models.names if name in dataset.evaluators]
    if source not in names:
        raise SourceNotFoundError(
            f"No source '{source}' in dataset '{dataset.name}'.",
            remedy=did_you_mean(source, names),
        )
    signal = dataset.npred_signal(model_names=[source])
    total = dataset.npred()
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(total.data > 0, signal.data / total.data, 0.0)
    return Map.from_geom(signal.geom, data=fraction)
