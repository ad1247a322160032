"""A clean simulated file, in memory, for tests that damage a copy of it."""

from pathlib import Path

import pytest
from astropy.io import fits


@pytest.fixture(scope="session")
def clean_file(small_dl3) -> Path:
    """Return the file of a simulated run; not to be changed."""
    return small_dl3 / "obs_000001.fits"


@pytest.fixture
def spoiled(clean_file, tmp_path):
    """Return a function that writes a changed copy of the clean file."""

    def spoil(change, name="spoiled.fits"):
        with fits.open(clean_file, memmap=False) as content:
            hdus = fits.HDUList([hdu.copy() for hdu in content])
        change(hdus)
        path = tmp_path / name
        hdus.writeto(path)
        return path

    return spoil
