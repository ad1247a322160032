"""Draw the events of a source: times, true energies and directions, then what is measured.

The Poisson process of a source has the density flux(E, p, t) A(E, p) in true energy, direction
and time. It is drawn as candidates from an upper bound that factorises, thinned to the density: no
map, no pixels for point sources, no bins in energy or time enter the result.
"""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.irf import EffectiveAreaTable2D
from gammapy.modeling.models import ConstantTemporalModel, PointSpatialModel, SkyModel
from numpy.typing import NDArray

from ctao_sat.errors import ConfigError
from ctao_sat.simulate._directions import Blur, displace, separation
from ctao_sat.simulate._energies import Migration, draw_log_linear, log_linear_integral
from ctao_sat.simulate._morphology import Morphology, morphology
from ctao_sat.simulate._tables import grid_nodes
from ctao_sat.simulate._times import Windows, draw_times

__all__ = ["Photons", "Response", "draw_source", "measure"]

_NODES_PER_DECADE = 250
_FLUX = u.Unit("TeV-1 s-1 m-2")
_TIME_NODES = 2048


@dataclass(frozen=True)
class Response:
    """What turns photons into events."""

    aeff: EffectiveAreaTable2D
    migration: Migration
    blur: Blur
    field_radius: float

    def area(self, energy: NDArray, offset: NDArray) -> NDArray:
        """Return the effective area in m2 at energies in TeV and offsets in degrees.

        Parameters
        ----------
        energy, offset : array of float
            Broadcast against each other.

        Returns
        -------
        area : array of float
            Zero outside of the field of view.
        """
        if np.size(energy) == 0:
            return np.zeros(np.broadcast_shapes(np.shape(energy), np.shape(offset)))
        values = self.aeff.evaluate(energy_true=energy * u.TeV, offset=offset * u.deg)
        return np.maximum(values.to_value("m2"), 0.0)


@dataclass(frozen=True)
class Photons:
    """Photons that reach the array and trigger it: seconds, TeV, radians; shape (n,) each."""

    time: NDArray
    energy: NDArray
    ra: NDArray
    dec: NDArray


def draw_source(
    rng: np.random.Generator,
    model: SkyModel,
    pointing: SkyCoord,
    windows: Windows,
    live_fraction: float,
    response: Response,
) -> Photons:
    """Draw the photons of a model that the array records.

    Parameters
    ----------
    rng : `numpy.random.Generator`
        Source of randomness.
    model : `gammapy.modeling.models.SkyModel`
        The source.
    pointing : `astropy.coordinates.SkyCoord`
        Pointing direction (ICRS).
    windows : Windows
        Good time intervals.
    live_fraction : float
        Live time over time on.
    response : Response
        The array.

    Returns
    -------
    photons : Photons
        True times, energies and directions.

    Raises
    ------
    ConfigError
        If the model gives a flux that is not finite.
    """
    shape = morphology(model.spatial_model, pointing, response.field_radius)
    center = pointing.ra.rad, pointing.dec.rad
    energy = _energy_nodes(response.aeff)
    area = _largest_area(model, shape, center, energy, response)
    exposed = area * shape.total(energy) * live_fraction
    temporal = model.temporal_model or ConstantTemporalModel()
    if temporal.is_energy_dependent:
        time, drawn = _draw_evolving(rng, model, windows, energy, exposed)
    else:
        density = _flux(model, energy) * exposed
        rate = log_linear_integral(energy, density)
        time = draw_times(rng, temporal, windows, rate) if rate > 0 else np.zeros(0)
        drawn = draw_log_linear(rng, energy, density, len(time))
    ra, dec = shape.draw(rng, drawn)
    if shape.geom is None:
        return Photons(time, drawn, ra, dec)
    offset = np.degrees(separation(*center, ra, dec))
    keep = rng.random(len(time)) * np.interp(drawn, energy, area) < response.area(drawn, offset)
    return Photons(time[keep], drawn[keep], ra[keep], dec[keep])


def _energy_nodes(aeff: EffectiveAreaTable2D) -> NDArray:
    """Return a fine grid that holds the nodes of the effective area, where it has kinks."""
    nodes = grid_nodes(aeff.axes["energy_true"], "TeV").values
    n = int(_NODES_PER_DECADE * np.log10(nodes[-1] / nodes[0])) + 2
    return np.union1d(np.geomspace(nodes[0], nodes[-1], n)[1:-1], nodes)


def _largest_area(
    model: SkyModel,
    shape: Morphology,
    center: tuple[float, float],
    energy: NDArray,
    response: Response,
) -> NDArray:
    """Return the area at a point source, or a bound of it over the extent of another one."""
    if isinstance(model.spatial_model, PointSpatialModel):
        position = shape.position.icrs
        ra, dec = np.array([position.ra.rad]), np.array([position.dec.rad])
        return response.area(energy, np.degrees(separation(*center, ra, dec)))
    offsets = grid_nodes(response.aeff.axes["offset"], "deg").values
    area = response.area(energy[:, None], offsets[None, :]).max(axis=1)
    # Between nodes the area is linear in log energy, `np.interp` in energy: bound both ends.
    padded = np.concatenate([area[:1], area, area[-1:]])
    return np.maximum(np.maximum(padded[:-2], padded[2:]), area)


def _flux(model: SkyModel, energy: NDArray) -> NDArray:
    """Return the differential flux in 1/(TeV s m2)."""
    values = model.spectral_model(energy * u.TeV)
    if not values.unit.is_equivalent(_FLUX):
        raise ConfigError(
            f"The spectrum of '{model.name}' has the unit '{values.unit}'.",
            remedy="A simulation needs a flux per energy, time and area, e.g. 'TeV-1 s-1 cm-2'.",
        )
    return _checked(model, values.to_value(_FLUX))


def _checked(model: SkyModel, flux: NDArray) -> NDArray:
    if not np.all(np.isfinite(flux)):
        raise ConfigError(
            f"The flux of '{model.name}' is not finite at all energies.",
            remedy="Check the parameters of its spectral and temporal models.",
        )
    return np.maximum(flux, 0.0)


def _draw_evolving(
    rng: np.random.Generator,
    model: SkyModel,
    windows: Windows,
    energy: NDArray,
    exposed: NDArray,
) -> tuple[NDArray, NDArray]:
    """Draw times and energies of a source whose spectrum changes with time.

    The flux is tabulated, and linear between the nodes of the table: in time they are
    1/2048 of the time on apart.
    """
    slices = windows.slices(_TIME_NODES)
    times = np.append(slices.start, slices.stop[-1:])
    table = _evolving_flux(model, windows.at(times), energy)
    bound = table.max(axis=1)
    density = bound * exposed
    n = rng.poisson(log_linear_integral(energy, density) * windows.ontime)
    drawn = draw_log_linear(rng, energy, density, n)
    time = windows.draw(rng, n)
    column = np.clip(np.searchsorted(times, time) - 1, 0, len(times) - 2)
    row = np.clip(np.searchsorted(energy, drawn) - 1, 0, len(energy) - 2)
    a = (time - times[column]) / (times[column + 1] - times[column])
    b = np.log(drawn / energy[row]) / np.log(energy[row + 1] / energy[row])
    value = sum(
        wa * wb * table[row + j, column + i]
        for i, wa in ((0, 1 - a), (1, a))
        for j, wb in ((0, 1 - b), (1, b))
    )
    keep = rng.random(n) * ((1 - b) * bound[row] + b * bound[row + 1]) < value
    return time[keep], drawn[keep]


def _evolving_flux(model: SkyModel, time: Time, energy: NDArray) -> NDArray:
    """Return the flux in 1/(TeV s m2), shape (energy, time)."""
    norm = model.temporal_model(time, energy=energy * u.TeV)
    spectrum = model.spectral_model(energy * u.TeV)
    # As in Gammapy, a template may carry the unit of the flux; the spectrum is then a bare factor.
    if norm.unit.is_equivalent(_FLUX) and spectrum.unit.is_equivalent(_FLUX):
        spectrum = spectrum.value * u.one
    values = norm.reshape(len(energy), len(time)) * spectrum[:, None]
    return _checked(model, values.to_value(_FLUX))


def measure(
    rng: np.random.Generator,
    photons: Photons,
    pointing: SkyCoord,
    response: Response,
    *,
    blur: bool = True,
    migrate: bool = True,
) -> Photons:
    """Turn true energies and directions into reconstructed ones.

    Parameters
    ----------
    rng : `numpy.random.Generator`
        Source of randomness.
    photons : Photons
        True quantities.
    pointing : `astropy.coordinates.SkyCoord`
        Pointing direction (ICRS).
    response : Response
        The array.
    blur, migrate : bool
        Apply the point spread function, and the energy dispersion.

    Returns
    -------
    events : Photons
        Reconstructed quantities; events outside of the energy dispersion are gone.
    """
    offset = np.degrees(separation(pointing.ra.rad, pointing.dec.rad, photons.ra, photons.dec))
    energy, ra, dec = photons.energy, photons.ra, photons.dec
    if blur:
        radius = np.radians(response.blur.radius(rng, photons.energy, offset))
        angle = 2 * np.pi * rng.random(len(radius))
        ra, dec = displace(ra, dec, radius, angle)
    if migrate:
        energy = response.migration.draw(rng, photons.energy, offset)
    keep = np.isfinite(energy)
    return Photons(photons.time[keep], energy[keep], ra[keep], dec[keep])
