"""Strict, frozen configurations read from YAML, with units and sky positions as field types.

The question answered here: *is this file what the recipe expects, and if not, which line is wrong?*
`Config` is the base of every section of a configuration: unknown keys fail and name the nearest
one, and values are frozen. `RecipeConfig`, the base of whole files, adds the name of the recipe and
the version of the schema. Units and coordinates are strings in the file (``"0.11 deg"``) and
astropy objects in Python.

Recipes share sections, such as `DataConfig` for the observations to analyse.

Entry points: `load` reads and validates a file, `dump` writes one that `load` reads back.
"""

from ctao_sat.config._base import Config, RecipeConfig, dump, load, parse
from ctao_sat.config._files import expand_path, read_models, read_yaml
from ctao_sat.config._sections import (
    AxisConfig,
    DataConfig,
    FitConfig,
    FluxPointsConfig,
    Name,
    ReductionConfig,
    TargetConfig,
    check_range,
    spectral_model,
)
from ctao_sat.config._types import (
    Angle,
    Duration,
    Energy,
    Flux,
    Frequency,
    FrequencyRate,
    Instant,
    SkyPosition,
    parse_position,
)

__all__ = [
    "Angle",
    "AxisConfig",
    "Config",
    "DataConfig",
    "Duration",
    "Energy",
    "FitConfig",
    "Flux",
    "FluxPointsConfig",
    "Frequency",
    "FrequencyRate",
    "Instant",
    "Name",
    "RecipeConfig",
    "ReductionConfig",
    "SkyPosition",
    "TargetConfig",
    "check_range",
    "dump",
    "expand_path",
    "load",
    "parse",
    "parse_position",
    "read_models",
    "read_yaml",
    "spectral_model",
]
