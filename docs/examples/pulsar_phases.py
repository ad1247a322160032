from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord

from ctao_sat import dl3, pulsar, simulate

# Two minutes on the Crab, and an ephemeris; yours comes from a radio observatory.
store = simulate.observations(
    None,
    SkyCoord(83.633, 22.014, unit="deg"),
    livetime="2 min",
    irfs="demo-north",
    rng=np.random.default_rng(9),
    path="pulsar-dl3",
)
Path("crab.par").write_text(
    "PSR     J0534+2200\n"
    "RAJ     05:34:31.97232\n"
    "DECJ    22:00:52.0690\n"
    "F0      29.5563481234567  1  2e-10\n"
    "F1      -3.6772e-10       1  1e-17\n"
    "PEPOCH  61771\n"
    "START   61741\n"
    "FINISH  61801\n"
    "EPHEM   builtin\n"
    "CLK     TT(TAI)\n"
)
ephemeris = pulsar.PulsarEphemeris.read("crab.par")

phased = pulsar.assign_phases(store.get_observations(), ephemeris, pulse_numbers=True)
events = phased[0].events.table
print(events["TIME", "PHASE", "PULSE_N"][:3])
print(f"wrong by at most {events.meta['PHERR']:.1e} turns")

# The phases and what they were made of go to disk with the events.
dl3.write(phased, "pulsar-phased")

# The same engine without files: any times, at any place.
times = events["TIME"][:3]
print(pulsar.phases(times, ephemeris, phased[0].observatory_earth_location))
