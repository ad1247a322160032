import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time

from ctao_sat import dl3, simulate

# Observations of Gammapy, from anywhere: here a simulation, cut to the time of a flare.
store = simulate.observations(
    None,
    SkyCoord(329.72, -30.23, unit="deg"),
    livetime="2 min",
    irfs="demo-south",
    rng=np.random.default_rng(3),
    path="night-dl3",
    obs_id_start=41,
)
flare = Time(["2028-01-01T00:00:30", "2028-01-01T00:01:30"], scale="utc")
observations = store.get_observations().select_time(flare)

folder = dl3.write(observations, "flare-only-dl3")
print(sorted(path.name for path in folder.iterdir()))

# The same in CTAO's dialect, which asks who answers for the files, and on which terms.
product = {
    "contact": {
        "name": "A. Person",
        "organization": "An institute",
        "email": "a.person@institute.org",
    },
    "curation": {
        "license": "CC-BY-4.0",
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
    },
    # The headers say CTAO-SAT-DEMO; that the data are simulated for CTAO is for you to say.
    "instance": {"facility_name": "Simulated-CTAO"},
}
folder = dl3.write(observations, "flare-only-ctao", dialect="ctao-gadf", metadata=product)
print(len(dl3.open_dl3(folder).get_observations()[0].events.table))
