"""The whole way from event lists to products, as a script of Gammapy and as one of the verbs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from bench_jobs import (
    CRAB_RUNS,
    GALACTIC_CENTRE_RUNS,
    centre_background,
    centre_models,
    crab_model,
)
from gammapy.data import DataStore, Observations
from gammapy.datasets import Datasets, MapDataset, SpectrumDataset
from gammapy.estimators import FluxPointsEstimator, LightCurveEstimator, TSMapEstimator
from gammapy.makers import (
    MapDatasetMaker,
    ReflectedRegionsBackgroundMaker,
    SafeMaskMaker,
    SpectrumDatasetMaker,
)
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel
from regions import CircleSkyRegion

from ctao_sat import dl4, dl5

# What users ask for most often.
SELECTION = ["errn-errp", "ul"]
STEPS = ("reduction", "fit", "flux points", "light curve", "TS map")


@dataclass
class Products:
    """What a chain gives, and the processor time of its steps in s."""

    seconds: dict[str, float]
    models: Any = None
    stat: float = np.nan
    flux_points: Any = None
    light_curve: Any = None
    ts_map: Any = None


class Clock:
    """Adds up the processor time of steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, function: Callable, *arguments: Any, **options: Any) -> Any:
        """Call a function as part of a step."""
        start = process_time()
        result = function(*arguments, **options)
        self.seconds[step] = self.seconds.get(step, 0.0) + process_time() - start
        return result


@dataclass(frozen=True)
class Crab:
    """Four H.E.S.S. runs: reflected regions for the spectrum, a map for the test statistic."""

    data: Path
    name = "H.E.S.S. Crab"
    source = "crab"
    target = SkyCoord(83.633, 22.014, unit="deg")
    edges = np.geomspace(0.5, 30, 12) * u.TeV
    band = [1, 30] * u.TeV

    def observations(self) -> Observations:
        """Return the observations, nothing of them read yet."""
        store = DataStore.from_dir(self.data / "hess-dl3-dr1")
        return store.get_observations(CRAB_RUNS)

    @property
    def region(self) -> RegionGeom:
        """The on region."""
        axis = MapAxis.from_energy_bounds("0.1 TeV", "100 TeV", nbin=40)
        return RegionGeom.create(CircleSkyRegion(self.target, 0.11 * u.deg), axes=[axis])

    @property
    def spectrum_axis(self) -> MapAxis:
        """True energies of the spectrum."""
        return MapAxis.from_energy_bounds("0.05 TeV", "200 TeV", nbin=100, name="energy_true")

    @property
    def geom(self) -> WcsGeom:
        """Pixels of the map."""
        axis = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=3)
        return WcsGeom.create(skydir=self.target, binsz=0.02, npix=200, axes=[axis])

    @property
    def map_axis(self) -> MapAxis:
        """True energies of the map."""
        return MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", nbin=20, name="energy_true")

    @property
    def exclusion(self) -> list[CircleSkyRegion]:
        """Where no off region may lie."""
        return [CircleSkyRegion(self.target, 0.3 * u.deg)]

    def by_gammapy(self) -> Products:
        """Return what a script of Gammapy gives."""
        clock = Clock()
        spectra = clock("reduction", self._gammapy_spectra)
        cube = clock("reduction", self._gammapy_map)
        spectra.models = [crab_model()]
        result = clock("fit", Fit().run, spectra)
        points = FluxPointsEstimator(
            energy_edges=self.edges, source=self.source, selection_optional=SELECTION
        )
        curve = LightCurveEstimator(
            energy_edges=self.band, source=self.source, selection_optional=SELECTION
        )
        return Products(
            models=spectra.models.copy(),
            stat=result.total_stat,
            flux_points=clock("flux points", points.run, spectra),
            light_curve=clock("light curve", curve.run, spectra),
            ts_map=clock("TS map", gammapy_ts_map, cube),
            seconds=clock.seconds,
        )

    def _gammapy_spectra(self) -> Datasets:
        empty = SpectrumDataset.create(self.region, energy_axis_true=self.spectrum_axis)
        maker = SpectrumDatasetMaker(
            selection=["counts", "exposure", "edisp"],
            containment_correction=True,
            use_region_center=True,
        )
        mask = dl4.exclusion_mask(self.exclusion, self.target)
        background = ReflectedRegionsBackgroundMaker(exclusion_mask=mask)
        safe = SafeMaskMaker(methods=["aeff-max"], aeff_percent=10)
        spectra = []
        for observation in self.observations():
            dataset = maker.run(empty.copy(name=str(observation.obs_id)), observation)
            spectra.append(safe.run(background.run(dataset, observation), observation))
        return Datasets(spectra)

    def _gammapy_map(self) -> MapDataset:
        return gammapy_maps(self.observations(), self.geom, self.map_axis, 2 * u.deg)[0]

    def by_verbs(self) -> Products:
        """Return what the verbs give."""
        clock = Clock()
        spectra = clock(
            "reduction",
            dl4.reduce,
            self.observations(),
            self.region,
            energy_axis_true=self.spectrum_axis,
            exclusion=self.exclusion,
        )
        cube = clock(
            "reduction",
            dl4.reduce,
            self.observations(),
            self.geom,
            energy_axis_true=self.map_axis,
            **map_options(2 * u.deg),
            stack=True,
        )[0]
        spectra.models = [crab_model()]
        result = clock("fit", dl5.fit, spectra)
        options = {"selection_optional": SELECTION}
        return Products(
            models=spectra.models.copy(),
            stat=result.total_stat,
            flux_points=clock(
                "flux points", dl5.flux_points, spectra, self.edges, self.source, **options
            ),
            light_curve=clock(
                "light curve", dl5.light_curve, spectra, self.band, self.source, **options
            ),
            ts_map=clock("TS map", verb_ts_map, cube),
            seconds=clock.seconds,
        )


@dataclass(frozen=True)
class Centre:
    """Three CTA-1DC runs on the Galactic centre: a cube, fitted with fixed shapes."""

    data: Path
    name = "CTA-1DC Galactic centre"
    source = "sgr-a"
    edges = np.geomspace(0.1, 10, 6) * u.TeV
    band = [0.1, 10] * u.TeV

    def observations(self) -> Observations:
        """Return the observations, nothing of them read yet."""
        store = DataStore.from_dir(self.data / "cta-1dc" / "index" / "gps")
        return store.get_observations(GALACTIC_CENTRE_RUNS)

    @property
    def geom(self) -> WcsGeom:
        """Pixels of the map."""
        axis = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=10)
        return WcsGeom.create(
            skydir=(0, 0), frame="galactic", binsz=0.02, npix=(500, 400), axes=[axis]
        )

    @property
    def map_axis(self) -> MapAxis:
        """True energies."""
        return MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=20, name="energy_true")

    def by_gammapy(self) -> Products:
        """Return what a script of Gammapy gives."""
        clock = Clock()
        runs = clock(
            "reduction",
            gammapy_maps,
            self.observations(),
            self.geom,
            self.map_axis,
            4 * u.deg,
            stack=False,
        )
        cube = clock("reduction", runs.stack_reduce, name="centre")
        stacked = Datasets([cube])
        stacked.models = centre_models()
        result = clock("fit", Fit().run, stacked)
        points = FluxPointsEstimator(
            energy_edges=self.edges, source=self.source, selection_optional=SELECTION
        )
        curve = LightCurveEstimator(
            energy_edges=self.band, source=self.source, selection_optional=SELECTION
        )
        set_run_models(runs, stacked)
        return Products(
            models=stacked.models.copy(),
            stat=result.total_stat,
            flux_points=clock("flux points", points.run, stacked),
            light_curve=clock("light curve", curve.run, runs),
            ts_map=clock("TS map", gammapy_ts_map, cube),
            seconds=clock.seconds,
        )

    def by_verbs(self) -> Products:
        """Return what the verbs give."""
        clock = Clock()
        runs = clock(
            "reduction",
            dl4.reduce,
            self.observations(),
            self.geom,
            energy_axis_true=self.map_axis,
            **map_options(4 * u.deg),
            cutout=False,
        )
        cube = clock("reduction", runs.stack_reduce, name="centre")
        stacked = Datasets([cube])
        stacked.models = centre_models()
        result = clock("fit", dl5.fit, stacked)
        options = {"selection_optional": SELECTION}
        set_run_models(runs, stacked)
        return Products(
            models=stacked.models.copy(),
            stat=result.total_stat,
            flux_points=clock(
                "flux points", dl5.flux_points, stacked, self.edges, self.source, **options
            ),
            light_curve=clock(
                "light curve", dl5.light_curve, runs, self.band, self.source, **options
            ),
            ts_map=clock("TS map", verb_ts_map, cube),
            seconds=clock.seconds,
        )


def set_run_models(runs: Datasets, stacked: Datasets) -> None:
    """Give the runs the fitted sources, and to each a background of its own."""
    sources = [model for model in stacked.models.copy() if isinstance(model, SkyModel)]
    runs.models = [*sources, *(centre_background(name) for name in runs.names)]


def gammapy_maps(
    observations: Observations,
    geom: WcsGeom,
    axis_true: MapAxis,
    offset_max: u.Quantity,
    *,
    stack: bool = True,
) -> Datasets:
    """Return maps of the observations by Gammapy's makers."""
    empty = MapDataset.create(geom, energy_axis_true=axis_true, name="stacked")
    maker = MapDatasetMaker(selection=["counts", "background", "exposure", "psf", "edisp"])
    safe = SafeMaskMaker(methods=["offset-max"], offset_max=offset_max)
    runs = []
    for observation in observations:
        dataset = maker.run(empty.copy(name=str(observation.obs_id)), observation)
        dataset = safe.run(dataset, observation)
        if stack:
            empty.stack(dataset)
        else:
            runs.append(dataset)
    return Datasets([empty] if stack else runs)


def map_options(offset_max: u.Quantity) -> dict[str, Any]:
    """Return how the verb gives the maps of `gammapy_maps`."""
    return {
        "background": "none",
        "safe_mask": SafeMaskMaker(methods=["offset-max"], offset_max=offset_max),
        "background_integration": "bin-edges",
    }


def searched() -> SkyModel:
    """Return the point source of the TS maps."""
    return SkyModel(PowerLawSpectralModel(index=2.3), PointSpatialModel(), name="searched")


def gammapy_ts_map(cube: MapDataset):
    """Return Gammapy's TS map of a field without its models."""
    bare = cube.copy(name="bare")
    return TSMapEstimator(searched(), kernel_width=0.4 * u.deg).run(bare)


def verb_ts_map(cube: MapDataset):
    """Return ours of the same."""
    bare = cube.copy(name="bare")
    return dl5.ts_map(bare, searched(), kernel_width=0.4 * u.deg)
