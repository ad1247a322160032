"""Runs: what a recipe returns, and the folder it leaves on disk.

The question answered here: *what came out, what was it made from, and where is it?* `Run` holds the
findings and says how they are shown, `SpectrumRun` adds the products of a spectrum; `write_run`
writes them to a folder that appears when it is complete; `StepLog` times the steps and keeps their
warnings; `provenance` records inputs with checksums, versions and steps.
"""

from ctao_sat.workflow._folder import read_summary, write_run
from ctao_sat.workflow._plan import Plan
from ctao_sat.workflow._provenance import SCHEMA_VERSION, provenance
from ctao_sat.workflow._run import EXIT_CODES, Run
from ctao_sat.workflow._spectrum import SpectrumRun
from ctao_sat.workflow._steps import Step, StepLog

__all__ = [
    "EXIT_CODES",
    "SCHEMA_VERSION",
    "Plan",
    "Run",
    "SpectrumRun",
    "Step",
    "StepLog",
    "provenance",
    "read_summary",
    "write_run",
]
