import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from regions import CircleSkyRegion

import ctao_sat as sat
from ctao_sat import dl3, pulsar

store = dl3.open_dl3("crab-dl3")
observations = pulsar.select_events(dl3.read_observations(store, store.obs_ids))

# In place of pulsar.assign_phases: 20 % of the events near the source are in two pulses.
position = SkyCoord(83.63, 22.01, unit="deg")
rng = np.random.default_rng(9)
for one in observations:
    n = len(one.events.table)
    pulsed = (one.events.radec.separation(position) < 0.11 * u.deg) & (rng.random(n) < 0.2)
    places = np.where(rng.random(n) < 0.5, rng.normal(0, 0.015, n), rng.normal(0.4, 0.015, n))
    one.events.table["PHASE"] = np.where(pulsed, places, rng.random(n)) % 1

# Are there pulses? Of a known shape, and of an unknown one.
near = pulsar.select_events(observations, position, 0.11 * u.deg)
phases = np.concatenate([pulsar.event_phases(one) for one in near])
regions = pulsar.PhaseRegions(on=[(0.95, 1.05), (0.35, 0.45)], off=[(0.52, 0.87)])
print(regions.statistic(phases))
h, p = pulsar.h_test(phases)
print(f"H = {h:.1f}, p = {p:.2g}")

# Where are they? By maximum likelihood, and by drawing the events again.
start = [pulsar.GaussianPeak(0.01, 0.03, 0.1), pulsar.GaussianPeak(0.39, 0.03, 0.1)]
fit = pulsar.fit_profile(phases, start)
print(fit.to_table())
drawn = pulsar.bootstrap(phases, lambda x: pulsar.fit_profile(x, fit.profile).values, 50, rng)
separation = (drawn[:, 3] - drawn[:, 0]) % 1
print(f"separation {separation.mean():.4f} ± {separation.std():.4f}")

# Spectra of both pulses, fitted together: the same index, each with its own flux.
energy = sat.MapAxis.from_energy_bounds("0.1 TeV", "40 TeV", nbin=20)
geometry = sat.RegionGeom(CircleSkyRegion(position, radius=0.11 * u.deg), axes=[energy])
parts = dict(zip(["P2", "P1"], regions.split(), strict=True))
datasets = pulsar.reduce_phases(observations, geometry, parts, stack=True)
models = [
    sat.SkyModel(sat.PowerLawSpectralModel(index=2.5), name=name, datasets_names=[name])
    for name in parts
]
models[1].spectral_model.index = models[0].spectral_model.index
datasets.models = models
print(sat.fit(datasets))
print(datasets.models.to_parameters_table()["model", "name", "value", "error"])
