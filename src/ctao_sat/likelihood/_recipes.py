"""Which of Gammapy's spectral models is which shape of the kernel, and of which parameters."""

from typing import NamedTuple

import astropy.units as u
from gammapy.modeling import models as gm

from ctao_sat.kernels import spectra_layout as layout

__all__ = ["OWN_INTEGRAL", "PAIRS", "RECIPES", "Recipe", "parameter_unit"]


class Recipe(NamedTuple):
    """How a model becomes a shape.

    Attributes
    ----------
    kind : int or None
        Kind of the shape; a constant has none.
    linear : str
        Name of the amplitude.
    free, fixed : tuple of str
        Names of the arguments with and without derivatives.
    per_energy : bool
        Whether the amplitude is an integral over energy.
    """

    kind: int | None
    linear: str
    free: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    per_energy: bool = False


_EXPCUT = (("index", "lambda_", "alpha"), ("reference",))
_SUPER_4FGL = (("index_1", "index_2", "expfactor"), ("reference",))
_PARABOLA = (("alpha", "beta"), ("reference", "reference"))
RECIPES: dict[type, Recipe] = {
    gm.ConstantSpectralModel: Recipe(None, "const"),
    gm.PowerLawSpectralModel: Recipe(layout.POWER, "amplitude", ("index",), ("reference",)),
    gm.PowerLawNormSpectralModel: Recipe(layout.POWER, "norm", ("tilt",), ("reference",)),
    gm.PowerLaw2SpectralModel: Recipe(
        layout.POWER_2, "amplitude", ("index",), ("emin", "emax"), per_energy=True
    ),
    gm.LogParabolaSpectralModel: Recipe(layout.LOG_PARABOLA, "amplitude", *_PARABOLA),
    gm.LogParabolaNormSpectralModel: Recipe(layout.LOG_PARABOLA, "norm", *_PARABOLA),
    gm.LogParabola2SpectralModel: Recipe(
        layout.LOG_PARABOLA, "amplitude", ("alpha", "beta"), ("reference", "escale")
    ),
    gm.ExpCutoffPowerLawSpectralModel: Recipe(layout.CUTOFF, "amplitude", *_EXPCUT),
    gm.ExpCutoffPowerLawNormSpectralModel: Recipe(layout.CUTOFF, "norm", *_EXPCUT),
    gm.ExpCutoffPowerLaw3FGLSpectralModel: Recipe(
        layout.CUTOFF_3FGL, "amplitude", ("index", "ecut"), ("reference",)
    ),
    gm.SuperExpCutoffPowerLaw3FGLSpectralModel: Recipe(
        layout.SUPER_CUTOFF_3FGL, "amplitude", ("index_1", "index_2", "ecut"), ("reference",)
    ),
    gm.SuperExpCutoffPowerLaw4FGLSpectralModel: Recipe(
        layout.SUPER_CUTOFF_4FGL, "amplitude", *_SUPER_4FGL
    ),
    gm.SuperExpCutoffPowerLaw4FGLDR3SpectralModel: Recipe(
        layout.SUPER_CUTOFF_4FGL_DR3, "amplitude", *_SUPER_4FGL
    ),
    gm.BrokenPowerLawSpectralModel: Recipe(
        layout.BROKEN_POWER_LAW, "amplitude", ("index1", "index2", "ebreak")
    ),
    gm.SmoothBrokenPowerLawSpectralModel: Recipe(
        layout.SMOOTH_BROKEN_POWER_LAW,
        "amplitude",
        ("index1", "index2", "ebreak", "beta"),
        ("reference",),
    ),
    gm.GaussianSpectralModel: Recipe(
        layout.GAUSSIAN, "amplitude", ("mean", "sigma"), per_energy=True
    ),
}
_ENERGIES = {"reference", "escale", "emin", "emax", "ecut", "ebreak", "mean", "sigma"}
_PER_TEV = u.TeV**-1
# Models whose own integral has a kernel, if they stand alone.
OWN_INTEGRAL = {
    gm.PowerLawSpectralModel: layout.POWER_BINS,
    gm.PowerLawNormSpectralModel: layout.POWER_BINS,
    gm.PowerLaw2SpectralModel: layout.POWER_BINS,
    gm.GaussianSpectralModel: layout.GAUSSIAN_BINS,
}


# Pairs of arguments s <= t of a shape with a second derivative, as bits t (t + 1) / 2 + s.
PAIRS = {
    layout.POWER_2: 0b1,
    layout.CUTOFF: 0b110100,
    layout.CUTOFF_3FGL: 0b100,
    layout.SUPER_CUTOFF_3FGL: 0b110100,
    layout.SUPER_CUTOFF_4FGL: 0b10100,
    layout.SUPER_CUTOFF_4FGL_DR3: 0b10100,
    layout.BROKEN_POWER_LAW: 0b111000,
    layout.SMOOTH_BROKEN_POWER_LAW: 0b1111111111,
    layout.GAUSSIAN: 0b111,
}


def parameter_unit(name: str) -> u.UnitBase:
    """Return the unit in which the kernel takes an argument of a shape.

    Parameters
    ----------
    name : str
        Name of the parameter in Gammapy.

    Returns
    -------
    unit : `~astropy.units.Unit`
        TeV, 1 / TeV or none.
    """
    if name in _ENERGIES:
        return u.TeV
    return _PER_TEV if name == "lambda_" else u.dimensionless_unscaled
