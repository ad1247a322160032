"""Plots of real data, compared with the products they show."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.estimators import FluxPointsEstimator, LightCurveEstimator
from gammapy.makers import (
    ReflectedRegionsBackgroundMaker,
    SafeMaskMaker,
    SpectrumDatasetMaker,
    WobbleRegionsFinder,
)
from gammapy.maps import MapAxis, RegionGeom
from gammapy.modeling.models import LogParabolaSpectralModel, SkyModel
from matplotlib.patches import Circle
from numpy.testing import assert_allclose
from regions import CircleSkyRegion, PointSkyRegion

from ctao_sat import plotting
from ctao_sat._gammapy import ThetaSquaredTable

pytestmark = pytest.mark.realdata
CRAB = SkyCoord(83.633, 22.014, unit="deg")
# Parameters near the published ones of these runs; nothing is fitted here but the points.
SPECTRUM = {
    "amplitude": "4.39e-11 cm-2 s-1 TeV-1",
    "alpha": 2.38,
    "beta": 0.16,
    "reference": "1 TeV",
}


def reduce(observations, region, finder=None):
    energy = MapAxis.from_energy_bounds("0.5 TeV", "30 TeV", nbin=5, per_decade=True)
    true = MapAxis.from_energy_bounds(
        "0.1 TeV", "100 TeV", nbin=10, per_decade=True, name="energy_true"
    )
    empty = SpectrumDataset.create(RegionGeom.create(region, axes=[energy]), energy_axis_true=true)
    maker = SpectrumDatasetMaker(selection=["counts", "exposure", "edisp"])
    background = ReflectedRegionsBackgroundMaker(**({"region_finder": finder} if finder else {}))
    safe = SafeMaskMaker(methods=["aeff-max"], aeff_percent=10)
    datasets = Datasets()
    for observation in observations:
        dataset = maker.run(empty.copy(name=str(observation.obs_id)), observation)
        datasets.append(safe.run(background.run(dataset, observation), observation))
    return datasets


@pytest.fixture(scope="module")
def observations(gammapy_data):
    return DataStore.from_dir(gammapy_data / "hess-dl3-dr1").get_observations([23523, 23592])


@pytest.fixture(scope="module")
def datasets(observations):
    datasets = reduce(observations, CircleSkyRegion(CRAB, 0.11 * u.deg))
    datasets.models = [SkyModel(LogParabolaSpectralModel(**SPECTRUM), name="crab")]
    return datasets


def test_spectrum_of_the_crab(datasets, tmp_path):
    stacked = datasets.stack_reduce(name="stacked")
    stacked.models = datasets.models
    estimator = FluxPointsEstimator(
        energy_edges=[0.7, 2, 6, 29] * u.TeV, source="crab", selection_optional="all"
    )
    points = estimator.run([stacked])
    ax = plotting.plot_sed(points, stacked.models[0])
    drawn = next(each for each in ax.containers if each.get_label() == "Flux points")
    assert_allclose(
        drawn[0].get_ydata(), points.e2dnde.quantity.ravel().to_value("TeV cm-2 s-1"), rtol=1e-12
    )
    curve = next(line for line in ax.lines if line.get_label() == "Model")
    flux = np.interp(drawn[0].get_xdata(), *curve.get_data())
    assert_allclose(drawn[0].get_ydata(), flux, rtol=0.5)
    assert plotting.save(ax, tmp_path / "sed.png").stat().st_size > 10_000
    upper, lower = plotting.plot_counts(stacked)
    assert upper.get_yscale() == "log"
    assert np.nanmax(np.abs(lower.containers[0][0].get_ydata())) < 5


def test_significance_of_the_crab(datasets):
    table = datasets.info_table(cumulative=True)
    ax = plotting.plot_significance(table)
    assert_allclose(ax.lines[0].get_ydata(), table["sqrt_ts"])
    assert ax.lines[0].get_ydata()[-1] > 20


def test_light_curve_of_the_crab(datasets):
    estimator = LightCurveEstimator(
        energy_edges=[0.7, 10] * u.TeV, source="crab", selection_optional=["errn-errp", "ul"]
    )
    curve = estimator.run(datasets)
    (drawn, *_) = (each for each in plotting.plot_light_curve(curve).containers if each[0])
    assert_allclose(drawn[0].get_ydata(), curve.flux.quantity.ravel().to_value("cm-2 s-1"))
    # 2004-12-04 and 2004-12-08, in days since 1970.
    assert_allclose(drawn[0].get_xdata(), [12756.93, 12760.92], atol=0.02)


def test_theta_squared_of_the_crab(observations):
    axis = MapAxis.from_bounds(0, 0.2, nbin=20, unit="deg2", interp="lin")
    table = ThetaSquaredTable(observations, axis, CRAB).run()
    ax = plotting.plot_theta_squared(table, radius=np.sqrt(0.02) * u.deg)
    assert f"{{on}} = {table['counts'][:2].sum()}$" in ax.texts[0].get_text()
    assert_allclose(ax.containers[-1][0].get_ydata(), table["counts"])


def test_regions_of_the_crab(datasets, observations):
    pointings = [each.get_pointing_icrs(each.tmid) for each in observations]
    ax = plotting.plot_regions(datasets, pointings=pointings)
    off = [each for each in ax.get_children() if isinstance(each, Circle)]
    expected = sum(
        round(float(np.nanmax(d.acceptance_off.data / d.acceptance.data))) for d in datasets
    )
    assert len(off) == expected + 1


def test_regions_of_magic_are_points(gammapy_data):
    store = DataStore.from_dir(gammapy_data / "magic/rad_max/data")
    observations = store.get_observations([5029747], required_irf="point-like")
    datasets = reduce(observations, PointSkyRegion(CRAB), WobbleRegionsFinder(n_off_regions=3))
    ax = plotting.plot_regions(datasets)
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert len(crosses) == 4
