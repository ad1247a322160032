import astropy.units as u
import numpy as np
from gammapy.irf import EDispKernelMap, PSFMap

import ctao_sat as sat
from ctao_sat.likelihood import KernelCache, compile_likelihood, fit_compiled

# Counts in a cube, predicted by a source with a fixed shape and a background.
energy = sat.MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=6)
energy_true = sat.MapAxis.from_energy_bounds("0.7 TeV", "14 TeV", nbin=12, name="energy_true")
geometry = sat.WcsGeom.create(skydir=(83.63, 22.01), binsz=0.05, npix=40, axes=[energy])
dataset = sat.MapDataset.create(geometry, energy_axis_true=energy_true, name="cube")
dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 1e14) * u.Unit("cm2 s")
dataset.background.data += 0.2
dataset.psf = PSFMap.from_gauss(energy_true, sigma="0.07 deg")
dataset.edisp = EDispKernelMap.from_gauss(energy, energy_true, sigma=0.1, bias=0)
dataset.mask_safe.data[...] = True

spectrum = sat.PowerLawSpectralModel(index=2.3, amplitude="1e-11 cm-2 s-1 TeV-1")
shape = sat.GaussianSpatialModel(lon_0="83.63 deg", lat_0="22.01 deg", sigma="0.1 deg")
shape.freeze()
background = sat.FoVBackgroundModel(dataset_name="cube")
datasets = sat.Datasets([dataset])
datasets.models = [sat.SkyModel(spectrum, shape, name="source"), background]
rng = np.random.default_rng(6)
dataset.counts.data = rng.poisson(dataset.npred().data)

# The fit: the same call, the same result, and a report.
result = sat.fit(datasets, compiled=True)
print(result.report)
minuit = result.optimize_result.minuit
print(minuit.minos(minuit.parameters[0]).params[0].merror)

# The likelihood as a function of the factors of the free parameters.
like = compile_likelihood(datasets)
print([parameter.name for parameter in like.parameters])
best = np.array([parameter.factor for parameter in like.parameters])
minimum, gradient = like.value_and_grad(best)
covariance = 2 * np.linalg.inv(like.hessian(best))

# A scan of the index, the others fixed.
index = next(i for i, p in enumerate(like.parameters) if p is spectrum.index)
scan = np.tile(best, (51, 1))
scan[:, index] += np.linspace(-4, 4, 51) * np.sqrt(covariance[index, index])
delta = like.batch(scan) - minimum

# The posterior for flat priors, by importance sampling: 20,000 values in a fraction of a second.
samples = rng.multivariate_normal(best, covariance, size=20_000)
distance = samples - best
normal = np.einsum("ij,jk,ik->i", distance, np.linalg.inv(covariance), distance)
weights = np.exp((normal - (like.batch(samples) - minimum)) / 2)
values = samples[:, index] * spectrum.index.scale
mean = np.average(values, weights=weights)
print(f"index: posterior {mean:.3f}, fit {spectrum.index.value:.3f} +- {spectrum.index.error:.3f}")

# Several fits of the same data: PSF and energy dispersion are extracted for the first one alone.
kernels = KernelCache()
for hypothesis in (spectrum, sat.LogParabolaSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1")):
    datasets.models = [sat.SkyModel(hypothesis, shape, name="source"), background]
    result = fit_compiled(datasets, kernels=kernels)
    print(hypothesis.tag[0], f"{result.total_stat:.3f}, {len(kernels)} kernels")
