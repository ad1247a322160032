"""The exceptions and warnings a user can meet, each with its remedy.

Every error carries what happened (`message`), what to do about it (`remedy`) and, where it is
known, the file and line it is about (`where`). The command line turns ``exit_code`` into its own.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "AmbiguousDataError",
    "ConfigError",
    "ConvergenceError",
    "CtaoSatError",
    "CtaoSatWarning",
    "DataError",
    "EphemerisError",
    "FileFormatError",
    "MissingColumnError",
    "MissingDataError",
    "MissingHDUError",
    "NotCompilable",
    "OutputError",
    "ParallelError",
    "PhaseError",
    "SelectionError",
    "SourceNotFoundError",
    "did_you_mean",
]


# Shorter beginnings fit too many names by chance.
_MIN_BEGINNING = 3


class CtaoSatError(Exception):
    """Base of all errors raised on purpose by ``ctao_sat``.

    Parameters
    ----------
    message : str
        What is wrong, naming the thing it is about.
    remedy : str, optional
        What the user can do about it.
    where : str, optional
        File, or file and line, that the message is about.

    Examples
    --------
    >>> from ctao_sat.errors import ConfigError
    >>> print(ConfigError("Unknown key 'a'.", remedy="Did you mean 'b'?", where="a.yaml, line 3"))
    Unknown key 'a'. Did you mean 'b'? (a.yaml, line 3)
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", where: str = ""):
        self.message = message
        self.remedy = remedy
        self.where = where
        super().__init__(message)

    def __str__(self) -> str:
        where = f"({self.where})" if self.where else ""
        return " ".join(part for part in (self.message, self.remedy, where) if part)

    def __reduce__(self):
        # The keyword-only arguments would be lost on the way back from a worker process.
        return _rebuild, (type(self), self.message, self.remedy, self.where)


def _rebuild(cls: type[CtaoSatError], message: str, remedy: str, where: str) -> CtaoSatError:
    return cls(message, remedy=remedy, where=where)


class ConfigError(CtaoSatError):
    """A configuration or an argument that cannot be used as it is."""

    exit_code = 2


class DataError(CtaoSatError):
    """Input data that cannot be used as it is."""

    exit_code = 3


class FileFormatError(DataError):
    """A file that is truncated, empty, or not of the format it should be."""


class MissingHDUError(DataError):
    """A FITS file, or an observation, without an HDU that the analysis needs."""


class MissingColumnError(DataError):
    """A table without a column, a header key or a unit that the analysis needs."""


class MissingDataError(DataError):
    """A file, a folder or a data set that is not there."""


class AmbiguousDataError(DataError):
    """Several tables, event types or files that fit equally well, each of them named."""


class EphemerisError(DataError):
    """A pulsar ephemeris that is damaged, incomplete, or asks for what is not supported."""


class PhaseError(DataError):
    """Times whose pulsar phases would be wrong, or not known well enough."""


class SelectionError(DataError):
    """A selection that leaves nothing to analyse."""


class SourceNotFoundError(DataError):
    """A source name that neither the models nor the catalogues know."""


class ConvergenceError(CtaoSatError):
    """A fit that did not converge."""

    exit_code = 4


class NotCompilable(CtaoSatError):
    """Datasets or models that a compiled likelihood cannot hold.

    The message names them and the reason; Gammapy's own evaluation takes them.
    """

    exit_code = 2


class OutputError(CtaoSatError):
    """An output place that cannot be written to, or that holds something else already."""


class ParallelError(CtaoSatError):
    """Workers that died, or a parallel backend that is not installed."""


class CtaoSatWarning(UserWarning):
    """Base of the warnings issued by ``ctao_sat``."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the remedy for a mistyped name: the nearest candidate, or the first ten of all.

    Case does not matter. Without a similar name, the shortest one that begins like it is named.

    Parameters
    ----------
    name : str
        The name as the user gave it.
    candidates : iterable of str
        The names that exist.

    Returns
    -------
    remedy : str
        A sentence, empty without candidates.

    Examples
    --------
    >>> from ctao_sat.errors import did_you_mean
    >>> did_you_mean("Crab", ["crab", "vela"])
    "Did you mean 'crab'?"
    >>> did_you_mean("x", ["crab", "vela"])
    "Choose from: 'crab', 'vela'."
    >>> did_you_mean("PowerLaw", ["PowerLawSpectralModel", "ExpCutoffPowerLawSpectralModel"])
    "Did you mean 'PowerLawSpectralModel'?"
    """
    names = list(dict.fromkeys(candidates))
    if not names:
        return ""
    lowered: dict[str, str] = {}
    for candidate in names:
        lowered.setdefault(candidate.lower(), candidate)
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if not near and len(name) >= _MIN_BEGINNING:
        near = sorted((long for long in lowered if long.startswith(name.lower())), key=len)
    if near:
        return f"Did you mean '{lowered[near[0]]}'?"
    shown = ", ".join(f"'{candidate}'" for candidate in names[:10])
    more = f" … ({len(names)} in all)" if len(names) > 10 else ""
    return f"Choose from: {shown}{more}."
