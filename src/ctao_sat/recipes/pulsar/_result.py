"""What a user holds after the recipe ``pulsar``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPoints
from gammapy.modeling import FitResult
from gammapy.modeling.models import Models

from ctao_sat import plotting, result
from ctao_sat.pulsar import FrequencyScan, PhaseRegions, ProfileFit, PulsarEphemeris
from ctao_sat.recipes.pulsar._config import PulsarConfig
from ctao_sat.report import Section
from ctao_sat.simulate._run_contents import MJD_REFERENCE
from ctao_sat.workflow import Run
from ctao_sat.workflow._products import flux_table, write_fit, write_flux

__all__ = ["PhaseSpectrum", "PulsarRun"]

# Name of the product: title, caption of the figure, table beside it.
_SECTIONS = {
    "profile": (
        "Pulse profile",
        "Selected events over phase, two cycles of the same data; regions and fit as configured.",
        "peaks",
    ),
    "phaseogram": ("Phaseogram", "Selected events over phase and time, two cycles.", None),
    "h_test": (
        "H test over livetime",
        "The H test of the events so far. A pulsar with the right ephemeris grows steadily.",
        "tests",
    ),
    "scan": ("Search in frequency", "The statistic of all trials.", None),
    "counts": (
        "Counts of the on phases",
        "All runs stacked; the background is that of the off phases; lower panel: residuals.",
        "parameters",
    ),
    "sed": (
        "Spectrum of the on phases",
        "Flux points, and the fitted model with its one-sigma band, if there is one.",
        "flux_points",
    ),
}


@dataclass(frozen=True, kw_only=True)
class PhaseSpectrum:
    """The spectrum of the on phases, as far as it could be derived."""

    datasets: Datasets
    models: Models
    fit_result: FitResult | None = None
    flux_points: FluxPoints | None = None


@dataclass(frozen=True, kw_only=True)
class PulsarRun(Run):
    """The result of the recipe ``pulsar``.

    Attributes
    ----------
    config, status, statements, summary, tables, provenance, path : object
        As of any `~ctao_sat.workflow.Run`; the tables are ``observations``, ``selection``,
        ``phases`` (what they were made of, and the error budget), ``tests``, ``h_test``,
        ``profile``, and, if configured, ``regions``, ``peaks``, ``scan`` and ``parameters``.
    ephemeris : `~ctao_sat.pulsar.PulsarEphemeris`
        The par file.
    events : `~astropy.table.Table`
        The selected events: ``OBS_ID``, ``TIME``, ``PHASE``, ``ENERGY``, ``RA``, ``DEC``.
    regions : `~ctao_sat.pulsar.PhaseRegions` or None
        On and off phases.
    profile_fit : `~ctao_sat.pulsar.ProfileFit` or None
        The fitted peaks.
    scan : `~ctao_sat.pulsar.FrequencyScan` or None
        The search in frequency.
    spectrum : PhaseSpectrum or None
        Datasets, models and flux points of the on phases.
    """

    config: PulsarConfig
    ephemeris: PulsarEphemeris
    events: Table
    regions: PhaseRegions | None = None
    profile_fit: ProfileFit | None = None
    scan: FrequencyScan | None = None
    spectrum: PhaseSpectrum | None = None

    def plot_profile(self, ax=None):
        """Plot the selected events over phase, with regions and fitted peaks."""
        fit = self.profile_fit
        return plotting.plot_profile(
            self.events["PHASE"],
            regions=self.regions,
            model=fit.profile.density if fit is not None and fit.success else None,
            n_bins=self.config.profile.n_bins,
            ax=ax,
        )

    def plot_phaseogram(self, ax=None):
        """Plot the selected events over phase and time."""
        return plotting.plot_phaseogram(
            self.events["PHASE"], self.events["TIME"], regions=self.regions, ax=ax
        )

    def plot_h_test(self, ax=None):
        """Plot the H test over the livetime."""
        return plotting.plot_h_test(
            self._table("h_test"), max_harmonics=self.config.tests.max_harmonics, ax=ax
        )

    def plot_scan(self, ax=None):
        """Plot the search in frequency."""
        return plotting.plot_scan(self._need("scan"), ax=ax)

    def plot_counts(self, axes=None):
        """Plot counts of the on phases, all runs stacked, and what the model predicts."""
        spectrum = self._need("spectrum")
        stacked = spectrum.datasets.stack_reduce(name="stacked")
        if spectrum.fit_result is not None:
            stacked.models = Models([model.copy(name=model.name) for model in spectrum.models])
        return plotting.plot_counts(stacked, axes=axes)

    def plot_sed(self, ax=None):
        """Plot the spectrum of the on phases."""
        spectrum = self._need("spectrum")
        return plotting.plot_sed(spectrum.flux_points, spectrum.models[0], ax=ax)

    def figures(self) -> dict[str, Callable]:
        """Return the plots that can be made of this run, by name."""
        plots: dict[str, Callable] = {
            "profile": self.plot_profile,
            "phaseogram": self.plot_phaseogram,
            "h_test": self.plot_h_test,
        }
        if self.scan is not None:
            plots["scan"] = self.plot_scan
        if self.spectrum is not None:
            plots["counts"] = self.plot_counts
            if self.spectrum.flux_points is not None:
                plots["sed"] = self.plot_sed
        return plots

    def sections(self, figures: Mapping[str, Path]) -> list[Section]:
        """Return the parts of the report on phases; see `~ctao_sat.workflow.Run.sections`.

        Parameters
        ----------
        figures : mapping of Path
            Images of the plots, by name.
        """
        tables = dict(self.tables)
        if self.spectrum is not None and self.spectrum.flux_points is not None:
            tables["flux_points"] = flux_table(self.spectrum.flux_points, "dnde")
        made = [
            Section(
                title,
                table=tables.get(table) if table else None,
                figure=figures[name],
                caption=caption,
            )
            for name, (title, caption, table) in _SECTIONS.items()
            if name in figures
        ]
        if "regions" in tables:
            caption = "Counts of the on phases; alpha is their width over that of the off phases."
            made.append(Section("Regions of phase", table=tables["regions"], caption=caption))
        caption = (
            "What phases were made of, and how wrong they may be, in turns: largest values of each "
            "part, but one standard deviation of the parameters."
        )
        return [*made, Section("Phases", table=tables["phases"], caption=caption)]

    def cards(self) -> list[tuple[str, str]]:
        """Return the numbers to see first in the report, label and value."""
        summary = self.summary
        sigma = summary["h"]["sigma"]
        strength = "> 37 σ" if np.isinf(sigma) else f"{sigma:.1f} σ"
        shown = [("H test", f"{summary['h']['statistic']:.1f} ({strength})")]
        if "regions" in summary:
            excess = summary["regions"]
            shown.append(("Excess, on phases", f"{excess['excess']:.0f} ({excess['sigma']:.1f} σ)"))
        return [
            *shown,
            ("Events", str(summary["n_events"])),
            ("Livetime", f"{summary['livetime_h']:.2f} h"),
            ("Observations", str(summary["n_observations"])),
            ("Phases good to", f"{summary['phase_error']:.2g} turns"),
        ]

    def write_products(self, folder: Path) -> None:
        """Write events with phases, the par file, the search and the spectrum.

        Parameters
        ----------
        folder : Path
            An empty folder.
        """
        self.ephemeris.write(folder / "ephemeris.par")
        result.write_table(_with_seconds(self.events), folder / "events.fits")
        if self.scan is not None:
            _write_scan(self.scan, folder / "scan.fits")
        if self.spectrum is not None:
            spectrum = self.spectrum
            write_fit(spectrum.datasets, spectrum.models, spectrum.fit_result, folder)
            write_flux(spectrum.flux_points, "flux_points", folder)


def _with_seconds(events: Table) -> Table:
    """Return events with times as event lists have them: seconds since a reference, TT."""
    day, fraction = MJD_REFERENCE
    table = events.copy(copy_data=False)
    since = events["TIME"].tt - Time(day, fraction, format="mjd", scale="tt")
    table["TIME"] = since.to("s")
    table.meta |= {"MJDREFI": day, "MJDREFF": fraction, "TIMESYS": "TT", "TIMEUNIT": "s"}
    return table


def _write_scan(scan: FrequencyScan, path: Path) -> None:
    """Write all trials as an image whose axes are frequency and derivative."""
    hdu = fits.PrimaryHDU(np.asarray(scan.values, dtype=np.float32))
    for axis, (kind, trials, unit) in enumerate(
        (("FREQ", scan.f0, "Hz"), ("FDOT", scan.f1, "Hz/s")), start=1
    ):
        values = trials.to_value(u.Unit(unit))
        step = values[1] - values[0] if len(values) > 1 else 1.0
        hdu.header[f"CTYPE{axis}"] = kind
        hdu.header[f"CUNIT{axis}"] = unit
        hdu.header[f"CRPIX{axis}"] = 1.0
        hdu.header[f"CRVAL{axis}"] = float(values[0])
        hdu.header[f"CDELT{axis}"] = float(step)
    hdu.header["EPOCH"] = (float(scan.epoch.tdb.mjd), "MJD (TDB, at the barycentre)")
    hdu.header["STAT"] = (scan.statistic, "of the values")
    hdu.header["NHARM"] = (scan.n_harmonics, "of the statistic")
    hdu.writeto(path, checksum=True)
