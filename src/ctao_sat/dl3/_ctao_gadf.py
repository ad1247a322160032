"""The dialect CTAO-GADF: what it asks for beyond GADF, and what it cannot hold."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from ctao_sat.dl3._cards import header, with_history
from ctao_sat.dl3._contents import Contents, time_reference
from ctao_sat.dl3._hdus import hdu_class
from ctao_sat.dl3._product import ProductMetadata, product_cards, require
from ctao_sat.dl3._sites import site_at
from ctao_sat.errors import DataError, MissingHDUError

__all__ = ["conform", "index_primary", "product_primary"]

REQUIRED_IRFS = ("aeff", "edisp", "psf")
PSF_CLASSES = ("psf_3gauss", "psf_table")
TIME_SYSTEMS = ("TT", "UTC", "TAI")
_SITE_IDS = {"north": "CTAO-North", "south": "CTAO-South"}
_ALL_SITE_IDS = ("CTAO-North", "CTAO-South", "SDMC-SUSS", "SDMC-DPPS", "HQ", "EXTERNAL")
_FACILITIES = ("CTAO", "Simulated-CTAO")

_FLOAT32 = (
    "RA", "DEC", "ENERGY", "GLON", "GLAT", "ALT", "AZ", "DETX", "DETY", "THETA", "PHI", "GAMMANESS",
    "DIR_ERR", "ENERGY_ERR", "COREX", "COREY", "CORE_ERR", "XMAX", "XMAX_ERR",
)  # fmt: skip
EVENT_TYPES = {
    "EVENT_ID": "int64",
    "TIME": "float64",
    "MULTIP": "int16",
    **dict.fromkeys(_FLOAT32, "float32"),
}
_MODEL = {
    "MODEL": "CTAO.Science.DL3.CTAO_GADF",
    "MODELVER": "0.3",
    "MODELURL": "https://gamma-astro-data-formats.readthedocs.io/en/v0.3/",
}


def conform(contents: Contents, metadata: ProductMetadata, rounding: bool) -> Contents:
    """Return contents as CTAO-GADF wants them.

    Parameters
    ----------
    contents : Contents
        What the file shall hold.
    metadata : ProductMetadata
        What the caller says of it.
    rounding : bool
        Round columns of events that the dialect holds with fewer digits.

    Returns
    -------
    contents : Contents
        With CTAO's names of facility and site, and the number types of its columns.

    Raises
    ------
    MissingHDUError
        If a response that the dialect requires is not there.
    MissingColumnError
        If neither the headers nor the caller name facility and site.
    DataError
        If the dialect cannot hold a part.
    """
    where = f"observation {contents.obs_id}"
    _check_responses(contents, where)
    _check_header(contents, where)
    names = _names(contents, metadata)
    said = metadata.instance.event_type
    cards = with_history(contents.cards, {**names, **({"EVTYPE": said} if said else {})})
    cards["N_TELS"] = _whole_number(cards.get("N_TELS"))
    if cards["N_TELS"] is None:
        del cards["N_TELS"]
    return replace(
        contents,
        cards=cards,
        events=_event_table(contents.events, rounding, where),
        gti_cards={**contents.gti_cards, **names},
        irf_cards={**contents.irf_cards, **names},
    )


def _check_responses(contents: Contents, where: str) -> None:
    absent = [name for name in REQUIRED_IRFS if name not in contents.irfs]
    if absent:
        raise MissingHDUError(
            f"CTAO-GADF files hold {', '.join(REQUIRED_IRFS)}; the {where} has no "
            f"{', '.join(absent)}.",
            remedy="Write them with dialect='gadf'.",
            where=where,
        )
    for name, irf in contents.irfs.items():
        if irf.is_pointlike or name == "rad_max":
            raise DataError(
                f"CTAO-GADF holds full-enclosure responses; the {name} of {where} is point-like.",
                remedy="Write it with dialect='gadf'.",
                where=where,
            )
    found = hdu_class(contents.irfs["psf"], "psf", where)
    if found not in PSF_CLASSES:
        raise DataError(
            f"The psf of {where} is of the class '{found}', for which CTAO-GADF has no table.",
            remedy="Write it with dialect='gadf', or tabulate it: observation.psf.to_psf3d().",
            where=where,
        )


def _check_header(contents: Contents, where: str) -> None:
    cards = contents.cards
    system = next(
        (str(cards[key]) for key in ("RADESYS", "RADECSYS", "RADESYSA") if cards.get(key)), "ICRS"
    )
    if system.upper() != "ICRS":
        raise DataError(
            f"The directions of {where} are in the system {system}; CTAO-GADF is in ICRS.",
            remedy="Transform RA, DEC and the pointing, and set RADESYS, or write dialect='gadf'.",
            where=where,
        )
    for part in (cards, contents.gti_cards):
        if part["TIMESYS"] not in TIME_SYSTEMS:
            raise DataError(
                f"The times of {where} are in {part['TIMESYS']}, which CTAO-GADF does not know.",
                remedy=f"Convert them to one of {', '.join(TIME_SYSTEMS)}.",
                where=where,
            )
    if cards["OBS_MODE"] == "RASTER":
        raise DataError(
            f"The {where} has OBS_MODE = 'RASTER', which the schema of CTAO-GADF refuses.",
            remedy="Set it to 'POINTING' if the pointing was fixed, or write dialect='gadf'.",
            where=where,
        )
    if not float(cards["LIVETIME"]) > 0:
        raise DataError(
            f"The {where} has no live time; CTAO-GADF wants some.",
            remedy="Leave it out.",
            where=where,
        )


def _names(contents: Contents, metadata: ProductMetadata) -> dict[str, str]:
    """Return facility and site: of the caller, of the header, or where the array stands."""
    cards, said = contents.cards, metadata.instance
    telescope = str(cards.get("TELESCOP", "")).strip()
    site = site_at(contents.location)
    facility = said.facility_name or (telescope if telescope in _FACILITIES else None)
    if facility is None and contents.simulated and site and telescope.startswith("CTA"):
        facility = "Simulated-CTAO"
    require(
        facility,
        "instance.facility_name",
        f"TELESCOP is '{telescope}'; the dialect is CTAO's own: 'CTAO' or 'Simulated-CTAO'.",
    )
    instrument = str(cards.get("INSTRUME", "")).strip()
    site_id = said.site_id or (instrument if instrument in _ALL_SITE_IDS else _SITE_IDS.get(site))
    require(
        site_id,
        "instance.site_id",
        f"INSTRUME is '{instrument}', and the location is neither of CTAO's sites.",
    )
    return {"TELESCOP": str(facility), "INSTRUME": str(site_id)}


def _whole_number(value: Any) -> int | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number == int(number) else None


def _event_table(events: Table, rounding: bool, where: str) -> Table:
    table = events.copy(copy_data=False)
    for name, wanted in EVENT_TYPES.items():
        if name not in table.colnames:
            continue
        column = table[name]
        if column.dtype.kind not in "iuf":
            raise DataError(
                f"The column {name} of {where} holds no numbers.",
                remedy="Rename it: CTAO-GADF has a column of this name.",
                where=where,
            )
        with np.errstate(all="ignore"):
            made = column.astype(wanted)
        exact = np.array_equal(_values(made).astype(column.dtype), _values(column), equal_nan=True)
        if not exact and not (rounding and wanted == "float32" and _in_range(column, made)):
            raise DataError(
                f"The column {name} of {where} is {column.dtype.name}, and would be rounded to "
                f"the {wanted} of CTAO-GADF.",
                remedy="Permit it with rounding=True: seven digits are kept."
                if wanted == "float32"
                else "Give it values that fit.",
                where=where,
            )
        table[name] = made
    return table


def _values(column: Any) -> np.ndarray:
    return np.asarray(getattr(column, "value", column))


def _in_range(before: Any, after: Any) -> bool:
    return bool(np.array_equal(np.isfinite(_values(before)), np.isfinite(_values(after))))


def product_primary(
    contents: Contents, metadata: ProductMetadata, created: Time, new_id: Callable[[], UUID]
) -> fits.PrimaryHDU:
    """Return the primary HDU of an observation, with CTAO's product metadata.

    Parameters
    ----------
    contents : Contents
        From `conform`.
    metadata : ProductMetadata
        What the caller says.
    created : `~astropy.time.Time`
        Now.
    new_id : callable
        Makes identifiers.

    Returns
    -------
    primary : `astropy.io.fits.PrimaryHDU`
        The HDU.

    Raises
    ------
    MissingColumnError
        If a required value is neither in the headers nor given.
    """
    cards = contents.cards
    simulated = cards["TELESCOP"] == "Simulated-CTAO"
    target = str(cards.get("OBJECT") or "").strip()
    target = "" if target.lower() == "none" else target
    facts = {
        "TITLE": f"Observation {contents.obs_id}" + (f" of {target}" if target else ""),
        "DATALEVL": "DL3",
        "DATADIV": "Event",
        "DATAASSO": "Subarray",
        "DATATYPE": "ObservationSim" if simulated else "Observation",
        "OBS_ID": contents.obs_id,
        "OBJECT": target,
        "EVTYPE": contents.event_type,
        "AUTHOR": cards.get("AUTHOR"),
        "ORIGIN": cards.get("ORIGIN"),
        "EMAIL": cards.get("EMAIL"),
        "LICENSE": cards.get("LICENSE"),
        "LICENURL": cards.get("LICENURL"),
        **_MODEL,
        "TELESCOP": cards["TELESCOP"],
        "INSTRUME": cards["INSTRUME"],
        **_coverage(contents),
    }
    facts = {key: value for key, value in facts.items() if value not in (None, "")}
    return _primary(product_cards(metadata, facts, created, new_id), "the primary header")


def _coverage(contents: Contents) -> dict[str, Any]:
    """Return where, when and at which energies; from the tables alone."""
    cards = contents.cards
    reference = time_reference(cards)
    start, stop = (reference + float(cards[key]) * u.s for key in ("TSTART", "TSTOP"))
    offset = contents.irfs["aeff"].axes["offset"].edges[-1]
    coverage = {
        "TSTART": start.utc.isot,
        "TSTOP": stop.utc.isot,
        "RADESYS": "ICRS",
        "RA_PNT": cards["RA_PNT"],
        "DEC_PNT": cards["DEC_PNT"],
        "FOV": 2 * float(offset.to_value("deg")),
        "OBSGEO-L": cards["GEOLON"],
        "OBSGEO-B": cards["GEOLAT"],
        "OBSGEO-H": cards["ALTITUDE"],
    }
    if len(contents.events):
        energy = u.Quantity(contents.events["ENERGY"]).to_value("TeV")
        coverage |= {"EMIN": float(energy.min()), "EMAX": float(energy.max())}
    return coverage


def index_primary(
    kind: str, cards: Mapping[str, Any], metadata: ProductMetadata, created: Time, uuid: UUID
) -> fits.PrimaryHDU:
    """Return the primary HDU of an index table, with CTAO's product metadata.

    Parameters
    ----------
    kind : {"ObservationCatalog", "HDUIndex"}
        Which table.
    cards : mapping
        Primary header of the first observation: all have the same facility, site and contact.
    metadata : ProductMetadata
        What the caller says.
    created : `~astropy.time.Time`
        Now.
    uuid : `uuid.UUID`
        Identifier of the file.

    Returns
    -------
    primary : `astropy.io.fits.PrimaryHDU`
        The HDU.
    """
    shared = ("TELESCOP", "INSTRUME", "AUTHOR", "ORIGIN", "EMAIL", "LICENSE", "LICENURL", *_MODEL)
    facts = {key: cards[key] for key in shared if key in cards}
    facts |= {"DATALEVL": "DL3", "DATADIV": "Service", "DATAASSO": "Subarray", "DATATYPE": kind}
    # A title, a target or an event type that the caller gave are of the observations.
    general = metadata.model_copy(
        update={
            "description": "Index of observations"
            if kind == "ObservationCatalog"
            else "Index of the HDUs of observations",
            "instance": metadata.instance.model_copy(
                update={"event_type": None, "target_id": None, "observing_night": None}
            ),
        }
    )
    return _primary(product_cards(general, facts, created, lambda: uuid), "the index")


def _primary(cards: Mapping[str, Any], where: str) -> fits.PrimaryHDU:
    listed = dict(cards)
    if "COMMENT" in listed:
        # A card holds 72 characters; words shall not be broken.
        listed["COMMENT"] = textwrap.wrap(listed["COMMENT"], 70)
    primary = fits.PrimaryHDU()
    primary.header.extend(header(listed, where), end=True)
    return primary
