"""The zoo of generated likelihoods, for all tests in this folder."""

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def zoo():
    """Return the package that generates likelihoods."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("zoo")


@pytest.fixture(scope="module", autouse=True)
def _no_search_for_ray():
    """Say at once that there is no ray; Gammapy looks for it at each change of a covariance.

    The search would be a fifth of the time of the tests in this folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "ray" not in sys.modules and importlib.util.find_spec("ray") is None:
            patch.setitem(sys.modules, "ray", None)
        yield
