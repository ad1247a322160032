"""CTAO's product metadata: what a caller says of files, as cards of their primary header."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from astropy.time import Time
from pydantic import BeforeValidator, Field, PlainSerializer

from ctao_sat.config import Config, expand_path, load, parse
from ctao_sat.dl3._files import version
from ctao_sat.errors import ConfigError, MissingColumnError

__all__ = ["ProductMetadata", "product_cards", "product_metadata", "require"]

# Version of the metadata model that ctao-datamodel 1.4 implements.
MODEL_VERSION = "2.1.0"
# The licence that a reader of CTAO's model assumes when a header has none.
ASSUMED_LICENSE = ("CC-BY-SA-4.0", "https://creativecommons.org/licenses/by-sa/4.0/")

_OF_RECIPES = "`ctao-sat init"

Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$")]
Url = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")]
Night = Annotated[str, BeforeValidator(str), Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
# Text, for a release may lie beyond the leap seconds that are known; YAML reads dates by itself.
Utc = Annotated[
    str,
    BeforeValidator(lambda value: str(value).replace(" ", "T")),
    Field(pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?)?$"),
]
Identifier = Annotated[UUID, PlainSerializer(str)]


class Contact(Config):
    """Whom to ask."""

    name: str | None = None
    organization: str | None = None
    email: Email | None = None


class Curation(Config):
    """Release and terms of use."""

    release: str | None = None
    reference: Url | None = None
    license: str | None = None
    license_url: str | None = None
    copyright: str | None = None
    rights: Literal["public", "secure", "proprietary"] | None = None
    release_date: Utc | None = None


class Instance(Config):
    """What identifies the data; what is not given comes from the headers of the events."""

    facility_name: Literal["CTAO", "Simulated-CTAO"] | None = None
    site_id: (
        Literal["CTAO-North", "CTAO-South", "SDMC-SUSS", "SDMC-DPPS", "HQ", "EXTERNAL"] | None
    ) = None
    event_type: str | None = None
    target_id: str | None = None
    subarray_id: int | None = None
    observing_night: Night | None = None
    observing_period_id: str | None = None
    lunar_cycle_id: int | None = None
    messenger: str | None = None
    category: Literal["A", "B", "C"] | None = None


class Software(Config):
    """What made the data; this package, unless something else is named."""

    name: str
    version: str
    url: Url | None = None


class Activity(Config):
    """The activity that made the data; written if it has a name and a configuration."""

    process: Literal[
        "proposal_handling", "observation_planning", "acquisition", "simulation",
        "data_processing", "science_data_challenge", "science_analysis", "instrument", "user",
    ] = "user"  # fmt: skip
    name: str
    configuration_id: str
    description: str | None = None
    id: Identifier | None = None
    start: Utc | None = None
    end: Utc | None = None
    software: Software | None = None


class Acquisition(Config):
    """How the data were taken."""

    sb_id: int | None = None
    local_run_type: str | None = None


class DataChallenge(Config):
    """The setting of a science data challenge."""

    sky_brightness: Literal["dark", "gray", "bright"]


class Simulation(Config):
    """The production of simulated showers that responses come from."""

    production_name: str


class ProductMetadata(Config):
    """Product metadata of CTAO, with the names that ``ctao-datamodel`` gives them."""

    description: str | None = None
    disclaimer: str | None = None
    contact: Contact = Contact()
    curation: Curation = Curation()
    instance: Instance = Instance()
    activity: Activity | None = None
    acquisition: Acquisition = Acquisition()
    sdc: DataChallenge | None = None
    simulation: Simulation | None = None


_KEYWORDS = {
    "description": "TITLE",
    "disclaimer": "COMMENT",
    "contact.name": "AUTHOR",
    "contact.organization": "ORIGIN",
    "contact.email": "EMAIL",
    "curation.release": "RELEASE",
    "curation.reference": "REFERENC",
    "curation.license": "LICENSE",
    "curation.license_url": "LICENURL",
    "curation.copyright": "COPYRIGH",
    "curation.rights": "RIGHTS",
    "curation.release_date": "PUBDATE",
    "instance.facility_name": "TELESCOP",
    "instance.site_id": "INSTRUME",
    "instance.event_type": "EVTYPE",
    "instance.target_id": "OBJECT",
    "instance.subarray_id": "SUB_ID",
    "instance.observing_night": "OBSNIGHT",
    "instance.observing_period_id": "PERIOD",
    "instance.lunar_cycle_id": "LUNCYCLE",
    "instance.messenger": "MSNGR",
    "instance.category": "DATACAT",
    "activity.process": "ACTPROC",
    "activity.name": "ACTIVITY",
    "activity.configuration_id": "ACTCONF",
    "activity.description": "ACTDESC",
    "activity.id": "ACTID",
    "activity.start": "ACTSTART",
    "activity.end": "ACTSTOP",
    "activity.software.name": "SOFTWARE",
    "activity.software.version": "SOFTVER",
    "activity.software.url": "SOFTURL",
    "acquisition.sb_id": "SB_ID",
    "acquisition.local_run_type": "LOCRUNTP",
    "sdc.sky_brightness": "SDC_NSB",
    "simulation.production_name": "SIMPROD",
}
_REQUIRED = {
    "contact.name": "Whom may a user of the files ask?",
    "contact.organization": "To whom does this person belong?",
    "contact.email": "At which address?",
    "curation.license": "Without it a reader of CTAO's model assumes CC-BY-SA-4.0.",
    "curation.license_url": "Without it a reader of CTAO's model assumes that of CC-BY-SA-4.0.",
}


def product_metadata(
    metadata: Mapping[str, Any] | str | os.PathLike | None,
) -> ProductMetadata:
    """Check what a caller says of the files.

    Parameters
    ----------
    metadata : mapping or path-like, optional
        Nested mapping, or a YAML file with it.

    Returns
    -------
    metadata : ProductMetadata
        Checked; what is required, but may still come from headers, need not be there.

    Raises
    ------
    ConfigError
        If a key is unknown, or a value is not allowed.
    """
    if metadata is None:
        return ProductMetadata()
    if isinstance(metadata, str | os.PathLike):
        return _checked(lambda: load(ProductMetadata, expand_path(metadata)))
    if not isinstance(metadata, Mapping):
        raise ConfigError(
            f"`metadata` is of the type {type(metadata).__name__}.",
            remedy="Give a mapping such as {'contact': {'name': ...}}, or the path of a YAML file.",
        )
    return _checked(lambda: parse(ProductMetadata, dict(metadata), name="metadata"))


def _checked(make: Callable[[], ProductMetadata]) -> ProductMetadata:
    """Return the metadata; of errors, what is said of recipes is said of metadata."""
    try:
        return make()
    except ConfigError as error:
        remedy = error.remedy
        if _OF_RECIPES in remedy:
            remedy = "Give the path of a YAML file with product metadata, such as: "
            remedy += "contact: {name: A. Person}"
        message = re.sub(rf" Add it; {_OF_RECIPES}[^.]*\.", " Add it.", error.message)
        message = message.replace("The configuration has", "The metadata have")
        message = message.replace("configuration file", "file of metadata")
        message = message.replace("holds no configuration", "holds no metadata")
        raise ConfigError(message, remedy=remedy, where=error.where) from None


def product_cards(
    metadata: ProductMetadata,
    facts: Mapping[str, Any],
    created: Time,
    new_id: Callable[[], UUID],
) -> dict[str, Any]:
    """Return the cards of a primary header.

    Parameters
    ----------
    metadata : ProductMetadata
        What the caller says.
    facts : mapping
        Cards derived from the data; what the caller says goes before them.
    created : `~astropy.time.Time`
        Now.
    new_id : callable
        Makes identifiers.

    Returns
    -------
    cards : dict
        All cards.

    Raises
    ------
    MissingColumnError
        If a required value is neither in the metadata nor among the facts.
    """
    cards = {"CTAOMETA": MODEL_VERSION, "DATAID": str(new_id()), **facts}
    said = dict(_said(metadata))
    if metadata.activity is not None:
        said.setdefault("ACTID", str(new_id()))
        said.setdefault("ACTSTART", created.utc.isot)
        said.setdefault("SOFTWARE", "ctao_sat")
        said.setdefault("SOFTVER", version())
    if said.get("LICENSE", cards.get("LICENSE")) == ASSUMED_LICENSE[0]:
        said.setdefault("LICENURL", ASSUMED_LICENSE[1])
    cards |= said
    cards["CREATED"] = created.utc.isot
    for name, reason in _REQUIRED.items():
        require(cards.get(_KEYWORDS[name]), name, reason)
    return cards


def require(value: Any, name: str, reason: str) -> None:
    """Raise an error if a required value is neither in the headers nor given.

    Parameters
    ----------
    value : object
        The value, or nothing.
    name : str
        Its name in CTAO's model, with dots.
    reason : str
        What it says, and why it cannot be guessed.

    Raises
    ------
    MissingColumnError
        If there is no value.
    """
    if value not in (None, ""):
        return
    *sections, key = name.split(".")
    example = f"'{key}': ..."
    for section in reversed(sections):
        example = f"'{section}': {{{example}}}"
    raise MissingColumnError(
        f"CTAO-GADF requires '{name}' ({_KEYWORDS[name]}), which the headers do not give. {reason}",
        remedy=f"Pass metadata={{{example}}}, or a YAML file with it (--metadata).",
    )


def _said(metadata: ProductMetadata) -> Iterator[tuple[str, Any]]:
    for name, keyword in _KEYWORDS.items():
        value: Any = metadata
        for part in name.split("."):
            value = getattr(value, part, None)
        if value is not None:
            yield keyword, str(value) if isinstance(value, UUID) else value
