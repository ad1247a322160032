"""Estimate the flux of a source in some time intervals, and keep what is finished."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator
from gammapy.modeling.models import SpectralModel

from ctao_sat.dl5._checkpoints import Checkpoints
from ctao_sat.dl5._energy_bins import energy_bins
from ctao_sat.dl5._estimator_options import exploring, prior_constant
from ctao_sat.dl5._flux_points import flux_points
from ctao_sat.dl5._interval_flux import IntervalFlux
from ctao_sat.dl5._interval_spectra import fit_interval
from ctao_sat.dl5._norm_columns import norm_columns
from ctao_sat.errors import NotCompilable
from ctao_sat.likelihood import KernelCache
from ctao_sat.likelihood._source_counts import SourceTerms

__all__ = ["Piece", "Work", "estimate"]

log = logging.getLogger(__name__)

_NORMS = ("norm", "norm_err", "norm_errn", "norm_errp", "norm_ul", "norm_sensitivity")


@dataclass(frozen=True)
class Piece:
    """One interval.

    Attributes
    ----------
    label : str
        Its times.
    datasets : list of `~gammapy.datasets.Dataset`
        All that lie within.
    key : str
        The fingerprint of its inputs; empty if nothing is kept.
    """

    label: str
    datasets: list
    key: str = ""


@dataclass(frozen=True)
class Work:
    """Intervals that are estimated together.

    Attributes
    ----------
    pieces : list of Piece
        The intervals.
    edges : Quantity[energy], shape (n+1,)
        Of the energy bins.
    options : dict
        Of `ctao_sat.dl5.flux_points`.
    is_free : bool
        Whether the spectrum is fitted in each interval.
    kernels : `KernelCache`
        Kernels extracted before.
    checkpoints : Checkpoints, optional
        Where finished intervals are kept.
    """

    pieces: list[Piece]
    edges: u.Quantity
    options: dict[str, Any]
    is_free: bool
    kernels: KernelCache
    checkpoints: Checkpoints | None


def estimate(work: Work) -> list[IntervalFlux]:
    """Return the flux points of each interval, and keep them.

    With a fixed spectrum and nothing else to fit, all bins of all intervals are solved at once.
    """
    parts: Sequence[IntervalFlux | None] = [None] * len(work.pieces)
    if not (work.is_free or work.options["reoptimize"] or work.options["compiled"] is False):
        parts = _at_once(work)
    done = []
    for piece, part in zip(work.pieces, parts, strict=True):
        flux = _one_by_one(work, piece) if part is None else part
        if work.checkpoints is not None:
            work.checkpoints.save(piece.key, flux.to_arrays())
        done.append(flux)
    return done


def _at_once(work: Work) -> list[IntervalFlux | None]:
    """Return the flux points of all intervals; None for those that Gammapy has to help with."""
    none: list[IntervalFlux | None] = [None] * len(work.pieces)
    every = {dataset.name: dataset for piece in work.pieces for dataset in piece.datasets}
    datasets = Datasets(list(every.values()))
    place = {name: i for i, name in enumerate(every)}
    source = work.options["source"]
    estimator = estimator_of(work.edges, work.options)
    if estimator.norm.prior is not None:
        return none
    try:
        with exploring():
            terms = SourceTerms(datasets, source, work.kernels)
            counts = terms.counts()
    except NotCompilable:
        return none
    if terms.left:
        return none
    bins = energy_bins(datasets, work.edges)
    groups, members = [], []
    for piece in work.pieces:
        within = [place[dataset.name] for dataset in piece.datasets]
        members.append(within)
        groups += [[part for part in one.parts if part[0] in within] for one in bins]
    with exploring():
        found = norm_columns(counts, groups, estimator)
    constants = [prior_constant(Datasets(piece.datasets), source) for piece in work.pieces]
    parts: list[IntervalFlux | None] = []
    for i, within in enumerate(members):
        rows = slice(i * len(bins), (i + 1) * len(bins))
        if any(rows.start <= k < rows.stop for k in found.failed):
            parts.append(None)
            continue
        columns = {name: values[rows] for name, values in found.columns.items()}
        for name in ("counts", "npred", "npred_excess"):
            columns[name] = columns[name][:, within]
        for name in ("stat", "stat_null", "stat_scan"):
            if name in columns:
                columns[name] = columns[name] + constants[i]
        names = [datasets.names[k] for k in within]
        parts.append(IntervalFlux(columns, names))
    return parts


def estimator_of(edges: u.Quantity, options: Mapping[str, Any]) -> FluxPointsEstimator:
    """Return Gammapy's estimator with the same options."""
    names = ("source", "selection_optional", "reoptimize", "n_sigma", "n_sigma_ul")
    return FluxPointsEstimator(
        energy_edges=edges,
        n_sigma_sensitivity=options["n_sigma_sensitivity"],
        norm=options["norm"],
        **{name: options[name] for name in names},
    )


def _one_by_one(work: Work, piece: Piece) -> IntervalFlux:
    """Return the flux points of an interval by itself."""
    datasets, source = Datasets(piece.datasets), work.options["source"]
    if not work.is_free:
        points = flux_points(datasets, work.edges, kernels=work.kernels, **work.options)
        return _labelled(IntervalFlux.from_points(points), piece)
    spectrum, fitted = fit_interval(
        datasets,
        source,
        reoptimize=work.options["reoptimize"],
        compiled=work.options["compiled"],
        kernels=work.kernels,
    )
    notes = []
    if not spectrum.success:
        notes.append(f"the fixed spectrum was taken: {spectrum.message}")
        log.warning("In %s %s", piece.label, notes[0])
    own, reference = (each.models[source].spectral_model for each in (fitted, datasets))
    bins = [
        _bin_of_own(work, fitted, work.edges[i : i + 2], own, reference)
        for i in range(len(work.edges) - 1)
    ]
    columns = {
        name: np.concatenate([one.columns[name] for one in bins]) for name in bins[0].columns
    }
    notes += [note for one in bins for note in one.notes]
    return _labelled(IntervalFlux(columns, bins[0].names, notes, spectrum), piece)


def _labelled(flux: IntervalFlux, piece: Piece) -> IntervalFlux:
    return replace(flux, notes=[f"{piece.label}: {note}" for note in flux.notes])


def _bin_of_own(
    work: Work, fitted: Datasets, edges: u.Quantity, own: SpectralModel, reference: SpectralModel
) -> IntervalFlux:
    """Return a flux point with the spectrum of the interval, relative to the reference.

    Norms are such that the flux in the bin is that of the interval's own spectrum.
    """
    low, high = energy_bins(fitted, edges)[0].edges
    with exploring():
        ratio = float((own.integral(low, high) / reference.integral(low, high)).to_value(""))
    options = dict(work.options)
    scan = estimator_of(edges, options).norm.scan_values
    norm = options["norm"] if isinstance(options["norm"], Mapping) else {}
    options["norm"] = {**norm, "scan_values": scan / ratio}
    points = flux_points(fitted, edges, kernels=work.kernels, **options)
    flux = IntervalFlux.from_points(points)
    for name in _NORMS:
        if name in flux.columns:
            flux.columns[name] = flux.columns[name] * ratio
    if "norm_scan" in flux.columns:
        flux.columns["norm_scan"] = scan[None, :]
    return flux
