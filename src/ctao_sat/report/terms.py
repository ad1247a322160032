"""The terms of the data behind an analysis, recognised from their headers.

The rules, in the order of their trial; of each header, the first that fits counts:

- *Demonstration array*: ``TELESCOP`` or ``ORIGIN`` contain ``CTAO-SAT-DEMO``.
- *H.E.S.S. DL3 DR1*: ``TELESCOP`` is H.E.S.S., and a comment says that the file is part of the
  first test data release; or, where a program dropped the comments, the file is of that release's
  program and year.
- *H.E.S.S., otherwise*: ``TELESCOP`` is H.E.S.S. As no public release of H.E.S.S. data allows
  publication, neither does this.
- *MAGIC*: the two observations of the Crab Nebula with ``RAD_MAX`` that Gammapy distributes, by
  ``OBS_ID`` and program. Other data of MAGIC are unknown data.
- *Prod5*: a header of a response (or events simulated with it) that names prod5, or that is by the
  author and origin of these files.
- *CTA-1DC*: ``TELESCOP`` is CTA and the calibration is ``1dc``, or the program is one that made
  them and the number is of the challenge.
- Everything else is unknown, and said to be.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["HEADER_KEYS", "DataTerms", "data_terms"]

# What the rules read: a header cut down to these keys is recognised as the full one is.
HEADER_KEYS = (
    "TELESCOP",
    "INSTRUME",
    "ORIGIN",
    "CREATOR",
    "AUTHOR",
    "OBS_ID",
    "DATE",
    "CALDB",
    "IRF",
    "IRFFILE",
    "COMMENT",
)


@dataclass(frozen=True)
class DataTerms:
    """What a data set asks for.

    Parameters
    ----------
    name : str
        The data set.
    acknowledgement : str
        The sentence to print with results.
    licence : str
        The licence, or a statement that none is known.
    publishable : bool
        False where the terms forbid a publication. True grants nothing: read the licence.
    """

    name: str
    acknowledgement: str
    licence: str
    publishable: bool


DEMONSTRATION = DataTerms(
    "Demonstration array",
    "These data were simulated with the built-in demonstration array, not CTAO's IRFs.",
    "No terms apply; the results say nothing about CTAO's performance.",
    True,
)
HESS_DR1 = DataTerms(
    "H.E.S.S. DL3 DR1",
    "This work made use of data from the H.E.S.S. DL3 public test data release 1 (HESS DL3 DR1, "
    "H.E.S.S. collaboration, 2018).",
    "No scientific publication may be derived from the data, and no new claim about the sources "
    "made with them.",
    False,
)
HESS = DataTerms(
    "H.E.S.S., release not recognised",
    "This work made use of data of the H.E.S.S. collaboration; their release was not recognised.",
    "Unknown. The public test data release (H.E.S.S. DL3 DR1) does not permit publication; check "
    "the terms of your data.",
    False,
)
MAGIC = DataTerms(
    "MAGIC, Crab Nebula with RAD_MAX",
    "This work made use of two observations by MAGIC, released with the approval of the MAGIC "
    "software board and distributed with Gammapy (preliminary data).",
    "CC BY-NC-SA 4.0, Gammapy Coordination Committee: not for commercial use, share alike.",
    True,
)
PROD5 = DataTerms(
    "CTAO instrument response functions, prod5 v0.1",
    "This work made use of the CTAO instrument response functions prod5 v0.1 (Cherenkov Telescope "
    "Array Observatory and Cherenkov Telescope Array Consortium, 2021, Zenodo, "
    "doi:10.5281/zenodo.5499840).",
    "CC BY 4.0",
    True,
)
CTA_1DC = DataTerms(
    "CTA-1DC",
    "This work made use of simulated data and instrument response functions of the first CTA data "
    "challenge (CTA-1DC, CTA Consortium, 2017).",
    "Not stated with the files.",
    True,
)
UNKNOWN_LICENCE = "Unknown. Check the terms of these data before you publish or pass them on."


def data_terms(headers: Iterable[Mapping]) -> list[DataTerms]:
    """Return the terms of all data sets that headers belong to, each one once.

    Parameters
    ----------
    headers : iterable of mapping
        Headers of EVENTS extensions, and of responses where those have terms of their own, with
        `HEADER_KEYS` at least. The ``meta`` of tables read by astropy will do, as will
        `astropy.io.fits.Header`.

    Returns
    -------
    terms : list of DataTerms
        In the order of first appearance. Data that no rule recognises get an entry that says so.

    Examples
    --------
    >>> from ctao_sat.report import data_terms
    >>> demo, other = data_terms([{"ORIGIN": "CTAO-SAT-DEMO north"}, {"TELESCOP": "X-1"}])
    >>> demo.name, demo.publishable
    ('Demonstration array', True)
    >>> other.name
    'Unrecognised data (X-1)'
    """
    return list(dict.fromkeys(_terms(header) for header in headers))


def _terms(header: Mapping) -> DataTerms:
    for fits, terms in RULES:
        if fits(header):
            return terms
    telescope = _text(header, "TELESCOP") or "no TELESCOP given"
    return DataTerms(
        f"Unrecognised data ({telescope})",
        f"The data set could not be recognised (telescope: {telescope}); acknowledge it as its "
        "providers ask for.",
        UNKNOWN_LICENCE,
        True,
    )


def _text(header: Mapping, *keys: str) -> str:
    """Return the values of keys as one text; the keys of table meta may be of lower case."""
    found = []
    for key in keys:
        for spelling in (key, key.lower()):
            value = header.get(spelling)
            if value is not None:
                found.append(str(value).strip())
                break
    return " ".join(found)


def _number(header: Mapping) -> int:
    text = _text(header, "OBS_ID")
    return int(text) if text.isdigit() else -1


def _is_demonstration(header: Mapping) -> bool:
    return "CTAO-SAT-DEMO" in _text(header, "TELESCOP", "ORIGIN").upper()


def _is_hess(header: Mapping) -> bool:
    return re.sub(r"[^A-Z]", "", _text(header, "TELESCOP").upper()) == "HESS"


def _is_hess_dr1(header: Mapping) -> bool:
    comments = _text(header, "COMMENT") + " " + _text(header, "COMMENTS")
    # Header cards break words: the comment is compared without white space.
    told = "firsth.e.s.s.fitstestdatarelease" in re.sub(r"\s", "", comments).lower()
    made = _text(header, "CREATOR").startswith("SASH FITS") and "2018" in _text(header, "DATE")
    return _is_hess(header) and (told or made)


def _is_magic_rad_max(header: Mapping) -> bool:
    return (
        _text(header, "TELESCOP").upper() == "MAGIC"
        and _text(header, "CREATOR").upper().startswith("MAGIC_DL3")
        and _number(header) in (5029747, 5029748)
    )


def _is_prod5(header: Mapping) -> bool:
    named = "prod5" in _text(header, "TELESCOP", "INSTRUME", "CALDB", "IRF", "IRFFILE").lower()
    author = _text(header, "AUTHOR").replace(" ", "") == "G.Maier"
    return named or (author and _text(header, "ORIGIN").upper() == "CTAO")


def _is_cta_1dc(header: Mapping) -> bool:
    if _text(header, "TELESCOP").upper() != "CTA":
        return False
    calibrated = "1dc" in _text(header, "CALDB", "INSTRUME").lower()
    made = _text(header, "CREATOR").lower().startswith(("ctobssim", "gammalib"))
    # The numbers of its four programmes: 1xxxxx, 2xxxxx, 3xxxxx and 5xxxxx.
    return calibrated or (made and 110_000 <= _number(header) < 600_000)


RULES: tuple[tuple[Callable[[Mapping], bool], DataTerms], ...] = (
    (_is_demonstration, DEMONSTRATION),
    (_is_hess_dr1, HESS_DR1),
    (_is_hess, HESS),
    (_is_magic_rad_max, MAGIC),
    (_is_prod5, PROD5),
    (_is_cta_1dc, CTA_1DC),
)
