import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

import ctao_sat as sat
from ctao_sat import simulate

position = SkyCoord(329.72, -30.23, unit="deg")
flare = sat.SkyModel(
    name="flare",
    spectral_model=sat.PowerLawSpectralModel(index=3),
    spatial_model=sat.PointSpatialModel.from_position(position),
)
flare.spectral_model.amplitude.value = 1e-10  # cm-2 s-1 TeV-1

data_store = simulate.observations(
    [flare],
    simulate.wobble_pointings(position, offset=0.5 * u.deg, n=2),
    livetime=5 * u.min,
    irfs="demo-south",
    rng=np.random.default_rng(7),
    path="flare-dl3",
)
print(data_store.obs_table["OBS_ID", "RA_PNT", "DEC_PNT", "LIVETIME"])
