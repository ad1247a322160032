"""All checks, in one table."""

from ctao_sat.dl3._checks import (
    _events,
    _folder,
    _matching,
    _place,
    _responses,
    _schema,
    _structure,
    _times,
)
from ctao_sat.dl3._checks._model import Check

__all__ = ["FILE_CHECKS", "FOLDER_CHECKS", "READABLE", "SCHEMA"]

_RESPONSES = ("aeff", "edisp", "psf", "bkg", "rad_max")
_ANY = ("events", "gti", *_RESPONSES)

# fmt: off
READABLE = Check(
    "readable", "the file can be read to its end", "error",
    "Copy or make it again, or leave it out.", (), _structure.readable,
)
SCHEMA = Check(
    "ctao-gadf", "CTAO's own schema, through `ctao-datamodel`", "error",
    "Write the file with dl3.write(…, dialect='ctao-gadf').", (), _schema.schema,
)
FILE_CHECKS = (
    READABLE,
    Check(
        "hdu-class", "HDUCLAS1 to HDUCLAS4 name a class that Gammapy reads", "warning",
        "Set HDUCLAS1 to HDUCLAS4 as GADF says.", _ANY, _structure.hdu_class,
    ),
    Check(
        "columns", "all columns of the class are there, and hold numbers", "error",
        "Add the columns as GADF says.", _ANY, _structure.columns,
    ),
    Check(
        "units", "columns have units of the kind of GADF's", "error",
        "Set the units (TUNITn) to those of GADF.", _ANY, _structure.units,
    ),
    Check(
        "axes", "bins ascend without gaps, and the data have their shape", "error",
        "Write the response again, with bins that follow each other.", _RESPONSES, _structure.axes,
    ),
    Check(
        "finite", "no value is NaN or infinite", "error",
        "Remove these events, or take other responses.", _ANY, _structure.finite,
    ),
    Check(
        "negative", "energies are positive, responses not negative", "error",
        "Remove these events, or set the values to 0.", ("events", *_RESPONSES),
        _structure.negative,
    ),
    Check(
        "nonzero", "responses are not zero everywhere", "error",
        "Take other responses: nothing can be computed with these.", _RESPONSES,
        _structure.nonzero,
    ),
    Check(
        "event-id", "every event is there once", "error",
        "Remove the copies.", ("events",), _events.event_ids,
    ),
    Check(
        "event-order", "events are in the order of their times", "info",
        "Nothing to do here; sort them before you use software that expects it.", ("events",),
        _events.event_order,
    ),
    Check(
        "event-gti", "events are within the good time intervals", "warning",
        "Select with `events.select_time`; their time does not count as observed.",
        ("events", "gti"), _events.event_gti,
    ),
    Check(
        "directions", "RA and DEC, of events and pointing, are angles in degrees", "error",
        "Correct them, in degrees.", ("events",), _events.directions,
    ),
    Check(
        "phase", "a column PHASE holds phases between 0 and 1", "warning",
        "Compute the phases from an ephemeris, or drop the column.", ("events",), _events.phase,
    ),
    Check(
        "time-reference", "MJDREFI, MJDREFF, TIMESYS, TIMEUNIT are there, and right", "error",
        "Correct the headers of EVENTS and GTI.", ("events", "gti"), _times.time_reference,
    ),
    Check(
        "dates", "DATE-OBS and TIME-OBS agree with TSTART, to 2 s", "warning",
        "Find out which is right: a wrong MJDREFI or MJDREFF moves all times.", ("events",),
        _times.dates,
    ),
    Check(
        "gti-order", "good time intervals go forwards, in order, disjoint", "error",
        "Unite them: `gti.union()`.", ("gti",), _times.gti_order,
    ),
    Check(
        "gti-span", "good time intervals are within TSTART and TSTOP", "warning",
        "Gammapy goes by the intervals; correct TSTART and TSTOP.", ("events", "gti"),
        _times.gti_span,
    ),
    Check(
        "deadc", "DEADC is LIVETIME / ONTIME", "error",
        "Correct the header: fluxes are as wrong as DEADC.", ("events",), _times.deadc,
    ),
    Check(
        "livetime", "ONTIME is the sum of the good time intervals", "error",
        "Find out which is right; Gammapy takes the intervals and DEADC.", ("events", "gti"),
        _times.livetime,
    ),
    Check(
        "site", "GEOLON, GEOLAT, ALTITUDE are those of the telescope", "error",
        "Correct the header: horizontal coordinates and barycentric times come from it.",
        ("events",), _place.site,
    ),
    Check(
        "altaz", "ALT_PNT and AZ_PNT agree with RA_PNT and DEC_PNT", "warning",
        "Do not select by zenith angle; compute it from RA_PNT, DEC_PNT and the true site.",
        ("events",), _place.altaz,
    ),
    Check(
        "instrument", "TELESCOP and INSTRUME are the same in all HDUs", "warning",
        "Find out which is right, by the name of the file for example.", (), _place.instrument,
    ),
    Check(
        "psf-norm", "the PSF integrates to 1 or is 0, to 1 %", "error",
        "Normalise it: Gammapy corrects 1D spectra by its containment as it is.", ("psf",),
        _responses.psf_norm,
    ),
    Check(
        "edisp-norm", "the energy dispersion sums to 1 or is 0, to 1 %", "warning",
        "Gammapy normalises it by itself. Before you use other software, divide by the sum.",
        ("edisp",), _responses.edisp_norm,
    ),
    Check(
        "thresholds", "LO_THRES is below HI_THRES, both within the table", "error",
        "Correct the keys: safe energy ranges are taken from them.",
        ("aeff", "edisp", "psf", "bkg"), _responses.thresholds,
    ),
    Check(
        "containment", "all responses are full-enclosure, or point-like with RAD_MAX", "error",
        "Take the set of responses of one kind, and drop the others.", _RESPONSES,
        _responses.containment,
    ),
    Check(
        "fov-alignment", "FOVALIGN of a 3D background is RADEC or ALTAZ", "warning",
        "Set FOVALIGN to what the background was made with.", ("bkg",),
        _responses.fov_alignment,
    ),
)
FOLDER_CHECKS = (
    Check(
        "responses", "each event list has GTIs, aeff, edisp, psf or RAD_MAX, bkg", "error",
        "Add what is missing.", ("events",), _folder.responses,
    ),
    Check(
        "event-field", "events are within the field of view of the responses", "warning",
        "Limit the analysis to the field (`SafeMaskMaker` with offset-max).",
        ("events",), _folder.event_field,
    ),
    Check(
        "event-energy", "most events are within the energies of the responses", "warning",
        "Find out the unit of ENERGY, and whether these are the responses of the events.",
        ("events",), _matching.event_energy,
    ),
    Check(
        "observation-id", "each event list has an OBS_ID", "error",
        "Give it an OBS_ID of its own.", ("events",), _folder.observation_ids,
    ),
    Check(
        "matching", "it can be told which tables belong to each event list", "error",
        "Check each set of files by itself, or remove the copies.", ("events",),
        _matching.matching,
    ),
    Check(
        "index-readable", "the index tables of the folder can be used", "error",
        "Make the index again: `ctao-sat data index --overwrite`.", ("hdu-index", "obs-index"),
        _matching.index_readable,
    ),
    Check(
        "index-targets", "the hdu-index names files and HDUs that are there", "error",
        "Restore them, or make the index again: `ctao-sat data index --overwrite`.",
        ("hdu-index",), _folder.index_targets,
    ),
    Check(
        "index-complete", "event lists and responses are in the hdu-index", "warning",
        "Make the index again: `ctao-sat data index --overwrite`.", ("hdu-index",),
        _folder.index_complete,
    ),
    Check(
        "index-header", "the obs-index has MJDREFI and MJDREFF", "warning",
        "Without them observations cannot be selected by time; make the index again.",
        ("obs-index",), _folder.index_header,
    ),
    Check(
        "index-values", "pointing and times in the obs-index are those of the events", "warning",
        "Make the index again: `ctao-sat data index --overwrite`.", ("obs-index",),
        _folder.index_values,
    ),
)
# fmt: on
