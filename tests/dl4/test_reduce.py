"""Reduction of observations to spectrum datasets."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
from gammapy.makers import (
    ReflectedRegionsBackgroundMaker,
    ReflectedRegionsFinder,
    SafeMaskMaker,
    SpectrumDatasetMaker,
)
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from regions import CircleSkyRegion, PointSkyRegion

from ctao_sat import dl3, dl4
from ctao_sat.errors import ConfigError, CtaoSatWarning, DataError

TARGET = SkyCoord(83.633, 22.014, unit="deg")
MAPS = ("counts", "counts_off", "acceptance", "acceptance_off", "exposure", "mask_safe")


@pytest.fixture(scope="module")
def observations(demo_dl3):
    store = dl3.open_dl3(demo_dl3)
    return dl3.read_observations(store, store.obs_ids)


@pytest.fixture
def axis():
    return MapAxis.from_energy_bounds("0.1 TeV", "30 TeV", nbin=4, per_decade=True)


@pytest.fixture
def geometry(axis):
    return RegionGeom.create(CircleSkyRegion(TARGET, 0.11 * u.deg), axes=[axis])


def assert_equal(one, other):
    """Check that two datasets hold the same bits."""
    assert one.name == other.name
    for name in MAPS:
        np.testing.assert_array_equal(getattr(one, name).data, getattr(other, name).data, name)
    np.testing.assert_array_equal(one.edisp.edisp_map.data, other.edisp.edisp_map.data)
    assert one.exposure.unit == other.exposure.unit
    np.testing.assert_array_equal(
        one.gti.time_start.mjd,
        other.gti.time_start.mjd,
    )


def test_equals_plain_gammapy(observations, geometry):
    datasets = dl4.reduce(observations, geometry)
    axis_true = MapAxis.from_energy_bounds(
        geometry.axes["energy"].edges[0] / 5,
        geometry.axes["energy"].edges[-1] * 5,
        nbin=20,
        per_decade=True,
        name="energy_true",
    )
    maker = SpectrumDatasetMaker(
        selection=["counts", "exposure", "edisp"], containment_correction=True
    )
    for dataset, observation in zip(datasets, observations, strict=True):
        plain = SpectrumDataset.create(
            geometry, energy_axis_true=axis_true, name=str(observation.obs_id)
        )
        plain = maker.run(plain, observation)
        plain = ReflectedRegionsBackgroundMaker().run(plain, observation)
        plain = SafeMaskMaker(methods=["aeff-max"], aeff_percent=10).run(plain, observation)
        assert isinstance(dataset, SpectrumDatasetOnOff)
        assert_equal(dataset, plain)
    assert sum(dataset.counts.data.sum() for dataset in datasets) > 100


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_parallel_equals_serial(observations, geometry, backend):
    serial = dl4.reduce(observations, geometry)
    parallel = dl4.reduce(observations, geometry, n_jobs=2, backend=backend)
    for one, other in zip(serial, parallel, strict=True):
        assert_equal(one, other)


def test_stack_sums_counts(observations, geometry):
    single = dl4.reduce(observations, geometry)
    stacked = dl4.reduce(observations, geometry, stack=True)
    assert stacked.names == ["stacked"]
    total = sum((d.counts.data * d.mask_safe.data).sum() for d in single)
    assert stacked[0].counts.data.sum() == total


def test_inputs_stay_as_they_are(observations, geometry):
    maker = SafeMaskMaker(methods=["aeff-max"], aeff_percent=20)
    before = [len(observation.events.table) for observation in observations]
    edges = geometry.axes["energy"].edges.copy()
    dl4.reduce(observations, geometry, safe_mask=maker)
    assert [len(observation.events.table) for observation in observations] == before
    assert np.array_equal(geometry.axes["energy"].edges, edges)
    assert maker.aeff_percent == 20


def test_exclusion_removes_off_regions(observations, geometry):
    free = dl4.reduce(observations, geometry)
    blocked = CircleSkyRegion(TARGET.directional_offset_by(0 * u.deg, 1 * u.deg), 0.3 * u.deg)
    fewer = dl4.reduce(observations, geometry, exclusion=[blocked])
    lost = [
        before.acceptance_off.data.max() - after.acceptance_off.data.max()
        for before, after in zip(free, fewer, strict=True)
    ]
    assert max(lost) >= 1
    for dataset in fewer:
        for region in getattr(dataset.counts_off.geom.region, "regions", []):
            assert region.center.separation(blocked.center) > blocked.radius


def test_containment_correction_lowers_exposure(observations, geometry):
    corrected = dl4.reduce(observations, geometry)[0].exposure.data
    bare = dl4.reduce(observations, geometry, containment_correction=False)[0].exposure.data
    ratio = corrected / bare
    assert np.all((ratio > 0) & (ratio <= 1))
    assert ratio.min() < 0.95


def test_run_without_off_region_is_left_out_with_a_warning(observations, geometry):
    # All but a narrow part of the ring around the first pointing is excluded.
    pointing = observations[0].get_pointing_icrs(observations[0].tmid)
    with pytest.warns(
        CtaoSatWarning, match=f"No off region was found for {observations[0].obs_id}"
    ):
        kept = dl4.reduce(observations, geometry, exclusion=_ring(pointing))
    assert kept.names == [str(observations[1].obs_id)]


def _ring(pointing):
    positions = [
        pointing.directional_offset_by(angle * u.deg, 0.5 * u.deg) for angle in range(0, 360, 20)
    ]
    return [CircleSkyRegion(p, 0.05 * u.deg) for p in positions if p.separation(TARGET).deg > 0.2]


def test_no_off_region_at_all(observations, axis):
    geometry = RegionGeom.create(CircleSkyRegion(TARGET, 0.6 * u.deg), axes=[axis])
    with pytest.raises(DataError, match="No off region was found for any observation"):
        dl4.reduce(observations, geometry)


def test_own_background_maker(observations, geometry):
    maker = ReflectedRegionsBackgroundMaker(
        region_finder=ReflectedRegionsFinder(max_region_number=1)
    )
    datasets = dl4.reduce(observations, geometry, background=maker)
    assert {dataset.acceptance_off.data.max() for dataset in datasets} == {1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"background": "ring"}, "Unknown background 'ring'"),
        ({"background": ReflectedRegionsBackgroundMaker(), "exclusion": [CircleSkyRegion(TARGET, 1 * u.deg)]}, "An exclusion goes with"),  # noqa: E501
        ({"geometry": WcsGeom.create()}, "no energy axis"),
        ({"geometry": TARGET}, "The geometry is a SkyCoord"),
        ({"offset_max": 2 * u.deg}, "`offset_max` does nothing for spectra"),
        ({"geometry": RegionGeom.create(CircleSkyRegion(TARGET, 1 * u.deg))}, "no energy axis"),
    ],
)  # fmt: skip
def test_bad_arguments(observations, geometry, change, message):
    arguments = {"geometry": geometry, **change}
    with pytest.raises(ConfigError, match=message):
        dl4.reduce(observations, **arguments)


def test_containment_correction_needs_a_circle(observations, axis):
    geometry = RegionGeom.create(PointSkyRegion(TARGET), axes=[axis])
    with pytest.raises(ConfigError, match="needs a circle"):
        dl4.reduce(observations, geometry, containment_correction=True)


def test_same_id_twice_gets_two_names(observations, geometry):
    twice = [observations[0], observations[0]]
    names = dl4.reduce(twice, geometry).names
    assert names == [str(observations[0].obs_id), f"{observations[0].obs_id}-2"]


def test_names_of_datasets(observations, geometry):
    datasets = dl4.reduce(observations, geometry, names=["a", "b"])
    assert datasets.names == ["a", "b"]
    for names in (["a"], ["a", "a"]):
        with pytest.raises(ConfigError, match="1 names for 2 observations"):
            dl4.reduce(observations, geometry, names=names)
