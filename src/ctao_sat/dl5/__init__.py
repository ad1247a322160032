"""DL5: science products: fitted models, spectra, light curves, maps, catalogues.

The question answered here: *what does the source emit, and how well is that known?* A fit
minimises, summed over data sets, -2 log L of the Poisson likelihood: ``cash`` where the background
is a model, ``wstat`` where it is measured in off regions,

    cash = 2 sum (npred - counts log npred),    TS = stat(null) - stat(best).

If the null hypothesis holds, TS follows a chi-squared distribution (Wilks' theorem): for one
degree of freedom, sqrt(TS) is the significance.

What to use when:

===================================================  ==============================================
you want                                             start with
===================================================  ==============================================
best-fit parameters with their covariance            `fit`; step by step: ``Fit``
errors to both sides of a parameter, as MINOS        `asymmetric_errors`
how far up a parameter may be                        `upper_limit`
the statistic along a parameter, around two          `profile`, `contour`
how often errors and limits hold the truth           `exact_coverage`
a spectrum in energy bins, with limits               `flux_points`; ``FluxPointsEstimator``
a flux, or a spectrum, per run or interval           `light_curve`; ``LightCurveEstimator``
a map of a source's TS, flux and limits              `ts_map`; ``TSMapEstimator``
a map of excess, or of its significance              `excess_map`, `significance_map`
a map of what the model leaves                       `residual_map`
whether a map is noise                               `significance_distribution`
sources in maps, after trials                        `find_sources`, `trials_corrected`
peaks in such a map                                  `find_peaks`, `find_peaks_in_flux_map`
a profile along a line or radius                     `flux_profile`, `radial_profile`
the faintest flux that can be detected               `sensitivity`; ``SensitivityEstimator``
counts to significance, without a model              ``WStatCountsStatistic``,
                                                     ``CashCountsStatistic``
a source model                                       ``SkyModel`` = spectral x spatial x temporal
several sources, read from and written to YAML       ``Models``
absorption by the extragalactic background light     ``EBLAbsorptionNormSpectralModel``
a background that follows the data                   ``FoVBackgroundModel``
which of two models the data prefer                  ``NestedModelSelection``
posterior samples instead of a maximum               ``Sampler``, with a ``Prior`` on each parameter
published sources to compare with                    ``CATALOG_REGISTRY``, ``SourceCatalogGammaCat``
variability                                          `compute_fvar`, `compute_lightcurve_fvar`
dark matter                                          ``DarkMatterAnnihilationSpectralModel``
===================================================  ==============================================

The classes are Gammapy's own objects, not copies or subclasses; the functions in lower case
that Gammapy does not have are the verbs of this level. Data sets come from `ctao_sat.dl4`; sets of
counts drawn from a fitted model, and fitted again, from `ctao_sat.likelihood`.

Known in Gammapy 2.1: ``SineTemporalModel.integral`` has a sine where its formula needs a cosine.
Temporal models that are right, and have an onset, are in `ctao_sat.transients`.

Examples
--------
>>> import gammapy.modeling.models
>>> from ctao_sat import dl5
>>> dl5.SkyModel is gammapy.modeling.models.SkyModel
True
"""

from gammapy.astro.darkmatter import (
    BurkertProfile,
    DarkMatterAnnihilationSpectralModel,
    DarkMatterDecaySpectralModel,
    DMProfile,
    EinastoProfile,
    IsothermalProfile,
    JFactory,
    MooreProfile,
    NFWProfile,
    PrimaryFlux,
    ZhaoProfile,
)
from gammapy.catalog import (
    CATALOG_REGISTRY,
    SourceCatalog,
    SourceCatalog1LHAASO,
    SourceCatalog2FHL,
    SourceCatalog2HWC,
    SourceCatalog2PC,
    SourceCatalog3FGL,
    SourceCatalog3FHL,
    SourceCatalog3HWC,
    SourceCatalog3PC,
    SourceCatalog4FGL,
    SourceCatalogGammaCat,
    SourceCatalogHGPS,
    SourceCatalogLargeScaleHGPS,
    SourceCatalogObject,
    SourceCatalogObject1LHAASO,
    SourceCatalogObject2FHL,
    SourceCatalogObject2HWC,
    SourceCatalogObject2PC,
    SourceCatalogObject3FGL,
    SourceCatalogObject3FHL,
    SourceCatalogObject3HWC,
    SourceCatalogObject3PC,
    SourceCatalogObject4FGL,
    SourceCatalogObjectGammaCat,
    SourceCatalogObjectHGPS,
    SourceCatalogObjectHGPSComponent,
)
from gammapy.estimators import (
    ESTIMATOR_REGISTRY,
    ASmoothMapEstimator,
    EnergyDependentMorphologyEstimator,
    Estimator,
    ExcessMapEstimator,
    FluxMaps,
    FluxMetaData,
    FluxPoints,
    FluxPointsEstimator,
    FluxProfileEstimator,
    ImageProfile,
    ImageProfileEstimator,
    LightCurveEstimator,
    ParameterEstimator,
    ParameterSensitivityEstimator,
    SensitivityEstimator,
    TSMapEstimator,
)
from gammapy.estimators.energydependentmorphology import weighted_chi2_parameter
from gammapy.estimators.points import FluxCollectionEstimator
from gammapy.estimators.utils import (
    combine_flux_maps,
    combine_significance_maps,
    compute_lightcurve_discrete_correlation,
    compute_lightcurve_doublingtime,
    compute_lightcurve_fpp,
    compute_lightcurve_fvar,
    estimate_exposure_reco_energy,
    find_peaks,
    find_peaks_in_flux_map,
    get_combined_flux_maps,
    get_combined_significance_maps,
    get_rebinned_axis,
    resample_energy_edges,
)
from gammapy.modeling import (
    Covariance,
    CovarianceResult,
    Fit,
    FitResult,
    OptimizeResult,
    Parameter,
    Parameters,
    PriorParameter,
    PriorParameters,
    Sampler,
    SamplerResult,
    select_nested_models,
    stat_profile_ul_scipy,
)
from gammapy.modeling.models import (
    EBL_DATA_BUILTIN,
    MODEL_REGISTRY,
    SPATIAL_MODEL_REGISTRY,
    SPECTRAL_MODEL_REGISTRY,
    TEMPORAL_MODEL_REGISTRY,
    BrokenPowerLawSpectralModel,
    CompoundSpectralModel,
    ConstantFluxSpatialModel,
    ConstantSpatialModel,
    ConstantSpectralModel,
    ConstantTemporalModel,
    DatasetModels,
    DiskSpatialModel,
    EBLAbsorptionNormSpectralModel,
    ExpCutoffPowerLaw3FGLSpectralModel,
    ExpCutoffPowerLawNormSpectralModel,
    ExpCutoffPowerLawSpectralModel,
    ExpDecayTemporalModel,
    FoVBackgroundModel,
    GaussianPrior,
    GaussianSpatialModel,
    GaussianSpectralModel,
    GaussianTemporalModel,
    GeneralizedGaussianPrior,
    GeneralizedGaussianSpatialModel,
    GeneralizedGaussianTemporalModel,
    LightCurveTemplateTemporalModel,
    LinearTemporalModel,
    LogParabola2SpectralModel,
    LogParabolaNormSpectralModel,
    LogParabolaSpectralModel,
    LogUniformPrior,
    MeyerCrabSpectralModel,
    Model,
    ModelBase,
    Models,
    NaimaSpectralModel,
    PiecewiseNormSpatialModel,
    PiecewiseNormSpectralModel,
    PointSpatialModel,
    PowerLaw2SpectralModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    PowerLawTemporalModel,
    Prior,
    ScaleSpectralModel,
    Shell2SpatialModel,
    ShellSpatialModel,
    SineTemporalModel,
    SkyModel,
    SmoothBrokenPowerLawSpectralModel,
    SpatialModel,
    SpectralModel,
    SuperExpCutoffPowerLaw3FGLSpectralModel,
    SuperExpCutoffPowerLaw4FGLDR3SpectralModel,
    SuperExpCutoffPowerLaw4FGLSpectralModel,
    TemplateNDSpatialModel,
    TemplateNDSpectralModel,
    TemplateNPredModel,
    TemplatePhaseCurveTemporalModel,
    TemplateSpatialModel,
    TemplateSpectralModel,
    TemporalModel,
    UniformPrior,
    create_cosmic_ray_spectral_model,
    create_crab_spectral_model,
    create_fermi_isotropic_diffuse_model,
    integrate_spectrum,
    read_hermes_cube,
    scale_plot_flux,
)
from gammapy.modeling.selection import (
    BayesianModelSelection,
    BayesianModelSelectionResult,
    InferenceResult,
    NestedModelSelection,
)
from gammapy.stats import (
    CashCountsStatistic,
    Chi2AsymmetricErrorFitStatistic,
    Chi2FitStatistic,
    GaussianPriorPenalty,
    TimmerKonig_lightcurve_simulator,
    WStatCountsStatistic,
    cash,
    compute_chisq,
    compute_flux_doubling,
    compute_fpp,
    compute_fvar,
    cstat,
    discrete_correlation,
    get_wstat_gof_terms,
    get_wstat_mu_bkg,
    sigma_to_ts,
    structure_function,
    ts_to_sigma,
    wstat,
)

from ctao_sat.dl5._coverage import exact_coverage
from ctao_sat.dl5._find_sources import find_sources
from ctao_sat.dl5._fit import fit
from ctao_sat.dl5._flux_points import flux_points
from ctao_sat.dl5._light_curve import light_curve
from ctao_sat.dl5._limits import asymmetric_errors, upper_limit
from ctao_sat.dl5._maps import (
    excess_map,
    residual_map,
    significance_distribution,
    significance_map,
)
from ctao_sat.dl5._profiles import flux_profile, radial_profile
from ctao_sat.dl5._scans import contour, profile
from ctao_sat.dl5._sensitivity import sensitivity
from ctao_sat.dl5._trials import trials_corrected
from ctao_sat.dl5._ts_map import ts_map

# fmt: off
__all__ = [
    "asymmetric_errors", "contour", "exact_coverage", "excess_map", "find_sources", "fit",
    "flux_points", "flux_profile", "light_curve", "profile", "radial_profile", "residual_map",
    "sensitivity", "significance_distribution", "significance_map", "trials_corrected", "ts_map",
    "upper_limit",
]
__all__ += [  # gammapy.astro.darkmatter
    "BurkertProfile", "DMProfile", "DarkMatterAnnihilationSpectralModel",
    "DarkMatterDecaySpectralModel", "EinastoProfile", "IsothermalProfile", "JFactory",
    "MooreProfile", "NFWProfile", "PrimaryFlux", "ZhaoProfile",
]
__all__ += [  # gammapy.catalog
    "CATALOG_REGISTRY", "SourceCatalog", "SourceCatalog1LHAASO", "SourceCatalog2FHL",
    "SourceCatalog2HWC", "SourceCatalog2PC", "SourceCatalog3FGL", "SourceCatalog3FHL",
    "SourceCatalog3HWC", "SourceCatalog3PC", "SourceCatalog4FGL", "SourceCatalogGammaCat",
    "SourceCatalogHGPS", "SourceCatalogLargeScaleHGPS", "SourceCatalogObject",
    "SourceCatalogObject1LHAASO", "SourceCatalogObject2FHL", "SourceCatalogObject2HWC",
    "SourceCatalogObject2PC", "SourceCatalogObject3FGL", "SourceCatalogObject3FHL",
    "SourceCatalogObject3HWC", "SourceCatalogObject3PC", "SourceCatalogObject4FGL",
    "SourceCatalogObjectGammaCat", "SourceCatalogObjectHGPS", "SourceCatalogObjectHGPSComponent",
]
__all__ += [  # gammapy.estimators
    "ESTIMATOR_REGISTRY", "ASmoothMapEstimator", "EnergyDependentMorphologyEstimator", "Estimator",
    "ExcessMapEstimator", "FluxMaps", "FluxMetaData", "FluxPoints", "FluxPointsEstimator",
    "FluxProfileEstimator", "ImageProfile", "ImageProfileEstimator", "LightCurveEstimator",
    "ParameterEstimator", "ParameterSensitivityEstimator", "SensitivityEstimator", "TSMapEstimator",
]
__all__ += [  # gammapy.estimators.energydependentmorphology
    "weighted_chi2_parameter",
]
__all__ += [  # gammapy.estimators.points
    "FluxCollectionEstimator",
]
__all__ += [  # gammapy.estimators.utils
    "combine_flux_maps", "combine_significance_maps", "compute_lightcurve_discrete_correlation",
    "compute_lightcurve_doublingtime", "compute_lightcurve_fpp", "compute_lightcurve_fvar",
    "estimate_exposure_reco_energy", "find_peaks", "find_peaks_in_flux_map",
    "get_combined_flux_maps", "get_combined_significance_maps", "get_rebinned_axis",
    "resample_energy_edges",
]
__all__ += [  # gammapy.modeling
    "Covariance", "CovarianceResult", "Fit", "FitResult", "OptimizeResult", "Parameter",
    "Parameters", "PriorParameter", "PriorParameters", "Sampler", "SamplerResult",
    "select_nested_models", "stat_profile_ul_scipy",
]
__all__ += [  # gammapy.modeling.models
    "EBL_DATA_BUILTIN", "MODEL_REGISTRY", "SPATIAL_MODEL_REGISTRY", "SPECTRAL_MODEL_REGISTRY",
    "TEMPORAL_MODEL_REGISTRY", "BrokenPowerLawSpectralModel", "CompoundSpectralModel",
    "ConstantFluxSpatialModel", "ConstantSpatialModel", "ConstantSpectralModel",
    "ConstantTemporalModel", "DatasetModels", "DiskSpatialModel", "EBLAbsorptionNormSpectralModel",
    "ExpCutoffPowerLaw3FGLSpectralModel", "ExpCutoffPowerLawNormSpectralModel",
    "ExpCutoffPowerLawSpectralModel", "ExpDecayTemporalModel", "FoVBackgroundModel",
    "GaussianPrior", "GaussianSpatialModel", "GaussianSpectralModel", "GaussianTemporalModel",
    "GeneralizedGaussianPrior", "GeneralizedGaussianSpatialModel",
    "GeneralizedGaussianTemporalModel", "LightCurveTemplateTemporalModel", "LinearTemporalModel",
    "LogParabola2SpectralModel", "LogParabolaNormSpectralModel", "LogParabolaSpectralModel",
    "LogUniformPrior", "MeyerCrabSpectralModel", "Model", "ModelBase", "Models",
    "NaimaSpectralModel", "PiecewiseNormSpatialModel", "PiecewiseNormSpectralModel",
    "PointSpatialModel", "PowerLaw2SpectralModel", "PowerLawNormSpectralModel",
    "PowerLawSpectralModel", "PowerLawTemporalModel", "Prior", "ScaleSpectralModel",
    "Shell2SpatialModel", "ShellSpatialModel", "SineTemporalModel", "SkyModel",
    "SmoothBrokenPowerLawSpectralModel", "SpatialModel", "SpectralModel",
    "SuperExpCutoffPowerLaw3FGLSpectralModel", "SuperExpCutoffPowerLaw4FGLDR3SpectralModel",
    "SuperExpCutoffPowerLaw4FGLSpectralModel", "TemplateNDSpatialModel", "TemplateNDSpectralModel",
    "TemplateNPredModel", "TemplatePhaseCurveTemporalModel", "TemplateSpatialModel",
    "TemplateSpectralModel", "TemporalModel", "UniformPrior", "create_cosmic_ray_spectral_model",
    "create_crab_spectral_model", "create_fermi_isotropic_diffuse_model", "integrate_spectrum",
    "read_hermes_cube", "scale_plot_flux",
]
__all__ += [  # gammapy.modeling.selection
    "BayesianModelSelection", "BayesianModelSelectionResult", "InferenceResult",
    "NestedModelSelection",
]
__all__ += [  # gammapy.stats
    "CashCountsStatistic", "Chi2AsymmetricErrorFitStatistic", "Chi2FitStatistic",
    "GaussianPriorPenalty", "TimmerKonig_lightcurve_simulator", "WStatCountsStatistic", "cash",
    "compute_chisq", "compute_flux_doubling", "compute_fpp", "compute_fvar", "cstat",
    "discrete_correlation", "get_wstat_gof_terms", "get_wstat_mu_bkg", "sigma_to_ts",
    "structure_function", "ts_to_sigma", "wstat",
]
# fmt: on

# Public names, or whole modules, of Gammapy that are of this level but not here, and why.
_NOT_REEXPORTED: dict[str, str] = {
    "gammapy.estimators.flux.FluxEstimator": (
        "one bin of FluxPointsEstimator and LightCurveEstimator"
    ),
    "gammapy.modeling.iminuit": "a minimiser behind Fit; chosen with Fit(backend=...)",
    "gammapy.modeling.scipy.confidence_scipy": (
        "a minimiser behind Fit; chosen with Fit(backend=...)"
    ),
    "gammapy.modeling.scipy.covariance_scipy": (
        "a minimiser behind Fit; chosen with Fit(backend=...)"
    ),
    "gammapy.modeling.scipy.optimize_scipy": "a minimiser behind Fit; chosen with Fit(backend=...)",
    "gammapy.modeling.sherpa": "a minimiser behind Fit; chosen with Fit(backend=...)",
    "gammapy.modeling.likelihood.Likelihood": "what a minimiser sees of the data sets inside Fit",
    "gammapy.modeling.sampler.SamplerLikelihood": (
        "what a sampler sees of the data sets inside Sampler"
    ),
    "gammapy.stats.fit_statistics.CashFitStatistic": "chosen by the data set; the function is cash",
    "gammapy.stats.fit_statistics.WStatFitStatistic": (
        "chosen by the data set; the function is wstat"
    ),
}
