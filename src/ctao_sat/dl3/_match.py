"""Find the tables that belong to each event list, from what headers say."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctao_sat.dl3._headers import HDUInfo, header_text
from ctao_sat.errors import AmbiguousDataError, DataError, MissingColumnError, MissingHDUError

__all__ = ["ObservationHDUs", "match_errors", "match_hdus", "of_gammas"]

log = logging.getLogger(__name__)

_OWN = ("gti", "pointing")
_RESPONSES = ("aeff", "edisp", "psf", "bkg", "rad_max")
# What a background holds is the sum of all particles; these are made a particle.
_OF_A_PARTICLE = ("aeff", "edisp", "psf", "rad_max")

_GAMMAS = {"GAMMA", "GAMMAS", "PHOTON", "PHOTONS"}
_OTHERS = {
    f"{name}{plural}"
    for name in ("PROTON", "ELECTRON", "POSITRON", "HADRON", "MUON", "HELIUM", "IRON", "NUCLEUS")
    for plural in ("", "S")
}
_MAX_LISTED = 10
_REMEDY = (
    "Name the files that belong together, as a list of paths, or put OBS_ID or EVTYPE into their "
    "headers."
)

# All that is known of one observation and event type: OBS_ID, or None, by kind.
_Shelves = dict[tuple[str, int | None], list[HDUInfo]]
# The OBS_ID that tables of each file state.
_Ids = dict[Path, set[int | None]]


@dataclass(frozen=True)
class ObservationHDUs:
    """The tables of one observation and event type.

    Parameters
    ----------
    obs_id : int
        The observation.
    events : HDUInfo
        The event list.
    event_type : str
        The event type, empty if the files do not state any.
    parts : dict of HDUInfo
        By kind: ``gti``, ``aeff`` … those that there are, each of a class that Gammapy reads.
    """

    obs_id: int
    events: HDUInfo
    event_type: str
    parts: dict[str, HDUInfo]


def match_hdus(hdus: Iterable[HDUInfo]) -> list[ObservationHDUs]:
    """Find the tables that belong to each event list.

    A table belongs to an event list if neither ``OBS_ID`` nor event type speaks against it. Among
    those the nearest is taken: in the same file, else with the same ``OBS_ID`` (its own, or that
    of all tables of its file that state one), event type, or folder named as the key ``IRF`` says.
    Good time intervals must be in the same file, or have the same ``OBS_ID``. Of responses for
    several particles, told by ``EXTNAME``, those of gamma rays are taken.

    Parameters
    ----------
    hdus : iterable of HDUInfo
        All HDUs of all files.

    Returns
    -------
    observations : list of ObservationHDUs
        Sorted by observation ID and event type.

    Raises
    ------
    MissingHDUError
        If there is no event list.
    MissingColumnError
        If an event list has no ``OBS_ID``, or a table no ``EXTNAME``.
    AmbiguousDataError
        If several tables fit equally well.
    """
    known = _inherit(_typed(list(hdus)))
    lists = [hdu for hdu in known if hdu.kind == "events"]
    if not lists:
        raise MissingHDUError(
            f"None of {len({hdu.path for hdu in known})} FITS files has an event list.",
            remedy="It is a table with HDUCLAS1 = 'EVENTS'. Name the event files as well.",
        )
    by_id = _by_id(lists)
    names, shelves, stated = _names(known), _shelves(known), _stated_ids(known)
    _warn_of_unknown(known)
    found = []
    for obs_id, events in by_id:
        chosen = {kind: _choose(kind, events, shelves, stated) for kind in (*_OWN, *_RESPONSES)}
        parts = {kind: hdu for kind, hdu in chosen.items() if hdu is not None}
        for hdu in (events, *parts.values()):
            _check_name(hdu, names)
        found.append(ObservationHDUs(obs_id, events, events.event_type, parts))
    return found


def match_errors(hdus: Iterable[HDUInfo]) -> list[tuple[HDUInfo, DataError]]:
    """Return all errors for one of which `match_hdus` fails, each with its event list."""
    known = _inherit(_typed(list(hdus)))
    names, shelves, stated = _names(known), _shelves(known), _stated_ids(known)
    lists: dict[int, list[HDUInfo]] = defaultdict(list)
    for hdu in known:
        if hdu.kind == "events" and hdu.obs_id is not None:
            lists[hdu.obs_id].append(hdu)
    errors: list[tuple[HDUInfo, DataError]] = []
    for of_run in lists.values():
        try:
            _by_id(of_run)
        except DataError as error:
            errors.append((of_run[-1], error))
        for events in of_run:
            for kind in ("events", *_OWN, *_RESPONSES):
                try:
                    chosen = events if kind == "events" else _choose(kind, events, shelves, stated)
                    if chosen is not None:
                        _check_name(chosen, names)
                except DataError as error:
                    errors.append((events, error))
    return errors


def _shelves(hdus: list[HDUInfo]) -> _Shelves:
    shelves: _Shelves = defaultdict(list)
    for hdu in hdus:
        if hdu.kind in _OWN or hdu.kind in _RESPONSES:
            shelves[hdu.kind, hdu.obs_id].append(hdu)
    return shelves


def _typed(hdus: list[HDUInfo]) -> list[HDUInfo]:
    """Take event classes for event types only where no file states an event type."""
    primary = {hdu.path: hdu.header for hdu in hdus if hdu.index == 0}
    stated = [
        bool(header_text(hdu.header, "EVTYPE") or header_text(primary[hdu.path], "EVTYPE"))
        for hdu in hdus
    ]
    if not any(stated):
        return hdus
    return [
        hdu if has else replace(hdu, event_type="") for hdu, has in zip(hdus, stated, strict=True)
    ]


def _inherit(hdus: list[HDUInfo]) -> list[HDUInfo]:
    """Give tables the OBS_ID and event type of the events in their file, where these agree."""
    ids: dict[Path, set[int | None]] = defaultdict(set)
    types: dict[Path, set[str]] = defaultdict(set)
    for hdu in hdus:
        if hdu.kind == "events":
            ids[hdu.path].add(hdu.obs_id)
            types[hdu.path].add(hdu.event_type)
    known = []
    for hdu in hdus:
        obs_id, event_type = hdu.obs_id, hdu.event_type
        if hdu.kind != "events" and hdu.path in ids:
            if obs_id is None and len(ids[hdu.path]) == 1:
                (obs_id,) = ids[hdu.path]
            if not event_type and len(types[hdu.path]) == 1:
                (event_type,) = types[hdu.path]
        known.append(replace(hdu, obs_id=obs_id, event_type=event_type))
    return known


def _stated_ids(hdus: list[HDUInfo]) -> _Ids:
    """Return the OBS_ID of each file, for tables in it that state none themselves."""
    ids: _Ids = defaultdict(set)
    for hdu in hdus:
        if hdu.obs_id is not None:
            ids[hdu.path].add(hdu.obs_id)
    return ids


def _by_id(lists: list[HDUInfo]) -> list[tuple[int, HDUInfo]]:
    """Return the event lists, sorted, each of which can be told from the others."""
    types: dict[int, dict[str, list[HDUInfo]]] = defaultdict(lambda: defaultdict(list))
    for events in lists:
        if events.obs_id is None:
            value = events.header.get("OBS_ID")
            found = "no OBS_ID" if value is None else f"OBS_ID = {value!r}, which is no number"
            raise MissingColumnError(
                f"An event list has {found}.",
                remedy="GADF requires a number there; put it into its header, or leave it out.",
                where=events.where,
            )
        types[events.obs_id][events.event_type].append(events)
    for obs_id, by_type in types.items():
        for event_type, same in by_type.items():
            if len(same) > 1:
                kind = f" of event type '{event_type}'" if event_type else ""
                raise AmbiguousDataError(
                    f"Observation {obs_id} has {len(same)} event lists{kind}: {_listed(same)}.",
                    remedy="Name the files to take; if they are of different event types, put "
                    "EVTYPE into their headers.",
                )
        if "" in by_type and len(by_type) > 1:
            raise AmbiguousDataError(
                f"Observation {obs_id} has event lists with and without an event type: "
                f"{_listed([events for same in by_type.values() for events in same])}.",
                remedy="Name the files to take, or put EVTYPE into all headers.",
            )
    return [
        (obs_id, by_type[event_type][0])
        for obs_id, by_type in sorted(types.items())
        for event_type in sorted(by_type)
    ]


def _choose(kind: str, events: HDUInfo, shelves: _Shelves, stated: _Ids) -> HDUInfo | None:
    """Return the table of a kind that belongs to an event list, or None."""
    near = [*shelves.get((kind, events.obs_id), ()), *shelves.get((kind, None), ())]
    fitting = [hdu for hdu in near if hdu.hdu_class and _agree(hdu.event_type, events.event_type)]
    if kind in _OWN:
        fitting = [h for h in fitting if h.path == events.path or h.obs_id == events.obs_id]
    best = [hdu for hdu in fitting if hdu.path == events.path] or _nearest(fitting, events, stated)
    if kind in _OF_A_PARTICLE:
        best = of_gammas(best)
    if len(best) > 1 and kind in _RESPONSES:
        best = _plainly_named(best)
    if len(best) > 1:
        of_type = f" (event type '{events.event_type}')" if events.event_type else ""
        raise AmbiguousDataError(
            f"Observation {events.obs_id}{of_type} has {len(best)} candidates for '{kind}': "
            f"{_listed(best)}.",
            remedy=_REMEDY,
        )
    return best[0] if best else None


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


def _nearest(hdus: list[HDUInfo], events: HDUInfo, stated: _Ids) -> list[HDUInfo]:
    """Return those of which no other has more in common with the events."""
    folder = header_text(events.header, "IRF")

    def common(hdu: HDUInfo) -> tuple[bool, ...]:
        return (
            hdu.obs_id == events.obs_id,
            stated.get(hdu.path) == {events.obs_id},
            bool(hdu.event_type) and hdu.event_type == events.event_type,
            bool(folder) and hdu.path.parent.name == folder,
        )

    def exceeds(one: tuple[bool, ...], other: tuple[bool, ...]) -> bool:
        return one != other and all(a >= b for a, b in zip(one, other, strict=True))

    marks = {common(hdu) for hdu in hdus}
    return [hdu for hdu in hdus if not any(exceeds(mark, common(hdu)) for mark in marks)]


def of_gammas(hdus: list[HDUInfo]) -> list[HDUInfo]:
    """Return responses to gamma rays: those that say so, else those that name no particle."""
    words = {id(hdu): set(re.split(r"[^A-Z]+", hdu.name.upper())) for hdu in hdus}
    others = [hdu for hdu in hdus if words[id(hdu)] & _OTHERS]
    gammas = [hdu for hdu in hdus if words[id(hdu)] & _GAMMAS]
    kept = gammas or [hdu for hdu in hdus if not words[id(hdu)] & _OTHERS]
    for hdu in others:
        log.info("%s is a response to other particles than gamma rays: left out.", hdu.where)
    return kept


def _plainly_named(hdus: list[HDUInfo]) -> list[HDUInfo]:
    """Return the one in a file whose name all others extend, as EFFECTIVE_AREA_NO_CUTS does."""
    shortest = min(hdus, key=lambda hdu: len(hdu.name))
    extended = all(
        hdu.path == shortest.path and hdu.name.upper().startswith(shortest.name.upper())
        for hdu in hdus
    )
    lengths = [len(hdu.name) for hdu in hdus]
    if not shortest.name or not extended or lengths.count(len(shortest.name)) > 1:
        return hdus
    for hdu in hdus:
        if hdu is not shortest:
            log.warning("%s is left out: %s has the plain name.", hdu.where, shortest.where)
    return [shortest]


def _names(hdus: Sequence[HDUInfo]) -> dict[tuple[Path, str], list[int]]:
    """Return the places in a file of each name; FITS compares names without case."""
    names: dict[tuple[Path, str], list[int]] = defaultdict(list)
    for hdu in hdus:
        names[hdu.path, hdu.name.upper()].append(hdu.index)
    return names


def _check_name(hdu: HDUInfo, names: dict[tuple[Path, str], list[int]]) -> None:
    """Make sure that Gammapy, which goes by EXTNAME, finds this HDU and no other."""
    if not hdu.name:
        raise MissingColumnError(
            f"The {hdu.kind} table has no EXTNAME, by which Gammapy finds it.",
            remedy="Put a name of your choice into its header.",
            where=hdu.where,
        )
    places = names[hdu.path, hdu.name.upper()]
    if len(places) > 1:
        raise AmbiguousDataError(
            f"The file has {len(places)} HDUs named '{hdu.name}', numbers "
            f"{', '.join(map(str, places))}; Gammapy goes by the name.",
            remedy="Give each HDU a name of its own.",
            where=hdu.path.name,
        )


def _warn_of_unknown(hdus: Sequence[HDUInfo]) -> None:
    for hdu in hdus:
        if hdu.kind in _RESPONSES and not hdu.hdu_class:
            log.warning(
                "%s is left out: Gammapy reads no response with HDUCLAS4 = '%s'.",
                hdu.where,
                header_text(hdu.header, "HDUCLAS4"),
            )


def _listed(hdus: Sequence[HDUInfo]) -> str:
    """Return the tables as text, in files named from their common folder on."""
    common = os.path.commonpath([hdu.path.absolute().parent for hdu in hdus])
    texts = [
        f"{os.path.relpath(hdu.path, common)}[{hdu.name or hdu.index}]"
        for hdu in hdus[:_MAX_LISTED]
    ]
    more = f" … ({len(hdus)} in all)" if len(hdus) > _MAX_LISTED else ""
    return f"{', '.join(texts)}{more}"
