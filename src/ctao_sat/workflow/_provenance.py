"""Record what a run was made from: inputs, versions, configuration, steps and warnings."""

import datetime
import hashlib
import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from astropy.io import fits

from ctao_sat import config as configs
from ctao_sat import result
from ctao_sat.report import HEADER_KEYS
from ctao_sat.workflow._steps import StepLog

__all__ = ["SCHEMA_VERSION", "provenance"]

SCHEMA_VERSION = 1


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def provenance(
    config: configs.Config,
    files: Iterable[Path],
    log: StepLog,
    *,
    now: Callable[[], datetime.datetime] = _now,
) -> dict[str, Any]:
    """Return the record of a run.

    Parameters
    ----------
    config : `~ctao_sat.config.Config`
        As run.
    files : iterable of Path
        Input files.
    log : StepLog
        The steps.
    now : callable
        Returns the present time with its zone.

    Returns
    -------
    record : dict
        Ready for JSON.
    """
    text = configs.dump(config)
    paths = list(files)
    return {
        "schema_version": SCHEMA_VERSION,
        "created": now().isoformat(timespec="seconds"),
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "config": config.model_dump(mode="json"),
        "versions": result.versions(),
        "platform": platform.platform(),
        "environment": {
            name: os.environ[name] for name in ("GAMMAPY_DATA", "CALDB") if name in os.environ
        },
        "inputs": result.describe_inputs(paths),
        "headers": event_headers(paths),
        "steps": [{"name": step.name, "seconds": round(step.seconds, 3)} for step in log.steps],
        "messages": log.messages,
    }


def event_headers(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the keys of the EVENTS headers that say where the data come from.

    Parameters
    ----------
    paths : iterable of Path
        FITS files; those without EVENTS are passed over.

    Returns
    -------
    headers : list of dict
        Each different one once.
    """
    headers: list[dict[str, Any]] = []
    for path in paths:
        if not any(suffix.startswith(".fit") for suffix in path.suffixes):
            continue
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus:
                if hdu.header.get("HDUCLAS1") == "EVENTS" or hdu.name == "EVENTS":
                    # A comment may take several cards; as text it is one.
                    header = {key: str(hdu.header[key]) for key in HEADER_KEYS if key in hdu.header}
                    if header not in headers:
                        headers.append(header)
    return headers
