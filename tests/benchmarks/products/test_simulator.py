"""Simulation of events: CTAO North, the Crab nebula and the background, one and ten sources."""

import time

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from bench_measure import Side, in_turns
from gammapy.data import FixedPointingInfo, Observation
from gammapy.datasets import ObservationEventSampler
from gammapy.irf import load_irf_dict_from_file
from gammapy.maps import MapAxis
from gammapy.modeling.models import (
    GaussianSpatialModel,
    LogParabolaSpectralModel,
    Models,
    PointSpatialModel,
    SkyModel,
)

from ctao_sat import simulate

pytestmark = [pytest.mark.realdata, pytest.mark.filterwarnings("ignore")]

IRFS = "cta-caldb/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz"
CENTER = SkyCoord(83.633, 22.014, unit="deg")
RANGE = [0.05, 50] * u.TeV
LIVETIME = 5 * u.min
# The maps of Gammapy's sampler; its default would take more than 12 GB.
MAPS = {
    "spatial_width": 6 * u.deg,
    "spatial_bin_size": 0.05 * u.deg,
    "energy_axis": MapAxis.from_energy_bounds(*RANGE, nbin=10, per_decade=True),
    "energy_axis_true": MapAxis.from_energy_bounds(
        "0.02 TeV", "100 TeV", nbin=10, per_decade=True, name="energy_true"
    ),
}


def sky(n: int) -> Models:
    """Return sources like the Crab nebula, points and Gaussians in turn, around the centre."""
    sources = []
    for i in range(n):
        place = CENTER.directional_offset_by(36 * i * u.deg, (0.7 if i else 0) * u.deg)
        point = {"lon_0": place.ra, "lat_0": place.dec, "frame": "icrs"}
        shape = (
            GaussianSpatialModel(sigma="0.2 deg", **point) if i % 2 else PointSpatialModel(**point)
        )
        spectrum = LogParabolaSpectralModel(amplitude="3.2e-11 cm-2 s-1 TeV-1", alpha=2.4, beta=0.1)
        sources.append(SkyModel(spectrum, shape, name=f"source-{i}"))
    return Models(sources)


@pytest.mark.parametrize("n", [1, 10])
def test_cost(n, gammapy_data, record, tmp_path):
    path, models = gammapy_data / IRFS, sky(n)
    pointing = CENTER.directional_offset_by(0 * u.deg, 0.5 * u.deg)
    found = {}

    def ours() -> None:
        store = simulate.observations(
            models,
            pointing,
            LIVETIME,
            path,
            np.random.default_rng(20280818),
            path=tmp_path / "dl3",
            start="2020-01-01",
            energy_range=RANGE,
            overwrite=True,
        )
        found["ours"] = len(store.get_observations()[0].events.table)

    def gammapy() -> None:
        observation = Observation.create(
            pointing=FixedPointingInfo(fixed_icrs=pointing),
            livetime=LIVETIME,
            irfs=load_irf_dict_from_file(path),
            reference_time=Time("2020-01-01"),
        )
        sampler = ObservationEventSampler(random_state=0, dataset_kwargs=MAPS)
        observation = sampler.run(observation, models.copy())
        energy = observation.events.energy
        found["gammapy"] = int(((energy >= RANGE[0]) & (energy <= RANGE[1])).sum())

    ours()
    sides = {"gammapy": Side(gammapy), "ours": Side(ours)}
    times = in_turns(sides, 2, min, time.process_time)
    job = f"simulation, {n} source{'s' * (n > 1)}"
    record.add(
        job,
        "read, draw and write",
        gammapy=times["gammapy"],
        ours=times["ours"],
        bar=1,
        note=f"{found['gammapy']} and {found['ours']} events; Gammapy in maps of 0.05 deg, "
        "10 energies a decade, without writing",
    )
    record.check(job)
