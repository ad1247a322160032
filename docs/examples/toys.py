import astropy.units as u
import numpy as np
from gammapy.irf import EDispKernelMap

import ctao_sat as sat
from ctao_sat import dl5, plotting
from ctao_sat.likelihood import draw_counts, toys

# An on-off spectrum of a faint source, made in memory.
energy = sat.MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", nbin=8)
energy_true = sat.MapAxis.from_energy_bounds("0.3 TeV", "30 TeV", nbin=16, name="energy_true")
geometry = sat.RegionGeom.create("icrs;circle(83.63, 22.01, 0.1)", axes=[energy])
dataset = sat.SpectrumDatasetOnOff.create(geometry, energy_axis_true=energy_true, name="run")
dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 3e13) * u.Unit("cm2 s")
dataset.edisp = EDispKernelMap.from_gauss(energy, energy_true, sigma=0.15, bias=0)
dataset.mask_safe.data[...] = True
dataset.acceptance.data[...], dataset.acceptance_off.data[...] = 1, 10
dataset.counts_off.data[:, 0, 0] = [120, 90, 60, 42, 30, 20, 12, 8]
spectrum = sat.PowerLawSpectralModel(index=2.3, amplitude="8e-13 cm-2 s-1 TeV-1")
datasets = sat.Datasets([dataset])
datasets.models = [sat.SkyModel(spectrum, name="source")]
dataset.counts.data = np.round((dataset.npred_signal() + dataset.background).data)
datasets = draw_counts(datasets, np.random.default_rng(20281204))
print(sat.fit(datasets))

# Errors to both sides, the profile they come from, and limits.
print(dl5.asymmetric_errors(datasets))
profile = dl5.profile(datasets, "source.index", n=31, bounds=3)
alone = dl5.profile(datasets, "source.index", n=31, bounds=3, reoptimize=False)
labels = ["all others at their best", "all others held"]
plotting.save(plotting.plot_stat_profile([profile, alone], labels=labels), "toys-profile.png")
print(dl5.upper_limit(datasets, "source.amplitude", confidence_level=0.95, border=0))

# Contours, by both conventions.
pair = ["source.index", "source.amplitude"]
contours = [
    dl5.contour(datasets, *pair, confidence_level=0.6827),
    dl5.contour(datasets, *pair, n_sigma=1),
]
ax = plotting.plot_contours(
    contours,
    labels=["68.27 % for both together", "1 sigma for each by itself"],
    best=(spectrum.index.value, spectrum.amplitude.value),
    units=("", "cm-2 s-1 TeV-1"),
)
plotting.save(ax, "toys-contours.png")

# Toys: are errors right, is the fit good?
found = toys(datasets, 2000, np.random.default_rng(1))
plotting.save(plotting.plot_pulls(found), "toys-pulls.png")
print(f"p-value of the fit: {found.p_value():.3f}, {found.n_failed} fits lost")

# Without a source: how often is TS as large by chance?
nothing = draw_counts(datasets, np.random.default_rng(2))
nothing.models = datasets.models.copy()
without = nothing.models[0].spectral_model
without.amplitude.value, without.amplitude.min, without.index.frozen = 0, 0, True
null = toys(nothing, 2000, np.random.default_rng(3), null=[without.amplitude])
print(f"TS above 4 by chance: {np.mean(null.ts > 4):.4f}; half of a chi-squared: 0.0228")

# How often errors and limits hold the truth, exactly.
table = dl5.exact_coverage(np.geomspace(0.5, 200, 800), background=2)
plotting.save(plotting.plot_coverage(table), "toys-coverage.png")
