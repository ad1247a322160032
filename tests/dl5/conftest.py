"""Small data sets of a simulated observation of the Crab nebula."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets
from gammapy.maps import MapAxis, RegionGeom
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from regions import CircleSkyRegion

from ctao_sat import dl3, dl4

TARGET = SkyCoord(83.633, 22.014, unit="deg")


@pytest.fixture(scope="session")
def reduced_crab(demo_dl3):
    """Return runs with reflected regions, to be copied."""
    store = dl3.open_dl3(demo_dl3)
    axis = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=4, per_decade=True)
    geometry = RegionGeom.create(CircleSkyRegion(TARGET, 0.11 * u.deg), axes=[axis])
    return dl4.reduce(dl3.read_observations(store, store.obs_ids), geometry)


@pytest.fixture
def crab(reduced_crab):
    """Return runs with a power law, for a test to change."""
    copies = Datasets([dataset.copy(name=dataset.name) for dataset in reduced_crab])
    model = PowerLawSpectralModel(amplitude="1e-11 cm-2 s-1 TeV-1", index=2)
    copies.models = [SkyModel(model, name="crab")]
    return copies


@pytest.fixture
def assert_equal():
    """Return a function that checks that all quantities of two flux points are the same bits."""

    def check(ours, theirs):
        assert ours.geom.axes.names == theirs.geom.axes.names
        for name in theirs.available_quantities:
            ours_data, theirs_data = getattr(ours, name).data, getattr(theirs, name).data
            np.testing.assert_array_equal(ours_data, theirs_data, name)

    return check


@pytest.fixture
def nights(small):
    """Return a function that makes datasets of a kind, one a night, with a decaying source."""

    def make(kind="on-off", number=4, seed=20261125):
        rng = np.random.default_rng(seed)
        makers = {"spectrum": small.spectrum, "on-off": small.on_off, "cube": small.cube}
        datasets = Datasets()
        for i in range(number):
            dataset = makers[kind](name=f"night-{i}")
            start = Time("2020-01-01", scale="tt") + i * u.d
            dataset.gti = GTI.create(start, start + 1 * u.h)
            datasets.append(dataset)
        source = small.point() if kind == "cube" else small.power_law()
        extra = [small.background_model(name) for name in datasets.names if kind == "cube"]
        datasets.models = [source, *extra]
        amplitude = source.parameters["amplitude"]
        before = amplitude.value
        for i, dataset in enumerate(datasets):
            amplitude.value = before * 3 * 0.6**i
            small.fill([dataset], rng)
        amplitude.value = before
        return datasets

    return make
