"""The zoo of generated likelihoods, for all tests in this folder."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def zoo():
    """Return the package that generates likelihoods."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("zoo")
