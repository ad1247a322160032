"""Arrange a run into the page of its report."""

from pathlib import Path

from ctao_sat import report
from ctao_sat.workflow._run import Run

__all__ = ["page"]


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
    return report.render(
        title=f"{run.summary['target']}: {run.config.recipe}",
        status=run.status,
        statements=run.statements,
        cards=run.cards(),
        sections=[
            report.Section("Observations", table=run.tables["observations"]),
            report.Section("Selection", table=run.tables["selection"]),
            *run.sections(figures),
        ],
        terms=report.data_terms(run.provenance["headers"]),
        provenance=run.provenance,
    )
