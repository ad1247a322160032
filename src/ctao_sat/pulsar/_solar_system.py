"""Which solar-system ephemeris is used, offline, with the error that it brings."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from astropy.coordinates import get_body_barycentric
from astropy.time import Time
from astropy.utils.data import is_url_in_cache

from ctao_sat.config import expand_path
from ctao_sat.errors import ConfigError, FileFormatError, MissingDataError, PhaseError

__all__ = ["SolarSystem", "check_kernel", "solar_system"]

BUILTIN = "builtin"
# Where astropy would get a kernel from; the cache knows it by this address.
_ADDRESS = "https://naif.jpl.nasa.gov/pub/naif/generic_kernels/spk/planets/{}.bsp"
_OLD_ADDRESS = (
    "https://naif.jpl.nasa.gov/pub/naif/generic_kernels/spk/planets/a_old_versions/{}.bsp"
)
# Largest light travel times in s by which two of them put the Earth apart, and by which that
# changes between two times. ERFA's epv00 was made of DE405: 4.6 km rms, 13.4 km at most from 1900
# to 2100. The kernels of JPL from DE405 on: DE421 is up to 2.1 km from DE405.
_BUILTIN_ERROR = (45e-6, 90e-6)
_KERNELS_ERROR = (10e-6, 20e-6)
# DE440 has bodies beyond Neptune, which put the barycentre 118 km elsewhere (Park et al. 2021,
# AJ 161, 105): 394 microseconds from DE421 and 417 from epv00, of which 71 and 87 change between
# 2000 and 2036.
_BARYCENTRE_ERROR = (420e-6, 90e-6)
_BARYCENTRE_BUILTIN_ERROR = (450e-6, 120e-6)
_WITH_OUTER_BODIES = re.compile(r"de44\d|inpop(19|2\d)|epm20(17|2\d)")
# DE200 is of other masses of the outer planets, and not of the ICRS.
_DE200_ERROR = 2e-3


@dataclass(frozen=True)
class SolarSystem:
    """A solar-system ephemeris.

    Attributes
    ----------
    requested : str
        The one that the timing solution was made with, empty if it does not say.
    used : str
        The one in use.
    kernel : str
        How astropy is asked for it.
    error : float
        Largest error in s that the difference makes in delays, counted from phase zero.
    """

    requested: str
    used: str
    kernel: str
    error: float


def solar_system(
    wanted: str | os.PathLike, of_solution: str, offline: bool, *, relative: bool = False
) -> SolarSystem:
    """Choose the solar-system ephemeris; never opens a socket if offline.

    Parameters
    ----------
    wanted : str or path-like
        "par" for the one of the timing solution, "builtin" for that of ERFA, a name such as
        "de440s", a kernel file, or a folder with kernel files.
    of_solution : str
        ``EPHEM`` of the par file.
    offline : bool
        Take kernels only from files and from astropy's cache.
    relative : bool
        Phase zero is an arrival on Earth: what is wrong in the same way then and now cancels.

    Returns
    -------
    ephemeris : SolarSystem
        The choice. With "par", a kernel that is not at hand is replaced by "builtin".

    Raises
    ------
    MissingDataError
        If a kernel that is named is not there.
    ConfigError
        If the argument names nothing.
    """
    requested = of_solution.lower()
    text = os.fspath(wanted)
    used, kernel = _choice(text, requested, offline)
    return SolarSystem(requested, used, kernel, _difference(requested, used)[int(relative)])


def _choice(text: str, requested: str, offline: bool) -> tuple[str, str]:
    """Return the name of an ephemeris, and how astropy is asked for it."""
    if not text:
        raise ConfigError(
            "`solar_ephem` is empty.", remedy="Give 'par', 'builtin', a name or a kernel file."
        )
    if text.lower() == BUILTIN:
        return BUILTIN, BUILTIN
    if text.lower() != "par" and (os.sep in text or text.lower().endswith(".bsp")):
        return _from_file(expand_path(text), requested)
    name = requested if text.lower() == "par" else text.lower()
    if name in ("", BUILTIN):
        return BUILTIN, BUILTIN
    address = next((a for a in _addresses(name) if is_url_in_cache(a)), None)
    if address is None and not offline:
        address = _addresses(name)[0]
    if address is None and text.lower() != "par":
        raise MissingDataError(
            f"The solar-system ephemeris '{name}' is not at hand.",
            remedy="Give its kernel file, permit a download with offline=False (--online), or "
            "take 'builtin'.",
        )
    if address is None:
        return BUILTIN, BUILTIN
    return name, address


def check_kernel(solar: SolarSystem, times: Time) -> None:
    """Make sure that a kernel can be read, and covers times.

    Parameters
    ----------
    solar : SolarSystem
        The ephemeris.
    times : `~astropy.time.Time`, shape (n,)
        Times, of the scale TT or TDB.

    Raises
    ------
    ConfigError
        If ``jplephem`` is not installed.
    MissingDataError
        If the kernel cannot be downloaded.
    FileFormatError
        If it is no kernel, or lacks the Earth or the Sun.
    PhaseError
        If a time is not in it.
    """
    if solar.kernel == BUILTIN:
        return
    try:
        for body in ("earth", "sun"):
            get_body_barycentric(body, times, ephemeris=solar.kernel)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Kernel files are read by jplephem, which is not installed.",
            remedy="Install it: pip install 'ctao-sat[pulsar]'; or take solar_ephem='builtin'.",
        ) from error
    except OSError as error:
        raise MissingDataError(
            f"The kernel '{solar.used}' cannot be had: {error}.",
            remedy="Give its file, or take 'builtin'.",
            where=solar.kernel,
        ) from error
    except (ValueError, KeyError) as error:
        if hasattr(error, "out_of_range_times"):
            raise PhaseError(
                f"Times around MJD {times[0].mjd:.1f} are not in the kernel: {error}.",
                remedy="Take a kernel that covers events and TZRMJD.",
                where=solar.kernel,
            ) from error
        raise FileFormatError(
            f"The kernel '{solar.used}' cannot be read: {error}.",
            remedy="Give an SPK file of a planetary ephemeris, such as de440s.bsp.",
            where=solar.kernel,
        ) from error


def _addresses(name: str) -> list[str]:
    return [pattern.format(name) for pattern in (_ADDRESS, _OLD_ADDRESS)]


def _from_file(path: Path, requested: str) -> tuple[str, str]:
    file = path / f"{requested}.bsp" if path.is_dir() else path
    if not file.is_file():
        raise MissingDataError(
            f"There is no kernel file '{file}'.",
            remedy="Check the path, or take solar_ephem='builtin'.",
        )
    return file.stem.lower(), str(file)


def _difference(requested: str, used: str) -> tuple[float, float]:
    """Return the largest difference of light travel times in s, and how much that changes."""
    names = requested.removesuffix("s"), used.removesuffix("s")
    if names[0] == names[1]:
        return 0.0, 0.0
    if "de200" in names:
        return _DE200_ERROR, _DE200_ERROR
    moved = len({bool(_WITH_OUTER_BODIES.match(name)) for name in names}) > 1
    if BUILTIN in names:
        return _BARYCENTRE_BUILTIN_ERROR if moved else _BUILTIN_ERROR
    return _BARYCENTRE_ERROR if moved else _KERNELS_ERROR
