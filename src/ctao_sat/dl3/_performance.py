r"""Performance of instrument response functions, in numbers."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from gammapy.data import Observation
from gammapy.irf import IRF

from ctao_sat.dl3 import _irf_values as values
from ctao_sat.dl3._irf_sets import IRFSet, irf_set
from ctao_sat.errors import ConfigError, MissingHDUError, SelectionError

__all__ = ["irf_performance"]

PER_DECADE = 5
DEFAULT_OFFSET = 0.5 * u.deg

# Tables are of single precision: limits that agree to this are the same.
_TOLERANCE = 1e-5

DEFINITIONS = {
    "e_ref": "Logarithmic centre of the bin. True energy of area, PSF and energy dispersion; "
    "reconstructed energy of RAD_MAX and background.",
    "effective_area": "Effective area at e_ref.",
    "energy_bias": "Mean of E_reco / E_true - 1, as EDispKernel.get_bias.",
    "energy_resolution": "Half-width of the interval of E_reco / E_true around 1 with 68 % of the "
    "events.",
    "energy_resolution_rms": "Root mean square of E_reco / E_true around its mean, as "
    "EDispKernel.get_resolution; the width of the table's energy bins is in it.",
    "rad_max": "Radius of the cut in direction that point-like responses contain.",
    "background_rate": "Rate in the bin of energy, a solid angle, mean over the circle at the "
    "offset.",
    "background_rate_in_r68": "The same times the solid angle within r68, or within rad_max.",
    "background_rate_fov": "Over the whole table: sum of value times volume of its bins.",
}


def irf_performance(
    irfs: Mapping[str, IRF] | Observation | IRFSet,
    offset: u.Quantity | str | None = None,
    energy_edges: u.Quantity | None = None,
    *,
    containment: Sequence[float] = (0.68, 0.95),
) -> QTable:
    r"""Return what instrument response functions can do, over energy.

    With the effective area :math:`A`, the point spread function :math:`P`, the energy dispersion
    :math:`D` in :math:`\mu = E_\mathrm{reco} / E_\mathrm{true}`, and the background rate :math:`B`,
    all at one offset from the axis and interpolated as Gammapy does:

    ==========================  ====================================================================
    column                      is
    ==========================  ====================================================================
    ``e_ref, e_min, e_max``     bins of energy
    ``effective_area``          :math:`A(E)`
    ``r68, r95``                :math:`r` with :math:`2\pi \int_0^r P(r', E)\, r' dr' = 0.68, 0.95`
    ``rad_max``                 the cut in direction, only of point-like responses
    ``energy_bias``             :math:`b = \langle\mu\rangle - 1`
    ``energy_resolution``       :math:`h` with :math:`\int_{1-h}^{1+h} D\, d\mu = 0.68`; CTAO's
                                definition
    ``energy_resolution_rms``   :math:`\sqrt{\langle(\mu - 1 - b)^2\rangle}`; Gammapy's definition
    ``background_rate``         :math:`\int B\, dE` over the bin
    ``background_rate_in_r68``  the same times :math:`2\pi(1 - \cos r_{68})`; of point-like
                                responses, within ``rad_max``
    ==========================  ====================================================================

    The energy is the true one, but the reconstructed one of ``rad_max`` and the background. What a
    table does not cover is NaN, and ``meta["notes"]`` says why. Bias and resolution are those of
    the row of the table that holds ``e_ref``, not interpolated, as Gammapy's are: they show the
    statistical noise of the simulations.

    Parameters
    ----------
    irfs : mapping, `~gammapy.data.Observation` or IRFSet
        IRFs by the names ``aeff``, ``psf``, ``edisp``, ``bkg`` and ``rad_max``, of which ``aeff``
        has to be there; or what holds them, such as an item of `read_irfs`.
    offset : Quantity[angle] or str, optional
        Angle to the axis. Default: 0.5 deg, or the only one of tables for a single offset.
    energy_edges : Quantity[energy], shape (n+1,), optional
        Edges of the bins. Default: five a decade, centred on powers of ten, as far as the effective
        area goes.
    containment : sequence of float
        Which containment radii; 0.68 gives ``r68``.

    Returns
    -------
    table : `~astropy.table.QTable`
        A row a bin. ``table.meta`` holds label, telescope, site, zenith and event type as far as
        headers say them, the offset, the background rate over the field of view, the definitions
        and the notes.

    Raises
    ------
    MissingHDUError
        If there is no effective area.
    SelectionError
        If a table does not reach to the offset.
    ConfigError
        If edges or fractions are not usable.

    References
    ----------
    The definitions of the angular and the energy resolution are those of CTAO's public performance
    page, https://www.ctao.org/for-scientists/performance/; for the columns that Gammapy has, see
    `gammapy.irf.EDispKernel`.

    Examples
    --------
    >>> import astropy.units as u
    >>> from ctao_sat import dl3, simulate
    >>> table = dl3.irf_performance(simulate.demo_array("south"), offset="0.5 deg")
    >>> row = table[table["e_ref"] == 1 * u.TeV][0]
    >>> row["effective_area"].to("km2").round(2), row["r68"].round(3)
    (<Quantity 0.69 km2>, <Quantity 0.056 deg>)
    """
    which = irf_set(irfs)
    if "aeff" not in which.irfs:
        raise MissingHDUError(
            f"The IRFs of {which.label} have no effective area.",
            remedy="Without it there is no performance to show; complete the file.",
            where=which.source,
        )
    theta = _offset(which, offset)
    edges = _edges(which.irfs["aeff"], energy_edges)
    notes = list(which.notes)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        # What the tables leave out is divided by zero on the way to NaN.
        warnings.simplefilter("ignore", RuntimeWarning)
        table = _table(which.irfs, theta, edges, _fractions(containment), notes)
    table.meta.update(
        which.describe()
        | {
            "offset": theta,
            "background_rate_fov": values.field_of_view_rate(which.irfs.get("bkg")),
            "definitions": _definitions(table.colnames),
            "notes": notes,
        }
    )
    return table


def _definitions(columns: Sequence[str]) -> dict[str, str]:
    found = {name: text for name, text in DEFINITIONS.items() if name in columns}
    for name in columns:
        if name[0] == "r" and name[1:].replace(".", "").isdigit():
            found[name] = f"Radius that holds {name[1:]} % of the events of a point source."
    return found | {"background_rate_fov": DEFINITIONS["background_rate_fov"]}


def _table(
    irfs: Mapping[str, IRF], offset: u.Quantity, edges: u.Quantity, fractions, notes: list[str]
) -> QTable:
    e_ref = _centers(edges)
    table = QTable({"e_ref": e_ref, "e_min": edges[:-1], "e_max": edges[1:]})

    def add(names: Sequence[str], irf: str, unit: str, compute: Callable[[IRF], Any]) -> None:
        table_irf = irfs.get(irf)
        if table_irf is None:
            found = np.full((len(names), len(e_ref)), np.nan)
            notes.append(f"{', '.join(names)}: the IRFs have no {irf}.")
        else:
            found = np.atleast_2d(compute(table_irf))
            notes.extend(_say_missing(names, irf, table_irf, found, e_ref))
        for name, column in zip(names, found, strict=True):
            table[name] = column * u.Unit(unit)

    add(["effective_area"], "aeff", "m2", lambda irf: values.effective_area(irf, e_ref, offset))
    radii = [f"r{100 * fraction:g}" for fraction in fractions]
    add(radii, "psf", "deg", lambda irf: values.containment_radii(irf, fractions, e_ref, offset))
    if "rad_max" in irfs:
        add(["rad_max"], "rad_max", "deg", lambda irf: values.rad_max(irf, e_ref, offset))
    names = ["energy_bias", "energy_resolution", "energy_resolution_rms"]
    add(names, "edisp", "", lambda irf: values.energy_resolution(irf, e_ref, offset))
    add(
        ["background_rate"],
        "bkg",
        "s-1 deg-2",
        lambda irf: values.background_rate(irf, edges, offset).to_value("s-1 deg-2"),
    )
    radius = table["rad_max"] if "rad_max" in irfs else _r68(irfs.get("psf"), table, offset)
    solid_angle = 2 * np.pi * (1 - np.cos(radius)) * u.sr
    table["background_rate_in_r68"] = (table["background_rate"] * solid_angle).to("s-1")
    if "edisp" in irfs:
        notes.extend(_say_coarse(irfs["edisp"], table))
    for name in table.colnames:
        table[name].info.format = ".4g"
    return table


def _r68(psf: IRF | None, table: QTable, offset: u.Quantity) -> u.Quantity:
    if psf is None:
        return np.full(len(table), np.nan) * u.deg
    if "r68" in table.colnames:
        return table["r68"]
    return values.containment_radii(psf, [0.68], table["e_ref"], offset)[0] * u.deg


def _say_missing(names, irf: str, table_irf: IRF, found: np.ndarray, e_ref) -> list[str]:
    """Say at which energies columns are not finite, and why."""
    axis = table_irf.axes["energy_true" if "energy_true" in table_irf.axes.names else "energy"]
    low, high = axis.edges[[0, -1]].to("TeV")
    outside = (e_ref < low) | (e_ref > high)
    notes = []
    if np.any(~np.isfinite(found) & outside):
        notes.append(f"{', '.join(names)}: {irf} covers {low.value:.3g}–{high.value:.3g} TeV.")
    alike: dict[str, list[str]] = {}
    for name, column in zip(names, found, strict=True):
        energies = ", ".join(
            f"{value:.3g}" for value in e_ref[~np.isfinite(column) & ~outside].value
        )
        if energies:
            alike.setdefault(energies, []).append(name)
    for energies, some in alike.items():
        notes.append(f"{', '.join(some)}: {irf} is empty or incomplete at {energies} TeV.")
    return notes


def _say_coarse(edisp: IRF, table: QTable) -> list[str]:
    edges = edisp.axes["energy_true"].edges
    spread = float(np.max(np.diff(np.log(edges.value)))) / np.sqrt(12)
    rms = table["energy_resolution_rms"].to_value("")
    if not np.any(spread > 0.5 * rms):
        return []
    return [
        "energy_resolution_rms: the energy bins of the edisp table are wide, and spread it by "
        f"{spread:.2f} in quadrature; see energy_resolution."
    ]


def _offset(which: IRFSet, offset: u.Quantity | str | None) -> u.Quantity:
    """Return the offset, within reach of all tables."""
    reach = [
        axis.edges.to_value("deg")
        for irf in which.irfs.values()
        for axis in irf.axes
        if axis.name == "offset"
    ]
    # Backgrounds in two dimensions: as far as the whole circle is within.
    reach += [
        np.array([0.0, min(-axis.edges[0], axis.edges[-1]).to_value("deg")])
        for irf in which.irfs.values()
        for axis in irf.axes
        if axis.name in ("fov_lon", "fov_lat")
    ]
    low, high = max(edges[0] for edges in reach), min(edges[-1] for edges in reach)
    if offset is None:
        single = [edges for edges in reach if len(edges) == 2 and edges[0] > 0]
        inside = low <= DEFAULT_OFFSET.value <= high
        theta = DEFAULT_OFFSET if inside or not single else single[0].mean().round(6) * u.deg
    else:
        theta = _angle(offset)
    slack = _TOLERANCE * max(high, 1.0)
    if not max(low, 0.0) - slack <= theta.value <= high + slack:
        raise SelectionError(
            f"The IRFs of {which.label} do not reach to an offset of {theta:g}.",
            remedy=f"Choose one of {max(low, 0.0):.3g}–{high:.3g} deg.",
            where=which.source,
        )
    return np.clip(theta, max(low, 0.0) * u.deg, high * (1 - 1e-12) * u.deg)


def _angle(offset: u.Quantity | str) -> u.Quantity:
    try:
        theta = u.Quantity(offset, "deg")
        if theta.isscalar and np.isfinite(theta):
            return theta
    except (TypeError, ValueError):
        pass
    raise ConfigError(f"The offset '{offset}' is not one angle.", remedy="For example: '0.5 deg'.")


def _edges(aeff: IRF, edges: u.Quantity | None) -> u.Quantity:
    if edges is None:
        axis = aeff.axes["energy_true"].edges.to_value("TeV")
        first = int(np.ceil(PER_DECADE * np.log10(axis[0]) + 0.5 - _TOLERANCE))
        last = int(np.floor(PER_DECADE * np.log10(axis[-1]) - 0.5 + _TOLERANCE))
        edges = 10 ** ((np.arange(first, max(last, first) + 2) - 0.5) / PER_DECADE) * u.TeV
    try:
        checked = u.Quantity(edges, "TeV", dtype=float)
    except (TypeError, ValueError):
        checked = u.Quantity(0, "TeV")
    if checked.ndim != 1 or len(checked) < 2 or not np.all(np.diff(checked, prepend=0 * u.TeV) > 0):
        raise ConfigError(
            "Energy edges must be at least two, positive, and rise.",
            remedy="For example: [1, 3, 10] * u.TeV.",
        )
    return checked


def _centers(edges: u.Quantity) -> u.Quantity:
    # Rounded, for 1 TeV is to be in the row of a table that begins there.
    centers = np.sqrt(edges[1:] * edges[:-1]).to_value("TeV")
    return np.array([float(f"{value:.12g}") for value in centers]) * u.TeV


def _fractions(containment: Sequence[float]) -> list[float]:
    try:
        fractions = [float(fraction) for fraction in containment]
    except (TypeError, ValueError):
        fractions = []
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise ConfigError(
            f"Containment {containment} is not usable.",
            remedy="Give one or more fractions between 0 and 1, such as (0.68, 0.95).",
        )
    return fractions
