"""Fixtures and rules shared by all tests."""

import importlib
import os
import signal
from pathlib import Path

import pytest

# In CI the real data must be there: a skipped test would be a hole in the evidence.
DATA_REQUIRED = os.environ.get("CI", "").lower() in {"1", "true"}
REASON = "GAMMAPY_DATA is not set; point it to a copy of Gammapy's data to run this test"


def pytest_collection_modifyitems(items):
    """Skip, or in CI refuse to run without, the tests that need real data."""
    if os.environ.get("GAMMAPY_DATA"):
        return
    needy = [item for item in items if item.get_closest_marker("realdata")]
    if needy and DATA_REQUIRED:
        raise pytest.UsageError(f"{len(needy)} tests need real data in CI. {REASON}")
    for item in needy:
        item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="session", autouse=True)
def _offline():
    """Keep astropy from looking for newer tables of the Earth's rotation."""
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False):
        yield


@pytest.fixture
def interruptible():
    """Let processes started meanwhile take SIGINT; a background job may inherit it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def gammapy_data() -> Path:
    """Return the folder of Gammapy's data; only for tests marked ``realdata``."""
    return Path(os.environ["GAMMAPY_DATA"])


@pytest.fixture(scope="session")
def small():
    """Return the module that makes small datasets with models in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("small_likelihoods")


@pytest.fixture(scope="session")
def sky():
    """Return the module that simulates small fields of the sky."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("sky_fields")


@pytest.fixture(scope="session")
def demo_dl3(tmp_path_factory) -> Path:
    """Return a folder with two short simulated runs of a Crab-like source."""
    import astropy.units as u
    import numpy as np
    from astropy.coordinates import SkyCoord
    from gammapy.modeling.models import Models

    from ctao_sat import recipes, simulate

    path = tmp_path_factory.mktemp("demo") / "dl3"
    target = SkyCoord(83.633, 22.014, unit="deg")
    simulate.observations(
        Models([recipes.crab_like_model()]),
        simulate.wobble_pointings(target, n=2),
        5 * u.min,
        "demo-north",
        np.random.default_rng(1),
        path=path,
    )
    return path


@pytest.fixture(scope="session")
def small_dl3(tmp_path_factory) -> Path:
    """Two runs of two minutes on a Crab-like source, above 0.3 TeV; not to be changed."""
    import astropy.units as u
    import numpy as np
    from astropy.coordinates import SkyCoord

    from ctao_sat import recipes, simulate

    folder = tmp_path_factory.mktemp("small") / "dl3"
    center = SkyCoord(83.633, 22.014, unit="deg")
    simulate.observations(
        recipes.crab_like_model(),
        simulate.wobble_pointings(center, offset=0.5 * u.deg, n=2),
        2 * u.min,
        "demo-north",
        np.random.default_rng(20280102),
        path=folder,
        energy_range=[0.3, 50] * u.TeV,
    )
    return folder


@pytest.fixture(scope="session")
def demo_config(demo_dl3, tmp_path_factory):
    """Return the file of a configuration for the simulated runs."""
    import yaml

    values = {
        "recipe": "spectrum-1d",
        "schema_version": 1,
        "data": {"path": str(demo_dl3), "cone": "2 deg"},
        "target": {"name": "Crab-like", "position": "83.633 deg, 22.014 deg"},
        "on_region": {"radius": "0.11 deg"},
        "reduction": {
            "energy": {"min": "0.1 TeV", "max": "30 TeV", "per_decade": 6},
            "energy_true": {"min": "0.03 TeV", "max": "100 TeV", "per_decade": 12},
        },
        "fit": {
            "model": {
                "type": "PowerLawSpectralModel",
                "parameters": [
                    {"name": "index", "value": 2},
                    {"name": "amplitude", "value": 1.0e-11, "unit": "cm-2 s-1 TeV-1"},
                    {"name": "reference", "value": 1, "unit": "TeV", "frozen": True},
                ],
            }
        },
        "flux_points": {"energy": {"min": "0.2 TeV", "max": "20 TeV", "per_decade": 1}},
    }
    path = tmp_path_factory.mktemp("config") / "crab.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="session")
def demo_run(demo_config):
    """Return the run of that configuration."""
    from ctao_sat import recipes

    return recipes.run(demo_config)


CRAB = """\
PSR     B0531+21
RAJ     05:34:31.97232
DECJ    22:00:52.0690
PEPOCH  61800
F0      29.5664
F1      -3.6650e-10
START   61700
FINISH  61900
EPHEM   builtin
CLK     TT(TAI)
"""


@pytest.fixture(scope="session")
def crab():
    """Return an ephemeris like that of the Crab pulsar, for 2028."""
    from ctao_sat.pulsar import PulsarEphemeris

    return PulsarEphemeris.from_text(CRAB, "crab.par")


@pytest.fixture(scope="session")
def pulsar_dl3(crab, tmp_path_factory) -> Path:
    """Return a folder with a par file and two simulated runs of a pulsar; not to be changed.

    One pulse of 0.01 turns at phase 0.1, and a second one of half its height at 0.5.
    """
    import astropy.units as u
    import numpy as np
    from gammapy.modeling.models import PowerLawSpectralModel

    from ctao_sat import pulsar, simulate

    def density(phase):
        second = 0.5 * np.exp(-0.5 * ((phase - 0.5) / 0.02) ** 2)
        return np.exp(-0.5 * ((phase - 0.1) / 0.01) ** 2) + second

    folder = tmp_path_factory.mktemp("pulsar")
    source = pulsar.pulsed_source(
        crab,
        PowerLawSpectralModel(index=3, amplitude="4e-12 cm-2 s-1 TeV-1"),
        pulsar.PulseTemplate.from_function(density),
        "north",
        name="Crab pulsar",
    )
    simulate.observations(
        source,
        simulate.wobble_pointings(source.position, offset=0.5 * u.deg, n=2),
        5 * u.min,
        "demo-north",
        np.random.default_rng(20280110),
        path=folder / "dl3",
        start="2028-01-10T22:00:00",
        energy_range=[0.05, 10] * u.TeV,
    )
    crab.write(folder / "crab.par")
    return folder


@pytest.fixture(scope="session")
def typed_dl3(demo_dl3, tmp_path_factory) -> Path:
    """Return a folder without index tables: two runs of two event types; not to be changed.

    As CTAO-GADF does, each file states its event type in the primary header. The type "hires" has
    its two runs in files with events and responses; "lores" has events and responses apart.
    """
    import astropy.units as u
    import numpy as np
    from astropy.coordinates import SkyCoord
    from astropy.io import fits

    from ctao_sat import recipes, simulate

    folder = tmp_path_factory.mktemp("typed")
    second = folder / "second"
    simulate.observations(
        recipes.crab_like_model(),
        simulate.wobble_pointings(SkyCoord(83.633, 22.014, unit="deg"), n=2),
        5 * u.min,
        "demo-north",
        np.random.default_rng(2),
        path=second,
    )
    typed = folder / "dl3"
    for name in ("hires", "lores", "irfs"):
        (typed / name).mkdir(parents=True)

    def write(hdus, path, event_type):
        copies = fits.HDUList([hdu.copy() for hdu in hdus])
        copies[0].header["EVTYPE"] = event_type
        copies.writeto(path)

    for run in ("obs_000001.fits", "obs_000002.fits"):
        with fits.open(demo_dl3 / run, memmap=False) as hdus:
            write(hdus, typed / "hires" / run, "hires")
        with fits.open(second / run, memmap=False) as hdus:
            write(hdus[:3], typed / "lores" / f"{run}.gz", "lores")
            if run == "obs_000001.fits":
                write([hdus[0], *hdus[3:]], typed / "irfs" / "lores.fits", "lores")
    return typed
