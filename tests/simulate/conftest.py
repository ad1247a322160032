"""A simulated sky that several tests look at from different sides."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gammapy.modeling.models import (
    ExpDecayTemporalModel,
    GaussianSpatialModel,
    Models,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

from ctao_sat.simulate import demo_array, observations

START = "2028-01-01T00:00:00"
DECAY = 400.0  # s


def power_law(amplitude, index=2.3):
    return PowerLawSpectralModel(amplitude=amplitude * u.Unit("cm-2 s-1 TeV-1"), index=index)


def point(lon=83.63, lat=22.01):
    return PointSpatialModel(lon_0=lon * u.deg, lat_0=lat * u.deg, frame="icrs")


def make_models():
    start = Time(START, scale="utc")
    # To check its unit, Gammapy evaluates a new model in the year 2000, where this decay overflows.
    with np.errstate(over="ignore"):
        return _models(start)


def _models(start):
    return Models(
        [
            SkyModel(power_law(4e-10), point(), name="steady"),
            SkyModel(
                power_law(3e-10),
                GaussianSpatialModel(
                    lon_0=84.6 * u.deg, lat_0=22.9 * u.deg, sigma=0.4 * u.deg, frame="icrs"
                ),
                name="extended",
            ),
            SkyModel(power_law(1e-9), point(263.63, -22.01), name="far away"),
            SkyModel(
                power_law(2e-9),
                point(83.63, 23.51),
                ExpDecayTemporalModel(t0=DECAY * u.s, t_ref=start.mjd * u.d),
                name="burst",
            ),
        ]
    )


@pytest.fixture(scope="session")
def sky(tmp_path_factory):
    """Two runs of 15 min live time, 10 % dead time, northern array."""
    folder = tmp_path_factory.mktemp("simulate") / "dl3"
    models = make_models()
    pointing = SkyCoord(83.63, 22.51, unit="deg")
    store = observations(
        models,
        [pointing, pointing],
        15 * u.min,
        "demo-north",
        np.random.default_rng(20280101),
        path=folder,
        deadtime_fraction=0.1,
        start=START,
        gap="5 min",
    )
    return SimpleNamespace(
        store=store,
        folder=folder,
        models=models,
        pointing=pointing,
        irfs=demo_array("north"),
        observations=store.get_observations(),
        livetime=900.0,
        ontime=1000.0,
        decay=DECAY,
        power_law=power_law,
        point=point,
    )
