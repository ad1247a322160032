"""What a user holds after a recipe for the spectrum of one source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.maps import WcsNDMap
from gammapy.modeling import FitResult
from gammapy.modeling.models import Models, SkyModel
from regions import SkyRegion

from ctao_sat import plotting
from ctao_sat.report import Section
from ctao_sat.workflow._products import flux_table, write_fit, write_flux
from ctao_sat.workflow._run import Run

__all__ = ["SpectrumRun"]

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


@dataclass(frozen=True, kw_only=True)
class SpectrumRun(Run):
    """The result of a recipe for the spectrum of one source.

    Attributes
    ----------
    config, status, statements, summary, tables, provenance, path : object
        As of any `Run`; the tables may be ``observations``, ``selection``, ``significance``,
        ``theta_squared``, ``parameters``.
    models : `~gammapy.modeling.models.Models`
        As fitted, with covariance.
    datasets : `~gammapy.datasets.Datasets`
        One an observation.
    fit_result : `~gammapy.modeling.FitResult` or None
        None without a detection.
    flux_points, light_curve : `~gammapy.estimators.FluxPoints` or None
        The flux in bins of energy, and of time.
    reference : `~gammapy.modeling.models.SkyModel` or None
        Model to compare with: a truth, an earlier result.
    exclusion : `~gammapy.maps.WcsNDMap` or None
        Mask that is False where no off region may lie.
    """

    models: Models
    datasets: Datasets
    fit_result: FitResult | None = None
    flux_points: FluxPoints | None = None
    light_curve: FluxPoints | None = None
    reference: SkyModel | None = None
    exclusion: WcsNDMap | None = None

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

    def sections(self, figures: Mapping[str, Path]) -> list[Section]:
        """Return the parts of the report on the spectrum; see `Run.sections`.

        Parameters
        ----------
        figures : mapping of Path
            Images of the plots, by name.
        """
        tables = dict(self.tables)
        if self.fit_result is None:
            # Start values would look like a result.
            tables["parameters"] = None
        for name, quantity in (("flux_points", "dnde"), ("light_curve", "flux")):
            if getattr(self, name) is not None:
                tables[name] = flux_table(getattr(self, name), quantity)
        return [
            Section(
                title,
                table=tables[table] if table else None,
                figure=figures[name],
                caption=caption,
            )
            for name, (title, caption, table) in _SECTIONS.items()
            if name in figures
        ]

    def cards(self) -> list[tuple[str, str]]:
        """Return the numbers to see first in the report, label and value."""
        summary = self.summary
        energies = f"{summary['energy_min_tev']:.3g} – {summary['energy_max_tev']:.3g} TeV"
        return [
            ("Significance", f"{summary['significance']:.1f} σ"),
            ("Excess", f"{summary['excess']:.1f}"),
            ("Livetime", f"{summary['livetime_h']:.2f} h"),
            ("Observations", str(summary["n_observations"])),
            ("Energy range", energies),
        ]

    def write_products(self, folder: Path) -> None:
        """Write datasets, models, fit result, flux points and light curve.

        Parameters
        ----------
        folder : Path
            An empty folder.
        """
        write_fit(self.datasets, self.models, self.fit_result, folder)
        write_flux(self.flux_points, "flux_points", folder)
        write_flux(self.light_curve, "light_curve", folder)

    def _on_radius(self):
        region: SkyRegion = self.datasets[0].counts.geom.region
        return getattr(region, "radius", None)
