"""Spectra that only Gammapy can evaluate, and their derivatives by differences of high order."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
from gammapy.modeling import Parameter
from gammapy.modeling.models import ScaleSpectralModel, SpectralModel

__all__ = ["NumericSpectrum", "differentiate", "model_parameters"]

# Steps that are central, or to one side where a limit is near, with the weights of the first and
# of the second derivative: of fourth order at least.
_CENTRAL = (-2, -1, 0, 1, 2)
_CENTRAL_FIRST = np.array([1, -8, 0, 8, -1]) / 12
_CENTRAL_SECOND = np.array([-1, 16, -30, 16, -1]) / 12
_SIDE = (0, 1, 2, 3, 4, 5)
_SIDE_FIRST = np.array([-137, 300, -300, 200, -75, 12]) / 60
_SIDE_SECOND = np.array([45, -154, 214, -156, 61, -10]) / 12
# The step by the value of the parameter; shortened until orders two and four agree this well.
_STEP = 1e-3
_AGREEMENT = 1e-4
_NEAR = 0.1
_MAX_SHORTENINGS = 9
# If rounding is what makes them differ, longer ones are better.
_LONGER = (1e-2, 3e-2)
# Smaller changes, by the largest value, are not worth another step.
_ROUNDING = 1e-11


def model_parameters(model: SpectralModel) -> list[Parameter]:
    """Return the parameters that a spectrum depends on, also those that it hides.

    Parameters
    ----------
    model : `~gammapy.modeling.models.SpectralModel`
        Any spectral model.

    Returns
    -------
    parameters : list of `~gammapy.modeling.Parameter`
        Each of them once.
    """
    parameters = list(model.parameters)
    if isinstance(model, ScaleSpectralModel):
        parameters += model_parameters(model.model)
    return list({id(parameter): parameter for parameter in parameters}.values())


@dataclass(frozen=True)
class NumericSpectrum:
    """A spectrum evaluated by a copy of its Gammapy model.

    Attributes
    ----------
    model : `~gammapy.modeling.models.SpectralModel`
        A copy, so that the model of the user is never touched.
    temporal : tuple or None
        A copy of the temporal model, and the `~gammapy.data.GTI` to integrate it over.
    energy : `~astropy.units.Quantity`
        Edges, or points.
    integrate : bool
        Whether to integrate between the edges.
    slots : list of (int, `~gammapy.modeling.Parameter`)
        Index into the parameters of the likelihood, and the parameter of the copy.
    columns : `~numpy.ndarray`, (n_columns,)
        Indices of the free ones among them.
    limits : `~numpy.ndarray`, (n_columns, 2)
        Lower and upper limit of the free ones, infinite without.
    """

    model: SpectralModel
    temporal: tuple[Any, Any] | None
    energy: u.Quantity
    integrate: bool
    slots: list[tuple[int, Parameter]]
    columns: np.ndarray
    limits: np.ndarray

    @classmethod
    def build(
        cls, request, index: dict[int, int], free: np.ndarray, memo: dict
    ) -> "NumericSpectrum":
        """Copy the models of a request.

        Parameters
        ----------
        request : `~ctao_sat.likelihood._spectra.SpectrumRequest`
            What to evaluate.
        index : dict of int to int
            Index into the parameters of the likelihood, by the identity of a parameter.
        free : `~numpy.ndarray` of bool, (n_parameters,)
            Which parameters are free.
        memo : dict
            The copies made so far, as `copy.deepcopy` keeps them.

        Returns
        -------
        spectrum : NumericSpectrum
            The copy.
        """
        parameters = model_parameters(request.model)
        model = copy.deepcopy(request.model, memo)
        temporal = None
        if request.temporal is not None:
            temporal = copy.deepcopy(request.temporal[0], memo), request.temporal[1]
            parameters += list(request.temporal[0].parameters)
        known = [p for p in {id(p): p for p in parameters}.values() if id(p) in index]
        slots = [(index[id(p)], copy.deepcopy(p, memo)) for p in known]
        limits = [
            (-np.inf if np.isnan(p.min) else p.min, np.inf if np.isnan(p.max) else p.max)
            for p in known
            if free[index[id(p)]]
        ]
        columns = [i for i, _ in slots if free[i]]
        energy = u.Quantity(request.energy, request.energy_unit)
        return cls(
            model,
            temporal,
            energy,
            request.integrate,
            slots,
            np.array(columns, dtype=np.int64),
            np.array(limits, dtype=np.float64).reshape(-1, 2),
        )

    def quantity(self, p: np.ndarray) -> u.Quantity:
        """Evaluate the spectrum.

        Parameters
        ----------
        p : `~numpy.ndarray`, (n_parameters,)
            Values of all parameters of the likelihood.

        Returns
        -------
        spectrum : `~astropy.units.Quantity`
            One number for each bin or point.
        """
        for i, parameter in self.slots:
            parameter.value = p[i]
        with np.errstate(all="ignore"):
            if self.integrate:
                result = self.model.integral(self.energy[:-1], self.energy[1:])
            else:
                result = self.model(self.energy)
            if self.temporal is not None:
                model, gti = self.temporal
                result = result * np.sum(model.integral(gti.time_start, gti.time_stop))
        return u.Quantity(result)

    def values(self, p: np.ndarray, unit: u.Unit) -> np.ndarray:
        """Evaluate the spectrum as plain numbers in a unit.

        Parameters
        ----------
        p : `~numpy.ndarray`, (n_parameters,)
            Values of all parameters of the likelihood.
        unit : `~astropy.units.Unit`
            Unit of the result.

        Returns
        -------
        values : `~numpy.ndarray`
            One number for each bin or point.
        """
        n = self.energy.size - 1 if self.integrate else self.energy.size
        return np.broadcast_to(self.quantity(p).to_value(unit), n).astype(np.float64)


def differentiate(
    function: Callable[[np.ndarray], np.ndarray],
    p: np.ndarray,
    columns: Sequence[int] | np.ndarray,
    limits: np.ndarray,
    order: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Differentiate a function of many parameters by differences of fourth order.

    Parameters
    ----------
    function : callable
        From the parameters (n_parameters,) to an array (n,).
    p : `~numpy.ndarray`, (n_parameters,)
        Where to differentiate.
    columns : array of int, (n_columns,)
        The parameters to differentiate by.
    limits : `~numpy.ndarray`, (n_columns, 2)
        Where the function is not to be evaluated: below the first and above the second.
    order : int
        1 for first derivatives, 2 for second ones too.

    Returns
    -------
    value : `~numpy.ndarray`, (n,)
        The function at ``p``.
    first : `~numpy.ndarray`, (n, n_columns)
        First derivatives.
    second : `~numpy.ndarray`, (n, n_columns, n_columns) or None
        Second derivatives.
    """
    with np.errstate(all="ignore"):
        value = function(p)
        along = [
            _along(function, p, column, limit, value)
            for column, limit in zip(columns, limits, strict=True)
        ]
        first = np.array([line.first for line in along]).reshape(len(along), value.size).T
        if order < 2:
            return value, first, None
        second = np.zeros((value.size, len(along), len(along)))
        for a, line in enumerate(along):
            second[:, a, a] = line.second
            for b, other in enumerate(along[:a]):
                second[:, a, b] = second[:, b, a] = _mixed(function, p, line, other, value)
    return value, first, second


class _Line(NamedTuple):
    """Derivatives along one parameter, and the step they were made with."""

    vector: np.ndarray
    step: float
    sided: bool
    first: np.ndarray
    second: np.ndarray

    def is_lost(self, value: np.ndarray) -> bool:
        """Return whether the differences are those of rounding."""
        change = max(_largest(self.first * self.step), _largest(self.second * self.step**2))
        return change < _ROUNDING * _largest(value)


def _along(function, p, column, limits, value) -> _Line:
    """Differentiate along one parameter, with other steps until two orders agree."""
    if limits[0] == limits[1]:
        # Nowhere to go.
        none = np.zeros(value.size)
        return _Line(np.zeros(p.size), 1.0, False, none, none)
    unit = abs(p[column]) or 1.0
    best, least = _try_step(function, p, column, limits, value, _STEP * unit)
    for i in range(1, _MAX_SHORTENINGS + 1):
        if not least > _AGREEMENT:
            return best
        line, miss = _try_step(function, p, column, limits, value, _STEP * 0.1**i * unit)
        # Once orders are near each other, only rounding can make shorter steps worse.
        if line.is_lost(value) or least < min(miss, _NEAR):
            break
        if miss < least:
            best, least = line, miss
    for size in _LONGER if least > _AGREEMENT else ():
        line, miss = _try_step(function, p, column, limits, value, size * unit)
        if miss < least:
            best, least = line, miss
    return best


def _try_step(function, p, column, limits, value, length) -> tuple[_Line, float]:
    """Return derivatives for one step, and how much those of lower order differ."""
    step, sided = _fit_step(length, p[column], limits)
    vector = np.zeros(p.size)
    vector[column] = step
    if sided:
        samples = _sample(function, p, vector, _SIDE, value)
        first, second = _SIDE_FIRST @ samples, _SIDE_SECOND @ samples
        rough_first = -1.5 * samples[0] + 2.0 * samples[1] - 0.5 * samples[2]
        rough_second = samples[0] - 2.0 * samples[1] + samples[2]
    else:
        samples = _sample(function, p, vector, _CENTRAL, value)
        first, second = _CENTRAL_FIRST @ samples, _CENTRAL_SECOND @ samples
        rough_first = 0.5 * (samples[3] - samples[1])
        rough_second = samples[1] - 2.0 * samples[2] + samples[3]
    # The second derivative finds peaks that are narrower than the step.
    size = max(_largest(first), _largest(second), _ROUNDING * _largest(value))
    miss = max(_largest(first - rough_first), _largest(second - rough_second))
    miss = miss / size if size > 0 else 0.0
    return _Line(vector, step, sided, first / step, second / step**2), miss


def _largest(values) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def _mixed(function, p, line: _Line, other: _Line, value) -> np.ndarray:
    """Return the mixed derivative of two parameters, from the one along both."""
    vector = line.vector + other.vector
    if line.sided or other.sided:
        bend = _SIDE_SECOND @ _sample(function, p, vector, _SIDE, value)
    else:
        bend = _CENTRAL_SECOND @ _sample(function, p, vector, _CENTRAL, value)
    bend = bend - line.second * line.step**2 - other.second * other.step**2
    return 0.5 * bend / (line.step * other.step)


def _fit_step(step, center, limits):
    """Return a signed step whose samples stay within the limits, and if they go to one side."""
    low, high = limits
    step = min(step, (high - low) / 10)
    if center - 5 * step >= low and center + 5 * step <= high:
        return step, False
    return (step if center + 5 * step <= high else -step), True


def _sample(function, p, vector, offsets, value):
    """Return the function along a vector, (offsets, n)."""
    return np.array([value if k == 0 else function(p + k * vector) for k in offsets])
