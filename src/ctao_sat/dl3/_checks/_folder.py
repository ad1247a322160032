"""Checks across the files of a folder: what belongs together, and the index tables."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from ctao_sat.dl3._checks._clock import moved, zero_time
from ctao_sat.dl3._checks._content import Content, TableData, header_number, index_type
from ctao_sat.dl3._checks._energies import digest, energy_counts, energy_range
from ctao_sat.dl3._checks._events import offsets
from ctao_sat.dl3._checks._model import Fault, NotRun
from ctao_sat.dl3._headers import HDUInfo

__all__ = [
    "Folder",
    "IndexRow",
    "Part",
    "Summary",
    "belonging",
    "event_field",
    "index_complete",
    "index_header",
    "index_targets",
    "index_values",
    "observation_ids",
    "responses",
    "summarise",
]

# Index tables in single precision: 2e-5 deg. More than that is another pointing.
_POINTING = 0.01
_TIME = 1.0
_RESPONSES = ("aeff", "edisp", "psf", "bkg", "rad_max")
_REFERENCE = ("MJDREFI", "MJDREFF")
# Distances from the pointing are counted in steps, in degrees.
_STEP = 0.05
# Directions in single precision.
_ANGLE = 1e-4
# Badly reconstructed events lie anywhere; if most do, the pointing is that of other data.
_MAX_OUTSIDE = 0.5


@dataclass(frozen=True)
class Part:
    """What is kept of a table, once its file is closed."""

    path: Path
    hdu: str
    kind: str
    hdu_class: str
    obs_id: int | None
    event_type: str
    point_like: bool
    pointing: tuple[float, float]
    times: tuple[float, float]
    # What times count from, None if the header does not say.
    zero: Time | None = None
    # How far from the pointing a response reaches, in degrees; NaN if it does not say.
    reach: float = np.nan
    # Of events, their number in each step of distance from the pointing, and the largest.
    distances: NDArray | None = None
    farthest: float = np.nan
    # Of events, their number in each step of energy, and what tells them from others.
    energies: NDArray | None = None
    digest: str = ""
    # Of an effective area, in TeV.
    energy_range: tuple[float, float] = (np.nan, np.nan)


@dataclass(frozen=True)
class IndexRow:
    """A row of an index table of HDUs."""

    index: Path
    obs_id: int
    kind: str
    path: Path
    hdu: str


@dataclass(frozen=True)
class ObservationRow:
    """A row of an index table of observations."""

    index: Path
    obs_id: int
    pointing: tuple[float, float]
    times: tuple[float, float]
    zero: Time | None


@dataclass(frozen=True)
class Summary:
    """What is kept of a file, to compare it with others."""

    path: Path
    names: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    rows: tuple[IndexRow, ...] = ()
    observations: tuple[ObservationRow, ...] = ()
    has_reference: bool = True
    infos: tuple[HDUInfo, ...] = ()


@dataclass(frozen=True)
class Folder:
    """All files that are checked together, and the folder if its index tables are in use."""

    files: tuple[Summary, ...]
    index: Path | None = None

    @property
    def parts(self) -> list[Part]:
        """The tables of all files."""
        return [part for file in self.files for part in file.parts]

    @property
    def rows(self) -> list[IndexRow]:
        """The rows of all index tables of HDUs."""
        return [row for file in self.files for row in file.rows]

    @property
    def kinds(self) -> set[str]:
        """The kinds of tables that there are."""
        found = {part.kind for part in self.parts}
        found |= {"hdu-index" for file in self.files if file.rows}
        return found | {"obs-index" for file in self.files if file.observations}


def summarise(content: Content) -> Summary:
    """Return what is kept of a file."""
    rows: list[IndexRow] = []
    observations: list[ObservationRow] = []
    has_reference = True
    for table in content.of("index"):
        if index_type(table) == "hdu":
            rows += _index_rows(content.path, table)
        elif index_type(table) == "obs":
            observations += _observation_rows(content.path, table)
            numbers = [header_number(table.header, key) for key in _REFERENCE]
            has_reference = bool(np.isfinite(numbers).all())
    return Summary(
        path=content.path,
        names=tuple(info.name.upper() for info in content.infos),
        parts=tuple(_part(table) for table in content.tables if table.info.kind != "index"),
        rows=tuple(rows),
        observations=tuple(observations),
        has_reference=has_reference,
    )


def _part(table: TableData) -> Part:
    info = table.info

    def pair(one: str, two: str) -> tuple[float, float]:
        return header_number(info.header, one), header_number(info.header, two)

    distance = offsets(table) if info.kind == "events" else None
    if distance is not None and not np.isfinite(distance).all():
        distance = None
    return Part(
        path=info.path,
        hdu=table.hdu,
        kind=info.kind,
        hdu_class=info.hdu_class,
        obs_id=info.obs_id,
        event_type=info.event_type,
        point_like=info.point_like,
        pointing=pair("RA_PNT", "DEC_PNT"),
        times=pair("TSTART", "TSTOP"),
        zero=zero_time(info.header),
        reach=_reach(table),
        distances=None if distance is None else np.bincount((distance / _STEP).astype(int)),
        energies=energy_counts(table),
        digest=digest(table) if info.event_type else "",
        energy_range=energy_range(table),
        farthest=np.nan if distance is None else float(np.max(distance, initial=0)),
    )


def _reach(table: TableData) -> float:
    if table.info.kind == "aeff" or table.info.hdu_class == "bkg_2d":
        # A response for one offset says nothing of the field.
        if table.has("THETA_LO", "THETA_HI") and table.edges("THETA")[0].size > 1:
            return float(np.max(table.edges("THETA")[1]))
    elif table.has("DETX_LO", "DETX_HI", "DETY_LO", "DETY_HI"):
        # A background over both coordinates reaches to the corners.
        sides = (np.max(np.abs(table.edges(axis)), initial=0) for axis in ("DETX", "DETY"))
        return float(np.hypot(*sides))
    return np.nan


def _texts(table: TableData, name: str) -> list[str]:
    return [str(value).strip() for value in table.columns.get(name, np.full(table.n_rows, ""))]


def _index_rows(path: Path, table: TableData) -> list[IndexRow]:
    base = table.header.get("BASE_DIR", "")
    folder = path.parent / str(base) if base else path.parent
    columns = [_texts(table, name) for name in ("FILE_DIR", "FILE_NAME", "HDU_TYPE", "HDU_NAME")]
    return [
        IndexRow(path, int(obs_id), kind.lower(), folder / os.path.expandvars(where) / name, hdu)
        for obs_id, where, name, kind, hdu in zip(table.columns["OBS_ID"], *columns, strict=True)
    ]


def _observation_rows(path: Path, table: TableData) -> list[ObservationRow]:
    names = ("RA_PNT", "DEC_PNT", "TSTART", "TSTOP")
    nothing = np.full(table.n_rows, np.nan)
    # An index without TIMESYS is taken for one of the scale of the events.
    zero = zero_time(table.header) if "TIMESYS" in table.header else None
    values = [table.columns[n].astype(float) if table.has(n) else nothing for n in names]
    return [
        ObservationRow(
            path, int(obs_id), (float(ra), float(dec)), (float(start), float(stop)), zero
        )
        for obs_id, ra, dec, start, stop in zip(table.columns["OBS_ID"], *values, strict=True)
    ]


def index_targets(folder: Folder) -> Iterator[Fault]:
    """Look for rows of the hdu-index whose file or HDU is not there."""
    names = {_same(file.path): set(file.names) for file in folder.files}
    for row in folder.rows:
        known = names.get(_same(row.path))
        if known is not None and row.hdu.upper() not in known:
            yield _of(row, f"It lists an HDU '{row.hdu}' of '{row.path.name}', which has none.")
        elif known is None and not row.path.is_file():
            unset = re.search(r"\$\w+", str(row.path))
            why = f" without the variable {unset[0]}, which is not set" if unset else ""
            yield _of(row, f"It lists a file '{row.path.name}', which is not there{why}.")


def _of(row: IndexRow | ObservationRow, what: str) -> Fault:
    return Fault(f"{what[:-1]} (observation {row.obs_id}).", file=str(row.index))


def _same(path: Path) -> str:
    return os.path.realpath(path)


def index_complete(folder: Folder) -> Iterator[Fault]:
    """Event lists and responses are in the hdu-index."""
    listed = {_same(row.path) for row in folder.rows}
    for file in folder.files:
        kinds = {part.kind for part in file.parts}
        if kinds & {"events", *_RESPONSES} and _same(file.path) not in listed:
            yield Fault("The file is in no hdu-index table.", file=str(file.path))


def index_header(folder: Folder) -> Iterator[Fault]:
    """The obs-index says what its times are relative to."""
    for file in folder.files:
        if file.observations and not file.has_reference:
            yield Fault("There is no number MJDREFI or MJDREFF.", file=str(file.path))


def index_values(folder: Folder) -> Iterator[Fault]:
    """Pointing and times in the obs-index are those of the event list."""
    lists = {part.obs_id: part for part in folder.parts if part.kind == "events"}
    listed = {row.obs_id for row in folder.rows if row.kind == "events"}
    for row in (row for file in folder.files for row in file.observations):
        events = lists.get(row.obs_id)
        if events is None:
            # Of a file that is listed and not there, another check tells.
            if row.obs_id not in listed:
                yield _of(row, "There is no event list for it.")
            continue
        scale = (np.cos(np.radians(events.pointing[1])), 1.0)
        apart = max(
            abs((a - b + 180) % 360 - 180) * s
            for a, b, s in zip(row.pointing, events.pointing, scale, strict=True)
        )
        times = moved(np.array(events.times), events.zero, row.zero)
        late = float(np.max(np.abs(np.array(row.times) - times)))
        if apart > _POINTING:
            yield _of(row, f"RA_PNT, DEC_PNT are {apart:.3g} deg off those of the events.")
        if late > _TIME:
            yield _of(row, f"TSTART, TSTOP are up to {late:.3g} s off those of the events.")


def observation_ids(folder: Folder) -> Iterator[Fault]:
    """Each event list has an OBS_ID."""
    for part in folder.parts:
        if part.kind == "events" and part.obs_id is None:
            yield Fault("There is no OBS_ID.", part.hdu, file=str(part.path))


def responses(folder: Folder) -> Iterator[Fault | NotRun]:
    """Each event list has good time intervals, aeff, edisp, and a psf or a RAD_MAX."""
    indexed: dict[int | None, set[str]] = defaultdict(set)
    for row in folder.rows:
        indexed[row.obs_id].add(row.kind)
    for events, near in belonging(folder):
        # A response of a class that Gammapy does not read is as good as none.
        found = {part.kind for part in near if part.hdu_class} | indexed[events.obs_id]
        yield from _absent(events, near, found)


def event_field(folder: Folder) -> Iterator[Fault | NotRun]:
    """Look for events outside of the field of view of the responses."""
    for events, near in belonging(folder):
        reach = max((part.reach for part in near if np.isfinite(part.reach)), default=np.nan)
        if np.isnan(reach):
            yield NotRun("no response over the field of view")
        elif events.distances is None:
            yield NotRun("no directions, or no pointing")
        else:
            # Counted in steps, thus from the next step on.
            first = int(np.ceil(reach / _STEP - 1e-6))
            outside, total = int(events.distances[first:].sum()), int(events.distances.sum())
            if outside and events.farthest > first * _STEP + _ANGLE:
                yield Fault(
                    f"{outside} of {total} events are {first * _STEP:.2f} to "
                    f"{events.farthest:.1f} deg from the pointing; the responses reach to "
                    f"{reach:.2f} deg.",
                    events.hdu,
                    "error" if outside > _MAX_OUTSIDE * total else None,
                    file=str(events.path),
                )


def belonging(folder: Folder) -> Iterator[tuple[Part, list[Part]]]:
    """Yield each event list with the tables of its file, and those elsewhere that fit it."""
    of_file: dict[str, list[Part]] = defaultdict(list)
    for part in folder.parts:
        of_file[_same(part.path)].append(part)
    with_events = {_same(part.path) for part in folder.parts if part.kind == "events"}
    apart = [part for part in folder.parts if _same(part.path) not in with_events]
    indexed: dict[int | None, set[str]] = defaultdict(set)
    for row in folder.rows:
        indexed[row.obs_id].add(_same(row.path))
    for events in (part for part in folder.parts if part.kind == "events"):
        own = of_file[_same(events.path)]
        if events.obs_id in indexed:
            elsewhere = [part for part in apart if _same(part.path) in indexed[events.obs_id]]
        else:
            elsewhere = [part for part in apart if _fits(part, events)]
        yield events, own + elsewhere


def _fits(part: Part, events: Part) -> bool:
    return part.obs_id in (None, events.obs_id) and (
        not part.event_type or not events.event_type or part.event_type == events.event_type
    )


def _absent(events: Part, near: Iterable[Part], found: set[str]) -> Iterator[Fault]:
    file = str(events.path)
    if "gti" not in found:
        yield Fault("There are no good time intervals.", events.hdu, file=file)
    if not found & set(_RESPONSES):
        yield Fault(
            "There are no instrument responses for the events.",
            events.hdu,
            remedy="Check the folder that holds the responses together with it, or make index "
            "tables that name them.",
            file=file,
        )
        return
    missing = [kind for kind in ("aeff", "edisp") if kind not in found]
    if missing:
        yield Fault(f"There is no {' and no '.join(missing)}.", events.hdu, file=file)
    point_like = any(p.point_like for p in near if p.kind == "aeff") or "rad_max" in found
    if not point_like:
        lacks = [kind for kind in ("psf", "bkg") if kind not in found]
        if lacks:
            yield Fault(
                f"There is no {' and no '.join(lacks)}.",
                events.hdu,
                "warning",
                "Spectra with reflected regions are possible, maps are not.",
                file,
            )
