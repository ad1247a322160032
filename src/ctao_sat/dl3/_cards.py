"""Turn the metadata of tables into FITS header cards, or say which of them cannot be held."""

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from astropy.io import fits

from ctao_sat.errors import DataError

__all__ = ["clean", "header", "with_history"]

# What describes the table itself and is made anew: sizes, columns, checksums, the name.
_OF_THE_TABLE = re.compile(
    r"(XTENSION|SIMPLE|EXTEND|BITPIX|NAXIS\d*|[PG]COUNT|TFIELDS|THEAP|CHECKSUM|DATASUM|END"
    r"|EXTNAME|EXTVER"
    r"|T(TYPE|FORM|UNIT|DIM|NULL|SCAL|ZERO|DISP|BCOL|L?MIN|L?MAX|D?MIN|D?MAX|UCD|COMM"
    r"|CTYP|CUNI|CRPX|CRVL|CDLT|RPOS)\d+)$"
)
_TEXTS = {"COMMENTS": "COMMENT", "COMMENT": "COMMENT", "HISTORY": "HISTORY"}
_LONGEST_KEY = 8


def clean(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata without what describes the table itself.

    Parameters
    ----------
    meta : mapping
        Of a table that was read from FITS, or of an IRF.

    Returns
    -------
    cards : dict
        With keys in capitals. ``COMMENT`` and ``HISTORY`` are lists of lines.
    """
    cards: dict[str, Any] = {}
    for key, value in meta.items():
        key = key.upper().removeprefix("HIERARCH ")
        if not key or _OF_THE_TABLE.match(key):
            continue
        if key in _TEXTS:
            lines = [value] if isinstance(value, str) else list(value)
            cards[_TEXTS[key]] = [str(line) for line in lines]
        else:
            cards[key] = value
    return cards


def with_history(cards: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return cards with some of them changed, and what they said before as HISTORY.

    Parameters
    ----------
    cards : mapping
        As from `clean`.
    changes : mapping
        New values.

    Returns
    -------
    cards : dict
        All of them.
    """
    lines = [
        f"{key} was {cards[key]!r}"
        for key, value in changes.items()
        if str(cards.get(key, "")).strip() not in ("", str(value))
    ]
    changed = {**cards, **changes}
    if lines:
        changed["HISTORY"] = [*cards.get("HISTORY", []), *lines]
    return changed


def header(cards: Mapping[str, Any], where: str = "") -> fits.Header:
    """Return a FITS header.

    Parameters
    ----------
    cards : mapping
        As from `clean`.
    where : str
        What it is the header of, for messages.

    Returns
    -------
    header : `astropy.io.fits.Header`
        With one card a key.

    Raises
    ------
    DataError
        If FITS cannot hold a value.
    """
    made = fits.Header()
    for key, value in cards.items():
        if key in ("COMMENT", "HISTORY"):
            _add_lines(made, key, value, where)
            continue
        long = len(key) > _LONGEST_KEY or " " in key
        try:
            with warnings.catch_warnings():
                # astropy would change or cut what does not fit.
                warnings.simplefilter("error")
                card = fits.Card(f"HIERARCH {key}" if long else key, _value(value))
                card.verify("exception")
                str(card)
        except (ValueError, TypeError, fits.VerifyError, Warning) as error:
            raise DataError(
                f"A FITS header cannot hold {key} = {value!r}.",
                remedy=f"Change or remove '{key}' in the metadata of the {where or 'table'}.",
                where=where,
            ) from error
        made.append(card, end=True)
    return made


def _value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("ascii")
    if value is None or isinstance(value, fits.card.Undefined):
        return fits.card.UNDEFINED
    if not isinstance(value, bool | int | float | complex | str):
        raise TypeError
    return value


def _add_lines(made: fits.Header, key: str, lines: Iterable[str], where: str) -> None:
    for line in lines:
        if not (line.isascii() and line.isprintable()):
            raise DataError(
                f"A FITS header cannot hold the {key} {line!r}.",
                remedy="Write it in printable ASCII characters.",
                where=where,
            )
        made.add_comment(line) if key == "COMMENT" else made.add_history(line)
