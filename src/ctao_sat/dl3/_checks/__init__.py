"""Checks of DL3 files: one table of small functions, each of which yields what is wrong."""

from ctao_sat.dl3._checks._model import Check, CheckResult, Finding
from ctao_sat.dl3._checks._run import check
from ctao_sat.dl3._checks._table import FILE_CHECKS, FOLDER_CHECKS, SCHEMA

__all__ = ["CHECKS", "Check", "CheckResult", "Finding", "check"]

CHECKS: tuple[Check, ...] = (*FILE_CHECKS, *FOLDER_CHECKS, SCHEMA)
