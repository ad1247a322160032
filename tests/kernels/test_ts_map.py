"""The norm of a source at each position: against the slow twin, closed forms, and Gammapy."""

import math

import numpy as np
import pytest
from gammapy.stats import CashCountsStatistic
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.kernels.reference_ts_map import ts_position
from ctao_sat.kernels.ts_map import (
    ERRORS,
    LIMIT,
    RESULTS,
    SENSITIVITY,
    PositionMaps,
    ts_positions,
)

ALL = ERRORS + LIMIT + SENSITIVITY
RISES = (1.0, 4.0, 25.0)


def maps_of(counts, background, exposure, spread, layers=None, half=None) -> PositionMaps:
    """Return dense maps as the kernel takes them; one layer a plane by default."""
    counts = np.asarray(counts, dtype=float)
    before = np.cumsum(counts.ravel() > 0).reshape(counts.shape)
    first = np.zeros((*counts.shape[:2], counts.shape[2] + 1), dtype=np.int64)
    first[:, :, 1:] = before
    first[:, :, 0] = before[:, :, 0] - (counts[:, :, 0] > 0)
    spread = np.asarray(spread, dtype=float)
    if layers is None:
        layers = np.arange(len(counts) + 1)
    if half is None:
        half = np.tile(np.array(spread.shape[1:]) // 2, (len(counts), 1))
    return PositionMaps(
        first=first,
        column=np.nonzero(counts)[2],
        counts=counts[counts > 0],
        background=np.asarray(background, dtype=float),
        exposure=np.asarray(exposure, dtype=float),
        spread=spread,
        layers=np.asarray(layers),
        half=np.asarray(half),
    )


def solve(maps, options=ALL, positions=None, totals=None) -> dict:
    """Return the results at all positions, the sums of signals found by the kernel itself."""
    shape = maps.background.shape[1:]
    if positions is None:
        positions = np.argwhere(np.ones(shape, dtype=bool))
    totals = np.zeros(shape) if totals is None else totals
    ratios = np.zeros(shape)
    out = np.empty((len(positions), len(RESULTS)))
    ts_positions(maps, positions, totals, ratios, options, np.array(RISES), out)
    return dict(zip(RESULTS, out.T, strict=True))


def gaussian(half, sigma):
    """Return a round kernel of sum one."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def simulated(seed, rate, n_planes=2, shape=(7, 9)):
    """Return counts of a background and a source, in planes of different kernels."""
    rng = np.random.default_rng(seed)
    background = rng.uniform(0.5, 1.5, (n_planes, *shape)) * rate
    exposure = rng.uniform(0.5, 2.0, (n_planes, *shape))
    spread = np.array([gaussian(2, 0.7 + 0.4 * i) for i in range(n_planes)])
    counts = rng.poisson(background)
    counts[:, shape[0] // 2, shape[1] // 2] += rng.poisson(5 * rate, n_planes)
    return maps_of(counts, background, exposure, spread)


def check_twin(maps, norm_unit=1.0):
    """Compare all positions with the slow twin."""
    found = solve(maps)
    shape = maps.background.shape[1:]
    for i, (y, x) in enumerate(np.ndindex(shape)):
        expected = ts_position(maps, y, x, RISES)
        for name in RESULTS:
            if name == "niter":
                continue
            np.testing.assert_allclose(
                found[name][i],
                expected[name],
                rtol=1e-6,
                atol=1e-7 * norm_unit,
                err_msg=f"{name} at {y}, {x}",
            )


@pytest.mark.parametrize("rate", [0.02, 0.3, 3.0, 200.0])
def test_agrees_with_the_slow_twin(rate):
    check_twin(simulated(1, rate))


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.floats(-2.5, 2.5), st.integers(1, 3))
def test_agrees_with_the_slow_twin_on_any_data(seed, power, n_planes):
    check_twin(simulated(seed, 10.0**power, n_planes, shape=(4, 5)))


def test_layers_of_a_plane_are_added():
    rng = np.random.default_rng(3)
    counts = rng.poisson(1.0, (1, 6, 6))
    exposure = rng.uniform(0.0, 2.0, (3, 6, 6))
    spread = np.array([gaussian(2, sigma) for sigma in (0.5, 0.8, 1.3)])
    check_twin(maps_of(counts, np.ones((1, 6, 6)), exposure, spread, layers=[0, 3]))


def test_planes_may_have_windows_of_their_own():
    spread = np.array([gaussian(2, 0.8), np.pad(gaussian(1, 0.8), 1)])
    counts = np.random.default_rng(4).poisson(1.0, (2, 6, 6))
    one = np.ones((2, 6, 6))
    check_twin(maps_of(counts, one, one, spread, half=[[2, 2], [1, 1]]))


@pytest.mark.parametrize("n_on", [1, 2, 12, 150])
@pytest.mark.parametrize("background", [0.7, 8.0, 120.0])
def test_one_pixel_is_the_closed_form_of_cash(n_on, background):
    found = solve(maps_of([[[n_on]]], [[[background]]], [[[2.0]]], [[[1.0]]]))
    ts = 2 * (n_on * math.log(n_on / background) - (n_on - background))
    assert found["norm"][0] == pytest.approx((n_on - background) / 2, rel=1e-9, abs=1e-9)
    assert found["ts"][0] == pytest.approx(ts, rel=1e-9, abs=1e-9)
    assert 1 / math.sqrt(found["curvature"][0]) == pytest.approx(math.sqrt(n_on) / 2, rel=1e-6)
    gammapy = CashCountsStatistic(n_on, background)
    assert found["ts"][0] == pytest.approx(float(gammapy.ts), rel=1e-6, abs=1e-9)
    errors = {"errn": gammapy.compute_errn(1.0), "errp": gammapy.compute_errp(1.0)}
    for name, expected in errors.items():
        assert 2 * found[name][0] == pytest.approx(float(expected), rel=1e-4)
    assert 2 * found["ul"][0] == pytest.approx(float(gammapy.compute_upper_limit(2)), rel=1e-4)


def test_sensitivity_of_one_pixel_is_that_of_li_and_ma_for_a_known_background():
    found = solve(maps_of([[[4]]], [[[10.0]]], [[[1.0]]], [[[1.0]]]))
    excess = found["sensitivity"][0]
    # Li & Ma (1983), eq. 17, in the limit of alpha to zero.
    n = 10.0 + excess
    assert 2 * (n * math.log(n / 10.0) - excess) == pytest.approx(25.0, rel=1e-9)


def test_no_counts_leave_the_smallest_norm_and_a_limit():
    found = solve(maps_of(np.zeros((1, 5, 5)), np.full((1, 5, 5), 0.1), np.ones((1, 5, 5)),
                          [gaussian(2, 1.0)]))
    peak, total = gaussian(2, 1.0).max(), found["total"]
    np.testing.assert_allclose(found["norm"], -0.1 / peak)
    np.testing.assert_allclose(found["ts"], 0.2 / peak * total)
    assert not found["curvature"].any()
    assert np.isnan(found["errn"]).all()
    # The statistic is a straight line.
    np.testing.assert_allclose(found["ul"], found["norm"] + 2.0 / total)
    np.testing.assert_allclose(found["errp"], 0.5 / total)


def test_no_exposure_gives_no_norm():
    exposure = np.zeros((1, 9, 9))
    exposure[0, :, :2] = 1.0
    found = solve(maps_of(np.ones((1, 9, 9)), np.ones((1, 9, 9)), exposure, [gaussian(2, 1.0)]))
    within = np.tile(np.arange(9) < 4, 9)
    np.testing.assert_array_equal(np.isfinite(found["norm"]), within)
    assert not found["ts"][~within].any()
    assert (found["ts"][within] >= 0).all()


def test_counts_without_background_are_finite():
    counts, background = np.ones((1, 3, 3)), np.full((1, 3, 3), 0.5)
    background[0, 1, 1] = 0.0
    maps = maps_of(counts, background, np.ones((1, 3, 3)), [gaussian(1, 0.7)])
    check_twin(maps)
    found = solve(maps)
    assert (found["norm"] > 0).all()
    # One count where 1e-25 are allowed for: Gammapy's floor, to the precision of its logarithm.
    assert found["ts"][4] > 100


def test_a_kernel_may_be_larger_than_the_map():
    check_twin(maps_of([[[3, 0], [1, 0]]], np.ones((1, 2, 2)), np.ones((1, 2, 2)),
                       [gaussian(5, 2.0)]))


def test_noise_of_a_convolution_is_added_up_anew():
    maps = simulated(2, 1.0)
    exact = solve(maps)
    totals = exact["total"].reshape(maps.background.shape[1:]).copy()
    totals[0, 0] = -1e-17
    np.testing.assert_allclose(solve(maps, totals=totals)["norm"], exact["norm"], rtol=1e-9)


def test_what_is_not_asked_for_is_nan():
    found = solve(simulated(5, 1.0), options=LIMIT)
    assert np.isfinite(found["ul"]).all()
    assert all(np.isnan(found[name]).all() for name in ("errn", "errp", "sensitivity"))


def test_results_do_not_depend_on_the_order_of_positions():
    maps = simulated(6, 0.5)
    positions = np.argwhere(np.ones(maps.background.shape[1:], dtype=bool))
    there, back = solve(maps, positions=positions), solve(maps, positions=positions[::-1].copy())
    for name in RESULTS:
        np.testing.assert_array_equal(there[name], back[name][::-1])
