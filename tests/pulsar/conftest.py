"""Ephemerides that several tests use."""

import pytest

from ctao_sat.pulsar import PulsarEphemeris

CRAB = """\
PSR     B0531+21
RAJ     05:34:31.97232
DECJ    22:00:52.0690
PEPOCH  61800
F0      29.5664
F1      -3.6650e-10
EPHEM   builtin
START   61700
FINISH  61900
"""


@pytest.fixture(scope="session")
def crab() -> PulsarEphemeris:
    """Return an ephemeris like that of the Crab pulsar, for 2028."""
    return PulsarEphemeris.from_text(CRAB, "crab.par")
