"""DL4: binned data, with the responses and the background of each bin.

The question answered here: *how many counts are in each bin, and how many should there be?*
A data set holds counts, exposure, PSF, energy dispersion D and background (or off counts) on common
axes. For a model with the differential flux phi it predicts

    npred(p, E) = sum over p', E' of  phi(p', E') x exposure x PSF x D  +  background(p, E)

where primes mark true positions and energies.

What to use when:

===================================================  ==============================================
you want                                             start with
===================================================  ==============================================
everything from observations to data sets            `reduce`: spectra of a ``RegionGeom``, maps of
                                                     a ``WcsGeom``
regions to keep out of the background                `exclusion_mask`, `catalog_regions`
the position of a published source                   `find_source`
a spectrum of one region, off counts measured        ``SpectrumDatasetOnOff``, ``RegionGeom``, with
                                                     ``ReflectedRegionsBackgroundMaker``
a spectrum of one region, background modelled        ``SpectrumDataset``, ``SpectrumDatasetMaker``
a cube in sky position and energy                    `reduce`; step by step, ``MapDatasetMaker``
                                                     and ``FoVBackgroundMaker``
a map whose background is a ring                     ``reduce(…, background="ring")``
pulsed emission, off phases                          ``PhaseBackgroundMaker``
flux points as data for a fit                        ``FluxPointsDataset``
bins that can be trusted                             ``SafeMaskMaker``
several data sets, fitted together                   ``Datasets``
an image, a cube, an axis                            ``Map``, ``MapAxis``, ``TimeMapAxis``
events over squared distance to the source           ``ThetaSquaredTable``
events drawn from a model                            ``ObservationEventSampler``; on disk, as DL3,
                                                     with `ctao_sat.simulate`
===================================================  ==============================================

The classes are Gammapy's own objects, not copies or subclasses; the functions in lower case
that Gammapy does not have are the verbs of this level. Observations come from `ctao_sat.dl3`,
fits and fluxes follow in `ctao_sat.dl5`.

Known in Gammapy 2.1: the background of an energy bin comes from its edges alone, which is off by
per cents in wide bins; that of `reduce` is exact. ``PhaseBackgroundMaker`` takes nothing of an
interval such as (1.2, 1.4), and lets on and off overlap. What `ctao_sat.pulsar` makes of phases
does neither.

Examples
--------
>>> import gammapy.datasets
>>> from ctao_sat import dl4
>>> dl4.SpectrumDatasetOnOff is gammapy.datasets.SpectrumDatasetOnOff
True
"""

from gammapy.datasets import (
    DATASET_REGISTRY,
    Dataset,
    Datasets,
    FermipyDatasetsReader,
    FluxPointsDataset,
    MapDataset,
    MapDatasetEventSampler,
    MapDatasetMetaData,
    MapDatasetOnOff,
    ObservationEventSampler,
    OGIPDatasetReader,
    OGIPDatasetWriter,
    SpectrumDataset,
    SpectrumDatasetOnOff,
    apply_edisp,
    create_empty_map_dataset_from_irfs,
    create_map_dataset_from_observation,
    create_map_dataset_geoms,
    set_and_restore_mask_fit,
    split_dataset,
)
from gammapy.datasets.utils import create_map_dataset_from_dl4
from gammapy.makers import (
    MAKER_REGISTRY,
    AdaptiveRingBackgroundMaker,
    DatasetsMaker,
    FoVBackgroundMaker,
    Maker,
    MapDatasetMaker,
    PhaseBackgroundMaker,
    ReflectedRegionsBackgroundMaker,
    ReflectedRegionsFinder,
    RegionsFinder,
    RingBackgroundMaker,
    SafeMaskMaker,
    SpectrumDatasetMaker,
    WobbleRegionsFinder,
)
from gammapy.makers.utils import (
    make_counts_off_rad_max,
    make_counts_rad_max,
    make_edisp_kernel_map,
    make_edisp_map,
    make_effective_livetime_map,
    make_map_background_irf,
    make_map_exposure_true_energy,
    make_observation_time_map,
    make_psf_map,
)
from gammapy.maps import (
    Geom,
    HpxGeom,
    HpxMap,
    HpxNDMap,
    LabelMapAxis,
    Map,
    MapAxes,
    MapAxis,
    MapCoord,
    Maps,
    RegionGeom,
    RegionNDMap,
    TimeMapAxis,
    WcsGeom,
    WcsMap,
    WcsNDMap,
    containment_radius,
    containment_region,
)

from ctao_sat._gammapy import ThetaSquaredTable
from ctao_sat.dl4._exclusion import catalog_regions, exclusion_mask, find_source
from ctao_sat.dl4._reduce import reduce

# fmt: off
__all__ = ["catalog_regions", "exclusion_mask", "find_source", "reduce"]
__all__ += [  # gammapy.maps
    "Geom", "HpxGeom", "HpxMap", "HpxNDMap", "LabelMapAxis", "Map", "MapAxes", "MapAxis",
    "MapCoord", "Maps", "RegionGeom", "RegionNDMap", "TimeMapAxis", "WcsGeom", "WcsMap", "WcsNDMap",
    "containment_radius", "containment_region",
]
__all__ += [  # gammapy.makers
    "MAKER_REGISTRY", "AdaptiveRingBackgroundMaker", "DatasetsMaker", "FoVBackgroundMaker", "Maker",
    "MapDatasetMaker", "PhaseBackgroundMaker", "ReflectedRegionsBackgroundMaker",
    "ReflectedRegionsFinder", "RegionsFinder", "RingBackgroundMaker", "SafeMaskMaker",
    "SpectrumDatasetMaker", "WobbleRegionsFinder",
]
__all__ += [  # gammapy.makers.utils
    "ThetaSquaredTable", "make_counts_off_rad_max", "make_counts_rad_max", "make_edisp_kernel_map",
    "make_edisp_map", "make_effective_livetime_map", "make_map_background_irf",
    "make_map_exposure_true_energy", "make_observation_time_map", "make_psf_map",
]
__all__ += [  # gammapy.datasets
    "DATASET_REGISTRY", "Dataset", "Datasets", "FermipyDatasetsReader", "FluxPointsDataset",
    "MapDataset", "MapDatasetEventSampler", "MapDatasetMetaData", "MapDatasetOnOff",
    "OGIPDatasetReader", "OGIPDatasetWriter", "ObservationEventSampler", "SpectrumDataset",
    "SpectrumDatasetOnOff", "apply_edisp", "create_empty_map_dataset_from_irfs",
    "create_map_dataset_from_observation", "create_map_dataset_geoms", "set_and_restore_mask_fit",
    "split_dataset",
]
__all__ += [  # gammapy.datasets.utils
    "create_map_dataset_from_dl4",
]
# fmt: on

# Public names, or whole modules, of Gammapy that are of this level but not here, and why.
_NOT_REEXPORTED: dict[str, str] = {
    "gammapy.datasets.actors.DatasetsActor": (
        "needs ray, a prototype; ctao_sat.parallel maps over data sets"
    ),
    "gammapy.datasets.evaluator.MapEvaluator": (
        "evaluates one model inside a data set; call npred of the data set"
    ),
    "gammapy.datasets.io.DatasetReader": "base class of the readers; Datasets.read is the door",
    "gammapy.datasets.io.DatasetWriter": "base class of the writers; Datasets.write is the door",
    "gammapy.maps.hpx.io.HpxConv": (
        "FITS conventions of HEALPix maps; Map.read and Map.write choose one"
    ),
    "gammapy.maps.hpx.utils.HpxToWcsMapping": "a step of HpxMap.to_wcs",
    "gammapy.maps.utils.InvalidIndex": "a marker for pixels outside a map, internal to Map",
    "gammapy.maps.utils.InvalidValue": "a marker for coordinates outside a map, internal to Map",
}
