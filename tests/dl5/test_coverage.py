"""Coverage of errors and limits at 3, 10 and 100 counts, by toys and exactly.

The seed was fixed before the first run. Toys are compared with the exact coverage: each of 36
numbers is to lie within its central binomial interval of 99.7 %, so that by chance one of them
fails in one of ten choices of the seed.
"""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm, poisson

from ctao_sat import dl5
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import toys

SEED = 20281203
N_TOYS = 1000
SIGNALS = (3, 10, 100)
BACKGROUND, ALPHA = 2.0, 0.2
KINDS = ("symmetric errors", "asymmetric errors", "upper limit", "upper limit from 0")


def inside_binomial(hits, chance):
    low, high = binom.interval(0.997, N_TOYS, chance)
    return low <= hits <= high


@pytest.fixture(scope="module")
def one_bin(small):
    """Return a function that makes a fit of one bin, with counts per amplitude of 1."""

    def make(signal, *, alpha):
        datasets = small.datasets("spectrum" if alpha is None else "on-off")
        one = datasets[0]
        keep = np.arange(one.counts.data.size).reshape(one.counts.data.shape) == 0
        one.mask_fit = one.counts.copy(data=keep)
        model = datasets.models[0].spectral_model
        model.index.frozen = True
        scale = one.npred_signal().data[keep][0] / model.amplitude.value
        model.amplitude.value = signal / scale
        if alpha is None:
            one.background.data[...] = BACKGROUND
        else:
            one.acceptance.data[...], one.acceptance_off.data[...] = 1, 1 / alpha
            # With these counts the background that is profiled out is the true one.
            one.counts.data[...], one.counts_off.data[...] = signal + BACKGROUND, BACKGROUND / alpha
        return datasets, scale

    return make


# -- the exact calculation ------------------------------------------------------------------------


def test_by_hand():
    """Written out for a known background, with roots of the likelihood of each outcome."""
    signal, claimed = 3.0, dict.fromkeys(KINDS, 0.0)
    for n in range(60):
        mu = signal + BACKGROUND
        chance = poisson.pmf(n, mu)
        best = n if n > 0 else 0.0

        def rise(m, n=n, best=best):
            return 2 * (m - n * np.log(m)) - 2 * (best - (n * np.log(best) if n else 0))

        def up(level, start, n=n, rise=rise):
            return brentq(lambda m: rise(m) - level, start, 10 * n + 50)

        low = brentq(lambda m: rise(m) - 1, 1e-12, best) if n else 0.0
        claimed["symmetric errors"] += chance * (n > 0 and abs(mu - n) <= np.sqrt(n))
        claimed["asymmetric errors"] += chance * (low <= mu <= up(1, max(best, 1e-9)))
        claimed["upper limit"] += chance * (mu <= up(4, max(best, 1e-9)))
        border = max(best, BACKGROUND)
        claimed["upper limit from 0"] += chance * (mu <= up(4 + rise(border), border))
    table = dl5.exact_coverage(signal, BACKGROUND)
    for kind in KINDS:
        assert table[kind][0] == pytest.approx(claimed[kind], abs=1e-8), kind


@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_verbs_have_the_same_intervals(one_bin, alpha):
    """A few outcomes, by the fit of datasets and by the batch of the exact calculation."""
    from ctao_sat.dl5._coverage import _intervals

    for n_on, n_off in ((1, 8), (3, 20), (30, 9)):
        datasets, scale = one_bin(1, alpha=alpha)
        datasets[0].counts.data[...] = n_on
        if alpha is not None:
            datasets[0].counts_off.data[...] = n_off
        dl5.fit(datasets)
        errors = dl5.asymmetric_errors(datasets, "source.amplitude")
        limits = [dl5.upper_limit(datasets, "source.amplitude", border=b)["ul"] for b in (None, 0)]
        found = _intervals(np.array([float(n_on)]), np.array([float(n_off)]),
                           BACKGROUND, alpha, 1, 2)  # fmt: skip
        best, error = errors["value"], datasets.models.parameters["amplitude"].error
        expected = [
            (best - error, best + error),
            (best - errors["errn"], best + errors["errp"]),
            (-np.inf, limits[0]),
            (-np.inf, limits[1]),
        ]
        for pair, (low, high) in zip(expected, found.values(), strict=True):
            np.testing.assert_allclose(
                np.array(pair) * scale, [low[0], high[0]], rtol=2e-4, atol=1e-6
            )


@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_many_counts_have_the_coverage_that_is_claimed(alpha):
    """What is left are the jumps of discrete counts, and errors of errors."""
    table = dl5.exact_coverage(np.linspace(3000, 3020, 21), 100, alpha)
    for kind, nominal in table.meta["nominal"].items():
        assert np.mean(table[kind]) == pytest.approx(nominal, abs=3e-3)


def test_known_discreteness():
    """With known backgrounds a limit is lost exactly where all counts that few are excluded.

    Two counts lie above the limit of 0 counts, hence with a mean just above 2 in all no count is
    too few: the coverage jumps down by exp(-2).
    """
    table = dl5.exact_coverage([1.999999, 2.000001], 0.0)
    jump = table["upper limit"][0] - table["upper limit"][1]
    assert table["upper limit"][0] == pytest.approx(1)
    assert jump == pytest.approx(np.exp(-2), rel=1e-4)


@pytest.mark.parametrize("arguments", [(-1, 2), (3, -2), (3, 2, 0)])
def test_wrong_arguments(arguments):
    with pytest.raises(ConfigError, match="Coverage for"):
        dl5.exact_coverage(*arguments)


# -- toys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_symmetric_errors_of_toys(one_bin, alpha, signal):
    datasets, _ = one_bin(signal, alpha=alpha)
    found = toys(datasets, N_TOYS, np.random.default_rng([SEED, signal, alpha is None]))
    # An outcome without counts has no error.
    hits = np.count_nonzero(np.abs(found.pulls()[:, 0]) <= 1)
    exact = dl5.exact_coverage(signal, BACKGROUND, alpha)["symmetric errors"][0]
    assert inside_binomial(hits, exact)


@pytest.mark.parametrize("signal", SIGNALS)
def test_errors_and_limits_of_toys(one_bin, signal):
    """Each set of counts through the verbs; known background."""
    datasets, scale = one_bin(signal, alpha=None)
    rng = np.random.default_rng([SEED, signal])
    drawn = rng.poisson(signal + BACKGROUND, N_TOYS)
    truth, hits = signal / scale, np.zeros(3)
    for n, times in zip(*np.unique(drawn, return_counts=True), strict=True):
        datasets[0].counts.data[...] = n
        datasets.models[0].spectral_model.amplitude.value = max(n - BACKGROUND, 0.5) / scale
        options = {"guard": False}
        errors = dl5.asymmetric_errors(datasets, "source.amplitude", **options)
        inside = errors["value"] - errors["errn"] <= truth <= errors["value"] + errors["errp"]
        limits = [
            dl5.upper_limit(datasets, "source.amplitude", border=border, **options)["ul"]
            for border in (None, 0)
        ]
        hits += times * np.array([inside, truth <= limits[0], truth <= limits[1]])
    exact = dl5.exact_coverage(signal, BACKGROUND)
    for number, kind in zip(hits, KINDS[1:], strict=True):
        assert inside_binomial(number, exact[kind][0]), kind


@pytest.mark.parametrize("signal", SIGNALS)
def test_errors_and_limits_of_on_off_toys(signal):
    """Each set of counts through the batch; measured background."""
    from ctao_sat.dl5._coverage import _intervals

    rng = np.random.default_rng([SEED, signal, 1])
    on = rng.poisson(signal + BACKGROUND, N_TOYS).astype(float)
    off = rng.poisson(BACKGROUND / ALPHA, N_TOYS).astype(float)
    found = _intervals(on, off, BACKGROUND, ALPHA, 1, 2)
    exact = dl5.exact_coverage(signal, BACKGROUND, ALPHA)
    for kind in KINDS[1:]:
        low, high = found[kind]
        assert inside_binomial(np.count_nonzero((low <= signal) & (signal <= high)),
                               exact[kind][0]), kind  # fmt: skip


@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_nominal_coverage_or_known_discreteness(alpha):
    """What is claimed lies in the binomial interval of 1,000 toys, or the exact value tells why.

    Intervals of many counts hold what they claim. For few, the exact coverage is off by more than
    1,000 toys can hide, for each signal in a known direction.
    """
    table = dl5.exact_coverage(SIGNALS, BACKGROUND, alpha)
    for kind in KINDS:
        nominal = table.meta["nominal"][kind]
        assert inside_binomial(N_TOYS * table[kind][2], nominal), kind
    assert norm.cdf(2) == pytest.approx(table.meta["nominal"]["upper limit"])
