"""Light curves against Gammapy's own."""

import astropy.units as u
import pytest
from astropy.time import Time
from gammapy.estimators import LightCurveEstimator

from ctao_sat import dl5
from ctao_sat.errors import DataError

EDGES = [0.2, 1, 5] * u.TeV


def test_light_curve_equals_gammapy(crab, assert_equal):
    dl5.fit(crab)
    theirs = LightCurveEstimator(
        energy_edges=EDGES, source="crab", selection_optional=["errn-errp", "ul"]
    ).run(crab)
    assert_equal(dl5.light_curve(crab, EDGES), theirs)


def test_light_curve_in_one_interval(crab):
    dl5.fit(crab)
    interval = Time([crab.gti.time_start[0], crab.gti.time_stop[-1]])
    curve = dl5.light_curve(crab, EDGES[[0, -1]], time_intervals=[interval])
    assert curve.geom.axes["time"].nbin == 1
    whole = dl5.flux_points(crab, EDGES[[0, -1]], selection_optional=[])
    assert curve.norm.data.squeeze() == pytest.approx(whole.norm.data.squeeze(), rel=1e-6)


def test_light_curve_without_data(crab):
    interval = Time(["2001-01-01", "2001-01-02"])
    with pytest.raises(DataError, match="No dataset lies completely within"):
        dl5.light_curve(crab, EDGES, time_intervals=[interval])


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_parallel_equals_serial(crab, backend, assert_equal):
    dl5.fit(crab)
    curve = dl5.light_curve(crab, EDGES, selection_optional=[])
    parallel = dl5.light_curve(crab, EDGES, selection_optional=[], n_jobs=2, backend=backend)
    assert_equal(parallel, curve)
