"""Write FITS files whose bytes depend on their content alone."""

import gzip
import importlib.metadata
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astropy.io import fits

__all__ = ["creator", "version", "write_fits"]


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
    if path.suffix != ".gz":
        fits.HDUList(list(hdus)).writeto(path)
        return
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    # astropy's own writer puts the time of writing into the gzip header.
    path.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
