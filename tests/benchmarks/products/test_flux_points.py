"""Flux points: four H.E.S.S. runs on the Crab nebula in 1D, and the Galactic centre in 3D."""

import time

import astropy.units as u
import numpy as np
import pytest
from bench_measure import Record, Side, in_turns, once
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints, FluxPointsEstimator

from ctao_sat import dl5
from ctao_sat.likelihood import KernelCache

pytestmark = pytest.mark.realdata

# What other programs take is not counted, what threads do is.
CLOCK = time.process_time
LIKE_NORM = ("norm", "norm_err", "norm_errn", "norm_errp", "norm_ul")
CRAB_EDGES = np.geomspace(0.5, 50, 12) * u.TeV


@pytest.fixture(scope="module")
def fitted_crab(crab):
    """Return the runs with fitted parameters."""
    dl5.fit(crab)
    return crab


@pytest.fixture(scope="module")
def fitted_centre(centre):
    """Return the cube with fitted parameters, as the fit leaves it."""
    dl5.fit(centre)
    return centre


def compare(record: Record, job: str, ours: FluxPoints, theirs: FluxPoints) -> None:
    """Keep how far norms are apart in sigma, other columns relative or absolute."""
    names = [name for name in theirs.available_quantities if name in ours.available_quantities]
    assert names == theirs.available_quantities
    # Without the filter: what has no success is compared as well.
    a = {name: np.asarray(ours._data[name].data, dtype=float) for name in names}
    b = {name: np.asarray(theirs._data[name].data, dtype=float) for name in names}
    sigma = a["norm_err"]
    for name in names:
        both = np.isfinite(a[name]) & np.isfinite(b[name])
        apart, note = np.abs(a[name] - b[name]), ""
        if np.sum(both) < both.size:
            note = f"{both.size - np.sum(both)} without a number"
        if name in LIKE_NORM:
            worst = np.max((apart / sigma)[both & np.isfinite(sigma)])
            record.add(job, f"{name}, in sigma", difference=worst, allowed=0.02, note=note)
        elif name in ("stat", "stat_null", "ts"):
            above = np.max((a["stat"] - b["stat"])[both])
            note = f"largest of ours above Gammapy's: {above:+.1e}" if name == "stat" else note
            record.add(job, name, difference=np.max(apart[both]), allowed=1e-2, note=note)
        elif name == "stat_scan":
            worst = np.max((apart / np.abs(b[name]))[both])
            record.add(job, "scans, relative", difference=worst, allowed=1e-6, note=note)
        elif name in ("npred", "npred_excess"):
            worst = np.max((apart / np.sqrt(np.abs(b["npred"]) + 1))[both])
            record.add(job, f"{name}, over its root", difference=worst, allowed=0.02, note=note)
        elif name == "norm_sensitivity":
            worst = np.max((apart / b[name])[both])
            note = note or "Gammapy stops at a hundredth"
            record.add(job, "sensitivity, relative", difference=worst, allowed=1e-2, note=note)
        else:
            record.add(job, name, difference=np.max(apart[both]), allowed=1e-12, note=note)


def compare_unsettled(record: Record, job: str, ours: FluxPoints, theirs: FluxPoints) -> None:
    """Keep how far numbers are apart where Gammapy's fits end early: ours have to be lower."""
    names = ("norm", "norm_err", "stat", "success")
    a = {name: np.asarray(ours._data[name].data, dtype=float) for name in names}
    b = {name: np.asarray(theirs._data[name].data, dtype=float) for name in names}
    assert np.all(a["success"] == 1)
    above = a["stat"] - b["stat"]
    note = f"{above.min():.3g} at the most, {above.max():.1e} at the least"
    record.add(job, "stat, above", difference=np.max(above), allowed=1e-6, note=note)
    for name in ("norm", "norm_err"):
        apart = np.max(np.abs(a[name] - b[name]) / a["norm_err"])
        failed = f"{np.sum(b['success'] != 1)} of Gammapy's fits fail, none of ours"
        record.add(job, f"{name}, in sigma", difference=apart, note=failed)


def measure(
    record: Record, job: str, datasets: Datasets, edges, source: str, bar, check=compare, **options
):
    """Time both sides, keep rows, compare."""
    estimator = FluxPointsEstimator(energy_edges=edges, source=source, **options)
    options.setdefault("selection_optional", ())
    found = {}

    def gammapy() -> None:
        with np.errstate(all="ignore"):
            found["gammapy"] = estimator.run(datasets)

    kernels = KernelCache()

    def ours(cache: KernelCache | None = kernels) -> None:
        found["ours"] = dl5.flux_points(datasets, edges, source, kernels=cache, **options)

    def cool() -> None:
        datasets.models = datasets.models

    record.add(job, "first call, machine code from disk", ours=once(ours, CLOCK))
    theirs = once(gammapy, CLOCK)
    datasets.stat_sum()
    sides = {
        # The guard of a fit leaves Gammapy's source maps behind; Gammapy's estimator makes its own.
        "warm": Side(ours, datasets.stat_sum),
        "cool": Side(ours, cool),
        "all": Side(lambda: ours(None), cool),
    }
    times = in_turns(sides, 5, clock=CLOCK)
    datasets.models = datasets.models
    datasets.stat_sum()
    for side, what in (
        ("warm", "with compile"),
        ("cool", "with compile and source maps"),
        ("all", "with compile, source maps and kernels"),
    ):
        held = bar if side == "warm" else None
        record.add(job, what, gammapy=theirs, ours=times[side], bar=held)
    assert found["ours"].meta["fallbacks"] == []
    check(record, job, found["ours"], found["gammapy"])
    record.check(job)


@pytest.mark.parametrize(("selection", "bar"), [((), 100), ("all", 1000)], ids=["default", "all"])
def test_crab(fitted_crab, record, selection, bar):
    job = f"1D, Crab nebula: {selection or 'default'}"
    measure(record, job, fitted_crab, CRAB_EDGES, "crab", bar, selection_optional=selection)


def test_centre(fitted_centre, record):
    edges = fitted_centre[0].counts.geom.axes["energy"].edges
    measure(record, "3D, Galactic centre", fitted_centre, edges, "sgr-a", 100)


@pytest.mark.parametrize("free", ["norms", "norms and indices"])
def test_centre_reoptimized(fitted_centre, record, free):
    # In one energy bin, an index says next to nothing beside an amplitude.
    names = ("amplitude", "norm") if free == "norms" else ("amplitude", "norm", "index", "tilt")
    for parameter in fitted_centre.models.parameters:
        parameter.frozen = parameter.name not in names
    edges = fitted_centre[0].counts.geom.axes["energy"].edges
    check = compare if free == "norms" else compare_unsettled
    job = f"3D, Galactic centre: {free} of the others reoptimised"
    measure(record, job, fitted_centre, edges, "sgr-a", 50, check, reoptimize=True)
