"""Times of other references and units: no fault where Gammapy converts them."""

import shutil

import pytest
from astropy.io import fits

from ctao_sat import dl3

INFO = {("time-reference", "info")}


def in_minutes(hdu, *names):
    """Change the unit of times, and the values with it."""

    def change(hdus):
        for name in names:
            hdus[hdu].data[name] /= 60
            hdus[hdu].columns.change_unit(name, "min")

    return change


def without_unit(hdus):
    """Leave the unit of the intervals to TIMEUNIT."""
    in_minutes("GTI", "START", "STOP")(hdus)
    for name in ("START", "STOP"):
        hdus["GTI"].columns.change_unit(name, "")
    hdus["GTI"].header["TIMEUNIT"] = "min"


def counted_from(days, system="TT", seconds=0.0):
    """Count the intervals from another reference, earlier by some days."""

    def change(hdus):
        hdus["GTI"].header["MJDREFI"] -= days
        hdus["GTI"].header["TIMESYS"] = system
        for name in ("START", "STOP"):
            hdus["GTI"].data[name] += 86400 * days + seconds

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (counted_from(10), INFO),
        # TAI is 32.184 s behind TT, thus its midnight is as much later.
        (counted_from(0, "TAI", -32.184), INFO),
        (in_minutes("GTI", "START", "STOP"), set()),
        (in_minutes("EVENTS", "TIME"), set()),
        (without_unit, {("units", "warning")}),
    ],
)
def test_what_gammapy_converts_is_no_fault(spoiled, change, expected):
    path = spoiled(change)
    assert {(f.check, f.severity) for f in dl3.check(path).findings} == expected
    # Gammapy reads them all as the same times.
    (observation,) = dl3.read_observations(dl3.open_dl3(path), [1])
    gti = observation.gti
    inside = observation.events.select_time([gti.time_start[0], gti.time_stop[-1]])
    assert len(inside.table) >= 0.99 * len(observation.events.table) > 0


def test_references_that_cannot_be_compared(spoiled):
    def change(hdus):
        hdus["GTI"].header["TIMESYS"] = "UT1"

    result = dl3.check(spoiled(change))
    (finding,) = result.findings
    assert (finding.check, finding.severity) == ("time-reference", "warning")
    assert "cannot be compared" in finding.what
    assert "event-gti" in result.checks_not_run


def test_an_index_of_runs_that_count_from_different_references(small_dl3, tmp_path):
    folder = shutil.copytree(small_dl3, tmp_path / "dl3")
    with fits.open(folder / "obs_000002.fits", mode="update") as hdus:
        for hdu in (hdus["EVENTS"], hdus["GTI"]):
            hdu.header["MJDREFI"] -= 10
            for name in {"TIME", "START", "STOP"} & set(hdu.columns.names):
                hdu.data[name] += 864000
        for name in ("TSTART", "TSTOP"):
            hdus["EVENTS"].header[name] += 864000
    dl3.write_index(folder, overwrite=True)
    assert dl3.check(folder).findings == ()
