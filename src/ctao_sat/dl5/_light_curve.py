"""Estimate the flux of a source in time intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.maps import MapAxis
from gammapy.modeling import Parameter

from ctao_sat.dl5._checkpoints import Checkpoints, fingerprint
from ctao_sat.dl5._energy_bins import energy_bins
from ctao_sat.dl5._estimator_options import (
    check_edges,
    check_selection,
    check_together,
    flux_reference,
    others_are_free,
    source_name,
)
from ctao_sat.dl5._interval_flux import IntervalFlux, stack
from ctao_sat.dl5._interval_spectra import check_free, parameter_table
from ctao_sat.dl5._interval_work import Piece, Work, estimate
from ctao_sat.dl5._intervals import Interval, match_intervals
from ctao_sat.errors import ConfigError
from ctao_sat.likelihood import KernelCache
from ctao_sat.parallel import available_cpus, pmap

__all__ = ["light_curve"]

# Bins of data that are estimated together: more take memory, fewer are slower.
_BINS_AT_ONCE = 2_000_000


def light_curve(
    datasets: Datasets,
    energy_edges: u.Quantity,
    source: str | None = None,
    *,
    time_intervals: Sequence[Time] | None = None,
    spectrum: str = "fixed",
    selection_optional: str | Sequence[str] = ("errn-errp", "ul"),
    reoptimize: bool = False,
    n_sigma: float = 1,
    n_sigma_ul: float = 2,
    n_sigma_sensitivity: float = 5,
    norm: Parameter | Mapping | None = None,
    compiled: bool | str = "auto",
    kernels: KernelCache | None = None,
    checkpoints: str | Path | None = None,
    n_jobs: int = 1,
    backend: str = "auto",
    progress: bool = False,
) -> FluxPoints:
    """Estimate the flux of a source in time intervals.

    In each interval and energy bin a norm is fitted, as `flux_points` does it: with the spectrum of
    the model, or with one that is fitted in each interval before.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        One for each observation, with fitted models. They are not changed.
    energy_edges : Quantity[energy], shape (n+1,)
        Edges of the energy bins of the light curve.
    source : str, optional
        Name of the model; the first one by default.
    time_intervals : sequence of `~astropy.time.Time`, shape (m, 2), optional
        Start and stop of each interval. A dataset counts where all of its good time lies within,
        to 1 microsecond. Default: the good time of each dataset, thus one point a run.
    spectrum : {"fixed", "free"}
        Whether the source keeps the spectrum of its model, or its free spectral parameters are
        fitted in each interval, to all energies of the data that are not masked. Then norms are
        such that the flux in each bin is that of the interval's own spectrum; what is derived from
        norms in another way, as ``dnde`` at the centre of a bin, still has the shape of the model.
    selection_optional : "all" or sequence of {"errn-errp", "ul", "scan", "sensitivity"}
        What to compute besides norm, error and test statistic.
    reoptimize : bool
        Fit the free parameters of the other models again, in each bin, and with the spectrum.
    n_sigma, n_sigma_ul, n_sigma_sensitivity : float
        As for `flux_points`.
    norm : `~gammapy.modeling.Parameter` or dict, optional
        As for `flux_points`.
    compiled : {"auto", True, False}
        As for `flux_points`.
    kernels : `~ctao_sat.likelihood.KernelCache`, optional
        As for `flux_points`.
    checkpoints : str or Path, optional
        Folder in which each finished interval is kept. The same call, with the same data and
        models, then goes on where one was interrupted. Files are named after all of their
        inputs: with other inputs they are neither used nor overwritten.
    n_jobs : int
        Number of workers. Worth it where an interval takes seconds: with ``reoptimize`` or a free
        spectrum on maps, or where Gammapy has to help. Otherwise workers take longer to start.
    backend : {"auto", "serial", "processes", "dask"}
        Where to compute. With Dask, ``checkpoints`` must be a folder that all workers share.
    progress : bool
        Show a progress bar.

    Returns
    -------
    light_curve : `~gammapy.estimators.FluxPoints`
        With an axis of time. Intervals without a dataset are left out. ``meta["fallbacks"]`` lists
        what was left to Gammapy, and why. With free spectra, ``meta["parameters"]`` is a
        `~astropy.table.QTable` with a row an interval: ``time_min``, ``time_max``, each free
        parameter and its error (``index``, ``index_err``, ...), ``stat``, ``ts`` against no source,
        ``success``, and the ``covariance`` of the parameters in their units. Where a spectrum could
        not be determined its row is NaN, and the spectrum of the model was taken for the fluxes.

    Raises
    ------
    SourceNotFoundError
        If there is no such model.
    ConfigError
        If intervals overlap, an option is unknown, or no spectral parameter is free.
    DataError
        If no dataset lies within an interval, or the datasets do not belong together.
    NotCompilable
        If ``compiled`` is True and something cannot be compiled.
    OutputError
        If a checkpoint cannot be written, or its file holds something else.

    Examples
    --------
    Two runs with 10 and 20 counts, of which 5 are background, and the model predicts 5:

    >>> import astropy.units as u
    >>> from astropy.time import Time
    >>> from gammapy.data import GTI
    >>> from gammapy.datasets import Datasets, SpectrumDataset
    >>> from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
    >>> from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
    >>> from ctao_sat import dl5
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1)
    >>> true = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=1, name="energy_true")
    >>> geom = RegionGeom.create("icrs;circle(0, 0, 1)", axes=[energy])
    >>> datasets = Datasets()
    >>> for i, counts in enumerate([10, 20]):
    ...     start = Time("2020-01-01", scale="tt") + i * u.h
    ...     dataset = SpectrumDataset.create(geom, energy_axis_true=true, name=f"run-{i}")
    ...     dataset.exposure = RegionNDMap.create(geom.region, axes=[true], unit="cm2 s")
    ...     dataset.exposure.data += 5e12 / 0.9
    ...     dataset.gti = GTI.create(start, start + 20 * u.min)
    ...     dataset.edisp = dataset.mask_safe = None
    ...     dataset.counts.data += counts
    ...     dataset.background.data += 5
    ...     datasets.append(dataset)
    >>> spectrum = PowerLawSpectralModel(amplitude="1e-12 cm-2 s-1 TeV-1", index=2)
    >>> datasets.models = [SkyModel(spectrum, name="source")]
    >>> curve = dl5.light_curve(datasets, [1, 10] * u.TeV)
    >>> for norm, limit in zip(curve.norm.data.ravel(), curve.norm_ul.data.ravel(), strict=True):
    ...     print(f"{norm:.2f}, less than {limit:.2f}")
    1.00, less than 2.54
    3.00, less than 5.06
    """
    datasets = Datasets(datasets)
    check_together(datasets)
    name = source_name(datasets, source)
    edges = check_edges(energy_edges)
    model = datasets.models[name]
    if spectrum not in ("fixed", "free"):
        raise ConfigError(f"Unknown spectrum: {spectrum!r}.", remedy="Take 'fixed' or 'free'.")
    if compiled not in ("auto", True, False):
        raise ConfigError(f"Unknown choice: compiled={compiled!r}.", remedy="Take 'auto'.")
    is_free = spectrum == "free"
    if is_free:
        check_free(model.spectral_model, name)
    intervals = match_intervals(datasets, time_intervals)
    work = Work(
        pieces=[Piece(str(one), [datasets[i] for i in one.members]) for one in intervals],
        edges=edges,
        options={
            "source": name,
            "selection_optional": check_selection(selection_optional),
            "reoptimize": reoptimize and others_are_free(datasets, name),
            "n_sigma": n_sigma,
            "n_sigma_ul": n_sigma_ul,
            "n_sigma_sensitivity": n_sigma_sensitivity,
            "norm": dict(norm) if isinstance(norm, Mapping) else norm,
            "compiled": compiled,
        },
        is_free=is_free,
        kernels=KernelCache() if kernels is None else kernels,
        checkpoints=None if checkpoints is None else Checkpoints(Path(checkpoints)),
    )
    workers = {"n_jobs": n_jobs, "backend": backend, "progress": progress}
    return _put_together(work, _estimate_all(work, workers), datasets, intervals)


def _put_together(
    work: Work, parts: list[IntervalFlux], datasets: Datasets, intervals: list[Interval]
) -> FluxPoints:
    """Return the light curve of all intervals."""
    model = datasets.models[work.options["source"]]
    times = Time([one.start for one in intervals]), Time([one.stop for one in intervals])
    meta = {
        "n_sigma": work.options["n_sigma"],
        "n_sigma_ul": work.options["n_sigma_ul"],
        "sed_type_init": "likelihood",
        "SED_TYPE": "likelihood",
        "fallbacks": [note for part in parts for note in part.notes],
    }
    if work.is_free:
        spectra = [part.spectrum for part in parts if part.spectrum is not None]
        meta["parameters"] = parameter_table(spectra, times, model.spectral_model)
    return stack(
        parts,
        GTI.create(*times),
        _energy_axis(datasets, work.edges),
        datasets.names,
        flux_reference(model, work.edges).copy(),
        meta=meta,
        gti=Datasets([datasets[i] for one in intervals for i in one.members]).gti,
    )


def _estimate_all(work: Work, workers: dict[str, Any]) -> list[IntervalFlux]:
    """Return the flux points of all intervals, those from checkpoints that are there."""
    done: dict[int, IntervalFlux] = {}
    pieces = work.pieces
    if work.checkpoints is not None:
        pieces = [replace(piece, key=_key(work, piece)) for piece in pieces]
        for i, piece in enumerate(pieces):
            kept = work.checkpoints.load(piece.key)
            if kept is not None:
                done[i] = IntervalFlux.from_arrays(kept)
    pending = [i for i in range(len(pieces)) if i not in done]
    chunks = _chunks(work, [pieces[i] for i in pending], workers["n_jobs"])
    found = pmap(
        estimate,
        [replace(work, pieces=chunk) for chunk in chunks],
        description="Light curve",
        **workers,
    )
    flat = [flux for chunk in found for flux in chunk]
    done |= dict(zip(pending, flat, strict=True))
    return [done[i] for i in range(len(pieces))]


def _key(work: Work, piece: Piece) -> str:
    options = {**work.options, "edges": work.edges.to_value("TeV").tolist(), "free": work.is_free}
    if isinstance(options["norm"], Parameter):
        norm = options["norm"]
        scan = {"scan_values": norm.scan_values, "prior": str(norm.prior)}
        options["norm"] = {**norm.to_dict(), **scan}
    return fingerprint(Datasets(piece.datasets), {**options, "interval": piece.label})


def _chunks(work: Work, pieces: list[Piece], n_jobs: int) -> list[list[Piece]]:
    """Return intervals that are estimated together."""
    alone = work.is_free or work.options["reoptimize"] or work.options["compiled"] is False
    sizes = [sum(dataset.counts.data.size for dataset in piece.datasets) for piece in pieces]
    workers = available_cpus() if n_jobs == -1 else n_jobs
    most = 0 if alone else min(_BINS_AT_ONCE, sum(sizes) / workers)
    chunks: list[list[Piece]] = []
    room = 0.0
    for piece, size in zip(pieces, sizes, strict=True):
        if not chunks or size > room:
            chunks.append([])
            room = most
        chunks[-1].append(piece)
        room -= size
    return chunks


def _energy_axis(datasets: Datasets, edges: u.Quantity) -> MapAxis:
    """Return the energy bins, moved to the nearest edges of the data."""
    pairs = u.Quantity([one.edges for one in energy_bins(datasets, edges)])
    return MapAxis.from_energy_edges(u.Quantity([*pairs[:, 0], pairs[-1, 1]]))
