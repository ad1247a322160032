"""The whole chain: event lists, reduction, fit, flux points, light curve, TS map."""

import os
import subprocess
import sys
import warnings

import astropy.units as u
import numpy as np
import pytest
from bench_chain import STEPS, Centre, Crab, Products

pytestmark = pytest.mark.realdata

# Gammapy may end so far from the minimum, in sigma.
SIGMA = 0.05
BAR = 8


@pytest.fixture(autouse=True)
def _calibration(gammapy_data, monkeypatch):
    # The index of CTA-1DC names its IRFs by this variable.
    monkeypatch.setenv("CALDB", str(gammapy_data / "cta-1dc" / "caldb"))


@pytest.mark.parametrize("job", [Crab, Centre])
def test_whole_chain(job, gammapy_data, record):
    chain = job(gammapy_data)
    with warnings.catch_warnings():
        # The unit of the background of CTA-1DC, 1/s/MeV/sr, is one that FITS does not know.
        warnings.simplefilter("ignore", u.UnitsWarning)
        first = chain.by_verbs()
        ours, theirs = chain.by_verbs(), chain.by_gammapy()
    for step in STEPS:
        record.add(
            f"whole chain, {chain.name}",
            step,
            gammapy=theirs.seconds[step],
            ours=ours.seconds[step],
        )
    total = {side: sum(run.seconds.values()) for side, run in (("g", theirs), ("o", ours))}
    name = f"whole chain, {chain.name}"
    record.add(name, "all, without imports", gammapy=total["g"], ours=total["o"], bar=BAR)
    record.add(name, "all, first call", gammapy=total["g"], ours=sum(first.seconds.values()))
    imports = {side: import_seconds(code) for side, code in IMPORTS.items()}
    record.add(
        name,
        "all, with imports",
        gammapy=total["g"] + imports["gammapy"],
        ours=total["o"] + imports["ours"],
        note=f"imports: Gammapy {imports['gammapy']:.2g} s, ours {imports['ours']:.2g} s",
    )
    compare(record, name, ours, theirs)
    record.check(name)


IMPORTS = {
    "gammapy": "import gammapy.data, gammapy.makers, gammapy.estimators, gammapy.modeling",
    "ours": "import ctao_sat.dl3, ctao_sat.dl4, ctao_sat.dl5",
}


def import_seconds(code: str) -> float:
    """Return the processor time of imports in a process of their own, in s."""
    script = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=os.environ
    )
    return float(output.stdout)


def compare(record, name: str, ours: Products, theirs: Products) -> None:
    """Add rows with how far the products are from each other."""
    mine, other = (p.models.parameters.free_parameters for p in (ours, theirs))
    shifts = np.abs(mine.value - other.value) / np.array([p.error for p in mine])
    record.add(name, "statistic above Gammapy's", difference=ours.stat - theirs.stat, allowed=1e-2)
    record.add(name, "parameters, in sigma", difference=shifts.max(), allowed=SIGMA)
    for what in ("flux_points", "light_curve"):
        a, b = getattr(ours, what), getattr(theirs, what)
        error = b.norm_err.data
        fine = np.isfinite(error) & (error > 0) & (b.ts.data > 1)
        assert fine.any()
        for quantity in ("norm", "norm_ul"):
            far = np.abs(getattr(a, quantity).data - getattr(b, quantity).data) / error
            label = f"{what.replace('_', ' ')}: {quantity}, in sigma"
            record.add(name, label, difference=np.max(far[fine]), allowed=SIGMA)
    a, b = ours.ts_map.ts.data, theirs.ts_map.ts.data
    clear = np.isfinite(b) & (b > 1)
    record.add(
        name,
        "TS map: relative, where TS > 1",
        difference=np.max(np.abs(a / b - 1)[clear]),
        allowed=1e-3,
    )
