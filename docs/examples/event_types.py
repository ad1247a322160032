import astropy.units as u
from astropy.coordinates import SkyCoord
from regions import CircleSkyRegion

import ctao_sat as sat
from ctao_sat import dl3

data_stores = dl3.open_event_types("crab-dl3", index="headers")
observations = dl3.read_event_types(data_stores)

region = CircleSkyRegion(SkyCoord(83.63, 22.01, unit="deg"), radius=0.11 * u.deg)
energy = sat.MapAxis.from_energy_bounds("0.1 TeV", "40 TeV", nbin=20)
geometry = sat.RegionGeom(region, axes=[energy])
datasets = sat.reduce(observations.values(), geometry, names=observations)

datasets.models = [sat.SkyModel(spectral_model=sat.PowerLawSpectralModel(), name="crab")]
result = sat.fit(datasets)

for event_type, store in data_stores.items():
    print(event_type, list(store.obs_ids))
print(datasets.names)
print(datasets.models.to_parameters_table())
