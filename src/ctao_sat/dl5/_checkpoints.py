"""Keep finished pieces of work on disk, to go on after an interruption."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gammapy.datasets import Dataset, Datasets
from gammapy.maps import Map

from ctao_sat._gammapy import unique_models
from ctao_sat.errors import OutputError
from ctao_sat.likelihood._signature import model_state
from ctao_sat.result import staged_file, versions

__all__ = ["Checkpoints", "fingerprint"]

_MAPS = (
    "counts", "counts_off", "acceptance", "acceptance_off", "background", "exposure",
    "mask_safe", "mask_fit",
)  # fmt: skip
# Of the format of the files.
_VERSION = 1


class Checkpoints:
    """A folder with finished pieces of work, each in a file named after its inputs.

    Parameters
    ----------
    folder : Path
        Made if it is not there. It may hold other files.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def _path(self, key: str) -> Path:
        return self._folder / f"interval-{key[:24]}.npz"

    def load(self, key: str) -> dict[str, np.ndarray] | None:
        """Return the arrays that were kept for a key, None if there are none.

        Raises
        ------
        OutputError
            If a file of this name is not one of ours.
        """
        path = self._path(key)
        if not path.exists():
            return None
        try:
            # Opened here: numpy would not close what it cannot read.
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise _foreign(path) from error
        if str(arrays.pop("key", "")) != key:
            raise _foreign(path)
        return arrays

    def save(self, key: str, arrays: Mapping[str, Any]) -> None:
        """Keep arrays for a key, completely or not at all."""
        path = self._path(key)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"'{self._folder}' cannot be written: {error.strerror or error}.",
                remedy="Choose another folder for checkpoints.",
            ) from error
        with staged_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, key=np.array(key), **arrays)


def _foreign(path: Path) -> OutputError:
    return OutputError(
        f"'{path}' is no checkpoint of this work.",
        remedy="It is neither used nor overwritten: remove it, or choose another folder.",
    )


def fingerprint(datasets: Datasets, options: Mapping[str, Any]) -> str:
    """Return what tells the inputs of a piece of work from all others.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
        With models: data, masks, responses, times, and all about models enter.
    options : mapping
        What else the result depends on; as for JSON.

    Returns
    -------
    digest : str
        64 hexadecimal digits. The versions of this package and of Gammapy enter, too.
    """
    digest = hashlib.sha256()
    made_by = {name: version for name, version in versions().items() if name in _MADE_BY}
    for part in (_VERSION, made_by, dict(options)):
        digest.update(_text(part))
    for dataset in datasets:
        _add_dataset(digest, dataset)
    places: dict[int, int] = {}
    for model in unique_models(datasets):
        content = (model.to_dict(full_output=True), [str(part) for part in model_state(model)])
        digest.update(_text(content))
        for parameter in model.parameters:
            # Of covariances nothing depends.
            numbers = (parameter.value, parameter.min, parameter.max, parameter.frozen)
            # Linked parameters are one, at one place.
            digest.update(f"{places.setdefault(id(parameter), len(places))} ".encode())
            digest.update(f"{parameter.name} {numbers} {parameter.prior}".encode())
    return digest.hexdigest()


def _text(content: object) -> bytes:
    # What JSON does not know: arrays, quantities, times.
    return json.dumps(content, sort_keys=True, default=_plain).encode()


def _plain(content: Any) -> object:
    return content.tolist() if isinstance(content, np.ndarray) else str(content)


_MADE_BY = ("ctao-sat", "gammapy", "numpy")


def _add_dataset(digest, dataset: Dataset) -> None:
    digest.update(f"{type(dataset).__name__} {dataset.name} {dataset.stat_type}".encode())
    for name in _MAPS:
        # The background of on-off data is derived from other maps, at some cost.
        if name != "background" or not hasattr(dataset, "counts_off"):
            _add_map(digest, name, getattr(dataset, name, None))
    for name in ("psf", "edisp"):
        irf = getattr(dataset, name, None)
        # Maps of responses, or kernels that a user has set.
        _add_map(digest, name, None if irf is None else _map_of(irf, name))
    for time in (dataset.gti.time_start, dataset.gti.time_stop):
        exact = time.tt
        digest.update(np.asarray([exact.jd1, exact.jd2]).tobytes())


def _map_of(irf, name: str) -> Map:
    for attribute in (f"{name}_map", f"{name}_kernel_map"):
        if hasattr(irf, attribute):
            return getattr(irf, attribute)
    return irf


def _add_map(digest, name: str, content: Map | None) -> None:
    digest.update(name.encode())
    if content is None:
        return
    data = np.ascontiguousarray(content.data)
    digest.update(f"{content.unit} {data.dtype} {data.shape} {content.geom}".encode())
    if getattr(content.geom, "wcs", None) is not None:
        digest.update(content.geom.wcs.to_header_string().encode())
    for axis in content.geom.axes:
        digest.update(f"{axis.name} {axis.unit}".encode())
        digest.update(np.asarray(getattr(axis, "edges", axis.center).value).tobytes())
    digest.update(data.data)
