"""The compiled likelihood is Gammapy's, in more than five hundred generated cases.

Values are compared with ``Datasets.stat_sum`` to 1e-9 relative; gradients with differences of
values, second derivatives with differences of gradients, both with differences of Gammapy's
statistic along a random direction: each within 1e-5 in units of one standard deviation, within
which the statistic changes by one. To repeat a case: ``zoo.build(seed)``.
"""

import functools
import warnings
from collections import Counter
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling import Parameters
from gammapy.modeling.models import EBLAbsorptionNormSpectralModel

from ctao_sat.dl5 import fit
from ctao_sat.likelihood import compile_likelihood

CHUNK = 24
VALUE = 1e-9
DERIVATIVE = 1e-5
# Where Gammapy predicts the counts, the library can take differences only, too.
NUMERIC = 1e-2

# By how much the factors of the compared points differ from the start, about.
DISTANCES = (0, 0.05, 0.05, 0.5)

# How many cases at least hold each of these; the names are those of the generator.
COVERAGE = {
    "1 datasets": 100, "2 datasets": 50, "3 datasets": 25, "4 datasets": 12,
    "1 sources": 100, "2 sources": 50, "3 sources": 25, "4 sources": 12,
    "map cash": 50, "map weighted cash": 50, "map on-off": 50, "region map": 30,
    "spectrum cash": 50, "spectrum on-off": 50,
    "points chi2": 50, "points distrib": 50, "points profile": 50, "points masked": 50,
    "projection TAN": 30, "projection CAR": 20, "projection AIT": 10, "projection SIN": 10,
    "projection ZEA": 10, "projection CEA": 10, "oblong pixels": 10,
    "frame icrs": 30, "frame galactic": 30,
    "region circle": 50, "region box": 10, "region annulus": 10, "region ellipse": 10,
    "region none": 10,
    "psf constant": 30, "psf varying": 30, "no psf": 50,
    "edisp kernel": 50, "edisp diagonal": 30, "edisp migration": 30, "edisp varying": 30,
    "no edisp": 20,
    "no mask": 30, "mask_safe": 50, "mask_fit": 30, "mask_safe and mask_fit": 30,
    "mask_fit, weights": 10, "mask_safe and mask_fit, weights": 10,
    "background": 50, "zero background": 15, "no background": 15, "holes": 15,
    "field of view norm": 10, "field of view tilt": 20, "field of view piecewise log": 10,
    "field of view piecewise lin": 10, "field of view log parabola norm": 10,
    "field of view cut-off norm": 10, "pattern": 8, "template counts": 20,
    "without exposure": 8, "without psf": 8, "without edisp": 8,
    "datasets_names": 30, "link": 30, "frozen subset": 50,
    "prior Gaussian": 15, "prior generalised Gaussian": 15, "prior uniform": 15,
    "prior log uniform": 10,
    "penalty correlated": 10, "penalty smooth": 10, "penalty L2": 10,
    "limits": 50, "at a limit": 15, "transform log": 20, "transform sqrt": 20, "autoscaled": 50,
    "free in time": 8,
    "free position": 5, "free extension": 5, "free pattern": 5,
    "reconstructed psf": 5, "custom spectrum": 5,
}  # fmt: skip
# For each of the kinds that the generator chooses from.
KINDS = {"spectrum ": 15, "shape ": 10, "temporal ": 5}
N_KINDS = {"spectrum ": 28, "shape ": 13, "temporal ": 8}


# Cases to fit: of all kinds of datasets, and with data that constrain the parameters.
FITTED = (0, 9, 18, 27, 36, 45, 63, 72, 99, 126, 144, 198, 225, 252, 297, 315, 351, 369, 432)


@dataclass
class Outcome:
    """What the comparison of one case has found."""

    seed: int
    features: set
    special: str | None
    complete: bool = True
    reasons: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    n_compared: int = 0
    n_rough: int = 0
    stale: bool = False

    def fail(self, what):
        self.failures.append(f"zoo.build({self.seed}) [{self.special or 'compiled'}]: {what}")

    @property
    def tolerance(self):
        """The tolerance of derivatives times standard deviations."""
        return DERIVATIVE if self.complete else NUMERIC

    def enough(self, derivative, unit):
        """Return the error with which differences are sharp enough for this derivative."""
        return 0.3 * self.tolerance * np.maximum(np.abs(derivative), unit)

    def derivatives(self, what, ours, numeric, error, scale):
        """Compare derivatives times standard deviations; differences may be inexact, too."""
        ours, numeric = np.atleast_1d(ours * scale), np.atleast_1d(numeric * scale)
        tolerance = self.tolerance * np.maximum(np.abs(ours), 1)
        error = np.atleast_1d(error * scale)
        self.n_compared += ours.size
        self.n_rough += int(np.sum(error > tolerance))
        wrong = ~(np.abs(ours - numeric) <= tolerance + 3 * error)
        for index in np.argwhere(wrong):
            at = tuple(int(i) for i in index)
            self.fail(f"{what}{list(at)}: {ours[at]:.9g}, differences {numeric[at]:.9g}")


def _quick(datasets):
    """Return a function that is ``datasets.stat_sum`` without looking for models three times."""
    models = datasets.models
    penalties = models._penalties or []

    def function():
        with np.errstate(all="ignore"):
            terms = [part.stat_sum() for part in [*datasets, *penalties]]
            return sum(terms) + models.parameters.prior_stat_sum()

    return function


def _points(zoo, case, like):
    """Return the start, two points nearby and one far off, with Gammapy's values there."""
    start = [parameter.value for parameter in like.parameters]
    points, values = [], []
    for distance in DISTANCES:
        for parameter, value in zip(like.parameters, start, strict=True):
            parameter.value = value
        if distance:
            zoo.perturb(case.rng, Parameters(like.parameters), distance)
        points.append(zoo.factors(like))
        values.append(zoo.gammapy(case.datasets))
    return np.array(points), np.array(values)


def _agree(ours, theirs, noise=0.0):
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        return same | (np.abs(ours - theirs) <= VALUE * np.maximum(np.abs(theirs), 1) + noise)


def _compare_values(zoo, case, like, outcome):
    points, theirs = _points(zoo, case, like)
    ours = np.array([like.value(x) for x in points])
    # The images of free shapes are ours; Gammapy makes them in single precision.
    noise = 5 * like.noise() if like.sources else 0.0
    for number in np.flatnonzero(~_agree(ours, theirs, noise)):
        # Gammapy's evaluators scale what they have kept if only a norm has changed, even where
        # another part of the spectrum does not scale with it: only a new evaluator is right.
        for parameter, factor in zip(like.parameters, points[number], strict=True):
            parameter.factor = factor
        zoo.rebuild(case.datasets)
        theirs[number] = zoo.gammapy(case.datasets)
        outcome.stale = True
    for number in np.flatnonzero(~_agree(ours, theirs, noise)):
        outcome.fail(f"value {number}: {ours[number]!r}, Gammapy {theirs[number]!r}")
    live = like.value(zoo.factors(like))
    if like.stat_sum() != pytest.approx(live, rel=1e-12, abs=1e-9):
        outcome.fail(f"stat_sum {like.stat_sum()!r}, value {live!r}")
    if not np.all(_agree(like.batch(points), ours)):
        outcome.fail(f"batch {like.batch(points) - ours} off")
    far = like.value_and_grad(points[-1])
    if np.isfinite(theirs[-1]) and not np.all(np.isfinite(far[1])):
        outcome.fail(f"gradient far off {far[1]}")
    return points[1]


def _scales(like, x, hessian):
    """Return a standard deviation, or the size of the factor where there is none, and steps."""
    makers = {
        "lin": lambda factor, _: abs(factor) or 1,
        "sqrt": lambda factor, _: 0.5 * abs(factor),
        "log": lambda _, scale: 1 / scale,
    }
    # A factor changes the value of its parameter as a whole if it changes by this.
    size = np.array(
        [makers[p.scale_transform](y, p.scale) for p, y in zip(like.parameters, x, strict=True)]
    )
    if hessian is None:
        return size, 0.05 * size
    with np.errstate(all="ignore"):
        sigma = np.sqrt(2 / np.diag(hessian))
    sigma = np.where(np.isfinite(sigma), sigma, size)
    # Where a break is beside a node of the integral, slopes change: steps must not reach there.
    most = np.where([p.name == "ebreak" for p in like.parameters], 1e-3, 0.05)
    return sigma, np.minimum(0.3 * sigma, most * size)


def _columns(case, like):
    """Return the parameters to test: all, but few where each evaluation takes milliseconds.

    In its shape, a source on pixels is not smooth.
    """
    shape = {id(parameter) for parameter in case.shape}
    columns = [i for i, p in enumerate(like.parameters) if id(p) not in shape]
    if like.report.fallbacks or like.report.spectra:
        return columns[:1]
    return columns


def _compare_derivatives(zoo, case, like, x, outcome):
    """Compare gradient and second derivatives; return both, and steps for differences."""
    value, gradient = like.value_and_grad(x)
    if not np.all(_agree(np.array([value]), np.array([like.value(x)]))):
        outcome.fail(f"value of value_and_grad {value!r}, value {like.value(x)!r}")
    if not np.all(np.isfinite(gradient)):
        outcome.fail(f"gradient {gradient}")
    # Without kernels second derivatives take seconds: a sixth of these cases has to do.
    hessian = None
    if outcome.complete or (case.seed % 96 == 5 and case.special != "free pattern"):
        hessian = like.hessian(x, kind="observed")
        if not np.array_equal(hessian, hessian.T):
            outcome.fail("asymmetric second derivatives")
    sigma, steps = _scales(like, x, hessian)
    columns = _columns(case, like)
    for index in columns:
        enough = outcome.enough(gradient[index], 1 / sigma[index])
        numeric, error = zoo.derivative(like.value, x, index, steps[index], enough, gradient[index])
        outcome.derivatives(f"gradient {index}", gradient[index], numeric, error, sigma[index])
        if hessian is not None:
            scale = (sigma * sigma[index])[columns]
            row = hessian[index, columns]
            slope = functools.partial(_slope, like, columns)
            enough = outcome.enough(row, 1 / scale)
            numeric, error = zoo.derivative(slope, x, index, steps[index], enough, row)
            outcome.derivatives(f"hessian {index}", row, numeric, error, scale)
    return gradient, hessian, steps


def _slope(like, columns, x):
    return like.value_and_grad(x)[1][columns]


def _compare_with_gammapys(zoo, case, like, x, found, outcome):
    """Compare along a random direction with differences of Gammapy's statistic."""
    gradient, hessian, steps = found
    quick = _quick(case.datasets)
    assert quick() == pytest.approx(zoo.gammapy(case.datasets), rel=1e-12)
    direction = case.rng.normal(size=len(x))
    direction *= np.min(steps / np.abs(direction))

    def function(t):
        for parameter, factor in zip(like.parameters, x + t * direction, strict=True):
            parameter.factor = factor
        return quick()

    slope, curvature = gradient @ direction, direction @ hessian @ direction
    scale = min(1 / np.sqrt(max(curvature / 2, 1e-12)), 1e3)
    # Rounding of the statistic limits its second difference.
    rounding = 1e-13 * abs(function(0.0))
    enough = DERIVATIVE / scale, DERIVATIVE / scale**2 + rounding
    (first, error_1), (second, error_2) = zoo.directional(function, enough)
    outcome.derivatives("slope", slope, first, error_1, scale)
    outcome.derivatives("curvature", curvature, second, error_2 + rounding, scale**2)


def _check(zoo, seed):
    case = zoo.build(seed)
    like = compile_likelihood(case.datasets)
    report = like.report
    outcome = Outcome(seed, case.features, case.special, report.is_complete)
    outcome.reasons = [str(fallback) for fallback in report.fallbacks]
    expected = list(case.datasets.parameters.free_unique_parameters)
    if [id(p) for p in like.parameters] != [id(p) for p in expected]:
        outcome.fail("other parameters, or in another order, than Gammapy's")
        return outcome
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = _compare_values(zoo, case, like, outcome)
        found = _compare_derivatives(zoo, case, like, x, outcome)
        if seed % 8 == 1 and not outcome.stale and not case.special:
            _compare_with_gammapys(zoo, case, like, x, found, outcome)
    return outcome


@pytest.fixture(scope="module")
def outcome_of(zoo):
    """Return a function from a seed to what the comparison has found; each is made once."""
    return functools.cache(functools.partial(_check, zoo))


def _chunks():
    # As many as the generator has; a test checks that.
    return [range(first, first + CHUNK) for first in range(0, 528, CHUNK)]


@pytest.fixture(scope="module")
def outcomes(zoo, outcome_of):
    """Return what was found for all cases."""
    assert zoo.N_CASES == sum(map(len, _chunks())) >= 500
    return [outcome_of(seed) for seed in range(zoo.N_CASES)]


@pytest.mark.parametrize("seeds", _chunks(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_cases(seeds, outcome_of):
    failures = [line for seed in seeds for line in outcome_of(seed).failures]
    assert not failures, "\n".join(failures)


def test_coverage(outcomes):
    found = Counter(feature for outcome in outcomes for feature in outcome.features)
    thin = {name: found[name] for name, least in COVERAGE.items() if found[name] < least}
    assert not thin
    for prefix, least in KINDS.items():
        kinds = {name: count for name, count in found.items() if name.startswith(prefix)}
        kinds.pop("spectrum cash", None), kinds.pop("spectrum on-off", None)
        assert len(kinds) == N_KINDS[prefix]
        assert min(kinds.values()) >= least, kinds


def test_compiled_fraction(outcomes, capsys, record_testsuite_property):
    complete = sum(outcome.complete for outcome in outcomes)
    fraction = complete / len(outcomes)
    reasons = Counter(line.split(": ", 1)[1] for o in outcomes for line in set(o.reasons))
    record_testsuite_property("likelihood_zoo_cases", len(outcomes))
    record_testsuite_property("likelihood_zoo_compiled_fraction", round(fraction, 4))
    with capsys.disabled():
        print(f"\nzoo: {complete} of {len(outcomes)} cases compiled ({fraction:.1%})")
        for reason, count in reasons.most_common():
            print(f"  left to Gammapy in {count}: {reason}")
    assert fraction >= 0.9
    # None of the fallbacks is a surprise, and what must fall back does.
    left = {"free pattern"}
    assert all(not o.complete for o in outcomes if o.special in left)
    assert sum(o.special is not None for o in outcomes) <= 0.1 * len(outcomes)


def test_differences_are_sharp(outcomes):
    """Where differences are too rough to tell, nothing is tested: that has to be rare."""
    rough = sum(outcome.n_rough for outcome in outcomes)
    compared = sum(outcome.n_compared for outcome in outcomes)
    assert compared > 10_000
    assert rough < 0.02 * compared


def test_gammapys_caches_are_rarely_stale(outcomes):
    assert sum(outcome.stale for outcome in outcomes) < 0.05 * len(outcomes)


def test_same_seed_same_case(zoo):
    one, two = zoo.build(77), zoo.build(77)
    assert one.features == two.features
    assert zoo.gammapy(one.datasets) == zoo.gammapy(two.datasets)
    assert zoo.gammapy(one.datasets) != zoo.gammapy(zoo.build(78).datasets)


@pytest.mark.parametrize("seed", FITTED)
def test_fits(zoo, seed):
    """The guard finds nothing, and no other minimiser finds less where the fit has ended."""
    case = zoo.build(seed)
    case.datasets.parameters.autoscale()
    before = zoo.gammapy(case.datasets)
    result = fit(case.datasets, compiled=True, guard=True)
    # Chance makes cases whose parameters the data do not determine: those have no covariance.
    assert result.optimize_result.success
    assert not result.report.refused
    assert len(result.report.guard) == 3
    assert result.total_stat <= before
    zoo.rebuild(case.datasets)
    assert result.total_stat == pytest.approx(zoo.gammapy(case.datasets), rel=1e-9, abs=1e-6)
    like = compile_likelihood(case.datasets)
    x = zoo.factors(like)
    low, high = (_limits(like, side) for side in ("factor_min", "factor_max"))
    for _ in range(20):
        nearby = x * (1 + 0.01 * case.rng.normal(size=len(x)))
        assert like.value(np.clip(nearby, low, high)) > result.total_stat - 0.05


def _limits(like, side):
    limits = [getattr(parameter, side) for parameter in like.parameters]
    return np.nan_to_num(limits, nan=-np.inf if side == "factor_min" else np.inf)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["dominguez", "franceschini17", "finke"])
@pytest.mark.parametrize("free", [False, True])
def test_published_background_light(zoo, name, free):
    """The zoo has a made-up table; these are the real ones."""
    case = zoo.build(0)
    absorption = EBLAbsorptionNormSpectralModel.read_builtin(name, redshift=0.3)
    absorption.alpha_norm.frozen = not free
    source = case.datasets.models[0]
    source.spectral_model = source.spectral_model * absorption
    zoo.rebuild(case.datasets)
    like = compile_likelihood(case.datasets)
    assert like.report.is_complete
    outcome = Outcome(0, set(), None)
    x = _compare_values(zoo, case, like, outcome)
    _compare_derivatives(zoo, case, like, x, outcome)
    assert not outcome.failures
    energy = [0.5, 5] * u.TeV
    assert np.all(np.diff(absorption(energy)) < 0)
