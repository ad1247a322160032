"""A pytest plugin that runs Gammapy's own tests of light curves with `ctao_sat.dl5.light_curve`.

Load it into a process of its own, as ``switched_backend``: whoever runs a ``LightCurveEstimator``
there gets ours, but for what ours has no option for. Errors get Gammapy's type and words, so that
tests go on to numbers.
"""

from gammapy.datasets import Datasets
from gammapy.estimators import LightCurveEstimator
from switched_backend import Switch

from ctao_sat import dl5
from ctao_sat.errors import CtaoSatError

WORDS = {
    "Time intervals overlap.": "Overlapping time bins",
    "No dataset lies completely within a time interval.": (
        "LightCurveEstimator: No datasets in time intervals"
    ),
}


class SwitchedLightCurve(Switch):
    """Counts light curves, and what becomes of the tests."""

    def install(self):
        """Change Gammapy's estimator in this process."""
        by_gammapy = LightCurveEstimator.run

        def run(estimator, datasets):
            # Actors of ray hold data elsewhere.
            if estimator.stack_over_time_interval or type(datasets) not in (Datasets, list):
                self.ways["light curve: gammapy"] += 1
                return by_gammapy(estimator, datasets)
            curve = light_curve(estimator, Datasets(datasets))
            self.ways[
                "light curve: partly" if curve.meta["fallbacks"] else "light curve: ours"
            ] += 1
            return curve

        LightCurveEstimator.run = run


def light_curve(estimator, datasets):
    """Return ours with the options of Gammapy's estimator."""
    try:
        return dl5.light_curve(
            datasets,
            estimator.energy_edges,
            datasets.models[estimator.source].name,
            time_intervals=estimator.time_intervals,
            selection_optional=estimator.selection_optional,
            reoptimize=estimator.reoptimize,
            n_sigma=estimator.n_sigma,
            n_sigma_ul=estimator.n_sigma_ul,
            n_sigma_sensitivity=estimator.n_sigma_sensitivity,
            norm=estimator.norm,
        )
    except CtaoSatError as error:
        raise ValueError(WORDS.get(error.message, error.message)) from error


def pytest_configure(config):
    """Switch before any test is imported."""
    switch = SwitchedLightCurve()
    switch.install()
    config.pluginmanager.register(switch, "switched-light-curve-counts")
