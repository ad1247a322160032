"""Values of single instrument response functions over energy, at one offset."""

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from gammapy.irf import (
    IRF,
    BackgroundIRF,
    EffectiveAreaTable2D,
    EnergyDispersion2D,
    ParametricPSF,
    RadMax2D,
)
from gammapy.maps import MapAxis
from numpy.typing import NDArray

__all__ = [
    "background_rate",
    "containment_radii",
    "effective_area",
    "energy_resolution",
    "field_of_view_rate",
    "rad_max",
]

# A point spread function wider than this is none.
_MAX_RADIUS = 30.0  # deg
_BISECTIONS = 60
_POSITION_ANGLES = 16
_HALF = 0.68
# Limits of single precision that agree to this are the same.
_TOLERANCE = 1e-5


def effective_area(aeff: EffectiveAreaTable2D, energy: u.Quantity, offset: u.Quantity) -> NDArray:
    """Return the effective area in m2, shape (n,); NaN outside of the table."""
    area = aeff.evaluate(energy_true=energy, offset=offset).to_value("m2")
    return np.where(_covered(aeff.axes["energy_true"], energy), area, np.nan)


def containment_radii(
    psf: IRF, fractions: Sequence[float], energy: u.Quantity, offset: u.Quantity
) -> NDArray:
    """Return containment radii in deg, shape (k, n).

    NaN outside of the table, where it is empty, and where it does not hold the fraction.
    """
    find = _radii_of_function if isinstance(psf, ParametricPSF) else _radii_of_table
    radii = find(psf, np.asarray(fractions, dtype=float), energy, offset)
    return np.where(_covered(psf.axes["energy_true"], energy), radii, np.nan)


def _radii_of_function(psf: ParametricPSF, fractions: NDArray, energy, offset) -> NDArray:
    """Bisect the containment, which rises with the radius."""
    parameters = psf.evaluate_parameters(energy_true=energy, offset=offset)

    def inside(radius: NDArray) -> NDArray:
        held = psf.evaluate_containment(rad=radius * u.deg, **parameters)
        return u.Quantity(held).to_value("")

    shape = (len(fractions), len(energy))
    low, high = np.zeros(shape), np.full(shape, _MAX_RADIUS)
    wanted = fractions[:, None]
    found = inside(high) >= wanted
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        enough = inside(middle) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    # A radius of zero is that of parameters that describe no distribution.
    return np.where(found & (high > 1e-9), 0.5 * (low + high), np.nan)


def _radii_of_table(psf: IRF, fractions: NDArray, energy, offset) -> NDArray:
    """Interpolate the squared radius in the containment at the edges of the table.

    That is exact for a density that is constant in each bin, as Gammapy sums it.
    """
    edges = psf.axes["rad"].edges.to_value("deg")
    held = psf.containment(
        rad=(edges[1:] * u.deg)[:, None], energy_true=energy[None, :], offset=offset
    ).to_value("")
    radii = np.full((len(fractions), len(energy)), np.nan)
    squared = edges**2
    for index, column in enumerate(held.T):
        if np.all(np.isfinite(column)):
            rising = np.maximum.accumulate(np.concatenate([[0.0], column]))
            radii[:, index] = np.sqrt(np.interp(fractions, rising, squared, right=np.nan))
    return np.where(radii > 0, radii, np.nan)


def rad_max(table: RadMax2D, energy: u.Quantity, offset: u.Quantity) -> NDArray:
    """Return the cut in direction in deg, shape (n,); NaN outside of the table."""
    # Gammapy cuts events with the same interpolation.
    radius = np.broadcast_to(
        table.evaluate(energy=energy, offset=offset).to_value("deg"), energy.shape
    )
    return np.where(_covered(table.axes["energy"], energy) & (radius > 0), radius, np.nan)


def energy_resolution(edisp: EnergyDispersion2D, energy: u.Quantity, offset: u.Quantity) -> NDArray:
    """Return mean bias, half-width of 68 % and rms, shape (3, n).

    NaN outside of the table, and where it is empty.
    """
    axis, migra = edisp.axes["energy_true"], edisp.axes["migra"]
    row = np.clip(axis.coord_to_idx(energy), 0, axis.nbin - 1)
    density = edisp.evaluate(
        energy_true=axis.center[row][:, None], migra=migra.center[None, :], offset=offset
    ).to_value("")
    mass = np.clip(np.nan_to_num(density), 0.0, None) * migra.bin_width.to_value("")
    kernel = edisp.to_edisp_kernel(offset)
    bias = u.Quantity(kernel.get_bias(energy)).to_value("")
    rms = u.Quantity(kernel.get_resolution(energy)).to_value("")
    half = np.array([_half_width(migra.edges.to_value(""), line) for line in mass])
    there = _covered(axis, energy) & (mass.sum(axis=1) > 0)
    there &= kernel.data[row].sum(axis=1) > 0
    return np.where(there, [bias, half, rms], np.nan)


def _half_width(edges: NDArray, mass: NDArray) -> float:
    """Return the half-width of the interval around 1 that holds 68 % of a histogram."""
    total = mass.sum()
    if not total > 0:
        return np.nan
    below = np.concatenate([[0.0], np.cumsum(mass)]) / total
    # Between these half-widths no edge is met: what is inside grows linearly.
    widths = np.unique(np.concatenate([[0.0], np.abs(edges - 1.0)]))
    inside = np.interp(1 + widths, edges, below) - np.interp(1 - widths, edges, below)
    return float(np.interp(_HALF, inside, widths))


def background_rate(bkg: BackgroundIRF, edges: u.Quantity, offset: u.Quantity) -> u.Quantity:
    """Return the rate a solid angle within bins of energy, shape (n,).

    The table is a power law between the centres of its bins, as Gammapy interpolates it, and is
    integrated as such. NaN where a bin is not within the table.
    """
    axis = bkg.axes["energy"]
    low, high = axis.edges[[0, -1]].to_value("TeV")
    limits = edges.to_value("TeV")
    nodes = axis.center.to_value("TeV")
    within = nodes[(nodes > limits[0]) & (nodes < limits[-1])]
    points = np.unique(np.concatenate([limits, within]))
    # A last digit outside of the table would be zero.
    safe = np.clip(points, low * (1 + 1e-9), high * (1 - 1e-9))
    density = _density(bkg, safe * u.TeV, offset).to_value("s-1 TeV-1 sr-1")
    parts = np.concatenate([[0.0], np.cumsum(_integrate(points, density))])
    rate = np.diff(parts[np.searchsorted(points, limits)])
    inside = (limits[:-1] >= low * (1 - _TOLERANCE)) & (limits[1:] <= high * (1 + _TOLERANCE))
    return np.where(inside, rate, np.nan) * u.Unit("s-1 sr-1")


def _density(bkg: BackgroundIRF, energy: u.Quantity, offset: u.Quantity) -> u.Quantity:
    """Return the rate an energy and solid angle, shape (n,), mean over the circle at the offset."""
    if bkg.has_offset_axis:
        return bkg.evaluate(energy=energy, offset=offset)
    angle = (np.arange(_POSITION_ANGLES) + 0.5) * 2 * np.pi / _POSITION_ANGLES
    around = bkg.evaluate(
        energy=energy[:, None],
        fov_lon=(offset * np.cos(angle))[None, :],
        fov_lat=(offset * np.sin(angle))[None, :],
    )
    return around.mean(axis=1)


def _integrate(x: NDArray, y: NDArray) -> NDArray:
    """Return the integrals of power laws between points, shape (n-1,)."""
    ratio = np.log(x[1:] / x[:-1])
    positive = (y[:-1] > 0) & (y[1:] > 0)
    slope = np.log(np.where(positive, y[1:] / y[:-1], 1.0)) / ratio + 1
    flat = np.abs(slope * ratio) < 1e-6
    law = (
        x[:-1] * y[:-1] * np.where(flat, ratio, np.expm1(slope * ratio) / np.where(flat, 1, slope))
    )
    return np.where(positive, law, 0.5 * (y[1:] + y[:-1]) * np.diff(x))


def field_of_view_rate(bkg: BackgroundIRF | None) -> u.Quantity:
    """Return the rate of all background events, the sum over the bins of the table."""
    if bkg is None:
        return np.nan * u.Unit("s-1")
    volume = bkg.axes["energy"].bin_width
    if bkg.has_offset_axis:
        theta = np.clip(bkg.axes["offset"].edges.to_value("rad"), 0, None)
        solid_angle = -2 * np.pi * np.diff(np.cos(theta))
    else:
        lon, lat = (bkg.axes[name].edges.to_value("rad") for name in ("fov_lon", "fov_lat"))
        solid_angle = np.diff(lon)[:, None] * np.diff(np.sin(lat))[None, :]
    volumes = volume.reshape((-1,) + (1,) * solid_angle.ndim) * solid_angle * u.sr
    return np.nansum(bkg.quantity * volumes).to("s-1")


def _covered(axis: MapAxis, energy: u.Quantity) -> NDArray:
    return (energy >= axis.edges[0]) & (energy <= axis.edges[-1])
