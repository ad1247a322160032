"""Science Analysis Tools of CTAO: Gammapy's nouns, CTAO's verbs.

From event lists and instrument responses to spectra, light curves and a report. The classes are
Gammapy's own; what is added are verbs that take and return them.

Data levels, each with Gammapy's classes of that level and the verbs to the next one:

==========  ===============================================================  =====================
module      answers                                                          verbs
==========  ===============================================================  =====================
`dl3`       what was recorded, and how does the instrument see the sky?      `dl3.open_dl3`,
                                                                             `dl3.irf_performance`
`dl4`       how many counts are in each bin, and how many should there be?   `reduce`
`dl5`       what does the source emit, and how well is that known?           `fit`, `flux_points`,
                                                                             `light_curve`,
                                                                             `dl5.sensitivity`
==========  ===============================================================  =====================

Topics:

============  ====================================================================================
module        answers
============  ====================================================================================
`recipes`     how do I do a whole science case from one file? `run` takes it to a run folder
`workflow`    which steps were run, from what, and where are their products?
`simulate`    what would be observed, for a model of the sky and a set of instrument responses?
`pulsar`      when in the rotation of a pulsar, or in an orbit, was an event, how sure is that?
`transients`  how bright is a source at a time after its event? Temporal models for fits
`likelihood`  how well do these parameters describe these data? Gammapy's statistic, compiled
`plotting`    how do I see a product? Functions from products to matplotlib axes
`report`      how do I show an analysis to others? One self-contained HTML page
`result`      how do products get to disk, with their provenance?
`config`      is this file what a recipe expects, and if not, which line is wrong?
`parallel`    how do I do the same thing for each observation, on all cores?
`kernels`     what of it is compiled? Functions of numbers and arrays, for other modules to call
`errors`      what went wrong, and what can I do about it?
`cli`         the command ``ctao-sat``: ``ctao-sat --help``
============  ====================================================================================

The names used most are here as well, for example ``ctao_sat.DataStore`` or ``ctao_sat.SkyModel``.
All of them are loaded when first used: ``import ctao_sat`` alone loads neither Gammapy nor astropy.

Examples
--------
>>> import ctao_sat as sat
>>> model = sat.PowerLawSpectralModel(index=2.6, amplitude="3.45e-11 cm-2 s-1 TeV-1")
>>> sat.SkyModel(spectral_model=model, name="crab").name
'crab'
"""

from importlib import import_module, metadata, util
from typing import TYPE_CHECKING, Any

from ctao_sat.errors import did_you_mean

if TYPE_CHECKING:
    from ctao_sat import (
        config,
        dl3,
        dl4,
        dl5,
        errors,
        kernels,
        likelihood,
        parallel,
        plotting,
        pulsar,
        recipes,
        report,
        result,
        simulate,
        transients,
        workflow,
    )
    from ctao_sat.dl3 import (
        GTI,
        DataStore,
        EventList,
        FixedPointingInfo,
        Observation,
        Observations,
        ObservationTable,
        load_irf_dict_from_file,
    )
    from ctao_sat.dl4 import (
        Datasets,
        DatasetsMaker,
        FluxPointsDataset,
        FoVBackgroundMaker,
        Map,
        MapAxis,
        MapDataset,
        MapDatasetMaker,
        MapDatasetOnOff,
        ReflectedRegionsBackgroundMaker,
        RegionGeom,
        RegionNDMap,
        RingBackgroundMaker,
        SafeMaskMaker,
        SpectrumDataset,
        SpectrumDatasetMaker,
        SpectrumDatasetOnOff,
        TimeMapAxis,
        WcsGeom,
        WcsNDMap,
        WobbleRegionsFinder,
        reduce,
    )
    from ctao_sat.dl5 import (
        CATALOG_REGISTRY,
        CashCountsStatistic,
        ConstantSpectralModel,
        ConstantTemporalModel,
        DiskSpatialModel,
        EBLAbsorptionNormSpectralModel,
        ExcessMapEstimator,
        ExpCutoffPowerLawSpectralModel,
        ExpDecayTemporalModel,
        Fit,
        FluxMaps,
        FluxPoints,
        FluxPointsEstimator,
        FoVBackgroundModel,
        GaussianSpatialModel,
        GaussianTemporalModel,
        LightCurveEstimator,
        LightCurveTemplateTemporalModel,
        LogParabolaSpectralModel,
        Models,
        Parameter,
        PointSpatialModel,
        PowerLaw2SpectralModel,
        PowerLawNormSpectralModel,
        PowerLawSpectralModel,
        PowerLawTemporalModel,
        SensitivityEstimator,
        ShellSpatialModel,
        SkyModel,
        SmoothBrokenPowerLawSpectralModel,
        TemplatePhaseCurveTemporalModel,
        TemplateSpatialModel,
        TemplateSpectralModel,
        TSMapEstimator,
        WStatCountsStatistic,
        create_crab_spectral_model,
        fit,
        flux_points,
        light_curve,
    )
    from ctao_sat.recipes import run

    __version__: str

# fmt: off
__all__ = ["__version__"]
__all__ += [  # modules
    "config", "dl3", "dl4", "dl5", "errors", "kernels", "likelihood", "parallel", "plotting",
    "pulsar", "recipes", "report", "result", "simulate", "transients", "workflow",
]
__all__ += [  # ctao_sat.dl3
    "GTI", "DataStore", "EventList", "FixedPointingInfo", "Observation", "ObservationTable",
    "Observations", "load_irf_dict_from_file",
]
__all__ += [  # ctao_sat.dl4
    "Datasets", "DatasetsMaker", "FluxPointsDataset", "FoVBackgroundMaker", "Map", "MapAxis",
    "MapDataset", "MapDatasetMaker", "MapDatasetOnOff", "ReflectedRegionsBackgroundMaker",
    "RegionGeom", "RegionNDMap", "RingBackgroundMaker", "SafeMaskMaker", "SpectrumDataset",
    "SpectrumDatasetMaker", "SpectrumDatasetOnOff", "TimeMapAxis", "WcsGeom", "WcsNDMap",
    "WobbleRegionsFinder", "reduce",
]
__all__ += [  # ctao_sat.dl5
    "CATALOG_REGISTRY", "CashCountsStatistic", "ConstantSpectralModel", "ConstantTemporalModel",
    "DiskSpatialModel", "EBLAbsorptionNormSpectralModel", "ExcessMapEstimator",
    "ExpCutoffPowerLawSpectralModel", "ExpDecayTemporalModel", "Fit", "FluxMaps", "FluxPoints",
    "FluxPointsEstimator", "FoVBackgroundModel", "GaussianSpatialModel", "GaussianTemporalModel",
    "LightCurveEstimator", "LightCurveTemplateTemporalModel", "LogParabolaSpectralModel", "Models",
    "Parameter", "PointSpatialModel", "PowerLaw2SpectralModel", "PowerLawNormSpectralModel",
    "PowerLawSpectralModel", "PowerLawTemporalModel", "SensitivityEstimator", "ShellSpatialModel",
    "SkyModel", "SmoothBrokenPowerLawSpectralModel", "TSMapEstimator",
    "TemplatePhaseCurveTemporalModel", "TemplateSpatialModel", "TemplateSpectralModel",
    "WStatCountsStatistic", "create_crab_spectral_model", "fit", "flux_points", "light_curve",
]
__all__ += ["run"]  # ctao_sat.recipes
# fmt: on

# Where a public name that is no module is looked for, in this order.
_HOMES = ("dl3", "dl4", "dl5", "recipes")


def _version() -> str:
    try:
        return metadata.version("ctao-sat")
    except metadata.PackageNotFoundError:
        # A source tree on the path that was never installed: no number would be true.
        return "0+unknown"


def _lazy(name: str) -> Any:
    """Import a public name when it is used (PEP 562)."""
    if name == "__version__":
        return _version()
    if name not in __all__:
        remedy = did_you_mean(name, __all__)
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'. {remedy}")
    if util.find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    homes = map(import_module, (f"{__name__}.{home}" for home in _HOMES))
    return next(getattr(home, name) for home in homes if name in home.__all__)


if not TYPE_CHECKING:
    # Hidden from type checkers, which would accept any name of a module with a __getattr__.
    __getattr__ = _lazy


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
