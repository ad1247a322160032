"""The configuration of the recipe ``pulsar``."""

from typing import Annotated, Literal

import astropy.units as u
from pydantic import Field, field_validator, model_validator

from ctao_sat.config import (
    Angle,
    Config,
    DataConfig,
    Duration,
    Energy,
    FitConfig,
    FluxPointsConfig,
    Frequency,
    FrequencyRate,
    RecipeConfig,
    ReductionConfig,
    TargetConfig,
    check_range,
)
from ctao_sat.errors import ConfigError, did_you_mean
from ctao_sat.pulsar import GaussianPeak, LorentzianPeak, PhaseRegions

__all__ = ["PulsarConfig"]

Harmonics = Annotated[int, Field(ge=1, le=100)]
Interval = tuple[float, float]
_SITES = ("header", "north", "south")


class EphemerisConfig(Config):
    """Where phases come from; see `ctao_sat.pulsar.assign_phases`."""

    file: str = Field(description="Par file of TEMPO2 or PINT.")
    site: str = Field(
        "header",
        description="Where the telescopes stand: as the header says, 'north', 'south', or "
        "longitude, latitude and height such as '16.5002 deg, -23.2718 deg, 1835 m'.",
    )
    solar_ephem: str = Field("par", description="Solar-system ephemeris: that of the par file.")
    barycentre: bool = Field(True, description="No: times are those at the pulsar.")
    time_offset: Duration = Field(0 * u.s, description="Added to the times of events.")
    offline: bool = Field(True, description="No: astropy may download the ephemeris.")
    max_phase_error: Annotated[float, Field(gt=0)] = 0.005
    backend: Literal["auto", "native", "pint"] = "auto"
    extrapolate: bool = Field(False, description="Permit times outside of START and FINISH.")
    replace_phases: bool = Field(False, description="Replace phases that the files have.")

    @field_validator("site")
    @classmethod
    def _is_site(cls, site: str) -> str:
        if "," not in site and site not in _SITES:
            raise ValueError(f"there is no site '{site}'. {did_you_mean(site, _SITES)}")
        return site


class EventsConfig(Config):
    """Which events are tested."""

    radius: Angle = Field(description="Largest distance to the target.")
    energy_min: Energy | None = None
    energy_max: Energy | None = None

    @field_validator("radius")
    @classmethod
    def _positive(cls, radius: u.Quantity) -> u.Quantity:
        if not 0 < radius.to_value("deg") <= 5:
            raise ValueError("the radius must be above 0 and at most 5 deg")
        return radius


class TestsConfig(Config):
    """How phases are tested against a uniform distribution."""

    max_harmonics: Harmonics = Field(20, description="Of the H test.")
    z2_harmonics: tuple[Harmonics, ...] = Field((2,), description="Of each Z² test.")


class RegionsConfig(Config):
    """Phases of the pulse, and phases without: chosen before the data are looked at."""

    on: Annotated[tuple[Interval, ...], Field(min_length=1)]
    off: Annotated[tuple[Interval, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _can_be(self) -> "RegionsConfig":
        try:
            self.regions()
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return self

    def regions(self) -> PhaseRegions:
        """Return the regions."""
        return PhaseRegions(on=self.on, off=self.off)


class PeakConfig(Config):
    """Where the fit of a peak begins."""

    shape: Literal["gaussian", "lorentzian"] = Field(
        "gaussian", description="A Lorentzian has two widths, before and after the peak."
    )
    location: float = Field(description="Phase of the peak.")
    width: Annotated[float, Field(gt=0, le=1)] = Field(
        0.03, description="Standard deviation, or half-width at half maximum, in turns."
    )
    fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.02, description="Part of all events that is in the peak."
    )

    def peak(self) -> GaussianPeak | LorentzianPeak:
        """Return the peak."""
        if self.shape == "gaussian":
            return GaussianPeak(self.location, self.width, self.fraction)
        return LorentzianPeak(self.location, self.width, self.width, self.fraction)


class ProfileConfig(Config):
    """The profile of the pulse: its histogram, and an unbinned fit of peaks."""

    n_bins: Annotated[int, Field(ge=2, le=1000)] | None = Field(
        None, description="Bins a turn. Default: as counts allow."
    )
    peaks: tuple[PeakConfig, ...] = Field((), description="Peaks to fit, on a constant.")

    @model_validator(mode="after")
    def _can_be(self) -> "ProfileConfig":
        if sum(peak.fraction for peak in self.peaks) >= 1:
            raise ValueError("the fractions of the peaks must sum to less than 1")
        return self


class ScanConfig(Config):
    """A search around the frequency of the ephemeris."""

    f0: tuple[Frequency, Frequency] = Field(description="At the epoch, which the report says.")
    f1: tuple[FrequencyRate, FrequencyRate] | None = Field(
        None, description="Default: that of the ephemeris."
    )
    statistic: Literal["h", "z2"] = "h"
    n_harmonics: Harmonics = 20
    oversampling: Annotated[float, Field(gt=0, le=1000)] = Field(
        10, description="Trials for each independent frequency."
    )

    @model_validator(mode="after")
    def _rises(self) -> "ScanConfig":
        if self.f0[0] > self.f0[1] or (self.f1 is not None and self.f1[0] > self.f1[1]):
            raise ValueError("a range starts with the lower value")
        return self


class SpectrumConfig(Config):
    """The spectrum of the on phases, with the background of the off phases."""

    average: Literal["phases", "period"] = Field(
        "period", description="The flux is the mean over the period, or that in the on phases."
    )
    reduction: ReductionConfig = ReductionConfig()
    fit: FitConfig
    flux_points: FluxPointsConfig = FluxPointsConfig()

    @model_validator(mode="after")
    def _ranges(self) -> "SpectrumConfig":
        check_range("fit", self.fit.energy_min, self.fit.energy_max)
        points = self.flux_points.energy
        if points is not None and points.per_decade > self.reduction.energy.per_decade:
            raise ValueError(
                f"flux_points.energy.per_decade ({points.per_decade}) must not exceed "
                f"reduction.energy.per_decade ({self.reduction.energy.per_decade})"
            )
        return self


class PulsarConfig(RecipeConfig):
    """The whole configuration of the recipe."""

    recipe: Literal["pulsar"]
    schema_version: Literal[1]
    data: DataConfig
    target: TargetConfig
    ephemeris: EphemerisConfig
    events: EventsConfig
    tests: TestsConfig = TestsConfig()
    regions: RegionsConfig | None = None
    profile: ProfileConfig = ProfileConfig()
    scan: ScanConfig | None = None
    spectrum: SpectrumConfig | None = None
    detect_by: Literal["h", "regions"] = Field(
        "h", description="What decides on a detection: the H test, or the regions of phase."
    )
    detection_threshold: Annotated[float, Field(ge=0, le=20)] = Field(
        5.0, description="Significance from which on pulsations count as detected."
    )

    @model_validator(mode="after")
    def _complete(self) -> "PulsarConfig":
        check_range("events", self.events.energy_min, self.events.energy_max)
        if self.regions is None and self.spectrum is not None:
            raise ValueError("a spectrum needs `regions`: on and off phases")
        if self.regions is None and self.detect_by == "regions":
            raise ValueError("`detect_by: regions` needs `regions`: on and off phases")
        return self
