"""Weights of events: probabilities by what a dataset predicts, and what they gain."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from gammapy.data import EventList, FixedPointingInfo, Observation
from gammapy.datasets import FluxPointsDataset, MapDataset, SpectrumDatasetOnOff
from gammapy.makers import MapDatasetMaker
from gammapy.maps import MapAxis, MapCoord, RegionGeom, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)
from gammapy.stats import get_wstat_mu_bkg
from numpy.testing import assert_allclose
from regions import CircleSkyRegion

from ctao_sat import pulsar, simulate
from ctao_sat.errors import ConfigError, SourceNotFoundError

VELA = SkyCoord(128.836, -45.176, unit="deg", frame="icrs")


@pytest.fixture(scope="module")
def dataset():
    """Return half an hour on a faint, soft pulsar within a nebula, seen 0.5 deg off the axis."""
    axis = MapAxis.from_energy_bounds("0.03 TeV", "3 TeV", nbin=5, per_decade=True)
    true = MapAxis.from_energy_bounds(
        "0.01 TeV", "10 TeV", nbin=6, per_decade=True, name="energy_true"
    )
    geom = WcsGeom.create(skydir=VELA, width=1.0, binsz=0.02, axes=[axis], frame="icrs")
    pointing = FixedPointingInfo(fixed_icrs=VELA.directional_offset_by(0 * u.deg, 0.5 * u.deg))
    run = Observation.create(
        pointing, livetime=30 * u.min, irfs=simulate.demo_array("south"),
        reference_time=Time("2028-01-01", scale="tt"),
    )  # fmt: skip
    empty = MapDataset.create(geom, energy_axis_true=true, name="vela")
    maps = ["exposure", "background", "psf", "edisp"]
    dataset = MapDatasetMaker(selection=maps).run(empty, run)
    point = PointSpatialModel(lon_0=VELA.ra, lat_0=VELA.dec, frame="icrs")
    soft = PowerLawSpectralModel(index=3.8, amplitude="1.2e-8 cm-2 s-1 TeV-1", reference="0.03 TeV")
    disk = GaussianSpatialModel(lon_0=VELA.ra, lat_0=VELA.dec, sigma="0.15 deg", frame="icrs")
    hard = PowerLawSpectralModel(index=2.0, amplitude="2e-12 cm-2 s-1 TeV-1")
    dataset.models = [
        SkyModel(soft, point, name="pulsar"),
        SkyModel(hard, disk, name="nebula"),
        FoVBackgroundModel(dataset_name="vela"),
    ]
    return dataset


@pytest.fixture(scope="module")
def predicted(dataset):
    """Return predicted counts of the pulsar, and of all else."""
    # The convolution leaves -1e-8 far from the source.
    signal = np.clip(dataset.npred_signal(model_names=["pulsar"]).data, 0, None)
    return signal, dataset.npred().data - signal


def draw(dataset, predicted, rng, factor=1):
    """Return events anywhere in their bins, and whether each is of the pulsar."""
    geom, indices, of_pulsar = dataset.counts.geom, [], []
    for part, is_pulsar in zip(predicted, (True, False), strict=True):
        counts = rng.poisson(factor * part)
        indices.append(np.repeat(np.array(np.nonzero(counts)), counts[counts > 0], axis=1))
        of_pulsar.append(np.full(counts.sum(), is_pulsar))
    pixels = [i + rng.uniform(-0.5, 0.5, len(i)) for i in np.concatenate(indices, axis=1)[::-1]]
    lon, lat, energy = geom.pix_to_coord(tuple(pixels))
    return events_of(lon, lat, energy), np.concatenate(of_pulsar)


def events_of(lon, lat, energy):
    """Return an event list."""
    table = Table({"RA": lon, "DEC": lat, "ENERGY": energy})
    table["TIME"] = Time(np.full(len(table), 61771.0), format="mjd", scale="tt")
    return EventList(table)


def test_weights_at_the_centres_of_bins(dataset, predicted):
    signal, rest = predicted
    coords = dataset.counts.geom.get_coord(frame="icrs").flat
    events = events_of(coords["lon"], coords["lat"], coords["energy"])
    weights = pulsar.event_weights(events, dataset, "pulsar")
    expected = (signal / (signal + rest)).ravel()
    assert_allclose(weights, np.where(dataset.mask_safe.data.ravel(), expected, 0), atol=1e-6)
    assert weights.max() > 0.1


def test_weights_are_probabilities(dataset, predicted):
    """As many events of each weight are of the pulsar as it says, to four standard deviations."""
    rng = np.random.default_rng(12)
    events, of_pulsar = draw(dataset, predicted, rng, factor=30)
    weights = pulsar.event_weights(events, dataset, "pulsar")
    assert weights[of_pulsar].mean() > 5 * weights[~of_pulsar].mean()
    for low, high in [(0.0, 0.01), (0.01, 0.03), (0.03, 0.1), (0.1, 1.0)]:
        at = (weights >= low) & (weights < high)
        expected, variance = weights[at].sum(), (weights * (1 - weights))[at].sum()
        assert expected > 100
        # 2 %: what interpolation between bins leaves.
        assert of_pulsar[at].sum() == pytest.approx(
            expected, abs=4 * np.sqrt(variance) + 0.02 * expected
        )


def test_offset_and_energy_count(dataset):
    """Weights fall with the angle to the pulsar and, for its soft spectrum, with energy."""
    steps = np.array([0.0, 0.1, 0.2, 0.4])
    places = VELA.directional_offset_by(90 * u.deg, steps * u.deg)
    low, high = (
        pulsar.event_weights(events_of(places.ra, places.dec, energy), dataset, "pulsar")
        for energy in (np.full(4, 0.05) * u.TeV, np.full(4, 1.0) * u.TeV)
    )
    assert (np.diff(low) < 0).all()
    assert high[0] < low[0]


def test_what_is_outside_has_no_weight(dataset):
    places = [VELA, VELA.directional_offset_by(0 * u.deg, 3 * u.deg), VELA, VELA]
    lon, lat = ([getattr(place, name).deg for place in places] * u.deg for name in ("ra", "dec"))
    events = events_of(lon, lat, [0.1, 0.1, 50, 0.1] * u.TeV)
    masked = dataset.copy(name="vela")
    masked.models = dataset.models
    near = MapCoord.create({"skycoord": VELA, "energy": 0.1 * u.TeV})
    weights = pulsar.event_weights(events, masked, "pulsar")
    assert (weights > 0).tolist() == [True, False, False, True]
    masked.mask_safe.set_by_coord(near, False)
    assert not pulsar.event_weights(events, masked, "pulsar").any()
    assert pulsar.event_weights(EventList(None), masked, "pulsar").shape == (0,)


def test_weights_of_a_spectrum_are_by_energy(dataset, predicted):
    spectrum = dataset.to_spectrum_dataset(
        CircleSkyRegion(VELA, 0.15 * u.deg), containment_correction=True, name="on"
    )
    soft, hard = (dataset.models[name].spectral_model for name in ("pulsar", "nebula"))
    spectrum.models = [SkyModel(soft, name="pulsar"), SkyModel(hard, name="nebula")]
    centers = spectrum.counts.geom.axes["energy"].center
    places = VELA.ra + 0 * centers.value * u.deg, VELA.dec + 0 * centers.value * u.deg
    weights = pulsar.event_weights(events_of(*places, centers), spectrum, "pulsar")
    signal = spectrum.npred_signal(model_names=["pulsar"]).data.ravel()
    assert_allclose(weights, signal / spectrum.npred().data.ravel(), rtol=1e-6)


def test_weights_with_off_counts_take_their_background(dataset):
    """The background of each bin is what the fit statistic profiles it to."""
    axis = MapAxis.from_energy_edges([0.1, 1, 10], unit="TeV")
    geom = RegionGeom.create(CircleSkyRegion(VELA, 0.15 * u.deg), axes=[axis])
    true = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=20, name="energy_true")
    on_off = SpectrumDatasetOnOff.create(geom, energy_axis_true=true, name="on")
    on_off.exposure.quantity += 1e10 * u.Unit("m2 s")
    on_off.edisp, on_off.mask_safe.data[...] = None, True
    for name, values in {
        "counts": [40, 5], "counts_off": [90, 8], "acceptance": [1, 1], "acceptance_off": [4, 4],
    }.items():  # fmt: skip
        getattr(on_off, name).data[:, 0, 0] = values
    on_off.models = [SkyModel(PowerLawSpectralModel(amplitude="1e-12 cm-2 s-1 TeV-1"), name="psr")]
    signal = on_off.npred_signal().data[:, 0, 0]
    background = 0.25 * get_wstat_mu_bkg(
        n_on=np.array([40, 5]), n_off=np.array([90, 8]), alpha=0.25, mu_sig=signal
    )
    events = events_of([VELA.ra.deg] * 2 * u.deg, [VELA.dec.deg] * 2 * u.deg, axis.center)
    weights = pulsar.event_weights(events, on_off, "psr")
    assert_allclose(weights, signal / (signal + background), rtol=1e-6)


def test_sources_that_are_not_there(dataset):
    empty = EventList(None)
    with pytest.raises(SourceNotFoundError, match="Did you mean 'pulsar'"):
        pulsar.event_weights(empty, dataset, "Pulsar")
    bare = dataset.copy(name="bare")
    for other in (bare, FluxPointsDataset.__new__(FluxPointsDataset)):
        with pytest.raises(ConfigError, match="counts with models"):
            pulsar.event_weights(empty, other, "pulsar")


def test_weighted_h_is_above_the_best_fixed_cuts(dataset, predicted):
    """500 sets of a faint pulsar; the cuts are those with the largest median significance."""
    rng = np.random.default_rng(20110501)
    radii = [0.1, 0.13, 0.16, 0.2, 0.3]
    energies = [0.0, 0.048, 0.06, 0.076]
    with_cuts = np.zeros((500, len(radii), len(energies)))
    weighted = np.zeros(500)
    for row in range(500):
        events, of_pulsar = draw(dataset, predicted, rng)
        n = len(of_pulsar)
        phases = np.where(of_pulsar, rng.normal(0.4, 0.03, n) % 1, rng.random(n))
        weights = pulsar.event_weights(events, dataset, "pulsar")
        weighted[row] = pulsar.h_test(phases, weights).significance
        theta = events.radec.separation(VELA).deg
        energy = events.energy.to_value("TeV")
        for i, radius in enumerate(radii):
            for j, least in enumerate(energies):
                kept = phases[(theta < radius) & (energy >= least)]
                with_cuts[row, i, j] = pulsar.h_test(kept).significance
    best = np.median(with_cuts, axis=0).max()
    # Found: 5.1 against 4.0 standard deviations.
    assert np.median(weighted) > 1.15 * best
