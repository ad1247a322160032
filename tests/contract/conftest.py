"""Gammapy's own tests, run with the fit backend "ctao_sat" in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Some minutes: it runs where it is named on the command line.
collect_ignore = [
    "test_gammapy_fit_backend_whole.py",
    # Plugins for processes of their own.
    "switched_backend.py",
    "switched_flux_points.py",
    "switched_light_curve.py",
    "unswitched.py",
]


# Where numbers of Gammapy's tests differ, by the kind of difference: each has a test of its own
# in test_gammapy_fit_backend.py that shows it, and who is right. With each, a number that fails.
DIFFERENCES = {
    "minimum": {
        "estimators.points.tests.test_lightcurve"
        "::test_lightcurve_estimator_spectrum_datasets_largerbin": "0.909646",
        "estimators.points.tests.test_lightcurve::test_dataset_stat_type": "5.824218",
        "estimators.points.tests.test_sed::test_run_pwl": "3.82374",
        "estimators.points.tests.test_sed::test_run_pwl_parameter_range": "-155.75408",
    },
    "pixels": {
        "makers.background.tests.test_fov::test_fov_bkg_maker_with_source_model": "0.896002",
    },
    "hesse": {
        "modeling.tests.test_fit::test_run_linked[minuit]": "4.764560e-16",
        "datasets.tests.test_flux_points::test_stat_profile": "110.244116",
    },
    "degenerate": {
        "makers.background.tests.test_fov::test_fov_bkg_maker_fit": "0.901523",
        "makers.background.tests.test_fov::test_fov_bkg_maker_fit_with_tilt": "0.901523",
        "datasets.tests.test_map::test_map_fit_linked": ".success",
    },
    "options": {
        "estimators.points.tests.test_lightcurve::test_lightcurve_estimator_fit_options": "0.2",
    },
}


def by_test(differences):
    """Return what the failure of each test says."""
    return {
        f"gammapy.{name}": number
        for tests in differences.values()
        for name, number in tests.items()
    }


class Suite:
    """What became of Gammapy's tests.

    Parameters
    ----------
    report : dict
        What the plugin ``switched_backend`` has written.
    output : str
        What pytest has printed.
    """

    def __init__(self, report, output):
        self.outcomes = {name: outcome for name, (outcome, _) in report["outcomes"].items()}
        self.failures = {
            name: message
            for name, (outcome, message) in report["outcomes"].items()
            if outcome == "failed"
        }
        self.ways, self.reasons, self.output = report["ways"], report["reasons"], output

    def count(self, outcome):
        """Return how many tests ended so."""
        return list(self.outcomes.values()).count(outcome)

    def share(self, task):
        """Return the share of calls of a task that ran compiled, at least in part.

        Fits of what is no dataset of Gammapy's, but a formula made up by its tests, do not count.
        """
        done = {way: self.ways.get(f"{task}: {way}", 0) for way in ("compiled", "partly", "minuit")}
        return (done["compiled"] + done["partly"]) / sum(done.values())

    def unknown(self, differences):
        """Return the tests that fail, but those that are known."""
        return set(self.failures) - set(by_test(differences))

    def leave_out(self, plain):
        """Count apart what fails in the same way without any switch."""
        for name in set(self.failures) & set(plain.failures):
            # What follows the first line has addresses of objects.
            ours, theirs = (suite.failures[name].splitlines()[0] for suite in (self, plain))
            if ours == theirs:
                self.outcomes[name] = "failed without switch, too"
                del self.failures[name]

    def check(self, differences):
        """Look whether the tests that fail are those that are known, with those numbers."""
        known = by_test(differences)
        expected = {name for name in self.outcomes if name in known}
        assert set(self.failures) == expected, self.output
        for name, message in self.failures.items():
            assert known[name] in message, message

    def print_ends(self):
        """Print how the tests ended."""
        ends = sorted(set(self.outcomes.values()))
        print("  " + ", ".join(f"{self.count(outcome)} {outcome}" for outcome in ends))

    def print(self):
        """Print how the tests ended and how the fits ran."""
        self.print_ends()
        for way, n in sorted(self.ways.items()):
            print(f"{n:6d} {way}")
        for reason, n in self.reasons.items():
            print(f"{n:6d} not compiled as a whole: {reason[:120]}")
        for task in ("optimize", "covariance", "confidence"):
            if any(way.startswith(task) for way in self.ways):
                print(f"  compiled, {task}: {self.share(task):.1%}")


@pytest.fixture(scope="session")
def differences():
    """Return the tests of Gammapy whose numbers differ, by the kind of difference."""
    return DIFFERENCES


@pytest.fixture(scope="session")
def gammapy_suite(tmp_path_factory):
    """Return a function from modules, or tests, of Gammapy to what becomes of them."""

    def run(*names, plugin="switched_backend"):
        folder = tmp_path_factory.mktemp("gammapy-suite")
        # Nothing of this project's configuration shall hold for Gammapy's tests.
        (folder / "pytest.ini").write_text("[pytest]\n")
        environment = {
            **os.environ,
            "SWITCHED_BACKEND_REPORT": str(folder / "report.json"),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        # Warnings are caught, or they get into the logs that some of the tests read.
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-p", plugin),
            *("-p", "no:cacheprovider", "--disable-warnings", "--tb=short"),
            *("-c", str(folder / "pytest.ini"), "--rootdir", str(folder), "--pyargs", *names),
        ]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert (folder / "report.json").exists(), done.stdout[-4000:] + done.stderr[-4000:]
        suite = Suite(json.loads((folder / "report.json").read_text()), done.stdout)
        print(f"\nGammapy's tests with the plugin {plugin!r}:")
        suite.print()
        return suite

    return run
