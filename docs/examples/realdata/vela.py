# data
import textwrap

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from ctao_sat import dl3, plotting, pulsar
from ctao_sat.errors import PhaseError

store = dl3.open_dl3("$GAMMAPY_DATA/cta-1dc/index/gps")
(observation,) = dl3.read_observations(store, [111630])
events = observation.events.table
print(f"{len(events)} events; columns {', '.join(events.colnames[-2:])}")
# site
ephemeris = pulsar.PulsarEphemeris.read("vela.par")
try:
    pulsar.assign_phases(observation, ephemeris, overwrite=True)
except PhaseError as error:
    print(textwrap.fill(error.message, 90))
# phases
phased = pulsar.assign_phases(observation, ephemeris, barycentre=False, overwrite=True)
phases = pulsar.event_phases(phased)
difference = (phases - events["PHASE"] + 0.5) % 1 - 0.5
print(f"column and phases differ by at most {np.abs(difference).max():.1e} turns")
# tests
vela = SkyCoord(128.8361, -45.1764, unit="deg")
selected = pulsar.select_events(phased, vela, 0.2 * u.deg)[0]
phases = pulsar.event_phases(selected)
h, p = pulsar.h_test(phases)
print(f"{len(phases)} events: H = {h:.4f}, p = {p:.3f}")
for number in (2, 10):
    print(f"Z2_{number} = {pulsar.z2_test(phases, number).statistic:.4f}")
# regions
regions = pulsar.PhaseRegions(on=[(0.5, 0.6)], off=[(0.7, 1.0)])
counts = regions.statistic(phases)
print(f"on {int(counts.n_on)}, off {int(counts.n_off)}, alpha {float(counts.alpha):.4f}")
print(f"excess {float(counts.n_sig):.1f}, {float(counts.sqrt_ts):.3f} sigma")
plotting.save(plotting.plot_profile(phases, regions=regions), "vela-profile.png")
ax = plotting.plot_phaseogram(phases, selected.events.time, regions=regions)
plotting.save(ax, "vela-phaseogram.png")
# truth
true = phased.events.table["MC_ID"] == 91
truth = pulsar.event_phases(phased)[true]
print(f"{len(truth)} photons of Vela: H = {pulsar.h_test(truth).statistic:.3f}", end=", ")
print(f"Z2_20 = {pulsar.z2_test(truth, 20).statistic:.3f}")
# barycentre
wrong = pulsar.assign_phases(observation, ephemeris, site="south", overwrite=True)
smeared = pulsar.event_phases(wrong)[true]
print(f"the same photons, barycentred: H = {pulsar.h_test(smeared).statistic:.3f}")
