"""What turns the spectrum of one model into predicted counts of one dataset."""

from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from gammapy.datasets import MapDataset
from gammapy.irf import EDispKernel
from gammapy.modeling.models import SkyModel, TemplateNPredModel, TemporalModel

from ctao_sat._gammapy import current_evaluator, new_evaluator
from ctao_sat.errors import NotCompilable
from ctao_sat.likelihood._kernels import KernelCache
from ctao_sat.likelihood._moving import MovingResponse
from ctao_sat.likelihood._parameters import ParameterMap
from ctao_sat.likelihood._pixels import MapPixels
from ctao_sat.likelihood._shape import Shape, integrates_as_usual
from ctao_sat.likelihood._spectra import SpectrumRequest

__all__ = ["Response", "build_response", "free_shape_parameters"]


@dataclass(frozen=True)
class Response:
    """The predicted counts of a model: ``sum_k f_k images[k] edisp[k, E]``.

    Attributes
    ----------
    name : str
        Of the model.
    request : `SpectrumRequest`
        The spectrum that gives f, shape (n_k,).
    images : array, shape (n_k, n_y, n_x)
        Exposure times the fixed shape, convolved with the PSF.
    edisp : array, shape (n_k, n_energy)
        Energy dispersion.
    unit : `~astropy.units.Unit`
        Of the images; counts are their product with the spectrum.
    corner : tuple of int
        Of the images in the maps of the dataset, (y, x).
    """

    name: str
    request: SpectrumRequest
    images: np.ndarray
    edisp: np.ndarray
    unit: u.UnitBase
    corner: tuple[int, int]


def free_shape_parameters(model) -> list[str]:
    """Return the names of the free parameters of a model that are not those of its spectrum."""
    shape = getattr(model, "spatial_model", None)
    return [] if shape is None else shape.parameters.free_parameters.names


def build_response(
    dataset: MapDataset,
    model,
    parameters: ParameterMap,
    kernels: KernelCache,
    *,
    reuse: bool = True,
    fixed: bool = False,
) -> Response | MovingResponse | None:
    """Return the response of a dataset to a model.

    Parameters
    ----------
    dataset : `~gammapy.datasets.MapDataset`
        Of any kind with counts.
    model : `~gammapy.modeling.models.SkyModel` or `~gammapy.modeling.models.TemplateNPredModel`
        Any of Gammapy's.
    parameters : `ParameterMap`
        All parameters.
    kernels : `KernelCache`
        Where PSF and energy dispersion are extracted.
    reuse : bool
        Whether to take source maps from Gammapy's own evaluators where these are up to date. They
        do not notice that a dataset was given another PSF or energy dispersion.
    fixed : bool
        Whether the shape stays as it is, even if its parameters are free.

    Returns
    -------
    response : `Response`, `MovingResponse` or None
        None if the model does not contribute to the dataset.

    Raises
    ------
    NotCompilable
        If the shape is free and cannot be followed, or the IRFs are of an unknown kind.
    """
    if type(model) is TemplateNPredModel:
        if free_shape_parameters(model) and not fixed:
            raise NotCompilable("a template of counts with a free shape")
        return _template_response(dataset, model)
    if type(model) is not SkyModel:
        raise NotCompilable(f"unknown kind of model: {type(model).__name__}")
    if dataset.exposure is None:
        raise NotCompilable("the dataset has no exposure")
    if model.spatial_model is None:
        return _spectral_response(dataset, model, kernels)
    if free_shape_parameters(model) and not fixed:
        return _moving_response(dataset, model, parameters, kernels, reuse)
    return _spatial_response(dataset, model, kernels, reuse)


def _template_response(dataset: MapDataset, model: TemplateNPredModel) -> Response:
    axis = model.map.geom.axes["energy"]
    data = np.asarray(model.map.data, dtype=float)
    if model.spatial_model is not None:
        data = data * model.spatial_model.evaluate_geom(model.map.geom).value
    if axis.nbin != dataset.counts.geom.axes["energy"].nbin:
        raise NotCompilable("the template has other energy bins than the dataset")
    data, corner = _place(dataset, model.map.geom, data)
    return Response(
        name=model.name,
        request=SpectrumRequest(
            model.spectral_model, _numbers(axis.center), integrate=False, energy_unit=axis.unit
        ),
        images=np.where(np.isfinite(data), data, 0.0),
        edisp=np.eye(axis.nbin),
        unit=u.dimensionless_unscaled,
        corner=corner,
    )


def _spectral_response(dataset: MapDataset, model: SkyModel, kernels: KernelCache) -> Response:
    exposure = dataset.exposure
    irf = kernels.edisp(dataset.edisp) if model.apply_irf["edisp"] else None
    edisp = None
    if irf is not None:
        edisp = irf.get_edisp_kernel(position=None, energy_axis=dataset.counts.geom.axes["energy"])
    images, unit = np.asarray(exposure.data, dtype=float), exposure.unit
    if not model.apply_irf["exposure"]:
        images, unit = np.ones(images.shape), u.dimensionless_unscaled
    return _response(dataset, model, images, unit, edisp, exposure.geom, (0, 0))


def _spatial_response(
    dataset: MapDataset, model: SkyModel, kernels: KernelCache, reuse: bool
) -> Response | None:
    evaluator = current_evaluator(dataset, model) if reuse else None
    if evaluator is None:
        psf, edisp = kernels.psf(dataset.psf), kernels.edisp(dataset.edisp)
        evaluator = new_evaluator(dataset, model, psf, edisp)
    if not evaluator.contributes:
        return None
    if evaluator.apply_psf_after_edisp:
        raise NotCompilable("a PSF in reconstructed energy")
    if evaluator.psf_containment is not None:
        images, unit = np.asarray(u.Quantity(evaluator.psf_containment).value, dtype=float), u.one
    else:
        images, unit = _values(evaluator.compute_flux_spatial())
    exposure = evaluator.exposure
    shape = np.broadcast_shapes(images.shape, exposure.data.shape)
    if model.apply_irf["exposure"]:
        images, unit = images * np.asarray(exposure.data, dtype=float), unit * exposure.unit
    images = np.broadcast_to(images, shape)
    images, corner = _place(dataset, exposure.geom, images)
    edisp = evaluator.edisp if model.apply_irf["edisp"] else None
    return _response(dataset, model, images, unit, edisp, exposure.geom, corner)


def _moving_response(
    dataset: MapDataset, model: SkyModel, parameters: ParameterMap, kernels, reuse: bool
) -> MovingResponse:
    geom, spatial = dataset.exposure.geom, model.spatial_model
    if geom.is_region:
        raise NotCompilable("a free shape in a region")
    if spatial.is_energy_dependent:
        raise NotCompilable("a free shape that depends on energy")
    if not integrates_as_usual(spatial):
        raise NotCompilable(f"a free shape with its own integral: {type(spatial).__name__}")
    if geom.to_image() != dataset.counts.geom.to_image():
        raise NotCompilable("a free shape, and exposure on other pixels than the counts")
    evaluator = current_evaluator(dataset, model) if reuse else None
    if evaluator is None:
        psf, edisp = kernels.psf(dataset.psf), kernels.edisp(dataset.edisp)
        evaluator = new_evaluator(dataset, model, psf, edisp)
    if evaluator.apply_psf_after_edisp:
        raise NotCompilable("a PSF in reconstructed energy")
    n_k = geom.axes["energy_true"].nbin
    kernel = np.ones((n_k, 1, 1))
    if evaluator.psf is not None and model.apply_irf["psf"]:
        scales = evaluator.psf.psf_kernel_map.geom.pixel_scales
        if not np.allclose(scales.deg, geom.pixel_scales.deg, rtol=1e-5):
            raise NotCompilable("a free shape on pixels that are not square")
        # Gammapy convolves in single precision.
        kernel = np.asarray(evaluator.psf.data, dtype=np.float32).astype(float)
    exposure, unit = np.asarray(dataset.exposure.data, dtype=float), dataset.exposure.unit
    if not model.apply_irf["exposure"]:
        exposure, unit = np.ones(exposure.shape), u.dimensionless_unscaled
    request, matrix = _spectrum(
        dataset, model, evaluator.edisp if model.apply_irf["edisp"] else None, geom
    )
    source = Shape(spatial, MapPixels(geom.to_image(), spatial.frame), kernel)
    return MovingResponse(
        name=model.name,
        request=request,
        source=source,
        exposure=exposure if np.isfinite(exposure).all() else np.nan_to_num(exposure, posinf=0.0),
        edisp=matrix,
        unit=unit,
        index=np.array([parameters.index(p) for p in spatial.parameters], dtype=np.int64),
        anchor=source.center(spatial.parameters.value),
        is_local=not all(
            irf is None or irf.has_single_spatial_bin for irf in (dataset.psf, dataset.edisp)
        ),
    )


def _values(flux) -> tuple[np.ndarray, u.UnitBase]:
    """Return array and unit of a map, a quantity, or a number."""
    quantity = getattr(flux, "quantity", None)
    quantity = u.Quantity(flux) if quantity is None else quantity
    return np.asarray(quantity.value, dtype=float), quantity.unit


def _response(dataset, model: SkyModel, images, unit, edisp, geom, corner) -> Response:
    request, matrix = _spectrum(dataset, model, edisp, geom)
    # Gammapy sets what is not finite to zero when it adds a source, pixel by pixel: the energy
    # dispersion has spread it over all energies.
    bad = ~np.isfinite(images).all(axis=0)
    if bad.any():
        images = np.where(bad, 0.0, images)
    return Response(model.name, request, images, matrix, unit, corner)


def _spectrum(dataset, model: SkyModel, edisp, geom) -> tuple[SpectrumRequest, np.ndarray]:
    """Return the spectrum of a model and the energy dispersion, with the temporal model."""
    axis_true, axis = geom.axes["energy_true"], dataset.counts.geom.axes["energy"]
    if edisp is None:
        edisp = EDispKernel.from_diagonal_response(energy_axis_true=axis_true, energy_axis=axis)
    matrix = np.asarray(edisp.pdf_matrix, dtype=float)
    temporal, gti = model.temporal_model, dataset.gti
    request = SpectrumRequest(
        model.spectral_model, _numbers(axis_true.edges), integrate=True, energy_unit=axis_true.unit
    )
    if temporal is not None and len(temporal.parameters.free_parameters) > 0:
        request = replace(request, temporal=(temporal, gti))
    elif temporal is not None:
        matrix = matrix * temporal_norm(temporal, gti)
    return request, matrix


def temporal_norm(temporal: TemporalModel, gti) -> float:
    """Return the sum over good time intervals that scales the flux of a model."""
    integral = u.Quantity(np.sum(temporal.integral(gti.time_start, gti.time_stop)))
    return float(integral.to_value(""))


def _numbers(energy: u.Quantity) -> np.ndarray:
    return np.asarray(energy.value, dtype=float)


def _place(dataset, geom, images: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the part of images that lies in the dataset, and its corner there."""
    if geom.is_region:
        return images, (0, 0)
    image, parent = geom.to_image(), dataset.counts.geom.to_image()
    if image == parent:
        return images, (0, 0)
    if not parent.is_aligned(image):
        raise NotCompilable("its map is no cutout of the dataset's")
    slices = image.cutout_slices(parent)
    rows, columns = slices["parent-slices"]
    own_rows, own_columns = slices["cutout-slices"]
    return images[:, own_rows, own_columns], (rows.start or 0, columns.start or 0)
