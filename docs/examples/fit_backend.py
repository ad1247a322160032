import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets, SpectrumDatasetOnOff
from gammapy.estimators import FluxPointsEstimator
from gammapy.irf import EDispKernelMap
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling import Fit
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel

from ctao_sat.likelihood import KernelCache, register_fit_backend

# A notebook as it is: on-off data and a model. None are read here, some are drawn.
energy = MapAxis.from_energy_bounds("1 TeV", "30 TeV", nbin=12)
energy_true = MapAxis.from_energy_bounds("0.7 TeV", "40 TeV", nbin=24, name="energy_true")
region = RegionGeom.create("icrs;circle(83.63, 22.01, 0.1)", axes=[energy])
exposure = RegionNDMap.create(region.region, axes=[energy_true], unit="m2 s", data=2e9)
dataset = SpectrumDatasetOnOff.create(region, energy_axis_true=energy_true, name="run")
dataset.exposure, dataset.edisp = exposure, EDispKernelMap.from_gauss(energy, energy_true, 0.1, 0)
dataset.acceptance.data[...], dataset.acceptance_off.data[...] = 1, 6
dataset.mask_safe.data[...] = True
source = SkyModel(PowerLawSpectralModel(index=2.4, amplitude="3e-11 cm-2 s-1 TeV-1"), name="source")
dataset.models = [source]
background = RegionNDMap.from_geom(region, data=0.5)
dataset.fake(random_state=7, npred_background=background)
datasets = Datasets([dataset])

# Two lines are new: this one, and the name of the backend.
register_fit_backend()
fit = Fit(backend="ctao_sat")

result = fit.run(datasets)
print(result)

# Asymmetric errors, profiles, and estimators that are given the fit.
print(fit.confidence(datasets, "index", sigma=1))
source.spectral_model.index.scan_n_values = 5
print(fit.stat_profile(datasets, "index", reoptimize=True)["stat_scan"])
estimator = FluxPointsEstimator(
    energy_edges=[1, 3, 10, 30] * u.TeV, source="source", selection_optional=["ul"], fit=fit
)
print(estimator.run(datasets).to_table(sed_type="dnde")["e_ref", "dnde", "dnde_ul"])

# A contour, by the Minuit of the compiled likelihood: in factors, hence the scales.
index, amplitude = result.minuit.parameters[:2]
contour = result.minuit.mncontour(index, amplitude, cl=0.68, size=20)
scales = [parameter.scale for parameter in datasets.parameters.free_parameters]
print(np.ptp(contour * scales, axis=0))

# Many fits of the same data: without comparison, and with kernels that are extracted once.
options = {"backend": "ctao_sat", "guard": False, "kernels": KernelCache()}
quick = Fit(
    backend="ctao_sat",
    optimize_opts=options,
    covariance_opts=options,
    confidence_opts=options,
)
print(quick.run(datasets).success)

# Who is right? The lower statistic, both as Gammapy evaluates it, from the same start.
source.spectral_model.index.value, source.spectral_model.amplitude.value = 2.4, 3e-11
theirs = Fit(backend="minuit").run(datasets)
print(f"ctao_sat is lower by {theirs.total_stat - result.total_stat:.1e}")
