"""One model of each kind, soon after one event."""

import astropy.units as u
import pytest
from astropy.time import Time

from ctao_sat import transients as tr

T0 = Time("2025-01-01T00:00:00", scale="utc")


def make_models():
    return {
        "power law": tr.OnsetPowerLawTemporalModel(T0, 1.6, 100 * u.s, 30 * u.s),
        "broken": tr.BrokenPowerLawTemporalModel(T0, 0.9, 2.1, 400 * u.s, 5 * u.s),
        "smooth": tr.SmoothBrokenPowerLawTemporalModel(T0, -1, 1.3, 200 * u.s, 2.0),
        "multi-broken": tr.MultiBrokenPowerLawTemporalModel(
            T0, [-2, 0.5, 1.4, 2.5], [20, 300, 1000] * u.s, 5 * u.s
        ),
        "exponential": tr.OnsetExpDecayTemporalModel(T0, 0.1 * u.h, 50 * u.s),
        "tidal": tr.TidalDisruptionTemporalModel(T0, 0.01 * u.d),
        "nova": tr.DelayedNovaTemporalModel(T0, 1.43, 5 * u.min, 10 * u.min, 1 * u.min),
        "FRED": tr.FREDTemporalModel(T0, 60 * u.s, 200 * u.s),
        "FRED-xi": tr.FREDXiTemporalModel(T0, 150 * u.s, 0.5),
        "flare": tr.DoubleExpFlareTemporalModel(T0 + 300 * u.s, 40 * u.s, 0.05 * u.h),
        "sine": tr.PeriodicTemporalModel(T0, 0.8, 700 * u.s),
        "orbit": tr.OrbitalTemporalModel(T0, 0.02 * u.d, [0.1, 0.3, 0.7], [0.2, 3.0, 1.0]),
        "table": tr.TableTemporalModel(T0, [-1, 2, 5, 40] * u.min, [0, 3, 1, 0.5]),
    }


@pytest.fixture(scope="session", params=make_models())
def model(request):
    return make_models()[request.param]


@pytest.fixture(scope="session")
def models():
    return make_models()


@pytest.fixture(scope="session")
def t0():
    return T0
