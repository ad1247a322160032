"""Fits with free shapes: Gammapy's own until they are stable, and how far ours are from them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from bench_fits import ended, free_parameters, from_here, numeric_hessian
from bench_measure import Record, once
from gammapy.datasets import Datasets
from gammapy.modeling import Fit, FitResult
from gammapy.modeling.models import PointSpatialModel
from iminuit import Minuit

# Fits of minutes: what other programs take meanwhile is not counted, what threads do is.
CLOCK = time.process_time
# A refit that changes the statistic by less shows that the last one was stable.
STABLE, MOST_REFITS = 0.1, 8


@dataclass
class Refits:
    """Gammapy's fits, each with new evaluators from where the last one ended.

    Attributes
    ----------
    seconds : list of float
        What each has taken.
    claimed, stats : list of float
        The statistic that each has reported, and that of new evaluators at the same parameters.
    values : array, shape (n_free,)
        Where the last has ended.
    """

    seconds: list[float] = field(default_factory=list)
    claimed: list[float] = field(default_factory=list)
    stats: list[float] = field(default_factory=list)
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def is_stable(self) -> bool:
        """Whether the last fit has found what the one before had."""
        return len(self.stats) > 1 and abs(self.stats[-1] - self.stats[-2]) < STABLE

    @property
    def total(self) -> float:
        """What all of them have taken; the last shows that the one before was stable."""
        return sum(self.seconds)


def fresh_stat(datasets: Datasets) -> float:
    """Return Gammapy's statistic with evaluators made at the present parameters."""
    datasets.models = datasets.models
    return float(datasets.stat_sum())


def gammapy_refitted(datasets: Datasets, between: Callable[[], object] = lambda: None) -> Refits:
    """Fit with Gammapy until its statistic, of new evaluators, is stable.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        Their parameters are at the start.
    between : callable
        What to do after each fit, with any parameters: so that both sides are timed in turns.
    """
    fits = Refits()

    def fit() -> None:
        datasets.models = datasets.models
        fits.claimed.append(float(Fit().run(datasets).total_stat))

    while not fits.is_stable and len(fits.stats) < MOST_REFITS:
        fits.seconds.append(once(fit, CLOCK))
        fits.stats.append(fresh_stat(datasets))
        to_their_end = from_here(datasets)
        between()
        to_their_end()
    fits.values = np.array([p.value for p in free_parameters(datasets)])
    return fits


def hesse(datasets: Datasets, steps: np.ndarray) -> np.ndarray:
    """Return errors from second differences of Gammapy's statistic, with new evaluators.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        Their parameters are at the minimum.
    steps : array, shape (n_free,)
        By how much to change the parameters.
    """
    parameters = free_parameters(datasets)
    x = np.array([p.factor for p in parameters])
    scales = np.array([abs(p.scale) for p in parameters])
    steps = steps / scales

    def stat(factors: np.ndarray) -> float:
        for parameter, factor in zip(parameters, factors, strict=True):
            parameter.factor = factor
        return datasets.stat_sum()

    fresh_stat(datasets)
    # At their first change of shape, evaluators take their responses once more.
    stat(x + 1e-3 * steps)
    hessian = numeric_hessian(stat, x, steps)
    stat(x)
    return np.sqrt(2 * np.diag(np.linalg.inv(hessian))) * scales


def steps_over_kinks(datasets: Datasets) -> np.ndarray:
    """Return steps for second differences: half a pixel for points, else a third of the error.

    Gammapy shares a point source among the four pixels around it: its statistic has a kink
    wherever the source crosses the centre of a pixel, and in between it lacks the curvature that
    is in the kinks. The smallest range that has its share of them, wherever the source is, is one
    pixel: half a pixel to both sides. With smaller steps errors depend on where in its pixel the
    source is, by up to a fifth.
    """
    half = float(min(np.min(d.counts.geom.pixel_scales.to_value("deg")) for d in datasets)) / 2
    steps = np.array([p.error / 3 for p in free_parameters(datasets)])
    where = {id(p): i for i, p in enumerate(free_parameters(datasets))}
    for model in datasets.models:
        if isinstance(getattr(model, "spatial_model", None), PointSpatialModel):
            lon, lat = model.spatial_model.lon_0, model.spatial_model.lat_0
            steps[where[id(lon)]] = half / np.cos(lat.quantity).value
            steps[where[id(lat)]] = half
    return steps


def minuit_hesse(datasets: Datasets) -> np.ndarray:
    """Return the errors of Minuit's ``hesse()`` on Gammapy's statistic, with new evaluators."""
    parameters = free_parameters(datasets)
    scales = np.array([abs(p.scale) for p in parameters])

    def stat(factors: np.ndarray) -> float:
        for parameter, factor in zip(parameters, factors, strict=True):
            parameter.factor = factor
        return datasets.stat_sum()

    reset = from_here(datasets)
    minuit = Minuit(stat, np.array([p.factor for p in parameters]))
    minuit.errordef, minuit.strategy = 1, 1
    minuit.errors = np.array([p.error for p in parameters]) / scales
    fresh_stat(datasets)
    minuit.hesse()
    reset()
    return np.array(minuit.errors) * scales


def add_minimum(
    record: Record,
    job: str,
    datasets: Datasets,
    result: FitResult,
    fits: Refits,
    *,
    thorough: bool,
) -> None:
    """Compare a fit of ours, whose parameters the datasets have, with Gammapy's last.

    If thorough, also with errors that are defined in other ways.
    """
    ours, names, theirs = ended(datasets, result), _names(datasets), fits.stats[-1]
    record.add(
        job,
        "statistic against Gammapy there",
        difference=abs(ours.stat - fresh_stat(datasets)),
        allowed=1e-3,
        note="with evaluators made there",
    )
    record.add(
        job,
        "statistic above Gammapy's stable one",
        difference=ours.stat - theirs,
        allowed=0.01,
        note=f"ours {ours.stat:.4f}, Gammapy's {theirs:.4f}",
    )
    record.add(
        job,
        "statistic of Gammapy's first fit above it",
        difference=fits.stats[0] - theirs,
        note=f"it reports {fits.claimed[0]:.4f}, new evaluators there give {fits.stats[0]:.4f}",
    )
    errors = {"HESSE": hesse(datasets, steps_over_kinks(datasets))}
    if thorough:
        errors["HESSE in steps of one sigma"] = hesse(datasets, ours.errors)
        errors["Minuit's hesse() on Gammapy"] = minuit_hesse(datasets)
    shift = np.abs(ours.values - fits.values) / errors["HESSE"]
    add_worst(record, job, "parameters, in sigma", shift, names, allowed=0.05)
    for what, expected in errors.items():
        allowed = 0.03 if what == "HESSE" else None
        ratios = np.abs(ours.errors / expected - 1)
        add_worst(record, job, f"errors against {what}", ratios, names, allowed=allowed)


def add_worst(
    record: Record, job: str, what: str, numbers: np.ndarray, names: list[str], **options
) -> None:
    """Keep the largest of numbers, with the parameter that has it."""
    worst = int(np.argmax(numbers))
    record.add(job, what, difference=float(numbers[worst]), note=names[worst], **options)


def _names(datasets: Datasets) -> list[str]:
    owner = {id(p): m.name for m in datasets.models for p in m.parameters}
    return [f"{owner[id(p)]}.{p.name}" for p in free_parameters(datasets)]


def bad_start(
    datasets: Datasets, rng: np.random.Generator, distance: float, factor: float
) -> Callable[[], None]:
    """Return a function that goes to a start beside the present one.

    Each source is moved in a direction of its own; sizes are multiplied or divided.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        At the good start.
    rng : `~numpy.random.Generator`
        It decides where to, and whether to multiply.
    distance : float
        In degrees.
    factor : float
        For sizes.
    """
    reset = from_here(datasets)
    moves: list[tuple] = []
    for model in datasets.models:
        spatial = getattr(model, "spatial_model", None)
        if spatial is None:
            continue
        angle, sign = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
        cosine = np.cos(spatial.lat_0.quantity).value
        moves.append((spatial.lon_0, spatial.lon_0.value + distance * np.cos(angle) / cosine))
        moves.append((spatial.lat_0, spatial.lat_0.value + distance * np.sin(angle)))
        if "sigma" in spatial.parameters.names:
            moves.append((spatial.sigma, spatial.sigma.value * factor**sign))

    def setup() -> None:
        reset()
        for parameter, value in moves:
            parameter.value = value
        datasets.models = datasets.models

    return setup
