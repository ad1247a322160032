import astropy.units as u
from astropy.coordinates import SkyCoord
from regions import CircleSkyRegion

import ctao_sat as sat
from ctao_sat import dl3, dl4, dl5, plotting

store = dl3.open_dl3("$GAMMAPY_DATA/hess-dl3-dr1")
runs = [*range(33787, 33802), 47802, 47803, 47804, 47827, 47828, 47829]
target = SkyCoord(329.7169, -30.2256, unit="deg")
energy = sat.MapAxis.from_energy_bounds("0.1 TeV", "40 TeV", nbin=24)
true = sat.MapAxis.from_energy_bounds("0.05 TeV", "100 TeV", nbin=60, name="energy_true")
geometry = sat.RegionGeom.create(CircleSkyRegion(target, 0.11 * u.deg), axes=[energy])
datasets = dl4.reduce(dl3.read_observations(store, runs), geometry, energy_axis_true=true)
spectrum = sat.PowerLawSpectralModel(index=3.4, amplitude="1e-11 cm-2 s-1 TeV-1")
datasets.models = [sat.SkyModel(spectrum, name="PKS 2155-304")]
dl5.fit(datasets)

curve = dl5.light_curve(datasets, [0.3, 10] * u.TeV, spectrum="free")
plotting.save(plotting.plot_light_curve(curve), "pks-2155-304.png")
flux = curve.flux.quantity.to_value("1e-11 cm-2 s-1").ravel()
error = curve.flux_err.quantity.to_value("1e-11 cm-2 s-1").ravel()
print("start (TT)         flux in 1e-11 cm-2 s-1   index")
for i, row in enumerate(curve.meta["parameters"]):
    index = f"{row['index']:.2f} +- {row['index_err']:.2f}"
    print(f"{row['time_min'].tt.iso[:16]}     {flux[i]:6.2f} +- {error[i]:.2f}      {index}")
