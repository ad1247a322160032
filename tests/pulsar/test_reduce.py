"""Datasets of phase regions: counts, background and exposure by hand, and fits of them."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.data import EventList, Observations
from gammapy.datasets import Datasets, MapDataset, MapDatasetOnOff, SpectrumDatasetOnOff
from gammapy.makers import PhaseBackgroundMaker, SpectrumDatasetMaker
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from numpy.testing import assert_allclose, assert_array_equal
from regions import CircleSkyRegion, PointSkyRegion

from ctao_sat import dl3, dl4, dl5, pulsar
from ctao_sat.errors import (
    ConfigError,
    CtaoSatWarning,
    DataError,
    MissingColumnError,
    SelectionError,
)

TARGET = SkyCoord(83.633, 22.014, unit="deg")
REGIONS = pulsar.PhaseRegions(on=[(0.95, 1.05), (0.3, 0.4)], off=[(0.5, 0.9)])
# A pulse is 40 % of the events of the source, of 0.1 turns around phase 0.
PULSED = 0.4


@pytest.fixture(scope="module")
def observations(demo_dl3):
    """Return two runs on a source like the Crab, with phases."""
    store = dl3.open_dl3(demo_dl3)
    rng = np.random.default_rng(61)
    found = []
    for one in dl3.read_observations(store, store.obs_ids):
        table = one.events.table.copy()
        near = one.events.radec.separation(TARGET) < 0.11 * u.deg
        phases = rng.random(len(table))
        pulsed = near & (rng.random(len(table)) < PULSED)
        phases[pulsed] = rng.uniform(-0.05, 0.05, pulsed.sum()) % 1
        table["PHASE"] = phases
        (with_phases,) = pulsar.select_events(one)
        with_phases.events = EventList(table)
        found.append(with_phases)
    return Observations(found)


@pytest.fixture(scope="module")
def axis():
    return MapAxis.from_energy_bounds("0.1 TeV", "30 TeV", nbin=3, per_decade=True)


@pytest.fixture(scope="module")
def geometry(axis):
    return RegionGeom.create(CircleSkyRegion(TARGET, 0.11 * u.deg), axes=[axis])


@pytest.fixture(scope="module")
def sky(axis):
    return WcsGeom.create(skydir=TARGET, width=2, binsz=0.05, axes=[axis], frame="icrs")


@pytest.fixture(scope="module")
def spectra(observations, geometry):
    return pulsar.reduce_phases(observations, geometry, REGIONS)


def counted(observation, geometry, mask):
    """Return the counts per energy of events in the on region, with numpy alone."""
    events = observation.events
    near = events.radec.separation(TARGET) < 0.11 * u.deg
    edges = geometry.axes["energy"].edges
    return np.histogram(events.energy[near & mask].to(edges.unit), edges)[0]


def test_counts_of_spectra_are_those_of_the_phases(spectra, observations, geometry):
    assert spectra.names == [str(one.obs_id) for one in observations]
    for dataset, one in zip(spectra, observations, strict=True):
        assert isinstance(dataset, SpectrumDatasetOnOff)
        x = np.asarray(one.events.table["PHASE"])
        on = (x < 0.05) | (x >= 0.95) | ((x >= 0.3) & (x < 0.4))
        off = (x >= 0.5) & (x < 0.9)
        assert_array_equal(dataset.counts.data[:, 0, 0], counted(one, geometry, on))
        assert_array_equal(dataset.counts_off.data[:, 0, 0], counted(one, geometry, off))
        # The same in all bins, without off counts as well.
        assert_allclose(dataset.alpha.data, 0.5)
    assert spectra[0].counts.data.sum() > 50


def test_exposure_and_livetime_are_those_of_the_phases(spectra, observations, geometry):
    whole = dl4.reduce(observations, geometry)
    period = pulsar.reduce_phases(observations, geometry, REGIONS, average="period")
    for part, turn, full in zip(spectra, period, whole, strict=True):
        assert_allclose(part.exposure.data, 0.2 * full.exposure.data)
        assert_allclose(turn.exposure.data, full.exposure.data)
        livetime = full.exposure.meta["livetime"]
        assert part.exposure.meta["livetime"] == 0.2 * livetime
        assert turn.exposure.meta["livetime"] == livetime
        assert_array_equal(part.counts.data, turn.counts.data)
        assert_array_equal(part.mask_safe.data, full.mask_safe.data)
        assert part.gti is not None


def test_counts_are_those_of_gammapy(spectra, observations, geometry):
    """Its intervals are open, do not wrap, and its exposure is that of all phases."""
    maker = PhaseBackgroundMaker([(0.95, 1.0), (0.0, 0.05), (0.3, 0.4)], [(0.5, 0.9)])
    empty = dl4.SpectrumDataset.create(geometry, energy_axis_true=spectra[0].exposure.geom.axes[0])
    plain = SpectrumDatasetMaker(selection=["counts", "exposure", "edisp"])
    for dataset, one in zip(spectra, observations, strict=True):
        with np.errstate(invalid="ignore"):
            theirs = maker.run(plain.run(empty, one), one)
        assert_array_equal(dataset.counts.data, theirs.counts.data)
        assert_array_equal(dataset.counts_off.data, theirs.counts_off.data)


def test_stacked_spectra(spectra, observations, geometry):
    (stacked,) = pulsar.reduce_phases(observations, geometry, REGIONS, stack=True)
    assert stacked.name == "stacked"
    total = sum((one.counts.data * one.mask_safe.data).sum() for one in spectra)
    assert stacked.counts.data.sum() == total
    assert stacked.alpha.data[stacked.mask_safe.data] == pytest.approx(0.5)
    livetimes = [one.exposure.meta["livetime"].to_value("s") for one in spectra]
    assert stacked.exposure.meta["livetime"].to_value("s") == pytest.approx(sum(livetimes))


def test_reflected_regions_count_all_phases(observations, geometry):
    blocked = CircleSkyRegion(TARGET.directional_offset_by(0 * u.deg, 1 * u.deg), 0.3 * u.deg)
    options = {"exclusion": [blocked]}
    whole = dl4.reduce(observations, geometry, **options)
    parts = pulsar.reduce_phases(observations, geometry, REGIONS, background="reflected", **options)
    for part, full, one in zip(parts, whole, observations, strict=True):
        on = REGIONS.on_mask(one.events.table["PHASE"])
        assert_array_equal(part.counts.data[:, 0, 0], counted(one, geometry, on))
        assert_array_equal(part.counts_off.data, full.counts_off.data)
        assert_allclose(part.alpha.data, 0.2 * full.alpha.data)
        assert_allclose(part.exposure.data, 0.2 * full.exposure.data)


def fitted(datasets):
    """Return the amplitude at 1 TeV of a power law, and its error."""
    spectrum = PowerLawSpectralModel(index=2.6, amplitude="3e-11 cm-2 s-1 TeV-1")
    datasets.models = [SkyModel(spectrum, name="source")]
    assert dl5.fit(datasets).success
    return spectrum.amplitude.value, spectrum.amplitude.error


def test_fluxes_add_up(observations, geometry):
    """Of the whole source: pulse in the on phases, and the rest in all of them."""
    pulse = pulsar.PhaseRegions(on=[(0.95, 1.05)], off=[(0.1, 0.9)])
    whole, error = fitted(dl4.reduce(observations, geometry))
    in_pulse, _ = fitted(pulsar.reduce_phases(observations, geometry, pulse))
    in_turn, _ = fitted(pulsar.reduce_phases(observations, geometry, pulse, average="period"))
    all_on, _ = fitted(pulsar.reduce_phases(observations, geometry, pulse, background="reflected"))
    assert in_turn == pytest.approx(0.1 * in_pulse, rel=1e-3)
    assert in_turn == pytest.approx(PULSED * whole, abs=3 * error)
    assert all_on == pytest.approx((1 - PULSED) * whole + in_pulse, abs=10 * 3 * error)


def test_joint_fit_of_regions(observations, geometry):
    """Two pulses with their own fluxes and one index, from off phases of their own."""
    parts = REGIONS.split()
    datasets = pulsar.reduce_phases(
        observations, geometry, {"P2": parts[0], "P1": parts[1]}, stack=True
    )
    assert datasets.names == ["P2", "P1"]
    first, second = (
        SkyModel(
            PowerLawSpectralModel(index=2.6, amplitude="1e-11 cm-2 s-1 TeV-1"),
            name=name,
            datasets_names=[name],
        )
        for name in datasets.names
    )
    second.spectral_model.index = first.spectral_model.index
    datasets.models = [first, second]
    result = dl5.fit(datasets)
    assert result.success
    assert len(result.parameters.free_parameters.unique_parameters) == 3
    no_pulse, pulse = first.spectral_model.amplitude, second.spectral_model.amplitude
    assert abs(no_pulse.value) < 4 * no_pulse.error
    assert pulse.value > 5 * pulse.error


def test_maps_of_phases(observations, sky):
    (stacked,) = pulsar.reduce_phases(observations, sky, REGIONS, stack=True)
    singles = pulsar.reduce_phases(observations, sky, REGIONS)
    assert isinstance(stacked, MapDatasetOnOff)
    # Wider than the axis of reconstructed energy by a factor of five on either side.
    bounds = stacked.exposure.geom.axes["energy_true"].bounds
    assert_allclose([edge.to_value("TeV") for edge in bounds], [0.02, 150])
    safe = stacked.mask_safe.data
    assert_allclose(stacked.alpha.data[safe & (stacked.acceptance_off.data > 0)], 0.5)
    for name in ("counts", "counts_off"):
        total = sum((getattr(one, name).data * one.mask_safe.data).sum() for one in singles)
        assert getattr(stacked, name).data.sum() == total > 0
    excess = stacked.excess.sum_over_axes(keepdims=False)
    peak = excess.geom.pix_to_coord(
        np.unravel_index(np.argmax(excess.data), excess.data.shape)[::-1]
    )
    assert SkyCoord(*peak).separation(TARGET) < 0.15 * u.deg


def test_maps_with_a_background_model(observations, sky):
    blocked = [CircleSkyRegion(TARGET, 0.3 * u.deg)]
    regions = {
        "P1": pulsar.PhaseRegions(on=(0.95, 1.05)),
        "rest": pulsar.PhaseRegions(on=(0.05, 0.95)),
    }
    datasets = pulsar.reduce_phases(observations, sky, regions, background="fov", exclusion=blocked)
    ids = [str(one.obs_id) for one in observations]
    assert datasets.names == [f"{name}-{obs_id}" for name in regions for obs_id in ids]
    turn = pulsar.reduce_phases(
        observations, sky, pulsar.PhaseRegions(on=(0, 1)), background="fov", exclusion=blocked
    )
    for first, rest, whole in zip(datasets[:2], datasets[2:], turn, strict=True):
        assert isinstance(first, MapDataset)
        assert_allclose(first.exposure.data, 0.1 * whole.exposure.data)
        assert_allclose(first.counts.data + rest.counts.data, whole.counts.data)
        ours, theirs = first.npred_background(), whole.npred_background()
        assert_allclose(ours.data, 0.1 * theirs.data, rtol=1e-6)
        assert first.background_model.name != rest.background_model.name
    # The norm is that of counts outside the exclusion.
    outside = sky.to_image().region_mask(blocked, inside=False).data
    found = (turn[0].counts.data * outside)[turn[0].mask_safe.data].sum()
    expected = (turn[0].npred_background().data * outside)[turn[0].mask_safe.data].sum()
    assert expected == pytest.approx(found, rel=1e-5)


@pytest.mark.realdata
def test_energy_dependent_radius(gammapy_data, axis):
    """A point with RAD_MAX: on and off phases are counted within the radius of each energy."""
    store = dl3.open_dl3(gammapy_data / "magic/rad_max/data")
    (one,) = pulsar.select_events(dl3.read_observations(store, store.obs_ids[:1]))
    one.events.table["PHASE"] = np.random.default_rng(62).random(len(one.events.table))
    geometry = RegionGeom.create(PointSkyRegion(TARGET), axes=[axis])
    (whole,) = dl4.reduce([one], geometry)
    turn = pulsar.PhaseRegions(on=(0.0, 0.4), off=(0.4, 1.0))
    (part,) = pulsar.reduce_phases(one, geometry, turn)
    assert_array_equal(part.counts.data + part.counts_off.data, whole.counts.data)
    assert_allclose(part.exposure.data, 0.4 * whole.exposure.data)
    assert part.counts.data.sum() > 10


def test_observations_are_not_changed(observations, geometry):
    before = [one.events.table.copy() for one in observations]
    pulsar.reduce_phases(observations, geometry, REGIONS)
    selected = pulsar.select_events(observations, TARGET, 0.1 * u.deg)
    assert all(
        len(ours.events.table) < len(theirs) for ours, theirs in zip(selected, before, strict=True)
    )
    for one, table in zip(observations, before, strict=True):
        assert len(one.events.table) == len(table)
        assert_array_equal(one.events.table["PHASE"], table["PHASE"])


def test_shared_phases_are_warned_of(observations, geometry):
    regions = {
        "P1": pulsar.PhaseRegions(on=(0.95, 1.05), off=(0.5, 0.9)),
        "P2": pulsar.PhaseRegions(on=(0.3, 0.4), off=(0.6, 0.7)),
    }
    with pytest.warns(CtaoSatWarning, match="P1 and P2 share off phases"):
        datasets = pulsar.reduce_phases(observations, geometry, regions)
    assert isinstance(datasets, Datasets)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"background": "fov"}, "no background 'fov' for a RegionGeom"),
        ({"average": "phase"}, "Did you mean 'phases'"),
        ({"regions": {}}, "no phase regions"),
        ({"regions": pulsar.PhaseRegions(on=(0, 0.1))}, "no off interval"),
        ({"exclusion": []}, "an exclusion has no meaning"),
    ],
)
def test_options_that_do_not_go_together(observations, geometry, change, message):
    regions = change.pop("regions", REGIONS)
    with pytest.raises(ConfigError, match=message):
        pulsar.reduce_phases(observations, geometry, regions, **change)


def test_options_of_maps(observations, sky):
    with pytest.raises(ConfigError, match="no background 'reflected' for a WcsGeom"):
        pulsar.reduce_phases(observations, sky, REGIONS, background="reflected")
    with pytest.raises(ConfigError, match="no containment correction for maps"):
        pulsar.reduce_phases(observations, sky, REGIONS, containment_correction=True)


def test_phases_must_be_there(observations, geometry):
    with pytest.raises(MissingColumnError, match=r"no column PH.*pulsar\.assign_phases"):
        pulsar.reduce_phases(observations, geometry, REGIONS, phase_column="PH")


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "are zero"), (7.0, "whole turns"), (np.nan, "not finite")]
)
def test_phases_that_cannot_be_right(observations, geometry, value, message):
    (one,) = pulsar.select_events(observations[0])
    one.events.table["PHASE"] = value
    with pytest.raises(DataError, match=message):
        pulsar.reduce_phases(one, geometry, REGIONS)


def test_selection_in_direction_and_energy(observations):
    low, high = 0.5 * u.TeV, 2 * u.TeV
    selected = pulsar.select_events(observations, TARGET, 0.2 * u.deg, energy_range=(low, high))
    for ours, theirs in zip(selected, observations, strict=True):
        energy = theirs.events.energy
        near = theirs.events.radec.separation(TARGET) <= 0.2 * u.deg
        expected = theirs.events.table[near & (energy >= low) & (energy < high)]
        assert_array_equal(ours.events.table["PHASE"], expected["PHASE"])
    with pytest.raises(ConfigError, match="position and a radius"):
        pulsar.select_events(observations, TARGET)


@pytest.mark.parametrize(
    ("radius", "energies", "message"),
    [
        (np.nan, (None, None), "The radius is nan deg"),
        (-1, (None, None), "The radius is -1.0 deg"),
        (1, (2 * u.TeV, 1 * u.TeV), "begin at 2.0 TeV"),
        (1, (np.nan * u.TeV, None), "begin at nan TeV"),
    ],
)
def test_selections_that_no_event_can_pass(radius, energies, message):
    position = SkyCoord(0, 0, unit="deg")
    with pytest.raises(ConfigError, match=message):
        pulsar.select_events([], position, radius * u.deg, energy_range=energies)


def test_a_column_in_another_unit_holds_no_phases(observations):
    with pytest.raises(DataError, match="these are in TeV"):
        pulsar.event_phases(observations[0], "ENERGY")


def test_nothing_to_reduce(geometry):
    with pytest.raises(SelectionError, match="no observation"):
        pulsar.reduce_phases([], geometry, pulsar.PhaseRegions(on=(0.1, 0.2), off=(0.5, 0.9)))


def test_regions_are_phase_regions(observations, geometry):
    with pytest.raises(ConfigError, match="no PhaseRegions"):
        pulsar.reduce_phases(observations, geometry, [(0.1, 0.2)])
