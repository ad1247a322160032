"""Recipes: one science case each, from a configuration to a run.

The question answered here: *which analysis fits my science case?* There is

- ``spectrum-1d``: spectrum and light curve of one source, background from off regions;
- ``pulsar``: phases, tests for pulsations, pulse profile and spectrum of phase regions.

`run` reads a configuration, runs its recipe, and writes the run folder; `read_config` only reads.
"""

from ctao_sat.recipes._demo import crab_like_model, write_demo
from ctao_sat.recipes._registry import RECIPES, configuration_text, plan, read_config, run

__all__ = [
    "RECIPES",
    "configuration_text",
    "crab_like_model",
    "plan",
    "read_config",
    "run",
    "write_demo",
]
