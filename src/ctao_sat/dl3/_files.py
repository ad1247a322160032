"""Write FITS files whose bytes depend on their content alone."""

import gzip
import importlib.metadata
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astropy.io import fits

__all__ = ["creator", "gzipped", "version", "write_fits"]


def version() -> str:
    """Return the version of this package."""
    return importlib.metadata.version("ctao-sat")


def creator() -> str:
    """Return what files say about the software that wrote them."""
    return f"ctao_sat {version()}"


def write_fits(path: Path, hdus: Sequence[Any]) -> None:
    """Write HDUs to a file that is not there yet.

    Parameters
    ----------
    path : `pathlib.Path`
        Ends with ``.gz`` if it is to be compressed.
    hdus : sequence of HDUs
        The primary one first.
    """
    if path.suffix == ".gz":
        path.write_bytes(gzipped(hdus))
    else:
        fits.HDUList(list(hdus)).writeto(path)


def gzipped(hdus: Sequence[Any]) -> bytes:
    """Return the bytes of a compressed FITS file.

    Parameters
    ----------
    hdus : sequence of HDUs
        The primary one first.

    Returns
    -------
    content : bytes
        The same whenever it is made: astropy's own writer puts the time into the gzip header.
    """
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    return gzip.compress(buffer.getvalue(), mtime=0)
