"""A pytest plugin that runs Gammapy's own tests of flux points with ``dl5.flux_points``.

Load it into a process of its own: ``python -m pytest -p switched_flux_points --pyargs gammapy...``.
It changes Gammapy's ``FluxPointsEstimator`` there. What the verb has no option for, and data
without models, stay Gammapy's.
"""

from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator

from ctao_sat import dl5

GAMMAPY = FluxPointsEstimator.run


def run(estimator, datasets):
    """Return flux points of ours, with the options of an estimator."""
    datasets = Datasets(datasets)
    special = estimator.sum_over_energy_groups or estimator.allow_multiple_telescopes
    if special or not datasets.models:
        return GAMMAPY(estimator, datasets)
    return dl5.flux_points(
        datasets,
        estimator.energy_edges,
        datasets.models[estimator.source].name,
        selection_optional=estimator.selection_optional or (),
        reoptimize=estimator.reoptimize,
        n_sigma=estimator.n_sigma,
        n_sigma_ul=estimator.n_sigma_ul,
        n_sigma_sensitivity=estimator.n_sigma_sensitivity,
        norm=estimator.norm,
    )


def pytest_configure():
    """Switch before any test is imported."""
    FluxPointsEstimator.run = run
