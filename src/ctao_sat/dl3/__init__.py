"""DL3: event lists and instrument responses, as an observer receives them.

The question answered here: *what was recorded, when, where to, and how does the instrument see the
sky?* For each observation: gamma-like events, good time intervals, pointing, and the instrument
response functions (IRFs). Gammapy factorises the response into

    R(p, E | p', E') = A_eff(p', E') x PSF(p | p', E') x D(E | p', E')

with the effective area, the point spread function and the energy dispersion, where primes mark
true positions and energies. The residual background is a rate of its own, per energy and solid
angle, in the coordinates of the field of view.

What to use when:

===================================================  ==============================================
you have or want                                     start with
===================================================  ==============================================
a folder with or without index tables, or files      `open_dl3`
several event types of the same observations         `open_event_types`
the index tables of files                            `index_tables`; `write_index`
files, checked for what would make results wrong     `check`
observations, checked to be fit for an analysis      `read_observations`; ``Observations``
the same, of several event types                     `read_event_types`
a selection of observations, each cut counted        `select_observations`
the files behind observations                        `data_files`
observations, to be kept as DL3 files                `write`
events, in time, energy or region                    ``EventList``
good time intervals: union, intersection             ``GTI``
where the telescopes pointed                         ``FixedPointingInfo``
the IRFs of a file or folder, and what they are of   `read_irfs`; `load_irf_dict_from_file`
areas, resolutions and rates of IRFs, over energy    `irf_performance`
IRFs over the field of view                          ``EffectiveAreaTable2D``,
                                                     ``EnergyDispersion2D``, ``PSF3D``,
                                                     ``Background2D``, ``Background3D``
an energy-dependent cut in theta (point-like IRFs)   ``RadMax2D``
IRFs projected on a sky map                          ``PSFMap``, ``EDispMap``, ``EDispKernelMap``
a table for the Virtual Observatory                  `to_obscore_table`
===================================================  ==============================================

The classes are Gammapy's own objects, not copies or subclasses; the functions in lower case
that Gammapy does not have are the verbs of this level. Binned data follow in `ctao_sat.dl4`.

Known in Gammapy 2.1: ``DataStore.from_events_files`` keeps only the first of two files that share
an observation ID, for example two event types, and takes every PSF for one of three Gaussians.
`open_dl3` does not.

Examples
--------
>>> import gammapy.data
>>> from ctao_sat import dl3
>>> dl3.DataStore is gammapy.data.DataStore
True
"""

from gammapy.data import (
    GTI,
    DataStore,
    EventList,
    EventListMetaData,
    FixedPointingInfo,
    GTIMetaData,
    HDUIndexTable,
    Observation,
    ObservationFilter,
    ObservationMetaData,
    Observations,
    ObservationsEventsSampler,
    ObservationTable,
    PointingInfo,
    PointingMode,
    get_irfs_features,
    observatory_locations,
)
from gammapy.data.ivoa import to_obscore_table
from gammapy.irf import (
    IRF,
    IRF_REGISTRY,
    PSF3D,
    Background2D,
    Background3D,
    BackgroundIRF,
    EDispKernel,
    EDispKernelMap,
    EDispMap,
    EffectiveAreaTable2D,
    EnergyDependentMultiGaussPSF,
    EnergyDispersion2D,
    FoVAlignment,
    IRFMap,
    ParametricPSF,
    PSFKernel,
    PSFKing,
    PSFMap,
    RadMax2D,
    RecoPSFMap,
    load_irf_dict_from_file,
)

from ctao_sat.dl3._checks import CheckResult, Finding, check
from ctao_sat.dl3._index import index_tables, write_index
from ctao_sat.dl3._irf_files import read_irfs
from ctao_sat.dl3._irf_sets import irf_set
from ctao_sat.dl3._open import open_dl3, open_event_types
from ctao_sat.dl3._performance import irf_performance
from ctao_sat.dl3._read import data_files, read_event_types, read_observations
from ctao_sat.dl3._select import observation_index, select_observations
from ctao_sat.dl3._write import write

# fmt: off
__all__ = ["CheckResult", "Finding", "check"]
__all__ += ["data_files", "index_tables", "irf_performance", "irf_set", "observation_index"]
__all__ += ["open_dl3", "open_event_types", "read_event_types", "read_irfs", "read_observations"]
__all__ += ["select_observations", "write", "write_index"]
__all__ += [  # gammapy.data
    "GTI", "DataStore", "EventList", "EventListMetaData", "FixedPointingInfo", "GTIMetaData",
    "HDUIndexTable", "Observation", "ObservationFilter", "ObservationMetaData", "ObservationTable",
    "Observations", "ObservationsEventsSampler", "PointingInfo", "PointingMode",
    "get_irfs_features", "observatory_locations",
]
__all__ += [  # gammapy.data.ivoa
    "to_obscore_table",
]
__all__ += [  # gammapy.irf
    "IRF", "IRF_REGISTRY", "PSF3D", "Background2D", "Background3D", "BackgroundIRF", "EDispKernel",
    "EDispKernelMap", "EDispMap", "EffectiveAreaTable2D", "EnergyDependentMultiGaussPSF",
    "EnergyDispersion2D", "FoVAlignment", "IRFMap", "PSFKernel", "PSFKing", "PSFMap",
    "ParametricPSF", "RadMax2D", "RecoPSFMap", "load_irf_dict_from_file",
]
# fmt: on

# Public names, or whole modules, of Gammapy that are of this level but not here, and why.
_NOT_REEXPORTED: dict[str, str] = {
    "gammapy.data.io.EventListReader": "the reading half of EventList.read, which is the door",
    "gammapy.data.io.EventListWriter": "the writing half of EventList.write, which is the door",
    "gammapy.data.io.ObservationTableReader": (
        "the reading half of ObservationTable.read, which is the door"
    ),
    "gammapy.irf.psf.core.PSF": "base class of the PSFs, with nothing to call by itself",
}
