"""Sampled events against predictions made without the sampler: Gammapy's kernels, plain integrals.

All comparisons are at fixed seeds. A Kolmogorov-Smirnov test fails below p = 1e-4, so with the
twenty or so of them here a correct sampler would fail for 2 seeds in 1000. Each one is also
shown a planted distortion of 10 %, which must fail.
"""

from itertools import pairwise

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.irf import PSF3D, Background2D, PSFKing
from gammapy.maps import MapAxis
from gammapy.modeling.models import ConstantTemporalModel, SkyModel
from scipy.stats import kstest, poisson

from ctao_sat.simulate import demo_array, observations
from ctao_sat.simulate._background import background_cells
from ctao_sat.simulate._directions import blur_from_irf
from ctao_sat.simulate._energies import Migration, draw_log_linear, log_linear_integral
from ctao_sat.simulate._times import Windows, draw_times

LIMIT = 1e-4
REFERENCE = Time("2028-01-01", scale="tt")
RECO = MapAxis.from_energy_bounds("0.0126 TeV", "251 TeV", nbin=100, per_decade=True)
TRUE = MapAxis.from_energy_bounds(
    "0.0126 TeV", "251 TeV", nbin=100, per_decade=True, name="energy_true"
)


def check(values, edges, expected, distorted):
    """KS test against a histogram of expectations, and the same for distorted values."""
    cumulative = np.concatenate([[0.0], np.cumsum(expected)])
    cumulative /= cumulative[-1]

    def cdf(x):
        return np.interp(x, edges, cumulative)

    assert kstest(values, cdf).pvalue > LIMIT
    assert kstest(distorted, cdf).pvalue < LIMIT


def check_counts(n, mu):
    assert min(poisson.cdf(n, mu), poisson.sf(n - 1, mu)) > LIMIT


def events(sky, mc_id):
    tables = [obs.events.table for obs in sky.observations]
    return [table[table["MC_ID"] == mc_id] for table in tables]


def column(sky, mc_id, name):
    return np.concatenate([table[name].quantity.value for table in events(sky, mc_id)])


def npred_true(irfs, spectrum, offset, seconds):
    """Counts per bin of true energy of a point source, by an integral of each bin."""
    flux = spectrum.integral(TRUE.edges[:-1], TRUE.edges[1:])
    area = irfs["aeff"].evaluate(energy_true=TRUE.center, offset=offset)
    return (flux * area * seconds * u.s).to_value("")


def npred_reco(irfs, spectrum, offset, seconds):
    kernel = irfs["edisp"].to_edisp_kernel(offset=offset, energy_axis=RECO, energy_axis_true=TRUE)
    return npred_true(irfs, spectrum, offset, seconds) @ kernel.pdf_matrix


def test_energies_and_counts_of_a_point_source(sky):
    model = sky.models["steady"]
    expected = npred_reco(sky.irfs, model.spectral_model, 0.5 * u.deg, sky.livetime)
    energy = column(sky, 1, "ENERGY")
    check(energy, RECO.edges.value, expected, energy * 1.1)
    for table in events(sky, 1):
        check_counts(len(table), expected.sum())


def test_point_spread_of_a_point_source(sky):
    model = sky.models["steady"]
    weight = npred_true(sky.irfs, model.spectral_model, 0.5 * u.deg, sky.livetime)
    rad = np.linspace(0, 2, 801) * u.deg
    contained = sky.irfs["psf"].containment(
        rad=rad[:, None], energy_true=TRUE.center[None, :], offset=0.5 * u.deg
    )
    expected = np.diff(np.asarray(contained) @ weight)
    sky_events = SkyCoord(column(sky, 1, "RA"), column(sky, 1, "DEC"), unit="deg")
    separation = sky_events.separation(model.position).deg
    check(separation, rad.value, expected, separation * 1.1)
    angle = model.position.position_angle(sky_events).rad / (2 * np.pi)
    assert kstest(angle, "uniform").pvalue > LIMIT


def test_extent_and_counts_of_an_extended_source(sky):
    # At the energies of these events the PSF widens the source: expected by a plain Monte Carlo
    # integral over the true directions, of the product of Gaussian and effective area.
    model = sky.models["extended"]
    rng = np.random.default_rng(7)
    radius = 0.4 * np.sqrt(-2 * np.log(1 - rng.random(4000))) * u.deg
    truth = model.position.directional_offset_by(rng.uniform(0, 360, 4000) * u.deg, radius)
    offset = truth.separation(sky.pointing)
    area = sky.irfs["aeff"].evaluate(energy_true=TRUE.center[:, None], offset=offset[None, :])
    flux = model.spectral_model.integral(TRUE.edges[:-1], TRUE.edges[1:])
    mu = (flux[:, None] * area).sum(axis=0).to_value("s-1") * sky.livetime
    n = np.array([len(table) for table in events(sky, 2)])
    # 3e-3 is the error of the integral; 5 sigma of the Poisson distribution.
    assert np.all(np.abs(n - mu.mean()) < 5 * np.sqrt(mu.mean()) + 3e-3 * mu.mean())
    hard = column(sky, 2, "ENERGY") > 1.0
    measured = SkyCoord(column(sky, 2, "RA"), column(sky, 2, "DEC"), unit="deg")[hard]
    separation = measured.separation(model.position).deg
    hard_area = (flux[:, None] * area)[TRUE.center.value > 1].sum(axis=0)
    edges = np.linspace(0, 3, 301)
    # 0.04 deg is the width of the PSF above 1 TeV: an addition of half a per cent in quadrature.
    blurred = np.hypot(radius.value, 0.04)
    expected = np.histogram(blurred, edges, weights=hard_area.value)[0]
    check(separation, edges, expected, separation * 1.1)


def test_times_of_a_decaying_source(sky):
    start = sky.observations[0].tstart
    edges = np.linspace(0, 1000, 1001)
    for table, first in zip(events(sky, 4), (0.0, 1300.0), strict=True):
        seconds = (table["TIME"] - start).to_value("s") - first
        density = -np.diff(np.exp(-edges / sky.decay))
        check(seconds, edges, density, seconds * 1.1)
    spectrum = sky.models["burst"].spectral_model
    mu = npred_reco(sky.irfs, spectrum, 1.0 * u.deg, sky.livetime).sum()
    norm = (
        np.exp(-np.array([0.0, 1300.0]) / sky.decay)
        * sky.decay
        / 1000
        * (1 - np.exp(-1000 / sky.decay))
    )
    for table, factor in zip(events(sky, 4), norm, strict=True):
        check_counts(len(table), mu * factor)


class _Flashes(ConstantTemporalModel):
    """One ten-thousandth of each second, with all of its light."""

    largest_norm = 1e4

    def __call__(self, time, energy=None):
        phase = (time - REFERENCE).to_value("s") % 1.0
        return np.where(phase < 1e-4, 1e4, 0.0) * u.one


def test_flashes_that_no_grid_sees():
    """A model that knows its largest norm is drawn without a grid."""
    windows = Windows(REFERENCE, np.array([0.0, 500.0]), np.array([300.0, 700.0]))
    seconds = draw_times(np.random.default_rng(3), _Flashes(), windows, 2.0)
    assert np.all(seconds % 1.0 < 1e-4)
    assert not np.any((seconds > 300.0) & (seconds < 500.0))
    check_counts(len(seconds), 2.0 * windows.ontime)
    check_counts(np.count_nonzero(seconds < 300.0), 2.0 * 300.0)


def test_steady_sources_and_background_arrive_uniformly(sky):
    for mc_id in (0, 1, 2):
        for obs, table in zip(sky.observations, events(sky, mc_id), strict=True):
            fraction = (table["TIME"] - obs.tstart).to_value("s") / sky.ontime
            assert kstest(fraction, "uniform").pvalue > LIMIT
            assert kstest(0.9 * fraction, "uniform").pvalue < LIMIT


def test_background_follows_a_fine_integral_of_its_response(sky):
    # Midpoints of cells much finer than those of the response; per time on, dead time or not.
    bkg = sky.irfs["bkg"]
    edges = np.geomspace(0.0126, 251, 130)
    center = np.sqrt(edges[1:] * edges[:-1])
    lon = np.linspace(-6, 6, 145)
    mid = 0.5 * (lon[1:] + lon[:-1])
    solid = np.radians(lon[1] - lon[0]) * np.diff(np.sin(np.radians(lon)))
    cube = bkg.evaluate(
        energy=center[:, None, None] * u.TeV,
        fov_lon=mid[None, :, None] * u.deg,
        fov_lat=mid[None, None, :] * u.deg,
    ).to_value("s-1 TeV-1 sr-1")
    rate = cube * solid[None, None, :] * (center * np.diff(np.log(edges)))[:, None, None]
    energy = column(sky, 0, "ENERGY")
    check(energy, edges, rate.sum(axis=(1, 2)), energy * 1.1)
    for table in events(sky, 0):
        check_counts(len(table), rate.sum() * sky.ontime)
    image = rate.sum(axis=0)
    for name, expected in (("DETX", image.sum(axis=1)), ("DETY", image.sum(axis=0))):
        check(column(sky, 0, name), lon, expected, column(sky, 0, name) * 1.1)
    # Each pixel in 8 x 8 parts, so that rings of the width of a pixel get their share.
    parts = np.linspace(-6, 6, 8 * len(mid) + 1)
    parts = 0.5 * (parts[1:] + parts[:-1])
    offset = np.hypot(parts[:, None], parts[None, :])
    weight = np.kron(image, np.ones((8, 8)))
    rings = np.linspace(0, 8.5, 69)
    spread = np.histogram(offset, rings, weights=weight)[0]
    measured = SkyCoord(column(sky, 0, "RA"), column(sky, 0, "DEC"), unit="deg")
    separation = measured.separation(sky.pointing).deg
    check(separation, rings, spread, separation * 1.1)
    decades = np.array([0.0126, 0.1, 1, 10])
    for low, high in pairwise(decades):
        inside = (center >= low) & (center < high)
        expected = 2 * rate[inside].sum() * sky.ontime
        limits = edges[:-1][inside][0], edges[1:][inside][-1]
        n = np.sum((energy >= limits[0]) & (energy < limits[1]))
        assert abs(n - expected) < 4 * np.sqrt(expected) + 2e-3 * expected


def test_sources_that_do_not_contribute_keep_their_number(sky):
    for obs in sky.observations:
        table = obs.events.table
        assert set(np.unique(table["MC_ID"])) == {0, 1, 2, 4}
        names = [table.meta[f"MMN{i:05d}"] for i in range(5)]
        assert names == ["background", "steady", "extended", "far away", "burst"]
        assert [table.meta[f"MID{i:05d}"] for i in range(5)] == [0, 1, 2, 3, 4]


def test_background_that_depends_on_the_offset_alone(sky):
    axes = [
        MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=4),
        MapAxis.from_bounds(0, 4, nbin=8, unit="deg", name="offset"),
    ]
    data = np.geomspace(1e-1, 1e-5, 4)[:, None] * np.exp(-np.arange(8) / 4)[None, :]
    bkg = Background2D(axes, data, unit="s-1 MeV-1 sr-1")
    rng = np.random.default_rng(9)
    energy, distance, angle = background_cells(bkg, (0.1, 10)).draw(rng, bkg, 300.0)
    rings, edges = np.linspace(0, 4, 401), np.geomspace(0.1, 10, 401)
    ring, center = 0.5 * (rings[1:] + rings[:-1]), np.sqrt(edges[1:] * edges[:-1])
    solid = -2 * np.pi * np.diff(np.cos(np.radians(rings)))
    rate = bkg.evaluate(energy=center[:, None] * u.TeV, offset=ring[None, :] * u.deg)
    rate = rate.to_value("s-1 TeV-1 sr-1") * solid * (center * np.diff(np.log(edges)))[:, None]
    check_counts(len(energy), rate.sum() * 300.0)
    check(energy, edges, rate.sum(axis=1), energy * 1.1)
    check(np.degrees(distance), rings, rate.sum(axis=0), np.degrees(distance) * 1.1)
    assert kstest(angle / (2 * np.pi), "uniform").pvalue > LIMIT


@pytest.mark.parametrize("kind", ["king", "table"])
def test_other_point_spread_functions(sky, kind):
    energy = MapAxis.from_energy_bounds("0.01 TeV", "100 TeV", nbin=4, name="energy_true")
    offset = MapAxis.from_bounds(0, 4, nbin=2, unit="deg", name="offset")
    rad = MapAxis.from_bounds(0, 0.6, nbin=300, unit="deg", name="rad")
    width = 0.05 * (1 + np.arange(4))[:, None] * np.ones((4, 2))
    if kind == "king":
        data = np.zeros((4, 2), dtype=[("gamma", float), ("sigma", float)])
        data["gamma"], data["sigma"] = 2.5, 0.3 * width
        psf = PSFKing([energy, offset], data, unit={"gamma": u.Unit(""), "sigma": u.deg})
    else:
        profile = np.exp(-0.5 * (rad.center.value / width[..., None]) ** 2)
        psf = PSF3D([energy, offset, rad], data=profile, unit="sr-1")
        psf.normalize()
    radius = blur_from_irf(psf).radius(
        np.random.default_rng(3), np.full(20000, 1.3), np.full(20000, 0.7)
    )
    edges = np.linspace(0, 0.6, 301)
    contained = psf.containment(rad=edges * u.deg, energy_true=1.3 * u.TeV, offset=0.7 * u.deg)
    inside = radius < 0.6
    assert abs(inside.mean() - np.asarray(contained).ravel()[-1]) < 0.01
    radius = radius[inside]
    check(radius, edges, np.diff(np.asarray(contained).ravel()), radius * 1.1)


def test_unnormalised_dispersion_weighs_its_nodes_as_the_interpolation_does(sky):
    edisp = sky.irfs["edisp"]
    scale = np.linspace(1, 5, edisp.data.shape[0])[:, None, None] ** 3
    counts = type(edisp)(axes=edisp.axes, data=edisp.data * scale)
    migration = Migration.from_irf(counts)
    energy = 0.0521
    drawn = migration.draw(np.random.default_rng(5), np.full(40000, energy), np.full(40000, 1.1))
    migra = edisp.axes["migra"]
    density = counts.evaluate(energy_true=energy * u.TeV, migra=migra.center, offset=1.1 * u.deg)
    ratio = drawn / energy
    check(ratio, migra.edges.value, density.value.ravel(), ratio * 1.1)


def test_inverse_of_the_cumulative_integral():
    energy = np.array([1.0, 2.0, 5.0, 9.0])
    density = np.array([0.0, 1.0, 0.5, 0.0])
    drawn = draw_log_linear(np.random.default_rng(2), energy, density, 20000)
    edges = np.geomspace(1, 9, 2001)
    fine = np.interp(np.log(edges), np.log(energy), energy * density)
    expected = 0.5 * (fine[1:] + fine[:-1]) * np.diff(np.log(edges))
    assert log_linear_integral(energy, density) == pytest.approx(expected.sum(), rel=1e-6)
    check(drawn, edges, expected, drawn * 1.1)


def test_a_source_off_axis_is_seen_with_the_area_there(sky, tmp_path):
    model = SkyModel(sky.power_law(1e-9), sky.point(), name="off axis")
    pointing = model.position.directional_offset_by(70 * u.deg, 3 * u.deg)
    store = observations(
        model, pointing, "600 s", "demo-south", np.random.default_rng(11), path=tmp_path / "dl3"
    )
    table = store.get_observations()[0].events.table
    expected = npred_reco(demo_array("south"), model.spectral_model, 3 * u.deg, 600.0).sum()
    check_counts(np.sum(table["MC_ID"] == 1), expected)
