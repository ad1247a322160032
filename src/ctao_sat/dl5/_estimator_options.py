"""Check what estimators of flux are asked for."""

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.modeling.models import SkyModel, SpectralModel

from ctao_sat._gammapy import reference_spectrum, unique_models
from ctao_sat.errors import ConfigError, DataError, SourceNotFoundError, did_you_mean

__all__ = [
    "check_edges",
    "check_selection",
    "check_together",
    "exploring",
    "flux_reference",
    "others_are_free",
    "prior_constant",
    "source_name",
]


def exploring() -> np.errstate:
    """Return a context in which optimisers may try anything."""
    # Optimisers try parameters at which spectra overflow; Gammapy handles an index of 2 so, too.
    return np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


def source_name(datasets: Datasets, source: str | None) -> str:
    """Return the name of a source, that of the first one if none is given."""
    if not datasets.models:
        raise ConfigError("The datasets have no models.", remedy="Set datasets.models first.")
    # Background models have no spectrum of a source.
    names = [model.name for model in datasets.models if hasattr(model, "spatial_model")]
    if source is None and names:
        return names[0]
    if source is None or source not in names:
        raise SourceNotFoundError(
            f"No source '{source}'. Models: {', '.join(repr(name) for name in names)}.",
            remedy=did_you_mean(str(source), names),
        )
    return source


def others_are_free(datasets: Datasets, source: str | None) -> bool:
    """Return whether another model has a free parameter; if not, Gammapy refuses to refit."""
    name = source_name(datasets, source)
    others = [model for model in datasets.models if model.name != name]
    return any(len(model.parameters.free_parameters) > 0 for model in others)


def check_selection(selection: str | Sequence[str]) -> list[str] | str:
    """Return a selection of quantities as Gammapy takes it."""
    return selection if selection == "all" else list(selection)


def check_edges(edges: u.Quantity) -> u.Quantity:
    """Return edges of energy bins, in TeV."""
    edges = u.Quantity(edges, "TeV")
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise ConfigError(
            "Energy edges must be at least two, and rise.",
            remedy="For example: [1, 3, 10] * u.TeV.",
        )
    return edges


def flux_reference(model: SkyModel, edges: u.Quantity) -> SpectralModel:
    """Return the spectrum that norms refer to; refuse one whose flux Gammapy cannot give."""
    spectrum = reference_spectrum(model, edges)
    # As Gammapy's flux points ask for it.
    low, high = edges[:-1].reshape(-1, 1, 1), edges[1:].reshape(-1, 1, 1)
    with exploring():
        shape = spectrum.integral(low, high).shape
    if shape != low.shape:
        raise ConfigError(
            f"Gammapy cannot integrate a {spectrum.tag[0]} over a single bin.",
            remedy="Take more bins, or a SmoothBrokenPowerLawSpectralModel.",
        )
    return spectrum


def check_together(datasets: Datasets) -> None:
    """Refuse datasets that have no common flux points, as Gammapy does."""
    if not all(hasattr(dataset, "counts") for dataset in datasets):
        raise DataError(
            "Flux points have no counts: new ones cannot be estimated from them.",
            remedy="Take the datasets that they were estimated from.",
        )
    if not datasets.energy_axes_are_aligned:
        raise DataError(
            "The energy axes of the datasets are not aligned.",
            remedy="Reduce them with the same energy axis, or resample: `resample_energy_axis`.",
        )
    tables = [dataset.meta_table for dataset in datasets if dataset.meta_table is not None]
    names = {str(n) for table in tables if "TELESCOP" in table.colnames for n in table["TELESCOP"]}
    if len(names) > 1:
        raise DataError(
            f"The datasets are of several telescopes: {', '.join(sorted(names))}.",
            remedy="Estimate the flux points of each telescope by itself.",
        )


def prior_constant(datasets: Datasets, source: str) -> float:
    """Return the priors on what the norm of a source does not change.

    Gammapy's estimators put the spectrum of the source into a model with a norm, which does not
    know of the priors within.
    """
    models = unique_models(datasets)
    own = {id(p) for m in models if m.name == source for p in m.spectral_model.parameters}
    unique = {id(p): p for model in models for p in model.parameters}
    others = [p for key, p in unique.items() if key not in own and p.prior is not None]
    return float(sum(parameter.prior_stat_sum() for parameter in others))
