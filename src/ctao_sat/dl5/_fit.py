"""Fit models to datasets, through the compiled likelihood or with Gammapy's Fit."""

import logging

import numpy as np
from gammapy.datasets import Datasets
from gammapy.modeling import Fit, FitResult

from ctao_sat._gammapy import unique_models
from ctao_sat.errors import ConfigError, DataError
from ctao_sat.likelihood import KernelCache, fit_compiled

__all__ = ["fit"]

log = logging.getLogger(__name__)


def fit(
    datasets: Datasets,
    *,
    compiled: bool | str = "auto",
    errors: str = "hesse",
    guard: bool = True,
    kernels: KernelCache | None = None,
    starts: int = 1,
) -> FitResult:
    """Fit the free parameters of the models to the datasets.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models. Their parameters and covariance are set to the result, as Gammapy does.
    compiled : {"auto", True, False}
        Whether to use the compiled likelihood, which gives Gammapy's numbers: a value in a
        hundredth of the time, a fit with all around it in a tenth to a hundredth. With ``"auto"``,
        Gammapy evaluates what cannot be compiled: the reason is logged and stays in
        ``result.report``. False is Gammapy's ``Fit``.
    errors : {"hesse", "migrad"}
        The covariance: from the second derivatives at the minimum, or the one that the
        minimisation has gathered on its way. Gammapy's ``Fit`` always gives the latter, and
        calls it by the name of the former. Fits of free shapes give the former.
    guard : bool
        Compare the compiled likelihood with Gammapy at the start, near it and at the optimum.
        Where they differ, warn, and let Gammapy fit.
    kernels : `~ctao_sat.likelihood.KernelCache`, optional
        PSF and energy-dispersion kernels that earlier fits of the same data have extracted.
    starts : int
        From how many starts to fit free positions and sizes: the present ones, and others around
        them. The lowest minimum is taken.

    Returns
    -------
    result : `~gammapy.modeling.FitResult`
        See its ``success`` and ``message``: a fit that did not converge is no error here. If
        compiled, its ``report`` says what was compiled and what was not.

    Raises
    ------
    ConfigError
        If there is no model, or no free parameter, or an option is unknown.
    DataError
        If no bin is left to fit.
    NotCompilable
        If ``compiled`` is True and something cannot be compiled.

    Examples
    --------
    >>> import numpy as np
    >>> from gammapy.datasets import Datasets, SpectrumDataset
    >>> from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
    >>> from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
    >>> from ctao_sat import dl5
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=2)
    >>> energy_true = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=2, name="energy_true")
    >>> exposure = RegionNDMap.create("icrs;circle(0, 0, 1)", axes=[energy_true], unit="m2 s")
    >>> exposure.data += 1e11
    >>> dataset = SpectrumDataset.create(
    ...     RegionGeom.create("icrs;circle(0, 0, 1)", axes=[energy]), energy_axis_true=energy_true
    ... )
    >>> dataset.exposure, dataset.edisp, dataset.mask_safe = exposure, None, None
    >>> dataset.counts.data[:, 0, 0] = [684, 216]
    >>> model = SkyModel(PowerLawSpectralModel(), name="source")
    >>> datasets = Datasets([dataset])
    >>> datasets.models = [model]
    >>> result = dl5.fit(datasets, compiled=True)
    >>> result.success, result.covariance_result.method
    (True, 'hesse')
    >>> print(f"{model.spectral_model.index.value:.3f} {model.spectral_model.index.error:.3f}")
    2.001 0.068
    """
    if compiled not in ("auto", True, False):
        raise ConfigError(f"Unknown choice: compiled={compiled!r}.", remedy="Take 'auto'.")
    if errors not in ("hesse", "migrad"):
        raise ConfigError(f"Unknown errors: {errors!r}.", remedy="Take 'hesse' or 'migrad'.")
    # Gammapy keeps the covariance on this object: a copy would take it away.
    if not isinstance(datasets, Datasets):
        datasets = Datasets(datasets)
    if not isinstance(starts, int) or starts < 1:
        raise ConfigError(f"A fit from {starts!r} starts.", remedy="Take a whole number from 1 on.")
    models = unique_models(datasets)
    if not models:
        raise ConfigError("The datasets have no models.", remedy="Set datasets.models first.")
    if all(parameter.frozen for model in models for parameter in model.parameters):
        raise ConfigError("No parameter is free.", remedy="Thaw one: `frozen: false`.")
    if not any(_has_bins(dataset) for dataset in datasets):
        raise DataError(
            "No energy bin is left to fit: all are outside the safe or the fit range.",
            remedy="Widen `fit.energy_min` and `fit.energy_max`, or loosen the safe mask.",
        )
    if compiled:
        result = fit_compiled(
            datasets,
            complete=compiled is True,
            errors=errors,
            guard=guard,
            kernels=kernels,
            starts=starts,
        )
    else:
        # Optimisers try parameters at which spectra overflow.
        with np.errstate(all="ignore"):
            result = Fit().run(datasets)
    if not result.success:
        covariance = result.covariance_result
        lost = result.optimize_result.success and covariance is not None
        message = covariance.message if lost else result.message
        log.warning("The fit did not converge: %s", " ".join(str(message).split()))
    return result


def _has_bins(dataset) -> bool:
    mask = getattr(dataset, "mask", None)
    return mask is None or bool(np.any(mask.data))
