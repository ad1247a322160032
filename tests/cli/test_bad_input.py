"""Each bad input ends in a typed error with its remedy and exit code, and changes nothing."""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from ctao_sat.cli import main

RUN = ("run", "crab.yaml", "-o", "result")
EVENTS = Path("dl3/obs_000001.fits")
HDU_INDEX = Path("dl3/hdu-index.fits.gz")
OBS_INDEX = Path("dl3/obs-index.fits.gz")

USAGE, DATA, OUTPUT = 2, 3, 1


@dataclass(frozen=True)
class Case:
    """One bad input: how to make it, what to call, and what the user shall read."""

    name: str
    spoil: Callable[[], None]
    code: int
    says: tuple[str, ...]
    remedy: str
    arguments: tuple[str, ...] = RUN


# How to spoil an input. All paths are relative to the folder of the test.


def nothing():
    pass


def truncate(path, part=0.5):
    def spoil():
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * part)])

    return spoil


def write(path, content=b""):
    def spoil():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)

    return spoil


def remove(path):
    return lambda: path.unlink()


def config(old, new):
    def spoil():
        path = Path("crab.yaml")
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")

    return spoil


def hdus(change):
    """Change the list of HDUs of the first observation."""

    def spoil():
        with fits.open(EVENTS, memmap=False) as content:
            copy = fits.HDUList([hdu.copy() for hdu in content])
        change(copy)
        copy.writeto(EVENTS, overwrite=True)

    return spoil


def drop_hdu(name):
    return hdus(lambda content: content.pop(content.index_of(name)))


def drop_key(name, key):
    return hdus(lambda content: content[name].header.remove(key))


def set_key(name, key, value):
    return hdus(lambda content: content[name].header.set(key, value))


def not_a_number(name, column):
    def change(content):
        content[name].data[column].flat[:3] = np.nan

    return hdus(change)


def rename_column(name, old, new):
    def change(content):
        content[name].columns.change_name(old, new)

    return hdus(change)


def set_unit(name, column, unit):
    def change(content):
        content[name].columns.change_unit(column, unit)

    return hdus(change)


def keep_rows(name, selection):
    def change(content):
        content[name].data = content[name].data[selection]

    return hdus(change)


def zero_length(content):
    content["GTI"].data["STOP"] = content["GTI"].data["START"]


def backwards(content):
    content["GTI"].data["STOP"] = content["GTI"].data["START"] - 10


def index(path, change):
    def spoil():
        table = Table.read(path)
        table.meta.pop("EXTNAME", None)
        table = change(table)
        hdu = fits.BinTableHDU(table, name="INDEX")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)

    return spoil


def without_row(hdu_type):
    return index(HDU_INDEX, lambda table: table[np.char.strip(table["HDU_TYPE"]) != hdu_type])


def without_column(path, name):
    def change(table):
        table.remove_column(name)
        return table

    return index(path, change)


def without_index_key(key):
    def change(table):
        del table.meta[key]
        return table

    return index(OBS_INDEX, change)


def both(one, two):
    return lambda: (one(), two())


def exclusion(text):
    return config("on_region:", f"background: {{exclusion: {{{text}}}}}\non_region:")


def copy_events(**keys):
    """Add a copy of the first observation with other keys in its primary header."""

    def spoil():
        with fits.open(EVENTS, memmap=False) as content:
            content[0].header.update(keys)
            content.writeto(EVENTS.with_name("copy.fits"))

    return spoil


def responses(*names):
    """Take the responses out of the observations, and put them into files of these names."""

    def spoil():
        for path in sorted(EVENTS.parent.glob("obs_*.fits")):
            with fits.open(path, memmap=False) as content:
                copy = fits.HDUList([hdu.copy() for hdu in content])
            for name in names:
                irfs = fits.HDUList([copy[0], *copy[3:]])
                irfs.writeto(EVENTS.with_name(name), overwrite=True)
            copy[:3].writeto(path, overwrite=True)

    return spoil


def stamp(**keys):
    """Put keys into the primary headers of both observations."""

    def spoil():
        for path in sorted(EVENTS.parent.glob("obs_*.fits")):
            with fits.open(path, mode="update", memmap=False) as content:
                content[0].header.update(keys)

    return spoil


def event_types(*names):
    return config(DATA_PATH, f"{DATA_PATH}  event_types: [{', '.join(names)}]\n")


def without_index(*changes):
    """Make changes, and take the index tables away."""

    def spoil():
        for change in changes:
            change()
        HDU_INDEX.unlink()
        OBS_INDEX.unlink()

    return spoil


def second_events(table):
    """Add a row with another event list of the first observation."""
    row = dict(table[list(np.char.strip(table["HDU_TYPE"])).index("events")])
    table.add_row({**row, "FILE_NAME": "copy.fits"})
    return table


REFERENCE = config("light_curve: null", "reference_model: truth.yaml")
TARGET = "position: 83.633 deg, 22.014 deg"
DATA_PATH = "  path: dl3\n"
MODEL = "type: PowerLawSpectralModel"
RADIUS = "radius: 0.11 deg"
EXCLUDE = "exclude the run with `data.exclude_ids: [1]`"

# fmt: off
CASES = [
    # Files
    Case("events truncated", truncate(EVENTS), DATA,
        ("observation 1", "truncated", "obs_000001.fits"), "copy it again"),
    Case("events cut within the events", truncate(EVENTS, 0.01), DATA, ("obs_000001.fits",),
        "copy it again"),
    Case("events empty", write(EVENTS), DATA, ("observation 1", "obs_000001.fits", "Empty"),
        "copy it again"),
    Case("events no FITS", write(EVENTS, b"I am a text.\n" * 500), DATA,
        ("observation 1", "obs_000001.fits"), "copy it again"),
    Case("events not there", remove(EVENTS), DATA,
        ("observation 1", "is not there", "obs_000001.fits"), "Restore it"),
    Case("hdu-index truncated", truncate(HDU_INDEX), DATA, ("hdu-index.fits.gz", "cannot be read"),
        "make it again"),
    Case("obs-index truncated", truncate(OBS_INDEX), DATA, ("obs-index.fits.gz", "cannot be read"),
        "make it again"),
    Case("obs-index empty", write(OBS_INDEX), DATA, ("obs-index.fits.gz", "cannot be read"),
        "make it again"),
    Case("obs-index no FITS", write(OBS_INDEX, gzip.compress(b"a,b\n1,2\n")), DATA,
        ("obs-index.fits.gz",), "make it again"),
    Case("obs-index not there", remove(OBS_INDEX), DATA, ("obs-index.fits.gz",),
        "Point to the folder"),
    Case("obs-index without rows", index(OBS_INDEX, lambda t: t[:0]), DATA, ("no observation",),
        "Make them again"),
    Case("obs-index without pointing", without_column(OBS_INDEX, "RA_PNT"), DATA,
        ("obs-index", "RA_PNT"), "It has: "),
    Case("hdu-index without type", without_column(HDU_INDEX, "HDU_TYPE"), DATA,
        ("hdu-index", "HDU_TYPE"), "It has: "),
    Case("data folder not there", config(DATA_PATH, "  path: dl4\n"), DATA,
        ("no data folder", "dl4"), "Check"),
    Case("data folder is a file", config(DATA_PATH, "  path: crab.yaml\n"), DATA,
        ("crab.yaml", "cannot be read"), "copy it again"),
    # Without index tables
    Case("two sets of responses", without_index(responses("a.fits", "b.fits")), DATA,
        ("Observation 1", "2 candidates for 'aeff'", "a.fits[EFFECTIVE AREA]", "b.fits"),
        "Name the files that belong together"),
    Case("events twice", without_index(copy_events()), DATA,
        ("Observation 1 has 2 event lists", "copy.fits[EVENTS]", "obs_000001.fits[EVENTS]"),
        "EVTYPE"),
    Case("two event types", without_index(copy_events(EVTYPE="b"), stamp(EVTYPE="a")), DATA,
        ("Observation 1 has several event types", "'a', 'b'"), "`data.event_types: all`"),
    Case("event types and none", without_index(copy_events(EVTYPE="b")), DATA,
        ("with and without an event type", "copy.fits[EVENTS]"), "EVTYPE"),
    Case("event type unknown", without_index(stamp(EVTYPE="hires"), event_types("hire")), DATA,
        ("no event type 'hire'",), "Did you mean 'hires'?"),
    Case("event type of index tables that know none", event_types("hires"), DATA,
        ("no event type 'hires'",), "data.index: headers"),
    Case("event type twice the same events",
        without_index(copy_events(EVTYPE="b"), stamp(EVTYPE="a"), event_types("a", "b")), DATA,
        ("events of observation 1 are of both event types 'a' and 'b'",), "share no events"),
    Case("index tables with two event lists", index(HDU_INDEX, second_events), DATA,
        ("2 tables 'events' for observation 1", "obs_000001.fits", "copy.fits"), "data.index"),
    Case("no event list", without_index(drop_hdu("EVENTS"), remove(Path("dl3/obs_000002.fits"))),
        DATA, ("None of 1 FITS files has an event list",), "HDUCLAS1"),
    Case("events without OBS_ID", without_index(drop_key("EVENTS", "OBS_ID")), DATA,
        ("no OBS_ID", "obs_000001.fits[EVENTS]"), "put it into its header"),
    Case("events without a start", without_index(drop_key("EVENTS", "TSTART")), DATA,
        ("TSTART of observation 1 is absent",), "put it into the header"),
    Case("one damaged file among others", without_index(truncate(EVENTS)), DATA,
        ("'obs_000001.fits' cannot be read",), "leave it out"),
    Case("HDU without name", without_index(drop_key("GTI", "EXTNAME")), DATA,
        ("gti table has no EXTNAME", "obs_000001.fits[2]"), "name of your choice"),
    Case("data index of nothing", nothing, DATA, ("no file or folder 'dl5'",), "Check",
        ("data", "index", "dl5")),
    Case("data index without FITS files", write(Path("empty/README")), DATA, ("no FITS file",),
        ".fits.gz", ("data", "index", "empty")),
    Case("data index over index tables", nothing, OUTPUT, ("hdu-index.fits.gz' is there already",),
        "--overwrite", ("data", "index", "dl3")),
    # HDUs
    *(Case(f"{kind} without row in the index", without_row(kind), DATA,
        (f"Observation 1 has no {kind}",), EXCLUDE)
        for kind in ("events", "gti", "aeff", "edisp")),
    *(Case(f"{name} not in the file", drop_hdu(name), DATA, (f"no HDU '{name}'", "obs_000001.fits"),
        "exclude the run")
        for name in ("EVENTS", "GTI", "EFFECTIVE AREA", "ENERGY DISPERSION")),
    Case("psf not in the file", drop_hdu("POINT SPREAD FUNCTION"), DATA, ("POINT SPREAD FUNCTION",),
        "containment_correction"),
    Case("psf without row in the index", without_row("psf"), DATA, ("psf",),
        "containment_correction"),
    Case("rad_max missing", config(RADIUS, "method: rad_max"), DATA,
        ("Observation 1 has no rad_max",), "on_region"),
    # Columns, units, header keys
    Case("column ENERGY missing", rename_column("EVENTS", "ENERGY", "ENERGIE"), DATA,
        ("observation 1", "no column ENERGY"), "It has: EVENT_ID"),
    Case("unit of ENERGY wrong", set_unit("EVENTS", "ENERGY", "deg"), DATA,
        ("column ENERGY", "unit 'deg'"), "kind of 'TeV'"),
    Case("unit of ENERGY missing", set_unit("EVENTS", "ENERGY", ""), DATA,
        ("column ENERGY", "no unit"), "kind of 'TeV'"),
    Case("unit of ENERGY unknown", set_unit("EVENTS", "ENERGY", "TeVolt"), DATA,
        ("column ENERGY", "TeVolt"), "kind of 'TeV'"),
    Case("column of GTI missing", rename_column("GTI", "START", "BEGIN"), DATA,
        ("gti of observation 1", "START"), "exclude the run"),
    Case("column of AEFF missing", rename_column("EFFECTIVE AREA", "EFFAREA", "AREA"), DATA,
        ("aeff of observation 1", "EFFAREA"), "exclude the run"),
    *(Case(f"{key} missing", drop_key("EVENTS", key), DATA, ("observation 1", key, "[EVENTS]"),
        "GADF requires") for key in ("MJDREFI", "LIVETIME")),
    Case("MJDREFI of GTI missing", drop_key("GTI", "MJDREFI"), DATA,
        ("gti of observation 1", "MJDREFI"), "exclude the run"),
    Case("MJDREFI of index missing", without_index_key("MJDREFI"), DATA, ("obs-index", "MJDREFI"),
        "header", ("info", "dl3")),
    Case("LIVETIME is a text", set_key("EVENTS", "LIVETIME", "long"), DATA, ("LIVETIME", "'long'"),
        "Correct it"),
    # Values
    Case("AEFF not finite", not_a_number("EFFECTIVE AREA", "EFFAREA"), DATA,
        ("aeff of observation 1", "3 values"), "exclude the run"),
    Case("EDISP not finite", not_a_number("ENERGY DISPERSION", "MATRIX"), DATA,
        ("edisp of observation 1", "3 values"), "exclude the run"),
    Case("energies not finite", not_a_number("EVENTS", "ENERGY"), DATA,
        ("events of observation 1", "3 values"), "Remove these events"),
    Case("GTI empty", keep_rows("GTI", slice(0)), DATA,
        ("good time intervals of observation 1", "empty"), "exclude the run"),
    Case("GTI of no length", hdus(zero_length), DATA,
        ("good time intervals of observation 1", "empty"), "exclude the run"),
    Case("GTI backwards", hdus(backwards), DATA, ("good time intervals of observation 1",),
        "exclude the run"),
    # Selection
    Case("observation unknown", config(DATA_PATH, DATA_PATH + "  ids: [1, 7]\n"), DATA,
        ("no observation 7",), "'1', '2'"),
    Case("observation named twice", config(DATA_PATH, DATA_PATH + "  ids: [1, 1]\n"), DATA,
        ("Observation 1 is selected twice",), "once"),
    Case("cone empty", config(DATA_PATH, DATA_PATH + "  cone: 0.1 deg\n"), DATA,
        ("No observation passes", "0.1 deg"), "Widen"),
    Case("time empty", config(DATA_PATH, DATA_PATH + "  time: [[2025-01-01, 2025-02-01]]\n"), DATA,
        ("No observation passes", "'time'"), "Widen"),
    Case("zenith empty", config(DATA_PATH, DATA_PATH + "  zenith_min: 50 deg\n"), DATA,
        ("No observation passes", "zenith"), "Widen"),
    Case("livetime empty", config(DATA_PATH, DATA_PATH + "  livetime_min: 1 h\n"), DATA,
        ("No observation passes", "livetime"), "Widen"),
    Case("all excluded", config(DATA_PATH, DATA_PATH + "  exclude_ids: [1, 2]\n"), DATA,
        ("No observation passes", "exclude_ids"), "Widen"),
    Case("no off region", config(RADIUS, "radius: 0.6 deg"), DATA, ("off region",), "on region"),
    Case("fit range outside", config("fit:\n", "fit:\n  energy_min: 30 TeV\n"), DATA,
        ("fit range",), "fit.energy_min"),
    # The configuration
    Case("configuration not there", nothing, USAGE, ("vela.yaml",), "ctao-sat init --source",
        ("run", "vela.yaml")),
    Case("configuration is a folder", nothing, USAGE, ("dl3",), "Give a YAML file", ("run", "dl3")),
    Case("configuration binary", write("crab.yaml", b"\x00\xff\xfe"), USAGE, ("crab.yaml",),
        "Give a YAML file"),
    Case("configuration empty", write("crab.yaml"), USAGE, ("crab.yaml", "no configuration"),
        "ctao-sat init --source"),
    Case("configuration a list", write("crab.yaml", b"- 1\n- 2\n"), USAGE,
        ("crab.yaml", "no configuration"), "ctao-sat init --source"),
    Case("YAML syntax", config("target:", "target"), USAGE, ("no valid YAML", "line 8"),
        "Check indentation"),
    Case("YAML tab", config("  radius", "\tradius"), USAGE, ("no valid YAML", "line 12"),
        "Check indentation"),
    Case("YAML key is a list", config("target:", "[a, b]: 1\ntarget:"), USAGE,
        ("no valid YAML", "line 7"), "Check indentation"),
    Case("key twice", config(RADIUS, "radius: 0.11 deg\n  radius: 0.2 deg"), USAGE,
        ("'radius' stands twice", "line 13"), "Check"),
    Case("key misspelt", config("radius:", "radios:"), USAGE,
        ("unknown key 'on_region.radios'", "line 12"), "Did you mean 'radius'?"),
    Case("section misspelt", config("flux_points:", "flux_point:"), USAGE,
        ("unknown key 'flux_point'", "line 26"), "Did you mean 'flux_points'?"),
    Case("key missing", config("  " + TARGET + "\n", ""), USAGE,
        ("'target.position' is missing", "line 7"), "Add"),
    Case("value without unit", config(RADIUS, "radius: 0.11"), USAGE,
        ("0.11 has no unit", "line 12"), "'0.5 deg'"),
    Case("unit of another kind", config(RADIUS, "radius: 0.11 TeV"), USAGE,
        ("on_region.radius", "TeV"), "'0.5 deg'"),
    Case("unit unknown", config(RADIUS, "radius: 0.11 degs"), USAGE, ("on_region.radius", "degs"),
        "'0.5 deg'"),
    Case("radius negative", config(RADIUS, "radius: -1 deg"), USAGE, ("on_region", "radius"),
        "above 0"),
    Case("position without units", config(TARGET, "position: 83.633, 22.014"), USAGE,
        ("target.position", "line 9"), "write it like"),
    Case("position off the sphere", config(TARGET, "position: 83.633 deg, 122.014 deg"), USAGE,
        ("target.position",), "write it like"),
    Case("position not finite", config(TARGET, "position: nan deg, 22.014 deg"), USAGE,
        ("target.position",), "write it like"),
    Case("frame unknown", config(TARGET, TARGET + ", galactik"), USAGE,
        ("unknown frame 'galactik'",), "Did you mean 'galactic'?"),
    Case("energy reversed",
        config("energy: {min: 0.5 TeV, max: 20 TeV, per_decade: 5}",
            "energy: {min: 20 TeV, max: 0.5 TeV, per_decade: 5}"),
        USAGE, ("reduction.energy", "line 15"), "min must be above zero and below max"),
    Case("fit range reversed", config("fit:\n", "fit:\n  energy_min: 3 TeV\n  energy_max: 1 TeV\n"),
        USAGE, ("fit.energy_min",), "below fit.energy_max"),
    Case("number is a text", config("per_decade: 1}", "per_decade: ten}"), USAGE,
        ("flux_points.energy.per_decade", "line 27"), "integer"),
    Case("time backwards", config(DATA_PATH, DATA_PATH + "  time: [[2025-02-01, 2025-01-01]]\n"),
        USAGE, ("data.time", "line 6"), "does not end after"),
    Case("time is no time", config(DATA_PATH, DATA_PATH + "  time: [[yesterday, today]]\n"), USAGE,
        ("yesterday", "line 6"), "write it like"),
    Case("schema version", config("schema_version: 1", "schema_version: 2"), USAGE,
        ("schema_version is 2", "line 2"), "ctao-sat init"),
    Case("recipe unknown", config("recipe: spectrum-1d", "recipe: spectrum-1D-on"), USAGE,
        ("no recipe 'spectrum-1D-on'",), "Did you mean 'spectrum-1d'?"),
    Case("recipe missing", config("recipe: spectrum-1d\n", ""), USAGE, ("names no recipe",),
        "recipe: spectrum-1d"),
    Case("recipe a list", config("recipe: spectrum-1d", "recipe: [spectrum-1d]"), USAGE,
        ("no recipe",), "spectrum-1d"),
    Case("model unknown", config(MODEL, "type: PowerLaw"), USAGE,
        ("no spectral model 'PowerLaw'", "line 19"), "Did you mean 'PowerLawSpectralModel'?"),
    Case("parameter unknown", config("name: index", "name: gamma"), USAGE,
        ("no parameter 'gamma'",), "'index'"),
    Case("unit of a parameter wrong", config("unit: cm-2 s-1 TeV-1", "unit: deg"), USAGE,
        ("fit.model", "deg"), "equivalent to"),
    Case("unit of a parameter unknown", config("unit: cm-2 s-1 TeV-1", "unit: crabs"), USAGE,
        ("fit.model", "crabs"), "unit"),
    Case("variable not set", config(DATA_PATH, "  path: $GAMMAPY_DATA/hess-dl3-dr1\n"), DATA,
        ("GAMMAPY_DATA", "not set"), "export GAMMAPY_DATA="),
    # Other files
    Case("exclusion not there",
        exclusion("file: mask.fits"), DATA,
        ("no exclusion file", "mask.fits"), "Check"),
    Case("exclusion garbage",
        both(write("mask.reg", b"\x80garbage"), exclusion("file: mask.reg")),
        DATA, ("mask.reg",), "DS9 region file"),
    Case("exclusion truncated",
        both(lambda: write("mask.fits", EVENTS.read_bytes()[:4000])(),
            exclusion("file: mask.fits")),
        DATA, ("mask.fits",), "DS9 region file"),
    Case("catalogue unknown",
        exclusion("catalogs: [gamma-kat]"), USAGE,
        ("no source catalogue 'gamma-kat'",), "Did you mean 'gamma-cat'?"),
    Case("catalogue without data",
        exclusion("catalogs: [gamma-cat]"), DATA,
        ("GAMMAPY_DATA is not set",), "gammapy download"),
    Case("reference not there", REFERENCE, DATA,
        ("no model file", "truth.yaml"), "Check"),
    Case("reference garbage",
        both(write("truth.yaml", b"- nonsense\n"), REFERENCE),
        USAGE, ("truth.yaml", "no Gammapy model file"), "Models.write"),
    Case("reference empty",
        both(write("truth.yaml"), REFERENCE),
        USAGE, ("truth.yaml",), "Models.write"),
    # Where to write
    Case("output in a file", write("result", b"mine"), OUTPUT, ("result' is a file",), "--out"),
    Case("output below a file", nothing, OUTPUT, ("crab.yaml",), "--out",
        ("run", "crab.yaml", "-o", "crab.yaml/result")),
    Case("output cannot be written", nothing, OUTPUT, ("/proc",), "--out",
        ("run", "crab.yaml", "-o", "/proc/result")),
    Case("output name too long", nothing, OUTPUT, ("too long",), "--out",
        ("run", "crab.yaml", "-o", "x" * 300)),
    Case("output there", write("result/provenance.json", b"{}"), OUTPUT,
        ("result' is there already",), "--overwrite"),
    Case("output of others", write("result/thesis.tex", b"mine"), OUTPUT,
        ("other things than a run",), "--out", (*RUN, "--overwrite")),
    Case("init over a file", nothing, OUTPUT, ("crab.yaml' is there already",), "--overwrite",
        ("init", "--source", "x", "--position", "1 deg, 2 deg", "-o", "crab.yaml")),
    Case("init over a folder", nothing, OUTPUT, ("dl3",), "another",
        ("init", "--source", "x", "--position", "1 deg, 2 deg", "-o", "dl3", "--overwrite")),
    Case("init below a file", nothing, OUTPUT, ("crab.yaml/new.yaml",), "another place",
        ("init", "--source", "x", "--position", "1 deg, 2 deg", "-o", "crab.yaml/new.yaml")),
    Case("init without data", nothing, DATA, ("GAMMAPY_DATA is not set",), "GAMMAPY_DATA",
        ("init", "--source", "Crab", "-o", "new.yaml")),
    Case("init of an unknown recipe", nothing, USAGE, ("no recipe 'spectrum'",),
        "Did you mean 'spectrum-1d'?",
        ("init", "--recipe", "spectrum", "--source", "x", "-o", "new.yaml")),
    Case("init with a bad position", nothing, USAGE, ("target.position",), "write it like",
        ("init", "--source", "x", "--position", "here", "-o", "new.yaml")),
    Case("init with a bad name", nothing, USAGE, ("target.name", "a\\nb"), "not allowed",
        ("init", "--source", "a\nb", "--position", "1 deg, 2 deg", "-o", "new.yaml")),
    Case("demo over a file", nothing, OUTPUT, ("crab.yaml",), "--out", ("demo", "-o", "crab.yaml")),
    Case("demo over other things", nothing, OUTPUT, ("dl3",), "--out", ("demo", "-o", "dl3")),
    Case("info of nothing", nothing, DATA, ("no data folder", "dl5"), "Check", ("info", "dl5")),
    Case("info of a damaged run", write("old/provenance.json", b"{"), DATA, ("old", "damaged"), "",
        ("info", "old")),
    # The command line
    Case("command unknown", nothing, USAGE, ("'rum'",), "Try 'ctao-sat --help'",
        ("rum", "crab.yaml")),
    Case("option unknown", nothing, USAGE, ("--dryrun",), "--dry-run",
        ("run", "crab.yaml", "--dryrun")),
    Case("argument missing", nothing, USAGE, ("CONFIG",), "Try 'ctao-sat run --help'", ("run",)),
    Case("no jobs", nothing, USAGE, ("number of jobs is 0",), "-1", (*RUN, "-j", "0")),
    Case("backend unknown", nothing, USAGE, ("'cluster'",), "dask", (*RUN, "--backend", "cluster")),
    # Simulation
    Case("simulate nothing", nothing, USAGE, ("neither a target nor a model",), "--target",
        ("simulate", "-o", "sim")),
    Case("simulate for no time", nothing, USAGE, ("livetime",), "",
        ("simulate", "--target", "1 deg, 2 deg", "--livetime", "30", "-o", "sim")),
    Case("simulate with unknown responses", nothing, DATA, ("demo-nort",), "demo-north",
        ("simulate", "--target", "1 deg, 2 deg", "--irfs", "demo-nort", "-o", "sim")),
    Case("simulate unknown models", nothing, DATA, ("no model file",), "Check",
        ("simulate", "--models", "sky.yaml", "-o", "sim")),
    Case("simulate in an unknown dialect", nothing, USAGE, ("'vodf'",), "ctao-gadf",
        ("simulate", "--target", "1 deg, 2 deg", "--dialect", "vodf", "-o", "sim")),
    Case("simulate for CTAO without a contact", nothing, DATA, ("contact.name",), "--metadata",
        ("simulate", "--target", "1 deg, 2 deg", "--dialect", "ctao-gadf", "-o", "sim")),
    Case("simulate with misspelt metadata", write("product.yaml", b"contact: {mail: a@b.org}\n"),
        USAGE, ("contact.mail",), "Did you mean 'email'",
        ("simulate", "--target", "1 deg, 2 deg", "--dialect", "ctao-gadf",
         "--metadata", "product.yaml", "-o", "sim")),
    Case("simulate with metadata that have no place", write("product.yaml", b"contact: {}\n"),
        USAGE, ("no place for product metadata",), "ctao-gadf",
        ("simulate", "--target", "1 deg, 2 deg", "--metadata", "product.yaml", "-o", "sim")),
    Case("simulate over other things", nothing, OUTPUT,
        ("other things than a simulation", "crab.yaml"), "--out",
        ("simulate", "--target", "1 deg, 2 deg", "-o", ".", "--overwrite")),
]
# fmt: on


def content(folder: Path) -> dict[str, str]:
    """Return the checksum of each file, and the name of each folder."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(case, work, capsys):
    case.spoil()
    before = content(work)
    code = main(list(case.arguments))
    output = capsys.readouterr()
    message = " ".join(output.err.split())
    assert "Traceback" not in message
    assert "not an error we foresaw" not in message
    assert code == case.code
    for text in (*case.says, case.remedy):
        assert text in message
    assert output.out == ""
    assert content(work) == before
