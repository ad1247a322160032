"""Sections that the configurations of several recipes share."""

from typing import Annotated, Any, Literal

import numpy as np
from gammapy.maps import MapAxis
from gammapy.modeling.models import SPECTRAL_MODEL_REGISTRY, SkyModel, SpectralModel
from pydantic import Field, field_validator, model_validator

from ctao_sat.config._base import Config
from ctao_sat.config._types import Angle, Duration, Energy, Instant, SkyPosition
from ctao_sat.errors import did_you_mean

__all__ = [
    "AxisConfig",
    "DataConfig",
    "FitConfig",
    "FluxPointsConfig",
    "Name",
    "ReductionConfig",
    "TargetConfig",
    "check_range",
    "spectral_model",
]

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\n\r]+$")]
Percent = Annotated[float, Field(ge=0, lt=100)]


class DataConfig(Config):
    """Which observations to analyse."""

    path: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="Folder with DL3 files, or files and folders that belong together."
    )
    index: Literal["auto", "tables", "headers"] = Field(
        "auto", description="Go by the index tables, or by the headers of the files."
    )
    event_types: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] | None = Field(
        None, description="Event types to fit jointly. Default: the one there is."
    )
    ids: tuple[int, ...] | None = Field(None, description="Observation IDs; all if absent.")
    exclude_ids: tuple[int, ...] = Field((), description="Observation IDs to leave out.")
    cone: Angle | None = Field(None, description="Largest distance of the pointing to the target.")
    time: tuple[tuple[Instant, Instant], ...] = Field((), description="Time intervals.")
    zenith_min: Angle | None = None
    zenith_max: Angle | None = None
    livetime_min: Duration | None = Field(None, description="Shortest livetime of a run.")

    @field_validator("ids")
    @classmethod
    def _some(cls, ids: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if ids is not None and not ids:
            raise ValueError("the list is empty; leave it out to take all observations")
        return ids

    @field_validator("time")
    @classmethod
    def _rises(cls, intervals: tuple) -> tuple:
        for start, stop in intervals:
            if not start < stop:
                raise ValueError(f"the interval that starts at {start.iso} does not end after it")
        return intervals


class TargetConfig(Config):
    """What to analyse."""

    name: Name
    position: SkyPosition


class AxisConfig(Config):
    """A logarithmic axis of energy."""

    min: Energy
    max: Energy
    per_decade: Annotated[int, Field(ge=1, le=200)]

    @model_validator(mode="after")
    def _rises(self) -> "AxisConfig":
        if not 0 < self.min.to_value("TeV") < self.max.to_value("TeV"):
            raise ValueError("min must be above zero and below max")
        return self

    def axis(self, name: str) -> MapAxis:
        """Return the axis with a name, such as "energy_true"."""
        return MapAxis.from_energy_bounds(
            self.min, self.max, nbin=self.per_decade, per_decade=True, name=name
        )


class ReductionConfig(Config):
    """How events become binned datasets."""

    energy: AxisConfig = AxisConfig.model_validate(
        {"min": "0.05 TeV", "max": "100 TeV", "per_decade": 10}
    )
    energy_true: AxisConfig = AxisConfig.model_validate(
        {"min": "0.02 TeV", "max": "200 TeV", "per_decade": 20}
    )
    containment_correction: bool | None = Field(
        None, description="Default: yes for a circle and full-enclosure IRFs."
    )
    safe_aeff_percent: Percent = Field(
        10.0, description="Use energies where the effective area is above this part of its maximum."
    )
    safe_bias_percent: Percent | None = Field(
        None, description="And where the energy bias is below this."
    )
    use_default_thresholds: bool = Field(
        False, description="And within the energy thresholds that the DL3 files state."
    )


class FitConfig(Config):
    """What is fitted, and where."""

    model: dict[str, Any] = Field(
        description="A Gammapy spectral model as its YAML has it: type and parameters."
    )
    energy_min: Energy | None = None
    energy_max: Energy | None = None
    stack: bool = Field(False, description="Fit the stacked runs instead of all runs jointly.")

    @field_validator("model")
    @classmethod
    def _is_model(cls, model: dict[str, Any]) -> dict[str, Any]:
        spectral_model(model)
        return model


class FluxPointsConfig(Config):
    """The flux in bins of energy."""

    energy: AxisConfig | None = Field(None, description="Default: the fit range, 5 bins a decade.")
    n_sigma_ul: Annotated[float, Field(gt=0, le=10)] = 2.0


def check_range(section: str, low: Any, high: Any, name: str = "energy") -> None:
    """Refuse a range whose ends are in the wrong order.

    Parameters
    ----------
    section : str
        Where the range is, for the message.
    low, high : Quantity or None
        Its ends; None is open.
    name : str
        What they are of: the keys are ``name_min`` and ``name_max``.

    Raises
    ------
    ValueError
        If low is not below high.
    """
    if low is not None and high is not None and not low < high:
        raise ValueError(f"{section}.{name}_min is not below {section}.{name}_max")


def spectral_model(content: dict[str, Any]) -> SpectralModel:
    """Build a Gammapy spectral model from the content of its YAML.

    Parameters
    ----------
    content : dict
        With ``type`` (class name or tag) and, optionally, ``parameters``.

    Returns
    -------
    model : `~gammapy.modeling.models.SpectralModel`
        The model.

    Raises
    ------
    ValueError
        If there is no such model, parameter or unit.
    """
    kind = content.get("type")
    tags = [tag for cls in SPECTRAL_MODEL_REGISTRY for tag in np.atleast_1d(cls.tag)]
    if kind not in tags:
        raise ValueError(f"no spectral model '{kind}'. {did_you_mean(str(kind), map(str, tags))}")
    cls = SPECTRAL_MODEL_REGISTRY.get_cls(kind)
    known = [parameter.name for parameter in getattr(cls, "default_parameters", [])]
    parameters = content.get("parameters", [])
    if not isinstance(parameters, list) or not all(isinstance(p, dict) for p in parameters):
        raise ValueError("parameters must be a list of {name: …, value: …, unit: …}")
    for parameter in parameters:
        name = parameter.get("name")
        if known and name not in known:
            raise ValueError(f"{kind} has no parameter '{name}'. {did_you_mean(str(name), known)}")
    try:
        complete = {"parameters": [], **content}
        return SkyModel.from_dict({"name": "source", "spectral": complete}).spectral_model
    except (
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        OSError,
        ImportError,
        NotImplementedError,
    ) as error:
        raise ValueError(f"{kind} cannot be built: {error}") from error
