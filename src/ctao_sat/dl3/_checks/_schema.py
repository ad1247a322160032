"""Check of CTAO-GADF files with the schema of ``ctao-datamodel``."""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from ctao_sat.dl3._check import READ_ERRORS, reason
from ctao_sat.dl3._checks._content import Content, index_type
from ctao_sat.dl3._checks._model import Fault, NotRun

__all__ = ["schema", "unavailable"]

_MODULE = "ctao_datamodel"
_PYTHON = (3, 12)
_MAX_ISSUES = 20


def unavailable() -> str:
    """Return why the schema cannot be used, empty if it can."""
    if sys.version_info < _PYTHON:
        return f"ctao-datamodel needs Python {_PYTHON[0]}.{_PYTHON[1]}; this is " + (
            f"{sys.version_info.major}.{sys.version_info.minor}"
        )
    if importlib.util.find_spec(_MODULE) is None:
        return "ctao-datamodel is not installed (`pip install 'ctao-datamodel>=1.4'`)"
    return ""


def schema(content: Content) -> Iterator[Fault | NotRun]:
    """All HDUs that the schema knows have the header and the columns that it asks for."""
    why = unavailable()
    if why:
        yield NotRun(why)
        return
    validator = importlib.import_module(_MODULE)
    models = importlib.import_module(f"{_MODULE}.models.dl3.ctao_gadf")
    there = {(info.name or "PRIMARY").upper(): info.hdu_class for info in content.infos}
    wanted, needs_all = _wanted(content, models)
    for name, (header_model, column_model) in wanted.items():
        if name not in there:
            if needs_all:
                yield Fault(f"CTAO-GADF needs an HDU '{name}'.", name)
            continue
        if there[name] == "psf_table":
            header_model, column_model = models.GADFPSFTableHeader, models.GADFPSFTableTable
        for issue in _issues(validator, content, name, header_model, column_model):
            yield Fault(issue, name)


def _wanted(content: Content, models: Any) -> tuple[dict[str, tuple], bool]:
    """Return the models by the name of the HDU, and whether all of them must be there."""
    index = {index_type(table) for table in content.of("index")}
    if "hdu" in index:
        return models.CTAO_GADF_HDUINDEX_HDUS, True
    if "obs" in index:
        return models.CTAO_GADF_OBSTABLE_HDUS, True
    return models.CTAO_GADF_EVENTBUNDLE_HDUS, bool(content.of("events"))


def _issues(
    validator: Any, content: Content, name: str, header_model: Any, column_model: Any
) -> list[str]:
    # The schema gives texts in index tables a width, which FITS files shrink to what they hold.
    column_model = None if content.of("index") else column_model
    found: list[str] = []
    with warnings.catch_warnings():
        # Units in the style of other software; they have a check of their own.
        warnings.simplefilter("ignore")
        try:
            table, _ = validator.validate_fits_bintable_hdu(
                content.path, hdu=name, column_model=column_model, header_model=header_model
            )
            if column_model is not None:
                # Version 1.4 reads the columns, and does not compare them.
                validator.model_validate_astropy_table(table, column_model)
        except (validator.ValidationError, *READ_ERRORS) as error:
            found = [str(issue) for issue in getattr(error, "issues", [])] or [reason(error)]
    return [" ".join(issue.split()) for issue in found[:_MAX_ISSUES]]
