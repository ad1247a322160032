"""Each check finds a planted fault, says it with its number, and finds nothing else."""

import numpy as np
import pytest
from astropy.io import fits

from ctao_sat import dl3
from ctao_sat.dl3._checks import FILE_CHECKS

COLUMN_KEYS = {"TTYPE", "TFORM", "TUNIT", "TDIM1", "TDIM2", "TDIM3", "TDIM4", "TDIM5", "TFIEL"}
COLUMN_KEYS |= {"TDIM6", "TDIM7", "TNULL", "NAXIS"}
AEFF, EDISP, PSF, BKG = (
    "EFFECTIVE AREA",
    "ENERGY DISPERSION",
    "POINT SPREAD FUNCTION",
    "BACKGROUND",
)


def key(hdu, **values):
    """Set keys of a header; None removes one."""

    def change(hdus):
        for name, value in values.items():
            name = name.replace("_OBS", "-OBS")
            if value is None:
                hdus[hdu].header.remove(name)
            else:
                hdus[hdu].header[name] = value

    return change


def column(hdu, name, change_values):
    """Change the values of a column in place."""

    def change(hdus):
        change_values(hdus[hdu].data[name])

    return change


def unit(hdu, name, value):
    return lambda hdus: hdus[hdu].columns.change_unit(name, value)


def scale(factor):
    def change(array):
        array *= factor

    return change


def put(where, value):
    def change(array):
        array[where] = value

    return change


def without_column(hdu, name):
    def change(hdus):
        table = hdus[hdu]
        columns = fits.ColDefs([column for column in table.columns if column.name != name])
        # Keys of the columns are set anew.
        cards = [card for card in table.header.cards if card.keyword[:5] not in COLUMN_KEYS]
        hdus[hdu] = fits.BinTableHDU.from_columns(columns, fits.Header(cards), name=hdu)

    return change


def with_column(hdu, name, values):
    def change(hdus):
        table = hdus[hdu]
        new = fits.Column(name, "E", array=np.full(len(table.data), 0) + values(len(table.data)))
        columns = fits.ColDefs([*table.columns, new])
        hdus[hdu] = fits.BinTableHDU.from_columns(columns, table.header, name=hdu)

    return change


def gti(*intervals):
    """Replace the intervals; each is given as parts of the only one."""

    def change(hdus):
        start, stop = (hdus["GTI"].data[name][0] for name in ("START", "STOP"))
        edges = start + np.array(intervals, dtype=float).reshape(-1, 2) * (stop - start)
        columns = [
            fits.Column(name, "D", unit="s", array=edges[:, i])
            for i, name in enumerate(("START", "STOP"))
        ]
        hdus["GTI"] = fits.BinTableHDU.from_columns(columns, hdus["GTI"].header, name="GTI")

    return change


def both(*changes):
    def change(hdus):
        for one in changes:
            one(hdus)

    return change


def rows(selection):
    def change(hdus):
        hdus["EVENTS"].data = hdus["EVENTS"].data[selection(len(hdus["EVENTS"].data))]

    return change


def twice(n):
    return np.concatenate([np.arange(n), [5, 6]])


def point_like(*hdus):
    return both(*(key(hdu, HDUCLAS3="POINT-LIKE") for hdu in hdus))


def drop(*names):
    def change(hdus):
        for name in names:
            del hdus[name]

    return change


def rad_max(hdus):
    low, high = (fits.Column(f"{a}", "1E", u, array=[[v]]) for a, u, v in (
        ("ENERG_LO", "TeV", 0.1), ("ENERG_HI", "TeV", 10)))  # fmt: skip
    theta = [fits.Column(f"THETA_{e}", "1E", "deg", array=[[v]]) for e, v in (("LO", 0), ("HI", 1))]
    values = fits.Column("RAD_MAX", "1E", "deg", dim="(1,1)", array=[[[0.1]]])
    table = fits.BinTableHDU.from_columns([low, high, *theta, values], name="RAD_MAX")
    words = ("RESPONSE", "RAD_MAX", "POINT-LIKE", "RAD_MAX_2D")
    table.header.update({f"HDUCLAS{i}": word for i, word in enumerate(words, 1)})
    hdus.append(table)


def table_psf(factor):
    """Replace the PSF by a table, whose integral is a factor."""

    def change(hdus):
        old = hdus[PSF]
        columns = [c for c in old.columns if c.name[:5] in ("ENERG", "THETA")]
        edges = np.linspace(0, 1, 101)
        low, high = np.radians(edges[:-1]), np.radians(edges[1:])
        cumulative = 1 - np.exp(-0.5 * (edges / 0.1) ** 2)
        density = factor * np.diff(cumulative) / (2 * np.pi * (np.cos(low) - np.cos(high)))
        n_energy, n_theta = len(old.data["ENERG_LO"][0]), len(old.data["THETA_LO"][0])
        values = np.broadcast_to(density[:, None, None], (100, n_theta, n_energy))
        columns += [
            fits.Column("RAD_LO", "100E", "deg", array=[edges[:-1]]),
            fits.Column("RAD_HI", "100E", "deg", array=[edges[1:]]),
            fits.Column(
                "RPSF",
                f"{values.size}E",
                "sr-1",
                dim=f"({n_energy},{n_theta},100)",
                array=values[np.newaxis],
            ),
        ]
        new = fits.BinTableHDU.from_columns(columns, name=PSF)
        words = ("RESPONSE", "RPSF", "FULL-ENCLOSURE", "PSF_TABLE")
        new.header.update({f"HDUCLAS{i}": word for i, word in enumerate(words, 1)})
        hdus[PSF] = new

    return change


def king(gamma):
    def change(hdus):
        old = hdus[PSF]
        columns = [c for c in old.columns if c.name[:5] in ("ENERG", "THETA")]
        sigma = old.columns["SIGMA_1"]
        columns.append(fits.Column("SIGMA", sigma.format, "deg", dim=sigma.dim, array=sigma.array))
        values = np.full_like(sigma.array, gamma)
        columns.append(fits.Column("GAMMA", sigma.format, dim=sigma.dim, array=values))
        new = fits.BinTableHDU.from_columns(columns, name=PSF)
        words = ("RESPONSE", "RPSF", "FULL-ENCLOSURE", "PSF_KING")
        new.header.update({f"HDUCLAS{i}": word for i, word in enumerate(words, 1)})
        hdus[PSF] = new

    return change


def lopsided(hdus):
    del hdus[BKG].header["FOVALIGN"]
    hdus[BKG].data["BKG"][0, :, :24] *= 2


def negative_edisp(part):
    """Take a part from all rows, in a bin that is empty otherwise."""

    def change(array):
        array[0, :, -1, :] = -part / 0.02

    return change


def late(hdus):
    hdus["EVENTS"].data["TIME"][-1] = hdus["GTI"].data["STOP"][0] + 2


def swapped(hdus):
    time = hdus["EVENTS"].data["TIME"]
    time[10], time[11] = time[11], time[10]


FAULTS = [
    ("hdu-class", "warning", "no class that Gammapy reads", key(BKG, HDUCLAS4="BKG_4D")),
    ("columns", "error", "no column ENERGY", without_column("EVENTS", "ENERGY")),
    ("columns", "warning", "no column EVENT_ID", without_column("EVENTS", "EVENT_ID")),
    ("columns", "error", "no column STOP", without_column("GTI", "STOP")),
    ("columns", "error", "no column MIGRA_HI", without_column(EDISP, "MIGRA_HI")),
    ("units", "error", "no unit of ENERGY", unit("EVENTS", "ENERGY", "")),
    ("units", "error", "RA is 'TeV'", unit("EVENTS", "RA", "TeV")),
    ("units", "error", "EFFAREA is 'm'", unit(AEFF, "EFFAREA", "m")),
    ("units", "warning", "'1/s/MeV/sr', is none", unit(BKG, "BKG", "1/s/MeV/sr")),
    ("units", "warning", "no unit of START", unit("GTI", "START", "")),
    ("axes", "error", "THETA do not ascend", column(AEFF, "THETA_HI", put((0, 2), 0))),
    ("axes", "error", "leave gaps, or overlap", column(AEFF, "ENERG_HI", scale(1.02))),
    (
        "axes",
        "error",
        "0.01 TeV (at 0.03 TeV)",
        column(AEFF, "ENERG_HI", put((0, 3), 0.03)),
    ),
    ("nonzero", "error", "values of EFFAREA are 0", column(AEFF, "EFFAREA", scale(0))),
    ("nonzero", "error", "values of MATRIX are 0", column(EDISP, "MATRIX", scale(0))),
    ("nonzero", "error", "values of SCALE are 0", column(PSF, "SCALE", scale(0))),
    ("nonzero", "error", "values of RPSF are 0", table_psf(0)),
    ("nonzero", "error", "values of BKG are 0", column(BKG, "BKG", scale(0))),
    ("finite", "error", "3 of", column("EVENTS", "ENERGY", put(slice(3), np.nan))),
    ("finite", "warning", "of DETX", column("EVENTS", "DETX", put(slice(3), np.nan))),
    ("finite", "error", "1 of", column(AEFF, "EFFAREA", put((0, 3, 40), np.inf))),
    ("negative", "error", "2 of", column("EVENTS", "ENERGY", put(slice(2), 0))),
    ("negative", "error", "down to -5", column(AEFF, "EFFAREA", put((0, 3, 40), -5))),
    ("negative", "error", "down to -1", column(BKG, "BKG", put((0, 3, 40), -1))),
    ("negative", "warning", "0.2 %", column(EDISP, "MATRIX", negative_edisp(0.002))),
    ("negative", "error", "5 %", column(EDISP, "MATRIX", negative_edisp(0.05))),
    (
        "negative",
        "warning",
        "outside of the thresholds",
        both(column(AEFF, "EFFAREA", put((0, 3, 0), -5)), key(AEFF, LO_THRES=0.1)),
    ),
    ("event-id", "error", "2 of", rows(twice)),
    ("event-id", "warning", "2 of", column("EVENTS", "EVENT_ID", put(slice(3), 1))),
    ("event-order", "info", "1 of", swapped),
    ("event-gti", "warning", "by up to 2 s", late),
    ("event-field", "warning", "1 of", column("EVENTS", "DEC", put(0, -60))),
    ("event-field", "error", "deg from the pointing", column("EVENTS", "DEC", scale(-1))),
    ("directions", "error", "2 of", column("EVENTS", "DEC", put(slice(2), 91))),
    ("event-energy", "warning", "events are outside", unit("EVENTS", "ENERGY", "keV")),
    ("columns", "info", "no events", rows(lambda n: np.zeros(0, int))),
    ("directions", "warning", "'FK4'", key("EVENTS", RADESYS="FK4")),
    ("thresholds", "warning", "'low', no number", key(AEFF, LO_THRES="low")),
    ("containment", "warning", "PSF is POINT-LIKE", point_like(PSF)),
    ("directions", "error", "no number RA_PNT", key("EVENTS", RA_PNT=None)),
    ("phase", "warning", "PHASE is 0", with_column("EVENTS", "PHASE", np.zeros)),
    ("phase", "warning", "0 to 200", with_column("EVENTS", "PHASE", lambda n: np.arange(n) % 201)),
    ("time-reference", "error", "MJDREFF", key("GTI", MJDREFF=None)),
    ("time-reference", "info", "43200 s apart", key("GTI", MJDREFF=0.0)),
    ("time-reference", "error", "no unit of time", key("GTI", TIMEUNIT="TeV")),
    ("time-reference", "error", "'GPS', no scale", key("EVENTS", TIMESYS="GPS")),
    ("time-reference", "error", "TIMEUNIT is 'd'", key("EVENTS", TIMEUNIT="d")),
    ("time-reference", "warning", "TIMESYS is absent", key("EVENTS", TIMESYS=None)),
    ("event-gti", "error", "by up to 4.32e+04 s", key("GTI", MJDREFF=0.0)),
    ("gti-span", "warning", "begin before TSTART, by 43200 s", key("GTI", MJDREFF=0.0)),
    ("livetime", "error", "the sum of the good time intervals 5", unit("GTI", "STOP", "min")),
    ("dates", "warning", "-86400 s off TSTART", key("EVENTS", DATE_OBS="2027-12-31")),
    ("gti-order", "error", "no intervals", gti()),
    ("gti-order", "error", "are empty", gti((0, 0))),
    ("gti-order", "error", "overlap", gti((0, 0.6), (0.5, 0.9))),
    ("gti-order", "warning", "not in order", gti((0.5, 1), (0, 0.5))),
    ("gti-order", "error", "1 of 1 intervals end before", gti((1, 0))),
    ("gti-span", "warning", "end after TSTOP, by 60 s", gti((0, 1.5))),
    ("deadc", "error", "DEADC is 0.9", key("EVENTS", DEADC=0.9)),
    ("deadc", "error", "not between 0 and 1", key("EVENTS", DEADC=1.2)),
    ("deadc", "error", "no number LIVETIME", key("EVENTS", LIVETIME=None)),
    ("livetime", "error", "ONTIME is 100 s", key("EVENTS", ONTIME=100.0, LIVETIME=100.0)),
    ("site", "error", "are 0", key("EVENTS", GEOLON=0.0, GEOLAT=0.0, ALTITUDE=0.0)),
    ("site", "error", "with the other sign of GEOLON 0 km", key("EVENTS", GEOLON=17.892)),
    ("site", "error", "it is in km", key("EVENTS", ALTITUDE=2.158)),
    ("site", "error", "from ctao_south", key("EVENTS", INSTRUME="Southern array")),
    ("site", "error", "from hess", key("EVENTS", TELESCOP="HESS")),
    ("site", "warning", "no number", key("EVENTS", GEOLAT=None)),
    ("altaz", "warning", "ALT_PNT 10.00 deg", key("EVENTS", ALT_PNT=10.0)),
    ("instrument", "warning", "both arrays", key(AEFF, INSTRUME="Southern array")),
    ("instrument", "warning", "TELESCOP is", key(AEFF, TELESCOP="MAGIC")),
    ("psf-norm", "error", "0.9 … 0.9 instead of 1", table_psf(0.9)),
    ("psf-norm", "warning", "integrate to 2 … 2", column(PSF, "SCALE", scale(2))),
    ("psf-norm", "error", "no integral", king(0.5)),
    ("edisp-norm", "warning", "0.9 … 0.9 instead of 1", column(EDISP, "MATRIX", scale(0.9))),
    ("thresholds", "error", "LO_THRES is 5 TeV", key(AEFF, LO_THRES=5.0, HI_THRES=1.0)),
    ("thresholds", "warning", "HI_THRES is 1000 TeV", key(AEFF, HI_THRES=1000.0)),
    ("containment", "error", "applied twice", both(point_like(AEFF, EDISP), rad_max)),
    ("containment", "error", "neither a table nor", both(point_like(AEFF, EDISP), drop(PSF))),
    ("containment", "warning", "the other not", both(point_like(EDISP))),
    ("containment", "warning", "There is a RAD_MAX", rad_max),
    ("containment", "warning", "HDUCLAS3 is ''", key(AEFF, HDUCLAS3=None)),
    ("fov-alignment", "error", "'UP'", key(BKG, FOVALIGN="UP")),
    ("fov-alignment", "info", "does not matter", key(BKG, FOVALIGN=None)),
    ("fov-alignment", "warning", "FOVALIGN is absent", lopsided),
]
# What a planted fault brings about by itself.
BROUGHT = {
    ("negative", "5 %"): {"edisp-norm"},
    ("columns", "no column ENERGY"): {"event-id"},
    ("hdu-class", "no class that Gammapy reads"): {"responses"},
    ("gti-order", "overlap"): {"livetime", "event-gti"},
    ("gti-order", "are empty"): {"livetime", "event-gti"},
    ("gti-order", "1 of 1 intervals end before"): {"livetime", "event-gti"},
    ("gti-span", "end after TSTOP, by 60 s"): {"livetime"},
    ("time-reference", "43200 s apart"): {"event-gti", "gti-span"},
    ("event-gti", "by up to 4.32e+04 s"): {"time-reference", "gti-span"},
    ("gti-span", "begin before TSTART, by 43200 s"): {"time-reference", "event-gti"},
    ("livetime", "the sum of the good time intervals 5"): {"gti-span", "event-gti"},
    ("site", "from ctao_south"): {"instrument"},
    ("site", "from hess"): {"instrument"},
    ("event-id", "2 of"): {"event-order"},
    ("directions", "2 of"): {"event-field"},
    ("site", "with the other sign of GEOLON 0 km"): {"altaz"},
}


def test_the_clean_file_has_no_findings(clean_file):
    result = dl3.check(clean_file)
    assert result.findings == ()
    assert result.ok


@pytest.mark.parametrize(
    ("name", "severity", "says", "change"), FAULTS, ids=[f"{f[0]}: {f[2]}" for f in FAULTS]
)
def test_a_planted_fault_is_found(spoiled, name, severity, says, change):
    path = spoiled(change)
    before = path.read_bytes()
    findings = dl3.check(path).findings
    found = [f for f in findings if f.check == name]
    assert [f.severity for f in found] == [severity], findings
    assert says in found[0].what
    assert found[0].remedy
    assert found[0].file == str(path)
    assert {f.check for f in findings} - {name} <= BROUGHT.get((name, says), set()), findings
    assert path.read_bytes() == before


def test_each_check_of_a_file_has_a_planted_fault():
    names = {check.name for check in FILE_CHECKS} | {"event-field", "event-energy"}
    assert {fault[0] for fault in FAULTS} | {"readable"} == names


@pytest.mark.parametrize(
    "harmless",
    [
        # GADF writes S / pi, much software S.
        column(PSF, "SCALE", scale(np.pi)),
        # A truncated table loses less than 1 %.
        table_psf(0.995),
        # King profiles are normalised by their formula.
        king(2.0),
        # Of rows without events there is no distribution.
        column(EDISP, "MATRIX", put((0, slice(None), slice(None), 0), 0)),
        # Two intervals that touch.
        gti((0, 0.5), (0.5, 1)),
        key(AEFF, LO_THRES=0.05, HI_THRES=50.0),
        both(point_like(AEFF, EDISP), drop(PSF), key(AEFF, RAD_MAX=0.1)),
        both(point_like(AEFF, EDISP), drop(PSF), rad_max),
    ],
)
def test_what_is_no_fault(spoiled, harmless):
    assert dl3.check(spoiled(harmless)).findings == ()
