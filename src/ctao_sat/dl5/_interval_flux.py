"""Put the flux points of time intervals together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from gammapy.data import GTI
from gammapy.estimators import FluxPoints
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap, TimeMapAxis
from gammapy.modeling.models import SpectralModel

from ctao_sat.dl5._interval_spectra import IntervalSpectrum

__all__ = ["IntervalFlux", "stack"]

_BY_DATASET = ("counts", "npred", "npred_excess")


@dataclass(frozen=True)
class IntervalFlux:
    """Flux points of one interval as arrays.

    Attributes
    ----------
    columns : dict of str to array, shape (n_energy, ...)
        By the names of Gammapy's `~gammapy.estimators.FluxPoints`, and "norm_scan"; the second
        dimension is that of datasets or of norms.
    names : list of str
        Of the datasets.
    notes : list of str
        What was left to Gammapy, and why.
    spectrum : IntervalSpectrum, optional
        The spectrum of the interval.
    """

    columns: dict[str, np.ndarray]
    names: list[str]
    notes: list[str] = field(default_factory=list)
    spectrum: IntervalSpectrum | None = None

    @classmethod
    def from_points(cls, points: FluxPoints, notes: Sequence[str] = ()) -> "IntervalFlux":
        """Return the numbers of flux points."""
        columns = {}
        # Numbers as they are, not NaN where there was no success.
        points.filter_success_nan = False
        for name in points.available_quantities:
            data = np.asarray(getattr(points, name).data)
            columns[name] = data.reshape(data.shape[:-2])
        if points.has_stat_profiles:
            scan = points.stat_scan.geom.axes["norm"].center.value
            columns["norm_scan"] = np.tile(scan, (len(columns["norm"]), 1))
        names = points.counts.geom.axes["dataset"].center.tolist()
        return cls(columns, names, [*points.meta["fallbacks"], *notes])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all as arrays, for `from_arrays`."""
        arrays = {f"column {name}": data for name, data in self.columns.items()}
        text: dict = {"names": self.names, "notes": self.notes}
        if self.spectrum is not None:
            arrays |= self.spectrum.to_arrays()
            text["message"] = self.spectrum.message
        return {**arrays, "text": np.array(json.dumps(text))}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "IntervalFlux":
        """Return what `to_arrays` was made of."""
        columns = {
            name.removeprefix("column "): data
            for name, data in arrays.items()
            if name.startswith("column ")
        }
        text = json.loads(str(arrays["text"]))
        spectrum = None
        if "message" in text:
            spectrum = IntervalSpectrum.from_arrays(arrays, text["message"])
        return cls(columns, text["names"], text["notes"], spectrum)


def stack(
    parts: Sequence[IntervalFlux],
    intervals: GTI,
    energy: MapAxis,
    names: Sequence[str],
    reference: SpectralModel,
    *,
    meta: dict,
    gti: GTI,
) -> FluxPoints:
    """Return flux points with an axis of time, as Gammapy's estimator makes them.

    Parameters
    ----------
    parts : sequence of IntervalFlux, shape (m,)
        Flux points of the intervals.
    intervals : `~gammapy.data.GTI`
        The intervals.
    energy : `~gammapy.maps.MapAxis`
        Energy bins.
    names : sequence of str
        Of all datasets.
    reference : `~gammapy.modeling.models.SpectralModel`
        What a norm of 1 stands for.
    meta : dict
        Of the flux points.
    gti : `~gammapy.data.GTI`
        Good time of the datasets.

    Returns
    -------
    curve : `~gammapy.estimators.FluxPoints`
        With axes of energy and time.
    """
    time = TimeMapAxis.from_gti(intervals)
    place = {name: i for i, name in enumerate(names)}
    maps = {}
    for name in FluxPoints.all_quantities(sed_type="likelihood"):
        if name not in parts[0].columns or name == "norm_scan":
            continue
        axes, rows = [energy, time], [part.columns[name] for part in parts]
        if name in _BY_DATASET:
            axes.insert(0, LabelMapAxis(labels=list(names), name="dataset"))
            rows = [_expand(row, part, place) for row, part in zip(rows, parts, strict=True)]
        elif name == "stat_scan":
            axes.insert(0, MapAxis.from_nodes(parts[0].columns["norm_scan"][0], name="norm"))
        geom = RegionGeom.create(None, axes=axes)
        data = np.array(rows).reshape(geom.data_shape)
        maps[name] = RegionNDMap(geom=geom, data=data, dtype=data.dtype)
    return FluxPoints(maps, reference, meta=meta, gti=gti)


def _expand(row: np.ndarray, part: IntervalFlux, place: Mapping[str, int]) -> np.ndarray:
    """Return numbers by dataset for all datasets, NaN for those of other intervals."""
    out = np.full((len(row), len(place)), np.nan)
    out[:, [place[name] for name in part.names]] = row
    return out
