"""Responses of an observation on the pixels of a map, compiled."""

from collections.abc import Iterator

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import Observation
from gammapy.irf import (
    IRF,
    Background2D,
    Background3D,
    EDispKernelMap,
    EDispMap,
    EnergyDependentMultiGaussPSF,
    FoVAlignment,
    PSFMap,
)
from gammapy.maps import Map, MapAxis, WcsGeom
from numpy.typing import NDArray

from ctao_sat._gammapy import rotating_field_of_view
from ctao_sat.dl4._irf_tables import IRFTable, irf_table, parameter_table, without_gaps
from ctao_sat.dl4._pixels import Pixels, Taps, plane_taps, solid_angle, taps
from ctao_sat.kernels import interpolation, responses

__all__ = ["background_map", "edisp_kernel_map", "edisp_map", "exposure_map", "psf_map"]

# Gammapy takes smaller probabilities of a reconstructed energy for rounding.
_EDISP_THRESHOLD = 1e-8
# A field of view that turns is looked at each time it has turned by this, as Gammapy does.
_ROTATION_STEP = 1 * u.deg
# By how much the ends of a response are moved in, so that rounding leaves them inside of it.
_INSIDE = 1e-12
# Positions in it are found for so many pixels at once, to bound the memory.
_CHUNK = 20_000


def exposure_map(observation: Observation, geom: WcsGeom, pixels: Pixels) -> Map:
    """Return effective area times livetime.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With an effective area that `unhandled` says nothing about.
    geom : `~gammapy.maps.WcsGeom`
        With true energy, and axes of one bin before it.
    pixels : Pixels
        Of that geometry.

    Returns
    -------
    exposure : `~gammapy.maps.Map`
        In m2 s.
    """
    aeff, livetime = observation.aeff, observation.observation_live_time_duration
    values = _on_pixels(aeff, geom, pixels, _pointing(observation))
    values *= (aeff.unit * livetime).to_value("m2 s")
    exposure = Map.from_geom(geom, data=values.reshape(geom.data_shape), unit="m2 s")
    exposure.meta.update({"livetime": livetime, "is_pointlike": aeff.is_pointlike})
    return exposure


def psf_map(observation: Observation, geom: WcsGeom, pixels: Pixels) -> PSFMap:
    """Return the point spread function, normalised.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With an effective area and a PSF that `unhandled` says nothing about.
    geom : `~gammapy.maps.WcsGeom`
        With the axes ``rad``, in equal steps, and ``energy_true``.
    pixels : Pixels
        Of that geometry.

    Returns
    -------
    psf : `~gammapy.irf.PSFMap`
        With its exposure.
    """
    irf, pointing = observation.psf, _pointing(observation)
    if isinstance(irf, EnergyDependentMultiGaussPSF):
        values, unit = _gaussians(irf, geom, pixels, pointing)
    else:
        values, unit = _on_pixels(irf, geom, pixels, pointing), irf.unit
    psf = Map.from_geom(geom, data=values.reshape(geom.data_shape), unit=unit)
    psf.normalize(axis_name="rad")
    return PSFMap(psf, exposure_map(observation, geom.squash("rad"), pixels))


def edisp_map(observation: Observation, geom: WcsGeom, pixels: Pixels) -> EDispMap:
    """Return the energy dispersion as a density of the ratio of energies, normalised.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With an effective area and an energy dispersion that `unhandled` says nothing about.
    geom : `~gammapy.maps.WcsGeom`
        With the axes ``migra`` and ``energy_true``.
    pixels : Pixels
        Of that geometry.

    Returns
    -------
    edisp : `~gammapy.irf.EDispMap`
        With its exposure.
    """
    values = _on_pixels(observation.edisp, geom, pixels, _pointing(observation))
    values *= u.Unit(observation.edisp.unit).to("")
    edisp = Map.from_geom(geom, data=values.reshape(geom.data_shape), unit="")
    edisp.normalize(axis_name="migra")
    return EDispMap(edisp, exposure_map(observation, geom.squash("migra"), pixels))


def edisp_kernel_map(observation: Observation, geom: WcsGeom, pixels: Pixels) -> EDispKernelMap:
    """Return the energy dispersion as probabilities of reconstructed energies.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With an effective area and an energy dispersion that `unhandled` says nothing about.
    geom : `~gammapy.maps.WcsGeom`
        With the axes ``energy`` and ``energy_true``.
    pixels : Pixels
        Of that geometry.

    Returns
    -------
    edisp : `~gammapy.irf.EDispKernelMap`
        With its exposure.
    """
    table = irf_table(observation.edisp)
    true, reco = geom.axes["energy_true"], geom.axes["energy"]
    ratio = observation.edisp.axes["migra"]
    values, usable = table.at({"energy_true": true.center, "migra": ratio.center})
    limits = (reco.edges / true.center[:, np.newaxis]).to_value("")
    data = responses.redistribution(
        values,
        usable,
        *taps(table, pixels, _pointing(observation)),
        ratio.edges.to_value("").astype(float),
        limits,
        _EDISP_THRESHOLD,
    )
    kernel_map = Map.from_geom(geom, data=data.reshape(geom.data_shape), unit="")
    return EDispKernelMap(kernel_map, exposure_map(observation, geom.squash("energy"), pixels))


def background_map(
    observation: Observation, geom: WcsGeom, pixels: Pixels, *, nodes: bool = True
) -> Map:
    """Return the expected background, integrated over energy.

    Parameters
    ----------
    observation : `~gammapy.data.Observation`
        With a background that `unhandled` says nothing about.
    geom : `~gammapy.maps.WcsGeom`
        With reconstructed energy.
    pixels : Pixels
        Of that geometry.
    nodes : bool
        Integrate the background as it is interpolated, piece by piece between its own energies.
        Otherwise it is taken for one power law across each bin of the map, as Gammapy does.

    Returns
    -------
    background : `~gammapy.maps.Map`
        Counts in each bin.
    """
    bkg = without_gaps(observation.bkg)
    if bkg.has_offset_axis:
        bkg = bkg.pad(1, mode="edge", axis_name="offset")
    table, axis = irf_table(bkg), geom.axes["energy"]
    energy, target = _pieces(axis, bkg.axes["energy"] if nodes else None)
    rows, usable = table.at({"energy": energy * axis.unit})
    factor = (bkg.unit * axis.unit * u.sr * observation.observation_time_duration).to_value("")
    out = np.zeros((axis.nbin, pixels.lon.size))
    factors = solid_angle(pixels.geom) * factor
    for part, weight, around in _fields(bkg, table, pixels, observation):
        piece = np.zeros((axis.nbin, around[0].shape[0]))
        responses.integrate(
            rows, usable, np.log(energy), target, *around, factors[part] * weight, piece
        )
        out[:, part] += piece
    return Map.from_geom(geom, data=out.reshape(geom.data_shape), unit="")


def _fields(
    bkg: Background2D | Background3D, table: IRFTable, pixels: Pixels, observation: Observation
) -> Iterator[tuple[slice, float, Taps]]:
    """Yield parts of the pixels with their place in the field of view and the weight of it."""
    if bkg.has_offset_axis or bkg.fov_alignment != FoVAlignment.ALTAZ:
        reverse = bkg.fov_alignment == FoVAlignment.REVERSE_LON_RADEC
        pointing = observation.pointing.fixed_icrs
        yield slice(None), 1.0, taps(table, pixels, pointing, reverse=reverse)
        return
    for first in range(0, pixels.lon.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        sky = SkyCoord(pixels.lon[part], pixels.lat[part], unit="rad", frame=pixels.geom.frame)
        for weight, lon, lat in rotating_field_of_view(observation, _ROTATION_STEP, sky):
            yield part, weight, plane_taps(table, lon, lat)


def _pieces(axis: MapAxis, inner: MapAxis | None) -> tuple[NDArray, NDArray]:
    """Return energies in the unit of an axis, and the bin to which what follows each belongs."""
    edges = axis.edges.value.astype(float)
    energy = edges
    if inner is not None:
        # The response ends at its outermost edges, and bends at its centres.
        ends = u.Quantity([inner.edges[0] * (1 + _INSIDE), inner.edges[-1] * (1 - _INSIDE)])
        bends = np.concatenate([q.to_value(axis.unit) for q in (inner.center, ends)])
        energy = np.union1d(edges, bends[(bends > edges[0]) & (bends < edges[-1])])
    return energy, np.searchsorted(edges, energy[:-1], side="right") - 1


def _on_pixels(irf: IRF, geom: WcsGeom, pixels: Pixels, pointing: SkyCoord) -> NDArray:
    """Return a response at the centres of the bins of a map, shape (n_k, n_p)."""
    table = irf_table(irf)
    values, usable = table.at({name: geom.axes[name].center for name in table.names})
    return interpolation.spread(
        values.reshape(-1, values.shape[-1]),
        usable.ravel(),
        *taps(table, pixels, pointing),
        table.logarithmic,
        table.fill,
    )


def _gaussians(
    psf: EnergyDependentMultiGaussPSF, geom: WcsGeom, pixels: Pixels, pointing: SkyCoord
) -> tuple[NDArray, u.Unit]:
    """Return the sum of three Gaussians, shape (n_true, n_rad, n_p), and its unit."""
    true, unit = geom.axes["energy_true"], psf.quantity["sigma_1"].unit
    rad = geom.axes["rad"].center.to_value(unit)
    place = taps(parameter_table(psf, "scale"), pixels, pointing)

    def parameter(name: str) -> NDArray:
        table = parameter_table(psf, name)
        values, usable = table.at({"energy_true": true.center})
        factor = psf.quantity[name].unit.to(unit) if name.startswith("sigma") else 1.0
        return factor * interpolation.spread(values, usable, *place, False, table.fill)

    scale = parameter("scale")
    relative = np.stack([np.ones_like(scale), parameter("ampl_2"), parameter("ampl_3")])
    variance = np.stack([parameter(f"sigma_{i}") for i in (1, 2, 3)]) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        integral = 2 * scale * relative * variance
        share = np.nan_to_num(integral / np.nansum(integral, axis=0))
        weight = share / (2 * np.pi * variance)
    step = float(rad[1] - rad[0]) if len(rad) > 1 else 0.0
    return responses.gaussians(weight, variance, float(rad[0]), step, len(rad)), unit**-2


def _pointing(observation: Observation) -> SkyCoord:
    return observation.get_pointing_icrs(observation.tmid)
