"""What a TS map is computed from: counts, background, exposure, and kernels of a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import astropy.units as u
import numpy as np
from gammapy.datasets import MapDataset
from gammapy.estimators import TSMapEstimator
from gammapy.maps import WcsNDMap
from gammapy.modeling.models import SkyModel
from scipy.ndimage import minimum_filter
from scipy.signal import oaconvolve

from ctao_sat.kernels.poisson import LOG_TRUNCATION, TRUNCATION
from ctao_sat.kernels.ts_map import PositionMaps
from ctao_sat.likelihood import KernelCache

__all__ = ["Cubes", "Group", "group_of", "read_cubes"]

# Of the peak of a kernel.
_NOISE = 1e-7


@dataclass(frozen=True)
class Cubes:
    """Data of a dataset, in bins of reconstructed energy.

    Attributes
    ----------
    counts, background : array, shape (n_energies, n_y, n_x)
        Zero where masked.
    mask : array of bool, shape (n_energies, n_y, n_x)
        Where they are used.
    exposure : array, shape (n_energies or 1, n_y, n_x) or (n_true, n_y, n_x)
        In true energy.
    response : array, shape (n_energies, n_true)
        Predicted counts for the flux of the model, per exposure.
    kernel : array, shape (n_energies, k_y, k_x)
        A source of the model, of sum 1 at each energy.
    """

    counts: np.ndarray
    background: np.ndarray
    mask: np.ndarray
    exposure: np.ndarray
    response: np.ndarray
    kernel: np.ndarray


@dataclass(frozen=True)
class Group:
    """A band of energy of all datasets, as the compiled code takes it.

    Attributes
    ----------
    maps : PositionMaps
        Pixels of all planes.
    positions : array of int, shape (n, 2)
        Row and column of where there is something to fit.
    totals, ratios : array, shape (n_y, n_x)
        See `ctao_sat.kernels.ts_map.ts_positions`.
    background, stat : array, shape (n_y, n_x)
        Sums over the window of the kernels at each position: background, and statistic without
        the source.
    """

    maps: PositionMaps
    positions: np.ndarray
    totals: np.ndarray
    ratios: np.ndarray
    background: np.ndarray
    stat: np.ndarray


def read_cubes(
    datasets: Sequence[MapDataset],
    model: SkyModel,
    kernel_width: u.Quantity | None,
    kernels: KernelCache,
) -> list[Cubes]:
    """Return the data of each dataset.

    Parameters
    ----------
    datasets : sequence of `~gammapy.datasets.MapDataset`
        With counts, exposure and background.
    model : `~gammapy.modeling.models.SkyModel`
        What is searched for.
    kernel_width : Quantity[angle] or None
        Width of the kernels; None takes what the model and the PSF need.
    kernels : KernelCache
        PSF and energy-dispersion kernels.
    """
    if kernel_width is None:
        found = [_kernel(dataset, model, None, kernels) for dataset in datasets]
        kernel_width = max(np.max(kernel.geom.width) for kernel in found)
    return [
        _read(dataset, model, _kernel(dataset, model, kernel_width, kernels), kernels)
        for dataset in datasets
    ]


def _kernel(
    dataset: MapDataset, model: SkyModel, width: u.Quantity | None, kernels: KernelCache
) -> WcsNDMap:
    """Return Gammapy's kernel, made of responses that are extracted once."""
    view = SimpleNamespace(
        exposure=dataset.exposure,
        counts=dataset.counts,
        mask_image=dataset.mask_image,
        psf=kernels.psf(dataset.psf),
        edisp=kernels.edisp(dataset.edisp),
    )
    return TSMapEstimator(model, kernel_width=width).estimate_kernel(view)


def _read(dataset: MapDataset, model: SkyModel, kernel: WcsNDMap, kernels: KernelCache) -> Cubes:
    npred = dataset.npred().data
    mask = np.isfinite(npred)
    if dataset.mask is not None:
        mask &= dataset.mask.data.astype(bool)
    return Cubes(
        counts=np.where(mask, dataset.counts.data, 0.0),
        background=np.where(mask, npred, 0.0),
        mask=mask,
        exposure=_exposure(dataset),
        response=_response(dataset, model, kernels),
        kernel=_without_noise(kernel.data.astype(float)),
    )


def _without_noise(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel without the noise of convolutions in single precision, of either sign.

    A position from which only noise reaches exposure would have a norm that means nothing.
    """
    least = _NOISE * kernel.max(axis=(1, 2), keepdims=True)
    return np.where(kernel > least, kernel, 0.0)


def _exposure(dataset: MapDataset) -> np.ndarray:
    exposure = dataset.exposure.quantity.to_value("cm2 s")
    if np.isfinite(exposure.sum()):
        return exposure
    return np.nan_to_num(exposure, posinf=0.0, neginf=0.0)


def _response(dataset: MapDataset, model: SkyModel, kernels: KernelCache) -> np.ndarray:
    """Return predicted counts per exposure, of the energy dispersion at the centre."""
    edges = dataset.exposure.geom.axes["energy_true"].edges
    flux = model.spectral_model.integral(edges[:-1], edges[1:]).to_value("cm-2 s-1")
    axis = dataset.counts.geom.axes["energy"]
    edisp = kernels.edisp(dataset.edisp)
    if edisp is None:
        return np.eye(axis.nbin, len(flux)) * flux
    return edisp.get_edisp_kernel(position=None, energy_axis=axis).pdf_matrix.T * flux


def group_of(cubes: Sequence[Cubes], bins: slice, *, summed: bool, expected: bool) -> Group | None:
    """Return a band of energy; None if it has no position to fit.

    Parameters
    ----------
    cubes : sequence of Cubes
        One for each dataset.
    bins : slice
        Energies of the band.
    summed : bool
        Whether the energies of a dataset are added up to one plane.
    expected : bool
        Whether kernels of a summed plane are weighted by what is expected at their energies.
    """
    planes = [plane for cube in cubes for plane in _planes(cube, bins, summed, expected)]
    covered = np.logical_or.reduce([_covered(cube, bins) for cube in cubes])
    if not covered.any():
        return None
    return Group(
        maps=_maps(planes),
        positions=np.ascontiguousarray(np.argwhere(covered)),
        totals=np.sum([_correlate(plane) for plane in planes], axis=0),
        ratios=np.min([_least_ratios(plane) for plane in planes], axis=0),
        background=np.sum([_box(plane.background, plane.spread) for plane in planes], axis=0),
        stat=np.sum([_box(_null(plane), plane.spread) for plane in planes], axis=0),
    )


@dataclass(frozen=True)
class _Plane:
    """Counts and background, shape (n_y, n_x); exposure and kernel of each layer."""

    counts: np.ndarray
    background: np.ndarray
    exposure: np.ndarray
    spread: np.ndarray


def _covered(cube: Cubes, bins: slice) -> np.ndarray:
    return cube.mask[bins].any(axis=0) & (cube.background[bins].sum(axis=0) > 0)


def _planes(cube: Cubes, bins: slice, summed: bool, expected: bool) -> Iterator[_Plane]:
    counts, background = cube.counts[bins], cube.background[bins]
    mask, kernel, response = cube.mask[bins], cube.kernel[bins], cube.response[bins]
    if not summed or expected:
        signal = np.tensordot(response, cube.exposure, 1) * mask
    if not summed:
        for energy in range(len(counts)):
            one = slice(energy, energy + 1)
            yield _Plane(counts[energy], background[energy], signal[one], kernel[one])
        return
    if not expected:
        signal, kernel = _mean(response, cube.exposure, mask, kernel)
    yield _Plane(counts.sum(axis=0), background.sum(axis=0), signal, kernel)


def _mean(response, exposure, mask, kernel) -> tuple[np.ndarray, np.ndarray]:
    """Return layers of the plain mean of the kernels at the energies that a pixel is used at."""
    if (mask == mask[:1]).all():
        signal = np.tensordot(response.sum(axis=0), exposure, 1) * mask[0]
        return signal[np.newaxis], kernel.mean(axis=0, keepdims=True)
    signal = np.sum(np.tensordot(response, exposure, 1) * mask, axis=0)
    return mask * (signal / np.maximum(mask.sum(axis=0), 1)), kernel


def _maps(planes: list[_Plane]) -> PositionMaps:
    shape = planes[0].counts.shape
    filled = [np.nonzero(plane.counts > 0) for plane in planes]
    half = np.array([np.array(plane.spread.shape[1:]) // 2 for plane in planes])
    first = np.zeros((len(planes), shape[0], shape[1] + 1), dtype=np.int64)
    spread = np.zeros((sum(len(plane.spread) for plane in planes), *(2 * half.max(axis=0) + 1)))
    start = layer = 0
    for i, (plane, (rows, columns)) in enumerate(zip(planes, filled, strict=True)):
        number = np.arange(shape[0] * shape[1]).reshape(shape)
        at = np.searchsorted(rows * shape[1] + columns, number)
        first[i, :, :-1] = start + at
        first[i, :-1, -1], first[i, -1, -1] = start + at[1:, 0], start + len(rows)
        start += len(rows)
        y, x = half.max(axis=0) - half[i]
        inner = np.s_[y : y + plane.spread.shape[1], x : x + plane.spread.shape[2]]
        spread[layer : layer + len(plane.spread)][(np.s_[:], *inner)] = plane.spread
        layer += len(plane.spread)
    return PositionMaps(
        first=first,
        column=np.concatenate([columns for _, columns in filled]),
        counts=np.concatenate(
            [plane.counts[at] for plane, at in zip(planes, filled, strict=True)]
        ).astype(float),
        background=np.array([plane.background for plane in planes], dtype=float),
        exposure=np.concatenate([plane.exposure for plane in planes]),
        spread=spread,
        layers=np.cumsum([0, *(len(plane.exposure) for plane in planes)]),
        half=half,
    )


def _correlate(plane: _Plane) -> np.ndarray:
    """Return the sum of the signals of a source at each position."""
    flipped = plane.spread[:, ::-1, ::-1]
    return oaconvolve(plane.exposure, flipped, mode="same", axes=(1, 2)).sum(axis=0)


def _least_ratios(plane: _Plane) -> np.ndarray:
    """Return what the smallest ratio of background to signal at each position is not below."""
    exposure = plane.exposure.sum(axis=0)
    ratio = np.full(exposure.shape, np.inf)
    np.divide(plane.background, exposure, out=ratio, where=exposure > 0)
    # A kernel may be larger than the map.
    size = np.minimum(plane.spread.shape[1:], 2 * np.array(ratio.shape) - 1)
    least = minimum_filter(ratio, size=tuple(size), mode="constant", cval=np.inf)
    highest = plane.spread.max()
    return least / highest if highest > 0 else np.full(least.shape, np.inf)


def _null(plane: _Plane) -> np.ndarray:
    """Return the statistic of each pixel without the source."""
    b = np.maximum(plane.background, TRUNCATION)
    log = np.where(plane.background > TRUNCATION, np.log(b), LOG_TRUNCATION)
    return 2.0 * (b - plane.counts * log)


def _box(image: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the sum over the window of a kernel at each position."""
    for axis, size in enumerate(spread.shape[1:]):
        n, half = image.shape[axis], size // 2
        ends = np.insert(np.cumsum(image, axis=axis), 0, 0.0, axis=axis)
        at = np.arange(n)
        upper = np.take(ends, np.minimum(at + half + 1, n), axis=axis)
        image = upper - np.take(ends, np.maximum(at - half, 0), axis=axis)
    return image
