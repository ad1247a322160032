"""Follow the headers of a FITS file by their sizes, before astropy trusts them."""

import re
from typing import BinaryIO

__all__ = ["check_structure"]

_BLOCK = 2880
_CARD = 80
# Of a header; the longest in use, with a history of a thousand lines, have some dozens.
_MAX_BLOCKS = 2000
_MAX_COLUMNS = 999
_NUMBER = re.compile(rb"^(NAXIS\d*|BITPIX|PCOUNT|GCOUNT|TFIELDS) *= *([^/]*)")


def check_structure(file: BinaryIO) -> None:
    """Raise an error unless each header is where the sizes in the one before say.

    A wrong number in a header makes astropy take data for headers, which it may do for minutes.

    Parameters
    ----------
    file : binary file
        Not compressed, open to be read and to seek.

    Raises
    ------
    OSError
        If it is no FITS file, is truncated, or a size in it is impossible.
    """
    size = file.seek(0, 2)
    file.seek(0)
    position, number = 0, 0
    while position < size:
        start = file.read(_CARD)
        file.seek(position)
        if not start.strip(b"\0 \n\r"):
            # Bytes to fill the last block.
            return
        if not start.startswith(b"SIMPLE" if number == 0 else b"XTENSION"):
            raise OSError(f"there is no header of HDU {number} where it should begin")
        length = _data_length(_header_numbers(file, number), number)
        position = file.tell() + length
        if position - (position % _BLOCK and _BLOCK) > size:
            raise OSError(f"it ends within HDU {number}")
        position += -length % _BLOCK
        file.seek(position)
        number += 1
    if not number:
        raise OSError("Empty or corrupt FITS file")


def _header_numbers(file: BinaryIO, number: int) -> dict[bytes, int]:
    """Read a header to its end, and return the numbers that say how long the data are."""
    found: dict[bytes, int] = {}
    for _ in range(_MAX_BLOCKS):
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            break
        for i in range(0, _BLOCK, _CARD):
            card = block[i : i + _CARD]
            if card.rstrip() == b"END":
                return found
            match = _NUMBER.match(card)
            if match:
                # Of two cards astropy takes the first.
                found.setdefault(match[1], _integer(match[2].strip(), match[1], number))
    raise OSError(f"the header of HDU {number} has no end")


def _integer(text: bytes, key: bytes, number: int) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise OSError(f"{key.decode()} of HDU {number} is no whole number") from error


def _data_length(sizes: dict[bytes, int], number: int) -> int:
    naxis = sizes.get(b"NAXIS", 0)
    if not 0 <= naxis <= _MAX_COLUMNS or sizes.get(b"TFIELDS", 0) > _MAX_COLUMNS:
        raise OSError(f"NAXIS or TFIELDS of HDU {number} is above {_MAX_COLUMNS}")
    parts = [sizes.get(b"NAXIS%d" % i, 0) for i in range(1, naxis + 1)]
    extra, groups = sizes.get(b"PCOUNT", 0), sizes.get(b"GCOUNT", 1)
    if min([*parts, extra, groups, sizes.get(b"TFIELDS", 0)]) < 0:
        raise OSError(f"a size of HDU {number} is negative")
    if not naxis:
        return 0
    elements = 1
    for part in parts:
        elements *= part
    return abs(sizes.get(b"BITPIX", 8)) // 8 * groups * (extra + elements)
