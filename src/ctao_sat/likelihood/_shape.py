"""Spatial models with free parameters, as formulas on the pixels of a map."""

import copy

import numpy as np
from gammapy.modeling.models import GaussianSpatialModel, PointSpatialModel, SpatialModel

from ctao_sat._gammapy import CUTOUT_MARGIN
from ctao_sat.kernels.gaussian import N_DERIVATIVES, gaussian
from ctao_sat.likelihood._pixels import MapPixels

__all__ = ["Shape", "integrates_as_usual", "is_pixelated", "pixel_axes"]

# A point source has kinks where it crosses the centre of a pixel: derivatives are those of the mean
# over one pixel.
_HALF_PIXEL = 0.5
# Steps of derivatives, by the size of a smooth source and for shapes with edges by pixels.
_SMOOTH_STEP, _EDGE_STEP = 3e-3, 0.25
# A Gaussian that is smaller, in pixels, lies in one of them as a whole, where nothing changes.
_WITHIN_PIXEL = 0.3
_ECCENTRICITY_STEP = 0.02
# Where a Gaussian is no longer evaluated, by Gammapy's evaluation radius of 5 sigma.
_GAUSSIAN_END = 1.1
# Where the eccentricity begins, if it is free: at zero its derivative vanishes.
_NOT_ROUND = 0.3
# In degrees: to find how pixels lie. Ways along a pixel that are shorter, by the longest, are none.
_PROBE, _ALONG = 1e-3, 1e-3
_SIZES = ("sigma", "r_0", "radius", "width")


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
        self.model, self.pixels, self.psf = copy.deepcopy(model), pixels, psf
        self._parameters = list(self.model.parameters)
        self.names = [parameter.name for parameter in self._parameters]
        self._units = [parameter.unit for parameter in self._parameters]
        # By number of the parameter, those of angles.
        self._degrees = {
            i: unit.to("deg") for i, unit in enumerate(self._units) if unit.is_equivalent("deg")
        }
        self.free = [i for i, p in enumerate(model.parameters) if not p.frozen]
        self.is_point = type(model) is PointSpatialModel
        self.is_smooth = type(model) is GaussianSpatialModel
        #: How far kernels reach along y and x, and the larger of both, in pixels.
        self.halves = psf.shape[1] // 2, psf.shape[2] // 2
        self.reach = max(self.halves)
        self.transfer: dict[tuple, np.ndarray] = {}

    def set(self, shape: np.ndarray) -> None:
        """Give the copy of the model these values."""
        for parameter, value in zip(self._parameters, shape, strict=True):
            parameter.value = value

    def center(self, shape: np.ndarray) -> tuple[float, float]:
        """Return the pixel (y, x) of the position; the middle of the map if there is none."""
        if "lon_0" not in self.names:
            return (self.pixels.shape[0] - 1) / 2, (self.pixels.shape[1] - 1) / 2
        lon, lat = (
            shape[i] * self._degrees[i]
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

    @property
    def is_round(self) -> bool:
        """Whether it is a Gaussian that stays round: its derivatives are known."""
        if not self.is_smooth:
            return False
        e = self._parameters[self.names.index("e")]
        return e.value == 0 and self.names.index("e") not in self.free

    def gaussian(self, shape: np.ndarray, coordinates, order: int) -> np.ndarray:
        """Return the surface brightness of a round Gaussian and derivatives by its parameters.

        As `ctao_sat.kernels.gaussian.gaussian` has them, in units of the parameters.
        """
        index = [self.names.index(name) for name in ("lon_0", "lat_0", "sigma")]
        units = [self._units[i].to("rad") for i in index]
        at = [shape[i] * unit for i, unit in zip(index, units, strict=True)]
        flat = [np.ravel(angle.value) for angle in coordinates]
        out = np.zeros((N_DERIVATIVES, len(flat[0])))
        gaussian(*flat, *at, order, out)
        second = [units[i] * units[j] for i in range(3) for j in range(i + 1)]
        out *= np.array([1.0, *units, *second])[:, None]
        return out.reshape(N_DERIVATIVES, *coordinates[0].shape)

    def widths(self, shape: np.ndarray) -> tuple[float, float]:
        """Return sigma of a Gaussian along the long and the short axis, in degrees."""
        at = self.names.index("sigma")
        sigma = abs(float(shape[at])) * self._degrees[at]
        e = min(abs(float(shape[self.names.index("e")])), 1.0)
        return sigma, sigma * float(np.sqrt(1 - e**2))

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
        angle = max(_SMOOTH_STEP * size, _EDGE_STEP * pixel if is_pixelated(self, shape) else 0.0)
        if self.is_point:
            angle = _HALF_PIXEL * pixel
        steps = []
        for i in self.free:
            name, value = self.names[i], shape[i]
            degrees = i in self._degrees and name != "phi"
            if name == "phi":
                step = 0.5 / self._degrees[i]
            elif degrees:
                step = angle / self._degrees[i]
                if name == "lon_0":
                    lat = shape[self.names.index("lat_0")]
                    step /= max(np.cos(np.deg2rad(lat * self._degrees[i])), 1e-3)
                elif i in self.sizes and value != 0:
                    # Not to another side of nothing.
                    step = min(step, abs(value) / 2)
            elif name == "e":
                step = min(_ECCENTRICITY_STEP, max((1 - abs(value)) / 2, 1e-6))
            else:
                step = _SMOOTH_STEP * (abs(value) or 1.0)
            steps.append(step)
        return np.array(steps)

    def start(
        self, shape: np.ndarray, move: np.ndarray | None = None, factor: float = 1.0
    ) -> np.ndarray:
        """Return a shape to start from: moved by its size, larger, neither flat nor round.

        Parameters
        ----------
        shape : array, shape (n,)
            The shape.
        move : array, shape (2,), optional
            Along y and x; a point moves by the width of the PSF.
        factor : float
            For sizes.

        Returns
        -------
        shape : array, shape (n,)
            What is frozen is as it was.
        """
        new, pixel = shape.copy(), float(np.min(self.pixels.scales))
        for i in self.free:
            name = self.names[i]
            if name == "e" and new[i] == 0:
                new[i] = _NOT_ROUND
            elif i in self.sizes:
                new[i] = (new[i] or pixel / self._degrees[i]) * factor
        if move is not None and "lon_0" in self.names and "lat_0" in self.names:
            size = (self.radius(shape) or 0.0) / 5 or max(self.reach / 3, 1.0) * pixel
            lon, lat = self.names.index("lon_0"), self.names.index("lat_0")
            cosine = max(np.cos(np.deg2rad(shape[lat] * self._degrees[lat])), 1e-3)
            if lat in self.free:
                new[lat] += move[0] * size / self._degrees[lat]
            if lon in self.free:
                new[lon] += move[1] * size / cosine / self._degrees[lon]
        return new

    def sample_width(self, radius: float) -> float:
        """Return the width of the pixels on which a source is evaluated, in degrees.

        That of Gammapy's cutout. A Gaussian has less than 3e-7 of its maximum beyond 5.5 sigma.
        """
        width = self.cutout_width(radius)
        if self.is_smooth:
            width = min(width, 2 * (_GAUSSIAN_END * radius + CUTOUT_MARGIN.to_value("deg")))
        return width

    def cutout_width(self, radius: float) -> float:
        """Return the width of Gammapy's cutout around a source, in degrees."""
        n_y, n_x = self.psf.shape[1:]
        psf = max(n_y * self.pixels.scales[0], n_x * self.pixels.scales[1])
        if (n_y, n_x) == (1, 1):
            psf = 0.0
        return psf + 2 * (radius + CUTOUT_MARGIN.to_value("deg"))

    def cut_off(self, before: np.ndarray, after: np.ndarray) -> float:
        """Return the part of a source that lies outside of Gammapy's cutout of another shape."""
        radius = self.radius(before)
        if radius is None:
            return 0.0
        box = self.pixels.box(self.center(before), self.cutout_width(radius), odd=True)
        if self.is_point:
            y, x = self.center(after)
            return float(not (box[0] <= y < box[1] and box[2] <= x < box[3]))
        values = np.nan_to_num(self.evaluate(after, *self.pixels.coordinates))
        values = values * self.pixels.solid_angles
        total = values.sum()
        return float(1 - values[box[0] : box[1], box[2] : box[3]].sum() / total) if total else 0.0

    @property
    def position(self) -> list[int]:
        """Which parameters are free coordinates of the position."""
        return [i for i in self.free if self.names[i] in ("lon_0", "lat_0")]

    @property
    def sizes(self) -> list[int]:
        """Which parameters are free sizes."""
        return [i for i in self.free if self.names[i] in _SIZES]

    def position_axes(self, shape: np.ndarray) -> list[np.ndarray]:
        """Return by how much the free coordinates change along y and x, by pixel."""
        centre, moves = self.center(shape), []
        for i in self.position:
            other = shape.copy()
            other[i] += _PROBE / self._degrees[i]
            moves.append(np.subtract(self.center(other), centre) * self._degrees[i] / _PROBE)
        if not moves:
            return []
        # With one coordinate frozen, the way along it is the only one.
        axes = np.linalg.pinv(np.nan_to_num(np.array(moves)))
        lengths = np.linalg.norm(axes, axis=1)
        return [
            axis
            for axis, length in zip(axes, lengths, strict=True)
            if length > _ALONG * max(lengths)
        ]

    def beside(self, shape: np.ndarray) -> np.ndarray:
        """Return the shape, or one beside it where Gammapy takes another formula: a round one."""
        if not any(self.names[i] == "e" and shape[i] == 0 for i in self.free):
            return shape
        other = shape.copy()
        other[self.names.index("e")] = 1e-9
        return other


def is_pixelated(source: Shape, shape: np.ndarray) -> bool:
    """Return whether the pixels are seen: with points, edges, and Gaussians within one."""
    if not source.is_smooth:
        return True
    return source.widths(shape)[1] < _WITHIN_PIXEL * float(np.max(source.pixels.scales))


def pixel_axes(source: Shape, shape: np.ndarray) -> list[tuple[list[int], list[np.ndarray]]]:
    """Return the free coordinates, and each size, with steps of one pixel; none if it is smooth."""
    if not is_pixelated(source, shape):
        return []
    pixel, parameters = float(np.min(source.pixels.scales)), list(source.model.parameters)
    sizes = [([i], [np.array([pixel / parameters[i].unit.to("deg")])]) for i in source.sizes]
    return [(source.position, source.position_axes(shape)), *sizes]


def integrates_as_usual(model: SpatialModel) -> bool:
    """Return whether samples are those of the formula, or of a point, on the pixels of a map."""
    kind = type(model)
    if kind is PointSpatialModel:
        return True
    usual = SpatialModel.integrate_geom, SpatialModel.evaluate_geom
    return (kind.integrate_geom, kind.evaluate_geom) == usual
