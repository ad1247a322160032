"""Spectral models as products of amplitudes and shapes, laid out for the layout."""

import operator
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
from gammapy.modeling import Parameter
from gammapy.modeling import models as gm

from ctao_sat.kernels import spectra_layout as layout
from ctao_sat.likelihood._differences import model_parameters
from ctao_sat.likelihood._recipes import OWN_INTEGRAL, PAIRS, RECIPES, parameter_unit

__all__ = ["NoKernelError", "ProductBuilder"]


class NoKernelError(Exception):
    """The spectrum is for Gammapy to evaluate; the message says why."""


# Nodes for each decade of energy, as in Gammapy.
_NODES_PER_DECADE = 100


class _Grid(NamedTuple):
    """Nodes of some energy bins, or points; energies in TeV."""

    first: int
    n_bins: int
    n_segments: int
    ln_e: np.ndarray
    e: np.ndarray


class _Shape(NamedTuple):
    """One factor of a product; a parameter that is None is the number one."""

    kind: int
    free: list[Parameter | None]
    fixed: list[Parameter]
    values: np.ndarray | None = None
    left: np.ndarray | None = None


class ProductBuilder:
    """Collect the arrays of all spectra that are products of known shapes.

    Parameters
    ----------
    index : dict of int to int
        Index into the parameters of the likelihood, by the identity of a parameter.
    free : array of bool, (n_parameters,)
        Which parameters are free.
    """

    def __init__(self, index: dict[int, int], free: np.ndarray) -> None:
        self.pinned: list[tuple[int, float]] = []
        self._index = index
        self._free = free
        self._ends = [(0, 0, 0)]
        self._vectors: list[list[int]] = []
        self._factors: list[list[int]] = []
        self._slots: list[list[int]] = []
        self._linear: list[list[int]] = []
        self._rows: list[list[int]] = []
        self._left: list[np.ndarray] = []
        self._floats: list[np.ndarray] = []
        self._length = {"floats": 0, "left": 0}
        self._sizes = [0, 0, 0, 0]
        self._grids: dict[tuple, _Grid] = {}
        self._tables: dict[tuple, tuple[np.ndarray, u.UnitBase]] = {}
        self._scales: dict[float, int] = {}
        self._units: dict[tuple, tuple[Any, Any]] = {}

    def add(self, request, *, scaled: bool = False) -> tuple[u.UnitBase, np.ndarray]:
        """Add one spectrum.

        Parameters
        ----------
        request : `~ctao_sat.likelihood._spectra.SpectrumRequest`
            The spectrum.
        scaled : bool
            Leave out the temporal model, but not the columns of its parameters: others scale the
            spectrum.

        Returns
        -------
        unit : `~astropy.units.Unit`
            Its unit.
        columns : array of int64
            The free parameters it depends on.

        Raises
        ------
        NoKernelError
            If it is not a product of known shapes. Nothing is added then.
        """
        if request.temporal is not None and not scaled:
            raise NoKernelError("temporal model with free parameters")
        leaves = list(_leaves(request.model))
        is_scaled = len(leaves) == 1 and type(leaves[0]) is gm.ScaleSpectralModel
        if is_scaled or not request.integrate:
            mode = layout.POINTS
        elif len(leaves) == 1:
            mode = OWN_INTEGRAL.get(type(leaves[0]), layout.BINS)
        else:
            mode = layout.BINS
        grid = self._grid(request, mode)
        linear: list[Parameter] = []
        shapes: list[_Shape] = []
        units: list[u.UnitBase] = []
        power = int(request.integrate)
        for leaf in leaves:
            if is_scaled:
                amplitude, shape, unit, per_energy = self._scaled_leaf(leaf, request)
            else:
                amplitude, shape, unit, per_energy = self._leaf(leaf, grid)
            linear += amplitude
            shapes += shape
            units.append(unit)
            power -= per_energy
        scales = [self._slot_scales(shape) for shape in shapes]
        columns = self._columns(request.model, request.temporal)
        self._commit(mode, grid, linear, shapes, scales, columns)
        return self._unit(units, power), columns

    def skip(self, request, columns: np.ndarray) -> None:
        """Leave room for a spectrum that the kernel does not compute.

        Parameters
        ----------
        request : `~ctao_sat.likelihood._spectra.SpectrumRequest`
            The spectrum.
        columns : array of int64
            The free parameters it depends on.
        """
        vector = [0] * layout.VECTOR_SIZE
        vector[layout.MODE] = layout.SKIPPED
        vector[layout.N_BINS] = len(request.energy) - int(request.integrate)
        self._append_vector(vector, columns.size)

    def starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where each spectrum begins, and its blocks of derivatives.

        Returns
        -------
        start, dstart, d2start : array of int64, (n_vectors + 1,)
            The last number is the length.
        """
        start, dstart, d2start = np.array(self._ends, dtype=np.int64).T.copy()
        return start, dstart, d2start

    def arrays(self) -> layout.SpectraArrays:
        """Return what was collected.

        Returns
        -------
        arrays : `~ctao_sat.kernels.spectra.SpectraArrays`
            Input of the layout.
        """
        header = [len(self._vectors), *self._sizes]
        records = [self._vectors, self._factors, self._slots, self._linear, self._rows]
        flat = [np.array(record, dtype=np.int64).ravel() for record in records]
        _, factors, slots, linear, rows, left = np.cumsum([len(header), *map(len, flat)]).tolist()
        vector = flat[0].reshape(-1, layout.VECTOR_SIZE)
        vector[:, layout.FACTOR] = factors + layout.FACTOR_SIZE * vector[:, layout.FACTOR]
        vector[:, layout.LINEAR] = linear + layout.PAIR_SIZE * vector[:, layout.LINEAR]
        vector[:, layout.ROW] = rows + layout.PAIR_SIZE * vector[:, layout.ROW]
        factor = flat[1].reshape(-1, layout.FACTOR_SIZE)
        factor[:, layout.SLOT] = slots + layout.SLOT_SIZE * factor[:, layout.SLOT]
        factor[:, layout.LEFT] += left
        ints = np.concatenate([np.array(header, dtype=np.int64), *flat, *self._left])
        return layout.SpectraArrays(ints, np.concatenate([np.empty(0), *self._floats]))

    def _append_vector(self, vector: list[int], n_columns: int) -> None:
        """Append the record of a spectrum, with its places in the results."""
        start, dstart, d2start = self._ends[-1]
        n_bins = vector[layout.N_BINS]
        vector[layout.F_START], vector[layout.D_START], vector[layout.D2_START] = self._ends[-1]
        vector[layout.N_COLUMNS] = n_columns
        self._vectors.append(vector)
        block = n_bins * n_columns
        self._ends.append((start + n_bins, dstart + block, d2start + block * n_columns))

    def _commit(self, mode, grid, linear, shapes, scales, columns) -> None:
        """Append a spectrum whose parts are all known; positions count records here."""
        place = {column: i for i, column in enumerate(columns.tolist())}
        n_nodes = grid.ln_e.size
        vector = [grid.first, grid.first + n_nodes, grid.first + 2 * n_nodes, mode, n_nodes]
        vector += [grid.n_bins, grid.n_segments, 0, 0, 0, 0, len(self._factors), len(shapes)]
        vector += [len(self._linear), len(linear), len(self._rows), 0]
        for parameter in linear:
            i = self._index[id(parameter)]
            self._linear.append([i, place.get(i, -1)])
        n_rows = n_curves = 0
        for shape, scale in zip(shapes, scales, strict=True):
            n_free = len(shape.free)
            factor = [shape.kind, len(self._slots), len(scale), n_free]
            factor += [PAIRS.get(shape.kind, 0), n_curves]
            self._factors.append([*factor, self._put_values(shape), self._put_left(shape)])
            if shape.kind in PAIRS:
                n_curves += n_free * (n_free + 1) // 2
            for s, parameter in enumerate([*shape.free, *shape.fixed]):
                i = -1 if parameter is None else self._index[id(parameter)]
                has_row = i in place and s < n_free
                self._slots.append([i, n_rows if has_row else -1, scale[s]])
                if has_row:
                    self._rows.append([place[i], scale[s]])
                    n_rows += 1
            self._sizes[3] = max(self._sizes[3], len(scale))
        vector[layout.N_ROWS] = n_rows
        for i, size in enumerate([n_nodes, n_rows, n_curves]):
            self._sizes[i] = max(self._sizes[i], size)
        self._append_vector(vector, len(place))

    def _put(self, *arrays: np.ndarray) -> int:
        """Append numbers; return where they begin."""
        begin = self._length["floats"]
        self._floats += arrays
        self._length["floats"] += sum(array.size for array in arrays)
        return begin

    def _put_values(self, shape: _Shape) -> int:
        return 0 if shape.values is None else self._put(shape.values)

    def _put_left(self, shape: _Shape) -> int:
        begin = self._length["left"]
        if shape.left is not None:
            self._left.append(shape.left)
            self._length["left"] += shape.left.size
        return begin

    def _columns(self, model, temporal: tuple[Any, Any] | None) -> np.ndarray:
        """Return the free parameters of a spectrum, each of them once."""
        parameters = [*model.parameters, *(temporal[0].parameters if temporal else ())]
        found = [self._index[id(parameter)] for parameter in parameters]
        unique = [i for i in dict.fromkeys(found) if self._free[i]]
        return np.array(unique, dtype=np.int64)

    def _is_free(self, parameter: Parameter) -> bool:
        return bool(self._free[self._index[id(parameter)]])

    def _grid(self, request, mode: int) -> _Grid:
        """Return the nodes of a request; equal requests share them."""
        energy = np.asarray(request.energy, dtype=np.float64)
        scale = self._scale_of(request.energy_unit, u.TeV)
        refined = mode == layout.BINS
        # A spectrum of known integrals has a point for each bin, whichever.
        n_values = len(energy) - int(request.integrate)
        if mode == layout.POINTS:
            energy = energy[:n_values]
        key = (energy.tobytes(), scale, refined, mode == layout.POINTS)
        if key not in self._grids:
            n_segments = _count_segments(energy) if refined else 1
            e = energy * scale
            ln_e = np.log(e)
            if n_segments > 1:
                share = np.arange(n_segments) / n_segments
                ln_fine = ln_e[:-1, np.newaxis] + share * np.diff(ln_e)[:, np.newaxis]
                ln_e = np.append(ln_fine.ravel(), ln_e[-1])
                fine = np.exp(ln_e)
                fine[::n_segments] = e
                e = fine
            first = self._put(ln_e, e, np.append(np.diff(ln_e), 0.0))
            self._grids[key] = _Grid(first, n_values, n_segments, ln_e, e)
        return self._grids[key]

    def _leaf(self, model, grid: _Grid):
        """Return amplitudes, shapes, unit and power of 1 / TeV of one factor of a product."""
        recipe = RECIPES.get(type(model))
        if recipe is not None:
            for name in recipe.fixed:
                if self._is_free(getattr(model, name)):
                    raise NoKernelError(f"free {name} of {type(model).__name__}")
            amplitude = getattr(model, recipe.linear)
            if recipe.kind is None:
                return [amplitude], [], amplitude.unit, 0
            free = [getattr(model, name) for name in recipe.free]
            fixed = [getattr(model, name) for name in recipe.fixed]
            shape = _Shape(recipe.kind, free, fixed)
            return [amplitude], [shape], amplitude.unit, int(recipe.per_energy)
        if type(model) is gm.PiecewiseNormSpectralModel:
            return [], [_piecewise(model, grid)], u.dimensionless_unscaled, 0
        if type(model) is gm.TemplateSpectralModel:
            values, unit = self._table(model, grid, {})
            return [], [_Shape(layout.TABLE, [None], [], values)], unit, 0
        if type(model) is gm.EBLAbsorptionNormSpectralModel:
            if self._is_free(model.redshift):
                raise NoKernelError("free redshift of EBLAbsorptionNormSpectralModel")
            redshift = model.redshift.value
            self.pinned.append((self._index[id(model.redshift)], redshift))
            values, unit = self._table(model, grid, {"redshift": redshift, "alpha_norm": 1.0})
            return [], [_Shape(layout.TABLE, [model.alpha_norm], [], values)], unit, 0
        raise NoKernelError(f"no kernel for {type(model).__name__}")

    def _scaled_leaf(self, model, request):
        """Return the same of a norm times a frozen spectrum, which Gammapy evaluates here."""
        found = [(self._index.get(id(p)), p) for p in model_parameters(model.model)]
        known = [(i, p) for i, p in found if i is not None]
        for i, parameter in known:
            if self._free[i]:
                raise NoKernelError(f"free {parameter.name} within ScaleSpectralModel")
        energy, per_energy = request.energy * request.energy_unit, int(request.integrate)
        with np.errstate(all="ignore"):
            if request.integrate:
                values = u.Quantity(model.model.integral(energy[:-1], energy[1:]))
            else:
                values = u.Quantity(model.model(energy))
            logarithms = np.log(values.value.astype(np.float64))
        if np.any(np.isnan(logarithms)):
            raise NoKernelError("ScaleSpectralModel of a spectrum that is negative somewhere")
        self.pinned += [(i, parameter.value) for i, parameter in known]
        shape = _Shape(layout.TABLE, [None], [], logarithms)
        return [model.norm], [shape], values.unit, per_energy

    def _table(self, model, grid: _Grid, arguments: dict) -> tuple[np.ndarray, u.UnitBase]:
        """Return the logarithm of a tabulated model at the nodes, and its unit."""
        key = (id(model), grid.first, tuple(arguments.values()))
        if key not in self._tables:
            with np.errstate(all="ignore"):
                values = u.Quantity(model.evaluate(grid.e * u.TeV, **arguments))
                logarithms = np.log(values.value.astype(np.float64))
            self._tables[key] = logarithms, values.unit
        return self._tables[key]

    def _scale_of(self, unit: u.UnitBase, target: u.UnitBase) -> float:
        """Return how many of the target unit are in one unit."""
        if unit is target:
            return 1.0
        key = (id(unit), id(target))
        if key not in self._units:
            try:
                self._units[key] = (unit, float(unit.to(target)))
            except u.UnitConversionError:
                raise NoKernelError(f"parameter in {unit}, not in {target}") from None
        return self._units[key][1]

    def _slot_scales(self, shape: _Shape) -> list[int]:
        """Return where the factors are that bring the parameters of a shape to TeV."""
        scales = []
        for parameter in [*shape.free, *shape.fixed]:
            scale = 1.0
            if parameter is not None:
                scale = self._scale_of(parameter.unit, parameter_unit(parameter.name))
            if scale not in self._scales:
                self._scales[scale] = self._put(np.array([scale]))
            scales.append(self._scales[scale])
        return scales

    def _unit(self, units: list[u.UnitBase], power: int) -> u.UnitBase:
        """Return the product of units, times TeV to a power."""
        key = (*map(id, units), power)
        if key not in self._units:
            product = u.dimensionless_unscaled
            for unit in units:
                product = product * unit
            self._units[key] = (list(units), product * u.TeV**power if power else product)
        return self._units[key][1]


def _leaves(model):
    """Yield the factors of a product of spectra."""
    if type(model) is not gm.CompoundSpectralModel:
        yield model
    elif model.operator is operator.mul:
        yield from _leaves(model.model1)
        yield from _leaves(model.model2)
    else:
        raise NoKernelError("sum or difference of spectra")


def _count_segments(edges: np.ndarray) -> int:
    """Return the number of segments of each bin; Gammapy's number of nodes, less one."""
    widest = np.max(_NODES_PER_DECADE * np.log10(edges[1:] / edges[:-1]))
    return int(np.maximum(widest, 2)) - 1


def _piecewise(model, grid: _Grid) -> _Shape:
    """Return the shape of a correction between given energies."""
    interpolation = model.to_dict()["spectral"]["interp"]
    nodes, points = model.energy.to_value(u.TeV), grid.e
    if interpolation not in ("log", "lin") or np.any(np.diff(nodes) <= 0):
        raise NoKernelError(f"interpolation '{interpolation}' of PiecewiseNormSpectralModel")
    kind = layout.PIECEWISE_LIN
    if interpolation == "log":
        kind, nodes, points = layout.PIECEWISE_LOG, np.log(nodes), grid.ln_e
    left = np.clip(np.searchsorted(nodes, points, side="right") - 1, 0, nodes.size - 2)
    weight = (points - nodes[left]) / (nodes[left + 1] - nodes[left])
    parameters = list(model.parameters)
    return _Shape(kind, parameters, [], np.clip(weight, 0, 1), left.astype(np.int64))
