"""Statistics of one bin: against Gammapy, exact arithmetic, and numbers from elsewhere."""

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from gammapy.stats import get_wstat_mu_bkg
from gammapy.stats import wstat as gammapy_wstat
from gammapy.utils.compilation import get_fit_statistics_compiled
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.interpolate import interp1d
from scipy.stats import poisson

from ctao_sat.kernels import reference, statistics
from ctao_sat.kernels.statistics import CASH, CHI2, DISTRIB, PROFILE, WSTAT

LARGEST = np.finfo(float).max
NO_TABLE = np.zeros(0)

COUNTS = [0.0, 1.0, 2.0, 7.0, 153.0, 1e5]
ALPHAS = [1e-9, 1e-3, 0.1, 1.0, 4.0, 1e6]
SIGNALS = [-1e5, -30.0, -1.0, -1e-9, 0.0, 1e-12, 0.3, 1.0, 8.0, 1e3, 1e7]
ODD = [math.nan, math.inf, -math.inf, LARGEST, -LARGEST, 1e200, -1e200]

repeatable = settings(max_examples=150, deadline=None, derandomize=True, database=None)
counts = st.one_of(st.just(0.0), st.integers(0, 2000).map(float), st.floats(1e-3, 1e7))
positive = st.floats(-8, 8).map(lambda power: 10.0**power)


def each(function, *columns):
    """Return a function of numbers for each row of columns."""
    return np.array([function(*map(float, row)) for row in zip(*columns, strict=True)])


def grid(*values):
    """Return the columns of all combinations."""
    return np.array(list(itertools.product(*values)), dtype=float).T


# -- Cash -----------------------------------------------------------------------------------------


def gammapy_cash(n, mu, w=None):
    compiled = get_fit_statistics_compiled()
    if w is None:
        return compiled["cash_sum_compiled"](n, mu)
    return compiled["weighted_cash_sum_compiled"](n, mu, w)


@pytest.mark.parametrize("mu", [*SIGNALS, *ODD, 1e-25, 1.0000001e-25, 0.99e-25])
@pytest.mark.parametrize("n", [*COUNTS, 0.5])
def test_cash_is_that_of_gammapy(n, mu):
    expected = gammapy_cash(np.array([n]), np.array([mu]))
    np.testing.assert_allclose(statistics.cash_value(n, 1.0, mu), expected, rtol=1e-15)


def test_cash_of_many_bins_is_that_of_gammapy(rng):
    mu = rng.choice([1.0, 1.0, 1.0, -1.0, 0.0], 5000) * 10 ** rng.uniform(-30, 3, 5000)
    n = rng.poisson(np.clip(mu, 0.3, None)).astype(float)
    w = rng.choice([0.0, 0.3, 1.0, -1.0], 5000)
    ours = each(statistics.cash_value, n, np.ones(5000), mu).sum()
    assert ours == pytest.approx(gammapy_cash(n, mu), rel=1e-12)
    ours = each(statistics.cash_value, n, w, mu)
    assert ours.sum() == pytest.approx(gammapy_cash(n, mu, w), rel=1e-12)
    np.testing.assert_allclose(ours, reference.cash(n, w, mu), rtol=1e-13)


def test_cash_truncates_with_the_logarithm_in_single_precision():
    # ln 1e-25 = -57.56462732...; in single precision the number is larger by 2e-8 of itself.
    value = statistics.cash_value(0.5, 1.0, 0.0)
    assert value == pytest.approx(57.564627305, abs=1e-9)
    assert value == -math.log(np.float32(1e-25))
    assert value != -math.log(1e-25)


def test_cash_by_hand():
    # 3 counts where 2 are expected: 2 (2 - 3 ln 2) = 4 - 6 * 0.69314718...
    value, first, second = statistics.cash(3.0, 1.0, 2.0)
    assert value == pytest.approx(-0.1588830833596717, abs=1e-15)
    assert (first, second) == (-1.0, 1.5)
    assert statistics.cash(0.0, 0.5, 2.0) == (2.0, 1.0, 0.0)


@repeatable
@given(n=counts, w=positive, mu=positive)
def test_cash_derivatives(n, w, mu):
    value, first, second = statistics.cash(n, w, mu)
    assert value == statistics.cash_value(n, w, mu)
    with localcontext() as context:
        context.prec = 60
        slope, bend = exact_derivatives(
            lambda x: 2 * Decimal(w) * (x - Decimal(n) * x.ln()), Decimal(mu)
        )
    np.testing.assert_allclose([first, second], [slope, bend], rtol=1e-12, atol=4e-15 * w)


@pytest.mark.parametrize(("w", "mu"), [(1.0, 0.0), (1.0, 1e-26), (1.0, math.nan), (0.0, 3.0)])
def test_cash_is_flat_where_it_is_truncated_or_has_no_weight(w, mu):
    assert statistics.cash(4.0, w, mu)[1:] == (0.0, 0.0)
    assert statistics.bin_fisher(CASH, np.array([4.0, w, 0, 0, 0, 0]), NO_TABLE, mu) == 0.0


# -- on-off ---------------------------------------------------------------------------------------


def exact_derivatives(function, x):
    """Return derivatives by differences with a step that is tiny, in many digits."""
    h = max(abs(x), Decimal(1)) * Decimal(10) ** -15
    low, centre, high = function(x - h), function(x), function(x + h)
    return float((high - low) / (2 * h)), float((high - 2 * centre + low) / h**2)


def exact_wstat(n_on, n_off, alpha, mu):
    """Return the on-off statistic without its constant, from the larger root for the background."""
    c = alpha * (n_on + n_off) - (1 + alpha) * mu
    root = (c * c + 4 * alpha * (1 + alpha) * n_off * mu).sqrt()
    background = (c + root) / (2 * alpha * (1 + alpha))
    value = mu + (1 + alpha) * background
    if n_on:
        value -= n_on * (mu + alpha * background).ln()
    if n_off:
        value -= n_off * background.ln()
    return 2 * value


def gammapy_stat(n_on, n_off, alpha, mu):
    with np.errstate(all="ignore"):
        return np.nan_to_num(gammapy_wstat(n_on, n_off, alpha, mu))


def our_wstat(*columns):
    constant = each(statistics.wstat_constant, *columns[:2])
    return each(statistics.wstat_value, *columns) + constant


def test_wstat_is_that_of_gammapy():
    columns = grid(COUNTS, COUNTS, ALPHAS[1:-1], SIGNALS)
    ours, theirs = our_wstat(*columns), gammapy_stat(*columns)
    n_on, n_off, alpha, mu = columns
    # Gammapy subtracts large numbers: its error is that of their rounding.
    size = 1 + abs(mu) * (1 + 1 / alpha) + 20 * (n_on + n_off) * (1 + alpha)
    np.testing.assert_array_less(abs(ours - theirs), 1e-14 * size)
    np.testing.assert_allclose(ours, reference.wstat(*columns), atol=1e-14 * size.max())


@pytest.mark.parametrize("mu", [*SIGNALS, *ODD])
@pytest.mark.parametrize("alpha", [0.0, LARGEST, math.nan])
def test_wstat_without_an_exposure_ratio_is_that_of_gammapy(alpha, mu):
    columns = grid([0.0, 3.0], [0.0, 5.0], [alpha], [mu])
    np.testing.assert_array_equal(our_wstat(*columns), gammapy_stat(*columns))
    np.testing.assert_array_equal(our_wstat(*columns), reference.wstat(*columns))
    for row in columns.T:
        assert statistics.wstat(*row)[1:] == (0.0, 0.0)
        assert statistics.wstat_weight(*row) == 0.0


@pytest.mark.parametrize("mu", ODD)
@pytest.mark.parametrize("alpha", [1e-3, 0.5, 7.0])
def test_wstat_of_an_odd_signal_is_that_of_gammapy(alpha, mu):
    columns = grid([0.0, 3.0, math.nan], [0.0, 5.0, math.nan], [alpha], [mu])
    ours, theirs = our_wstat(*columns), gammapy_stat(*columns)
    # A constant that is NaN belongs to a bin that Gammapy counts as 0, and is to be left out.
    no_constant = np.isnan(columns[0] + columns[1])
    ours[no_constant] = each(statistics.wstat_value, *columns[:, no_constant])
    np.testing.assert_array_equal(np.nan_to_num(ours, posinf=LARGEST), theirs)


@repeatable
@given(n_on=counts, n_off=counts, alpha=positive, sign=st.sampled_from([-1, 1, 1]), mu=positive)
@example(n_on=0.0, n_off=0.0, alpha=1.0, sign=0, mu=1.0)
@example(n_on=5.0, n_off=0.0, alpha=0.25, sign=1, mu=0.999999)
@example(n_on=0.0, n_off=4.0, alpha=0.25, sign=-1, mu=0.8)
@example(n_on=3.0, n_off=1.0, alpha=1e-8, sign=1, mu=1e8)
@example(n_on=3.0, n_off=1.0, alpha=1e-8, sign=-1, mu=1e8)
@example(n_on=3.0, n_off=1.0, alpha=1e8, sign=-1, mu=1e8)
def test_wstat_is_exact(n_on, n_off, alpha, sign, mu):
    mu = sign * mu
    value, first, second = statistics.wstat(n_on, n_off, alpha, mu)
    assert value == statistics.wstat_value(n_on, n_off, alpha, mu)
    with localcontext() as context:
        context.prec = 120
        row = [Decimal(number) for number in (n_on, n_off, alpha)]
        exact = float(exact_wstat(*row, Decimal(mu)))
        size = abs(mu) * (1 + 1 / alpha) + 20 * (n_on + n_off)
        assert value == pytest.approx(exact, rel=1e-14, abs=1e-14 * size)
        if n_on * n_off == 0 and abs((1 + alpha) * mu + alpha * (n_off - n_on)) <= 1e-9 * size:
            return  # the second derivative jumps here
        slope, bend = exact_derivatives(lambda x: exact_wstat(*row, x), Decimal(mu))
    # A slope is 2 - 2 n_on / on: near its zero only the rounding of the ratio is left.
    assert first == pytest.approx(slope, rel=1e-11, abs=1e-11 * (1 + abs(2 - slope)))
    if bend > 1e-9 * abs(slope) / max(abs(mu), 1.0):
        assert second == pytest.approx(bend, rel=1e-6)


def test_wstat_background_is_that_of_gammapy():
    columns = grid(COUNTS, COUNTS, [0.01, 0.3, 1.0, 5.0], [-3.0, 0.0, 0.5, 12.0])
    expected = get_wstat_mu_bkg(*columns)
    ours = each(statistics.wstat_background, *columns)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours, reference.wstat_background(*columns), rtol=1e-9, atol=1e-9)
    assert math.isnan(statistics.wstat_background(1.0, 1.0, 0.0, 1.0))


def test_wstat_keeps_digits_that_the_formula_loses():
    # The background is n_off mu / (c + root) * 2: about n_off / (1 + alpha) for a large signal.
    ours = statistics.wstat_background(3.0, 2.0, 0.1, 1e15)
    assert ours == pytest.approx(2.0 / 1.1, rel=1e-14)
    assert get_wstat_mu_bkg(3.0, 2.0, 0.1, 1e15) != pytest.approx(2.0 / 1.1, rel=1e-3)


def test_wstat_by_hand():
    # 9 counts on, 4 off, alpha = 1, no signal: the background is 6.5 in both regions, and
    # 2 (9 ln(18 / 13) + 4 ln(8 / 13)) = 2 (9 * 0.3254224004 - 4 * 0.4855078158) = 1.97354068...
    total = statistics.wstat_value(9.0, 4.0, 1.0, 0.0) + statistics.wstat_constant(9.0, 4.0)
    assert total == pytest.approx(1.97354068, abs=1e-8)
    # At the excess, 9 - 4, the prediction is perfect.
    value, first, _ = statistics.wstat(9.0, 4.0, 1.0, 5.0)
    assert value + statistics.wstat_constant(9.0, 4.0) == pytest.approx(0, abs=1e-13)
    assert first == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("n_on", "n_off", "alpha"), [(9, 4, 1), (120, 300, 0.2), (30, 90, 0.5)])
def test_wstat_gives_the_significance_of_li_and_ma(n_on, n_off, alpha):
    """Equation 17 of Li & Ma (1983), ApJ 272, 317 is the ratio of likelihoods."""
    total = n_on + n_off
    squared = 2 * (
        n_on * math.log((1 + alpha) / alpha * n_on / total)
        + n_off * math.log((1 + alpha) * n_off / total)
    )
    null = statistics.wstat_value(n_on, n_off, alpha, 0.0)
    best = statistics.wstat_value(n_on, n_off, alpha, n_on - alpha * n_off)
    assert null - best == pytest.approx(squared, rel=1e-11)


@pytest.mark.parametrize("mu", [0.5, 4.0, 60.0])
@pytest.mark.parametrize("alpha", [0.1, 2.0])
def test_wstat_weight_is_the_information_of_two_poisson_counts(alpha, mu):
    """Sum the squared scores of signal and background over all counts, and invert the matrix."""
    n_on, n_off = 12.0, 35.0
    background = statistics.wstat_background(n_on, n_off, alpha, mu)
    on, off = mu + alpha * background, background
    a, b = np.meshgrid(np.arange(400.0), np.arange(400.0), indexing="ij")
    probability = poisson.pmf(a, on) * poisson.pmf(b, off)
    scores = np.array([a / on - 1, alpha * (a / on - 1) + b / off - 1])
    information = np.einsum("ixy,jxy,xy->ij", scores, scores, probability)
    expected = 1 / np.linalg.inv(information)[0, 0]
    assert statistics.wstat_weight(n_on, n_off, alpha, mu) == pytest.approx(expected, rel=1e-9)
    row = np.array([n_on, n_off, alpha, 0, 0, 0])
    ours = statistics.bin_fisher(WSTAT, row, NO_TABLE, mu)
    assert ours == pytest.approx(2 * expected, rel=1e-9)


# -- flux points ----------------------------------------------------------------------------------


def test_chi2_by_hand():
    assert statistics.chi2(5.0, 2.0, 8.0) == (2.25, 1.5, 0.5)
    assert statistics.chi2_value(5.0, 2.0, 8.0) == 2.25
    assert math.isnan(statistics.chi2_value(5.0, math.nan, 8.0))


def test_distrib_by_hand():
    # Two errors up, three errors down.
    assert statistics.distrib(5.0, 2.0, 1.0, 1.0, 0.0, 0.0, 9.0) == (4.0, 2.0, 0.5)
    assert statistics.distrib(5.0, 2.0, 1.0, 1.0, 0.0, 0.0, 2.0) == (9.0, -6.0, 2.0)
    # erfc(1) = 0.157299207050..., erfc(0) = 1: a prediction at the limit.
    value = statistics.distrib_value(math.nan, 1.0, 1.0, 0.0, 1.0, 3.0, 3.0)
    assert value == pytest.approx(-2 * math.log(0.15729920705028513), rel=1e-14)
    assert statistics.distrib_value(math.nan, 1.0, 1.0, 0.0, 1.0, 3.0, 0.0) == 0.0


def test_distrib_is_its_twin(rng):
    n = 500
    rows = np.column_stack([
        rng.normal(2, 1, n), rng.uniform(0.1, 2, n), rng.uniform(0.1, 2, n),
        rng.integers(0, 2, n), rng.integers(0, 2, n), rng.choice([0.0, 0.5, 4.0, math.nan], n),
    ])  # fmt: skip
    rows[::17, 1:3] = math.nan
    mu = rng.normal(2, 5, n)
    mu[:2] = [math.nan, math.inf]
    ours = each(statistics.distrib_value, *rows.T, mu)
    np.testing.assert_allclose(ours, reference.distrib(rows, mu), rtol=1e-12, atol=1e-14)
    assert not np.isnan(ours).any()


@repeatable
@given(y=st.floats(-3, 3), limit=st.floats(0.1, 5), mu=st.floats(-2, 6), is_limit=st.booleans())
def test_distrib_derivatives(y, limit, mu, is_limit):
    row = (y, 0.7, 0.4, 1.0, float(is_limit), limit)
    value, first, second = statistics.distrib(*row, mu)
    assert value == statistics.distrib_value(*row, mu)
    h = 1e-3 * limit
    if abs(mu - y) < 3 * h and not is_limit:
        return  # the second derivative jumps here
    v = [statistics.distrib_value(*row, mu + k * h) for k in range(-3, 4)]
    slope = (-v[0] + 9 * v[1] - 45 * v[2] + 45 * v[4] - 9 * v[5] + v[6]) / (60 * h)
    bend = (2 * v[0] - 27 * v[1] + 270 * v[2] - 490 * v[3] + 270 * v[4] - 27 * v[5] + 2 * v[6]) / (
        180 * h**2
    )
    size = max(map(abs, v)) + 1
    assert first == pytest.approx(slope, rel=1e-7, abs=1e-12 * size / h)
    assert second == pytest.approx(bend, rel=1e-6, abs=1e-13 * size / h**2)


@pytest.mark.parametrize(
    ("row", "mu", "value"),
    [
        ((1.0, 1.0, 1.0, 0.0, 0.0, 0.0), 3.0, 0.0),  # neither flux nor limit
        ((1.0, math.nan, math.nan, 1.0, 0.0, 0.0), 3.0, 0.0),  # no error
        ((1.0, 1.0, 1.0, 1.0, 1.0, math.nan), 3.0, 0.0),  # no limit
        ((1.0, 1.0, 1.0, 1.0, 1.0, 2.0), -100.0, -math.inf),  # the tail underflows
        ((1.0, 1.0, 1.0, 1.0, 0.0, 0.0), math.nan, 0.0),
    ],
)
def test_distrib_is_flat_where_it_is_not_defined(row, mu, value):
    assert statistics.distrib(*row, mu) == (value, 0.0, 0.0)


@pytest.fixture
def table(rng):
    """Return a profile: x, y, and its pieces as a table that starts at the third number."""
    x = np.sort(rng.uniform(0.2, 5, 9))
    y = (x - 2) ** 2 + 0.1 * x**3
    slope = np.diff(y) / np.diff(x)
    curved = np.column_stack([y[:-1], slope, [0.5, -0.2, 0, 0, 0.1, 0, 0, 0.3]])
    return x, y, curved, np.concatenate([[9.0, 9.0], x, curved.ravel()])


@pytest.mark.parametrize("mu", [-3.0, 0.2, 1.0, 2.5, 4.9, 80.0])
def test_profile_is_its_twin(table, mu):
    x, _, coefficients, numbers = table
    value, first, second = statistics.profile(2, 8, numbers, mu)
    assert value == statistics.profile_value(2, 8, numbers, mu)
    assert value == pytest.approx(reference.profile(x, coefficients, np.array([mu]))[0], rel=1e-14)
    h = 1e-4
    v = [statistics.profile_value(2, 8, numbers, mu + k * h) for k in (-1, 0, 1)]
    assert first == pytest.approx((v[2] - v[0]) / (2 * h), rel=1e-8)
    assert second == pytest.approx((v[2] - 2 * v[1] + v[0]) / h**2, rel=1e-3, abs=1e-3)


def test_profile_meets_its_points_and_extends_beyond(table):
    x, y, coefficients, _ = table
    coefficients = coefficients * [1, 1, 0]
    numbers = np.concatenate([x, coefficients.ravel()])
    line = interp1d(x, y, fill_value="extrapolate")
    where = np.concatenate([x, np.linspace(-2, 9, 57)])
    ours = [statistics.profile_value(0, 8, numbers, mu) for mu in where]
    np.testing.assert_allclose(ours, line(where), rtol=1e-12, atol=1e-12)
    assert math.isnan(statistics.profile_value(0, 8, numbers, math.nan))


# -- any kind -------------------------------------------------------------------------------------

BINS = {
    CASH: ([4.0, 0.5], statistics.cash, 3.0),
    WSTAT: ([4.0, 9.0, 0.3], statistics.wstat, 3.0),
    CHI2: ([4.0, 0.5], statistics.chi2, 3.0),
    DISTRIB: ([4.0, 0.5, 0.7, 1.0, 0.0, 2.0], statistics.distrib, 3.0),
}


@pytest.mark.parametrize("kind", BINS)
def test_bin_of_any_kind(kind):
    numbers, function, mu = BINS[kind]
    row = np.array(numbers + [math.nan] * (6 - len(numbers)))
    expected = function(*numbers, mu)
    assert statistics.bin_stat(kind, row, NO_TABLE, mu) == expected
    assert statistics.bin_value(kind, row, NO_TABLE, mu) == expected[0]


def test_bin_of_a_profile(table):
    numbers = table[3]
    row = np.array([2.0, 8.0, 0, 0, 0, 0])
    expected = statistics.profile(2, 8, numbers, 1.3)
    assert statistics.bin_stat(PROFILE, row, numbers, 1.3) == expected
    assert statistics.bin_value(PROFILE, row, numbers, 1.3) == expected[0]


def test_fisher_of_any_kind(table):
    assert statistics.bin_fisher(CASH, np.array([4.0, 0.5]), NO_TABLE, 3.0) == 2 * 0.5 / 3
    assert statistics.bin_fisher(CHI2, np.array([4.0, 0.5]), NO_TABLE, 3.0) == 8.0
    valid = np.array([4.0, 0.5, 0.7, 1.0, 0.0, 2.0])
    assert statistics.bin_fisher(DISTRIB, valid, NO_TABLE, 3.0) == 2 / 0.7**2
    # The curvature of a limit is negative, and so is that of this piece of a profile.
    limit = np.array([4.0, 0.5, 0.7, 1.0, 1.0, 2.0])
    assert statistics.bin_stat(DISTRIB, limit, NO_TABLE, 3.0)[2] < 0
    assert statistics.bin_fisher(DISTRIB, limit, NO_TABLE, 3.0) == 0
    x, _, coefficients, numbers = table
    row = np.array([2.0, 8.0, 0, 0, 0, 0])
    for piece in range(8):
        mu = (x[piece] + x[piece + 1]) / 2
        expected = max(2 * coefficients[piece, 2], 0)
        assert statistics.bin_fisher(PROFILE, row, numbers, mu) == expected


@pytest.mark.parametrize("mu", [0.01, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("kind", [CASH, WSTAT])
def test_fisher_is_the_second_derivative_of_perfect_data(kind, mu):
    # Data that equal their prediction have the curvature that is expected.
    alpha, off = 0.4, 55.0
    row = np.array([mu, 1.0, 0]) if kind == CASH else np.array([mu + alpha * off, off, alpha])
    _, first, second = statistics.bin_stat(kind, row, NO_TABLE, mu)
    assert first == pytest.approx(0, abs=1e-13)
    assert statistics.bin_fisher(kind, row, NO_TABLE, mu) == pytest.approx(second, rel=1e-12)


def test_functions_can_be_called_by_compiled_code(rng):
    @njit
    def total(kind, rows, tables, mu):
        value, slope, fisher = 0.0, 0.0, 0.0
        for j in range(len(mu)):
            value += statistics.bin_value(kind, rows[j], tables, mu[j])
            slope += statistics.bin_stat(kind, rows[j], tables, mu[j])[1]
            fisher += statistics.bin_fisher(kind, rows[j], tables, mu[j])
        return value, slope, fisher

    rows = rng.integers(0, 5, (100, 6)).astype(float) + [0, 0, 0.3, 0, 0, 0]
    mu = rng.uniform(-1, 5, 100)
    value, slope, fisher = total(WSTAT, rows, NO_TABLE, mu)
    columns = (*rows[:, :3].T, mu)
    assert value == pytest.approx(each(statistics.wstat_value, *columns).sum(), rel=1e-12)
    assert slope == pytest.approx(each(statistics.wstat, *columns)[:, 1].sum(), rel=1e-12)
    expected = 2 * each(statistics.wstat_weight, *columns).sum()
    assert fisher == pytest.approx(expected, rel=1e-12)


@pytest.fixture
def rng():
    return np.random.default_rng(6)
