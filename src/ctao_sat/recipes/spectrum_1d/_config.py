"""The configuration of the recipe ``spectrum-1d``."""

from typing import Annotated, Literal

import astropy.units as u
from pydantic import AfterValidator, Field, model_validator

from ctao_sat.config import (
    Angle,
    Config,
    DataConfig,
    Energy,
    FitConfig,
    FluxPointsConfig,
    RecipeConfig,
    ReductionConfig,
    SkyPosition,
    TargetConfig,
    check_range,
)

__all__ = ["Spectrum1DConfig"]


class OnRegionConfig(Config):
    """From where the on events are taken."""

    method: Literal["circle", "rad_max"] = Field(
        "circle", description="'rad_max': the energy-dependent cut of point-like IRFs."
    )
    radius: Angle | None = Field(None, description="Radius of the circle.")

    @model_validator(mode="after")
    def _radius_fits(self) -> "OnRegionConfig":
        if self.method == "circle" and self.radius is None:
            raise ValueError("a circle needs a radius, for example 'radius: 0.11 deg'")
        if self.method == "rad_max" and self.radius is not None:
            raise ValueError("with 'rad_max' the data give the radius; leave it out")
        if self.radius is not None and not 0 < self.radius.to_value("deg") <= 5:
            raise ValueError("the radius must be above 0 and at most 5 deg")
        return self


class ExclusionConfig(Config):
    """Where no off region may lie."""

    file: str | None = Field(None, description="Region file (DS9, FITS) or FITS mask.")
    circles: tuple[tuple[SkyPosition, Angle], ...] = Field((), description="Centres and radii.")
    catalogs: tuple[str, ...] = Field((), description="Gammapy catalogues around the target.")

    @model_validator(mode="after")
    def _one_kind(self) -> "ExclusionConfig":
        if self.file is not None and (self.circles or self.catalogs):
            raise ValueError("give either a file, or circles and catalogues")
        return self


class BackgroundConfig(Config):
    """Where the off events are taken from."""

    n_off_regions: Annotated[int, Field(ge=1, le=50)] = Field(
        1, description="With 'rad_max': number of off regions."
    )
    exclusion: ExclusionConfig = ExclusionConfig()


def _check_interval(by: str) -> str:
    if by in ("run", "night"):
        return by
    try:
        positive = u.Quantity(by).to_value("s") > 0
    except (TypeError, ValueError, u.UnitConversionError):
        positive = False
    if not positive:
        raise ValueError(f"'{by}' is no interval; take 'run', 'night', or a time such as '10 min'")
    return by


class LightCurveConfig(Config):
    """The flux over time."""

    by: Annotated[str, AfterValidator(_check_interval)] = Field(
        "run", description="A point a 'run', a 'night', or an interval such as '10 min'."
    )
    energy_min: Energy | None = Field(None, description="Default: start of the fit range.")
    energy_max: Energy | None = None


class Spectrum1DConfig(RecipeConfig):
    """The whole configuration of the recipe."""

    recipe: Literal["spectrum-1d"]
    schema_version: Literal[1]
    data: DataConfig
    target: TargetConfig
    on_region: OnRegionConfig
    background: BackgroundConfig = BackgroundConfig()
    reduction: ReductionConfig = ReductionConfig()
    fit: FitConfig
    flux_points: FluxPointsConfig = FluxPointsConfig()
    light_curve: LightCurveConfig | None = LightCurveConfig()
    detection_threshold: Annotated[float, Field(ge=0, le=20)] = Field(
        5.0, description="Li & Ma significance from which on a source counts as detected."
    )
    reference_model: str | None = Field(
        None, description="Gammapy model YAML to compare with: a truth, an earlier result."
    )

    @model_validator(mode="after")
    def _ranges(self) -> "Spectrum1DConfig":
        check_range("fit", self.fit.energy_min, self.fit.energy_max)
        points = self.flux_points.energy
        if points is not None and points.per_decade > self.reduction.energy.per_decade:
            raise ValueError(
                f"flux_points.energy.per_decade ({points.per_decade}) must not exceed "
                f"reduction.energy.per_decade ({self.reduction.energy.per_decade})"
            )
        if self.light_curve is not None:
            low, high = self.light_curve.energy_min, self.light_curve.energy_max
            check_range("light_curve", low, high)
        if self.data.zenith_min is not None and self.data.zenith_max is not None:
            check_range("data", self.data.zenith_min, self.data.zenith_max, "zenith")
        return self
