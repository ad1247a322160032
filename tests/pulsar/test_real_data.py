"""Phases of CTA-1DC events are those that its simulation gave them."""

import copy
from decimal import Decimal

import numpy as np
import pytest
from astropy.table import Table

from ctao_sat import dl3
from ctao_sat.errors import CtaoSatWarning, PhaseError
from ctao_sat.pulsar import PulsarEphemeris, assign_phases

pytestmark = pytest.mark.realdata

RUN = "cta-1dc/data/baseline/gps/gps_baseline_{}.fits"
F0 = "11.1838252035"
# 59300 and 20 hours: TSTART. The phase there is 0.397669.
ZERO = Decimal("59300.5") + Decimal(1) / 3 - Decimal("0.397669") / Decimal(F0) / 86400
# The frequency comes from the run itself and says nothing of other times.
VELA = PulsarEphemeris.from_text(
    f"PSR J0835-4510\nRAJ 08:35:20.6\nDECJ -45:10:34.9\nF0 {F0}\nPEPOCH {ZERO}\nEPHEM builtin\n"
)


@pytest.fixture(scope="module")
def vela(gammapy_data):
    return dl3.Observation.read(gammapy_data / RUN.format(111630))


def test_topocentric_phases_of_the_simulation(vela):
    made = assign_phases(vela, VELA, barycentre=False, overwrite=True)
    truth = vela.events.table["PHASE"].astype(float)
    off = (made.events.table["PHASE"] - truth + 0.5) % 1 - 0.5
    assert len(off) == 101_430
    assert np.max(np.abs(off)) <= 5.1e-6
    assert vela.events.table["PHASE"].dtype.itemsize == 4


def test_places_of_the_simulation_are_refused(gammapy_data, vela):
    with pytest.raises(PhaseError, match=r"longitude 0\.0000, latitude 0\.0000 and height 0 m"):
        assign_phases(vela, VELA, overwrite=True)
    other = dl3.Observation.read(gammapy_data / RUN.format(110380))
    with pytest.raises(PhaseError, match=r"longitude 79\.4041.* no site of CTAO"):
        assign_phases(other, VELA)
    assert len(assign_phases(other, VELA, site="south").events.table) == 106_217


# Towards where the telescopes pointed at the end of the run, and towards Vela in the middle.
@pytest.mark.parametrize(
    ("run", "position", "event", "milliseconds"),
    [(110380, "RAJ 17:50:43.5\nDECJ -29:36:27", -1, -22.8), (111630, "", 50_000, 4.2)],
)
def test_what_the_places_would_cost(gammapy_data, run, position, event, milliseconds):
    observation = dl3.Observation.read(gammapy_data / RUN.format(run))
    table = observation.events.table
    one = copy.copy(observation)
    one.events = dl3.EventList(table[[event]]["EVENT_ID", "TIME", "RA", "DEC", "ENERGY"])
    text = VELA.text
    if position:
        text = text.replace("RAJ 08:35:20.6\nDECJ -45:10:34.9", position)
    turns = []
    for site in (observation.observatory_earth_location, "south"):
        made = assign_phases(
            one, PulsarEphemeris.from_text(text), site=site, pulse_numbers=True
        ).events.table
        turns.append(made["PULSE_N"][0] + made["PHASE"][0])
    off = (turns[0] - turns[1]) / float(F0) * 1e3
    assert off == pytest.approx(milliseconds, abs=0.2)


def test_a_phase_column_of_zeros(gammapy_data):
    file = gammapy_data / "hess-dl3-dr1/data/hess_dl3_dr1_obs_id_020136.fits.gz"
    observation = dl3.Observation.read(file)
    # The files of H.E.S.S. that are not public have a column of zeros.
    table = Table(observation.events.table, copy=True)
    table["PHASE"] = 0.0
    blank = copy.copy(observation)
    blank.events = dl3.EventList(table)
    with pytest.warns(CtaoSatWarning, match="holds zeros alone"):
        made = assign_phases(blank, VELA)
    assert made.events.table.meta["PHSITE"] == "other"


def test_leap_seconds_of_magic(gammapy_data):
    file = next((gammapy_data / "magic/rad_max/data").glob("20131004_05029747_DL3*.fits"))
    with pytest.warns(CtaoSatWarning, match=r"3 leap seconds fell .* off by 33\.55 turns"):
        assign_phases(dl3.Observation.read(file), VELA)
