"""Pulsar ephemerides: the timing solutions of a par file, read strictly, written unchanged."""

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from astropy.time import Time

from ctao_sat.config import expand_path
from ctao_sat.errors import ConfigError, EphemerisError, MissingDataError, OutputError
from ctao_sat.pulsar._parfile import blocks
from ctao_sat.pulsar._solution import TimingSolution, solution
from ctao_sat.result import staged_file

__all__ = ["PulsarEphemeris"]


@dataclass(frozen=True)
class PulsarEphemeris:
    """The rotation of a pulsar, as one or several timing solutions say it.

    Attributes
    ----------
    solutions : tuple of TimingSolution
        In the order of the file. Several have ranges of validity that do not overlap.
    text : str
        The file, to the last character.
    source : str
        Name of the file.
    """

    solutions: tuple[TimingSolution, ...]
    text: str
    source: str = ""

    @classmethod
    def read(cls, path: str | os.PathLike) -> "PulsarEphemeris":
        """Read a par file of TEMPO2 or PINT.

        Parameters
        ----------
        path : path-like
            The file. It may hold several solutions one after the other, each with its own START
            and FINISH.

        Returns
        -------
        ephemeris : PulsarEphemeris
            What it says.

        Raises
        ------
        MissingDataError
            If there is no such file.
        EphemerisError
            If it is no par file, incomplete or ambiguous.
        """
        file = expand_path(path)
        if not file.is_file():
            raise MissingDataError(f"There is no par file '{file}'.", remedy="Check the path.")
        try:
            text = file.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise EphemerisError(
                f"'{file.name}' is no text.", remedy="Give a par file.", where=str(file)
            ) from error
        return cls.from_text(text, file.name)

    @classmethod
    def from_text(cls, text: str, source: str = "") -> "PulsarEphemeris":
        """Make an ephemeris of the text of a par file.

        Parameters
        ----------
        text : str
            As in the file.
        source : str
            Its name, for messages.

        Returns
        -------
        ephemeris : PulsarEphemeris
            What it says.

        Raises
        ------
        EphemerisError
            If it is no par file, incomplete or ambiguous.

        Examples
        --------
        >>> from ctao_sat.pulsar import PulsarEphemeris
        >>> text = "PSR J0534+2200\\nF0 29.946923\\nPEPOCH 55555\\n"
        >>> PulsarEphemeris.from_text(text).f
        (29.946923,)
        """
        found = blocks(text, source)
        if not found:
            raise EphemerisError(
                "There is no timing solution.", remedy="Give a par file.", where=source
            )
        made = [solution(block, source) for block in found]
        _check_ranges(made, source)
        return cls(tuple(made), text, source)

    def write(self, path: str | os.PathLike, *, overwrite: bool = False) -> Path:
        """Write the par file as it was read, byte by byte.

        Parameters
        ----------
        path : path-like
            New file.
        overwrite : bool
            Replace a file that is there.

        Returns
        -------
        path : `pathlib.Path`
            The file.

        Raises
        ------
        OutputError
            If it is there already, or cannot be written.
        """
        final = expand_path(path).absolute()
        if final.is_dir() or (final.exists() and not overwrite):
            raise OutputError(
                f"'{final}' is there already.",
                remedy="Choose another name, or replace the file: overwrite=True.",
            )
        with staged_file(final) as temporary:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(self.text.encode("utf-8"))
        return final

    @property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def name(self) -> str:
        """Name of the pulsar."""
        return self.solutions[0].name

    @property
    def f(self) -> tuple[float, ...]:
        """Frequency and its derivatives (Hz, Hz/s, ...) at `pepoch`; of a single solution."""
        return tuple(high for high, _ in self._only().spin)

    @property
    def pepoch(self) -> Time:
        """Epoch of the frequencies; of a single solution."""
        return self._only().epoch

    def at(self, start: Time, stop: Time | None = None) -> TimingSolution:
        """Return the timing solution that holds at a time, or in an interval.

        Parameters
        ----------
        start, stop : `~astropy.time.Time`
            The interval; both are in it.

        Returns
        -------
        solution : TimingSolution
            The one that covers the interval; else the nearest one, if it is a matter of
            extrapolation. Whether it is valid there is for the caller to check.
        """
        first, last = float(start.tt.mjd), float((stop or start).tt.mjd)
        return min(self.solutions, key=lambda one: _outside(one, first, last))

    def _only(self) -> TimingSolution:
        if len(self.solutions) > 1:
            raise ConfigError(
                f"The ephemeris of {self.name} has {len(self.solutions)} timing solutions.",
                remedy="Choose one by its time: ephemeris.at(time).",
            )
        return self.solutions[0]


def _outside(one: TimingSolution, first: float, last: float) -> float:
    """Return by how many days an interval leaves the range of a solution."""
    before = max((one.start if one.start is not None else first) - first, 0.0)
    after = max(last - (one.finish if one.finish is not None else last), 0.0)
    return before + after


def _check_ranges(solutions: list[TimingSolution], where: str) -> None:
    if len(solutions) < 2:
        return
    names = {one.name for one in solutions}
    if len(names) > 1:
        raise EphemerisError(
            f"The par file is of several pulsars: {', '.join(sorted(names))}.",
            remedy="Give each its own file.",
            where=where,
        )
    if any(one.start is None or one.finish is None for one in solutions):
        raise EphemerisError(
            f"There are {len(solutions)} timing solutions, not all with START and FINISH.",
            remedy="Say when each is valid.",
            where=where,
        )
    ranges = sorted((one.start or 0.0, one.finish or 0.0) for one in solutions)
    for (_, end), (begin, _) in itertools.pairwise(ranges):
        if begin < end:
            raise EphemerisError(
                f"Two timing solutions are valid from MJD {begin} to {end}.",
                remedy="Make the ranges of START and FINISH meet without overlap.",
                where=where,
            )
