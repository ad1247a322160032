"""Reduction of observations to maps: Gammapy's maps, backgrounds, stacks and what goes wrong."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.data import EventList
from gammapy.datasets import MapDataset, MapDatasetOnOff
from gammapy.irf import Background2D, EnergyDependentMultiGaussPSF, FoVAlignment, PSFKing
from gammapy.makers import (
    FoVBackgroundMaker,
    MapDatasetMaker,
    RingBackgroundMaker,
    SafeMaskMaker,
)
from gammapy.maps import MapAxis, WcsGeom
from regions import CircleSkyRegion

from ctao_sat import dl3, dl4
from ctao_sat.dl3._sites import bundled_earth_rotation
from ctao_sat.dl4._map_dataset import make_map_dataset
from ctao_sat.errors import (
    ConfigError,
    CtaoSatWarning,
    DataError,
    MissingHDUError,
    SelectionError,
)

TARGET = SkyCoord(83.633, 22.014, unit="deg")
AXIS = MapAxis.from_energy_bounds("0.1 TeV", "30 TeV", nbin=5)
TRUE = MapAxis.from_energy_bounds("0.05 TeV", "60 TeV", nbin=9, name="energy_true")
MIGRA = MapAxis.from_edges(np.linspace(0.2, 3, 57), name="migra")
OFFSET_MAX = 1.5 * u.deg
NEBULA = [CircleSkyRegion(TARGET, 0.3 * u.deg)]


@pytest.fixture(scope="module")
def observations(demo_dl3):
    store = dl3.open_dl3(demo_dl3)
    return dl3.read_observations(store, store.obs_ids)


@pytest.fixture(scope="module")
def geometry():
    return WcsGeom.create(skydir=TARGET, binsz=0.05, width=3, frame="icrs", axes=[AXIS])


@pytest.fixture
def reduce(observations, geometry):
    def run(**options):
        options = {"energy_axis_true": TRUE, "offset_max": OFFSET_MAX, **options}
        return dl4.reduce(observations, geometry, **options)

    return run


def maps(dataset):
    """Return the maps of a dataset."""
    responses = [(dataset.psf, "psf_map"), (dataset.edisp, "edisp_map")]
    made = {name: getattr(dataset, name) for name in ("counts", "exposure", "mask_safe")}
    for response, name in responses:
        made[name] = getattr(response, name)
        made[f"exposure of {name}"] = response.exposure_map
    if dataset.background is not None:
        made["background"] = dataset.background
    return made


def assert_same(ours, theirs, rtol=1e-7):
    """Check that two datasets hold the same maps."""
    assert ours.name == theirs.name
    expected = maps(theirs)
    for name, map_ in maps(ours).items():
        other = expected[name]
        assert map_.geom == other.geom, name
        assert map_.unit == other.unit, name
        largest = np.nanmax(np.abs(other.data.astype(float)))
        np.testing.assert_allclose(map_.data, other.data, rtol, 1e-12 * largest, err_msg=name)


def plain(observation, empty, *makers):
    """Return what Gammapy's makers make of an observation."""
    dataset = MapDatasetMaker().run(empty, observation)
    for maker in (SafeMaskMaker(methods=["aeff-max"]), *makers):
        dataset = maker.run(dataset, observation)
    return dataset


def cutout(observation, geometry, migra=None):
    empty = MapDataset.create(geometry, energy_axis_true=TRUE, migra_axis=migra)
    pointing = observation.get_pointing_icrs(observation.tmid)
    return empty.cutout(pointing, width=2 * OFFSET_MAX, name=str(observation.obs_id))


def test_maps_are_those_of_gammapy(observations, geometry, reduce):
    datasets = reduce(background="none", background_integration="bin-edges")
    safe = SafeMaskMaker(methods=["offset-max"], offset_max=OFFSET_MAX)
    for ours, observation in zip(datasets, observations, strict=True):
        assert_same(ours, plain(observation, cutout(observation, geometry), safe))
        assert ours.gti.time_sum == observation.gti.time_sum
        assert ours.exposure.meta["livetime"] == observation.observation_live_time_duration
        assert ours.background.data.sum() > 100
        assert ours.meta_table["BKG_INTEGRATION"][0] == "bin-edges"


@pytest.mark.parametrize("frame", ["icrs", "galactic"])
def test_other_frames_and_energy_dispersion_by_ratio(observations, frame):
    geometry = WcsGeom.create(
        skydir=TARGET, binsz=0.1, width=(2, 1), frame=frame, proj="TAN", axes=[AXIS]
    )
    empty = cutout(observations[0], geometry, MIGRA)
    ours = make_map_dataset(empty, observations[0], integration="bin-edges")
    assert_same(ours, MapDatasetMaker().run(empty, observations[0]))


def test_background_of_offset_or_aligned_with_the_horizon(observations, geometry):
    observation = observations[0].copy(in_memory=True)
    empty = cutout(observation, geometry)
    bkg = observation.bkg
    flat = bkg.to_2d() if not isinstance(bkg, Background2D) else bkg
    cube = flat.to_3d()
    tilt = 1 + 0.2 * cube.axes["fov_lat"].center.to_value("deg")[None, None, :].clip(-4, 4)
    cube = type(cube)(
        axes=cube.axes,
        data=u.Quantity(cube.data).value * tilt,
        unit=flat.unit,
        fov_alignment="ALTAZ",
    )
    made = []
    for response in (flat, cube):
        observation.bkg = response
        before = response.data.copy()
        ours = make_map_dataset(empty, observation, integration="bin-edges")
        assert np.array_equal(response.data, before, equal_nan=True)
        assert "background" not in ours.meta_table["FALLBACKS"][0]
        with bundled_earth_rotation():
            theirs = MapDatasetMaker().run(empty, observation)
        np.testing.assert_allclose(
            ours.background.data, theirs.background.data, rtol=1e-7, atol=1e-12
        )
        made.append(ours.background.data)
    assert cube.fov_alignment == FoVAlignment.ALTAZ
    assert not np.allclose(*made, rtol=0.02)


def test_what_is_not_compiled_is_left_to_gammapy_and_said(observations, geometry, caplog):
    observation = observations[0].copy(in_memory=True)
    axes = [TRUE.copy(), observation.aeff.axes["offset"]]
    data = np.ones([axis.nbin for axis in axes], dtype=[("gamma", "f4"), ("sigma", "f4")])
    data["gamma"], data["sigma"] = 3, 0.1
    units = {"gamma": u.Unit(""), "sigma": u.deg}
    observation.psf = PSFKing(axes=axes, data=data, unit=units)
    empty = cutout(observation, geometry)
    with caplog.at_level("INFO", "ctao_sat"):
        ours = make_map_dataset(empty, observation, integration="bin-edges")
    reason = "psf: PSFKing is not compiled"
    assert ours.meta_table["FALLBACKS"].tolist() == [reason]
    assert reason in caplog.text
    assert_same(ours, MapDatasetMaker().run(empty, observation))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frame": "fk5"}, "exposure: the frame 'fk5' is not compiled"),
        ({"binsz": [0.1, 0.1, 0.2, 0.2, 0.2]}, "exposure: pixels that change with energy"),
    ],
)
def test_maps_that_are_not_compiled(observations, changes, reason):
    options = {"skydir": (83.6, 22), "binsz": 0.1, "width": 1, "axes": [AXIS], **changes}
    empty = MapDataset.create(WcsGeom.create(**options), energy_axis_true=TRUE)
    dataset = make_map_dataset(empty, observations[0])
    assert dataset.meta_table["FALLBACKS"][0].startswith(reason)
    assert dataset.meta_table["BKG_INTEGRATION"][0] == "bin-edges"
    theirs = MapDatasetMaker().run(empty, observations[0])
    assert np.array_equal(dataset.exposure.data, theirs.exposure.data)


def test_gaussians_without_a_norm_and_radii_in_other_steps(observations, geometry):
    observation = observations[0].copy(in_memory=True)
    assert isinstance(observation.psf, EnergyDependentMultiGaussPSF)
    # As files have it where there are no events.
    n = len(observation.psf.data) // 2
    observation.psf.data["scale"][:n] = 0
    observation.psf.data["ampl_2"][n + 3] = np.nan
    steps = MapAxis.from_edges(np.geomspace(0.01, 0.6, 20), unit="deg", name="rad")
    for rad, reason in ((None, ""), (steps, "psf: the radii of the map are not in equal steps")):
        empty = MapDataset.create(geometry, energy_axis_true=TRUE, rad_axis=rad)
        ours = make_map_dataset(empty, observation, integration="bin-edges")
        assert ours.meta_table["FALLBACKS"][0] == reason
        theirs = MapDatasetMaker().run(empty, observation)
        assert_same(ours, theirs)
        assert not ours.psf.psf_map.data.any(axis=(1, 2, 3)).all()


def test_norm_of_the_background_is_that_of_the_fit(observations, geometry, reduce):
    datasets = reduce(exclusion=NEBULA, background_integration="bin-edges")
    mask = ~geometry.to_image().region_mask(NEBULA)
    for ours, observation in zip(datasets, observations, strict=True):
        safe = SafeMaskMaker(methods=["offset-max"], offset_max=OFFSET_MAX)
        fit = FoVBackgroundMaker(method="fit", exclusion_mask=mask)
        theirs = plain(observation, cutout(observation, geometry), safe, fit)
        norm, fitted = (dataset.background_model.spectral_model.norm for dataset in (ours, theirs))
        assert norm.value == pytest.approx(fitted.value, abs=0.01 * fitted.error)
        assert norm.error == pytest.approx(fitted.error, rel=0.01)
        assert 0.5 < norm.value < 2


def test_ring(observations, geometry, reduce):
    datasets = reduce(background="ring", exclusion=NEBULA, background_integration="bin-edges")
    ring = RingBackgroundMaker(
        0.5 * u.deg, 0.3 * u.deg, exclusion_mask=~geometry.to_image().region_mask(NEBULA)
    )
    safe = SafeMaskMaker(methods=["offset-max"], offset_max=OFFSET_MAX)
    theirs = plain(observations[0], cutout(observations[0], geometry), safe, ring)
    assert isinstance(datasets[0], MapDatasetOnOff)
    for name in ("counts_off", "acceptance", "acceptance_off", "mask_safe"):
        one, other = getattr(datasets[0], name).data, getattr(theirs, name).data
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
    (stacked,) = reduce(background="ring", stack=True)
    assert isinstance(stacked, MapDatasetOnOff)
    assert stacked.counts_off.data.sum() > 0


def test_stack_is_the_sum(geometry, reduce):
    single, (stacked,) = reduce(), reduce(stack=True)
    assert stacked.name == "stacked"
    assert stacked.counts.geom == geometry
    counts = sum((dataset.counts * dataset.mask_safe).data.sum() for dataset in single)
    assert stacked.counts.data.sum() == counts > 100
    assert stacked.gti.time_sum == sum(dataset.gti.time_sum for dataset in single)
    by_gammapy = MapDataset.create(geometry, energy_axis_true=TRUE, name="stacked")
    for dataset in single:
        by_gammapy.stack(dataset)
    assert_same(stacked, by_gammapy, rtol=1e-12)


def test_stacks_are_the_same_with_any_number_of_jobs(observations, geometry):
    many = [observations[0], observations[1], observations[0]]
    options = {"energy_axis_true": TRUE, "stack": True, "background": "none"}
    small = WcsGeom.create(skydir=TARGET, binsz=0.2, width=1, axes=[AXIS])
    (serial,) = dl4.reduce(many, small, **options)
    (parallel,) = dl4.reduce(many, small, n_jobs=2, **options)
    for name, map_ in maps(serial).items():
        assert np.array_equal(map_.data, maps(parallel)[name].data), name
    one = dl4.reduce(many[:2], small, energy_axis_true=TRUE, background="none")
    counts = [(dataset.counts * dataset.mask_safe).data.sum() for dataset in one]
    assert serial.counts.data.sum() == 2 * counts[0] + counts[1]


def test_offset_and_cutout(geometry, reduce):
    near = {"offset_max": 1 * u.deg}
    for dataset, whole in zip(reduce(**near), reduce(**near, cutout=False), strict=True):
        assert dataset.counts.geom.npix[0].item() < whole.counts.geom.npix[0].item()
        assert whole.counts.geom == geometry
        assert (dataset.counts * dataset.mask_safe).data.sum() == (
            whole.counts * whole.mask_safe
        ).data.sum()
    free = reduce(offset_max=None)[0]
    assert free.counts.geom == geometry
    assert free.mask_safe.data[-1].all()


def test_inputs_stay_as_they_are(observations, geometry):
    held = [observation.copy(in_memory=True) for observation in observations]
    before = [observation.bkg.data.copy() for observation in held]
    dl4.reduce(held, geometry, energy_axis_true=TRUE)
    for observation, data in zip(held, before, strict=True):
        assert np.array_equal(observation.bkg.data, data)
    assert not geometry.is_image


def test_observations_beside_the_map_are_left_out(observations, geometry):
    far = WcsGeom.create(skydir=SkyCoord(10, 10, unit="deg"), width=1, axes=[AXIS])
    with pytest.raises(DataError, match="No observation has a usable bin"):
        dl4.reduce(observations, far, offset_max=OFFSET_MAX)
    pointing = observations[0].get_pointing_icrs(observations[0].tmid)
    near = WcsGeom.create(skydir=pointing, binsz=0.05, width=0.4, axes=[AXIS])
    with pytest.warns(CtaoSatWarning, match=f"usable in {observations[1].obs_id}: left out"):
        kept = dl4.reduce(observations, near, offset_max=0.5 * u.deg, background="none")
    assert kept.names == [str(observations[0].obs_id)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": "rings"}, "Unknown background 'rings' of maps. Did you mean 'ring'"),
        ({"background": "reflected"}, "Unknown background 'reflected' of maps"),
        ({"background": "none", "exclusion": NEBULA}, "does nothing with"),
        ({"background": FoVBackgroundMaker(), "exclusion": NEBULA}, "does not go with"),
        ({"background": None}, "Unknown background 'None' of maps"),
        ({"background": FoVBackgroundMaker}, "Unknown background"),
        ({"offset_max": 2.0}, "`offset_max` is 2.0, and no positive angle"),
        ({"offset_max": "2 deg"}, "`offset_max` is '2 deg'"),
        ({"offset_max": 2 * u.TeV}, "`offset_max` is <Quantity 2. TeV>"),
        ({"offset_max": 0 * u.deg}, "and no positive angle"),
        ({"energy_axis_true": AXIS}, "The axis of true energy is named 'energy'"),
        ({"background_integration": "bins"}, "Unknown integration"),
        ({"containment_correction": True}, "`containment_correction` does nothing for maps"),
        ({"n_off_regions": 3}, "`n_off_regions` does nothing for maps"),
    ],
)  # fmt: skip
def test_bad_arguments(reduce, options, message):
    with pytest.raises(ConfigError, match=message):
        reduce(**options)


def test_axes_beside_energy_are_refused(observations, geometry):
    phases = geometry.to_cube([MapAxis.from_edges([0, 0.5, 1], name="phase")])
    with pytest.raises(ConfigError, match="has the axis 'phase'"):
        dl4.reduce(observations, phases)


def test_no_observation(geometry):
    with pytest.raises(SelectionError, match="There is no observation"):
        dl4.reduce([], geometry)


def test_run_without_events_has_exposure(observations, geometry):
    """As of a rare event type, or a short interval."""
    empty = observations[0].copy(in_memory=True)
    empty.events = EventList(observations[0].events.table[:0])
    options = {"energy_axis_true": TRUE, "background": "none"}
    (dataset,) = dl4.reduce([empty], geometry, **options)
    (full,) = dl4.reduce([observations[0]], geometry, **options)
    assert dataset.counts.data.sum() == 0 < full.counts.data.sum()
    assert np.array_equal(dataset.exposure.data, full.exposure.data)
    assert np.array_equal(dataset.background.data, full.background.data)


def test_missing_responses_are_named(observations, geometry):
    bare = observations[0].copy(in_memory=True)
    bare.bkg = None
    with pytest.raises(MissingHDUError, match="has no bkg"):
        dl4.reduce([bare], geometry)
    (dataset,) = dl4.reduce([bare], geometry, energy_axis_true=TRUE, background="none")
    assert dataset.background is None
    bare.psf = None
    with pytest.raises(MissingHDUError, match="has no psf"):
        dl4.reduce([bare], geometry)
