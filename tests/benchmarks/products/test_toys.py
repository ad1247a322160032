"""Toys drawn and refitted, profiles, limits and contours: ours and Gammapy's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gammapy.datasets import Datasets, MapDatasetOnOff
from gammapy.modeling import Fit

from ctao_sat import dl5
from ctao_sat.likelihood import Toys, draw_counts, toys

pytestmark = pytest.mark.realdata

SEED = 20281201
CRAB, CENTRE = "1,000 toys, 1D joint", "100 toys, 3D fixed shapes"
SCANS, POSITION = "1D joint: scans", "3D, free position: errors"
# Gammapy may end so far from the minimum, in sigma: see the benchmarks of fits.
SIGMA = 0.02


def timed(function: Callable, *arguments) -> tuple[float, Any]:
    """Return the processor time of a call in s, and its result."""
    start = time.process_time()
    result = function(*arguments)
    return time.process_time() - start, result


@dataclass
class Sample:
    """Gammapy's fits of some of the sets."""

    seconds: float
    stat: np.ndarray
    values: np.ndarray


def by_gammapy(datasets: Datasets, n: int, number: int) -> Sample:
    """Let Gammapy fake and fit, and fit the first of ``n`` sets that we draw, in two passes.

    The time is that of its own ``fake`` and ``Fit``, from the truth, with its evaluators warm.
    """
    mine = datasets.copy()
    mine.models = datasets.models.copy()
    free = mine.models.parameters.free_parameters
    truth, background = free.value.copy(), [dataset.npred_background() for dataset in mine]
    seconds = []
    for i in range(number):
        free.value = truth
        mine.stat_sum()
        seconds.append(timed(_fake_and_fit, mine, background, i)[0])
    free.value = truth
    stat, values = [], []
    streams = np.random.default_rng(SEED).spawn(n)[:number]
    for stream in streams:
        free.value = truth
        for dataset, drawn in zip(mine, draw_counts(datasets, stream), strict=True):
            dataset.counts = drawn.counts
            if isinstance(dataset, MapDatasetOnOff):
                dataset.counts_off = drawn.counts_off
        stat.append(Fit(optimize_opts={"tol": 1e-3}).run(mine).total_stat)
        values.append(free.value.copy())
    return Sample(float(np.median(seconds)), np.array(stat), np.array(values))


def _fake_and_fit(datasets: Datasets, background: list, seed: int) -> None:
    for dataset, expected in zip(datasets, background, strict=True):
        if isinstance(dataset, MapDatasetOnOff):
            dataset.fake(npred_background=expected, random_state=seed)
        else:
            dataset.fake(random_state=seed)
    Fit().run(datasets)


def measure(record, job: str, datasets: Datasets, n: int, number: int, bar: float) -> Toys:
    """Add the rows of a job, and return the toys."""
    cold, _ = timed(toys, datasets, 1, np.random.default_rng(0))
    seconds, result = timed(toys, datasets, n, np.random.default_rng(SEED))
    sample = by_gammapy(datasets, n, number)
    note = f"a toy, compile included; median of Gammapy's first {number}"
    record.add(job, "draw and fit", gammapy=sample.seconds, ours=seconds / n, bar=bar, note=note)
    record.add(job, "all of them", ours=seconds)
    record.add(job, "the first, after import", ours=cold)
    above = result.stat[:number] - sample.stat
    record.add(
        job, "statistic above Gammapy's, same counts",
        difference=float(above.max()), allowed=1e-3, note=f"lowest {above.min():.0e}",
    )  # fmt: skip
    shift = np.abs(result.values[:number] - sample.values) / result.errors[:number]
    record.add(
        job, "parameters, in sigma, same counts", difference=float(shift.max()), allowed=SIGMA
    )
    failed = result.n_failed
    record.add(
        job, "fits lost", difference=failed, allowed=0, note=f"{result.n_by_minuit} by Minuit"
    )
    return result


def add_pulls(record, job: str, result: Toys, note: str = "") -> None:
    """Add mean and width of the pulls, in units of what they are uncertain by."""
    pulls, n = result.pulls(), len(result)
    mean = pulls.mean(axis=0) * np.sqrt(n)
    width = (pulls.std(axis=0, ddof=1) - 1) * np.sqrt(2 * n)
    for what, numbers in (("mean", mean), ("width", width)):
        worst = int(np.argmax(np.abs(numbers)))
        record.add(
            job,
            f"{what} of pulls, in its standard deviations",
            difference=float(np.abs(numbers).max()),
            allowed=3 if not note else None,
            note=f"{result.names[worst]}; {note}".strip("; "),
        )


def test_toys_1d(crab, record):
    dl5.fit(crab)
    result = measure(record, CRAB, crab, 1000, 20, bar=150)
    add_pulls(record, CRAB, result)
    record.check(CRAB)


def test_toys_3d(centre, record):
    dl5.fit(centre)
    result = measure(record, CENTRE, centre, 100, 3, bar=50)
    add_pulls(record, CENTRE, result)
    record.check(CENTRE)


def test_scans_1d(crab, record):
    dl5.fit(crab)
    alpha, beta = (crab.models[0].spectral_model.parameters[name] for name in ("alpha", "beta"))
    fit = Fit()
    jobs = {
        "profile, 11 values": (
            lambda: fit.stat_profile(crab, alpha, reoptimize=True),
            lambda: dl5.profile(crab, alpha),
        ),
        "asymmetric errors": (
            lambda: fit.confidence(crab, alpha),
            lambda: dl5.asymmetric_errors(crab, alpha),
        ),
        "upper limit": (
            lambda: fit.confidence(crab, beta, sigma=2),
            lambda: dl5.upper_limit(crab, beta),
        ),
        "contour, 20 points": (
            lambda: fit.stat_contour(crab, alpha, beta, numpoints=20),
            lambda: dl5.contour(crab, alpha, beta, n_points=20),
        ),
    }
    for what, sides in jobs.items():
        sides[1]()
        (theirs, expected), (ours, found) = map(timed, sides)
        difference = _difference(what, found, expected, alpha, beta)
        record.add(SCANS, what, gammapy=theirs, ours=ours, difference=difference, allowed=SIGMA)
    record.check(SCANS)


def _difference(what: str, ours: dict, theirs: dict, alpha, beta) -> float:
    """Return how far the two sides differ, in sigma; profiles in the statistic."""
    if "profile" in what:
        return float(np.abs(ours["stat_scan"] - theirs["stat_scan"]).max())
    if "errors" in what:
        return max(abs(ours[key] - theirs[key]) / alpha.error for key in ("errn", "errp"))
    if "limit" in what:
        return abs(ours["ul"] - beta.value - theirs["errp"]) / beta.error
    names = ("crab.spectral.alpha", "crab.spectral.beta")
    scales = (alpha.error, beta.error)
    line = np.column_stack([ours[name] / scale for name, scale in zip(names, scales, strict=True)])
    points = np.column_stack(
        [theirs[name] / scale for name, scale in zip(names, scales, strict=True)]
    )
    return float(_to_polygon(points, line).max())


def _to_polygon(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the distance of points from a closed polygon."""
    start, way = line[:-1], np.diff(line, axis=0)
    along = np.sum((points[:, None] - start) * way, axis=2) / np.sum(way**2, axis=1)
    nearest = start + np.clip(along, 0, 1)[..., None] * way
    return np.linalg.norm(points[:, None] - nearest, axis=2).min(axis=1)


def test_errors_3d(centre, record):
    shape, fit = centre.models["g0.9"].spatial_model, Fit()
    shape.lon_0.frozen = shape.lat_0.frozen = False
    try:
        dl5.fit(centre)
        for parameter in (shape.lat_0, centre.models["g0.9"].spectral_model.amplitude):
            # Evaluators from where the source is now.
            centre.models = centre.models
            centre.stat_sum()
            theirs, expected = timed(fit.confidence, centre, parameter)
            ours, found = timed(dl5.asymmetric_errors, centre, parameter)
            worst = max(abs(found[key] - expected[key]) for key in ("errn", "errp"))
            record.add(
                POSITION, f"errors of {parameter.name}", gammapy=theirs, ours=ours,
                difference=worst / parameter.error, allowed=SIGMA,
            )  # fmt: skip
    finally:
        shape.freeze()
    record.check(POSITION)
