"""Compiled spectra against Gammapy's own, and spectra that Gammapy evaluates."""

import operator

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from gammapy.data import GTI
from gammapy.modeling import Parameter
from gammapy.modeling import models as gm
from hypothesis import given, settings
from hypothesis import strategies as st

from ctao_sat.likelihood._differences import model_parameters
from ctao_sat.likelihood._spectra import SpectrumRequest, build_spectra

EDGES = np.geomspace(0.03, 30, 11)
FLUX = "3e-12 cm-2 s-1 TeV-1"

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
indices = st.floats(-1, 5)
energies = st.floats(-1.5, 1.5).map(lambda x: f"{10**x} TeV")


def compile_model(model, energy=EDGES, integrate=True, unit=u.TeV, frozen=None, **kwargs):
    """Return compiled spectra of one model, and the values of its parameters."""
    parameters = list({id(q): q for q in model_parameters(model)}.values())
    if "temporal" in kwargs:
        parameters += list(kwargs["temporal"][0].parameters)
    free = [not q.frozen if frozen is None else q.name not in frozen for q in parameters]
    request = SpectrumRequest(model, energy, integrate, energy_unit=unit, **kwargs)
    return build_spectra([request], parameters, free), np.array([q.value for q in parameters])


def of_gammapy(model, energy=EDGES, integrate=True, unit=u.TeV):
    """Return what Gammapy makes of a model."""
    with np.errstate(all="ignore"):
        if integrate:
            return u.Quantity(model.integral(energy[:-1] * unit, energy[1:] * unit))
        return u.Quantity(model(energy * unit))


# Gammapy divides by index - 1 in each part of a bin, and loses digits where that is small: at the
# peak of the energy flux of any curved spectrum. The kernels do not; see tests/kernels.
ROUNDING = 1e-9


def assert_equals_gammapy(model, tolerance=2e-12, native=True, **kwargs):
    """Compare bins and points, numbers and units."""
    for integrate in (True, False):
        spectra, p = compile_model(model, integrate=integrate, **kwargs)
        assert bool(spectra.numeric) is not native
        expected = of_gammapy(model, integrate=integrate, **kwargs)
        result = spectra.compute(p)[0] * spectra.units[0]
        assert result.unit.is_equivalent(expected.unit)
        expected = expected.to_value(result.unit)
        # Far below the largest number the digits of Gammapy end, and here a zero is only small.
        largest = np.max(np.abs(expected))
        assert np.allclose(result.value, expected, rtol=tolerance, atol=1e-99 * largest)


class TestModels:
    @repeatable
    @given(indices, energies)
    def test_power_laws(self, index, reference):
        # Gammapy divides by index - 1.
        far = abs(index - 1) > 1e-3
        tolerance = 2e-12 if far else ROUNDING
        assert_equals_gammapy(gm.PowerLawSpectralModel(index=index, reference=reference), tolerance)
        tilted = gm.PowerLawNormSpectralModel(tilt=index, reference=reference)
        assert_equals_gammapy(tilted, tolerance)
        if far:
            assert_equals_gammapy(gm.PowerLaw2SpectralModel(index=index), ROUNDING)

    @pytest.mark.parametrize("index", [1, 1 + 3e-9, 1 - 9e-9])
    def test_index_one(self, index):
        assert_equals_gammapy(gm.PowerLawSpectralModel(index=index, reference="0.7 TeV"))
        assert_equals_gammapy(gm.PowerLawNormSpectralModel(tilt=index))
        model = gm.PowerLawSpectralModel(index=index) * gm.PowerLawNormSpectralModel()
        assert_equals_gammapy(model)

    @repeatable
    @given(indices, st.floats(-1, 1), energies, energies)
    def test_log_parabolas(self, alpha, beta, reference, scale):
        shape = {"reference": reference, "alpha": alpha, "beta": beta}
        assert_equals_gammapy(gm.LogParabolaSpectralModel(**shape), ROUNDING)
        assert_equals_gammapy(gm.LogParabolaNormSpectralModel(norm=2, **shape), ROUNDING)
        assert_equals_gammapy(gm.LogParabola2SpectralModel(escale=scale, **shape), ROUNDING)

    @repeatable
    @given(indices, energies, st.floats(0.2, 2))
    def test_cutoffs(self, index, ecut, alpha):
        rate = 1 / u.Quantity(ecut)
        for power in (alpha, 1):
            assert_equals_gammapy(
                gm.ExpCutoffPowerLawSpectralModel(index=index, lambda_=rate, alpha=power), ROUNDING
            )
        assert_equals_gammapy(
            gm.ExpCutoffPowerLawNormSpectralModel(index, lambda_=rate, alpha=alpha), ROUNDING
        )
        assert_equals_gammapy(
            gm.ExpCutoffPowerLaw3FGLSpectralModel(index=index, ecut=ecut), ROUNDING
        )

    @repeatable
    @given(indices, st.floats(0.2, 1.5), energies, st.floats(-0.3, 0.9))
    def test_fermi(self, index, curve, energy, strength):
        assert_equals_gammapy(
            gm.SuperExpCutoffPowerLaw3FGLSpectralModel(
                index_1=index, index_2=curve, ecut=energy, reference="0.5 TeV"
            ),
            ROUNDING,
        )
        factor = strength / u.Quantity(energy).to_value("MeV") ** curve
        assert_equals_gammapy(
            gm.SuperExpCutoffPowerLaw4FGLSpectralModel(
                index_1=index, index_2=curve, expfactor=factor
            ),
            ROUNDING,
        )
        for index_2, tolerance in [
            (curve, ROUNDING),
            (-curve, ROUNDING),
            (0.0, ROUNDING),
            (0.02, 1e-9),
        ]:
            # For the last one Gammapy subtracts numbers that are larger than their difference.
            model = gm.SuperExpCutoffPowerLaw4FGLDR3SpectralModel(
                index_1=index, index_2=index_2, expfactor=strength, reference=energy
            )
            assert_equals_gammapy(model, tolerance)

    def test_overflow_within_gammapy(self):
        # (E / E0)**200 times exp(-80000 (...)) is no number for Gammapy; the spectrum is smooth.
        shape = {"index_1": 2, "expfactor": 0.5, "reference": "10 TeV"}
        model = gm.SuperExpCutoffPowerLaw4FGLDR3SpectralModel(index_2=0.0025, **shape)
        near = gm.SuperExpCutoffPowerLaw4FGLDR3SpectralModel(index_2=0.0, **shape)
        assert np.isnan(of_gammapy(model).value).any()
        (spectra, p), (other, q) = compile_model(model), compile_model(near)
        assert spectra.compute(p)[0] == pytest.approx(other.compute(q)[0], rel=0.1)

    @repeatable
    @given(indices, indices, energies, st.floats(0.1, 3))
    def test_breaks(self, index1, index2, ebreak, beta):
        assert_equals_gammapy(
            gm.BrokenPowerLawSpectralModel(index1=index1, index2=index2, ebreak=ebreak)
        )
        assert_equals_gammapy(
            gm.SmoothBrokenPowerLawSpectralModel(
                index1=index1, index2=index2, ebreak=ebreak, beta=beta
            ),
            ROUNDING,
        )

    def test_equal_indices(self):
        assert_equals_gammapy(gm.SmoothBrokenPowerLawSpectralModel(index1=2, index2=2))

    @repeatable
    @given(st.lists(st.floats(0.1, 10), min_size=4, max_size=4))
    def test_piecewise(self, norms):
        nodes = [0.1, 0.2, 2, 10] * u.TeV
        for interp in ("log", "lin"):
            model = gm.PiecewiseNormSpectralModel(nodes, np.array(norms), interp)
            assert_equals_gammapy(model)
            assert_equals_gammapy(gm.LogParabolaSpectralModel() * model)
            assert_equals_gammapy(gm.PiecewiseNormSpectralModel(nodes, -np.array(norms), "lin"))

    @pytest.mark.parametrize("interp", ["log", "lin"])
    def test_norms_of_zero(self, interp):
        nodes = [0.1, 0.2, 2, 10] * u.TeV
        assert_equals_gammapy(gm.PiecewiseNormSpectralModel(nodes, np.array([0, 1, 0, 0]), interp))

    @repeatable
    @given(st.floats(0.5, 20), st.floats(1, 20))
    def test_gaussian(self, mean, sigma):
        line = gm.GaussianSpectralModel(mean=mean * u.TeV, sigma=sigma * u.TeV)
        assert_equals_gammapy(line, ROUNDING)
        assert_equals_gammapy(line * gm.PowerLawNormSpectralModel(tilt=0.1), ROUNDING)

    def test_gaussian_of_negative_width(self):
        line = gm.GaussianSpectralModel(sigma="-2 TeV")
        assert_equals_gammapy(line, ROUNDING)
        assert_equals_gammapy(line * gm.PowerLawNormSpectralModel(tilt=0.1), ROUNDING)

    def test_constant(self):
        assert_equals_gammapy(gm.ConstantSpectralModel(const=FLUX))

    @pytest.mark.parametrize("scale", ["log", "lin"])
    def test_template(self, scale):
        values = [3, 1, 0.2, 0.0] * u.Unit("1e-12 cm-2 s-1 GeV-1")
        model = gm.TemplateSpectralModel(
            [0.01, 0.3, 5, 20] * u.TeV, values, interp_kwargs={"values_scale": scale}
        )
        assert_equals_gammapy(model, ROUNDING)
        assert_equals_gammapy(model * gm.PowerLawNormSpectralModel(norm=2, tilt=0.2), ROUNDING)

    def test_template_without_extrapolation(self):
        values = [3, 1] * u.Unit("cm-2 s-1 TeV-1")
        model = gm.TemplateSpectralModel(
            [0.1, 10] * u.TeV, values, interp_kwargs={"extrapolate": False}
        )
        spectra, p = compile_model(model)
        expected = of_gammapy(model).value
        assert np.isnan(expected).any()
        assert np.isfinite(expected).any()
        assert np.allclose(spectra.compute(p)[0], expected, rtol=1e-12, atol=0, equal_nan=True)

    def test_change_of_sign(self):
        # Gammapy's answer is useless, but the same.
        model = gm.PiecewiseNormSpectralModel([0.1, 10] * u.TeV, [1, -2], "lin")
        spectra, p = compile_model(model)
        expected = of_gammapy(model).value
        assert np.max(np.abs(expected)) > 1e290
        assert np.allclose(spectra.compute(p)[0], expected, rtol=1e-9, atol=0)

    def test_products(self):
        norm = gm.PowerLawNormSpectralModel(tilt=0.3, norm=1.1)
        model = gm.CompoundSpectralModel(
            norm,
            gm.LogParabolaSpectralModel(beta=0.2) * gm.PowerLaw2SpectralModel(),
            operator.mul,
        )
        assert_equals_gammapy(model * gm.ExpCutoffPowerLawNormSpectralModel())


def make_ebl(redshift=0.3, alpha=1.0, **kwargs):
    """Return an absorption model with a table of two redshifts and four energies."""
    data = np.exp(-np.outer([0.2, 1.0], [0.1, 0.5, 2.0, 8.0]))
    return gm.EBLAbsorptionNormSpectralModel(
        [0.05, 0.5, 5, 50] * u.TeV, [0.1, 0.5], data, redshift, alpha, **kwargs
    )


class TestAbsorption:
    @pytest.mark.parametrize("alpha", [0, 0.5, 1, 2.5, -1])
    def test_equals_gammapy(self, alpha):
        assert_equals_gammapy(make_ebl(alpha=alpha))
        assert_equals_gammapy(gm.LogParabolaSpectralModel() * make_ebl(alpha=alpha))

    def test_derivatives_by_its_norm(self):
        model = gm.PowerLawSpectralModel(amplitude="1 cm-2 s-1 TeV-1") * make_ebl()
        points = np.array([0.5, 5.0])
        spectra, p = compile_model(model, points, False, frozen={"index", "reference", "redshift"})
        f, df, d2f = spectra.compute(p, 2)
        # The table at its energies, between its redshifts: depths of 0.3 and 1.2.
        depth = np.array([0.6 * 0.5, 0.6 * 2.0])
        assert f == pytest.approx(np.exp(-depth) / points**2, rel=1e-12)
        assert df.reshape(2, 2)[:, 1] == pytest.approx(-depth * f, rel=1e-12)
        assert d2f.reshape(2, 2, 2)[:, 1, 1] == pytest.approx(depth**2 * f, rel=1e-12)

    def test_redshift_is_pinned(self):
        model = gm.PowerLawSpectralModel() * make_ebl(redshift=0.25)
        spectra, p = compile_model(model)
        assert spectra.pinned == [(model.parameters.names.index("redshift"), 0.25)]
        assert p[spectra.pinned[0][0]] == 0.25

    def test_free_redshift(self):
        model = gm.PowerLawSpectralModel() * make_ebl(redshift=0.25)
        model.parameters["redshift"].frozen = False
        spectra, p = compile_model(model)
        assert spectra.numeric == [(0, "free redshift of EBLAbsorptionNormSpectralModel")]
        f, df, _ = spectra.compute(p, 1)
        assert f == pytest.approx(of_gammapy(model).value, rel=1e-14)
        shifted = [compile_model(gm.PowerLawSpectralModel() * make_ebl(z)) for z in (0.24, 0.26)]
        low, high = [other.compute(q)[0] for other, q in shifted]
        column = spectra.columns[0].tolist().index(model.parameters.names.index("redshift"))
        assert df.reshape(f.size, -1)[:, column] == pytest.approx((high - low) / 0.02, rel=1e-3)

    @pytest.mark.realdata
    def test_entry_of_a_table(self, gammapy_data):
        path = gammapy_data / "ebl" / "ebl_dominguez11.fits.gz"
        with fits.open(path) as hdus:
            low, high = hdus["ENERGIES"].data["ENERG_LO"], hdus["ENERGIES"].data["ENERG_HI"]
            spectra = hdus["SPECTRA"].data
            row = 12
            column = int(np.argmin(np.abs(spectra["INTPSPEC"][row] - 0.5)))
            redshift = float(spectra["PARAMVAL"][row])
            entry = float(spectra["INTPSPEC"][row, column])
            energy = float(np.sqrt(float(low[column]) * float(high[column]))) * 1e-9
        assert 0.4 < entry < 0.6
        model = gm.EBLAbsorptionNormSpectralModel.read(str(path), redshift=redshift)
        spectra, p = compile_model(gm.ConstantSpectralModel() * model, np.array([energy]), False)
        assert not spectra.numeric
        assert spectra.compute(p)[0][0] == pytest.approx(entry * 1e-12, rel=1e-5)


class TestUnits:
    @pytest.mark.parametrize("unit", [u.TeV, u.GeV, u.MeV, u.erg])
    @pytest.mark.parametrize("n_bins", [1, 3, 10, 24, 40])
    def test_axis(self, unit, n_bins):
        # A bin of 100 / n nodes a decade is at the edge of having one more.
        edges = np.geomspace(0.01, 100, n_bins + 1) * u.TeV
        model = gm.LogParabolaSpectralModel()
        assert_equals_gammapy(model, energy=edges.to_value(unit), unit=unit)

    def test_parameters(self):
        model = gm.ExpCutoffPowerLawSpectralModel(
            amplitude="4 m-2 yr-1 GeV-1", reference="1 erg", lambda_="3e-5 GeV-1"
        )
        assert_equals_gammapy(model, ROUNDING)
        for name in model.parameters.names:
            model.parameters[name].frozen = name == "reference"
        spectra, p = compile_model(model)
        _, df, d2f = spectra.compute(p, 2)
        column = 2
        step = 1e-3 * p[3]
        low, high = p.copy(), p.copy()
        low[3], high[3] = p[3] - step, p[3] + step
        f, g = spectra.compute(low, 1), spectra.compute(high, 1)
        slope = df.reshape(10, 4)[:, column]
        assert slope == pytest.approx((g[0] - f[0]) / (2 * step), rel=1e-5)
        bend = (g[1] - f[1]).reshape(10, 4)[:, column] / (2 * step)
        assert d2f.reshape(10, 4, 4)[:, column, column] == pytest.approx(bend, rel=1e-4)

    def test_unit_that_no_index_has(self):
        model = gm.PowerLawSpectralModel() * gm.PowerLawNormSpectralModel()
        model.parameters["tilt"].unit = "s"
        parameters = list(model.parameters)
        request = SpectrumRequest(model, EDGES, True)
        with pytest.raises(u.UnitsError):
            # There is no kernel, and for Gammapy no spectrum.
            build_spectra([request], parameters, [True] * len(parameters))


class TestLinks:
    def test_same_parameter_in_two_shapes(self):
        first, second = gm.PowerLawSpectralModel(index=1.2), gm.PowerLawSpectralModel()
        second.index = first.index
        spectra, p = compile_model(first * second, frozen={"reference", "amplitude"})
        assert spectra.columns[0].tolist() == [0]
        f, df, d2f = spectra.compute(p, 2)
        single, q = compile_model(
            gm.PowerLawSpectralModel(index=2.4) * gm.ConstantSpectralModel(),
            frozen={"reference", "amplitude", "const"},
        )
        g, dg, d2g = single.compute(q, 2)
        assert f == pytest.approx(g, rel=1e-13)
        assert df == pytest.approx(2 * dg, rel=1e-12)
        assert d2f == pytest.approx(4 * d2g, rel=1e-12)

    def test_same_amplitude_twice(self):
        first, second = gm.PowerLawNormSpectralModel(), gm.PowerLawNormSpectralModel()
        second.norm = first.norm
        spectra, p = compile_model(first * second, frozen={"reference", "tilt"})
        p[spectra.columns[0][0]] = 3.0
        f, df, d2f = spectra.compute(p, 2)
        assert df == pytest.approx(2 / 3 * f)
        assert d2f == pytest.approx(2 / 9 * f)

    def test_amplitude_and_index(self):
        model = gm.PowerLawNormSpectralModel(tilt=1.5)
        model.norm = Parameter("norm", 1.5)
        parameter = model.norm
        model.tilt = parameter
        spectra, p = compile_model(model, np.array([2.0, 5.0]), False, frozen={"reference"})
        assert p[0] == 1.5
        log = np.log([2.0, 5.0])
        f, df, d2f = spectra.compute(p, 2)
        assert f == pytest.approx(1.5 * np.exp(-1.5 * log))
        assert df == pytest.approx((1 - 1.5 * log) * np.exp(-1.5 * log))
        assert d2f == pytest.approx((-2 * log + 1.5 * log**2) * np.exp(-1.5 * log))


class OddModel(gm.PowerLawSpectralModel):
    """A subclass may do anything."""

    index = Parameter("index", 2.0)
    amplitude = Parameter("amplitude", FLUX)
    reference = Parameter("reference", "1 TeV", frozen=True)

    @staticmethod
    def evaluate(energy, index, amplitude, reference):
        return amplitude * (2 + np.sin(u.Quantity(index).value * energy.value))

    def integral(self, energy_min, energy_max, **kwargs):
        return self((energy_min + energy_max) / 2) * (energy_max - energy_min)


def negative_constant():
    """Return a frozen flux below zero."""
    model = gm.ConstantSpectralModel(const="-3e-12 cm-2 s-1 TeV-1")
    model.freeze()
    return model


class TestScaled:
    @pytest.mark.parametrize("norm", [-0.3, 0.0, 2.5])
    def test_equals_gammapy(self, norm):
        # What is scaled may be anything, as it is frozen.
        inner = gm.LogParabolaSpectralModel(amplitude=FLUX) + OddModel()
        inner.freeze()
        model = gm.ScaleSpectralModel(inner, norm=norm)
        assert_equals_gammapy(model, 1e-13)
        spectra, p = compile_model(model)
        f, df, d2f = spectra.compute(p, 2)
        assert df == pytest.approx(of_gammapy(inner).to_value(spectra.units[0]), rel=1e-13)
        assert f == pytest.approx(norm * df, rel=1e-15)
        assert not d2f.any()
        assert spectra.pinned == [(i, p[i]) for i in range(1, len(p))]

    def test_zero_and_other_units(self):
        inner = gm.TemplateSpectralModel([0.01, 1, 50] * u.TeV, [0, 0, 0] / (u.GeV * u.m**2 * u.s))
        assert_equals_gammapy(gm.ScaleSpectralModel(inner))
        inner = gm.PowerLawSpectralModel(amplitude="3 m-2 s-1 MeV-1", reference="20 GeV")
        inner.freeze()
        assert_equals_gammapy(gm.ScaleSpectralModel(inner, norm=2), unit=u.GeV)


class TestNumeric:
    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            (OddModel(), "no kernel for OddModel"),
            (
                gm.ScaleSpectralModel(negative_constant()),
                "ScaleSpectralModel of a spectrum that is negative somewhere",
            ),
            (
                gm.ScaleSpectralModel(gm.PowerLawSpectralModel()) * gm.PowerLawNormSpectralModel(),
                "no kernel for ScaleSpectralModel",
            ),
            (
                gm.PowerLawSpectralModel() + gm.PowerLawSpectralModel(index=3),
                "sum or difference of spectra",
            ),
        ],
        ids=["subclass", "negative", "scale in a product", "sum"],
    )
    def test_equals_gammapy(self, model, reason):
        assert_equals_gammapy(model, 1e-14, native=False)
        spectra, _ = compile_model(model)
        assert spectra.numeric == [(0, reason)]

    def test_free_reference(self):
        # As a power law, a shift of the reference is one of the amplitude.
        model = gm.PowerLawSpectralModel(index=2.5, amplitude=FLUX, reference="2 TeV")
        spectra, p = compile_model(model, frozen=set())
        assert spectra.numeric == [(0, "free reference of PowerLawSpectralModel")]
        kernel, _ = compile_model(model)
        f, df, d2f = spectra.compute(p, 2)
        g, dg, d2g = kernel.compute(p, 2)
        df, d2f = df.reshape(-1, 3), d2f.reshape(-1, 3, 3)
        assert df[:, :2] == pytest.approx(dg.reshape(-1, 2), rel=1e-7)
        assert df[:, 2] == pytest.approx(g * 2.5 / 2, rel=1e-8)
        scale = np.abs(f)[:, np.newaxis, np.newaxis] / np.outer(p, p)
        assert np.max(np.abs(d2f[:, :2, :2] - d2g.reshape(-1, 2, 2)) / scale[:, :2, :2]) < 1e-7
        assert d2f[:, 2, 2] == pytest.approx(g * 2.5 * 1.5 / 4, rel=1e-7)

    def test_user_model_is_not_touched(self):
        model = OddModel()
        spectra, p = compile_model(model)
        before = [(q.value, q.factor, q.scale) for q in model.parameters]
        spectra.compute(2 * p, 2)
        assert [(q.value, q.factor, q.scale) for q in model.parameters] == before

    def test_parameters_that_a_model_hides(self):
        inner = gm.PowerLawSpectralModel(amplitude="1 cm-2 s-1 TeV-1")
        spectra, p = compile_model(gm.ScaleSpectralModel(inner, norm=3))
        assert spectra.numeric == [(0, "free index within ScaleSpectralModel")]
        kernel, q = compile_model(inner)
        f, df, _ = spectra.compute(p, 1)
        names = ["norm", *inner.parameters.names]
        columns = [names[i] for i in spectra.columns[0]]
        assert columns == ["norm", "index", "amplitude"]
        expected = 3 * kernel.compute(q, 1)[1].reshape(-1, 2)
        assert df.reshape(-1, 3)[:, 1:] == pytest.approx(expected, rel=1e-8)
        assert df.reshape(-1, 3)[:, 0] == pytest.approx(f / 3)

    def test_temporal_model(self):
        start = Time("2025-01-01") + [0, 1] * u.day
        gti = GTI.create([0, 24] * u.h, [1, 26] * u.h, reference_time=Time("2025-01-01"))
        temporal = gm.ExpDecayTemporalModel(t0="0.7 d", t_ref=start[0].mjd * u.d)
        model = gm.PowerLawSpectralModel()
        spectra, p = compile_model(model, temporal=(temporal, gti))
        assert spectra.numeric == [(0, "temporal model with free parameters")]
        norm = np.sum(temporal.integral(gti.time_start, gti.time_stop)).to_value("")
        f, df, _ = spectra.compute(p, 1)
        kernel, q = compile_model(model)
        assert f == pytest.approx(norm * kernel.compute(q)[0], rel=1e-12)
        assert spectra.columns[0].tolist() == [0, 1, 3]
        # The mean flux of a decay over three hours, for a longer and a shorter decay.
        norms = []
        for t0 in (0.69, 0.71):
            temporal.t0.value = t0
            norms.append(np.sum(temporal.integral(gti.time_start, gti.time_stop)).to_value(""))
        expected = (norms[1] - norms[0]) / 0.02 / norm * f
        assert df.reshape(-1, 3)[:, 2] == pytest.approx(expected, rel=1e-3)


class TestLayout:
    def test_many_vectors(self):
        models = [
            gm.PowerLawSpectralModel(),
            OddModel(),
            gm.GaussianSpectralModel(),
            gm.LogParabolaSpectralModel() * gm.PiecewiseNormSpectralModel([0.1, 1] * u.TeV),
        ]
        parameters = [q for model in models for q in model.parameters]
        requests = [
            SpectrumRequest(models[0], EDGES, True),
            SpectrumRequest(models[1], EDGES[:4], True),
            SpectrumRequest(models[2], EDGES[:2], True),
            SpectrumRequest(models[3], EDGES, False),
            SpectrumRequest(models[0], EDGES[3:], True),
        ]
        p = np.array([q.value for q in parameters])
        spectra = build_spectra(requests, parameters, [not q.frozen for q in parameters])
        assert [v for v, _ in spectra.numeric] == [1]
        for order in range(3):
            f, df, d2f = spectra.compute(p, order)
            for v, request in enumerate(requests):
                alone, q = compile_model(request.model, request.energy, request.integrate)
                g, dg, d2g = alone.compute(q, order)
                n = len(spectra.columns[v])
                part = slice(spectra.start[v], spectra.start[v + 1])
                assert np.array_equal(f[part], g)
                if order >= 1:
                    block = df[spectra.dstart[v] : spectra.dstart[v + 1]]
                    assert np.array_equal(block, dg)
                    assert block.size == g.size * n
                if order >= 2:
                    block = d2f[spectra.d2start[v] : spectra.d2start[v + 1]]
                    assert np.array_equal(block, d2g)
                    assert block.size == g.size * n * n
        flat = spectra.column_index
        for v, columns in enumerate(spectra.columns):
            part = flat[spectra.column_start[v] : spectra.column_start[v + 1]]
            assert np.array_equal(part, columns)

    def test_unknown_parameter(self):
        model = gm.PowerLawSpectralModel()
        with pytest.raises(ValueError, match="amplitude of PowerLawSpectralModel is not listed"):
            build_spectra([SpectrumRequest(model, EDGES, True)], [model.index], [True])
