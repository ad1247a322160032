"""Checks of instrument responses: normalisation, thresholds, containment, alignment."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ctao_sat.dl3._checks._content import Content, TableData, header_number, safe_bins
from ctao_sat.dl3._checks._model import Fault, NotRun, Severity
from ctao_sat.dl3._headers import header_text

__all__ = ["containment", "edisp_norm", "fov_alignment", "psf_norm", "thresholds"]

# A tabulated PSF ends at its last RAD, which takes up to half a per cent of public ones; what is
# lost there is lost of the flux.
_NORM = 0.01
_ALIGNMENTS = ("RADEC", "ALTAZ")
_SHAPES = ("FULL-ENCLOSURE", "POINT-LIKE")
_SYMMETRIC = 1e-3


def psf_norm(content: Content) -> Iterator[Fault | NotRun]:
    """The PSF integrates to 1, or is 0, where its energies are within the thresholds."""
    for table in content.of("psf"):
        if not table.has_shape():
            yield NotRun("the PSF has not the columns or the shape of its class")
        elif table.info.hdu_class == "psf_table":
            yield from _norm_faults(content, table, _table_integral(table), "The PSF integrates")
        elif table.info.hdu_class == "psf_3gauss":
            yield from _gauss_faults(table)
        elif table.info.hdu_class == "psf_king":
            yield from _king_faults(table)


def _table_integral(table: TableData) -> NDArray:
    low, high = np.radians(table.edges("RAD"))
    solid_angle = 2 * np.pi * (np.cos(low) - np.cos(high))
    return (table.columns["RPSF"].astype(float) * solid_angle[:, np.newaxis, np.newaxis]).sum(0)


def _gauss_faults(table: TableData) -> Iterator[Fault]:
    columns = {name: table.columns[name].astype(float) for name in table.values}
    one, two, three = (np.radians(columns[f"SIGMA_{i}"]) ** 2 for i in (1, 2, 3))
    area = one + columns["AMPL_2"] * two + columns["AMPL_3"] * three
    # GADF has S / pi before the Gaussians, much software S alone.
    full = 2 * np.pi * columns["SCALE"] * area
    integral = np.where(np.abs(full / np.pi - 1) <= _NORM, full / np.pi, full)
    if np.any((columns["SCALE"] > 0) & (area <= 0)):
        count = int(np.count_nonzero((columns["SCALE"] > 0) & (area <= 0)))
        yield Fault(f"{count} of {area.size} PSFs have no width.", table.hdu)
    used = integral[integral > 0]
    bad = np.abs(used - 1) > _NORM
    if bad.any():
        yield Fault(
            f"{np.count_nonzero(bad)} of {used.size} PSFs integrate to {used[bad].min():.3g} … "
            f"{used[bad].max():.3g} instead of 1: SCALE is not that of the formula.",
            table.hdu,
            "warning",
            "Gammapy normalises this class by itself. Before you use other software, divide SCALE "
            "by the integral.",
        )


def _king_faults(table: TableData) -> Iterator[Fault]:
    sigma, gamma = (table.columns[name].astype(float) for name in ("SIGMA", "GAMMA"))
    used = (sigma != 0) | (gamma != 0)
    bad = int(np.count_nonzero(used & ((sigma <= 0) | (gamma <= 1))))
    if bad:
        yield Fault(
            f"{bad} of {used.sum()} PSFs have no integral: SIGMA <= 0 or GAMMA <= 1.", table.hdu
        )


def edisp_norm(content: Content) -> Iterator[Fault | NotRun]:
    """The energy dispersion sums to 1, or is 0, where its energies are within the thresholds."""
    for table in content.of("edisp"):
        if not table.has_shape():
            yield NotRun("the energy dispersion has not the columns or the shape of its class")
            continue
        low, high = table.edges("MIGRA")
        total = (table.columns["MATRIX"].astype(float) * (high - low)[:, np.newaxis]).sum(axis=1)
        yield from _norm_faults(content, table, total, "The energy dispersion sums")


def _norm_faults(content: Content, table: TableData, total: NDArray, what: str) -> Iterator[Fault]:
    """Yield what is wrong with sums per offset and energy."""
    inside = safe_bins(content, table)
    used = np.isfinite(total) & (total != 0)
    bad = used & (np.abs(total - 1) > _NORM)
    cases: tuple[tuple[NDArray, Severity | None], ...] = ((inside, None), (~inside, "info"))
    for mask, severity in cases:
        rows = bad & mask
        if not rows.any():
            continue
        where = "" if inside.all() else " within" if severity is None else " outside of"
        where = f"{where} the energy thresholds" if where else ""
        count = int(np.count_nonzero(used & mask))
        yield Fault(
            f"{what} to {total[rows].min():.3g} … {total[rows].max():.3g} instead of 1 or 0 in "
            f"{np.count_nonzero(rows)} of {count} pairs of energy and offset{where}.",
            table.hdu,
            severity,
            "Leave the thresholds on (`SafeMaskMaker` with aeff-default): the table does not hold "
            "all of what is there below."
            if severity == "info"
            else "",
        )


def thresholds(content: Content) -> Iterator[Fault]:
    """LO_THRES is below HI_THRES, and both are within the energies of the table."""
    for table in content.of("aeff", "edisp", "psf", "bkg"):
        low, high = (header_number(table.header, key) for key in ("LO_THRES", "HI_THRES"))
        for key, value in (("LO_THRES", low), ("HI_THRES", high)):
            if np.isnan(value) and header_text(table.header, key):
                text = header_text(table.header, key)
                yield Fault(f"{key} is '{text}', no number.", table.hdu, "warning")
        if np.isfinite(low) and np.isfinite(high) and low >= high:
            yield Fault(f"LO_THRES is {low:.4g} TeV, HI_THRES {high:.4g} TeV.", table.hdu)
            continue
        if not table.has("ENERG_LO", "ENERG_HI"):
            continue
        least, most = table.edges("ENERG")
        if not least.size:
            continue
        for key, value in (("LO_THRES", low), ("HI_THRES", high)):
            # Single precision.
            if value < least[0] * (1 - 1e-6) or value > most[-1] * (1 + 1e-6):
                yield Fault(
                    f"{key} is {value:.4g} TeV, outside of the table: {least[0]:.4g} to "
                    f"{most[-1]:.4g} TeV.",
                    table.hdu,
                    "warning",
                )


def containment(content: Content) -> Iterator[Fault]:
    """All responses are full-enclosure, or all point-like and with a RAD_MAX."""
    responses = content.of("aeff", "edisp", "psf", "bkg", "rad_max")
    for table in responses:
        shape = header_text(table.header, "HDUCLAS3").upper()
        if shape not in _SHAPES:
            yield Fault(
                f"HDUCLAS3 is '{shape}': Gammapy takes it for FULL-ENCLOSURE.",
                table.hdu,
                "warning",
                f"Set it to {' or '.join(_SHAPES)}.",
            )
        elif table.info.kind == "psf" and shape == "POINT-LIKE":
            yield Fault(
                "HDUCLAS3 of the PSF is POINT-LIKE; a PSF holds no cut in direction.",
                table.hdu,
                "warning",
                "Set it to FULL-ENCLOSURE.",
            )
    kinds = {table.info.kind for table in responses}
    for table in content.of("aeff"):
        if table.info.point_like:
            yield from _point_like(table, kinds)
        elif "rad_max" in kinds:
            yield Fault(
                "There is a RAD_MAX, but the effective area is FULL-ENCLOSURE.",
                table.hdu,
                "warning",
                "If the cut was applied to the effective area, set its HDUCLAS3 to POINT-LIKE; "
                "else drop RAD_MAX.",
            )
        for other in content.of("edisp"):
            if other.info.point_like != table.info.point_like:
                yield Fault(
                    "One of effective area and energy dispersion is POINT-LIKE, the other not.",
                    other.hdu,
                    "warning",
                )


def _point_like(aeff: TableData, kinds: set[str]) -> Iterator[Fault]:
    if "psf" in kinds:
        yield Fault(
            "The effective area is POINT-LIKE, and there is a PSF: its containment would be "
            "applied twice.",
            aeff.hdu,
        )
    stated = header_number(aeff.header, "RAD_MAX") > 0 or "RAD_MAX" in aeff.columns
    if "rad_max" not in kinds and not stated:
        yield Fault(
            "The effective area is POINT-LIKE, and there is neither a table nor a key RAD_MAX: "
            "the size of its region is not known.",
            aeff.hdu,
        )


def fov_alignment(content: Content) -> Iterator[Fault]:
    """FOVALIGN of a background over both coordinates of the field."""
    for table in content.of("bkg"):
        if table.info.hdu_class != "bkg_3d":
            continue
        found = header_text(table.header, "FOVALIGN").upper()
        if found and found not in _ALIGNMENTS:
            yield Fault(f"FOVALIGN is '{found}'.", table.hdu, "error")
        elif not found:
            symmetric = _is_symmetric(table)
            yield Fault(
                "FOVALIGN is absent; Gammapy takes RADEC."
                + (" The background is symmetric, thus it does not matter." if symmetric else ""),
                table.hdu,
                "info" if symmetric else None,
            )


def _is_symmetric(table: TableData) -> bool:
    """Return whether a background is the same when it is turned by 90 degrees, or mirrored."""
    if not table.has_shape():
        return False
    rate = table.columns["BKG"].astype(float)
    if rate.shape[1] != rate.shape[2]:
        return False
    others = (rate[:, ::-1], rate[:, :, ::-1], rate.transpose(0, 2, 1))
    scale = np.max(np.abs(rate), initial=0)
    return all(np.allclose(rate, other, rtol=0, atol=_SYMMETRIC * scale) for other in others)
