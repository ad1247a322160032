"""Say what instrument response functions are of, as far as headers do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import astropy.units as u
from gammapy.data import Observation
from gammapy.irf import IRF

from ctao_sat.errors import ConfigError, MissingHDUError

__all__ = ["KINDS", "IRFSet", "describe", "irf_set"]

KINDS = ("aeff", "psf", "edisp", "bkg", "rad_max")
SITES = ("north", "south")


@dataclass(frozen=True)
class IRFSet:
    """Instrument response functions that belong together, and what their headers say of them.

    Parameters
    ----------
    irfs : mapping of str to `~gammapy.irf.IRF`
        By the names ``aeff``, ``psf``, ``edisp``, ``bkg`` and ``rad_max``, as far as there are.
    label : str
        Telescope, site, zenith and event type in a few words.
    telescope, site, event_type : str
        As the headers or the calibration name say; empty where they do not.
    zenith : Quantity[angle] or None
        Zenith angle that the responses were made for, if it is said.
    source : str
        Name of the file.
    header : mapping
        Keys of the headers of events, file and effective area, in this order of precedence.
    inputs : tuple of dict
        Path, size and checksum of the files.
    notes : tuple of str
        What in the headers does not agree.
    """

    irfs: Mapping[str, IRF]
    label: str
    telescope: str
    site: str
    event_type: str
    zenith: u.Quantity | None
    source: str
    header: Mapping[str, Any]
    inputs: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return what the set is of, for the metadata of a table."""
        names = ("label", "telescope", "site", "zenith", "event_type", "source")
        return {name: getattr(self, name) for name in names} | {"inputs": list(self.inputs)}


def irf_set(irfs: Mapping[str, IRF] | Observation | IRFSet) -> IRFSet:
    """Return instrument response functions with what their own headers say of them.

    Parameters
    ----------
    irfs : mapping, `~gammapy.data.Observation` or IRFSet
        IRFs by the names ``aeff``, ``psf``, ``edisp``, ``bkg`` and ``rad_max``, or what holds them.

    Returns
    -------
    which : IRFSet
        With the responses of these names; others are left out.

    Raises
    ------
    MissingHDUError
        If there is none.
    ConfigError
        If it is something else.

    Examples
    --------
    >>> from ctao_sat import dl3, simulate
    >>> dl3.irf_set(simulate.demo_array("north")).label
    'CTAO-SAT-DEMO north'
    """
    if isinstance(irfs, IRFSet):
        return irfs
    if isinstance(irfs, Observation):
        found = {name: getattr(irfs, name) for name in irfs.available_irfs if name in KINDS}
        source = f"observation {irfs.obs_id}"
    elif isinstance(irfs, Mapping):
        found = {name: irf for name, irf in irfs.items() if name in KINDS and irf is not None}
        source = "dictionary"
    else:
        raise ConfigError(
            f"IRFs of type '{type(irfs).__name__}' are not understood.",
            remedy="Give a dictionary, an Observation, or an item of dl3.read_irfs.",
        )
    meta = dict(found["aeff"].meta or {}) if "aeff" in found else {}
    event_type = str(meta.get("EVTYPE", meta.get("EV_CLASS", "")))
    return describe(found, meta, {}, event_type, source)


def describe(
    irfs: Mapping[str, IRF],
    header: Mapping[str, Any],
    file: Mapping[str, Any],
    event_type: str,
    source: str,
) -> IRFSet:
    """Say what responses are of: the header of the file comes first, then that of its parts."""
    if not irfs:
        raise MissingHDUError(
            f"There are no instrument response functions in the {source}.",
            remedy=f"Name them {', '.join(KINDS)}.",
        )
    meta = dict(next(iter(irfs.values())).meta or {})
    calibration = " ".join(str(value) for key, value in meta.items() if key.startswith("CBD"))
    texts = {
        "header of the file": str(file.get("INSTRUME", "")),
        "name of the calibration": calibration,
        "name of the file": str(file.get("FILE", "")),
        "headers of the responses": str(meta.get("INSTRUME", "")),
    }
    said = {where: site for where, text in texts.items() if (site := _site(text))}
    first, site = next(iter(said.items()), ("", ""))
    others = [where for where, other in said.items() if other != site]
    notes = (f"site: {site}, as in the {first}; not as in the {', '.join(others)}.",)
    zenith = _zenith(meta, texts)
    telescope = str(file.get("TELESCOP") or header.get("TELESCOP") or "").strip()
    parts = [f"{telescope or source} {site}".strip()]
    parts += [f"zenith {zenith:.3g}"] if zenith is not None else []
    parts += [event_type] if event_type else []
    return IRFSet(
        irfs=irfs,
        label=", ".join(parts),
        telescope=telescope,
        site=site,
        event_type=event_type,
        zenith=zenith,
        source=source,
        header=header,
        notes=notes if others else (),
    )


def _site(text: str) -> str:
    found = [site for site in SITES if site in text.lower()]
    return found[0] if len(found) == 1 else ""


def _zenith(meta: Mapping[str, Any], texts: Mapping[str, str]) -> u.Quantity | None:
    value = meta.get("ZENITH")
    if isinstance(value, int | float) and 0 <= value <= 90:
        return round(float(value), 3) * u.deg
    for pattern in (
        r"ZENITH\(([\d.]+)\)deg",
        r"(?:^|[-_])z?(\d{1,2})deg(?:[-_.]|$)",
        r"_z(\d\d)(?:[_.]|$)",
    ):
        for text in texts.values():
            match = re.search(pattern, text)
            if match and float(match[1]) <= 90:
                return float(match[1]) * u.deg
    return None
