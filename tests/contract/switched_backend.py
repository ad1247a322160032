"""A pytest plugin that runs Gammapy's own tests with the backend "ctao_sat" of its Fit.

Load it into a process of its own: ``python -m pytest -p switched_backend --pyargs gammapy...``. It
changes Gammapy's ``Fit`` there: whoever asks for "minuit", or for nothing, gets "ctao_sat". It
prints how the fits ran, and writes it, with the outcome of each test, to the file that the
environment variable SWITCHED_BACKEND_REPORT names.
"""

import collections
import json
import os
from pathlib import Path

import pytest
from gammapy.modeling import Fit
from gammapy.modeling.fit import Registry

from ctao_sat.likelihood import register_fit_backend

OPTIONS = ("optimize_opts", "covariance_opts", "confidence_opts")


def ours(backend):
    """Return the backend that stands for another."""
    return "ctao_sat" if backend == "minuit" else backend


class Switch:
    """Counts how tasks are done, and what becomes of the tests."""

    def __init__(self):
        self.ways = collections.Counter()
        self.reasons = collections.Counter()
        self.outcomes = {}

    def install(self):
        """Change Gammapy's ``Fit`` and count what it asks for, in this process."""
        register_fit_backend()
        for task, backends in Registry.register.items():
            backends["ctao_sat"] = self._counted(task, backends["ctao_sat"])
        init = Fit.__init__

        def switched(fit, backend="minuit", **kwargs):
            for name in OPTIONS:
                options = kwargs.get(name)
                if options and "backend" in options:
                    kwargs[name] = {**options, "backend": ours(options["backend"])}
            init(fit, ours(backend), **kwargs)

        Fit.__init__ = switched
        Fit.run = self._with_old_names(Fit.run)
        # Some set it afterwards.
        Fit.backend = property(
            lambda fit: fit.__dict__["backend"],
            lambda fit, backend: fit.__dict__.update(backend=ours(backend)),
        )

    @staticmethod
    def _with_old_names(run):
        """Give results the names that tests of Gammapy expect, so that they go on to numbers."""

        def named(fit, datasets):
            result = run(fit, datasets)
            optimum, covariance = result.optimize_result, result.covariance_result
            if optimum.backend == "ctao_sat":
                optimum._backend, optimum._method = "minuit", "migrad"
                fit._minuit = optimum.minuit
            if covariance is not None and covariance.backend == "ctao_sat":
                covariance._backend, covariance._method = "minuit", "hesse"
            return result

        return named

    def _counted(self, task, function):
        def counted(*args, **kwargs):
            result = function(*args, **kwargs)
            message = (result if task == "confidence" else result[1])["message"]
            _, _, reason = message.partition(" By Gammapy")
            kind = "compiled"
            if reason:
                kind = "minuit" if reason.startswith("'s minuit") else "partly"
                if "MyDataset" in reason:
                    kind = "no dataset of Gammapy"
                self.reasons[reason.split(": ", 1)[1]] += 1
            self.ways[f"{task}: {kind}"] += 1
            return result

        return counted

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """Tell tests whose data are missing from those that fail."""
        report = (yield).get_result()
        outcome = report.outcome
        if report.failed and call.excinfo.errisinstance(FileNotFoundError):
            outcome = "no data"
        if report.when == "call" or outcome != "passed":
            name = f"{item.module.__name__}::{item.name}"
            failed_at = report.longrepr.reprcrash.message if outcome == "failed" else ""
            self.outcomes[name] = outcome, failed_at

    def pytest_terminal_summary(self, terminalreporter):
        """Print how the fits ran, and write it."""
        counts = {"ways": self.ways, "reasons": self.reasons, "outcomes": self.outcomes}
        for name in ("ways", "reasons"):
            for key, n in counts[name].most_common():
                terminalreporter.write_line(f"{n:6d} {key}")
        path = os.environ.get("SWITCHED_BACKEND_REPORT")
        if path:
            Path(path).write_text(json.dumps(counts))


def pytest_configure(config):
    """Switch before any test is imported."""
    switch = Switch()
    switch.install()
    config.pluginmanager.register(switch, "switched-backend-counts")
