"""Files, headers, schedules, reproducibility, and the way back through Gammapy."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from gammapy.data import GTI, DataStore
from gammapy.datasets import Datasets, SpectrumDataset
from gammapy.irf import Background3D
from gammapy.makers import ReflectedRegionsBackgroundMaker, SpectrumDatasetMaker
from gammapy.maps import Map, MapAxis, RegionGeom, RegionNDMap, WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import (
    ConstantSpatialModel,
    ConstantSpectralModel,
    GaussianTemporalModel,
    LightCurveTemplateTemporalModel,
    Models,
    PowerLawSpectralModel,
    SkyModel,
    TemplateSpatialModel,
)
from gammapy.utils.coordinates import FoVAltAzFrame
from regions import CircleSkyRegion
from scipy.stats import kstest

from ctao_sat.errors import OutputError
from ctao_sat.simulate import demo_array, observations, wobble_pointings

LIMIT = 1e-4


def simulate(path, models=None, seed=1, **kwargs):
    arguments = {
        "models": models,
        "pointings": SkyCoord(83.63, 22.51, unit="deg"),
        "livetime": "60 s",
        "irfs": "demo-north",
        "rng": np.random.default_rng(seed),
        "energy_range": [0.1, 100] * u.TeV,
    }
    return observations(path=path, **(arguments | kwargs))


def content(folder):
    """All bytes of a folder, but for the time stamps in primary headers."""
    data = {}
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        if path.suffix == ".fits":
            created = fits.getheader(path)["CREATED"]
            raw = raw.replace(created.encode(), b"-" * len(created))
        data[path.name] = raw
    return data


def test_headers_follow_gadf(sky):
    for obs_id, obs in zip((1, 2), sky.observations, strict=True):
        with fits.open(sky.folder / f"obs_{obs_id:06d}.fits") as hdus:
            names = [hdu.name for hdu in hdus[1:]]
            header = hdus["EVENTS"].header
            events = Table.read(hdus["EVENTS"])
        assert names[:2] == ["EVENTS", "GTI"]
        assert set(names[2:]) == {
            "EFFECTIVE AREA",
            "ENERGY DISPERSION",
            "POINT SPREAD FUNCTION",
            "BACKGROUND",
        }
        assert header["HDUCLASS"] == "GADF"
        assert header["HDUCLAS1"] == "EVENTS"
        assert header["OBS_ID"] == obs_id
        assert isinstance(header["N_TELS"], int)
        assert header["TELESCOP"] == "CTAO-SAT-DEMO"
        assert header["RADESYS"] == header["RADECSYS"] == "ICRS"
        assert header["EQUINOX"] == 2000.0
        assert header["ONTIME"] == pytest.approx(sky.ontime)
        assert header["DEADC"] == pytest.approx(0.9)
        assert header["LIVETIME"] == pytest.approx(header["ONTIME"] * header["DEADC"])
        assert header["TSTOP"] - header["TSTART"] == pytest.approx(header["TELAPSE"])
        assert (header["TIMESYS"], header["TIMEREF"], header["TIMEUNIT"]) == ("TT", "LOCAL", "s")
        assert header["RA_PNT"] == pytest.approx(83.63)
        # Near La Palma, near culmination on that night.
        assert header["GEOLAT"] == pytest.approx(28.7622)
        assert 80 < header["ALT_PNT"] < 90
        assert header["DATE-OBS"] == "2028-01-01"
        assert header["TIME-OBS"].startswith("00:00:00" if obs_id == 1 else "00:21:40")
        assert obs.meta.location.height.to_value("m") == pytest.approx(2158)
        assert np.all(np.diff(events["TIME"]) >= 0)
        assert list(events["EVENT_ID"]) == list(range(1, len(events) + 1))


def test_events_lie_in_good_times_and_the_index_agrees(sky):
    table = sky.store.obs_table
    assert list(table["OBS_ID"]) == [1, 2]
    assert np.allclose(table["ZEN_PNT"], 90 - table["ALT_PNT"])
    for row, obs in zip(table, sky.observations, strict=True):
        assert row["EVENT_COUNT"] == len(obs.events.table)
        time = obs.events.time
        assert time.min() >= obs.gti.time_start[0]
        assert time.max() <= obs.gti.time_stop[-1]
        assert obs.observation_live_time_duration.to_value("s") == pytest.approx(sky.livetime)
    gap = sky.observations[1].tstart - sky.observations[0].tstop
    assert gap.to_value("s") == pytest.approx(300)


def test_detector_coordinates_and_irfs_survive_the_disk(sky):
    obs = sky.observations[0]
    table = obs.events.table
    separation = SkyCoord(table["RA"], table["DEC"]).separation(sky.pointing).deg
    x, y = (np.radians(np.asarray(table[name], dtype=float)) for name in ("DETX", "DETY"))
    assert np.allclose(np.degrees(np.arccos(np.cos(x) * np.cos(y))), separation, atol=1e-4)
    for key, irf in sky.irfs.items():
        read = getattr(obs, key)
        assert type(read) is type(irf)
        assert read.meta["TELESCOP"] == "CTAO-SAT-DEMO"
        assert read.is_allclose(irf, rtol=1e-5)


def test_gammapy_recovers_the_truth(sky):
    # By Gammapy alone: reflected regions, a fit of the steady source; 3 sigma, fixed seed.
    truth = sky.models["steady"]
    region = CircleSkyRegion(truth.position, 0.15 * u.deg)
    axis = MapAxis.from_energy_bounds("0.2 TeV", "30 TeV", nbin=8, per_decade=True)
    axis_true = MapAxis.from_energy_bounds(
        "0.05 TeV", "100 TeV", nbin=15, per_decade=True, name="energy_true"
    )
    geom = RegionGeom.create(region, axes=[axis])
    exclusion = ~WcsGeom.create(skydir=sky.pointing, width=6, binsz=0.02, frame="icrs").region_mask(
        [CircleSkyRegion(model.position, 1.0 * u.deg) for model in sky.models[1:]]
    )
    maker = SpectrumDatasetMaker(
        selection=["counts", "exposure", "edisp"], containment_correction=True
    )
    off = ReflectedRegionsBackgroundMaker(exclusion_mask=exclusion)
    datasets = Datasets()
    for obs in sky.observations:
        empty = SpectrumDataset.create(geom, energy_axis_true=axis_true, name=str(obs.obs_id))
        datasets.append(off.run(maker.run(empty, obs), obs))
    model = SkyModel(PowerLawSpectralModel(amplitude="1e-10 cm-2 s-1 TeV-1"), name="fit")
    datasets.models = [model]
    result = Fit().run(datasets)
    assert result.success
    for name in ("index", "amplitude"):
        fitted = model.parameters[name]
        true = truth.spectral_model.parameters[name]
        assert abs(fitted.value - true.quantity.to_value(fitted.unit)) < 3 * fitted.error


def test_truth_is_on_disk_and_inputs_are_unchanged(sky, tmp_path):
    with np.errstate(over="ignore"):
        read = Models.read(sky.folder / "models.yaml")
    assert read.names == sky.models.names
    assert np.allclose(read.parameters.value, sky.models.parameters.value)
    models, irfs = Models([sky.models["steady"]]), demo_array("north")
    before = models.to_dict(), {key: irf.data.copy() for key, irf in irfs.items()}
    meta = {key: dict(irf.meta) for key, irf in irfs.items()}
    simulate(tmp_path / "dl3", models, irfs=irfs)
    assert len(models) == 1
    assert models.to_dict() == before[0]
    for key, irf in irfs.items():
        assert irf.meta == meta[key]
        assert np.array_equal(irf.data, before[1][key])


def test_same_seed_same_bytes_in_processes_too(sky, tmp_path):
    models = sky.models[:2]
    pointings = wobble_pointings(sky.pointing, n=2)
    for name, seed, n_jobs in (("a", 5, 1), ("b", 5, 2), ("c", 6, 1)):
        simulate(tmp_path / name, models, seed, pointings=pointings, n_jobs=n_jobs)
    first = content(tmp_path / "a")
    assert len(first) == 5
    assert content(tmp_path / "b") == first
    assert content(tmp_path / "c") != first


def test_background_does_not_depend_on_the_models(sky, tmp_path):
    tables = []
    for name, models in (("a", None), ("b", sky.models[:2])):
        store = simulate(tmp_path / name, models)
        table = store.get_observations()[0].events.table
        tables.append(table[table["MC_ID"] == 0])
    assert np.array_equal(tables[0]["ENERGY"], tables[1]["ENERGY"])
    assert np.array_equal(tables[0]["RA"], tables[1]["RA"])


def test_background_alone_and_energy_range(tmp_path):
    store = simulate(tmp_path / "dl3", energy_range=[0.2, 2] * u.TeV, obs_id_start=7)
    table = store.get_observations()[0].events.table
    assert list(store.obs_ids) == [7]
    assert set(table["MC_ID"]) == {0}
    assert table["ENERGY"].min() >= 0.2 - 1e-6
    assert table["ENERGY"].max() <= 2 + 1e-6
    assert (tmp_path / "dl3" / "models.yaml").exists()


def test_good_time_intervals_with_holes(tmp_path):
    reference = Time("2028-02-01T00:00:00", scale="tt")
    gti = GTI.create([0, 300] * u.s, [100, 500] * u.s, reference)
    store = simulate(tmp_path / "dl3", livetime=None, gti=[gti], deadtime_fraction=0.2)
    obs = store.get_observations()[0]
    seconds = (obs.events.time - reference).to_value("s")
    first, second = (seconds >= 0) & (seconds <= 100), (seconds >= 300) & (seconds <= 500)
    assert np.all(first | second)
    assert abs(first.sum() - len(seconds) / 3) < 5 * np.sqrt(len(seconds) * 2 / 9)
    assert obs.observation_live_time_duration.to_value("s") == pytest.approx(240)
    assert store.obs_table["TELAPSE"][0] == pytest.approx(500)


def test_live_time_per_pointing(tmp_path):
    pointings = SkyCoord([83, 84], [22, 22], unit="deg")
    store = simulate(tmp_path / "dl3", pointings=pointings, livetime=[30, 60] * u.s)
    assert np.allclose(store.obs_table["LIVETIME"], [30, 60])
    assert np.allclose(store.obs_table["RA_PNT"], [83, 84])


def template_light_curve(start):
    table = Table({"TIME": [0.0, 300, 600] * u.s, "NORM": [0.0, 1.0, 0.0]})
    table.meta = {"MJDREFI": int(start.mjd), "MJDREFF": start.mjd % 1, "TIMESYS": "utc"}
    return LightCurveTemplateTemporalModel.from_table(table)


def test_light_curves_and_templates(sky, tmp_path):
    start = Time("2028-01-01T00:00:00", scale="utc")
    image = Map.create(npix=40, binsz=0.05, skydir=(83.63, 22.51), frame="icrs", unit="sr-1")
    image.data[:, :20] = 1.0
    pulse = GaussianTemporalModel(t_ref=(start.mjd + 300 / 86400) * u.d, sigma=20 * u.s)
    models = Models(
        [
            SkyModel(sky.power_law(1e-9), sky.point(), template_light_curve(start), name="tent"),
            SkyModel(sky.power_law(1e-8), sky.point(), pulse, name="pulse"),
            SkyModel(sky.power_law(1e-9), TemplateSpatialModel(image, filename="x"), name="half"),
            SkyModel(sky.power_law(1e-9), ConstantSpatialModel(value="1000 sr-1"), name="glow"),
        ]
    )
    store = simulate(tmp_path / "dl3", models, livetime="600 s", seed=4)
    table = store.get_observations()[0].events.table
    seconds = (table["TIME"] - start).to_value("s")

    def tent(x):
        return np.where(x < 300, x**2 / 180000, 1 - (600 - x) ** 2 / 180000)

    assert kstest(seconds[table["MC_ID"] == 1], tent).pvalue > LIMIT
    assert kstest(1.1 * seconds[table["MC_ID"] == 1], tent).pvalue < LIMIT
    assert kstest(seconds[table["MC_ID"] == 2], "norm", (300, 20)).pvalue > LIMIT
    # The lit half of the template is 1 deg high and 2 deg wide; hard events show its edges.
    half = table[(table["MC_ID"] == 3) & (table["ENERGY"] > 1 * u.TeV)]
    left = (SkyCoord(half["RA"], half["DEC"]).ra.deg - 83.63) * np.cos(np.radians(22.5))
    assert 0.47 < np.mean(left) < 0.53
    assert np.mean((left > -0.1) & (left < 1.1)) > 0.98
    # A surface brightness shines over the whole field of view.
    glow = table[table["MC_ID"] == 4]
    assert SkyCoord(glow["RA"], glow["DEC"]).separation(sky.pointing).deg.max() > 3
    read = Models.read(tmp_path / "dl3" / "models.yaml")
    assert read["tent"].temporal_model.map.data.max() == 1
    assert read["half"].spatial_model.map.data.sum() > 0


def test_a_spectrum_that_changes_with_time(sky, tmp_path):
    start = Time("2028-01-01T00:00:00", scale="utc")
    time = MapAxis.from_nodes(np.linspace(0, 700, 71), unit="s", name="time")
    energy = MapAxis.from_nodes(
        np.geomspace(0.01, 300, 80), unit="TeV", name="energy", interp="log"
    )
    template = RegionNDMap.create(
        region=CircleSkyRegion(sky.pointing, 1 * u.deg), axes=[time, energy]
    )
    e, t = energy.center.value[:, None], time.center.value[None, :]
    template.data[...] = (e ** -(2.0 + t / 600))[..., None, None]
    temporal = LightCurveTemplateTemporalModel(template, t_ref=start, filename="x")
    spectrum = ConstantSpectralModel(const="1e-9 cm-2 s-1 TeV-1")
    # To check its unit, Gammapy evaluates a new model in the year 2000: far from the template.
    with np.errstate(over="ignore"):
        model = SkyModel(spectrum, sky.point(), temporal, name="softening")
    store = simulate(tmp_path / "dl3", model, livetime="600 s", seed=8)
    table = store.get_observations()[0].events.table
    mine = table[table["MC_ID"] == 1]
    seconds = (mine["TIME"] - start).to_value("s")
    for low, high in ((0, 60), (540, 600)):
        energies = mine["ENERGY"].quantity.to_value("TeV")[(seconds >= low) & (seconds < high)]
        energies = energies[energies > 2]
        # Above 2 TeV the area is nearly flat: the index from the mean of the logarithms.
        index = 1 + 1 / np.mean(np.log(energies / 2))
        expected = 2.0 + (low + high) / 2 / 600
        assert abs(index - expected) < 4 * (index - 1) / np.sqrt(len(energies)) + 0.15
    with np.errstate(over="ignore"):
        read = Models.read(tmp_path / "dl3" / "models.yaml")
    assert read["softening"].temporal_model.is_energy_dependent


@pytest.mark.parametrize("alignment", ["RADEC", "REVERSE_LON_RADEC", "ALTAZ"])
def test_orientation_of_the_field_of_view(tmp_path, alignment):
    # A background that shines around +2 deg longitude, +1 deg latitude of the field of view.
    irfs = demo_array("north")
    energy = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=3)
    lon = MapAxis.from_bounds(-3, 3, nbin=30, unit="deg", name="fov_lon")
    lat = MapAxis.from_bounds(-3, 3, nbin=31, unit="deg", name="fov_lat")
    distance = np.hypot(lon.center.value[:, None] - 2, lat.center.value[None, :] - 1)
    data = np.array([1e-1, 1e-2, 1e-3])[:, None, None] * np.exp(-0.5 * (distance / 0.2) ** 2)
    irfs["bkg"] = Background3D(
        [energy, lon, lat], data, unit="s-1 MeV-1 sr-1", fov_alignment=alignment
    )
    # Inside of the tables of the rotation of the Earth, which Gammapy's frames look up.
    store = simulate(tmp_path / "dl3", irfs=irfs, start="2025-01-01T02:00:00", livetime="20 s")
    obs = store.get_observations()[0]
    table = obs.events.table
    assert len(table) > 30
    events = SkyCoord(table["RA"], table["DEC"])
    if alignment == "ALTAZ":
        frame = AltAz(obstime=obs.tmid, location=obs.observatory_earth_location)
        origin = obs.pointing.fixed_icrs.transform_to(frame)
        frame = FoVAltAzFrame(origin=origin, location=origin.location, obstime=obs.tmid)
    else:
        frame = obs.get_fov_frame(obs.tmid, alignment)
    local = events.transform_to(frame)
    sign = -1 if alignment == "REVERSE_LON_RADEC" else 1
    assert np.allclose(sign * np.mean(local.fov_lon.deg), 2.0, atol=0.1)
    assert np.allclose(np.mean(local.fov_lat.deg), 1.0, atol=0.1)


def test_existing_data_are_kept(tmp_path):
    path = tmp_path / "dl3"
    simulate(path)
    before = content(path)
    with pytest.raises(OutputError, match="overwrite=True, --overwrite"):
        simulate(path, seed=2)
    assert content(path) == before
    simulate(path, seed=2, overwrite=True)
    assert content(path) != before
    (path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        simulate(path, overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"
    assert [item.name for item in tmp_path.iterdir()] == ["dl3"]


def test_a_failure_leaves_nothing_behind(sky, tmp_path):
    broken = SkyModel(sky.power_law(np.nan), sky.point(), name="broken")
    with pytest.raises(Exception, match="'broken' is not finite"):
        simulate(tmp_path / "dl3", broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("path", "latitude"),
    [
        ("cta-caldb/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz", 28.76),
        ("cta-caldb/Prod5-South-20deg-AverageAz-14MSTs37SSTs.180000s-v0.1.fits.gz", -24.68),
        ("cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits", -24.68),
    ],
)
def test_public_irf_files(sky, gammapy_data, tmp_path, path, latitude):
    store = simulate(tmp_path / "dl3", sky.models[:2], irfs=gammapy_data / path)
    store = DataStore.from_dir(tmp_path / "dl3")
    obs = store.get_observations()[0]
    assert obs.observatory_earth_location.lat.deg == pytest.approx(latitude, abs=0.01)
    assert set(obs.events.table["MC_ID"]) == {0, 1, 2}
    assert obs.events.table.meta["IRFFILE"] == path.rsplit("/", 1)[-1]
    assert obs.aeff.data.shape == (42, 6)
