"""Kernels of spectra: against plain twins, complex steps, and numbers from elsewhere."""

import math
import os
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling import models as gm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from ctao_sat.kernels import reference
from ctao_sat.kernels._loglog import integrate, log_mean, log_mean_curvature, segments
from ctao_sat.kernels.spectra import evaluate
from ctao_sat.likelihood._spectra import SpectrumRequest, build_spectra

EDGES = np.geomspace(0.05, 50, 13)
WITHOUT_DERIVATIVE = {"reference", "escale", "emin", "emax"}

repeatable = settings(max_examples=100, deadline=None, derandomize=True, database=None)

MODELS = {
    "power law": gm.PowerLawSpectralModel(index=2.3),
    "power law norm": gm.PowerLawNormSpectralModel(tilt=0.3, norm=1.2),
    "power law 2": gm.PowerLaw2SpectralModel(index=2.2),
    "log-parabola": gm.LogParabolaSpectralModel(beta=0.3),
    "log-parabola norm": gm.LogParabolaNormSpectralModel(alpha=0.1, beta=-0.2),
    "log-parabola 2": gm.LogParabola2SpectralModel(beta=0.2, escale="3 TeV"),
    "cut-off": gm.ExpCutoffPowerLawSpectralModel(),
    "sub-exponential cut-off": gm.ExpCutoffPowerLawSpectralModel(alpha=0.6),
    "cut-off norm": gm.ExpCutoffPowerLawNormSpectralModel(alpha=2),
    "cut-off 3FGL": gm.ExpCutoffPowerLaw3FGLSpectralModel(),
    "super cut-off 3FGL": gm.SuperExpCutoffPowerLaw3FGLSpectralModel(),
    "super cut-off 4FGL": gm.SuperExpCutoffPowerLaw4FGLSpectralModel(index_2=1.7),
    "super cut-off 4FGL-DR3": gm.SuperExpCutoffPowerLaw4FGLDR3SpectralModel(),
    "super cut-off 4FGL-DR3, flat": gm.SuperExpCutoffPowerLaw4FGLDR3SpectralModel(index_2=1e-3),
    # The break is as far from the nodes as it can be: there its derivative jumps.
    "broken power law": gm.BrokenPowerLawSpectralModel(index1=1.8, index2=2.7, ebreak="0.99 TeV"),
    "smooth break": gm.SmoothBrokenPowerLawSpectralModel(index1=1.8, index2=2.7, beta=0.4),
    "smooth break upwards": gm.SmoothBrokenPowerLawSpectralModel(index1=2.8, index2=2.1, beta=2),
    "constant": gm.ConstantSpectralModel(),
    "piecewise log": gm.PiecewiseNormSpectralModel([0.1, 1, 10] * u.TeV, [1, 2, 0.7]),
    "piecewise lin": gm.PiecewiseNormSpectralModel([0.1, 1, 10] * u.TeV, [1, 2, 0.7], "lin"),
    "negative piecewise": gm.PiecewiseNormSpectralModel([0.1, 10] * u.TeV, [-1, -2], "lin"),
    "gaussian": gm.GaussianSpectralModel(),
    "product": gm.PowerLawSpectralModel()
    * gm.PowerLawNormSpectralModel(tilt=0.2)
    * gm.LogParabolaNormSpectralModel(beta=0.1),
    "gaussian product": gm.GaussianSpectralModel(sigma="8 TeV") * gm.PowerLawNormSpectralModel(),
    "in GeV": gm.ExpCutoffPowerLawSpectralModel(
        amplitude="1e-15 cm-2 s-1 GeV-1", reference="700 GeV", lambda_="2e-4 GeV-1"
    ),
}


def build(model, edges=EDGES, integrate=True, frozen=WITHOUT_DERIVATIVE):
    """Return compiled spectra of one model, with free parameters, and the values of all."""
    parameters = list(model.parameters.unique_parameters)
    free = [parameter.name not in frozen for parameter in parameters]
    spectra = build_spectra([SpectrumRequest(model, edges, integrate)], parameters, free)
    return spectra, np.array([parameter.value for parameter in parameters])


def gradient(spectra, p):
    """Return the block of first derivatives of a single spectrum."""
    f, df, _ = spectra.compute(p, 1)
    return df.reshape(f.size, -1)


def complex_gradient(spectra, p):
    """Return the same from the twin: the imaginary part of f(p + ih) / h has no rounding error."""
    columns = []
    for column in spectra.columns[0]:
        step = 1e-30 * (abs(p[column]) or 1.0)
        shifted = p.astype(complex)
        shifted[column] += 1j * step
        columns.append(np.imag(reference.spectra(shifted, spectra.arrays)[0]) / step)
    return np.array(columns).T


def assert_close_columns(result, expected, tolerance):
    """Compare derivatives, each column by its largest entry."""
    largest = np.max(np.abs(expected), axis=0)
    assert np.all(largest > 0)
    assert np.max(np.abs(result - expected) / largest) < tolerance


@pytest.mark.parametrize("integrate", [True, False], ids=["bins", "points"])
@pytest.mark.parametrize("name", MODELS)
def test_twin(name, integrate):
    spectra, p = build(MODELS[name], integrate=integrate)
    assert not spectra.numeric
    expected = reference.spectra(p, spectra.arrays)[0]
    for order in range(3):
        assert np.allclose(spectra.compute(p, order)[0], expected, rtol=5e-14, atol=0)


@pytest.mark.parametrize("integrate", [True, False], ids=["bins", "points"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "gaussian"])
def test_first_derivatives(name, integrate):
    spectra, p = build(MODELS[name], integrate=integrate)
    assert_close_columns(gradient(spectra, p), complex_gradient(spectra, p), 1e-13)
    assert np.array_equal(spectra.compute(p, 1)[1], spectra.compute(p, 2)[1])


def eighth_order(function, x, column, step):
    """Return the derivative of a function of many numbers by differences of eighth order."""
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    shift = np.zeros(x.size)
    shift[column] = step
    total = 0.0
    for k, weight in weights.items():
        total = total + weight * (function(x + k * shift) - function(x - k * shift))
    return total / step


@pytest.mark.parametrize("integrate", [True, False], ids=["bins", "points"])
@pytest.mark.parametrize("name", MODELS)
def test_second_derivatives(name, integrate):
    spectra, p = build(MODELS[name], integrate=integrate)
    n, columns = spectra.start[-1], spectra.columns[0]
    second = spectra.compute(p, 2)[2].reshape(n, columns.size, columns.size)
    first = gradient(spectra, p)
    scale = np.max(np.abs(first), axis=0)
    size = np.max(np.abs(spectra.compute(p)[0]))
    for j, column in enumerate(columns):
        step = 2e-3 * (abs(p[column]) or 1.0)
        expected = eighth_order(lambda x: gradient(spectra, x), p, column, step)
        miss = np.abs(second[:, :, j] - expected) * size / (scale * scale[j])
        assert np.max(miss) < 1e-7
    assert np.array_equal(second, np.swapaxes(second, 1, 2))


def test_gaussian_first_derivatives():
    spectra, p = build(MODELS["gaussian"])
    expected = [
        eighth_order(lambda x: spectra.compute(x)[0], p, column, 1e-2 * abs(p[column]))
        for column in spectra.columns[0]
    ]
    assert_close_columns(gradient(spectra, p), np.array(expected).T, 1e-9)


class TestLogMean:
    pairs = st.tuples(st.floats(-30, 30), st.floats(-3, 3))

    @repeatable
    @given(pairs)
    def test_value(self, pair):
        z, d = pair
        mean = log_mean(z, math.exp(z), z + d, math.exp(z + d))
        expected = math.exp(z) * (math.expm1(d) / d if d else 1.0)
        # The difference of the logarithms is rounded like the larger of them.
        assert mean == pytest.approx(expected, rel=1e-13)

    @pytest.mark.parametrize("d", [0.0, 1e-12, 1e-3, 0.0999, 0.1, 0.1001, 2.0, -0.09, -0.11])
    def test_derivatives(self, d):
        # Integrals over t from 0 to 1 of exp(z1 (1 - t) + z2 t), and of its derivatives.
        def moment(i, j):
            return quad(lambda t: (1 - t) ** i * t**j * math.exp(d * t), 0, 1, epsabs=1e-14)[0]

        expected = [moment(*ij) for ij in [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]]
        assert log_mean_curvature(0.0, 1.0, d, math.exp(d)) == pytest.approx(expected, rel=1e-11)

    def test_branches_meet(self):
        near = [log_mean_curvature(0.0, 1.0, d, math.exp(d)) for d in (0.1 - 1e-13, 0.1 + 1e-13)]
        assert near[0] == pytest.approx(near[1], rel=1e-11)


class TestOddSegments:
    """Gammapy's rules where a logarithm does not exist."""

    @staticmethod
    def both(y):
        y = np.array(y, dtype=float)
        with np.errstate(all="ignore"):
            z = np.log(np.abs(y))
        n = y.size - 1
        results = np.empty((2, n)), np.empty((5, n))
        integrate(n, 1, np.full(n, 0.1), z, y, results[0][0])
        segments(n, 1, np.full(n, 0.1), z, y, results[0][1], results[1])
        assert np.array_equal(results[0][0], results[0][1], equal_nan=True)
        return results[0][0], results[1]

    def test_zero(self):
        total, weights = self.both([1, 0, 0, 2])
        assert np.array_equal(total, [0, 0, 0])
        assert np.array_equal(weights, np.zeros((5, 3)))

    def test_not_a_number(self):
        total, _ = self.both([1, np.nan, 1])
        assert total[0] == 0
        assert np.isnan(total[1])

    def test_change_of_sign(self):
        # Gammapy's power law has the index log(tiny) / log(E1 / E2), and its integral is large.
        total, _ = self.both([1, -1])
        rise = 0.1 - math.log(np.finfo(float).tiny)
        assert total[0] == pytest.approx(0.1 * math.expm1(rise) / rise)

    def test_both_negative(self):
        total, _ = self.both([-1, -2])
        assert total[0] == pytest.approx(-0.1 / math.log(2))


class TestNumbersFromElsewhere:
    def test_power_law(self):
        spectra, p = build(gm.PowerLawSpectralModel(index=2), np.array([1.0, 10.0]))
        assert spectra.compute(p)[0][0] == pytest.approx(0.9e-12, rel=1e-15)

    def test_index_one(self):
        spectra, p = build(gm.PowerLawSpectralModel(index=1), np.array([1.0, math.e]))
        assert spectra.compute(p)[0][0] == pytest.approx(1e-12, rel=1e-15)
        # By the index: minus the integral of ln(E) / E.
        assert gradient(spectra, p)[0, 0] == pytest.approx(-0.5e-12, rel=1e-14)

    def test_power_law_2(self):
        # Half of the flux between 1 and 100 is above 2 - 1/50 for an index of 2.
        median = 1 / (0.5 * (1 + 0.01))
        model = gm.PowerLaw2SpectralModel(amplitude="3 cm-2 s-1", emin="1 TeV", emax="100 TeV")
        spectra, p = build(model, np.array([1.0, median, 100.0]))
        assert spectra.compute(p)[0] == pytest.approx([1.5, 1.5], rel=1e-14)

    def test_gaussian(self):
        model = gm.GaussianSpectralModel(amplitude="1 cm-2 s-1", mean="5 TeV", sigma="1 TeV")
        spectra, p = build(model, np.array([2.0, 4.0, 6.0, 8.0]))
        assert spectra.compute(p)[0] == pytest.approx(
            [0.157305355899, 0.682689492137, 0.157305355899], rel=1e-11
        )

    @pytest.mark.parametrize(
        ("name", "flux"),
        [
            ("log-parabola", lambda e: (e / 10) ** (-2 - 0.3 * math.log(e / 10))),
            ("cut-off", lambda e: e**-1.5 * math.exp(-0.1 * e)),
            ("smooth break", lambda e: e**-1.8 * (1 + e ** (0.9 / 0.4)) ** -0.4),
        ],
    )
    def test_quadrature(self, name, flux):
        spectra, p = build(MODELS[name], np.array([0.5, 2.0, 20.0]))
        expected = [1e-12 * quad(flux, 0.5, 2.0)[0], 1e-12 * quad(flux, 2.0, 20.0)[0]]
        # 100 nodes a decade, joined by power laws
        assert spectra.compute(p)[0] == pytest.approx(expected, rel=2e-4)


class TestEdgeCases:
    @pytest.mark.parametrize("name", ["log-parabola", "cut-off", "product", "power law"])
    def test_no_amplitude(self, name):
        spectra, p = build(MODELS[name])
        unit, zero = p.copy(), p.copy()
        where = spectra.columns[0][[abs(p[i]) < 1e-9 for i in spectra.columns[0]]][0]
        unit[where], zero[where] = 1.0, 0.0
        f, df, d2f = spectra.compute(zero, 2)
        assert np.array_equal(f, np.zeros_like(f))
        # The derivative by the amplitude is the spectrum of unit amplitude.
        column = list(spectra.columns[0]).index(where)
        assert df.reshape(f.size, -1)[:, column] == pytest.approx(spectra.compute(unit)[0])
        assert np.all(np.isfinite(d2f))

    @pytest.mark.parametrize("name", ["log-parabola", "cut-off", "product", "gaussian"])
    def test_negative_amplitude(self, name):
        spectra, p = build(MODELS[name])
        where = next(i for i in spectra.columns[0] if abs(p[i]) < 1e-9)
        negative = p.copy()
        negative[where] *= -1
        assert np.array_equal(spectra.compute(negative)[0], -spectra.compute(p)[0])

    @pytest.mark.parametrize("rate", ["1e3 TeV-1", "1e6 TeV-1", "1e300 TeV-1"])
    def test_nothing_left_above_the_cutoff(self, rate):
        spectra, p = build(gm.ExpCutoffPowerLawSpectralModel(lambda_=rate, alpha=2))
        results = spectra.compute(p, 2)
        assert all(np.all(np.isfinite(part)) for part in results)
        assert np.array_equal(results[0][4:], np.zeros(8))

    def test_rate_zero(self):
        cut, p = build(gm.ExpCutoffPowerLawSpectralModel(lambda_="0 TeV-1", index=2.1))
        plain, q = build(gm.PowerLawSpectralModel(index=2.1))
        f, df, _ = cut.compute(p, 2)
        assert f == pytest.approx(plain.compute(q)[0], rel=1e-12)
        assert np.all(np.isfinite(df))
        assert np.all(df.reshape(f.size, -1)[:, 2] < 0)

    @pytest.mark.parametrize("miss", [0.0, 3e-9, -9e-9])
    def test_index_near_one(self, miss):
        # Within 1e-8 Gammapy takes the index for one; derivatives are those of the exact formula.
        spectra, p = build(gm.PowerLawSpectralModel(index=1 + miss))
        exact, q = build(gm.PowerLawSpectralModel(index=1))
        assert np.array_equal(spectra.compute(p)[0], exact.compute(q)[0])
        far = eighth_order(lambda x: spectra.compute(x)[0], q, 0, 1e-2)
        assert gradient(spectra, p)[:, 0] == pytest.approx(far, rel=1e-8)

    @pytest.mark.parametrize("interp", ["log", "lin"])
    def test_norm_of_zero(self, interp):
        model = gm.PiecewiseNormSpectralModel([0.1, 1, 10] * u.TeV, [1, 0, 1], interp)
        spectra, p = build(model)
        assert all(np.all(np.isfinite(part)) for part in spectra.compute(p, 2))

    def test_norm_of_zero_at_a_point(self):
        model = gm.PiecewiseNormSpectralModel([0.1, 1, 10] * u.TeV, [0, 0, 0], "lin")
        spectra, p = build(model, np.array([0.1, math.sqrt(0.1 * 1.0), 10.0]), integrate=False)
        f, df, d2f = spectra.compute(p, 2)
        middle = (math.sqrt(0.1) - 0.1) / 0.9
        assert f == pytest.approx(0, abs=1e-90)
        expected = np.array([[1, 0, 0], [1 - middle, middle, 0], [0, 0, 1]])
        assert df.reshape(3, 3) == pytest.approx(expected)
        assert np.array_equal(d2f, np.zeros(27))

    @pytest.mark.parametrize("name", MODELS)
    def test_frozen(self, name):
        # Derivatives by one parameter do not depend on what else is free.
        spectra, p = build(MODELS[name])
        f, df, d2f = spectra.compute(p, 2)
        n = spectra.columns[0].size
        names = [q.name for q in MODELS[name].parameters.unique_parameters]
        for j, column in enumerate(spectra.columns[0]):
            alone, _ = build(MODELS[name], frozen=set(names) - {names[column]})
            chosen = [names[i] for i in alone.columns[0]].index(names[column])
            m = alone.columns[0].size
            one = alone.compute(p, 2)
            assert np.array_equal(one[0], f)
            assert np.array_equal(one[1].reshape(-1, m)[:, chosen], df.reshape(-1, n)[:, j])
            second = one[2].reshape(-1, m, m)[:, chosen, chosen]
            assert np.array_equal(second, d2f.reshape(-1, n, n)[:, j, j])

    def test_everything_frozen(self):
        model = MODELS["log-parabola"]
        spectra, p = build(model, frozen=set(model.parameters.names))
        f, df, d2f = spectra.compute(p, 2)
        assert f.size == 12
        assert df.size == d2f.size == 0

    def test_no_spectra(self):
        spectra = build_spectra([], [], [])
        assert [part.size for part in spectra.compute(np.zeros(0), 2)] == [0, 0, 0]


SCRIPT = """
import numpy as np
from ctao_sat.kernels.spectra import SpectraArrays, evaluate
arrays = SpectraArrays(np.zeros(5, dtype=np.int64), np.zeros(1))
evaluate(0, np.zeros(1), arrays, np.zeros(0), np.zeros(0), np.zeros(0))
print(sum(evaluate.stats.cache_hits.values()), sum(evaluate.stats.cache_misses.values()))
"""


def test_second_process_does_not_compile(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT]
    outputs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert [output.split() for output in outputs] == [["0", "1"], ["1", "0"]]


def test_does_not_touch_input():
    spectra, p = build(MODELS["product"])
    before = [p.copy(), *(array.copy() for array in spectra.arrays)]
    f, df, d2f = (np.empty(ends[-1]) for ends in (spectra.start, spectra.dstart, spectra.d2start))
    evaluate(2, p, spectra.arrays, f, df, d2f)
    assert all(np.array_equal(a, b) for a, b in zip(before, [p, *spectra.arrays], strict=True))
