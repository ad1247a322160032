"""A pytest plugin that writes the outcomes of Gammapy's own tests, and switches nothing.

Load it into a process of its own, as ``switched_backend``: what fails here has other reasons.
"""

from switched_backend import Switch


def pytest_configure(config):
    """Write outcomes only."""
    config.pluginmanager.register(Switch(), "unswitched-outcomes")
