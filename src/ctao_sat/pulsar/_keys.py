"""Which keys of par files bear on the arrival times of gamma rays, in what way."""

import re

from ctao_sat.pulsar._parfile import Entry

__all__ = ["unsupported"]

# What the native backend computes with.
_TIMING = re.compile(
    r"(PSR|RAJ|DECJ|PMRA|PMDEC|PX|POSEPOCH|PEPOCH|F\d+|GLEP_\d+|GLPH_\d+|GLF[012]_\d+|GLF0D_\d+"
    r"|GLTD_\d+|TZRMJD|TZRSITE|TZRFRQ|START|FINISH|EPHEM|CLK|UNITS|TIMEEPH|PLANET_SHAPIRO"
    r"|DM\d*|DMEPOCH)$"
)
# What delays or reshapes radio waves, and vanishes at infinite frequency or without an antenna.
_RADIO = re.compile(
    r"(DMX|DMX_\d+|DMX(R1|R2|EP|F1|F2)_\d+|DMMODEL|DMDATA|DMRES|DMJUMP|DMEFAC|DMEQUAD|NE_SW\d*"
    r"|NE1AU|SOLARN0|SWM|SWP|SWEPOCH|CORRECT_TROPOSPHERE|DILATEFREQ|FD\d+|CM\d*|CMEPOCH"
    r"|TNCHROMIDX)$"
)
# What describes the fit, its data or its noise, and moves no event.
_NOTES = re.compile(
    r"(EPHVER|NTOA|TRES|CHI2|CHI2R|NITS|IBOOT|INFO|MODE|TRACK|EFAC|EQUAD|ECORR|T2EFAC|T2EQUAD"
    r"|TNEF|TNEQ|TNECORR|TNRED\w*|TNDM\w*|RN\w+|T2CMETHOD|NOTRACK|DCOVFILE|MJD_?RANGE|EOPFILE)$"
)
# Time ephemerides that agree with the one in use to 0.02 microseconds.
_TIME_EPHEMERIDES = ("FB90", "IF99")


def unsupported(entries: dict[str, list[Entry]]) -> list[Entry]:
    """Return the lines that the native backend cannot honour.

    Parameters
    ----------
    entries : dict
        Lines of a timing solution by key, see `blocks`.

    Returns
    -------
    lines : list of Entry
        In the order of the file.
    """
    found = [line for lines in entries.values() for line in lines if not _honoured(line)]
    return sorted(found, key=lambda line: line.line)


def _honoured(line: Entry) -> bool:
    key = line.key
    if key == "JUMP" or key == "FDJUMP":
        # Of a receiver or a telescope; a jump of all data in a range of time is none of these.
        return line.value.upper() not in ("MJD", "-MJD")
    if key == "TIMEEPH":
        return line.value.upper() in _TIME_EPHEMERIDES
    if key == "BINARY":
        return line.value.upper() == "NONE"
    return any(pattern.match(key) for pattern in (_TIMING, _RADIO, _NOTES))
