"""Put the flux points of time intervals together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from astropy.time import Time
from gammapy.data import GTI
from gammapy.estimators import FluxPoints
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap, TimeMapAxis
from gammapy.modeling.models import SpectralModel

from ctao_sat.dl5._interval_spectra import IntervalSpectrum

__all__ = ["IntervalFlux", "stack"]

_BY_DATASET = ("counts", "npred", "npred_excess")
_NORMS = ("norm", "norm_err", "norm_errn", "norm_errp", "norm_ul", "norm_sensitivity")


@dataclass(frozen=True)
class IntervalFlux:
    """Flux points of one interval as arrays.

    Attributes
    ----------
    quantities : dict of array, shape (n_energy, ...)
        Maps of Gammapy's `~gammapy.estimators.FluxPoints`; the second dimension is that of datasets
        or of norms.
    edges : array, shape (n_energy + 1,)
        Of energy, in TeV.
    datasets : list of str
        Names.
    scan : array, shape (n_norm,)
        Norms at which the statistic was scanned; empty if it was not.
    meta : dict
        Of the flux points.
    notes : list of str
        What was left to Gammapy, and why.
    spectrum : IntervalSpectrum, optional
        The spectrum of the interval.
    """

    quantities: dict[str, np.ndarray]
    edges: np.ndarray
    datasets: list[str]
    scan: np.ndarray
    meta: dict
    notes: list[str] = field(default_factory=list)
    spectrum: IntervalSpectrum | None = None

    @classmethod
    def from_points(
        cls,
        points: FluxPoints,
        notes: Sequence[str],
        spectrum: IntervalSpectrum | None,
        reference: SpectralModel,
    ) -> "IntervalFlux":
        """Return the flux points of an interval, relative to a reference spectrum."""
        points.filter_success_nan = False
        axis = points.geom.axes["energy"]
        quantities = {}
        for name in points.available_quantities:
            data = np.asarray(getattr(points, name).data)
            quantities[name] = data.reshape(data.shape[:-2])
        if spectrum is not None:
            own = points.reference_model.spectral_model
            factor = _flux(own, axis) / _flux(reference, axis)
            for name in _NORMS:
                if name in quantities:
                    quantities[name] = quantities[name] * factor
        scan = points.stat_scan.geom.axes["norm"].center.value if points.has_stat_profiles else []
        names = points.counts.geom.axes["dataset"].center.tolist()
        edges = axis.edges.to_value("TeV")
        meta = {key: points.meta[key] for key in sorted(points.meta)}
        return cls(quantities, edges, names, np.asarray(scan), meta, list(notes), spectrum)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all as arrays, for `from_arrays`."""
        arrays = {f"quantity {name}": data for name, data in self.quantities.items()}
        text = {"datasets": self.datasets, "meta": self.meta, "notes": self.notes}
        if self.spectrum is not None:
            arrays["spectrum values"] = self.spectrum.values
            arrays["spectrum covariance"] = self.spectrum.covariance
            numbers = [self.spectrum.stat, self.spectrum.ts, self.spectrum.success]
            arrays["spectrum numbers"] = np.array(numbers, dtype=float)
            text["message"] = self.spectrum.message
        arrays |= {"edges": self.edges, "scan": self.scan, "text": np.array(json.dumps(text))}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "IntervalFlux":
        """Return what `to_arrays` was made of."""
        start = "quantity "
        quantities = {
            name.removeprefix(start): data
            for name, data in arrays.items()
            if name.startswith(start)
        }
        text = json.loads(str(arrays["text"]))
        spectrum = None
        if "spectrum values" in arrays:
            stat, ts, success = arrays["spectrum numbers"].tolist()
            spectrum = IntervalSpectrum(
                arrays["spectrum values"],
                arrays["spectrum covariance"],
                stat,
                ts,
                bool(success),
                text["message"],
            )
        return cls(
            quantities,
            arrays["edges"],
            text["datasets"],
            arrays["scan"],
            text["meta"],
            text["notes"],
            spectrum,
        )


def _flux(model: SpectralModel, axis: MapAxis) -> np.ndarray:
    flux = model.integral(axis.edges_min, axis.edges_max)
    return np.asarray(u.Quantity(flux).to_value("cm-2 s-1"))


def stack(
    parts: Sequence[IntervalFlux],
    times: tuple[Time, Time],
    names: Sequence[str],
    reference: SpectralModel,
) -> FluxPoints:
    """Return flux points with an axis of time.

    Parameters
    ----------
    parts : sequence of IntervalFlux, shape (m,)
        Flux points of the intervals.
    times : tuple of `~astropy.time.Time`, shape (m,)
        Start and stop of the intervals.
    names : sequence of str
        Names of all datasets.
    reference : `~gammapy.modeling.models.SpectralModel`
        The reference spectrum.

    Returns
    -------
    curve : `~gammapy.estimators.FluxPoints`
        As Gammapy's estimator makes it; ``curve.meta["fallbacks"]`` has the notes.
    """
    gti = GTI.create(*times)
    time = TimeMapAxis.from_gti(gti)
    energy = MapAxis.from_energy_edges(parts[0].edges * u.TeV)
    maps = {}
    for name in parts[0].quantities:
        axes, rows = [energy, time], [part.quantities[name] for part in parts]
        if name in _BY_DATASET:
            axes.insert(0, LabelMapAxis(labels=list(names), name="dataset"))
            rows = [_expand(row, part, names) for row, part in zip(rows, parts, strict=True)]
        elif name == "stat_scan":
            axes.insert(0, MapAxis.from_nodes(parts[0].scan, interp="log", name="norm"))
        geom = RegionGeom.create(None, axes=axes)
        data = np.array(rows).reshape(geom.data_shape)
        maps[name] = RegionNDMap(geom=geom, data=data, dtype=data.dtype)
    meta = {**parts[0].meta, "fallbacks": [note for part in parts for note in part.notes]}
    return FluxPoints(maps, reference.copy(), meta=meta, gti=gti)


def _expand(row: np.ndarray, part: IntervalFlux, names: Sequence[str]) -> np.ndarray:
    """Return numbers by dataset for all datasets, NaN for those of other intervals."""
    out = np.full((len(row), len(names)), np.nan)
    out[:, [list(names).index(name) for name in part.datasets]] = row
    return out
