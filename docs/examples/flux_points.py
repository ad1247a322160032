import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.irf import EDispKernelMap
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap

from ctao_sat import dl5, plotting

# A spectrum in memory, cut off at 10 TeV. Reduced datasets of yours will do as well.
energy = MapAxis.from_energy_bounds("0.3 TeV", "100 TeV", nbin=30)
true = MapAxis.from_energy_bounds("0.2 TeV", "150 TeV", nbin=60, name="energy_true")
geom = RegionGeom.create("icrs;circle(83.6, 22.0, 0.1)", axes=[energy])
dataset = SpectrumDataset.create(geom, energy_axis_true=true, name="on")
dataset.exposure = RegionNDMap.create(geom.region, axes=[true], unit="cm2 s")
dataset.exposure.data += 3e14
dataset.edisp = EDispKernelMap.from_gauss(energy, true, sigma=0.1, bias=0)
dataset.background.data += np.geomspace(40, 0.02, 30)[:, None, None]
dataset.mask_safe.data[...] = True
truth = dl5.ExpCutoffPowerLawSpectralModel(
    index=2.2, amplitude="4e-12 cm-2 s-1 TeV-1", lambda_="0.1 TeV-1"
)
dataset.models = [dl5.SkyModel(truth, name="source")]
dataset.fake(random_state=np.random.RandomState(3))

# The fitted spectrum is the shape within each bin.
datasets = Datasets([dataset])
dl5.fit(datasets)
points = dl5.flux_points(datasets, np.geomspace(0.3, 100, 11) * u.TeV, "source")
table = points.to_table(sed_type="e2dnde")
print(table["e_ref", "e2dnde", "e2dnde_err", "e2dnde_ul", "sqrt_ts", "is_ul"])
assert points.meta["fallbacks"] == []

ax = plotting.plot_sed(points, model=datasets.models["source"])
plotting.save(ax, "flux-points.png")
