import astropy.units as u
from astropy.coordinates import SkyCoord
from regions import CircleSkyRegion

import ctao_sat as sat
from ctao_sat import dl3

data_store = dl3.open_dl3("crab-dl3")
observations = dl3.read_observations(data_store, data_store.obs_ids)

crab = SkyCoord(83.63, 22.01, unit="deg")
region = CircleSkyRegion(crab, radius=0.11 * u.deg)
energy = sat.MapAxis.from_energy_bounds("0.1 TeV", "40 TeV", nbin=20)
geometry = sat.RegionGeom(region, axes=[energy])
datasets = sat.reduce(observations, geometry, background="reflected")

spectrum = sat.LogParabolaSpectralModel(alpha=2.5, beta=0.1)
datasets.models = [sat.SkyModel(spectral_model=spectrum, name="crab")]
result = sat.fit(datasets)
points = sat.flux_points(datasets, [0.1, 0.3, 1, 3, 10] * u.TeV)

print(result)
print(datasets.models.to_parameters_table())
print(points.to_table(sed_type="dnde", formatted=True))
