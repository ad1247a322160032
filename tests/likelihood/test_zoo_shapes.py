"""Free shapes of the compiled likelihood are Gammapy's, in more than three hundred cases.

Predicted counts are compared bin by bin with those of Gammapy's evaluators made anew, after the
parameters have moved: within 1e-6 of the largest count that sources predict, or of one count if
that is less. Gammapy convolves in single precision: an FFT rounds by 6e-8 of the largest number
times a few; the median of the worst bins is 1e-7.

Derivatives are compared with the statistic itself, which is tested above them: those of smooth
Gaussians with differences of the statistic; those of points and of shapes with edges, which have
kinks or steps, are by design those of the mean over a step of the likelihood, and are compared with
the change of the predicted counts across it, except where Gammapy divides pixels in another way on
the other side. All times one standard deviation, within which the
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
    n_left_out: int = 0
    is_let_go: bool = False
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
    known = np.isfinite(theirs)
    outcome.is_let_go = not known.all()
    outcome.worst = float(off[known].max(initial=0.0))
    if not outcome.worst <= COUNTS:
        bin_ = int(np.nanargmax(off))
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
    shapes = _Shapes(zoo.Counts(like), x)
    outcome.n_left_out = len(shapes.left_out)
    with np.errstate(all="ignore"):
        sigma = np.sqrt(2 / np.diag(hessian))
    sigma = np.where(np.isfinite(sigma), sigma, np.abs(x) + 1)
    for k in range(len(x)):
        if k in shapes.columns:
            expected = shapes.gradient(k)
            outcome.compare(f"gradient {k}", gradient[k], expected, 0, sigma[k])
        if k in shapes.columns or k in shapes.left_out:
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
    for a, b in itertools.combinations_with_replacement(shapes.columns, 2):
        expected = shapes.curvature(a, b)
        outcome.compare(f"hessian {a}, {b}", hessian[a, b], expected, 0, sigma[a] * sigma[b])


class _Shapes:
    """Derivatives by parameters of shapes, from changes of the predicted counts across a step."""

    def __init__(self, counts, x):
        self.counts, self.p = counts, counts.map.values(x)
        self.slopes, self.bends = counts.map.slopes(x, self.p)
        self.first, self.second = counts.slopes(self.p)
        self.steps = counts.shape_steps(self.p)
        self.bins = counts.bins(self.p)
        columns = {k: int(i) for k, i in enumerate(counts.map.free_index)}
        sizes = {k: [steps[i] for steps in self.steps if i in steps] for k, i in columns.items()}
        #: Parameters of shapes without a step to compare with, and those with one.
        self.left_out = {k for k, size in sizes.items() if np.isnan(size).any()}
        self.columns = {k: columns[k] for k in sizes if sizes[k] and k not in self.left_out}
        self._at = functools.cache(lambda key: counts.at(np.frombuffer(key)))

    def gradient(self, k):
        """Return the derivative by factor k."""
        return self.first @ self._change(self.columns[k]) * self.slopes[k]

    def curvature(self, a, b):
        """Return the second derivative by factors a and b."""
        i, j = self.columns[a], self.columns[b]
        total = self.second @ (self._change(i) * self._change(j)) + self.first @ self._bend(i, j)
        total *= self.slopes[a] * self.slopes[b]
        return total + (self.first @ self._change(i) * self.bends[a] if i == j else 0)

    def _moved(self, steps, *moves):
        p = self.p.copy()
        for i, sign in moves:
            p[i] += sign * steps.get(i, 0)
        return self._at(p.tobytes())

    def _change(self, i):
        """Return first differences of the counts, in each dataset by its own step."""
        out = np.zeros(len(self.first))
        for steps, bins in zip(self.steps, self.bins, strict=True):
            if i in steps:
                up, down = (self._moved(steps, (i, sign))[bins] for sign in (1, -1))
                out[bins] = (up - down) / (2 * steps[i])
        return out

    def _bend(self, i, j):
        """Return second differences of the counts."""
        out, middle = np.zeros(len(self.first)), self._at(self.p.tobytes())
        for steps, bins in zip(self.steps, self.bins, strict=True):
            if not (i in steps and j in steps):
                continue
            moved = functools.partial(self._moved, steps)
            if i == j:
                bend = moved((i, 1)) - 2 * middle + moved((i, -1))
                out[bins] = bend[bins] / steps[i] ** 2
                continue
            both = moved((i, 1), (j, 1)) + moved((i, -1), (j, -1))
            alone = moved((i, 1)) + moved((i, -1)) + moved((j, 1)) + moved((j, -1))
            out[bins] = (both - alone + 2 * middle)[bins] / (2 * steps[i] * steps[j])
        return out


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


def test_compiled_fraction(outcomes, capsys, record_testsuite_property):
    complete = sum(outcome.complete for outcome in outcomes)
    fraction = complete / len(outcomes)
    reasons = Counter(reason for outcome in outcomes for reason in set(outcome.reasons))
    record_testsuite_property("likelihood_shapes_cases", len(outcomes))
    record_testsuite_property("likelihood_shapes_compiled_fraction", round(fraction, 4))
    with capsys.disabled():
        print(f"\nfree shapes: {complete} of {len(outcomes)} cases compiled ({fraction:.1%})")
        for reason, count in reasons.most_common():
            print(f"  left to Gammapy in {count}: {reason}")
    assert fraction >= 0.85
    # None of the fallbacks is a surprise, and what must fall back does.
    assert {o.seed for o in outcomes if not o.complete} == {o.seed for o in outcomes if o.special}


def test_what_is_compared(outcomes):
    """Single precision is all there is between the counts; few derivatives cannot be compared."""
    worst = [outcome.worst for outcome in outcomes if outcome.complete]
    assert np.median(worst) < 3e-7
    assert sum(outcome.n_compared for outcome in outcomes) > 10_000
    assert sum(outcome.n_left_out for outcome in outcomes) < 0.5 * len(outcomes)
    assert sum(outcome.is_let_go for outcome in outcomes) < 0.1 * len(outcomes)


def test_same_seed_same_case(zoo):
    one, two = zoo.build_free(77), zoo.build_free(77)
    assert one.features == two.features
    assert zoo.gammapy(one.datasets) == zoo.gammapy(two.datasets)
    assert zoo.gammapy(one.datasets) != zoo.gammapy(zoo.build_free(78).datasets)
