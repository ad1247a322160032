r"""The built-in demonstration array: smooth, analytic responses for two sites.

These are **not** CTAO's instrument response functions and must not be used for science with CTAO:
they exist so that a demonstration, a tutorial or a test needs no download. Each response is a
function of a few constants per site, chosen so that the array performs about as the public Prod5
responses (Cherenkov Telescope Array Observatory and Consortium 2021, Zenodo 5499840) at 0.5 deg
from the axis between 0.05 and 50 TeV. Below 0.05 TeV and off axis they are merely plausible.
Headers say ``TELESCOP = CTAO-SAT-DEMO``.

With the energy :math:`E` in TeV, the angle to the axis :math:`\theta` in deg, and the two functions

.. math::

    S(E; E_0, s) = \frac{1}{1 + (E_0 / E)^s}, \qquad
    V(E, \theta; \theta_1, k, p) = \exp\left[-(\theta / \theta_E)^p + (0.5 / \theta_E)^p\right],
    \quad \theta_E = \theta_1 E^k,

that is, a threshold and a vignetting that is 1 at 0.5 deg, the responses are:

effective area
    :math:`S(E; E_a, s_a) \left[A_a + A_b\, S(E; E_b, s_b)\right] V`, in m2: telescopes for low
    energies, and those for high energies that add to them.
point spread function
    A Gaussian on the sky, with 68 per cent inside
    :math:`r = \sqrt{(r_a E^{-a})^2 + (r_b E^{-b})^2}\; W(\theta)` deg, and
    :math:`W = (1 + (\theta/\theta_w)^3) / (1 + (0.5/\theta_w)^3)`.
energy dispersion
    A Gaussian in the ratio of reconstructed to true energy, of width
    :math:`\sqrt{(c_a E^{-c})^2 + (c_b E^{d})^2}\; W(\theta)` and mean
    :math:`1 + \min[(E_m / E)^3, 0.8] - 0.015`: near the threshold, events that
    trigger are those that fluctuate upwards.
background
    :math:`S(E; E_c, s_c) \left[B_a E^{-\alpha} + B_b E^{-\beta}\, S(E; E_d, 4)\right] V` in
    1/(s TeV sr), with its own vignetting, in reconstructed energy.
"""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from gammapy.irf import (
    IRF,
    Background3D,
    EffectiveAreaTable2D,
    EnergyDependentMultiGaussPSF,
    EnergyDispersion2D,
)
from gammapy.maps import MapAxis
from numpy.typing import NDArray
from scipy.special import ndtr

from ctao_sat.errors import ConfigError, did_you_mean

__all__ = ["DEMO_TELESCOPE", "demo_array"]

DEMO_TELESCOPE = "CTAO-SAT-DEMO"

# Radius that holds 68 per cent of a two-dimensional Gaussian, in units of its width.
_R68_SIGMA = np.sqrt(-2.0 * np.log(1 - 0.68))
_MAX_BIAS = 0.8
_FIELD_RADIUS = 6.0  # deg


@dataclass(frozen=True)
class Constants:
    """Constants of one site, named as in the module docstring."""

    area: tuple[float, float, float, float, float, float]  # A_a, E_a, s_a, A_b, E_b, s_b
    area_vignetting: tuple[float, float, float]  # theta_1, k, p
    psf: tuple[float, float, float, float]  # r_a, a, r_b, b
    resolution: tuple[float, float, float, float]  # c_a, c, c_b, d
    bias_energy: float  # E_m
    widening: float  # theta_w
    background: tuple[float, float, float, float, float, float, float]
    # B_a, alpha, B_b, beta, E_c, s_c, E_d
    background_vignetting: tuple[float, float, float]


# Our own least-maximum-deviation fits of the functions above at 0.5 deg (0.05–50 TeV), and of the
# vignetting at 0–4 deg.
SITES = {
    "north": Constants(
        area=(2.67e5, 0.1282, 1.646, 5.922e5, 1.559, 2.101),
        area_vignetting=(3.75, 0.102, 2.85),
        psf=(0.009216, 0.9233, 0.06118, 0.1974),
        resolution=(0.06051, 0.3901, 0.07897, 0.09796),
        bias_energy=0.0144,
        widening=5.2,
        background=(64.03, 2.786, 3.278, 1.265, 0.05154, 4.002, 0.0),
        background_vignetting=(4.37, 0.155, 3.63),
    ),
    "south": Constants(
        area=(1.139e5, 0.06593, 5.834, 3.015e6, 3.922, 1.054),
        area_vignetting=(3.96, 0.062, 4.21),
        psf=(0.04569, 0.4763, 0.03316, 0.06889),
        resolution=(0.08453, 0.2393, 0.01777, 0.4134),
        bias_energy=0.0315,
        widening=6.2,
        background=(124.0, 2.632, 1.054, 0.769, 0.05626, 10.55, 13.4),
        background_vignetting=(4.31, 0.106, 5.39),
    ),
}


def demo_array(site: str = "north") -> dict[str, IRF]:
    """Return the responses of the built-in demonstration array.

    They are made from formulas (documented at the top of the module) and are never those of CTAO:
    use them to learn, to demonstrate and to test.

    Parameters
    ----------
    site : {"north", "south"}
        An array like that of La Palma (from 20 GeV, 13 telescopes) or of Paranal (larger, from
        50 GeV, 51 telescopes).

    Returns
    -------
    irfs : dict
        "aeff" (`~gammapy.irf.EffectiveAreaTable2D`), "psf"
        (`~gammapy.irf.EnergyDependentMultiGaussPSF`), "edisp" (`~gammapy.irf.EnergyDispersion2D`,
        columns normalised to 1) and "bkg" (`~gammapy.irf.Background3D`), all
        full-enclosure, 0–6 deg.

    Raises
    ------
    ConfigError
        If there is no such site.

    Examples
    --------
    >>> from ctao_sat.simulate import demo_array
    >>> irfs = demo_array("south")
    >>> irfs["aeff"].meta["TELESCOP"]
    'CTAO-SAT-DEMO'
    >>> irfs["aeff"].evaluate(energy_true="1 TeV", offset="0.5 deg").to("km2").round(1)
    <Quantity 0.7 km2>
    """
    if site not in SITES:
        raise ConfigError(
            f"No demonstration array '{site}'.", remedy=did_you_mean(str(site), SITES)
        )
    constants = SITES[site]
    energy = MapAxis.from_energy_bounds(
        10**-1.9 * u.TeV, 10**2.4 * u.TeV, nbin=20, per_decade=True, name="energy_true"
    )
    offset = MapAxis.from_edges(np.linspace(0, _FIELD_RADIUS, 13), unit="deg", name="offset")
    return {
        "aeff": _effective_area(constants, energy, offset, _meta(site, "EFF_AREA")),
        "psf": _point_spread(constants, energy, offset, _meta(site, "PSF")),
        "edisp": _energy_dispersion(constants, energy, offset, _meta(site, "EDISP")),
        "bkg": _background(constants, _meta(site, "BKG")),
    }


def _meta(site: str, kind: str) -> dict:
    names = {"north": "Northern", "south": "Southern"}
    return {
        "HDUDOC": "https://github.com/open-gamma-ray-astro/gamma-astro-data-formats",
        "HDUCLASS": "GADF",
        "HDUVERS": "0.3",
        "HDUCLAS1": "RESPONSE",
        "HDUCLAS2": kind,
        "HDUCLAS3": "FULL-ENCLOSURE",
        "TELESCOP": DEMO_TELESCOPE,
        "INSTRUME": f"{names[site]} demonstration array",
        "ORIGIN": DEMO_TELESCOPE,
        "COMMENT": "Analytic demonstration responses, not those of CTAO",
    }


def _threshold(energy: NDArray, start: float, power: float) -> NDArray:
    return 1.0 / (1.0 + (start / energy) ** power)


def _vignetting(energy: NDArray, offset: NDArray, constants: tuple[float, float, float]) -> NDArray:
    theta, growth, power = constants
    scale = theta * energy**growth
    return np.exp((0.5 / scale) ** power - (offset / scale) ** power)


def _widening(offset: NDArray, scale: float) -> NDArray:
    return (1 + (offset / scale) ** 3) / (1 + (0.5 / scale) ** 3)


def _effective_area(
    constants: Constants, energy: MapAxis, offset: MapAxis, meta: dict
) -> EffectiveAreaTable2D:
    low, e_low, s_low, high, e_high, s_high = constants.area
    e, theta = energy.center.to_value("TeV")[:, None], offset.center.to_value("deg")[None, :]
    values = _threshold(e, e_low, s_low) * (low + high * _threshold(e, e_high, s_high))
    values = values * _vignetting(e, theta, constants.area_vignetting)
    return EffectiveAreaTable2D(
        axes=[energy, offset], data=values.astype(np.float32), unit="m2", meta=meta
    )


def _point_spread(
    constants: Constants, energy: MapAxis, offset: MapAxis, meta: dict
) -> EnergyDependentMultiGaussPSF:
    r_a, a, r_b, b = constants.psf
    e, theta = energy.center.to_value("TeV")[:, None], offset.center.to_value("deg")[None, :]
    r68 = np.hypot(r_a * e**-a, r_b * e**-b) * _widening(theta, constants.widening)
    sigma = r68 / _R68_SIGMA
    names = EnergyDependentMultiGaussPSF.required_parameters
    data = np.zeros(sigma.shape, dtype=[(name, np.float32) for name in names])
    # The format has three Gaussians; two have amplitude zero and, for readers that divide, a width.
    for name in ("sigma_1", "sigma_2", "sigma_3"):
        data[name] = sigma
    data["scale"] = 1.0 / (2 * np.pi * np.radians(sigma) ** 2)
    units = dict.fromkeys(names, u.Unit("")) | dict.fromkeys(names[:3], u.deg)
    units["scale"] = u.Unit("sr-1")
    return EnergyDependentMultiGaussPSF(axes=[energy, offset], data=data, unit=units, meta=meta)


def _energy_dispersion(
    constants: Constants, energy: MapAxis, offset: MapAxis, meta: dict
) -> EnergyDispersion2D:
    migra = MapAxis.from_edges(np.linspace(0.2, 3.0, 141), name="migra")
    c_a, c, c_b, d = constants.resolution
    e = energy.center.to_value("TeV")[:, None, None]
    theta = offset.center.to_value("deg")[None, None, :]
    mean = 1 + np.minimum((constants.bias_energy / e) ** 3, _MAX_BIAS) - 0.015
    width = np.hypot(c_a * e**-c, c_b * e**d) * _widening(theta, constants.widening)
    edges = migra.edges.to_value("")[None, :, None]
    mass = np.diff(ndtr((edges - mean) / width), axis=1)
    mass /= mass.sum(axis=1, keepdims=True)
    density = mass / migra.bin_width.to_value("")[None, :, None]
    return EnergyDispersion2D(
        axes=[energy, migra, offset], data=density.astype(np.float32), meta=meta
    )


def _background(constants: Constants, meta: dict) -> Background3D:
    energy = MapAxis.from_energy_bounds(
        10**-1.9 * u.TeV, 10**2.4 * u.TeV, nbin=20, per_decade=True, name="energy"
    )
    edges = np.linspace(-_FIELD_RADIUS, _FIELD_RADIUS, 49)
    lon = MapAxis.from_edges(edges, unit="deg", name="fov_lon")
    lat = MapAxis.from_edges(edges, unit="deg", name="fov_lat")
    low, alpha, high, beta, e_low, s_low, e_high = constants.background
    e = energy.center.to_value("TeV")[:, None, None]
    theta = np.hypot(
        lon.center.to_value("deg")[None, :, None], lat.center.to_value("deg")[None, None, :]
    )
    values = low * e**-alpha + high * e**-beta * _threshold(e, e_high, 4)
    values = values * _threshold(e, e_low, s_low)
    values = values * _vignetting(e, theta, constants.background_vignetting)
    values = (values * u.Unit("s-1 TeV-1 sr-1")).to_value("s-1 MeV-1 sr-1")
    meta = meta | {"FOVALIGN": "RADEC"}
    return Background3D(
        axes=[energy, lon, lat],
        data=values.astype(np.float32),
        unit="s-1 MeV-1 sr-1",
        meta=meta,
    )
