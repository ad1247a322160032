"""The command that tests events for pulses."""

import json

import numpy as np
import pytest

from ctao_sat import dl3
from ctao_sat.pulsar import select_events

REGIONS = ["--on", "0.5,0.6", "--off", "0.7,1.0"]


@pytest.fixture(scope="module")
def phased(demo_dl3, tmp_path_factory):
    """Return a folder with two runs whose events have phases, half of them in a pulse."""
    store = dl3.open_dl3(demo_dl3)
    observations = select_events(dl3.read_observations(store, store.obs_ids))
    rng = np.random.default_rng(4)
    for one in observations:
        n = len(one.events.table)
        one.events.table["PHASE"] = np.where(
            rng.random(n) < 0.5, rng.uniform(0.95, 1.05, n) % 1, rng.random(n)
        )
    folder = tmp_path_factory.mktemp("phased") / "dl3"
    dl3.write(observations, folder)
    return folder


@pytest.mark.realdata
def test_numbers_of_cta_1dc(call, gammapy_data):
    path = gammapy_data / "cta-1dc/data/baseline/gps/gps_baseline_111630.fits"
    where = ["--position", "128.8361 deg, -45.1764 deg", "--radius", "0.2 deg"]
    code, out, _ = call("pulsar", "test", path, *where, *REGIONS, "--z2", 2, "--z2", 10, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["n_observations"], found["n_events"]) == (1, 843)
    assert found["h"]["statistic"] == pytest.approx(7.0525, abs=5e-5)
    assert [one["statistic"] for one in found["z2"]] == pytest.approx([10.6627, 35.8350], abs=5e-5)
    regions = found["regions"]
    assert (regions["n_on"], regions["n_off"]) == (122, 234)
    assert regions["excess"] == pytest.approx(44.0)
    assert regions["significance"] == pytest.approx(3.900, abs=5e-4)


def test_table(call, phased):
    regions = ["--on", "0.95,1.05", "--off", "0.1,0.9"]
    code, out, _ = call("pulsar", "test", phased, *regions)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].endswith("events of 2 observations")
    assert lines[1].startswith("H, up to 20 harmonics")
    assert lines[2].startswith("Z² of 2 harmonics")
    assert "alpha 0.1250: excess" in lines[3]
    assert all("sigma" in line for line in lines[1:])
    # So many pulses that the p-value is 0.
    assert "p < 1e-300" in lines[1]


def test_selection(call, phased):
    code, out, _ = call("pulsar", "test", phased, "--json")
    every = json.loads(out)
    assert (code, every["n_observations"], len(every["z2"])) == (0, 2, 1)
    assert "regions" not in every
    low, high = "--energy-min", "--energy-max"
    numbers = [
        json.loads(call("pulsar", "test", phased, "--json", *cut)[1])["n_events"]
        for cut in ([low, "200 GeV"], [high, "0.2 TeV"], ["--obs-id", 1], ["--obs-id", 2])
    ]
    assert numbers[0] + numbers[1] == numbers[2] + numbers[3] == every["n_events"]
    assert min(numbers) > 0


def test_quiet(call, phased):
    assert call("pulsar", "test", phased, "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--on", "0.5,0.6"], 2, "--on and --off go together"),
        (["--on", "0.5", "--off", "0.7,1"], 2, "'0.5' is no interval of phase"),
        (["--on", "0.5,0.6", "--off", "0.55,1"], 2, "On and off overlap"),
        (["--radius", "0.1 deg"], 2, "a position and a radius"),
        (["--radius", "1 TeV", "--position", "1 deg, 2 deg"], 2, "cannot be given in deg"),
        (["--energy-min", "x"], 2, "cannot be given in TeV"),
        (["--harmonics", "0"], 2, "0 harmonics"),
        (["--energy-min", "1 PeV"], 3, "no event to test"),
        (["--obs-id", "7"], 3, "There is no observation 7. There are: 1, 2"),
        (["--phase-column", "PH"], 3, "no column PH"),
    ],
)
def test_what_cannot_be_done(call, phased, options, code, message):
    found, out, err = call("pulsar", "test", phased, *options)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_without_phases(call, demo_dl3):
    code, _, err = call("pulsar", "test", demo_dl3)
    assert code == 3
    assert "ctao-sat pulsar phase" in err
