"""Sizes in headers are followed before astropy trusts them."""

import io
import random

import numpy as np
import pytest
from astropy.io import fits

from ctao_sat import dl3
from ctao_sat.dl3._fits_structure import check_structure


@pytest.fixture(scope="module")
def content():
    table = fits.BinTableHDU.from_columns([fits.Column("A", "D", array=np.full(1000, 7.7))])
    hdus = fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(np.zeros((3, 5)))])
    file = io.BytesIO()
    hdus.writeto(file)
    return file.getvalue()


def changed(content, old, new):
    """Replace the first card that begins like this."""
    position = content.index(old)
    return content[:position] + new.ljust(80) + content[position + 80 :]


def test_a_good_file(content):
    check_structure(io.BytesIO(content))
    # What fills the last block, or follows it, is no header.
    check_structure(io.BytesIO(content + bytes(2880)))
    check_structure(io.BytesIO(content[:-1000]))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"SIMPLE", b"SAMPLE  =  T", "no header of HDU 0"),
        (b"NAXIS2  =                 1000", b"NAXIS2  =  7", "no header of HDU 2"),
        (b"NAXIS2  =                 1000", b"NAXIS2  =  99999999999999", "ends within HDU 1"),
        (b"NAXIS2  =                 1000", b"NAXIS2  =  'many'", "no whole number"),
        (b"NAXIS2  =                 1000", b"NAXIS2  =  -1", "negative"),
        (b"GCOUNT", b"GCOUNT  =  -1", "negative"),
        (b"TFIELDS", b"TFIELDS =  99999999999999999999", "above 999"),
        (b"NAXIS   =                    2", b"NAXIS   =  5000", "above 999"),
    ],
)
def test_an_impossible_size(content, old, new, says):
    with pytest.raises(OSError, match=says):
        check_structure(io.BytesIO(changed(content, old, new)))


def test_empty_and_truncated(content):
    with pytest.raises(OSError, match="no end"):
        check_structure(io.BytesIO(content.replace(b"END     ", b"        ")))
    with pytest.raises(OSError, match="Empty"):
        check_structure(io.BytesIO())
    with pytest.raises(OSError, match="ends within HDU 1"):
        check_structure(io.BytesIO(content[: 3 * 2880]))


VALUES = [b"nan", b"-1", b"1e400", b"'x'", b"T", b"99999999999999999999", b"'TDB'", b"''"]


def mutated(content, chance):
    """Return a damaged copy: bytes changed, cut off, or values of headers replaced."""
    headers = [
        i for i in range(0, len(content), 2880) if content[i : i + 8] in (b"SIMPLE  ", b"XTENSION")
    ]
    copy = bytearray(content)
    kind = chance.choice(["bytes", "cut", "card", "card"])
    if kind == "cut":
        return bytes(copy[: chance.randrange(len(copy))])
    for _ in range(chance.choice([1, 3, 30])):
        if kind == "bytes":
            copy[chance.randrange(len(copy))] = chance.randrange(256)
            continue
        card = chance.choice(headers) + 80 * chance.randrange(36)
        if copy[card + 8 : card + 10] == b"= ":
            copy[card + 10 : card + 80] = chance.choice(VALUES).rjust(20).ljust(70)
    return bytes(copy)


def test_damaged_files_are_findings_and_no_surprise(small_dl3, tmp_path):
    content = (small_dl3 / "obs_000001.fits").read_bytes()
    chance = random.Random(20261125)
    path = tmp_path / "damaged.fits"
    unreadable = 0
    for _ in range(120):
        path.write_bytes(mutated(content, chance))
        result = dl3.check(path)
        assert str(result)
        unreadable += any(f.check == "readable" and f.severity == "error" for f in result.findings)
    # Many are cut off, or have an impossible size; not all.
    assert 30 < unreadable < 110
