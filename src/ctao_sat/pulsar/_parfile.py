"""Read par files, the text files in which radio astronomers hand on timing solutions."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ctao_sat.errors import EphemerisError

__all__ = ["Entry", "blocks", "number"]

# Keys of which a file may have several lines, told apart by what follows.
_REPEATED = frozenset(
    (
        "JUMP", "DMJUMP", "FDJUMP", "FDJUMPDM", "EFAC", "EQUAD", "ECORR", "T2EFAC", "T2EQUAD",
        "TNEF", "TNEQ", "TNECORR", "DMEFAC", "DMEQUAD", "INFO", "MODE",
    )
)  # fmt: skip
_NAMES = {"PSRJ": "PSR", "PSRB": "PSR", "RA": "RAJ", "DEC": "DECJ", "CLOCK": "CLK", "F": "F0"}
_COMMENTS = ("#", "C ", "c ")


@dataclass(frozen=True)
class Entry:
    """One line of a par file.

    ``key`` is in capitals, with synonyms replaced; ``words`` is what follows; ``line`` counts
    from one.
    """

    key: str
    words: tuple[str, ...]
    line: int

    @property
    def value(self) -> str:
        """The first word, empty if there is none."""
        return self.words[0] if self.words else ""

    @property
    def uncertainty(self) -> float:
        """The uncertainty of a fitted value, 0 if the line gives none."""
        # "value flag uncertainty", "value flag" or "value uncertainty".
        rest = self.words[1:3]
        if not rest or (len(rest) == 1 and rest[0] in ("0", "1", "2")):
            return 0.0
        try:
            return abs(float(rest[-1].upper().replace("D", "E")))
        except ValueError:
            return 0.0


def blocks(text: str, where: str = "") -> list[dict[str, list[Entry]]]:
    """Return the timing solutions of a par file, each as its lines by key.

    Parameters
    ----------
    text : str
        The file. Several solutions follow each other; each begins with its ``PSR`` line.
    where : str
        Name of the file, for messages.

    Returns
    -------
    blocks : list of dict
        Entries by key. Most keys have one.

    Raises
    ------
    EphemerisError
        If a key appears twice, or a line has no value.
    """
    found: list[dict[str, list[Entry]]] = []
    named = ""
    for name, entry in _entries(text):
        place = f"{where}, line {entry.line}" if where else f"line {entry.line}"
        if entry.key == "PSR" and found and list(found[-1]) == ["PSR"] and name != named:
            # PSRJ and PSRB: two names of one pulsar.
            continue
        named = name
        if entry.key == "PSR" and (not found or "PSR" in found[-1] or _has_spin(found[-1])):
            found.append({})
        if not found:
            found.append({})
        if not entry.words:
            raise EphemerisError(
                f"The key {entry.key} has no value.", remedy="Complete the line.", where=place
            )
        if entry.key in found[-1] and entry.key not in _REPEATED:
            raise EphemerisError(
                f"The key {entry.key} appears twice.",
                remedy="Remove one of the lines; a further solution begins with its PSR line.",
                where=place,
            )
        found[-1].setdefault(entry.key, []).append(entry)
    return found


def _has_spin(block: dict[str, list[Entry]]) -> bool:
    return "F0" in block


def _entries(text: str) -> Iterator[tuple[str, Entry]]:
    """Yield the lines, each after its key as it is written."""
    # Editors of Windows mark UTF-8 at the begin of a file.
    for line, content in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        stripped = content.strip()
        if not stripped or stripped.startswith(_COMMENTS) or stripped in ("C", "c"):
            continue
        words = stripped.split("#")[0].split()
        key = words[0].upper()
        yield key, Entry(_NAMES.get(key, key), tuple(words[1:]), line)


def number(entry: Entry, where: str = "") -> str:
    """Return the value of an entry as the text of a decimal number.

    Parameters
    ----------
    entry : Entry
        The line.
    where : str
        Name of the file, for messages.

    Returns
    -------
    text : str
        With the exponent that Python reads.

    Raises
    ------
    EphemerisError
        If it is no finite number.
    """
    text = entry.value.upper().replace("D", "E")
    try:
        if Decimal(text).is_finite():
            return text
    except InvalidOperation:
        pass
    raise EphemerisError(
        f"The value of {entry.key} is '{entry.value}', which is no number.",
        remedy="Correct it.",
        where=f"{where}, line {entry.line}" if where else f"line {entry.line}",
    )
