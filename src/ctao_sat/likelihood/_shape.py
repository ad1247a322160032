"""Spatial models with free parameters, as formulas on the pixels of a map."""

import numpy as np
from gammapy.modeling.models import GaussianSpatialModel, PointSpatialModel, SpatialModel

from ctao_sat.likelihood._pixels import MapPixels

__all__ = ["Shape", "integrates_as_usual"]

# A point source has kinks where it crosses the centre of a pixel: derivatives are those of the mean
# over one pixel.
_HALF_PIXEL = 0.5
# Steps of derivatives, by the size of a smooth source and for shapes with edges by pixels.
_SMOOTH_STEP, _EDGE_STEP = 3e-3, 0.25
_ECCENTRICITY_STEP = 0.02


class Shape:
    """A spatial model whose parameters are free, on a map with a PSF.

    Parameters
    ----------
    model : `~gammapy.modeling.models.SpatialModel`
        It is copied.
    pixels : `MapPixels`
        Of the map.
    psf : array, shape (n_k, n_y, n_x)
        Kernels, of odd size.
    """

    def __init__(self, model: SpatialModel, pixels: MapPixels, psf: np.ndarray):
        self.model, self.pixels, self.psf = model.copy(), pixels, psf
        self._parameters = list(self.model.parameters)
        self.names = [parameter.name for parameter in self._parameters]
        self._units = [parameter.unit for parameter in self._parameters]
        self.free = [i for i, p in enumerate(model.parameters) if not p.frozen]
        self.is_point = type(model) is PointSpatialModel
        self.is_smooth = type(model) is GaussianSpatialModel
        self.reach = max(psf.shape[1] // 2, psf.shape[2] // 2)
        self.transfer: dict[tuple, np.ndarray] = {}
        #: Whether large sources may be sampled coarsely although they reach beyond the map: a
        #: minimiser on its way needs no more.
        self.is_rough = False

    def set(self, shape: np.ndarray) -> None:
        """Give the copy of the model these values."""
        for parameter, value in zip(self._parameters, shape, strict=True):
            parameter.value = value

    def center(self, shape: np.ndarray) -> tuple[float, float]:
        """Return the pixel (y, x) of the position; the middle of the map if there is none."""
        if "lon_0" not in self.names:
            return (self.pixels.shape[0] - 1) / 2, (self.pixels.shape[1] - 1) / 2
        lon, lat = (
            shape[i] * self._units[i].to("deg")
            for i in (self.names.index("lon_0"), self.names.index("lat_0"))
        )
        return self.pixels.locate(lon, lat)

    def evaluate(self, shape: np.ndarray, lon, lat) -> np.ndarray:
        """Return the surface brightness per steradian at coordinates."""
        values = {
            name: value * unit
            for name, value, unit in zip(self.names, shape, self._units, strict=True)
        }
        return self.model.evaluate(lon, lat, **values).to_value("sr-1")

    def radius(self, shape: np.ndarray) -> float | None:
        """Return Gammapy's evaluation radius in degrees."""
        self.set(shape)
        radius = self.model.evaluation_radius
        return None if radius is None else float(radius.to_value("deg"))

    def steps(self, shape: np.ndarray) -> np.ndarray:
        """Return steps for derivatives by the free parameters."""
        pixel = float(np.min(self.pixels.scales))
        size = pixel
        if not self.is_point:
            size = (self.radius(shape) or 50 * pixel) / 5
        angle = max(_SMOOTH_STEP * size, 0.0 if self.is_smooth else _EDGE_STEP * pixel)
        if self.is_point:
            angle = _HALF_PIXEL * pixel
        steps = []
        for i in self.free:
            name, value = self.names[i], shape[i]
            degrees = self._units[i].is_equivalent("deg") and name != "phi"
            if name == "phi":
                step = 0.5 / self._units[i].to("deg")
            elif degrees:
                step = angle / self._units[i].to("deg")
                if name == "lon_0":
                    lat = shape[self.names.index("lat_0")]
                    step /= max(np.cos(lat * self._units[i].to("rad")), 1e-3)
            elif name == "e":
                step = min(_ECCENTRICITY_STEP, max((1 - abs(value)) / 2, 1e-6))
            else:
                step = _SMOOTH_STEP * (abs(value) or 1.0)
            steps.append(step)
        return np.array(steps)

    def pixel_axes(self, shape: np.ndarray) -> list[np.ndarray]:
        """Return by how much the free parameters of a position change along y and x, by pixel."""
        centre, steps = self.center(shape), self.steps(shape)
        moves = []
        for i, step in zip(self.free, steps, strict=True):
            other = shape.copy()
            other[i] += step
            moves.append(np.subtract(self.center(other), centre) / step)
        # With one coordinate frozen, the way along it is the only one.
        axes = np.linalg.pinv(np.array(moves).T).T
        return [axis for axis in axes if np.isfinite(axis).all() and axis.any()]

    def beside(self, shape: np.ndarray) -> np.ndarray:
        """Return the shape, or one beside it where Gammapy takes another formula: a round one."""
        if "e" not in self.names or shape[self.names.index("e")] != 0:
            return shape
        other = shape.copy()
        other[self.names.index("e")] = 1e-9
        return other


def integrates_as_usual(model: SpatialModel) -> bool:
    """Return whether samples are those of the formula, or of a point, on the pixels of a map."""
    kind = type(model)
    if kind is PointSpatialModel:
        return True
    usual = SpatialModel.integrate_geom, SpatialModel.evaluate_geom
    return (kind.integrate_geom, kind.evaluate_geom) == usual
