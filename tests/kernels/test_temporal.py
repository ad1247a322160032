"""Fluxes over time, their integrals and random times: against plain formulas and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import gamma, kv

from ctao_sat.kernels import reference_temporal as reference
from ctao_sat.kernels import temporal
from ctao_sat.kernels import temporal_quadrature as quadrature
from ctao_sat.kernels import temporal_shapes as shapes

ORBIT_P = [70.0, 0.0, 0.2, 0.3, 0.7, 1.0, 1.0, 0.1, 3.0, 0.5, 1.0]
CASES = {
    "power law": (shapes.POWER_LAW, [5.0, 100.0, 1.6]),
    "power law, slope 1": (shapes.POWER_LAW, [5.0, 100.0, 1.0]),
    "rising power law": (shapes.POWER_LAW, [0.0, 100.0, -0.7]),
    "broken": (shapes.CHAIN, [1.0, 0.8, 60.0, 2.1]),
    "three breaks": (shapes.CHAIN, [1.0, -2.0, 5.0, 1.1, 60.0, 2.3, 900.0, 0.4]),
    "smooth": (shapes.SMOOTH, [2.0, 0.7, 2.2, 300.0, 3.0]),
    "smooth, with a peak": (shapes.SMOOTH, [0.0, -1.0, 1.3, 40.0, 0.5]),
    "flattening": (shapes.SMOOTH, [2.0, 2.2, 0.7, 300.0, -2.0]),
    "nearly sharp": (shapes.SMOOTH, [2.0, 0.7, 2.2, 300.0, 80.0]),
    "exponential": (shapes.EXPONENTIAL, [10.0, 250.0]),
    "tidal": (shapes.TIDAL, [40.0, 5 / 3]),
    "nova": (shapes.NOVA, [20.0, 50.0, 100.0, 1.4]),
    "nova, abrupt": (shapes.NOVA, [20.0, 1e-3, 100.0, 1.4]),
    "nova, no delay": (shapes.NOVA, [0.0, 50.0, 100.0, 1.4]),
    "FRED": (shapes.FRED, [30.0, 200.0]),
    "FRED, narrow": (shapes.FRED, [4e4, 1e-2]),
    "FRED-xi": (shapes.FRED_XI, [100.0, 0.4]),
    "flare": (shapes.FLARE, [30.0, 200.0]),
    "flare, lopsided": (shapes.FLARE, [0.1, 200.0]),
    "sine": (shapes.SINE, [0.6, 77.0]),
    "orbit": (shapes.ORBIT, ORBIT_P),
    "table": (shapes.TABLE, [-20.0, 0.0, 30.0, 300.0, 0.0, 1.0, 4.0, 0.5]),
}
DERIVATIVES = {shapes.ORBIT: 1, shapes.TABLE: 0}
TIMES = np.array([-60.0, -1.0, 0.0, 1e-2, 0.5, 7.0, 29.9, 59.99, 99.0, 150.0, 777.0, 5e3])
# Before everything, over everything, over a break or a peak, far away, short ones.
WINDOWS = [
    (-500.0, 3000.0),
    (6.0, 7.0),
    (31.0, 80.0),
    (200.0, 200.001),
    (900.0, 9e3),
    (2e3, 2001.0),
]


@pytest.fixture(params=CASES)
def case(request):
    kind, p = CASES[request.param]
    return kind, np.array(p)


def evaluate(kind, times, p, n=0):
    out = np.empty((len(times), 1 + n))
    temporal.evaluate(kind, np.asarray(times, dtype=float), p, out)
    return out


def integrate(kind, windows, p, n=0):
    start, stop = np.array(windows, dtype=float).reshape(-1, 2).T.copy()
    out = np.empty((len(start), 1 + n))
    temporal.integrate(kind, start, stop, p, out)
    return out


def marks(kind, p):
    """Return times at which a quadrature has to begin anew."""
    scales = np.geomspace(1e-25, 1e4, 97)
    if kind == shapes.ORBIT:
        return np.sort(np.add.outer(np.arange(-9, 140), p[1:5]).ravel() * p[0])
    if kind == shapes.SINE:
        return np.arange(-500, 9000, 30.0)
    if kind == shapes.FRED:
        peak = np.sqrt(p[0] * p[1])
        return np.concatenate([scales, peak * np.exp(np.linspace(-1.5, 1.5, 301))])
    onset = p[0] if kind <= shapes.EXPONENTIAL or kind == shapes.NOVA else 0.0
    extra = p[2::2] if kind == shapes.CHAIN else p[: len(p) // 2] if kind == shapes.TABLE else []
    near = [300 * np.exp(k / 40) for k in (-3, -1, 0, 1, 3)]
    return np.concatenate([[0.0, onset], onset + scales, -scales, near, extra])


def test_values_are_those_of_the_formulas(case):
    kind, p = case
    expected = [reference.flux(kind, t, p) for t in TIMES]
    # Far away the slow formulas lose digits: large exponents, and infinities that cancel.
    assert_allclose(evaluate(kind, TIMES, p)[:, 0], expected, rtol=1e-10, atol=1e-290)


def test_integrals_are_those_of_a_quadrature(case):
    kind, p = case
    expected = [reference.integral(kind, a, b, p, marks(kind, p)) for a, b in WINDOWS]
    assert_allclose(integrate(kind, WINDOWS, p)[:, 0], expected, rtol=1e-10, atol=1e-290)


def differences(function, p, i):
    """Return a derivative by the parameter i, of sixth order."""
    step = 3e-5 * abs(p[i])
    values = {}
    for k in (-3, -2, -1, 1, 2, 3):
        moved = p.copy()
        moved[i] += k * step
        values[k] = function(moved)
    odd = [values[k] - values[-k] for k in (1, 2, 3)]
    return (45 * odd[0] - 9 * odd[1] + odd[2]) / (60 * step)


def test_derivatives_are_those_of_differences(case):
    kind, p = case
    n = DERIVATIVES.get(kind, len(p))
    # Not at a kink, whose place depends on a parameter; from an onset at zero there is one way.
    times, windows = TIMES[[0, 1, 4, 5, 8, 9, 10]], WINDOWS
    values, integrals = evaluate(kind, times, p, n), integrate(kind, windows, p, n)
    assert_array_equal(values[:, :1], evaluate(kind, times, p))
    assert_allclose(integrals[:, :1], integrate(kind, windows, p), rtol=1e-13)
    for i in [i for i in range(n) if p[i] != 0]:
        for found, function in (
            (values, lambda q: evaluate(kind, times, q)[:, 0]),
            (integrals, lambda q: integrate(kind, windows, q)[:, 0]),
        ):
            expected = differences(function, p, i)
            scale = abs(found[:, 0] / p[i]) + abs(expected)
            assert np.all(abs(found[:, 1 + i] - expected) <= 2e-6 * scale + 1e-290), i


def test_integral_of_a_whole_fred():
    """Closed form of Norris et al. (2005)."""
    tau1, tau2 = 30.0, 200.0
    mu = math.sqrt(tau1 / tau2)
    expected = 2 * math.sqrt(tau1 * tau2) * kv(1, 2 * mu) * math.exp(2 * mu)
    found = integrate(shapes.FRED, [(-1e9, 1e9)], np.array([tau1, tau2]))
    assert found[0, 0] == pytest.approx(expected, rel=1e-12)
    same = integrate(shapes.FRED_XI, [(0, 1e9)], np.array([math.sqrt(tau1 * tau2), mu]))
    assert same[0, 0] == pytest.approx(expected, rel=1e-12)


def test_integral_of_a_symmetric_flare():
    """1 / cosh has the integral pi."""
    found = integrate(shapes.FLARE, [(-1e12, 1e12)], np.array([7.0, 7.0]))
    assert found[0, 0] == pytest.approx(7 * math.pi, rel=1e-12)


def test_integral_of_a_whole_nova():
    """A gamma function, less what is left of the power law."""
    alpha, rise, end = 1.4, 50.0, 1e8
    whole = gamma(2 - alpha) / (alpha - 1) - (end / rise) ** (1 - alpha) / (alpha - 1)
    found = integrate(shapes.NOVA, [(-1, end)], np.array([0.0, rise, rise, alpha]))
    assert found[0, 0] == pytest.approx(rise * whole, rel=1e-11)


def test_quadrature_that_gives_up_is_not_a_number(monkeypatch):
    """Neither panels nor places for halves run out silently: an integrand of noise has no end."""
    noise = np.random.default_rng(1)

    def point(kind, t, p, out):
        out[:] = noise.uniform(size=out.shape[0])

    monkeypatch.setattr(quadrature, "point", point)
    monkeypatch.setattr(
        quadrature, "_panel", getattr(quadrature._panel, "py_func", quadrature._panel)
    )
    monkeypatch.setattr(quadrature, "_MAX_PANELS", 60)
    halve = getattr(quadrature.halve, "py_func", quadrature.halve)
    out = np.zeros(3)
    halve(shapes.FLARE, 0.0, np.array([0.0, 1.0]), np.ones(2), out)
    assert np.isnan(out).all()
    # The last halves of a step are too narrow to matter.
    monkeypatch.setattr(quadrature, "_MAX_PANELS", 4000)
    monkeypatch.setattr(quadrature, "point", lambda kind, t, p, out: out.fill(float(t > 1 / 3)))
    out = np.zeros(1)
    halve(shapes.FLARE, 0.0, np.array([0.0, 1.0]), np.ones(2), out)
    assert out[0] == pytest.approx(2 / 3, rel=1e-12)


def test_rise_from_zero_is_found_by_few_panels(monkeypatch):
    """The first, wide panel misses all of the flux: its size says nothing about the integral."""
    count = []
    panel = getattr(quadrature._panel, "py_func", quadrature._panel)

    def counted(*arguments):
        count.append(arguments)
        panel(*arguments)

    monkeypatch.setattr(quadrature, "_panel", counted)
    p = np.array([0.0, -10.2, -2.5, 48.0, 5.1])
    edges, out = np.array([0.0, -math.log(1e-290)]), np.zeros(6)
    halve = getattr(quadrature.halve, "py_func", quadrature.halve)
    halve(shapes.SMOOTH, 0.04e-290, edges, p, out)
    assert len(count) < 200
    expected = 0.04 * (0.04 / 48.0) ** 10.2 * 2 ** (1 / 5.1) / 11.2
    assert out[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("alpha", [0.99, 0.9, 0.5])
def test_smooth_break_from_zero_with_a_steep_beginning(alpha):
    """A smooth break between equal slopes is a power law, also where it is steep."""
    p = np.array([0.0, alpha, alpha, 60.0, 2.0])
    found = integrate(shapes.SMOOTH, [(0, 100)], p, 5)[0]
    plain = integrate(shapes.POWER_LAW, [(0, 100)], np.array([0.0, 60.0, alpha]), 3)[0]
    assert found[0] == pytest.approx(plain[0], rel=1e-11)
    assert found[2] + found[3] == pytest.approx(plain[3], rel=1e-9)
    assert found[4] == pytest.approx(plain[2], rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "p"),
    [
        (shapes.POWER_LAW, [0.0, 1.0, 1.0]),
        (shapes.CHAIN, [0.0, 1.5, 60.0, 3.0]),
        (shapes.SMOOTH, [0.0, 1.0, 2.0, 60.0, 1.0]),
        (shapes.NOVA, [0.0, 1.0, 1.0, 2.0]),
    ],
)
def test_integral_that_diverges_is_infinite(kind, p):
    found = integrate(kind, [(-1, 10), (1, 10)], np.array(p), len(p))
    assert found[0, 0] == np.inf
    assert np.isfinite(found[1]).all()
    assert not np.isnan(found).any()


def test_nothing_to_integrate(case):
    kind, p = case
    n = DERIVATIVES.get(kind, len(p))
    assert not integrate(kind, [(50, 50), (9, 8), (0, 0)], p, n).any()
    assert evaluate(kind, [], p).shape == (0, 1)
    assert integrate(kind, [], p).shape == (0, 1)


def test_no_flux_before_the_onset(case):
    kind, p = case
    start = shapes.start_of(kind, p)
    if np.isfinite(start):
        assert evaluate(kind, [start - 1e-9, start - 100], p).tolist() == [[0], [0]]
        assert integrate(kind, [(start - 100, start)], p).tolist() == [[0]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(CASES)),
    ends=st.lists(st.floats(-1e4, 1e6), min_size=3, max_size=3).map(sorted),
)
def test_integrals_add_up_and_are_never_nan(name, ends):
    kind, p = CASES[name][0], np.array(CASES[name][1])
    a, b, c = ends
    n = DERIVATIVES.get(kind, len(p))
    first, second, both = integrate(kind, [(a, b), (b, c), (a, c)], p, n)
    assert np.isfinite([first, second, both]).all()
    tolerance = 1e-10 * (abs(first) + abs(second)) + 1e-6 * abs(both[0]) * np.r_[0, np.ones(n)]
    assert np.all(abs(first + second - both) <= tolerance + 1e-290)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(CASES)),
    start=st.floats(-100, 300),
    length=st.floats(1e-3, 3e3),
    share=st.floats(0, 1),
)
def test_times_are_where_the_integral_has_their_share(name, start, length, share):
    kind, p = CASES[name][0], np.array(CASES[name][1])
    window = np.array([[start, start + length]])
    mass = integrate(kind, window, p)[0]
    if mass[0] == 0:
        return
    time = np.empty(1)
    temporal.invert(kind, window, mass, np.array([share]), p, time)
    assert window[0, 0] <= time[0] <= window[0, 1]
    found = integrate(kind, [(start, time[0])], p)[0, 0]
    # A time that is off by rounding is worth the flux there.
    slack = 1e-12 * max(abs(window[0])) * evaluate(kind, time, p)[0, 0]
    assert found == pytest.approx(share * mass[0], rel=1e-9, abs=slack + 1e-12 * mass[0])


@pytest.mark.parametrize(
    ("name", "share"),
    [("power law", 1e-6), ("three breaks", 0.37), ("nova", 0.9), ("flare", 0.99)],
)
def test_times_are_those_of_a_bisection(name, share):
    kind, p = CASES[name][0], np.array(CASES[name][1])
    window = np.array([[-50.0, 900.0]])
    time = np.empty(1)
    temporal.invert(kind, window, integrate(kind, window, p)[0], np.array([share]), p, time)
    expected = reference.quantile(kind, -50.0, 900.0, share, p, marks(kind, p))
    assert time[0] == pytest.approx(expected, rel=1e-9)


def test_times_in_windows_without_flux_are_not_drawn():
    kind, p = CASES["power law"][0], np.array(CASES["power law"][1])
    windows = np.array([[-9.0, -3.0], [4.0, 5.0], [10.0, 20.0], [30.0, 30.0], [40.0, 60.0]])
    masses = integrate(kind, windows, p)[:, 0]
    times = np.empty(1001)
    temporal.invert(kind, windows, masses, np.linspace(0, 1, 1001), p, times)
    assert np.all(((times >= 10) & (times <= 20)) | ((times >= 40) & (times <= 60)))
    assert np.all(np.diff(times) >= 0)
