"""One timing solution: the numbers of a par file that the native backend computes with."""

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import astropy.units as u
from astropy.coordinates import Angle, SkyCoord
from astropy.time import Time

from ctao_sat.errors import EphemerisError
from ctao_sat.pulsar._keys import unsupported
from ctao_sat.pulsar._parfile import Entry, number
from ctao_sat.pulsar._twofloat import Pair, pair

__all__ = ["Glitch", "Reference", "TimingSolution", "solution"]

_MAS = math.radians(1 / 3_600_000)
# TEMPO2's own format, whose times are TCB unless the file says otherwise.
_TEMPO2 = 5
# MJD of all epochs: 1941 to 2105. A JD is none, nor are seconds.
_EARLIEST, _LATEST = 30000.0, 90000.0


@dataclass(frozen=True)
class Glitch:
    """A sudden change of the rotation, with what decays of it.

    ``epoch`` is an MJD (TDB) as pair of day and fraction; the others are in turns, Hz and s.
    """

    epoch: Pair
    phase: float = 0.0
    f0: float = 0.0
    f1: float = 0.0
    f2: float = 0.0
    f0_decaying: float = 0.0
    decay_time: float = 0.0
    label: str = ""


@dataclass(frozen=True)
class Reference:
    """The arrival whose phase is zero (TZRMJD, TZRSITE, TZRFRQ); the frequency is in MHz."""

    mjd: Pair
    site: str
    frequency: float


@dataclass(frozen=True)
class TimingSolution:
    """The timing solution of a pulsar, valid in one range of time.

    Attributes
    ----------
    name : str
        Of the pulsar.
    spin : tuple of pair
        F0, F1, ... in Hz, Hz/s, ... as pairs of floats.
    pepoch, posepoch, dmepoch : pair
        Epochs: day and fraction of the MJD (TDB).
    ra, dec : float
        ICRS position in rad.
    pm_ra, pm_dec : float
        Proper motion in rad per Julian year, that in right ascension times cos(dec).
    parallax : float
        In arc seconds.
    glitches : tuple of Glitch
        In the order of time.
    reference : Reference or None
        Where phase zero is.
    start, finish : float or None
        Range of validity, MJD.
    ephem, clock : str
        Solar-system ephemeris and clock realisation that the solution was made with.
    planets : bool
        Whether the Shapiro delays of planets are included.
    dm : tuple of float
        Dispersion measure and its derivatives, in pc/cm3 and years; moves phase zero alone.
    residual : float
        Rms of the timing residuals in s, 0 if not given.
    uncertainties : mapping of float
        By key, in the units of the file.
    lines : tuple of Entry
        All lines, in the order of the file; none of an orbit.
    """

    name: str
    spin: tuple[Pair, ...]
    pepoch: Pair
    ra: float
    dec: float
    posepoch: Pair
    dmepoch: Pair
    pm_ra: float = 0.0
    pm_dec: float = 0.0
    parallax: float = 0.0
    glitches: tuple[Glitch, ...] = ()
    reference: Reference | None = None
    start: float | None = None
    finish: float | None = None
    ephem: str = ""
    clock: str = ""
    planets: bool = False
    dm: tuple[float, ...] = ()
    residual: float = 0.0
    uncertainties: Mapping[str, float] = field(default_factory=dict)
    lines: tuple[Entry, ...] = ()

    @property
    def unsupported(self) -> tuple[Entry, ...]:
        """Return the lines that the native backend cannot honour."""
        return tuple(line for line in self.lines if unsupported(line))

    @property
    def position(self) -> SkyCoord | None:
        """The position, also if it is ecliptic (ELONG and ELAT); None if there is none."""
        if not math.isnan(self.ra):
            return SkyCoord(self.ra * u.rad, self.dec * u.rad)
        ecliptic = {"ELONG": "lon", "LAMBDA": "lon", "ELAT": "lat", "BETA": "lat"}
        angles = {
            ecliptic[line.key]: float(number(line)) * u.deg
            for line in self.lines
            if line.key in ecliptic
        }
        if len(angles) < 2:
            return None
        return SkyCoord(**angles, frame="barycentricmeanecliptic").icrs

    @property
    def epoch(self) -> Time:
        """Epoch of the frequencies."""
        return Time(self.pepoch[0], self.pepoch[1], format="mjd", scale="tdb")


def solution(entries: Mapping[str, list[Entry]], where: str = "") -> TimingSolution:
    """Make a timing solution of the lines of a par file.

    Parameters
    ----------
    entries : mapping
        Lines by key, see `blocks`.
    where : str
        Name of the file, for messages.

    Returns
    -------
    solution : TimingSolution
        The solution.

    Raises
    ------
    EphemerisError
        If a required key is missing, a value is no number, or the times are TCB.
    """
    read = _Reader(entries, where)
    read.check_units()
    name = read.text("PSR") or "unnamed"
    read.need("F0", "PEPOCH")
    read.check_values()
    pepoch = read.mjd("PEPOCH")
    ra, dec = read.position()
    return TimingSolution(
        name=name,
        spin=read.series("F"),
        pepoch=pepoch,
        ra=ra,
        dec=dec,
        pm_ra=read.real("PMRA") * _MAS,
        pm_dec=read.real("PMDEC") * _MAS,
        parallax=read.real("PX") / 1000,
        posepoch=read.mjd("POSEPOCH", pepoch),
        glitches=read.glitches(),
        reference=read.reference(),
        start=read.optional("START"),
        finish=read.optional("FINISH"),
        ephem=read.text("EPHEM").upper(),
        clock=read.text("CLK").upper(),
        planets=read.text("PLANET_SHAPIRO").upper() in ("Y", "YES", "1", "TRUE", "T"),
        dm=tuple(value[0] for value in read.series("DM", first="")),
        dmepoch=read.mjd("DMEPOCH", pepoch),
        residual=read.real("TRES") * 1e-6,
        uncertainties={key: lines[0].uncertainty for key, lines in entries.items()},
        lines=tuple(sorted(itertools.chain(*entries.values()), key=lambda entry: entry.line)),
    )


class _Reader:
    """The values of a timing solution by key, with an error that names the line of a bad one."""

    def __init__(self, entries: Mapping[str, list[Entry]], where: str):
        self.entries, self.where = entries, where

    def text(self, key: str) -> str:
        return " ".join(self.entries[key][0].words[:1]) if key in self.entries else ""

    def need(self, *keys: str) -> None:
        absent = [key for key in keys if key not in self.entries]
        if absent:
            raise EphemerisError(
                f"The par file has no {' and no '.join(absent)}.",
                remedy="Complete it: a timing solution gives F0 at PEPOCH.",
                where=self.where,
            )

    def optional(self, key: str) -> float | None:
        return float(number(self.entries[key][0], self.where)) if key in self.entries else None

    def real(self, key: str) -> float:
        return self.optional(key) or 0.0

    def mjd(self, key: str, default: Pair = (0.0, 0.0)) -> Pair:
        if key not in self.entries:
            return default
        text = number(self.entries[key][0], self.where)
        high, low = pair(text)
        if not _EARLIEST <= high <= _LATEST:
            raise self.bad(key, "which is no MJD")
        day = math.floor(high)
        # Both differences are exact: the day is near the number.
        return float(day), (high - day) + low

    def series(self, key: str, first: str = "0") -> tuple[Pair, ...]:
        """Return F0, F1, ... or DM, DM1, ...; terms that are left out are zero."""
        pattern = re.compile(rf"{key}(\d+)$")
        orders = [int(found[1]) for found in map(pattern.match, self.entries) if found]
        if f"{key}{first}" not in self.entries and not orders:
            return ()
        names = [
            f"{key}{first}",
            *(f"{key}{order}" for order in range(1, max(orders, default=0) + 1)),
        ]
        return tuple(
            pair(number(self.entries[name][0], self.where)) if name in self.entries else (0.0, 0.0)
            for name in names
        )

    def position(self) -> tuple[float, float]:
        if "RAJ" not in self.entries or "DECJ" not in self.entries:
            return math.nan, math.nan
        try:
            ra, dec = Angle(self.text("RAJ"), u.hourangle), Angle(self.text("DECJ"), u.deg)
            # Without signs between them, degrees would be taken for hours, hours for all.
            if not all(re.search("[:hdm]", self.text(key)) for key in ("RAJ", "DECJ")):
                raise ValueError("no sexagesimal numbers")
            if not (0 <= ra.deg < 360 and -90 <= dec.deg <= 90):
                raise ValueError("out of range")
            return float(ra.rad), float(dec.rad)
        except ValueError as error:
            raise EphemerisError(
                f"The position {self.text('RAJ')} {self.text('DECJ')} cannot be read.",
                remedy="Write it as hh:mm:ss.s and dd:mm:ss.s.",
                where=self.where,
            ) from error

    def glitches(self) -> tuple[Glitch, ...]:
        labels = sorted({key.split("_")[1] for key in self.entries if re.match(r"GL\w+_\d+$", key)})
        for label in labels:
            self.need(f"GLEP_{label}")
            if self.real(f"GLF0D_{label}") and not self.real(f"GLTD_{label}"):
                self.need(f"GLTD_{label}")
        made = [
            Glitch(
                epoch=self.mjd(f"GLEP_{label}"),
                phase=self.real(f"GLPH_{label}"),
                f0=self.real(f"GLF0_{label}"),
                f1=self.real(f"GLF1_{label}"),
                f2=self.real(f"GLF2_{label}"),
                f0_decaying=self.real(f"GLF0D_{label}"),
                decay_time=self.real(f"GLTD_{label}") * 86400,
                label=label,
            )
            for label in labels
        ]
        return tuple(sorted(made, key=lambda glitch: glitch.epoch))

    def reference(self) -> Reference | None:
        if "TZRMJD" not in self.entries:
            return None
        # PINT writes "inf" where others write 0.
        infinite = self.text("TZRFRQ").lower() in ("inf", "infinity")
        return Reference(
            mjd=self.mjd("TZRMJD"),
            site=self.text("TZRSITE").lower() or "@",
            frequency=math.inf if infinite else self.real("TZRFRQ") or math.inf,
        )

    def bad(self, key: str, what: str) -> EphemerisError:
        entry = self.entries[key][0]
        return EphemerisError(
            f"The value of {key} is '{entry.value}', {what}.",
            remedy="Correct it.",
            where=f"{self.where}, line {entry.line}" if self.where else f"line {entry.line}",
        )

    def check_values(self) -> None:
        if not self.real("F0") > 0:
            raise self.bad("F0", "which is no frequency in Hz")
        for key in self.entries:
            if key.startswith("GLTD_") and self.real(key) < 0:
                raise self.bad(key, "which is no time in days")
        start, finish = self.optional("START"), self.optional("FINISH")
        if start is not None and finish is not None and finish < start:
            raise self.bad("FINISH", "which is before START")

    def check_units(self) -> None:
        units = self.text("UNITS").upper()
        if not units and self.real("EPHVER") >= _TEMPO2:
            units = "TCB"
        if units not in ("", "TDB"):
            raise EphemerisError(
                f"The times of the par file are {units}, not TDB: the frequency is off by 1.5e-8.",
                remedy="Convert it: `tempo2 -gr transform old.par new.par tdb`.",
                where=self.where,
            )
