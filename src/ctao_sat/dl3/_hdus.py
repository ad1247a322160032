"""Build the FITS tables of one DL3 file."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from gammapy.irf import IRF

from ctao_sat.dl3._alignment import gadf_aligned
from ctao_sat.dl3._cards import clean, header
from ctao_sat.dl3._contents import Contents
from ctao_sat.errors import DataError

__all__ = ["GADF", "HDU_NAMES", "hdu_class", "table_hdu", "table_hdus"]

GADF = {
    "HDUCLASS": "GADF",
    "HDUDOC": "https://github.com/open-gamma-ray-astro/gamma-astro-data-formats",
    "HDUVERS": "0.3",
}
# Those of CTAO, which GADF permits.
HDU_NAMES = {
    "events": "EVENTS",
    "gti": "GTI",
    "aeff": "EFFECTIVE AREA",
    "edisp": "ENERGY DISPERSION",
    "psf": "POINT SPREAD FUNCTION",
    "bkg": "BACKGROUND",
    "rad_max": "RAD_MAX",
}
# HDUCLAS2 of each response that GADF defines, by Gammapy's tag, which is HDUCLAS4 in small letters.
_CLASSES = {
    "aeff_2d": "EFF_AREA",
    "edisp_2d": "EDISP",
    "psf_3gauss": "RPSF",
    "psf_king": "RPSF",
    "psf_table": "RPSF",
    "bkg_2d": "BKG",
    "bkg_3d": "BKG",
    "rad_max_2d": "RAD_MAX",
}
_COLUMN_REFERENCE = re.compile(r"CREF\d+$")


def table_hdus(contents: Contents, float32: bool = False) -> list[fits.BinTableHDU]:
    """Return all tables of a file, in GADF.

    Parameters
    ----------
    contents : Contents
        What the file holds.
    float32 : bool
        Write responses with 32-bit numbers, as CTAO-GADF wants them; by default with the numbers
        they have.

    Returns
    -------
    hdus : list of `astropy.io.fits.BinTableHDU`
        Events, good time intervals and responses.

    Raises
    ------
    DataError
        If GADF cannot hold a part.
    """
    where = f"observation {contents.obs_id}"
    hdus = [
        table_hdu(contents.events, _events_cards(contents.cards), "events", where),
        table_hdu(contents.gti, {**GADF, "HDUCLAS1": "GTI", **contents.gti_cards}, "gti", where),
    ]
    for name, response in contents.irfs.items():
        irf = gadf_aligned(response)
        table = irf_table(irf, name, where)
        table = _narrow(table, name, where) if float32 else table
        cards = {**_irf_cards(irf, name, table), **contents.irf_cards}
        hdus.append(table_hdu(table, cards, name, where))
    return hdus


def table_hdu(table: Table, cards: Mapping[str, Any], name: str, where: str) -> fits.BinTableHDU:
    """Return one table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The columns.
    cards : mapping
        All cards but those that describe the columns.
    name : str
        Key of `HDU_NAMES`, or the name of the HDU itself.
    where : str
        What it belongs to, for messages.

    Returns
    -------
    hdu : `astropy.io.fits.BinTableHDU`
        The table.

    Raises
    ------
    DataError
        If FITS cannot hold a column or a card.
    """
    _check_names(table, name, where)
    bare = table.copy(copy_data=False)
    bare.meta.clear()
    try:
        with warnings.catch_warnings():
            # astropy drops a unit that FITS does not know, and only warns.
            warnings.simplefilter("error")
            hdu = fits.BinTableHDU(bare, name=HDU_NAMES.get(name, name))
    except (ValueError, TypeError, KeyError, Warning) as error:
        raise DataError(
            f"FITS cannot hold the {name} of {where}: {str(error).strip().rstrip('.')}.",
            remedy="Change the columns or their units.",
            where=where,
        ) from error
    hdu.header.extend(header(cards, f"{name} of {where}"), end=True)
    return hdu


def _check_names(table: Table, name: str, where: str) -> None:
    """Refuse columns whose names FITS takes for the same."""
    first: dict[str, str] = {}
    for column in table.colnames:
        other = first.setdefault(column.upper(), column)
        if other != column:
            raise DataError(
                f"The columns {other} and {column} of the {name} of {where} differ in case only; "
                "FITS cannot tell them apart.",
                remedy="Rename or remove one of them.",
                where=where,
            )


def _events_cards(cards: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in cards.items() if not key.startswith("HDUCLAS")}
    system = next(
        (kept[key] for key in ("RADESYS", "RADECSYS", "RADESYSA") if kept.get(key)), "ICRS"
    )
    return {
        **GADF,
        "HDUCLAS1": "EVENTS",
        **{key: value for key, value in kept.items() if key not in GADF},
        "RADESYS": str(system).upper(),
    }


def hdu_class(irf: IRF, name: str, where: str) -> str:
    """Return GADF's class of a response.

    Parameters
    ----------
    irf : `~gammapy.irf.IRF`
        The response.
    name : str
        What it is: aeff, edisp, psf, bkg or rad_max.
    where : str
        What it belongs to, for messages.

    Returns
    -------
    tag : str
        For example "aeff_2d".

    Raises
    ------
    DataError
        If GADF has no table for it.
    """
    tag = str(getattr(irf, "tag", ""))
    if tag not in _CLASSES:
        raise DataError(
            f"GADF has no table for the {name} of {where}, of the class {type(irf).__name__}.",
            remedy=f"It has tables for {', '.join(_CLASSES)}.",
            where=where,
        )
    return tag


def irf_table(irf: IRF, name: str, where: str) -> Table:
    """Return the columns of a response, checked to hold all of it."""
    hdu_class(irf, name, where)
    _check_scales(irf, name, where)
    return irf.to_table(format="gadf-dl3")


def _irf_cards(irf: IRF, name: str, table: Table) -> dict[str, Any]:
    meta = clean(irf.meta)
    cards = {
        **GADF,
        "HDUCLAS1": "RESPONSE",
        "HDUCLAS2": _CLASSES[irf.tag],
        "HDUCLAS3": "POINT-LIKE" if irf.is_pointlike or name == "rad_max" else "FULL-ENCLOSURE",
        "HDUCLAS4": irf.tag.upper(),
    }
    if irf.tag == "bkg_3d" or "FOVALIGN" in meta:
        cards["FOVALIGN"] = irf.fov_alignment.value
    for key, value in meta.items():
        if key not in cards and not _COLUMN_REFERENCE.match(key):
            cards[key] = value
    if any(_COLUMN_REFERENCE.match(key) for key in meta):
        # Gammapy orders the columns anew.
        axes = [column[:-3] for column in table.colnames if column.endswith("_LO")]
        pairs = ",".join(f"{axis}_LO:{axis}_HI" for axis in axes)
        for number in range(2 * len(axes) + 1, len(table.colnames) + 1):
            cards[f"CREF{number}"] = f"({pairs})"
    return cards


def _narrow(table: Table, name: str, where: str) -> Table:
    """Round to float32; what is smaller than that holds becomes zero."""
    made = Table()
    for column in table.colnames:
        wide = table[column]
        with np.errstate(all="ignore"):
            made[column] = wide.astype("float32")
        # CTA-1DC leaves out the unit of this one, as GADF does; CTAO-GADF asks for it.
        if column == "SCALE" and str(wide.unit or "") == "":
            made[column].unit = "sr-1"
        if not np.array_equal(np.isfinite(wide), np.isfinite(made[column])):
            raise DataError(
                f"The column {column} of the {name} of {where} has values that float32 does not "
                "hold.",
                remedy="Choose another unit.",
                where=where,
            )
    return made


def _check_scales(irf: IRF, name: str, where: str) -> None:
    """Refuse an axis that a reader would interpolate differently: GADF does not say how."""
    for axis in irf.axes:
        expected = "log" if axis.is_energy_axis else "lin"
        if axis.nbin > 1 and axis.interp != expected:
            raise DataError(
                f"The axis '{axis.name}' of the {name} of {where} is to be interpolated as "
                f"'{axis.interp}', which GADF cannot say: it would be read back as '{expected}'.",
                remedy=f"Make the axis with interp='{expected}'.",
                where=where,
            )
