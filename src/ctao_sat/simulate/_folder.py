"""Make the folder of a simulation: all of it or nothing, and never over other data."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from gammapy.modeling.models import LightCurveTemplateTemporalModel, ModelBase, Models

from ctao_sat.errors import OutputError

__all__ = ["TRUTH", "new_folder", "write_truth"]

TRUTH = "models.yaml"
_OURS = ("obs-index.fits.gz", "hdu-index.fits.gz", TRUTH, "obs_*.fits", "models_*")


def _is_ours(path: Path) -> bool:
    return path.is_file() and any(path.match(pattern) for pattern in _OURS)


def _check(path: Path, overwrite: bool) -> None:
    """Refuse to replace what is not a simulation, or one without being asked to."""
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(
            "The output is a file, not a folder.", remedy="Give another path.", where=str(path)
        )
    content = sorted(path.iterdir())
    others = [item.name for item in content if not _is_ours(item)]
    if others:
        raise OutputError(
            f"The output folder holds other files, such as '{others[0]}'.",
            remedy="Give a new or an empty folder.",
            where=str(path),
        )
    if content and not overwrite:
        raise OutputError(
            "The output folder holds DL3 data already.",
            remedy="Give another path, or ask to replace it: overwrite=True, --overwrite.",
            where=str(path),
        )


@contextlib.contextmanager
def new_folder(path: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write to that takes its final name at the end, if all went well.

    Parameters
    ----------
    path : str or `pathlib.Path`
        The final name.
    overwrite : bool
        Replace a simulation of that name.

    Yields
    ------
    folder : `pathlib.Path`
        An empty sibling of the final folder.

    Raises
    ------
    OutputError
        If the place holds something else, or cannot be written to.
    """
    path = Path(path).expanduser().absolute()
    _check(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OutputError(
            f"Cannot write here: {error.strerror}.",
            remedy="Give a path in a folder you may write to.",
            where=str(path),
        ) from error
    try:
        folder = scratch / "new"
        folder.mkdir()
        yield folder
        _check(path, overwrite)
        # A folder cannot replace one that is not empty: the old one steps aside first, and comes
        # back if the new one cannot take its place.
        old = scratch / "old"
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(folder, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    except OSError as error:
        raise OutputError(
            f"Cannot write the data: {error.strerror or error}.",
            remedy="Check the free space and the rights of the folder.",
            where=str(path),
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_truth(models: Models, folder: Path, final: Path) -> None:
    """Write the models that were simulated, with the templates they use.

    Parameters
    ----------
    models : `gammapy.modeling.models.Models`
        The truth. Templates get the names of the files written here.
    folder : `pathlib.Path`
        Where to; the file is ``models.yaml``.
    final : `pathlib.Path`
        Name the folder will have: Gammapy wants template files by their full path.
    """
    models.update_link_label()
    for number, model in enumerate(models, start=1):
        parts = (model.spectral_model, model.spatial_model, model.temporal_model)
        for part in parts:
            if hasattr(part, "map") and hasattr(part, "filename"):
                name = f"models_{number}_{part.type}.fits"
                _write_template(part, folder / name)
                part.filename = str(final / name)
    # Not `Models.write`: it writes templates too, to where they will be only later.
    components = {"components": [model.to_dict() for model in models]}
    text = yaml.safe_dump(components, sort_keys=False, allow_unicode=True)
    (folder / TRUTH).write_text(text, encoding="utf-8")


def _write_template(part: ModelBase, path: Path) -> None:
    if isinstance(part, LightCurveTemplateTemporalModel):
        part.write(str(path), format="map" if part.is_energy_dependent else "table")
    else:
        part.map.write(path)
