"""A source that grows is not cut off: Gammapy keeps the cutout of where and how it began."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling import Fit
from gammapy.modeling.fit import Registry
from gammapy.modeling.models import GaussianSpatialModel

from ctao_sat._gammapy import fresh_copy
from ctao_sat.dl5 import fit
from ctao_sat.likelihood import register_fit_backend

TRUE_SIZE, START = 0.5, 0.1
STABLE = 0.1


def _growing(zoo):
    """Return a cube with a Gaussian of half a degree, whose model begins with a tenth."""
    datasets = zoo.plain.moving(npix=(34, 32))
    shape = GaussianSpatialModel(sigma=TRUE_SIZE * u.deg, frame="icrs")
    shape.position = zoo.plain.POSITION
    source = zoo.plain.power_law("source", shape)
    source.spectral_model.amplitude.value *= 2
    source.spectral_model.index.frozen = True
    background = datasets.models["cube-bkg"]
    datasets = Datasets(list(datasets))
    datasets.models = [source, background]
    zoo.plain.draw(datasets, np.random.default_rng(20281209), zoo.plain.expected(datasets))
    shape.sigma.value = START
    datasets.models = [source, background]
    return datasets


@pytest.fixture(scope="module")
def refitted(zoo):
    """Return Gammapy's first statistic, the one with new evaluators, and the stable one."""
    datasets = _growing(zoo)
    first = Fit().run(datasets).total_stat
    stat, after = first, float(fresh_copy(datasets).stat_sum())
    rounds = [after]
    while len(rounds) < 6:
        datasets.models = list(datasets.models)
        stat = Fit().run(datasets).total_stat
        rounds.append(stat)
        if abs(rounds[-1] - rounds[-2]) < STABLE:
            break
    return first, after, rounds[-1], datasets.models["source"].spatial_model.sigma


def test_gammapy_ends_high(refitted):
    """Otherwise this module would test nothing."""
    first, after, stable, _ = refitted
    assert first > stable + 5
    assert after != pytest.approx(first, abs=1)


@pytest.mark.parametrize("guard", [True, False])
def test_ours_ends_at_the_stable_optimum(zoo, refitted, guard):
    datasets = _growing(zoo)
    result = fit(datasets, compiled=True, guard=guard)
    assert result.success
    assert not result.report.refused
    _, _, stable, sigma = refitted
    assert result.total_stat <= stable + 0.01
    size = datasets.models["source"].spatial_model.sigma
    assert size.value == pytest.approx(sigma.value, abs=0.05 * sigma.error)
    assert size.error == pytest.approx(sigma.error, rel=0.03)
    assert abs(size.value - TRUE_SIZE) < 4 * size.error
    # The statistic is that of Gammapy for these parameters, with nothing cut off.
    assert result.total_stat == pytest.approx(float(fresh_copy(datasets).stat_sum()), abs=1e-3)
    assert "outside of the cutout" in str(result.report)


def test_so_does_the_backend_of_gammapys_fit(zoo, refitted, monkeypatch):
    """Gammapy evaluates the statistic that it reports: with cutouts of where the source is now."""
    for task, backends in Registry.register.items():
        monkeypatch.setitem(Registry.register, task, dict(backends))
    register_fit_backend()
    datasets = _growing(zoo)
    sigma = datasets.models["source"].spatial_model.sigma
    for value in (START, 0.9 * START, START):
        # An evaluator makes one new cutout at the first change, and then none.
        sigma.value = value
        datasets.stat_sum()
    assert datasets[0].evaluators["source"].geom != datasets[0].exposure.geom
    result = Fit(backend="ctao_sat").run(datasets)
    assert result.success
    assert result.total_stat <= refitted[2] + 0.01
    assert result.total_stat == pytest.approx(float(fresh_copy(datasets).stat_sum()), abs=1e-3)
