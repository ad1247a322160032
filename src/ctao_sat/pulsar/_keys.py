"""Which keys of par files bear on the arrival times of gamma rays, in what way."""

import re

from ctao_sat.pulsar._parfile import Entry

__all__ = ["of_radio_or_fit", "unsupported"]

# What the native backend computes with.
_TIMING = re.compile(
    r"(PSR|RAJ|DECJ|PMRA|PMDEC|PX|POSEPOCH|PEPOCH|F(0|[1-9]\d*)|GLEP_\d+|GLPH_\d+|GLF[012]_\d+|GLF0D_\d+"
    r"|GLTD_\d+|TZRMJD|TZRSITE|TZRFRQ|START|FINISH|EPHEM|CLK|UNITS|TIMEEPH|PLANET_SHAPIRO"
    r"|DM([1-9]\d*)?|DMEPOCH)$"
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


def of_radio_or_fit(line: Entry) -> bool:
    """Return whether a line moves no gamma ray, but at most the arrival of phase zero.

    Parameters
    ----------
    line : Entry
        Of a par file.

    Returns
    -------
    of_radio_or_fit : bool
        True for what delays radio waves alone, and for what describes the fit.
    """
    if line.key in ("JUMP", "FDJUMP"):
        # Of a receiver or a telescope; a jump of all data, or in a range of time, is none of these.
        return re.match(r"(-?MJD$|[-+]?\.?\d)", line.value.upper()) is None
    if line.key == "BINARY":
        return line.value.upper() == "NONE"
    return bool(_RADIO.match(line.key) or _NOTES.match(line.key))


def unsupported(line: Entry) -> bool:
    """Return whether the native backend cannot honour a line.

    Parameters
    ----------
    line : Entry
        Of a par file.

    Returns
    -------
    unsupported : bool
        True for what moves gamma rays in a way that it does not know, and for unknown keys.
    """
    if line.key == "TIMEEPH":
        return line.value.upper() not in _TIME_EPHEMERIDES
    return not (_TIMING.match(line.key) or of_radio_or_fit(line))
