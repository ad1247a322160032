"""Fixtures and rules shared by all tests."""

import os
from pathlib import Path

import pytest

# In CI the real data must be there: a skipped test would be a hole in the evidence.
DATA_REQUIRED = os.environ.get("CI", "").lower() in {"1", "true"}
REASON = "GAMMAPY_DATA is not set; point it to a copy of Gammapy's data to run this test"


def pytest_collection_modifyitems(items):
    """Skip, or in CI refuse to run without, the tests that need real data."""
    if os.environ.get("GAMMAPY_DATA"):
        return
    needy = [item for item in items if item.get_closest_marker("realdata")]
    if needy and DATA_REQUIRED:
        raise pytest.UsageError(f"{len(needy)} tests need real data in CI. {REASON}")
    for item in needy:
        item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="session")
def gammapy_data() -> Path:
    """Return the folder of Gammapy's data; only for tests marked ``realdata``."""
    return Path(os.environ["GAMMAPY_DATA"])
