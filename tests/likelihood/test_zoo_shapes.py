"""Free shapes of the compiled likelihood are Gammapy's, in more than three hundred cases.

Predicted counts are compared bin by bin with those of Gammapy's evaluators made anew, after the
parameters have moved: within 1e-6 of the largest count that sources predict, or of one count if
that is less. Gammapy convolves in single precision: an FFT rounds by 6e-8 of the largest number
times a few; the median of the worst bins is 1e-7.

Derivatives are compared with the statistic itself, which is tested above them: those of smooth
Gaussians with differences of the statistic; those of points and of shapes with edges, which have
kinks or steps, are by design those of the mean over a step of the likelihood, and are compared with
the change of the predicted counts across it. All times one standard deviation, within which the
statistic changes by one: within 1e-4. To repeat a case: ``zoo.build_free(seed)``.
"""

import functools
import itertools
import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from gammapy.irf import EDispKernelMap, EDispMap, PSFMap
from gammapy.modeling.models import GaussianSpatialModel

from ctao_sat.likelihood import compile_likelihood

CHUNK = 32
COUNTS = 1e-6
DERIVATIVE = 1e-4
COVERAGE = {
    "1 datasets": 150, "2 datasets": 40, "3 datasets": 8, "1 sources": 100, "2 sources": 80,
    "map cash": 100, "map weighted cash": 50, "map on-off": 50, "no background": 10,
    "shape point": 50, "shape Gaussian": 50, "shape wide": 15, "shape elongated": 35,
    "shape disk": 15, "shape elongated disk": 15, "shape generalised Gaussian": 15,
    "shape shell": 15, "shape shell 2": 15, "shape constant": 15, "shape template": 15,
    "projection CAR": 50, "projection TAN": 100, "projection AIT": 50, "oblong pixels": 10,
    "frame icrs": 50, "frame galactic": 100, "other frame than the map": 100,
    "place inside": 100, "place inside, far": 50, "place at the edge": 50,
    "place beyond the edge": 20,
    "psf constant": 150, "psf varying": 50, "no psf": 40,
    "edisp kernel": 60, "edisp diagonal": 30, "edisp migration": 30, "edisp varying": 30,
    "edisp none": 30,
    "mask_safe": 60, "mask_fit": 60, "without exposure": 6, "without psf": 6, "without edisp": 6,
    "link": 15, "link of positions": 6, "part of the shape frozen": 50,
    "transform log": 30, "transform sqrt": 30,
    "special cube template": 5, "special reconstructed psf": 5, "special region": 5,
}  # fmt: skip


@dataclass
class Outcome:
    """What the comparison of one case has found."""

    seed: int
    features: set
    special: str | None
    complete: bool
    reasons: list
    worst: float = 0.0
    n_compared: int = 0
    failures: list = field(default_factory=list)

    def fail(self, what):
        self.failures.append(f"zoo.build_free({self.seed}): {what}")

    def compare(self, what, ours, expected, error, scale):
        """Compare derivatives times standard deviations."""
        ours, expected = np.atleast_1d(ours * scale), np.atleast_1d(expected * scale)
        error = np.broadcast_to(error * scale, ours.shape)
        tolerance = DERIVATIVE * np.maximum(np.abs(ours), 1) + 3 * error
        self.n_compared += ours.size
        for i in np.flatnonzero(~(np.abs(ours - expected) <= tolerance)):
            self.fail(f"{what}[{i}]: {ours[i]:.8g}, expected {expected[i]:.8g}")


@pytest.fixture(scope="module", autouse=True)
def _kernels_extracted_once():
    """Let Gammapy keep what it extracts from the same response at the same place.

    Each new evaluator extracts a kernel for each energy: that would be most of the time.
    """

    def kept(method):
        known = {}

        def get(self, position=None, **kwargs):
            geom, axis = kwargs.get("geom"), kwargs.get("energy_axis")
            place = None if position is None else (position.data.lon.rad, position.data.lat.rad)
            key = id(self), place, id(geom), id(axis)
            if key not in known:
                # The arguments are kept, too: others must not get their addresses.
                known[key] = method(self, position=position, **kwargs), self, geom, axis
            return known[key][0]

        return get

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PSFMap, "get_psf_kernel", kept(PSFMap.get_psf_kernel))
        for kind in (EDispKernelMap, EDispMap):
            patch.setattr(kind, "get_edisp_kernel", kept(kind.get_edisp_kernel))
        yield


def _move(rng, like):
    """Move all free parameters, in one case of four by much."""
    much = 3 if rng.uniform() < 0.25 else 1
    for parameter in like.parameters:
        step = much * rng.normal()
        if parameter.name in ("lon_0", "lat_0"):
            parameter.value += 0.03 * step
        elif parameter.name == "phi":
            parameter.value += 5 * step
        elif parameter.name in ("e", "eta"):
            parameter.value = np.clip(parameter.value + 0.05 * step, 0.1, 0.95)
        else:
            parameter.value *= np.exp(0.1 * step)


def _compare_counts(zoo, case, like, outcome):
    counts, p = zoo.Counts(like), np.array([q.value for q in like.all_parameters])
    ours = counts.at(p)
    theirs, peak = counts.gammapy(case.datasets, p)
    off = np.abs(ours - theirs) / np.maximum(peak, 1)
    outcome.worst = float(off.max())
    if not outcome.worst <= COUNTS:
        bin_ = int(np.argmax(off))
        outcome.fail(f"bin {bin_}: {ours[bin_]!r}, Gammapy {theirs[bin_]!r}, peak {peak[bin_]:.3g}")
    value, each = like.value(zoo.factors(like)), counts.statistic(p)
    if value != pytest.approx(each, rel=1e-9, abs=1e-8):
        outcome.fail(f"value {value!r}, of all bins {each!r}")


def _derivatives(zoo, like, outcome):
    """Compare gradient and second derivatives at the present parameters."""
    x = zoo.factors(like)
    value, gradient = like.value_and_grad(x)
    hessian = like.hessian(x)
    if value != pytest.approx(like.value(x), rel=1e-12, abs=1e-9):
        outcome.fail(f"value of value_and_grad {value!r}, value {like.value(x)!r}")
    if not (np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian))):
        outcome.fail(f"gradient {gradient}, second derivatives {np.diag(hessian)}")
        return
    if not np.array_equal(hessian, hessian.T):
        outcome.fail("asymmetric second derivatives")
    _compare_derivatives(zoo, like, x, gradient, hessian, outcome)


def _compare_derivatives(zoo, like, x, gradient, hessian, outcome):
    counts = zoo.Counts(like)
    p = counts.map.values(x)
    slopes, bends = counts.map.slopes(x, p)
    steps = counts.shape_steps(p)
    places = {int(i): k for k, i in enumerate(counts.map.free_index)}
    with np.errstate(all="ignore"):
        sigma = np.sqrt(2 / np.diag(hessian))
    sigma = np.where(np.isfinite(sigma), sigma, np.abs(x) + 1)
    first, second = counts.slopes(p)
    moved = functools.cache(lambda moves: counts.at(_moved(p, steps, moves)))
    changes = {i: (moved(((i, 1),)) - moved(((i, -1),))) / (2 * h) for i, h in steps.items()}
    for i, k in places.items():
        if i in steps:
            outcome.compare(f"gradient {k}", gradient[k], first @ changes[i] * slopes[k], 0, sigma[k])
            continue
        # Parameters of spectra; their second derivatives with those of shapes follow.
        step = min(0.3 * sigma[k], 0.05 * (abs(x[k]) or 1))
        enough = 0.1 * DERIVATIVE * max(abs(gradient[k]), 1 / sigma[k])
        numeric, error = zoo.derivative(like.value, x, k, step, enough)
        outcome.compare(f"gradient {k}", gradient[k], numeric, error, sigma[k])
        scale = sigma[k] * sigma
        enough = 0.1 * DERIVATIVE * np.maximum(np.abs(hessian[k]), 1 / scale)
        numeric, error = zoo.derivative(lambda y: like.value_and_grad(y)[1], x, k, step, enough)
        outcome.compare(f"hessian {k}", hessian[k], numeric, error, scale)
    for i, j in itertools.combinations_with_replacement(steps, 2):
        a, b = places[i], places[j]
        expected = second @ (changes[i] * changes[j]) + first @ _bend(moved, steps, i, j)
        expected *= slopes[a] * slopes[b]
        if i == j:
            expected += gradient[a] / slopes[a] * bends[a]
        outcome.compare(f"hessian {a}, {b}", hessian[a, b], expected, 0, sigma[a] * sigma[b])


def _moved(p, steps, moves):
    new = p.copy()
    for i, sign in moves:
        new[i] += sign * steps[i]
    return new


def _bend(moved, steps, i, j):
    """Return second differences of the counts by two parameters of shapes."""
    middle = moved(())
    if i == j:
        return (moved(((i, 1),)) - 2 * middle + moved(((i, -1),))) / steps[i] ** 2
    alone = sum(moved(((k, sign),)) for k in (i, j) for sign in (1, -1))
    both = moved(((i, 1), (j, 1))) + moved(((i, -1), (j, -1)))
    return (both - alone + 2 * middle) / (2 * steps[i] * steps[j])


def _smooth(like):
    """Return which free parameters are of Gaussians, and those of nothing else."""
    shapes = {}
    for model in like.datasets.models:
        spatial = getattr(model, "spatial_model", None)
        for parameter in spatial.parameters if spatial is not None else ():
            shapes.setdefault(id(parameter), []).append(type(spatial) is GaussianSpatialModel)
    return [k for k, q in enumerate(like.parameters) if all(shapes.get(id(q), [False]))]


def _check(zoo, seed):
    case = zoo.build_free(seed)
    like = compile_likelihood(case.datasets)
    report = like.report
    reasons = [fallback.reason for fallback in report.fallbacks]
    outcome = Outcome(seed, case.features, case.special, report.is_complete, reasons)
    if not report.is_complete:
        return outcome
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _move(case.rng, like)
        if case.varies:
            like = compile_likelihood(case.datasets)
        _compare_counts(zoo, case, like, outcome)
        _derivatives(zoo, like, outcome)
    return outcome


@pytest.fixture(scope="module")
def outcome_of(zoo):
    """Return a function from a seed to what the comparison has found; each is made once."""
    return functools.cache(functools.partial(_check, zoo))


@pytest.fixture(scope="module")
def outcomes(zoo, outcome_of):
    """Return what was found for all cases."""
    assert zoo.N_FREE_CASES == sum(map(len, _chunks())) >= 300
    return [outcome_of(seed) for seed in range(zoo.N_FREE_CASES)]


def _chunks():
    return [range(first, first + CHUNK) for first in range(0, 320, CHUNK)]


@pytest.mark.parametrize("seeds", _chunks(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_cases(seeds, outcome_of):
    failures = [line for seed in seeds for line in outcome_of(seed).failures]
    assert not failures, "\n".join(failures)


def test_coverage(outcomes):
    found = Counter(feature for outcome in outcomes for feature in outcome.features)
    thin = {name: found[name] for name, least in COVERAGE.items() if found[name] < least}
    assert not thin
