"""PSF and energy-dispersion kernels, extracted once for each position."""

import time

import numpy as np
from gammapy.irf import PSFMap
from gammapy.maps import Geom, Map

from ctao_sat.kernels.checksum import checksum
from ctao_sat.likelihood._psf_kernels import psf_kernel

__all__ = ["KernelCache"]


class KernelCache:
    """Kernels that were extracted from maps of instrument responses.

    Gammapy extracts them anew for each model, dataset and copy of a dataset. Pass one cache to
    several `compile_likelihood` to share them: they are found by the content of the map, the
    position and the axes.

    Attributes
    ----------
    seconds : float
        Time spent extracting so far.

    Examples
    --------
    >>> from ctao_sat.likelihood import KernelCache
    >>> kernels = KernelCache()
    >>> len(kernels)
    0
    """

    def __init__(self):
        self.seconds = 0.0
        self._kernels: dict = {}
        self._grids: dict = {}

    def __len__(self) -> int:
        return len(self._kernels)

    def psf(self, psf_map):
        """Return what stands for a PSF map when kernels are extracted; None stays None."""
        return None if psf_map is None else _CachedIRF(self, psf_map, psf_map.psf_map)

    def edisp(self, edisp_map):
        """Return what stands for an energy dispersion map; None stays None."""
        return None if edisp_map is None else _CachedIRF(self, edisp_map, edisp_map.edisp_map)

    def grids(self, *key) -> dict:
        """Return the radii of pixels of a map, to be added to."""
        return self._grids.setdefault(key, {})

    def get(self, key: tuple, extract):
        """Return the kernel of a key; call ``extract`` if it is new."""
        if key not in self._kernels:
            start = time.perf_counter()
            self._kernels[key] = extract()
            self.seconds += time.perf_counter() - start
        return self._kernels[key]


class _CachedIRF:
    """The methods of an IRF map that `~gammapy.datasets.evaluator.MapEvaluator` calls."""

    def __init__(self, cache: KernelCache, irf, irf_map: Map):
        self._cache = cache
        self._irf = irf
        axes = tuple((axis.name, *_edges(axis)) for axis in irf_map.geom.axes)
        self._key = (checksum(irf_map.data), str(irf_map.unit), axes, _image(irf_map.geom))

    @property
    def has_single_spatial_bin(self) -> bool:
        return self._irf.has_single_spatial_bin

    @property
    def energy_name(self) -> str:
        return self._irf.energy_name

    def get_edisp_kernel(self, position=None, energy_axis=None):
        key = ("edisp", *self._key, _position(position), _edges(energy_axis))
        return self._cache.get(
            key, lambda: self._irf.get_edisp_kernel(position=position, energy_axis=energy_axis)
        )

    def get_psf_kernel(self, position=None, geom=None, containment=None, max_radius=None):
        scales = () if geom.is_region else tuple(geom.pixel_scales.to_value("deg"))
        key = (
            "psf",
            *self._key,
            _position(position),
            _edges(geom.axes[self.energy_name]),
            scales,
            geom.frame,
            None if geom.is_region else geom.projection,
            containment,
            None if max_radius is None else str(max_radius),
        )
        options = {"containment": containment, "max_radius": max_radius}
        if _is_usual(self._irf, geom):
            grids = self._cache.grids(_image(geom), scales)
            return self._cache.get(
                key, lambda: psf_kernel(self._irf, geom, position, options, grids)
            )
        return self._cache.get(
            key, lambda: self._irf.get_psf_kernel(position=position, geom=geom, **options)
        )

    def containment(self, **kwargs):
        key = (
            "containment",
            *self._key,
            *((k, np.asarray(v).tobytes()) for k, v in kwargs.items()),
        )
        return self._cache.get(key, lambda: self._irf.containment(**kwargs))


def _is_usual(irf, geom: Geom) -> bool:
    """Return whether a PSF has the energies of a map."""
    if type(irf) is not PSFMap or geom.is_region or irf.energy_name != "energy_true":
        return False
    return irf.psf_map.geom.axes["energy_true"] == geom.axes["energy_true"]


def _position(position) -> tuple | None:
    if position is None:
        return None
    return position.frame.name, float(position.data.lon.deg), float(position.data.lat.deg)


def _edges(axis) -> tuple:
    return () if axis is None else (str(axis.unit), np.asarray(axis.edges.value).tobytes())


def _image(geom: Geom) -> tuple:
    """Return what tells the pixels of two maps apart; kernels of a region have no position."""
    if geom.is_region:
        return ()
    wcs = geom.wcs.wcs
    numbers = (wcs.crval, wcs.crpix, wcs.cdelt, wcs.get_pc())
    return (geom.frame, tuple(wcs.ctype), *(np.asarray(n).tobytes() for n in numbers))
