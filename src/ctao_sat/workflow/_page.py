"""Arrange the products of a run into the sections of its report."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table

from ctao_sat import report
from ctao_sat.workflow._run import Run

__all__ = ["page"]

# Name of the product: title, caption of the figure, table beside it.
_SECTIONS = {
    "theta_squared": (
        "Theta-squared",
        "Events over the squared distance to the target; off events from one position, the target "
        "mirrored at the pointing. All runs in the energy range given above, also where a single "
        "run's safe range is narrower: counts and significance differ from those of the fit.",
        None,
    ),
    "significance": (
        "Significance over livetime",
        "Li & Ma significance and excess in the safe energy range, run after run.",
        None,
    ),
    "regions": (
        "On and off regions",
        "Regions of all runs, what is excluded, and the pointings.",
        None,
    ),
    "counts": ("Counts and model", "All runs stacked; lower panel: residuals.", "parameters"),
    "sed": (
        "Spectrum",
        "Flux points, and the fitted model with its one-sigma band, if there is one.",
        "flux_points",
    ),
    "light_curve": ("Light curve", "Integral flux; arrows are upper limits.", "light_curve"),
}
_FLUX_COLUMNS = ["e_ref", "e_min", "e_max", "dnde", "dnde_err", "dnde_ul", "sqrt_ts", "is_ul"]
_CURVE_COLUMNS = ["time_min", "time_max", "flux", "flux_err", "flux_ul", "sqrt_ts", "is_ul"]


def page(run: Run, figures: dict[str, Path]) -> str:
    """Return the report of a run as one self-contained HTML page.

    Parameters
    ----------
    run : Run
        The run.
    figures : dict of Path
        Images of its plots, by name.

    Returns
    -------
    html : str
        The page.
    """
    tables = dict(run.tables)
    if run.fit_result is None:
        # Start values would look like a result.
        tables["parameters"] = None
    if run.flux_points is not None:
        table = run.flux_points.to_table(sed_type="dnde", format="gadf-sed")
        tables["flux_points"] = _readable(table, _FLUX_COLUMNS, "dnde")
    if run.light_curve is not None:
        table = run.light_curve.to_table(sed_type="flux", format="lightcurve")
        tables["light_curve"] = _readable(table, _CURVE_COLUMNS, "flux")
    sections = [
        report.Section("Observations", table=tables["observations"]),
        report.Section("Selection", table=tables["selection"]),
    ]
    for name, (title, caption, table) in _SECTIONS.items():
        if name in figures:
            sections.append(
                report.Section(
                    title,
                    table=tables[table] if table else None,
                    figure=figures[name],
                    caption=caption,
                )
            )
    return report.render(
        title=f"{run.summary['target']}: {run.config.recipe}",
        status=run.status,
        statements=run.statements,
        cards=_cards(run),
        sections=sections,
        terms=report.data_terms(run.provenance["headers"]),
        provenance=run.provenance,
    )


def _readable(table: Table, columns: list[str], quantity: str) -> Table:
    """Return the columns to show; where there is a limit, it alone counts."""
    shown = Table(table[[name for name in columns if name in table.colnames]], copy=True)
    limits = np.asarray(shown["is_ul"], dtype=bool)
    for name in (quantity, f"{quantity}_err"):
        values = np.asarray(shown[name], dtype=float).copy()
        values[limits] = np.nan
        shown[name] = u.Quantity(values, shown[name].unit, copy=False)
    return shown


def _cards(run: Run) -> list[tuple[str, str]]:
    summary = run.summary
    energies = f"{summary['energy_min_tev']:.3g} – {summary['energy_max_tev']:.3g} TeV"
    return [
        ("Significance", f"{summary['significance']:.1f} σ"),
        ("Excess", f"{summary['excess']:.1f}"),
        ("Livetime", f"{summary['livetime_h']:.2f} h"),
        ("Observations", str(summary["n_observations"])),
        ("Energy range", energies),
    ]
