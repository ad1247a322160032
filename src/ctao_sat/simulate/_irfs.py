"""Read, check and locate the instrument response functions of a simulation."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.utils.exceptions import AstropyUserWarning
from gammapy.irf import IRF, ParametricPSF, load_irf_dict_from_file

from ctao_sat.dl3._sites import SITES, site_location
from ctao_sat.errors import (
    ConfigError,
    DataError,
    FileFormatError,
    MissingDataError,
    MissingHDUError,
    did_you_mean,
)
from ctao_sat.simulate._builtin_array import demo_array

__all__ = ["Instrument", "load_instrument"]

log = logging.getLogger(__name__)

REQUIRED = ("aeff", "edisp", "psf", "bkg")
BUILTIN = {"demo-north": "north", "demo-south": "south"}

_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, IndexError),
    *(VerifyWarning, AstropyUserWarning),
)


@dataclass(frozen=True)
class Instrument:
    """Response functions with the names and the place of the array they are of."""

    irfs: dict[str, IRF]
    location: EarthLocation
    telescope: str
    name: str
    origin: str
    source: str


def load_instrument(
    irfs: str | Path | dict[str, IRF], location: EarthLocation | str | None = None
) -> Instrument:
    """Load response functions and find out where their array stands.

    Parameters
    ----------
    irfs : str, `pathlib.Path` or dict
        A GADF file, a dictionary with the keys aeff, edisp, psf and bkg, or one of "demo-north" and
        "demo-south".
    location : `astropy.coordinates.EarthLocation` or {"north", "south"}, optional
        Place of the array. By default the headers say it, or else the path of the file.

    Returns
    -------
    instrument : Instrument
        Checked response functions.

    Raises
    ------
    ConfigError
        If nothing says where the array stands.
    DataError
        If a response is missing, or has values that are not finite.
    """
    source = "dictionary"
    primary: Mapping[str, object] = {}
    if isinstance(irfs, str) and irfs in BUILTIN:
        loaded: dict[str, IRF] = demo_array(BUILTIN[irfs])
        source = irfs
    elif isinstance(irfs, dict):
        loaded = irfs
    elif isinstance(irfs, str | Path):
        loaded, primary = _read(irfs)
        source = Path(irfs).name
    else:
        raise ConfigError(
            f"IRFs of type '{type(irfs).__name__}' are not understood.",
            remedy="Give the path of a GADF file, a dictionary, 'demo-north' or 'demo-south'.",
        )
    _check(loaded, str(irfs) if source != "dictionary" else "")
    meta = loaded["aeff"].meta
    name = str(primary.get("INSTRUME", meta.get("INSTRUME", "")))
    if isinstance(location, str):
        location = site_location(location)
    if location is None:
        path = Path(irfs).parts[-2:] if isinstance(irfs, str | Path) else ()
        location = site_location(_site([name, *reversed(path)]))
    return Instrument(
        irfs={key: loaded[key] for key in REQUIRED},
        location=location,
        telescope=str(meta.get("TELESCOP", "")),
        name=name,
        origin=str(meta.get("ORIGIN", "")),
        source=source,
    )


def _site(texts: list[str]) -> str:
    """Return the first site that one of the texts names.

    The primary header comes first: those of the other HDUs say "Southern Array" in the Prod5 file
    of the northern one.
    """
    for text in texts:
        for site in SITES:
            if site in text.lower():
                return site
    raise ConfigError(
        "The IRFs do not say at which site their array stands.",
        remedy="Pass `location='north'`, 'south', or an EarthLocation.",
    )


def _read(path: str | Path) -> tuple[dict[str, IRF], fits.Header]:
    path = Path(path).expanduser()
    if not path.is_file():
        near = did_you_mean(str(path), BUILTIN) if not path.suffix else ""
        raise MissingDataError(
            f"No IRF file '{path}'.",
            remedy=near or "Give the path of a GADF file, 'demo-north' or 'demo-south'.",
        )
    try:
        primary = fits.getheader(path)
        with warnings.catch_warnings():
            # The background of CTA-1DC has a unit that FITS does not know; Gammapy replaces it.
            warnings.simplefilter("ignore", u.UnitsWarning)
            # astropy skips what is damaged with a warning: the IRFs would lack a part.
            warnings.filterwarnings("error", "Error validating header", VerifyWarning)
            warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
            loaded = load_irf_dict_from_file(path)
    except _UNREADABLE as error:
        raise FileFormatError(
            f"Cannot read IRFs: {error}.",
            remedy="Check that the file is complete and holds GADF response functions.",
            where=str(path),
        ) from error
    return loaded, primary


def _check(irfs: dict[str, IRF], where: str) -> None:
    missing = [key for key in REQUIRED if irfs.get(key) is None]
    if missing:
        raise MissingHDUError(
            f"The IRFs lack {', '.join(missing)}.",
            remedy="A simulation needs aeff, edisp, psf and bkg.",
            where=where,
        )
    if irfs["aeff"].is_pointlike:
        raise DataError(
            "The IRFs are point-like: their effective area holds a cut around one position.",
            remedy="Use full-enclosure IRFs.",
            where=where,
        )
    for key in REQUIRED:
        irf = irfs[key]
        if isinstance(irf, ParametricPSF):
            # Where no event was simulated such files hold NaN, which Gammapy reads as no event.
            continue
        if not np.all(np.isfinite(irf.quantity.value)):
            raise DataError(f"The IRF '{key}' has values that are not finite.", where=where)
        if not np.any(irf.quantity.value > 0):
            raise DataError(f"The IRF '{key}' is zero everywhere.", where=where)
