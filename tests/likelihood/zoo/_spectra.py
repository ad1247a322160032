"""Spectral models of all kinds, as bright as a tenth of the Crab nebula to ten times it."""

import astropy.units as u
import numpy as np
from gammapy.maps import MapAxis, RegionNDMap
from gammapy.modeling import Parameter
from gammapy.modeling.models import (
    BrokenPowerLawSpectralModel,
    ConstantSpectralModel,
    EBLAbsorptionNormSpectralModel,
    ExpCutoffPowerLaw3FGLSpectralModel,
    ExpCutoffPowerLawNormSpectralModel,
    ExpCutoffPowerLawSpectralModel,
    GaussianSpectralModel,
    LogParabola2SpectralModel,
    LogParabolaNormSpectralModel,
    LogParabolaSpectralModel,
    PiecewiseNormSpectralModel,
    PowerLaw2SpectralModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    ScaleSpectralModel,
    SmoothBrokenPowerLawSpectralModel,
    SpectralModel,
    SuperExpCutoffPowerLaw3FGLSpectralModel,
    SuperExpCutoffPowerLaw4FGLDR3SpectralModel,
    SuperExpCutoffPowerLaw4FGLSpectralModel,
    TemplateNDSpectralModel,
    TemplateSpectralModel,
)

FLUX = "cm-2 s-1 TeV-1"


class WavySpectralModel(SpectralModel):
    """A power law with ripples, which no library can know."""

    tag = "WavySpectralModel"
    amplitude = Parameter("amplitude", 1e-12, unit=FLUX, scale_method="scale10")
    index = Parameter("index", 2.0)
    depth = Parameter("depth", 0.2)
    reference = Parameter("reference", 1.0, unit="TeV", frozen=True)

    @staticmethod
    def evaluate(energy, amplitude, index, depth, reference):
        """Return dN/dE."""
        ratio = (energy / reference).to_value("")
        return amplitude * ratio ** (-index.value) * (1 + depth.value * np.sin(3 * np.log(ratio)))


def _amplitude(rng):
    return 10 ** rng.uniform(-12.0, -10.8) * u.Unit(FLUX)


def power_law(rng):
    """Return a power law, the plainest model."""
    unit = rng.choice(["TeV", "GeV"])
    reference = (rng.uniform(0.8, 2) * u.TeV).to(unit)
    amplitude = _amplitude(rng).to(rng.choice([FLUX, "m-2 s-1 GeV-1"]))
    return PowerLawSpectralModel(
        index=rng.uniform(1.7, 2.8), amplitude=amplitude, reference=reference
    )


def _power_law_index_1(rng):
    return PowerLawSpectralModel(index=1.0, amplitude=0.1 * _amplitude(rng))


def _power_law_2(rng):
    amplitude = (_amplitude(rng) * u.TeV).to("cm-2 s-1")
    return PowerLaw2SpectralModel(
        amplitude=amplitude, index=rng.uniform(1.8, 2.8), emin=0.7 * u.TeV, emax=30 * u.TeV
    )


def _cutoff(rng):
    model = ExpCutoffPowerLawSpectralModel(
        index=rng.uniform(1.5, 2.3),
        amplitude=_amplitude(rng),
        lambda_=rng.uniform(0.05, 0.4) / u.TeV,
    )
    model.alpha.value = rng.choice([1.0, 0.6])
    model.alpha.frozen = bool(rng.integers(2))
    return model


def _cutoff_3fgl(rng):
    return ExpCutoffPowerLaw3FGLSpectralModel(
        index=rng.uniform(1.5, 2.3), amplitude=_amplitude(rng), ecut=rng.uniform(2, 20) * u.TeV
    )


def _super_3fgl(rng):
    return SuperExpCutoffPowerLaw3FGLSpectralModel(
        amplitude=_amplitude(rng), ecut=rng.uniform(3, 20) * u.TeV, index_1=1.8, index_2=0.8
    )


def _super_4fgl(rng):
    return SuperExpCutoffPowerLaw4FGLSpectralModel(
        amplitude=_amplitude(rng), expfactor=2e-4, index_1=1.9, index_2=rng.uniform(0.5, 0.6)
    )


def _super_dr3(rng):
    return SuperExpCutoffPowerLaw4FGLDR3SpectralModel(
        amplitude=_amplitude(rng), expfactor=0.3, index_1=2.1, index_2=rng.uniform(0.4, 0.8)
    )


def _log_parabola(rng):
    return LogParabolaSpectralModel(
        amplitude=_amplitude(rng),
        reference=1 * u.TeV,
        alpha=rng.uniform(1.8, 2.6),
        beta=rng.uniform(0.05, 0.3),
    )


def _log_parabola_2(rng):
    return LogParabola2SpectralModel(
        amplitude=_amplitude(rng), reference=1 * u.TeV, alpha=2.2, beta=0.1, escale=500 * u.GeV
    )


def _broken(rng):
    return BrokenPowerLawSpectralModel(
        index1=1.8, index2=2.7, amplitude=_amplitude(rng), ebreak=rng.uniform(0.8, 4) * u.TeV
    )


def _smooth_broken(rng):
    model = SmoothBrokenPowerLawSpectralModel(
        index1=1.7, index2=2.8, amplitude=_amplitude(rng), ebreak=rng.uniform(0.8, 4) * u.TeV
    )
    model.beta.value = rng.choice([1.0, 0.4])
    model.beta.frozen = bool(rng.integers(2))
    return model


def _constant(rng):
    return ConstantSpectralModel(const=0.05 * _amplitude(rng))


def _gaussian(rng):
    amplitude = (_amplitude(rng) * u.TeV).to("cm-2 s-1")
    return GaussianSpectralModel(
        amplitude=amplitude, mean=rng.uniform(1.5, 4) * u.TeV, sigma=rng.uniform(0.5, 2) * u.TeV
    )


def _template(rng):
    energy = np.geomspace(0.05, 200, 30) * u.TeV
    values = _amplitude(rng) * energy.value ** -(2.0 + 0.1 * np.log(energy.value))
    return TemplateSpectralModel(energy=energy, values=values)


def _template_norm(rng):
    norm = PowerLawNormSpectralModel(norm=rng.uniform(0.7, 1.4), tilt=rng.uniform(-0.2, 0.2))
    norm.tilt.frozen = bool(rng.integers(2))
    return _template(rng) * norm


def _template_cutoff_norm(rng):
    return _template(rng) * ExpCutoffPowerLawNormSpectralModel(index=0.1, lambda_=0.1 / u.TeV)


def _log_parabola_norm(rng):
    norm = LogParabolaNormSpectralModel(reference=1 * u.TeV, alpha=0.1, beta=0.05)
    model = power_law(rng) * norm
    model.parameters["index"].frozen = True
    model.parameters["amplitude"].frozen = True
    return model


def piecewise(rng, interp):
    """Return piecewise norms at three or four energies."""
    energy = np.geomspace(0.4, 25, int(rng.integers(3, 5))) * u.TeV
    return PiecewiseNormSpectralModel(
        energy=energy, norms=rng.uniform(0.7, 1.4, len(energy)), interp=interp
    )


def _piecewise_log(rng):
    model = power_law(rng) * piecewise(rng, "log")
    model.parameters["amplitude"].frozen = True
    return model


def _piecewise_lin(rng):
    model = _template(rng) * piecewise(rng, "lin")
    model.parameters[0].min = 0
    return model


def ebl(rng):
    """Return absorption by a made-up background: tau grows with energy and redshift."""
    redshift = np.array([0.01, 0.1, 0.3, 0.6])
    energy = np.geomspace(0.02, 200, 25) * u.TeV
    tau = 3 * redshift[:, np.newaxis] * energy.value ** (0.8 + 0.1 * np.sin(energy.value))
    return EBLAbsorptionNormSpectralModel(
        energy=energy,
        param=redshift,
        data=np.exp(-tau),
        redshift=rng.uniform(0.02, 0.3),
        alpha_norm=rng.uniform(0.7, 1.3),
    )


def _absorbed(rng):
    model = rng.choice([power_law, _log_parabola])(rng) * ebl(rng)
    model.parameters["alpha_norm"].frozen = bool(rng.integers(2))
    return model


def _absorbed_nested(rng):
    return power_law(rng) * ebl(rng) * PowerLawNormSpectralModel(tilt=0.1)


def _sum(rng):
    return power_law(rng) + _cutoff(rng)


def _sum_of_product(rng):
    return _log_parabola(rng) * ebl(rng) + _gaussian(rng)


def _sum_with_constant(rng):
    return power_law(rng) + _constant(rng)


def _difference(rng):
    return power_law(rng) - ConstantSpectralModel(const=1e-17 * u.Unit(FLUX))


def _scaled(rng):
    return ScaleSpectralModel(power_law(rng), norm=rng.uniform(0.7, 1.3))


def _template_nd(rng):
    energy = MapAxis.from_energy_bounds(
        0.05, 200, nbin=20, unit="TeV", name="energy_true", node_type="center"
    )
    index = MapAxis.from_nodes([1.6, 2.0, 2.4, 2.8], name="index")
    table = RegionNDMap.create(None, axes=[energy, index], unit=FLUX)
    slope = index.center.value[:, np.newaxis]
    value = _amplitude(rng).value * energy.center.value ** (-slope)
    table.data = value.reshape(table.data.shape)
    model = TemplateNDSpectralModel(table, interp_kwargs={"values_scale": "log"})
    model.index.value = rng.uniform(1.8, 2.6)
    return model


def wavy(rng):
    """Return the model that no library can know."""
    return WavySpectralModel(amplitude=_amplitude(rng), index=rng.uniform(1.8, 2.5))


def without_exposure(rng):
    """Return a model of counts per energy, for sources whose exposure is not applied."""
    model = power_law(rng)
    model.amplitude.unit = "TeV-1"
    model.amplitude.value = rng.uniform(10, 100)
    return model


SPECTRA = {
    "power law": power_law,
    "power law, index 1": _power_law_index_1,
    "power law 2": _power_law_2,
    "cut-off": _cutoff,
    "cut-off 3FGL": _cutoff_3fgl,
    "super cut-off 3FGL": _super_3fgl,
    "super cut-off 4FGL": _super_4fgl,
    "super cut-off 4FGL-DR3": _super_dr3,
    "log parabola": _log_parabola,
    "log parabola 2": _log_parabola_2,
    "broken": _broken,
    "smoothly broken": _smooth_broken,
    "constant": _constant,
    "Gaussian": _gaussian,
    "template": _template,
    "template x norm": _template_norm,
    "template x cut-off norm": _template_cutoff_norm,
    "x log parabola norm": _log_parabola_norm,
    "x piecewise log": _piecewise_log,
    "x piecewise lin": _piecewise_lin,
    "absorbed": _absorbed,
    "absorbed, nested": _absorbed_nested,
    "sum": _sum,
    "sum of products": _sum_of_product,
    "sum with constant": _sum_with_constant,
    "difference": _difference,
    "scaled": _scaled,
    "table of two dimensions": _template_nd,
}
