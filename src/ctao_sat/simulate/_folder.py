"""Tell the folder of a simulation from others, and write the truth into it."""

from pathlib import Path

import yaml
from gammapy.modeling.models import LightCurveTemplateTemporalModel, ModelBase, Models

__all__ = ["not_of_a_simulation", "write_truth"]

TRUTH = "models.yaml"
_OURS = ("obs-index.fits.gz", "hdu-index.fits.gz", TRUTH, "obs_*.fits", "models_*")


def not_of_a_simulation(path: Path) -> list[str]:
    """Return the names in a folder that no simulation makes."""
    return sorted(
        item.name
        for item in path.iterdir()
        if not (item.is_file() and any(item.match(pattern) for pattern in _OURS))
    )


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
