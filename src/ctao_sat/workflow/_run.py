"""What a user holds after a recipe: products, statements, and their plots."""

import html
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from astropy.coordinates import SkyCoord
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.maps import WcsNDMap
from gammapy.modeling import FitResult
from gammapy.modeling.models import Models, SkyModel
from regions import SkyRegion

from ctao_sat import plotting
from ctao_sat.config import RecipeConfig
from ctao_sat.errors import ConfigError

__all__ = ["EXIT_CODES", "Run"]

EXIT_CODES = {"detection": 0, "no detection": 0, "not converged": 4, "partial": 5}


@dataclass(frozen=True)
class Run:
    """The result of a recipe.

    Attributes
    ----------
    config : RecipeConfig
        As run.
    status : {"detection", "no detection", "not converged", "partial"}
        What came out.
    statements : list of str
        The findings in plain sentences.
    summary : dict
        The numbers behind them, ready for JSON.
    models : `~gammapy.modeling.models.Models`
        As fitted, with covariance.
    datasets : `~gammapy.datasets.Datasets`
        One an observation.
    fit_result : `~gammapy.modeling.FitResult` or None
        None without a detection.
    flux_points, light_curve : `~gammapy.estimators.FluxPoints` or None
        The flux in bins of energy, and of time.
    tables : dict of `~astropy.table.Table`
        ``observations``, ``selection``, ``significance``, ``theta_squared``, ``parameters``.
    provenance : dict
        Inputs with checksums, versions, steps, warnings.
    reference : `~gammapy.modeling.models.SkyModel` or None
        Model to compare with: a truth, an earlier result.
    exclusion : `~gammapy.maps.WcsNDMap` or None
        Mask that is False where no off region may lie.
    path : Path or None
        The run folder, once it is written.
    """

    config: RecipeConfig
    status: str
    statements: list[str]
    summary: dict[str, Any]
    models: Models
    datasets: Datasets
    fit_result: FitResult | None = None
    flux_points: FluxPoints | None = None
    light_curve: FluxPoints | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    reference: SkyModel | None = None
    exclusion: WcsNDMap | None = None
    path: Path | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of the command line for this result."""
        return EXIT_CODES[self.status]

    @property
    def sed(self) -> FluxPoints:
        """The flux points."""
        return self._need("flux_points")

    def plot_sed(self, ax=None):
        """Plot flux points and the fitted spectrum with its error band."""
        model = None if self.fit_result is None else self.models[0]
        return plotting.plot_sed(self.sed, model, reference=self.reference, ax=ax)

    def plot_light_curve(self, ax=None):
        """Plot the flux over time."""
        return plotting.plot_light_curve(self._need("light_curve"), ax=ax)

    def plot_theta_squared(self, ax=None):
        """Plot on and off events over the squared distance to the target."""
        radius = self._on_radius()
        return plotting.plot_theta_squared(self._table("theta_squared"), radius=radius, ax=ax)

    def plot_significance(self, ax=None):
        """Plot significance and excess over livetime."""
        return plotting.plot_significance(self._table("significance"), ax=ax)

    def plot_counts(self, axes=None):
        """Plot measured and predicted counts with their residuals, all runs stacked."""
        stacked = self.datasets.stack_reduce(name="stacked")
        if self.fit_result is not None:
            stacked.models = Models([model.copy(name=model.name) for model in self.models])
        return plotting.plot_counts(stacked, axes=axes)

    def plot_regions(self, ax=None):
        """Plot on and off regions on the sky."""
        table = self._table("observations")
        pointings = SkyCoord(table["ra_pnt"].quantity, table["dec_pnt"].quantity)
        return plotting.plot_regions(self.datasets, self.exclusion, pointings=pointings, ax=ax)

    def figures(self) -> dict[str, Callable]:
        """Return the plots that can be made of this run, by name."""
        plots: dict[str, Callable] = {"counts": self.plot_counts, "regions": self.plot_regions}
        if "theta_squared" in self.tables:
            plots["theta_squared"] = self.plot_theta_squared
        if "significance" in self.tables:
            plots["significance"] = self.plot_significance
        if self.flux_points is not None:
            plots["sed"] = self.plot_sed
        if self.light_curve is not None:
            plots["light_curve"] = self.plot_light_curve
        return plots

    def at(self, path: Path) -> "Run":
        """Return the same run, with the folder it was written to."""
        return replace(self, path=path)

    def _on_radius(self):
        region: SkyRegion = self.datasets[0].counts.geom.region
        return getattr(region, "radius", None)

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
