"""Which tables belong to which event list."""

import logging
from pathlib import Path

import pytest
from astropy.io import fits

from ctao_sat.dl3._headers import HDUInfo
from ctao_sat.dl3._match import match_hdus
from ctao_sat.errors import AmbiguousDataError, MissingColumnError, MissingHDUError

CLASSES = {
    "events": "events",
    "gti": "gti",
    "aeff": "aeff_2d",
    "edisp": "edisp_2d",
    "psf": "psf_table",
    "bkg": "bkg_2d",
}


def file(path, *tables, **primary):
    """Return the HDUs of a file; a table is its kind, or a dict with a kind."""
    path = Path("/data") / path
    hdus = [HDUInfo(path, 0, "", "", "", fits.Header(primary), {}, None, "", False)]
    for index, table in enumerate(tables, start=1):
        keys = {"kind": table} if isinstance(table, str) else dict(table)
        kind = keys.pop("kind")
        name = keys.pop("EXTNAME", kind.upper())
        hdu_class = keys.pop("hdu_class", CLASSES.get(kind, ""))
        header = fits.Header({**primary, **keys})
        hdus.append(
            HDUInfo(
                path=path,
                index=index,
                name=name,
                kind=kind,
                hdu_class=hdu_class,
                header=fits.Header(keys),
                columns={"X": ""},
                obs_id=header.get("OBS_ID"),
                event_type=header.get("EVTYPE", "") or header.get("EV_CLASS", ""),
                point_like=False,
            )
        )
    return hdus


def found(*files):
    """Return where the parts of each observation are."""
    return {
        (observation.obs_id, observation.event_type): {
            kind: f"{hdu.path.relative_to('/data')}[{hdu.name}]"
            for kind, hdu in observation.parts.items()
        }
        for observation in match_hdus(hdu for hdus in files for hdu in hdus)
    }


def test_parts_of_the_same_file():
    joint = [file(f"{i}.fits", {"kind": "events", "OBS_ID": i}, "gti", "aeff") for i in (2, 1)]
    assert found(*joint) == {
        (i, ""): {"gti": f"{i}.fits[GTI]", "aeff": f"{i}.fits[AEFF]"} for i in (1, 2)
    }


def test_one_set_of_responses_for_all():
    events = [file(f"{i}.fits", "events", "gti", OBS_ID=i) for i in (1, 2)]
    parts = found(*events, file("irfs.fits", "aeff", "psf"))
    assert [of["aeff"] for of in parts.values()] == ["irfs.fits[AEFF]"] * 2
    assert [of["psf"] for of in parts.values()] == ["irfs.fits[PSF]"] * 2


def test_responses_by_observation_then_for_all():
    events = [file(f"{i}.fits", "events", OBS_ID=i) for i in (1, 2, 3)]
    own = [file(f"irf{i}.fits", "aeff", OBS_ID=i) for i in (1, 2)]
    parts = found(*events, *own, file("common.fits", "aeff", "edisp"))
    assert [of["aeff"] for of in parts.values()] == [
        "irf1.fits[AEFF]",
        "irf2.fits[AEFF]",
        "common.fits[AEFF]",
    ]
    assert {of["edisp"] for of in parts.values()} == {"common.fits[EDISP]"}


def test_tables_of_a_file_share_the_observation_that_others_of_it_state():
    events = [file(f"{i}.fits", "events", OBS_ID=i) for i in (1, 2, 3)]
    own = [file(f"irf{i}.fits", {"kind": "aeff", "OBS_ID": i}, "edisp") for i in (1, 2)]
    parts = found(*events[:2], *own)
    assert [of["edisp"] for of in parts.values()] == ["irf1.fits[EDISP]", "irf2.fits[EDISP]"]
    with pytest.raises(AmbiguousDataError, match="Observation 3 has 2 candidates for 'edisp'"):
        found(*events, *own)
    # A table of its own observation is nearer, and one of no observation is for all.
    parts = found(*events[:2], own[0], file("more.fits", "edisp", OBS_ID=1))
    assert [of["edisp"] for of in parts.values()] == ["more.fits[EDISP]", "irf1.fits[EDISP]"]


def test_responses_by_event_type():
    events = [file(f"{t}{i}.fits", "events", OBS_ID=i, EVTYPE=t) for i in (1, 2) for t in "ab"]
    irfs = [file(f"irf-{t}.fits", "aeff", EVTYPE=t) for t in "ab"]
    assert {key: of["aeff"] for key, of in found(*events, *irfs).items()} == {
        (i, t): f"irf-{t}.fits[AEFF]" for i in (1, 2) for t in "ab"
    }


def test_event_types_in_one_file():
    hdus = file(
        "all.fits",
        *({"kind": "events", "EXTNAME": f"EVENTS_{t}", "EVTYPE": t} for t in "ab"),
        *({"kind": "aeff", "EXTNAME": f"AEFF_{t}", "EVTYPE": t} for t in "ab"),
        "gti",
        OBS_ID=1,
    )
    assert found(hdus) == {
        (1, t): {"gti": "all.fits[GTI]", "aeff": f"all.fits[AEFF_{t}]"} for t in "ab"
    }


def test_responses_in_the_folder_that_the_events_name():
    events = [
        file(f"{i}.fits", {"kind": "events", "OBS_ID": i, "IRF": irf})
        for i, irf in ((1, "N"), (2, "S"))
    ]
    irfs = [file(f"{name}/irf_file.fits", "aeff") for name in "NS"]
    assert [of["aeff"] for of in found(*events, *irfs).values()] == [
        "N/irf_file.fits[AEFF]",
        "S/irf_file.fits[AEFF]",
    ]


def test_good_times_of_other_observations_are_never_taken():
    parts = found(
        file("1.fits", "events", "gti", OBS_ID=1),
        file("2.fits", "events", OBS_ID=2),
        file("gti.fits", "gti"),
        file("3.fits", "events", OBS_ID=3),
        file("gti3.fits", "gti", OBS_ID=3),
    )
    assert parts == {
        (1, ""): {"gti": "1.fits[GTI]"},
        (2, ""): {},
        (3, ""): {"gti": "gti3.fits[GTI]"},
    }


def test_responses_in_the_file_of_another_observation_are_not_taken():
    joint = file("1.fits", {"kind": "events", "OBS_ID": 1}, "aeff")
    assert found(joint, file("2.fits", "events", OBS_ID=2))[2, ""] == {}


def test_an_event_class_is_an_event_type_unless_there_are_event_types():
    classes = [
        file(f"{c}.fits", {"kind": "events", "OBS_ID": 1, "EV_CLASS": c}) for c in ("std", "hard")
    ]
    assert set(found(*classes)) == {(1, "hard"), (1, "std")}
    typed = file("a.fits", {"kind": "events", "EV_CLASS": "std"}, OBS_ID=1, EVTYPE="a")
    irfs = file("irf.fits", {"kind": "aeff", "EV_CLASS": "hard"})
    assert found(typed, irfs) == {(1, "a"): {"aeff": "irf.fits[AEFF]"}}


@pytest.mark.parametrize(
    ("files", "listed"),
    [
        # Two sets for all.
        (
            [file("N/irf.fits", "aeff"), file("S/irf.fits", "aeff")],
            ["for 'aeff'", "N/irf.fits[AEFF]", "S/irf.fits[AEFF]"],
        ),
        # Two in a file.
        (
            [file("irf.fits", {"kind": "psf", "EXTNAME": "A"}, {"kind": "psf", "EXTNAME": "B"})],
            ["for 'psf'", "irf.fits[A], irf.fits[B]"],
        ),
        # One fits the observation, the other the event type.
        (
            [file("o.fits", "aeff", OBS_ID=1), file("t.fits", "aeff", EVTYPE="a")],
            ["event type 'a'", "o.fits[AEFF], t.fits[AEFF]"],
        ),
        # The same events twice.
        ([file("copy.fits", "events", OBS_ID=1, EVTYPE="a")], ["2 event lists of event type 'a'"]),
        # All events, and a type of them.
        (
            [file("all.fits", "events", OBS_ID=1)],
            ["with and without an event type", "all.fits[EVENTS]", "1.fits[EVENTS]"],
        ),
        # Two HDUs of the same name; Gammapy would take the first.
        (
            [file("irf.fits", {"kind": "aeff", "EXTNAME": "X"}, {"kind": "psf", "EXTNAME": "x"})],
            ["2 HDUs named 'X', numbers 1, 2"],
        ),
    ],
)
def test_ambiguous(files, listed):
    with pytest.raises(AmbiguousDataError) as caught:
        found(file("1.fits", "events", OBS_ID=1, EVTYPE="a"), *files)
    for text in listed:
        assert text in str(caught.value)
    assert caught.value.remedy
    assert caught.value.exit_code == 3


def test_many_candidates_are_counted():
    irfs = [file(f"{i:02d}.fits", "aeff") for i in range(30)]
    with pytest.raises(
        AmbiguousDataError, match=r"30 candidates .*09\.fits\[AEFF\] … \(30 in all\)"
    ):
        found(file("1.fits", "events", OBS_ID=1), *irfs)


def test_untyped_events_with_responses_of_two_types():
    irfs = [file(f"{t}.fits", "aeff", EVTYPE=t) for t in "ab"]
    with pytest.raises(AmbiguousDataError, match="2 candidates"):
        found(file("1.fits", "events", OBS_ID=1), *irfs)


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        # ctapipe
        (
            ["EFFECTIVE AREA", "EFFECTIVE AREA PROTONS", "EFFECTIVE AREA ELECTRONS"],
            "EFFECTIVE AREA",
        ),
        (["EFFECTIVE_AREA_PROTON", "EFFECTIVE_AREA_GAMMA"], "EFFECTIVE_AREA_GAMMA"),
        (["gammas", "protons", "other"], "gammas"),
        # A response to protons alone is none to gamma rays.
        (["EFFECTIVE AREA PROTONS"], None),
        # No word of these is a particle.
        (["PROTONIC"], "PROTONIC"),
        # The example of pyirf
        (["EFFECTIVE_AREA_NO_CUTS", "EFFECTIVE_AREA"], "EFFECTIVE_AREA"),
    ],
)
def test_gamma_rays_among_particles(names, taken, caplog):
    irfs = file("irf.fits", *({"kind": "aeff", "EXTNAME": name} for name in names))
    with caplog.at_level(logging.INFO):
        parts = found(file("1.fits", "events", OBS_ID=1), irfs)
    assert parts[1, ""].get("aeff") == (taken and f"irf.fits[{taken}]")
    for name in names:
        left = f"irf.fits[{name}] is " in caplog.text
        assert left == (name != taken and name != "other")


def test_particles_that_cannot_be_told_from_gamma_rays():
    irfs = file("irf.fits", *({"kind": "aeff", "EXTNAME": f"AEFF_{i}"} for i in (1, 2)))
    with pytest.raises(AmbiguousDataError, match="2 candidates for 'aeff'"):
        found(file("1.fits", "events", OBS_ID=1), irfs)


def test_background_of_one_particle_is_part_of_the_background():
    names = ["BACKGROUND PROTONS", "BACKGROUND ELECTRONS"]
    irfs = file("irf.fits", *({"kind": "bkg", "EXTNAME": name} for name in names))
    with pytest.raises(AmbiguousDataError, match="2 candidates for 'bkg'"):
        found(file("1.fits", "events", OBS_ID=1), irfs)


def test_class_that_gammapy_does_not_read(caplog):
    irfs = file("irf.fits", {"kind": "aeff", "hdu_class": "", "HDUCLAS4": "AEFF_3D"}, "psf")
    assert found(file("1.fits", "events", OBS_ID=1), irfs) == {(1, ""): {"psf": "irf.fits[PSF]"}}
    assert "irf.fits[AEFF] is left out: Gammapy reads no response with HDUCLAS4 = 'AEFF_3D'" in (
        caplog.text
    )


def test_what_an_index_cannot_do_without():
    with pytest.raises(MissingHDUError, match="None of 1 FITS files has an event list"):
        found(file("irf.fits", "aeff"))
    with pytest.raises(
        MissingColumnError, match=r"An event list has no OBS_ID\..*1\.fits\[EVENTS\]"
    ):
        found(file("1.fits", "events"))
    with pytest.raises(MissingColumnError, match=r"aeff table has no EXTNAME.*1\.fits\[2\]"):
        found(file("1.fits", "events", {"kind": "aeff", "EXTNAME": ""}, OBS_ID=1))
    stacked = file("1.fits", {"kind": "events"})
    stacked[1].header["OBS_ID"] = "stacked"
    with pytest.raises(MissingColumnError, match="OBS_ID = 'stacked', which is no number"):
        found(stacked)
