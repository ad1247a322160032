"""Move events on the sphere: offsets, and the blurring by the point spread function."""

from dataclasses import dataclass

import numpy as np
from gammapy.irf import PSF3D, EnergyDependentMultiGaussPSF, PSFKing
from numpy.typing import NDArray

from ctao_sat.simulate._tables import Grid, draw_rows, grid_nodes, interpolation_nodes, pick_nodes

__all__ = [
    "Blur",
    "GaussianBlur",
    "KingBlur",
    "TableBlur",
    "blur_from_irf",
    "displace",
    "separation",
]


def displace(
    lon: NDArray, lat: NDArray, distance: NDArray, angle: NDArray
) -> tuple[NDArray, NDArray]:
    """Move points along great circles.

    Parameters
    ----------
    lon, lat : array of float, shape (n,)
        Start points in radians.
    distance : array of float, shape (n,)
        Angular distances in radians.
    angle : array of float, shape (n,)
        Position angles in radians, from North towards East.

    Returns
    -------
    lon, lat : array of float, shape (n,)
        End points in radians, the longitude in [0, 2 pi).
    """
    sin_lat = np.sin(lat) * np.cos(distance) + np.cos(lat) * np.sin(distance) * np.cos(angle)
    y = np.sin(angle) * np.sin(distance) * np.cos(lat)
    x = np.cos(distance) - np.sin(lat) * sin_lat
    return np.mod(lon + np.arctan2(y, x), 2 * np.pi), np.arcsin(np.clip(sin_lat, -1.0, 1.0))


def separation(
    lon1: NDArray | float, lat1: NDArray | float, lon2: NDArray, lat2: NDArray
) -> NDArray:
    """Return the angles between points, by the formula of Vincenty, good at all distances.

    Parameters
    ----------
    lon1, lat1, lon2, lat2 : array of float
        Points in radians.

    Returns
    -------
    angle : array of float
        In radians.
    """
    delta = lon2 - lon1
    y = np.hypot(
        np.cos(lat2) * np.sin(delta),
        np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(delta),
    )
    x = np.sin(lat1) * np.sin(lat2) + np.cos(lat1) * np.cos(lat2) * np.cos(delta)
    return np.arctan2(y, x)


def _interpolate(
    values: NDArray, energy: tuple[NDArray, NDArray], offset: tuple[NDArray, NDArray]
) -> NDArray:
    """Interpolate values at nodes bilinearly; each axis is (lower node, weight of the upper)."""
    (i, a), (j, b) = energy, offset
    i1, j1 = np.minimum(i + 1, values.shape[0] - 1), np.minimum(j + 1, values.shape[1] - 1)
    return (1 - a) * ((1 - b) * values[i, j] + b * values[i, j1]) + a * (
        (1 - b) * values[i1, j] + b * values[i1, j1]
    )


def _parameters(psf, names: list[str]) -> tuple[Grid, Grid, list[NDArray]]:
    """Evaluate the parameters of an analytic PSF at its nodes; angles in degrees."""
    energy = grid_nodes(psf.axes["energy_true"], "TeV")
    offset = grid_nodes(psf.axes["offset"], "deg")
    values = psf.evaluate_parameters(
        energy_true=(energy.values * energy.unit)[:, None],
        offset=(offset.values * offset.unit)[None, :],
    )
    arrays = []
    for name in names:
        quantity = values[name]
        unit = "deg" if "sigma" in name else quantity.unit
        arrays.append(np.nan_to_num(quantity.to_value(unit)))
    return energy, offset, arrays


@dataclass(frozen=True)
class GaussianBlur:
    """Sum of three Gaussians: draw one of them by its integral, then its radius analytically."""

    energy: Grid
    offset: Grid
    sigmas: tuple[NDArray, ...]
    amplitudes: tuple[NDArray, ...]

    @classmethod
    def from_irf(cls, psf: EnergyDependentMultiGaussPSF) -> "GaussianBlur":
        """Tabulate the parameters of the response.

        Parameters
        ----------
        psf : `gammapy.irf.EnergyDependentMultiGaussPSF`
            The response.

        Returns
        -------
        blur : GaussianBlur
            Its parameters at the nodes.
        """
        names = ["sigma_1", "sigma_2", "sigma_3", "ampl_2", "ampl_3"]
        energy, offset, arrays = _parameters(psf, names)
        ones = np.ones_like(arrays[0])
        return cls(energy, offset, tuple(arrays[:3]), (ones, arrays[3], arrays[4]))

    def radius(self, rng: np.random.Generator, energy: NDArray, offset: NDArray) -> NDArray:
        """Draw angular distances between true and reconstructed directions.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Source of randomness.
        energy, offset : array of float, shape (n,)
            True energies in TeV and offsets in degrees.

        Returns
        -------
        radius : array of float, shape (n,)
            In degrees.
        """
        at = interpolation_nodes(self.energy, energy), interpolation_nodes(self.offset, offset)
        sigmas = np.stack([_interpolate(values, *at) for values in self.sigmas])
        amplitudes = np.stack([_interpolate(values, *at) for values in self.amplitudes])
        integrals = np.cumsum(np.maximum(amplitudes, 0.0) * sigmas**2, axis=0)
        target = rng.random(len(energy)) * integrals[-1]
        choice = np.minimum((integrals <= target).sum(axis=0), 2)
        sigma = sigmas[choice, np.arange(len(energy))]
        return sigma * np.sqrt(-2.0 * np.log1p(-rng.random(len(energy))))


@dataclass(frozen=True)
class KingBlur:
    """King profile: its cumulative distribution is inverted analytically."""

    energy: Grid
    offset: Grid
    gamma: NDArray
    sigma: NDArray

    @classmethod
    def from_irf(cls, psf: PSFKing) -> "KingBlur":
        """Tabulate the parameters of the response.

        Parameters
        ----------
        psf : `gammapy.irf.PSFKing`
            The response.

        Returns
        -------
        blur : KingBlur
            Its parameters at the nodes.
        """
        energy, offset, (gamma, sigma) = _parameters(psf, ["gamma", "sigma"])
        return cls(energy, offset, gamma, sigma)

    def radius(self, rng: np.random.Generator, energy: NDArray, offset: NDArray) -> NDArray:
        """Draw angular distances; see `GaussianBlur.radius`.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Source of randomness.
        energy, offset : array of float, shape (n,)
            True energies in TeV and offsets in degrees.

        Returns
        -------
        radius : array of float, shape (n,)
            In degrees.
        """
        at = interpolation_nodes(self.energy, energy), interpolation_nodes(self.offset, offset)
        gamma = np.maximum(_interpolate(self.gamma, *at), 1.0 + 1e-6)
        sigma = _interpolate(self.sigma, *at)
        power = np.expm1(np.log1p(-rng.random(len(energy))) / (1.0 - gamma))
        return sigma * np.sqrt(2.0 * gamma * power)


@dataclass(frozen=True)
class TableBlur:
    """Tabulated profile: draw a node, a ring of it, and a place in the ring by solid angle."""

    energy: Grid
    offset: Grid
    edges: NDArray
    cumulative: NDArray
    weight: NDArray

    @classmethod
    def from_irf(cls, psf: PSF3D) -> "TableBlur":
        """Tabulate the response.

        Parameters
        ----------
        psf : `gammapy.irf.PSF3D`
            The response.

        Returns
        -------
        blur : TableBlur
            Cumulative distributions at the nodes.
        """
        energy = grid_nodes(psf.axes["energy_true"], "TeV")
        offset = grid_nodes(psf.axes["offset"], "deg")
        rad = psf.axes["rad"]
        edges = rad.edges.to_value("deg")
        values = psf.evaluate(
            energy_true=(energy.values * energy.unit)[:, None, None],
            offset=(offset.values * offset.unit)[None, :, None],
            rad=rad.center[None, None, :],
        ).to_value("deg-2")
        mass = values * np.pi * np.diff(edges**2)
        total = mass.sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cumulative = np.cumsum(mass, axis=-1) / total[..., None]
        # Gammapy normalises the profile after interpolating it, so nodes weigh by their integrals.
        return cls(energy, offset, edges, np.nan_to_num(cumulative, nan=1.0), total)

    def radius(self, rng: np.random.Generator, energy: NDArray, offset: NDArray) -> NDArray:
        """Draw angular distances; see `GaussianBlur.radius`.

        Parameters
        ----------
        rng : `numpy.random.Generator`
            Source of randomness.
        energy, offset : array of float, shape (n,)
            True energies in TeV and offsets in degrees.

        Returns
        -------
        radius : array of float, shape (n,)
            In degrees; 0 where the response is empty.
        """
        row, found = pick_nodes(rng, (self.energy, energy), (self.offset, offset), self.weight)
        table = self.cumulative.reshape(-1, self.cumulative.shape[-1])
        cell, fraction = draw_rows(rng, table, row)
        square = self.edges**2
        return np.where(found, np.sqrt(square[cell] + fraction * np.diff(square)[cell]), 0.0)


Blur = GaussianBlur | KingBlur | TableBlur


def blur_from_irf(psf: EnergyDependentMultiGaussPSF | PSFKing | PSF3D) -> Blur:
    """Prepare draws from any of Gammapy's PSF classes.

    Parameters
    ----------
    psf : `gammapy.irf.EnergyDependentMultiGaussPSF`, `~gammapy.irf.PSFKing` or `~gammapy.irf.PSF3D`
        The response.

    Returns
    -------
    blur : Blur
        Draws distances through its method ``radius``.
    """
    if isinstance(psf, EnergyDependentMultiGaussPSF):
        return GaussianBlur.from_irf(psf)
    if isinstance(psf, PSFKing):
        return KingBlur.from_irf(psf)
    return TableBlur.from_irf(psf)
