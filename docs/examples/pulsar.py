from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.time import Time
from regions import CircleSkyRegion

import ctao_sat as sat
from ctao_sat import dl3, plotting, pulsar, simulate

# The rotation of the pulsar. Observers get such a file from radio or Fermi-LAT timing.
Path("crab-pulsar.par").write_text("""\
PSR    B0531+21
RAJ    05:34:31.97232
DECJ   22:00:52.0690
PEPOCH 61800
F0     29.5664
F1     -3.665e-10
START  61700
FINISH 61900
EPHEM  builtin
CLK    TT(TAI)
""")
ephemeris = pulsar.PulsarEphemeris.read("crab-pulsar.par")

# Simulate: two pulses, seen from La Palma, with all delays to the barycentre.
pulse = pulsar.PulseProfile(
    (pulsar.GaussianPeak(0.0, 0.015, 0.4), pulsar.GaussianPeak(0.4, 0.02, 0.6))
)
source = pulsar.pulsed_source(
    ephemeris,
    sat.PowerLawSpectralModel(index=3.3, amplitude="3e-13 cm-2 s-1 TeV-1"),
    pulsar.PulseTemplate.from_function(pulse.density),
    "north",
    name="Crab pulsar",
)
data_store = simulate.observations(
    source,
    simulate.wobble_pointings(source.position, offset=0.5 * u.deg, n=2),
    livetime=20 * u.min,
    irfs="demo-north",
    rng=np.random.default_rng(11),
    path="crab-pulsar-dl3",
    start="2028-01-10T22:00:00",
)

# Phases of all events. They are new observations; what the phases are worth is in their headers.
observations = pulsar.assign_phases(data_store.get_observations(), ephemeris)
print(f"phases good to {observations[0].events.table.meta['PHERR']:.1e} turns")
dl3.write(observations, "crab-pulsar-phased", "gadf")

# Events near the pulsar, and tests for pulsations.
selected = pulsar.select_events(
    observations, source.position, 0.15 * u.deg, energy_range=(None, 0.3 * u.TeV)
)
phases = np.concatenate([pulsar.event_phases(observation) for observation in selected])
h, p = pulsar.h_test(phases)
print(f"{len(phases)} events: H = {h:.1f}, p = {p:.1e}")

# The excess in regions of phase, chosen beforehand; here with the off phases for the background.
regions = pulsar.PhaseRegions(on=[(0.96, 1.04), (0.35, 0.45)], off=[(0.52, 0.87)])
counts = regions.statistic(phases)
print(f"excess {float(counts.n_sig):.0f}, {float(counts.sqrt_ts):.1f} sigma")

# The shape of the pulse, fitted without bins.
fit = pulsar.fit_profile(
    phases, [pulsar.GaussianPeak(0.01, 0.02, 0.01), pulsar.GaussianPeak(0.41, 0.02, 0.01)]
)
for name, value, error in zip(fit.names, fit.values, fit.errors, strict=True):
    print(f"{name} = {value:.4f} +- {error:.4f}")
ax = plotting.plot_profile(phases, regions=regions, model=fit.profile.density)
plotting.save(ax, "pulsar-profile.png")
times = np.concatenate([observation.events.time.tt.jd for observation in selected])
times = Time(times, format="jd", scale="tt")
ax = plotting.plot_phaseogram(phases, times, regions=regions, n_bins=25)
plotting.save(ax, "pulsar-phaseogram.png")

# The spectrum of the on phases: flux averaged over the whole turn.
energy = sat.MapAxis.from_energy_bounds("0.05 TeV", "2 TeV", nbin=8)
region = CircleSkyRegion(source.position, 0.15 * u.deg)
datasets = pulsar.reduce_phases(
    observations,
    sat.RegionGeom.create(region, axes=[energy]),
    regions,
    average="period",
    stack=True,
)
spectrum = sat.PowerLawSpectralModel(index=3, amplitude="1e-12 cm-2 s-1 TeV-1")
datasets.models = [sat.SkyModel(spectrum, name="pulse")]
result = sat.fit(datasets)
print(f"index {spectrum.index.value:.2f} +- {spectrum.index.error:.2f}")
