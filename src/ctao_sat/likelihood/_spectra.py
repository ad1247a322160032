"""From Gammapy's spectral models to arrays for `ctao_sat.kernels.spectra`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import astropy.units as u
import numpy as np
from gammapy.modeling import Parameter
from gammapy.modeling.models import SpectralModel

from ctao_sat.kernels.spectra import SpectraArrays, evaluate
from ctao_sat.likelihood._differences import NumericSpectrum, differentiate
from ctao_sat.likelihood._products import NoKernelError, ProductBuilder
from ctao_sat.likelihood._temporal_norms import TemporalNorms

__all__ = ["Spectra", "SpectrumRequest", "build_spectra"]


@dataclass(frozen=True)
class SpectrumRequest:
    """One spectrum to compile.

    Attributes
    ----------
    model : `~gammapy.modeling.models.SpectralModel`
        Any spectral model.
    energy : `~numpy.ndarray`
        Edges, (K + 1,), or points, (K,), in ``energy_unit``.
    integrate : bool
        Whether to integrate between the edges, exactly as the model's ``integral`` does.
    temporal : tuple of (`~gammapy.modeling.models.TemporalModel`, `~gammapy.data.GTI`) or None
        Multiply by the temporal integral over the GTIs; for temporal models with free parameters.
    energy_unit : `~astropy.units.Unit`
        Give the unit of the axis: Gammapy chooses the number of nodes within a bin from ratios of
        energies in that unit, and one rounding error can change it.
    """

    model: SpectralModel
    energy: np.ndarray
    integrate: bool
    temporal: tuple[Any, Any] | None = None
    energy_unit: u.UnitBase = u.TeV


@dataclass(frozen=True)
class Spectra:
    """Compiled spectra, one vector for each request.

    Attributes
    ----------
    start, dstart, d2start : array of int64, (n_vectors + 1,)
        Where each vector begins in ``f``, and its blocks in ``df`` and ``d2f``.
    units : list of `~astropy.units.Unit`
        Unit of each vector.
    columns : list of array of int64
        Of each vector the indices of the free parameters it depends on, each of them once.
    column_start, column_index : array of int64
        The same as flat arrays.
    arrays : `~ctao_sat.kernels.spectra.SpectraArrays`
        Input of `ctao_sat.kernels.spectra.evaluate`.
    numeric : list of (int, str)
        Vectors that Gammapy, or a temporal model, has a part in, with the reason.
    pinned : list of (int, float)
        Frozen parameters whose value is compiled in: with another one, compile again.
    """

    start: np.ndarray
    dstart: np.ndarray
    d2start: np.ndarray
    units: list[u.UnitBase]
    columns: list[np.ndarray]
    column_start: np.ndarray
    column_index: np.ndarray
    arrays: SpectraArrays
    numeric: list[tuple[int, str]]
    pinned: list[tuple[int, float]]
    models: dict[int, NumericSpectrum] = field(repr=False)
    norms: TemporalNorms = field(repr=False)

    def compute(
        self, p: np.ndarray, order: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Evaluate all spectra.

        Parameters
        ----------
        p : array of float64, (n_parameters,)
            Values of all parameters in their own units.
        order : int
            2 for second derivatives, 1 for first ones, 0 for the spectra alone.

        Returns
        -------
        f : array, (start[-1],)
            The spectra.
        df : array, (dstart[-1],) or None
            Blocks (bins, columns) of derivatives by the values of the free parameters.
        d2f : array, (d2start[-1],) or None
            Blocks (bins, columns, columns) of second derivatives.
        """
        f = np.empty(self.start[-1])
        df = np.empty(self.dstart[-1] if order >= 1 else 0)
        d2f = np.empty(self.d2start[-1] if order >= 2 else 0)
        evaluate(order, p, self.arrays, f, df, d2f)
        self.fill_numeric(p, order, f, df, d2f)
        return f, df if order >= 1 else None, d2f if order >= 2 else None

    def fill_numeric(
        self, p: np.ndarray, order: int, f: np.ndarray, df: np.ndarray, d2f: np.ndarray
    ) -> None:
        """Write the vectors without a kernel, and scale those that a temporal model scales.

        Parameters
        ----------
        p : array of float64, (n_parameters,)
            Values of all parameters.
        order : int
            Highest derivative.
        f, df, d2f : array of float64
            Written.
        """
        for v, model in self.models.items():
            part = slice(self.start[v], self.start[v + 1])
            unit = self.units[v]
            if order == 0:
                f[part] = model.values(p, unit)
                continue
            f[part], first, second = differentiate(
                partial(model.values, unit=unit),
                p,
                self.columns[v],
                model.limits,
                order,
            )
            df[self.dstart[v] : self.dstart[v + 1]] = first.ravel()
            if second is not None:
                d2f[self.d2start[v] : self.d2start[v + 1]] = second.ravel()
        self.norms.scale(p, order, self, f, df, d2f)


def build_spectra(
    requests: Sequence[SpectrumRequest],
    parameters: Sequence[Parameter],
    free: Sequence[bool] | np.ndarray,
) -> Spectra:
    """Compile spectra.

    Parameters
    ----------
    requests : sequence of SpectrumRequest
        What to compute.
    parameters : sequence of `~gammapy.modeling.Parameter`
        All unique parameters; they define the vector of parameters.
    free : sequence of bool
        Which of them are free.

    Returns
    -------
    spectra : Spectra
        The compiled spectra.

    Raises
    ------
    ValueError
        If a model has a parameter that is not among ``parameters``.
    """
    index = {id(parameter): i for i, parameter in enumerate(parameters)}
    mask = np.asarray(free, dtype=bool)
    builder = ProductBuilder(index, mask)
    p = np.array([parameter.value for parameter in parameters])
    memo: dict[int, Any] = {}
    units, columns, reasons, models, norms = [], [], [], {}, TemporalNorms()
    _check_parameters(requests, index)
    for v, request in enumerate(requests):
        try:
            temporal = request.temporal if norms.knows(request.temporal) else None
            unit, column = builder.add(request, scaled=temporal is not None)
            if temporal is not None:
                norms.add(v, temporal, column)
                reasons.append((v, "scaled by the mean of its temporal model"))
        except NoKernelError as error:
            reasons.append((v, str(error)))
            models[v] = NumericSpectrum.build(request, index, mask, memo)
            unit, column = models[v].quantity(p).unit, models[v].columns
            builder.skip(request, column)
        units.append(unit)
        columns.append(column)
    norms.build(index)
    column_start = np.cumsum([0, *map(len, columns)], dtype=np.int64)
    flat = np.concatenate([np.empty(0, dtype=np.int64), *columns])
    arrays, pinned = builder.arrays(), builder.pinned
    return Spectra(
        *builder.starts(),
        units,
        columns,
        column_start,
        flat,
        arrays,
        reasons,
        pinned,
        models,
        norms,
    )


def _check_parameters(requests: Sequence[SpectrumRequest], index: dict[int, int]) -> None:
    """Refuse models with a parameter whose value nobody would give."""
    for request in requests:
        for parameter in request.model.parameters:
            if id(parameter) not in index:
                name = type(request.model).__name__
                raise ValueError(f"Parameter {parameter.name} of {name} is not listed.")
