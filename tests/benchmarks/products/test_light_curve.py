"""Light curves: 21 H.E.S.S. runs on PKS 2155-304 in 1D, ten simulated cubes in 3D."""

import time

import astropy.units as u
import bench_light_curves
import numpy as np
import pytest
from bench_measure import Side, in_turns, once
from gammapy.estimators import LightCurveEstimator

from ctao_sat import dl5
from ctao_sat.dl5._estimator_options import exploring
from ctao_sat.likelihood import KernelCache

LIMITS = ["errn-errp", "ul"]
SELECTIONS = {"default": [], "errors and limits": LIMITS, "all": "all"}
CLOCK = time.process_time
# Of the errors of the norm: this far numbers may be from Gammapy's.
ALLOWED = 0.02


def gammapy(datasets, edges, source, selection, **options):
    """Return Gammapy's light curve."""
    estimator = LightCurveEstimator(
        energy_edges=edges, source=source, selection_optional=selection, **options
    )
    with exploring():
        return estimator.run(datasets)


def difference(ours, theirs):
    """Return the largest difference of norms, errors and limits in errors of the norm."""
    for curve in (ours, theirs):
        curve.filter_success_nan = False
    error = theirs.norm_err.data
    names = [name for name in theirs.available_quantities if name.startswith("norm")]
    worst = 0.0
    for name in names:
        one, other = getattr(ours, name).data, getattr(theirs, name).data
        # What Gammapy's brentq does not find is none of its numbers.
        found = np.isfinite(other) & np.isfinite(error)
        assert np.all(np.isfinite(one[found])), name
        if name != "norm_sensitivity":
            worst = max(worst, float(np.max(np.abs(one - other)[found] / error[found])))
    return worst


def measure(record, job, datasets, edges, source, selections, bar, turns):
    """Add rows: ours with those kernels that earlier calls have extracted, and without.

    The bar is held against the former, as for the likelihood: kernels are Gammapy's to extract.
    """
    for what, selection in selections.items():
        found = {}

        def run(name, selection=selection, found=found, **options):
            found[name] = dl5.light_curve(
                datasets, edges, source, selection_optional=selection, **options
            )

        theirs = once(
            lambda selection=selection, found=found: found.update(
                theirs=gammapy(datasets, edges, source, selection)
            ),
            CLOCK,
        )
        cold = once(lambda run=run: run("ours"), CLOCK)
        kernels = KernelCache()
        run("ours", kernels=kernels)
        sides = {
            "new": Side(lambda run=run: run("ours")),
            "kept": Side(lambda run=run, kernels=kernels: run("ours", kernels=kernels)),
        }
        times = in_turns(sides, turns, clock=CLOCK)
        far = difference(found["ours"], found["theirs"])
        limits = {"bar": bar, "difference": far, "allowed": ALLOWED}
        record.add(job, f"{what}, kernels kept", gammapy=theirs, ours=times["kept"], **limits)
        record.add(job, f"{what}, with kernels", gammapy=theirs, ours=times["new"])
        record.add(job, f"{what}, first call", gammapy=theirs, ours=cold)


@pytest.mark.realdata
def test_pks_2155(gammapy_data, record):
    job = "PKS 2155-304, 21 runs, 1D, 2 bins"
    datasets = bench_light_curves.pks_2155(gammapy_data)
    dl5.fit(datasets)
    measure(record, job, datasets, [0.3, 1, 10] * u.TeV, "pks", SELECTIONS, 100, 9)
    record.check(job)


@pytest.mark.parametrize("wobble", [False, True], ids=["one pointing", "ten pointings"])
def test_ten_cubes(record, wobble):
    job = f"ten cubes of 9 x 200 x 200, {'ten pointings' if wobble else 'one pointing'}"
    datasets = bench_light_curves.cubes(wobble=wobble)
    dl5.fit(datasets)
    edges = [0.1, 1, 10] * u.TeV
    chosen = {"errors and limits": LIMITS}
    measure(record, job, datasets, edges, "flare", chosen, 50, 5)
    record.check(job)


@pytest.mark.realdata
def test_free_spectra(gammapy_data, record):
    """What a user does today: a loop of fits and flux points by Gammapy."""
    job = "PKS 2155-304, a spectrum a run"
    datasets = bench_light_curves.pks_2155(gammapy_data)
    dl5.fit(datasets)
    edges = [0.3, 1, 10] * u.TeV

    def ours():
        return dl5.light_curve(datasets, edges, spectrum="free", selection_optional=LIMITS)

    ours()
    times = in_turns({"ours": Side(ours)}, 3, clock=CLOCK)
    record.add(job, "fit of each run, fluxes with limits", ours=times["ours"])
    record.check(job)
