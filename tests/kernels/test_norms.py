"""Problems of one norm against their slow twin, Gammapy, closed forms, and at their edges."""

import numpy as np
import pytest
from gammapy.stats import CashCountsStatistic, WStatCountsStatistic
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

from ctao_sat.kernels import norms, reference_norms
from ctao_sat.kernels.statistics import CASH, WSTAT

SIGNS = (True, False)


def cash_bins(counts, background, signal, weight=1.0):
    """Return one problem of model background."""
    counts = np.asarray(counts, dtype=float)
    rows = np.zeros((len(counts), 3))
    rows[:, 0], rows[:, 1] = counts, weight
    kind = np.full(len(counts), CASH)
    parts = [
        np.broadcast_to(np.asarray(x, dtype=float), counts.shape) for x in (background, signal)
    ]
    return kind, rows, *map(np.ascontiguousarray, parts)


def on_off_bins(on, off, alpha, signal, background=0.0):
    """Return one problem of background measured in an off region."""
    on = np.asarray(on, dtype=float)
    rows = np.stack([np.broadcast_to(x, on.shape) for x in (on, off, alpha)], axis=-1).astype(float)
    kind = np.full(len(on), WSTAT)
    parts = [np.broadcast_to(np.asarray(x, dtype=float), on.shape) for x in (background, signal)]
    return kind, rows, *map(np.ascontiguousarray, parts)


class Solved:
    """All that the kernels say of some problems."""

    def __init__(self, *bins, start=1.0, least=-np.inf, most=np.inf):
        first = np.cumsum([0, *(len(one[0]) for one in bins)])
        parts = [np.concatenate(columns) for columns in zip(*bins, strict=True)]
        self.problems = norms.split(first, *parts)
        m = len(bins)
        self.limits = np.tile([least, most], (m, 1)).astype(float)
        self.norm, self.stat, self.curvature = np.empty((3, m))
        self.status = np.empty(m, dtype=np.int64)
        norms.best_norms(
            self.problems,
            self.limits,
            np.full(m, start),
            self.norm,
            self.stat,
            self.curvature,
            self.status,
        )

    def crossing(self, n_sigma, upwards):
        """Return where the statistic has grown by the square of a number."""
        out = np.empty(len(self.norm))
        state = self.norm, self.stat, self.curvature
        norms.crossings(self.problems, self.limits, *state, n_sigma**2, upwards, out)
        return out

    def at(self, *where):
        """Return the statistic at norms."""
        out = np.empty((len(self.norm), len(where)))
        norms.statistics_at(self.problems, np.tile(where, (len(self.norm), 1)).astype(float), out)
        return out

    def sensitivity(self, n_sigma):
        """Return the sensitivity."""
        out = np.empty(len(self.norm))
        norms.sensitivities(self.problems, n_sigma**2, self.limits, out)
        return out


def random_problem(rng, kind, size):
    """Return one problem with positive templates."""
    signal = rng.exponential(3, size)
    background = rng.exponential(2, size) if kind == CASH else np.zeros(size)
    if kind == CASH:
        return cash_bins(rng.poisson(background + signal), background, signal)
    alpha = rng.uniform(0.05, 1, size)
    off = rng.exponential(4, size) / alpha
    on = rng.poisson(signal + alpha * off)
    return on_off_bins(on, rng.poisson(off), alpha, signal)


@pytest.fixture(scope="module")
def many():
    """Return problems of both kinds and of a mixture, all with counts, and what is said of them."""
    rng = np.random.default_rng(1)
    bins = [random_problem(rng, kind, size) for kind in (CASH, WSTAT) for size in (2, 5, 30) * 3]
    bins += [tuple(map(np.concatenate, zip(bins[i], bins[-i - 1], strict=True))) for i in range(4)]
    return bins, Solved(*bins)


def test_twin(many):
    bins, solved = many
    assert set(solved.status) == {norms.OK}
    up, down, sensitivity = (
        solved.crossing(2, True),
        solved.crossing(1, False),
        solved.sensitivity(5),
    )
    scan = solved.at(-0.01, 0, 0.2, 5)
    for i, one in enumerate(bins):
        norm = reference_norms.best_norm(*one, -0.9 * error(solved)[i] + solved.norm[i], 50)
        assert norm == pytest.approx(solved.norm[i], abs=1e-6)
        total = reference_norms.statistic(*one, solved.norm[i])
        assert total == pytest.approx(solved.stat[i] + solved.problems.constant[i], abs=1e-9)
        expected = [reference_norms.statistic(*one, x) for x in (-0.01, 0, 0.2, 5)]
        np.testing.assert_allclose(scan[i], expected, rtol=1e-10, atol=1e-9)
        upper = reference_norms.crossing(*one, solved.norm[i], 4, 1000)
        assert up[i] == pytest.approx(upper, rel=1e-8)
        if np.isfinite(down[i]):
            grown = reference_norms.statistic(*one, down[i]) - total
            assert grown == pytest.approx(1, abs=1e-7)
        found = reference_norms.sensitivity(*one, 25, 1000)
        assert sensitivity[i] == pytest.approx(found, rel=1e-8)


def error(solved):
    """Return errors from the second derivative."""
    return np.sqrt(2 / solved.curvature)


def test_curvature_is_the_second_derivative(many):
    bins, solved = many
    for i, one in enumerate(bins):
        step = 1e-3 * error(solved)[i]
        below, here, above = (
            reference_norms.statistic(*one, solved.norm[i] + k * step) for k in (-1, 0, 1)
        )
        # Rounding of the statistic over the square of the step.
        expected = (above + below - 2 * here) / step**2
        assert solved.curvature[i] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("n_on", "background", "norm"), [(10, 4.0, 0.6), (1, 5.0, -0.4)])
def test_gammapy_with_known_background(n_on, background, norm):
    theirs = CashCountsStatistic(n_on, background)
    ours = Solved(cash_bins([n_on], background, 10.0))
    assert ours.norm[0] == pytest.approx(norm)
    assert ours.at(0)[0, 0] - ours.at(norm)[0, 0] == pytest.approx(float(theirs.ts))
    assert 10 * (ours.crossing(1, True) - norm)[0] == pytest.approx(theirs.compute_errp(), rel=1e-6)
    # Gammapy looks for limits within 25 sigma, and stops when its interval is small.
    assert 10 * ours.crossing(2, True)[0] == pytest.approx(theirs.compute_upper_limit(2), rel=1e-5)


@pytest.mark.parametrize(("n_on", "n_off", "alpha"), [(20, 30, 0.25), (3, 40, 0.2), (5, 0, 0.5)])
def test_gammapy_with_off_counts(n_on, n_off, alpha):
    theirs = WStatCountsStatistic(n_on, n_off, alpha)
    ours = Solved(on_off_bins([n_on], n_off, alpha, 2.0))
    assert 2 * ours.norm[0] == pytest.approx(n_on - alpha * n_off)
    assert ours.at(0)[0, 0] == pytest.approx(float(theirs.stat_null))
    assert 2 * ours.crossing(1, True)[0] == pytest.approx(
        float(theirs.n_sig) + theirs.compute_errp(), rel=1e-6
    )


@pytest.mark.parametrize("n", [1, 3, 10, 1000])
@pytest.mark.parametrize("n_sigma", [1, 2, 5])
def test_closed_form_without_background(n, n_sigma):
    """Without background stat - min = 2 n (u - 1 - ln u), u = norm s / n: Lambert's W solves it."""
    ours = Solved(cash_bins([n, 0], 0.0, [1.5, 0.5]))
    assert ours.norm[0] == pytest.approx(n / 2, rel=1e-12)
    assert error(ours)[0] == pytest.approx(np.sqrt(n) / 2, rel=1e-9)
    argument = -np.exp(-1 - n_sigma**2 / (2 * n))
    for upwards, branch in ((True, -1), (False, 0)):
        expected = -lambertw(argument, branch).real * n / 2
        assert ours.crossing(n_sigma, upwards)[0] == pytest.approx(expected, rel=1e-9)


def test_feldman_cousins_of_no_counts():
    """Without counts and background the likelihood ratio rises by 2 mu: to 4 at 2 counts."""
    ours = Solved(cash_bins([0, 0], 0.0, [3.0, 1.0]))
    assert ours.status[0] == norms.FLAT
    assert ours.norm[0] == pytest.approx(0, abs=1e-10)
    assert ours.crossing(2, True)[0] == pytest.approx(2 / 4, rel=1e-9)
    assert np.isnan(ours.crossing(1, False)[0])


def test_li_and_ma():
    """The significance of excess counts, Li and Ma (1983), equation 17."""
    n_on, n_off, alpha = 40.0, 100.0, 0.2
    ours = Solved(on_off_bins([n_on], n_off, alpha, 10.0))
    total = n_on + n_off
    first = n_on * np.log((1 + alpha) / alpha * n_on / total)
    second = n_off * np.log((1 + alpha) * n_off / total)
    ts = ours.at(0)[0, 0] - ours.at(ours.norm[0])[0, 0]
    assert ts == pytest.approx(2 * (first + second), rel=1e-12)


def test_sensitivity_of_known_background():
    """Cowan et al. (2011), equation 97: 2 ((s + b) ln(1 + s / b) - s) = n_sigma^2."""
    background, n_sigma = 7.0, 5.0
    s = 4.0 * Solved(cash_bins([3], background, 4.0)).sensitivity(n_sigma)[0]
    ts = 2 * ((s + background) * np.log(1 + s / background) - s)
    assert ts == pytest.approx(n_sigma**2, rel=1e-9)


def test_zero_counts_over_background_run_to_where_nothing_is_predicted():
    ours = Solved(cash_bins([0, 0], [2.0, 6.0], [1.0, 2.0]))
    assert ours.status[0] == norms.FLAT
    assert ours.norm[0] == pytest.approx(-3, rel=1e-9)
    assert ours.stat[0] == pytest.approx(0, abs=1e-8)
    # Between -3 and -2 only the second bin predicts any: 2 (6 + 2 norm) = 4.
    assert ours.crossing(2, True)[0] == pytest.approx(-2, rel=1e-9)


def test_on_off_without_any_counts():
    ours = Solved(on_off_bins([0], 0, 0.5, 2.0))
    assert ours.norm[0] == pytest.approx(0, abs=1e-10)
    assert ours.crossing(2, True)[0] == pytest.approx(1, rel=1e-9)


def test_no_bins_no_signal_no_numbers():
    empty = cash_bins([], 0.0, 0.0)
    dark = cash_bins([4], 2.0, 0.0)
    broken = cash_bins([4, 5], [1.0, 2.0], [np.nan, np.inf])
    weightless = cash_bins([4], 2.0, 1.0, weight=[0.0])
    ours = Solved(empty, dark, broken, weightless)
    assert set(ours.status) == {norms.NO_SIGNAL}
    assert np.isnan(ours.norm).all()
    for values in (ours.crossing(1, True), ours.sensitivity(5)):
        assert np.isnan(values).all()
    assert ours.at(1)[1, 0] == pytest.approx(2 * (2 - 4 * np.log(2)))


def test_of_equally_good_norms_the_one_nearest_to_zero():
    ours = Solved(cash_bins([0], 5.0, -1e-3), cash_bins([0], 5.0, 1e-3))
    assert set(ours.status) == {norms.FLAT}
    np.testing.assert_allclose(ours.norm, [5000, -5000], rtol=1e-9)


def test_domain_that_is_empty():
    ours = Solved(cash_bins([5, 5], [-2.0, 1.0], [1.0, -1.0]))
    assert ours.status[0] == norms.EMPTY_DOMAIN


def test_limits_of_the_norm():
    bins = cash_bins([1], 5.0, 10.0)
    ours = Solved(bins, least=0.0)
    assert (ours.norm[0], ours.status[0]) == (0, norms.AT_LIMIT)
    assert np.isnan(ours.crossing(1, False)[0])
    grown = ours.at(ours.crossing(2, True)[0])[0, 0] - ours.at(0)[0, 0]
    assert grown == pytest.approx(4)
    assert np.isnan(Solved(bins, least=0.0, most=0.1).crossing(2, True)[0])


def test_weights_scale_the_statistic():
    plain = Solved(cash_bins([5, 2, 0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))
    double = Solved(cash_bins([5, 2, 0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], weight=2.0))
    assert double.norm[0] == pytest.approx(plain.norm[0])
    assert double.stat[0] == pytest.approx(2 * plain.stat[0])
    assert double.curvature[0] == pytest.approx(2 * plain.curvature[0])


def test_predictions():
    kind, rows, background, signal = random_problem(np.random.default_rng(3), WSTAT, 4)
    out = np.empty(4)
    norms.predictions(kind, rows, background + 2 * signal, out)
    for i, (on, off, alpha) in enumerate(rows):
        mu_background = WStatCountsStatistic(on, off, alpha, 2 * signal[i]).n_bkg
        assert out[i] >= 2 * signal[i]
        assert np.isfinite(mu_background)
    norms.predictions(np.full(3, CASH), rows[:3], np.array([-1.0, 2.0, np.nan]), out[:3])
    np.testing.assert_array_equal(out[:3], [0, 2, 0])


numbers = st.integers(0, 30)


@settings(deadline=None, max_examples=200)
@given(
    counts=st.lists(numbers, min_size=1, max_size=6),
    background=st.lists(st.sampled_from([0.0, 1e-9, 0.3, 5.0, 1e4]), min_size=6, max_size=6),
    signal=st.lists(st.sampled_from([0.0, -1e-6, 1e-12, 1e-3, 1.0, 1e5]), min_size=6, max_size=6),
    off=st.lists(numbers, min_size=6, max_size=6),
    start=st.sampled_from([-10.0, 0.0, 1.0, 1e6]),
    kind=st.sampled_from([CASH, WSTAT]),
)
def test_nothing_is_lower_than_the_minimum(counts, background, signal, off, start, kind):
    n = len(counts)
    if kind == CASH:
        # What a negative signal predicts without a background is a norm far below zero, where bins
        # without counts are clipped: no source is like that, and the search may end before it.
        assume(
            not any(
                c and not b and s < 0
                for c, b, s in zip(counts, background[:n], signal[:n], strict=True)
            )
        )
        bins = cash_bins(counts, background[:n], signal[:n])
    else:
        bins = on_off_bins(counts, off[:n], 0.3, signal[:n])
    ours = Solved(bins, start=start)
    # Neither without any signal, nor where only bins without background are negative.
    if ours.status[0] in {norms.NO_SIGNAL, norms.EMPTY_DOMAIN}:
        assert np.isnan(ours.norm[0])
        assert not (np.all(bins[3] > 0) and len(bins[3]) > 0)
        return
    assert ours.status[0] in {norms.OK, norms.FLAT}
    best = ours.stat[0] + ours.problems.constant[0]
    width = error(ours)[0] if ours.curvature[0] > 0 else 1.0
    for side in (-3, -1, -0.1, 0.1, 1, 3):
        norm = ours.norm[0] + side * width
        around = reference_norms.statistic(*bins, norm)
        assert around >= best - 1e-9 * (1 + abs(best))
    upper = ours.crossing(2, True)[0]
    if np.isfinite(upper):
        assert ours.at(upper)[0, 0] - best == pytest.approx(4, abs=1e-6 * (1 + abs(best)))


def test_order_of_bins_and_of_problems_does_not_matter(many):
    bins, solved = many
    order = np.random.default_rng(5).permutation(len(bins))
    shuffled = [tuple(part[::-1].copy() for part in bins[i]) for i in order]
    again = Solved(*shuffled)
    np.testing.assert_allclose(again.norm, solved.norm[order], rtol=1e-9)
    np.testing.assert_allclose(again.crossing(2, True), solved.crossing(2, True)[order], rtol=1e-9)
