import astropy.units as u
import numpy as np
from astropy.time import Time
from gammapy.data import GTI
from gammapy.irf import EDispKernelMap
from gammapy.maps import RegionNDMap

import ctao_sat as sat
from ctao_sat import dl5, plotting

# Six nights of one hour of a source that fades and gets softer, with a measured background.
energy = sat.MapAxis.from_energy_bounds("0.2 TeV", "20 TeV", nbin=12)
true = sat.MapAxis.from_energy_bounds("0.1 TeV", "40 TeV", nbin=24, name="energy_true")
geom = sat.RegionGeom.create("icrs;circle(329.7, -30.2, 0.1)", axes=[energy])
rng = np.random.default_rng(8)
nights = sat.Datasets()
for i in range(6):
    night = sat.SpectrumDatasetOnOff.create(geom, energy_axis_true=true, name=f"night-{i}")
    night.exposure = RegionNDMap.create(geom.region, axes=[true], unit="cm2 s")
    night.exposure.data += 3e12
    night.edisp = EDispKernelMap.from_gauss(energy, true, sigma=0.1, bias=0)
    night.acceptance.data += 1
    night.acceptance_off = night.acceptance * 5
    background = 20 / np.arange(1, 13)[:, None, None]
    night.counts_off = night.counts.copy(data=rng.poisson(5 * background))
    start = Time("2030-08-01T22:00", scale="tt") + i * u.d
    night.gti = GTI.create(start, start + 1 * u.h)
    night.mask_safe.data[...] = True
    truth = sat.PowerLawSpectralModel(
        index=2.6 + 0.15 * i, amplitude=6e-11 * 0.6**i * u.Unit("cm-2 s-1 TeV-1")
    )
    night.models = [sat.SkyModel(truth, name="truth")]
    signal = night.npred_signal().data
    night.counts.data = rng.poisson(signal + background)
    nights.append(night)

# One spectrum for all nights gives the shape; the fluxes are in two bands.
spectrum = sat.PowerLawSpectralModel(index=2.5, amplitude="2e-11 cm-2 s-1 TeV-1")
nights.models = [sat.SkyModel(spectrum, name="blazar")]
dl5.fit(nights)
bands = [0.2, 1, 20] * u.TeV
curve = dl5.light_curve(nights, bands)
print(curve.to_table(sed_type="flux", format="lightcurve")["time_min", "flux", "flux_err"])
plotting.save(plotting.plot_light_curve(curve), "light-curve.png")

# A spectrum of its own in each night; what is finished is kept in a folder.
free = dl5.light_curve(nights, bands, spectrum="free", checkpoints="light-curve")
table = free.meta["parameters"]
for row in table:
    print(f"index {row['index']:.2f} +- {row['index_err']:.2f}, TS {row['ts']:.0f}")
