"""What a user holds after any recipe: findings, tables, plots, and where they came from."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from astropy.table import Table

from ctao_sat.config import RecipeConfig
from ctao_sat.errors import ConfigError
from ctao_sat.report import Section

__all__ = ["EXIT_CODES", "Run"]

EXIT_CODES = {"detection": 0, "no detection": 0, "not converged": 4, "partial": 5}


@dataclass(frozen=True, kw_only=True)
class Run:
    """The result of a recipe; recipes add products of their own, and how these are shown.

    Attributes
    ----------
    config : RecipeConfig
        As run.
    status : {"detection", "no detection", "not converged", "partial"}
        What came out.
    statements : list of str
        The findings in plain sentences.
    summary : dict
        The numbers behind them, ready for JSON; with the key ``target``.
    tables : dict of `~astropy.table.Table`
        ``observations`` and ``selection``, and those of the recipe.
    provenance : dict
        Inputs with checksums, versions, steps, warnings.
    path : Path or None
        The run folder, once it is written.
    """

    config: RecipeConfig
    status: str
    statements: list[str]
    summary: dict[str, Any]
    tables: dict[str, Table] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of the command line for this result."""
        return EXIT_CODES[self.status]

    def figures(self) -> dict[str, Callable]:
        """Return the plots that can be made of this run, by name."""
        return {}

    def sections(self, figures: Mapping[str, Path]) -> list[Section]:
        """Return the parts of the report that follow the selection of observations.

        Parameters
        ----------
        figures : mapping of Path
            Images of the plots, by name.

        Returns
        -------
        sections : list of `~ctao_sat.report.Section`
            In their order.
        """
        return []

    def cards(self) -> list[tuple[str, str]]:
        """Return the numbers to see first in the report, label and value."""
        return []

    def write_products(self, folder: Path) -> None:
        """Write what is neither table nor plot.

        Parameters
        ----------
        folder : Path
            An empty folder.
        """

    def at(self, path: Path) -> Self:
        """Return the same run, with the folder it was written to."""
        return replace(self, path=path)

    def _need(self, name: str):
        value = getattr(self, name)
        if value is None:
            raise ConfigError(
                f"This run has no {name}.", remedy="See run.statements for the reason."
            )
        return value

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise ConfigError(
                f"This run has no table '{name}'.", remedy=f"It has: {', '.join(self.tables)}."
            )
        return self.tables[name]

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in self.statements)
        place = f"<p><code>{html.escape(str(self.path))}</code></p>" if self.path else ""
        title = f"{self.config.recipe}: {self.status}"
        return f"<div><h3>{html.escape(title)}</h3><ul>{items}</ul>{place}</div>"
